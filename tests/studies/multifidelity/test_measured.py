"""Measured pairs end to end, on some measured soils: parts held out in two ways, models for others' files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from command import run_here
from small_pairs import write_small_pairs

from jaxsoil.bundle.bundle import Bundle
from jaxsoil.bundle.predict import predict
from jaxsoil.data.readers import instruments
from jaxsoil.evaluation import metrics
from jaxsoil.runs.errors import UsageError
from jaxsoil.studies.multifidelity.config import MultifidelityConfig
from jaxsoil.studies.multifidelity.measured import held_out_scores
from jaxsoil.studies.multifidelity.run import prepare

MODELS = ("MIR-PLSR", "NIR-PLSR")


@pytest.fixture(scope="module")
def finished(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    data = write_small_pairs(folder, data_root)
    words = ["--exp", "multifidelity", "--smoke", "--data", str(data), "--wandb", "disabled", "--strategies", *MODELS]
    assert run_here(*words, "--workdir", str(folder / "run")) == 0
    return folder / "run"


def test_each_sample_is_judged_once_in_each_way(finished: Path) -> None:
    predictions = pd.read_parquet(finished / "predictions.parquet")
    clay = predictions[(predictions["property"] == "clay") & (predictions["strategy"] == "MIR-PLSR")]
    for split in ("test", "random"):
        ids = clay[clay["set"] == split]["id"]
        assert ids.is_unique and set(ids) == set(clay[clay["set"] == "fitted"]["id"])
    assert set(clay[clay["set"] == "test"]["seed"]) == {0, 1} and set(clay[clay["set"] == "random"]["seed"]) == {2, 3}
    scores = pd.read_csv(finished / "held_out_parts.csv").set_index(["split", "strategy", "property"])
    mine = clay[clay["set"] == "test"]
    expected = metrics.summary(mine["observed"], mine["predicted"])
    assert scores.loc[("groups", "MIR-PLSR", "clay"), "ccc"] == pytest.approx(expected["ccc"], rel=1e-6)
    assert set(scores.index.get_level_values("split")) == {"groups", "random"}
    reference: Any = pd.read_csv(finished / "reference.csv")
    assert len(reference) == 2 * 2 * 2 and reference["n"].max() == clay["id"].nunique() + 5
    text = (finished / "report.md").read_text("utf-8")
    assert "one scan of one aliquot" in text and "EOC (g/kg)" in text and "10-fold PLSR, NIR" in text
    assert (finished / "figures" / "held_out_parts.png").exists()


def test_printed_values_stand_in_the_unit_of_the_run(finished: Path) -> None:
    text = (finished / "report.md").read_text("utf-8")
    # Appendix B: EOC, MIR-PLSR, RMSE 0.53 and ME 0.32 in %.
    row = next(line for line in text.splitlines() if line.startswith("| EOC (g/kg) | MIR-PLSR") and "5.30" in line)
    assert "3.20" in row


@pytest.mark.parametrize("view", ["mir", "nir"])
def test_the_bundles_predict_instrument_files_as_the_study_did(finished: Path, data_root: Path, view: str) -> None:
    pytest.importorskip("brukeropus")
    bundle = Bundle.load(finished / "bundle" / view)
    written = pd.read_parquet(finished / "predictions.parquet")
    files = sorted((data_root / "woodwell604" / "opus").glob("*.0"))
    assert len(files) == 8 and set(bundle.models) == {name for name in MODELS if name.startswith(view.upper())}
    for model in bundle.models:
        rows = written[(written["set"] == "fitted") & (written["strategy"] == model)]
        theirs = rows.set_index(["id", "property"])["predicted"]
        for file in files:
            found = predict(bundle, instruments.read(file).spectra, model=model).set_index("property")["value"]
            expected = theirs.loc[file.name.split("_")[0]]
            # The table has four digits of a band's position, which the file has in full.
            np.testing.assert_allclose(found.reindex(expected.index), expected, rtol=2e-2, atol=0.1)


def test_intervals_come_from_parts_that_were_held_out(finished: Path) -> None:
    predictions = pd.read_parquet(finished / "predictions.parquet")
    mine = predictions[(predictions["set"] == "test") & (predictions["strategy"] == "NIR-PLSR")]
    mine = mine[mine["property"] == "clay"]
    calibration = Bundle.load(finished / "bundle" / "nir").model("NIR-PLSR").calibrations["clay"]
    residuals = np.sort(np.abs(mine["predicted"] - mine["observed"]))
    np.testing.assert_allclose(np.sort(calibration.residuals), residuals, rtol=1e-4)


def test_more_parts_than_there_are_are_refused(data_root: Path, tmp_path: Path) -> None:
    path = str(write_small_pairs(tmp_path, data_root))
    with pytest.raises(UsageError, match=r"--seeds 3.*2 parts in each of groups, random"):
        prepare(MultifidelityConfig(data=path, seeds=3))


def test_scores_over_all_parts_are_not_means_of_parts() -> None:
    rows = {"seed": [0, 0, 1, 1], "id": list("abcd"), "observed": [0.0, 1.0, 10.0, 11.0]}
    table = pd.DataFrame(rows).assign(strategy="MIR-PLSR", task="-", set="test", property="clay")
    table["predicted"] = [1.0, 0.0, 11.0, 10.0]
    (row,) = held_out_scores(table, {"test": "groups"}).to_dict("records")
    # Wrong within each part, and right between them: 1 - 4/101.
    assert row["n"] == 4 and row["r2"] == pytest.approx(1 - 4 / 101) and np.isnan(row["ccc_log"])
