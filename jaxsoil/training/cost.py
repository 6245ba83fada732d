"""What trainings cost: the table of every study's plan, and what a group of trials takes by a few timed steps."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsoil.training.config import DeviceConfig, TrainConfig
from jaxsoil.training.devices import compile_seconds, make_mesh, matmul_precision
from jaxsoil.training.floors import Rates, beside, rates
from jaxsoil.training.grid import Group, steps_per_epoch
from jaxsoil.training.group_run import GroupRun, MakeLoss
from jaxsoil.training.loop import Program, advance
from jaxsoil.training.step import Data, State, zero

STEPS = 8
"""Steps that are timed; a few seconds at the publication's size on a laptop."""

BY_XLA = "those of one training step as XLA counts them, times the steps"
BY_FORMULA = "6 for each parameter and row (too few where weights are shared, and without the mixing product)"

TITLES = ["training", "count", "parameters", "epochs", "steps/epoch", "TFLOP"]
TITLES += ["MB/step", "chunks", "GB/chunk", "ms/step", "compute", "memory", "time"]
FORMATS = ["<22", ">6", ">11", ">7", ">11", ">9", ">8", ">8", ">8", ">8", ">8", ">8", ">8"]
"""Columns of a plan's table, and the side and width of their cells."""

_compiles = False


@contextlib.contextmanager
def compiling(wanted: bool = True) -> Iterator[None]:
    """Within the block plans also say what memory XLA gives the program of a training, which is compiled for that."""
    global _compiles
    before, _compiles = _compiles, wanted
    try:
        yield
    finally:
        _compiles = before


