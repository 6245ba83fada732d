"""Products of dense layers while they train: the gradient of a scale without that of the data, and rounded factors."""

from __future__ import annotations

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsoil.models.autoencoder import Autoencoder, ModelConfig
from jaxsoil.models.products import Products, plain, scaled


def draw(*shape: int, seed: int = 0) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


def begun(network: Autoencoder, x: jax.Array) -> Any:
    """First variables, in one program: step by step each operation would compile one."""
    return jax.jit(functools.partial(network.init, train=False))(jax.random.key(0), x)


def test_a_scale_has_the_gradient_of_the_plain_product() -> None:
    """Also where it is negative and small; one of exactly zero waits a step."""
    z, kernel, scale = draw(30, 4), draw(4, 6, seed=1), jnp.array([1.3, -0.7, 1e-3, 0.0])

    def loss(scale: jax.Array, kernel: jax.Array, ours: bool) -> jax.Array:
        x = z * scale[None, :]
        product = scaled(scale, "float32")(jax.lax.stop_gradient(x), kernel) if ours else x @ kernel
        return jnp.sum(jnp.tanh(product))

    ours, usual = (jax.grad(loss, (0, 1))(scale, kernel, way) for way in (True, False))
    np.testing.assert_allclose(ours[0][:3], usual[0][:3], rtol=1e-5)
    np.testing.assert_array_equal(ours[1], usual[1])
    assert ours[0][3] == 0.0


def test_an_encoder_that_trains_takes_no_gradient_of_its_data_and_one_that_predicts_does() -> None:
    network = Autoencoder(5, 12, ModelConfig(width=8, hidden=1))
    variables = begun(network, draw(2, 12))

    def total(x: jax.Array, train: bool) -> jax.Array:
        return jnp.sum(network.apply(variables, x, train=train, mutable=["batch_stats"])[0][0][:, 0])

    slope = jax.jit(jax.grad(total), static_argnums=1)
    assert not np.any(slope(draw(9, 12), True))
    assert np.any(slope(draw(9, 12), False))


@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_products_are_those_of_factors_as_asked_with_float32_sums(kind: Products) -> None:
    x, kernel = draw(40, 300), draw(300, 7, seed=1)
    layer = nn.Dense(7, use_bias=False, dot_general=plain(kind))

    def first(k: jax.Array) -> jax.Array:
        return jnp.sum(jnp.asarray(layer.apply({"params": {"kernel": k}}, x))[:, 0])

    found, of_kernel = jax.value_and_grad(first)(kernel)
    factors = [np.asarray(a if kind == "float32" else a.astype(jnp.bfloat16), np.float64) for a in (x, kernel)]
    assert found.dtype == of_kernel.dtype == jnp.float32
    np.testing.assert_allclose(found, (factors[0] @ factors[1])[:, 0].sum(), rtol=1e-4)
    np.testing.assert_allclose(of_kernel[:, 0], factors[0].sum(axis=0), rtol=1e-4, atol=1e-4)


def test_only_training_rounds() -> None:
    config, x = ModelConfig(width=16, hidden=1, decoder="ann"), jnp.abs(draw(30, 20))
    exact, rounded = (Autoencoder(5, 20, config, kind) for kind in ("float32", "bfloat16"))
    variables = begun(exact, x)

    @functools.partial(jax.jit, static_argnums=(0, 1))
    def rebuilt(network: Autoencoder, train: bool) -> Any:
        return network.apply(variables, x, train=train, mutable=["batch_stats"])[0][1]

    for train in (True, False):
        a, b = (np.asarray(rebuilt(network, train)) for network in (exact, rounded))
        assert np.array_equal(a, b) is not train
        np.testing.assert_allclose(a, b, atol=0.05)
