"""The mixing model read backwards: abundances in a spectrum, and other (f_SOC, c) that explain the same spectra.

Abundances of minerals and SOC follow from known endmembers by non-negative least squares. The degeneracy is that other
(f_SOC, c) give the same spectra with the same SOC.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linprog, nnls

from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError
from jaxsoil.studies.reconstruction.soc_spectrum.direct import Floats

if TYPE_CHECKING:
    from jaxsoil.data.twin.soil.make import TwinTruth

CLOSURE = 10.0
"""Weight of the condition that area fractions sum to one, in units of one band of reflectance."""


def unmix(reflectance: Floats, endmembers: Floats, rho_r: Floats) -> Floats:
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
    for values, name in ((endmembers, "endmembers"), (rho_r, "values of rho r")):
        require.all_finite(values, name, remedy="Leave the estimate out that diverged.")
    system = np.vstack([endmembers.T, CLOSURE * np.ones((1, rho_r.size))])
    area = np.stack([nnls(system, np.append(row, CLOSURE))[0] for row in reflectance.astype(np.float64)])
    mass = area * rho_r
    return mass / np.maximum(mass.sum(axis=1, keepdims=True), 1e-300)


def abundance_error(true: Floats, found: Floats) -> Floats:
    """Returns the (K,) mean absolute errors of mass fractions (n, K)."""
    require.same_shape({"true abundances": true, "abundances": found}, remedy="Compare the same rows.")
    return np.mean(np.abs(true - found), axis=0)


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

    axis: Floats
    soc_rho_r: Floats
    f_soc: Floats
    reflectance: Floats
    soc: Floats
    difference: Floats
    feasible: Floats

    def arrays(self) -> dict[str, Floats]:
        """The fields, and ``physical_c`` and ``all_c`` (2,): lowest and highest c where all soils have masses of 0 and
        above, and of all solutions."""
        c, physical = self.soc_rho_r, self.soc_rho_r[self.feasible == 1.0]
        ends = {name: np.array([part.min(), part.max()]) for name, part in (("physical_c", physical), ("all_c", c))}
        return dataclasses.asdict(self) | ends


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


def _extreme_shift(truth: TwinTruth, spared: float, sign: float) -> Floats:
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
        remedy = "Give a twin whose true f_SOC lies within [0, 1]."
        raise DataError("no shift of the minerals was found", value=found.message, remedy=remedy)
    return found.x


def _apply(truth: TwinTruth, shifts: Sequence[Floats], examples: Sequence[float]) -> Degeneracy:
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
