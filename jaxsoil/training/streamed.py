"""Trainings whose rows stay on the disk: blocks of steps are read ahead of their use, within a stated memory.

The batches are those of a training in memory, row by row, and so are the parameters, bit by bit; what differs is where
the rows lie, and perhaps the last bit of the validation loss, whose parts another program adds up. Devices of one or
of several processes may share each batch: a process then reads the rows of its own devices alone.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from numpy.typing import NDArray

from jaxsoil.runs.errors import UsageError
from jaxsoil.training.batches import VALIDATION_ROWS, BlockBatches, RowBatches
from jaxsoil.training.devices import Layout
from jaxsoil.training.loop import Program, compiled
from jaxsoil.training.step import Data, Member, State, Training

HELD = 4
"""Copies of a block that are held at most: in use, next on the device, next on the host, and the one being read."""

CACHED = 2**19
"""Bytes of rows that are read together and then put in their places, which a core's cache holds."""

Read = Callable[[NDArray[np.int64]], Any]
"""Gives a tree of arrays (r, ...) of (r,) ascending row numbers."""


@dataclasses.dataclass(frozen=True, eq=False)
class Stored:
    """Rows that are read when they are asked for, in place of arrays (n, ...).

    Args:
      rows: their number n.
      read: what reads them, in a thread of its own: from a memory map, with whatever preprocessing stands alone. Or,
        quicker, the tree of arrays (n, ...) themselves, mapped ones among them.
      memory_gb: what the blocks of rows that a process holds may take, in GB of 1e9 bytes; at least one step is held.
      block: steps that are held together at most.
      checkpoint_steps: steps between checkpoints, in the middle of an epoch too.
      prepare: changes a tree of rows that were taken from such arrays in place, each row alone; None: they stay.

    Raises:
      UsageError: a memory that is negative or no number, less than one row, step or checkpoint, arrays of other
        lengths, or ``prepare`` beside a function that reads.
    """

    rows: int
    read: Read | Any
    memory_gb: float
    block: int = 64
    checkpoint_steps: int = 1000
    prepare: Callable[[Any], None] | None = None

    def __post_init__(self) -> None:
        if not self.memory_gb >= 0.0 or min(self.rows, self.block, self.checkpoint_steps) < 1:
            raise UsageError(
                f"Stored rows: {self.rows} rows, memory_gb {self.memory_gb:g}, block {self.block}, checkpoint_steps "
                f"{self.checkpoint_steps}: give a memory of 0 or more, and at least 1 of the others."
            )
        if callable(self.read):
            if self.prepare is not None:
                raise UsageError("Stored rows: what reads rows prepares them itself; prepare is for arrays.")
        elif sizes := {len(array) for array in jax.tree.leaves(self.read)} - {self.rows}:
            raise UsageError(f"Stored rows: {self.rows} rows, but an array of {max(sizes)}: give equal lengths.")


@dataclasses.dataclass(frozen=True, eq=False)
class Block:
    """Steps ``first`` to ``last`` of an epoch: a tree ``values`` of arrays (held, batch, ...), step by step.

    Blocks of one training have one shape: what the last has beyond ``last`` is never taken.
    """

    first: int
    last: int
    values: Any


def steps_held(row_bytes: int, batch: int, memory_gb: float, most: int) -> int:
    """Steps whose rows are held together: as many as fit the memory :data:`HELD` times, 1 to ``most``.

    >>> steps_held(row_bytes=6804, batch=256, memory_gb=0.25, most=64)
    35
    """
    return max(1, min(most, int(memory_gb * 1e9 / (HELD * row_bytes * batch))))


