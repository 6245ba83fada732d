"""The variational autoencoder of spectra (Kingma and Welling 2014) with 32 latent features, as in the
multi-fidelity study (section 2.2); its layers are dense or convolutional. A linear path beside them lets both sides
start as principal components: what the layers then learn is what is not linear.

Encoder and decoder are modules of their own: their parameters are the entries "encoder" and "decoder" of the
autoencoder's, so that a decoder can be frozen and used behind another encoder.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxsoil.models.config import VaeConfig
from jaxsoil.models.mlp import Mlp, activation, last_layer

LOGVAR_RANGE = (-14.0, 6.0)
"""Bounds of the log variance; far outside of what trains, they keep a bad step from overflowing exp."""


class Encoder(nn.Module):
    """Mean and log variance ``(n, latents)`` of the latent features of spectra ``(n, M)``."""

    config: VaeConfig

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        c = self.config
        act, spectra, last = activation(c.activation), x, last_layer(c.linear)
        if c.kind == "conv":
            x = x[..., None]
            for features in c.features:
                x = act(nn.Conv(features, (c.kernel,), strides=(2,))(x))
            x = act(nn.Dense(c.widths[-1])(x.reshape(x.shape[0], -1)))
        else:
            x = act(Mlp(c.widths[-1], c.widths[:-1], c.activation)(x))
        mean = nn.Dense(c.latents, name="mean", **last)(x)
        if c.linear:
            mean = mean + nn.Dense(c.latents, name="linear")(spectra)
        return mean, jnp.clip(nn.Dense(c.latents, name="logvar", **last)(x), *LOGVAR_RANGE)


class Decoder(nn.Module):
    """Spectra ``(n, bands)`` from latent features ``(n, latents)``."""

    bands: int
    config: VaeConfig

    @nn.compact
    def __call__(self, z: jax.Array) -> jax.Array:
        made = self._layers(z)
        return made + nn.Dense(self.bands, name="linear")(z) if self.config.linear else made

    def _layers(self, z: jax.Array) -> jax.Array:
        c = self.config
        if c.kind == "mlp":
            return Mlp(self.bands, c.widths[::-1], c.activation, silent=c.linear)(z)
        act = activation(c.activation)
        length = -(-self.bands // 2 ** len(c.features))
        x = act(nn.Dense(c.widths[-1])(z))
        x = act(nn.Dense(length * c.features[-1])(x)).reshape(-1, length, c.features[-1])
        for features in (*c.features[-2::-1], c.features[0]):
            x = act(nn.ConvTranspose(features, (c.kernel,), strides=(2,))(x))
        return nn.Conv(1, (c.kernel,), **last_layer(c.linear))(x)[:, : self.bands, 0]


class Vae(nn.Module):
    """Encoder and decoder of spectra with ``bands`` bands.

    ``encode`` gives mean and log variance, ``decode`` a spectrum. The embedding of a spectrum is the mean:
    deterministic, so that property models see the same features each time.
    """

    bands: int
    config: VaeConfig = VaeConfig()

    def setup(self) -> None:
        self.encoder = Encoder(self.config)
        self.decoder = Decoder(self.bands, self.config)

    def encode(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        return self.encoder(x)

    def decode(self, z: jax.Array) -> jax.Array:
        return self.decoder(z)

    def __call__(self, x: jax.Array, key: jax.Array | None = None) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Returns reconstruction (n, M), mean and log variance (n, latents); without a key z is the mean."""
        mean, logvar = self.encoder(x)
        return self.decoder(mean if key is None else draw(mean, logvar, key)), mean, logvar


def draw(mean: jax.Array, logvar: jax.Array, key: jax.Array) -> jax.Array:
    """A sample of the diagonal Gaussian, differentiable in mean and log variance (the reparametrisation)."""
    return mean + jnp.exp(0.5 * logvar) * jax.random.normal(key, mean.shape, mean.dtype)


def kl_to_prior(mean: jax.Array, logvar: jax.Array) -> jax.Array:
    """Kullback-Leibler divergence of each latent feature from the standard normal prior, nats, (n, latents).

    Source: Kingma and Welling 2014, Appendix B: (mean^2 + var - log var - 1) / 2.
    """
    return 0.5 * (jnp.square(mean) + jnp.exp(logvar) - logvar - 1.0)
