"""The host loop of every training: it calls compiled programs, keeps the state, and stops when nothing moves any more.

A training runs as whole epochs in one call, or in parts of an epoch where each step is a program of its own or where
the data come block by block.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsoil.runs import progress
from jaxsoil.runs import stop as stopping
from jaxsoil.runs.errors import DataError
from jaxsoil.training import floors
from jaxsoil.training import step as pure
from jaxsoil.training.checkpoints import Checkpoints, DamagedCheckpoint
from jaxsoil.training.devices import Layout, shard
from jaxsoil.training.step import Data, Member, State, Training

SEGMENTS = 20
"""Calls in which a training is run, so that progress can be shown and the state kept between them."""

OnEpochs = Callable[[int, int, State], None]
"""``on_epochs(first, after, state)``: called when some epochs are done."""


@dataclasses.dataclass(frozen=True)
class CheckpointPolicy:
    """When the state is kept: the latest replaces the one before, and the end of a training is not kept.

    After every multiple of ``epochs`` epochs, of ``steps`` steps (in the middle of an epoch too) or of a ``share`` of
    the epochs, whichever are set, if ``seconds`` have passed since the last time.
    """

    epochs: int = 0
    steps: int = 0
    share: float = 1.0 / SEGMENTS
    seconds: float = 0.0

    def every(self, epochs: int) -> int:
        """Epochs between two states that are kept, at most ``epochs``; 0: none at the end of an epoch."""
        return min(self.epochs or int(np.ceil(self.share * epochs)), epochs)


@functools.lru_cache(maxsize=64)
def compiled(training: Training, layout: Layout) -> SimpleNamespace:
    """Functions of ``step.py`` over the trainings of a layout; each compiles when first called, equal trainings share.

    Their axes: 0 for an argument with a leading axis of trainings; then the arguments whose memory is given back.
    """
    functions = {
        "initial": (pure.initial, (0, 0, 0, None, None), ()),
        "epochs": (pure.epochs, (0, 0, None, None, None, None), (0,)),
        "order": (lambda training, member, epoch: training.batches.order(member, epoch), (0, None), ()),
        "step": (pure.one_step, (0, 0, 0, 0, None, None, None), (0, 1)),
        "steps": (pure.steps, (0, 0, 0, 0, None, None, None, None), (0, 1)),
        "finish": (pure.finish, (0, 0, 0, None, None), (0,)),
        "close": (pure.close, (0, 0, 0, 0, None), (0,)),
    }
    made = {
        name: shard(functools.partial(function, training), axes, layout, donate)
        for name, (function, axes, donate) in functions.items()
    }
    return SimpleNamespace(**made)


class Program:
    """A training, or several of one layout, ready to run.

    Args:
      training: the static part.
      layout: how trainings are mapped.
      member: the arrays of the training, with a leading axis unless the layout is "alone"; placed by the caller.
      data: what trainings share.

    ``rows``: of a training in a step. ``example``: a batch, where batches do not come from ``data``. ``ordering`` and
    ``stepping``: the member as orders of rows and steps get it.
    """

    example: Any = None

    def __init__(self, training: Training, layout: Layout, member: Member, data: Data) -> None:
        self.training, self.layout, self.member, self.data = training, layout, member, data
        self.functions = compiled(training, layout)
        # Steps and orders see no validation rows, so that another number of these does not compile them anew.
        rows = {name: values for name, values in (member.rows or {}).items() if name != "validation"}
        self.ordering, self.stepping = (dataclasses.replace(member, rows=given) for given in (rows, None))
        self.most = int(np.max(np.asarray(member.steps)))
        self.masked = layout.masked(np.size(member.steps))
        self.in_parts = training.jit_per_step
        self.rows = getattr(training.batches, "size", 0) + getattr(training.batches, "unlabelled", 0)

    def initial(self, params: Any, stats: Any = None) -> State:
        """State before the first step, from parameters and statistics that stay as they are."""
        return self.functions.initial(params, stats, self.member, self.data, self.example)

    def rests(self, state: State) -> bool:
        """Whether nothing moves any more: every training has waited long enough or diverged."""
        return not np.any(np.asarray(pure.goes_on(self.training, state)))

    def epochs(self, state: State, start: int, stop: int) -> State:
        """Whole epochs in one call."""
        most = jnp.int32(self.most) if self.masked else None
        return self.functions.epochs(state, self.member, self.data, jnp.int32(start), jnp.int32(stop), most)

    def blocks(self, epoch: int, at: int) -> Iterator[tuple[int, Any, Data]]:
        """The steps of an epoch from step ``at`` on in blocks: (step after the block, order, data)."""
        yield self.most, self.functions.order(self.ordering, jnp.int32(epoch)), self.data

    def steps(self, state: State, total: Any, order: Any, data: Data, epoch: int, start: int, stop: int):
        """Some steps of an epoch, one program each where the training asks for it."""
        number = np.int32(epoch)
        if not self.training.jit_per_step:
            bounds = (np.int32(start), np.int32(stop))  # JAX's own scalars cost a program each
            return self.functions.steps(state, total, order, self.stepping, data, number, *bounds)
        for i in range(start, stop):
            state, total = self.functions.step(state, total, order, self.stepping, data, number, jnp.int32(i))
        return state, total

    def finish(self, state: State, total: Any, epoch: int) -> State:
        """Ends an epoch."""
        return self.functions.finish(state, total, self.member, self.data, jnp.int32(epoch))


def marks_of(epochs: int, policy: CheckpointPolicy) -> list[int]:
    """Epochs after which progress is told, and rest noticed, wherever a call or an earlier process ended."""
    stride, every = -(-epochs // SEGMENTS), policy.every(epochs)
    return [i for i in range(1, epochs + 1) if i % stride == 0 or (every and i % every == 0) or i == epochs]


def run(
    program: Program,
    state: State,
    *,
    checkpoints: Checkpoints | None = None,
    policy: CheckpointPolicy = CheckpointPolicy(),
    on_epochs: OnEpochs | None = None,
    label: str | None = None,
) -> State:
    """Runs a program to its end, from the latest checkpoint on where there is one, to the same bits.

    Args:
      program: what is run.
      state: before the first step.
      checkpoints: where the state is kept while it runs.
      policy: when it is kept.
      on_epochs: told about progress, about :data:`SEGMENTS` times.
      label: named in the study's line of progress; None: not named.

    Raises:
      DataError: a checkpoint of another configuration or random key.
      Terminated: the process was asked to end; the state has been kept.
    """
    epochs = program.training.epochs
    keeper = _Keeper(program, checkpoints, policy)
    state, total, done, at = keeper.restored(state)
    began, first = floors.now(), done
    stride, every = -(-epochs // SEGMENTS), policy.every(epochs)
    marks = {0, *marks_of(epochs, policy)}
    told, pace = done, stopping.Pace(whole=program.layout.several)
    with stopping.in_training():
        while done < epochs and not (done in marks and program.rests(state)):
            if label is not None:
                progress.note(f"{label}, epoch {done} of {epochs}")
            # Calls of any length run the same program, so progress can be shown between checkpoints.
            until = min((done // stride + 1) * stride, (done // every + 1) * every if every else epochs, epochs)
            until = min(until, done + pace.most)
            with pace.timed(until - done):
                state = jax.block_until_ready(advance(program, state, done, until, keeper, total, at))
            total, at, ending = None, 0, stopping.asked() and until < epochs
            # Told first: a run that goes on after the state that is kept does not come by here again.
            if on_epochs is not None and until in marks:
                on_epochs(told, until, state)
                told = until
            if until < epochs and (ending or (every and until % every == 0)):
                keeper.save(state, pure.zero(state), until, 0, now=ending)
            if ending:
                raise stopping.Terminated
            done = until
    _note(program, state, first, began)
    return state


def _note(program: Program, state: State, first: int, began: float) -> None:
    """Adds the epochs that were run since ``first`` to what was done (:mod:`jaxsoil.training.floors`)."""
    if not getattr(state.history["loss"], "is_fully_addressable", True):
        return  # Of several processes each sees a part.
    members, steps = np.size(program.member.steps), np.ravel(np.asarray(program.member.steps))
    epochs = np.isfinite(np.asarray(state.history["loss"]).reshape(members, -1)).sum(axis=1)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params)) / members
    floors.add(parameters, program.rows, float(np.sum(np.maximum(epochs - first, 0) * steps)), began)


def advance(
    program: Program, state: State, start: int, stop: int, keeper: _Keeper | None = None, total: Any = None, at: int = 0
) -> State:
    """Runs the epochs ``start`` to ``stop``, of the first one the steps from ``at`` on, whose sums so far are given."""
    if not program.in_parts:
        return program.epochs(state, start, stop)
    keeper = _Keeper(program, None, CheckpointPolicy()) if keeper is None else keeper
    for epoch in range(start, stop):
        if not program.rests(state):
            state = _in_parts(program, keeper, state, pure.zero(state) if total is None else total, epoch, at)
        total, at = None, 0
    return state


def _in_parts(program: Program, keeper: _Keeper, state: State, total: Any, epoch: int, at: int) -> State:
    """One epoch step by step or block by block; the state may be kept in the middle of it."""
    for stop, order, data in program.blocks(epoch, at):
        while at < stop:
            until = min(stop, keeper.next_step(epoch, at), at + keeper.pace.most)
            with keeper.pace.timed(until - at):
                state, total = program.steps(state, total, order, data, epoch, at, until)
            at, ending = until, stopping.asked()
            if ending or at == keeper.next_step(epoch, at - 1):
                keeper.save(state, total, epoch, at, now=ending)
            if ending:
                raise stopping.Terminated
        jax.block_until_ready(total)  # no further block is taken while this one is in use
    return program.finish(state, total, epoch)


class _Keeper:
    """Saves and restores what a run needs to go on: state, sums of the epoch so far, position and random key."""

    def __init__(self, program: Program, checkpoints: Checkpoints | None, policy: CheckpointPolicy) -> None:
        self.program, self.checkpoints, self.policy = program, checkpoints, policy
        # Processes that share a training run the same calls; how long each took differs between them.
        self.saved, self.pace = time.monotonic(), stopping.Pace(whole=program.layout.several)

    def next_step(self, epoch: int, at: int) -> int:
        """The step of the epoch, after ``at``, at which the state is kept; beyond its end where it is not."""
        every, before = self.policy.steps, epoch * self.program.most
        return ((before + at) // every + 1) * every - before if every else self.program.most + 1

    def save(self, state: State, total: Any, epoch: int, at: int, now: bool = False) -> None:
        """Keeps the state unless too little time has passed; ``now``: in any case."""
        if self.checkpoints is None or (time.monotonic() - self.saved < self.policy.seconds and not now):
            return
        if self.program.layout.several and jax.process_index():
            return  # All have the same state, and the first keeps it.
        # Numbered such that the end of an epoch, before it is finished, has a place of its own.
        self.checkpoints.save(epoch * (self.program.most + 1) + at, self._tree(state, total, epoch, at))
        self.saved = time.monotonic()

    def restored(self, state: State) -> tuple[State, Any, int, int]:
        """State, sums, epoch and step from which a run goes on, in all processes of a shared training."""
        found = self._restored(state)
        if self.program.layout.several:
            from jax.experimental import multihost_utils

            # Calls from different steps would pair up, and parameters be wrong without a word.
            places = np.asarray(multihost_utils.process_allgather(np.array(found[2:], np.int32)))
            if (places != places[0]).any():
                raise DataError(
                    "the processes do not find the same checkpoint",
                    value=places.tolist(),
                    remedy="See that all read the same folder, and start all of them again.",
                )
        return found

    def _restored(self, state: State) -> tuple[State, Any, int, int]:
        if self.checkpoints is None or not self.checkpoints.latest:
            return state, None, 0, 0
        like = self._tree(state, pure.zero(state), 0, 0)
        try:
            found = self.checkpoints.restore(like)
        except DamagedCheckpoint as error:
            # The one that is kept is the only one; what it stood for is computed again, to the same bits.
            progress.say(f"  {error} Training begins anew.")
            if not (self.program.layout.several and jax.process_index()):
                self.checkpoints.remove()
            return state, None, 0, 0
        if not np.array_equal(found["key"], like["key"]):
            raise DataError(
                "the checkpoint belongs to another random key",
                source=self.checkpoints.folder,
                remedy="Resume with the seed it was made with, or start again with --overwrite.",
            )
        # On no device in particular: where the state lies decides where it is used.
        total = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)), found["total"])
        return found["state"], total, int(found["epoch"]), int(found["step"])

    def _tree(self, state: State, total: Any, epoch: int, at: int) -> dict[str, Any]:
        key = jax.random.key_data(self.program.member.key)
        return {"state": state, "total": total, "epoch": jnp.int32(epoch), "step": jnp.int32(at), "key": key}


def converged(history: np.ndarray, tolerance: float, patience: int = 0) -> bool:
    """Whether the validation loss has stopped falling.

    With ``patience`` it has when the training stopped by it, before its last epoch. Without, it has when its mean
    over the last fifth of the epochs is less than ``tolerance`` (relative) under its mean over the fifth before;
    means, because the loss of single epochs is noisy.

    Args:
      history: (epochs,) validation loss, NaN after a stop; fewer than 10 epochs never count as converged.
      tolerance: relative amount, such as 0.05.
      patience: epochs without a new best loss after which training stops; 0 for none.
    """
    losses = np.asarray(history, dtype=np.float64)
    done = np.isfinite(losses)
    if patience:
        last = losses[done][-patience:]
        return bool(done.sum() > patience and last.min() >= losses[done][:-patience].min())
    fifth = losses.size // 5
    if losses.size < 10 or not done.all():
        return False
    return bool(losses[-fifth:].mean() >= (1.0 - tolerance) * losses[-2 * fifth : -fifth].mean())
