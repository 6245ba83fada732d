"""Reads CSV, Parquet and R tables, and says what is wrong with them. Nothing in a table is ever executed."""

from __future__ import annotations

import csv
import itertools
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from jaxsoil.data.library import Strings
from jaxsoil.data.readers.schema import Axis
from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

R_FILES = (".rds", ".rda", ".rdata")
READABLE = (".csv", ".parquet", *R_FILES)


def read_table(
    path: Path, *, separator: str = ",", decimal: str = ".", as_text: bool = False, name: str = ""
) -> pd.DataFrame:
    """Returns the table in ``path`` (CSV, Parquet or R), every column name once.

    Args:
      path: the file.
      separator, decimal: of a CSV file.
      as_text: takes every cell of a CSV file as the text that stands there, "" where it is empty.
      name: of the object in an .rda file of several tables.

    Raises:
      DataError: a file that is absent, empty, of another kind, broken or larger than the memory.
    """
    kind = path.suffix.lower()
    if kind not in READABLE:
        value, remedy = path.suffix or "no extension", f"Give a table as {', '.join(READABLE[:-1])} or {READABLE[-1]}."
        raise DataError("this kind of file is not read", source=path, value=value, remedy=remedy)
    if not path.is_file():
        remedy = "Check the key `data` of the manifest and, for packaged data sets, JAXSOIL_DATA."
        raise DataError("the data file does not exist", source=path, remedy=remedy)
    try:
        table: Any = ()
        if path.stat().st_size:
            if kind in R_FILES:
                from jaxsoil.data.readers.instruments.rfiles import read_frame

                table = read_frame(path, name)
            else:
                table = _read_csv(path, separator, decimal, as_text) if kind == ".csv" else _read_parquet(path)
    except DataError:
        raise
    except MemoryError as error:
        raise _too_large(path, "all of it") from error
    except (OSError, ValueError, csv.Error) as error:
        value = str(error).splitlines()[0] if str(error) else type(error).__name__
        remedy = "Check that the file is whole and that its extension says what it is (CSV is UTF-8 text)."
        raise DataError("the table cannot be read", source=path, value=value, remedy=remedy) from error
    if len(table) == 0:
        value = f"{path.stat().st_size} bytes"
        raise DataError("the table has no rows", source=path, value=value, remedy="Fetch the file again.")
    return table


def band_columns(names: Sequence[str], axis: Axis, source: Path) -> tuple[list[str], NDArray[np.float64]]:
    """Returns the columns that hold bands, ascending along the axis, and the axis.

    Raises:
      DataError: no such column; a descending file without ``order = "descending"``; an unsorted or repeated axis.
    """
    low, high = -math.inf if axis.low is None else axis.low, math.inf if axis.high is None else axis.high
    found = {name: number for name in names if (number := _axis_number(name, axis.pattern)) is not None}
    found = {name: number for name, number in found.items() if math.isfinite(number) and low <= number <= high}
    columns, numbers = list(found), list(found.values())
    if not columns:
        shown = ", ".join(names[:5])
        told = {"source": source, "column": axis.pattern or "names that are numbers", "value": f"columns {shown} ..."}
        remedy = "Give `pattern` under [axis], such as 'X([0-9.]+)', or check low and high (and `separator`)."
        raise DataError("no spectral column was found", remedy=remedy, **told)
    if axis.order == "descending":
        columns, numbers = columns[::-1], numbers[::-1]
        if len(numbers) > 1 and all(later < earlier for earlier, later in itertools.pairwise(numbers)):
            problem = "the axis is declared descending but ascends"
            remedy = 'Write order = "ascending" under [axis].'
            raise DataError(problem, source=source, column=f"{columns[-1]} ... {columns[0]}", remedy=remedy)
    return columns, np.asarray(numbers, np.float64)


def column_numbers(table: pd.DataFrame, column: str, source: Path, *, what: str = "label") -> NDArray[np.float64]:
    """Returns a column as float64, NaN where the cell is empty; text raises DataError that shows it."""
    import pandas as pd

    series = require_column(table, column, source)
    numbers = np.array(pd.Series(pd.to_numeric(series, errors="coerce")), dtype=np.float64)
    require.no_row(
        series.notna().to_numpy() & np.isnan(numbers),
        f"a {what} is text, not a number",
        show=lambda row: f"{series.iloc[row]!r} in row {row}",
        source=source,
        column=column,
        remedy="Write numbers (values below a detection limit as a decision of yours) and leave missing cells "
        'empty; a decimal comma needs decimal = "," in the manifest.',
    )
    return numbers


