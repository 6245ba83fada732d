"""The pure parts of a training: its state, one step of AdamW, the watched loss, the end of an epoch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxsoil.training.config import LoopConfig

Loss = Callable[..., tuple[jax.Array, dict[str, jax.Array]]]
"""``loss(params, batch, key, progress) -> (loss, {name: scalar})``.

``batch`` holds the rows taken from every leaf of ``arrays``; ``key`` draws dropout and samples and is None where the
loss is watched, which must be deterministic; ``progress`` runs from 0 in the first epoch to 1 in the last and is 1
where the loss is watched, so that epochs compare. Keywords ``shared`` and ``own`` are passed where they are given.
"""

WATCH_ROWS = 1024
"""Rows per forward pass of the watched loss; bounds its memory over a large library."""


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
class Task:
    """The static part of a training; equal tasks share compiled programs."""

    loss: Loss
    config: LoopConfig
    batch: int

    def evaluate(self, params: Any, batch: Any, key: Any, progress: Any, own: Any, shared: Any) -> Any:
        """The loss and its terms."""
        keywords = {name: value for name, value in (("shared", shared), ("own", own)) if value is not None}
        return self.loss(params, batch, key, progress, **keywords)


def initial(epochs: int, names: tuple[str, ...], params: Any) -> State:
    """State before the first step; ``names`` of what the history holds."""
    return State(
        params=params,
        moments=optax.scale_by_adam().init(params),
        best=jax.tree.map(jnp.copy, params),
        lowest=jnp.float32(jnp.inf),
        waited=jnp.int32(0),
        alive=jnp.bool_(True),
        history={name: jnp.full(epochs, jnp.nan, jnp.float32) for name in names},
    )


def begin(task: Task, state: State, member: Member, epoch) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Row numbers of this epoch, shuffled (those that count come first), and sums to fill."""
    n = member.rows.shape[0]
    draw = jax.random.uniform(jax.random.fold_in(member.key, 2 * epoch), (n,))
    order = jnp.argsort(jnp.where(jnp.arange(n, dtype=jnp.int32) < member.count, draw, jnp.inf))
    return member.rows[order], {name: jnp.float32(0) for name in state.history if name != "watched"}


def step(task: Task, state: State, total, member: Member, arrays, shared, rows, epoch, i):
    """One step on a batch of ``rows``, the i-th of its epoch; adds loss and terms to ``total``."""
    config = task.config
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


def watch_loss(task: Task, params: Any, member: Member, arrays, shared) -> jax.Array:
    """Mean loss over the watched rows."""
    n = member.watch.shape[0]
    whole = n // WATCH_ROWS
    value = lambda rows: watch_loss_on(task, params, member, arrays, shared, rows)  # noqa: E731
    total = jnp.float32(0)
    if whole:
        parts = member.watch[: whole * WATCH_ROWS].reshape(whole, WATCH_ROWS)
        total = jnp.sum(jax.lax.map(value, parts)) * WATCH_ROWS
    if n % WATCH_ROWS:
        total = total + value(member.watch[whole * WATCH_ROWS :]) * (n % WATCH_ROWS)
    return total / n


def watch_loss_on(task: Task, params: Any, member: Member, arrays, shared, rows) -> jax.Array:
    """Loss on some rows, without randomness and as in the last epoch."""
    batch = jax.tree.map(lambda x: x[rows], arrays)
    return task.evaluate(params, batch, None, jnp.float32(1), member.own, shared)[0]


def close(task: Task, state: State, total, member: Member, watched: jax.Array | None, epoch) -> State:
    """Ends an epoch: its means enter the history, the best parameters are kept."""
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


def rests(config: LoopConfig, state: State) -> jax.Array:
    """Whether patience is at its end."""
    return (state.waited >= config.patience) & (config.patience > 0)


one_begin = jax.jit(begin, static_argnums=0)
one_step = jax.jit(step, static_argnums=0, donate_argnums=(1, 2))
one_watch = jax.jit(watch_loss_on, static_argnums=0)
one_close = jax.jit(close, static_argnums=0, donate_argnums=1)
