"""Runs a group of trials chunk by chunk: checkpointed while it runs, one file of outcomes when it is done.

An interrupted study goes on where it was and ends with the same bytes.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsoil.models.autoencoder import Autoencoder
from jaxsoil.runs.keys import key_of
from jaxsoil.runs.pieces import Piece, Pieces
from jaxsoil.training.checkpoints import Checkpoints
from jaxsoil.training.config import DeviceConfig, TrainConfig
from jaxsoil.training.devices import Spread, make_mesh, spread
from jaxsoil.training.fit import Data, TrialArrays, TrialState, make_fit
from jaxsoil.training.grid import Group, Trial, steps_per_epoch

OnEpochs = Callable[[Trial, int, int, np.ndarray], None]
Measure = Callable[[Trial, np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """What a finished trial leaves: predictions for all n rows, its history, whether it stayed finite.

    ``soc`` (n,) mass fraction; ``rmse`` (n,) reconstruction error of each spectrum as a fraction (NaN without a
    decoder); ``latent`` (n,) what the runner's ``measure`` made of the mass fractions, ``abundance`` (K,) what its
    ``score`` did; ``example`` (M,) reconstruction of the trial's example row; ``f_soc`` (M,) and ``soc_rho_r``
    (g cm-3 nm) of a mixing decoder, else NaN; ``history`` (epochs, 2).
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


