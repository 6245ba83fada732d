"""Networks: parameter counts of the paper, outputs in range, one training step against PyTorch."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsoil.models.autoencoder import Autoencoder, EncoderKind, Minerals, ModelConfig, evaluate, parameter_count


def shapes(components: int, bands: int, config: ModelConfig):
    network = Autoencoder(components, bands, config)
    return jax.eval_shape(
        lambda key: network.init(key, jnp.zeros((2, bands), jnp.float32), train=False), jax.random.key(0)
    )


def begun(network: Autoencoder, x: jax.Array, *minerals: Minerals, seed: int = 1) -> Any:
    """First variables, in one program: step by step each operation would compile one."""
    return jax.jit(functools.partial(network.init, train=False))(jax.random.key(seed), x, *minerals)


def judged(network: Autoencoder, *arguments: Any) -> tuple[Any, Any]:
    """Mass fractions and reconstruction, in one program."""
    return jax.jit(functools.partial(evaluate, network))(*arguments)


@pytest.mark.parametrize(("bands", "components", "published"), [(2151, 90, 1_944_360), (2136, 94, 1_938_702)])
def test_encoder_has_the_published_number_of_parameters(bands: int, components: int, published: int) -> None:
    """Coleman et al. 2024 print 1,944,360 (M = 2151, K = 90); by hand: 514 M + 513 K + 792,576."""
    encoder = shapes(components, bands, ModelConfig())["params"]["encoder"]
    assert parameter_count(encoder) == published == 514 * bands + 513 * components + 792_576


def test_ann_decoder_is_the_encoder_with_bands_and_components_swapped() -> None:
    params = shapes(94, 2136, ModelConfig(decoder="ann"))["params"]
    assert parameter_count(params["decoder"]) == 514 * 94 + 513 * 2136 + 792_576


def test_dense_layers_start_as_stated() -> None:
    """Variance 1 / inputs (LeCun) or 1 / (3 inputs) with all within +-1 / sqrt(inputs) (PyTorch), biases as weights."""
    bands, width = 400, 300
    for kind, third in (("lecun", 1.0), ("pytorch", 3.0)):
        network = Autoencoder(90, bands, ModelConfig(width=width, hidden=1, decoder="ann", initialisation=kind))  # type: ignore[arg-type]
        params = begun(network, jnp.zeros((2, bands)), seed=2)["params"]
        trunk = params["encoder"]["Trunk_0"]
        for name, inputs in (("Dense_0", bands), ("Dense_1", width), ("Dense_2", width)):
            weights = np.asarray(trunk[name]["kernel"], np.float64)
            assert weights.var() == pytest.approx(1.0 / (third * inputs), rel=0.03)
            assert abs(weights.mean()) < 4.0 * weights.std() / np.sqrt(weights.size)
            if kind == "pytorch":
                bound = 1.0 / np.sqrt(inputs)
                # Of so many uniform draws the largest comes within a thousandth of the bound.
                assert 0.999 * bound < np.abs(weights).max() <= bound * (1.0 + 1e-6)
        removed, last = (trunk[name]["bias"] for name in ("_RemovedBias_1", "Dense_2"))
        for bias, inputs in ((removed, bands), (last, width)):
            size = np.abs(np.asarray(bias)).max()
            assert size == 0.0 if kind == "lecun" else 0.8 / np.sqrt(inputs) < size <= 1.0 / np.sqrt(inputs)
        # The bias of the BatchNorm before the first layer has no inputs to go by.
        assert not np.any(trunk["_RemovedBias_0"]["bias"])


@pytest.mark.parametrize("train", [True, False])
def test_mass_fractions_sum_to_one_and_reflectance_stays_between_zero_and_one(train: bool) -> None:
    network = Autoencoder(7, 20, ModelConfig(width=16, hidden=1, decoder="ann"))
    x = jax.random.uniform(jax.random.key(0), (11, 20))
    apply: Any = jax.jit(functools.partial(network.apply, train=train, mutable=["batch_stats"]))
    (mass, rebuilt), _ = apply(begun(network, x), 5 * x)
    np.testing.assert_allclose(np.sum(mass, axis=1), 1.0, rtol=1e-6)
    assert np.all(mass >= 0)
    assert rebuilt.shape == x.shape
    assert np.all((rebuilt > 0) & (rebuilt < 1))


def test_without_decoder_nothing_is_reconstructed() -> None:
    network = Autoencoder(7, 20, ModelConfig(width=16, hidden=1))
    x = jnp.ones((3, 20))
    variables = begun(network, x)
    assert judged(network, variables, x)[1] is None
    assert set(variables["params"]) == {"encoder"}


def test_evaluation_uses_stored_statistics_and_changes_none() -> None:
    """A row's prediction must not depend on the rows beside it, or held-out rows would leak into each other."""
    network = Autoencoder(5, 12, ModelConfig(width=16, hidden=1, decoder="ann"))
    x = jax.random.uniform(jax.random.key(0), (9, 12))
    variables = begun(network, x)
    together, alone = (judged(network, variables, rows)[1] for rows in (x, x[:1]))
    np.testing.assert_allclose(together[:1], alone, rtol=1e-5)


