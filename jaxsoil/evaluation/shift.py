"""Prediction intervals on soils unlike those of the calibration: by region, and weighted for a covariate shift.

A :class:`Calibration` holds the residuals of rows whose region the model behind them had not seen, and what
:func:`intervals` needs to make intervals of new predictions by one of :data:`METHODS`:

* ``split``: rows are taken as exchangeable, which rows of a new region are not. The reference.
* ``region``: regions are taken as exchangeable. The score of a region is the smallest half width that covers
  ``share`` of its rows. Of K + 1 exchangeable scores the new region's is, with probability at least ``level``, no
  larger than the ceil((K + 1) level)-th smallest of the K known ones, so that with this probability at least ``share``
  of the rows of a new region are covered. No level above K / (K + 1) exists. Prediction sets for new groups are the
  subject of Dunn, Wasserman and Ramdas (arXiv 1809.07441) and of Lee, Barber and Willett (arXiv 2306.06342).
* ``classifier`` and ``density``: rows count by the likelihood ratio w of new against calibration spectra (Tibshirani,
  Barber, Candes and Ramdas, Conformal prediction under covariate shift, NeurIPS 2019). The half width of a new row x is
  the smallest score r with sum of w_i over scores up to r >= level (sum of all w_i + w(x)). It is infinite where there
  is none, and where the weights amount to fewer rows than the level / (1 - level) that equal weights would need, which
  clipped ratios alone would hide. The guarantee holds for known ratios and for SOC that depends on the spectrum alike
  in both; with estimated, clipped ratios and soils of another region the intervals are a heuristic.

Split, Mondrian and cross-conformal forms without regions or weights are in :mod:`jaxsoil.evaluation.conformal`.
Everything is float64 on the host, and nothing is random.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from jaxsoil.evaluation.conformal import conformal_quantile
from jaxsoil.evaluation.results import SOC_FLOOR, log10_percent
from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError, intact

Method = Literal["split", "region", "classifier", "density"]
METHODS: tuple[Method, ...] = get_args(Method)

Scale = Literal["log10", "unit"]
SCALES: tuple[Scale, ...] = get_args(Scale)

SHARE = 0.8
"""Share of a new region's rows that ``region`` intervals are to cover."""

CLIP = 10.0
"""Likelihood ratios are moved into [1 / CLIP, CLIP]: beyond that an estimate says no more than "much"."""

