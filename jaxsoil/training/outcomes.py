"""The network of a trial as functions over trials, and what the trials of a finished chunk leave in its file."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsoil.models.autoencoder import Autoencoder, evaluate
from jaxsoil.training.devices import Layout, shard
from jaxsoil.training.step import State, kept

PREDICT_ROWS = 512
"""Rows per forward pass when predicting; bounds the memory of a prediction over a large library."""


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """What a finished trial leaves: predictions for all n rows, its history, whether it stayed finite.

    ``soc`` (n,) mass fraction; ``rmse`` (n,) reconstruction error of each spectrum as a fraction (NaN without a
    decoder); ``latent`` (n,) what the runner's ``measure`` made of the mass fractions, ``abundance`` (K,) what its
    ``score`` did; ``example`` (M,) reconstruction of the trial's example row; ``f_soc`` (M,) and ``soc_rho_r``
    (g cm-3 nm) of a mixing decoder, else NaN; ``history`` (epochs, 2) training and validation loss.
    """

    soc: np.ndarray
    rmse: np.ndarray
    latent: np.ndarray
    abundance: np.ndarray
    example: np.ndarray
    f_soc: np.ndarray
    soc_rho_r: float
    history: np.ndarray
    alive: bool


def losses(state: State) -> np.ndarray:
    """Training and validation loss of each epoch, (trials, epochs, 2), NaN where not reached."""
    return np.stack([np.asarray(state.history[name]) for name in ("loss", "validation_loss")], axis=-1)


@dataclasses.dataclass(frozen=True)
class NetworkFunctions:
    """Pure functions of one network, to be mapped over trials; those of equal networks are equal."""

    network: Autoencoder

    def initial(self, key: jax.Array, start: Any, minerals: Any) -> tuple[Any, Any]:
        """Parameters and statistics of an untrained network, its mixing decoder at ``start`` unless that is None."""
        zeros = jnp.zeros((2, self.network.bands), jnp.float32)
        variables = self.network.init(jax.random.fold_in(key, 0), zeros, minerals, train=False)
        params = dict(variables["params"])
        if self.network.config.physical and start is not None:
            params["decoder"] = {name: start[name] for name in params["decoder"]}
        return params, variables["batch_stats"]

    def predict(self, state: State, spectra: jax.Array, minerals: Any) -> tuple[jax.Array, jax.Array]:
        """Mass fractions (n, K) and reconstruction errors (n,), NaN without a decoder, of spectra (n, M)."""

        def row(x: jax.Array) -> tuple[jax.Array, jax.Array]:
            mass, rebuilt = self._evaluate(state, x[None], minerals)
            error = jnp.float32(jnp.nan) if rebuilt is None else jnp.sqrt(jnp.mean(jnp.square(rebuilt[0] - x)))
            return mass[0], error

        return jax.lax.map(row, spectra, batch_size=min(PREDICT_ROWS, spectra.shape[0]))

    def reconstruct(self, state: State, spectra: jax.Array, minerals: Any) -> jax.Array:
        """Reconstructions of spectra (r, M), NaN without a decoder."""
        rebuilt = self._evaluate(state, spectra, minerals)[1]
        return jnp.full_like(spectra, jnp.nan) if rebuilt is None else rebuilt

    def _evaluate(self, state: State, spectra: jax.Array, minerals: Any) -> tuple[jax.Array, jax.Array | None]:
        params, stats = kept(state)
        return evaluate(self.network, {"params": params, "batch_stats": stats}, spectra, minerals)


@functools.lru_cache(maxsize=64)
def over_trials(functions: NetworkFunctions, layout: Layout) -> tuple[Any, Any, Any]:
    """``initial`` of (keys, starts, minerals), ``predict`` and ``reconstruct`` of (states, spectra, minerals)."""
    axes = ((0, 0, None), (0, None, None), (0, 0, None))
    made = (functions.initial, functions.predict, functions.reconstruct)
    initial, predict, reconstruct = (shard(one, axis, layout) for one, axis in zip(made, axes, strict=True))
    return initial, predict, reconstruct


def decoder_of(state: State, bands: int) -> tuple[np.ndarray, np.ndarray]:
    """``f_soc`` (trials, bands) and ``soc_rho_r`` (trials,) of a mixing decoder, NaN of other networks."""
    params, trials = kept(state)[0].get("decoder", {}), np.size(state.alive)
    f_soc = params.get("f_soc", np.full((trials, bands), np.nan, np.float32))
    return np.asarray(f_soc), np.asarray(params.get("soc_rho_r", np.full(trials, np.nan, np.float32)))


def applied(function: Callable[..., Any] | None, trials: Sequence[Any], mass: np.ndarray, alive: Any, size: int) -> Any:
    """What ``function(trial, mass)`` makes of each trial that stayed finite, (trials, size), else NaN."""
    made = np.full((len(trials), size), np.nan)
    for i, trial in enumerate(trials):
        if alive[i] and function is not None:
            made[i] = function(trial, mass[i])
    return made


def as_outcomes(arrays: Mapping[str, np.ndarray]) -> list[Outcome]:
    """The outcomes of a chunk's trials from the fields of :class:`Outcome`, each with a leading axis of trials."""
    plain = {name: arrays[name].tolist() for name in ("soc_rho_r", "alive")}
    columns = {name: list(values) for name, values in arrays.items()} | plain
    return [Outcome(**{name: values[i] for name, values in columns.items()}) for i in range(len(arrays["alive"]))]
