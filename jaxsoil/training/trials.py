"""The grid of trials: identity, keys, grouping, and the loop that runs a group through its epochs.

Trials with the same static configuration form a group; a group compiles once and runs in chunks that fit memory.
Each chunk is checkpointed while it runs and leaves one file of outcomes when it is done, so an interrupted study
goes on where it was and ends with the same bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsoil.data.splits import Split
from jaxsoil.errors import DataError
from jaxsoil.files import atomic_path
from jaxsoil.models.networks import Autoencoder, ModelConfig, parameter_count
from jaxsoil.training.checkpoints import Checkpoints
from jaxsoil.training.config import DeviceConfig, TrainConfig
from jaxsoil.training.devices import Spread, bytes_per_trial, chunk_sizes, make_mesh, spread
from jaxsoil.training.fit import Data, TrialArrays, TrialState, make_fit


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
    """

    name: str
    model: ModelConfig
    split: Split
    seed: int
    validation: np.ndarray
    example: int

    @property
    def id(self) -> str:
        """Name of the trial; its random key depends on nothing else, so adding trials changes no other."""
        return f"{self.name}/{self.split.name}/{self.seed}"


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """What a finished trial leaves: predictions for all n rows, its history, whether it stayed finite.

    ``soc`` (n,) mass fraction; ``rmse`` (n,) reconstruction error of each spectrum as a fraction (NaN without a
    decoder); ``example`` (M,) reconstruction of the trial's example row; ``history`` (epochs, 2).
    """

    soc: np.ndarray
    rmse: np.ndarray
    example: np.ndarray
    history: np.ndarray
    alive: bool


def stable_hash(text: str) -> int:
    """The first 32 bits of the SHA-256 of ``text``: the same on every machine and in every process."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def trial_key(root: int, trial_id: str) -> jax.Array:
    """Random key of a trial: the root key folded with a stable hash of the trial's id."""
    return jax.random.fold_in(jax.random.key(root), stable_hash(trial_id))


