"""What a group of trials settles before it trains: how many run as one program, side by side or in turn, in what steps.

By rule, without measuring, unless the settings ask for it (``--devices.mapping measured``) or the memory of the device
decides. What was measured stands in env.json; a run that goes on keeps it, so that its bits are those of a run that was
never interrupted. Two runs of one command may settle differently where two ways are about as fast, and their results
then differ in the last bits: hence not by default.
"""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxsoil.runs import processes, progress
from jaxsoil.runs.errors import UsageError
from jaxsoil.runs.files import read_json, write_json
from jaxsoil.training.config import DeviceConfig, TrainConfig
from jaxsoil.training.cost import few_steps, seconds_per_step
from jaxsoil.training.devices import chunk_sizes, make_mesh, matmul_precision
from jaxsoil.training.grid import Group, steps_per_epoch
from jaxsoil.training.group_run import GroupRun, MakeLoss
from jaxsoil.training.loop import Program
from jaxsoil.training.step import Data, State

FEWEST_STEPS = 5000
"""Steps of all trainings of a group below which the ways are not timed: compiling the others costs more."""
KEY = "settled"
"""Part of env.json; by stage and group."""


def settle(
    group: Group, data: Data, train: TrainConfig, devices: DeviceConfig, folder: Path, make_loss: MakeLoss,
    stage: str = "", previous: str | None = None,
) -> tuple[Group, DeviceConfig]:  # fmt: skip
    """The group in chunks that fit, and settings that leave nothing to be measured.

    Args:
      group, data, train, devices, make_loss, stage, previous: as of :class:`jaxsoil.training.group_run.GroupRun`; the
        group is cut into chunks by counted memory. What was measured of the previous stage holds for this one, too:
        its trials start chunk by chunk from what those left.
      folder: run folder, whose env.json records what was measured; without that file nothing is recorded.

    Raises:
      UsageError: not even one trial fits, or several processes would each measure for themselves.
    """
    if processes.several() and "measured" in (devices.mapping, devices.steps):
        raise UsageError("'measured' is settled in one process: give --devices.mapping and --devices.steps by name.")
    known = read_json(folder / "env.json") if (folder / "env.json").exists() else None
    before = (known or {}).get(KEY, {})
    name, earlier = (" ".join(filter(None, (part, group.label))) for part in (stage, previous))
    said = before.get(name, before.get(earlier) if previous is not None else None)
    if said is None:
        said = _measured(group, data, train, devices, folder, make_loss)
        if said and known is not None and processes.leads():
            write_json(folder / "env.json", known | {KEY: before | {name: said}})
    sizes = {field: said[field] for field in ("chunks", "size", "trial_bytes") if field in said}
    chosen = {field: said[field] for field in ("mapping", "steps") if field in said}
    return dataclasses.replace(group, **sizes), dataclasses.replace(devices, **chosen)


def _measured(
    group: Group, data: Data, train: TrainConfig, devices: DeviceConfig, folder: Path, make_loss: MakeLoss
) -> dict[str, Any]:
    """What has to be measured, as it is recorded; empty where nothing has."""
    said: dict[str, Any] = {}
    mesh = make_mesh(devices)
    if not devices.chunk and group.chunks > 1 and group.size > mesh.shape["trial"]:
        account = memory_of_trial(group, data, train, devices, folder, make_loss)
        if account is not None:
            trial, shared = account
            chunks, size = chunk_sizes(len(group.trials), trial, devices, mesh, shared)
            said |= {"chunks": chunks, "size": size, "trial_bytes": trial, "shared_bytes": shared, "memory": "XLA"}
            group = dataclasses.replace(group, chunks=chunks, size=size)
    mappings = ["vmap", "loop"] if devices.mapping == "measured" else [devices.mapping]
    if group.size == 1 or mesh.devices.size > 1:
        mappings = mappings[:1]
    ways = ["scan", "stepped"] if devices.steps == "measured" else [devices.steps]
    if len(mappings) * len(ways) < 2:
        return said
    if sum(steps_per_epoch(trial, train) for trial in group.trials) * train.epochs < FEWEST_STEPS:
        return said | {"mapping": "auto", "steps": "auto", "ms_per_step": {}}
    milliseconds = {}
    for mapping, steps in itertools.product(mappings, ways):
        progress.note(f"{group.label}: {mapping} and {steps} are timed")
        one = dataclasses.replace(devices, mapping=mapping, steps=steps)
        with matmul_precision(train.precision):
            program, state = few_steps(GroupRun(group, data, train, one, folder, make_loss))
            milliseconds[mapping, steps] = 1e3 * seconds_per_step(program, state) / group.size
    mapping, steps = min(milliseconds, key=lambda way: milliseconds[way])
    timed = {" ".join(way): round(value, 4) for way, value in milliseconds.items()}
    return said | {"mapping": mapping, "steps": steps, "ms_per_step": timed}


def memory_of_trial(
    group: Group, data: Data, train: TrainConfig, devices: DeviceConfig, folder: Path, make_loss: MakeLoss
) -> tuple[int, int] | None:
    """Bytes that each further trial of a program takes on one device, and those of all together, by XLA's account.

    From two programs, compiled and not run, of 2 and of 4 trials a device: what is shared (the data) falls out of the
    difference. None where XLA gives no account (pmap).
    """
    across, found = make_mesh(devices).shape["trial"], []
    for each in (2, 4):
        trials = [group.trials[i % len(group.trials)] for i in range(each * across)]
        some = dataclasses.replace(group, trials=tuple(trials), chunks=1, size=each * across)
        with matmul_precision(train.precision):
            runner = GroupRun(some, data, train, devices, folder, make_loss)
            program = runner.program(some.trials)
            # Of its shapes alone: memory for the trials themselves is what is being asked for.
            state = jax.eval_shape(
                lambda program=program, some=some, runner=runner: runner.initial(program, some.trials)
            )
            found.append(_bytes(program, state))
    if None in found:
        return None
    trial = max((found[1] - found[0]) // 2, 1)
    return trial, max(found[0] - 2 * trial, 0)


def _bytes(program: Program, state: State) -> int | None:
    """Arguments, results and temporaries on one device of the program that trains epochs; None without an account."""
    epochs = program.functions.epochs
    if not hasattr(epochs, "lower"):
        return None
    most = jnp.int32(program.most) if program.masked else None
    lowered = epochs.lower(state, program.member, program.data, jnp.int32(0), jnp.int32(1), most)
    account = lowered.compile().memory_analysis()
    if account is None:
        return None
    kept = account.argument_size_in_bytes + account.output_size_in_bytes - account.alias_size_in_bytes
    return int(kept + account.temp_size_in_bytes)
