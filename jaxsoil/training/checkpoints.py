"""Checkpoints of a chunk of trials (Orbax): complete or absent, restored bit for bit.

A process of several keeps those of its own trials alone, as ``.npz``: among several Orbax refuses arrays that lie in
one process, and writes host arrays in the first process only. Either kind is restored by any number of processes.
"""

from __future__ import annotations

import functools
import logging
import os
import re
import shutil
from pathlib import Path
from typing import Any, Self

import jax
import numpy as np
import orbax.checkpoint as ocp

from jaxsoil.runs.errors import DataError
from jaxsoil.runs.files import read_arrays, write_arrays

AGAIN = "Start again with --overwrite."


class DamagedCheckpoint(DataError):
    """A checkpoint that cannot be read: cut short, or with a file missing."""


class Checkpoints:
    """The latest state of one chunk in ``folder``, numbered by the epochs done."""

    def __init__(self, folder: Path) -> None:
        logging.getLogger("absl").setLevel(logging.ERROR)
        self.folder = folder.absolute()

    @functools.cached_property
    def _manager(self) -> ocp.CheckpointManager:
        # Made when first needed: many short trials end before their first checkpoint.
        own = ocp.options.MultiprocessingOptions()
        if jax.process_count() > 1:
            here = jax.process_index()
            own = ocp.options.MultiprocessingOptions(primary_host=here, active_processes={here})
        return ocp.CheckpointManager(
            self.folder,
            # Named here, so that a new process can read the metadata of what an earlier one saved.
            item_handlers=ocp.StandardCheckpointHandler(multiprocessing_options=own),
            options=ocp.CheckpointManagerOptions(
                max_to_keep=1,
                create=jax.process_count() == 1,
                enable_async_checkpointing=False,
                multiprocessing_options=own,
            ),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        if "_manager" in self.__dict__:
            self._manager.close()
            del self.__dict__["_manager"]

    @property
    def latest(self) -> int | None:
        """Epochs done in the latest complete checkpoint, None without one."""
        if not self.folder.exists():
            return None
        by_orbax = self._manager.latest_step()
        return max([*self._alone(), *([] if by_orbax is None else [by_orbax])], default=None)

    def _alone(self) -> list[int]:
        """Numbers of the states that one of several processes kept."""
        return [int(path.stem) for path in self.folder.glob("*.npz") if path.stem.isdecimal()]

    def _file(self, epochs: int) -> Path:
        return self.folder / f"{epochs}.npz"

    def save(self, epochs: int, state: Any) -> None:
        """Saves ``state`` after ``epochs`` epochs; an error if Orbax did not save (it returns False silently)."""
        if jax.process_count() > 1:
            write_arrays(self._file(epochs), by_name(state))
            for older in self._alone():
                if older != epochs:
                    self._file(older).unlink(missing_ok=True)
            return
        try:
            saved = self._manager.save(epochs, args=ocp.args.StandardSave(state))
        except ValueError as error:
            # TensorStore reports a full or read-only disk as a ValueError that quotes the system's code.
            code = re.search(r"os_error_code='(\d+)'", str(error))
            if code is None:
                raise
            raise OSError(int(code[1]), os.strerror(int(code[1])), str(self.folder)) from error
        if not saved:
            raise DataError(
                f"the checkpoint of epoch {epochs} was not saved",
                source=self.folder,
                remedy="Remove that folder, or start again with --overwrite.",
            )

    def restore(self, like: Any) -> Any:
        """Restores the latest checkpoint into the structure, shapes, dtypes and placement of ``like``.

        Raises:
          DataError: there is none, or it belongs to another configuration.
          DamagedCheckpoint: it cannot be read.
        """
        abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like)
        step = self.latest
        if step is None:
            raise DataError("there is no checkpoint", source=self.folder, remedy=AGAIN)
        try:
            if self._file(step).exists():
                return self._restored_alone(step, abstract)
            stored = self._manager.item_metadata(step)
            if stored is None or not by_name(stored):
                raise ValueError("it does not say what it holds")
            self._check(abstract, stored)
            if jax.process_count() == 1:
                return self._manager.restore(step, args=ocp.args.StandardRestore(abstract))
            hosted = jax.tree.map(lambda x: np.empty(x.shape, x.dtype), abstract)
            return placed(self._manager.restore(step, args=ocp.args.StandardRestore(hosted)), abstract)
        except DataError:
            raise
        # Orbax, TensorStore and their parsers each have errors of their own for a file that is cut short.
        except Exception as error:
            reason = f"{error}".partition("\n")[0] or type(error).__name__
            raise DamagedCheckpoint(
                "the checkpoint is damaged",
                source=self.folder / str(step),
                value=reason,
                remedy=AGAIN,
            ) from error

    def _restored_alone(self, step: int, abstract: Any) -> Any:
        try:
            arrays = read_arrays(self._file(step))
        except DataError as error:
            raise DamagedCheckpoint(
                "the checkpoint is damaged",
                source=error.source,
                value=error.value,
                remedy=AGAIN,
            ) from error
        self._check(abstract, arrays)
        leaves = [arrays[name] for name in by_name(abstract)]
        return placed(jax.tree.unflatten(jax.tree.structure(abstract), leaves), abstract)

    def _check(self, wanted: Any, stored: Any) -> None:
        """Orbax casts silently on restore, so what was saved must already have the right shapes and dtypes."""
        arrays = [
            {(name, tuple(leaf.shape), np.dtype(leaf.dtype)) for name, leaf in by_name(tree).items()}
            for tree in (wanted, stored)
        ]
        wrong = sorted({name for name, _, _ in arrays[0] ^ arrays[1]})
        if wrong:
            raise DataError(
                "the checkpoint belongs to another configuration",
                source=self.folder,
                value=f"{len(wrong)} arrays differ, first {wrong[0]}",
                remedy="Resume with the configuration it was made with, or start again with --overwrite.",
            )

    def remove(self) -> None:
        """Deletes the checkpoints once the chunk's results are safe."""
        self._close()
        shutil.rmtree(self.folder, ignore_errors=True)


def placed(tree: Any, like: Any) -> Any:
    """Host arrays on the devices of ``like``; on those of other processes too, which have the same arrays."""

    def put(x: np.ndarray, to: Any) -> jax.Array:
        if to.sharding.is_fully_addressable:
            return jax.device_put(x, to.sharding)
        # device_put would compare the processes' arrays, of which NaN are not equal.
        return jax.make_array_from_callback(x.shape, to.sharding, lambda index: x[index])

    return jax.tree.map(put, tree, like)


def by_name(tree: Any) -> dict[str, Any]:
    """The arrays of a tree by their path, such as "params/encoder/kernel"."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}
