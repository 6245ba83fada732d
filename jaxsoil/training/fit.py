"""The trial as a pure function: initialise, run some epochs, predict.

A trial sees three things only: its key, the arrays that all trials share (:class:`Data`) and what is its own
(:class:`TrialArrays`). No clock, file or global enters, so trials can be batched, sharded, repeated and resumed.
Row subsets are masks of static shape, so folds of unequal size share one compiled program.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxsoil.models.networks import Autoencoder
from jaxsoil.training.config import TrainConfig
from jaxsoil.training.objectives import soc_term, spectrum_term

Leaf = Any
"""An array, or whatever a transformation of JAX puts in its place while it takes a tree apart."""

PREDICT_ROWS = 512
"""Rows per forward pass when predicting; bounds the memory of a prediction over a large library."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Data:
    """What all trials share, once on each device.

    ``spectra`` (n, M) float32 reflectance; ``soc`` (n,) float32 mass fraction, 0 where there is no label.
    """

    spectra: Leaf
    soc: Leaf


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrialArrays:
    """What one trial owns: disjoint row masks ``(n,)``, the number of steps in its epoch, its learning rate, its key.

    ``labelled`` rows train both terms of the loss, ``unlabelled`` rows the spectrum term, ``validation`` rows
    only watch convergence. Rows in none of them are not seen.
    """

    labelled: Leaf
    unlabelled: Leaf
    validation: Leaf
    steps: Leaf
    lr: Leaf
    key: Leaf


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrialState:
    """Everything that changes while a trial runs, and so everything that a checkpoint holds.

    ``history`` is (epochs, 2): mean training loss and watched loss of each epoch, NaN where not reached.
    ``alive`` turns False at the first loss or gradient that is not finite; the state then stays as it was.
    """

    params: Leaf
    stats: Leaf
    moments: Leaf
    best: Leaf
    best_loss: Leaf
    alive: Leaf
    history: Leaf


@dataclasses.dataclass(frozen=True)
class Fit:
    """The pure functions of one group of trials, each for a single trial (to be mapped over trials).

    ``init(trial) -> state``; ``run(state, trial, data, start, stop, steps) -> state`` trains epochs
    ``start..stop`` with at most ``steps`` steps each; ``predict(state, data) -> (soc (n,), rmse (n,))``;
    ``reconstruct(state, spectra) -> (rows, M)``, or None without a decoder.
    """

    init: Callable[..., TrialState]
    run: Callable[..., TrialState]
    predict: Callable[..., tuple[jax.Array, jax.Array]]
    reconstruct: Callable[..., jax.Array] | None


