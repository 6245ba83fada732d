"""The study end to end at the smallest size: files, no leak, ablations, plan."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from smoke_runs import copied, smoke_run

from jaxsoil.data.properties import PROPERTIES
from jaxsoil.evaluation.results import read_results
from jaxsoil.studies.multifidelity.config import STRATEGY, MultifidelityConfig, smoke
from jaxsoil.studies.multifidelity.tables import METRICS, OWN

ROOT = Path(__file__).resolve().parents[3]
ABLATIONS = ("MIR-ILR-MLP", "NIRtoMIR-ILR-MLP", "NIRtoMIR-FNO-MLP")
SMOKE = ["--exp=multifidelity", "--smoke", "--wandb", "disabled", "--seeds", "1"]
SMOKE += ["--strategies", *MultifidelityConfig().strategies, *ABLATIONS]
TEXTURE = ["clay", "silt", "sand"]


@pytest.fixture(scope="module")
def finished() -> Path:
    return smoke_run("multifidelity")


def test_all_strategies_properties_and_sets_are_scored(finished: Path) -> None:
    table = read_results(finished / "results.csv", OWN)
    assert set(table["model"]) == {*MultifidelityConfig().strategies, *ABLATIONS} == set(STRATEGY)
    assert set(table["property"]) == set(PROPERTIES) and set(table["split"]) == {"validation", "test"}
    assert len(table) == 17 * 9 * 2 * (len(METRICS) + 1) and np.isfinite(table["value"]).all()
    predictions = pd.read_parquet(finished / "predictions.parquet")
    one = predictions[
        (predictions["strategy"] == "MIR-PLSR") & (predictions["set"] == "test") & (predictions["property"] == "ph")
    ]
    error = one["predicted"] - one["observed"]
    mine = table[(table["model"] == "MIR-PLSR") & (table["split"] == "test") & (table["property"] == "ph")]
    found = dict(zip(mine["metric"], mine["value"], strict=True))
    assert found["n"] == len(one) == 40
    np.testing.assert_allclose([found["bias"], found["rmse"]], [error.mean(), np.sqrt((error**2).mean())], rtol=1e-6)


def test_a_folder_of_an_earlier_version_is_refused(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from jaxsoil.cli import main

    folder = copied(finished, tmp_path / "run")
    (folder / "results.csv").rename(folder / "scores.csv")
    assert main(ROOT / "experiments", [*SMOKE, "--workdir", str(folder), "--resume"]) == 2
    printed = capsys.readouterr().err
    assert "scores.csv" in printed and "Run again with --overwrite" in printed


def test_a_restored_conversion_is_the_one_that_was_trained(finished: Path) -> None:
    from jaxsoil.runs.pieces import Pieces
    from jaxsoil.studies.multifidelity import stages
    from jaxsoil.studies.multifidelity.run import prepare

    piece = Pieces(finished / "parts").read("seed0-stage2")
    config = smoke(MultifidelityConfig(seeds=1))
    replicate = prepare(config).each[0]
    made = stages.restored_stage2(config, replicate, piece)
    observed = np.load(finished / "converted.npz")["converted"]
    np.testing.assert_array_equal(made.convert(replicate.sets.nir["test"]), observed)
    assert piece.tables["convergence"]["epochs"].tolist() == [6]
    history = piece.tables["history"].groupby("label").count()
    assert history.loc["nir encoder", ["loss", "mir", "nir", "alpha"]].tolist() == [6] * 4
    assert history.loc["spread", "loss"] > 0


def test_the_run_folder_has_what_the_report_reads(finished: Path) -> None:
    from jaxsoil.studies.multifidelity.report.files import FILES, read_run

    run = read_run(finished)
    assert set(run.tables) == set(FILES.csv) - {"task_differences", "held_out_parts", "reference"}
    latent = run.arrays["latent"]
    assert latent["test_nir"].shape == latent["test_mir"].shape == (40, 32) and latent["kl"].shape == (32,)
    assert run.arrays["converted"]["sd"].shape == run.arrays["converted"]["observed"].shape == (40, 101)
    content = json.loads((finished / "config.json").read_text())
    assert "pretrain.beta" in {row[0] for row in content["ours"] if row[2] == "not published"}
    assert any(row[0] == "pretrain_scans" and row[2] == 334_665 for row in content["differs_from_paper"])
    data = json.loads((finished / "data.json").read_text())
    assert data["counts"]["test"] == 40 and data["properties"]["ph"]["test"]["n"] == 40
    assert (finished / "report.html").stat().st_size > 0
    assert not (finished / "checkpoints" / "seed0-stage1").exists()


def test_validation_pairs_are_judged_and_never_trained_on(finished: Path) -> None:
    predictions = pd.read_parquet(finished / "predictions.parquet")
    judged = set(predictions.loc[predictions["set"] == "validation", "id"])
    distances = pd.read_csv(finished / "distances.csv", dtype={"id": str})
    trained = set(distances.loc[distances["set"] == "train", "id"])
    assert judged and not judged & trained
    roles = json.loads((finished / "data.json").read_text())["roles"][0]
    assert roles["pairs_valid"] == len(judged)
    # Two scans of each sample, less those of the validation pairs.
    assert roles["scans"] == 2 * (160 - len(judged))
    assert roles["labelled"] + roles["labelled_watch"] == 130 - len(judged)


def test_texture_sums_to_100_with_ilr_alone(finished: Path) -> None:
    predictions = pd.read_parquet(finished / "predictions.parquet")
    wide = predictions[predictions["property"].isin(TEXTURE)].pivot_table(
        index=["strategy", "set", "id"], columns="property", values="predicted"
    )
    total = wide[TEXTURE].sum(axis=1)
    for strategy in ("MIR-ILR-MLP", "NIRtoMIR-ILR-MLP"):
        assert (total.loc[strategy] == 100.0).all()
    assert not (total.loc["MIR-MLP"] == 100.0).all()


def test_every_training_says_whether_it_converged(finished: Path) -> None:
    table = pd.read_csv(finished / "convergence.csv")
    labels = set(table["label"])
    assert {"vae", "nir encoder", "FNO", "MIR-MLP/multi", "MIR-ILR-MLP/multi", "NIR-MLP/multi"} <= labels
    assert table["alive"].to_numpy(bool).all() and (table["epochs"].to_numpy() >= 1).all()


@pytest.mark.parametrize("name", ["ilr", "fno"])
def test_the_ablations_are_the_same_study_with_fewer_strategies(name: str) -> None:
    from jaxsoil.experiments import load

    experiment = load(name, ROOT / "experiments")
    assert experiment.study == load("multifidelity", ROOT / "experiments").study
    for config in (experiment.config, experiment.smoke, experiment.paper):
        assert {"MIR-MLP", "NIRtoMIR-MLP"} < set(config.strategies) <= {"MIR-MLP", "NIRtoMIR-MLP", *ABLATIONS}
        assert config.properties.tasks == ("multi",)
    assert experiment.paper.twin.samples == 83_971


def test_the_plan_counts_and_runs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from jaxsoil.cli import main
    from jaxsoil.training import cost, floors

    monkeypatch.setattr(cost, "rates", lambda precision: floors.Rates(1e9, 1e6, 8, precision))
    folder = tmp_path / "run"
    few = ["--strategies", "NIR-MLP", "NIRtoMIR-SSL-MLP"]  # each network is compiled to be timed
    assert main(ROOT / "experiments", [*SMOKE[:6], *few, "--plan", "--workdir", str(folder)]) == 0
    printed = capsys.readouterr().out
    for word in ("stage 1", "stage 2", "MIR-SSL-MLP multi", "NIR-MLP multi", "TFLOP", "320 scans of 160 samples"):
        assert word in printed
    assert not folder.exists()


def test_unknown_data_are_refused_with_the_nearest_name(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from jaxsoil.cli import main

    arguments = [*SMOKE, "--workdir", str(tmp_path / "run")]
    assert main(ROOT / "experiments", [*arguments, "--data", "infrared_twn"]) == 2
    assert "infrared_twin" in capsys.readouterr().err
