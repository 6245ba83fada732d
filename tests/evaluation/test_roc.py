"""AUROC against pairs counted one by one, its bootstrap against resampling by hand, and the cases without an answer."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score

from jaxsoil.evaluation import roc
from jaxsoil.evaluation.metrics import UndefinedMetric
from jaxsoil.runs.errors import DataError


def units(n=200, regions=9, seed=0, digits=1):
    rng = np.random.default_rng(seed)
    where = rng.integers(regions, size=n)
    scores = np.round(rng.normal(size=n) + 0.3 * where, digits)
    failed = rng.random(n) < 1 / (1 + np.exp(-scores + 1))
    return failed, scores, where


@pytest.mark.parametrize("digits", [0, 1, 12])
@pytest.mark.parametrize("seed", range(5))
def test_area_is_the_share_of_pairs_that_are_ranked_right(seed, digits):
    failed, scores, _ = units(seed=seed, digits=digits)
    gap = scores[failed][:, None] - scores[~failed][None, :]
    assert roc.auroc(failed, scores) == pytest.approx(np.mean((gap > 0) + 0.5 * (gap == 0)), abs=1e-12)


def test_area_by_hand():
    failed = np.array([True, True, False, False])
    assert roc.auroc(failed, [4.0, 2.0, 3.0, 1.0]) == 0.75
    assert roc.auroc(failed, [1.0, 1.0, 1.0, 1.0]) == 0.5
    assert roc.auroc(failed, [0.0, 1.0, 2.0, 3.0]) == 0.0


def test_a_corner_for_each_threshold():
    failed, scores, _ = units()
    alarms, caught = roc.roc_curve(failed, scores)
    flagged = scores >= np.append(np.inf, np.unique(scores)[::-1])[:, None]
    np.testing.assert_allclose(alarms, flagged[:, ~failed].mean(axis=1))
    np.testing.assert_allclose(caught, flagged[:, failed].mean(axis=1))
    assert np.trapezoid(caught, alarms) == pytest.approx(roc.auroc(failed, scores))


def test_bootstrap_draws_whole_regions():
    failed, scores, where = units()
    found = roc.auroc_over_regions(failed, scores, where, replicates=100, seed=7)
    assert found.value == roc.auroc(failed, scores)
    assert (found.failures, found.units, found.reason) == (failed.sum(), 200, "")
    drawn = np.random.default_rng(7).multinomial(9, np.full(9, 1 / 9), 100)
    areas = []
    for weights in drawn:
        rows = np.concatenate([np.tile(np.nonzero(where == region)[0], k) for region, k in enumerate(weights)])
        areas.append(roc_auc_score(failed[rows], scores[rows]))
    np.testing.assert_allclose([found.low, found.high], np.percentile(areas, [2.5, 97.5]), atol=1e-12)


def test_one_unit_for_each_region():
    rng = np.random.default_rng(2)
    failed = np.arange(17) < 6
    found = roc.auroc_over_regions(failed, rng.normal(size=17) + failed, [f"R{i}" for i in range(17)])
    assert 0.0 <= found.low <= found.value <= found.high <= 1.0


@pytest.mark.parametrize(
    ("failed", "reason"), [([False] * 4, "nothing failed"), ([True] * 4, "everything failed"), ([], "nothing to rank")]
)
def test_one_class_is_undefined_and_says_so(failed, reason):
    failed = np.array(failed, dtype=bool)
    found = roc.auroc_over_regions(failed, np.arange(failed.size), np.arange(failed.size))
    assert np.isnan([found.value, found.low, found.high]).all()
    assert reason in found.reason
    with pytest.raises(UndefinedMetric, match=reason):
        roc.auroc(failed, np.arange(failed.size))
    with pytest.raises(UndefinedMetric, match=reason):
        roc.roc_curve(failed, np.arange(failed.size))


def test_too_few_failing_regions_have_no_interval():
    failed = np.array([True, True, True, True, False, False, False, False])
    regions = list("aabbcdef")
    found = roc.auroc_over_regions(failed, np.arange(8.0), regions)
    assert found.value == 0.0 and np.isnan(found.low)
    assert found.reason == "no interval: only 2 regions with a unit of one kind"


def test_the_rank_test_counts_all_ways_to_draw_the_failing_regions():
    rng = np.random.default_rng(5)
    for failing in ([1, 4], [0, 1, 2, 3], [0, 2, 3]):
        scores = rng.normal(size=7)
        failed = np.isin(np.arange(7), failing)
        found = roc.rank_test(failed, scores, np.arange(7))
        ways = [
            abs(roc.auroc(np.isin(np.arange(7), chosen), scores) - 0.5)
            for chosen in itertools.combinations(range(7), len(failing))
        ]
        as_uneven = np.mean(np.array(ways) >= abs(roc.auroc(failed, scores) - 0.5) - 1e-12)
        assert found is not None and found.p == pytest.approx(as_uneven)
        assert (found.failing, found.sound) == (len(failing), 7 - len(failing))
        assert found.least == pytest.approx(2.0 / math.comb(7, len(failing)))


def test_one_pair_of_seven_regions_the_wrong_way_round_is_no_evidence():
    # AUROC 1/12 with four failing regions of seven; Mann and Whitney's tables give 4/35 for U = 1.
    failed = np.array([True] * 4 + [False] * 3)
    scores = [0.0, 1.0, 2.0, 4.0, 3.0, 5.0, 6.0]
    found = roc.rank_test(failed, scores, list("abcdefg"))
    assert roc.auroc(failed, scores) == pytest.approx(1 / 12)
    assert found is not None and found.p == pytest.approx(4 / 35)


def test_the_rank_test_takes_regions_not_their_seeds():
    failed = np.array([True, True, False, True, False, False, False, False])
    scores, regions = np.array([4.0, 2.0, 1.0, 3.5, 0.0, 0.5, 1.0, 0.6]), list("aabbccdd")
    found = roc.rank_test(failed, scores, regions)
    expected: Any = mannwhitneyu([3.0, 2.25], [0.25, 0.8], alternative="two-sided", method="exact")
    assert found is not None and (found.p, found.failing) == (pytest.approx(expected.pvalue), 2)
    assert roc.rank_test(failed[4:], scores[4:], regions[4:]) is None


def test_equal_means_take_the_normal_approximation():
    failed, scores = np.arange(8) < 3, np.array([1.0, 2.0, 2.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    expected: Any = mannwhitneyu(scores[:3], scores[3:], alternative="two-sided", method="asymptotic")
    found = roc.rank_test(failed, scores, np.arange(8))
    assert found is not None and found.p == pytest.approx(expected.pvalue)


def test_wrong_input_is_refused():
    with pytest.raises(DataError, match="alarm scores are not all finite"):
        roc.auroc(np.array([True, False]), [np.nan, 1.0])
    with pytest.raises(DataError, match="failures are not booleans"):
        roc.auroc(np.array([1, 0]), [0.0, 1.0])
    with pytest.raises(DataError, match="failures and alarm scores differ in shape"):
        roc.auroc(np.array([True, False]), [0.0])
