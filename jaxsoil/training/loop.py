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
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

from jaxsoil.errors import DataError, UsageError
from jaxsoil.training.checkpoints import Checkpoints
from jaxsoil.training.trials import converged

Loss = Callable[..., tuple[jax.Array, dict[str, jax.Array]]]
"""``loss(params, batch, key, progress) -> (loss, {name: scalar})``.

``batch`` holds the rows taken from every leaf of ``arrays``; ``key`` draws dropout and samples and is None where the
loss is watched, which must be deterministic; ``progress`` runs from 0 in the first epoch to 1 in the last and is 1
where the loss is watched, so that epochs compare. Keywords ``shared`` and ``own`` are passed where they are given.
"""

WATCH_ROWS = 1024
"""Rows per forward pass of the watched loss; bounds its memory over a large library."""

SEGMENTS = 20
"""Calls in which a training is run, so that progress can be shown and the state kept between them."""


@dataclasses.dataclass(frozen=True)
class LoopConfig:
    """How parameters are trained. All of it is ours: the publications state none of these numbers."""

    epochs: int = 100
    """Passes over the training rows."""
    batch: int = 64
    """Rows in a step; fewer where a training has fewer rows. An incomplete last batch is dropped."""
    lr: float = 1e-3
    """Learning rate of AdamW at the start."""
    weight_decay: float = 0.0
    """Decoupled weight decay of AdamW."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """Learning rate over the steps: constant, or falling to zero along half a cosine."""
    patience: int = 0
    """Epochs without a new lowest watched loss before it stops, as converged; 0 runs all."""
    stepped: bool = False
    """One compiled program per step: convolutions on a CPU are 17 times slower inside a loop of XLA's."""
    tolerance: float = 0.05
    """Converged without patience: the mean watched loss of the last fifth of the epochs is less than this (relative)
    under that of the fifth before."""


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


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
    """Everything that changes while a training runs, and so everything that a checkpoint holds."""

    params: Any
    moments: Any
    best: Any
    lowest: Any
    waited: Any
    alive: Any
    history: Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Member:
    """What one training owns: its row numbers (padded to a common length), their count, key and constants."""

    rows: Any
    count: Any
    watch: Any
    key: Any
    own: Any