class Blocks:
    """The blocks of a training, in its order: the next one, of the next epoch too, is read while one is used.

    Args:
      read: what reads rows, called by one thread, or the arrays that hold them.
      like: what it gives of one row, (1, ...).
      order: gives the (steps, batch) row numbers of an epoch, of which none repeats.
      epochs: of the training.
      steps: of an epoch.
      held: steps of a block.
      together: rows that are read by one call; None: as many as a core's cache holds.
      prepare: see :class:`Stored`.
    """

    def __init__(
        self,
        read: Read | Any,
        like: Any,
        order: Callable[[int], NDArray[Any]],
        epochs: int,
        steps: int,
        held: int,
        together: int | None = None,
        prepare: Callable[[Any], None] | None = None,
    ) -> None:
        self.read, self.like, self.order, self.prepare = read, like, order, prepare
        self.epochs, self.steps, self.held = epochs, steps, held
        self.together = together or max(1, CACHED // bytes_of(like))
        self._thread = concurrent.futures.ThreadPoolExecutor(1)
        self._next: tuple[tuple[int, int], concurrent.futures.Future[Block]] | None = None
        self._drawn: tuple[int, NDArray[Any]] = (-1, np.empty((0, 0), np.int32))

    def of(self, epoch: int, start: int) -> Iterator[Block]:
        """Yields the blocks of an epoch from step ``start`` on, whose block comes whole."""
        place = (epoch, start // self.held * self.held)
        while place[0] == epoch:
            known, task = self._next or (None, None)
            made = (task if task is not None and known == place else self._submitted(place)).result()
            place = (epoch, made.last) if made.last < self.steps else (epoch + 1, 0)
            self._next = (place, self._submitted(place)) if place[0] < self.epochs else None
            del task
            yield made
            del made  # one that nobody needs any more, while the next one is awaited

    def parts(self, parts: Iterable[NDArray[Any]]) -> Iterator[Any]:
        """Yields the rows of each part, in its order, as a tree of arrays (r, ...); the next is read meanwhile."""
        task = None
        for rows in parts:
            task, ready = self._thread.submit(self.arranged, rows), task
            if ready is not None:
                yield ready.result()
        if task is not None:
            yield task.result()

    def arranged(self, rows: NDArray[Any], room: int = 0) -> Any:
        """Rows (r, ...) in any order, as a tree of arrays (r or ``room``, ...); the disk is read in its own order."""
        like, tree = jax.tree.flatten(self.like)
        shapes = [np.shape(one)[1:] for one in like]
        leaves = [aligned((room or len(rows), *rows.shape[1:], *s), x.dtype) for s, x in zip(shapes, like, strict=True)]
        flat = [leaf.reshape(-1, *shape) for leaf, shape in zip(leaves, shapes, strict=True)]
        if not callable(self.read):
            self._taken(rows.ravel(), flat)
            return jax.tree.unflatten(tree, leaves)
        places = np.argsort(rows, axis=None, kind="stable")
        ascending = rows.ravel()[places].astype(np.int64)
        for first in range(0, rows.size, self.together):
            part = slice(first, first + self.together)
            for whole, some in zip(flat, jax.tree.leaves(self.read(ascending[part])), strict=True):
                whole[places[part]] = some
        return jax.tree.unflatten(tree, leaves)

    def _taken(self, rows: NDArray[Any], out: list[NDArray[Any]]) -> None:
        """Takes rows of arrays straight into their places, and prepares each few of them while a cache has them."""
        arrays, tree = jax.tree.flatten(self.read)
        ascending = np.sort(rows)
        for array in arrays:
            if array.ndim > 1:  # one value a row: where they are not in memory yet, pages come in the order of the file
                array[(ascending, *(0,) * (array.ndim - 1))]
        for first in range(0, rows.size, self.together):
            part = slice(first, min(first + self.together, rows.size))
            some = [whole[part] for whole in out]
            for array, into in zip(arrays, some, strict=True):
                if array.flags.c_contiguous:
                    np.take(array, rows[part], axis=0, out=into, mode="clip")  # "raise" would fill a copy first
                else:
                    into[:] = array[rows[part]]
            if self.prepare is not None:
                self.prepare(jax.tree.unflatten(tree, some))

    def _submitted(self, place: tuple[int, int]) -> concurrent.futures.Future[Block]:
        return self._thread.submit(self._block, *place)

    def _block(self, epoch: int, first: int) -> Block:
        if self._drawn[0] != epoch:
            self._drawn = epoch, self.order(epoch)
        rows = self._drawn[1][first : first + self.held]
        return Block(first, first + len(rows), self.arranged(rows, self.held))


def bytes_of(like: Any) -> int:
    """Bytes of a tree of arrays."""
    return sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(like))


def aligned(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """An array of no particular values that begins at a multiple of 64 bytes: XLA's CPU takes it without a copy."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    room = np.empty(size + 64, np.uint8)
    skipped = -room.ctypes.data % 64
    return room[skipped : skipped + size].view(dtype).reshape(shape)


class StreamedRows(Program):
    """A training over stored rows, with the batches of :class:`jaxsoil.training.batches.RowBatches`.

    Args:
      training: as in memory, with its ``RowBatches``.
      member: as in memory.
      stored: the rows.
      shared: constants of the loss.
      mesh: devices with an axis "batch", over which each batch lies; its size divides that of a batch. None: one.
    """

    def __init__(
        self, training: Training, member: Member, stored: Stored, shared: Any, mesh: Mesh | None = None
    ) -> None:
        assert isinstance(training.batches, RowBatches)
        size, order = training.batches.size, compiled(training, Layout()).order
        training, layout = dataclasses.replace(training, batches=BlockBatches()), Layout("alone", mesh)
        # Row numbers stay on the host: only the order of an epoch and the rows that are read depend on them.
        placed = layout.replicate((dataclasses.replace(member, rows=None), Data(None, shared)))
        super().__init__(training, layout, *placed)
        self.in_parts, self.rows, self.watched = True, size, np.asarray(member.rows["validation"])
        read = stored.read
        like = read(np.zeros(1, np.int64)) if callable(read) else jax.tree.map(lambda x: x[:1], read)
        own = layout.own(np.arange(size)).size
        self.held = steps_held(bytes_of(like), own, stored.memory_gb, min(stored.block, self.most))

        ordering = dataclasses.replace(member, rows={name: member.rows[name] for name in ("train", "count")})
        most = self.most  # not by self: the reader, its thread and its blocks are to go with this

        def drawn(epoch: int) -> NDArray[Any]:
            return layout.own(np.asarray(order(ordering, jnp.int32(epoch)))[: most * size].reshape(most, size))

        self.reader = Blocks(read, like, drawn, training.epochs, self.most, self.held, None, stored.prepare)
        self.example = jax.tree.map(lambda x: np.zeros((size, *np.shape(x)[1:]), x.dtype), like)

    def initial(self, params: Any, stats: Any = None) -> State:
        """State before the first step, on every device."""
        return super().initial(*self.layout.replicate((params, stats)))

    def blocks(self, epoch: int, at: int) -> Iterator[tuple[int, Any, Data]]:
        """The steps of an epoch in blocks, each with its rows."""
        for block in self.reader.of(epoch, at):
            values = self.layout.share(block.values, self.rows, axis=1)
            made = block.last, (None, np.int32(block.first)), Data(values, self.data.shared)
            del block, values
            yield made
            del made

    def finish(self, state: State, total: Any, epoch: int) -> State:
        """Ends an epoch with the loss on the validation rows, read in parts."""
        return self.functions.close(state, total, self.member, self._validation(state), jnp.int32(epoch))

    def _validation(self, state: State) -> jax.Array | None:
        parts = [self.watched[i : i + VALIDATION_ROWS] for i in range(0, self.watched.size, VALIDATION_ROWS)]
        losses = []
        for rows, values in zip(parts, self.reader.parts(map(self.layout.own, parts)), strict=True):
            part = self.layout.share(values, rows.size)
            losses.append(_value(self.training, state, part, self.member, self.data.shared))
            jax.block_until_ready(losses)  # no further part is taken while this one is in use
            del part, values
        return _mean(self.watched.size, losses) if losses else None


@functools.partial(jax.jit, static_argnums=0)
def _value(training: Training, state: State, batch: Any, member: Member, shared: Any) -> jax.Array:
    return training.value(state.params, state.stats, batch, None, jnp.float32(1), member, Data(None, shared))[0]


@functools.partial(jax.jit, static_argnums=0)
def _mean(n: int, losses: list[jax.Array]) -> jax.Array:
    """The mean over ``n`` rows of losses on parts of them, as ``RowBatches.validation`` sums it."""
    whole = n // VALIDATION_ROWS
    total = jnp.sum(jnp.stack(losses[:whole])) * (VALIDATION_ROWS / n) if whole else jnp.float32(0)
    return total + losses[-1] * ((n - whole * VALIDATION_ROWS) / n) if len(losses) > whole else total
