"""Chatterjee's Xi: how far one quantity is a function of another, straight, curved or bent back.

Chatterjee (2020), "A new coefficient of correlation": 0 in the limit where the two are independent, 1 where the
second is a function of the first. It is not symmetric. SciPy has it for one pair; here all latent features meet
all bands, and what belongs to a band alone is ranked once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError

BIN_WIDTH = 25.0
"""Width of the bins in which bands are averaged, cm-1 (multi-fidelity paper, section 2.5)."""


def bin_spectra(spectra: ArrayLike, wavenumber: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Averages bands in bins from multiples of :data:`BIN_WIDTH` on (multi-fidelity paper, section 2.5, figure 3).

    Args:
      spectra: (n, M) spectra.
      wavenumber: (M,) axis, cm-1, ascending or descending.

    Returns:
      (B,) centres of the bins that hold a band, in the order of the axis, and (n, B) means.

    Raises:
      DataError: if shapes do not fit or the axis is not monotonic.
    """
    rows, axis = require.finite_rows(spectra, "spectra"), np.asarray(wavenumber, dtype=np.float64)
    steps = np.diff(axis)
    if axis.shape != rows.shape[1:] or not (bool((steps > 0.0).all()) or bool((steps < 0.0).all())):
        value = f"spectra {rows.shape}, axis {axis.shape}"
        remedy = "Pass (n, M) spectra and their (M,) axis, ascending or descending."
        raise DataError("spectra and axis do not belong together", value=value, remedy=remedy)
    # A band at the edge belongs to the bin above it, whatever the rounding of the axis.
    place = np.floor(np.round(axis / BIN_WIDTH, 9))
    starts = np.flatnonzero(np.concatenate([[True], np.diff(place) != 0.0]))
    counts = np.diff(np.append(starts, axis.size))
    return (place[starts] + 0.5) * BIN_WIDTH, np.add.reduceat(rows, starts, axis=1) / counts


def xi_matrix(x: ArrayLike, y: ArrayLike) -> np.ndarray:
    """Xi(x_k, y_b), how far each column of ``y`` is a function of each column of ``x``.

    Chatterjee (2020), the form for ties: ``1 - n sum |r_(i+1) - r_i| / (2 sum l_i (n - l_i))`` with rows sorted
    by x, r_i = #{y_j <= y_i} and l_i = #{y_j >= y_i}. Rows with equal x keep their order.

    Args:
      x: (n, K) or (n,) values.
      y: (n, B) or (n,) values of the same rows.

    Returns:
      (K, B); NaN where a column does not vary.

    Raises:
      DataError: if the rows differ in number, are fewer than two, or a value is not finite.
    """
    from scipy.stats import rankdata

    given = (np.asarray(v)[:, None] if np.ndim(v) == 1 else v for v in (x, y))
    first, second = (require.finite_rows(v, name, least=2) for v, name in zip(given, ("x", "y"), strict=True))
    require.same_length({"x": first, "y": second}, remedy="Pass latents and spectra of the same samples.")
    n = first.shape[0]
    rank = rankdata(second, method="max", axis=0).astype(np.int32)
    at_least = rankdata(-second, method="max", axis=0).astype(np.int64)
    most = 2.0 * np.sum(at_least * (n - at_least), axis=0, dtype=np.float64)
    moved = np.empty((first.shape[1], second.shape[1]))
    for column, order in enumerate(np.argsort(first, axis=0, kind="stable").T):
        moved[column] = np.abs(np.diff(rank[order], axis=0)).sum(axis=0, dtype=np.int64)
    with np.errstate(divide="ignore", invalid="ignore"):
        xi = 1.0 - n * moved / most
    xi[:, most == 0.0] = np.nan
    xi[np.ptp(first, axis=0) == 0.0] = np.nan
    return xi
