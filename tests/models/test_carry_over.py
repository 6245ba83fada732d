"""The penalised linear model against NumPy's solution of the same equations, and what its penalties are for."""

from __future__ import annotations

import numpy as np
import pytest

from jaxsoil.models import carry_over, invariance
from jaxsoil.models.carry_over import Draws
from jaxsoil.runs.errors import DataError

AXIS = np.arange(1400.0, 2400.0, 50.0)
REGIONS = np.repeat(["a", "b", "c", "d"], 40)


def soils(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Absorbances with a band that the target deepens, among others, and the target."""
    rng = np.random.default_rng(seed)
    y = rng.normal(0.0, 0.4, REGIONS.size)
    bands = [np.exp(-0.5 * ((AXIS - centre) / 80.0) ** 2) for centre in (1500.0, 1750.0, 2000.0, 2200.0)]
    amounts = np.stack([0.1 * y, *rng.normal(0.0, 0.05, (3, y.size))], axis=1)
    return 0.4 + amounts @ np.stack(bands) + rng.normal(0.0, 1e-3, (y.size, AXIS.size)), y


def one(identity: float = 1e-3, kinds: float = 0.0, regions: float = 0.0, power: float = 1.0) -> Draws:
    return Draws(
        np.array([identity]), np.full((1, len(invariance.KINDS)), kinds), np.array([regions]), np.array([power])
    )


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_a_draw_is_the_weighted_ridge_of_numpy(power: float) -> None:
    x, y = soils()
    kept = np.r_[0:40, 40:60, 80:120, 120:130]
    x, y, region = x[kept], y[kept], REGIONS[kept]
    weight = np.array([np.sum(region == name) ** (power - 1.0) for name in region])
    weight /= weight.sum()
    centred = x - weight @ x
    covariance = (weight[:, None] * centred).T @ centred
    penalty = 0.3 * invariance.penalties(x, AXIS).sum(axis=0)
    penalty += 1e-3 * np.trace(covariance) / AXIS.size * np.eye(AXIS.size)
    expected = np.linalg.solve(covariance + penalty, centred.T @ (weight * (y - weight @ y)))
    found = carry_over.fit(x, y, region, AXIS, one(kinds=0.3, power=power))
    np.testing.assert_allclose(found.coefficients, expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.predict(weight @ x[None]), weight @ y, rtol=1e-6, atol=1e-9)
    assert found.residuals.size == 0


def test_the_mean_over_draws_is_the_mean_of_the_models() -> None:
    x, y = soils()
    draws = carry_over.prior(3, seed=3)
    single = [carry_over.fit(x, y, REGIONS, AXIS, Draws(*(part[k : k + 1] for part in draws))) for k in range(3)]
    found = carry_over.fit(x, y, REGIONS, AXIS, draws)
    np.testing.assert_allclose(found.coefficients, np.mean([f.coefficients for f in single], axis=0), rtol=1e-9)
    assert found.intercept == pytest.approx(np.mean([f.intercept for f in single]))


def test_residuals_of_folds_are_those_of_models_without_them() -> None:
    x, y = soils()
    folds = np.random.default_rng(1).integers(0, 3, y.size)
    found = carry_over.fit(x, y, REGIONS, AXIS, one(regions=1.0), folds=folds)
    for number in range(3):
        left = folds != number
        model = carry_over.fit(x[left], y[left], REGIONS[left], AXIS, one(regions=1.0))
        np.testing.assert_allclose(found.residuals[~left], y[~left] - model.predict(x[~left]), atol=1e-9)


def test_residuals_of_folds_take_the_first_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = soils()
    folds, draws = np.arange(y.size) % 2, carry_over.prior(3, seed=1)
    monkeypatch.setattr(carry_over, "FOLD_DRAWS", 2)
    found = carry_over.fit(x, y, REGIONS, AXIS, draws, folds=folds).residuals
    two = carry_over.fit(x, y, REGIONS, AXIS, Draws(*(part[:2] for part in draws)), folds=folds)
    np.testing.assert_allclose(found, two.residuals, atol=1e-9)


def test_more_bands_than_directions_are_projected_on_those_of_the_largest_variance() -> None:
    x, y = soils()
    axis = np.linspace(1400.0, 2400.0, 130)
    x = np.stack([np.interp(axis, AXIS, row) for row in x])
    x += np.random.default_rng(3).normal(0.0, 1e-4, x.shape)
    found, moved = carry_over.space(x, axis), invariance.penalties(x, axis)
    assert found.basis.shape == (130, carry_over.MOST_DIRECTIONS) and found.bands == 130
    np.testing.assert_allclose(found.basis.T @ found.basis, np.eye(carry_over.MOST_DIRECTIONS), atol=1e-9)
    np.testing.assert_allclose(found.penalties, found.basis.T @ moved @ found.basis, atol=1e-12)
    whole = carry_over.Space(np.eye(130), moved, 130)
    kept, all_bands = (
        carry_over.fit(x, y, REGIONS, axis, one(kinds=0.3), within=within).predict(x) for within in (found, whole)
    )
    # What is left out is noise, far below the identity's share.
    np.testing.assert_allclose(kept, all_bands, atol=1e-3)


def test_between_regions_is_what_the_property_does_not_explain() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=REGIONS.size) + np.repeat([0.0, 1.0, -1.0, 0.5], 40)
    pattern, other = rng.normal(size=(2, 6))
    explained = y[:, None] * pattern
    np.testing.assert_allclose(carry_over.between_regions(explained, y, REGIONS), 0.0, atol=1e-12)
    level = np.repeat([1.0, -1.0, 2.0, -2.0], 40)
    found = carry_over.between_regions(explained + level[:, None] * other, y, REGIONS)
    np.testing.assert_allclose(found, 2.5 * np.outer(other, other), atol=1e-9)


def test_a_model_reacts_less_to_what_is_penalised() -> None:
    x, y = soils(1)
    x = x + 0.05 * np.repeat(np.random.default_rng(2).normal(size=(4, AXIS.size)), 40, axis=0)
    matrices = invariance.penalties(x, AXIS).sum(axis=0), carry_over.between_regions(x, y, REGIONS)
    plain = carry_over.fit(x, y, REGIONS, AXIS, one(1e-5)).coefficients
    for matrix, draw in zip(matrices, (one(1e-5, kinds=3.0), one(1e-5, regions=3.0)), strict=True):
        found = carry_over.fit(x, y, REGIONS, AXIS, draw).coefficients
        assert found @ matrix @ found < 0.5 * (plain @ matrix @ plain)


def test_labels_that_do_not_vary_single_regions_and_twins_with_other_labels_are_taken() -> None:
    x, y = soils()
    twins, labels = np.concatenate([x, x[:2]]), np.concatenate([y, y[:2] + 1.0])
    found = carry_over.fit(twins, labels, np.concatenate([REGIONS, REGIONS[:2]]), AXIS, one()).predict(x[:2])
    assert np.all(found > y[:2]) and np.all(found < y[:2] + 1.0)
    y = np.where(REGIONS == "b", 0.3, y)
    for labels, region in ((y, REGIONS), (y, np.zeros(y.size, int)), (np.full(y.size, 0.2), REGIONS)):
        found = carry_over.fit(x, labels, region, AXIS, carry_over.prior(3)).predict(x)
        assert np.isfinite(found).all()
    np.testing.assert_allclose(found, 0.2, atol=1e-9)


def test_many_rows_and_bands_are_taken() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0.5, 0.1, (30_000, 12))
    y = x[:, 3] - x[:, 7]
    found = carry_over.fit(x, y, rng.integers(0, 5, y.size), np.linspace(1400.0, 2400.0, 12), one(1e-6))
    np.testing.assert_allclose(found.predict(x[:50]), y[:50], atol=1e-3)
    narrow = carry_over.grouping(600)
    assert narrow.shape == (600, carry_over.MOST_BANDS)
    np.testing.assert_allclose(narrow.sum(axis=0), 1.0)
    np.testing.assert_array_equal(carry_over.grouping(7), np.eye(7))


def test_what_cannot_be_fitted_is_refused() -> None:
    x, y = soils()
    with pytest.raises(DataError, match="all the same"):
        carry_over.fit(np.ones_like(x), y, REGIONS, AXIS)
    with pytest.raises(DataError, match="regions of training rows"):
        carry_over.fit(x, y, REGIONS[:-1], AXIS)
    with pytest.raises(DataError, match="not all finite"):
        carry_over.fit(x, np.where(y > 0, np.nan, y), REGIONS, AXIS)
    with pytest.raises(DataError, match="another number of features"):
        carry_over.fit(x, y, REGIONS, AXIS, one()).predict(x[:, 1:])


def test_perturbations_that_are_handed_in_take_the_place_of_simulated_ones() -> None:
    x, y = soils()
    moved = np.random.default_rng(4).normal(0.0, 0.02, (3, 50, AXIS.size))
    within = carry_over.space(x, AXIS, moved=moved)
    np.testing.assert_allclose(within.penalties[1], moved[1].T @ moved[1] / 50, atol=1e-15)
    draws = carry_over.prior(6, kinds=3, perturbed=np.array([True, False, True]))
    assert draws.kinds.shape == (6, 3) and not draws.kinds[:, 1].any() and draws.kinds[:, [0, 2]].all()
    # Several targets at once are each what they are alone.
    targets = np.stack([y, x[:, 3]], axis=1)
    slopes, starts = carry_over.fit_all(x, targets, REGIONS, AXIS, draws, within)
    for column, target in enumerate(targets.T):
        alone = carry_over.fit(x, target, REGIONS, AXIS, draws, within=within)
        np.testing.assert_allclose(slopes[:, column], alone.coefficients, atol=1e-8)
        assert starts[column] == pytest.approx(alone.intercept, abs=1e-8)
