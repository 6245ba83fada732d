"""Trainings whose rows stay on the disk: blocks of steps are read ahead of their use, within a stated memory.

The batches are those of a training in memory, row by row, and so are the parameters, bit by bit; what differs is where
the rows lie, and perhaps the last bit of the validation loss, whose parts another program adds up.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jaxsoil.runs.errors import UsageError
from jaxsoil.training import step as pure
from jaxsoil.training.batches import VALIDATION_ROWS, BlockBatches, RowBatches
from jaxsoil.training.devices import Layout
from jaxsoil.training.loop import Program
from jaxsoil.training.step import Data, Member, State, Training

HELD = 4
"""Copies of a block that are held at most: in use, next on the device, next on the host, and the one being read."""

Read = Callable[[NDArray[np.int64]], Any]
"""Gives a tree of arrays (r, ...) of (r,) ascending row numbers; the last may repeat."""


@dataclasses.dataclass(frozen=True, eq=False)
class Stored:
    """Rows that are read when they are asked for, in place of arrays (n, ...).

    Args:
      rows: their number n.
      read: what reads them, in a thread of its own: from a memory map, with whatever preprocessing stands alone.
      memory_gb: what the blocks of rows that are held may take, in GB of 1e9 bytes; at least one step is held.
      block: steps that are held together at most.
      checkpoint_steps: steps between checkpoints, in the middle of an epoch too.

    Raises:
      UsageError: a memory that is negative or no number, or less than one row, step or checkpoint.
    """

    rows: int
    read: Read
    memory_gb: float
    block: int = 64
    checkpoint_steps: int = 1000

    def __post_init__(self) -> None:
        if not self.memory_gb >= 0.0 or min(self.rows, self.block, self.checkpoint_steps) < 1:
            raise UsageError(
                f"Stored rows: {self.rows} rows, memory_gb {self.memory_gb:g}, block {self.block}, checkpoint_steps "
                f"{self.checkpoint_steps}: give a memory of 0 or more, and at least 1 of the others."
            )


@dataclasses.dataclass(frozen=True, eq=False)
class Block:
    """Steps ``first`` to ``last`` of an epoch: ``order`` (steps, batch) int32 of rows of the tree ``values``.

    Blocks of one training have one shape: the last is filled up with rows and steps that nothing takes.
    """

    first: int
    last: int
    order: NDArray[np.int32]
    values: Any


def steps_held(row_bytes: int, batch: int, memory_gb: float, most: int) -> int:
    """Steps whose rows are held together: as many as fit the memory :data:`HELD` times, 1 to ``most``.

    >>> steps_held(row_bytes=6804, batch=256, memory_gb=0.25, most=64)
    35
    """
    return max(1, min(most, int(memory_gb * 1e9 / (HELD * row_bytes * batch))))


def read_blocks(order: NDArray[Any], held: int, start: int, read: Read) -> Iterator[Block]:
    """Yields the blocks of an epoch from step ``start`` on; the next one is read while one is used.

    Args:
      order: (steps, batch) row numbers of the epoch.
      held: steps of a block.
      start: first step that is needed; its block comes whole.
      read: what reads rows.
    """
    steps, batch = order.shape

    def block(first: int) -> Block:
        wanted, local = np.unique(order[first : first + held], return_inverse=True)
        filled = np.concatenate([wanted, np.full(held * batch - wanted.size, wanted[-1])]).astype(np.int64)
        places = np.zeros((held, batch), np.int32)
        places[: local.size // batch] = local.reshape(-1, batch)
        return Block(first, min(first + held, steps), places, read(filled))

    firsts = range(start // held * held, steps, held)
    with concurrent.futures.ThreadPoolExecutor(1) as reader:
        task = None
        for first in firsts:
            made = (task or reader.submit(block, first)).result()
            task = reader.submit(block, first + held) if first + held < steps else None
            yield made
            del made  # one that nobody needs any more, while the next one is awaited


class StreamedRows(Program):
    """A training over stored rows, with the batches of :class:`jaxsoil.training.batches.RowBatches`.

    Args:
      training: as in memory, with its ``RowBatches``.
      member: as in memory.
      stored: the rows.
      shared: constants of the loss.
    """

    def __init__(self, training: Training, member: Member, stored: Stored, shared: Any) -> None:
        assert isinstance(training.batches, RowBatches)
        self.stored, self.size = stored, training.batches.size
        self._order = jax.jit(training.batches.order)
        training = dataclasses.replace(training, batches=BlockBatches())
        super().__init__(training, Layout(), member, Data(None, shared))
        self.in_parts = True
        one = stored.read(np.zeros(1, np.int64))
        row_bytes = sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(one))
        self.held = steps_held(row_bytes, self.size, stored.memory_gb, min(stored.block, self.most))
        self._example = jax.tree.map(lambda x: jnp.zeros((self.size, *np.shape(x)[1:]), x.dtype), one)

    def initial(self, params: Any, stats: Any = None) -> State:
        """State before the first step."""
        return pure.initial(self.training, params, stats, self.member, self.data, self._example)

    def blocks(self, epoch: int, at: int) -> Iterator[tuple[int, Any, Data]]:
        """The steps of an epoch in blocks, each with its rows."""
        rows = np.asarray(self._order(self.member, jnp.int32(epoch)))[: self.most * self.size]
        for block in read_blocks(rows.reshape(self.most, self.size), self.held, at, self.stored.read):
            order = (jnp.asarray(block.order), jnp.int32(block.first))
            made = block.last, order, Data(jax.tree.map(jnp.asarray, block.values), self.data.shared)
            del block  # its copy on the host, while this one trains
            yield made
            del made

    def finish(self, state: State, total: Any, epoch: int) -> State:
        """Ends an epoch with the loss on the validation rows, read in parts."""
        return self.functions.close(state, total, self.member, self._validation(state), jnp.int32(epoch))

    def _validation(self, state: State) -> jax.Array | None:
        rows = np.asarray(self.member.rows["validation"])
        parts = [rows[first : first + VALIDATION_ROWS] for first in range(0, rows.size, VALIDATION_ROWS)]
        losses = [_value(self.training, state, self._read(part), self.member, self.data.shared) for part in parts]
        return _mean(rows.size, losses) if losses else None

    def _read(self, rows: NDArray[Any]) -> Any:
        """Rows in any order."""
        wanted, local = np.unique(rows, return_inverse=True)
        return jax.tree.map(lambda x: jnp.asarray(x[local]), self.stored.read(wanted.astype(np.int64)))


@functools.partial(jax.jit, static_argnums=0)
def _value(training: Training, state: State, batch: Any, member: Member, shared: Any) -> jax.Array:
    return training.value(state.params, state.stats, batch, None, jnp.float32(1), member, Data(None, shared))[0]


@functools.partial(jax.jit, static_argnums=0)
def _mean(n: int, losses: list[jax.Array]) -> jax.Array:
    """The mean over ``n`` rows of losses on parts of them, as ``RowBatches.validation`` sums it."""
    whole = n // VALIDATION_ROWS
    total = jnp.sum(jnp.stack(losses[:whole])) * (VALIDATION_ROWS / n) if whole else jnp.float32(0)
    return total + losses[-1] * ((n - whole * VALIDATION_ROWS) / n) if len(losses) > whole else total
