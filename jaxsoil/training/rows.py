"""Trainings of a loss over the rows of arrays: one, or many in one program.

The loss is minimised by AdamW over shuffled batches whose incomplete last one is dropped; a validation loss over other
rows decides which parameters are kept and when the training has converged. Row subsets of any size run the same
compiled program. What must not move (a frozen decoder) is handed over as ``shared``, outside the optimiser's tree.
Pass the same loss object again to use what is compiled: a new lambda or closure compiles anew.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsoil.runs.errors import DataError, UsageError
from jaxsoil.training import step as pure
from jaxsoil.training.batches import RowBatches
from jaxsoil.training.checkpoints import Checkpoints
from jaxsoil.training.config import LoopConfig
from jaxsoil.training.devices import Layout
from jaxsoil.training.loop import Program, converged, run
from jaxsoil.training.step import Data, Loss, Member, State, Training


@dataclasses.dataclass(frozen=True, eq=False)
class Fitted:
    """What a training leaves; from :func:`fit_many` every value has a leading axis of members S.

    ``params``: those of the best validation loss. ``history``: "loss", "validation_loss" and the loss's own terms,
    each (epochs,) float64, NaN where not reached. ``alive``: False for a training that diverged, whose parameters are
    those before it did and should not be used.
    """

    params: Any
    history: dict[str, np.ndarray]
    converged: Any
    epochs_run: Any
    alive: Any = True


def fitted(state: State, tolerance: float, patience: int) -> Fitted:
    """What the state of a finished training, or of several, says."""
    history = {name: np.asarray(values, np.float64) for name, values in state.history.items()}
    losses, alive = history["validation_loss"], np.asarray(state.alive)
    reached = np.isfinite(losses).sum(axis=-1)
    if losses.ndim == 1:
        still = bool(alive) and converged(losses, tolerance, patience)
        return Fitted(pure.kept(state)[0], history, still, int(reached), bool(alive))
    still = np.array([converged(one, tolerance, patience) for one in losses]) & alive
    return Fitted(pure.kept(state)[0], history, still, reached, alive)


def fit(
    loss: Loss,
    params: Any,
    arrays: Any,
    train: np.ndarray,
    validation: np.ndarray,
    config: LoopConfig,
    key: jax.Array,
    *,
    label: str = "",
    shared: Any = None,
    checkpoints: Checkpoints | None = None,
) -> Fitted:
    """Trains ``params`` and returns those of the best validation loss; a training that diverged is not ``alive``.

    Args:
      loss: see :data:`jaxsoil.training.step.Loss`.
      params: initial parameters, a tree of float32 arrays; they stay as they are.
      arrays: tree of arrays (n, ...) with one number of rows n.
      train, validation: row numbers or masks (n,) without a common row. Without validation rows the training loss
        stands in for theirs.
      config: settings.
      key: random key; the same key gives the same bits.
      label: shown by the progress bar.
      shared: constants handed to the loss as keyword ``shared``, not trained.
      checkpoints: where the state is kept while it runs; an interrupted training goes on from there, to the same bits.

    Raises:
      DataError: no training rows, or rows that do not exist or are in both sets.
    """
    program = program_of(loss, arrays, train, validation, config, key, shared)
    state = run(program, program.initial(params), checkpoints=checkpoints, label=label)
    return fitted(state, config.tolerance, config.patience)


def program_of(
    loss: Loss, arrays: Any, train: Any, validation: Any, config: LoopConfig, key: jax.Array, shared: Any = None
) -> Program:
    """The program that :func:`fit` runs, from its arguments."""
    arrays, n = _arrays(arrays)
    rows, others = _rows(train, n, "training"), _rows(validation, n, "validation")
    _disjoint(rows, others)
    batch = min(config.batch, rows.size)
    member = Member(
        {"train": _padded(rows, n), "count": jnp.int32(rows.size), "validation": jnp.asarray(others)},
        *(jnp.int32(rows.size // max(batch, 1)), jnp.float32(config.lr), key),
    )
    return Program(_training(loss, config, batch), Layout(), member, Data(arrays, shared))


def fit_many(
    loss: Loss,
    params: Any,
    arrays: Any,
    train: np.ndarray,
    validation: np.ndarray,
    config: LoopConfig,
    keys: jax.Array,
    *,
    label: str = "",
    shared: Any = None,
    own: Any = None,
    vectorised: bool | None = None,
    checkpoints: Checkpoints | None = None,
) -> Fitted:
    """Trains S members (seeds, targets, folds) in one program; not for convolutions on a CPU.

    Args:
      loss, arrays, config, label, shared, checkpoints: as for :func:`fit`, common to all members.
      params: initial parameters, each leaf with a leading axis S.
      train, validation: masks (S, n), or (n,) for all members; unequal numbers of rows share the program. A member
        with fewer validation rows than another repeats some of its own. All batches have the size that fits the
        smallest.
      keys: (S,) random keys.
      own: tree of constants (S, ...), of which each member's is handed to its loss as keyword ``own``.
      vectorised: members side by side (default on accelerators) or one after the other (default on a CPU, where
        batched matrix products are slower).

    Raises:
      DataError: as for :func:`fit`, or validation rows of some members only.
    """
    arrays, n = _arrays(arrays)
    if config.jit_per_step:
        raise UsageError("fit_many runs whole epochs in one program: call fit once per member for jit_per_step.")
    members = keys.shape[0]
    chosen = [_members(masks, members, n, name) for masks, name in ((train, "training"), (validation, "validation"))]
    for rows, others in zip(*chosen, strict=True):
        _disjoint(rows, others)
    counts = np.array([rows.size for rows in chosen[0]], np.int32)
    width = max(others.size for others in chosen[1])
    if width and not all(others.size for others in chosen[1]):
        raise DataError("some members have validation rows and others none", remedy="Give them to all or to none.")
    batch = min(config.batch, int(counts.min()))
    member = Member(
        {
            "train": jnp.stack([_padded(rows, n) for rows in chosen[0]]),
            "count": jnp.asarray(counts),
            "validation": jnp.asarray(np.stack([np.resize(others, width) for others in chosen[1]])),
        },
        *(jnp.asarray(counts // max(batch, 1)), jnp.full(members, config.lr, jnp.float32), keys, own),
    )
    vectorised = jax.default_backend() != "cpu" if vectorised is None else vectorised
    layout = Layout("side_by_side" if vectorised else "in_turn")
    program = Program(_training(loss, config, batch), layout, member, Data(arrays, shared))
    state = run(program, program.initial(params), checkpoints=checkpoints, label=label)
    return fitted(state, config.tolerance, config.patience)


def _training(loss: Loss, config: LoopConfig, batch: int) -> Training:
    if config.epochs < 1 or config.batch < 1:
        raise UsageError(f"epochs {config.epochs} and batch {config.batch} must be at least 1.")
    return Training(
        loss,
        RowBatches(batch),
        config.epochs,
        config.patience,
        weight_decay=config.weight_decay,
        schedule=config.schedule,
        jit_per_step=config.jit_per_step,
    )


def _arrays(arrays: Any) -> tuple[Any, int]:
    arrays = jax.tree.map(jnp.asarray, arrays)
    sizes = {leaf.shape[0] for leaf in jax.tree.leaves(arrays)}
    if len(sizes) != 1:
        raise DataError("the arrays differ in their number of rows", value=sorted(sizes), remedy="Pair them by row.")
    return arrays, sizes.pop()


def _rows(rows: Any, n: int, name: str) -> np.ndarray:
    rows = np.asarray(rows)
    if rows.dtype == bool:
        if rows.shape != (n,):
            raise DataError(f"the mask of {name} rows has shape {rows.shape}, not ({n},)", remedy="One value per row.")
        rows = np.flatnonzero(rows)
    if name == "training" and rows.size == 0:
        raise DataError("there are no training rows", remedy="Select rows that the data have.")
    if rows.size and (rows.min() < 0 or rows.max() >= n or np.unique(rows).size != rows.size):
        raise DataError(f"{name} rows must be different numbers from 0 to {n - 1}", remedy="Correct the row numbers.")
    return rows.astype(np.int32)


def _members(masks: Any, members: int, n: int, name: str) -> list[np.ndarray]:
    masks = np.asarray(masks)
    if masks.dtype != bool or masks.shape not in ((n,), (members, n)):
        raise DataError(
            f"the {name} rows of several members are masks ({members}, {n}) or ({n},)",
            value=f"{masks.dtype} {masks.shape}",
            remedy="Make masks of the row numbers.",
        )
    return [_rows(mask, n, name) for mask in np.broadcast_to(masks, (members, n))]


def _disjoint(train: np.ndarray, validation: np.ndarray) -> None:
    both = np.intersect1d(train, validation)
    if both.size:
        raise DataError("rows are trained on and validated", value=both[:5].tolist(), remedy="Part the two sets.")


def _padded(rows: np.ndarray, n: int) -> jax.Array:
    return jnp.asarray(np.concatenate([rows, np.zeros(n - rows.size, np.int32)]))
