"""Paired differences by their ranks, for measures that one region can decide.

R2 of a region has no lower bound: where SOC hardly varies it reached -153, and a mean or Student's interval over
regions says what that region says. The pseudo-median and its interval below rest on the order of the differences
alone. They take independent differences: those of regions (seeds averaged), not of splits that share rows.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from jaxsoil.evaluation.compare import CONFIDENCE, Interval
from jaxsoil.runs import require


def rank_interval(differences: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """Pseudo-median of (n,) differences with the interval that Wilcoxon's signed-rank test accepts.

    The pseudo-median is the median of the means of all pairs, each difference with itself among them (Hodges and
    Lehmann 1963); the interval ends at two of these means (Tukey's construction) and covers at least ``confidence``
    where the differences are symmetric about their centre, whatever their tails.

    Returns:
      The pseudo-median as ``mean``; no ``sd``. The ends are NaN where so few differences have no such interval (under
      six at 95 %). Values that are not finite are left out.

    Raises:
      DataError: a confidence outside (0, 1).
    """
    require.between_0_and_1(confidence, "confidence")
    found = _finite(differences)
    if not found.size:
        return Interval(0, math.nan, math.nan, math.nan)
    first, second = np.triu_indices(found.size)
    means = np.sort((found[first] + found[second]) / 2.0)
    # Statistics up to `rejected` are as rare as (1 - confidence) / 2 or rarer.
    rejected = int(np.searchsorted(np.cumsum(_signed_rank_law(found.size)), (1.0 - confidence) / 2.0, "right")) - 1
    low, high = (means[rejected], means[-1 - rejected]) if rejected >= 0 else (math.nan, math.nan)
    return Interval(found.size, float(np.median(means)), float(low), float(high))


def signed_rank_p(differences: ArrayLike) -> float:
    """Two-sided p of Wilcoxon's signed-rank test (SciPy's); zeros are left out, NaN where nothing is left."""
    from scipy.stats import wilcoxon

    found = _finite(differences)
    found = found[found != 0.0]
    return float(np.asarray(wilcoxon(found))[1]) if found.size else math.nan


def sign_p(differences: ArrayLike) -> float:
    """Two-sided p of the sign test; zeros are left out, NaN where nothing is left."""
    from scipy.stats import binomtest

    found = _finite(differences)
    found = found[found != 0.0]
    return float(binomtest(int((found > 0.0).sum()), found.size).pvalue) if found.size else math.nan


def _finite(values: ArrayLike) -> np.ndarray:
    found = np.asarray(values, dtype=np.float64).ravel()
    return found[np.isfinite(found)]


def _signed_rank_law(n: int) -> np.ndarray:
    """Probabilities of the signed-rank statistic 0 to n (n + 1) / 2 of n differences under symmetry about 0."""
    law = np.ones(1)
    for rank in range(1, n + 1):
        law = 0.5 * (np.pad(law, (0, rank)) + np.pad(law, (rank, 0)))
    return law
