"""What the intervals of six rows cover, which values are suspect, and depth classes, against numbers by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest

from jaxsoil.evaluation.applicability import Judged
from jaxsoil.studies.hybrid.cross_fit import CrossFit
from jaxsoil.studies.hybrid.fitting import ModelPredictions
from jaxsoil.studies.hybrid.intervals import LEVELS, OUT_OF_FOLD, Calibrated, coverage_table, suspect_values
from jaxsoil.studies.hybrid.results import depth_table

GAPS = np.array([1.0, 2.0, 4.0, -1.5, 3.0, -5.0])
"""Measured minus predicted; three rows of each of two folds."""


def six_rows(gaps: np.ndarray) -> tuple[Any, dict[str, Calibrated]]:
    """Data without laboratories, held-out rows and truth, and the calibrated property; predictions are 10."""
    limits = SimpleNamespace(bounds=(0.0, 20.0), from_scale=lambda values: values, to_scale=lambda values: values)
    data = SimpleNamespace(
        ranges={"clay": limits}, sample=np.array(["a", "a", "b", "c", "d", "e"]), observed=lambda target: 10.0 + gaps,
        truth=lambda target: None, library=SimpleNamespace(ids=np.array(list("pqrstu"))),
        laboratory=np.array(["L"] * 6),
    )  # fmt: skip
    config = SimpleNamespace(interval="cv", seed=3)
    nothing = np.zeros(6, bool)
    cross_fit = Mock(CrossFit, data=data, config=config, laboratories=(), tested=lambda held, target: nothing)
    fold, both = np.array([0, 0, 0, 1, 1, 1]), np.full((2, 6), 10.0)
    found = Calibrated(both, np.ones((2, 6)), np.arange(6), fold, 10.0 + gaps, np.abs(gaps))
    return cross_fit, {"clay": found}


def test_coverage_of_six_rows_is_that_by_hand() -> None:
    cross_fit, calibrated = six_rows(GAPS)
    judged: Any = {"clay": Mock(Judged, outside=np.zeros(6, bool))}
    table: Any = coverage_table(cross_fit, Mock(ModelPredictions), calibrated, judged).set_index("nominal")
    assert set(table["kind"]) == {OUT_OF_FOLD} and table.index.tolist() == list(LEVELS) and set(table["seed"]) == {3}
    assert set(table["n"]) == {6} and set(table["groups"]) == {5}
    # The half width is the score of rank ceil(4 level) of the other fold's three: 3 and 2, 5 and 4, then unbounded.
    assert table["coverage"].tolist() == pytest.approx([3 / 6, 5 / 6, 5 / 6, 1.0, 1.0, 1.0])
    assert table["median_width"].tolist()[:3] == [5.0, 9.0, 9.0]
    # Wilson's interval of one half of five samples.
    z = 1.959963985
    half = z * np.sqrt(0.25 / 5 + z**2 / 100) / (1 + z**2 / 5)
    assert table.loc[0.5, ["lowest", "highest"]].tolist() == pytest.approx([0.5 - half, 0.5 + half])


def test_a_score_far_above_the_median_one_is_suspect() -> None:
    # z = 0.6745 score / median: 17.9 x 0.6745 / 2 is 6.04, and 17.7 gives 5.97.
    cross_fit, calibrated = six_rows(np.array([2.0, -2.0, 1.0, 2.0, 17.7, 17.9]))
    found = suspect_values(cross_fit, calibrated)
    assert found[["id", "laboratory", "property"]].to_numpy().tolist() == [["u", "L", "clay"]]
    assert found.loc[0, ["observed", "predicted"]].tolist() == [27.9, 10.0]
    assert found.loc[0, "score"] == pytest.approx(17.9 * 0.6745 / 2.0)
    cross_fit, calibrated = six_rows(GAPS)
    assert suspect_values(cross_fit, calibrated).empty


def test_depth_classes_of_five_values_or_more_have_their_quartiles() -> None:
    values = [1.0, 2.0, 3.0, 4.0, 10.0, 7.0]
    table = pd.DataFrame({"property": "clay", "kind": "measured", "value": values})
    table = pd.concat([table, table.assign(property="sand", value=table["value"] + 1.0)])
    found = depth_table(table, np.array([0.0, 5.0, 9.9, 2.0, 3.0, 10.0]), seed=4)
    named = [["clay", "0-10", 5, 4], ["sand", "0-10", 5, 4]]
    assert found[["property", "depth", "n", "seed"]].to_numpy().tolist() == named
    assert found[["q25", "median", "q75"]].to_numpy().tolist() == [[2.0, 3.0, 4.0], [3.0, 4.0, 5.0]]
    assert depth_table(table, np.array([0.0, 5.0, 9.9, 2.0, 30.0, 10.0]), seed=4).empty
