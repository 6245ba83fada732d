"""Trials of several runs in shared programs: what each run finds is what it would have trained by itself."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from engine_problem import BANDS, COMPONENTS, ROWS, TRAIN, problem

from jaxsoil.data.splits import Split
from jaxsoil.models.autoencoder import Minerals, ModelConfig
from jaxsoil.studies.reconstruction.config import FewLabelsConfig
from jaxsoil.studies.reconstruction.objectives import make_loss
from jaxsoil.training.config import DeviceConfig, TrainConfig, program_of
from jaxsoil.training.grid import Group, Trial, make_groups
from jaxsoil.training.group_run import GroupRun, Outcome, run_groups
from jaxsoil.training.shared import begun, in_step, joined, train

LOOP, SIDE_BY_SIDE = (DeviceConfig(chunk=2, mapping=how, threads=1) for how in ("loop", "vmap"))
SHORT = dataclasses.replace(TRAIN, epochs=2)
BEFORE, AFTER = "before", "after"


@dataclasses.dataclass(frozen=True, eq=False)
class Small:
    """A stage of trainings on the engine's small problem."""

    trials: tuple[Trial, ...]
    train: TrainConfig
    devices: DeviceConfig
    stage: str = ""
    previous: str | None = None

    def groups(self) -> list[Group]:
        return make_groups(self.trials, self.train, self.devices, COMPONENTS, BANDS, COMPONENTS - 1)

    def runs(self, folder: Path) -> list[GroupRun]:
        data = jax.tree.map(np.asarray, problem())
        shares = np.full(COMPONENTS - 1, 1 / (COMPONENTS - 1), np.float32)
        spectra = np.linspace(0.2, 0.9, (COMPONENTS - 1) * BANDS, dtype=np.float32).reshape(-1, BANDS)
        data = dataclasses.replace(data, shared=Minerals(spectra, np.ones_like(shares), shares))
        files: dict[str, Any] = {"stage": self.stage, "previous": self.previous, "keep_states": self.stage == BEFORE}
        return [GroupRun(g, data, self.train, self.devices, folder, make_loss, **files) for g in self.groups()]

    def on_data_of(self, other: Small) -> Small:
        return self


def trial(rows: int, seed: int, model: ModelConfig) -> Trial:
    number = np.arange(ROWS)
    part = Split(f"part/{rows}", "part", number < rows, np.zeros(ROWS, bool), number >= 100, "inductive", 0)
    return Trial("net", model, part, seed, (number >= 90) & (number < 100), ROWS - 1)


def chains(decoder: Any, devices: DeviceConfig) -> dict[str, list[list[Small]]]:
    """Three runs of one, two and two trials, each with a second stage; they differ in all that a trial can carry."""
    model, found = ModelConfig(width=8, hidden=0, decoder=decoder), {}
    for name, rows, seeds, own in (
        ("a", 80, 1, {}), ("b", 64, 2, {"lr": 2e-3, "seed": 5}), ("c", 80, 2, {"decoder_lr": 3.0, "mineral_kl": 0.2}),
    ):  # fmt: skip
        how = dataclasses.replace(SHORT, **({"mineral_kl": 0.1} | own))
        trials = tuple(trial(rows, seed, model) for seed in range(seeds))
        second = dataclasses.replace(how, lr=how.lr / 2)
        found[name] = [[Small(trials, how, devices, BEFORE), Small(trials[::-1], second, devices, AFTER, BEFORE)]]
    return found


def alone(runs: dict[str, list[list[Small]]], folder: Path, told: Callable[..., None] = lambda *_: None) -> Any:
    """What every trial leaves where each run is by itself, or finds what it was handed."""
    return {
        (name, stage.stage, trial.seed): outcome
        for name, ((chain),) in runs.items()
        for stage in in_step(chain)
        for _, trial, outcome in run_groups(stage.runs(folder / name), told)
    }


def together(runs: dict[str, list[list[Small]]], folder: Path, told: Callable[..., None] = lambda *_: None) -> Any:
    return train({folder / name: own for name, own in runs.items()}, folder / "shared", told)


class Stop(BaseException):
    """Ends a process in the middle."""


