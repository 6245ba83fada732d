"""SIGTERM: a run is asked to end, as a scheduler does before it kills; it keeps its state and is gone within 10 s.

A training that runs when the signal comes ends its call, keeps its state and raises :class:`Terminated`; anything else
is left at once. What takes longer than :data:`GRACE` is cut off: files are written whole or not at all, so that
nothing is lost but what was done since the last state that was kept.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator

GRACE = 6.0
"""Seconds from the signal to the end of the process, whatever it does."""
CALL = 1.0
"""Seconds that a call of a training is to take, so that it can be ended in time."""
STATUS = 128 + 15
"""Exit status of a process that was asked to end, as shells count it."""

_asked = threading.Event()
_trainings: set[int] = set()
"""Threads that are within a training, which sees for itself that it is to end."""
_listening = False
_cut_off_status = STATUS


class Terminated(BaseException):
    """The process was asked to end (SIGTERM). No Exception: a sweep must not record it as the failure of a point."""


def asked() -> bool:
    """Whether the process was asked to end."""
    return _asked.is_set()


def request(status: int) -> None:
    """Asks this process to end, as SIGTERM does, from any thread; ``status``: of the process where it is cut off."""
    global _cut_off_status
    _cut_off_status = status
    os.kill(os.getpid(), signal.SIGTERM)


def check() -> None:
    """Raises Terminated where the process was asked to end."""
    if _asked.is_set():
        raise Terminated


@contextlib.contextmanager
def caught() -> Iterator[None]:
    """Catches SIGTERM within the block; outside the main thread, where Python takes no signals, nothing is caught."""
    global _listening
    if threading.current_thread() is not threading.main_thread() or _listening:
        yield
        return
    _asked.clear()
    # Python calls a handler when the main thread comes back from a library, which may take minutes. The number of the
    # signal is written to this socket at once, whatever the main thread does.
    heard, told = socket.socketpair()
    told.setblocking(False)
    threading.Thread(target=_watch, args=(heard, GRACE, _cut_off), daemon=True).start()
    woken = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    before = signal.signal(signal.SIGTERM, _on_signal)
    _listening = True
    try:
        yield
    finally:
        _listening = False
        _asked.clear()
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)
        signal.set_wakeup_fd(woken)
        told.close()


def _on_signal(*_: object) -> None:
    if _asked.is_set():
        return
    _asked.set()
    if not _trainings:
        raise Terminated


def _watch(heard: socket.socket, grace: float, cut_off: Callable[[], None]) -> None:
    """Cuts the process off some seconds after SIGTERM, which need not have reached its handler."""
    with heard:
        while number := heard.recv(1):
            if number[0] == signal.SIGTERM:
                time.sleep(grace)
                cut_off()


def _cut_off() -> None:
    # Even where the command has ended: a library's way out may wait for a server that does not answer.
    with contextlib.suppress(OSError, ValueError):
        print(f"Cut off after {GRACE:g} s; --resume goes on from the last checkpoint.", file=sys.stderr, flush=True)
    os._exit(_cut_off_status)


@contextlib.contextmanager
def in_training() -> Iterator[None]:
    """Within the block this thread looks at :func:`asked` between its calls, and keeps its state before it ends."""
    check()
    me = threading.get_ident()
    _trainings.add(me)
    try:
        yield
    finally:
        _trainings.discard(me)


class Pace:
    """How much a training does between two looks at :func:`asked`: what takes about :data:`CALL` seconds.

    Where SIGTERM is not caught, or for ``whole`` calls, all that there is.
    """

    def __init__(self, whole: bool = False) -> None:
        self._paced = _listening and not whole
        self.most = 1 if self._paced else sys.maxsize

    @contextlib.contextmanager
    def timed(self, count: int) -> Iterator[None]:
        """A call that does ``count`` epochs or steps."""
        began = time.perf_counter()
        yield
        if self._paced:
            took = time.perf_counter() - began
            self.most = max(1, int(min(count * CALL / max(took, 1e-9), 1e9)))
