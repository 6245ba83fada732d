"""How the trials of a group are run: chunks, one after the other or several at a time, and what each trial leaves.

A chunk keeps checkpoints while it runs and one file of outcomes when it is done: an interrupted study goes on where it
was and ends with the same bytes.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsoil.models.autoencoder import Autoencoder
from jaxsoil.runs import processes
from jaxsoil.runs.keys import key_of
from jaxsoil.runs.pieces import Piece, Pieces
from jaxsoil.training.checkpoints import Checkpoints
from jaxsoil.training.config import DeviceConfig, TrainConfig, program_of
from jaxsoil.training.devices import compile_seconds, make_mesh, matmul_precision, ways
from jaxsoil.training.grid import Group, NetworkFunctions, Trial, make_training, over_trials, steps_per_epoch
from jaxsoil.training.loop import CheckpointPolicy, Program, marks_of, run
from jaxsoil.training.step import Data, Loss, Member, State, kept
from jaxsoil.training.workers import in_order, workers_of

OnTrial = Callable[[Trial, int, int, np.ndarray], None]
Measure = Callable[[Trial, np.ndarray], np.ndarray]
MakeLoss = Callable[[Autoencoder, TrainConfig], Loss]

SHARED = "shared"
"""Fact of a piece whose chunk was trained together with those of other runs (:mod:`jaxsoil.training.shared`)."""


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """What a finished trial leaves: predictions for all n rows, its history, whether it stayed finite.

    ``soc`` (n,) mass fraction; ``rmse`` (n,) reconstruction error of each spectrum as a fraction (NaN without a
    decoder); ``latent`` (n,) what ``measure`` of :class:`GroupRun` made of the mass fractions, ``abundance`` (K,) what
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


