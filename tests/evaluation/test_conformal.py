"""Conformal intervals: order statistics by hand, CV+ by its definition, and coverage by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import beta, norm

from jaxsoil.evaluation.conformal import (
    SplitConformal,
    conformal_quantile,
    covered,
    cross_interval,
    ensemble_scale,
    fold_intervals,
    mean_interval,
    scores,
    share_range,
)
from jaxsoil.runs.errors import DataError


@pytest.mark.parametrize(
    ("n", "coverage", "expected"), [(9, 0.9, 9.0), (9, 0.5, 5.0), (99, 0.9, 90.0), (99, 0.07, 7.0), (8, 0.9, math.inf)]
)
def test_the_quantile_is_the_order_statistic_with_the_finite_sample_correction(n, coverage, expected) -> None:
    assert conformal_quantile(np.random.default_rng(0).permutation(np.arange(1.0, n + 1)), coverage) == expected


def test_split_intervals_cover_as_the_beta_law_says() -> None:
    """Given n calibration rows the coverage follows Beta(k, n + 1 - k) with k = ceil((n + 1) coverage)."""
    rng, n = np.random.default_rng(1), 39
    found = []
    for _ in range(400):
        y = rng.normal(size=n)
        low, high = SplitConformal.fit(y, np.zeros(n), 0.9).interval(np.zeros(1))
        found.append(norm.cdf(high[0]) - norm.cdf(low[0]))
    law = beta(36, 4)
    assert np.mean(found) == pytest.approx(law.mean(), abs=4 * law.std() / 20)
    assert np.std(found) == pytest.approx(law.std(), rel=0.15)


def by_definition(found, fold, predicted, scale, coverage):
    """CV+ row by row, from sorted lists."""
    n = len(found)
    place = math.ceil((n + 1) * coverage)
    lows, highs = [], []
    for column in range(predicted.shape[1]):
        ends = [
            (predicted[k, column] - r * scale[k, column], predicted[k, column] + r * scale[k, column])
            for r, k in zip(found, fold, strict=True)
        ]
        lows.append(sorted((low for low, _ in ends), reverse=True)[place - 1])
        highs.append(sorted(high for _, high in ends)[place - 1])
    return np.array(lows), np.array(highs)


def test_cross_intervals_are_those_of_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    found, fold = rng.exponential(size=57), rng.integers(0, 4, 57)
    predicted, scale = rng.normal(size=(4, 11)), rng.uniform(0.5, 2.0, (4, 11))
    expected = by_definition(found, fold, predicted, scale, 0.8)
    np.testing.assert_allclose(cross_interval(found, fold, predicted, 0.8, scale), expected, rtol=1e-12)
    monkeypatch.setattr("jaxsoil.evaluation.conformal._CELLS", 120)
    np.testing.assert_allclose(cross_interval(found, fold, predicted, 0.8, scale), expected, rtol=1e-12)


def test_one_model_makes_cross_intervals_split_intervals() -> None:
    rng = np.random.default_rng(3)
    observed, predicted, new = rng.normal(size=30), rng.normal(size=30), rng.normal(size=5)
    split = SplitConformal.fit(observed, predicted, 0.9).interval(new)
    cross = cross_interval(scores(observed, predicted), np.zeros(30, int), new[None, :], 0.9)
    np.testing.assert_allclose(cross, split, rtol=1e-12)


def test_intervals_around_the_mean_are_split_intervals_of_the_mean() -> None:
    rng = np.random.default_rng(5)
    found, predicted, scale = rng.exponential(size=40), rng.normal(size=(3, 6)), rng.uniform(1.0, 2.0, (3, 6))
    low, high = mean_interval(found, predicted, 0.9, scale)
    half = np.sort(found)[math.ceil(41 * 0.9) - 1] * scale.mean(axis=0)
    np.testing.assert_allclose((low, high), (predicted.mean(axis=0) - half, predicted.mean(axis=0) + half))
    plus = cross_interval(found, rng.integers(0, 3, 40), 50.0 * predicted, 0.9, scale)
    assert np.mean(plus[1] - plus[0]) > np.mean(high - low)


def test_too_few_rows_give_infinite_ends() -> None:
    low, high = cross_interval([1.0, 2.0], [0, 1], np.zeros((2, 3)), 0.9)
    assert np.all(np.isneginf(low)) and np.all(np.isposinf(high))


def test_scaled_intervals_cover_where_errors_differ_between_rows() -> None:
    """Errors four times larger in half of the rows: equal widths cover them unequally, scaled ones do not."""
    rng, n = np.random.default_rng(4), 4000
    sd = np.where(np.arange(n) % 2 == 0, 0.5, 2.0)
    observed = rng.normal(size=n) * sd
    fold = rng.integers(0, 5, n)
    for scale, gap in ((None, 0.1), (sd, 0.0)):
        low, high = fold_intervals(observed, np.zeros(n), fold, 0.9, scale)
        hit = covered(observed, low, high)
        assert hit.mean() == pytest.approx(0.9, abs=0.012)
        assert abs(hit[sd < 1].mean() - hit[sd > 1].mean()) == pytest.approx(gap, abs=0.11 if gap else 0.03)
    assert covered(observed, low, high)[sd > 1].mean() > 0.88


def test_a_fold_is_not_calibrated_on_its_own_rows() -> None:
    observed = np.array([0.0, 1.0, 2.0, 30.0, 40.0, 50.0])
    low, high = fold_intervals(observed, np.zeros(6), [0, 0, 0, 1, 1, 1], 0.7)
    np.testing.assert_array_equal(high, [50.0, 50.0, 50.0, 2.0, 2.0, 2.0])
    np.testing.assert_array_equal(low, -high)


def test_the_scale_is_the_spread_with_a_floor() -> None:
    np.testing.assert_allclose(ensemble_scale([[1.0, 5.0], [1.0, 8.0]], 2.0), [2.0, np.sqrt(4.5 + 4.0)])
    np.testing.assert_allclose(ensemble_scale([[1.0, 5.0]], 2.0), [2.0, 2.0])


def test_the_range_of_a_coverage_is_wilsons() -> None:
    p, n, z = 0.9, 200, norm.ppf(0.975)
    centre, half = (
        (p + z**2 / (2 * n)) / (1 + z**2 / n),
        z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)),
    )
    np.testing.assert_allclose(share_range(0.9, 200), (centre - half, centre + half), rtol=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: scores([1.0, np.nan], [1.0, 2.0]), "observed"),
        (lambda: scores([1.0], [1.0, 2.0]), "differ in shape"),
        (lambda: scores([1.0], [1.0], [0.0]), "scales are not all positive"),
        (lambda: conformal_quantile([], 0.9), "scores"),
        (lambda: conformal_quantile([1.0], 90.0), "between 0 and 1"),
        (lambda: cross_interval([1.0], [2], np.zeros((2, 1)), 0.5), "0 ... K - 1"),
        (lambda: fold_intervals([1.0], [1.0], [0], 0.5), "two or more folds"),
        (lambda: ensemble_scale([[1.0]], 0.0), "floor"),
        (lambda: covered([1.0], [0.0], [1.0, 2.0]), "differ in shape"),
        (lambda: share_range(0.0, 0), "at least one row"),
    ],
)
def test_what_does_not_fit_is_refused(call, message) -> None:
    with pytest.raises(DataError, match=message):
        call()
