"""Convolutions against SciPy's correlation."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.signal

from jaxsoil.models.cnn import Cnn1d


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