def validation_rows(split: Split, groups: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Picks whole groups of training rows to watch convergence, at most ``share`` of the training rows.

    Args:
      split: the split whose training rows are used; held-out rows are never picked.
      groups: (n,) group of each row (sample, pedon ...); a group is never parted.
      share: largest share of the training rows, 0 to below 1.
      seed: draw number; the draw also depends on the split's name.

    Returns:
      Mask (n,), all False for a share of 0.
    """
    mask = np.zeros(split.train.size, dtype=bool)
    most = int(share * split.train.sum())
    names, codes = np.unique(groups[split.train], return_inverse=True)
    generator = np.random.default_rng([seed, stable_hash(split.name)])
    sizes = np.bincount(codes)
    rows = np.nonzero(split.train)[0]
    for group in generator.permutation(names.size):
        if mask.sum() + sizes[group] <= most:
            mask[rows[codes == group]] = True
    return mask


def converged(history: np.ndarray, tolerance: float) -> bool:
    """Whether the watched loss has stopped falling.

    It has when its mean over the last fifth of the epochs is less than ``tolerance`` (relative) under its mean
    over the fifth before; means, because the loss of single epochs is noisy.

    Args:
      history: (epochs, 2) training and watched loss; fewer than 10 epochs never count as converged.
      tolerance: relative amount, such as 0.05.
    """
    watched = np.asarray(history, dtype=np.float64)[:, 1]
    fifth = watched.size // 5
    if watched.size < 10 or not np.isfinite(watched).all():
        return False
    return bool(watched[-fifth:].mean() >= (1.0 - tolerance) * watched[-2 * fifth : -fifth].mean())


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """Trials that share one compiled program."""

    model: ModelConfig
    trials: tuple[Trial, ...]
    parameters: int
    chunks: int
    size: int

    def chunk(self, number: int) -> tuple[Trial, ...]:
        """The trials of one chunk; fewer in the last one."""
        return self.trials[number * self.size : (number + 1) * self.size]

    @property
    def label(self) -> str:
        """Name of the group's files."""
        return self.trials[0].name


def make_groups(
    trials: Sequence[Trial], train: TrainConfig, devices: DeviceConfig, components: int, bands: int
) -> list[Group]:
    """Groups trials by static configuration and cuts each group into chunks that fit the devices' memory."""
    mesh = make_mesh(devices)
    groups = []
    for model in dict.fromkeys(trial.model for trial in trials):
        members = tuple(trial for trial in trials if trial.model == model)
        count = network_parameters(model, components, bands)
        layers = (1 + model.hidden) * (1 if model.decoder == "none" else 2)
        size = bytes_per_trial(
            count, bands, model.width, layers, train.batch + train.unlabelled_batch, train.keep == "best"
        )
        chunks, width = chunk_sizes(len(members), size, devices, mesh)
        groups.append(Group(model, members, count, chunks, width))
    return groups


def network_parameters(model: ModelConfig, components: int, bands: int) -> int:
    """Trainable parameters of a network, counted from its shapes."""
    network = Autoencoder(components, bands, model)
    shapes = jax.eval_shape(
        lambda key: network.init(key, jnp.zeros((2, bands), jnp.float32), train=False), jax.random.key(0)
    )
    return parameter_count(shapes["params"])


class GroupRun:
    """Runs the chunks of one group and keeps their outcomes in ``folder``.

    Args:
      group: the trials.
      data: spectra ``(n, M)`` as reflectance and SOC ``(n,)`` as a mass fraction, host arrays.
      components: endmembers K, the last one SOC.
      train, devices: settings.
      folder: run folder; checkpoints and outcomes go below it.
    """

    def __init__(
        self,
        group: Group,
        data: Data,
        components: int,
        train: TrainConfig,
        devices: DeviceConfig,
        folder: Path,
    ) -> None:
        self.group, self.train, self.folder = group, train, folder
        mesh = make_mesh(devices)
        bands = data.spectra.shape[1]
        # The validation capacity depends on the library only, never on the other trials of the group.
        most = max(int(trial.validation.sum()) for trial in group.trials)
        capacity = 0 if most == 0 else int(train.validation_share * data.spectra.shape[0])
        fit = make_fit(Autoencoder(components, bands, group.model), train, capacity, mesh)
        self.spread: Spread = spread(fit, mesh, devices.method)
        self.data = self.spread.replicate(jax.tree.map(jnp.asarray, data))
        self._compiled: dict[Any, Any] = {}
        self.compile_seconds = 0.0

    def outcomes(self, on_epochs: Callable[[Trial, int, int, np.ndarray], None]) -> Iterator[tuple[Trial, Outcome]]:
        """Yields each trial with its outcome, running what is not yet done.

        Args:
          on_epochs: called after each segment for each trial with (trial, first epoch, epoch after, history).
        """
        for number in range(self.group.chunks):
            trials = self.group.chunk(number)
            path = self.folder / "trials" / f"{self.group.label}-{number}.npz"
            if not path.exists():
                self._run_chunk(number, trials, path, on_epochs)
            yield from zip(trials, _read_outcomes(path, trials), strict=True)

    def _run_chunk(self, number: int, trials: tuple[Trial, ...], path: Path, on_epochs: Callable[..., None]) -> None:
        arrays = self.spread.place(self._arrays(trials))
        steps = jnp.int32(max(steps_per_epoch(trial, self.train) for trial in trials))
        state = self._timed(self.spread.init, arrays)
        checkpoints = Checkpoints(self.folder / "checkpoints" / f"{self.group.label}-{number}")
        with checkpoints:
            done = checkpoints.latest or 0
            if done:
                state = checkpoints.restore(state)
            while done < self.train.epochs:
                # Calls of any length run the same program, so progress can be shown between checkpoints.
                stride, every = -(-self.train.epochs // 20), self.train.checkpoint_every
                until = min(done + stride, (done // every + 1) * every, self.train.epochs)
                bounds = (jnp.int32(done), jnp.int32(until), steps)
                state = jax.block_until_ready(self._timed(self.spread.run, state, arrays, self.data, *bounds))
                if until < self.train.epochs and until % every == 0:
                    checkpoints.save(until, state)
                history = np.asarray(state.history)
                for i, trial in enumerate(trials):
                    on_epochs(trial, done, until, history[i])
                done = until
            self._write_outcomes(path, trials, state)
        checkpoints.remove()

    def _timed(self, function: Any, *arguments: Any) -> Any:
        """Calls a function, compiling it at its first call and counting that time apart."""
        if not hasattr(function, "lower"):
            return function(*arguments)
        if function not in self._compiled:
            started = time.perf_counter()
            self._compiled[function] = function.lower(*arguments).compile()
            self.compile_seconds += time.perf_counter() - started
        return self._compiled[function](*arguments)

    def _arrays(self, trials: tuple[Trial, ...]) -> TrialArrays:
        # A short last chunk is filled up with its last trial, so that it runs the same program as the others.
        padded = list(trials) + [trials[-1]] * (self.group.size - len(trials))
        stack = lambda values: jnp.asarray(np.stack(values))  # noqa: E731
        return TrialArrays(
            labelled=stack([t.split.train & ~t.validation for t in padded]),
            unlabelled=stack([t.split.unlabelled for t in padded]),
            validation=stack([t.validation for t in padded]),
            steps=jnp.asarray([steps_per_epoch(t, self.train) for t in padded], jnp.int32),
            lr=jnp.full(len(padded), self.train.lr, jnp.float32),
            key=jnp.stack([trial_key(self.train.seed, t.id) for t in padded]),
        )

    def _write_outcomes(self, path: Path, trials: tuple[Trial, ...], state: TrialState) -> None:
        soc, rmse = self._timed(self.spread.predict, state, self.data)
        count, bands = len(trials), self.data.spectra.shape[1]
        examples = np.full((count, bands), np.nan, np.float32)
        if self.spread.reconstruct is not None:
            rows = [t.example for t in trials] + [trials[-1].example] * (self.group.size - count)
            chosen = self.spread.place(self.data.spectra[jnp.asarray(rows)][:, None, :])
            examples = np.asarray(self._timed(self.spread.reconstruct, state, chosen))[:count, 0]
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez(
                file,
                ids=np.array([t.id for t in trials]),
                soc=np.asarray(soc)[:count],
                rmse=np.asarray(rmse)[:count],
                example=examples,
                history=np.asarray(state.history)[:count],
                alive=np.asarray(state.alive)[:count],
            )


def steps_per_epoch(trial: Trial, train: TrainConfig) -> int:
    """Steps of one epoch: the labelled rows once, or the unlabelled ones where they are more; last batch dropped."""
    labelled = int((trial.split.train & ~trial.validation).sum()) // train.batch
    unlabelled = 0
    if train.unlabelled_batch and trial.model.decoder != "none":
        unlabelled = int(trial.split.unlabelled.sum()) // train.unlabelled_batch
    return max(labelled, unlabelled)


def _read_outcomes(path: Path, trials: Sequence[Trial]) -> list[Outcome]:
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    if list(arrays["ids"]) != [trial.id for trial in trials]:
        raise DataError(
            "the outcomes belong to other trials",
            source=path,
            remedy="Resume with the configuration the folder was made with, or start again with --overwrite.",
        )
    return [
        Outcome(
            soc=arrays["soc"][i],
            rmse=arrays["rmse"][i],
            example=arrays["example"][i],
            history=arrays["history"][i],
            alive=bool(arrays["alive"][i]),
        )
        for i in range(len(trials))
    ]
