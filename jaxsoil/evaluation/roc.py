"""How well a score ranks failures: the area under the ROC curve, with an interval and a test that respect regions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from jaxsoil.evaluation import bootstrap
from jaxsoil.evaluation.metrics import UndefinedMetric
from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError

REPLICATES = 2000
MIN_REGIONS = 3
"""Regions with a failure, and regions without or with a success, that an interval needs: resampling one or two
regions only repeats them. The percentile interval of a handful of regions is still too narrow to be read as a test,
for which there is :func:`rank_test`."""


@dataclass(frozen=True)
class Auroc:
    """Area under the ROC curve and its bootstrap interval over regions.

    Attributes:
      value: probability that a failure scores higher than a success, ties counted half; NaN where undefined.
      low, high: 95 % percentile interval; NaN where there are too few regions to resample.
      failures, units: number of failures and of all units.
      reason: why value or interval are undefined; empty if they are not.
    """

    value: float
    low: float
    high: float
    failures: int
    units: int
    reason: str = ""


@dataclass(frozen=True)
class RankTest:
    """Two-sided Mann-Whitney test of region means, with the region as the independent unit.

    Attributes:
      p: probability of ranks at least as uneven where score and failure have nothing to do with each other.
      least: smallest p that so many regions of either kind can give.
      failing, sound: number of regions of either kind.
    """

    p: float
    least: float
    failing: int
    sound: int


def auroc(failed: ArrayLike, scores: ArrayLike) -> float:
    """Probability that a failure has a higher score than a success, ties counted half (Mann and Whitney's U).

    ``failed`` (n,) is True where the unit failed; ``scores`` (n,) are high for suspicious.

    Raises:
      UndefinedMetric: if there are only failures, only successes or nothing.
      DataError: if shapes differ or a score is not finite.
    """
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(*_both_kinds(failed, scores)))


def auroc_over_regions(
    failed: ArrayLike, scores: ArrayLike, regions: ArrayLike, *, replicates: int = REPLICATES, seed: int = 0
) -> Auroc:
    """AUROC with a bootstrap interval that draws whole regions, since units of one region fail together.

    Args:
      failed, scores: as of :func:`auroc`.
      regions: (n,) region of each unit; its seeds and samples are drawn together.
      replicates, seed: number of bootstrap samples, and seed of the draw.

    Returns:
      NaN with the reason where the area, or its interval, is undefined.
    """
    positive, values = _checked(failed, scores)
    names, codes = np.unique(np.asarray(regions), return_inverse=True)
    count, units = int(positive.sum()), int(positive.size)
    try:
        value = auroc(positive, values)
    except UndefinedMetric as undefined:
        return Auroc(math.nan, math.nan, math.nan, count, units, undefined.problem)
    wins = _wins(positive, values, codes, names.size)
    failures = np.bincount(codes[positive], minlength=names.size)
    successes = np.bincount(codes[~positive], minlength=names.size)
    fewest = min(int((failures > 0).sum()), int((successes > 0).sum()))
    if fewest < MIN_REGIONS:
        reason = f"no interval: only {fewest} region{'s' if fewest != 1 else ''} with a unit of one kind"
        return Auroc(value, math.nan, math.nan, count, units, reason)
    drawn = bootstrap.weights(np.random.default_rng(seed), names.size, replicates)
    pairs = (drawn @ failures) * (drawn @ successes).astype(np.float64)
    # A draw without failures or without successes has no area; it is rare with three regions of each.
    areas = np.einsum("br,rs,bs->b", drawn, wins, drawn, optimize=True)[pairs > 0] / pairs[pairs > 0]
    low, high = np.percentile(areas, [2.5, 97.5])
    return Auroc(value, float(low), float(high), count, units)


def rank_test(failed: ArrayLike, scores: ArrayLike, regions: ArrayLike) -> RankTest | None:
    """Whether regions that fail rank higher or lower than the others: Mann and Whitney's test of region means.

    The scores of a region are averaged, and it counts as failing where at least half of its units fail. The test is
    exact; only where two means are equal it takes the normal approximation with correction for ties. Arguments are
    those of :func:`auroc_over_regions`; None where all regions fail or none does.
    """
    from scipy.stats import mannwhitneyu

    positive, values = _checked(failed, scores)
    _, codes = np.unique(np.asarray(regions), return_inverse=True)
    sizes = np.bincount(codes)
    means = np.bincount(codes, weights=values) / sizes
    failing = 2 * np.bincount(codes, weights=positive) >= sizes
    count, units = int(failing.sum()), int(sizes.size)
    if count == 0 or count == units:
        return None
    method = "exact" if np.unique(means).size == units else "asymptotic"
    # The result is a pair of statistic and p-value.
    p = np.asarray(mannwhitneyu(means[failing], means[~failing], alternative="two-sided", method=method))[1]
    return RankTest(float(p), min(1.0, 2.0 / math.comb(units, count)), count, units - count)


def roc_curve(failed: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """False-alarm rate and share of failures caught, (0, 0) to (1, 1), for each score; errors as of :func:`auroc`."""
    from sklearn.metrics import roc_curve as sklearn_curve

    false_alarms, caught, _ = sklearn_curve(*_both_kinds(failed, scores), drop_intermediate=False)
    return false_alarms, caught


def _wins(positive: np.ndarray, values: np.ndarray, codes: np.ndarray, regions: int) -> np.ndarray:
    """(regions, regions) number of pairs in which a failure of one region beats a success of another, ties half.

    With it the area of a bootstrap sample is a quadratic form in how often each region was drawn.
    """
    wins = np.zeros((regions, regions))
    for region in range(regions):
        beaten = np.sort(values[~positive & (codes == region)])
        won = np.searchsorted(beaten, values[positive], "left") + np.searchsorted(beaten, values[positive], "right")
        wins[:, region] = np.bincount(codes[positive], weights=won / 2.0, minlength=regions)
    return wins


def _checked(failed: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    positive, values = np.asarray(failed), require.vector(scores, "alarm scores")
    require.same_shape(
        {"failures": positive, "alarm scores": values}, remedy="Pass a boolean and a score for each unit."
    )
    if positive.dtype != np.bool_:
        raise DataError("failures are not booleans", value=positive.dtype, remedy="Pass True where the unit failed.")
    return positive, values


def _both_kinds(failed: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    positive, values = _checked(failed, scores)
    count, units = int(positive.sum()), positive.size
    if count == 0 or count == units:
        what = "there is nothing to rank" if units == 0 else "nothing failed" if count == 0 else "everything failed"
        raise UndefinedMetric(what, value=f"{count} of {units}", remedy="An AUROC needs failures and successes.")
    return positive, values
