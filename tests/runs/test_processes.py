"""Several processes of one run: what is refused, how they meet, who does what, and how a lost one is noticed."""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest

from jaxsoil.runs import lock, meeting, processes, stop
from jaxsoil.runs.errors import UsageError
from jaxsoil.runs.meeting import Settings, Team

ADDRESS = "127.0.0.1:9"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "BEAT", 0.05)
    monkeypatch.setattr(processes, "LOOK", 0.01)


def team(folder: Path, index: int, *, count: int = 2, address: str = ADDRESS, wait: float = 0.3) -> Team:
    return Team(Settings(count, index, address, wait), folder / "run")


def met(folder: Path) -> tuple[Team, Team]:
    """Two processes, in threads of this one, that have come together."""
    teams = team(folder, 0, wait=20.0), team(folder, 1, wait=20.0)
    threads = [threading.Thread(target=one.meet) for one in teams]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return teams


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--process-index 0", "--process-index belongs to --processes"),
        ("--processes 0 --process-index 0", "give 1 or more"),
        ("--processes 2", "--process-index is missing: give each process its own number, 0 to 1"),
        ("--processes 2 --process-index 2", "--process-index 2: give each process its own number, 0 to 1"),
        ("--processes 2 --process-index -1", "--process-index -1"),
        ("--processes 2 --process-index 1", "--process-address is missing"),
        ("--processes 2 --process-index 1 --process-address node01", "--process-address node01: give the host"),
        ("--processes 2 --process-index 1 --process-address node01:99999", "a free port"),
        ("--processes 2 --process-index 1 --process-address a:1 --process-wait nan", "--process-wait nan"),
    ],
)
def test_options_that_cannot_be_are_refused(words: str, message: str) -> None:
    parser = argparse.ArgumentParser()
    processes.add_options(parser)
    with pytest.raises(UsageError, match=message):
        processes.settings_of(parser.parse_args(words.split()))


def test_options_become_settings_and_one_process_is_alone() -> None:
    parser = argparse.ArgumentParser()
    processes.add_options(parser)
    words = ["--process-index", "0", "--process-address", "[::1]:123", "--process-wait", "7", "--processes"]
    assert processes.settings_of(parser.parse_args([*words, "3"])) == Settings(3, 0, "[::1]:123", 7.0)
    assert processes.settings_of(parser.parse_args([*words, "1"])) is None
    assert processes.settings_of(parser.parse_args([])) is None
    with processes.joined(None, Path("nowhere")):
        assert processes.leads() and not processes.several() and processes.count() == 1


def test_a_process_that_does_not_come_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"1 of 3 processes came within 0\.3 s, missing: 1, 2"):
        team(tmp_path, 0, count=3).meet()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"count": 4}, r"--processes is \d in process \d and \d in process \d"),
        ({"address": "127.0.0.1:10"}, "--process-address is"),
    ],
)
def test_processes_that_expect_different_things_all_end(tmp_path: Path, other: dict, message: str) -> None:
    told: list[str] = []

    def enter(settings: Settings) -> None:
        try:
            with meeting.attended(settings, tmp_path / "run", told.append):
                told.append("came together")
        except UsageError as error:
            told.append(str(error))

    given = {"count": 2, "address": ADDRESS, "wait": 20.0}
    both = [Settings(index=0, **given), Settings(index=1, **(given | other))]
    threads = [threading.Thread(target=enter, args=(one,)) for one in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10.0)
    assert len(told) == 2
    assert all(re.search(f"{message}|process . ended", text) for text in told), told


def test_an_index_that_is_taken_is_refused(tmp_path: Path) -> None:
    first = team(tmp_path, 1)
    first.folder.mkdir()
    first.beat()
    with pytest.raises(UsageError, match="--process-index 1 is taken by process"):
        team(tmp_path, 1).meet()


def test_what_an_earlier_job_left_is_nobody(tmp_path: Path) -> None:
    lead = team(tmp_path, 0)
    lead.folder.mkdir()
    left = {**lead.mine, "key": "old", "beat": 40, "host": "elsewhere 1"}
    lead.path(1).write_text(json.dumps(left), "utf-8")
    assert lead.here() == {}
    lead.path(1).write_text(json.dumps(left | {"key": "new", "beat": 3}), "utf-8")
    assert lead.here() == {}  # It could be of another earlier job: once more it must beat.
    lead.path(1).write_text(json.dumps(left | {"key": "new", "beat": 4}), "utf-8")
    assert set(lead.here()) == {1}
    dead = left | lock.worker() | {"started": "never"}
    lead.path(1).write_text(json.dumps(dead), "utf-8")
    assert lead.here() == {}


