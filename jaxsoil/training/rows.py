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
from jax.sharding import Mesh

from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError, UsageError
from jaxsoil.training import step as pure
from jaxsoil.training.batches import RowBatches
from jaxsoil.training.checkpoints import Checkpoints, by_name
from jaxsoil.training.config import LoopConfig
from jaxsoil.training.devices import Layout, shared_batch
from jaxsoil.training.loop import CheckpointPolicy, Program, converged, run
from jaxsoil.training.step import Data, Loss, Member, State, Training
from jaxsoil.training.streamed import Stored, StreamedRows


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
    reached, params = np.isfinite(losses).sum(axis=-1), pure.kept(state)[0]
    if losses.ndim == 1:
        still = bool(alive) and converged(losses, tolerance, patience)
        return Fitted(params, history, still, int(reached), bool(alive))
    still = np.array([converged(one, tolerance, patience) for one in losses]) & alive
    return Fitted(params, history, still, reached, alive)


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
    mesh: Mesh | None = None,
) -> Fitted:
    """Trains ``params`` and returns those of the best validation loss; a training that diverged is not ``alive``.

    Args:
      loss: see :data:`jaxsoil.training.step.Loss`.
      params: initial parameters, a tree of float32 arrays; they stay as they are.
      arrays: tree of arrays (n, ...) with one number of rows n; or :class:`jaxsoil.training.streamed.Stored`, rows
        that are read from the disk while it trains: the same batches, with memory for some of them alone.
      train, validation: row numbers or masks (n,) without a common row. Without validation rows the training loss
        stands in for theirs.
      config: settings.
      key: random key; the same key gives the same bits.
      label: named in the line of progress.
      shared: constants handed to the loss as keyword ``shared``, not trained.
      checkpoints: where the state is kept while it runs; an interrupted training goes on from there, to the same bits.
      mesh: devices that share each batch of stored rows (:func:`jaxsoil.training.devices.batch_mesh`), of several
        processes too: each calls with the same arguments, on rows of which it reads those of its own devices, and
        checkpoints in one folder, which the first writes. The result is that of one device but for rounding.

    Raises:
      DataError: no training rows, or rows that do not exist or are in both sets.
      UsageError: a mesh for rows in memory, or whose devices cannot share a batch evenly.
    """
    program = program_of(loss, arrays, train, validation, config, key, shared, mesh=mesh)
    policy = CheckpointPolicy(steps=arrays.checkpoint_steps) if isinstance(arrays, Stored) else CheckpointPolicy()
    state = run(program, program.initial(params), checkpoints=checkpoints, policy=policy, label=label)
    found = fitted(state, config.tolerance, config.patience)
    # Of several devices each has a copy, which whoever uses the parameters need not know.
    return found if mesh is None else dataclasses.replace(found, params=jax.tree.map(np.asarray, found.params))


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
      loss, arrays, config, label, shared, checkpoints: as for :func:`fit`, common to all members; arrays in memory.
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
    program = program_of(loss, arrays, train, validation, config, keys, shared, own, vectorised)
    state = run(program, program.initial(params), checkpoints=checkpoints, label=label)
    return fitted(state, config.tolerance, config.patience)


def program_of(
    loss: Loss,
    arrays: Any,
    train: Any,
    validation: Any,
    config: LoopConfig,
    key: jax.Array,
    shared: Any = None,
    own: Any = None,
    vectorised: bool | None = None,
    mesh: Mesh | None = None,
) -> Program:
    """What :func:`fit`, of one key, or :func:`fit_many`, of several, runs: arguments and errors as there."""
    if config.epochs < 1 or config.batch < 1:
        raise UsageError(f"epochs {config.epochs} and batch {config.batch} must be at least 1.")
    if key.ndim and config.jit_per_step:
        raise UsageError("fit_many runs whole epochs in one program: call fit once per member for jit_per_step.")
    if isinstance(arrays, Stored):
        n = arrays.rows
        if key.ndim:
            raise UsageError("fit_many holds its rows in memory: call fit once per member for stored ones.")
    elif mesh is not None:
        raise UsageError("Devices share the batches of stored rows: give rows as Stored, or no mesh.")
    else:
        arrays = jax.tree.map(jnp.asarray, arrays)
        require.same_length(by_name(arrays))
        n = len(jax.tree.leaves(arrays)[0])
    rows = _rows(train, n, key, "training")
    others = _rows(validation, n, key, "validation")
    counts, width = np.array([one.size for one in rows], np.int32), max(one.size for one in others)
    if counts.min() == 0:
        raise DataError("there are no training rows", remedy="Select rows that the data have.")
    batch = shared_batch(config.batch, int(counts.min()), 1 if mesh is None else mesh.shape["batch"])
    if width and not all(one.size for one in others):
        raise DataError("some members have validation rows and others none", remedy="Give them to all or to none.")
    for both in map(np.intersect1d, rows, others):
        if both.size:
            raise DataError("rows are trained on and validated", value=both[:5].tolist(), remedy="Part the two sets.")
    drawn = {
        "train": np.stack([np.pad(one, (0, n - one.size)) for one in rows]),
        "count": counts,
        "validation": np.stack([np.resize(one, width) for one in others]),
    }
    stacked = (drawn, counts // batch, np.full(len(rows), config.lr, np.float32))
    drawn, steps, lr = jax.tree.map(lambda x: jnp.asarray(x if key.ndim else x[0]), stacked)
    member = Member(drawn, steps, lr, key, own)
    vectorised = jax.default_backend() != "cpu" if vectorised is None else vectorised
    layout = Layout(("side_by_side" if vectorised else "in_turn") if key.ndim else "alone")
    training = Training(
        loss,
        RowBatches(batch),
        config.epochs,
        config.patience,
        weight_decay=config.weight_decay,
        schedule=config.schedule,
        jit_per_step=config.jit_per_step,
    )
    if isinstance(arrays, Stored):
        return StreamedRows(training, member, arrays, shared, mesh)
    return Program(training, layout, member, Data(arrays, shared))


def _rows(rows: Any, n: int, key: jax.Array, name: str) -> list[np.ndarray]:
    """Row numbers of each member by its mask, or of a single training by its mask or numbers."""
    rows = np.asarray(rows)
    if rows.dtype == bool or key.ndim:
        if rows.dtype != bool or rows.shape not in ((n,), (*key.shape, n)):
            raise DataError(
                f"the {name} rows of one or several trainings are masks ({n},) or {(*key.shape, n)}",
                value=f"{rows.dtype} {rows.shape}",
                remedy="Make masks of the row numbers.",
            )
        return [np.flatnonzero(mask).astype(np.int32) for mask in np.broadcast_to(rows, (key.size, n))]
    if rows.size and (rows.min() < 0 or rows.max() >= n or np.unique(rows).size != rows.size):
        raise DataError(f"{name} rows must be different numbers from 0 to {n - 1}", remedy="Correct the row numbers.")
    return [rows.astype(np.int32)]
