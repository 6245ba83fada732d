"""Batches of a training: shuffled rows of arrays that lie on the device, labelled or not."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxsoil.training.step import Member

VALIDATION_ROWS = 1024
"""Rows per forward pass of the validation loss; bounds its memory over a large library."""


def over_devices(batch: jax.Array, mesh: Mesh | None) -> jax.Array:
    """The rows of a batch over the axis "batch" of the mesh; each device computes its own, gradients are averaged."""
    if mesh is None or mesh.shape["batch"] == 1:
        return batch
    return jax.lax.with_sharding_constraint(batch, NamedSharding(mesh, PartitionSpec("batch")))


@dataclasses.dataclass(frozen=True)
class RowBatches:
    """Batches of ``size`` rows by number; an incomplete last batch is dropped.

    A member's rows are {"train": (n,) row numbers padded to a common length, "count": how many count,
    "validation": (v,) row numbers}; a batch holds those rows of every array.
    """

    size: int

    def order(self, member: Member, epoch: Any) -> jax.Array:
        """Row numbers of an epoch, shuffled; those that count come first."""
        train, n = member.rows["train"], member.rows["train"].shape[0]
        draw = jax.random.uniform(jax.random.fold_in(member.key, 2 * epoch), (n,))
        return train[jnp.argsort(jnp.where(jnp.arange(n, dtype=jnp.int32) < member.rows["count"], draw, jnp.inf))]

    def take(self, arrays: Any, member: Member, order: jax.Array, i: Any) -> Any:
        """The rows of the i-th batch."""
        rows = jax.lax.dynamic_slice_in_dim(order, i * self.size, self.size)
        return jax.tree.map(lambda x: x[rows], arrays)

    def validation(self, value: Callable[[Any], jax.Array], arrays: Any, member: Member, unrolled: bool) -> Any:
        """The mean of ``value`` over the validation rows, taken in parts of :data:`VALIDATION_ROWS`."""
        rows = member.rows["validation"]
        n, whole = rows.shape[0], rows.shape[0] // VALIDATION_ROWS * VALIDATION_ROWS
        if n == 0:
            return None
        on = lambda part: value(jax.tree.map(lambda x: x[part], arrays))  # noqa: E731
        total = jnp.float32(0)
        if whole:
            parts = rows[:whole].reshape(-1, VALIDATION_ROWS)
            losses = jnp.stack([on(part) for part in parts]) if unrolled else jax.lax.map(on, parts)
            total = jnp.sum(losses) * (VALIDATION_ROWS / n)
        return total + on(rows[whole:]) * ((n - whole) / n) if whole < n else total


@dataclasses.dataclass(frozen=True)
class BlockBatches:
    """Batches of a block of rows that the host has read.

    The order is handed over by the host as (batches, first step), and so is the validation loss, whose rows may exceed
    the memory. ``batches``: (steps, batch) row numbers of arrays (n, ...); None where these are (steps, batch, ...).
    """

    def order(self, member: Member, epoch: Any) -> Any:
        """Never asked for: the host knows it."""
        raise NotImplementedError("The order of the rows comes with their block.")

    def take(self, arrays: Any, member: Member, order: tuple[jax.Array | None, jax.Array], i: Any) -> Any:
        """The rows of step ``i`` of the epoch."""
        batches, first = order
        at = functools.partial(jax.lax.dynamic_index_in_dim, index=i - first, keepdims=False)
        if batches is None:
            return jax.tree.map(at, arrays)
        rows = at(batches)
        return jax.tree.map(lambda x: x[rows], arrays)

    def validation(self, value: Any, arrays: Any, member: Member, unrolled: bool) -> None:
        """None: the host computes it."""
        return None


@dataclasses.dataclass(frozen=True)
class LabelledBatches:
    """Batches of labelled rows and, beside them, rows of all; row subsets are masks of static shape.

    A member's rows are disjoint masks (n,): "labelled" and "unlabelled" rows train, "validation" rows only watch
    convergence; rows in none of them are not seen. Where rows are fewer than the batches of an epoch take, their
    order is repeated. A batch holds the labelled rows first; arrays named in ``labels`` have labelled rows alone.
    The other rows are drawn from all that train, so that a few labelled ones weigh no more in them than the rest.

    Args:
      size: labelled rows in a batch.
      unlabelled: rows of all in a batch.
      capacity: upper bound on the validation rows; 0: there are none.
      labels: names of the arrays that only labelled rows have.
      mesh: devices with an axis "batch", over which each batch lies.
    """

    size: int
    unlabelled: int
    capacity: int
    labels: tuple[str, ...]
    mesh: Mesh | None = None

    def order(self, member: Member, epoch: Any) -> list[tuple[jax.Array, jax.Array]]:
        """Shuffled row numbers of an epoch and their count: of labelled rows, then of all."""
        keys = jax.random.split(jax.random.fold_in(member.key, epoch + 1))
        labelled = member.rows["labelled"]
        masks = [labelled, labelled | member.rows["unlabelled"]][: 2 if self.unlabelled else 1]
        return [_shuffled(key, mask) for key, mask in zip(keys, masks, strict=False)]

    def take(self, arrays: Any, member: Member, order: Any, i: Any) -> Any:
        """The rows of the i-th batch."""
        sizes = (self.size, self.unlabelled)
        taken = [_wrapped(rows, count, i, size) for (rows, count), size in zip(order, sizes, strict=False)]
        rows = jnp.concatenate(taken) if len(taken) > 1 else taken[0]
        return {
            name: values[taken[0]] if name in self.labels else over_devices(values[rows], self.mesh)
            for name, values in arrays.items()
        }

    def validation(self, value: Callable[[Any], jax.Array], arrays: Any, member: Member, unrolled: bool) -> Any:
        """The loss of one batch of ``capacity`` rows, among them the validation rows: their "weight" is 1, else 0."""
        if not self.capacity:
            return None
        mask = member.rows["validation"]
        rows = jnp.argsort(~mask, stable=True)[: self.capacity]
        batch = {name: values[rows] for name, values in arrays.items()}
        return value(batch | {"weight": mask[rows].astype(jnp.float32)})


def _shuffled(key: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
    order = jnp.argsort(jnp.where(mask, jax.random.uniform(key, mask.shape), jnp.inf))
    return order, jnp.sum(mask, dtype=jnp.int32)


def _wrapped(order: jax.Array, count: jax.Array, i: Any, size: int) -> jax.Array:
    """The i-th ``size`` of the first ``count`` rows, wrapping around at the end."""
    return order[(i * size + jnp.arange(size, dtype=jnp.int32)) % count]
