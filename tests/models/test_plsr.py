"""PLSR against scikit-learn's, with given components and with components chosen on the same folds."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict

from jaxsoil.models.plsr import choose_components, fit, fit_chosen, held_out, held_out_residuals
from jaxsoil.runs.errors import DataError


def problem(n: int = 120) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    latent = rng.normal(size=(n, 8))
    x = latent @ rng.normal(size=(8, 40)) + 0.2 * rng.normal(size=(n, 40))
    y = latent[:, 0] - 0.5 * latent[:, 3] + 0.3 * rng.normal(size=n)
    return x, y, rng.integers(0, 5, n)


def test_errors_of_every_number_of_components_are_those_of_scikit_learn() -> None:
    x, y, folds = problem()
    chosen, error = choose_components(x, y, folds, 12)
    expected = [
        np.mean((np.ravel(cross_val_predict(PLSRegression(a), x, y, cv=PredefinedSplit(folds))) - y) ** 2)
        for a in range(1, 13)
    ]
    np.testing.assert_allclose(error, expected, rtol=1e-6)
    assert chosen == int(np.argmin(expected)) + 1


def test_predictions_are_those_of_the_chosen_model() -> None:
    x, y, folds = problem()
    model = fit_chosen(x[:100], y[:100], folds[:100], 12)
    assert model.n_components == choose_components(x[:100], y[:100], folds[:100], 12)[0]
    expected = PLSRegression(model.n_components).fit(x[:100], y[:100]).predict(x[100:]).ravel()
    np.testing.assert_allclose(model.predict(x[100:]), expected, rtol=1e-6, atol=1e-8)


def test_held_out_rows_are_predicted_by_models_of_the_other_folds() -> None:
    x, y, folds = problem()
    found, counts = held_out(x, y, folds, 12)
    errors = [
        (np.ravel(cross_val_predict(PLSRegression(a), x, y, cv=PredefinedSplit(folds))) - y) ** 2 for a in range(1, 13)
    ]
    for fold, count in enumerate(counts):
        test = folds == fold
        assert count == 1 + np.argmin([error[~test].mean() for error in errors])
        expected = PLSRegression(count).fit(x[~test], y[~test]).predict(x[test]).ravel()
        np.testing.assert_allclose(found[test], expected, rtol=1e-6, atol=1e-8)


def test_few_rows_and_dead_bands_limit_the_components(capsys) -> None:
    x, y, _ = problem(10)
    x[:, 3] = 1.0
    chosen, error = choose_components(x, y, np.arange(10) % 5, 30)
    assert error.shape == (7,) and 1 <= chosen <= 7
    assert capsys.readouterr().out == ""


@pytest.fixture(scope="module")
def spectra():
    rng = np.random.default_rng(5)
    latent = rng.normal(size=(160, 6))
    shapes = np.cumsum(rng.normal(size=(6, 70)), axis=1)
    x = latent @ shapes + 0.1 * rng.normal(size=(160, 70))
    x = (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)
    y = 0.5 * latent[:, 0] + 0.2 * latent[:, 1] ** 2 + 0.1 * rng.normal(size=160)
    return x[:110], y[:110], x[110:]


def test_every_number_of_components_agrees_with_scikit_learn(spectra):
    x, y, new = spectra
    for components in (1, 5, 15):
        reference = PLSRegression(components, scale=True, tol=1e-12, max_iter=5000).fit(x, y)
        np.testing.assert_allclose(fit(x, y, components).predict(new), reference.predict(new).ravel(), atol=1e-3)


def test_scaling_ignores_other_rows_and_input_stays_as_it_is(spectra):
    x, y, new = spectra
    before = x.copy(), y.copy(), new.copy()
    model = fit(x, y)
    np.testing.assert_allclose(model.predict(np.concatenate([new, 100 * new]))[:1], model.predict(new[:1]), rtol=1e-9)
    for was, is_now in zip(before, (x, y, new), strict=True):
        np.testing.assert_array_equal(was, is_now)


def test_constant_bands_and_targets_and_fewer_dimensions_than_components(spectra):
    x, y, new = spectra
    flat, flat_new = (np.concatenate([np.full((len(rows), 1), 0.1), rows], axis=1) for rows in (x, new))
    np.testing.assert_allclose(fit(flat, y).predict(flat_new), fit(x, y).predict(new), atol=1e-9)
    low = x[:, :1] * np.ones((1, 20))
    assert np.isfinite(fit(low, y).predict(low)).all()
    np.testing.assert_array_equal(fit(x, np.full(110, 0.3)).predict(new), np.full(50, 0.3))


def test_bad_input_is_refused(spectra):
    x, y, new = spectra
    with pytest.raises(DataError, match=r"training spectra and training targets differ .*110 against 109"):
        fit(x, y[1:])
    with pytest.raises(DataError, match=r"another number of features .*69 against 70"):
        fit(x, y).predict(new[:, 1:])
    with pytest.raises(DataError, match=r"training targets are not all finite \(found: 1 of 110\)"):
        fit(x, np.where(np.arange(110) == 3, np.nan, y))
    with pytest.raises(DataError, match=r"10 training rows and 70 bands allow 1 to 9 components \(found: 15\)"):
        fit(x[:10], y[:10])
    with pytest.raises(DataError, match="training targets and folds differ in length"):
        choose_components(x, y, np.zeros(9))


def test_a_weight_of_two_is_the_row_twice() -> None:
    rng = np.random.default_rng(4)
    x, w = rng.normal(size=(30, 8)), rng.integers(1, 4, 30)
    y = x @ rng.normal(size=8) + rng.normal(size=30)
    twice = fit(np.repeat(x, w, axis=0), np.repeat(y, w), 4)
    np.testing.assert_allclose(fit(x, y, 4, weights=w).predict(x), twice.predict(x), rtol=1e-8)
    with pytest.raises(DataError, match="weights are positive"):
        fit(x, y, 4, weights=np.zeros(30))


def test_held_out_residuals_are_those_of_models_without_the_fold() -> None:
    rng = np.random.default_rng(5)
    x, fold = rng.normal(size=(30, 8)), np.repeat([0, 1, 2], 10)
    y = x @ rng.normal(size=8) + rng.normal(size=30)
    expected = [y[fold == k] - fit(x[fold != k], y[fold != k], 3).predict(x[fold == k]) for k in range(3)]
    np.testing.assert_allclose(held_out_residuals(x, y, fold, 3), np.concatenate(expected), atol=1e-8)
