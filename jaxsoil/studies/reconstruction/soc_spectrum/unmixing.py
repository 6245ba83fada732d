"""Abundances of minerals and SOC in a spectrum, by non-negative least squares with known endmembers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from jaxsoil.runs.errors import DataError

CLOSURE = 10.0
"""Weight of the condition that area fractions sum to one, in units of one band of reflectance."""


def unmix(
    reflectance: NDArray[np.float64], endmembers: NDArray[np.float64], rho_r: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Returns the (n, K) mass fractions that explain spectra, each row summing to one.

    The area fractions of the mixing model are fitted (alpha F = R, alpha >= 0, sum alpha = 1), then turned into
    mass by m_k proportional to alpha_k (rho r)_k.

    Args:
      reflectance: (n, m).
      endmembers: (K, m), with SOC as one of them.
      rho_r: (K,) g cm-3 nm, positive.

    Raises:
      DataError: endmembers on another axis, or values that are not finite.
    """
    if reflectance.ndim != 2 or endmembers.shape != (rho_r.size, reflectance.shape[1]):
        raise DataError(
            "spectra and endmembers do not belong together",
            value=f"spectra {reflectance.shape}, endmembers {endmembers.shape}, rho r {rho_r.shape}",
            remedy="Give endmembers on the axis of the spectra, and one rho r for each.",
        )
    if not (np.isfinite(endmembers).all() and np.isfinite(rho_r).all()):
        raise DataError("an endmember is not finite", remedy="Leave the estimate out that diverged.")
    system = np.vstack([endmembers.T, CLOSURE * np.ones((1, rho_r.size))])
    area = np.stack([nnls(system, np.append(row, CLOSURE))[0] for row in reflectance.astype(np.float64)])
    mass = area * rho_r
    return mass / np.maximum(mass.sum(axis=1, keepdims=True), 1e-300)


def abundance_error(true: NDArray[np.float64], found: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the (K,) mean absolute errors of mass fractions (n, K)."""
    if true.shape != found.shape:
        raise DataError(
            "abundances of different shapes", value=f"{true.shape} and {found.shape}", remedy="Compare the same rows."
        )
    return np.mean(np.abs(true - found), axis=0)
