"""What a group settles before it trains: by rule unless asked, recorded, kept by a run that goes on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from engine_problem import BANDS, COMPONENTS, ROWS, TRAIN, problem

from jaxsoil.data.splits import Split
from jaxsoil.models.autoencoder import ModelConfig
from jaxsoil.runs.errors import UsageError
from jaxsoil.studies.reconstruction.objectives import make_loss
from jaxsoil.training import calibrate
from jaxsoil.training.config import DeviceConfig
from jaxsoil.training.devices import make_mesh, ways
from jaxsoil.training.grid import Group, Trial, make_groups

MODEL = ModelConfig(width=16, hidden=0, decoder="ann")
TRAINED = dataclasses.replace(TRAIN, validation_share=0.0)
DATA = jax.tree.map(np.asarray, problem())


def group_of(devices: DeviceConfig, trials: int = 8) -> Group:
    test = np.arange(ROWS) >= 90
    split = Split("region_out/a", "a", ~test, np.zeros(ROWS, bool), test, "inductive", 0)
    every = [Trial("ann", MODEL, split, seed, np.zeros(ROWS, bool), ROWS - 1) for seed in range(trials)]
    return make_groups(every, TRAINED, devices, COMPONENTS, BANDS)[0]


def settle(devices: DeviceConfig, folder: Path) -> tuple[Group, DeviceConfig]:
    return calibrate.settle(group_of(devices), DATA, TRAINED, devices, folder, make_loss)


@pytest.mark.parametrize(
    ("config", "convolutions", "trials", "method", "stepped"),
    [
        ({}, False, 3, "in_turn", False),
        ({}, False, 1, "jit", False),
        ({}, True, 3, "jit", True),
        ({"mapping": "measured", "steps": "measured"}, False, 3, "in_turn", False),
        ({"mapping": "vmap"}, False, 3, "jit", False),
        ({"mapping": "loop", "steps": "stepped"}, False, 3, "in_turn", True),
        ({"steps": "scan"}, True, 3, "in_turn", False),
    ],
)
def test_ways_follow_a_fixed_rule_and_what_is_asked_for(config, convolutions, trials, method, stepped) -> None:
    devices = DeviceConfig(count=1, **config)
    layout, each = ways(devices, make_mesh(devices), convolutions, trials)
    assert (layout.method, each) == (method, stepped)


def test_a_loop_over_several_devices_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--devices\.mapping vmap"):
        make_mesh(DeviceConfig(mapping="loop"), jax.devices()[:1] * 2)


def test_nothing_is_measured_by_default_nor_for_short_trainings(tmp_path: Path) -> None:
    (tmp_path / "env.json").write_text("{}")
    devices = DeviceConfig(count=1, chunk=4)
    assert settle(devices, tmp_path)[1] == devices
    assert json.loads((tmp_path / "env.json").read_text()) == {}
    assert settle(dataclasses.replace(devices, mapping="measured"), tmp_path)[1] == devices


def test_what_was_measured_is_recorded_and_a_run_that_goes_on_keeps_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(calibrate, "FEWEST_STEPS", 0)
    (tmp_path / "env.json").write_text('{"command": "as it was"}')
    devices = DeviceConfig(count=1, chunk=4, mapping="measured")
    seconds = iter([0.2, 0.1])
    monkeypatch.setattr(calibrate, "seconds_per_step", lambda program, state: next(seconds))
    first = settle(devices, tmp_path)
    assert first[1].mapping == "loop" and first[0].size == 4
    stored = json.loads((tmp_path / "env.json").read_text())
    assert stored["command"] == "as it was"
    assert stored["settled"]["ann"]["ms_per_step"] == {"vmap auto": 50.0, "loop auto": 25.0}
    # Timed again it would find nothing; it is not.
    assert settle(devices, tmp_path)[1] == first[1]


def test_chunks_are_cut_by_the_memory_of_the_compiled_program(tmp_path: Path, monkeypatch) -> None:
    """By count three trials fit, by XLA's account two beside the data; no chunk is asked for."""
    (tmp_path / "env.json").write_text("{}")
    counted = group_of(DeviceConfig(count=1))
    devices = DeviceConfig(count=1, memory_gb=3.5e-9 * counted.trial_bytes, mapping="vmap")
    assert (group_of(devices).chunks, group_of(devices).size) == (3, 3)
    account = int(1.2 * counted.trial_bytes), counted.trial_bytes
    monkeypatch.setattr(calibrate, "memory_of_trial", lambda *_: account)
    group, settled = settle(devices, tmp_path)
    assert (group.chunks, group.size, group.trial_bytes) == (4, 2, account[0]) and settled == devices
    assert json.loads((tmp_path / "env.json").read_text())["settled"]["ann"]["memory"] == "XLA"
    monkeypatch.setattr(calibrate, "memory_of_trial", lambda *_: (account[0], 4 * account[0]))
    (tmp_path / "env.json").write_text("{}")
    with pytest.raises(UsageError, match="by XLA's account"):
        settle(devices, tmp_path)


def test_the_account_holds_what_a_trial_must_keep_and_the_data_once(tmp_path: Path) -> None:
    devices = DeviceConfig(count=1, mapping="vmap")
    group = group_of(devices)
    account = calibrate.memory_of_trial(group, DATA, TRAINED, devices, tmp_path, make_loss)
    assert account is not None
    trial, shared = account
    # Parameters, two moments and the best ones.
    assert 4 * 4 * group.parameters < trial < 3 * group.trial_bytes
    assert DATA.arrays["spectra"].nbytes <= shared < trial
