"""What trainings cost: the table of every study's plan, and what a group of trials takes by a few timed steps."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxsoil.training.config import DeviceConfig, TrainConfig
from jaxsoil.training.devices import compile_seconds, make_mesh, matmul_precision
from jaxsoil.training.grid import Group, steps_per_epoch
from jaxsoil.training.group_run import GroupRun, MakeLoss
from jaxsoil.training.loop import Program, advance
from jaxsoil.training.step import Data, State, zero

STEPS = 8
"""Steps that are timed; a few seconds at the publication's size on a laptop."""

BY_XLA = "those of one training step as XLA counts them, times the steps"
BY_FORMULA = "6 for each parameter and row (too few where weights are shared, and without the mixing product)"

TITLES = ["training", "count", "parameters", "epochs", "steps/epoch", "TFLOP"]
TITLES += ["MB/step", "chunks", "GB/chunk", "ms/step", "time"]
FORMATS = ["<22", ">6", ">11", ">7", ">11", ">9", ">8", ">8", ">8", ">8", ">8"]
"""Columns of a plan's table, and the side and width of their cells."""


@dataclasses.dataclass(frozen=True)
class Cost:
    """What trainings of one kind cost: counted operations and bytes, measured seconds.

    ``count`` trainings of ``parameters`` parameters and ``epochs`` epochs, whose ``steps`` (an epoch) may differ;
    ``operations`` of all of them, ``counted`` as it says; ``step_seconds`` of one step of one training (measured),
    ``seconds`` of all. ``chunks``: how many programs of how many trainings; ``chunk_bytes`` of memory for those of a
    chunk on one device, by the count that decides the chunk.
    """

    name: str
    count: int
    parameters: int
    epochs: int
    steps: tuple[int, ...]
    operations: float
    counted: str
    step_seconds: float
    seconds: float
    chunks: str = "-"
    chunk_bytes: float = 0.0

    @property
    def step_bytes(self) -> float:
        """Bytes a step moves: parameters and two moments are read and written, gradients written and read."""
        return 4.0 * 8 * self.parameters

    def cells(self) -> list[str]:
        """Its line of the table."""
        return [
            *(self.name, f"{self.count}", f"{self.parameters:,d}", f"{self.epochs}"),
            "-".join(str(number) for number in sorted({min(self.steps), max(self.steps)})),
            *(f"{self.operations / 1e12:.4g}", f"{self.step_bytes / 1e6:.1f}", self.chunks),
            f"{self.chunk_bytes / 1e9:.3g}" if self.chunk_bytes else "-",
            *(f"{1e3 * self.step_seconds:.2f}", duration(self.seconds)),
        ]


def dense_cost(name: str, count: int, parameters: int, epochs: int, steps: int, batch: int, seconds: float) -> Cost:
    """The cost of ``count`` dense trainings that run one by one, a step of which takes ``seconds``.

    Operations: 2 for each parameter and row forward, 4 backward.
    """
    total = count * epochs * steps
    return Cost(
        *(name, count, parameters, epochs, (steps,)),
        *(6.0 * parameters * batch * total, BY_FORMULA, seconds, seconds * total),
    )


def table(costs: Sequence[Cost], others: Sequence[tuple[str, int]], beside: str) -> list[str]:
    """The lines of a plan's table and what they add up to.

    Args:
      costs: of the networks.
      others: names and numbers of models that are not timed.
      beside: what comes on top of the time, in words.
    """
    ways: dict[str, list[str]] = {}
    for cost in costs:
        ways.setdefault(cost.counted, []).append(cost.name)
    operations, seconds = sum(c.operations for c in costs), sum(c.seconds for c in costs)
    rows = [TITLES, *((name, f"{count}") for name, count in others), *(cost.cells() for cost in costs)]
    return [
        *(" ".join(f"{cell:{form}}" for cell, form in zip(row, FORMATS, strict=False)) for row in rows),
        "",
        "GB/chunk: counted memory of a chunk's trainings on one device, which decides how many a chunk holds.",
        *(f"Operations of {', '.join(names)}: {how}." for how, names in ways.items()),
        f"Networks: {operations / 1e12:.4g} TFLOP (float32), {duration(seconds)} here if all epochs are run",
        f"(timed on a few steps; early stops shorten it; {beside} come on top).",
        "Nothing was run.",
    ]


def estimate(group: Group, data: Data, train: TrainConfig, devices: DeviceConfig, make_loss: MakeLoss) -> Cost:
    """Times a few steps of one chunk at the precision of the run and scales them to the whole group.

    Evaluation and checkpoints are not counted: a percent or so of a long training.
    """
    steps = tuple(steps_per_epoch(trial, train) for trial in group.trials)
    total = sum(steps) * train.epochs
    with tempfile.TemporaryDirectory() as folder, matmul_precision(train.precision):
        compiled = compile_seconds()
        runner = GroupRun(group, data, train, devices, Path(folder), make_loss)
        program = runner.program(group.chunk(0))
        program.member = dataclasses.replace(program.member, steps=jnp.full(group.size, STEPS, jnp.int32))
        program.most = STEPS
        per_step = seconds_per_step(program, runner.initial(program, group.chunk(0))) / group.size
        compiling = compile_seconds() - compiled
        operations = _operations(runner)
    return Cost(
        name=group.label,
        count=len(group.trials),
        parameters=group.parameters,
        epochs=train.epochs,
        steps=steps,
        operations=total * (operations or 6.0 * group.parameters * (train.batch + train.unlabelled_batch)),
        counted=BY_XLA if operations else BY_FORMULA,
        step_seconds=per_step,
        seconds=compiling + per_step * total,
        chunks=f"{group.chunks} x {group.size}",
        chunk_bytes=float(group.trial_bytes * (group.size // make_mesh(devices).shape["trial"])),
    )


def seconds_per_step(program: Program, state: State) -> float:
    """Seconds of one step of all trainings of a program: the fastest of three epochs, compilation left out."""
    seconds = []
    for epoch in range(3):
        before, compiled = time.perf_counter(), compile_seconds()
        state = jax.block_until_ready(advance(program, state, epoch, epoch + 1))
        seconds.append(time.perf_counter() - before - (compile_seconds() - compiled))
    return max(float(np.min(seconds)), 1e-9) / program.most


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
    total = jax.eval_shape(zero, state)
    order = jax.eval_shape(program.functions.order, program.member, number)
    found = step.lower(state, total, order, program.member, program.data, number, number).cost_analysis()
    return float((found or {}).get("flops", 0.0)) / group.size


def duration(seconds: float) -> str:
    """A time in the unit that suits it: '42 s', '3.5 min', '2.1 h', '4.0 d'."""
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.{0 if unit == 's' else 1}f} {unit}"
    return f"{seconds / 86400:.1f} d"
