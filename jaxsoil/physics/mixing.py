"""Areal mixing of soil endmembers: mass fractions and endmember spectra to the reflectance of the mixture.

The model is that of the structured reconstruction study, its physics decoder: a grain of
endmember k with density rho_k and characteristic length r_k = V_k^(1/3) (V the unit-cell volume) shows a
surface proportional to m_k / (rho_k r_k), and the mixture reflects as the surface-weighted mean,

    alpha_k = (m_k / (rho_k r_k)) / sum_l (m_l / (rho_l r_l)),        R = alpha F.

rho r has the unit g cm-3 nm = mg m-2. Only its ratios between endmembers matter for R.

Plain functions of arrays, without state: they trace, differentiate and vmap in float32 and in float64.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def area_fractions(mass: Float[Array, "*batch k"], rho_r: Float[Array, " k"]) -> Float[Array, "*batch k"]:
    """Returns the share of the visible surface that each endmember takes.

    Args:
      mass: mass fractions, non-negative; they need not sum to one, since the common factor cancels.
      rho_r: density times characteristic length of each endmember, g cm-3 nm, positive.

    Returns:
      Area fractions, which sum to one along the last axis; NaN where all mass fractions are zero.

    Equal masses of a light and of a three times heavier endmember: the light one covers three quarters.

    >>> area_fractions(jnp.array([0.5, 0.5]), jnp.array([1.0, 3.0])).tolist()
    [0.75, 0.25]
    """
    surface = mass / jnp.broadcast_to(rho_r, mass.shape)
    return surface / jnp.broadcast_to(jnp.sum(surface, axis=-1, keepdims=True), mass.shape)


def mix(
    mass: Float[Array, "*batch k"], rho_r: Float[Array, " k"], endmembers: Float[Array, "k m"]
) -> Float[Array, "*batch m"]:
    """Returns the reflectance of the mixtures.

    Args:
      mass: mass fractions.
      rho_r: density times characteristic length, g cm-3 nm.
      endmembers: reflectance of each endmember, a fraction.
    """
    # Accelerators round float32 factors to fewer bits by default: more reflectance than a good spectrometer's noise.
    return jnp.matmul(area_fractions(mass, rho_r), endmembers, precision=jax.lax.Precision.HIGHEST)


def equivalent_solution(
    mass: Float[Array, "*batch k"],
    rho_r: Float[Array, " k"],
    endmembers: Float[Array, "k m"],
    shift: Float[Array, " k-1"],
) -> tuple[Float[Array, "*batch k"], Float[Array, " k"], Float[Array, "k m"]]:
    """Returns another (mass, rho_r, endmembers) with the same spectra and the same SOC: the degeneracy.

    SOC is the last endmember, with spectrum f and rho r = c. For any shift d of the minerals with sum d_k = 0,

        m_k' = m_k + m_SOC d_k,   1/c' = 1/c - sum d_k / g_k,   f'/c' = f/c - sum (d_k / g_k) f_k,   g = rho r,

    leaves R and m_SOC unchanged, so reflectance and SOC alone determine neither f nor c. The result may be
    unphysical (a negative mass or reflectance): only those bounds act against the shift.

    Args:
      mass: mass fractions, SOC last.
      rho_r: density times characteristic length, g cm-3 nm, SOC last.
      endmembers: reflectance of each endmember, SOC last.
      shift: d of the minerals; its mean is taken off, so that it sums to zero.
    """
    shift = shift - jnp.broadcast_to(jnp.mean(shift, keepdims=True), shift.shape)
    soc = mass[..., -1:]
    minerals = mass[..., :-1] + soc * jnp.broadcast_to(shift, mass[..., :-1].shape)
    weight = shift / rho_r[:-1]
    inverse = 1.0 / rho_r[-1:] - jnp.sum(weight, keepdims=True)
    spectrum = endmembers[-1] / jnp.broadcast_to(rho_r[-1:], endmembers[-1].shape) - weight @ endmembers[:-1]
    spectrum = spectrum / jnp.broadcast_to(inverse, spectrum.shape)
    return (
        jnp.concatenate([minerals, soc], axis=-1),
        jnp.concatenate([rho_r[:-1], 1.0 / inverse]),
        jnp.concatenate([endmembers[:-1], spectrum[None, :]]),
    )
