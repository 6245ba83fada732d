"""Stage 1: whole samples apart, the same bits after a kill in the middle of an epoch, the same on eight devices."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from scans_problem import BANDS, CONFIG, SMALL, scans, snv, spectra

from jaxsoil.runs.errors import DataError, UsageError
from jaxsoil.studies.multifidelity.pretrain import Plan, Pretrained, ScansProgram, _read_snv, pretrain, read_snv
from jaxsoil.training.checkpoints import Checkpoints
from jaxsoil.training.rows import Fitted

KEY = jax.random.key(3)


@functools.cache
def trained() -> tuple[Pretrained, Fitted]:
    """The small problem, trained once for all tests that only read it."""
    return pretrain(scans(), CONFIG, KEY)


def with_loop(config: Any, **changes: Any) -> Any:
    return dataclasses.replace(config, loop=dataclasses.replace(config.loop, **changes))


def same(a: tuple[Pretrained, Fitted], b: tuple[Pretrained, Fitted]) -> bool:
    trees = ((made.params, training.history) for made, training in (a, b))
    return all(jax.tree.leaves(jax.tree.map(np.array_equal, *trees)))


def test_it_learns_the_factors_and_says_which_latents_do_nothing() -> None:
    # Without the linear path: latents that start as components of the noise collapse later than this.
    plain = dataclasses.replace(CONFIG, vae=dataclasses.replace(CONFIG.vae, linear=False), beta=0.1)
    config = with_loop(plain, epochs=100, lr=1e-2)
    fitted, training = pretrain(scans(), config, KEY)
    train, watch = sides()
    values = snv(spectra()[0])
    error = np.sqrt(np.mean((fitted.decode(fitted.embed(values)[0])[watch] - values[watch]) ** 2))
    # SNV spectra have unit variance; a good autoencoder leaves little of it on samples it has not seen.
    assert error < 0.1
    # Three factors, one less after SNV takes out a scale: the prior claims the rest of six latents.
    assert 2 <= fitted.active.sum() < 6
    assert "collapsed to the prior" in fitted.collapsed and str(int((~fitted.active).sum())) in fitted.collapsed
    mean, logvar = fitted.embed(values[train])
    by_hand = 0.5 * (mean**2 + np.exp(logvar) - logvar - 1).mean(axis=0)
    np.testing.assert_allclose(fitted.kl, by_hand, rtol=1e-3, atol=1e-5)
    assert np.all(np.diff(training.history["validation_loss"][[0, 20, 99]]) < 0)


def test_it_ends_nearer_to_the_spectra_than_the_components_it_starts_as() -> None:
    """Two latents for three factors, whose sums SNV bends: a curved surface holds more of them than a plane."""
    config = dataclasses.replace(CONFIG, vae=dataclasses.replace(CONFIG.vae, latents=2), beta=1e-3)
    fitted, _ = pretrain(scans(), with_loop(config, epochs=150, lr=3e-3), KEY)
    held_out = snv(spectra()[0])[fitted.held_out]
    by_components = fitted.components.rebuild(fitted.components.scores(held_out))
    by_network = fitted.decode(fitted.embed(held_out)[0])
    errors = [np.sqrt(np.mean((made - held_out) ** 2)) for made in (by_network, by_components)]
    assert errors[0] < 0.8 * errors[1]


def sides() -> tuple[np.ndarray, np.ndarray]:
    """Rows that train and that validate."""
    program = ScansProgram(scans(), CONFIG, KEY, None)
    return program.plan.rows, program.watch


def test_repeats_stay_on_one_side() -> None:
    samples = scans().samples
    train, watch = sides()
    assert not set(samples[train]) & set(samples[watch])
    assert len(set(samples[watch])) == 12 and np.array_equal(np.sort(np.r_[train, watch]), np.arange(120))


WINDOWS = dataclasses.replace(CONFIG, block=2, checkpoint_steps=4)
"""Six steps an epoch, shuffled two by two."""


@functools.cache
def in_windows() -> tuple[Pretrained, Fitted]:
    return pretrain(scans(), WINDOWS, KEY)


@pytest.mark.parametrize(("before", "after"), [(1.0, 1.0), (0.0, 1e-4)])
def test_a_kill_in_the_middle_of_an_epoch_changes_no_bit(tmp_path: Path, before: float, after: float) -> None:
    """Nor does it matter whether scans are streamed, one step at a time and then two, or lie in memory."""

    class Killed(Exception):
        pass

    class Dies(Checkpoints):
        def save(self, number: int, state: Any) -> None:
            super().save(number, state)
            # 96 scans in batches of 16: six steps an epoch, so step 8 is the second of epoch two.
            if int(state["epoch"]) == 1 and int(state["step"]) == 2:
                raise Killed

    with Dies(tmp_path) as folder, pytest.raises(Killed):
        pretrain(scans(), dataclasses.replace(WINDOWS, memory_gb=before), KEY, checkpoints=folder)
    with Checkpoints(tmp_path) as folder:
        resumed = pretrain(scans(), dataclasses.replace(WINDOWS, memory_gb=after), KEY, checkpoints=folder)
    assert same(resumed, in_windows())


def test_a_checkpoint_of_another_key_is_refused(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as folder:
        pretrain(scans(), CONFIG, KEY, checkpoints=folder)
        with pytest.raises(DataError, match="another random key"):
            pretrain(scans(), CONFIG, jax.random.key(4), checkpoints=folder)


def test_every_scan_is_used_once_and_a_window_takes_neighbours() -> None:
    rows = np.arange(0, 200, 2)
    plan = Plan(rows, batch=8, seeds=(1, 2), window=3, chunk=4)
    order = plan.order(0)
    assert order.shape == (12, 8) and len(np.unique(order)) == 96 and np.isin(order, rows).all()
    windows = order.reshape(4, 24)
    # 24 scans are six chunks of four neighbours, in no order.
    for window in windows:
        assert np.unique(window // 8).size == 6
        assert np.any(np.diff(window) < 0)
    assert np.ptp(windows[0]) > 100
    assert not np.array_equal(plan.order(1), order) and np.array_equal(plan.order(0), order)
    whole = Plan(rows, batch=8, seeds=(1, 2), window=12).order(0)
    assert np.unique(whole[:3] // 8).size > 6


def test_what_is_read_is_the_standard_normal_variate() -> None:
    rows = np.array([5, 0, 17])
    np.testing.assert_allclose(read_snv(scans(), rows), snv(spectra()[0])[rows], atol=1e-5)
    moments = np.full((120, 2), np.nan)
    for _ in range(2):  # computed, then taken as known: the same bits
        assert np.array_equal(_read_snv(scans(), rows, moments), read_snv(scans(), rows))
        assert np.array_equal(np.flatnonzero(np.isfinite(moments).all(axis=1)), np.sort(rows))


def test_the_convolutional_variant_trains() -> None:
    config = with_loop(dataclasses.replace(CONFIG, vae=dataclasses.replace(SMALL, kind="conv")), epochs=12, lr=1e-2)
    fitted, training = pretrain(scans(), config, KEY)
    assert training.history["validation_loss"][-1] < 0.8 * training.history["validation_loss"][0]
    assert fitted.decode(fitted.embed(snv(spectra()[0]))[0]).shape == (120, BANDS)


EIGHT = """
import sys; sys.path[:0] = ["tests/support", "tests/studies/multifidelity"]
import dataclasses, jax, jax.numpy as jnp, numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from test_property_models import fitted, problem
from scans_problem import BANDS, CONFIG, SMALL, scans
from jaxsoil.runs.errors import UsageError
from jaxsoil.models.vae import Vae
from jaxsoil.training.config import DeviceConfig, LoopConfig
from jaxsoil.training.devices import make_mesh
from jaxsoil.studies.multifidelity import property_models
from jaxsoil.studies.multifidelity.pretrain import ScansProgram, VaeLoss, pretrain

