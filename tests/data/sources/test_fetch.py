"""Downloads against a local server: what breaks goes on, what is wrong is refused, and nothing half-written is used."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest
from library_server import Server, served

from jaxsoil.data.sources.fetch import RECORD, Limits, fetch, remote_size
from jaxsoil.runs.errors import DataError
from jaxsoil.runs.files import read_json

CONTENT = b"\x1f\x8b" + bytes(range(256)) * 4000
NAME = "/scans.csv.gz"
QUICK = Limits(timeout=10.0, attempts=3, pause=0.01)
IMPATIENT = Limits(timeout=1.5, attempts=8, pause=0.01)


@pytest.fixture
def one(tmp_path: Path):
    """A server of one file."""
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / NAME[1:]).write_bytes(CONTENT)
    with served(tmp_path / "server") as made:
        yield made


def get(server: Server, folder: Path, limits: Limits = QUICK, **options) -> Path:
    return fetch(server.address + NAME[1:], folder / "here" / NAME[1:], limits=limits, progress=False, **options)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "here").iterdir() if path.name != RECORD)


def test_the_checksum_is_recorded_at_the_first_download_and_a_second_fetches_nothing(one, tmp_path):
    target = get(one, tmp_path)
    assert target.read_bytes() == CONTENT
    entry = read_json(target.parent / RECORD)[target.name]
    assert entry["sha256"] == hashlib.sha256(CONTENT).hexdigest() and entry["bytes"] == len(CONTENT)
    assert get(one, tmp_path) == target and len(one.requests) == 1
    assert left(tmp_path) == [target.name]
    assert remote_size(one.address + NAME[1:]) == len(CONTENT)


def test_a_stalled_download_goes_on_where_it_ended(one, tmp_path):
    one.faults[NAME] = ["stall"]
    assert get(one, tmp_path, IMPATIENT).read_bytes() == CONTENT
    assert f"bytes={len(CONTENT) // 2}-" in [asked for _, _, asked in one.requests]


def test_a_broken_download_goes_on_where_it_ended(one, tmp_path):
    one.faults[NAME] = ["break", "break"]
    assert get(one, tmp_path).read_bytes() == CONTENT
    half, more = len(CONTENT) // 2, len(CONTENT) // 2 + len(CONTENT) // 4
    assert [asked for _, _, asked in one.requests] == [None, f"bytes={half}-", f"bytes={more}-"]


def test_the_next_command_goes_on_where_the_last_gave_up(one, tmp_path):
    one.faults[NAME] = ["break"]
    with pytest.raises(
        DataError, match=r"the download failed \(found: 1 attempts.*ended after 512001 of 1024002 bytes"
    ):
        get(one, tmp_path, Limits(timeout=10.0, attempts=1))
    assert not (tmp_path / "here" / NAME[1:]).exists()
    assert get(one, tmp_path).read_bytes() == CONTENT
    assert one.requests[-1][2] == f"bytes={len(CONTENT) // 2}-"


def test_a_file_that_changed_in_between_is_fetched_from_its_beginning(one, tmp_path):
    one.faults[NAME] = ["break"]
    with pytest.raises(DataError):
        get(one, tmp_path, Limits(timeout=10.0, attempts=1))
    changed = CONTENT[::-1].replace(CONTENT[::-1][:2], b"\x1f\x8b", 1)
    (one.folder / NAME[1:]).write_bytes(changed)
    os.utime(one.folder / NAME[1:], ns=(1, 1))  # another ETag, whatever the clock's step is
    assert get(one, tmp_path).read_bytes() == changed


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><html>consent</html>", "sends a page instead of the file"),
        (b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>", "sends a page instead of the file"),
        (b"id,soc\n1,2\n", r"sends something else than scans\.csv\.gz"),
    ],
)
def test_a_page_in_place_of_the_file_is_refused(one, tmp_path, content, message):
    (one.folder / NAME[1:]).write_bytes(content)
    with pytest.raises(DataError, match=message):
        get(one, tmp_path)
    assert not (tmp_path / "here" / NAME[1:]).exists() and len(one.requests) == 1
    one.faults[NAME] = ["page"]  # by its type alone
    with pytest.raises(DataError, match="page"):
        get(one, tmp_path)


def test_a_busy_server_is_asked_again_and_a_refusal_is_final(one, tmp_path):
    one.faults[NAME] = ["busy", "busy"]
    assert get(one, tmp_path).read_bytes() == CONTENT
    with pytest.raises(DataError, match=r"refuses the file.*status 404.*manual folder"):
        fetch(one.address + "gone.csv", tmp_path / "here" / "gone.csv", limits=QUICK, progress=False)
    assert [path for _, path, _ in one.requests].count("/gone.csv") == 1


def test_no_server_is_an_error_after_all_attempts(tmp_path):
    with pytest.raises(DataError, match=r"the download failed.*3 attempts"):
        fetch("http://127.0.0.1:9/x.csv", tmp_path / "x.csv", limits=QUICK, progress=False)


def test_another_checksum_is_refused_until_it_is_accepted(one, tmp_path):
    target = get(one, tmp_path)
    target.unlink()
    (one.folder / NAME[1:]).write_bytes(CONTENT + b"more")
    with pytest.raises(DataError, match=r"checksum differs from the one recorded on 20.*--accept-changed"):
        get(one, tmp_path)
    assert left(tmp_path) == []
    get(one, tmp_path, accept=True)
    assert read_json(target.parent / RECORD)[target.name]["sha256"] == hashlib.sha256(CONTENT + b"more").hexdigest()
    one.faults[NAME] = ["refuse"]
    with pytest.raises(DataError, match=r"refuses the file"):
        get(one, tmp_path, accept=True)
    assert target.exists()  # what was there stays until the new file is whole
    target.unlink()
    with pytest.raises(DataError, match=r"checksum differs from the publisher's"):
        get(one, tmp_path, sha256="0" * 64)


def test_a_file_that_was_altered_here_is_refused(one, tmp_path):
    get(one, tmp_path).write_bytes(CONTENT[:-1])
    with pytest.raises(DataError, match=r"is not the one that was fetched.*Delete the file"):
        get(one, tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is a thing of Linux")
def test_a_full_disk_leaves_nothing(one, tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / (NAME[1:] + ".part")).symlink_to("/dev/full")
    with pytest.raises(DataError, match=r"the disk is full.*JAXSOIL_CACHE"):
        get(one, tmp_path)
    assert left(tmp_path) == []


def test_a_disk_without_room_is_seen_before_the_first_byte(one, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(0, 0, 1000))  # type: ignore[attr-defined]
    with pytest.raises(DataError, match=r"the disk is full.*GB needed"):
        get(one, tmp_path)
    assert left(tmp_path) == []
