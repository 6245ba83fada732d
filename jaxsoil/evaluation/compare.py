"""Comparisons: summaries of samples, t-tests, intervals of paired differences, and how far two rank orders agree."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError

MEAN = "mean"
"""Stands in the column ``property`` for the mean over properties."""

CONFIDENCE = 0.95

BySeed = dict[tuple[str, int], float]
"""Numbers by their name (a property, a region) and seed."""


class MeanSd(NamedTuple):
    """Mean and standard deviation (n - 1) of ``n`` values; what is undefined is NaN."""

    mean: float
    sd: float
    n: int


def mean_sd(values: ArrayLike | Sequence[float]) -> MeanSd:
    """Mean and standard deviation (n - 1; NaN below two) of the finite ones among the values, in any shape."""
    found = np.asarray(values, dtype=np.float64).ravel()
    found = found[np.isfinite(found)]
    mean = float(found.mean()) if found.size else math.nan
    return MeanSd(mean, float(found.std(ddof=1)) if found.size > 1 else math.nan, found.size)


def describe(values: ArrayLike) -> dict[str, float]:
    """n, min, mean, sd (n - 1), max, skewness and kurtosis (3 for a Gaussian) of (n,) values; NaN are left out.

    The columns of Appendix A of the multi-fidelity paper. What is undefined (one value, no variance) is NaN.

    Raises:
      DataError: if the values are not one-dimensional.
    """
    from scipy.stats import kurtosis, skew

    sample = require.vector(values, "values to describe", finite=False)
    sample = sample[np.isfinite(sample)]
    mean, sd, n = mean_sd(sample)
    low, high = (sample.min(), sample.max()) if n else (math.nan, math.nan)
    varies = n > 1 and np.ptp(sample) > 0.0
    shape = (skew(sample), kurtosis(sample, fisher=False)) if varies else (math.nan, math.nan)
    names = ("n", "min", "mean", "sd", "max", "skewness", "kurtosis")
    return dict(zip(names, map(float, (n, low, mean, sd, high, *shape)), strict=True))


@dataclass(frozen=True)
class Summary:
    """A sample known by its size, mean and standard error of the mean (SD/sqrt(n), n - 1 in the SD)."""

    n: int
    mean: float
    se: float

    def __post_init__(self) -> None:
        if self.n < 2 or not math.isfinite(self.mean) or not (math.isfinite(self.se) and self.se >= 0.0):
            problem = "a t-test needs two or more values, a finite mean and a standard error of at least 0"
            remedy = "Check the published row, or leave the comparison out."
            raise DataError(problem, value=(self.n, self.mean, self.se), remedy=remedy)

    @classmethod
    def of(cls, values: ArrayLike) -> Summary:
        """Summary of an (n,) sample; DataError where it has fewer than two values or one that is not finite."""
        mean, sd, n = mean_sd(require.vector(values, "values of a t-test", least=2))
        return cls(n, mean, sd / math.sqrt(n))


@dataclass(frozen=True)
class TTest:
    """Outcome of a two-sided t-test of two samples.

    Attributes:
      t: statistic, positive where the first sample has the larger mean.
      dof: degrees of freedom (Welch-Satterthwaite for Welch's test).
      p: two-sided probability under equal means.
    """

    t: float
    dof: float
    p: float


def t_test(first: Summary, second: Summary, *, pooled: bool) -> TTest:
    """Two-sided t-test from size, mean and standard error; :meth:`Summary.of` gives them for values.

    Student's test pools the two variances; Welch's does not, and corrects the degrees of freedom. They differ where
    the smaller sample varies more, as the errors of difficult regions do beside those of easy ones.

    ``pooled``: True for Student's test, False for Welch's.

    Raises:
      DataError: if neither sample varies.
    """
    from scipy.stats import ttest_ind_from_stats

    if first.se == 0.0 and second.se == 0.0:
        remedy = "Report the two means without a test."
        raise DataError("t is undefined: neither sample varies", value=(first.mean, second.mean), remedy=remedy)
    sizes = [(one.mean, one.se * math.sqrt(one.n), one.n) for one in (first, second)]
    statistic, p = ttest_ind_from_stats(*sizes[0], *sizes[1], equal_var=pooled)
    v1, v2 = first.se**2, second.se**2
    welch = (v1 + v2) ** 2 / (v1**2 / (first.n - 1) + v2**2 / (second.n - 1))
    return TTest(float(statistic), float(first.n + second.n - 2) if pooled else welch, float(p))


@dataclass(frozen=True)
class Interval:
    """A mean of paired differences with its t interval over ``n`` seeds or regions.

    Attributes:
      n: number of differences.
      mean: their mean.
      low, high: ends of the interval; NaN below two differences.
      sd: standard deviation of the differences (n - 1); NaN below two.
    """

    n: int
    mean: float
    low: float
    high: float
    sd: float = math.nan

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0.0 or self.high < 0.0


def t_interval(differences: ArrayLike, confidence: float = CONFIDENCE, overlap: float = 0.0) -> Interval:
    """Student's interval of the mean of (n,) paired differences; values that are not finite are left out.

    SciPy's ``ttest_rel(...).confidence_interval()``, which says nothing of differences that are all equal.

    ``overlap``: as in :func:`standard_error`, where the differences are those of splits that share rows.

    Raises:
      DataError: a confidence outside (0, 1), or an overlap below 0.
    """
    from scipy.stats import t

    require.between_0_and_1(confidence, "confidence")
    mean, sd, n = mean_sd(differences)
    half = float(t.ppf(0.5 + 0.5 * confidence, n - 1)) * standard_error(differences, overlap) if n > 1 else math.nan
    return Interval(n, mean, mean - half, mean + half, sd)


def standard_error(values: ArrayLike | Sequence[float], overlap: float = 0.0) -> float:
    """Standard error of the mean of the finite values, SD sqrt(1/n + overlap); NaN below two.

    Random splits of the same rows share most of what they train on, so their scores are no independent draws, and
    SD/sqrt(n) shrinks with their number as if they were. With a correlation of test/(train + test) between them the
    variance of the mean is that of a score times 1/n + test/train (Nadeau and Bengio 2003, Machine Learning 52, 239).

    Args:
      values: scores, in any shape.
      overlap: test rows over training rows of splits that share rows; 0 for independent values.

    Raises:
      DataError: an overlap below 0.
    """
    if not 0.0 <= overlap < math.inf:
        remedy = "Give test rows over training rows, 0 for independent values."
        raise DataError("an overlap of splits is a ratio of at least 0", value=overlap, remedy=remedy)
    _, sd, n = mean_sd(values)
    return sd * math.sqrt(1.0 / n + overlap) if n > 1 else math.nan


def paired_differences(scores: pd.DataFrame, pairs: Iterable[tuple[str, str]]) -> pd.DataFrame:
    """First minus second strategy in CCC, paired by seed: for each property, and for the mean over properties.

    A strategy without seeds (one row for each property: PLSR) stands against every seed of the other; the interval
    then covers the other's seeds alone. The interval is over seeds (the trainings), not over test samples. The mean
    over properties is taken seed by seed, over the properties that both have in all seeds.

    Args:
      scores: columns ``seed``, ``strategy``, ``property`` and ``ccc``; one row for each combination.
      pairs: strategies to compare; those that are absent are passed over.

    Returns:
      Rows ``first, second, property, n, mean, low, high``, the mean over properties last in each pair.

    Raises:
      DataError: if a column is missing or a combination occurs twice.
    """
    require.columns(scores, ("seed", "strategy", "property", "ccc"), "scores")
    if scores.duplicated(["seed", "strategy", "property"]).any():
        remedy = "Choose one data set and one of multi-task and single-task first."
        raise DataError("a strategy has two scores of one property and seed", remedy=remedy)
    indexed = scores.assign(property=scores["property"].astype(str)).set_index(["property", "seed"])
    names = indexed.index.unique("property")
    values = {str(name): pd.Series(rows["ccc"]) for name, rows in indexed.groupby("strategy", sort=False)}
    rows = []
    for first, second in pairs:
        if first in values and second in values:
            common = [name for name in names if name in values[first].index and name in values[second].index]
            found = seed_differences(values[first].to_dict(), values[second].to_dict())
            index = pd.MultiIndex.from_tuples(list(found), names=["property", "seed"])
            gaps = pd.Series(list(found.values()), index, dtype=float).unstack("property").reindex(columns=common)
            # Column by column in memory, so that sums over properties are taken in their order.
            whole = np.asfortranarray(gaps.dropna(axis=1))
            for name, differences in {**gaps, MEAN: whole.mean(axis=1) if whole.size else []}.items():
                x = t_interval(differences)
                rows.append((first, second, name, x.n, x.mean, x.low, x.high))
    return pd.DataFrame(rows, columns=pd.Index(["first", "second", "property", "n", "mean", "low", "high"]))


def seed_differences(first: BySeed, second: BySeed) -> BySeed:
    """First minus second where both are finite; what has a single seed stands against every seed of the other.

    They come in the order of the first where both have the same names and seeds, else sorted.
    """
    seeds = [{seed for _, seed in side} for side in (first, second)]
    if len(seeds[0]) == 1 < len(seeds[1]):
        first = {(name, seed): value for (name, _), value in first.items() for seed in sorted(seeds[1])}
    elif len(seeds[1]) == 1 < len(seeds[0]):
        second = {(name, seed): value for (name, _), value in second.items() for seed in sorted(seeds[0])}
    keys = first if list(first) == list(second) else sorted(first.keys() & second.keys())
    gaps = {key: first[key] - second[key] for key in keys}
    return {key: gap for key, gap in gaps.items() if math.isfinite(gap)}


@dataclass(frozen=True)
class Agreement:
    """Two orders of the same names.

    Attributes:
      ours, theirs: names, highest first.
      tau: Kendall's tau-b of the two, NaN with fewer than two names.
      disagreements: pairs (higher here, higher there) that the two orders put the other way round.
    """

    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    tau: float
    disagreements: tuple[tuple[str, str], ...]


def rank_agreement(ours: Mapping[str, float], theirs: Mapping[str, float]) -> Agreement:
    """Order of the names that both rank, highest value first, with Kendall's tau-b and the pairs that differ.

    Values that are not finite are left out of both.
    """
    from scipy.stats import kendalltau

    names = [name for name in theirs if math.isfinite(ours.get(name, math.nan)) and math.isfinite(theirs[name])]
    mine, other = ([values[name] for name in names] for values in (ours, theirs))
    # The result is a pair of statistic and p-value.
    tau = float(np.asarray(kendalltau(mine, other))[0]) if len(names) > 1 else math.nan
    here, there = (tuple(sorted(names, key=values.__getitem__, reverse=True)) for values in (ours, theirs))
    crossed = tuple(
        (a, b) if ours[a] > ours[b] else (b, a)
        for a, b in itertools.combinations(names, 2)
        if (ours[a] - ours[b]) * (theirs[a] - theirs[b]) < 0.0
    )
    return Agreement(here, there, tau, crossed)
