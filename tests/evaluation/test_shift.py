"""Intervals under shift: order statistics by hand, known likelihood ratios, coverage by simulation, crepes."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, norm

from jaxsoil.evaluation import shift
from jaxsoil.evaluation.conformal import SplitConformal, conformal_quantile
from jaxsoil.evaluation.shift import Calibration, classifier_ratios, density_ratios, region_quantile, weighted_quantile
from jaxsoil.runs import files
from jaxsoil.runs.errors import DataError

FLAT = (np.array([1.0, 2.0]), np.array(["a", "b"]), np.zeros((2, 2)))
"""Residuals, regions and features of two rows."""


def calibration(n: int = 240, d: int = 3, regions: int = 8, scale: shift.Scale = "log10") -> Calibration:
    rng = np.random.default_rng(0)
    observed = 10.0 ** rng.normal(0.2, 0.3, n)
    predicted = observed * 10.0 ** rng.normal(0.0, 0.2, n)
    names = np.array([f"region {k % regions}" for k in range(n)])
    return Calibration.of(observed, predicted, names, rng.normal(size=(n, d)), scale)


@pytest.mark.parametrize("n", [1, 9, 10, 99, 240])
@pytest.mark.parametrize("level", [0.05, 0.5, 0.8, 0.9, 0.95])
def test_equal_weights_give_the_unweighted_quantile_to_the_bit(n: int, level: float) -> None:
    values = np.random.default_rng(n).exponential(size=n)
    for weight in (1.0, 0.1, 7.3):
        found = weighted_quantile(values, np.full(n, weight), np.full(2, weight), level)
        np.testing.assert_array_equal(found, np.full(2, conformal_quantile(values, level)))


def test_weighted_quantiles_are_those_of_the_definition() -> None:
    """The smallest score r with sum of w_i 1(s_i <= r) >= level (sum w_i + w(x)), by trying all of them."""
    rng = np.random.default_rng(1)
    values, weights, own = rng.exponential(size=31), rng.uniform(0.1, 10.0, 31), rng.uniform(0.1, 60.0, 25)
    expected = [
        min([r for r in values if weights[values <= r].sum() >= 0.8 * (weights.sum() + w)], default=math.inf)
        for w in own
    ]
    np.testing.assert_array_equal(weighted_quantile(values, weights, own, 0.8), expected)
    assert np.isinf(expected).any() and np.isfinite(expected).any()


def test_weights_restore_the_coverage_that_a_shift_takes_away() -> None:
    """Error SD 0.2 + |x|, calibration x ~ N(0, 1), new x ~ N(1, 0.8^2): the split interval falls short.

    The weights are the true likelihood ratio, then those that the two estimators find from the features alone.
    """
    rng, repeats, n, t = np.random.default_rng(2), 60, 600, 100
    hits: dict[str, int] = dict.fromkeys(("split", "known", "density", "classifier"), 0)
    for _ in range(repeats):
        x, new = rng.normal(size=n), rng.normal(1.0, 0.8, t)
        values, truth = (np.abs(rng.normal(size=z.size)) * (0.2 + np.abs(z)) for z in (x, new))
        ratio = [norm.pdf(z, 1.0, 0.8) / norm.pdf(z) for z in (x, new)]
        halves = {"split": conformal_quantile(values, 0.9), "known": weighted_quantile(values, ratio[0], ratio[1], 0.9)}
        for name, estimate in (("density", density_ratios), ("classifier", classifier_ratios)):
            found = estimate(x[:, None], new[:, None])
            halves[name] = weighted_quantile(values, *found, 0.9)
        for name, half in halves.items():
            hits[name] += int((truth <= half).sum())
    count = repeats * t
    low, high = binom.interval(0.999, count, 0.9) / np.array(count)
    share = {name: found / count for name, found in hits.items()}
    assert share["split"] < low - 0.03
    # Rows of one repeat share their calibration, which adds about the same again to the binomial error.
    for name in ("known", "density"):
        assert 2 * low - 0.9 < share[name] < 2 * high - 0.9, share
    # A ratio that is linear in x knows nothing of the smaller SD of the new rows.
    assert share["classifier"] > share["split"] + 0.03


def test_density_ratios_are_those_of_two_gaussians() -> None:
    rng = np.random.default_rng(3)
    covariance: Any = np.array([[0.5, 0.2], [0.2, 0.8]])
    known, new = rng.normal(size=(40_000, 2)), rng.multivariate_normal([0.5, -0.3], covariance, 40_000)
    from scipy.stats import multivariate_normal

    for rows, found in zip((known, new), density_ratios(known, new), strict=True):
        expected = multivariate_normal([0.5, -0.3], covariance).logpdf(rows) - multivariate_normal([0, 0]).logpdf(rows)
        central = np.linalg.norm(rows, axis=1) < 2.0
        np.testing.assert_allclose(np.log(found)[central], expected[central], atol=0.1)


def test_classifier_ratios_of_gaussians_with_one_covariance_are_loglinear() -> None:
    """log w = m'x - m'm / 2 for N(m, I) against N(0, I), also where the sets differ in size."""
    rng, shift_ = np.random.default_rng(4), np.array([0.8, -0.4])
    known, new = rng.normal(size=(20_000, 2)), rng.normal(size=(5_000, 2)) + shift_
    found, _ = classifier_ratios(known, new)
    np.testing.assert_allclose(np.log(found), known @ shift_ - shift_ @ shift_ / 2, atol=0.2)


def test_a_single_row_has_a_density_and_a_far_one_no_bounded_interval() -> None:
    made = calibration()
    near = shift.intervals(made, [1.0], made.features.mean(axis=0, keepdims=True), 0.8, "density")
    far = shift.intervals(made, [1.0], np.full((1, 3), 9.0), 0.8, "density")
    assert not near.unbounded.any() and far.unbounded.all()
    assert (far.low[0], far.high[0]) == (0.0, math.inf)
    assert far.effective_n < 20 < near.effective_n <= 240


def test_single_rows_like_those_of_the_calibration_have_bounded_intervals() -> None:
    """In ten dimensions all rows are far from the mean; only rows farther than nearly all of them are refused."""
    rng = np.random.default_rng(8)
    made = Calibration.of(np.ones(1500), 10.0 ** rng.normal(0, 0.2, 1500), ["a"] * 1500, rng.normal(size=(1500, 10)))
    rows = rng.normal(size=(60, 10))
    alone = [shift.intervals(made, [1.0], row[None], 0.9, "density").unbounded[0] for row in rows]
    assert np.mean(alone) < 0.2
    assert all(shift.intervals(made, [1.0], 3.0 * row[None], 0.9, "density").unbounded[0] for row in rows[:10])


def test_the_effective_size_is_kishs() -> None:
    assert shift.effective_size(np.full(7, 3.0)) == pytest.approx(7.0)
    for unit in (1.0, 1e-300):
        assert shift.effective_size([unit, unit, 2.0 * unit]) == pytest.approx(16.0 / 6.0)


def test_region_quantiles_are_order_statistics_of_one_score_a_region() -> None:
    values = np.concatenate([np.arange(1.0, 11.0) + 100.0 * k for k in range(7)])
    names = np.repeat(list("abcdefg"), 10)
    # The 8th of 10 rows is the score; of 7 scores the 7th has level 7/8, the 6th 6/8.
    assert region_quantile(values, names, 7 / 8) == (608.0, 7.0)
    assert region_quantile(values, names, 6 / 8) == (508.0, 7.0)
    assert region_quantile(values, names, 7 / 8, share=0.95) == (610.0, 7.0)
    with pytest.raises(DataError, match=r"7 calibration regions allow a level of at most 0\.875 .*0\.9"):
        region_quantile(values, names, 0.9)


def test_seven_eighths_of_new_regions_have_their_share_covered() -> None:
    """Regions differ in bias and spread. One that is exchangeable with seven others fails one time in eight."""
    rng, repeats = np.random.default_rng(5), 1500
    size = np.where(np.arange(8) % 2 == 0, 20, 60)
    held = 0
    for _ in range(repeats):
        order = rng.permutation(8)
        rows = [np.abs(rng.normal(rng.normal(0, 0.3), rng.uniform(0.1, 0.4), size[k])) for k in order]
        half, _ = region_quantile(np.concatenate(rows[:7]), np.repeat(np.arange(7), size[order[:7]]), 7 / 8)
        held += np.mean(rows[7] <= half) >= shift.SHARE
    low, high = binom.interval(0.999, repeats, 7 / 8)
    assert low <= held <= high


def test_intervals_are_multiplicative_on_the_logarithm_and_additive_without() -> None:
    made = calibration()
    found = shift.intervals(made, [0.5, 2.0], np.zeros((2, 3)), 0.9, "split")
    np.testing.assert_allclose(found.high / [0.5, 2.0], [0.5, 2.0] / found.low)
    np.testing.assert_allclose(found.high / [0.5, 2.0], 10.0 ** conformal_quantile(made.residuals, 0.9))
    plain = calibration(scale="unit")
    found = shift.intervals(plain, [0.5, 2.0], np.zeros((2, 3)), 0.9, "split")
    low, high = SplitConformal.fit(plain.residuals, np.zeros(240), 0.9).interval([0.5, 2.0])
    np.testing.assert_array_equal((found.low, found.high), (low, high))


@pytest.mark.parametrize("method", shift.METHODS)
def test_a_calibration_from_a_file_gives_the_same_intervals(method: shift.Method, tmp_path) -> None:
    made, new = calibration(), np.random.default_rng(6).normal(0.3, 1.0, (30, 3))
    files.write_arrays(tmp_path / "calibration.npz", made.arrays())
    files.write_json(tmp_path / "calibration.json", made.facts())
    read = Calibration.read(
        files.read_arrays(tmp_path / "calibration.npz"), files.read_json(tmp_path / "calibration.json")
    )
    first, second = (shift.intervals(one, np.full(30, 1.5), new, 0.85, method) for one in (made, read))
    np.testing.assert_array_equal((first.low, first.high, first.half), (second.low, second.high, second.half))
    assert first.effective_n == second.effective_n and json.dumps(made.facts())


def test_split_and_mondrian_intervals_are_those_of_crepes() -> None:
    """crepes is an independent implementation (BSD licence)."""
    crepes = pytest.importorskip("crepes", reason="crepes is optional: pip install crepes")
    rng = np.random.default_rng(7)
    residuals, bins, centre = rng.normal(size=157), rng.integers(0, 3, 157), rng.normal(size=20)
    made = Calibration.of(residuals, np.zeros(157), bins, np.zeros((157, 1)), "unit")
    for level in (0.5, 0.8, 0.93):
        theirs = crepes.ConformalRegressor().fit(residuals).predict_int(centre, confidence=level)
        ours = shift.intervals(made, centre, np.zeros((20, 1)), level, "split")
        np.testing.assert_allclose(np.stack([ours.low, ours.high], axis=1), theirs, rtol=1e-12)
        new = rng.integers(0, 3, 20)
        theirs = crepes.ConformalRegressor().fit(residuals, bins=bins).predict_int(centre, bins=new, confidence=level)
        for name in range(3):
            fitted = SplitConformal.fit(residuals[bins == name], np.zeros((bins == name).sum()), level)
            low, high = fitted.interval(centre[new == name])
            np.testing.assert_allclose(np.stack([low, high], axis=1), theirs[new == name], rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: shift.intervals(calibration(), [1.0], np.zeros((1, 2)), 0.9, "density"), "number of features"),
        (lambda: shift.intervals(calibration(), [1.0, 2.0], np.zeros((1, 3)), 0.9, "split"), "differ in length"),
        (lambda: shift.intervals(calibration(), [np.nan], np.zeros((1, 3)), 0.9, "split"), "not all finite"),
        (lambda: shift.intervals(calibration(), [1.0], np.zeros((1, 3)), 90.0, "split"), "between 0 and 1"),
        (lambda: shift.intervals(calibration(), [1.0], np.zeros((1, 3)), 0.9, "region"), "allow a level of at most"),
        (lambda: Calibration.of([1.0], [1.0], ["a", "b"], [[0.0]]), "differ in length"),
        (lambda: Calibration.of([], [], [], np.zeros((0, 1))), "no observed values"),
        (lambda: Calibration(np.array([2.0, 1.0]), np.array(["a", "b"]), np.zeros((2, 1))), "ascending"),
        (lambda: Calibration(*FLAT, spread=np.array([[1.0, 0.0], [0.0, -1.0]])), "is not one"),
        (lambda: Calibration(*FLAT, spread=np.array([[1.0, 0.5], [0.0, 1.0]])), "is not one"),
        (lambda: Calibration(*FLAT, spread=np.ones((2, 3))), "covariances of the features"),
        (lambda: Calibration.read({"residuals": np.ones(1)}, {}), "not complete"),
        (lambda: weighted_quantile([1.0], [0.0], [1.0], 0.9), "not all positive"),
        (lambda: density_ratios([[0.0], [1.0]], [[np.inf]]), "not all finite"),
    ],
)
def test_what_does_not_fit_is_refused(call, message) -> None:
    with pytest.raises(DataError, match=message):
        call()
