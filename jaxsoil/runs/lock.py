"""One worker a run folder: a lock file beside the folder names who works in it; what a dead worker left is recognised.

The lock of ``runs/a`` is ``runs/.a.lock``, outside the folder, so that a new folder stays empty and one that is
overwritten keeps its lock. It is JSON: process, host, when the process started.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxsoil.runs.errors import UsageError

BEAT = 15.0
"""Seconds between two touches of a lock by the worker that holds it."""
SILENT = 120.0
"""Seconds without a touch after which the lock of a worker on another host counts as left behind."""


class InUse(UsageError):
    """Another worker is in the run folder."""


def lock_path(folder: Path) -> Path:
    """The lock of a run folder."""
    folder = Path(folder).absolute()
    return folder.parent / f".{folder.name}.lock"


def holder(folder: Path) -> dict[str, Any] | None:
    """Who works in the folder: process, host and start; None where nobody does, or a dead worker left its lock."""
    path = lock_path(folder)
    text = _text(path)
    return None if text is None else _living(text, path)


def _living(text: str, path: Path) -> dict[str, Any] | None:
    """What a lock with this text says; None where its worker is dead or the text is cut short."""
    try:
        said = json.loads(text)
        alive = lives(said)
    except (ValueError, KeyError, TypeError):
        return None  # Cut short by a crash of the machine: a lock appears whole or not at all.
    if alive is None:
        alive = _silence(path) < SILENT
    return said if alive else None


def worker() -> dict[str, Any]:
    """This process, as other processes and hosts know it: its number, its host, when it started."""
    return {"pid": os.getpid(), "host": _host(), "started": _started(os.getpid())}


def lives(said: Mapping[str, Any]) -> bool | None:
    """Whether the process of :func:`worker` still runs; None on another host, where it cannot be seen."""
    pid, host = int(said["pid"]), str(said["host"])
    if host != _host():
        return None
    return _started(pid) == said.get("started") and _alive(pid)


def refuse_running(folder: Path) -> None:
    """Raises InUse where another worker is in the folder."""
    said = holder(folder)
    if said is not None:
        raise InUse(_refusal(folder, said))


@contextlib.contextmanager
def held(folder: Path, wait: float = 0.0) -> Iterator[None]:
    """Holds the lock of a run folder within the block.

    A lock whose process is dead (on this host), or that was not touched for :data:`SILENT` seconds (on another), is
    taken over. ``wait``: seconds to wait for another worker. The folder's parent is made where there is none.

    Raises:
      InUse: another worker holds it.
    """
    path, until = lock_path(folder), time.monotonic() + wait
    path.parent.mkdir(parents=True, exist_ok=True)
    mine = json.dumps({**worker(), "key": os.urandom(8).hex()})
    while not _taken(path, folder, mine):
        said = holder(folder)
        if said is not None and time.monotonic() >= until:
            raise InUse(_refusal(folder, said))
        time.sleep(0.05 if said is None else min(1.0, max(0.0, until - time.monotonic())))
    ended = threading.Event()
    beats = threading.Thread(target=_beat, args=(path, mine, ended), daemon=True)
    beats.start()
    try:
        yield
    finally:
        ended.set()
        beats.join()
        with contextlib.suppress(OSError):
            if path.read_text("utf-8") == mine:
                path.unlink()


def _taken(path: Path, folder: Path, mine: str) -> bool:
    """Tries once: a lock appears with its content in one step; a dead worker's is removed first."""
    handle, name = tempfile.mkstemp(prefix=f"{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(mine)
        with contextlib.suppress(FileExistsError):
            _link(name, path)
            return True
        with _alone(path.parent):
            # Read here, and only here is a dead worker's lock removed: what is removed is what was read.
            left = _text(path)
            if left is not None and _living(left, path) is None:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
        return False
    finally:
        os.unlink(name)


@contextlib.contextmanager
def _alone(parent: Path) -> Iterator[None]:
    """One worker at a time in this block, by a lock on the folder itself that ends with its process.

    Two workers that find a dead worker's lock could else remove it one after the other, the second that of the first.
    Systems without such locks go on without.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError, ImportError):
            import fcntl

            handle = os.open(parent, os.O_RDONLY)
            stack.callback(os.close, handle)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _link(source: str, target: Path) -> None:
    """Makes ``target`` with the content of ``source``; FileExistsError where it exists."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:  # A file system without links.
        with open(target, "x", encoding="utf-8") as stream:
            stream.write(Path(source).read_text("utf-8"))


def _text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None


def _beat(path: Path, mine: str, ended: threading.Event) -> None:
    while not ended.wait(BEAT):
        with contextlib.suppress(OSError):
            if path.read_text("utf-8") == mine:
                os.utime(path)


def _silence(path: Path) -> float:
    """Seconds since the lock was touched, both by the clock of the file system: clocks of hosts differ."""
    with tempfile.NamedTemporaryFile(prefix=f"{path.name}-", dir=path.parent) as now:
        try:
            return os.stat(now.name).st_mtime - os.stat(path).st_mtime
        except FileNotFoundError:
            return SILENT


def _host() -> str:
    """Name of this host; processes of two containers on one machine do not see each other and count as two hosts."""
    with contextlib.suppress(OSError):
        return f"{socket.gethostname()} {os.readlink('/proc/self/ns/pid')}"
    return socket.gethostname()


def _started(pid: int) -> str | None:
    """When a process started, in ticks since the machine did: numbers of processes are used again. None: not known."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def _alive(pid: int) -> bool:
    try:
        if Path("/proc/self/stat").exists():  # A zombie has ended; its parent has not looked yet.
            return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] not in "ZX"
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, IndexError):
        return False
    return True


def _refusal(folder: Path, said: dict[str, Any]) -> str:
    host = str(said["host"]).split()[0]
    return (
        f"{folder} is in use by process {said['pid']} on {host}: wait for it to end, stop it, or choose another folder "
        f"with --workdir. If no such process runs, delete {lock_path(folder)}."
    )
