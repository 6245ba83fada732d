"""The ablation of rho r: a known rescaling is found again, differences are paired, the command leaves a report."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from reconstruction_run import write_run
from scipy import stats

from jaxsoil.evaluation.results import read_results
from jaxsoil.report.document import Document
from jaxsoil.runs.errors import UsageError
from jaxsoil.studies.reconstruction.report import paired, rho_r
from jaxsoil.studies.reconstruction.report.learned import Learned, movement_table, short_run
from jaxsoil.studies.reconstruction.report.reading import read_run
from jaxsoil.studies.reconstruction.report.rho_r import WITH, WITHOUT, between_seeds, beyond_seeds, rescaling

ROOT = Path(__file__).resolve().parents[4]
AXIS = np.linspace(400.0, 2400.0, 50)


def learned(first: np.ndarray, second: np.ndarray, *, truth: np.ndarray | None = None) -> Learned:
    """Spectra (t, m) of the decoder with rho r and of that without, one region each."""
    count = len(first)
    return Learned(
        axis=AXIS,
        unit="nm",
        study=np.array(["rho_r"] * (2 * count)),
        model=np.array([WITH] * count + [WITHOUT] * count),
        region=np.array([f"R{i}" for i in range(count)] * 2),
        seed=np.zeros(2 * count, int),
        f_soc=np.concatenate([first, second]),
        soc_rho_r=np.array([2.5] * count + [np.nan] * count),
        start_rho_r=2.6,
        truth=truth,
        truth_rho_r=None if truth is None else 0.12,
    )


def spectra(count: int = 3) -> np.ndarray:
    rng = np.random.default_rng(3)
    return 0.3 + 0.15 * np.sin(AXIS / 300.0) + 0.01 * rng.normal(size=(count, AXIS.size))


def test_a_multiplicative_factor_is_found() -> None:
    found = rescaling(learned(spectra(), 0.7 * spectra()))
    assert found is not None
    np.testing.assert_allclose(found.factor, 0.7, rtol=1e-12)
    np.testing.assert_allclose(found.ratio, 0.7, rtol=1e-12)
    np.testing.assert_allclose(found.scaled, 0.0, atol=1e-12)


def test_a_contrast_to_the_minerals_is_a_line_and_no_factor() -> None:
    first, pivot = spectra(), 0.45
    found = rescaling(learned(first, pivot + 1.8 * (first - pivot)))
    assert found is not None
    np.testing.assert_allclose(found.slope, 1.8, rtol=1e-10)
    np.testing.assert_allclose(found.pivot, pivot, rtol=1e-10)
    np.testing.assert_allclose(found.affine, 0.0, atol=1e-12)
    assert (found.scaled > 0.05).all() and np.ptp(found.ratio) > 0.5


def test_dark_bands_have_no_ratio_and_lost_trainings_no_pair() -> None:
    first = spectra()
    first[0, 7] = 0.001
    second = first.copy()
    second[2] = np.nan
    found = rescaling(learned(first, second))
    assert found is not None and len(found.factor) == 2
    assert np.isnan(found.ratio[0, 7]) and np.isfinite(found.ratio[1]).all()
    assert rescaling(learned(first, np.full_like(first, np.nan))) is None


def test_seeds_of_one_decoder_are_compared_within_regions() -> None:
    first = np.stack([np.full(50, 0.2), np.full(50, 0.5), np.full(50, 0.9)])
    made = learned(first, first)
    made.region[:3] = ["R0", "R0", "R1"]
    np.testing.assert_allclose(between_seeds(made, WITH), [0.3])
    assert between_seeds(made, WITHOUT).size == 0


def scattered(shift: float, scatter: float = 0.02) -> Learned:
    """Two seeds in each of six regions; the decoder without rho r is off by ``shift``, seeds by ``scatter``."""
    rng = np.random.default_rng(8)
    first, second = (0.4 + extra + scatter * rng.normal(size=(12, 1)) * np.ones((12, 50)) for extra in (0.0, shift))
    made = learned(first, second)
    made.region[:] = [f"R{i // 2}" for i in range(12)] * 2
    made.seed[:] = [0, 1] * 12
    return made


def opened(folder: Path, made: Learned) -> str:
    """Opening of the report of a synthetic run with these spectra."""
    write_run(folder, regions=tuple(f"R{i}" for i in range(6)), models=(WITH,), seeds=2)
    run, document = read_run(folder), Document("t")
    document.add(*rho_r._opening(run, made, rescaling(made)))
    return document.markdown()


def test_decoders_that_differ_like_seeds_tell_nothing_about_rho_r(tmp_path: Path) -> None:
    alike, apart = scattered(0.0), scattered(0.2)
    assert beyond_seeds(alike).low < 0.0 < beyond_seeds(apart).low
    # By hand: RMSE between level spectra is the difference of their levels.
    gaps = []
    for region in range(6):
        levels = apart.f_soc[:, 0].reshape(2, 6, 2)[:, region]
        gaps.append(np.abs(levels[1] - levels[0]).mean() - np.abs(levels[:, 1] - levels[:, 0]).mean())
    assert beyond_seeds(apart).mean == pytest.approx(np.mean(gaps))
    assert "this run does not tell anything about rho r" in opened(tmp_path / "alike", alike)
    text = opened(tmp_path / "apart", apart)
    assert "differs more between the decoders than between seeds of one decoder" in text
    assert "does not tell anything" not in text
    single = apart.where(apart.seed == 0)
    assert beyond_seeds(single).n == 0
    assert "With one seed this run does not tell whether" in opened(tmp_path / "single", single)


def test_a_run_too_short_to_move_says_so(tmp_path: Path) -> None:
    made = scattered(0.2)
    folder = write_run(tmp_path, regions=tuple(f"R{i}" for i in range(6)), models=(WITH,), seeds=2)
    rows = read_results(folder / "results.csv").query("split == 'train' and metric == 'n'")["value"]
    for lr, parts in ((1e-5, ("f_SOC", "(rho r)_SOC")), (0.004, ("(rho r)_SOC",)), (1.0, ())):
        config = {"config": {"train": {"lr": lr, "batch": 10, "validation_share": 0.1}}}
        (folder / "config.json").write_text(json.dumps(config))
        found = short_run(read_run(folder), made)
        # The validation loss of the synthetic runs is lowest in epoch 60.
        reach = lr * np.median([60 * int(0.9 * count // 10) for count in rows])
        assert len(found) == (1 if parts else 0)
        for text in found:
            assert f"is {reach:.2f} (median over trainings)" in text
            assert [part for part in ("f_SOC", "(rho r)_SOC") if part in text] == list(parts)
    assert short_run(dataclasses.replace(read_run(folder), config={}), made) == ()


def test_movement_is_told_from_the_start_and_the_truth() -> None:
    made = learned(np.full((2, 50), 0.4), np.full((2, 50), 0.7), truth=np.full(50, 0.1))
    table = movement_table(made, {"": ""})
    assert table.rows[0][2:5] == ("0.100 ± 0.000", "0.400 ± 0.000", "0.300 ± 0.000")
    assert table.rows[0][5:] == ("2.500 ± 0.000", "2.600", "0.120")
    assert table.rows[1][5] == "not used"
    assert any("near their start" in note for note in table.notes)


def test_differences_are_paired_by_region_and_seed() -> None:
    rows = [
        {"model": model, "region": region, "seed": seed, "value": value}
        for model, region, seed, value in [
            ("a", "R1", 0, 0.5), ("a", "R1", 1, 0.7), ("b", "R1", 0, 0.4), ("b", "R1", 1, 0.9),
            ("a", "R2", 0, 0.3), ("b", "R2", 0, np.nan), ("a", "R3", 0, 0.3), ("b", "R3", 0, 0.2), ("b", "R3", 1, 9.0),
        ]
    ]  # fmt: skip
    frame = pd.DataFrame(rows).assign(split="test", scale="log10", metric="rmse")
    found = paired.by_region(frame, frame, ("a", "b"), "log10", "rmse")
    assert found.keys() == {"R1", "R3"}
    np.testing.assert_allclose(found["R1"], [-0.1, 0.2])
    np.testing.assert_allclose(found["R3"], [-0.1])
    assert paired.improved(found, "rmse") == "1 of 2"
    assert paired.improved(found, "ccc") == "1 of 2"
    # A model of one seed stands against every seed of the other.
    single = pd.DataFrame(frame[(frame["model"] == "a") | (frame["seed"] == 0)])
    found = paired.by_region(single, single, ("b", "a"), "log10", "rmse")
    np.testing.assert_allclose(found["R1"], [0.1, 0.3])


def test_the_interval_is_students_over_region_means() -> None:
    differences = {"R1": (0.1, 0.3), "R2": (-0.2,), "R3": (0.5, 0.1), "R4": (0.4,)}
    means = [0.2, -0.2, 0.3, 0.4]
    low, high = stats.ttest_1samp(means, 0.0).confidence_interval(0.95)
    found = paired.interval(differences)
    np.testing.assert_allclose([found.mean, found.low, found.high], [np.mean(means), low, high], rtol=1e-12)
    assert paired.interval_text(paired.interval({"R1": (0.25,)}), "rmse") == "0.250"
    assert paired.interval_text(paired.interval({}), "rmse") == "n/a"


def test_both_decoders_are_required() -> None:
    from jaxsoil.experiments import load

    experiment = load("rho_r", ROOT / "experiments")
    with pytest.raises(UsageError, match="add physics_no_rho to --networks"):
        experiment.study_module().prepare(dataclasses.replace(experiment.smoke, networks=("physics",)))


def test_the_command_leaves_a_report(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_NUMPY")}
    command = [sys.executable, str(ROOT / "experiments" / "run.py"), "--exp=rho_r", "--smoke", "--wandb", "disabled"]
    folder = tmp_path / "run"
    done = subprocess.run(
        [*command, "--workdir", str(folder)], capture_output=True, text=True, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert "overall multiplicative factor" in text and "near their start" in text
    assert "95 % interval" in text and "All trials of all models are inductive" in text
    trials = pd.read_csv(folder / "trials.csv")
    parameters = dict(zip(trials["model"].tolist(), trials["parameters"].tolist(), strict=True))
    assert parameters[WITH] - parameters[WITHOUT] == 1
    for name in ("f_soc_ratio", "difference_by_region", "loss_curves"):
        assert (folder / "figures" / f"{name}.png").stat().st_size > 10_000, name
