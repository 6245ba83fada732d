"""The reader of run folders: what is missing or damaged is named, with what to do about it.

Every run folder has config.json, env.json, data.json and timing.json. Each study declares its other files as data, in
one :class:`RunFiles`, and :meth:`RunFiles.read` gives them as a :class:`RunContents`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from jaxsoil.evaluation import results
from jaxsoil.runs import files
from jaxsoil.runs.errors import DataError
from jaxsoil.runs.folder import refuse_earlier

HEADER = ("config", "env", "data", "timing")
"""JSON files of every run."""

OVERWRITE = "Run the study again with --overwrite."

_FLAGS = {"true": True, "false": False, "1": True, "0": False}


@dataclass(frozen=True)
class Columns:
    """Columns that a table must have, by what they hold; each a tuple of names, or one text of names with spaces.

    Args:
      text: names, ids, labels; kept as they stand in the file, "NA" and "007" too.
      number: numbers, an empty cell is NaN; read as float64.
      whole: whole numbers; read as int64, no cell is empty.
      flag: True or False (also 1 or 0).
      optional: numbers in columns that may be absent.
    """

    text: str | Sequence[str] = ()
    number: str | Sequence[str] = ()
    whole: str | Sequence[str] = ()
    flag: str | Sequence[str] = ()
    optional: str | Sequence[str] = ()

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the columns that must be there, in order."""
        return tuple(name for name, kind in self.kinds.items() if kind != "optional")

    @property
    def kinds(self) -> dict[str, str]:
        """What each column of the declaration holds."""
        declared = {kind: getattr(self, kind) for kind in ("text", "number", "whole", "flag", "optional")}
        return {
            name: kind
            for kind, names in declared.items()
            for name in (names.split() if isinstance(names, str) else names)
        }


@dataclass(frozen=True, eq=False)
class RunContents:
    """Contents of a run folder.

    Attributes:
      path: the folder.
      config, env: config.json and env.json.
      data: data.json, what is known of the data; empty if absent.
      timing: timing.json, seconds by name; empty if absent.
      results: results.csv, see :mod:`jaxsoil.evaluation.results`; no rows if the study has none.
      tables: the study's tables by name, without suffix; an optional one that is absent has no entry.
      arrays: the study's .npz files by name, likewise.
      json: the study's other JSON files by name, likewise.
    """

    path: Path
    config: dict[str, Any]
    env: dict[str, Any]
    data: dict[str, Any]
    timing: dict[str, Any]
    results: pd.DataFrame
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    arrays: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    json: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the study, as config.json has them."""
        return self.config.get("config", {})

    @classmethod
    def of(cls, contents: RunContents) -> Self:
        """The same contents as a study's own subclass."""
        return cls(**{one.name: getattr(contents, one.name) for one in fields(contents)})


