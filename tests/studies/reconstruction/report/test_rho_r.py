"""The ablation of rho r: a known rescaling is found again, differences are paired, the command leaves a report."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from command import EXPERIMENTS
from reconstruction_run import write_run
from scipy import stats
from smoke_runs import smoke_run

from jaxsoil.evaluation.compare import Interval
from jaxsoil.evaluation.results import read_results
from jaxsoil.report.document import Document
from jaxsoil.runs.errors import UsageError
from jaxsoil.studies.reconstruction import summaries
from jaxsoil.studies.reconstruction.config import RHO_R_DECODERS
from jaxsoil.studies.reconstruction.learned import (
    band_rows,
    between_seed_rows,
    beyond_seeds,
    movement_rows,
    rescaling_means,
    rescaling_rows,
)
from jaxsoil.studies.reconstruction.report import rho_r
from jaxsoil.studies.reconstruction.report.reading import read_run
from jaxsoil.studies.reconstruction.report.scores import interval_text
from jaxsoil.studies.reconstruction.report.sections import movement_table, short_run
from jaxsoil.studies.reconstruction.rho_r import SUMMARIES
from jaxsoil.studies.reconstruction.tables import OWN

WITH, WITHOUT = RHO_R_DECODERS
AXIS = np.linspace(400.0, 2400.0, 50)


def learned(first: np.ndarray, second: np.ndarray, *, truth: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """soc_spectra.npz with spectra (t, m) of the decoder with rho r and of that without, one region each."""
    count = len(first)
    arrays = {
        "axis": AXIS,
        "study": np.array(["rho_r"] * (2 * count)),
        "model": np.array([WITH] * count + [WITHOUT] * count),
        "region": np.array([f"R{i}" for i in range(count)] * 2),
        "seed": np.zeros(2 * count, int),
        "f_soc": np.concatenate([first, second]),
        "soc_rho_r": np.array([2.5] * count + [np.nan] * count),
        "start_rho_r": np.array(2.6),
    }
    return arrays if truth is None else arrays | {"truth_f_soc": truth, "truth_soc_rho_r": np.array(0.12)}


def spectra(count: int = 3) -> np.ndarray:
    rng = np.random.default_rng(3)
    return 0.3 + 0.15 * np.sin(AXIS / 300.0) + 0.01 * rng.normal(size=(count, AXIS.size))


def test_a_multiplicative_factor_is_found() -> None:
    made = learned(spectra(), 0.7 * spectra())
    found, bands = rescaling_rows(made), band_rows(made)
    np.testing.assert_allclose(found["factor"], 0.7, rtol=1e-12)
    np.testing.assert_allclose(bands[["ratio_low", "ratio_median", "ratio_high"]], 0.7, rtol=1e-12)
    np.testing.assert_allclose(found[["scaled", "ratio_variation"]], 0.0, atol=1e-12)
    np.testing.assert_allclose(found["moved_with"], np.sqrt(np.mean((spectra() - 0.5) ** 2, axis=1)))


def test_a_contrast_to_the_minerals_is_a_line_and_no_factor() -> None:
    first, pivot = spectra(), 0.45
    made = learned(first, pivot + 1.8 * (first - pivot))
    found = rescaling_rows(made)
    np.testing.assert_allclose(found["slope"], 1.8, rtol=1e-10)
    np.testing.assert_allclose(found["pivot"], pivot, rtol=1e-10)
    np.testing.assert_allclose(found["affine"], 0.0, atol=1e-12)
    assert np.all(found["scaled"] > 0.05) and np.ptp(band_rows(made)["ratio_median"]) > 0.5


def test_dark_bands_have_no_ratio_and_lost_trainings_no_pair() -> None:
    first = spectra()
    first[:2, 7] = 0.001
    second = first.copy()
    second[2] = np.nan
    made = learned(first, second)
    assert len(rescaling_rows(made)) == 2 and len(movement_rows(made)) == 5
    bands = band_rows(made)
    assert np.isnan(bands["ratio_median"][7]) and np.isfinite(bands["ratio_median"].drop(7)).all()
    dark = np.asarray(bands["dark"])
    assert dark.sum() == dark[7] == 1.0
    lost = learned(first, np.full_like(first, np.nan))
    assert rescaling_rows(lost).empty and len(band_rows(lost)) == AXIS.size


def test_seeds_of_one_decoder_are_compared_within_regions() -> None:
    first = np.stack([np.full(50, 0.2), np.full(50, 0.5), np.full(50, 0.9)])
    made = learned(first, first)
    made["region"][:3], made["seed"][:3] = ["R0", "R0", "R1"], [0, 1, 0]
    found = between_seed_rows(made)
    np.testing.assert_allclose(found["rmse"], [0.3])
    assert found[["model", "region", "first", "second"]].to_numpy().tolist() == [[WITH, "R0", 0, 1]]


def scattered(shift: float, scatter: float = 0.02) -> dict[str, np.ndarray]:
    """Two seeds in each of six regions; the decoder without rho r is off by ``shift``, seeds by ``scatter``."""
    rng = np.random.default_rng(8)
    first, second = (0.4 + extra + scatter * rng.normal(size=(12, 1)) * np.ones((12, 50)) for extra in (0.0, shift))
    made = learned(first, second)
    made["region"][:] = [f"R{i // 2}" for i in range(12)] * 2
    made["seed"][:] = [0, 1] * 12
    return made


def test_means_over_trainings_are_those_of_the_rows() -> None:
    made = scattered(0.2)
    rescaled, bands, between = rescaling_rows(made), band_rows(made), between_seed_rows(made)
    bands["dark"] = np.arange(len(bands)) / 100.0
    found = rescaling_means(rescaled, bands, between).set_index(["quantity", "model"])
    factor = found.loc[("factor", "")]
    assert factor.tolist() == pytest.approx(
        [rescaled["factor"].mean(), rescaled["factor"].std(), rescaled["factor"].median(),
         np.sqrt((rescaled["factor"] ** 2).mean())]
    )  # fmt: skip
    left = (rescaled["scaled"] ** 2).sum() / (rescaled["unscaled"] ** 2).sum()
    assert found.loc[("removed", ""), "mean"] == pytest.approx(1.0 - left)
    assert found.loc[("dark", ""), "mean"] == pytest.approx(0.245)
    mine = between["rmse"][between["model"] == WITH]
    assert found.loc[("between_seeds", WITH), "mean"] == pytest.approx(mine.mean())
    assert found.loc[("between_seeds", ""), "mean"] == pytest.approx(between["rmse"].mean())
    # Without a pair of trainings nothing is known.
    none = rescaling_means(rescaled.head(0), bands, between.head(0))
    assert np.isnan(none.loc[none["quantity"] == "factor", ["mean", "median"]].to_numpy(float)).all()


def beyond(made: dict[str, np.ndarray]) -> dict[Any, float]:
    return beyond_seeds(rescaling_rows(made), between_seed_rows(made)).to_dict("records")[0]


@pytest.fixture(scope="module")
def decoders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic run of both decoders, with the paired differences of its scores."""
    folder = tmp_path_factory.mktemp("decoders") / "run"
    write_run(folder, regions=tuple(f"R{i}" for i in range(6)), models=(WITH, WITHOUT), seeds=2)
    return folder


