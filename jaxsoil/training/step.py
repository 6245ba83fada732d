"""One training as pure functions: its state, one step, one epoch, many epochs.

A training sees what it is handed and nothing else: no clock, file or global enters, so trainings can be batched,
sharded, repeated and resumed. What differs between studies comes from outside: the loss, and where batches come from.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal, Protocol

import jax
import jax.numpy as jnp
import optax

Loss = Callable[..., tuple[jax.Array, tuple[Any, dict[str, jax.Array]]]]
"""``loss(params, stats, batch, key, progress) -> (value, (stats, {name: scalar}))``.

``stats`` are running statistics (BatchNorm), None where a network has none; ``batch`` is what the batches give; ``key``
draws dropout and samples and is None for the validation loss, which must be deterministic; ``progress`` runs from 0 in
the first epoch to 1 in the last and is 1 for the validation loss, so that epochs compare. Keywords ``shared`` and
``own`` are passed where they are given. The named scalars enter the history.
"""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
    """Everything that changes while a training runs, and so everything that a checkpoint holds.

    ``best``: (params, stats) of the lowest validation loss ``best_loss``, None where the last ones are kept.
    ``waited`` counts the epochs since that loss. ``alive`` turns False at the first loss, gradient or validation loss
    that is not finite: the training has diverged and stays as it was. ``history``: "loss", "validation_loss" and the
    loss's own terms, each (epochs,), NaN where not reached.
    """

    params: Any
    stats: Any
    opt_state: Any
    best: Any
    best_loss: Any
    waited: Any
    alive: Any
    history: Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Member:
    """The arrays of one training, mapped over trainings that share a program.

    ``rows``: what its batches are drawn from; ``steps`` in an epoch; ``lr``: learning rate at the start; ``key``;
    ``own``: constants handed to the loss as keyword ``own``; ``rates``: by name of a part of the parameters, its
    learning rate over the others'.
    """

    rows: Any
    steps: Any
    lr: Any
    key: Any
    own: Any = None
    rates: Any = None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Data:
    """What all trainings of a program share: ``arrays`` (n, ...) by row, and ``shared``, a keyword of the loss."""

    arrays: Any
    shared: Any = None


class Batches(Protocol):
    """Where the batches of a training come from; static, so equal ones share compiled programs."""

    def order(self, member: Member, epoch: Any) -> Any:
        """The order of the rows in an epoch."""

    def take(self, arrays: Any, member: Member, order: Any, i: Any) -> Any:
        """The i-th batch of an epoch, by its order alone: the member comes without its rows."""

    def validation(self, value: Callable[[Any], jax.Array], arrays: Any, member: Member, unrolled: bool) -> Any:
        """The mean of ``value(batch)`` over the validation rows, None without such rows; ``unrolled``: no loops."""


@dataclasses.dataclass(frozen=True)
class Training:
    """The static part of a training; equal ones share compiled programs.

    The optimiser is AdamW (Loshchilov and Hutter 2019). ``keep``: which parameters a training returns, the best or the
    last. ``patience``: epochs without a new best loss after which it rests; 0 runs all. ``jit_per_step``: no step runs
    inside a loop of XLA's, whose CPU backend computes convolutions there many times slower than in a program of their
    own.
    """

    loss: Loss
    batches: Batches
    epochs: int
    patience: int = 0
    keep: Literal["last", "best"] = "best"
    b1: float = 0.9
    b2: float = 0.999
    weight_decay: float = 0.0
    schedule: Literal["constant", "cosine"] = "constant"
    jit_per_step: bool = False

    @property
    def optimiser(self) -> optax.GradientTransformation:
        """AdamW without its learning rate, which differs between trainings that share a program."""
        return optax.chain(optax.scale_by_adam(self.b1, self.b2), optax.add_decayed_weights(self.weight_decay))

    def learning_rate(self, member: Member, epoch: Any, i: Any) -> jax.Array:
        """Learning rate of a step, by the share of all steps that is done."""
        if self.schedule == "constant":
            return member.lr
        done = (epoch.astype(jnp.float32) + i.astype(jnp.float32) / member.steps.astype(jnp.float32)) / self.epochs
        return member.lr * optax.cosine_decay_schedule(1.0, 1)(done)

    def apply(self, params: Any, updates: Any, lr: jax.Array, rates: Any = None) -> Any:
        """Parameters moved by ``updates`` times their learning rate, ``lr`` times that of ``rates``."""
        if not rates:
            return optax.apply_updates(params, jax.tree.map(lambda u: -lr * u, updates))
        rate = {name: lr * rates[name] if name in rates else lr for name in params}
        return {n: jax.tree.map(lambda p, u, n=n: p - rate[n] * u, params[n], updates[n]) for n in params}

    def value(self, params: Any, stats: Any, batch: Any, key: Any, progress: Any, member: Member, data: Data) -> Any:
        """The loss, new statistics and terms of a batch."""
        keywords = {name: v for name, v in (("shared", data.shared), ("own", member.own)) if v is not None}
        return self.loss(params, stats, batch, key, progress, **keywords)


def initial(training: Training, params: Any, stats: Any, member: Member, data: Data, batch: Any = None) -> State:
    """State before the first step; ``batch``: an example where batches do not come from ``data``."""
    if batch is None:
        batch = training.batches.take(data.arrays, member, training.batches.order(member, jnp.int32(0)), jnp.int32(0))
    value = functools.partial(training.value, progress=jnp.float32(0), member=member, data=data)
    _, (_, terms) = jax.eval_shape(value, params, stats, batch, member.key)
    # Copies, because a state's buffers are given back to XLA at each call: the caller's must not be, nor be shared.
    copy = functools.partial(jax.tree.map, jnp.copy)
    return State(
        params=copy(params),
        stats=copy(stats),
        opt_state=training.optimiser.init(params),
        best=copy((params, stats)) if training.keep == "best" else None,
        best_loss=jnp.float32(jnp.inf),
        waited=jnp.int32(0),
        alive=jnp.bool_(True),
        history={name: jnp.full(training.epochs, jnp.nan, jnp.float32) for name in ("loss", "validation_loss", *terms)},
    )


def kept(state: State) -> tuple[Any, Any]:
    """Parameters and statistics that a training returns."""
    return (state.params, state.stats) if state.best is None else state.best


def zero(state: State) -> dict[str, jax.Array]:
    """Sums of loss and terms over the steps of an epoch, before the first one."""
    sums = [name for name in state.history if name != "validation_loss"]
    return {name: jnp.zeros_like(state.history[name], shape=state.history[name].shape[:-1]) for name in sums}


def goes_on(training: Training, state: State) -> Any:
    """Whether a training has neither diverged nor waited as long as its patience."""
    return state.alive & ((state.waited < training.patience) | (training.patience == 0))


def all_finite(tree: Any) -> jax.Array:
    """Whether every number of a tree of float arrays is finite, by sums, which a number that is not finite spoils.

    Sums of rows as matrix products: XLA's reductions took twice the time on a CPU, a tenth of a training step.
    """
    rows = [x.reshape(-1, x.shape[-1]) for x in jax.tree.leaves(tree) if x.ndim > 1]
    sums = [jnp.sum(jnp.matmul(x, jnp.ones(x.shape[1], x.dtype))) for x in rows]
    return jnp.isfinite(sum([jnp.sum(x) for x in jax.tree.leaves(tree) if x.ndim < 2], sum(sums)))


def step(
    training: Training, state: State, total: Any, order: Any, member: Member, data: Data, epoch, i, live: Any = True
):
    """One step on the i-th batch of an epoch; adds loss and terms to ``total``. Not ``live``: nothing changes."""
    with jax.named_scope("batch"):
        batch = training.batches.take(data.arrays, member, order, i)
    key = jax.random.fold_in(jax.random.fold_in(member.key, 2 * epoch + 1), i)
    progress = epoch.astype(jnp.float32) / max(training.epochs - 1, 1)
    (value, (stats, terms)), grads = jax.value_and_grad(training.value, has_aux=True)(
        state.params, state.stats, batch, key, progress, member, data
    )
    with jax.named_scope("finite"):
        finite = jnp.isfinite(value) & all_finite(grads)
    lr = training.learning_rate(member, epoch, i)

    def move() -> tuple[Any, Any, Any]:
        # Optax raises a float to an integer power, which strict promotion (our tests) would refuse.
        with jax.named_scope("optimiser"), jax.numpy_dtype_promotion("standard"):
            updates, opt_state = training.optimiser.update(grads, state.opt_state, state.params)
            return training.apply(state.params, updates, lr, member.rates), stats, opt_state

    # A branch, not a choice between two results: a training that runs alone then writes its arrays in place.
    params, stats, opt_state = jax.lax.cond(
        live & state.alive & finite, move, lambda: (state.params, state.stats, state.opt_state)
    )
    alive = state.alive & (finite | jnp.logical_not(live))
    found = {"loss": value, **terms}
    total = {name: total[name] + jnp.where(live, found[name], 0.0) for name in total}
    return dataclasses.replace(state, params=params, stats=stats, opt_state=opt_state, alive=alive), total


def steps(training: Training, state: State, total: Any, order: Any, member: Member, data: Data, epoch, start, stop):
    """The steps ``start`` to ``stop`` of an epoch."""

    def body(i, carry):
        state, total = carry
        return step(training, state, total, order, member, data, epoch, i)

    return jax.lax.fori_loop(start, stop, body, (state, total))


def validation_loss(training: Training, state: State, member: Member, data: Data) -> jax.Array | None:
    """Loss on the validation rows, without randomness and as in the last epoch; None without such rows."""

    def value(batch: Any) -> jax.Array:
        return training.value(state.params, state.stats, batch, None, jnp.float32(1), member, data)[0]

    return training.batches.validation(value, data.arrays, member, training.jit_per_step)


def close(
    training: Training, state: State, total: Any, member: Member, validation: Any, epoch, live: Any = True
) -> State:
    """Writes the means of an epoch into the history, and keeps the parameters if they are the best so far.

    ``validation``: the validation loss; None takes the training loss in its place. Not ``live``: nothing changes.
    """
    means = {name: value / member.steps.astype(jnp.float32) for name, value in total.items()}
    means["validation_loss"] = means["loss"] if validation is None else validation
    alive = state.alive & (jnp.isfinite(means["validation_loss"]) | jnp.logical_not(live))
    better = live & alive & (means["validation_loss"] < state.best_loss)
    best = state.best
    if best is not None:
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), (state.params, state.stats), best)
    # A training that diverged in this epoch leaves it unreached.
    return dataclasses.replace(
        state,
        best=best,
        best_loss=jnp.where(better, means["validation_loss"], state.best_loss),
        waited=jnp.where(live, jnp.where(better, 0, state.waited + 1), state.waited),
        alive=alive,
        history={k: v.at[epoch].set(jnp.where(live & alive, means[k], v[epoch])) for k, v in state.history.items()},
    )


def epochs(training: Training, state: State, member: Member, data: Data, start, stop, most: Any = None) -> State:
    """The epochs ``start`` to ``stop``.

    ``most``: steps of an epoch at most, where trainings with different numbers of steps run side by side. Those that
    have rested are then masked; without ``most`` a training is alone and their epochs are skipped.
    """

    def one(epoch, state: State, live: Any = True) -> State:
        order = training.batches.order(member, epoch)

        def body(i, carry):
            state, total = carry
            masked = True if most is None else live & (i < member.steps)
            return step(training, state, total, order, member, data, epoch, i, masked)

        bound = member.steps if most is None else most
        state, total = jax.lax.fori_loop(0, bound, body, (state, zero(state)))
        return close(training, state, total, member, validation_loss(training, state, member, data), epoch, live)

    def body(epoch, state: State) -> State:
        if most is not None:
            return one(epoch, state, goes_on(training, state))
        return jax.lax.cond(goes_on(training, state), lambda s: one(epoch, s), lambda s: s, state)

    return jax.lax.fori_loop(start, stop, body, state)


def one_step(training: Training, state: State, total: Any, order: Any, member: Member, data: Data, epoch, i):
    """One step as :func:`step`, of trainings that still go on and whose epoch has so many steps."""
    live = goes_on(training, state) & (i < member.steps)
    return step(training, state, total, order, member, data, epoch, i, live)


def finish(training: Training, state: State, total: Any, member: Member, data: Data, epoch) -> State:
    """:func:`close` with the validation loss, of trainings that still go on."""
    # A training that diverged in this epoch must still enter as live: its epoch is left unreached either way.
    validation = validation_loss(training, state, member, data)
    return close(training, state, total, member, validation, epoch, goes_on(training, state))
