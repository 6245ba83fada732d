"""Measures of agreement between observed and predicted values.

Conventions, which hold for every table of this package:

* ``bias`` is mean(predicted - observed): negative means under-prediction.
* ``r2`` is 1 - SSE/SST; ``r2_corr`` is the squared Pearson correlation. They differ as soon as there is a
  bias or a wrong slope, and published tables mix them up: compare like with like.
* ``ccc`` is Lin's concordance correlation coefficient with n in every denominator.
* ``rpiq`` is IQR(observed)/RMSE with quartiles by linear interpolation (NumPy's default, "type 7").
* ``rpd`` is SD(observed)/RMSE with the sample standard deviation (n - 1).

All of them take ``(observed, predicted)``, in that order, compute in float64 and return a Python float. All but RMSE
and bias raise UndefinedMetric where the observed values do not vary, RPIQ and RPD also where predictions are exact.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError


class UndefinedMetric(DataError):
    """A measure without a value for these numbers (nothing observed, no variance, non-finite predictions)."""


def rmse(observed: ArrayLike, predicted: ArrayLike) -> float:
    """Root mean square error, in the unit of the data."""
    obs, pred = _pair(observed, predicted)
    return float(np.sqrt(np.mean((pred - obs) ** 2)))


def bias(observed: ArrayLike, predicted: ArrayLike) -> float:
    """Mean of predicted - observed, in the unit of the data."""
    obs, pred = _pair(observed, predicted)
    return float(np.mean(pred - obs))


def r2(observed: ArrayLike, predicted: ArrayLike) -> float:
    """Coefficient of determination 1 - SSE/SST; negative where the observed mean would predict better."""
    obs, pred = _pair(observed, predicted, varies="R2")
    return float(1.0 - np.sum((pred - obs) ** 2) / np.sum((obs - obs.mean()) ** 2))


def r2_corr(observed: ArrayLike, predicted: ArrayLike) -> float:
    """Squared Pearson correlation, blind to bias and slope; UndefinedMetric where either does not vary."""
    obs, pred = _pair(observed, predicted, varies="r2_corr")
    _require_variation(pred, "predicted", "r2_corr")
    obs, pred = obs - obs.mean(), pred - pred.mean()
    return float(np.sum(obs * pred) ** 2 / (np.sum(obs**2) * np.sum(pred**2)))


def ccc(observed: ArrayLike, predicted: ArrayLike) -> float:
    """Concordance correlation 2 s_xy / (s_x^2 + s_y^2 + (x_mean - y_mean)^2), all moments over n (Lin 1989)."""
    obs, pred = _pair(observed, predicted, varies="CCC")
    covariance = np.mean((obs - obs.mean()) * (pred - pred.mean()))
    return float(2.0 * covariance / (obs.var() + pred.var() + (obs.mean() - pred.mean()) ** 2))


def rpiq(observed: ArrayLike, predicted: ArrayLike) -> float:
    """Ratio of performance to interquartile range, IQR(observed)/RMSE (Bellon-Maurel et al. 2010)."""
    obs, pred = _pair(observed, predicted, varies="RPIQ")
    lower, upper = np.percentile(obs, [25.0, 75.0])
    return float((upper - lower) / _nonzero_rmse(obs, pred, "RPIQ"))


def rpd(observed: ArrayLike, predicted: ArrayLike) -> float:
    """Ratio of performance to deviation, SD(observed)/RMSE with n - 1 in the SD."""
    obs, pred = _pair(observed, predicted, varies="RPD")
    return float(obs.std(ddof=1) / _nonzero_rmse(obs, pred, "RPD"))


METRICS: dict[str, Callable[[ArrayLike, ArrayLike], float]] = {
    metric.__name__: metric for metric in (rmse, bias, r2, r2_corr, ccc, rpiq, rpd)
}
"""The measures of a predicted property, in the order of the tables."""


def smearing(ratios: ArrayLike) -> np.ndarray:
    """Duan's smearing factors: the mean over rows of observed values over predicted medians, 1 where there is none.

    A model of logarithms predicts a median; its mean is this factor times the median where the errors are like those
    given, whatever their law. Source: Duan (1983), Journal of the American Statistical Association 78, 605, Eq. 2.3.

    Args:
      ratios: (n, ...), 10 or e to the power of the residuals (observed minus predicted); what is not finite is left
        out.
    """
    found = np.asarray(ratios, dtype=np.float64)
    known = np.isfinite(found)
    count = known.sum(axis=0)
    return np.where(count > 0, np.where(known, found, 0.0).sum(axis=0) / np.maximum(count, 1), 1.0)


def summary(observed: ArrayLike, predicted: ArrayLike, *, reasons: dict[str, str] | None = None) -> dict[str, float]:
    """All of :data:`METRICS`; NaN where one is undefined, so that one region never stops a study.

    ``reasons``, if given, receives ``metric -> why it is undefined`` for every NaN returned.

    Raises:
      DataError: if the two do not belong together (shape) or the observed values hold NaN: those are mistakes
        of the caller and not properties of a region.
    """
    values = {}
    for name, metric in METRICS.items():
        try:
            values[name] = metric(observed, predicted)
        except UndefinedMetric as undefined:
            values[name] = float("nan")
            if reasons is not None:
                reasons[name] = undefined.problem
    return values


def _pair(observed: ArrayLike, predicted: ArrayLike, *, varies: str = "") -> tuple[np.ndarray, np.ndarray]:
    """Both as float64 arrays; where a metric is named that needs it, the observed values must vary."""
    obs, pred = require.pair(observed, predicted, undefined=UndefinedMetric)
    if varies:
        _require_variation(obs, "observed", varies)
    return obs, pred


def _require_variation(values: np.ndarray, what: str, metric: str) -> None:
    # A constant float array can show a variance of rounding errors, so the range is compared instead.
    if np.ptp(values) == 0.0:
        value = f"{values.size} x {values.flat[0]:g}"
        remedy = "Score more samples together, or report RMSE and bias only."
        raise UndefinedMetric(f"{metric} is undefined: the {what} values are all the same", value=value, remedy=remedy)


def _nonzero_rmse(obs: np.ndarray, pred: np.ndarray, metric: str) -> float:
    error = rmse(obs, pred)
    if error == 0.0:
        remedy = "Check that the observed values were not passed twice."
        raise UndefinedMetric(f"{metric} is undefined: the predictions are exact", remedy=remedy)
    return error
