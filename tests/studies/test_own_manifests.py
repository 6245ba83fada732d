"""Whole runs on one's own data, by the manifests that docs/own_data.md prints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from command import run_here
from own_tables import write_laboratories, write_mid_alone, write_profiles

from jaxsoil.runs.files import read_json

LABORATORIES = ("--train.epochs", "3", "--members", "1", "--folds", "2", "--compare", "none", "--step", "80")
LABORATORIES += ("--no-clipped", "--network.features", "4", "--network.width", "8", "--laboratory-members", "0")
LABORATORIES += ("--plsr-components", "4")
LAYERS = ("--models", "mean", "rf", "cnn", "--map-model", "rf", "--folds", "2", "--window", "3", "--min-sites", "20")
LAYERS += ("--splits", "random", "--train.epochs", "2", "--map-side", "16", "--trees", "5")
MID = ("--strategies", "MIR-PLSR", "NIR-PLSR", "--seeds", "1", "--curves.labels", "--instruments.curves")


def run(experiment: str, manifest: Path, folder: Path, options: tuple[str, ...]) -> Path:
    """The folder of a finished smoke run with a report."""
    words = ["--exp", experiment, "--smoke", "--data", str(manifest), "--wandb", "disabled", *options]
    assert run_here(*words, "--workdir", str(folder)) == 0
    assert (folder / "report.html").stat().st_size > 10_000
    return folder


def test_laboratories_become_one_table(tmp_path: Path) -> None:
    path = write_laboratories(tmp_path)
    folder = run("hybrid_dataset", path, tmp_path / "run", LABORATORIES)
    table = pd.read_parquet(folder / "hybrid.parquet").set_index(["property", "id"])
    clay = table.loc["clay"]
    assert len(clay) == len(table.loc["soc"]) == 100
    # North never measured clay: all of it is predicted, within what clay can be, with an interval.
    north = clay[clay["laboratory"] == "north"]
    assert len(north) == 50 and (north["kind"] == "predicted").all() and north["value"].between(0, 100).all()
    assert ((north["low"] <= north["value"]) & (north["value"] <= north["high"])).all()
    south = pd.read_csv(tmp_path / "south.csv").set_index("sample")["clay"]
    mine = clay[clay["laboratory"] == "south"]
    assert (mine["kind"] == "measured").all()
    np.testing.assert_allclose(mine["value"], [south[name.split("/")[-1]] for name in mine.index])


def test_profiles_become_maps(tmp_path: Path) -> None:
    folder = run("layer_transfer", write_profiles(tmp_path), tmp_path / "run", LAYERS)
    results = pd.read_csv(folder / "results.csv")
    errors = results[(results["metric"] == "rmse") & results["model"].isin(["mean", "rf", "cnn"])]
    assert np.isfinite(errors["value"]).all() and set(errors["model"]) == {"mean", "rf", "cnn"}
    stated = read_json(folder / "data.json")
    assert stated["licence"] == "CC BY 4.0" and len(list((folder / "maps").glob("*.tif"))) >= 2


def test_mid_infrared_alone_runs_what_needs_no_near_infrared(tmp_path: Path) -> None:
    folder = run("multifidelity", write_mid_alone(tmp_path), tmp_path / "run", MID)
    predictions = pd.read_parquet(folder / "predictions.parquet")
    assert set(predictions["strategy"]) == {"MIR-PLSR"}
    judged = predictions[predictions["set"] == "test"]
    assert len(judged) == 20 and np.corrcoef(judged["observed"], judged["predicted"])[0, 1] > 0.9
    assert (folder / "bundle" / "mir").is_dir() and not (folder / "bundle" / "nir").exists()
    assert "no near-infrared" in (folder / "report.md").read_text("utf-8")
