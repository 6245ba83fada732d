"""What trainings cost: one table for every study's plan, and how long a group of trials takes, from a few timed steps."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxsoil.training.config import DeviceConfig, TrainConfig
from jaxsoil.training.devices import matmul_precision
from jaxsoil.training.grid import Group, GroupRun, MakeLoss, steps_per_epoch
from jaxsoil.training.loop import advance
from jaxsoil.training.step import Data

STEPS = 8
"""Steps that are timed; a few seconds at the publication's size on a laptop."""


BY_XLA = "those of one training step as XLA counts them, times the steps"
BY_FORMULA = "6 for each parameter and row (too few where weights are shared, and without the mixing product)"


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a group costs: counted operations and bytes, measured seconds.

    ``operations`` of all trials and epochs, ``counted`` as it says; ``step_bytes`` that the parameters and moments of
    one trial move in a step; ``chunk_bytes`` of memory for a chunk's trials on one device, by the count that decides
    the chunk; ``step_seconds`` of one step of one trial (measured), ``seconds`` of the group.
    """

    operations: float
    counted: str
    step_bytes: float
    chunk_bytes: float
    step_seconds: float
    compile_seconds: float
    seconds: float


def estimate(group: Group, data: Data, train: TrainConfig, devices: DeviceConfig, make_loss: MakeLoss) -> Cost:
    """Times a few steps of one chunk at the precision of the run and scales them to the whole group.

    Evaluation and checkpoints are not counted: a percent or so of a long training.
    """
    total = sum(steps_per_epoch(trial, train) for trial in group.trials) * train.epochs
    with tempfile.TemporaryDirectory() as folder, matmul_precision(train.precision):
        runner = GroupRun(group, data, train, devices, Path(folder), make_loss)
        per_step, compiling = _seconds_per_step(runner)
        operations = _operations(runner)
    counted = BY_XLA if operations else BY_FORMULA
    # 2 operations for each parameter and row forward, 4 backward.
    operations = operations or 6.0 * group.parameters * (train.batch + train.unlabelled_batch)
    return Cost(
        operations=operations * total,
        counted=counted,
        # Parameters and two moments are read and written, gradients written and read.
        step_bytes=4.0 * 8 * group.parameters,
        chunk_bytes=float(group.trial_bytes * (group.size // runner.layout.mesh.shape["trial"])),
        step_seconds=per_step,
        compile_seconds=compiling,
        seconds=compiling + per_step * total,
    )


def _operations(runner: GroupRun) -> float:
    """Operations of one step of one trial as XLA counts them in the program before it is optimised; 0: no count.

    Before, because what the compiler hands to a library of the device (matrix products, convolutions) is not counted
    after. A step has no loop, of which XLA would count one pass.
    """
    group, number = runner.group, jnp.int32(0)
    program = runner.program(group.chunk(0))
    step = program.functions.step
    if not hasattr(step, "lower"):
        return 0.0  # pmap
    state = jax.eval_shape(lambda: runner.initial(program, group.chunk(0)))
    total = {
        name: jax.ShapeDtypeStruct((group.size,), jnp.float32) for name in state.history if name != "validation_loss"
    }
    order = jax.eval_shape(program.functions.order, program.member, number)
    found = step.lower(state, total, order, program.member, program.data, number, number).cost_analysis()
    return float((found or {}).get("flops", 0.0)) / group.size


def _seconds_per_step(runner: GroupRun) -> tuple[float, float]:
    """Seconds of one step of one trial, and of compilation."""
    trials = runner.group.chunk(0)
    program = runner.program(trials)
    program.member = dataclasses.replace(program.member, steps=jnp.full(runner.group.size, STEPS, jnp.int32))
    program.most = STEPS
    state, seconds = runner.initial(program, trials), []
    for epoch in range(3):
        before, compiled = time.perf_counter(), runner.compile_seconds
        state = jax.block_until_ready(advance(program, state, epoch, epoch + 1))
        seconds.append(time.perf_counter() - before - (runner.compile_seconds - compiled))
    return float(np.min(seconds)) / STEPS / runner.group.size, runner.compile_seconds


def duration(seconds: float) -> str:
    """A time in the unit that suits it: '42 s', '3.5 min', '2.1 h', '4.0 d'."""
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.{0 if unit == 's' else 1}f} {unit}"
    return f"{seconds / 86400:.1f} d"
