"""Finished smoke runs: each is made once in a session of tests and shared by all its processes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import traceback
from pathlib import Path
from typing import Any

import pytest
from command import run_here
from pictures import drawn

from jaxsoil.runs import progress

BASE = "JAXSOIL_TEST_RUNS"
"""Environment variable with the folder of the session's runs; tests/conftest.py makes it, its workers inherit it."""

TWINS = {
    "region_out": "twin",
    "carry_over": "twin",
    "baseline_split": "twin",
    "few_labels": "twin",
    "rho_r": "twin",
    "soc_spectrum": "twin",
    "multifidelity": "infrared_twin",
    "ilr": "infrared_twin",
    "fno": "infrared_twin",
    "hybrid_dataset": "laboratories",
    "layer_transfer": "landscape_twin",
}
"""Every experiment and the name of its twin."""

OPTIONS: dict[str, tuple[str, ...]] = {
    # One replicate, and the strategies of ilr and fno, so that these need no run of their own.
    "multifidelity": (
        "--seeds", "1", "--strategies", "MIR-PLSR", "MIR-MLP", "MIR-SSL-MLP", "NIR-PLSR", "NIR-MLP", "NIRtoMIR-MLP",
        "NIRtoMIR-SSL-MLP", "NIRtoMIR-SSL-MLP-samples", "NIRtoMIR-SSL-MLP-reencoded", "MIR-SSL-PLSR",
        "NIRtoMIR-SSL-PLSR", "MIR-ridge", "MIR-carry-over", "MIR-carry-over-no-curve", "MIR-ILR-MLP",
        "NIRtoMIR-ILR-MLP", "NIRtoMIR-FNO-MLP",
    ),
}  # fmt: skip
"""Options of smoke runs on twins that tests share, where they are not the plain ones."""

PATIENCE = 900.0
"""Seconds that a process waits for a run that another one makes."""


def arguments(experiment: str, data: str = "", *options: str) -> list[str]:
    """Words of the command of a smoke run, without its folder."""
    data = data or TWINS[experiment]
    own = OPTIONS.get(experiment, ()) if data == TWINS[experiment] else ()
    return ["--exp", experiment, "--smoke", "--data", data, "--wandb", "disabled", *own, *options]


def smoke_run(experiment: str, data: str = "", *options: str) -> Path:
    """Folder of the finished run of ``--exp=EXPERIMENT --smoke --data DATA OPTIONS``; data: the twin if not given.

    The folder belongs to all tests: one that changes files works on ``copied``.
    """
    base = Path(os.environ[BASE])
    data, words = data or TWINS[experiment], arguments(experiment, data, *options)
    mark = "-" + hashlib.sha256(" ".join(options).encode()).hexdigest()[:8] if options else ""
    folder = base / f"{experiment}-{Path(data).stem}{mark}"
    status = folder.with_name(folder.name + ".status")
    try:
        os.close(os.open(status.with_suffix(".lock"), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        _wait(status)
    else:
        _make([*words, "--workdir", str(folder)], status)
    said = status.read_text("utf-8")
    assert said == "done", f"{' '.join(words)}\n{said}"
    return folder


def lines_of(folder: Path) -> list[list[float]]:
    """Trials that were announced, and those that were done, by each line of progress of a shared run."""
    return json.loads(folder.with_name(folder.name + ".lines").read_text("utf-8"))


def copied(folder: Path, target: Path) -> Path:
    """A copy of a shared run that a test may change."""
    return Path(shutil.copytree(folder, target))


def _make(words: list[str], status: Path) -> None:
    """Makes the run; what became of it enters ``status`` in one step, so that those who wait read it whole."""
    said, lines = "interrupted", []

    class Kept(progress.Line):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            lines.append(self)

    try:
        with drawn(), pytest.MonkeyPatch.context() as patch:
            patch.setattr(progress, "Line", Kept)
            code = run_here(*words)
        counts = [[sum(line.counts().values()), sum(line.shares.values())] for line in lines]
        status.with_suffix(".lines").write_text(json.dumps(counts), "utf-8")
        said = "done" if code == 0 else f"exit status {code}; the message stands in the output of the first test"
    except BaseException:
        said = traceback.format_exc()
        raise
    finally:
        part = status.with_suffix(".part")
        part.write_text(said, "utf-8")
        part.replace(status)


def _wait(status: Path) -> None:
    until = time.monotonic() + PATIENCE
    while not status.exists():
        if time.monotonic() > until:
            pytest.fail(f"no run after {PATIENCE:g} s: {status}")
        time.sleep(0.2)
