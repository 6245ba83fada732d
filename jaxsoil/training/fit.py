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

from jaxsoil.models.autoencoder import Autoencoder, evaluate
from jaxsoil.studies.reconstruction.objectives import mineral_divergence, outside_unit_interval, soc_term, spectrum_term
from jaxsoil.training.config import TrainConfig

Leaf = Any
"""An array, or whatever a transformation of JAX puts in its place while it takes a tree apart."""

PREDICT_ROWS = 512
"""Rows per forward pass when predicting; bounds the memory of a prediction over a large library."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Data:
    """What all trials share, once on each device.

    ``spectra`` (n, M) float32 reflectance; ``soc`` (n,) float32 mass fraction, 0 where there is no label;
    ``minerals``: constants of the mixing decoder, None where no network has one.
    """

    spectra: Leaf
    soc: Leaf
    minerals: Leaf = None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrialArrays:
    """What one trial owns: disjoint row masks ``(n,)``, the number of steps in its epoch, its learning rate, its key.

    ``labelled`` rows train both terms of the loss, ``unlabelled`` rows the spectrum term, ``validation`` rows
    only watch convergence. Rows in none of them are not seen. ``start`` holds "f_soc" (M,) and "soc_rho_r" ()
    where the mixing decoder does not start as published, else None.
    """

    labelled: Leaf
    unlabelled: Leaf
    validation: Leaf
    steps: Leaf
    lr: Leaf
    key: Leaf
    start: Leaf = None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrialState:
    """Everything that changes while a trial runs, and so everything that a checkpoint holds.

    ``history`` is (epochs, 2): mean training loss and watched loss of each epoch, NaN where not reached.
    ``waited`` counts the epochs since the lowest watched loss; with ``patience`` a trial that waited so long rests.
    ``alive`` turns False at the first loss or gradient that is not finite; the state then stays as it was.
    """

    params: Leaf
    stats: Leaf
    moments: Leaf
    best: Leaf
    best_loss: Leaf
    waited: Leaf
    alive: Leaf
    history: Leaf


@dataclasses.dataclass(frozen=True)
class Fit:
    """The pure functions of one group of trials, each for a single trial (to be mapped over trials).

    ``init(trial, data) -> state``; ``restart(params, stats) -> state`` goes on from trained parameters with a new
    optimiser; ``run(state, trial, data, start, stop, steps) -> state`` trains epochs ``start..stop`` with at most
    ``steps`` steps each; ``step(state, total, trial, data, epoch, i) -> (state, total)`` and
    ``close(state, total, trial, data, epoch) -> state`` do the same one step at a time;
    ``predict(state, data) -> (mass (n, K), rmse (n,))``; ``reconstruct(state, spectra, data) -> (rows, M)``, or None
    without a decoder.
    """

    init: Callable[..., TrialState]
    restart: Callable[..., TrialState]
    run: Callable[..., TrialState]
    step: Callable[..., tuple[TrialState, jax.Array]]
    close: Callable[..., TrialState]
    predict: Callable[..., tuple[jax.Array, jax.Array]]
    reconstruct: Callable[..., Any] | None


def make_fit(model: Autoencoder, config: TrainConfig, validation_rows: int, mesh: Mesh | None = None) -> Fit:
    """Builds the pure functions of a trial.

    Args:
      model: the network; its shape is static.
      config: the training; everything but ``lr`` (taken from the trial) is static.
      validation_rows: upper bound on the validation rows of any trial of the group; 0 watches the training loss.
      mesh: devices with the axes "trial" and "batch"; given, each batch is spread over "batch".
    """
    adam = optax.scale_by_adam(b1=config.b1, b2=config.b2)
    keep_best = config.keep == "best"
    stored = config.batch_norm == "stored"

    def init(trial: TrialArrays, data: Data) -> TrialState:
        key = jax.random.fold_in(trial.key, 0)
        variables = model.init(key, jnp.zeros((2, model.bands), jnp.float32), data.minerals, train=False)
        params = dict(variables["params"])
        if model.config.physical and trial.start is not None:
            params["decoder"] = {name: trial.start[name] for name in params["decoder"]}
        return restart(params, variables["batch_stats"])

    def restart(params: Any, stats: Any) -> TrialState:
        return TrialState(
            params=params,
            stats=stats,
            moments=adam.init(params),
            best=(params, stats) if keep_best else None,
            best_loss=jnp.float32(jnp.inf),
            waited=jnp.int32(0),
            alive=jnp.bool_(True),
            history=jnp.full((config.epochs, 2), jnp.nan, jnp.float32),
        )

    def spread(x: jax.Array) -> jax.Array:
        if mesh is None or mesh.shape["batch"] == 1:
            return x
        return jax.lax.with_sharding_constraint(x, NamedSharding(mesh, PartitionSpec("batch")))

    def objective(params: Any, stats: Any, x: jax.Array, soc: jax.Array, data: Data) -> tuple[jax.Array, Any]:
        variables = {"params": params, "batch_stats": stats}
        (mass, rebuilt), updated = model.apply(
            variables, x, data.minerals, train=not stored, mutable=[] if stored else ["batch_stats"]
        )
        # The labelled rows come first in the batch; the spectrum term averages over all of them (Eq. 1, N' != N).
        loss = soc_term(soc, mass[: soc.shape[0], -1], config.sigma_soc)
        if rebuilt is not None:
            loss = loss + spectrum_term(x, rebuilt, config.sigma_reflectance)
        if model.config.physical and config.mineral_kl:
            loss = loss + config.mineral_kl * mineral_divergence(mass, data.minerals.shares)
        if model.config.physical:
            loss = loss * (1.0 + outside_unit_interval(params["decoder"]["f_soc"]))
        return loss, stats if stored else updated["batch_stats"]

    def watch(params: Any, stats: Any, trial: TrialArrays, data: Data) -> jax.Array:
        rows = jnp.argsort(~trial.validation, stable=True)[:validation_rows]
        weight = trial.validation[rows].astype(jnp.float32)
        mean = lambda values: jnp.sum(weight * values) / jnp.sum(weight)  # noqa: E731
        x, soc = data.spectra[rows], data.soc[rows]
        mass, rebuilt = evaluate(model, {"params": params, "batch_stats": stats}, x, data.minerals)
        loss = mean(jnp.square(mass[:, -1] - soc)) / config.sigma_soc**2
        if rebuilt is not None:
            loss = loss + mean(jnp.mean(jnp.square(rebuilt - x), axis=1)) / config.sigma_reflectance**2
        return loss

    def step(state: TrialState, rows: tuple[jax.Array, jax.Array | None], trial: TrialArrays, data: Data, live):
        labelled, unlabelled = rows
        taken = labelled if unlabelled is None else jnp.concatenate([labelled, unlabelled])
        x, soc = spread(data.spectra[taken]), data.soc[labelled]
        (loss, stats), grads = jax.value_and_grad(objective, has_aux=True)(state.params, state.stats, x, soc, data)
        finite = jnp.isfinite(loss) & jnp.isfinite(optax.tree.norm(grads))

        def move(_: None) -> tuple[Any, Any, Any]:
            # Optax raises a float to an integer power, which strict promotion (our tests) would refuse.
            with jax.numpy_dtype_promotion("standard"):
                updates, moments = adam.update(grads, state.moments)
            rate = config.decoder_lr if model.config.physical else 1.0
            return _moved(state.params, updates, trial.lr, rate), stats, moments

        # A branch, not a choice between two results: a trial that runs alone then writes its arrays in place.
        params, stats, moments = jax.lax.cond(
            live & state.alive & finite, move, lambda _: (state.params, state.stats, state.moments), None
        )
        alive = state.alive & (finite | ~live)
        state = dataclasses.replace(state, params=params, stats=stats, moments=moments, alive=alive)
        return state, jnp.where(live, loss, 0.0)

    def batches(trial: TrialArrays, number) -> Callable[[Any], tuple[jax.Array, jax.Array | None]]:
        keys = jax.random.split(jax.random.fold_in(trial.key, number + 1))
        draw = _drawer(keys[0], trial.labelled, config.batch)
        if not _mixed(config, model):
            return lambda i: (draw(i), None)
        extra = _drawer(keys[1], trial.unlabelled, config.unlabelled_batch)
        return lambda i: (draw(i), extra(i))

    def rests(state: TrialState) -> jax.Array:
        return (state.waited >= config.patience) & (config.patience > 0)

    def close(state: TrialState, total: jax.Array, trial: TrialArrays, data: Data, number) -> TrialState:
        resting = rests(state)
        trained = total / trial.steps.astype(jnp.float32)
        watched = watch(state.params, state.stats, trial, data) if validation_rows else trained
        losses = jnp.where(resting, state.history[number], jnp.stack([trained, watched]))
        better = state.alive & ~resting & (watched < state.best_loss)
        state = dataclasses.replace(
            state,
            history=state.history.at[number].set(losses),
            best_loss=jnp.where(better, watched, state.best_loss),
            waited=jnp.where(resting, state.waited, jnp.where(better, 0, state.waited + 1)),
        )
        if not keep_best:
            return state
        best = jax.tree.map(lambda n, o: jnp.where(better, n, o), (state.params, state.stats), state.best)
        return dataclasses.replace(state, best=best)

    def epoch(number, state: TrialState, trial: TrialArrays, data: Data, steps) -> TrialState:
        draw, active = batches(trial, number), ~rests(state)

        def body(i, carry):
            state, total = carry
            state, loss = step(state, draw(i), trial, data, (i < trial.steps) & active)
            return state, total + loss

        state, total = jax.lax.fori_loop(0, steps, body, (state, jnp.float32(0)))
        return close(state, total, trial, data, number)

    def one_step(state: TrialState, total: jax.Array, trial: TrialArrays, data: Data, number, i):
        live = (i < trial.steps) & ~rests(state)
        state, loss = step(state, batches(trial, number)(i), trial, data, live)
        return state, total + loss

    def run(state: TrialState, trial: TrialArrays, data: Data, start, stop, steps) -> TrialState:
        return jax.lax.fori_loop(start, stop, lambda e, s: epoch(e, s, trial, data, steps), state)

    def variables(state: TrialState) -> dict[str, Any]:
        params, stats = state.best if keep_best else (state.params, state.stats)
        return {"params": params, "batch_stats": stats}

    def predict(state: TrialState, data: Data) -> tuple[jax.Array, jax.Array]:
        def row(x: jax.Array) -> tuple[jax.Array, jax.Array]:
            mass, rebuilt = evaluate(model, variables(state), x[None], data.minerals)
            error = jnp.float32(jnp.nan) if rebuilt is None else jnp.sqrt(jnp.mean(jnp.square(rebuilt[0] - x)))
            return mass[0], error

        return jax.lax.map(row, data.spectra, batch_size=min(PREDICT_ROWS, data.spectra.shape[0]))

    def reconstruct(state: TrialState, spectra: jax.Array, data: Data) -> jax.Array | None:
        return evaluate(model, variables(state), spectra, data.minerals)[1]

    return Fit(init, restart, run, one_step, close, predict, None if model.config.decoder == "none" else reconstruct)


def _moved(params: Any, updates: Any, lr: jax.Array, decoder: float) -> Any:
    """Parameters after a step of Adam; the decoder's learning rate is ``decoder`` times the encoder's."""
    rates = {name: lr * (decoder if name == "decoder" else 1.0) for name in params}
    return {
        name: jax.tree.map(lambda p, u, rate=rates[name]: p - rate * u, params[name], updates[name]) for name in params
    }


def _mixed(config: TrainConfig, model: Autoencoder) -> bool:
    return config.unlabelled_batch > 0 and model.config.decoder != "none"


def _drawer(key: jax.Array, mask: jax.Array, batch: int) -> Callable[[Any], jax.Array]:
    """Batches of a shuffled subset: ``draw(i)`` gives the i-th ``batch`` rows, wrapping around at the end."""
    order = jnp.argsort(jnp.where(mask, jax.random.uniform(key, mask.shape), jnp.inf))
    count = jnp.sum(mask, dtype=jnp.int32)
    return lambda i: order[(i * batch + jnp.arange(batch, dtype=jnp.int32)) % count]
