"""One run by several processes, on one host or on many: which process does what, and what ends them all.

Every process runs the same command on the same run folder, which all of them must see. Trainings and fits are dealt
out in turn (:func:`dealt`); each process keeps the checkpoints and finished pieces of its own. Process 0, which holds
the lock, alone writes everything else. How they meet: :mod:`jaxsoil.runs.meeting`.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import mmap
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from jaxsoil.runs import meeting, stop
from jaxsoil.runs.errors import UsageError

T = TypeVar("T")

LOST = 1
"""Exit status of a process that ends because another one of its run has."""
LOOK = 0.1
"""Seconds between two looks for a file that another process makes."""

_team: meeting.Team | None = None
_lost = ""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of a run by several processes."""
    add = parser.add_argument_group("several processes (docs/devices.md)").add_argument
    add("--processes", metavar="N", type=int, help="processes of this run; each runs the same command")
    add("--process-index", metavar="I", type=int, help="which of them this is, from 0; 0 writes the tables")
    add("--process-address", metavar="HOST:PORT", help="where process 0 is reached; the same in all")
    words = "wait for a process that does not come or falls silent, then end with an error (default: 60)"
    add("--process-wait", metavar="SECONDS", type=float, default=60.0, help=words)


def settings_of(options: argparse.Namespace) -> meeting.Settings | None:
    """What the options of :func:`add_options` say, None: one process; UsageError where that cannot be done."""
    count, index, address = options.processes, options.process_index, options.process_address
    if count is None:
        for name in ("process_index", "process_address"):
            if getattr(options, name) is not None:
                raise UsageError(f"--{name.replace('_', '-')} belongs to --processes N: say how many there are.")
        return None
    if count < 1:
        raise UsageError(f"--processes {count}: give 1 or more.")
    if index is None or not 0 <= index < count:
        found = "is missing" if index is None else f"{index}"
        raise UsageError(f"--process-index {found}: give each process its own number, 0 to {count - 1}.")
    host, _, port = (address or "").rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UsageError(f"--process-address {address or 'is missing'}: give the host of process 0 and a free port, "
                         "such as node01:12345.")  # fmt: skip
    if not options.process_wait >= meeting.SHORTEST:
        raise UsageError(f"--process-wait {options.process_wait:g}: give {meeting.SHORTEST:g} seconds or more.")
    return meeting.Settings(count, index, address, options.process_wait) if count > 1 else None


def several() -> bool:
    """Whether this run has several processes."""
    return _team is not None


def leads() -> bool:
    """Whether this process writes the files of the run: the only one, or process 0."""
    return _team is None or _team.settings.index == 0


def count() -> int:
    """Processes of this run."""
    return 1 if _team is None else _team.settings.count


def lost() -> str:
    """Why the process was asked to end, where another process of its run has ended or fallen silent, else ""."""
    return _lost


@contextlib.contextmanager
def joined(settings: meeting.Settings | None, folder: Path, connected: bool = False) -> Iterator[None]:
    """Within the block this process is one of several of a run; None: it is alone, and nothing happens.

    ``connected``: their devices can share a training (:func:`jaxsoil.training.rows.fit`). One that waits for another
    in the middle of a step is cut off (:mod:`jaxsoil.runs.stop`): the training goes on from its latest checkpoint.

    Until the block ends a process that ends with an error, is killed or falls silent ends the others: each keeps the
    state of its trainings, as at SIGTERM.

    Raises:
      UsageError: the processes did not come together within ``settings.wait`` seconds, or do not agree.
    """
    global _team, _lost
    _lost = ""
    if settings is None:
        yield
        return
    with meeting.attended(settings, folder, _end, connected) as team:
        _team = team
        try:
            yield
        finally:
            _team = None


def _end(problem: str) -> None:
    """Ends this process because of another."""
    global _lost
    _lost = problem
    stop.request(LOST)


def ready() -> None:
    """Tells the other processes that process 0 has the run folder."""
    if _team is not None:
        _team.tell(meeting.READY)


def wait_for_folder() -> None:
    """Waits until process 0 has the run folder; what ends it ends this process too."""
    while _team is not None and _team.stage(0) not in (meeting.READY, meeting.THROUGH, meeting.DONE):
        stop.check()
        time.sleep(LOOK)


def dealt(paths: Sequence[Path], make: Callable[[Sequence[int]], Iterator[T]]) -> Iterator[T]:
    """What several processes make together, in order; in processes other than 0 nothing, once their share is made.

    Args:
      paths: the file of each piece, which is there whole or not at all.
      make: makes or reads the pieces of some numbers, in order.
    """
    numbers = range(len(paths))
    if _team is None:
        yield from make(numbers)
        return
    # Its own share first: the others are at theirs meanwhile.
    for _ in make(numbers[_team.settings.index :: _team.settings.count]):
        pass
    if leads():
        for i in numbers:
            while not paths[i].exists():
                stop.check()
                time.sleep(LOOK)
            yield from make([i])


def one_copy(values: Any) -> Any:
    """An array (n, m), of which the processes of a run on one host hold one copy: a file beside the run folder, mapped.

    The file is named by its content, so that processes that made other bits have each their own; it goes when the run
    ends. The array itself comes back where this process is alone, where its values lie in a mapped file already, and
    where the file cannot be written.
    """
    import numpy as np

    if _team is None or not values.size or _mapped(values):
        return values
    values = np.ascontiguousarray(values)
    path = _team.folder / f"{hashlib.sha256(values).hexdigest()}.values"
    new = path.with_suffix(f".{_team.mine['key']}")
    try:
        if not path.exists():
            values.tofile(new)
            with contextlib.suppress(FileExistsError):
                os.link(new, path)  # the first to write it gives it to all
        return np.memmap(path, values.dtype, "r", shape=values.shape)
    except OSError:
        return values
    finally:
        new.unlink(missing_ok=True)


def _mapped(values: Any) -> bool:
    """Whether an array is a view of a mapped file."""
    while hasattr(values, "base"):
        values = values.base
    return isinstance(values, mmap.mmap)
