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
from jaxsoil.runs.folder import refuse_earlier
from jaxsoil.runs.tables import OVERWRITE, Columns, damaged, read_csv, read_parquet, require

HEADER = ("config", "env", "data", "timing")
"""JSON files of every run."""


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


def read_json(path: Path, *, optional: bool = False) -> dict[str, Any]:
    """Reads a JSON object, else DataError; an optional one that is absent is empty."""
    if optional and not path.exists():
        return {}
    return files.read_json(require(path), remedy=OVERWRITE)


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
