"""Random forests: scikit-learn's on the same seed, whatever the number of threads."""

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor

from jaxsoil.models import forest
from jaxsoil.runs.errors import DataError


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(160, 30))
    y = 0.5 * x[:, 0] + 0.2 * x[:, 1] ** 2 + 0.1 * rng.normal(size=160)
    return x[:110], y[:110], x[110:], y[110:]


def test_predictions_are_scikit_learns_and_do_not_depend_on_threads(rows, monkeypatch):
    x, y, new, truth = rows
    monkeypatch.setattr(forest, "FEW_ROWS", 0)  # otherwise one thread grows so small a forest
    found = forest.fit(x, y, seed=3, n_trees=40, n_jobs=1).predict(new)
    expected = RandomForestRegressor(40, random_state=3).set_params(max_features="sqrt").fit(x, y).predict(new)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(found, forest.fit(x, y, seed=3, n_trees=40).predict(new))
    assert not np.array_equal(found, forest.fit(x, y, seed=4, n_trees=40).predict(new))
    assert np.corrcoef(found, truth)[0, 1] > 0.6


def test_options_reach_the_trees(rows):
    x, y, new, _ = rows
    options = {"max_features": 1 / 3, "min_samples_leaf": 7}
    found = forest.fit(x, y, seed=0, n_trees=5, **options).predict(new)
    expected = RandomForestRegressor(5, random_state=0, **options).fit(x, y).predict(new)
    np.testing.assert_array_equal(found, expected)


def test_bad_input_is_refused(rows):
    x, y, new, _ = rows
    with pytest.raises(DataError, match=r"training rows and training targets differ in length .*110 against 109"):
        forest.fit(x, y[1:], seed=0)
    with pytest.raises(DataError, match=r"training targets are not all finite \(found: 1 of 110\)"):
        forest.fit(x, np.where(np.arange(110) == 3, np.nan, y), seed=0)
    with pytest.raises(DataError, match=r"another number of features than the training rows \(found: 29 against 30\)"):
        forest.fit(x, y, seed=0, n_trees=2).predict(new[:, 1:])


def test_out_of_bag_predictions_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 5)).astype(np.float32), rng.normal(size=60)
    own = forest.fit(x, y, seed=3, n_trees=40, out_of_bag=True)
    settings: Any = {"max_features": "sqrt", "oob_score": True}
    theirs = RandomForestRegressor(40, random_state=3, **settings).fit(x, y)
    assert own.out_of_bag is not None
    np.testing.assert_allclose(own.out_of_bag, theirs.oob_prediction_)
    few = forest.fit(x, y, seed=3, n_trees=1, out_of_bag=True).out_of_bag
    assert few is not None and 10 < np.isnan(few).sum() < 50
    assert forest.fit(x, y, seed=3, n_trees=1).out_of_bag is None
