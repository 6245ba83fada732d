"""How far converted spectra are from observed ones, band by band, and whether their stated SD is honest."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError

LEVELS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Nominal coverages at which calibration is looked at."""


def band_table(wavenumber: ArrayLike, observed: ArrayLike, converted: ArrayLike, sd: ArrayLike) -> pd.DataFrame:
    """A row for each band (figure 4 of the multi-fidelity paper, and coverage beyond it).

    Args:
      wavenumber: (M,) axis, cm-1.
      observed, converted: (n, M) spectra of the same samples in one unit.
      sd: (n, M) stated standard deviation of the converted spectra.

    Returns:
      Rows ``wavenumber, mean_difference, sd_difference, sd_predicted, coverage_90``: converted - observed (n - 1 in
      the SD; NaN for one sample), and the root of the mean stated variance.

    Raises:
      DataError: if shapes do not fit, a value is not finite or a standard deviation is negative.
    """
    gap, stated = _errors(observed, converted, sd)
    axis = np.asarray(wavenumber, dtype=np.float64)
    if axis.shape != gap.shape[1:]:
        raise DataError("the axis has another number of bands", value=axis.shape, remedy="Pass the spectra's axis.")
    return pd.DataFrame(
        {
            "wavenumber": axis,
            "mean_difference": gap.mean(axis=0),
            "sd_difference": gap.std(axis=0, ddof=1) if len(gap) > 1 else np.nan,
            "sd_predicted": np.sqrt(np.square(stated).mean(axis=0)),
            "coverage_90": coverage(observed, converted, sd, 0.9),
        }
    )


def coverage(observed: ArrayLike, converted: ArrayLike, sd: ArrayLike, level: float = 0.9) -> np.ndarray:
    """Share of samples whose observed value lies in the central Gaussian interval of ``level``, (M,) by band.

    Args:
      observed, converted: (n, M) spectra of the same samples in one unit.
      sd: (n, M) stated standard deviation; where it is 0 only an exact value is covered.
      level: nominal coverage, between 0 and 1.

    Raises:
      DataError: if shapes do not fit, a value is not finite, a standard deviation is negative or the level is wrong.
    """
    from scipy.special import ndtri

    error, stated = _errors(observed, converted, sd)
    require.between_0_and_1(level, "coverage")
    return np.mean(np.abs(error) <= ndtri(0.5 + 0.5 * level) * stated, axis=0)


def calibration(observed: ArrayLike, converted: ArrayLike, sd: ArrayLike) -> pd.DataFrame:
    """Coverage that was reached against coverage that was stated; arguments and errors as in :func:`coverage`.

    Returns:
      For each of :data:`LEVELS` a row ``nominal, low, mean, high``: the share of samples covered, mean and 10th and
      90th percentile over bands.
    """
    reached = np.stack([coverage(observed, converted, sd, level) for level in LEVELS])
    low, high = np.percentile(reached, [10.0, 90.0], axis=1)
    return pd.DataFrame({"nominal": LEVELS, "low": low, "mean": reached.mean(axis=1), "high": high})


def widening(observed: ArrayLike, converted: ArrayLike, sd: ArrayLike) -> float:
    """Factor by which the stated standard deviation would have to grow for its mean square to match the errors.

    The root of mean((converted - observed)^2) / mean(sd^2) over samples and bands; 1 where the two agree, infinite
    where every stated standard deviation is zero.
    """
    error, stated = (float(np.mean(np.square(part))) for part in _errors(observed, converted, sd))
    return float(np.sqrt(error / stated)) if stated > 0.0 else float("inf")


def _errors(observed: ArrayLike, converted: ArrayLike, sd: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Errors of conversion and their stated standard deviations, (n, M) each."""
    names = ("observed spectra", "converted spectra")
    first, second = require.pair(observed, converted, names=names, ndim=2)
    stated = require.finite_rows(sd, "stated standard deviations")
    require.same_shape({"converted spectra": second, "stated standard deviations": stated})
    require.not_negative(stated, "stated standard deviations", remedy="Pass SDs, not logarithms.")
    return second - first, stated
