"""Readers of the files of a run folder: what is missing or damaged is named, with what to do about it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.runs import files
from jaxsoil.runs.errors import DataError


def require(path: Path) -> Path:
    """The path itself.

    Raises:
      DataError: there is no such file.
    """
    if not path.is_file():
        raise DataError(
            "this file of the run is missing",
            source=path,
            remedy="Finish the run first (the same command with --resume), then report on it.",
        )
    return path


def damaged(path: Path, problem: str, value: object = None) -> DataError:
    """The error of a file that is there and not what it should be."""
    return DataError(problem, source=path, value=value, remedy="Run the study again with --overwrite.")


def read_json(path: Path, *, optional: bool = False) -> dict[str, Any]:
    """Reads a JSON object; an optional one that is absent is empty.

    Raises:
      DataError: the file is missing or not a JSON object.
    """
    if optional and not path.exists():
        return {}
    require(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise damaged(path, "this is not JSON", str(error)) from error
    if not isinstance(content, dict):
        raise damaged(path, "this is not a JSON object")
    return content


def read_csv(path: Path, columns: Sequence[str] = (), **options: Any) -> pd.DataFrame:
    """Reads a CSV table; ``options`` are pandas'.

    Raises:
      DataError: the file is missing or no table, or lacks one of ``columns``.
    """
    require(path)
    try:
        frame = pd.read_csv(path, **options)
    except ValueError as error:
        # Parser, empty-file and encoding errors are all of this kind.
        raise damaged(path, "this is not a table", str(error)) from error
    return _with_columns(path, frame, columns)


def read_parquet(path: Path, columns: Sequence[str] = ()) -> pd.DataFrame:
    """Reads a Parquet table.

    Raises:
      DataError: the file is missing or no table, or lacks one of ``columns``.
    """
    require(path)
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise damaged(path, "this is not a Parquet table", str(error)) from error
    return _with_columns(path, frame, columns)


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Reads the arrays of an .npz file.

    Raises:
      DataError: the file is missing or cut short, or lacks one of ``names``.
    """
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


def _with_columns(path: Path, frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise damaged(path, f"columns are missing: {', '.join(missing)}")
    return frame
