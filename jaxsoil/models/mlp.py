"""Small networks from spectra or latent features to soil properties: a multilayer perceptron and convolutions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax

from jaxsoil.models.config import Activation


def activation(name: Activation) -> Callable[[jax.Array], jax.Array]:
    """The function of a name."""
    return {"relu": nn.relu, "gelu": nn.gelu, "silu": nn.silu, "tanh": nn.tanh}[name]


class Mlp(nn.Module):
    """Widths x [Dense -> activation -> (dropout)] -> Dense.

    Maps ``(n, p)`` to ``(n, outputs)``. A ``key`` draws the dropout; without one nothing is dropped. ``silent``: the
    last layer starts at zero.
    """

    outputs: int
    widths: tuple[int, ...] = (256, 128)
    activation: Activation = "gelu"
    dropout: float = 0.0
    silent: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, key: jax.Array | None = None) -> jax.Array:
        for number, width in enumerate(self.widths):
            x = activation(self.activation)(nn.Dense(width)(x))
            x = dropped(x, self.dropout, key, number)
        return nn.Dense(self.outputs, **last_layer(self.silent))(x)


class Cnn1d(nn.Module):
    """Convolutions of stride 2 along the bands, then one dense layer: (n, M) to (n, outputs).

    Without BatchNorm: nothing but the parameters is carried from row to row, so held-out rows cannot leak through it.
    A ``key`` draws the dropout of the dense layer; without one nothing is dropped.
    """

    outputs: int = 1
    features: tuple[int, ...] = (16, 32, 32)
    kernel: int = 7
    width: int = 128
    activation: Activation = "gelu"
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: jax.Array, key: jax.Array | None = None) -> jax.Array:
        act = activation(self.activation)
        x = x[..., None]
        for features in self.features:
            x = act(nn.Conv(features, (self.kernel,), strides=(2,))(x))
        x = act(nn.Dense(self.width)(x.reshape(x.shape[0], -1)))
        return nn.Dense(self.outputs)(dropped(x, self.dropout, key, 0))


def last_layer(silent: bool) -> dict[str, Any]:
    """Arguments of a last layer: its weights start at zero where it is ``silent``."""
    return {"kernel_init": nn.initializers.zeros_init()} if silent else {}


def dropped(x: jax.Array, rate: float, key: jax.Array | None, layer: int) -> jax.Array:
    """Drops a share ``rate`` of the units of layer number ``layer`` by ``key``; nothing without a key."""
    if key is None or rate == 0.0:
        return x
    keep = jax.random.bernoulli(jax.random.fold_in(key, layer), 1.0 - rate, x.shape)
    return x * keep.astype(x.dtype) / (1.0 - rate)


SOFT = 0.25
"""Width of the soft ends of :func:`within`, in standard deviations of the training values."""


def within(values: jax.Array, unit: jax.Array, low: float | jax.Array, high: float | jax.Array) -> jax.Array:
    """Numbers (n,) kept between ``low`` and ``high``: linear within, with a soft floor and a soft ceiling.

    ``unit`` () is the standard deviation of the training values, of which the soft ends take the share :data:`SOFT`.
    """
    soft = SOFT * unit
    top = (high - low) / soft
    above = jax.nn.softplus((values - low) / soft)
    return low + (high - low) * (1.0 - jax.nn.softplus(top - above) / jax.nn.softplus(top))
