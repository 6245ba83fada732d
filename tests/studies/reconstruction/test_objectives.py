"""Eq. 1 against hand-computed values."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsoil.models.autoencoder import Autoencoder, ModelConfig, evaluate
from jaxsoil.studies.reconstruction.objectives import (
    SocError,
    make_loss,
    mineral_divergence,
    outside_unit_interval,
    perturbed,
    soc_term,
    spectrum_term,
)
from jaxsoil.training.config import TrainConfig


def test_terms_of_equation_one_by_hand() -> None:
    observed, predicted = jnp.array([0.01, 0.03]), jnp.array([0.0141, 0.0218])
    # Errors of 1 and 2 standard errors: mean of 1 and 4.
    assert float(soc_term(observed, predicted, 0.0041)) == pytest.approx(2.5, rel=1e-5)
    spectra, rebuilt = jnp.array([[0.2, 0.3], [0.4, 0.5]]), jnp.array([[0.21, 0.3], [0.4, 0.47]])
    # (1 + 0 + 0 + 9) / 4 in units of 0.01.
    assert float(spectrum_term(spectra, rebuilt, 0.01)) == pytest.approx(2.5, rel=1e-4)


def test_the_spectrum_term_is_over_the_rows_drawn_for_it_and_the_soc_term_over_the_labelled() -> None:
    """N' != N: three labelled rows, then five spectra; without those, the labelled rows make both terms."""
    model, train = Autoencoder(4, 6, ModelConfig(width=8, hidden=0, decoder="ann")), TrainConfig(batch_norm="stored")
    x = jax.random.uniform(jax.random.key(0), (8, 6))
    variables: Any = model.init(jax.random.key(1), x, train=False)
    mass, rebuilt = evaluate(model, variables, x)
    assert rebuilt is not None
    soc = jnp.array([0.01, 0.02, 0.03])
    for rows, spectra in ((slice(None), slice(3, None)), (slice(3), slice(3))):
        batch = {"spectra": x[rows], "soc": soc}
        value, _ = make_loss(model, train)(
            variables["params"], variables["batch_stats"], batch, jax.random.key(2), jnp.float32(0)
        )
        expected = np.mean((np.asarray(mass)[:3, -1] - np.asarray(soc)) ** 2) / 0.0041**2
        expected += np.mean((np.asarray(rebuilt)[spectra] - np.asarray(x)[spectra]) ** 2) / 0.01**2
        assert float(value) == pytest.approx(expected, rel=1e-4)


def test_perturbed_spectra_are_those_of_normal_draws_of_each_kind() -> None:
    rows, kinds = 400, 3
    batch = {"spectra": jnp.full((rows, 5), 0.4), "moved": jnp.zeros((rows, kinds, 5)).at[:, 1, 2].set(0.02),
             "one_sided": jnp.zeros((rows, kinds), bool)}  # fmt: skip
    key = jax.random.key(3)
    found = np.asarray(perturbed(batch, key, 1.5))
    added = np.log10(0.4 / found[:, 2]) / (1.5 * 0.02)  # absorbance, in standard deviations
    assert np.allclose(np.delete(found, 2, axis=1), 0.4) and 0.8 < added.std() < 1.0 and abs(added).max() < 2.001
    assert -0.2 < added.mean() < 0.2 and not np.allclose(found, perturbed(batch, jax.random.key(4), 1.5))
    sided = np.asarray(perturbed(batch | {"one_sided": jnp.ones((rows, kinds), bool)}, key, 1.5))
    np.testing.assert_allclose(np.log10(0.4 / sided[:, 2]) / (1.5 * 0.02), np.abs(added), atol=1e-4)


def test_the_training_loss_is_that_of_the_perturbed_spectra_and_the_validation_loss_is_not() -> None:
    model = Autoencoder(4, 6, ModelConfig(width=8, hidden=0, decoder="ann"))
    x, key, now = jax.random.uniform(jax.random.key(0), (8, 6), minval=0.1), jax.random.key(2), jnp.float32(0)
    variables: Any = model.init(jax.random.key(1), x, train=False)
    moved = 0.02 * jax.random.normal(jax.random.key(5), (8, 2, 6))
    batch = {"spectra": x, "soc": jnp.full(8, 0.02), "moved": moved, "one_sided": jnp.zeros((8, 2), bool)}
    own, plain = (make_loss(model, TrainConfig(batch_norm="stored", perturbed=strength)) for strength in (2.0, 0.0))
    states = variables["params"], variables["batch_stats"]
    seen = batch | {"spectra": perturbed(batch, key, 2.0)}
    assert own(*states, batch, key, now)[0] == plain(*states, seen, key, now)[0] != plain(*states, batch, key, now)[0]
    weighted = batch | {"weight": jnp.ones(8)}
    assert own(*states, weighted, None, now)[0] == plain(*states, weighted, None, now)[0]


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="none is broadcast"):
        soc_term(jnp.zeros(3), jnp.zeros((3, 1)), 0.0041)
    with pytest.raises(ValueError, match="none is broadcast"):
        spectrum_term(jnp.zeros((3, 4)), jnp.zeros(4), 0.01)
    assert np.isfinite(float(soc_term(jnp.zeros(3), jnp.ones(3), 0.0041)))


