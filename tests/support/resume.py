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
from tools.same_runs import differing, records, tables


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
    assert 0 < records(folder) < records(whole), "the run was finished when killed"
    assert {*tables(whole)} - {*tables(folder)}, "the run was finished when killed"
    monkeypatch.setattr(Experiment, "report_module", lambda self: SimpleNamespace(write_report=lambda folder: folder))
    assert run_here(*words, "--resume") == 0
    wrong = differing(whole, folder)
    assert not wrong, wrong