REGULARISATION = 0.1
"""Inverse strength C of the classifier's L2 penalty, on features of unit variance."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Sorted residuals of rows whose region the model had not seen; plain arrays and facts, which a file can hold.

    Attributes:
      residuals: (n,) |observed - predicted| on the modelling scale, ascending.
      regions: (n,) region of each row, as text.
      features: (n, d) what the likelihood ratios are taken of, such as ``SpectralSpace.scores``: about unit variance.
      scale: "log10" (intervals are multiplicative) or "unit".
      floor: smallest value that log10 tells apart, in the property's unit.
      spread: (d, d) shrunk covariance of the features where a file holds it; None: :attr:`covariance` computes it.
    """

    residuals: np.ndarray
    regions: np.ndarray
    features: np.ndarray
    scale: Scale = "log10"
    floor: float = SOC_FLOOR
    spread: np.ndarray | None = None

    def __post_init__(self) -> None:
        require.same_length({"residuals": self.residuals, "regions": self.regions, "features": self.features})
        require.not_negative(require.vector(self.residuals, "residuals", least=1), "residuals", remedy="Pass |y - f|.")
        require.finite_rows(self.features, "features")
        require.known(self.scale, SCALES, "unknown modelling scale")
        if self.spread is not None:
            d = self.features.shape[1]
            known = require.finite_rows(self.spread, "covariances of the features", features=d)
            if known.shape != (d, d) or not np.allclose(known, known.T) or np.linalg.eigvalsh(known)[0] < -1e-12:
                remedy, value = "Make the calibration with Calibration.of, or write the bundle again.", known.shape
                raise DataError("the covariance of the features is not one", value=f"shape {value}", remedy=remedy)
        if np.any(np.diff(self.residuals) < 0.0):
            remedy = "Make it with Calibration.of, or write the bundle again."
            raise DataError("the residuals of a calibration are not ascending", remedy=remedy)

    @classmethod
    def of(
        cls,
        observed: ArrayLike,
        predicted: ArrayLike,
        regions: ArrayLike,
        features: ArrayLike,
        scale: Scale = "log10",
        floor: float = SOC_FLOOR,
    ) -> Calibration:
        """Calibrates on rows predicted by models that had not seen their region.

        Values (n,) are in the property's unit; ``features`` (n, d), ``scale`` and ``floor`` as above.

        Raises:
          DataError: lengths that differ, no row, a value that is not finite.
        """
        require.known(scale, SCALES, "unknown modelling scale")
        pair = require.pair(observed, predicted)
        residuals = np.abs(np.subtract(*(_to_scale(values, scale, floor) for values in pair)))
        names, rows = np.asarray(regions).astype(str), np.asarray(features, dtype=np.float64)
        require.same_length({"residuals": residuals, "regions": names, "features": rows})
        order = np.argsort(residuals, kind="stable")
        return cls(residuals[order], names[order], rows[order], scale, floor)

    @property
    def most(self) -> float:
        """K / (K + 1), the highest level of ``region`` intervals with K regions."""
        return 1.0 - 1.0 / (np.unique(self.regions).size + 1)

    @functools.cached_property
    def covariance(self) -> np.ndarray:
        """(d, d) covariance of the features, shrunk after Ledoit and Wolf."""
        return _spread(self.features) if self.spread is None else self.spread

    def arrays(self) -> dict[str, np.ndarray]:
        """What an ``.npz`` file holds of it, beside :meth:`facts`; the covariance, whose library loads for a second."""
        own = {"residuals": self.residuals, "regions": self.regions, "features": self.features}
        return own | ({"spread": self.covariance} if len(self.features) > 1 else {})

    def facts(self) -> dict[str, Any]:
        """What a JSON file holds of it."""
        return {"scale": self.scale, "floor": self.floor}

    @classmethod
    def read(cls, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> Calibration:
        """What :meth:`arrays` and :meth:`facts` came from; DataError where an entry is missing or none."""
        with intact("a calibration is not complete"):
            parts = (arrays["residuals"], arrays["regions"].astype(str), arrays["features"])
            spread = arrays["spread"] if len(arrays["features"]) > 1 else None
            return cls(*parts, facts["scale"], float(facts["floor"]), spread)


@dataclass(frozen=True, eq=False)
class Intervals:
    """Prediction intervals of t rows.

    Attributes:
      low, high: (t,) ends in the property's unit; 0 (or -inf) and inf where the interval is unbounded.
      half: (t,) half width on the modelling scale; infinite where the calibration cannot tell.
      effective_n: what they rest on: rows (``split``), regions (``region``) or (sum w)^2 / sum w^2 before w is clipped.
      method: how they were made.
      level: nominal.
    """

    low: np.ndarray
    high: np.ndarray
    half: np.ndarray
    effective_n: float
    method: Method
    level: float

    @property
    def unbounded(self) -> np.ndarray:
        """Rows (t,) to be flagged: their weight is more than the calibration can answer for."""
        return ~np.isfinite(self.half)


def intervals(
    calibration: Calibration,
    predictions: ArrayLike,
    features: ArrayLike,
    level: float,
    method: Method,
) -> Intervals:
    """Intervals of new predictions.

    Args:
      calibration: residuals and their features.
      predictions: (t,) in the property's unit.
      features: (t, d) of the same rows. ``classifier`` compares them as a batch with those of the calibration and takes
        a sample of the new soils; ``density`` goes down to a single row.
      level: nominal coverage of rows; for ``region`` the probability that :data:`SHARE` of a new region is covered.
      method: one of :data:`METHODS`.

    Raises:
      DataError: a level that no interval can have, features of another kind, a prediction that is not finite.
    """
    require.known(method, METHODS, "unknown method of intervals")
    centre = require.vector(predictions, "predictions", least=1)
    new = require.finite_rows(features, "features", features=calibration.features.shape[1])
    require.same_length({"predictions": centre, "features": new})
    if method == "split":
        half, effective = conformal_quantile(calibration.residuals, level), float(calibration.residuals.size)
    elif method == "region":
        half, effective = region_quantile(calibration.residuals, calibration.regions, level)
    else:
        if method == "classifier":
            found = classifier_ratios(calibration.features, new)
        else:
            found = density_ratios(calibration.features, new, calibration.covariance)
        weights, own = (np.clip(part, 1.0 / CLIP, CLIP) for part in found)
        half, effective = weighted_quantile(calibration.residuals, weights, own, level), effective_size(found[0])
        if effective < level / (1.0 - level):
            half = np.inf
    half = np.broadcast_to(half, centre.shape).astype(np.float64)
    middle = _to_scale(centre, calibration.scale, calibration.floor)
    ends = (middle - half, middle + half)
    low, high = (10.0**end for end in ends) if calibration.scale == "log10" else ends
    return Intervals(low, high, half, effective, method, level)


def region_quantile(
    residuals: ArrayLike, regions: ArrayLike, level: float, share: float = SHARE
) -> tuple[float, float]:
    """Half width that covers ``share`` of a new region's rows with probability ``level``, and the number of regions.

    Regions (n,) of the residuals are exchangeable, rows within them need not be; ``level`` is at most K / (K + 1).

    Raises:
      DataError: a level above K / (K + 1).
    """
    require.between_0_and_1(level, "level")
    require.between_0_and_1(share, "share")
    values, names = require.vector(residuals, "residuals", least=1), np.asarray(regions)
    require.same_length({"residuals": values, "regions": names})
    inside = [np.sort(values[names == name]) for name in np.unique(names)]
    scores = [rows[math.ceil(share * rows.size - 1e-9) - 1] for rows in inside]
    half = conformal_quantile(scores, level)
    if not math.isfinite(half):
        most = len(scores) / (len(scores) + 1)
        problem = f"{len(scores)} calibration regions allow a level of at most {most:.4g} for a new region"
        remedy = "Lower the level, calibrate on more regions, or use a weighted method as a heuristic."
        raise DataError(problem, value=level, remedy=remedy)
    return half, float(len(scores))


def weighted_quantile(scores: ArrayLike, weights: ArrayLike, own: ArrayLike, level: float) -> np.ndarray:
    """Half widths (t,) by weighted conformal prediction; equal weights give ``conformal.conformal_quantile``.

    Args:
      scores: (n,) of the calibration rows.
      weights: (n,) their likelihood ratios, positive, on any common scale with ``own``.
      own: (t,) likelihood ratios of the new rows.
      level: nominal coverage.

    Returns:
      The smallest score up to which the weights reach level (sum of weights + own), infinite where they never do.
    """
    require.between_0_and_1(level, "level")
    values, w, mine = require.vector(scores, "scores", least=1), *(require.vector(x, "weights") for x in (weights, own))
    require.same_length({"scores": values, "weights": w})
    for part in (w, mine):
        require.positive(part, "weights", remedy="Clip the likelihood ratios above zero.")
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(w[order])
    # The last sum is the total; a needed sum that equals one but for rounding must not ask for the next score.
    place = np.searchsorted(reached, level * (reached[-1] + mine) * (1.0 - 1e-12))
    return np.append(values[order], np.inf)[place]


def effective_size(weights: ArrayLike) -> float:
    """(sum w)^2 / sum w^2: how many equal rows weigh as much."""
    w = require.vector(weights, "weights", least=1)
    w = w / w.max()  # squares of tiny ratios would vanish
    return float(w.sum() ** 2 / np.sum(w**2))


def classifier_ratios(calibration: ArrayLike, new: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Likelihood ratios of new against calibration rows by logistic regression with an L2 penalty.

    Features (n, d) have about unit variance; the new ones (t, d) are a sample of the new soils. Returns the ratios of
    the calibration rows (n,) and of the new ones (t,): odds of being new, times n / t.
    """
    from sklearn.linear_model import LogisticRegression

    known, other = _pair(calibration, new)
    rows, label = np.concatenate([known, other]), np.repeat([0, 1], [len(known), len(other)])
    model = LogisticRegression(C=REGULARISATION, max_iter=1000).fit(rows, label)
    ratios = np.exp(np.minimum(model.decision_function(rows), 700.0)) * len(known) / len(other)
    return ratios[: len(known)], ratios[len(known) :]


def density_ratios(
    calibration: ArrayLike, new: ArrayLike, covariance: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Likelihood ratios by one Gaussian for each set; that of few new rows is shrunk towards the calibration's.

    With t new rows of d features the covariance is t / (t + d) their own, and their mean is moved towards the
    calibration's by the positive-part factor of James and Stein, max(0, 1 - (d - 2) / (t D^2)) of the squared
    Mahalanobis distance D^2 between the means. So a single row has a density too, and one like the calibration rows
    leaves their weights nearly equal. ``covariance`` (d, d) is that of the calibration rows, shrunk; None: computed.
    Returns the ratios of the calibration rows (n,) and of the new ones (t,).
    """
    known, other = _pair(calibration, new)
    (t, d), centre = other.shape, known.mean(axis=0)
    spread = (_spread(known) if covariance is None else covariance) + 1e-9 * np.eye(d)
    moved = other.mean(axis=0) - centre
    squared = float(moved @ np.linalg.solve(spread, moved))
    moved *= max(0.0, 1.0 - max(d - 2, 0) / max(t * squared, 1e-12))
    blended = (d * spread + t * np.atleast_2d(np.cov(other.T, bias=True))) / (t + d)
    ratios = [
        np.exp(np.clip(_log_density(x, centre + moved, blended) - _log_density(x, centre, spread), -700.0, 700.0))
        for x in (known, other)
    ]
    return ratios[0], ratios[1]


def _spread(features: np.ndarray) -> np.ndarray:
    from sklearn.covariance import ledoit_wolf

    return ledoit_wolf(features)[0]


def _log_density(x: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Logarithm of a Gaussian density (n,), but for a constant that ratios lose."""
    root = np.linalg.cholesky(covariance)
    return -0.5 * np.sum(np.linalg.solve(root, (x - mean).T) ** 2, axis=0) - np.log(np.diag(root)).sum()


def _pair(calibration: ArrayLike, new: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    known = require.finite_rows(calibration, "features of the calibration", least=2)
    return known, require.finite_rows(new, "features", features=known.shape[1])


def _to_scale(values: np.ndarray, scale: Scale, floor: float) -> np.ndarray:
    return log10_percent(values, floor) if scale == "log10" else values
