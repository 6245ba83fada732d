"""A small convolutional network along the bands of a spectrum.

Without BatchNorm: nothing but the parameters is carried from row to row, so held-out rows cannot leak through it.
"""

from __future__ import annotations

import flax.linen as nn
import jax

from jaxsoil.models.config import Activation
from jaxsoil.models.mlp import activation, dropped


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