class GroupRun:
    """Runs the chunks of one group and keeps their outcomes in ``folder``.

    Args:
      group: the trials.
      data: spectra ``(n, M)`` as reflectance, SOC ``(n,)`` as a mass fraction, minerals; host arrays.
      train, devices: settings.
      folder: run folder; checkpoints, states and outcomes go below it.
      stage: name of this stage, part of its files' names.
      previous: stage whose trained parameters these trials start from (fine-tuning); None starts anew.
      keep_states: keep the trained parameters for a later stage.
      measure: makes one number per row of a trial's mass fractions ``(n, K)``, such as a latent distance.
      score: makes one number per endmember of them, such as the error of its abundance.
    """

    def __init__(
        self,
        group: Group,
        data: Data,
        train: TrainConfig,
        devices: DeviceConfig,
        folder: Path,
        *,
        stage: str = "",
        previous: str | None = None,
        keep_states: bool = False,
        measure: Measure | None = None,
        score: Measure | None = None,
    ) -> None:
        self.group, self.train, self.folder = group, train, folder
        self.pieces = Pieces(folder / "trials")
        self.stage, self.previous, self.keep_states = stage, previous, keep_states
        self.measure, self.score = measure, score
        mesh = make_mesh(devices)
        # The validation capacity depends on the library only, never on the other trials of the group.
        most = max(int(trial.validation.sum()) for trial in group.trials)
        capacity = 0 if most == 0 else int(train.validation_share * data.spectra.shape[0])
        network = Autoencoder(group.components, data.spectra.shape[1], group.model)
        if not group.model.physical:
            data = dataclasses.replace(data, minerals=None)
        self.spread: Spread = spread(make_fit(network, train, capacity, mesh), mesh, devices.method)
        # XLA's CPU backend runs convolutions inside a loop many times slower than in a program of their own.
        self.stepped = group.model.encoder == "cnn" and mesh.devices.flat[0].platform == "cpu"
        self.data = self.spread.replicate(jax.tree.map(jnp.asarray, data))
        self._compiled: dict[Any, Any] = {}
        self.compile_seconds = 0.0

    def outcomes(self, on_epochs: OnEpochs) -> Iterator[tuple[Trial, Outcome]]:
        """Yields each trial with its outcome, running what is not yet done.

        Args:
          on_epochs: called after each segment for each trial with (trial, first epoch, epoch after, history).
        """
        for number in range(self.group.chunks):
            trials = self.group.chunk(number)
            if not self.pieces.exists(self._name(self.stage, number)):
                self._run_chunk(number, trials, on_epochs)
            piece = self.pieces.read(self._name(self.stage, number), identity=[trial.id for trial in trials])
            yield from zip(trials, _outcomes(piece, len(trials)), strict=True)

    def _name(self, stage: str, number: int) -> str:
        return f"{stage}-{self.group.label}-{number}".lstrip("-")

    def _run_chunk(self, number: int, trials: tuple[Trial, ...], on_epochs: OnEpochs) -> None:
        began = time.perf_counter()
        arrays = self.spread.place(self.arrays(trials))
        steps = max(steps_per_epoch(trial, self.train) for trial in trials)
        state = self._initial(number, arrays)
        checkpoints = Checkpoints(self.folder / "checkpoints" / self._name(self.stage, number))
        with checkpoints:
            done = checkpoints.latest or 0
            if done:
                state = checkpoints.restore(state)
            while done < self.train.epochs and not self._at_rest(state):
                # Calls of any length run the same program, so progress can be shown between checkpoints.
                stride, every = -(-self.train.epochs // 20), self.train.checkpoint_every
                until = min(done + stride, (done // every + 1) * every, self.train.epochs)
                state = jax.block_until_ready(self.train_epochs(state, arrays, done, until, steps))
                if until < self.train.epochs and until % every == 0:
                    checkpoints.save(until, state)
                history = np.asarray(state.history)
                for i, trial in enumerate(trials):
                    on_epochs(trial, done, until, history[i])
                done = until
            if self.keep_states:
                self._save_state(number, state)
            self._write_outcomes(number, trials, state, time.perf_counter() - began)
        checkpoints.remove()

    def train_epochs(self, state: TrialState, arrays: TrialArrays, start: int, stop: int, steps: int) -> TrialState:
        """Trains the epochs ``start..stop`` of a chunk, ``steps`` steps each: in one program or step by step."""
        if not self.stepped:
            bounds = (jnp.int32(start), jnp.int32(stop), jnp.int32(steps))
            return self.timed(self.spread.run, state, arrays, self.data, *bounds)
        for epoch in range(start, stop):
            total = self.spread.place(jnp.zeros(self.group.size, jnp.float32))
            for i in range(steps):
                state, total = self.timed(
                    self.spread.step, state, total, arrays, self.data, jnp.int32(epoch), jnp.int32(i)
                )
            state = self.timed(self.spread.close, state, total, arrays, self.data, jnp.int32(epoch))
        return state

    def _at_rest(self, state: TrialState) -> bool:
        """Whether every trial of the chunk has converged by patience or diverged."""
        if not self.train.patience:
            return False
        return bool(np.all((np.asarray(state.waited) >= self.train.patience) | ~np.asarray(state.alive)))

    def _initial(self, number: int, arrays: TrialArrays) -> TrialState:
        state = self.timed(self.spread.init, arrays, self.data)
        if self.previous is None:
            return state
        with Checkpoints(self.folder / "states" / self._name(self.previous, number)) as states:
            params, stats = states.restore((state.params, state.stats))
        return self.timed(self.spread.restart, params, stats)

    def _save_state(self, number: int, state: TrialState) -> None:
        kept = state.best if self.train.keep == "best" else (state.params, state.stats)
        with Checkpoints(self.folder / "states" / self._name(self.stage, number)) as states:
            if states.latest is None:
                states.save(self.train.epochs, kept)

    def timed(self, function: Any, *arguments: Any) -> Any:
        """Calls a function, compiling it at its first call and counting that time apart."""
        if not hasattr(function, "lower"):
            return function(*arguments)
        if function not in self._compiled:
            started = time.perf_counter()
            self._compiled[function] = function.lower(*arguments).compile()
            self.compile_seconds += time.perf_counter() - started
        return self._compiled[function](*arguments)

    def arrays(self, trials: tuple[Trial, ...]) -> TrialArrays:
        """What the trials of a chunk own, stacked; a short chunk is filled up to the group's size."""
        # A short last chunk is filled up with its last trial, so that it runs the same program as the others.
        padded = list(trials) + [trials[-1]] * (self.group.size - len(trials))
        stack = lambda values: jnp.asarray(np.stack(values))  # noqa: E731
        start = None
        if padded[0].start is not None:
            starts = [t.start for t in padded if t.start is not None]
            start = {
                "f_soc": stack([np.asarray(f, np.float32) for f, _ in starts]),
                "soc_rho_r": jnp.asarray([c for _, c in starts], jnp.float32),
            }
        return TrialArrays(
            labelled=stack([t.split.train & ~t.validation for t in padded]),
            unlabelled=stack([t.split.unlabelled for t in padded]),
            validation=stack([t.validation for t in padded]),
            steps=jnp.asarray([steps_per_epoch(t, self.train) for t in padded], jnp.int32),
            lr=jnp.full(len(padded), self.train.lr, jnp.float32),
            key=jnp.stack([key_of(self.train.seed, t.id) for t in padded]),
            start=start,
        )

    def _write_outcomes(self, number: int, trials: tuple[Trial, ...], state: TrialState, seconds: float) -> None:
        mass, rmse = (np.asarray(x) for x in self.timed(self.spread.predict, state, self.data))
        count = len(trials)
        latent, abundance = np.full(mass.shape[:2], np.nan), np.full(mass.shape[::2], np.nan)
        alive = np.asarray(state.alive)[:count]
        for made, function in ((latent, self.measure), (abundance, self.score)):
            for i, trial in enumerate(trials):
                if alive[i] and function is not None:
                    made[i] = function(trial, mass[i])
        f_soc, soc_rho_r = self._decoder(state)
        arrays = {
            "soc": mass[:count, :, -1],
            "rmse": rmse[:count],
            "latent": latent[:count],
            "abundance": abundance[:count],
            "example": self._examples(trials, state)[:count],
            "f_soc": f_soc[:count],
            "soc_rho_r": soc_rho_r[:count],
            "history": np.asarray(state.history)[:count],
            "alive": alive,
        }
        piece = Piece(arrays=arrays, seconds=seconds)
        self.pieces.write(self._name(self.stage, number), piece, identity=[trial.id for trial in trials])

    def _decoder(self, state: TrialState) -> tuple[np.ndarray, np.ndarray]:
        params = (state.best[0] if self.train.keep == "best" else state.params).get("decoder", {})
        bands = self.data.spectra.shape[1]
        f_soc = params.get("f_soc", np.full((self.group.size, bands), np.nan, np.float32))
        soc_rho_r = params.get("soc_rho_r", np.full(self.group.size, np.nan, np.float32))
        return np.asarray(f_soc), np.asarray(soc_rho_r)

    def _examples(self, trials: tuple[Trial, ...], state: TrialState) -> np.ndarray:
        if self.spread.reconstruct is None:
            return np.full((self.group.size, self.data.spectra.shape[1]), np.nan, np.float32)
        rows = [t.example for t in trials] + [trials[-1].example] * (self.group.size - len(trials))
        chosen = self.spread.place(self.data.spectra[jnp.asarray(rows)][:, None, :])
        return np.asarray(self.timed(self.spread.reconstruct, state, chosen, self.data))[:, 0]


def _outcomes(piece: Piece, count: int) -> list[Outcome]:
    rows: dict[str, Any] = {name: list(values) for name, values in piece.arrays.items()}
    for name in ("soc_rho_r", "alive"):
        rows[name] = piece.arrays[name].tolist()
    return [Outcome(**{name: values[i] for name, values in rows.items()}) for i in range(count)]
