"""Batches of scans for a long training: from memory, or block by block from a library that exceeds it.

The order of the scans depends on the key and the epoch alone, so a training that is resumed inside an epoch sees
what it would have seen.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from jaxsoil.data.scans import Scans
from jaxsoil.spectra.container import Spectra
from jaxsoil.spectra.preprocess import SNV
from jaxsoil.training.step import Member

READ_ROWS = 4096
"""Scans that are read and prepared together."""


def read_snv(scans: Scans, rows: np.ndarray) -> np.ndarray:
    """Returns the SNV absorbance (r, M) float32 of some scans; nothing is fitted, each spectrum stands alone.

    Raises:
      DataError: a scan that is constant or not finite.
    """
    out = np.empty((len(rows), scans.axis.size), np.float32)
    for start in range(0, len(rows), READ_ROWS):
        part = slice(start, start + READ_ROWS)
        out[part] = SNV()(Spectra(scans.read(rows[part]), scans.axis, "cm-1", "absorbance")).values
    return out


@dataclasses.dataclass(frozen=True, eq=False)
class Block:
    """Steps ``first`` to ``last`` of an epoch: batches (last - first, batch) of row numbers into ``values``.

    ``values`` is None where all scans lie on the device; ``order`` then counts scans, else rows of ``values``.
    """

    first: int
    last: int
    order: np.ndarray
    values: np.ndarray | None


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """The batches of every epoch.

    Args:
      rows: (n,) scans to train on, ascending.
      batch: scans in a step; the last incomplete one of an epoch is dropped.
      seeds: numbers that fix the order, with the epoch.
      block: steps of scans held together, 0 where all lie in memory.
      chunk: neighbouring scans that are read together and stay in one block.
    """

    rows: np.ndarray
    batch: int
    seeds: tuple[int, ...]
    block: int = 0
    chunk: int = 256

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return self.rows.size // self.batch

    def epoch(self, number: int, start: int, read: Callable[[np.ndarray], np.ndarray]) -> Iterator[Block]:
        """Yields the blocks of an epoch from step ``start`` on; the next one is read while one is used."""
        draw = np.random.default_rng([*self.seeds, number])
        if not self.block:
            order = draw.permutation(self.rows)[: self.steps * self.batch].reshape(self.steps, self.batch)
            yield Block(0, self.steps, order.astype(np.int32), None)
            return
        sequence = self._sequence(draw)
        starts = range(0, self.steps, self.block)
        orders = [draw.permutation(min(self.block, self.steps - first) * self.batch) for first in starts]
        wanted = [(first, order) for first, order in zip(starts, orders, strict=True) if first + self.block > start]
        with concurrent.futures.ThreadPoolExecutor(1) as reader:
            task = None
            for number, (first, order) in enumerate(wanted):
                values = (task or reader.submit(self._read, sequence, first, read)).result()
                if number + 1 < len(wanted):
                    task = reader.submit(self._read, sequence, wanted[number + 1][0], read)
                batches = order.reshape(-1, self.batch)
                yield Block(first, first + len(batches), batches.astype(np.int32), values)

    def _sequence(self, draw: np.random.Generator) -> np.ndarray:
        """Chunks of neighbouring scans in a random order, cut to whole batches."""
        chunks = np.split(self.rows, range(self.chunk, self.rows.size, self.chunk))
        order = draw.permutation(len(chunks))
        return np.concatenate([chunks[i] for i in order])[: self.steps * self.batch]

    def _read(self, sequence: np.ndarray, first: int, read: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        size = self.block * self.batch
        values = read(np.sort(sequence[first * self.batch : first * self.batch + size]))
        # The last block is filled up, so that it runs the same program; its order names no filling.
        return np.pad(values, ((0, size - len(values)), (0, 0)))


@dataclasses.dataclass(frozen=True)
class BlockBatches:
    """Batches of a block that the host has read: the engine's :class:`jaxsoil.training.step.Batches` for scans.

    The order is handed over by the host as (batches (steps, batch) of row numbers, first step), and so is the
    validation loss, whose scans may exceed the memory.
    """

    def order(self, member: Member, epoch: Any) -> Any:
        """Never asked for: the host knows it."""
        raise NotImplementedError("The order of scans comes with their block.")

    def take(self, arrays: jax.Array, member: Member, order: tuple[jax.Array, jax.Array], i: Any) -> jax.Array:
        """The scans of step ``i`` of the epoch."""
        batches, first = order
        return arrays[jax.lax.dynamic_index_in_dim(batches, i - first, keepdims=False)]

    def validation(self, value: Any, arrays: Any, member: Member, unrolled: bool) -> None:
        """None: the host computes it."""
        return None