def test_runs_find_what_they_would_have_trained_also_after_interruptions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit by bit where trials run in turn; stopped in a training, then while outcomes are handed out."""
    runs, seen, told = chains("physics", LOOP), set(), set()
    wanted = alone(runs, tmp_path / "alone", lambda t, first, after, _: seen.add((t.id, first, after)))
    assert not begun(tmp_path / "a", runs["a"])

    def stop(trial: Trial, first: int, after: int, history: np.ndarray) -> None:
        if trial.split.name == "part/64" and trial.seed == 1 and after == 2:
            raise Stop

    with pytest.raises(Stop):
        together(runs, tmp_path, stop)
    assert not any(begun(tmp_path / name, own) for name, own in runs.items())  # Nothing is handed out before the end.
    take, handed = GroupRun.take, []

    def take_few(self: GroupRun, *given: Any) -> None:
        if len(handed) == 3:
            raise Stop
        handed.append(self.folder.name)
        take(self, *given)

    monkeypatch.setattr(GroupRun, "take", take_few)
    with pytest.raises(Stop):
        together(runs, tmp_path)
    assert handed == ["a", "b", "c"]  # The last stage first: each can go on by itself, and trains what it lacks.
    assert begun(tmp_path / "a", runs["a"])
    monkeypatch.setattr(GroupRun, "take", take)
    shutil.copytree(tmp_path / "a", tmp_path / "by itself" / "a")
    by_itself = alone({"a": runs["a"]}, tmp_path / "by itself")
    assert all(np.array_equal(found.soc, wanted[key].soc) for key, found in by_itself.items())
    said = together(runs, tmp_path)
    assert (said["trainings"], said["programs"]) == (10, 6) and said["seconds"] > 0
    monkeypatch.setattr(GroupRun, "_run_chunk", lambda *_: pytest.fail("trained again"))
    found = alone(runs, tmp_path, lambda t, first, after, _: told.add((t.id, first, after)))
    assert found.keys() == wanted.keys() and told == seen  # What a run's log has of its trainings.
    for key, field in itertools.product(wanted, dataclasses.fields(Outcome)):
        ours, theirs = getattr(found[key], field.name), getattr(wanted[key], field.name)
        np.testing.assert_array_equal(ours, theirs, err_msg=f"{key} {field.name}")


def test_side_by_side_they_agree_within_rounding(tmp_path: Path) -> None:
    """A chunk of trials of two runs, of which one has fewer rows, so that its steps are masked."""
    runs = {name: [[own[0][0]]] for name, own in chains("none", SIDE_BY_SIDE).items() if name != "c"}
    of_two = {"b": runs["b"]}  # Alone they make a chunk; together each is beside a trial that is not its neighbour.
    wanted = alone(of_two, tmp_path / "alone")
    assert together(runs, tmp_path)["programs"] == 2
    for key, outcome in alone(of_two, tmp_path).items():
        for name in ("soc", "history"):
            np.testing.assert_allclose(getattr(outcome, name), getattr(wanted[key], name), rtol=1e-4, atol=1e-6)


def test_stages_of_other_programs_are_not_joined() -> None:
    one, other = (chains("none", LOOP)[name][0][0] for name in "ab")
    assert len(joined([one, other]).trials) == 3
    for changed in (
        {"train": dataclasses.replace(other.train, b1=0.5)},
        {"train": dataclasses.replace(other.train, mineral_kl=0.0)},
        {"devices": SIDE_BY_SIDE},
        {"trials": (dataclasses.replace(other.trials[0], model=ModelConfig(width=9)),)},
        {"trials": (dataclasses.replace(other.trials[0], validation=np.zeros(ROWS, bool)),)},
    ):
        with pytest.raises(ValueError, match="more than what each trial carries"):
            joined([one, dataclasses.replace(other, **changed)])


def test_programs_are_made_from_what_no_trial_carries() -> None:
    """By the mark of each field, in configurations inside others too; a weight of zero is another program."""
    base = FewLabelsConfig()
    train, finetune = (dataclasses.replace(own, lr=0.5, seed=3) for own in (base.train, base.finetune))
    same = dataclasses.replace(base, train=train, finetune=finetune, seeds=4, pedons_per_region=2, unlabelled_share=0.1)
    assert program_of(same) == program_of(base)
    for name, value in (("mineral_kl", 0.1), ("perturbed", 1.0), ("epochs", 9), ("b1", 0.5), ("sigma_soc", 0.1)):
        other = dataclasses.replace(base, train=dataclasses.replace(base.train, **{name: value}))
        assert program_of(other) != program_of(base), name
    assert program_of(dataclasses.replace(base, width=8)) != program_of(base)