class GroupRun:
    """Runs the chunks of one group and keeps their outcomes in ``folder``.

    Args:
      group: the trials.
      data: arrays "spectra" (n, M) as reflectance and "soc" (n,) as a mass fraction, 0 where there is no label;
        shared: the constants of the mixing decoder, None where no network has one.
      train, devices: settings.
      folder: run folder; checkpoints, states and outcomes go below it.
      make_loss: the study's loss of a network, which names in ``numbers`` the settings that it takes of each trial
        (as :attr:`jaxsoil.training.step.Member.own`).
      stage: name of this stage, part of its files' names.
      previous: stage whose trained parameters these trials start from (fine-tuning); None starts anew.
      keep_states: keep the trained parameters for a later stage.
      measure: makes one number per row of a trial's mass fractions ``(n, K)``, such as a latent distance.
      score: makes one number per endmember of them, such as the error of its abundance.

    ``seconds``: of each chunk that was run, those of compilation and the others, in its thread. ``steps``: those that
    its trainings took in this process. ``trained``: numbers of the chunks that were trained in it.
    """

    def __init__(
        self,
        group: Group,
        data: Data,
        train: TrainConfig,
        devices: DeviceConfig,
        folder: Path,
        make_loss: MakeLoss,
        *,
        stage: str = "",
        previous: str | None = None,
        keep_states: bool = False,
        measure: Measure | None = None,
        score: Measure | None = None,
    ) -> None:
        self.group, self.train, self.folder = group, train, folder
        self.stage, self.previous, self.keep_states = stage, previous, keep_states
        self.measure, self.score = measure, score
        self.pieces = Pieces(folder / "trials")
        self.seconds: list[tuple[float, float]] = []
        self.steps: list[int] = []
        self.trained: set[int] = set()
        self.policy = CheckpointPolicy(epochs=train.checkpoint_every, seconds=train.checkpoint_seconds)
        self._warm = threading.Event()
        mesh = make_mesh(devices)
        # The validation capacity depends on the library only, never on the other trials of the group.
        watched, (rows, bands) = any(trial.validation.any() for trial in group.trials), data.arrays["spectra"].shape
        capacity = int(train.validation_share * rows) if watched else 0
        rounded = "bfloat16" if train.precision == "bfloat16" else "float32"
        network = Autoencoder(group.components, bands, group.model, rounded)
        self.layout, stepped = ways(devices, mesh, group.model.encoder == "cnn", group.size)
        self.workers = workers_of(devices, mesh)
        self.functions = over_trials(NetworkFunctions(network), self.layout)
        static = program_of(train)
        self.training = make_training(network, static, make_loss(network, static), capacity, mesh, stepped)
        self._data = dataclasses.replace(data, shared=data.shared if group.model.physical else None)
        self._placing, self._placed = threading.Lock(), None

    @property
    def data(self) -> Data:
        """What the trials share, on the devices; placed there when it is first needed, by one thread for all."""
        with self._placing:
            if self._placed is None:
                self._placed = self.layout.replicate(jax.tree.map(jnp.asarray, self._data))
            return self._placed

    def outcomes(self, on_epochs: OnTrial) -> Iterator[tuple[Trial, Outcome]]:
        """Yields each trial with its outcome, running what is not yet done; as :func:`run_groups` of this group."""
        yield from ((trial, outcome) for _, trial, outcome in run_groups([self], on_epochs))

    def path(self, number: int) -> Path:
        """File of a chunk's outcomes."""
        return self.pieces.path(self._name(self.stage, number))

    def run_chunk(self, number: int, on_epochs: OnTrial, first: bool) -> Piece:
        """Runs a chunk in this thread, or reads what it left; all but the first wait until that has compiled."""
        if not first:
            self._warm.wait()
        began, compiled = time.perf_counter(), compile_seconds()

        def told(trial: Trial, first: int, after: int, history: np.ndarray) -> None:
            self._warm.set()
            on_epochs(trial, first, after, history)

        trials, name = self.group.chunk(number), self._name(self.stage, number)
        train = functools.partial(self._run_chunk, number, trials, told)
        try:
            # The precision of products holds for one thread only.
            with matmul_precision(self.train.precision):
                piece = self.pieces.get(name, train, identity=self._identity(number))
        finally:
            self._warm.set()
        # A resumed run finds these where it was killed after the outcomes were written.
        Checkpoints(self.folder / "checkpoints" / name).remove()
        compiled = compile_seconds() - compiled
        self.seconds.append((compiled, time.perf_counter() - began - compiled))
        return piece

    def take(self, number: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Keeps the outcomes of a chunk that was trained together with those of other runs."""
        piece = Piece(arrays, facts={SHARED: True})
        self.pieces.write(self._name(self.stage, number), piece, identity=self._identity(number))

    def _identity(self, number: int) -> list[str]:
        return [trial.id for trial in self.group.chunk(number)]

    def _name(self, stage: str, number: int) -> str:
        return f"{stage}-{self.group.label}-{number}".lstrip("-")

    def program(self, trials: Sequence[Trial]) -> Program:
        """The program of a chunk."""
        return Program(self.training, self.layout, self.layout.place(self.members(trials)), self.data)

    def initial(self, program: Program, trials: Sequence[Trial], number: int = 0) -> State:
        """State before the first step: as drawn, or with the parameters of the previous stage's chunk."""
        drawn = self._drawn(program, trials)
        return program.initial(*(drawn if self.previous is None else self._restored(self.previous, number, drawn)))

    def kept_states(self, number: int) -> tuple[Any, Any]:
        """Parameters and statistics, with a leading axis of trials, of a finished chunk of ``keep_states``."""
        trials = self.group.chunk(number)
        return self._restored(self.stage, number, self._drawn(self.program(trials), trials))

    def _drawn(self, program: Program, trials: Sequence[Trial]) -> tuple[Any, Any]:
        return self.functions[0](program.member.key, self.layout.place(self._start(trials)), self.data.shared)

    def _restored(self, stage: str, number: int, like: tuple[Any, Any]) -> tuple[Any, Any]:
        with Checkpoints(self.folder / "states" / self._name(stage, number)) as states:
            return states.restore(like)

    def _run_chunk(self, number: int, trials: tuple[Trial, ...], on_epochs: OnTrial) -> Piece:
        program = self.program(trials)

        def report(first: int, after: int, state: State) -> None:
            for trial, history in zip(trials, losses(state), strict=False):
                on_epochs(trial, first, after, history)

        self.trained.add(number)
        with Checkpoints(self.folder / "checkpoints" / self._name(self.stage, number)) as checkpoints:
            state = self.initial(program, trials, number)
            state = run(program, state, checkpoints=checkpoints, policy=self.policy, on_epochs=report)
            epochs = np.isfinite(losses(state)[: len(trials), :, 0]).sum(axis=1)
            self.steps += [int(n) * steps_per_epoch(t, self.train) for n, t in zip(epochs, trials, strict=True)]
            if self.keep_states:
                with Checkpoints(self.folder / "states" / self._name(self.stage, number)) as states:
                    if states.latest is None:
                        states.save(self.train.epochs, kept(state))
            return Piece(self._outcomes(trials, state))

    def _filled(self, trials: Sequence[Trial]) -> list[Trial]:
        """A short last chunk, filled up with its last trial, so that it runs the same program as the others."""
        return list(trials) + [trials[-1]] * (self.group.size - len(trials))

    def members(self, trials: Sequence[Trial]) -> Member:
        """The arrays of a chunk's trials, stacked."""
        filled = self._filled(trials)
        masks = {
            "labelled": [t.split.train & ~t.validation for t in filled],
            "unlabelled": [t.split.unlabelled for t in filled],
            "validation": [t.validation for t in filled],
        }
        numbers: Sequence[str] = getattr(self.training.loss, "numbers", ())
        own = {
            name: jnp.asarray([getattr(t.train or self.train, name) for t in filled], jnp.float32)
            for name in ("lr", "decoder_lr", *numbers)
        }
        return Member(
            rows={name: jnp.asarray(np.stack(rows)) for name, rows in masks.items()},
            steps=jnp.asarray([steps_per_epoch(t, self.train) for t in filled], jnp.int32),
            lr=own["lr"],
            key=jnp.stack([key_of((t.train or self.train).seed, t.draw) for t in filled]),
            own={name: own[name] for name in numbers} or None,
            rates={"decoder": own["decoder_lr"]} if self.group.model.physical else None,
        )

    def _start(self, trials: Sequence[Trial]) -> Any:
        starts = [trial.start for trial in self._filled(trials) if trial.start is not None]
        columns = zip(("f_soc", "soc_rho_r"), zip(*starts, strict=True), strict=False)
        return {name: jnp.asarray(np.asarray(values, np.float32)) for name, values in columns} or None

    def _outcomes(self, trials: tuple[Trial, ...], state: State) -> dict[str, np.ndarray]:
        """The fields of :class:`Outcome`, each with a leading axis of trials."""
        spectra, minerals = self.data.arrays["spectra"], self.data.shared
        _, predict, reconstruct = self.functions
        mass, rmse = (np.asarray(x) for x in predict(state, spectra, minerals))
        alive = np.asarray(state.alive)
        examples = self.layout.place(spectra[jnp.asarray([t.example for t in self._filled(trials)])][:, None, :])
        nothing = {"f_soc": np.full((len(alive), spectra.shape[1]), np.nan), "soc_rho_r": np.full(len(alive), np.nan)}
        decoder = kept(state)[0].get("decoder", {})

        def by_trial(function: Measure | None, size: int) -> np.ndarray:
            """What a function makes of each trial that stayed finite, (trials, size), else NaN."""
            found = np.full((len(trials), size), np.nan)
            for i, trial in enumerate(trials):
                if alive[i] and function is not None:
                    found[i] = function(trial, mass[i])
            return found

        made = {
            "soc": mass[:, :, -1],
            "rmse": rmse,
            "latent": by_trial(self.measure, mass.shape[1]),
            "abundance": by_trial(self.score, mass.shape[2]),
            "example": np.asarray(reconstruct(state, examples, minerals))[:, 0],
            **{name: np.asarray(decoder.get(name, values), np.float32) for name, values in nothing.items()},
            "history": losses(state),
            "alive": alive,
        }
        return {name: np.asarray(values)[: len(trials)] for name, values in made.items()}


def run_groups(runs: Sequence[GroupRun], on_epochs: OnTrial) -> Iterator[tuple[GroupRun, Trial, Outcome]]:
    """Yields each trial of the groups with its outcome, in order, running what is not yet done (:func:`run_chunks`)."""
    for group, number, piece in run_chunks(runs, on_epochs):
        plain = {name: piece.arrays[name].tolist() for name in ("soc_rho_r", "alive")}
        columns = {name: list(values) for name, values in piece.arrays.items()} | plain
        for k, trial in enumerate(group.group.chunk(number)):
            yield group, trial, Outcome(**{name: values[k] for name, values in columns.items()})


def run_chunks(runs: Sequence[GroupRun], on_epochs: OnTrial) -> Iterator[tuple[GroupRun, int, Piece]]:
    """Yields each chunk of the groups, by its number, with what it left, in order, running what is not yet done.

    Several processes share the chunks (:func:`jaxsoil.runs.processes.dealt`), which are the same for any number of
    them; only process 0 yields.

    Args:
      runs: the groups; on a CPU several chunks run at a time, and a group compiles while another trains.
      on_epochs: called after each segment for each trial with (trial, first epoch, epoch after, losses (epochs, 2)),
        by one thread at a time.
    """
    turn = threading.Lock()

    def call(group: GroupRun, number: int, first: bool, going_on: Callable[[], None]) -> Piece:
        def told(*progress: Any) -> None:
            going_on()
            with turn:
                on_epochs(*progress)

        return group.run_chunk(number, told, first)

    chunks = [(group, number) for group in runs for number in range(group.group.chunks)]

    def make(numbers: Sequence[int]) -> Iterator[Piece]:
        chosen = [chunks[i] for i in numbers]
        early = [k for k, (group, _) in enumerate(chosen) if group not in [other for other, _ in chosen[:k]]]
        calls = [functools.partial(call, *chunk, k in early) for k, chunk in enumerate(chosen)]
        return in_order(calls, max((group.workers for group in runs), default=1), early)

    pieces = processes.dealt([group.path(number) for group, number in chunks], make)
    for (group, number), piece in zip(chunks, pieces, strict=processes.leads()):
        if (processes.several() or piece.facts.get(SHARED)) and number not in group.trained:
            _tell(group, number, piece.arrays["history"], on_epochs)
        yield group, number, piece


def _tell(group: GroupRun, number: int, history: np.ndarray, on_epochs: OnTrial) -> None:
    """Tells the progress of a chunk that was trained elsewhere, as its training told it there."""
    ends = [0, *marks_of(group.train.epochs, group.policy)]
    done = int(np.isfinite(history[:, :, 0]).sum(axis=1).max())
    for first, after in itertools.pairwise(ends):
        if first < done:
            for trial, own in zip(group.group.chunk(number), history, strict=True):
                on_epochs(trial, first, after, own)
