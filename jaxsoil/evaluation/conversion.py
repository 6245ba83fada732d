"""How far converted spectra are from observed ones, band by band, and whether their stated SD is honest."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError

COLUMNS = ("wavenumber", "mean_difference", "sd_difference", "sd_predicted", "coverage_90")
"""Columns of :func:`band_table`."""

LEVELS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Nominal coverages at which calibration is looked at."""

_NAMES = ("observed spectra", "converted spectra")


def band_table(
    wavenumber: ArrayLike, observed: ArrayLike, converted: ArrayLike, sd: ArrayLike | None = None
) -> pd.DataFrame:
    """A row for each band, with :data:`COLUMNS` (figure 4 of the multi-fidelity paper, and coverage beyond it).

    Args:
      wavenumber: (M,) axis, cm-1.
      observed, converted: (n, M) spectra of the same samples in one unit.
      sd: (n, M) stated standard deviation of the converted spectra; without it the last two columns are NaN.

    Raises:
      DataError: if shapes do not fit, a value is not finite or a standard deviation is negative.
    """
    mean, deviation = difference(observed, converted)
    axis = np.asarray(wavenumber, dtype=np.float64)
    if axis.shape != mean.shape:
        raise DataError("the axis has another number of bands", value=axis.shape, remedy="Pass the spectra's axis.")
    table = pd.DataFrame({"wavenumber": axis, "mean_difference": mean, "sd_difference": deviation})
    if sd is None:
        return table.assign(sd_predicted=np.nan, coverage_90=np.nan)
    squared = np.square(np.asarray(sd, dtype=np.float64))
    return table.assign(sd_predicted=np.sqrt(squared.mean(axis=0)), coverage_90=coverage(observed, converted, sd, 0.9))


def difference(observed: ArrayLike, converted: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (n - 1; NaN for one sample) of converted - observed in each band, (M,) each."""
    first, second = require.pair(observed, converted, names=_NAMES, ndim=2)
    gap = second - first
    return gap.mean(axis=0), gap.std(axis=0, ddof=1) if len(gap) > 1 else np.full(gap.shape[1], np.nan)


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


def calibration(
    observed: ArrayLike, converted: ArrayLike, sd: ArrayLike, levels: ArrayLike = LEVELS
) -> tuple[np.ndarray, np.ndarray]:
    """Coverage that was reached against coverage that was stated.

    Args:
      observed, converted, sd: as in :func:`coverage`.
      levels: (L,) nominal coverages.

    Returns:
      (L,) nominal coverages and (L, M) shares of samples covered in each band.

    Raises:
      DataError: as :func:`coverage`.
    """
    nominal = np.asarray(levels, dtype=np.float64)
    return nominal, np.stack([coverage(observed, converted, sd, float(level)) for level in nominal])


def widening(observed: ArrayLike, converted: ArrayLike, sd: ArrayLike) -> float:
    """Factor by which the stated standard deviation would have to grow for its mean square to match the errors.

    The root of mean((converted - observed)^2) / mean(sd^2) over samples and bands; 1 where the two agree, infinite
    where every stated standard deviation is zero.
    """
    error, stated = (float(np.mean(np.square(part))) for part in _errors(observed, converted, sd))
    return float(np.sqrt(error / stated)) if stated > 0.0 else float("inf")


def _errors(observed: ArrayLike, converted: ArrayLike, sd: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Errors of conversion and their stated standard deviations, (n, M) each."""
    first, second = require.pair(observed, converted, names=_NAMES, ndim=2)
    stated = require.finite_rows(sd, "stated standard deviations")
    require.same_shape({"converted spectra": second, "stated standard deviations": stated})
    require.not_negative(stated, "stated standard deviations", remedy="Pass SDs, not logarithms.")
    return second - first, stated
