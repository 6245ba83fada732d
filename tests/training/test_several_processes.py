"""region_out in several processes on this host: the tables of one process, and an end in time where one is killed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from command import ROOT, run_here, start
from several_processes import ended, free_address

from tools.same_runs import differing

pytestmark = pytest.mark.slow

STUDY = ROOT / "tests" / "support" / "several_study.py"
WORDS = ("--exp", str(STUDY), "--wandb", "disabled", "--quiet")
BOUND = 900.0
"""Seconds that a process may take on a busy machine; one that hangs takes longer."""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone") / "run"
    assert run_here(*WORDS, "--workdir", str(folder)) == 0
    return folder


def together(folder: Path, count: int, *words: str) -> list[tuple[int, str, str]]:
    """Runs the study in ``count`` processes: of each its exit status and what it printed, errors apart."""
    own = ("--workdir", str(folder), "--processes", str(count))
    own = (*own, "--process-address", free_address(), "--process-wait", "120")
    return ended([start(*WORDS, *own, *words, "--process-index", str(i)) for i in range(count)], BOUND)


def left_beside(folder: Path) -> list[str]:
    """Locks and files of the processes, beside the run folder."""
    return sorted(path.name for path in folder.parent.iterdir() if path != folder)


def test_two_processes_one_killed_go_on_to_the_tables_of_one(
    alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    monkeypatch.setenv("DIES_AT", "1")
    (first, _, errors), (killed, *_) = together(folder, 2)
    assert killed == -9 and first == 1, errors
    assert "error: process 1 of 2" in errors and "was killed" in errors and "--resume" in errors
    assert not (folder / "results.csv").exists()
    # Process 1 was in the middle of its first training, whose state it had kept.
    assert [path.name for path in (folder / "checkpoints").glob("*/*.npz")]
    monkeypatch.delenv("DIES_AT")
    (first, printed, errors), second = together(folder, 2, "--resume")
    assert (first, second) == (0, (0, "", "")), errors
    assert printed.startswith("Report: ")
    assert differing(alone, folder) == []
    assert left_beside(folder) == []


def test_four_processes_make_the_tables_of_one(alone: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    statuses = [status for status, *_ in together(folder, 4)]
    assert statuses == [0, 0, 0, 0]
    assert differing(alone, folder) == []
    scores = pd.read_csv(folder / "results.csv")
    assert set(scores["model"]) == {"none", "plsr"} and len(set(scores["region"])) == 4