def column_strings(table: pd.DataFrame, column: str, source: Path) -> Strings:
    """Returns a column as strings, "" where the cell is empty; whole numbers lose their ".0"."""
    return np.array([cell_text(value) for value in require_column(table, column, source).tolist()], dtype=np.str_)


def cell_text(value: Any) -> str:
    """Returns what a cell holds as text: "" for nothing, "7" for 7.0."""
    if value is None or value != value:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def require_column(table: pd.DataFrame, column: str, source: Path) -> pd.Series:
    """Returns a column; an absent one raises DataError with the nearest name among those that are no bands."""
    if column not in table.columns:
        if column in (unread := table.attrs.get("unread", {})):
            remedy = "Make it a vector, or a matrix with column names, and save the table again."
            problem = "this column of the R table is not read"
            raise DataError(problem, source=source, column=column, value=unread[column], remedy=remedy)
        remedy = did_you_mean(column, [name for name in table.columns if _axis_number(name, None) is None])
        raise DataError("the file has no such column", source=source, column=column, remedy=remedy)
    return table.loc[:, column]


def spectral_values(table: pd.DataFrame, columns: Sequence[str], source: Path) -> NDArray[np.float64]:
    """Returns (n, m) band values as float64, NaN where a cell is empty; text raises DataError."""
    import pandas as pd

    block = table[list(columns)]
    text = [name for name in columns if not pd.api.types.is_numeric_dtype(block[name])]
    for name in text:
        block = block.assign(**{name: column_numbers(table, name, source, what="band value")})
    try:
        return block.to_numpy(np.float64, na_value=np.nan)
    except MemoryError as error:
        raise _too_large(source, f"{block.shape[0]} x {block.shape[1]} bands") from error


def _read_csv(path: Path, separator: str, decimal: str, as_text: bool) -> pd.DataFrame:
    import pandas as pd

    with open(path, "rb") as binary:
        if any(b"\0" in block for block in iter(lambda: binary.read(1 << 20), b"")):
            raise ValueError("it holds NUL bytes, as a file cut off while it was written, or UTF-16 text, does")
    with open(path, encoding="utf-8-sig", newline="") as file:
        header = next(csv.reader(file, delimiter=separator), [])
    # pandas would rename a second "1000" to "1000.1", which reads as a band at 1000.1.
    _require_unique(header, path)
    _require_memory(path, 3 * path.stat().st_size)
    kinds: dict[str, Any] = {"dtype": str, "keep_default_na": False} if as_text else {"low_memory": False}
    return pd.read_csv(path, sep=separator, decimal=decimal, encoding="utf-8-sig", **kinds)


def _read_parquet(path: Path) -> pd.DataFrame:
    import pandas as pd
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(path)
    _require_unique(metadata.schema.to_arrow_schema().names, path)
    _require_memory(path, 16 * metadata.num_rows * metadata.num_columns)
    table = pd.read_parquet(path)
    table.columns = [str(name) for name in table.columns]
    return table


def _require_unique(names: Sequence[str], path: Path) -> None:
    if len(set(names)) < len(names):
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        remedy = "Keep one column for each band (average repeated scans as rows, not as columns)."
        raise DataError("a column occurs twice", source=path, column=twice, remedy=remedy)


def _require_memory(path: Path, needed: int) -> None:
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return
    if needed > memory:
        raise _too_large(path, f"about {needed / 2**30:.1f} GiB of {memory / 2**30:.1f} GiB")


def _too_large(path: Path, what: str) -> DataError:
    remedy = "Cut it into parts, keep fewer bands (average them beforehand), or use a machine with more memory."
    return DataError("the table does not fit the memory", source=path, value=what, remedy=remedy)


def _axis_number(name: str, pattern: str | None) -> float | None:
    text = name
    if pattern is not None:
        match = re.fullmatch(pattern, name)
        if match is None:
            return None
        text = match.group(1)
    # float() would also take "nan", "1_000" and "1e3".
    return float(text) if re.fullmatch(r"\d+(\.\d*)?|\.\d+", text or "") else None