def test_a_lost_process_is_noticed_however_it_went(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lead, other = met(tmp_path)
    assert lead.problem() == "" == other.problem()
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 60.0)
    assert "process 1 of 2" in lead.problem() and "has not been heard of for 20 s" in lead.problem()
    other.beat()
    assert lead.problem() == ""
    whole = json.loads(lead.path(1).read_text("utf-8"))
    for said, message in (
        ({"stage": meeting.FAILED, "said": "the disk is full"}, "ended: the disk is full"),
        ({"key": "another"}, "was started anew"),
        ({"started": "never"}, "was killed"),
    ):
        lead.path(1).write_text(json.dumps(whole | said | {"beat": whole["beat"] + 1}), "utf-8")
        assert message in lead.problem()
    lead.tell(meeting.DONE)
    assert lead.problem() == ""
    lead.path(0).write_text(json.dumps(lead.mine | {"key": "another"}), "utf-8")
    lead.mine["stage"] = meeting.READY
    assert "has taken --process-index 0" in lead.problem()


def test_an_address_that_is_not_reached_or_taken_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        taken = team(tmp_path, 0, address=f"localhost:{port}")
        with pytest.raises(UsageError, match=f"port {port} cannot be had"):
            meeting.connect(taken)
    lost = team(tmp_path, 1, address=f"127.0.0.1:{port}")
    with pytest.raises(UsageError, match=rf"127\.0\.0\.1:{port} is not reached within 0\.3 s \(.*refused"):
        meeting.connect(lost)
    alone = team(tmp_path, 0, address=f"127.0.0.1:{port}")
    with pytest.raises(UsageError, match=r"Not all processes reach 127\.0\.0\.1"):
        meeting.connect(alone)


def test_pieces_are_dealt_out_and_process_0_reads_them_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths, made = [tmp_path / f"{i}" for i in range(5)], []

    def make(numbers):
        for i in numbers:
            made.append(i)
            paths[i].touch()
            yield i

    def become(index: int) -> None:
        monkeypatch.setattr(processes, "_team", SimpleNamespace(settings=Settings(2, index, ADDRESS, 1.0)))

    assert list(processes.dealt(paths[:2], make)) == [0, 1]
    made.clear()
    become(1)
    assert list(processes.dealt(paths, make)) == [] and made == [1, 3]
    become(0)
    made.clear()
    assert list(processes.dealt(paths, make)) == [0, 1, 2, 3, 4] and made == [0, 2, 4, 0, 1, 2, 3, 4]
    # What is not made yet is waited for, until this process is asked to end.
    paths[1].unlink()
    asked: list[int] = []

    def check() -> None:
        asked.append(1)
        if len(asked) == 3:
            raise stop.Terminated

    monkeypatch.setattr(stop, "check", check)
    with pytest.raises(stop.Terminated):
        list(processes.dealt(paths, make))


def test_processes_of_a_host_hold_one_copy_of_an_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random((50, 7), np.float32)
    assert processes.one_copy(values) is values  # alone
    both = team(tmp_path, 0), team(tmp_path, 1)
    both[0].folder.mkdir()

    def held_by(one: Team, what: np.ndarray) -> np.ndarray:
        monkeypatch.setattr(processes, "_team", one)
        return processes.one_copy(what)

    found = [held_by(one, values) for one in both]
    (file,) = both[0].folder.iterdir()
    assert all(isinstance(one, np.memmap) and one.filename == file and one.mode == "r" for one in found)
    assert np.array_equal(found[0], values) and np.array_equal(found[1], values)
    # What is mapped stays where it is; other bits are another file; a disk that is full costs the sharing alone.
    some = np.asarray(found[0])[:20]
    assert held_by(both[0], some) is some
    other = held_by(both[1], values[:, ::-1])
    assert np.array_equal(other, values[:, ::-1]) and len(list(both[0].folder.iterdir())) == 2
    monkeypatch.setattr(os, "link", Mock(side_effect=OSError(28, "No space left on device")))
    more = values + 1
    assert held_by(both[0], more) is more and len(list(both[0].folder.iterdir())) == 2
    meeting.part(both[0])
    assert not both[0].folder.exists() and np.array_equal(found[1], values)
