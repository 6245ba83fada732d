"""How far converted spectra are from observed ones, band by band, and whether their stated SD is honest."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError

LEVELS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Nominal coverages at which calibration is looked at."""


def conversion_tables(
    wavenumber: ArrayLike, observed: ArrayLike, converted: ArrayLike, sd: ArrayLike
) -> dict[str, pd.DataFrame]:
    """How far converted spectra lie from observed ones, and whether their stated standard deviation is honest.

    Args:
      wavenumber: (M,) axis, cm-1.
      observed, converted: (n, M) spectra of the same samples in one unit.
      sd: (n, M) stated standard deviation of the converted spectra.

    Returns:
      "conversion", a row for each band (figure 4 of the multi-fidelity paper): ``wavenumber, mean_difference,
      sd_difference, sd_predicted, coverage_90, rmse``, of converted - observed (n - 1 in the SD; NaN for one sample),
      ``sd_predicted`` the root of the mean stated variance.
      "conversion_scores": ``rmse, rmse_of_mean`` (of the mean observed spectrum in place of each converted one) and
      ``widening``, the factor by which the stated SD would have to grow for its mean square to match the errors; 1
      where the two agree, infinite where every stated SD is zero; means over bands of ``sd_difference, sd_predicted,
      coverage_90`` and of ``size``, the absolute ``mean_difference``.
      "calibration", a row for each of :data:`LEVELS`: ``nominal, low, mean, high``, the share of samples inside the
      stated interval, mean and 10th and 90th percentile over bands.

    Raises:
      DataError: if shapes do not fit, a value is not finite or a standard deviation is negative.
    """
    gap, stated = _errors(observed, converted, sd)
    axis = np.asarray(wavenumber, dtype=np.float64)
    if axis.shape != gap.shape[1:]:
        raise DataError("the axis has another number of bands", value=axis.shape, remedy="Pass the spectra's axis.")
    from scipy.special import ndtri

    # Mean squares are taken in the precision of the spectra.
    first, second = np.asarray(observed), np.asarray(converted)
    squares, of_mean = np.square(second - first), np.square(first - first.mean(axis=0))
    # An SD of 0 covers an exact value alone.
    reached = np.stack([np.mean(np.abs(gap) <= ndtri(0.5 + 0.5 * level) * stated, axis=0) for level in LEVELS])
    variance = np.square(stated)
    low, high = np.percentile(reached, [10.0, 90.0], axis=1)
    bands = {
        "wavenumber": axis,
        "mean_difference": gap.mean(axis=0),
        "sd_difference": gap.std(axis=0, ddof=1) if len(gap) > 1 else np.nan,
        "sd_predicted": np.sqrt(variance.mean(axis=0)),
        "coverage_90": reached[LEVELS.index(0.9)],
        "rmse": np.sqrt(squares.mean(axis=0)),
    }
    widening = np.sqrt(np.square(gap).mean() / variance.mean()) if variance.any() else np.inf
    scores = {"rmse": np.sqrt(squares.mean()), "rmse_of_mean": np.sqrt(of_mean.mean()), "widening": widening}
    table = pd.DataFrame(bands)
    means = table.assign(size=table["mean_difference"].abs())
    means = means[["size", "sd_difference", "sd_predicted", "coverage_90"]].mean().to_dict()
    curve = {"nominal": LEVELS, "low": low, "mean": reached.mean(axis=1), "high": high}
    return {
        "conversion": table,
        "conversion_scores": pd.DataFrame([scores | means]),
        "calibration": pd.DataFrame(curve),
    }


def _errors(observed: ArrayLike, converted: ArrayLike, sd: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Errors of conversion and their stated standard deviations, (n, M) each."""
    names = ("observed spectra", "converted spectra")
    first, second = require.pair(observed, converted, names=names, ndim=2)
    stated = require.finite_rows(sd, "stated standard deviations")
    require.same_shape({"converted spectra": second, "stated standard deviations": stated})
    require.not_negative(stated, "stated standard deviations", remedy="Pass SDs, not logarithms.")
    return second - first, stated
