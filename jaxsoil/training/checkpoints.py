"""Checkpoints of a chunk of trials (Orbax): complete or absent, restored bit for bit."""

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
        return ocp.CheckpointManager(
            self.folder,
            # Named here, so that a new process can read the metadata of what an earlier one saved.
            item_handlers=ocp.StandardCheckpointHandler(),
            options=ocp.CheckpointManagerOptions(max_to_keep=1, create=True, enable_async_checkpointing=False),
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
        return self._manager.latest_step() if self.folder.exists() else None

    def save(self, epochs: int, state: Any) -> None:
        """Saves ``state`` after ``epochs`` epochs; an error if Orbax did not save (it returns False silently)."""
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
            raise DataError("there is no checkpoint", source=self.folder, remedy="Start again with --overwrite.")
        try:
            stored = self._manager.item_metadata(step)
            if stored is None or not by_name(stored):
                raise ValueError("it does not say what it holds")
            self._check(abstract, stored)
            return self._manager.restore(step, args=ocp.args.StandardRestore(abstract))
        except DataError:
            raise
        # Orbax, TensorStore and their parsers each have errors of their own for a file that is cut short.
        except Exception as error:
            reason = f"{error}".partition("\n")[0] or type(error).__name__
            raise DamagedCheckpoint(
                "the checkpoint is damaged",
                source=self.folder / str(step),
                value=reason,
                remedy="Start again with --overwrite.",
            ) from error

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


def by_name(tree: Any) -> dict[str, Any]:
    """The arrays of a tree by their path, such as "params/encoder/kernel"."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}
