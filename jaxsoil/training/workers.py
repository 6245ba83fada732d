"""Several trainings at a time on one CPU: each thread runs a program of its own, results come in order.

A small network's step keeps one core busy, so trainings in turn leave the others idle. Threads share the compiled
program; each training computes the same bits as alone.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from jax.sharding import Mesh

from jaxsoil.runs.stop import Terminated
from jaxsoil.training.config import DeviceConfig

T = TypeVar("T")
Call = Callable[[Callable[[], None]], T]

MOST_THREADS = 8
"""Threads unless told otherwise: beyond that, steps wait for memory rather than for a core."""


class Stopped(BaseException):
    """Ends a training whose study was interrupted; it never leaves :func:`in_order`."""


def workers_of(config: DeviceConfig, mesh: Mesh) -> int:
    """Trainings at a time: ``config.threads``, or one a core where the mesh is a single CPU, else 1."""
    if mesh.devices.size > 1 or mesh.devices.flat[0].platform != "cpu":
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return config.threads or min(cores, MOST_THREADS)


def in_order(
    calls: Sequence[Callable[[Callable[[], None]], T]], workers: int, early: Sequence[int] = ()
) -> Generator[T, None, None]:
    """Runs the calls, ``workers`` at a time, and yields their results in order.

    Args:
      calls: each takes a function that it must call now and then; it ends the call once the others are given up.
      workers: calls at a time; with one they run in this thread, each when its result is asked for.
      early: numbers of the calls that begin before the others, such as those that compile a program for later ones.

    Raises:
      whatever a call raises; the other calls are then ended first, and none is begun.
    """
    if workers == 1 or len(calls) < 2:
        yield from (call(lambda: None) for call in calls)
        return
    stop, errors = threading.Event(), list[BaseException]()

    def going_on() -> None:
        if stop.is_set():
            raise Stopped

    def guarded(call: Call[T]) -> T:
        going_on()
        try:
            return call(going_on)
        except Terminated:
            raise  # Each sees for itself that it is to end, and keeps its state.
        except BaseException as error:
            errors.append(error)
            stop.set()
            raise

    with ThreadPoolExecutor(workers) as pool:
        order = sorted(range(len(calls)), key=lambda i: (i not in early, i))
        futures = {i: pool.submit(guarded, calls[i]) for i in order}
        try:
            for i in range(len(calls)):
                yield futures[i].result()
        except Stopped:
            raise errors[0] from None
        finally:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
