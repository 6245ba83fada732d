"""Locks of run folders: one worker at a time, and what dead workers leave."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from jaxsoil.runs import lock


def said_by(pid: int, host: str | None = None, **more: object) -> str:
    return json.dumps({"pid": pid, "host": host or lock._host(), "started": lock._started(pid), **more})


def test_a_second_worker_is_refused_and_the_first_leaves_nothing(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "a"
    with lock.held(run):
        with pytest.raises(lock.InUse, match=f"process {os.getpid()}"), lock.held(run):
            pytest.fail("two workers in one folder")
        with pytest.raises(lock.InUse):
            lock.refuse_running(run)
        with lock.held(tmp_path / "runs" / "b"):
            pass
    lock.refuse_running(run)
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_second_worker_may_wait(tmp_path: Path) -> None:
    run, entered, leave = tmp_path / "a", threading.Event(), threading.Event()

    def first() -> None:
        with lock.held(run):
            entered.set()
            leave.wait(10.0)

    worker = threading.Thread(target=first)
    worker.start()
    assert entered.wait(10.0)
    threading.Timer(0.2, leave.set).start()
    with lock.held(run, wait=20.0):
        assert lock.holder(run) is not None
    worker.join()


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from jaxsoil.runs import lock
with lock.held(Path({str(tmp_path / "a")!r})):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, timeout=60)
    assert done.returncode == -9 and lock.lock_path(tmp_path / "a").exists()
    with lock.held(tmp_path / "a"):
        said = lock.holder(tmp_path / "a")
        assert said is not None and said["pid"] == os.getpid()


# By name: the id of a process differs between the workers that run the tests.
@pytest.mark.parametrize(
    "text",
    ["", "{", said_by(os.getpid(), started="0"), '{"pid": "x", "host": "y"}'],
    ids=["empty", "half", "another start", "no process id"],
)
def test_a_lock_that_names_no_living_process_is_taken_over(text: str, tmp_path: Path) -> None:
    """Cut short, or of an earlier process with the same number."""
    lock.lock_path(tmp_path / "a").write_text(text)
    with lock.held(tmp_path / "a"):
        assert lock.holder(tmp_path / "a") is not None


def test_a_lock_of_another_host_counts_until_it_is_silent(tmp_path: Path) -> None:
    path = lock.lock_path(tmp_path / "a")
    path.write_text(said_by(1, "elsewhere"))
    with pytest.raises(lock.InUse, match=f"on elsewhere.*delete {path}"), lock.held(tmp_path / "a"):
        pytest.fail("the other host's worker was ignored")
    before = path.stat().st_mtime - lock.SILENT - 5.0
    os.utime(path, (before, before))
    with lock.held(tmp_path / "a"):
        pass


def test_of_many_workers_one_takes_a_dead_workers_lock(tmp_path: Path) -> None:
    lock.lock_path(tmp_path / "a").write_text(said_by(2**22 + 1))
    inside, most, refused = [0], [0], [0]
    start, done = threading.Barrier(8), threading.Barrier(8)

    def work() -> None:
        start.wait()
        try:
            with lock.held(tmp_path / "a"):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                done.wait(20.0)
                inside[0] -= 1
        except lock.InUse:
            refused[0] += 1
            done.wait(20.0)

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert (most[0], refused[0]) == (1, 7)
