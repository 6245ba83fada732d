"""The perceptron against scikit-learn's forward pass, its dropout, and convolutions against SciPy's correlation."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from jaxsoil.models.mlp import Cnn1d, Mlp, dropped


def test_it_computes_what_scikit_learn_computes() -> None:
    from sklearn.neural_network import MLPRegressor

    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(20, 5)), draw.normal(size=(20, 2))
    theirs: Any = MLPRegressor(hidden_layer_sizes=(8, 6), activation="tanh", max_iter=1, random_state=0)
    with pytest.warns(Warning, match="Maximum iterations"):
        theirs.fit(x, y)
    layers = zip(theirs.coefs_, theirs.intercepts_, strict=True)
    params = {
        f"Dense_{i}": {"kernel": jnp.asarray(w, jnp.float32), "bias": jnp.asarray(b, jnp.float32)}
        for i, (w, b) in enumerate(layers)
    }
    ours = Mlp(2, (8, 6), "tanh").apply({"params": params}, jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(np.asarray(ours), theirs.predict(x), rtol=1e-4, atol=1e-5)


def test_dropout_needs_a_key_and_keeps_the_mean() -> None:
    x = jnp.ones((200, 200))
    assert dropped(x, 0.3, None, 0) is x
    kept = np.asarray(dropped(x, 0.3, jax.random.key(0), 0))
    assert set(np.unique(kept.round(4))) == {0.0, np.float32(1 / 0.7).round(4)}
    assert kept.mean() == pytest.approx(1.0, abs=0.01)
    model = Mlp(1, (8,), dropout=0.5)
    variables: Any = jax.jit(model.init)(jax.random.key(0), x[:3])
    apply: Any = jax.jit(model.apply)
    a, b = (np.asarray(apply(variables, x[:3], jax.random.key(k))) for k in (0, 1))
    assert not np.array_equal(a, b)
    assert np.array_equal(apply(variables, x[:3]), apply(variables, x[:3]))


def test_the_spectrum_is_correlated_with_the_kernels() -> None:
    """One convolution of one feature, then dense layers that pass on: by SciPy, every second band."""
    model = Cnn1d(outputs=1, features=(1,), kernel=3, width=4, activation="relu")
    x = jax.random.uniform(jax.random.key(0), (2, 8))
    params: Any = jax.jit(model.init)(jax.random.key(1), x)["params"]
    kernel = np.array([0.5, 1.0, 0.25], np.float32)
    params["Conv_0"] = {"kernel": jnp.asarray(kernel[:, None, None]), "bias": jnp.zeros(1)}
    params["Dense_0"] = {"kernel": jnp.eye(4), "bias": jnp.zeros(4)}
    params["Dense_1"] = {"kernel": jnp.asarray([[1.0], [10.0], [100.0], [1000.0]]), "bias": jnp.zeros(1)}
    weights = np.array([1.0, 10.0, 100.0, 1000.0])
    apply: Any = jax.jit(model.apply)
    # "SAME" with stride 2 and an even length pads on the right alone: windows start at 0, 2, 4, 6.
    expected = [scipy.signal.correlate(np.append(row, 0.0), kernel, "valid")[::2] @ weights for row in np.asarray(x)]
    np.testing.assert_allclose(np.asarray(apply({"params": params}, x))[:, 0], expected, rtol=1e-5)
