"""Other (f_SOC, c) that explain the same spectra with the same SOC: the degeneracy, as numbers for a figure."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from jaxsoil.runs.errors import DataError

if TYPE_CHECKING:
    from jaxsoil.data.twin.soil.make import TwinTruth


@dataclasses.dataclass(frozen=True, eq=False)
class Degeneracy:
    """p solutions, the true one first, of the same soils.

    Args:
      axis: (m,) nm.
      soc_rho_r: (p,) c, g cm-3 nm.
      f_soc: (p, m).
      reflectance: (p, q, m) of the q example soils under each solution.
      soc: (q,) % by mass of the example soils, the same under all.
      difference: (p,) largest |R - R of the truth| over all soils and bands.
      feasible: (p,) share of the soils in which no mass fraction is negative.
    """

    axis: NDArray[np.float64]
    soc_rho_r: NDArray[np.float64]
    f_soc: NDArray[np.float64]
    reflectance: NDArray[np.float64]
    soc: NDArray[np.float64]
    difference: NDArray[np.float64]
    feasible: NDArray[np.float64]


def degenerate_solutions(
    truth: TwinTruth, spared: Sequence[float] = (0.0, 0.01), *, examples: Sequence[float] = (0.2, 0.9, 0.99)
) -> Degeneracy:
    """Finds the solutions with the lowest and the highest c that leave every spectrum and every SOC as they are.

    A shift d of the minerals (``mixing.equivalent_solution``) changes m_k by m_SOC d_k, and 1 / c and f / c by
    amounts linear in d. Among the d with sum zero, 0 <= f <= 1 and no negative mass fraction, the extremes of 1 / c
    are found by linear programming.

    Args:
      truth: of a twin.
      spared: for each pair of solutions, the share of the soils that each mineral alone may drive below zero; 0 keeps
        all soils physical.
      examples: ranks in SOC (0 lowest, 1 highest) of the soils whose spectra are kept.

    Returns:
      The truth, then two solutions (lowest c, highest c) for each value of ``spared``.
    """
    shifts = [_extreme_shift(truth, share, sign) for share in spared for sign in (1.0, -1.0)]
    return _apply(truth, [np.zeros(truth.rho_r.size - 1), *shifts], examples)


def _extreme_shift(truth: TwinTruth, spared: float, sign: float) -> NDArray[np.float64]:
    """Returns d (K - 1,) with the largest (sign 1) or smallest (sign -1) 1 / c."""
    inverse, c = 1.0 / truth.rho_r[:-1], truth.soc_rho_r
    scaled = (truth.endmembers[:-1] * inverse[:, None]).T
    lowest = -np.quantile(truth.mass[:, :-1] / truth.mass[:, -1:], spared, axis=0)
    found = linprog(
        sign * inverse,
        # f / c - scaled @ d >= 0, and <= 1 / c - inverse @ d.
        A_ub=np.vstack([scaled, inverse - scaled]),
        b_ub=np.concatenate([truth.f_soc, 1.0 - truth.f_soc]) / c,
        A_eq=np.ones((1, inverse.size)),
        b_eq=[0.0],
        bounds=[(low, None) for low in lowest],
    )
    if not found.success:
        raise DataError(
            "no shift of the minerals was found",
            value=found.message,
            remedy="Give a twin whose true f_SOC lies within [0, 1].",
        )
    return found.x


def _apply(truth: TwinTruth, shifts: Sequence[NDArray[np.float64]], examples: Sequence[float]) -> Degeneracy:
    import jax
    import jax.numpy as jnp

    from jaxsoil.physics import mixing

    order = np.argsort(truth.mass[:, -1], kind="stable")
    rows = order[(np.array(examples) * (order.size - 1)).astype(int)]
    parts = []
    with jax.enable_x64(True):
        m, g, f = (jnp.asarray(part, jnp.float64) for part in (truth.mass, truth.rho_r, truth.endmembers))
        original = np.asarray(mixing.mix(m, g, f))
        for shift in shifts:
            mass, rho_r, spectra = mixing.equivalent_solution(m, g, f, jnp.asarray(shift))
            parts.append(
                [np.asarray(part) for part in (rho_r[-1], spectra[-1], mixing.mix(mass, rho_r, spectra), mass)]
            )
    return Degeneracy(
        axis=truth.axis,
        soc_rho_r=np.array([float(c) for c, *_ in parts]),
        f_soc=np.stack([f for _, f, _, _ in parts]),
        reflectance=np.stack([mixed[rows] for _, _, mixed, _ in parts]),
        soc=100.0 * truth.mass[rows, -1],
        difference=np.array([np.abs(mixed - original).max() for _, _, mixed, _ in parts]),
        # A mineral at its bound is zero up to rounding.
        feasible=np.array([np.mean((mass >= -1e-9).all(axis=1)) for *_, mass in parts]),
    )
