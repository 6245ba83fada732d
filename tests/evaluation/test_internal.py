"""Repeated cross-validation of PLSR against scikit-learn; groups, transformations and bad input."""

from typing import Any

import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict

from jaxsoil.data.draws import group_folds
from jaxsoil.evaluation import internal, metrics
from jaxsoil.evaluation.internal import COLUMNS, internal_scores
from jaxsoil.runs.errors import DataError


@pytest.fixture(scope="module")
def library():
    rng = np.random.default_rng(5)
    factors = rng.normal(size=(60, 4))
    spectra = factors @ rng.normal(size=(4, 30)) + rng.normal(0.0, 0.05, (60, 30))
    return spectra, factors[:, 0] + 0.5 * factors[:, 1] + rng.normal(0.0, 0.1, 60)


def test_predictions_are_scikit_learns(library, monkeypatch):
    """With one component allowed there is nothing to choose, and the folds can be handed to scikit-learn."""
    spectra, y = library
    seen = []
    monkeypatch.setattr(internal, "group_folds", lambda *a: seen.append(group_folds(*a)) or seen[-1])
    row = internal_scores(spectra, {"tc": y}, folds=5, repetitions=1, max_components=1).iloc[0]
    expected = np.ravel(cross_val_predict(PLSRegression(1), spectra, y, groups=seen[0], cv=LeaveOneGroupOut()))
    assert row["ccc"] == pytest.approx(metrics.ccc(y, expected), abs=1e-9)
    assert row["rpiq"] == pytest.approx(metrics.rpiq(y, expected), abs=1e-9)


def test_components_are_chosen_in_the_training_rows(library):
    spectra, y = library
    found = internal_scores(spectra, {"tc": y}, repetitions=2)
    assert tuple(found.columns) == COLUMNS and len(found) == 2
    components, ccc = (found[name].to_numpy() for name in ("components", "ccc"))
    assert components.min() >= 2.0 and components.max() <= 8.0
    assert ccc.min() > 0.95 and ccc[0] != ccc[1]
    # Noise is not predicted, and no choice made with the test rows in sight makes it look so.
    noise = np.random.default_rng(0).normal(size=(60, 12))
    columns = {str(place): noise[:, place] for place in range(12)}
    assert abs(np.mean(internal_scores(spectra, columns, folds=5, repetitions=1)["ccc"].to_numpy())) < 0.08


def test_equal_rows_of_a_group_do_not_help():
    rng = np.random.default_rng(8)
    twice, y = np.repeat(rng.normal(size=(40, 80)), 3, axis=0), np.repeat(rng.normal(size=40), 3)
    groups = np.repeat(np.arange(40), 3)
    options: dict[str, Any] = {"folds": 5, "repetitions": 1, "max_components": 30}
    assert internal_scores(twice, {"tc": y}, **options)["ccc"].item() > 0.6
    assert internal_scores(twice, {"tc": y}, groups, **options)["ccc"].item() < 0.3


def test_logarithms_missing_values_and_constants(library):
    spectra, y = library
    skewed = np.expm1(np.clip(1.5 + 0.5 * y, 0.0, None))
    partly = skewed.copy()
    partly[:7] = np.nan
    found = internal_scores(
        spectra, {"oc": skewed, "part": partly, "flat": np.ones(60)}, log1p=("oc", "part"), repetitions=1
    ).set_index("property")
    raw = internal_scores(spectra, {"oc": skewed}, repetitions=1)["ccc"].item()
    assert found.loc["oc", "ccc"] > max(0.9, raw)
    assert found["n"].to_dict() == {"oc": 60, "part": 53, "flat": 60}
    assert np.isnan(found.loc["flat", "ccc"])


def test_seeds_repeat(library):
    spectra, y = library
    first, again, other = (internal_scores(spectra, {"tc": y}, repetitions=1, seed=s)["ccc"].item() for s in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize(
    ("spectra", "y", "groups", "options", "message"),
    [
        (np.ones((20, 3)), np.ones(19), None, {}, "spectra, groups and tc differ in length"),
        (np.full((20, 3), np.nan), np.ones(20), None, {}, "not all finite"),
        (np.ones((20, 3)), np.ones(20), np.repeat(np.arange(5), 4), {}, "too few groups for so many folds"),
        (np.ones((20, 3)), np.ones(20), None, {"folds": 1}, "two or more folds"),
    ],
)
def test_wrong_input_is_refused(spectra, y, groups, options, message):
    with pytest.raises(DataError, match=message):
        internal_scores(spectra, {"tc": y}, groups, **options)
