"""Convolutions against SciPy's correlation; heads, extra values and windows of any size."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from jaxsoil.models.cnn import Cnn1d, Cnn2d


def test_the_spectrum_is_correlated_with_the_kernels() -> None:
    """One convolution of one feature, then dense layers that pass on: by SciPy, every second band."""
    model = Cnn1d(outputs=1, features=(1,), kernel=3, width=4, activation="relu")
    x = jax.random.uniform(jax.random.key(0), (2, 8))
    params: Any = model.init(jax.random.key(1), x)["params"]
    kernel = np.array([0.5, 1.0, 0.25], np.float32)
    params["Conv_0"] = {"kernel": jnp.asarray(kernel[:, None, None]), "bias": jnp.zeros(1)}
    params["Dense_0"] = {"kernel": jnp.eye(4), "bias": jnp.zeros(4)}
    params["Dense_1"] = {"kernel": jnp.asarray([[1.0], [10.0], [100.0], [1000.0]]), "bias": jnp.zeros(1)}
    weights = np.array([1.0, 10.0, 100.0, 1000.0])
    # "SAME" with stride 2 and an even length pads on the right alone: windows start at 0, 2, 4, 6.
    expected = [scipy.signal.correlate(np.append(row, 0.0), kernel, "valid")[::2] @ weights for row in np.asarray(x)]
    np.testing.assert_allclose(np.asarray(model.apply({"params": params}, x))[:, 0], expected, rtol=1e-5)


@pytest.mark.parametrize("size", [1, 5, 8])
def test_windows_of_any_size_with_extra_values_and_heads(size: int) -> None:
    model = Cnn2d(heads=3, features=(4, 6), width=8, head_width=4, dropout=0.2)
    x = jax.random.normal(jax.random.key(0), (5, size, size, 2))
    extra = jax.random.normal(jax.random.key(1), (5, 3))
    variables: Any = model.init(jax.random.key(2), x, extra)
    out = model.apply(variables, x, extra)
    assert isinstance(out, jax.Array) and out.shape == (5, 3)
    assert not np.allclose(out, model.apply(variables, x, extra + 1.0))
    assert not np.array_equal(out, model.apply(variables, x, extra, jax.random.key(3)))
    assert {"head_0", "head_1", "head_2", "shared"} < set(variables["params"])


def test_a_head_is_one_layers_own() -> None:
    model = Cnn2d(heads=2, features=(4,), width=8, head_width=4)
    x = jax.random.normal(jax.random.key(0), (5, 4, 4, 2))
    variables: Any = model.init(jax.random.key(2), x)

    def first(variables: Any) -> Any:
        out: Any = model.apply(variables, x)
        return out[:, 0].sum()

    grads: Any = jax.grad(first)(variables)["params"]
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(grads["head_1"]))
    assert any(np.any(leaf) for leaf in jax.tree.leaves(grads["shared"]))


def test_neighbourhood_means_by_hand() -> None:
    """The pool averages what there is at the edge of an odd window, without counting its padding."""
    model = Cnn2d(features=(1,), kernel=1, width=4, head_width=1, activation="relu")
    x = jnp.arange(9.0).reshape(1, 3, 3, 1)
    variables: Any = model.init(jax.random.key(0), x)
    params = variables["params"]
    params["Conv_0"] = {"kernel": jnp.ones((1, 1, 1, 1)), "bias": jnp.zeros(1)}
    params["shared"] = {"kernel": jnp.eye(4), "bias": jnp.zeros(4)}
    one = {"kernel": jnp.asarray([[1.0], [10.0], [100.0], [1000.0]]), "bias": jnp.zeros(1)}
    params["head_0"] = {"Dense_0": one, "Dense_1": {"kernel": jnp.ones((1, 1)), "bias": jnp.zeros(1)}}
    # Means of (0, 1, 3, 4), (2, 5), (6, 7), (8).
    expected = 2.0 + 35.0 + 650.0 + 8000.0
    out = np.asarray(model.apply({"params": params}, x))
    assert out[0, 0] == pytest.approx(expected)
