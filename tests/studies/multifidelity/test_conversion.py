"""Stage 2: the frozen decoder does not move, Eq. 6 fades, the spread is a proper score's."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from scans_problem import BANDS, CONFIG, NIR_BANDS, scans, snv, spectra

from jaxsoil.models.vae import VaeConfig
from jaxsoil.runs.errors import DataError
from jaxsoil.studies.multifidelity.config import ConversionConfig, FnoConfig
from jaxsoil.studies.multifidelity.conversion import (
    Conversion,
    ConversionLoss,
    Networks,
    apply_fno,
    energy_score,
    fit_conversion,
    fit_fno,
)
from jaxsoil.studies.multifidelity.pretrain import Pretrained, pretrain
from jaxsoil.training.config import LoopConfig
from jaxsoil.training.rows import Fitted

KEY = jax.random.key(5)
SAMPLES = 60
TRAIN, WATCH = np.arange(45), np.arange(45, SAMPLES)
SETTING = ConversionConfig(
    (24,),
    LoopConfig(epochs=60, batch=15, lr=1e-2, weight_decay=0.1),
    (8,),
    LoopConfig(epochs=40, batch=15, lr=1e-2, weight_decay=0.1),
)
OPERATOR = FnoConfig(width=8, layers=2, modes=10, loop=LoopConfig(epochs=60, batch=15, lr=1e-2))


def pairs() -> tuple[np.ndarray, np.ndarray]:
    mir, _, nir = spectra(SAMPLES)
    return snv(nir), snv(mir[::2])


@functools.cache
def stage_one() -> Pretrained:
    loop = dataclasses.replace(CONFIG.loop, epochs=60, lr=1e-2)
    return pretrain(scans(SAMPLES), dataclasses.replace(CONFIG, loop=loop, beta=0.01), KEY)[0]


@functools.cache
def trained() -> tuple[Conversion, Fitted, Fitted]:
    return fit_conversion(stage_one(), *pairs(), TRAIN, WATCH, SETTING, KEY)


def conversion() -> Conversion:
    return trained()[0]


def test_the_decoder_is_bitwise_what_it_was_with_weight_decay_on() -> None:
    before = jax.tree.map(np.array, stage_one().params["decoder"])
    made = conversion()
    assert SETTING.loop.weight_decay > 0
    for kept, now in ((made.params["decoder"], before), (stage_one().params["decoder"], before)):
        assert jax.tree.structure(kept) == jax.tree.structure(now)
        assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(kept), jax.tree.leaves(now), strict=True))
    z = np.random.default_rng(0).normal(size=(7, 6)).astype(np.float32)
    assert np.array_equal(made.decode(z), stage_one().decode(z))


def test_the_optimiser_never_sees_the_decoder() -> None:
    networks = Networks(SETTING, stage_one().config.vae, BANDS, NIR_BANDS)
    assert set(networks.init(KEY)[0]) == {"encoder", "nir_decoder"}


def test_it_converts_pairs_it_has_not_seen() -> None:
    nir, mir = pairs()
    made = conversion()
    error = np.sqrt(np.mean((made.convert(nir[WATCH]) - mir[WATCH]) ** 2))
    spread_of_mir = np.sqrt(np.mean((mir[WATCH] - mir[TRAIN].mean(axis=0)) ** 2))
    assert error < 0.5 * spread_of_mir
    mean, logvar = made.embed(nir)
    assert mean.shape == logvar.shape == (SAMPLES, 6)
    np.testing.assert_array_equal(made.convert(nir), made.decode(mean))


def test_the_loss_is_equation_five_plus_fading_equation_six() -> None:
    nir, mir = pairs()
    networks = Networks(SETTING, stage_one().config.vae, BANDS, NIR_BANDS)
    params, _ = networks.init(KEY)
    decoder = stage_one().params["decoder"]
    batch = {"nir": jnp.asarray(nir), "mir": jnp.asarray(mir)}
    latent = networks.encoder.apply({"params": params["encoder"]}, batch["nir"])
    converted: Any = networks.decoder.apply({"params": decoder}, latent)
    rebuilt: Any = networks.nir_decoder.apply({"params": params["nir_decoder"]}, latent)
    five = np.linalg.norm(np.asarray(converted) - mir, axis=1).mean()
    six = np.linalg.norm(np.asarray(rebuilt) - nir, axis=1).mean()
    for progress in (0.0, 0.25, 1.0):
        loss, (_, terms) = ConversionLoss(networks)(params, None, batch, None, jnp.float32(progress), shared=decoder)
        assert float(loss) == pytest.approx(five + (1 - progress) * six, rel=1e-5)
        assert float(terms["alpha"]) == 1 - progress
    alpha = trained()[1].history["alpha"]
    np.testing.assert_allclose(alpha, np.linspace(1, 0, 60), atol=1e-6)


def test_the_energy_score_is_the_crps_in_one_dimension() -> None:
    """A linear decoder of one latent and one band; closed form of Gneiting and Raftery 2007, Eq. 21 (sign turned)."""
    networks = Networks(SETTING, VaeConfig(latents=1, widths=(), linear=False), 1, 1)
    decoder = {"Mlp_0": {"Dense_0": {"kernel": jnp.ones((1, 1)), "bias": jnp.zeros(1)}}}
    n, mean, sd, observed = 200_000, 0.3, 0.7, 1.1
    column = functools.partial(jnp.full, (n, 1))
    score = energy_score(networks, decoder, column(mean), column(2 * np.log(sd)), column(observed), KEY)
    z = (observed - mean) / sd
    crps = sd * (z * (2 * scipy.stats.norm.cdf(z) - 1) + 2 * scipy.stats.norm.pdf(z) - 1 / np.sqrt(np.pi))
    assert float(score) == pytest.approx(crps, abs=0.005)


def test_the_spread_covers_new_pairs_band_by_band() -> None:
    mir, _, nir = spectra(400, seed=0)
    # The first 60 samples of the same factors' shapes, then new ones.
    nir, mir = snv(nir)[100:], snv(mir[::2])[100:]
    made = conversion()
    sd = made.spread(nir, KEY, 32)
    assert sd.shape == mir.shape and np.all(sd > 0)
    inside = np.mean(np.abs(made.convert(nir) - mir) < 1.645 * sd)
    assert 0.75 < inside < 0.99
    draws = made.sample(nir[:3], KEY, 5)
    assert draws.shape == (5, 3, BANDS) and np.all(draws.std(axis=0) > 0)
    assert np.array_equal(draws, made.sample(nir[:3], KEY, 5))
    assert np.array_equal(draws[2], made.decode(made.latent_samples(nir[:3], KEY, 5)[2]))


def test_the_point_conversion_does_not_depend_on_the_spread() -> None:
    other = dataclasses.replace(SETTING, spread_loop=dataclasses.replace(SETTING.spread_loop, lr=1e-4))
    nir, mir = pairs()
    point, _, _ = fit_conversion(stage_one(), nir, mir, TRAIN, WATCH, other, KEY)
    assert not np.array_equal(point.embed(nir)[1], conversion().embed(nir)[1])
    assert np.array_equal(point.convert(nir), conversion().convert(nir))


def test_the_operator_learns_the_pairs() -> None:
    nir, mir = pairs()
    made = fit_fno(nir, mir, TRAIN, WATCH, OPERATOR, KEY)
    error = np.sqrt(np.mean((apply_fno(*made, nir[WATCH]) - mir[WATCH]) ** 2))
    assert error < 0.5 * np.sqrt(np.mean((mir[WATCH] - mir[TRAIN].mean(axis=0)) ** 2))


def test_a_diverged_training_is_recorded() -> None:
    nir, mir = pairs()
    wild = dataclasses.replace(SETTING, loop=dataclasses.replace(SETTING.loop, lr=1e30))
    _, point, _ = fit_conversion(stage_one(), nir, mir, TRAIN, WATCH, wild, KEY)
    assert not point.alive and not point.converged
    operator = dataclasses.replace(OPERATOR, loop=dataclasses.replace(OPERATOR.loop, lr=1e30))
    lost = fit_fno(nir, mir, TRAIN, WATCH, operator, KEY)
    assert not lost[1].alive and np.isnan(apply_fno(*lost, nir)).all()


def test_rows_that_do_not_pair_and_other_bands_are_refused() -> None:
    nir, mir = pairs()
    with pytest.raises(DataError, match="differ in length"):
        fit_conversion(stage_one(), nir[:-1], mir, TRAIN, WATCH, SETTING, KEY)
    with pytest.raises(DataError, match="mid-infrared spectra have another number of features"):
        fit_conversion(stage_one(), nir, mir[:, 1:], TRAIN, WATCH, SETTING, KEY)
    with pytest.raises(DataError, match="near-infrared spectra have another number of features"):
        conversion().convert(nir[:, 1:])
