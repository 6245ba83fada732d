"""Ensembles that see perturbed spectra: against NumPy's forward pass and JAX's convolution, and what they react to."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsoil.models import augmented, invariance
from jaxsoil.models.augmented import Draws, Ensemble
from jaxsoil.runs.errors import DataError

AXIS = np.arange(1400.0, 2400.0, 50.0)
STEPS = 200


def soils(n: int = 150) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Absorbances whose level in most rows follows the target, as does one narrow band in all of them; regions."""
    rng = np.random.default_rng(0)
    y = rng.normal(0.0, 0.4, n)
    level = 0.4 + 0.15 * y + rng.normal(0.0, 0.03, n)
    band = np.exp(-0.5 * ((AXIS - 2000.0) / 60.0) ** 2)
    x = level[:, None] + 0.2 * y[:, None] * band + rng.normal(0.0, 2e-3, (n, AXIS.size))
    return x, y, np.arange(n) % 3


def draws(gain: float, count: int = 2) -> Draws:
    kinds = np.zeros((count, len(invariance.KINDS)))
    kinds[:, invariance.KINDS.index("gain")] = gain
    return Draws(kinds, np.full(count, 1e-3), np.linspace(0.5, 1.0, count), np.linspace(0.0, 1.0, count))


@pytest.fixture(scope="module")
def trained() -> dict[float, Ensemble]:
    return {gain: augmented.fit("mlp", *soils(), AXIS, draws(gain), steps=STEPS) for gain in (0.0, 6.0)}


def test_the_mean_of_the_members_predicts(trained: dict[float, Ensemble]) -> None:
    x, y, _ = soils()
    found, known = trained[0.0].predict(x), trained[0.0]
    assert np.corrcoef(found, y)[0, 1] > 0.97 and np.sqrt(np.mean((found - y) ** 2)) < 0.1
    gelu = lambda z: 0.5 * z * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (z + 0.044715 * z**3)))  # noqa: E731
    each = []
    for member in range(2):
        z = x @ known.basis - known.centre
        for number in range(3):
            layer = known.params["params"][f"Dense_{number}"]
            z = z @ layer["kernel"][member] + layer["bias"][member]
            z = gelu(z) if number < 2 else z
        each.append(known.target[0] + known.target[1] * z[:, 0])
    np.testing.assert_allclose(found, np.mean(each, axis=0), atol=1e-5)
    assert np.abs(each[0] - each[1]).max() > 1e-3
    assert known.predict(x[:0]).shape == (0,)


def test_a_model_that_sees_gains_reacts_less_to_them(trained: dict[float, Ensemble]) -> None:
    x, y, _ = soils()
    moved = {gain: np.abs(model.predict(x + 0.1) - model.predict(x)).mean() for gain, model in trained.items()}
    assert moved[6.0] < 0.5 * moved[0.0]
    assert np.corrcoef(trained[6.0].predict(x), y)[0, 1] > 0.9


def test_the_same_call_gives_the_same_bytes_and_padding_is_never_drawn(trained: dict[float, Ensemble]) -> None:
    x, y, region = soils()
    again = augmented.fit("mlp", x, y, region, AXIS, draws(6.0), steps=STEPS)
    jax.tree.map(np.testing.assert_array_equal, again.params, trained[6.0].params)
    level = augmented.fit("mlp", x, np.full(y.size, 0.7), region, AXIS, draws(6.0), steps=STEPS).predict(x)
    np.testing.assert_allclose(level, 0.7, atol=1e-5)


def test_a_convolution_of_patches_is_the_convolution() -> None:
    x = jax.random.normal(jax.random.key(0), (3, 40))
    net = augmented.Convolutions(features=(4,), kernel=5, stride=2, width=6)
    variables: Any = jax.jit(net.init)(jax.random.key(1), x)
    own: Any = variables["params"]
    signal = jnp.stack([x[:, :20], x[:, 20:]], axis=2)
    kernel = own["Dense_0"]["kernel"].reshape(5, 2, 4)
    form = ("NHC", "HIO", "NHC")
    found = jax.lax.conv_general_dilated(signal, kernel, (2,), [(2, 2)], dimension_numbers=form)
    z = jax.nn.gelu(found + own["Dense_0"]["bias"][None, None]).reshape(3, -1)
    z = jax.nn.gelu(z @ own["Dense_2"]["kernel"] + own["Dense_2"]["bias"][None])
    expected = z @ own["Dense_1"]["kernel"] + own["Dense_1"]["bias"][None]
    np.testing.assert_allclose(np.asarray(jax.jit(net.apply)(variables, x)), expected, atol=1e-5)


def test_what_cannot_be_trained_is_refused() -> None:
    x, y, region = soils()
    with pytest.raises(DataError, match="unknown kind of network"):
        augmented.fit("transformer", x, y, region, AXIS, draws(0.0))
    with pytest.raises(DataError, match="impossible shift"):
        augmented.fit("mlp", x, y, region, AXIS, strengths=invariance.Strengths(shift=5000.0))
    with pytest.raises(DataError, match="all the same"):
        augmented.fit("mlp", np.ones_like(x), y, region, AXIS)
