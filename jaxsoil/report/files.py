"""Names of :mod:`jaxsoil.report.run_files` for the readers that are not declared yet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from jaxsoil.report.run_files import Columns, damaged, read_arrays, read_json, require, where
from jaxsoil.report.run_files import read_parquet as _read_parquet

__all__ = ["damaged", "read_arrays", "read_csv", "read_json", "read_parquet", "require", "where"]


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
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise damaged(path, f"columns are missing: {', '.join(missing)}")
    return frame


def read_parquet(path: Path, columns: Sequence[str] = ()) -> pd.DataFrame:
    """Reads a Parquet table.

    Raises:
      DataError: the file is missing or no table, or lacks one of ``columns``.
    """
    frame = _read_parquet(path, Columns())
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise damaged(path, f"columns are missing: {', '.join(missing)}")
    return frame
