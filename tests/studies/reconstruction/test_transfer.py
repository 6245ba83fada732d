"""The matrix of transfer: who trains and who is tested, the scores of its cells, refusals, and resuming."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jaxsoil.data.twin.soil.config import TwinConfig
from jaxsoil.data.twin.soil.make import make_twin
from jaxsoil.evaluation import metrics, results
from jaxsoil.runs.errors import DataError, UsageError
from jaxsoil.runs.folder import RunFolder
from jaxsoil.runs.tracking import Silent
from jaxsoil.studies.reconstruction import transfer
from jaxsoil.studies.reconstruction.config import RegionOutConfig
from jaxsoil.studies.reconstruction.report.region_sections import heatmap
from jaxsoil.studies.reconstruction.tables import Tables
from jaxsoil.studies.reconstruction.train import add_baseline
from jaxsoil.training.config import TrainConfig

CONFIG = RegionOutConfig(
    networks=("none",),
    baselines=("plsr",),
    components=5,
    width=8,
    train=TrainConfig(epochs=1, validation_share=0.1),
    transfer_matrix=("plsr", "none"),
    transfer_folds=2,
    transfer_batch=8,
)


@pytest.fixture(scope="module")
def library():
    return make_twin(TwinConfig(n_samples=180, n_regions=3, n_outlying=1, n_bands=12))


def run(config: RegionOutConfig, library: Any, folder: Path) -> transfer.Transfer:
    found = transfer.prepare(config, library)
    assert found is not None
    folder.mkdir(exist_ok=True)
    transfer.runner(config, found)(Tables(RunFolder(folder, "region_out"), library, ()), Silent(), {})
    return found


def test_one_region_trains_and_no_cell_holds_its_own_training_rows(library) -> None:
    found = transfer.prepare(CONFIG, library)
    assert found is not None and not found.skipped and not found.undivided
    regions, blocks = library.group("region"), library.blocks
    assert len(found.splits) == 3 * (1 + 2) and len(found.trials) == 9
    for name in np.unique(regions):
        whole, *folds = [split for split in found.splits if split.held_out == name]
        np.testing.assert_array_equal(whole.train, regions == name)
        np.testing.assert_array_equal(whole.test, regions != name)
        np.testing.assert_array_equal(np.sum([fold.test for fold in folds], axis=0), regions == name)
        for fold in folds:
            assert not set(blocks[fold.train]) & set(blocks[fold.test])
            np.testing.assert_array_equal(fold.train | fold.test, regions == name)
    assert all(trial.validation.any() and not (trial.validation & ~trial.split.train).any() for trial in found.trials)
    assert len({trial.id for trial in found.trials}) == 9


def test_cells_are_the_scores_of_their_predictions(library, tmp_path: Path) -> None:
    """Both kinds of models end to end; a resumed run fits nothing anew and leaves the same bytes."""
    found = run(CONFIG, library, tmp_path / "run")
    cells = pd.read_csv(tmp_path / "run" / "transfer.csv", keep_default_na=False, na_values={"value": [""]})
    assert len(cells) == 2 * 3 * 3 * len(transfer.MEASURES) and np.isfinite(cells["value"]).all()
    trials = pd.read_csv(tmp_path / "run" / "transfer_trials.csv")
    assert len(trials) == 2 * 9 and set(trials[trials["model"] == "none"]["epochs"]) == {1}
    first = (tmp_path / "run" / "transfer.csv").read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jaxsoil.models.plsr.fit_chosen", lambda *_: pytest.fail("fitted again"))
        patch.setattr("jaxsoil.training.group_run.GroupRun._run_chunk", lambda *_: pytest.fail("trained again"))
        run(CONFIG, library, tmp_path / "run")
    assert (tmp_path / "run" / "transfer.csv").read_bytes() == first
    # A cell by hand: PLSR of the first region on the rows of the second.
    whole, regions, soc = found.splits[0], library.group("region"), library.property("soc").values
    rows = regions == np.unique(regions)[1]
    tables = transfer.TransferTables(Tables(RunFolder(tmp_path / "run", "region_out"), library, ()), (whole,))
    add_baseline(tables, "plsr", CONFIG, stage=transfer.STAGE, fit=transfer.fit_plsr)
    predicted = tables.predicted["plsr", 0][whole.held_out][rows]
    mine = cells.loc[(cells["model"] == "plsr") & (cells["trained_on"] == whole.held_out)]
    cell = mine[(mine["tested_on"] == np.unique(regions)[1]) & (mine["metric"] == "ccc")].iloc[0]
    expected = metrics.ccc(*(np.log10(np.maximum(values, results.SOC_FLOOR)) for values in (soc[rows], predicted)))
    assert cell["value"] == pytest.approx(expected, rel=1e-6)
    assert (cell["kind"], cell["trained"], cell["tested"]) == ("between", int(whole.train.sum()), int(rows.sum()))


def test_what_cannot_be_is_refused_and_what_is_too_small_is_named(library) -> None:
    for change, message in (
        ({"transfer_matrix": ("ann",)}, "--transfer-matrix ann: the run has no such model. Add it to --networks"),
        ({"transfer_matrix": ("plsr", "plsr")}, "name each once"),
        ({"transfer_folds": 1}, "--transfer-folds 1: give 2 or more"),
        ({"transfer_rows": 3}, "--transfer-rows 3: give 16 or more"),
        ({"transfer_batch": 0}, "--transfer-batch 0"),
    ):
        with pytest.raises(UsageError, match=message):
            transfer.prepare(dataclasses.replace(CONFIG, **change), library)
    with pytest.raises(DataError, match=r"no region has enough rows to train on alone \(found: 500 rows asked for\)"):
        transfer.prepare(dataclasses.replace(CONFIG, transfer_rows=500), library)
    assert transfer.prepare(dataclasses.replace(CONFIG, transfer_matrix=()), library) is None
    # One region loses most of its rows, and its other rows are of a single pedon.
    regions = library.group("region")
    names = np.unique(regions).tolist()
    kept = regions != names[0]
    kept[np.nonzero(~kept)[0][:20]] = True
    few = transfer.prepare(dataclasses.replace(CONFIG, transfer_matrix=("plsr",)), library.select(kept))
    assert few is not None and few.skipped == {names[0]: "20 rows, where training alone takes 40"}
    assert {split.held_out for split in few.splits} == set(names[1:])
    many = transfer.prepare(dataclasses.replace(CONFIG, transfer_matrix=("plsr",), transfer_folds=50), library)
    assert many is not None and set(many.undivided) == set(names)
    assert all("too few groups for so many folds" in reason for reason in many.undivided.values())


def test_lost_cells_say_why_and_means_are_over_regions_that_have_all_three() -> None:
    keys = {"model": "ann", "scale": "log10", "metric": "ccc"}
    cell = {("A", "A"): 0.8, ("B", "B"): 0.6, ("C", "C"): np.nan, ("A", "B"): 0.2, ("C", "B"): 0.4, ("B", "A"): 0.5}
    cells = pd.DataFrame(
        [
            {**keys, "trained_on": a, "tested_on": b, "value": value, "kind": transfer.WITHIN if a == b else "between"}
            for (a, b), value in cell.items()
        ]
    )
    scores = pd.DataFrame({"region": ["A", "A", "B", "C"], "seed": [0, 1, 0, 0], "value": [0.9, 0.7, 0.5, 0.4]})
    row = transfer.means(cells, scores.assign(**keys, split="test")).iloc[0]
    # A: 0.8, 0.5 and 0.8; B: 0.6, (0.2 + 0.4) / 2 and 0.5; C has no diagonal.
    assert row["regions"] == 2
    assert (row["within"], row["between"], row["others"]) == pytest.approx((0.7, 0.4, 0.65))
    figure = heatmap(cells, ["A", "B", "C"])
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert texts == {".80", ".60", ".20", ".40", ".50"}
