"""Small convolutional networks: along the bands of a spectrum, and over the window of rasters around a site.

Without BatchNorm: nothing but the parameters is carried from row to row, so held-out rows cannot leak through it.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxsoil.models.mlp import Activation, activation, dropped


class Cnn1d(nn.Module):
    """Convolutions of stride 2 along the bands, then one dense layer: (n, M) to (n, outputs).

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


class Cnn2d(nn.Module):
    """Convolutions over windows, a dense layer shared by all heads and one of its own for each: (n, heads).

    Takes windows ``(n, size, size, channels)`` and, where given, ``extra`` values ``(n, e)`` of each site, which
    join the features of the window. Each head has one output, such as SOC of one layer. The trunk (all parameters
    but those named ``head_<number>``) is what layers share. A ``key`` draws the dropout.
    """

    heads: int = 1
    features: tuple[int, ...] = (16, 32)
    kernel: int = 3
    width: int = 64
    head_width: int = 32
    activation: Activation = "gelu"
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: jax.Array, extra: jax.Array | None = None, key: jax.Array | None = None) -> jax.Array:
        act = activation(self.activation)
        for features in self.features:
            x = act(nn.Conv(features, (self.kernel, self.kernel))(x))
            # A window of odd size keeps its edge: the site in its middle must not depend on parity.
            if min(x.shape[1:3]) > 1:
                x = nn.avg_pool(x, (2, 2), strides=(2, 2), padding="SAME", count_include_pad=False)
        x = x.reshape(x.shape[0], -1)
        if extra is not None:
            x = jnp.concatenate([x, extra], axis=1)
        x = dropped(act(nn.Dense(self.width, name="shared")(x)), self.dropout, key, 0)
        heads = [Head(self.head_width, self.activation, name=f"head_{i}")(x) for i in range(self.heads)]
        return jnp.concatenate(heads, axis=1)


class Head(nn.Module):
    """Dense -> activation -> Dense of one output: what a layer has of its own."""

    width: int
    activation: Activation

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = activation(self.activation)(nn.Dense(self.width)(x))
        return nn.Dense(1)(x)
