"""Intervals and tests by rank against enumeration, R's published example and SciPy."""

import itertools
from typing import Any

import numpy as np
import pytest
from scipy import stats

from jaxsoil.evaluation.ranks import rank_interval, sign_p, signed_rank_p
from jaxsoil.runs.errors import DataError

DEPRESSION = np.array([0.952, -0.147, 1.022, 0.430, 0.620, 0.590, 0.490, -0.080, 0.010])
"""Hollander and Wolfe (1973), p. 29: nine paired differences, whose published estimate is 0.46."""


def test_the_pseudo_median_is_the_published_one_and_the_test_scipys():
    found = rank_interval(DEPRESSION)
    assert found.n == 9 and found.mean == pytest.approx(0.46) and np.isnan(found.sd)
    assert signed_rank_p(DEPRESSION) == pytest.approx(stats.wilcoxon(DEPRESSION, method="exact")[1])
    # Seven of nine are positive: 2 (1 + 9 + 36) / 2^9.
    assert sign_p(DEPRESSION) == pytest.approx(92 / 512)


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_the_interval_holds_the_shifts_that_the_signed_rank_test_does_not_reject(confidence):
    found = rank_interval(DEPRESSION, confidence)
    for end, side in ((found.low, -1.0), (found.high, 1.0)):
        for step, accepted in ((1e-6, False), (-1e-6, True)):
            p: Any = stats.wilcoxon(DEPRESSION - end - side * step, method="exact")[1]
            assert (p > 1.0 - confidence) == accepted


def test_coverage_is_the_one_enumerated_over_all_signs():
    """Under symmetry every pattern of signs is as likely: 0 is covered in at least 95 % of them."""
    size = np.array([0.3, 1.1, 1.7, 2.6, 4.0, 150.0, 7.7])
    covered = []
    for signs in itertools.product((-1.0, 1.0), repeat=size.size):
        found = rank_interval(size * signs)
        covered.append(found.low <= 0.0 <= found.high)
    # Of 128 patterns those with a statistic of 0, 1 or 2 on either side: 2 x 3.
    assert np.mean(covered) == 1.0 - 6 / 128


def test_few_and_undefined_differences_have_no_interval():
    assert np.isnan(rank_interval([1.0, 2.0, 3.0, 4.0, 5.0]).low) and rank_interval([1.0, 2.0]).mean == 1.5
    six = rank_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, np.nan])
    assert (six.n, six.low, six.high) == (6, 1.0, 6.0) and six.clear
    nothing = rank_interval([np.nan])
    assert nothing.n == 0 and np.isnan(nothing.mean)
    assert np.isnan(signed_rank_p([0.0, np.nan])) and np.isnan(sign_p([]))
    with pytest.raises(DataError, match="confidence"):
        rank_interval([1.0], 1.0)


def test_one_region_does_not_decide_as_it_does_in_a_mean():
    gains = np.array([0.1, 0.2, 0.15, 0.12, 0.18, 0.11, 0.16, -153.0])
    assert gains.mean() < -18.0 and 0.1 < rank_interval(gains).mean < 0.2
