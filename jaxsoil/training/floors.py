"""What this device does at best, measured in about a second, and what was reached: the floors under a training's time.

A training cannot take less time than its floating-point operations at the rate of a large matrix product, nor less
than the bytes it must move at the rate of a copy: the roofline of Williams et al. (2009), doi:10.1145/1498765.1498785.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxsoil.training.devices import matmul_precision

SECONDS = 0.2
"""Seconds for which each of the two is repeated; the fastest counts."""

SIDE = {"cpu": 1536, "gpu": 8192}
"""Side of the matrices by platform: large enough to fill its units."""
VALUES = {"cpu": 1 << 25, "gpu": 1 << 28}
"""float32 values that are copied: 128 MB and 1 GB, beyond the caches."""


@dataclasses.dataclass(frozen=True)
class Rates:
    """The best of a device: operations and bytes a second, and what the operations are (side, precision)."""

    operations: float
    bytes: float
    side: int
    precision: str

    def seconds(self, operations: float, moved: float) -> tuple[float, float]:
        """The two floors: of so many operations, and of so many bytes moved."""
        return operations / self.operations, moved / self.bytes

    def in_words(self) -> str:
        """The rates and how they were measured."""
        return (
            f"{self.operations / 1e9:,.0f} GFLOP/s (float32 product of {self.side:,d} x {self.side:,d}, precision "
            f"'{self.precision}') and {self.bytes / 1e9:,.1f} GB/s (scaled copy)"
        )


@dataclasses.dataclass(frozen=True)
class Work:
    """What one call of the engine did: operations, bytes that had to move, begin and end by ``time.perf_counter``."""

    operations: float
    bytes: float
    began: float
    ended: float


_done: list[Work] = []
"""All of this process; threads add to it."""


def now() -> float:
    """Seconds of the clock of :class:`Work`."""
    return time.perf_counter()


def add(parameters: float, rows: int, steps: float, began: float) -> None:
    """Notes steps that were taken until now: 6 operations for each parameter and row, 32 bytes for each parameter.

    Parameters and two moments are read and written, gradients written and read. The operations are too few where
    weights are shared (convolutions), and without the products of a mixing decoder.
    """
    updated = parameters * steps
    _done.append(Work(6.0 * rows * updated, 32.0 * updated, began, now()))


def marked() -> int:
    """A place in what was done, from which :func:`reached` counts."""
    return len(_done)


def reached(since: int = 0, precision: str = "highest") -> dict[str, float | str]:
    """What the engine did in this process after a mark, beside what the device could do: for env.json.

    Returns:
      operations and bytes, their floors in seconds, ``seconds`` in which any training ran, and the share of the larger
      floor of each call that was reached; empty where nothing was trained.
    """
    work = [one for one in _done[since:] if one.bytes]
    if not work:
        return {}
    seconds, until = 0.0, 0.0
    for one in sorted(work, key=lambda one: one.began):  # Trainings of several threads run at a time.
        seconds += max(one.ended - max(one.began, until), 0.0)
        until = max(until, one.ended)
    return beside([(one.operations, one.bytes) for one in work], seconds, precision)


def beside(each: Sequence[tuple[float, float]], seconds: float, precision: str) -> dict[str, float | str]:
    """Trainings beside their floors, as :func:`reached`: (operations, bytes) of each, and what they took together."""
    best, (operations, moved) = rates(precision), (sum(side) for side in zip(*each, strict=True))
    compute, memory = best.seconds(operations, moved)
    floor = sum(max(best.seconds(*one)) for one in each)
    return {
        "operations": operations, "bytes": moved, "compute_s": compute, "memory_s": memory, "seconds": seconds,
        "share": floor / seconds, "best": best.in_words(),
    }  # fmt: skip


@functools.lru_cache
def rates(precision: str = "highest") -> Rates:
    """Rates of one device of this process, measured once.

    Args:
      precision: of products, as of :class:`jaxsoil.training.config.TrainConfig`.
    """
    platform = jax.devices()[0].platform
    side, size = SIDE.get(platform, SIDE["gpu"]), VALUES.get(platform, VALUES["gpu"])
    with matmul_precision(precision):
        square = jnp.full((side, side), 0.5, jnp.float32)
        product = _fastest(jax.jit(lambda x: x @ x), square)
    copy = _fastest(jax.jit(lambda x: x * jnp.float32(1.5)), jnp.zeros(size, jnp.float32))
    return Rates(2.0 * side**3 / product, 2.0 * 4.0 * size / copy, side, precision)


def _fastest(function: Callable[[Any], Any], argument: Any) -> float:
    """Seconds of the fastest of several calls, compilation left out."""
    jax.block_until_ready(function(argument))
    seconds, until = [], time.perf_counter() + SECONDS
    while not seconds or (time.perf_counter() < until and len(seconds) < 50):
        began = time.perf_counter()
        jax.block_until_ready(function(argument))
        seconds.append(time.perf_counter() - began)
    return max(min(seconds), 1e-9)
