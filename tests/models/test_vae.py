"""The autoencoder: shapes, the closed form of its divergence, parameters counted by hand."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from jaxsoil.models.autoencoder import parameter_count
from jaxsoil.models.vae import Decoder, Encoder, Vae, VaeConfig, draw, kl_to_prior

SMALL = VaeConfig(latents=4, widths=(16, 8), features=(4, 6), kernel=5)


def build(kind: Any, bands: int) -> tuple[Vae, Any]:
    config = VaeConfig(kind, SMALL.latents, SMALL.widths, SMALL.features, SMALL.kernel)
    model = Vae(bands, config)
    # In one program: step by step each operation would compile one.
    return model, jax.jit(model.init)(jax.random.key(0), jnp.zeros((2, bands)))


@pytest.mark.parametrize(("kind", "bands"), [("mlp", 24), ("conv", 24), ("conv", 37)])
def test_shapes_and_the_mean_as_embedding(kind: str, bands: int) -> None:
    model, variables = build(kind, bands)
    x = jax.random.normal(jax.random.key(1), (3, bands))
    apply: Any = jax.jit(model.apply)
    result: Any = apply(variables, x)
    rebuilt, mean, logvar = result
    assert rebuilt.shape == (3, bands) and mean.shape == logvar.shape == (3, 4)
    decoded: Any = jax.jit(functools.partial(model.apply, method="decode"))(variables, mean)
    np.testing.assert_allclose(rebuilt, decoded, rtol=1e-5, atol=1e-6)
    noisy: Any = apply(variables, x, jax.random.key(2))
    np.testing.assert_allclose(noisy[1], mean, rtol=1e-5, atol=1e-6)
    assert not np.allclose(noisy[0], rebuilt)


@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_the_parts_are_modules_of_their_own(kind: str) -> None:
    model, variables = build(kind, 24)
    x = jax.random.normal(jax.random.key(1), (3, 24))
    apart: tuple[Any, Any] = Encoder(model.config), Decoder(24, model.config)

    @jax.jit
    def both(x: jax.Array) -> tuple[Any, Any]:
        encoded, decoder = (part.apply for part in apart)
        mean = encoded({"params": variables["params"]["encoder"]}, x)[0]
        return decoder({"params": variables["params"]["decoder"]}, mean), model.apply(variables, x)

    decoded, whole = both(x)
    np.testing.assert_allclose(decoded, whole[0], rtol=1e-5, atol=1e-6)


def parameters(config: VaeConfig) -> Any:
    return jax.eval_shape(Vae(24, config).init, jax.random.key(0), jnp.zeros((2, 24)))


def test_parameters_of_the_dense_variant_by_hand() -> None:
    variables = parameters(SMALL)
    encoder = (24 * 16 + 16) + (16 * 8 + 8) + 2 * (8 * 4 + 4)
    decoder = (4 * 8 + 8) + (8 * 16 + 16) + (16 * 24 + 24)
    linear = (24 * 4 + 4) + (4 * 24 + 24)
    assert parameter_count(variables["params"]) == encoder + decoder + linear
    plain = parameters(dataclasses.replace(SMALL, linear=False))
    assert parameter_count(plain["params"]) == encoder + decoder


def test_divergence_is_the_integral_that_it_stands_for() -> None:
    mean, logvar = jnp.array([[0.7, -1.2, 0.0]]), jnp.array([[-1.0, 0.5, 0.0]])
    for i, value in enumerate(np.asarray(kl_to_prior(mean, logvar))[0]):
        log_q = functools.partial(
            scipy.stats.norm.logpdf, loc=float(mean[0, i]), scale=float(np.exp(0.5 * logvar[0, i]))
        )

        def integrand(z: float, log_q: Any = log_q) -> float:
            return np.exp(log_q(z)) * (log_q(z) - scipy.stats.norm.logpdf(z))

        assert value == pytest.approx(scipy.integrate.quad(integrand, -12, 12)[0], abs=1e-6)


def test_samples_have_the_stated_moments() -> None:
    mean, logvar = jnp.full((20_000, 1), 2.0), jnp.full((20_000, 1), float(np.log(0.25)))
    z = np.asarray(draw(mean, logvar, jax.random.key(0)))
    assert z.mean() == pytest.approx(2.0, abs=0.02) and z.std() == pytest.approx(0.5, abs=0.02)
