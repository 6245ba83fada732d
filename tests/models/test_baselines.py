"""Baselines against scikit-learn, and that they learn from training rows only."""

import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression

from jaxsoil.models import baselines
from jaxsoil.runs.errors import DataError


@pytest.fixture(scope="module")
def spectra():
    rng = np.random.default_rng(5)
    latent = rng.normal(size=(160, 6))
    shapes = np.cumsum(rng.normal(size=(6, 70)), axis=1)
    x = latent @ shapes + 0.1 * rng.normal(size=(160, 70))
    x = (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)
    y = 0.5 * latent[:, 0] + 0.2 * latent[:, 1] ** 2 + 0.1 * rng.normal(size=160)
    return x[:110], y[:110], x[110:], y[110:]


@pytest.mark.parametrize("n_components", [1, 5, 15])
def test_plsr_agrees_with_scikit_learn(spectra, n_components):
    x, y, new, _ = spectra
    expected = PLSRegression(n_components, scale=True, tol=1e-12, max_iter=5000).fit(x, y).predict(new).ravel()
    ours = baselines.plsr(x, y, new, n_components=n_components)
    assert ours.shape == (50,)
    np.testing.assert_allclose(ours, expected, atol=1e-3)


def test_plsr_scaling_ignores_test_rows(spectra):
    x, y, new, _ = spectra
    alone = baselines.plsr(x, y, new[:1])
    np.testing.assert_allclose(baselines.plsr(x, y, np.concatenate([new, 100 * new]))[:1], alone, rtol=1e-9)


def test_plsr_does_not_touch_its_input(spectra):
    x, y, new, _ = spectra
    before = x.copy(), y.copy(), new.copy()
    baselines.plsr(x, y, new)
    for was, is_now in zip(before, (x, y, new), strict=True):
        np.testing.assert_array_equal(was, is_now)


def test_plsr_survives_a_constant_band_and_fewer_dimensions_than_components(spectra):
    x, y, new, _ = spectra
    flat = np.concatenate([np.full((110, 1), 0.1), x], axis=1)
    flat_new = np.concatenate([np.full((50, 1), 0.1), new], axis=1)
    np.testing.assert_allclose(baselines.plsr(flat, y, flat_new), baselines.plsr(x, y, new), atol=1e-9)
    low = x[:, :1] * np.ones((1, 20))
    assert np.isfinite(baselines.plsr(low, y, low, n_components=15)).all()


def test_random_forest_is_reproducible_and_independent_of_threads(spectra):
    x, y, new, truth = spectra
    kwargs = {"seed": 3, "n_trees": 40}
    one = baselines.random_forest(x, y, new, n_jobs=1, **kwargs)
    np.testing.assert_array_equal(one, baselines.random_forest(x, y, new, **kwargs))
    assert not np.array_equal(one, baselines.random_forest(x, y, new, seed=4, n_trees=40))
    assert np.corrcoef(one, truth)[0, 1] > 0.6


@pytest.mark.parametrize("model", [baselines.plsr, lambda *arrays: baselines.random_forest(*arrays, seed=0, n_trees=2)])
def test_bad_input_is_refused(spectra, model):
    x, y, new, _ = spectra
    with pytest.raises(DataError, match=r"x_train \(110, 70\), y_train \(109,\)"):
        model(x, y[1:], new)
    with pytest.raises(DataError, match="one axis"):
        model(x, y, new[:, 1:])
    with pytest.raises(DataError, match=r"column y_train: not all values are finite.*1 of 110"):
        model(x, np.where(np.arange(110) == 3, np.nan, y), new)


def test_too_many_components_are_refused(spectra):
    x, y, new, _ = spectra
    with pytest.raises(DataError, match=r"10 training rows and 70 bands allow 1 to 9 components \(found: 15\)"):
        baselines.plsr(x[:10], y[:10], new)
