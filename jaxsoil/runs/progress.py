"""The one line that shows how far a study is, and what a study prints beside it.

A study says with :func:`expect` what it will train, with :func:`reach` what is done and with :func:`note` what it is
at; :func:`say` prints a sentence. Without an open line (:func:`line`) the first three do nothing, so that trainings can
be called from anywhere. :func:`quietly` silences all four.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

REDRAW, REPEAT = 0.1, 30.0
"""Seconds between two states of the line at least: on a terminal, and in a file, where each is a line of its own."""

_BAR = 20


class Line:
    """How many trials of a study are done, and how long the others will take.

    The time left of a kind of trials is their number times the mean time of those that were trained in this call. While
    a kind has no such time, the line gives what the others take as the least.
    """

    def __init__(self, name: str, stream: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self.name, self.stream, self.clock, self.unit, self.at = name, stream, clock, "trials", ""
        self.expected: dict[str, dict[str, int]] = {}
        self.shares: dict[tuple[str, str], float] = {}
        self.trained: dict[str, tuple[float, float]] = {}
        self.lock, self.mark, self.drawn, self.width = threading.RLock(), clock(), -REPEAT, 0
        self.terminal = stream.isatty()
        self.since = clock()

    def reach(self, kind: str, key: str, share: float, kept: bool) -> None:
        """Takes a trial's share that is done; ``kept``: an earlier call had done it, so that it tells no time."""
        with self.lock:
            now = self.clock()
            gained = max(share - self.shares.get((kind, key), 0.0), 0.0)
            self.shares[kind, key] = self.shares.get((kind, key), 0.0) + gained
            if not kept:
                done, seconds = self.trained.get(kind, (0.0, 0.0))
                self.trained[kind] = done + gained, seconds + now - self.mark
            self.mark = now
            self.draw()

    def counts(self) -> dict[str, int]:
        """Trials of each kind."""
        return sum(map(Counter, self.expected.values()), Counter())

    def left(self) -> tuple[float, bool]:
        """Seconds that the trials take which are not done, and whether all kinds of them have been timed."""
        seconds, whole = 0.0, True
        for kind, number in self.counts().items():
            open_trials = number - sum(share for (one, _), share in self.shares.items() if one == kind)
            done, took = self.trained.get(kind, (0.0, 0.0))
            if open_trials > 1e-6:
                seconds += open_trials * took / done if done else 0.0
                whole = whole and done > 0.0
        return seconds, whole

    def text(self) -> str:
        """The line without its colours: done of all, time left, and what it is at."""
        done = int(sum(self.shares.values()) + 1e-6)
        total = max(sum(self.counts().values()), done)
        seconds, whole = self.left()
        left = f"{'' if whole else 'more than '}{span(seconds)} left" if seconds or whole else ""
        words = ", ".join(filter(None, [f"{done} of {total} {self.unit}", left if done else "", self.at]))
        filled = round(_BAR * min(sum(self.shares.values()) / total, 1.0)) if total else 0
        return f"{self.name} [{'#' * filled}{'.' * (_BAR - filled)}] {words}"

    def draw(self, now: bool = False) -> None:
        """Draws the line if it is time: over itself on a terminal, as a new line elsewhere."""
        if not now and self.clock() - max(self.drawn, self.since) < (REDRAW if self.terminal else REPEAT):
            return
        self.drawn = self.clock()
        if not self.terminal:
            print(self.text(), file=self.stream, flush=True)
            return
        text = self.text()[: max(shutil.get_terminal_size().columns - 1, 1)]
        self.stream.write("\r" + text.ljust(self.width))
        self.stream.flush()
        self.width = len(text)

    def clear(self) -> None:
        """Takes the line off the terminal."""
        if self.width:
            self.stream.write("\r" + " " * self.width + "\r")
            self.stream.flush()
            self.width = 0


_line: Line | None = None
_quiet = False


def span(seconds: float) -> str:
    """A time in words: "40 s", "3 min", "2 h 10 min"."""
    minutes = round(seconds / 60.0)
    if seconds < 100.0:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


@contextlib.contextmanager
def line(name: str, stream: Any = None, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Shows one line, on standard error, while the block runs; inside another one or when quiet nothing more."""
    global _line
    if _quiet or _line is not None:
        yield
        return
    _line = Line(name, sys.stderr if stream is None else stream, clock)
    try:
        yield
    finally:
        _line.clear()
        _line = None


@contextlib.contextmanager
def quietly(quiet: bool = True) -> Iterator[None]:
    """With ``quiet`` nothing of this module is shown while the block runs."""
    global _quiet
    before, _quiet = _quiet, _quiet or quiet
    try:
        yield
    finally:
        _quiet = before


def is_quiet() -> bool:
    """Whether progress and sentences are to be left out; for what draws a bar of its own."""
    return _quiet


def expect(counts: Mapping[str, int], part: str = "", unit: str = "") -> None:
    """Announces numbers of trials, or of another ``unit``, by kind; again for the same part they replace the former."""
    if _line is not None:
        _line.expected[part] = dict(counts)
        _line.unit = unit or _line.unit
        _line.mark = _line.clock()


def share() -> float:
    """What part of the trials that were announced is done, 0 to 1; 0 where no line is open or nothing was announced."""
    if _line is None:
        return 0.0
    with _line.lock:
        total = sum(_line.counts().values())
        return min(sum(_line.shares.values()) / total, 1.0) if total else 0.0


def reach(kind: str, key: str, share: float = 1.0, *, kept: bool = False) -> None:
    """Says that ``share`` of the trial ``key`` is done; ``kept``: in an earlier call."""
    if _line is not None:
        _line.at = kind
        _line.reach(kind, key, share, kept)


def note(text: str) -> None:
    """Says what is going on, behind the numbers of the line."""
    if _line is not None:
        with _line.lock:
            _line.at = text
            _line.draw()


def say(*sentences: Any, sep: str = "\n") -> None:
    """Prints above the line."""
    if _quiet:
        return
    if _line is not None:
        with _line.lock:
            _line.clear()
    print(*sentences, sep=sep, flush=True)
