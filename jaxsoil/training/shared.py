"""Networks of several runs, trained in programs that the runs share; each run's folder takes what its trials leave.

Runs that differ in what each trial carries alone (:func:`jaxsoil.training.config.per_trial`) have equal programs. Their
trials are put side by side, cut into chunks that fit the memory and trained in a folder of their own, as those of one
run are: what is interrupted goes on there. Each run then finds its outcomes in its own folder and does not train.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from jaxsoil.runs.files import write_json
from jaxsoil.training.config import DeviceConfig, TrainConfig, program_of
from jaxsoil.training.devices import matmul_precision
from jaxsoil.training.grid import Group, Trial
from jaxsoil.training.group_run import GroupRun, OnTrial, run_chunks


class Stage(Protocol):
    """What a study trains at once; a frozen dataclass."""

    @property
    def trials(self) -> Sequence[Trial]:
        """All of them."""
        ...

    @property
    def train(self) -> TrainConfig:
        """How."""
        ...

    @property
    def devices(self) -> DeviceConfig:
        """Where."""
        ...

    def groups(self) -> list[Group]:
        """Those that share a program, in chunks by counted memory."""
        ...

    def runs(self, folder: Path) -> list[GroupRun]:
        """The groups, ready to be run in a folder, in the order of :meth:`groups`."""
        ...

    def on_data_of(self, other: Any) -> Any:
        """The same on the data of another stage, which are kept once; None where they are not equal."""
        ...


S = TypeVar("S", bound=Stage)
Chain = Sequence[S]
"""Stages of which each goes on from the one before."""


def in_step(chain: Chain[S]) -> list[S]:
    """The stages of a chain, in chunks of one size: a chunk loads the parameters of that chunk of the stage before."""
    if len(chain) < 2:
        return list(chain)
    size = min(group.size for stage in chain for group in stage.groups())
    return [_with(stage, devices=dataclasses.replace(stage.devices, chunk=size)) for stage in chain]


def joined(stages: Sequence[S]) -> S:
    """The trials of several runs' stages as one, each with the settings of its own run.

    Raises:
      ValueError: the stages have not one program.
    """
    first = stages[0]
    if len({_program(stage) for stage in stages}) > 1:
        raise ValueError("they differ in more than what each trial carries")
    trials = [dataclasses.replace(trial, train=stage.train) for stage in stages for trial in stage.trials]
    return _with(first, trials=tuple(trials))


def _program(stage: Stage) -> tuple[Any, ...]:
    # Validation rows or none, and estimated starts or none, make different programs.
    kinds = {(t.name, t.variant, t.model, t.loss, t.start is None) for t in stage.trials}
    watched = any(trial.validation.any() for trial in stage.trials)
    return program_of(stage.train), stage.devices, frozenset(kinds), watched


def _with(stage: S, **changed: Any) -> S:
    return dataclasses.replace(stage, **changed)  # pyright: ignore[reportArgumentType]


def begun(folder: Path, chains: Sequence[Chain[S]]) -> bool:
    """Whether a run has trained some of its networks in its folder, or was at it."""
    if (folder / "checkpoints").exists():
        return True
    runs = (run for chain in chains for stage in in_step(chain) for run in stage.runs(folder))
    return any(run.path(number).exists() for run in runs for number in range(run.group.chunks))


def train(points: Mapping[Path, Sequence[Chain[S]]], folder: Path, on_epochs: OnTrial) -> dict[str, Any]:
    """Trains the networks of several runs in shared programs and leaves what each trial leaves in its run's folder.

    Args:
      points: by run folder its chains, which are those of the others but for their trials.
      folder: where they are trained; kept until its caller is done with it.
      on_epochs: as of :func:`jaxsoil.training.group_run.run_chunks`.

    Returns:
      "trainings"; "programs", their chunks; "seconds" of all chunks, summed over what ran at a time.

    Raises:
      ValueError: as :func:`joined`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "env.json").exists():
        write_json(folder / "env.json", {})  # What is settled by measuring is kept there.
    trainings, seconds = 0, list[float]()
    for chains in zip(*points.values(), strict=True):
        own = [in_step(chain) for chain in chains]
        stages, trained = in_step([joined(some) for some in zip(*chains, strict=True)]), []
        for stage in stages:
            with matmul_precision(stage.train.precision):
                trained.append(stage.runs(folder))
            seconds += [piece.seconds for _, _, piece in run_chunks(trained[-1], on_epochs)]
            trainings += len(stage.trials)
        # The last stage first: a run that finds an earlier one alone could not go on by itself, for the states that it
        # would go on from are not handed out.
        for place, runs in reversed([*enumerate(trained)]):
            _hand_out(_rows(runs), [one[place].runs(path) for path, one in zip(points, own, strict=True)])
    return {"trainings": trainings, "programs": len(seconds), "seconds": sum(seconds)}


def _hand_out(rows: Iterator[dict[str, np.ndarray]], own: Sequence[Sequence[GroupRun]]) -> None:
    """Each of the runs' own groups takes its trials from those of the joined ones, chunk by chunk."""
    for groups in zip(*own, strict=True):
        for group in groups:
            for number in range(group.group.chunks):
                mine = list(itertools.islice(rows, len(group.group.chunk(number))))
                if not group.path(number).exists():
                    group.take(number, {name: np.stack([row[name] for row in mine]) for name in mine[0]})
    for _ in rows:  # The end of the last chunk.
        pass


def _rows(runs: Sequence[GroupRun]) -> Iterator[dict[str, np.ndarray]]:
    """What each trial of the joined groups, which are trained, has left, in order."""
    for run, number, piece in run_chunks(runs, lambda *_: None):
        for k in range(len(run.group.chunk(number))):
            yield {name: values[k] for name, values in piece.arrays.items()}
