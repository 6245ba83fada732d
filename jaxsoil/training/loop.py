"""A general training loop: any loss over any arrays, alone or as many members of one program.

The loss is a pure function of (parameters, batch, key, progress). It is minimised by AdamW over shuffled batches
whose incomplete last one is dropped; a watched loss over other rows decides which parameters are kept and when the
training has converged. Row subsets of any size run the same compiled program. What must not move (a frozen decoder)
is handed over as ``shared``, outside the optimiser's tree.

Pass the same loss object again to use what is compiled: a new lambda or closure compiles anew.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from jaxsoil.runs.errors import DataError, UsageError
from jaxsoil.training.checkpoints import Checkpoints
from jaxsoil.training.config import LoopConfig
from jaxsoil.training.grid import converged
from jaxsoil.training.steps import (
    WATCH_ROWS,
    Loss,
    Member,
    State,
    Task,
    begin,
    close,
    initial,
    one_begin,
    one_close,
    one_step,
    one_watch,
    rests,
    step,
    watch_loss,
)

__all__ = ["Fitted", "Loss", "fit", "fit_many"]

SEGMENTS = 20
"""Calls in which a training is run, so that progress can be shown and the state kept between them."""


@dataclasses.dataclass(frozen=True, eq=False)
class Fitted:
    """What a training leaves; from :func:`fit_many` every value has a leading axis of members S.

    ``params``: those of the lowest watched loss. ``history``: "loss" and "watched" and the loss's own terms, each
    (epochs,) float64, NaN where not reached. ``alive``: False for a member whose loss was not finite.
    """

    params: Any
    history: dict[str, np.ndarray]
    converged: Any
    epochs_run: Any
    alive: Any = True


def fit(
    loss: Loss,
    params: Any,
    arrays: Any,
    train: np.ndarray,
    watch: np.ndarray,
    config: LoopConfig,
    key: jax.Array,
    *,
    label: str = "",
    shared: Any = None,
    checkpoints: Checkpoints | None = None,
) -> Fitted:
    """Trains ``params`` and returns those of the lowest watched loss.

    Args:
      loss: see :data:`Loss`.
      params: initial parameters, a tree of float32 arrays; they stay as they are.
      arrays: tree of arrays (n, ...) with one number of rows n.
      train, watch: row numbers or masks (n,); they must not overlap. Without watched rows the training loss is watched.
      config: settings.
      key: random key; the same key gives the same bits.
      label: shown by the progress bar.
      shared: constants handed to the loss as keyword ``shared``, not trained.
      checkpoints: where the state is kept while it runs; an interrupted training goes on from there, to the same bits.

    Raises:
      DataError: no training rows, rows that do not exist or are in both sets, or a loss that is not finite.
    """
    arrays, n = _arrays(arrays)
    rows, watched = _rows(train, n, "training"), _rows(watch, n, "watched")
    _disjoint(rows, watched)
    task = Task(loss, config, min(config.batch, rows.size))
    member = Member(_padded(rows, n), jnp.int32(rows.size), jnp.asarray(watched), key, None)
    state = _run(_Program(task, member, arrays, shared, None), params, label, checkpoints)
    history = _history(state.history)
    done = int(np.isfinite(history["watched"]).sum())
    if not bool(state.alive):
        raise DataError(
            "the loss is not finite",
            source=label or None,
            value=f"epoch {done + 1} of {config.epochs}",
            remedy="Check the data for values that are not numbers, or lower the learning rate.",
        )
    return Fitted(state.best, history, _converged(history, config), done)


def fit_many(
    loss: Loss,
    params: Any,
    arrays: Any,
    train: np.ndarray,
    watch: np.ndarray,
    config: LoopConfig,
    keys: jax.Array,
    *,
    label: str = "",
    shared: Any = None,
    own: Any = None,
    vectorised: bool | None = None,
    checkpoints: Checkpoints | None = None,
) -> Fitted:
    """Trains S members (seeds, targets, folds) in one program; not for convolutions on a CPU.

    Args:
      loss, arrays, config, label, shared, checkpoints: as for :func:`fit`, common to all members.
      params: initial parameters, each leaf with a leading axis S.
      train, watch: masks (S, n), or (n,) for all members; unequal numbers of rows share the program. A member with
        fewer watched rows than another repeats some of its own. All batches have the size that fits the smallest.
      keys: (S,) random keys.
      own: tree of constants (S, ...), of which each member's is handed to its loss as keyword ``own``.
      vectorised: members side by side (default on accelerators) or one after the other (default on a CPU, where
        batched matrix products are slower).

    Raises:
      DataError: as for :func:`fit`, but a member whose loss is not finite is marked as not ``alive`` and rests.
    """
    arrays, n = _arrays(arrays)
    if config.stepped:
        raise UsageError("fit_many runs whole epochs in one program: call fit once per member for stepped trainings.")
    members = keys.shape[0]
    chosen = [_members(masks, members, n, name) for masks, name in ((train, "training"), (watch, "watched"))]
    for rows, watched in zip(*chosen, strict=True):
        _disjoint(rows, watched)
    counts = [rows.size for rows in chosen[0]]
    width = max(watched.size for watched in chosen[1])
    if width and not all(watched.size for watched in chosen[1]):
        raise DataError("some members have watched rows and others none", remedy="Give watched rows to all or to none.")
    member = Member(
        jnp.stack([_padded(rows, n) for rows in chosen[0]]),
        jnp.asarray(counts, jnp.int32),
        jnp.asarray(np.stack([np.resize(watched, width) for watched in chosen[1]])),
        keys,
        own,
    )
    task = Task(loss, config, min(config.batch, *counts))
    vectorised = jax.default_backend() != "cpu" if vectorised is None else vectorised
    state = _run(_Program(task, member, arrays, shared, vectorised), params, label, checkpoints)
    history = _history(state.history)
    each = [{name: values[i] for name, values in history.items()} for i in range(members)]
    alive = np.asarray(state.alive)
    return Fitted(
        state.best,
        history,
        np.array([_converged(h, config) for h in each]) & alive,
        np.isfinite(history["watched"]).sum(axis=1),
        alive,
    )


@dataclasses.dataclass
class _Program:
    """A training ready to run: ``vectorised`` is None for a single member."""

    task: Task
    member: Member
    arrays: Any
    shared: Any
    vectorised: bool | None

    def init(self, params: Any) -> State:
        names = self._names(params)
        # Copied: the state's buffers are given back to XLA at each call, the caller's are not.
        params = jax.tree.map(lambda x: jnp.array(x, copy=True), params)
        if self.vectorised is None:
            return initial(self.task.config.epochs, names, params)
        return jax.vmap(lambda p: initial(self.task.config.epochs, names, p))(params)

    def _names(self, params: Any) -> tuple[str, ...]:
        member = self.member
        if self.vectorised is not None:
            params, member = jax.tree.map(lambda x: x[0], (params, member))
        batch = jax.tree.map(lambda x: x[: self.task.batch], self.arrays)
        shapes = jax.eval_shape(
            lambda p, b, k, own, shared: self.task.evaluate(p, b, k, jnp.float32(0), own, shared)[1],
            *(params, batch, member.key, member.own, self.shared),
        )
        return ("loss", "watched", *sorted(shapes))

    def advance(self, state: State, start: int, stop: int) -> State:
        if self.task.config.stepped:
            for epoch in range(start, stop):
                if not self.resting(state):
                    state = self._stepped(state, jnp.int32(epoch))
            return state
        bounds = (jnp.int32(start), jnp.int32(stop))
        return _epochs(self.task, self.vectorised, state, self.member, self.arrays, self.shared, *bounds)

    def _stepped(self, state: State, epoch: jax.Array) -> State:
        task, member = self.task, self.member
        order, total = one_begin(task, state, member, epoch)
        for i in range(int(member.count) // task.batch):
            rows = jax.lax.dynamic_slice_in_dim(order, i * task.batch, task.batch)
            state, total = one_step(task, state, total, member, self.arrays, self.shared, rows, epoch, jnp.int32(i))
        parts = [member.watch[i : i + WATCH_ROWS] for i in range(0, member.watch.shape[0], WATCH_ROWS)]
        values = [one_watch(task, state.params, member, self.arrays, self.shared, part) for part in parts]
        watched = sum(v * (p.shape[0] / member.watch.shape[0]) for v, p in zip(values, parts, strict=True))
        return one_close(task, state, total, member, watched if parts else None, epoch)

    def resting(self, state: State) -> bool:
        """Whether nothing moves any more: every member has converged by patience or is not finite."""
        return bool(np.all(np.asarray(rests(self.task.config, state)) | ~np.asarray(state.alive)))


def _run(program: _Program, params: Any, label: str, checkpoints: Checkpoints | None) -> State:
    config = program.task.config
    if config.epochs < 1 or config.batch < 1:
        raise UsageError(f"epochs {config.epochs} and batch {config.batch} must be at least 1.")
    state = program.init(params)
    done = (checkpoints.latest or 0) if checkpoints is not None else 0
    if checkpoints is not None and done:
        state = checkpoints.restore(state)
    stride = -(-config.epochs // SEGMENTS)
    with tqdm(total=config.epochs, initial=done, desc=f"{label:14}", unit="epoch", leave=False) as bar:
        while done < config.epochs and not program.resting(state):
            until = min((done // stride + 1) * stride, config.epochs)
            state = jax.block_until_ready(program.advance(state, done, until))
            if checkpoints is not None:
                checkpoints.save(until, state)
            bar.update(until - done)
            done = until
    return state


@functools.partial(jax.jit, static_argnames=("task", "vectorised"), donate_argnames="state")
def _epochs(task: Task, vectorised: bool | None, state: State, member: Member, arrays, shared, start, stop) -> State:
    def run(state: State, member: Member) -> State:
        def body(epoch, state: State) -> State:
            go = state.alive & ~rests(task.config, state)
            return jax.lax.cond(go, lambda s: _epoch(task, s, member, arrays, shared, epoch), lambda s: s, state)

        return jax.lax.fori_loop(start, stop, body, state)

    if vectorised is None:
        return run(state, member)
    if vectorised:
        return jax.vmap(run)(state, member)
    return jax.lax.map(lambda pair: run(*pair), (state, member))


def _epoch(task: Task, state: State, member: Member, arrays, shared, epoch) -> State:
    order, total = begin(task, state, member, epoch)

    def body(i, carry):
        state, total = carry
        rows = jax.lax.dynamic_slice_in_dim(order, i * task.batch, task.batch)
        return step(task, state, total, member, arrays, shared, rows, epoch, i)

    state, total = jax.lax.fori_loop(0, member.count // task.batch, body, (state, total))
    watched = watch_loss(task, state.params, member, arrays, shared) if member.watch.shape[0] else None
    return close(task, state, total, member, watched, epoch)


def _arrays(arrays: Any) -> tuple[Any, int]:
    arrays = jax.tree.map(jnp.asarray, arrays)
    sizes = {leaf.shape[0] for leaf in jax.tree.leaves(arrays)}
    if len(sizes) != 1:
        raise DataError("the arrays differ in their number of rows", value=sorted(sizes), remedy="Pair them by row.")
    return arrays, sizes.pop()


def _rows(rows: Any, n: int, name: str) -> np.ndarray:
    rows = np.asarray(rows)
    if rows.dtype == bool:
        if rows.shape != (n,):
            raise DataError(f"the mask of {name} rows has shape {rows.shape}, not ({n},)", remedy="One value per row.")
        rows = np.flatnonzero(rows)
    if name == "training" and rows.size == 0:
        raise DataError("there are no training rows", remedy="Select rows that the data have.")
    if rows.size and (rows.min() < 0 or rows.max() >= n or np.unique(rows).size != rows.size):
        raise DataError(f"{name} rows must be different numbers from 0 to {n - 1}", remedy="Correct the row numbers.")
    return rows.astype(np.int32)


def _members(masks: Any, members: int, n: int, name: str) -> list[np.ndarray]:
    masks = np.asarray(masks)
    if masks.dtype != bool or masks.shape not in ((n,), (members, n)):
        raise DataError(
            f"the {name} rows of several members are masks ({members}, {n}) or ({n},)",
            value=f"{masks.dtype} {masks.shape}",
            remedy="Make masks of the row numbers.",
        )
    return [_rows(mask, n, name) for mask in np.broadcast_to(masks, (members, n))]


def _disjoint(train: np.ndarray, watch: np.ndarray) -> None:
    both = np.intersect1d(train, watch)
    if both.size:
        raise DataError("rows are trained on and watched", value=both[:5].tolist(), remedy="Part the two sets.")


def _padded(rows: np.ndarray, n: int) -> jax.Array:
    return jnp.asarray(np.concatenate([rows, np.zeros(n - rows.size, np.int32)]))


def _history(history: dict[str, jax.Array]) -> dict[str, np.ndarray]:
    return {name: np.asarray(values, np.float64) for name, values in history.items()}


def _converged(history: dict[str, np.ndarray], config: LoopConfig) -> bool:
    return converged(np.stack([history["loss"], history["watched"]], axis=1), config.tolerance, config.patience)