def test_divergence_of_the_minerals_from_a_mean_soil_by_hand() -> None:
    shares = jnp.array([0.5, 0.25, 0.25])
    # The first soil has the mean minerals, whatever its SOC; the second is half and half of the first two.
    mass = jnp.array([[0.4, 0.2, 0.2, 0.2], [0.45, 0.45, 0.0, 0.1]])
    expected = 0.5 * (0.5 * np.log(1.0) + 0.5 * np.log(2.0))
    assert float(mineral_divergence(mass, shares)) == pytest.approx(expected, rel=1e-5)
    slope = np.asarray(jax.grad(lambda m: mineral_divergence(m, shares))(mass))
    assert np.isfinite(slope).all() and np.all(slope[:, -1] == 0)
    with pytest.raises(ValueError, match="none is broadcast"):
        mineral_divergence(mass, jnp.ones(4))


def test_penalty_on_a_spectrum_that_leaves_the_unit_interval_by_hand() -> None:
    f_soc = jnp.array([-0.1, 0.0, 0.4, 1.0, 1.2, -0.02])
    # 1000 (0.1^2 + 0.2^2 + 0.02^2); the ends of the interval cost nothing.
    assert float(outside_unit_interval(f_soc)) == pytest.approx(50.4, rel=1e-5)
    assert float(outside_unit_interval(jnp.array([0.0, 0.5, 1.0]))) == 0.0


def test_a_step_on_the_penalty_moves_a_spectrum_back_towards_the_interval() -> None:
    f_soc = jnp.array([-0.1, 0.4, 1.2])
    slope = jax.grad(outside_unit_interval)(f_soc)
    # d/df 1000 f^2 below 0 and 1000 (f - 1)^2 above 1.
    np.testing.assert_allclose(np.asarray(slope), [-200.0, 0.0, 400.0], rtol=1e-5)
    moved = f_soc - 1e-4 * slope
    np.testing.assert_allclose(np.asarray(moved), [-0.08, 0.4, 1.16], rtol=1e-5)
    assert float(outside_unit_interval(moved)) < float(outside_unit_interval(f_soc))


def test_forms_of_the_soc_term_by_hand() -> None:
    observed, predicted = jnp.array([0.01, 0.04]), jnp.array([0.0115, 0.0355])
    # sigma_i 0.1 x SOC + 0.0005 is 0.0015 and 0.0045: errors of one standard error each.
    proportional = SocError("proportional", 0.0041, 0.1, 0.0005).term(observed, predicted)
    assert float(proportional) == pytest.approx(1.0, rel=1e-5)
    linear = SocError("linear", 0.0041, 0.1, 0.0005)
    assert float(linear.term(observed, predicted)) == float(soc_term(observed, predicted, 0.0041))
    # Factors of e^0.1 and e^-0.2 are errors of 1 and 2 times 0.1 / ln 10 of log10 SOC.
    log = SocError("log", 0.0041, 0.1, 0.0005)
    factors = jnp.exp(jnp.array([0.1, -0.2]))
    assert float(log.term(observed, observed * factors)) == pytest.approx(2.5, rel=1e-4)
    weighted = log.term(observed, observed * factors, lambda squares: jnp.sum(jnp.array([0.0, 1.0]) * squares))
    assert float(weighted) == pytest.approx(4.0, rel=1e-4)
    # A softmax that underflows, and a row without label that no weight counts, stay finite.
    assert np.isfinite(float(log.term(jnp.array([0.0]), jnp.array([0.0]))))
    slope = jax.grad(lambda p: log.term(observed, p))(jnp.array([0.0, 0.1]))
    assert np.isfinite(np.asarray(slope)).all()
