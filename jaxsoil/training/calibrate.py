"""How long a group of trials will take on the present devices, from a few timed steps."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxsoil.training.config import DeviceConfig, TrainConfig
from jaxsoil.training.fit import Data
from jaxsoil.training.runner import GroupRun
from jaxsoil.training.trials import Group, steps_per_epoch

STEPS = 8
"""Steps that are timed; a few seconds at the publication's size on a laptop."""


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a group costs: counted operations and bytes, measured seconds.

    ``operations`` of all trials and epochs; ``step_bytes`` that the parameters and moments of one trial move in a
    step; ``chunk_bytes`` of memory; ``step_seconds`` of one step of one trial (measured), ``seconds`` of the group.
    """

    operations: float
    step_bytes: float
    chunk_bytes: float
    step_seconds: float
    compile_seconds: float
    seconds: float


def estimate(group: Group, data: Data, train: TrainConfig, devices: DeviceConfig) -> Cost:
    """Times a few steps of one chunk and scales them to the whole group.

    Evaluation and checkpoints are not counted: a percent or so of a long training.
    """
    rows = train.batch + train.unlabelled_batch
    steps = [steps_per_epoch(trial, train) for trial in group.trials]
    total = sum(steps) * train.epochs
    per_step, compiling = _seconds_per_step(group, data, train, devices)
    copies = 7 if train.keep == "best" else 6
    return Cost(
        # 2 operations for each parameter and row forward, 4 backward.
        operations=6.0 * group.parameters * rows * total,
        # Parameters and two moments are read and written, gradients written and read.
        step_bytes=4.0 * 8 * group.parameters,
        chunk_bytes=4.0 * copies * group.parameters * group.size + data.spectra.nbytes,
        step_seconds=per_step,
        compile_seconds=compiling,
        seconds=compiling + per_step * total,
    )


def _seconds_per_step(group: Group, data: Data, train: TrainConfig, devices: DeviceConfig) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        runner = GroupRun(group, data, train, devices, Path(folder))
        trials = runner.spread.place(
            dataclasses.replace(runner.arrays(group.chunk(0)), steps=jnp.full(group.size, STEPS, jnp.int32))
        )
        state = runner.timed(runner.spread.init, trials, runner.data)
        seconds = []
        for epoch in range(3):
            before, compiled = time.perf_counter(), runner.compile_seconds
            state = jax.block_until_ready(runner.train_epochs(state, trials, epoch, epoch + 1, STEPS))
            seconds.append(time.perf_counter() - before - (runner.compile_seconds - compiled))
    return float(np.min(seconds)) / STEPS / group.size, runner.compile_seconds


def duration(seconds: float) -> str:
    """A time in the unit that suits it: '42 s', '3.5 min', '2.1 h', '4.0 d'."""
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.{0 if unit == 's' else 1}f} {unit}"
    return f"{seconds / 86400:.1f} d"
