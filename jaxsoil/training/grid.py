"""The grid of trials: identity, keys, and the groups that share one compiled program.

Trials with the same static configuration form a group; a group compiles once and runs in chunks that fit memory.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsoil.data.splits import Split
from jaxsoil.models.autoencoder import Autoencoder, Minerals, ModelConfig, evaluate, parameter_count
from jaxsoil.training.batches import LabelledBatches
from jaxsoil.training.config import DeviceConfig, TrainConfig
from jaxsoil.training.devices import Layout, bytes_per_trial, chunk_sizes, make_mesh, shard
from jaxsoil.training.step import Loss, State, Training, kept

PREDICT_ROWS = 512
"""Rows per forward pass when predicting; bounds the memory of a prediction over a large library."""


@dataclasses.dataclass(frozen=True, eq=False)
class Trial:
    """One training: a network, a split, a seed.

    Args:
      name: the network's name in results, such as "ann".
      model: its static configuration.
      split: rows that train and test.
      seed: replicate number; part of the trial's key (:attr:`draw`).
      validation: (n,) rows taken out of ``split.train`` to watch convergence.
      example: row whose reconstruction is kept for the report.
      start: (f_soc (M,), (rho r)_SOC in g cm-3 nm) from which the mixing decoder starts, estimated on the training
        rows; None starts as published.
      loss: form of the study's loss.
      variant: what tells it from other trials of its id, such as "snv-log"; "" where there is one. Part of the names of
        files and not of the random key: the variants of a trial share start and order.
      train: settings of its own where trials of several runs share a program, which differ from the others' in fields
        of :func:`jaxsoil.training.config.per_trial`; None: those of its group.
    """

    name: str
    model: ModelConfig
    split: Split
    seed: int
    validation: np.ndarray
    example: int
    start: tuple[np.ndarray, float] | None = None
    loss: str = "linear"
    variant: str = ""
    train: TrainConfig | None = None

    @property
    def id(self) -> str:
        """Name of the trial."""
        return f"{self.name}/{self.split.name}/{self.seed}"

    @property
    def draw(self) -> str:
        """Names its random key, which depends on nothing else, so adding trials changes no other.

        The network is no part of it: networks on one split and seed share the encoder's first weights, as far as
        their shapes are the same, and the order of the rows.
        """
        return f"{self.split.name}/{self.seed}"


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """Trials that share one compiled program.

    Args:
      model: their static configuration.
      trials: all of them.
      components: endmembers K.
      parameters: trainable parameters of one trial.
      chunks: programs run one after the other.
      size: trials in each of them.
      trial_bytes: counted memory of one trial, from which ``size`` follows.
    """

    model: ModelConfig
    trials: tuple[Trial, ...]
    components: int
    parameters: int
    chunks: int
    size: int
    trial_bytes: int

    def chunk(self, number: int) -> tuple[Trial, ...]:
        """The trials of one chunk; fewer in the last one."""
        return self.trials[number * self.size : (number + 1) * self.size]

    @property
    def label(self) -> str:
        """Name of the group's files."""
        return "-".join(filter(None, (self.trials[0].name, self.trials[0].variant)))


def make_groups(
    trials: Sequence[Trial], train: TrainConfig, devices: DeviceConfig, components: int, bands: int, minerals: int = 0
) -> list[Group]:
    """Groups trials by static configuration and cuts each group into chunks that fit the devices' memory.

    Args:
      trials: all trials of a study.
      train, devices: settings.
      components: endmembers K of the networks without mixing decoder.
      bands: bands M.
      minerals: minerals of the mixing decoder, whose networks have K = minerals + 1.
    """
    mesh = make_mesh(devices)
    members: dict[tuple[str, str, ModelConfig], list[Trial]] = {}
    for trial in trials:
        members.setdefault((trial.name, trial.variant, trial.model), []).append(trial)
    groups = []
    for (_, _, model), chosen in members.items():
        latent = minerals + 1 if model.physical else components
        count = network_parameters(model, latent, bands)
        layers = (1 + model.hidden) * (2 if model.decoder == "ann" else 1)
        batch = train.batch + train.unlabelled_batch
        size = bytes_per_trial(count, bands, model.width, layers, batch, train.keep == "best")
        chunks, width = chunk_sizes(len(chosen), size, devices, mesh)
        groups.append(Group(model, tuple(chosen), latent, count, chunks, width, size))
    return groups


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
    initial = shard(functions.initial, (0, 0, None), layout)
    predict = shard(functions.predict, (0, None, None), layout)
    return initial, predict, shard(functions.reconstruct, (0, 0, None), layout)


def network_parameters(model: ModelConfig, components: int, bands: int) -> int:
    """Trainable parameters of a network, counted from its shapes."""
    network = Autoencoder(components, bands, model)
    minerals = Minerals(jnp.zeros((components - 1, bands)), jnp.ones(components - 1)) if model.physical else None
    params, _ = jax.eval_shape(NetworkFunctions(network).initial, jax.random.key(0), None, minerals)
    return parameter_count(params)


def steps_per_epoch(trial: Trial, train: TrainConfig) -> int:
    """Steps of one epoch: the labelled rows once, or by ``epoch_of`` all spectra where they are more batches.

    An incomplete last batch is dropped. A network without a decoder takes no spectra without a label, but as many
    steps as the others, so that they compare.
    """
    rows = int((trial.split.train & ~trial.validation).sum())
    labelled = max(rows // train.batch, int(train.wrap))
    if train.epoch_of == "labelled" or not train.unlabelled_batch:
        return labelled
    return max(labelled, (rows + int(trial.split.unlabelled.sum())) // train.unlabelled_batch)


def make_training(
    network: Autoencoder, train: TrainConfig, loss: Loss, capacity: int, mesh: Any = None, jit_per_step: bool = False
) -> Training:
    """The static part of the trials of a group.

    Args:
      network: the network.
      train: settings; those of :func:`jaxsoil.training.config.per_trial`, which each trial carries, are not read.
      loss: the study's.
      capacity: upper bound on the validation rows of any trial; 0: the training loss stands in for theirs.
      mesh: devices with the axes "trial" and "batch"; given, each batch lies over "batch".
      jit_per_step: a program for each step.
    """
    unlabelled = train.unlabelled_batch if network.config.decoder != "none" else 0
    return Training(
        loss,
        LabelledBatches(train.batch, unlabelled, capacity, ("soc",), mesh),
        train.epochs,
        train.patience,
        train.keep,
        train.b1,
        train.b2,
        jit_per_step=jit_per_step,
    )
