"""Differences between strategies that saw the same samples and seeds, and how far two rank orders agree."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from jaxsoil.runs.errors import DataError

MEAN = "mean"
"""Stands in the column ``property`` for the mean over properties."""

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean of paired differences with its t interval over ``n`` seeds or regions; bounds are NaN below two."""

    n: int
    mean: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0.0 or self.high < 0.0


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


def t_interval(differences: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """Student's interval of the mean of (n,) paired differences; values that are not finite are left out."""
    from scipy.stats import t

    values = np.asarray(differences, dtype=np.float64).ravel()
    values = values[np.isfinite(values)]
    if not 0.0 < confidence < 1.0:
        raise DataError("a confidence lies between 0 and 1", value=confidence, remedy="Write 95 % as 0.95.")
    if values.size == 0:
        return Interval(0, math.nan, math.nan, math.nan)
    mean = float(values.mean())
    if values.size == 1:
        return Interval(1, mean, math.nan, math.nan)
    half = float(t.ppf(0.5 + 0.5 * confidence, values.size - 1) * values.std(ddof=1) / math.sqrt(values.size))
    return Interval(values.size, mean, mean - half, mean + half)


def paired_differences(
    scores: pd.DataFrame, pairs: Iterable[tuple[str, str]], *, metric: str = "ccc", confidence: float = CONFIDENCE
) -> pd.DataFrame:
    """First minus second strategy, paired by seed: for each property, and for the mean over properties.

    A strategy without seeds (one row for each property: PLSR) stands against every seed of the other; the interval
    then covers the other's seeds alone. The interval is over seeds (the trainings), not over test samples. The mean
    over properties is taken seed by seed, over the properties that both have in all seeds.

    Args:
      scores: columns ``seed``, ``strategy``, ``property`` and ``metric``; one row for each combination.
      pairs: strategies to compare; those that are absent are passed over.
      metric: column to compare.
      confidence: of the interval.

    Returns:
      Rows ``first, second, property, n, mean, low, high``, the mean over properties last in each pair.

    Raises:
      DataError: if a column is missing or a combination occurs twice.
    """
    missing = [name for name in ("seed", "strategy", "property", metric) if name not in scores.columns]
    if missing:
        raise DataError("columns are missing", value=", ".join(missing), remedy="Pass the rows of scores.csv.")
    if scores.duplicated(["seed", "strategy", "property"]).any():
        raise DataError(
            "a strategy has two scores of one property and seed",
            remedy="Choose one data set and one of multi-task and single-task first.",
        )
    order = list(dict.fromkeys(scores["property"].astype(str)))
    tables = {str(name): _by_seed(rows, metric, order) for name, rows in scores.groupby("strategy", sort=False)}
    rows = []
    for first, second in pairs:
        if first in tables and second in tables:
            rows += _compare(first, second, tables[first], tables[second], confidence)
    return pd.DataFrame(rows, columns=pd.Index(["first", "second", "property", "n", "mean", "low", "high"]))


def rank_agreement(ours: Mapping[str, float], theirs: Mapping[str, float]) -> Agreement:
    """Order of the names that both rank, highest value first, with Kendall's tau-b and the pairs that differ.

    Values that are not finite are left out of both.
    """
    from scipy.stats import kendalltau

    names = [name for name in theirs if math.isfinite(ours.get(name, math.nan)) and math.isfinite(theirs[name])]
    mine, other = ([float(values[name]) for name in names] for values in (ours, theirs))
    # The result is a pair of statistic and p-value.
    tau = float(np.asarray(kendalltau(mine, other))[0]) if len(names) > 1 else math.nan
    crossed = []
    for i, first in enumerate(names):
        for j in range(i + 1, len(names)):
            sign = (mine[i] - mine[j]) * (other[i] - other[j])
            if sign < 0.0:
                crossed.append((first, names[j]) if mine[i] > mine[j] else (names[j], first))
    return Agreement(_ordered(names, mine), _ordered(names, other), tau, tuple(crossed))


def _by_seed(rows: pd.DataFrame, metric: str, order: Sequence[str]) -> pd.DataFrame:
    table = rows.assign(property=rows["property"].astype(str)).pivot(index="seed", columns="property", values=metric)
    return table.reindex(columns=[name for name in order if name in table.columns])


def _compare(
    first: str, second: str, a: pd.DataFrame, b: pd.DataFrame, confidence: float
) -> list[tuple[str, str, str, int, float, float, float]]:
    common = [name for name in a.columns if name in b.columns]
    if len(a) == 1 or len(b) == 1:
        seeds = a.index if len(b) == 1 else b.index
        a, b = (t.reindex(seeds) if len(t) > 1 else pd.DataFrame([t.iloc[0]] * len(seeds), index=seeds) for t in (a, b))
    else:
        seeds = a.index.intersection(b.index)
        a, b = a.loc[seeds], b.loc[seeds]
    gaps = a[common].to_numpy(dtype=np.float64) - b[common].to_numpy(dtype=np.float64)
    found = [(name, t_interval(gaps[:, place], confidence)) for place, name in enumerate(common)]
    whole = np.isfinite(gaps).all(axis=0)
    found.append((MEAN, t_interval(gaps[:, whole].mean(axis=1) if whole.any() else [], confidence)))
    return [(first, second, name, x.n, x.mean, x.low, x.high) for name, x in found]


def _ordered(names: Sequence[str], values: Sequence[float]) -> tuple[str, ...]:
    return tuple(names[place] for place in sorted(range(len(names)), key=lambda place: -values[place]))
