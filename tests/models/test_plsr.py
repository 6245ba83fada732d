"""PLSR with chosen components, against scikit-learn's cross-validation on the same folds."""

from __future__ import annotations

import numpy as np
from sklearn.cross_decomposition import PLSRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict

from jaxsoil.models.plsr import choose_components, fit_predict


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
    predicted, components = fit_predict(x[:100], y[:100], folds[:100], x[100:], 12)
    expected = PLSRegression(components).fit(x[:100], y[:100]).predict(x[100:]).ravel()
    np.testing.assert_allclose(predicted, expected, rtol=1e-6, atol=1e-8)


def test_few_rows_and_dead_bands_limit_the_components(capsys) -> None:
    x, y, _ = problem(10)
    x[:, 3] = 1.0
    chosen, error = choose_components(x, y, np.arange(10) % 5, 30)
    assert error.shape == (7,) and 1 <= chosen <= 7
    assert capsys.readouterr().out == ""
