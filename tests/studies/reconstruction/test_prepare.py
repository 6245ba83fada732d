"""What a study takes from its data, refuses, states and plans."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest
from pictures import undrawn

from jaxsoil.data import endmembers
from jaxsoil.data.library import Library
from jaxsoil.data.splits import region_out
from jaxsoil.data.twin.soil.config import TwinConfig
from jaxsoil.models import invariance, plsr
from jaxsoil.runs.errors import DataError, UsageError
from jaxsoil.studies.reconstruction import few_labels
from jaxsoil.studies.reconstruction import prepare as study
from jaxsoil.studies.reconstruction.config import StudyConfig
from jaxsoil.studies.reconstruction.train import shared_data
from jaxsoil.training.config import DeviceConfig, TrainConfig

TINY = StudyConfig(
    networks=("physics",),
    baselines=(),
    components=5,
    width=8,
    twin=TwinConfig(n_samples=60, n_regions=3, n_outlying=1, n_bands=12),
    train=TrainConfig(epochs=1, batch=5),
)
NM = np.arange(400.0, 2400.0, 100.0)


def table(soc: dict[str, list[float]], axis: np.ndarray = NM) -> pd.DataFrame:
    """Soils of some regions, each row a pedon, whose reflectance rises along nm."""
    rng = np.random.default_rng(0)
    nm = axis if axis[-1] < 3000.0 else 1e7 / axis
    rows = [
        [f"{region}{i}", region, f"{region}-{i}", value, *(0.1 + 0.1 * rng.random() + 2e-4 * (nm - 400.0))]
        for region, values in soc.items()
        for i, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=["id", "site", "profile", "oc", *(f"{value:.10g}" for value in axis)])


def manifest(folder: Path, soc: dict[str, list[float]], axis: np.ndarray = NM, unit: str = "nm") -> str:
    table(soc, axis).to_csv(folder / "soils.csv", index=False)
    path = folder / f"soils_{unit}.toml"
    path.write_text(
        f'name = "soils"\ntitle = "x"\ndata = "soils.csv"\nid = "id"\nconfirm = ["quantity", "unit"]\n[axis]\n'
        f'unit = "{unit}"\n[values]\nquantity = "reflectance"\n[labels.soc]\ncolumn = "oc"\nunit = "%"\n'
        '[groups]\npedon = "profile"\nregion = "site"\n',
        encoding="utf-8",
    )
    return str(path)


SOC = {
    "north": [1.0, 2.0, 3.0, 1.5, 2.5, np.nan, 2.2, np.nan],
    "south": [1.0, 2.0, 0.0, 1.5, 2.5, 3.0, 2.2, 1.1],
    "west": [np.nan] * 8,
}


def test_rows_and_regions_without_labels_are_named_in_the_notes(tmp_path: Path) -> None:
    config = dataclasses.replace(TINY, data=manifest(tmp_path, SOC))
    library = study.load_library(config)
    assert len(library) == 13 and (library.property("soc").values > 0).all()
    notes = study.describe(library)["notes"]
    assert "Left out 10 rows without SOC." in notes
    assert "Left out 1 rows whose SOC is not above zero." in notes
    assert "Region west is left out: none of its rows has SOC above zero." in notes
    assert not any("north" in note or "south" in note for note in notes)
    with pytest.raises(DataError, match="no row has SOC above zero"):
        study.load_library(dataclasses.replace(TINY, data=manifest(tmp_path, {"west": [np.nan, 0.0]})))


def test_few_labels_learns_from_the_spectra_without_labels(tmp_path: Path) -> None:
    config = few_labels.FewLabelsConfig(
        data=manifest(tmp_path, SOC),
        networks=("ann",),
        components=5,
        width=8,
        pedons_per_region=3,
        adaptation_pedons=2,
        train=TrainConfig(epochs=2, batch=3, unlabelled_batch=3, wrap=True),
        finetune=TrainConfig(epochs=2, batch=2, unlabelled_batch=2, wrap=True, batch_norm="stored"),
    )
    prepared = few_labels.prepare(config)
    library = prepared.library
    missing = np.isnan(library.property("soc").values)
    assert len(library) == 23 and missing.sum() == 10
    assert any("Region west is not held out: 0 pedons with SOC" in note for note in prepared.notes)
    assert {trial.split.held_out for trial in prepared.trials} == {"north", "south"}
    west = library.group("region") == "west"
    for first, second in zip(prepared.trials, prepared.after, strict=True):
        for trial in (first, second):
            split = trial.split
            assert not (missing & (split.train | split.test | trial.validation)).any() and not missing[trial.example]
        inside = library.group("region") == first.split.held_out
        assert first.split.unlabelled[missing & ~inside].all() and first.split.unlabelled[west].all()
        assert second.split.unlabelled[missing & inside].all()
        pooled = few_labels.both_labels(first.split, second.split, library)
        assert not (missing & (pooled.train | pooled.test)).any()
    data, _ = shared_data(library)
    assert np.isfinite(data.arrays["soc"]).all() and (data.arrays["soc"][missing] == 0).all()
    # What moves a spectrum comes of itself alone, and of its own bands.
    data, _ = shared_data(library, perturbed=True)
    rows = np.array([3, 1])
    alone = invariance.unit_differences(-np.log10(library.spectra.values[rows]), library.spectra.axis)
    np.testing.assert_allclose(data.arrays["moved"][rows], alone, atol=1e-6)


def test_a_run_with_unlabelled_rows_leaves_finite_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from jaxsoil.cli import main

    monkeypatch.delenv("JAXSOIL_DATA", raising=False)
    data, folder = manifest(tmp_path, SOC), tmp_path / "run"
    options = "--smoke --wandb disabled --networks physics --baselines plsr --pedons-per-region 5 --adaptation-pedons 2"
    options += " --train.epochs 2 --train.batch 4 --train.unlabelled-batch 4 --train.validation-share 0"
    options += " --train.perturbed 1"
    options += " --finetune.epochs 2 --finetune.batch 4 --finetune.unlabelled-batch 4"
    experiments = Path(__file__).resolve().parents[3] / "experiments"
    arguments = ["--exp=few_labels", *options.split(), "--data", data, "--workdir", str(folder)]
    # PLSR takes 15 components; the smallest stage has five labelled pedons of one region.
    fit = plsr.fit
    monkeypatch.setattr("jaxsoil.models.plsr.fit", lambda spectra, target, **_: fit(spectra, target, 1))
    with undrawn():
        assert main(experiments, arguments) == 0
    results = pd.read_csv(folder / "results.csv")
    rmse = results[results["metric"].isin(["rmse", "mrmse"])]
    assert len(rmse) and np.isfinite(rmse["value"]).all()
    assert np.isfinite(pd.read_parquet(folder / "predictions.parquet")[["observed", "predicted"]].to_numpy()).all()
    content = json.loads((folder / "data.json").read_text())
    assert content["minerals"]["source"] == "fitted parametric minerals of the package"
    assert json.loads((folder / "env.json").read_text())["precision"] == "highest"
    listed = pd.read_csv(folder / "endmembers.csv", keep_default_na=False)
    assert len(listed) == content["minerals"]["number"] and set(listed["left_out"]) == {""}


def test_minerals_and_spectra_in_wavenumbers_share_the_axis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAXSOIL_DATA", raising=False)
    wavenumbers = np.arange(4200.0, 20000.0, 400.0)
    soc = {"north": [1.0, 2.0, 3.0], "south": [1.0, 2.0, 3.0]}
    config = dataclasses.replace(TINY, data=manifest(tmp_path, soc, wavenumbers, "cm-1"))
    prepared = study.prepare_study(dataclasses.replace(config, train=TrainConfig(batch=2)), region_out)
    library, minerals = prepared.library, prepared.minerals
    assert minerals is not None and library.spectra.unit == "nm"
    np.testing.assert_allclose(library.spectra.axis, np.sort(1e7 / wavenumbers))
    np.testing.assert_allclose(minerals.spectra.axis, library.spectra.axis)
    data, _ = shared_data(library, minerals)
    assert (
        np.diff(data.arrays["spectra"], axis=1) > 0
    ).all()  # they rise along nm, so bands are in the minerals' order
    expected = endmembers.twin_minerals(np.sort(1e7 / wavenumbers)).spectra.values
    np.testing.assert_allclose(data.shared.spectra, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"components": 1}, "--components 1: give 2 or more"),
        ({"seeds": 0}, "--seeds 0"),
        ({"width": 0}, "--width 0"),
        ({"networks": ()}, "--networks: name one or more of none, ann"),
        ({"networks": ("ann", "ann")}, "name each once"),
        ({"input": ("snv", "snv")}, "--input snv snv: name each once"),
        ({"baseline_loss": ("log", "log")}, "--baseline-loss log log: name each once"),
        ({"input": ()}, "--input: name one or more of reflectance, absorbance, snv"),
        ({"loss": ("linear", "log")}, "--loss linear log: this study takes one"),
        ({"devices": DeviceConfig(memory_gb=-1.0)}, "--devices.memory-gb -1"),
        *[
            ({"train": TrainConfig(**{name: value})}, f"--train.{name.replace('_', '-')} ")
            for name, value in [
                ("epochs", 0), ("batch", 0), ("unlabelled_batch", -1), ("lr", 0.0), ("lr", float("nan")), ("b1", 1.0),
                ("b2", -0.1), ("decoder_lr", 0.0), ("mineral_kl", -1.0), ("sigma_soc", 0.0), ("patience", -1),
                ("sigma_reflectance", -1.0), ("validation_share", 0.6), ("tolerance", 0.0), ("checkpoint_every", 0),
                ("seed", -1),
            ]
        ],
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused_before_data_are_read(change: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        study.prepare_study(dataclasses.replace(TINY, data="nowhere.toml", **change), region_out)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("field", "name", "near"),
    [("networks", "anm", "ann"), ("baselines", "plsrr", "plsr"), ("input", "snw", "snv"), ("loss", "lin", "linear")],
)
def test_unknown_models_are_refused_with_the_nearest_name(field: str, name: str, near: str) -> None:
    config = dataclasses.replace(TINY)
    object.__setattr__(config, field, (name,))  # as a caller whose types are not checked
    with pytest.raises(UsageError, match=f"nothing is called '{name}'. Did you mean '{near}'"):
        study.check(config)


def test_few_labels_refuses_what_cannot_be() -> None:
    config = few_labels.FewLabelsConfig(data="nowhere.toml")
    with pytest.raises(UsageError, match=r"--finetune.batch 0"):
        few_labels.prepare(dataclasses.replace(config, finetune=TrainConfig(batch=0)))
    with pytest.raises(UsageError, match="--pedons-per-region 0: give 1 or more"):
        few_labels.prepare(dataclasses.replace(config, pedons_per_region=0))
    with pytest.raises(UsageError, match=r"--finetune.seed is not used"):
        few_labels.prepare(dataclasses.replace(config, finetune=TrainConfig(seed=3)))


def test_the_seed_of_the_training_reaches_fine_tuning() -> None:
    config = few_labels.FewLabelsConfig(train=TrainConfig(seed=7))
    assert few_labels.finetuning(config) == dataclasses.replace(config.finetune, seed=7)


def toy() -> Library:
    """Soils whose truth is not known."""
    from jaxsoil.data.twin.soil.make import make_twin

    return dataclasses.replace(make_twin(TINY.twin), truth=None)


def test_broken_measured_minerals_are_not_replaced_silently(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAXSOIL_DATA", raising=False)
    library = toy()
    fitted = study.decoder_minerals(TINY, library)
    assert fitted is not None and fitted.source.startswith("fitted")
    monkeypatch.setenv("JAXSOIL_DATA", str(tmp_path))
    absent = study.decoder_minerals(TINY, library)
    assert absent is not None and absent.source.startswith("fitted")
    (tmp_path / endmembers.USGS_FOLDER).mkdir()
    with pytest.raises(DataError, match="the measured minerals are not there"):
        study.decoder_minerals(TINY, library)
    monkeypatch.setenv("JAXSOIL_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="names no folder"):
        study.decoder_minerals(TINY, library)
    shutil.rmtree(tmp_path / endmembers.USGS_FOLDER)
    assert study.decoder_minerals(dataclasses.replace(TINY, networks=("ann",)), library) is None
    wave = np.linspace(2600.0, 13000.0, library.spectra.n_bands)
    mid_infrared = library.with_spectra(library.spectra.replace(axis=wave, unit="nm"))
    with pytest.raises(DataError, match=r"no minerals in the mid-infrared.*--networks none ann"):
        study.decoder_minerals(TINY, mid_infrared)


def test_every_difference_from_the_paper_is_listed() -> None:
    prepared = study.prepare_study(dataclasses.replace(TINY, encoder="cnn", start="paper"), region_out)
    assert prepared.minerals is not None
    config = dataclasses.replace(TINY, encoder="cnn", start="direct")
    rows = study.differences(config, prepared.library, minerals=prepared.minerals)
    assert ["encoder", "cnn", "mlp"] in rows and ["start", "direct", "paper"] in rows
    assert ["endmembers of the mixing decoder", len(prepared.minerals) + 1, 94] in rows
    assert [row[2] for row in rows if row[0] == "minerals of the mixing decoder"] == ["93 (USGS)"]
    assert ["initialisation", "lecun", "pytorch"] in rows
    without = study.differences(config, prepared.library)
    assert not any(row[0].endswith("of the mixing decoder") or row[0].startswith("encoder's first") for row in without)
    two = study.differences(dataclasses.replace(config, networks=("none", "physics")), prepared.library)
    assert any(row[0].startswith("encoder's first weights") and row[1].startswith("shared") for row in two)


def test_the_plan_counts_operations_and_the_memory_that_decides_the_chunk() -> None:
    from jaxsoil.studies.reconstruction.objectives import make_loss
    from jaxsoil.training.cost import BY_FORMULA, BY_XLA, estimate
    from jaxsoil.training.grid import make_groups, steps_per_epoch

    prepared = study.prepare_study(dataclasses.replace(TINY, width=64, networks=("none", "physics")), region_out)
    data, count = shared_data(prepared.library, prepared.minerals)
    devices = DeviceConfig(chunk=2)
    for group in make_groups(prepared.trials, TINY.train, devices, 5, 12, count):
        cost = estimate(group, data, TINY.train, devices, make_loss)
        steps = sum(steps_per_epoch(trial, TINY.train) for trial in group.trials)
        formula = 6.0 * group.parameters * TINY.train.batch * steps
        assert cost.counted == BY_XLA
        # Dense layers: the formula, and besides the optimiser, BatchNorm and (physics) the mixing product.
        assert formula < cost.operations < 6.0 * formula
        assert cost.chunk_bytes == 2 / max(1, len(jax.devices())) * group.trial_bytes
    replicas = dataclasses.replace(devices, method="pmap")
    (group, _) = make_groups(prepared.trials, TINY.train, replicas, 5, 12, count)
    assert estimate(group, data, TINY.train, replicas, make_loss).counted == BY_FORMULA


def test_a_grid_is_trials_of_one_key_and_start_with_files_of_their_own() -> None:
    from jaxsoil.training.grid import make_groups

    config = dataclasses.replace(TINY, networks=("none",), input=("snv", "reflectance"), loss=("log", "linear"))
    trials = study.prepare_study(config, region_out, grid=True).trials
    first = [trial for trial in trials if trial.split.name == trials[0].split.name]
    settings = [(trial.model.input, trial.loss, trial.variant) for trial in first]
    assert settings == [
        ("snv", "log", ""), ("snv", "linear", "snv-linear"), ("reflectance", "log", "reflectance-log"),
        ("reflectance", "linear", "reflectance-linear"),
    ]  # fmt: skip
    assert len({trial.id for trial in first}) == 1 and all((t.validation == first[0].validation).all() for t in first)
    labels = [group.label for group in make_groups(trials, TINY.train, DeviceConfig(), 5, 12)]
    assert labels == ["none", "none-snv-linear", "none-reflectance-log", "none-reflectance-linear"]


def test_an_input_that_the_spectra_cannot_be_is_refused() -> None:
    library = toy()
    dark = library.spectra.values.copy()
    dark[3, 2] = 0.0
    library = library.with_spectra(library.spectra.replace(values=dark))
    study.require_inputs(dataclasses.replace(TINY, baselines=(), networks=("ann",)), library)
    for change in ({"input": ("absorbance",)}, {"baselines": ("plsr",)}):
        config = dataclasses.replace(TINY, **{"baselines": (), "networks": ("ann",), **change})
        with pytest.raises(DataError, match=r"Or choose another --input and --baseline-input than (absorbance|snv)"):
            study.require_inputs(config, library)
