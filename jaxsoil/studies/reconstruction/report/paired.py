"""Paired differences over regions: two models, or two stages of one, on the same held-out rows."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from jaxsoil.evaluation.compare import CONFIDENCE, Interval, t_interval
from jaxsoil.report.files import where
from jaxsoil.report.tables import UNDEFINED, natural_sorted, number
from jaxsoil.studies.reconstruction.report.scores import DIGITS

LOWER_IS_BETTER = ("rmse", "mrmse")
MEASURES = (("log10", "rmse"), ("log10", "ccc"), ("percent", "rmse"), ("percent", "r2"), ("reflectance", "mrmse"))
"""Scale and metric of the differences that reports show."""


def by_region(
    first: pd.DataFrame, second: pd.DataFrame, models: tuple[str, str], scale: str, metric: str, split: str = "test"
) -> dict[str, tuple[float, ...]]:
    """Differences ``second - first`` of a metric by region, one for each seed that both have.

    A model with a single seed (PLSR, a forest) stands against every seed of the other.

    Args:
      first, second: results tables; the same one to compare two models.
      models: model of the first and of the second table.
      scale, metric, split: the metric.
    """
    values: list[dict[tuple[str, int], float]] = []
    for frame, model in zip((first, second), models, strict=True):
        rows = where(frame, model=model, scale=scale, metric=metric, split=split).to_dict("records")
        values.append({(str(row["region"]), int(row["seed"])): float(row["value"]) for row in rows})
    seeds = [{seed for _, seed in side} for side in values]
    for mine, other in ((0, 1), (1, 0)):
        if len(seeds[mine]) == 1 < len(seeds[other]):
            values[mine] = {(region, seed): v for (region, _), v in values[mine].items() for seed in seeds[other]}
    found: dict[str, list[float]] = defaultdict(list)
    for region, seed in values[0].keys() & values[1].keys():
        difference = values[1][region, seed] - values[0][region, seed]
        if math.isfinite(difference):
            found[region].append(difference)
    return {region: tuple(sorted(found[region])) for region in natural_sorted(set(found))}


def interval(differences: Mapping[str, Sequence[float]], level: float = CONFIDENCE) -> Interval:
    """Student's interval of the mean over regions, whose seeds are averaged first: only regions are independent.

    Args:
      differences: one or more for each region.
      level: confidence, between 0 and 1.
    """
    return t_interval([float(np.mean(values)) for values in differences.values() if len(values)], level)


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
