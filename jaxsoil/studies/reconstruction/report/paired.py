"""Paired differences over regions: two models, or two stages of one, on the same held-out rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from jaxsoil.evaluation.compare import CONFIDENCE, Interval, t_interval
from jaxsoil.evaluation.regions import LOWER_IS_BETTER, differences_by_region
from jaxsoil.report.tables import UNDEFINED, natural_sorted, number
from jaxsoil.studies.reconstruction.report.scores import DIGITS

MEASURES = (("log10", "rmse"), ("log10", "ccc"), ("percent", "rmse"), ("percent", "r2"), ("reflectance", "mrmse"))
"""Scale and metric of the differences that reports show."""


def by_region(
    first: pd.DataFrame, second: pd.DataFrame, models: tuple[str, str], scale: str, metric: str, split: str = "test"
) -> dict[str, tuple[float, ...]]:
    """Differences ``second - first`` of a metric by region, one for each seed that both have.

    Regions in natural order; arguments as in :func:`jaxsoil.evaluation.regions.differences_by_region`.
    """
    found = differences_by_region(first, second, models, scale, metric, split)
    return {region: found[region] for region in natural_sorted(set(found))}


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
