"""Several processes share one training (examples/shared_training.py): each reads its rows, all have one result."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from command import ROOT
from several_processes import ended, free_address

pytestmark = pytest.mark.slow

BOUND = 300.0
"""Seconds that a process may take on a busy machine; one that hangs takes longer."""
EPOCHS, ROWS = 4, 3200


def started(folder: Path, count: int, *words: str) -> list[subprocess.Popen[str]]:
    """The processes that share the training of the example in a folder, each with one CPU device."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_NUMPY")}
    environment |= {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_backend_optimization_level=1"}
    command = [sys.executable, str(ROOT / "examples" / "shared_training.py"), "--folder", str(folder), "--epochs", "4"]
    own = ["--processes", str(count), "--process-address", free_address(), "--process-wait", "120", *words]
    pipe = subprocess.PIPE
    return [
        subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True, env=environment, cwd=ROOT
        )
        for words in ([*command, *own, "--process-index", str(i)] if count > 1 else command for i in range(count))
    ]


def rows_read(printed: str) -> int:
    (count,) = re.findall(rf"(\d+) of {EPOCHS * ROWS} training rows", printed)
    return int(count)


def result(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "fitted.npz") as arrays:
        return dict(arrays)


def test_two_processes_share_a_training_and_one_killed_ends_the_other(tmp_path: Path) -> None:
    ((status, printed, errors),) = ended(started(tmp_path / "one", 1), BOUND)
    assert status == 0, errors
    assert EPOCHS * ROWS <= rows_read(printed) <= EPOCHS * ROWS + 1  # and one to see its shape
    one = result(tmp_path / "one")

    both = ended(started(tmp_path / "two", 2), BOUND)
    for status, printed, errors in both:
        assert status == 0, errors
        assert EPOCHS * ROWS / 2 <= rows_read(printed) <= EPOCHS * ROWS / 2 + 1
    two = result(tmp_path / "two")
    for name, expected in one.items():
        np.testing.assert_allclose(two[name], expected, rtol=1e-5, atol=1e-6, err_msg=name)
    assert "validation loss" in both[0][1] and "validation loss" not in both[1][1]  # one writer

    folder, until = tmp_path / "killed", time.monotonic() + BOUND
    running = started(folder, 2, "--pause", "0.05")
    while not [*folder.glob("checkpoint/*.npz")] and time.monotonic() < until:
        time.sleep(0.05)
    running[1].kill()
    (first, _, errors), (killed, *_) = ended(running, BOUND)
    assert (first, killed) == (1, -9), errors
    assert "error: process 1 of 2" in errors and "was killed" in errors
    assert not (folder / "fitted.npz").exists() and len([*folder.glob("checkpoint/*.npz")]) == 1
    for status, printed, errors in ended(started(folder, 2), BOUND):
        assert status == 0 and "damaged" not in printed + errors, printed + errors
        assert rows_read(printed) < EPOCHS * ROWS / 2  # from the checkpoint on
    again = result(folder)
    for name, expected in two.items():
        assert np.array_equal(again[name], expected), name
