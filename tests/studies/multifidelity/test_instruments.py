"""Curves between instruments: what is refused, and the models of a finished run judged again."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from smoke_runs import smoke_run

from jaxsoil.evaluation.results import read_results
from jaxsoil.report.document import Document
from jaxsoil.runs.errors import UsageError
from jaxsoil.studies.multifidelity import instruments
from jaxsoil.studies.multifidelity.config import InstrumentConfig, MultifidelityConfig, smoke
from jaxsoil.studies.multifidelity.report.files import read_run
from jaxsoil.studies.multifidelity.report.sections import instruments_section
from jaxsoil.studies.multifidelity.run import prepare
from jaxsoil.studies.multifidelity.tables import OWN


@pytest.mark.parametrize("settings", [{"curves": (0.0, -0.01)}, {"curves": (float("nan"),)}, {"draws": 0}])
def test_impossible_curves_are_refused(settings):
    with pytest.raises(UsageError, match="not negative, and at least one draw"):
        InstrumentConfig(**settings)


def test_without_a_curve_the_models_are_those_of_the_study_on_a_test_set_without_one():
    """The twin's own curve is taken off; what remains is the twin that has none."""
    config = smoke(MultifidelityConfig(seeds=1))
    sets = prepare(config).each[0].sets
    curve = instruments.own_curve(sets)
    assert np.isclose(curve.std(), config.twin.laboratory_curve_sd) and curve.shape == sets.mir["test"].shape[1:]


def test_a_finished_run_has_every_strategy_at_every_size():
    finished: Path = smoke_run("multifidelity")
    table = pd.read_csv(finished / "instruments.csv")
    assert set(table["strategy"]) == {*instruments.JUDGED, instruments.PCA}
    assert table.groupby("sd")["draws"].unique().map(list).to_dict() == {0.0: [1], 0.02: [2]}
    found = pd.read_csv(finished / "instrument_differences.csv")
    wide = table.pivot(index="sd", columns="strategy", values="ccc")
    for row in found.to_dict("records"):
        assert row["mean"] == pytest.approx(wide.loc[row["sd"], row["first"]] - wide.loc[row["sd"], row["second"]])
    assert len(found) == 2 * len(instruments.CONTRASTS)


def test_the_report_prints_means_and_standard_deviations_over_seeds(tmp_path: Path):
    table = pd.DataFrame({"seed": [0, 1], "strategy": "MIR-MLP", "sd": 0.02, "ccc": [0.5, 0.7], "draws": 1})
    document = Document("a run", tmp_path)
    run = dataclasses.replace(read_run(smoke_run("multifidelity")), tables={"instruments": table})
    instruments_section(document, run)
    document.write()
    assert "0.600 ± 0.141" in (tmp_path / "report.md").read_text("utf-8")


def test_networks_and_plsr_are_restored_as_they_were_trained():
    """With the twin's own curve put back, the scores are those of the study."""
    from jaxsoil.runs.pieces import Pieces
    from jaxsoil.studies.multifidelity import stages

    finished = smoke_run("multifidelity")
    config = smoke(MultifidelityConfig(seeds=1))
    replicate = prepare(config).each[0]
    pieces = Pieces(finished / "parts")
    pretrained = stages.restored_stage1(config, replicate, pieces.read("seed0-stage1"))
    models, _ = instruments._models(config.properties, replicate, pretrained, pieces.read("seed0-stage3"))
    table = read_results(finished / "results.csv", OWN)
    table = table[(table["split"] == "test") & (table["metric"] == "ccc")]
    for name in instruments.JUDGED:
        mine = instruments._mean_ccc(replicate.sets.values["test"], models[name](replicate.sets.mir["test"]))
        assert mine == pytest.approx(table.loc[table["model"] == name, "value"].mean(), abs=1e-4), name
