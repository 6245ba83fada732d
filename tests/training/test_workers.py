"""Calls that run at a time: their results in order, their errors, and how they end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import jax
import pytest

from jaxsoil.training.config import DeviceConfig
from jaxsoil.training.devices import make_mesh
from jaxsoil.training.workers import in_order, workers_of


def endless(begun: threading.Event, ended: threading.Event) -> Callable[[Callable[[], None]], None]:
    """A call that goes on until it is told to stop."""

    def call(going_on: Callable[[], None]) -> None:
        begun.set()
        try:
            while True:
                going_on()
                time.sleep(0.001)
        finally:
            ended.set()

    return call


def test_results_come_in_the_order_of_the_calls() -> None:
    first_may_end = threading.Event()

    def slow(going_on: Callable[[], None]) -> str:
        assert first_may_end.wait(10.0)
        return "first"

    def quick(going_on: Callable[[], None]) -> str:
        first_may_end.set()
        return "second"

    # The first call ends only after the second one has run: they do run at a time.
    assert list(in_order([slow, quick], 2)) == ["first", "second"]


def test_early_calls_begin_before_the_others() -> None:
    begun = []
    calls = [lambda going_on, i=i: begun.append(i) or i for i in range(4)]
    # Two threads take calls from one queue; the third call is handed out first.
    lock = threading.Lock()

    def locked(i: int) -> Callable[[Callable[[], None]], int]:
        def call(going_on: Callable[[], None]) -> int:
            with lock:
                return calls[i](going_on)

        return call

    assert list(in_order([locked(i) for i in range(4)], 2, early=[2])) == [0, 1, 2, 3]
    assert 2 in begun[:2]


def test_one_worker_runs_each_call_when_its_result_is_asked_for() -> None:
    begun = []
    results = in_order([lambda going_on, i=i: begun.append(i) or i for i in range(3)], 1)
    assert next(results) == 0
    assert begun == [0]


def test_an_error_ends_the_other_calls_and_begins_none() -> None:
    begun, ended = threading.Event(), threading.Event()
    late = []

    def fails(going_on: Callable[[], None]) -> None:
        assert begun.wait(10.0)
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        list(in_order([fails, endless(begun, ended), lambda going_on: late.append(1)], 2))
    assert ended.is_set()
    assert not late


def test_given_up_results_end_the_calls() -> None:
    begun, ended = threading.Event(), threading.Event()

    results = in_order([lambda going_on: 0, endless(begun, ended)], 2)
    assert next(results) == 0
    assert begun.wait(10.0)
    results.close()
    assert ended.is_set()


def test_threads_are_for_a_single_cpu_device() -> None:
    mesh = make_mesh(DeviceConfig(), jax.devices()[:1])
    assert workers_of(DeviceConfig(threads=3), mesh) == 3
    assert 1 <= workers_of(DeviceConfig(), mesh) <= 8