def mixing_network(config: ModelConfig, bands: int, minerals: int) -> tuple[Autoencoder, Minerals]:
    constants = Minerals(jnp.full((minerals, bands), 0.6), jnp.linspace(1.0, 3.0, minerals))
    return Autoencoder(minerals + 1, bands, config), constants


@pytest.mark.parametrize(("bands", "published"), [(2151, 2152), (2136, 2137)])
def test_mixing_decoder_has_the_published_number_of_parameters(bands: int, published: int) -> None:
    network, minerals = mixing_network(ModelConfig(width=8, hidden=1, decoder="physics"), bands, 5)
    start: Any = functools.partial(network.init, train=False)
    variables = jax.eval_shape(start, jax.random.key(0), jnp.ones((2, bands)), minerals)
    assert parameter_count(variables["params"]["decoder"]) == published


def test_mixing_decoder_starts_as_published_and_mixes_by_area() -> None:
    """f_SOC starts at 0.5 and (rho r)_SOC at the minerals' mean; equal rho r would make areas equal masses."""
    network, minerals = mixing_network(ModelConfig(width=8, hidden=1, decoder="physics"), 12, 4)
    x = jax.random.uniform(jax.random.key(1), (3, 12))
    variables = begun(network, x, minerals)
    decoder = variables["params"]["decoder"]
    np.testing.assert_array_equal(decoder["f_soc"], np.full(12, 0.5, np.float32))
    assert float(decoder["soc_rho_r"]) == 2.0
    mass, rebuilt = judged(network, variables, x, minerals)
    surface = np.asarray(mass) / np.append(np.linspace(1.0, 3.0, 4), 2.0)
    soc_area = surface[:, -1] / surface.sum(axis=1)
    np.testing.assert_allclose(rebuilt, np.repeat(0.6 - 0.1 * soc_area[:, None], 12, axis=1), rtol=1e-5)


def test_without_rho_r_areas_are_masses_and_only_the_spectrum_is_learned() -> None:
    network, minerals = mixing_network(ModelConfig(width=8, hidden=1, decoder="physics_no_rho"), 12, 4)
    x = jax.random.uniform(jax.random.key(1), (3, 12))
    variables = begun(network, x, minerals)
    assert set(variables["params"]["decoder"]) == {"f_soc"}
    mass, rebuilt = judged(network, variables, x, minerals)
    np.testing.assert_allclose(rebuilt[:, 0], 0.6 - 0.1 * np.asarray(mass)[:, -1], rtol=1e-5)


@pytest.mark.parametrize("encoder", ["cnn", "attention"])
def test_other_encoders_give_mass_fractions(encoder: EncoderKind) -> None:
    network = Autoencoder(6, 50, ModelConfig(encoder=encoder, width=16, hidden=1, decoder="ann"))
    x = jax.random.uniform(jax.random.key(0), (9, 50))
    mass, rebuilt = judged(network, begun(network, x), x)
    np.testing.assert_allclose(np.sum(mass, axis=1), 1.0, rtol=1e-6)
    assert rebuilt.shape == x.shape


@pytest.mark.parametrize("kind", ["reflectance", "absorbance", "snv"])
def test_an_encoder_sees_what_the_preprocessing_of_spectra_makes(kind: Any) -> None:
    from jaxsoil.models.autoencoder import encoder_input
    from jaxsoil.spectra.container import Spectra
    from jaxsoil.spectra.preprocess import SNV

    values = np.random.default_rng(0).uniform(0.05, 0.9, (6, 40)).astype(np.float32)
    spectra = Spectra(values, np.linspace(400.0, 2400.0, 40), "nm", "reflectance")
    made = {"reflectance": spectra, "absorbance": spectra.to_absorbance(), "snv": SNV()(spectra.to_absorbance())}
    np.testing.assert_allclose(encoder_input(jnp.asarray(values), kind), made[kind].values, rtol=1e-4, atol=1e-5)


def test_a_network_that_sees_another_input_rebuilds_reflectance() -> None:
    network = Autoencoder(5, 40, ModelConfig(width=8, hidden=1, decoder="ann", input="snv"))
    x = jax.random.uniform(jax.random.key(0), (6, 40))
    mass, rebuilt = judged(network, begun(network, jnp.zeros((2, 40))), x)
    assert np.isfinite(np.asarray(mass)).all() and rebuilt.shape == x.shape