@dataclass(frozen=True)
class RunFiles:
    """The files of one study's run folder.

    Args:
      csv, parquet: table -> its columns; other columns of the file are kept as they are (as text in a CSV).
      arrays: .npz file -> arrays that it must have.
      json: JSON files beside :data:`HEADER`.
      optional: names of files (without suffix) that may be absent.
      results: the study's own key columns in results.csv; None for a study that writes none.
    """

    csv: Mapping[str, Columns] = field(default_factory=dict)
    parquet: Mapping[str, Columns] = field(default_factory=dict)
    arrays: Mapping[str, Sequence[str]] = field(default_factory=dict)
    json: Sequence[str] = ()
    optional: Sequence[str] = ()
    results: Sequence[str] | None = ()

    def read(self, folder: str | os.PathLike[str]) -> RunContents:
        """Reads a finished run.

        Raises:
          DataError: a file is missing, cut short, damaged or not what it should be, or of an earlier version; the
            message names it.
        """
        path = Path(folder)
        if self.results is not None and "scores" not in self.csv:
            refuse_earlier(path)
        header, own = self._json(path, HEADER), self._json(path, self.json)
        if not isinstance(header["config"].get("config"), dict):
            raise damaged(path / "config.json", "the configuration is missing")
        if self.results is None:
            found = pd.DataFrame(columns=pd.Index(results.RESULT_COLUMNS))
        else:
            found = results.read_results(require(path / "results.csv"), self.results)
        tables = self._all(path, "csv", self.csv, read_csv) | self._all(path, "parquet", self.parquet, read_parquet)
        arrays = self._all(path, "npz", self.arrays, read_arrays)
        return RunContents(path=path, results=found, tables=tables, arrays=arrays, json=own, **header)

    def _json(self, path: Path, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        # An optional file of the header is empty where it is absent, since all reports ask for it.
        return {
            name: read_json(path / f"{name}.json", optional=name in self.optional)
            for name in names
            if name in HEADER or name not in self.optional or (path / f"{name}.json").exists()
        }

    def _all(self, path: Path, suffix: str, declared: Mapping[str, Any], read: Callable[[Path, Any], Any]) -> dict:
        found = {name: path / f"{name}.{suffix}" for name in declared}
        return {n: read(p, declared[n]) for n, p in found.items() if n not in self.optional or p.exists()}


def require(path: Path) -> Path:
    """The path itself; DataError where there is no such file."""
    if not path.is_file():
        remedy = "Finish the run first (the same command with --resume), then report on it."
        raise DataError("this file of the run is missing", source=path, remedy=remedy)
    return path


def damaged(path: Path, problem: str, value: object = None) -> DataError:
    """The error of a file that is there and not what it should be."""
    return DataError(problem, source=path, value=value, remedy=OVERWRITE)


def read_json(path: Path, *, optional: bool = False) -> dict[str, Any]:
    """Reads a JSON object, else DataError; an optional one that is absent is empty."""
    if optional and not path.exists():
        return {}
    return files.read_json(require(path), remedy=OVERWRITE)


def read_csv(path: Path, columns: Columns) -> pd.DataFrame:
    """Reads a CSV table; DataError where it is missing, is none, lacks a column, or a cell does not fit its column."""
    header, rows = files.read_csv_text(require(path), remedy=OVERWRITE)
    kinds = columns.kinds
    _require_columns(path, header, columns)
    named = {name: [row[place] for row in rows] for place, name in enumerate(header)}
    return pd.DataFrame({name: _typed(path, name, kinds.get(name, "text"), some) for name, some in named.items()})


def read_parquet(path: Path, columns: Columns) -> pd.DataFrame:
    """Reads a Parquet table; DataError where it is missing, is none, lacks a column, or one holds something else."""
    import pyarrow

    require(path)
    try:
        frame = pd.read_parquet(path, page_checksum_verification=True)
    except (OSError, ValueError, KeyError, TypeError, MemoryError, pyarrow.ArrowException) as error:
        raise damaged(path, "this is not a Parquet table", str(error)) from error
    _require_columns(path, list(frame.columns), columns)
    for name, kind in columns.kinds.items():
        if kind == "text":
            frame[name] = frame[name].astype(str)
        elif name in frame.columns and frame[name].dtype.kind not in "biuf":
            raise damaged(path, f"column {name}: not a number", frame[name].dtype)
    return frame


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Reads the arrays of an .npz file; DataError where it is missing, cut short, or lacks one of ``names``."""
    arrays = files.read_arrays(require(path))
    missing = [name for name in names if name not in arrays]
    if missing:
        raise damaged(path, f"arrays are missing: {', '.join(missing)}")
    return arrays


def where(frame: pd.DataFrame, **values: object) -> pd.DataFrame:
    """Rows of a table whose columns have the given values."""
    chosen = np.ones(len(frame), dtype=bool)
    for column, value in values.items():
        chosen &= np.asarray(frame[column] == value, dtype=bool)
    return pd.DataFrame(frame.loc[chosen])


def _require_columns(path: Path, header: Sequence[str], columns: Columns) -> None:
    missing = [name for name in columns.required if name not in header]
    if missing:
        raise damaged(path, f"columns are missing: {', '.join(missing)}")


def _typed(path: Path, name: str, kind: str, cells: list[str]) -> np.ndarray | list[str]:
    if kind == "text":
        return cells
    if kind == "flag":
        known = [_FLAGS.get(cell.lower().removesuffix(".0")) for cell in cells]
        if None in known:
            raise _wrong(path, name, known.index(None), cells, "True or False")
        return np.array(known, dtype=bool)
    whole, numbers = kind == "whole", []
    for row, cell in enumerate(cells):
        try:
            numbers.append(int(cell) if whole else float(cell or "nan"))
        except ValueError:
            raise _wrong(path, name, row, cells, "a whole number" if whole else "a number") from None
    return np.array(numbers, dtype=np.int64 if whole else np.float64)


def _wrong(path: Path, name: str, row: int, cells: list[str], what: str) -> DataError:
    return damaged(path, f"column {name}, row {row + 1}: not {what}", cells[row])
