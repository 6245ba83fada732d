"""Prediction intervals with a stated coverage: split and cross-fitted conformal prediction.

Nothing is assumed of the errors but that rows are exchangeable, given their scale. Scores are absolute residuals
over a scale (1, or the standard deviation of an ensemble). The constructions are the CV and CV+ methods as the
documentation of MAPIE states them (theoretical description of its regression methods); the finite-sample correction
is the ceil((n + 1) coverage)-th smallest of n scores. Everything is float64 on the host.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError

_CELLS = 20_000_000
"""Numbers that :func:`cross_interval` holds at a time (160 MB)."""


def scores(observed: ArrayLike, predicted: ArrayLike, scale: ArrayLike | None = None) -> np.ndarray:
    """Conformity scores |observed - predicted| / scale, (n,).

    Args:
      observed: (n,) measured values of rows that the model did not see.
      predicted: (n,) predictions in the same unit.
      scale: (n,) positive scales in the same unit, such as :func:`ensemble_scale`; None is 1.

    Raises:
      DataError: lengths that differ, a value that is not finite, a scale that is not positive.
    """
    obs, pred = require.pair(observed, predicted)
    return np.abs(obs - pred) / _scale(scale, pred)


def conformal_quantile(values: ArrayLike, coverage: float) -> float:
    """The ceil((n + 1) coverage)-th smallest of n scores; infinite where n is too small for the coverage.

    The scores are of rows that the model did not see.

    Raises:
      DataError: no score, one that is not finite, or a coverage outside (0, 1).
    """
    ordered = np.sort(require.vector(values, "scores", least=1))
    place = _place(ordered.size, coverage)
    return float(ordered[place - 1]) if place <= ordered.size else math.inf


@dataclass(frozen=True)
class SplitConformal:
    """Intervals ``predicted +- quantile * scale``, from one set of rows that the model did not see.

    Attributes:
      coverage: nominal coverage.
      quantile: of the scores, in units of the scale.
      n: rows it rests on.
    """

    coverage: float
    quantile: float
    n: int

    @classmethod
    def fit(
        cls, observed: ArrayLike, predicted: ArrayLike, coverage: float, scale: ArrayLike | None = None
    ) -> SplitConformal:
        """Calibrates on (n,) held-out rows; arguments and errors as in :func:`scores`."""
        found = scores(observed, predicted, scale)
        return cls(coverage, conformal_quantile(found, coverage), found.size)

    def interval(self, predicted: ArrayLike, scale: ArrayLike | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper ends, (t,) each, for (t,) predictions with (t,) scales."""
        centre = require.vector(predicted, "predictions")
        half = self.quantile * _scale(scale, centre)
        return centre - half, centre + half


