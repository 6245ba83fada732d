"""Encoder and decoders of the structured spectral reconstruction study (Coleman et al. 2024, section 2).

The layer order follows the study's published code as PROTOCOLS records it; the parameter counts are tested
against the closed form ``514 M + 513 K + 792,576`` (M bands, K endmembers, width 512).
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Shape of a network; everything here is static and belongs to the compiled program."""

    width: int = 512
    """Units of each hidden layer (paper: 512)."""
    hidden: int = 3
    """Hidden blocks after the first one (paper: 3)."""
    momentum: float = 0.9
    """Share of the old running statistics that BatchNorm keeps at each step."""
    decoder: Literal["none", "ann"] = "none"
    """What reconstructs the spectrum from the mass fractions."""


class _RemovedBias(nn.Module):
    """Adds a bias that the next BatchNorm takes out again: a parameter (it counts in the paper) without gradient.

    Its gradient is zero in exact arithmetic. In floating point it is rounding noise, which Adam scales up to full
    steps; running statistics lag behind those, and predictions would differ by a percent between machines.
    """

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],))
        return x + jax.lax.stop_gradient(bias)[None, :]


def _batch_norm(momentum: float, train: bool, use_bias: bool = True) -> nn.BatchNorm:
    return nn.BatchNorm(use_running_average=not train, momentum=momentum, epsilon=1e-5, use_bias=use_bias)


class Trunk(nn.Module):
    """BatchNorm -> (1 + hidden) x [Dense -> BatchNorm -> ReLU] -> Dense, shared by encoder and ANN decoder."""

    outputs: int
    width: int
    hidden: int
    momentum: float

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = _RemovedBias()(_batch_norm(self.momentum, train, use_bias=False)(x))
        for _ in range(1 + self.hidden):
            x = _RemovedBias()(nn.Dense(self.width, use_bias=False)(x))
            x = nn.relu(_batch_norm(self.momentum, train)(x))
        return nn.Dense(self.outputs)(x)


class Encoder(nn.Module):
    """Mass fractions from a spectrum; the last component is soil organic carbon.

    Maps reflectance ``(n, M)`` to mass fractions ``(n, K)`` that are positive and sum to one
    (LeakyReLU(0.01), then softmax).
    """

    components: int
    config: ModelConfig

    @nn.compact
    def __call__(self, reflectance: jax.Array, train: bool) -> jax.Array:
        c = self.config
        x = Trunk(self.components, c.width, c.hidden, c.momentum)(reflectance, train)
        return nn.softmax(nn.leaky_relu(x, 0.01))


class AnnDecoder(nn.Module):
    """Reflectance ``(n, M)`` from mass fractions ``(n, K)``: the encoder's shape with M and K swapped, sigmoid."""

    bands: int
    config: ModelConfig

    @nn.compact
    def __call__(self, mass: jax.Array, train: bool) -> jax.Array:
        c = self.config
        return nn.sigmoid(Trunk(self.bands, c.width, c.hidden, c.momentum)(mass, train))


class Autoencoder(nn.Module):
    """An encoder and, unless ``config.decoder`` is "none", a decoder.

    Returns the mass fractions ``(n, K)`` and the reconstructed reflectance ``(n, M)``, or None without a decoder.
    """

    components: int
    bands: int
    config: ModelConfig

    @nn.compact
    def __call__(self, reflectance: jax.Array, train: bool) -> tuple[jax.Array, jax.Array | None]:
        mass = Encoder(self.components, self.config, name="encoder")(reflectance, train)
        if self.config.decoder == "none":
            return mass, None
        return mass, AnnDecoder(self.bands, self.config, name="decoder")(mass, train)


def parameter_count(tree: object) -> int:
    """Number of scalars in a tree of arrays (or of their shapes)."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))