assert len(jax.devices()) == 8

def train_as_one():
    def trained(devices, memory):
        config = dataclasses.replace(CONFIG, memory_gb=memory, block=2)
        return pretrain(scans(), config, jax.random.key(3), devices=jax.devices()[:devices])

    one = trained(1, 1.0)  # on one device streaming changes no bit, see above
    for memory in (1.0, 0.0):
        eight = trained(8, memory)
        for a, b in zip(jax.tree.leaves(one[0].params), jax.tree.leaves(eight[0].params)):
            np.testing.assert_allclose(a, b, atol=2e-4)
        losses = (training.history["validation_loss"] for _, training in (one, eight))
        np.testing.assert_allclose(*losses, rtol=1e-4)

def rows_of_their_own():
    mesh = make_mesh(DeviceConfig(batch_devices=8))
    model = Vae(BANDS, SMALL)
    x = jax.device_put(jnp.ones((16, BANDS)), NamedSharding(mesh, PartitionSpec()))
    params = jax.device_put(model.init(jax.random.key(0), x)["params"], NamedSharding(mesh, PartitionSpec()))
    loss = VaeLoss(model, 1e-3, 0.3, mesh)
    grad = jax.jit(jax.grad(lambda p: loss(p, None, x, jax.random.key(1), jnp.float32(1))[0]))
    text = grad.lower(params).compile().as_text()
    assert "all-reduce" in text, text
    assert f"f32[2,{BANDS}]" in text, text  # two of the 16 rows on each device
    program = ScansProgram(scans(), dataclasses.replace(CONFIG, memory_gb=0.0), jax.random.key(3), None)
    block = next(program.blocks(0, 0))[2].arrays
    assert {part.data.shape[1] for part in block.addressable_shards} == {program.plan.batch // 8}

def property_networks():
    x, y = problem()
    y[::3, 0] = np.nan  # devices have unequal numbers of values: the mean is over all of them
    loop, fit, used = LoopConfig(epochs=3, batch=32), property_models.fit, []
    property_models.fit = lambda *given, mesh, **named: used.append(mesh) or fit(*given, mesh=mesh, **named)
    one, eight = (fitted(x, y, "multi", loop, memory_gb=memory)[0] for memory in (1.0, 1e-6))
    np.testing.assert_allclose(one.predict(x), eight.predict(x), rtol=1e-4)
    assert used[0] is None and used[1].shape["batch"] == 8
    assert property_models._sharing(30).shape["batch"] == 6 and property_models._sharing(11) is None

def refused():
    config = dataclasses.replace(CONFIG, loop=dataclasses.replace(CONFIG.loop, batch=15))
    try:
        pretrain(scans(), config, jax.random.key(0))
    except UsageError as error:
        assert "8 devices cannot share batches of 15" in str(error), error
    else:
        raise AssertionError("a batch of 15 was shared")

for check in (train_as_one, rows_of_their_own, property_networks, refused):
    try:
        check()
        print(check.__name__, "holds")
    except Exception as error:
        print(check.__name__, "fails:", repr(error))
"""


@pytest.fixture(scope="module")
def on_eight_devices(run_with_devices) -> str:
    """What one process with eight devices says of each check."""
    return run_with_devices(EIGHT, n=8)


@pytest.mark.parametrize("check", ["train_as_one", "rows_of_their_own", "property_networks", "refused"])
def test_eight_devices_share_each_batch(on_eight_devices: str, check: str) -> None:
    assert f"{check} holds" in on_eight_devices, on_eight_devices


def test_a_diverged_training_is_recorded() -> None:
    _, lost = pretrain(scans(), with_loop(CONFIG, lr=1e30), KEY)
    assert not lost.alive and not lost.converged and lost.epochs_run < 2


def test_bad_input_is_refused() -> None:
    constant = scans()
    flat = dataclasses.replace(constant, reader=lambda rows: np.ones((len(rows), BANDS), np.float32))
    with pytest.raises(DataError, match="constant spectrum"):
        pretrain(flat, CONFIG, KEY)
    one = dataclasses.replace(constant, samples=np.repeat("a", 120))
    with pytest.raises(UsageError, match=r"pretrain\.memory-gb nan"):
        dataclasses.replace(CONFIG, memory_gb=float("nan"))
    with pytest.raises(UsageError, match=r"pretrain\.block 0"):
        dataclasses.replace(CONFIG, block=0)
    with pytest.raises(DataError, match="two samples"):
        pretrain(one, CONFIG, KEY)
    with pytest.raises(DataError, match="another number of features"):
        trained()[0].embed(np.zeros((2, BANDS + 1), np.float32))
