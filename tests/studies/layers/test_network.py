"""Networks of the layer study: against Flax's convolution, SciPy's integrals and plain arithmetic."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from jaxsoil.data.twin.landscape.make import LAYERS
from jaxsoil.studies.layers import network

LAYER_MEANS = jax.jit(network.layer_means, static_argnums=1)


def windows(n: int = 3, size: int = 9, channels: int = 4) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).normal(size=(n, size, size, channels)), jnp.float32)


def drawn_and_applied(net: nn.Module, seed: int, *given: jax.Array) -> jax.Array:
    """Outputs at first parameters, in one program: step by step each operation would compile one."""
    return jax.jit(lambda key: net.apply(net.init(key, *given), *given))(jax.random.key(seed))  # type: ignore[return-value]


def test_the_patch_convolution_is_flaxs() -> None:
    x = windows()
    ours, theirs = network.PatchConvolution(5), nn.Conv(5, (3, 3), strides=(3, 3), padding="VALID")
    kernel = np.random.default_rng(1).normal(size=(3, 3, 4, 5)).astype(np.float32)
    params = {"params": {"kernel": kernel, "bias": np.arange(5, dtype=np.float32)}}
    found, expected = (np.asarray(jax.jit(layer.apply)(params, x)) for layer in (ours, theirs))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_layer_means_are_integrals_of_the_depth_function() -> None:
    coefficients = np.log([[0.4, 3.0, 25.0], [1.0, 0.1, 120.0]])
    found = LAYER_MEANS(jnp.asarray(coefficients, jnp.float32), LAYERS)
    for row, numbers in enumerate(np.exp(coefficients)):
        for place, layer in enumerate(LAYERS):
            area, _ = quad(lambda z, c=numbers: c[0] + c[1] * np.exp(-z / c[2]), layer.top, layer.bottom)
            assert float(found[row, place]) == pytest.approx(area / (layer.bottom - layer.top), rel=1e-5)


def test_a_profile_falls_with_depth_and_stays_positive_whatever_the_network_says() -> None:
    x, start = 50.0 * windows(), jnp.array([-3.0, 1.0, 3.0])
    coefficients = drawn_and_applied(network.ProfileCnn(), 2, x, start)
    means = np.asarray(LAYER_MEANS(coefficients, LAYERS))
    assert (means > 0.0).all() and (np.diff(means, axis=1) <= 0.0).all()
    length = np.exp(np.asarray(coefficients)[:, 2])
    assert (length >= network.FASTEST * 0.999).all() and (length <= network.SLOWEST * 1.001).all()


@pytest.mark.parametrize("kind", ["single", "multitask", "layer_input"])
@pytest.mark.parametrize("size", [1, 9])
def test_every_network_gives_one_value_for_each_layer(kind: str, size: int) -> None:
    x = windows(size=size)
    out = np.asarray(drawn_and_applied(network.LayerCnn(len(LAYERS), kind), 3, x))
    assert out.shape == (3, len(LAYERS)) and np.isfinite(out).all()
    same = np.ptp(out, axis=1) == 0.0
    assert same.all() if kind == "single" else not same.any()


def test_turned_windows_are_symmetries_of_the_square() -> None:
    x = windows(n=2, size=3, channels=1)
    square = np.asarray(x)[..., 0]
    expected = [turn for k in range(4) for turn in (np.rot90(square, k, (1, 2)), np.rot90(square[:, ::-1], k, (1, 2)))]
    seen, turned = set(), jax.jit(network.turned)
    for number in range(60):
        found = np.asarray(turned(x, jax.random.key(number)))[..., 0]
        seen |= {place for place, turn in enumerate(expected) if np.array_equal(found, turn)}
    assert seen == set(range(8))
