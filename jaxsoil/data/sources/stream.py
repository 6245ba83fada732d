"""Large CSV files, gzipped or not, block by block: memory holds a block and the text columns, never the table.

A block is 8 MB of text; Arrow reads some of them ahead. Numbers are parsed as float32, text is kept as Arrow strings.
``benchmarks/libraries.py`` measures rate and memory.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jaxsoil.runs.errors import DataError

BLOCK = 8 << 20
"""Bytes of text that are parsed at a time."""

MISSING = ["", "NA", "NaN", "nan", "NULL", "null"]
"""Cells that stand for a missing value: R and pandas write them so."""

DAMAGED = "Delete the file and prepare the library again: it is then fetched anew."
"""What to do about a file that does not hold what it must."""


def header(path: Path) -> list[str]:
    """Returns the column names of a CSV file.

    Raises:
      DataError: no text, no header, a column twice.
    """
    try:
        with _text(path) as stream:
            names = next(csv.reader(stream, delimiter=_separator(path)), [])
    except (OSError, EOFError, ValueError) as error:
        raise DataError("the file cannot be read", source=path, value=str(error), remedy=DAMAGED) from error
    if len(names) < 2:
        raise DataError("the file is no table", source=path, value=", ".join(names)[:80], remedy=DAMAGED)
    if len(set(names)) < len(names):
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise DataError("a column occurs twice", source=path, column=twice, remedy=DAMAGED)
    return names


def blocks(
    path: Path, numbers: Sequence[str], text: Sequence[str], *, block: int = BLOCK, progress: bool = False
) -> Iterator[tuple[NDArray[np.float32], pd.DataFrame]]:
    """Yields (values, others) of a CSV file, block by block.

    Args:
      path: the file; gzipped where its first bytes say so.
      numbers: m columns of numbers.
      text: columns of text.
      block: bytes of text in a block; a row must fit.
      progress: whether to draw a progress bar over the bytes of the file.

    Yields:
      (r, m) float32, NaN where a cell is empty, and the r rows of the text columns, "" where a cell is empty.

    Raises:
      DataError: text among the numbers, a row of another length, a file that ends within its last block.
    """
    import pyarrow as pa
    from pyarrow import csv as table
    from tqdm import tqdm

    kinds: dict[str, Any] = {name: pa.float32() for name in numbers} | {name: pa.string() for name in text}
    conversion = table.ConvertOptions(
        column_types=kinds, include_columns=[*numbers, *text], null_values=MISSING, strings_can_be_null=True
    )
    try:
        reading, parsing = table.ReadOptions(block_size=block), table.ParseOptions(delimiter=_separator(path))
        shown: dict[str, Any] = {"desc": path.name, "total": path.stat().st_size, "unit": "B", "unit_scale": True}
        with pa.OSFile(str(path)) as raw:
            stream: Any = pa.CompressedInputStream(raw, "gzip") if _gzipped(path) else raw
            with tqdm(**shown, disable=not progress, leave=False) as bar:
                for batch in table.open_csv(stream, reading, parsing, conversion):
                    values = np.empty((batch.num_rows, len(numbers)), np.float32)
                    for place in range(len(numbers)):
                        values[:, place] = batch.column(place).to_numpy(zero_copy_only=False)
                    yield values, _frame(batch, len(numbers), text)
                    bar.update(raw.tell() - bar.n)
    except (pa.ArrowInvalid, OSError, EOFError) as error:
        value = str(error).splitlines()[0]
        raise DataError("the table cannot be read", source=path, value=value, remedy=DAMAGED) from error


def read_text(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Returns some columns of a CSV file as text, "" where a cell is empty; see :func:`blocks`."""
    frames = [others for _, others in blocks(path, [], columns)]
    return pd.concat(frames or [pd.DataFrame(columns=list(columns), dtype=object)], ignore_index=True)


def _frame(batch: Any, first: int, text: Sequence[str]) -> pd.DataFrame:
    from pyarrow import compute

    # Arrow's own strings: a third of the memory of Python's.
    columns = {}
    for place, name in enumerate(text):
        filled = compute.fill_null(batch.column(first + place), "")
        columns[name] = pd.arrays.ArrowExtensionArray(compute.utf8_trim_whitespace(filled))  # type: ignore[attr-defined]
    return pd.DataFrame(columns, index=range(batch.num_rows))


def _gzipped(path: Path) -> bool:
    with open(path, "rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def _text(path: Path) -> io.TextIOWrapper:
    raw: Any = gzip.open(path, "rb") if _gzipped(path) else open(path, "rb")  # noqa: SIM115 (the caller closes it)
    return io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")


def _separator(path: Path) -> str:
    """ "," or a tab, whichever the first line has more of: R writes both under the name .txt."""
    with _text(path) as stream:
        line = stream.readline(1 << 20)
    return "\t" if line.count("\t") > line.count(",") else ","
