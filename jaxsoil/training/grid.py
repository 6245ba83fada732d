"""The grid of trials: identity, keys, convergence, and the groups that share one compiled program.

Trials with the same static configuration form a group; a group compiles once and runs in chunks that fit memory
(``runner.py`` runs them).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxsoil.data.splits import Split
from jaxsoil.models.autoencoder import Autoencoder, Minerals, ModelConfig, parameter_count
from jaxsoil.training.config import DeviceConfig, TrainConfig
from jaxsoil.training.devices import bytes_per_trial, chunk_sizes, make_mesh


@dataclasses.dataclass(frozen=True, eq=False)
class Trial:
    """One training: a network, a split, a seed.

    Args:
      name: the network's name in results, such as "ann".
      model: its static configuration.
      split: rows that train and test.
      seed: replicate number; part of the trial's key.
      validation: (n,) rows taken out of ``split.train`` to watch convergence.
      example: row whose reconstruction is kept for the report.
      start: (f_soc (M,), (rho r)_SOC in g cm-3 nm) from which the mixing decoder starts, estimated on the training
        rows; None starts as published.
    """

    name: str
    model: ModelConfig
    split: Split
    seed: int
    validation: np.ndarray
    example: int
    start: tuple[np.ndarray, float] | None = None

    @property
    def id(self) -> str:
        """Name of the trial; its random key depends on nothing else, so adding trials changes no other."""
        return f"{self.name}/{self.split.name}/{self.seed}"


def converged(history: np.ndarray, tolerance: float, patience: int = 0) -> bool:
    """Whether the watched loss has stopped falling.

    With ``patience`` it has when the training stopped by it, before its last epoch. Without, it has when its mean
    over the last fifth of the epochs is less than ``tolerance`` (relative) under its mean over the fifth before;
    means, because the loss of single epochs is noisy.

    Args:
      history: (epochs, 2) training and watched loss, NaN after a stop; fewer than 10 epochs never count as converged.
      tolerance: relative amount, such as 0.05.
      patience: epochs without a new lowest watched loss after which training stops; 0 for none.
    """
    watched = np.asarray(history, dtype=np.float64)[:, 1]
    done = np.isfinite(watched)
    if patience:
        last = watched[done][-patience:]
        return bool(done.sum() > patience and last.min() >= watched[done][:-patience].min())
    fifth = watched.size // 5
    if watched.size < 10 or not done.all():
        return False
    return bool(watched[-fifth:].mean() >= (1.0 - tolerance) * watched[-2 * fifth : -fifth].mean())


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
        return self.trials[0].name


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
    members: dict[tuple[str, ModelConfig], list[Trial]] = {}
    for trial in trials:
        members.setdefault((trial.name, trial.model), []).append(trial)
    groups = []
    for (_, model), chosen in members.items():
        latent = minerals + 1 if model.physical else components
        count = network_parameters(model, latent, bands)
        layers = (1 + model.hidden) * (2 if model.decoder == "ann" else 1)
        batch = train.batch + train.unlabelled_batch
        size = bytes_per_trial(count, bands, model.width, layers, batch, train.keep == "best")
        chunks, width = chunk_sizes(len(chosen), size, devices, mesh)
        groups.append(Group(model, tuple(chosen), latent, count, chunks, width, size))
    return groups


def network_parameters(model: ModelConfig, components: int, bands: int) -> int:
    """Trainable parameters of a network, counted from its shapes."""
    network = Autoencoder(components, bands, model)
    minerals = Minerals(jnp.zeros((components - 1, bands)), jnp.ones(components - 1)) if model.physical else None
    shapes = jax.eval_shape(
        lambda key: network.init(key, jnp.zeros((2, bands), jnp.float32), minerals, train=False), jax.random.key(0)
    )
    return parameter_count(shapes["params"])


def steps_per_epoch(trial: Trial, train: TrainConfig) -> int:
    """Steps of one epoch: the labelled rows once, or the unlabelled ones where they are more; last batch dropped.

    A network without a decoder takes no unlabelled rows, but as many steps as the others, so that they compare.
    """
    rows = int((trial.split.train & ~trial.validation).sum())
    labelled = max(rows // train.batch, 1 if train.wrap else 0)
    unlabelled = 0
    if train.unlabelled_batch:
        unlabelled = int(trial.split.unlabelled.sum()) // train.unlabelled_batch
    return max(labelled, unlabelled)