def write_rho_r(decoders: Path, folder: Path, made: dict[str, np.ndarray]) -> Path:
    """The same with these spectra."""
    shutil.copytree(decoders, folder)
    np.savez(folder / "soc_spectra.npz", **made)  # pyright: ignore[reportArgumentType]
    summaries.write(folder, [one for one in SUMMARIES if one is not summaries.model_differences])
    return folder


def opened(decoders: Path, folder: Path, made: dict[str, np.ndarray]) -> str:
    """Opening of the report of a synthetic run with these spectra."""
    run, document = read_run(write_rho_r(decoders, folder, made)), Document("t")
    document.add(*rho_r._opening(run, run.table("rescaling")))
    return document.markdown()


def test_decoders_that_differ_like_seeds_tell_nothing_about_rho_r(decoders: Path, tmp_path: Path) -> None:
    alike, apart = scattered(0.0), scattered(0.2)
    assert beyond(alike)["low"] < 0.0 < beyond(apart)["low"]
    # By hand: RMSE between level spectra is the difference of their levels.
    gaps = []
    for region in range(6):
        levels = apart["f_soc"][:, 0].reshape(2, 6, 2)[:, region]
        gaps.append(np.abs(levels[1] - levels[0]).mean() - np.abs(levels[:, 1] - levels[:, 0]).mean())
    assert beyond(apart)["mean"] == pytest.approx(np.mean(gaps))
    assert "this run does not tell anything about rho r" in opened(decoders, tmp_path / "alike", alike)
    text = opened(decoders, tmp_path / "apart", apart)
    assert "differs more between the decoders than between seeds of one decoder" in text
    assert "does not tell anything" not in text
    names = ("study", "model", "region", "seed", "f_soc", "soc_rho_r")
    single = apart | {name: apart[name][apart["seed"] == 0] for name in names}
    assert beyond(single)["n"] == 0
    assert "With one seed this run does not tell whether" in opened(decoders, tmp_path / "single", single)