@dataclasses.dataclass(frozen=True)
class Cost:
    """What trainings of one kind cost: counted operations and bytes, measured seconds.

    ``count`` trainings of ``parameters`` parameters and ``epochs`` epochs, whose ``steps`` (an epoch) may differ;
    ``operations`` of all of them, ``counted`` as it says; ``step_seconds`` of one step of one training (measured),
    ``seconds`` of all. ``chunks``: how many programs of how many trainings; ``chunk_bytes`` of memory for those of a
    chunk on one device, by the count that decides the chunk; ``memory``: XLA's account of it, "" where there is none.
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
    memory: str = ""

    @property
    def step_bytes(self) -> float:
        """Bytes a step must move: parameters and two moments are read and written, gradients written and read."""
        return 4.0 * 8 * self.parameters

    def floors(self, best: Rates) -> tuple[float, float]:
        """Seconds of all trainings at the best rates of the device: of their operations, and of their bytes."""
        # Trainings whose steps differ each count their own; one number stands for all of them.
        steps = sum(self.steps) * (self.count / len(self.steps)) * self.epochs
        return best.seconds(self.operations, self.step_bytes * steps)

    def cells(self, best: Rates) -> list[str]:
        """Its line of the table."""
        return [
            *(self.name, f"{self.count}", f"{self.parameters:,d}", f"{self.epochs}"),
            "-".join(str(number) for number in sorted({min(self.steps), max(self.steps)})),
            *(f"{self.operations / 1e12:.4g}", f"{self.step_bytes / 1e6:.1f}", self.chunks),
            f"{self.chunk_bytes / 1e9:.3g}" if self.chunk_bytes else "-",
            *(f"{1e3 * self.step_seconds:.2f}", *map(duration, self.floors(best)), duration(self.seconds)),
        ]


def dense_cost(
    name: str, count: int, parameters: int, epochs: int, steps: int, batch: int, program: Program, state: State
) -> Cost:
    """The cost of ``count`` dense trainings that run one by one, a step of which takes as long as one of ``program``.

    Operations: 2 for each parameter and row forward, 4 backward.
    """
    total, memory = count * epochs * steps, memory_in_words(program, jax.eval_shape(lambda: state))
    seconds = seconds_per_step(program, state)
    return Cost(
        *(name, count, parameters, epochs, (steps,)),
        *(6.0 * parameters * batch * total, BY_FORMULA, seconds, seconds * total),
        memory=memory,
    )


def table(
    costs: Sequence[Cost], others: Sequence[tuple[str, int]], beside: str, precision: str = "highest"
) -> list[str]:
    """The lines of a plan's table and what they add up to.

    Args:
      costs: of the networks.
      others: names and numbers of models that are not timed.
      beside: what comes on top of the time, in words.
      precision: of products in the trainings.
    """
    ways: dict[str, list[str]] = {}
    for cost in costs:
        ways.setdefault(cost.counted, []).append(cost.name)
    operations, seconds, best = sum(c.operations for c in costs), sum(c.seconds for c in costs), rates(precision)
    floors = [cost.floors(best) for cost in costs]
    compute, memory = (sum(side) for side in zip(*floors, strict=True)) if floors else (0.0, 0.0)
    rows = [TITLES, *((name, f"{count}") for name, count in others), *(cost.cells(best) for cost in costs)]
    return [
        *(" ".join(f"{cell:{form}}" for cell, form in zip(row, FORMATS, strict=False)) for row in rows),
        "",
        "GB/chunk: counted memory of a chunk's trainings on one device, which decides how many a chunk holds.",
        *(f"XLA's memory of {cost.name}: {cost.memory}." for cost in costs if cost.memory),
        *(f"Operations of {', '.join(names)}: {how}." for how, names in ways.items()),
        "compute, memory: floors, the operations and the bytes of parameters, moments and gradients at the best rates",
        f"of this device, {best.in_words()}.",
        f"Networks: {operations / 1e12:.4g} TFLOP (float32), floors {duration(compute)} and {duration(memory)}; "
        f"{duration(seconds)} here if all epochs are run,",
        f"{share(sum(map(max, floors)), seconds)} of the larger floor of each",
        f"(timed on a few steps; early stops shorten it; {beside} come on top).",
        "Nothing was run.",
    ]


def share(floor: float, seconds: float) -> str:
    """What part of the rate of a floor was reached."""
    return f"{100.0 * floor / seconds:.0f} %" if seconds else "-"


def estimate(group: Group, data: Data, train: TrainConfig, devices: DeviceConfig, make_loss: MakeLoss) -> Cost:
    """Times a few steps of one chunk at the precision of the run and scales them to the whole group.

    Evaluation and checkpoints are not counted: a percent or so of a long training.
    """
    steps = tuple(steps_per_epoch(trial, train) for trial in group.trials)
    total = sum(steps) * train.epochs
    with tempfile.TemporaryDirectory() as folder, matmul_precision(train.precision):
        compiled = compile_seconds()
        program, state = few_steps(GroupRun(group, data, train, devices, Path(folder), make_loss))
        abstract = jax.eval_shape(lambda: state)
        per_step = seconds_per_step(program, state) / group.size
        seconds = compile_seconds() - compiled
        operations = step_operations(program, abstract) / group.size
        memory = memory_in_words(program, abstract)
    return Cost(
        name=group.label,
        count=len(group.trials),
        parameters=group.parameters,
        epochs=train.epochs,
        steps=steps,
        operations=total * (operations or 6.0 * group.parameters * (train.batch + train.unlabelled_batch)),
        counted=BY_XLA if operations else BY_FORMULA,
        step_seconds=per_step,
        seconds=seconds + per_step * total,
        chunks=f"{group.chunks} x {group.size}",
        chunk_bytes=float(group.trial_bytes * (group.size // make_mesh(devices).shape["trial"])),
        memory=memory,
    )


def few_steps(runner: GroupRun) -> tuple[Program, State]:
    """The program of a group's first chunk with epochs of :data:`STEPS` steps, and its state before the first."""
    group = runner.group
    made = runner.program(group.chunk(0))
    member = dataclasses.replace(made.member, steps=jnp.full(group.size, STEPS, jnp.int32))
    program = Program(made.training, made.layout, member, made.data)
    return program, runner.initial(program, group.chunk(0))


