"""Paired differences over regions: two models, or two stages of one, on the same held-out rows."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from jaxsoil.report.reading import where
from jaxsoil.report.scores import DIGITS
from jaxsoil.report.tables import UNDEFINED, natural_sorted, number

LOWER_IS_BETTER = ("rmse", "mrmse")
MEASURES = (("log10", "rmse"), ("log10", "ccc"), ("percent", "rmse"), ("percent", "r2"), ("reflectance", "mrmse"))
"""Scale and metric of the differences that reports show."""


@dataclass(frozen=True)
class Interval:
    """Mean of ``n`` independent differences with its confidence interval (NaN for fewer than two)."""

    mean: float
    low: float
    high: float
    n: int


def by_region(
    first: pd.DataFrame, second: pd.DataFrame, models: tuple[str, str], scale: str, metric: str, split: str = "test"
) -> dict[str, tuple[float, ...]]:
    """Differences ``second - first`` of a metric by region, one for each seed that both have.

    Args:
      first, second: results tables; the same one to compare two models.
      models: model of the first and of the second table.
      scale, metric, split: the metric.
    """
    values: list[dict[tuple[str, int], float]] = []
    for frame, model in zip((first, second), models, strict=True):
        rows = where(frame, model=model, scale=scale, metric=metric, split=split).to_dict("records")
        values.append({(str(row["region"]), int(row["seed"])): float(row["value"]) for row in rows})
    found: dict[str, list[float]] = defaultdict(list)
    for region, seed in values[0].keys() & values[1].keys():
        difference = values[1][region, seed] - values[0][region, seed]
        if math.isfinite(difference):
            found[region].append(difference)
    return {region: tuple(sorted(found[region])) for region in natural_sorted(set(found))}


def interval(differences: Mapping[str, Sequence[float]], level: float = 0.95) -> Interval:
    """Student's interval of the mean over regions, whose seeds are averaged first: only regions are independent.

    Args:
      differences: one or more for each region.
      level: confidence, between 0 and 1.
    """
    from scipy.stats import t

    means = np.array([float(np.mean(values)) for values in differences.values() if len(values)])
    if means.size == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean = float(means.mean())
    if means.size == 1:
        return Interval(mean, math.nan, math.nan, 1)
    half = float(t.ppf(0.5 + level / 2.0, means.size - 1)) * float(means.std(ddof=1)) / math.sqrt(means.size)
    return Interval(mean, mean - half, mean + half, int(means.size))


def interval_text(found: Interval, metric: str) -> str:
    """``mean (low to high)`` with the digits of the metric."""
    digits = DIGITS[metric]
    if not found.n:
        return UNDEFINED
    if not math.isfinite(found.low):
        return number(found.mean, digits)
    return f"{number(found.mean, digits)} ({number(found.low, digits)} to {number(found.high, digits)})"


def improved(differences: Mapping[str, Sequence[float]], metric: str) -> str:
    """In how many regions the mean difference is for the better."""
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    better = sum(sign * float(np.mean(values)) > 0.0 for values in differences.values())
    return f"{better} of {len(differences)}"