@dataclasses.dataclass(frozen=True)
class _Task:
    """The static part of a training; equal tasks share compiled programs."""

    loss: Loss
    config: LoopConfig
    batch: int

    def evaluate(self, params: Any, batch: Any, key: Any, progress: Any, own: Any, shared: Any) -> Any:
        keywords = {name: value for name, value in (("shared", shared), ("own", own)) if value is not None}
        return self.loss(params, batch, key, progress, **keywords)


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
    task = _Task(loss, config, min(config.batch, rows.size))
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
    task = _Task(loss, config, min(config.batch, *counts))
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

    task: _Task
    member: Member
    arrays: Any
    shared: Any
    vectorised: bool | None

    def init(self, params: Any) -> State:
        names = self._names(params)
        # Copied: the state's buffers are given back to XLA at each call, the caller's are not.
        params = jax.tree.map(lambda x: jnp.array(x, copy=True), params)
        if self.vectorised is None:
            return _init(self.task.config.epochs, names, params)
        return jax.vmap(lambda p: _init(self.task.config.epochs, names, p))(params)

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
        order, total = _first(task, state, member, epoch)
        for i in range(int(member.count) // task.batch):
            state, total = _one_step(task, state, total, member, self.arrays, self.shared, order, epoch, jnp.int32(i))
        parts = [member.watch[i : i + WATCH_ROWS] for i in range(0, member.watch.shape[0], WATCH_ROWS)]
        values = [_one_watch(task, state.params, member, self.arrays, self.shared, part) for part in parts]
        watched = sum(v * (p.shape[0] / member.watch.shape[0]) for v, p in zip(values, parts, strict=True))
        return _one_close(task, state, total, member, watched if parts else None, epoch)

    def resting(self, state: State) -> bool:
        """Whether nothing moves any more: every member has converged by patience or is not finite."""
        return bool(np.all(np.asarray(_rests(self.task.config, state)) | ~np.asarray(state.alive)))


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


def _init(epochs: int, names: tuple[str, ...], params: Any) -> State:
    return State(
        params=params,
        moments=optax.scale_by_adam().init(params),
        best=jax.tree.map(jnp.copy, params),
        lowest=jnp.float32(jnp.inf),
        waited=jnp.int32(0),
        alive=jnp.bool_(True),
        history={name: jnp.full(epochs, jnp.nan, jnp.float32) for name in names},
    )


@functools.partial(jax.jit, static_argnames=("task", "vectorised"), donate_argnames="state")
def _epochs(task: _Task, vectorised: bool | None, state: State, member: Member, arrays, shared, start, stop) -> State:
    def run(state: State, member: Member) -> State:
        def body(epoch, state: State) -> State:
            go = state.alive & ~_rests(task.config, state)
            return jax.lax.cond(go, lambda s: _epoch(task, s, member, arrays, shared, epoch), lambda s: s, state)

        return jax.lax.fori_loop(start, stop, body, state)

    if vectorised is None:
        return run(state, member)
    if vectorised:
        return jax.vmap(run)(state, member)
    return jax.lax.map(lambda pair: run(*pair), (state, member))


def _epoch(task: _Task, state: State, member: Member, arrays, shared, epoch) -> State:
    order, total = _start(task, state, member, epoch)

    def body(i, carry):
        state, total = carry
        return _step(task, state, total, member, arrays, shared, order, epoch, i)

    state, total = jax.lax.fori_loop(0, member.count // task.batch, body, (state, total))
    watched = _watch(task, state.params, member, arrays, shared) if member.watch.shape[0] else None
    return _close(task, state, total, member, watched, epoch)


def _start(task: _Task, state: State, member: Member, epoch) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Row numbers of this epoch, shuffled (those that count come first), and sums to fill."""
    n = member.rows.shape[0]
    draw = jax.random.uniform(jax.random.fold_in(member.key, 2 * epoch), (n,))
    order = jnp.argsort(jnp.where(jnp.arange(n, dtype=jnp.int32) < member.count, draw, jnp.inf))
    return member.rows[order], {name: jnp.float32(0) for name in state.history if name != "watched"}


def _step(task: _Task, state: State, total, member: Member, arrays, shared, order, epoch, i):
    config = task.config
    rows = jax.lax.dynamic_slice_in_dim(order, i * task.batch, task.batch)
    batch = jax.tree.map(lambda x: x[rows], arrays)
    key = jax.random.fold_in(jax.random.fold_in(member.key, 2 * epoch + 1), i)
    progress = epoch.astype(jnp.float32) / max(config.epochs - 1, 1)
    (value, terms), grads = jax.value_and_grad(task.evaluate, has_aux=True)(
        state.params, batch, key, progress, member.own, shared
    )
    finite = jnp.isfinite(value) & jnp.isfinite(optax.tree.norm(grads))
    steps = (member.count // task.batch).astype(jnp.float32)
    lr = learning_rate(config, (epoch.astype(jnp.float32) + i.astype(jnp.float32) / steps) / config.epochs)
    # A branch, not a choice between two results: a training that runs alone then writes its arrays in place.
    params, moments = jax.lax.cond(
        state.alive & finite,
        lambda: adamw(state.params, state.moments, grads, lr, config.weight_decay),
        lambda: (state.params, state.moments),
    )
    total = {name: total[name] + {"loss": value, **terms}[name] for name in total}
    return dataclasses.replace(state, params=params, moments=moments, alive=state.alive & finite), total


def learning_rate(config: LoopConfig, done: jax.Array) -> jax.Array:
    """Learning rate after a share ``done`` (0 to 1) of the steps."""
    if config.schedule == "constant":
        return jnp.full_like(done, config.lr)
    return config.lr * 0.5 * (1.0 + jnp.cos(jnp.pi * done))


def adamw(params: Any, moments: Any, grads: Any, lr: jax.Array, decay: float) -> tuple[Any, Any]:
    """One step of AdamW (Loshchilov and Hutter 2019): Adam, and weight decay that its moments do not see."""
    # Optax raises a float to an integer power, which strict promotion (our tests) would refuse.
    with jax.numpy_dtype_promotion("standard"):
        updates, moments = optax.scale_by_adam().update(grads, moments)
    return jax.tree.map(lambda p, u: p - lr * (u + decay * p), params, updates), moments


def _watch(task: _Task, params: Any, member: Member, arrays, shared) -> jax.Array:
    n = member.watch.shape[0]
    whole = n // WATCH_ROWS
    value = lambda rows: _watch_rows(task, params, member, arrays, shared, rows)  # noqa: E731
    total = jnp.float32(0)
    if whole:
        parts = member.watch[: whole * WATCH_ROWS].reshape(whole, WATCH_ROWS)
        total = jnp.sum(jax.lax.map(value, parts)) * WATCH_ROWS
    if n % WATCH_ROWS:
        total = total + value(member.watch[whole * WATCH_ROWS :]) * (n % WATCH_ROWS)
    return total / n


def _watch_rows(task: _Task, params: Any, member: Member, arrays, shared, rows) -> jax.Array:
    batch = jax.tree.map(lambda x: x[rows], arrays)
    return task.evaluate(params, batch, None, jnp.float32(1), member.own, shared)[0]


def _close(task: _Task, state: State, total, member: Member, watched: jax.Array | None, epoch) -> State:
    steps = (member.count // task.batch).astype(jnp.float32)
    means = {name: value / steps for name, value in total.items()}
    means["watched"] = means["loss"] if watched is None else watched
    alive = state.alive & jnp.isfinite(means["watched"])
    better = alive & (means["watched"] < state.lowest)
    return dataclasses.replace(
        state,
        best=jax.tree.map(lambda new, old: jnp.where(better, new, old), state.params, state.best),
        lowest=jnp.where(better, means["watched"], state.lowest),
        waited=jnp.where(better, 0, state.waited + 1),
        alive=alive,
        # A training that died in this epoch leaves it unreached.
        history={k: v.at[epoch].set(jnp.where(alive, means[k], jnp.nan)) for k, v in state.history.items()},
    )


def _rests(config: LoopConfig, state: State) -> jax.Array:
    return (state.waited >= config.patience) & (config.patience > 0)


_first = jax.jit(_start, static_argnums=0)
_one_step = jax.jit(_step, static_argnums=0, donate_argnums=(1, 2))
_one_watch = jax.jit(_watch_rows, static_argnums=0)
_one_close = jax.jit(_close, static_argnums=0, donate_argnums=1)


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