def of_program(name: str, program: Program, params: Any, steps: Sequence[int], members: int = 1) -> Cost:
    """The cost of trainings like those of a program, one step of which is counted and timed.

    Args:
      name: for the table.
      program: of ``members`` trainings; its data may be a few batches of any values.
      params: parameters it starts from; those of several trainings have a leading axis.
      steps: of an epoch, one number for each training.
      members: trainings in the program.
    """
    state, epochs = program.initial(params), program.training.epochs
    abstract = jax.eval_shape(lambda: state)
    operations, memory = step_operations(program, abstract) / members, memory_in_words(program, abstract)
    seconds = seconds_per_step(program, state) / members
    total, size = sum(steps) * epochs, sum(leaf.size for leaf in jax.tree.leaves(params)) // members
    return Cost(
        *(name, len(steps), size, epochs, tuple(steps), operations * total, BY_XLA, seconds, seconds * total),
        memory=memory,
    )


def achieved(runs: Sequence[GroupRun], train: TrainConfig, seconds: float) -> dict[str, float | str]:
    """What groups of trials did in this process, beside what the device could do: for env.json.

    Args:
      runs: the groups, trained.
      train: their settings.
      seconds: from the begin of the first to the end of the last.

    Returns:
      operations (by formula) and bytes of all steps that were run, their floors in seconds, ``seconds`` and the share
      of the larger floor of each group that was reached; empty where nothing was trained.
    """
    # Parameters times steps of each group.
    updated = [float(run.group.parameters * sum(run.steps)) for run in runs]
    if not any(updated):
        return {}
    rows = train.batch + train.unlabelled_batch
    return beside([(6.0 * rows * count, 32.0 * count) for count in updated], seconds, train.precision)


def seconds_per_step(program: Program, state: State) -> float:
    """Seconds of one step of all trainings of a program: the fastest of three epochs, compilation left out."""
    seconds = []
    for epoch in range(3):
        before, compiled = time.perf_counter(), compile_seconds()
        state = jax.block_until_ready(advance(program, state, epoch, epoch + 1))
        seconds.append(time.perf_counter() - before - (compile_seconds() - compiled))
    return max(float(np.min(seconds)), 1e-9) / program.most


def step_operations(program: Program, state: State) -> float:
    """Operations of one step of all trainings of a program as XLA counts them before it optimises; 0: no count.

    Before, because what the compiler hands to a library of the device (matrix products, convolutions) is not counted
    after. A step has no loop, of which XLA would count one pass; trainings that run one after the other are in one.

    Args:
      program: the program.
      state: of it; shapes are enough.
    """
    lowered, one = _lowered(program, state), program.layout.method == "in_turn"
    found = (lowered.cost_analysis() or {}) if lowered is not None else {}
    return float(found.get("flops", 0.0)) * (np.size(program.member.steps) if one else 1)


def memory_in_words(program: Program, state: State) -> str:
    """Memory of one step of a program on this machine's devices by XLA; "" unless asked for (:func:`compiling`)."""
    lowered = _lowered(program, state) if _compiles else None
    found: Any = lowered.compile().memory_analysis() if lowered is not None else None
    if found is None:
        return "XLA does not tell" if _compiles else ""
    given = {"arguments": found.argument_size_in_bytes, "temporaries": found.temp_size_in_bytes}
    given |= {"results": found.output_size_in_bytes - found.alias_size_in_bytes}
    parts = ", ".join(f"{name} {size / 1e6:,.1f} MB" for name, size in given.items())
    return f"{sum(given.values()) / 1e9:.3g} GB a device in a step ({parts})"


def _lowered(program: Program, state: State) -> Any:
    """One step of a program, traced and not compiled; None where that cannot be had (pmap)."""
    step, number = program.functions.step, jnp.int32(0)
    if not hasattr(step, "lower"):
        return None
    total = jax.eval_shape(zero, state)
    order = jax.eval_shape(program.functions.order, program.ordering, number)
    return step.lower(state, total, order, program.stepping, program.data, number, number)


def duration(seconds: float) -> str:
    """A time in the unit that suits it: '42 s', '3.5 min', '2.1 h', '4.0 d'."""
    if seconds < 1:
        return f"{seconds:.1g} s"
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.{0 if unit == 's' else 1}f} {unit}"
    return f"{seconds / 86400:.1f} d"