def make_fit(model: Autoencoder, config: TrainConfig, validation_rows: int, mesh: Mesh | None = None) -> Fit:
    """Builds the pure functions of a trial.

    Args:
      model: the network; its shape is static.
      config: the training; everything but ``lr`` (taken from the trial) is static.
      validation_rows: upper bound on the validation rows of any trial of the group; 0 watches the training loss.
      mesh: devices with the axes "trial" and "batch"; given, each batch is spread over "batch".
    """
    adam = optax.scale_by_adam(b1=config.b1, b2=config.b2)
    reconstructs = model.config.decoder != "none"
    keep_best = config.keep == "best"

    def init(trial: TrialArrays) -> TrialState:
        key = jax.random.fold_in(trial.key, 0)
        variables = model.init(key, jnp.zeros((2, model.bands), jnp.float32), train=False)
        params, stats = variables["params"], variables["batch_stats"]
        return TrialState(
            params=params,
            stats=stats,
            moments=adam.init(params),
            best=(params, stats) if keep_best else None,
            best_loss=jnp.float32(jnp.inf),
            alive=jnp.bool_(True),
            history=jnp.full((config.epochs, 2), jnp.nan, jnp.float32),
        )

    def spread(x: jax.Array) -> jax.Array:
        if mesh is None or mesh.shape["batch"] == 1:
            return x
        return jax.lax.with_sharding_constraint(x, NamedSharding(mesh, PartitionSpec("batch")))

    def objective(params: Any, stats: Any, x: jax.Array, soc: jax.Array) -> tuple[jax.Array, Any]:
        (mass, rebuilt), updated = model.apply(
            {"params": params, "batch_stats": stats}, x, train=True, mutable=["batch_stats"]
        )
        # The labelled rows come first in the batch; the spectrum term averages over all of them (Eq. 1, N' != N).
        loss = soc_term(soc, mass[: soc.shape[0], -1], config.sigma_soc)
        if rebuilt is not None:
            loss = loss + spectrum_term(x, rebuilt, config.sigma_reflectance)
        return loss, updated["batch_stats"]

    def watch(params: Any, stats: Any, trial: TrialArrays, data: Data) -> jax.Array:
        rows = jnp.argsort(~trial.validation, stable=True)[:validation_rows]
        weight = trial.validation[rows].astype(jnp.float32)
        mean = lambda values: jnp.sum(weight * values) / jnp.sum(weight)  # noqa: E731
        x, soc = data.spectra[rows], data.soc[rows]
        mass, rebuilt = model.apply({"params": params, "batch_stats": stats}, x, train=False)
        loss = mean(jnp.square(mass[:, -1] - soc)) / config.sigma_soc**2
        if rebuilt is not None:
            loss = loss + mean(jnp.mean(jnp.square(rebuilt - x), axis=1)) / config.sigma_reflectance**2
        return loss

    def step(state: TrialState, rows: tuple[jax.Array, jax.Array | None], trial: TrialArrays, data: Data, live):
        labelled, unlabelled = rows
        taken = labelled if unlabelled is None else jnp.concatenate([labelled, unlabelled])
        x, soc = spread(data.spectra[taken]), data.soc[labelled]
        (loss, stats), grads = jax.value_and_grad(objective, has_aux=True)(state.params, state.stats, x, soc)
        finite = jnp.isfinite(loss) & jnp.isfinite(optax.tree.norm(grads))
        # Optax raises a float to an integer power, which strict promotion (our tests) would refuse.
        with jax.numpy_dtype_promotion("standard"):
            updates, moments = adam.update(grads, state.moments)
        params = jax.tree.map(lambda p, u: p - trial.lr * u, state.params, updates)
        accept = live & state.alive & finite
        pick = lambda new, old: jax.tree.map(lambda n, o: jnp.where(accept, n, o), new, old)  # noqa: E731
        state = dataclasses.replace(
            state,
            params=pick(params, state.params),
            stats=pick(stats, state.stats),
            moments=pick(moments, state.moments),
            alive=state.alive & (finite | ~live),
        )
        return state, jnp.where(live, loss, 0.0)

    def epoch(number, state: TrialState, trial: TrialArrays, data: Data, steps) -> TrialState:
        keys = jax.random.split(jax.random.fold_in(trial.key, number + 1))
        draw = _drawer(keys[0], trial.labelled, config.batch)
        extra = _drawer(keys[1], trial.unlabelled, config.unlabelled_batch) if _mixed(config, model) else None

        def body(i, carry):
            state, total = carry
            rows = (draw(i), None if extra is None else extra(i))
            state, loss = step(state, rows, trial, data, i < trial.steps)
            return state, total + loss

        state, total = jax.lax.fori_loop(0, steps, body, (state, jnp.float32(0)))
        trained = total / trial.steps.astype(jnp.float32)
        watched = watch(state.params, state.stats, trial, data) if validation_rows else trained
        state = dataclasses.replace(state, history=state.history.at[number].set(jnp.stack([trained, watched])))
        if not keep_best:
            return state
        better = state.alive & (watched < state.best_loss)
        best = jax.tree.map(lambda n, o: jnp.where(better, n, o), (state.params, state.stats), state.best)
        return dataclasses.replace(state, best=best, best_loss=jnp.where(better, watched, state.best_loss))

    def run(state: TrialState, trial: TrialArrays, data: Data, start, stop, steps) -> TrialState:
        return jax.lax.fori_loop(start, stop, lambda e, s: epoch(e, s, trial, data, steps), state)

    def variables(state: TrialState) -> dict[str, Any]:
        params, stats = state.best if keep_best else (state.params, state.stats)
        return {"params": params, "batch_stats": stats}

    def predict(state: TrialState, data: Data) -> tuple[jax.Array, jax.Array]:
        def row(x: jax.Array) -> tuple[jax.Array, jax.Array]:
            mass, rebuilt = model.apply(variables(state), x[None], train=False)
            error = jnp.float32(jnp.nan) if rebuilt is None else jnp.sqrt(jnp.mean(jnp.square(rebuilt[0] - x)))
            return mass[0, -1], error

        return jax.lax.map(row, data.spectra, batch_size=min(PREDICT_ROWS, data.spectra.shape[0]))

    def reconstruct(state: TrialState, spectra: jax.Array) -> jax.Array:
        return model.apply(variables(state), spectra, train=False)[1]

    return Fit(init, run, predict, reconstruct if reconstructs else None)


def _mixed(config: TrainConfig, model: Autoencoder) -> bool:
    return config.unlabelled_batch > 0 and model.config.decoder != "none"


def _drawer(key: jax.Array, mask: jax.Array, batch: int) -> Callable[[Any], jax.Array]:
    """Batches of a shuffled subset: ``draw(i)`` gives the i-th ``batch`` rows, wrapping around at the end."""
    order = jnp.argsort(jnp.where(mask, jax.random.uniform(key, mask.shape), jnp.inf))
    count = jnp.sum(mask, dtype=jnp.int32)
    return lambda i: order[(i * batch + jnp.arange(batch, dtype=jnp.int32)) % count]
