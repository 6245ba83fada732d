"""The networks of the study: a convolutional encoder of covariate windows, and one head for each way to use layers.

Convolutions are matrix products over patches, so that they run at full speed inside a compiled loop on a CPU, where
XLA's own convolutions are slow. Windows come standardised; so do targets, except for the depth function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxsoil.data.rasters.sites import Layer


class PatchConvolution(nn.Module):
    """A convolution whose stride is the side of its kernel, equal to Flax's ``Conv(strides=size, padding="VALID")``.

    Patches do not overlap, so it is one reshape and one matrix product. ``features``: output channels; ``size``: side
    of the kernel in pixels, of which the sides of the window are multiples.
    """

    features: int
    size: int = 3

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n i j f"]:
        n, height, width, channels = x.shape
        rows, cols = height // self.size, width // self.size
        shape = (self.size, self.size, channels, self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(in_axis=(0, 1, 2), out_axis=3), shape)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        patches = x.reshape(n, rows, self.size, cols, self.size, channels).transpose(0, 1, 3, 2, 4, 5)
        out = patches.reshape(n * rows * cols, -1) @ kernel.reshape(-1, self.features)
        return (out + bias[None, :]).reshape(n, rows, cols, self.features)


class Encoder(nn.Module):
    """Features of a window: a convolution over patches, one over their arrangement, and the central pixel itself.

    ``width``: channels of the first convolution; the second, which spans the window, has twice as many.
    """

    width: int = 16

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n f"]:
        centre = x[:, x.shape[1] // 2, x.shape[2] // 2, :]
        if x.shape[1] == 1:
            return centre
        patches = nn.gelu(PatchConvolution(self.width)(x))
        whole = nn.gelu(_dense(2 * self.width)(patches.reshape(x.shape[0], -1)))
        return jnp.concatenate([whole, centre], axis=-1)


class LayerCnn(nn.Module):
    """A window -> one value for each layer.

    Args:
      layers: number of layers.
      kind: "single" (one value, repeated: the network of one layer), "multitask" (one output for each layer) or
        "layer_input" (one output, with the layer as one-hot input: it is asked for each layer in turn).
      width, hidden: channels of the encoder, units of the head.
      dropout: share of the head's units that are dropped in training.
    """

    layers: int
    kind: str
    width: int = 16
    hidden: int = 32
    dropout: float = 0.1

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool = False) -> Float[Array, "n l"]:
        features = Encoder(self.width)(x)
        n = features.shape[0]
        if self.kind == "layer_input":
            which = jnp.broadcast_to(jnp.eye(self.layers, dtype=features.dtype)[None], (n, self.layers, self.layers))
            every = jnp.broadcast_to(features[:, None, :], (n, self.layers, features.shape[-1]))
            features = jnp.concatenate([every, which], axis=-1)
        hidden = nn.gelu(_dense(self.hidden)(features))
        hidden = nn.Dropout(self.dropout, deterministic=not train)(hidden)
        if self.kind == "layer_input":
            return _dense(1)(hidden)[:, :, 0]
        out = _dense(1 if self.kind == "single" else self.layers)(hidden)
        return jnp.broadcast_to(out, (n, self.layers))


class ProfileCnn(nn.Module):
    """A window -> the coefficients of one depth function, and so the mean of every layer.

    The value at depth z cm is ``deep + rise exp(-rate z)``, with deep > 0, rise > 0 and rate between 1/:data:`SLOWEST`
    and 1/:data:`FASTEST` per cm: it falls with depth and stays positive whatever the network says.

    Args:
      width, hidden, dropout: as for :class:`LayerCnn`.
      start: (3,) values of log deep, log rise and log decay length (cm) around which the network starts.
    """

    width: int = 16
    hidden: int = 32
    dropout: float = 0.1

    @nn.compact
    def __call__(
        self, x: Float[Array, "n h w c"], start: Float[Array, " 3"], train: bool = False
    ) -> Float[Array, "n 3"]:
        hidden = nn.gelu(_dense(self.hidden)(Encoder(self.width)(x)))
        hidden = nn.Dropout(self.dropout, deterministic=not train)(hidden)
        # Small at first, so that training starts from the mean profile.
        raw = _dense(3, scale=0.1)(hidden) + start[None, :]
        length = jnp.clip(raw[:, 2], np.log(FASTEST), np.log(SLOWEST))
        return jnp.stack([raw[:, 0], raw[:, 1], length], axis=1)


FASTEST, SLOWEST = 3.0, 300.0
"""Shortest and longest decay length of the depth function in cm."""


def layer_means(coefficients: Float[Array, "n 3"], layers: tuple[Layer, ...]) -> Float[Array, "n l"]:
    """Means over depth layers of the function of :class:`ProfileCnn`, by its integral in closed form.

    ``coefficients``: log deep, log rise and log decay length in cm.
    """
    top = jnp.asarray([[layer.top for layer in layers]], jnp.float32)
    bottom = jnp.asarray([[layer.bottom for layer in layers]], jnp.float32)
    deep, rise, length = (jnp.exp(coefficients[:, i])[:, None] for i in range(3))
    n = coefficients.shape[0]
    top, bottom = (jnp.broadcast_to(edge, (n, len(layers))) for edge in (top, bottom))
    inside = length * (jnp.exp(-top / length) - jnp.exp(-bottom / length)) / (bottom - top)
    return deep + rise * inside


def turned(x: Float[Array, "n h w c"], key: jax.Array) -> Float[Array, "n h w c"]:
    """All windows of a batch under one of the eight symmetries of the square, drawn at random."""
    transpose, down, across = jax.random.bernoulli(key, 0.5, (3,))
    x = jnp.where(transpose, jnp.swapaxes(x, 1, 2), x)
    x = jnp.where(down, x[:, ::-1], x)
    return jnp.where(across, x[:, :, ::-1], x)


def _dense(features: int, scale: float = 1.0) -> nn.Module:
    init: Callable[..., Any] = nn.initializers.variance_scaling(scale, "fan_in", "truncated_normal")
    return nn.Dense(features, kernel_init=init)