def cross_interval(
    values: ArrayLike, fold: ArrayLike, predicted: ArrayLike, coverage: float, scale: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Cross-fitted intervals (CV+): every fold's model predicts, every row's score is used with its own fold's model.

    With R_i the score of row i and k(i) the fold that held it out, the ends are the conformal quantiles of
    predicted[k(i)] -+ R_i scale[k(i)] over i. The coverage is at least 2 * coverage - 1 whatever the model, and close
    to ``coverage`` for one that a fold's rows do not overturn.

    Args:
      values: (n,) scores of the rows, each from the model that did not see it.
      fold: (n,) which of the K models that was, 0 ... K - 1.
      predicted: (K, t) predictions of new rows by each fold's model.
      coverage: nominal coverage, between 0 and 1.
      scale: (K, t) positive scales of those predictions; None is 1.

    Returns:
      Lower and upper ends, (t,); infinite where there are too few rows for the coverage.

    Raises:
      DataError: shapes that do not fit, values that are not finite, a scale that is not positive.
    """
    found, centre = require.vector(values, "scores", least=1), require.finite_rows(predicted, "predictions")
    models, wide = np.asarray(fold), _scale(scale, centre)
    outside = models.shape != found.shape or models.dtype.kind not in "iu"
    if outside or (models < 0).any() or (models >= centre.shape[0]).any():
        value = f"{models.dtype} {models.shape}, {centre.shape[0]} models"
        remedy = "Number the folds 0 ... K - 1, in the order of the predictions."
        raise DataError("every score needs the number of the fold's model", value=value, remedy=remedy)
    n, t = found.size, centre.shape[1]
    place = _place(n, coverage)
    if place > n:
        return np.full(t, -math.inf), np.full(t, math.inf)
    low, high = np.empty(t), np.empty(t)
    step = max(1, _CELLS // n)
    for start in range(0, t, step):
        here = slice(start, start + step)
        middle, half = centre[models, here], found[:, None] * wide[models, here]
        low[here] = np.partition(middle - half, n - place, axis=0)[n - place]
        high[here] = np.partition(middle + half, place - 1, axis=0)[place - 1]
    return low, high


def mean_interval(
    values: ArrayLike, predicted: ArrayLike, coverage: float, scale: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Cross-fitted intervals (CV): around the mean of the folds' predictions, by the quantile of all scores.

    Narrower than :func:`cross_interval` where the folds disagree, and without its guarantee: the mean of all folds is
    better than the one fold behind each score, which makes the intervals cover a little more than they should on rows
    like those of the training, and nothing widens them on others.

    Arguments are those of :func:`cross_interval`; of the scales (K, t) the mean counts. Returns lower and upper ends,
    (t,).
    """
    centre = require.finite_rows(predicted, "predictions")
    half = conformal_quantile(values, coverage) * _scale(scale, centre).mean(axis=0)
    return centre.mean(axis=0) - half, centre.mean(axis=0) + half


def fold_intervals(
    observed: ArrayLike, predicted: ArrayLike, fold: ArrayLike, coverage: float, scale: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Intervals of out-of-fold predictions, each fold calibrated on the scores of the other folds alone.

    This is what shows whether intervals cover: no interval has seen the observation it is held against.

    Args:
      observed, predicted, scale: (n,) as in :func:`scores`, every row predicted by a model that did not see it.
      fold: (n,) the fold of each row.
      coverage: nominal coverage.

    Returns:
      Lower and upper ends, (n,).
    """
    found, centre = scores(observed, predicted, scale), require.vector(predicted, "predictions")
    wide, folds = _scale(scale, centre), np.asarray(fold)
    if folds.shape != centre.shape or np.unique(folds).size < 2:
        value = f"{folds.shape}, {np.unique(folds).size} folds"
        remedy = "Pass the fold of every row."
        raise DataError("intervals out of fold take two or more folds, one for each row", value=value, remedy=remedy)
    half = np.empty(centre.size)
    for name in np.unique(folds).tolist():
        inside = folds == name
        half[inside] = conformal_quantile(found[~inside], coverage) * wide[inside]
    return centre - half, centre + half


def ensemble_scale(members: ArrayLike, floor: float) -> np.ndarray:
    """sqrt(variance over members + floor^2), (n,): where the members agree by chance, the floor is left.

    Args:
      members: (S, n) predictions of S members (n - 1 in the variance; one member has none).
      floor: positive, in the unit of the predictions; such as the median absolute error out of fold.
    """
    table = require.finite_rows(members, "predictions of the members")
    if not (math.isfinite(floor) and floor > 0.0):
        raise DataError("the floor of a scale is positive", value=floor, remedy="Use a typical error out of fold.")
    variance = table.var(axis=0, ddof=1) if table.shape[0] > 1 else np.zeros(table.shape[1])
    return np.sqrt(variance + floor**2)


def covered(observed: ArrayLike, low: ArrayLike, high: ArrayLike) -> np.ndarray:
    """Which observations, (n,), lie within their interval, ends included."""
    obs, lower, upper = (np.asarray(part, dtype=np.float64) for part in (observed, low, high))
    parts = {"observations": obs, "lower ends": lower, "upper ends": upper}
    require.same_shape(parts, remedy="Pass one interval for each observation.")
    return (lower <= obs) & (obs <= upper)


def share_range(share: float, n: float) -> tuple[float, float]:
    """Wilson's 95 % interval (1927, JASA 22, 209-212) of a share that rests on ``n`` independent observations.

    Where rows come in groups that are alike, such as scans of one sample, n is the number of groups: the effective
    number of observations where the rows of a group agree, and the cautious one where they do not.

    Args:
      share: of rows, 0 to 1.
      n: effective number of rows, at least 1.

    Raises:
      DataError: no row.
    """
    from scipy.special import ndtri

    if n < 1:
        raise DataError("a coverage takes at least one row", value=n, remedy="Leave out what has no observation.")
    z = float(ndtri(0.975))
    centre = (share + 0.5 * z * z / n) / (1.0 + z * z / n)
    half = z / (1.0 + z * z / n) * math.sqrt(share * (1.0 - share) / n + 0.25 * z * z / n**2)
    return max(centre - half, 0.0), min(centre + half, 1.0)


def _place(n: int, coverage: float) -> int:
    require.between_0_and_1(coverage, "coverage")
    # A product such as 100 * 0.07 exceeds its exact value by rounding, and the ceiling would jump.
    return math.ceil((n + 1) * coverage - 1e-9)


def _scale(scale: ArrayLike | None, centre: np.ndarray) -> np.ndarray:
    """One positive scale for each prediction, in the shape of the predictions; ones for None."""
    if scale is None:
        return np.ones_like(centre)
    wide = require.array(scale, "scales", centre.ndim)
    require.same_shape({"scales": wide, "predictions": centre}, remedy="Pass one scale for each prediction.")
    require.positive(wide, "scales", remedy="Add a floor to the SD of the ensemble (ensemble_scale).")
    return wide
