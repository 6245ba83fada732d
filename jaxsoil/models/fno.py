"""A Fourier neural operator in one dimension (Li et al. 2020, arXiv:2010.08895), from one spectral axis to another.

The input is a function sampled at equal steps; it is taken to the output grid, and the position on [0, 1] becomes a
second channel. Near- and mid-infrared axes share no position: the operator maps the relative position on one axis to
that on the other, and only its spectral convolutions, which see the whole axis, can move a feature. Each layer adds
such a convolution, which multiplies the lowest frequencies by learned complex matrices, to a pointwise linear path.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp


def spectral_convolution(x: jax.Array, real: jax.Array, imaginary: jax.Array) -> jax.Array:
    """Multiplies the lowest frequencies of each channel by matrices, the others by zero.

    With the discrete Fourier transform X_k = sum_j x_j exp(-2 pi i j k / N), the result is the real signal whose
    coefficients are X_k W_k for k < modes and 0 from there to the Nyquist frequency: a circular convolution with a
    kernel that does not depend on N, so the same weights act on a finer grid.

    Args:
      x: (n, N, c) signals at N equal steps.
      real, imaginary: (modes, c, d) parts of W.

    Returns:
      (n, N, d).

    Raises:
      ValueError: more modes than the N // 2 + 1 frequencies of the grid.
    """
    modes, size = real.shape[0], x.shape[1]
    if modes > size // 2 + 1:
        raise ValueError(f"{modes} modes are more than the {size // 2 + 1} frequencies of {size} bands.")
    low = jnp.fft.rfft(x, axis=1)[:, :modes]
    mixed = jnp.einsum("nkc,kcd->nkd", low, jax.lax.complex(real, imaginary))
    mixed = jnp.pad(mixed, ((0, 0), (0, size // 2 + 1 - modes), (0, 0)))
    return jnp.fft.irfft(mixed, n=size, axis=1)


def resample(x: jax.Array, size: int) -> jax.Array:
    """Linear interpolation of (n, N, c) at N equal steps to ``size`` equal steps between the same ends."""
    at = jnp.linspace(0.0, x.shape[1] - 1.0, size)
    left = jnp.clip(jnp.floor(at).astype(jnp.int32), 0, x.shape[1] - 2)
    weight = (at - left.astype(at.dtype))[None, :, None]
    return x[:, left] * (1.0 - weight) + x[:, left + 1] * weight


class FourierLayer(nn.Module):
    """Spectral convolution plus pointwise path, then GELU unless it is the last layer."""

    width: int
    modes: int
    last: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        # Uniform in [0, 1 / width), as spectral weights are commonly started: sums over channels stay of order one.
        start = nn.initializers.uniform(1.0 / self.width)
        shape = (self.modes, self.width, self.width)
        real, imaginary = self.param("real", start, shape), self.param("imaginary", start, shape)
        x = spectral_convolution(x, real, imaginary) + nn.Dense(self.width)(x)
        return x if self.last else nn.gelu(x)


class Fno(nn.Module):
    """Spectra (n, outputs) from spectra (n, B) at equal steps: resample, lift, ``layers`` Fourier layers, project.

    The layers work on the output grid, since mid-infrared bands are narrower than any of the near-infrared.
    """

    outputs: int
    width: int = 24
    layers: int = 4
    modes: int = 64

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        modes = min(self.modes, self.outputs // 2 + 1)
        x = resample(x[..., None], self.outputs)
        place = jnp.broadcast_to(jnp.linspace(0.0, 1.0, self.outputs)[None, :, None], x.shape)
        x = nn.Dense(self.width)(jnp.concatenate([x, place], axis=-1))
        for number in range(self.layers):
            x = FourierLayer(self.width, modes, last=number == self.layers - 1)(x)
        x = nn.gelu(nn.Dense(4 * self.width)(x))
        return nn.Dense(1)(x)[..., 0]
