"""The store of finished pieces of a run: a resumed run reads the pieces that are there and makes the others.

A piece is what one training, one fit or one stage leaves. It lies in one ``.npz`` file, which is there whole or not
at all. Reading it runs no code: arrays and parameters are plain arrays, tables are Parquet, facts are JSON. A fresh
run reads back what it wrote, so it ends with the same numbers as a resumed one.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxsoil.runs import stop
from jaxsoil.runs.errors import DataError
from jaxsoil.runs.files import REMAKE, read_arrays, write_arrays

if TYPE_CHECKING:
    import pandas as pd

_CONTENT = "piece.json"
"""Entry of the file that holds the facts and says which entries make which tree."""

_PLAIN = "biufcSUmM"
"""Kinds of NumPy types that an ``.npz`` file gives back as they were."""


@dataclasses.dataclass(frozen=True, eq=False)
class Piece:
    """What a finished step of a run leaves.

    Args:
      arrays: name -> array; read back as NumPy arrays of the same type and shape.
      trees: name -> parameters, nested dictionaries with text keys and arrays as leaves.
      tables: name -> pandas table; its index is not kept.
      facts: name -> JSON value, such as a status or a number of epochs. Tuples come back as lists.
      seconds: wall time that making it took; set by :meth:`Pieces.get`.
    """

    arrays: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    trees: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = dataclasses.field(default_factory=dict)
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0


@dataclasses.dataclass(frozen=True)
class Pieces:
    """The finished pieces in ``folder``, each by its name; the folder is made when the first piece is written."""

    folder: Path

    def path(self, name: str) -> Path:
        """File of a piece; letters of the name that not every file system takes become "_"."""
        return self.folder / f"{file_name(name)}.npz"

    def exists(self, name: str) -> bool:
        """Whether the piece is finished."""
        return self.path(name).exists()

    def get(self, name: str, make: Callable[[], Piece], *, identity: Any = None) -> Piece:
        """Reads the piece ``name``; where there is none, makes it, writes it and reads it back.

        Args:
          name: name of the piece, one for each piece of the folder.
          make: makes the piece.
          identity: what the piece belongs to, as JSON, such as the ids of its trials.

        Raises:
          DataError: the file is damaged or belongs to another identity.
          Terminated: the process was asked to end before the piece was begun.
        """
        if not self.exists(name):
            stop.check()
            began = time.perf_counter()
            piece = make()
            seconds = time.perf_counter() - began
            self.write(name, dataclasses.replace(piece, seconds=seconds), identity=identity)
        return self.read(name, identity=identity)

    def write(self, name: str, piece: Piece, *, identity: Any = None) -> None:
        """Writes a piece, whole or not at all.

        Raises:
          ValueError: something that could not be read back as it was: Python objects, types that NumPy does not know
            (convert bfloat16 to float32), facts that are no JSON, keys of a tree that are no text.
        """
        entries: dict[str, Any] = {}
        content = {
            "identity": identity,
            "seconds": piece.seconds,
            "facts": dict(piece.facts),
            "arrays": {key: _stored(entries, f"arrays/{key}", value) for key, value in piece.arrays.items()},
            "trees": {key: _pack(entries, f"trees/{key}", value) for key, value in piece.trees.items()},
            "tables": {
                key: _stored(entries, f"tables/{key}", np.frombuffer(value.to_parquet(index=False), np.uint8))
                for key, value in piece.tables.items()
            },
        }
        try:
            text = json.dumps(content, default=_plain)
        except TypeError as error:
            raise ValueError(f"{self.path(name)}: facts and identity must be JSON ({error}).") from error
        write_arrays(self.path(name), {_CONTENT: np.frombuffer(text.encode(), np.uint8), **entries})

    def read(self, name: str, *, identity: Any = None) -> Piece:
        """Reads a finished piece, which must belong to ``identity``; None takes any.

        Raises:
          DataError: there is no such piece, it is damaged, or it belongs to another identity.
        """
        import pandas as pd

        path = self.path(name)
        try:
            entries = read_arrays(path)
        except FileNotFoundError as error:
            raise DataError(
                "this piece of the run is missing", source=path, remedy="Run the same command again with --resume."
            ) from error
        try:
            content = json.loads(entries[_CONTENT].tobytes())
            piece = Piece(
                arrays={key: entries[place] for key, place in content["arrays"].items()},
                trees={key: _unpack(entries, tree) for key, tree in content["trees"].items()},
                tables={
                    key: pd.read_parquet(io.BytesIO(entries[place].tobytes()))
                    for key, place in content["tables"].items()
                },
                facts=content["facts"],
                seconds=float(content["seconds"]),
            )
            stored = content["identity"]
        except (AttributeError, ImportError, KeyError, OSError, TypeError, ValueError) as error:
            raise DataError("this file is not a finished piece of a run", source=path, remedy=REMAKE) from error
        if identity is not None and stored != json.loads(json.dumps(identity, default=_plain)):
            remedy = "Resume with the configuration the folder was made with, or start again with --overwrite."
            raise DataError("this piece belongs to another configuration", source=path, value=stored, remedy=remedy)
        return piece


def file_name(text: str) -> str:
    """``text`` as the name of a file: letters, digits, ".", "_" and "-" stay, all others become "_"."""
    return "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in text)


def _stored(entries: dict[str, Any], place: str, value: Any) -> str:
    """Adds an array under a name of its own and returns that name."""
    array = np.asarray(value)
    if array.dtype.kind not in _PLAIN:
        raise ValueError(f"'{place}' of a piece has the type {array.dtype}, which is not read back: give a plain one.")
    if place in entries:
        raise ValueError(f"'{place}' occurs twice in a piece: give each array its own name.")
    entries[place] = array
    return place


def _pack(entries: dict[str, Any], place: str, tree: Any) -> Any:
    """The structure of a tree with the names of its arrays as leaves."""
    if not isinstance(tree, Mapping):
        return _stored(entries, place, tree)
    wrong = [key for key in tree if not isinstance(key, str)]
    if wrong:
        raise ValueError(f"'{place}' of a piece has the key {wrong[0]!r}: keys of a tree are text.")
    return {key: _pack(entries, f"{place}/{key}", value) for key, value in tree.items()}


def _unpack(entries: Mapping[str, np.ndarray], tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _unpack(entries, value) for key, value in tree.items()}
    return entries[tree]


def _plain(value: Any) -> Any:
    """NumPy's numbers and JAX's as Python's, and paths as text, for JSON."""
    if isinstance(value, os.PathLike):
        return str(value)
    array = np.asarray(value)
    if array.dtype.kind in "biufSU":
        return array.tolist()
    raise TypeError(f"{type(value).__name__} is no JSON")
