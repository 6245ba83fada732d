"""Finished pieces of a run, each one file that is there whole or not at all.

A piece is what one stage of one seed leaves: tables, arrays and parameters. A resumed run reads the pieces that are
there and computes the others; since a fresh run reads back what it wrote too, both end with the same tables.
"""

from __future__ import annotations

import dataclasses
import io
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
from flax import serialization

from jaxsoil.runs.errors import DataError
from jaxsoil.runs.files import write_bytes_atomic


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """One piece of a run.

    Args:
      tables: name -> rows.
      arrays: name -> array.
      params: name -> tree of parameters (nested dictionaries of arrays).
      seconds: what it took.
    """

    tables: Mapping[str, pd.DataFrame] = dataclasses.field(default_factory=dict)
    arrays: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    params: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0


@dataclasses.dataclass(frozen=True)
class Parts:
    """The pieces of a run in ``folder``."""

    folder: Path

    def path(self, name: str) -> Path:
        """File of a piece."""
        return self.folder / f"{name}.msgpack"

    def get(self, name: str, make: Callable[[], Part]) -> Part:
        """Reads the piece ``name``, or makes, writes and reads it."""
        if not self.path(name).exists():
            began = time.perf_counter()
            part = make()
            seconds = time.perf_counter() - began
            write_bytes_atomic(self.path(name), _pack(dataclasses.replace(part, seconds=seconds)))
        return self.read(name)

    def read(self, name: str) -> Part:
        """Reads a finished piece.

        Raises:
          DataError: where the file is not one.
        """
        path = self.path(name)
        try:
            content: Any = serialization.msgpack_restore(path.read_bytes())
            tables = {key: pd.read_parquet(io.BytesIO(value)) for key, value in content["tables"].items()}
            return Part(tables, content["arrays"], content["params"], float(content["seconds"]))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                "this piece of the run cannot be read",
                source=path,
                value=error,
                remedy="Delete the file and give --resume: the piece is made again.",
            ) from error


def _pack(part: Part) -> bytes:
    buffers = {}
    for name, table in part.tables.items():
        buffer = io.BytesIO()
        table.to_parquet(buffer, index=False)
        buffers[name] = buffer.getvalue()
    content = {
        "tables": buffers,
        "arrays": {name: np.asarray(value) for name, value in part.arrays.items()},
        "params": jax.tree.map(np.asarray, serialization.to_state_dict(dict(part.params))),
        "seconds": part.seconds,
    }
    return serialization.msgpack_serialize(content)
