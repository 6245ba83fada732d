"""The grid of trials: identity, keys, the groups that share one compiled program, and how a group is run.

Trials with the same static configuration form a group; a group compiles once and runs in chunks that fit memory. A
chunk keeps checkpoints while it runs and one file of outcomes when it is done: an interrupted study goes on where it
was and ends with the same bytes.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsoil.data.splits import Split
from jaxsoil.models.autoencoder import Autoencoder, Minerals, ModelConfig, evaluate, parameter_count
from jaxsoil.runs.keys import key_of
from jaxsoil.runs.pieces import Piece, Pieces
from jaxsoil.training.batches import LabelledBatches
from jaxsoil.training.checkpoints import Checkpoints
from jaxsoil.training.config import DeviceConfig, TrainConfig
from jaxsoil.training.devices import Layout, bytes_per_trial, chunk_sizes, compile_seconds, make_mesh, shard
from jaxsoil.training.loop import CheckpointPolicy, Program, run
from jaxsoil.training.step import Data, Loss, Member, State, Training, kept

OnTrial = Callable[["Trial", int, int, np.ndarray], None]
Measure = Callable[["Trial", np.ndarray], np.ndarray]
MakeLoss = Callable[[Autoencoder, TrainConfig], Loss]

PREDICT_ROWS = 512
"""Rows per forward pass when predicting; bounds the memory of a prediction over a large library."""


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
    """Steps of one epoch: the labelled rows once, or the unlabelled ones where they are more; last batch dropped.

    A network without a decoder takes no unlabelled rows, but as many steps as the others, so that they compare.
    """
    rows = int((trial.split.train & ~trial.validation).sum())
    unlabelled = int(trial.split.unlabelled.sum()) // train.unlabelled_batch if train.unlabelled_batch else 0
    return max(rows // train.batch, int(train.wrap), unlabelled)


def make_training(
    network: Autoencoder, train: TrainConfig, loss: Loss, capacity: int, mesh: Any = None, jit_per_step: bool = False
) -> Training:
    """The static part of the trials of a group.

    Args:
      network: the network.
      train: settings; all but ``lr``, which each trial carries, are static.
      loss: the study's.
      capacity: upper bound on the validation rows of any trial; 0: the training loss stands in for theirs.
      mesh: devices with the axes "trial" and "batch"; given, each batch lies over "batch".
      jit_per_step: a program for each step.
    """
    unlabelled = train.unlabelled_batch if network.config.decoder != "none" else 0
    rates = (("decoder", train.decoder_lr),) if network.config.physical else ()
    return Training(
        loss,
        LabelledBatches(train.batch, unlabelled, capacity, ("soc",), mesh),
        train.epochs,
        train.patience,
        train.keep,
        train.b1,
        train.b2,
        rates=rates,
        jit_per_step=jit_per_step,
    )


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
      data: host arrays "spectra" (n, M) as reflectance and "soc" (n,) as a mass fraction, 0 where there is no label;
        shared: the constants of the mixing decoder, None where no network has one.
      train, devices: settings.
      folder: run folder; checkpoints, states and outcomes go below it.
      make_loss: the study's loss of a network.
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
        self._compiled_before = compile_seconds()
        mesh = make_mesh(devices)
        # The validation capacity depends on the library only, never on the other trials of the group.
        watched, (rows, bands) = any(trial.validation.any() for trial in group.trials), data.arrays["spectra"].shape
        capacity = int(train.validation_share * rows) if watched else 0
        network = Autoencoder(group.components, bands, group.model)
        self.layout = Layout(devices.method, mesh)
        self.functions = over_trials(NetworkFunctions(network), self.layout)
        cnn = group.model.encoder == "cnn" and mesh.devices.flat[0].platform == "cpu"
        self.training = make_training(network, train, make_loss(network, train), capacity, mesh, jit_per_step=cnn)
        shared = data.shared if group.model.physical else None
        self.data = self.layout.replicate(jax.tree.map(jnp.asarray, dataclasses.replace(data, shared=shared)))

    @property
    def compile_seconds(self) -> float:
        """Seconds of compilation since this run was made."""
        return compile_seconds() - self._compiled_before

    def outcomes(self, on_epochs: OnTrial) -> Iterator[tuple[Trial, Outcome]]:
        """Yields each trial with its outcome, running what is not yet done.

        Args:
          on_epochs: called after each segment for each trial with (trial, first epoch, epoch after,
            losses (epochs, 2)).
        """
        for number in range(self.group.chunks):
            trials = self.group.chunk(number)
            train = functools.partial(self._run_chunk, number, trials, on_epochs)
            piece = self.pieces.get(self._name(self.stage, number), train, identity=[trial.id for trial in trials])
            # A resumed run finds these where it was killed after the outcomes were written.
            Checkpoints(self.folder / "checkpoints" / self._name(self.stage, number)).remove()
            plain = {name: piece.arrays[name].tolist() for name in ("soc_rho_r", "alive")}
            columns = {name: list(values) for name, values in piece.arrays.items()} | plain
            for i, trial in enumerate(trials):
                yield trial, Outcome(**{name: values[i] for name, values in columns.items()})

    def _name(self, stage: str, number: int) -> str:
        return f"{stage}-{self.group.label}-{number}".lstrip("-")

    def program(self, trials: Sequence[Trial]) -> Program:
        """The program of a chunk."""
        return Program(self.training, self.layout, self.layout.place(self.members(trials)), self.data)

    def initial(self, program: Program, trials: Sequence[Trial], number: int = 0) -> State:
        """State before the first step: as drawn, or with the parameters of the previous stage's chunk."""
        start = self.layout.place(self._start(trials))
        params, stats = self.functions[0](program.member.key, start, self.data.shared)
        if self.previous is not None:
            with Checkpoints(self.folder / "states" / self._name(self.previous, number)) as states:
                params, stats = states.restore((params, stats))
        return program.initial(params, stats)

    def _run_chunk(self, number: int, trials: tuple[Trial, ...], on_epochs: OnTrial) -> Piece:
        program = self.program(trials)

        def report(first: int, after: int, state: State) -> None:
            for trial, history in zip(trials, losses(state), strict=False):
                on_epochs(trial, first, after, history)

        policy = CheckpointPolicy(epochs=self.train.checkpoint_every, seconds=self.train.checkpoint_seconds)
        with Checkpoints(self.folder / "checkpoints" / self._name(self.stage, number)) as checkpoints:
            state = self.initial(program, trials, number)
            state = run(program, state, checkpoints=checkpoints, policy=policy, on_epochs=report)
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
        return Member(
            rows={name: jnp.asarray(np.stack(rows)) for name, rows in masks.items()},
            steps=jnp.asarray([steps_per_epoch(t, self.train) for t in filled], jnp.int32),
            lr=jnp.full(len(filled), self.train.lr, jnp.float32),
            key=jnp.stack([key_of(self.train.seed, t.id) for t in filled]),
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
