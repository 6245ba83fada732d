"""A run that is killed and goes on ends in the same bytes as one that was left alone; the same for every study."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from command import run_here, start
from smoke_runs import arguments, smoke_run

from jaxsoil.experiments import Experiment

PIECES = {"trials", "checkpoints", "states", "parts", "models", "members", "pieces", "direct"}
"""Folders of a run in which finished pieces lie; they hold times as well."""
NOT_COMPARED = {"env.json", "timing.json", "report.html", "report.md", "data_card.md"}
"""Times, the command, and what is drawn from the rest."""


def killed_run_is_the_same(
    experiment: str, folder: Path, monkeypatch: pytest.MonkeyPatch, *, share: float = 0.4, options: tuple[str, ...] = ()
) -> None:
    """Kills a smoke run with ``kill -9``, lets it go on, and compares every table with an undisturbed run.

    Args:
      experiment: its name; the smoke run on its twin is the undisturbed one.
      folder: where the killed run is made.
      monkeypatch: spares the resumed run its report, which draws the same tables again.
      share: how far the run may get, as the share of its log's records that are there when it is killed.
      options: of the command line.
    """
    whole = smoke_run(experiment, "", *options)
    words = [*arguments(experiment, "", *options), "--workdir", str(folder)]
    process = start(*words)
    until, enough = time.monotonic() + 400.0, share * records(whole)
    while records(folder) < enough and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    assert process.poll() is None, f"the run ended before it could be killed: {process.communicate()[1]}"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert 0 < records(folder) < records(whole) and any(missing(whole, folder)), "the run was finished when killed"
    monkeypatch.setattr(Experiment, "report_module", lambda self: SimpleNamespace(write_report=lambda folder: folder))
    assert run_here(*words, "--resume") == 0
    assert not [*missing(whole, folder)]
    for name in tables(whole):
        assert content(folder / name) == content(whole / name), f"{experiment}: {name} differs"


def records(folder: Path) -> int:
    """Records in the logs of a run and of the runs within it."""
    return sum(path.read_bytes().count(b"\n") for path in folder.rglob("log.jsonl"))


def content(path: Path) -> bytes | list[bytes]:
    """Bytes of a file; of a log its lines, sorted, since trainings that run at a time write as they come."""
    return sorted(path.read_bytes().splitlines()) if path.name == "log.jsonl" else path.read_bytes()


def tables(folder: Path) -> list[Path]:
    """Tables, arrays, maps and logs of a run, by their names within it."""
    names = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    aside = PIECES | {"figures", "wandb"}
    return [name for name in names if not aside & {*name.parts} and name.name not in NOT_COMPARED]


def missing(whole: Path, folder: Path) -> list[Path]:
    """Tables of ``whole`` that ``folder`` lacks."""
    return [name for name in tables(whole) if not (folder / name).is_file()]