def test_the_report_shows_the_numbers_of_the_run(decoders: Path, tmp_path: Path) -> None:
    folder = write_rho_r(decoders, tmp_path / "run", scattered(0.2))
    rho_r.write_report(folder)
    text, found = (folder / "report.md").read_text(encoding="utf-8"), pd.read_csv(folder / "rescaling.csv")
    factor, error = found["factor"], found["unscaled"]
    assert f"| Best single factor a: without = a with | {factor.mean():.3f} ± {factor.std():.3f} |" in text
    assert f"| RMSE between the two spectra | {error.mean():.3f} ± {error.std():.3f} |" in text
    scored = read_results(folder / "results.csv", OWN).query(
        "metric == 'rmse' and scale == 'log10' and split == 'test'"
    )
    means = pd.Series(scored.groupby(["model", "region"])["value"].mean()).unstack("model")
    change = means[WITHOUT] - means[WITH]
    low, high = stats.ttest_1samp(change, 0.0).confidence_interval(0.95)
    line = next(line for line in text.splitlines() if line.startswith("| RMSE (log10 %), held out |"))
    assert f"| {change.mean():.3f} ({low:.3f} to {high:.3f}) | 6 |".replace("-", "−") in line


def test_a_run_too_short_to_move_says_so(decoders: Path, tmp_path: Path) -> None:
    folder = write_rho_r(decoders, tmp_path / "run", scattered(0.2))
    steps = pd.read_csv(folder / "trials.csv").query(f"model == '{WITH}'")["steps"]
    for lr, parts in ((1e-5, ("f_SOC", "(rho r)_SOC")), (0.004, ("(rho r)_SOC",)), (1.0, ())):
        config = {"config": {"train": {"lr": lr, "batch": 10}}}
        (folder / "config.json").write_text(json.dumps(config))
        found = short_run(read_run(folder))
        reach = lr * np.median(steps)
        assert len(found) == (1 if parts else 0)
        for text in found:
            assert f"is {reach:.2f} (median over trainings)" in text
            assert [part for part in ("f_SOC", "(rho r)_SOC") if part in text] == list(parts)
    assert short_run(dataclasses.replace(read_run(folder), config={})) == ()


def test_movement_is_told_from_the_start_and_the_truth() -> None:
    made = learned(np.full((2, 50), 0.4), np.full((2, 50), 0.7), truth=np.full(50, 0.1))
    table = movement_table(movement_rows(made), {"": ""})
    assert table.rows[0][2:5] == ("0.100 ± 0.000", "0.400 ± 0.000", "0.300 ± 0.000")
    assert table.rows[0][5:] == ("2.500 ± 0.000", "2.600", "0.120")
    assert table.rows[1][5] == "not used"
    assert any("near their start" in note for note in table.notes)


def test_an_interval_is_told_as_far_as_it_is_known() -> None:
    assert interval_text(Interval(3, 0.25, -0.1, 0.6), "rmse") == "0.250 (−0.100 to 0.600)"
    assert interval_text(Interval(1, 0.25, np.nan, np.nan), "rmse") == "0.250"
    assert interval_text(Interval(0, np.nan, np.nan, np.nan), "rmse") == "n/a"


def test_both_decoders_are_required() -> None:
    from jaxsoil.experiments import load

    experiment = load("rho_r", EXPERIMENTS)
    with pytest.raises(UsageError, match="add physics_no_rho to --networks"):
        experiment.study_module().prepare(dataclasses.replace(experiment.smoke, networks=("physics",)))


def test_the_command_leaves_a_report() -> None:
    folder = smoke_run("rho_r")
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert "overall multiplicative factor" in text and "near their start" in text
    assert "95 % interval" in text and "All trials of all models are inductive" in text
    trials = pd.read_csv(folder / "trials.csv")
    parameters = dict(zip(trials["model"].tolist(), trials["parameters"].tolist(), strict=True))
    assert parameters[WITH] - parameters[WITHOUT] == 1
    # The epoch whose parameters are kept, and the steps to it.
    watched = pd.read_csv(folder / "history.csv").set_index("epoch").groupby("trial")["validation_loss"]
    best = json.loads((folder / "config.json").read_text())["config"]["train"]["keep"] == "best"
    expected = watched.idxmin() if best else watched.size()
    assert dict(zip(trials["trial"], trials["kept"], strict=True)) == expected.to_dict()
    assert np.all(trials["steps"] % trials["kept"] == 0) and np.all(trials["steps"] >= trials["kept"])
    for name in ("f_soc_ratio", "difference_by_region", "loss_curves"):
        assert (folder / "figures" / f"{name}.png").stat().st_size > 10_000, name
