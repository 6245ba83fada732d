"""Principal components against a singular value decomposition, and the autoencoder that starts as them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsoil.models.vae import Vae, VaeConfig
from jaxsoil.studies.multifidelity.components import Components

X = np.random.default_rng(0).normal(size=(200, 4)) @ np.random.default_rng(1).normal(size=(4, 24)) + 3.0


def test_they_are_those_of_a_singular_value_decomposition():
    made = Components.fit([X[:70], X[70:]], 3)
    _, singular, axes = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(made.sd, singular[:3] / np.sqrt(200), rtol=1e-9)
    np.testing.assert_allclose(np.abs(made.axes @ axes[:3].T), np.eye(3), atol=1e-9)
    np.testing.assert_allclose(made.scores(X).std(axis=0), 1.0, rtol=1e-5)
    assert (made.axes[np.arange(3), np.abs(made.axes).argmax(axis=1)] > 0).all()
    # Four factors: a fifth component is rounding, and four rebuild all.
    every = Components.fit([X], 6)
    assert every.sd.size == 4
    np.testing.assert_allclose(every.rebuild(every.scores(X)), X, atol=1e-4)


@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_the_autoencoder_starts_as_them(kind: Any):
    components = Components.fit([X], 3)
    model = Vae(24, VaeConfig(kind, 5, (16, 8), (4, 6), 5))
    start = components.start(model.init(jax.random.key(0), jnp.zeros((2, 24)))["params"], noise=0.01)
    result: Any = model.apply({"params": start}, jnp.asarray(X, jnp.float32))
    rebuilt, mean, logvar = (np.asarray(part) for part in result)
    np.testing.assert_allclose(rebuilt, components.rebuild(components.scores(X)), atol=1e-4)
    np.testing.assert_allclose(mean[:, :3], components.scores(X), atol=1e-4)
    # Each posterior moves a spectrum by the stated norm; latents without a component stay at the prior.
    np.testing.assert_allclose(np.exp(0.5 * logvar[0, :3]) * components.sd, 0.01, rtol=1e-4)
    assert not mean[:, 3:].any() and not logvar[:, 3:].any()
