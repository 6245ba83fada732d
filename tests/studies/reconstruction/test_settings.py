"""Models of a grid and ensembles of seeds in the tables of a run, and in its report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from reconstruction_run import write_run

from jaxsoil.data.library import Library, Property
from jaxsoil.data.splits import region_out
from jaxsoil.evaluation import metrics
from jaxsoil.evaluation.results import CONVERGED, NOT_CONVERGED, read_results, write_results
from jaxsoil.models.autoencoder import ModelConfig
from jaxsoil.models.config import Input
from jaxsoil.report.document import Document
from jaxsoil.runs.folder import RunFolder
from jaxsoil.runs.tracking import Silent
from jaxsoil.spectra.container import Spectra
from jaxsoil.studies.reconstruction import summaries, train
from jaxsoil.studies.reconstruction.config import SocLoss
from jaxsoil.studies.reconstruction.report import region_sections
from jaxsoil.studies.reconstruction.report.reading import read_run
from jaxsoil.studies.reconstruction.tables import OWN, Tables, read_main, read_predictions
from jaxsoil.training.config import TrainConfig
from jaxsoil.training.grid import Trial
from jaxsoil.training.group_run import Outcome


def library() -> Library:
    region = np.repeat(["a", "b"], 10)
    spectra = Spectra(np.full((20, 3), 0.5), np.array([400.0, 500.0, 600.0]), "nm", "reflectance")
    soc = Property(np.tile(np.linspace(0.5, 5.0, 10), 2), "%")
    return Library("x", spectra, np.arange(20).astype(str), {"soc": soc}, {"region": region})


def outcome(soc: np.ndarray, epochs: int) -> Outcome:
    """What a training leaves; two epochs have not converged, six have."""
    history = np.full((8, 2), np.nan)
    history[:epochs] = 1.0
    nothing = np.full(soc.size, np.nan)
    alive = bool(np.isfinite(soc).all())
    return Outcome(soc / 100.0, nothing, nothing, nothing, nothing, nothing, np.nan, history, alive)


def fill(folder: Path) -> tuple[Library, dict[str, np.ndarray]]:
    """Tables with two seeds and two settings of an encoder; one seed of region b diverged."""
    own, rng = library(), np.random.default_rng(0)
    splits = region_out(own)
    tables = Tables(RunFolder(folder, "region_out", "disabled"), own, splits)
    folder.mkdir(exist_ok=True)
    made = {}
    settings: tuple[tuple[str, Input, SocLoss], ...] = (
        ("", "snv", "log"),
        ("reflectance-linear", "reflectance", "linear"),
    )
    for variant, what, loss in settings:
        for split in splits:
            for seed in (0, 1):
                soc = tables.soc * 10.0 ** rng.normal(0.0, 0.2, 20)
                if (split.held_out, seed, variant) == ("b", 1, ""):
                    soc = np.full(20, np.nan)
                made[f"{split.held_out}{seed}{variant}"] = soc
                watch = split.train & (np.arange(20) % 10 < 5)
                model = ModelConfig("mlp", "none", 8, input=what)
                trial = Trial("none", model, split, seed, watch, 0, loss=loss, variant=variant)
                epochs = 2 if split.held_out == "b" else 8
                tables.add_network(trial, outcome(soc, epochs), 7, TrainConfig(epochs=8, patience=3))
    tables.add_ensembles()
    tables.write()
    return own, made


def test_ensembles_are_geometric_means_of_the_seeds_that_are_left(tmp_path: Path) -> None:
    own, made = fill(tmp_path / "run")
    trials = pd.read_csv(tmp_path / "run" / "trials.csv", keep_default_na=False).set_index(
        ["model", "region", "variant"]
    )
    found = read_predictions(tmp_path / "run")
    found = found[found["model"] == "none_ensemble"].set_index("region")
    rows = own.group("region") == "a"
    np.testing.assert_allclose(found.loc["a", "predicted"], np.sqrt(made["a0"] * made["a1"])[rows], rtol=1e-6)
    np.testing.assert_allclose(found.loc["b", "predicted"], made["b0"][~rows], rtol=1e-6)
    assert trials.loc[("none_ensemble", "a", ""), "status"] == CONVERGED
    assert trials.loc[("none_ensemble", "b", ""), "status"] == NOT_CONVERGED
    assert trials.loc[("none_ensemble", "a", ""), "parameters"] == 0


def test_the_mean_of_a_log_loss_is_corrected_by_the_rows_that_watched(tmp_path: Path) -> None:
    own, made = fill(tmp_path / "run")
    soc, rows = own.property("soc").values, own.group("region") == "a"
    watched = ~rows & (np.arange(20) % 10 < 5)
    factor = np.mean((soc / made["a0"])[watched])
    frame = read_main(tmp_path / "run").query("model == 'none' and region == 'a' and seed == 0 and split == 'test'")
    by: Any = frame.set_index(["scale", "metric"])["value"]
    assert by[("percent", "rmse")] == pytest.approx(metrics.rmse(soc[rows], factor * made["a0"][rows]), rel=1e-6)
    ccc = metrics.ccc(np.log10(soc[rows]), np.log10(made["a0"][rows]))
    assert by[("log10", "ccc")] == pytest.approx(ccc, rel=1e-6)
    grid = read_results(tmp_path / "run" / "results.csv", OWN)
    assert set(zip(grid["input"], grid["loss"], strict=True)) == {("snv", "log"), ("reflectance", "linear")}
    linear = grid.query("loss == 'linear' and model == 'none' and region == 'a' and seed == 0 and split == 'test'")
    value = linear.query("scale == 'percent' and metric == 'rmse'")["value"].item()
    assert value == pytest.approx(metrics.rmse(soc[rows], made["a0reflectance-linear"][rows]), rel=1e-6)
    assert len(read_main(tmp_path / "run").columns) == len(grid.columns) - 2


def with_grid(folder: Path) -> Path:
    """A run with a second setting of PLSR, 0.1 better in CCC of log10 SOC, and a region of modelled SOC."""
    write_run(folder, regions=("A", "B", "C"), models=("plsr", "none"), data={"soc_is": {"C": "modelled"}})
    frame = read_results(folder / "results.csv", OWN)
    more = frame[frame["model"] == "plsr"].assign(input="reflectance")
    better = (more["metric"] == "ccc") & (more["scale"] == "log10")
    more.loc[better, "value"] += 0.1
    write_results(folder / "results.csv", pd.concat([frame, more]), OWN)
    trials = pd.read_csv(folder / "trials.csv", keep_default_na=False)
    more = trials[trials["model"] == "plsr"].assign(input="reflectance", variant="reflectance-log")
    pd.concat([trials, more]).to_csv(folder / "trials.csv", index=False)
    summaries.write(folder, (summaries.averages,))
    return folder


def test_the_report_shows_the_grid_and_leaves_modelled_soc_out_of_means(tmp_path: Path) -> None:
    run = read_run(with_grid(tmp_path / "run"))
    document = Document("t")
    region_sections.grid_section(document, run)
    text = document.markdown()
    frame = run.results.query("model == 'plsr' and metric == 'ccc' and scale == 'log10' and split == 'test'")
    mean = frame[frame["region"] != "C"]["value"].mean()
    assert "mean over 2 held-out regions" in text
    assert f"| PLSR | SNV of absorbance | – | – | {mean:.2f} |".replace("-", "−") in text
    assert f"| PLSR | reflectance | – | – | {mean + 0.1:.2f} |".replace("-", "−") in text
    (table,) = region_sections.with_modelled_table(run)
    row = next(row for row in table.rows if row[0] == "PLSR")
    assert row[1] == f"{mean:.2f}".replace("-", "−") and row[2] == f"{frame['value'].mean():.2f}".replace("-", "−")
    assert "C was modelled" in " ".join(table.notes)
    assert run.region_label("C") == "C (modelled)" and run.measured == ["A", "B"]
    assert "PLSR: input SNV of absorbance, fitted to log10 SOC" in region_sections.settings_sentence(run)
    assert "PLSR 1.25" in " ".join(region_sections.scale_notes(run))


def test_one_setting_has_no_grid(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run", regions=("A", "B"), models=("plsr",)))
    document = Document("t")
    region_sections.grid_section(document, run)
    assert "Grid" not in document.markdown() and region_sections.with_modelled_table(run) == []


def test_why_a_metric_is_undefined_is_written_for_held_out_rows(tmp_path: Path) -> None:
    fill(tmp_path / "run")  # the second seed diverged with b held out
    found = pd.read_csv(tmp_path / "run" / "undefined.csv", keep_default_na=False)
    mine = found[(found["model"] == "none") & (found["variant"] == "")]
    assert set(zip(mine["region"], mine["seed"], strict=True)) == {("b", 1)}
    assert {"ccc", "r2", "rmse"} <= set(mine["metric"]) and min(map(len, mine["reason"])) > 5


def test_only_rows_that_were_set_aside_give_a_validation_loss_to_compare() -> None:
    split, said = region_out(library())[0], []

    class Kept(Silent):
        def log(self, record: Any) -> None:
            said.append(record)

    for rows in (split.train, np.zeros_like(split.train)):
        trial = Trial("none", ModelConfig("mlp", "none", 8), split, 0, rows, 0)
        train._report("run", "", Kept(), TrainConfig(epochs=2), trial, 0, 2, np.ones((2, 2)))
    assert ["validation_loss" in record for record in said] == [True, False]
