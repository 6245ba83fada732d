"""Tables of a run folder with the columns that they must have: what is missing or damaged is named, with what to do.

A study that reads what it wrote and a report read them alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxsoil.runs import files
from jaxsoil.runs.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

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


def require(path: Path) -> Path:
    """The path itself; DataError where there is no such file."""
    if not path.is_file():
        remedy = "Finish the run first (the same command with --resume), then report on it."
        raise DataError("this file of the run is missing", source=path, remedy=remedy)
    return path


def damaged(path: object, problem: str, value: object = None) -> DataError:
    """The error of a file that is there and not what it should be."""
    return DataError(problem, source=path, value=value, remedy=OVERWRITE)


def read_csv(path: Path, columns: Columns) -> pd.DataFrame:
    """Reads a CSV table; DataError where it is missing, is none, lacks a column, or a cell does not fit its column."""
    import pandas as pd

    header, rows = files.read_csv_text(require(path), remedy=OVERWRITE)
    kinds = columns.kinds
    _require_columns(path, header, columns)
    named = {name: [row[place] for row in rows] for place, name in enumerate(header)}
    return pd.DataFrame({name: _typed(path, name, kinds.get(name, "text"), some) for name, some in named.items()})


def read_parquet(path: Path, columns: Columns) -> pd.DataFrame:
    """Reads a Parquet table; DataError where it is missing, is none, lacks a column, or one holds something else."""
    import pandas as pd
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


def numbers(path: object, name: str, cells: Sequence[Any], *, whole: bool = False, empty: bool = False) -> np.ndarray:
    """The numbers (n,) of a column's cells (text or numbers): float64, or int64 where they are to be whole.

    Raises:
      DataError: a cell is no such number; with ``empty`` an empty one is NaN.
    """
    found = []
    for row, cell in enumerate(cells):
        try:
            number = float("nan" if empty and cell == "" else cell)
            if whole and not number.is_integer():
                raise ValueError
            found.append(int(number) if whole else number)
        except (TypeError, ValueError):
            raise _wrong(path, name, row, cells, "a whole number" if whole else "a number") from None
    return np.array(found, dtype=np.int64 if whole else np.float64)


def _require_columns(path: Path, header: Sequence[str], columns: Columns) -> None:
    missing = [name for name in columns.required if name not in header]
    if missing:
        remedy = "Run the study again with --resume; if an earlier version finished this part, with --overwrite."
        raise DataError(f"columns are missing: {', '.join(missing)}", source=path, remedy=remedy)


def _typed(path: Path, name: str, kind: str, cells: list[str]) -> np.ndarray | list[str]:
    if kind == "text":
        return cells
    if kind == "flag":
        known = [_FLAGS.get(cell.lower().removesuffix(".0")) for cell in cells]
        if None in known:
            raise _wrong(path, name, known.index(None), cells, "True or False")
        return np.array(known, dtype=bool)
    return numbers(path, name, cells, whole=kind == "whole", empty=kind != "whole")


def _wrong(path: object, name: str, row: int, cells: Sequence[Any], what: str) -> DataError:
    return damaged(path, f"column {name}, row {row + 1}: not {what}", cells[row])
