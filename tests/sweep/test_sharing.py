"""Points of a sweep of a real study that train together: each is the run that it would have been by itself."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path

import pandas as pd
import pytest

from jaxsoil.experiments import package_folder
from jaxsoil.runs import lock
from jaxsoil.runs.tracking import read_log
from jaxsoil.sweep import sharing
from jaxsoil.sweep import sweep as sweeps
from jaxsoil.training.group_run import GroupRun
from jaxsoil.training.shared import Chain

SWEEP = """
def sweep_few():
    yield {"train.lr": 1e-3}
    yield {"width": 4}
    yield {"train.lr": 3e-3, "train.seed": 1, "draws": 2}
"""
WORDS = [
    "--baselines",
    "--networks",
    "none",
    "--draws",
    "1",
    "--parting",
    "group",
    "--width",
    "8",
    "--train.epochs",
    "2",
]
WORDS += ["--twin.n-samples", "120", "--twin.n-bands", "20", "--twin.n-regions", "3", "--devices.threads", "1"]


def swept(folder: Path, name: str) -> sweeps.Sweep:
    (folder / "mine.py").write_text(SWEEP)
    from jaxsoil import experiments

    where, target = package_folder(), folder / name
    config = experiments.configure(experiments.load("baseline_split", where), "baseline_split", "smoke", WORDS)
    made = sweeps.make(f"{folder / 'mine.py'}:few", "baseline_split", where, "smoke", WORDS, config, target, "disabled")
    made.open(WORDS, True, False)
    return made


def run(sweep: sweeps.Sweep, share: bool = True) -> int:
    return sweeps.run(sweep, sweep.jobs[::2], functools.partial(sweeps.local, share=share))


class Killed(BaseException):
    """The end of a process."""


def test_points_that_train_together_are_what_they_are_by_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed in the trainings of the second point; one is of another width and shares with none."""
    alone, together = swept(tmp_path, "alone"), swept(tmp_path, "together")
    assert "The networks of points 0, 2 are trained in programs that they share." in together.plan()
    assert "share" not in together.plan(share=False)
    assert run(alone, share=False) == 0
    train, job = GroupRun.run_chunk, together.jobs[2]

    def killed_in_training(self: GroupRun, number: int, *given: object) -> object:
        if number == 1 and self.folder.parent.name == sharing.FOLDER:
            with pytest.raises(lock.InUse):
                lock.refuse_running(job.folder)  # Nobody else may run a point that is trained here.
            raise Killed
        return train(self, number, *given)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(GroupRun, "run_chunk", killed_in_training)
    with pytest.raises(Killed):
        run(together)
    assert not (job.folder / "results.csv").exists() and list((together.folder / sharing.FOLDER).glob("*/trials/*"))
    monkeypatch.setattr(GroupRun, "run_chunk", train)
    assert run(together) == 0
    assert "2 points train 3 networks in programs that they share." in capsys.readouterr().out

    for ours, theirs in zip(together.jobs[::2], alone.jobs[::2], strict=True):
        for name in ("results.csv", "trials.csv", "history.csv", "draws.csv", "draw_intervals.csv"):
            assert (ours.folder / name).read_bytes() == (theirs.folder / name).read_bytes(), (ours.name, name)
        assert read_log(ours.folder / "log.jsonl") == read_log(theirs.folder / "log.jsonl")
        said = json.loads((ours.folder / "env.json").read_text())["shared"]
        time = json.loads((ours.folder / "timing.json").read_text())
        assert (said["points"], said["trainings"]) == (2, 3) and said["seconds"] > 0
        assert "none_train_s" not in time and "none_train_s" in (theirs.folder / "timing.json").read_text()
    points = pd.read_csv(together.folder / "points.csv")
    assert points["shared"].tolist() == [2, 0, 2]
    assert points["status"].tolist() == ["finished", "not run", "finished"]
    assert not (together.folder / sharing.FOLDER).exists()


def test_a_point_that_another_worker_runs_or_that_began_is_not_trained_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, trained = swept(tmp_path, "s"), []

    def note(points: dict[Path, list[Chain]], *_: object) -> None:
        trained.append([folder.name for folder in points])
        raise RuntimeError("no memory")  # What cannot be trained together is left to the run of each point.

    monkeypatch.setattr("jaxsoil.training.shared.train", note)
    (some,) = sharing.sets(made.jobs)
    with lock.held(some[0].folder):
        sharing.train(some)
    assert trained == []
    sharing.train(some)
    assert trained == [[job.name for job in some]] and not (made.folder / sharing.FOLDER).exists()
    (some[1].folder / "checkpoints").mkdir()
    sharing.train(some)
    assert len(trained) == 1
    measured = [*made.words, "--devices.mapping", "measured"]
    assert sharing.sets([dataclasses.replace(job, words=tuple(measured)) for job in made.jobs]) == []
