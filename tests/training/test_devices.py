"""Devices: jit over a mesh and pmap give the same training; chunks fit the memory."""

from __future__ import annotations

import jax
import pytest

from jaxsoil.runs.errors import UsageError
from jaxsoil.training.config import DeviceConfig
from jaxsoil.training.devices import bytes_per_trial, chunk_sizes, make_mesh

COMPARE = """
import sys; sys.path.insert(0, "tests/support")
import dataclasses, jax, jax.numpy as jnp, numpy as np
from engine_problem import members, network, problem, training
from jaxsoil.training.config import DeviceConfig
from jaxsoil.training.devices import Layout, make_mesh
from jaxsoil.training.loop import Program
from jaxsoil.training.grid import NetworkFunctions, over_trials

def history(method, batch_devices, devices):
    mesh = make_mesh(DeviceConfig(method=method, batch_devices=batch_devices), jax.devices()[:devices])
    layout = Layout(method, mesh)
    # A small step: rounding that moves a unit across its kink would otherwise grow with every step.
    member = layout.place(dataclasses.replace(members(8), lr=jnp.full(8, 1e-3)))
    program = Program(training(mesh=mesh), layout, member, layout.replicate(problem()))
    initial, predict, _ = over_trials(NetworkFunctions(network()), layout)
    state = program.initial(*initial(member.key, None, None))
    state = program.epochs(state, 0, 4)
    mass, rmse = predict(state, program.data.arrays["spectra"], None)
    if devices > 1:
        placed = state.history["loss"].sharding
        assert len(placed.device_set) == devices, placed
    assert np.isfinite(mass).all() and np.isfinite(rmse).all()
    return np.stack([np.asarray(state.history[name]) for name in ("loss", "validation_loss")])

assert len(jax.devices()) == 8
one = history("jit", 1, 1)
for method, batch_devices in (("jit", 1), ("pmap", 1), ("jit", 2)):
    worst = np.max(np.abs(history(method, batch_devices, 8) / one - 1))
    print(method, batch_devices, f"{worst:.1e}")
    assert worst < 1e-4, (method, batch_devices, worst)
"""


def test_eight_devices_train_as_one_by_jit_and_by_pmap(run_with_devices) -> None:
    printed = run_with_devices(COMPARE, n=8)
    assert len(printed.strip().splitlines()) == 3


def test_devices_that_do_not_divide_are_refused() -> None:
    with pytest.raises(UsageError, match="batch-devices"):
        make_mesh(DeviceConfig(batch_devices=3))


def test_pmap_has_no_batch_axis() -> None:
    # The refusal counts devices and asks nothing else of them, so one twice does.
    with pytest.raises(UsageError, match=r"use --devices\.method jit"):
        make_mesh(DeviceConfig(method="pmap", batch_devices=2), jax.devices() * 2)


@pytest.mark.parametrize(
    ("trials", "gigabytes", "expected"), [(17, 1.0, (2, 9)), (17, 10.0, (1, 17)), (3, 0.1, (3, 1))]
)
def test_chunks_share_the_trials_evenly_within_the_memory(trials, gigabytes, expected) -> None:
    config = DeviceConfig(memory_gb=gigabytes)
    assert chunk_sizes(trials, 100_000_000, config, make_mesh(config)) == expected


def test_a_trial_that_does_not_fit_is_refused_with_the_numbers() -> None:
    config = DeviceConfig(memory_gb=0.5)
    with pytest.raises(UsageError, match=r"A trial needs 12\.3 GB by count, and a device has 0\.5 GB .*--train\.batch"):
        chunk_sizes(3, 12_345_000_000, config, make_mesh(config))
    # What is asked for in so many words is not refused.
    assert chunk_sizes(3, 12_345_000_000, DeviceConfig(memory_gb=0.5, chunk=2), make_mesh(config)) == (2, 2)


def test_more_devices_than_there_are_are_refused_and_fewer_are_used() -> None:
    here = len(jax.devices())
    with pytest.raises(UsageError, match=rf"--devices\.count {here + 1}: there are {here} devices"):
        make_mesh(DeviceConfig(count=here + 1))
    # The mesh asks nothing of a device that is left out.
    assert make_mesh(DeviceConfig(count=1), jax.devices() * 2).devices.size == 1


def test_memory_of_a_trial_counts_its_copies() -> None:
    # 7 float32 copies of the parameters while training, 6 without the best ones.
    assert bytes_per_trial(1000, 0, 0, 0, 1, True) == 4 * 7 * 1000
    assert bytes_per_trial(1000, 0, 0, 0, 1, False) == 4 * 6 * 1000
