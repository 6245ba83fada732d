"""The Fourier neural operator: its transform against the definition, and the same operator on a finer grid."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsoil.models import fno
from jaxsoil.models.autoencoder import parameter_count
from jaxsoil.models.fno import Fno

# In one program each: step by step every operation would compile one.
resample, spectral_convolution = jax.jit(fno.resample, static_argnums=1), jax.jit(fno.spectral_convolution)


def weights(modes: int, inputs: int, outputs: int) -> tuple[jax.Array, jax.Array]:
    draw = np.random.default_rng(0)
    real, imaginary = draw.normal(size=(2, modes, inputs, outputs)).astype(np.float32)
    return jnp.asarray(real), jnp.asarray(imaginary)


@pytest.mark.parametrize("size", [16, 15])
def test_the_convolution_by_the_sums_of_its_definition(size: int) -> None:
    """No FFT: every coefficient and every value as the sum that defines it, in float64."""
    modes, draw = 5, np.random.default_rng(1)
    x = draw.normal(size=(2, size, 3)).astype(np.float32)
    real, imaginary = weights(modes, 3, 4)
    matrix = np.asarray(real, np.float64) + 1j * np.asarray(imaginary, np.float64)
    steps = np.arange(size)
    expected = np.zeros((2, size, 4))
    for k in range(modes):
        coefficient = sum(x[:, j] * np.exp(-2j * np.pi * j * k / size) for j in steps)
        mixed = coefficient @ matrix[k]
        # A frequency between 0 and Nyquist stands for itself and its conjugate.
        twice = 1 if k == 0 or 2 * k == size else 2
        for j in steps:
            expected[:, j] += twice * (mixed * np.exp(2j * np.pi * j * k / size)).real / size
    np.testing.assert_allclose(spectral_convolution(jnp.asarray(x), real, imaginary), expected, rtol=1e-4, atol=1e-4)


def test_the_same_weights_are_the_same_operator_on_a_finer_grid() -> None:
    """A band-limited signal sampled more densely gives the same result at the common points."""
    real, imaginary = weights(4, 1, 2)

    def signal(size: int) -> jax.Array:
        t = 2 * np.pi * np.arange(size) / size
        return jnp.asarray((1 + np.sin(t) - 0.5 * np.cos(3 * t))[None, :, None], jnp.float32)

    coarse = spectral_convolution(signal(16), real, imaginary)
    fine = spectral_convolution(signal(64), real, imaginary)
    np.testing.assert_allclose(fine[:, ::4], coarse, rtol=1e-4, atol=1e-5)


def test_frequencies_above_the_modes_are_removed() -> None:
    t = 2 * np.pi * np.arange(32) / 32
    high = jnp.asarray(np.sin(6 * t)[None, :, None], jnp.float32)
    np.testing.assert_allclose(spectral_convolution(high, *weights(6, 1, 1)), 0.0, atol=1e-5)
    assert float(jnp.abs(spectral_convolution(high, *weights(7, 1, 1))).max()) > 0.1
    with pytest.raises(ValueError, match="more than the 17 frequencies"):
        spectral_convolution(high, *weights(18, 1, 1))


def test_resampling_is_linear_interpolation() -> None:
    x = np.random.default_rng(0).normal(size=(3, 11, 2)).astype(np.float32)
    for size in (5, 11, 40):
        ours = np.asarray(resample(jnp.asarray(x), size))
        for row in range(3):
            expected = np.interp(np.linspace(0, 10, size), np.arange(11), x[row, :, 1])
            np.testing.assert_allclose(ours[row, :, 1], expected, atol=1e-5)


def test_shapes_and_parameters_by_hand() -> None:
    model = Fno(40, width=6, layers=2, modes=8)
    x = jax.random.normal(jax.random.key(0), (3, 12))
    variables: Any = jax.jit(model.init)(jax.random.key(1), x)
    apply: Any = jax.jit(model.apply)
    out = apply(variables, x)
    assert isinstance(out, jax.Array) and out.shape == (3, 40) and out.dtype == jnp.float32
    lift, layer, project = 2 * 6 + 6, 2 * 8 * 36 + 6 * 6 + 6, 6 * 24 + 24 + 24 + 1
    assert parameter_count(variables["params"]) == lift + 2 * layer + project
    # Three times as many steps hold the same piecewise linear function, so the same operator gives the same.
    finer: Any = apply(variables, resample(x[..., None], 34)[..., 0])
    np.testing.assert_allclose(finer, out, atol=1e-4)
