"""Losses of the reconstruction study."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def soc_term(observed: jax.Array, predicted: jax.Array, sigma: float) -> jax.Array:
    """First term of Eq. 1: mean squared error of SOC in units of its standard error.

    Args:
      observed: SOC mass fractions ``(n,)`` of labelled rows.
      predicted: predicted mass fractions ``(n,)``.
      sigma: standard error of a SOC measurement, mass fraction (paper: 0.0041).

    Source: Coleman et al. 2024, Eq. 1.
    """
    _same_shape(observed, predicted)
    return jnp.mean(jnp.square(observed - predicted)) / sigma**2


def spectrum_term(observed: jax.Array, reconstructed: jax.Array, sigma: float) -> jax.Array:
    """Second term of Eq. 1: mean squared error of reflectance ``(n, M)`` in units of its standard error (0.01)."""
    _same_shape(observed, reconstructed)
    return jnp.mean(jnp.square(observed - reconstructed)) / sigma**2


def outside_unit_interval(f_soc: jax.Array) -> jax.Array:
    """Sum of squares by which a learned spectrum ``(M,)`` leaves [0, 1], times 1000.

    The published code multiplies the loss of the physics decoder by one plus this.
    """
    below, above = jnp.minimum(f_soc, 0.0), jnp.maximum(f_soc - 1.0, 0.0)
    return 1000.0 * (jnp.sum(jnp.square(below)) + jnp.sum(jnp.square(above)))


def mineral_divergence(mass: jax.Array, shares: jax.Array) -> jax.Array:
    """Mean Kullback-Leibler divergence of each soil's mineral part from a mean mineral soil, in nats.

    Args:
      mass: mass fractions ``(n, K)``, SOC last.
      shares: shares of the K - 1 minerals in the mean soil ``(K - 1,)``, positive, summing to one.

    It is no part of the paper: ours, against the degeneracy of the mixing decoder (docs/soc_spectrum.md).
    """
    minerals = mass[:, :-1]
    _same_shape(minerals[0], shares)
    own = minerals / jnp.broadcast_to(jnp.sum(minerals, axis=1, keepdims=True), minerals.shape)
    # A softmax may underflow to zero, where u ln u is zero and the gradient of its logarithm is not finite.
    safe = jnp.maximum(own, 1e-12)
    return jnp.mean(jnp.sum(own * (jnp.log(safe) - jnp.log(shares)[None, :]), axis=1))


def _same_shape(a: jax.Array, b: jax.Array) -> None:
    if a.shape != b.shape:
        raise ValueError(f"Shapes {a.shape} and {b.shape} differ; pass two arrays of one shape, none is broadcast.")
