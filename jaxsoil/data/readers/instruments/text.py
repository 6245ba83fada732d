"""Text exports: a row a sample with columns named by the band, or an axis in the first column.

Delimiters are comma, semicolon, tab, and white space between axis and values; a decimal comma is read only where it
can be nothing else. Files are UTF-8, plain or compressed by gzip, and are read in pieces.
"""

from __future__ import annotations

import codecs
import csv
import dataclasses
import gzip
import re
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.data.readers.instruments import tables
from jaxsoil.data.readers.instruments.archives import MOST_RATIO
from jaxsoil.data.readers.instruments.reading import (
    MIN_BANDS,
    MOST_BANDS,
    Reading,
    Refusal,
    Source,
    make,
    quantity_in,
    unit_in,
)

_BLOCK = 4 << 20
_SAMPLE = 1 << 20
_LINES = 40
_NULLS = ["", " ", "NA", "N/A", "#N/A", "NaN", "nan", "NULL", "null"]
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_COMMA_NUMBER = re.compile(r"[-+]?\d*,\d+([eE][-+]?\d+)?")
_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}")

_REMEDY = "Write decimal points, with comma, semicolon or tab between the columns."

_NO_BANDS = "no column is named by its band, and the rows are no axis with values"
_NAME_THEM = "Name the spectral columns by wavelength or wavenumber (350, X350), or write axis and values in columns."


@dataclasses.dataclass(frozen=True)
class _Layout:
    """What the beginning of a file says: delimiter, decimal sign, lines above the rows, and the first of them."""

    delimiter: str
    decimal: str
    above: list[str]
    header: list[str]
    rows: list[list[str]]


def read(source: Source) -> Reading:
    """Returns the spectra of a text file.

    Raises:
      DataError: NUL bytes, text that is no UTF-8, no bands, decimal commas that could be something else.
    """
    lines, count = _survey(source)
    layout = _layout(source, lines)
    if len(tables.find_bands(layout.header)) > 0:
        return _wide(source, layout, count)
    return _long(source, layout, count)


def _opened(source: Source) -> Any:
    return (gzip.open if source.path.suffix.lower() == ".gz" else open)(source.path, "rb")


def _survey(source: Source) -> tuple[list[str], int]:
    """Returns the first lines and the number of lines, after a look at every byte."""
    decode = codecs.getincrementaldecoder("utf-8-sig")()
    head, count, size = "", 0, 0
    with _opened(source) as file:
        while block := file.read(_BLOCK):
            size += len(block)
            if b"\0" in block:
                raise source.damaged("the text holds NUL bytes, as a file cut off or UTF-16 text does")
            if size > max(MOST_RATIO * source.path.stat().st_size, 1 << 26):
                raise source.error("the text inflates as a bomb does", "Do not unpack it.", value=f"over {size} bytes")
            try:
                text = decode.decode(block)
            except UnicodeDecodeError as error:
                remedy = "Save it as UTF-8 text."
                raise source.error("the text is not UTF-8", remedy, value=f"byte {block[error.start]:#x}") from None
            head += text[: max(_SAMPLE - len(head), 0)]
            count += block.count(b"\n")
    lines = head.splitlines()
    # The last line of a sample that ends within the file is cut off.
    return (lines if size <= _SAMPLE else lines[:-1])[:_LINES], count + 1


def _layout(source: Source, lines: list[str]) -> _Layout:
    """Returns the delimiter that parts most lines into one number of fields, and what stands above the rows."""
    filled = sum(bool(line.strip()) for line in lines)
    for delimiter in ("\t", ";", ",", " "):
        fields = [_split(line, delimiter) for line in lines]
        widths = Counter(len(row) for row in fields if len(row) > 1)
        width, share = widths.most_common(1)[0] if widths else (0, 0)
        if share and share >= 0.5 * filled:
            break
    else:
        remedy = "Separate the columns by comma, semicolon or tab."
        raise source.error("the text is no table of spectra", remedy, value=lines[0][:60] if lines else "no line")
    places = [place for place, row in enumerate(fields) if len(row) == width]
    # Values may look like names of bands, but do not ascend or descend as an axis does.
    named = next((place for place in places if _names_bands(fields[place], place == places[0])), None)
    numeric = next((place for place in places if all(_is_number(cell) for cell in fields[place])), None)
    if named is not None and (named != numeric or _names_bands(fields[named], False)):
        header = named
        if named and tables.find_bands(fields[named - 1]):
            value = f"{len(fields[named - 1])} in the header, {width} in the rows"
            problem = "the rows have other columns than the header (are commas decimal?)"
            raise source.error(problem, _REMEDY, value=value)
    elif numeric is None:
        header = places[0]
    else:
        header = numeric - 1 if numeric - 1 in places else None
    start = (numeric or 0) if header is None else header + 1
    rows = [fields[place] for place in places if place >= start]
    names = [] if header is None else [cell.strip() for cell in fields[header]]
    return _Layout(delimiter, _decimal(source, delimiter, rows), lines[: start - bool(names)], names, rows)


def _is_number(cell: str) -> bool:
    return bool(_NUMBER.fullmatch(cell.strip()) or _COMMA_NUMBER.fullmatch(cell.strip()))


def _names_bands(cells: list[str], in_any_order: bool) -> bool:
    found = tables.find_bands(cells)
    steps = np.diff(found[0].axis) if found else np.zeros(1)
    return bool(found) and (in_any_order or bool(np.all(steps > 0) or np.all(steps < 0)))


def _split(line: str, delimiter: str) -> list[str]:
    if delimiter == " ":
        return line.split()
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def _decimal(source: Source, delimiter: str, rows: list[list[str]]) -> str:
    """Returns the decimal sign; numbers whose comma could part thousands raise DataError."""
    cells = [cell.strip() for row in rows for cell in row]
    commas = [cell for cell in cells if _COMMA_NUMBER.fullmatch(cell)]
    if delimiter == ",":
        if rows and len(rows[0]) > 2 and all(re.fullmatch(r"[-+]?\d+", cell) for cell in cells):
            raise source.error("whole numbers alone: the commas may be decimal", _REMEDY, value=",".join(rows[0][:4]))
        return "."
    if not commas:
        return "."
    points = sum(bool(re.fullmatch(r"[-+]?\d*\.\d+([eE][-+]?\d+)?", cell)) for cell in cells)
    if points or all(_THOUSANDS.fullmatch(cell) for cell in commas):
        raise source.error("commas within numbers may be decimal or part thousands", _REMEDY, value=commas[0])
    return ","


def _long(source: Source, layout: _Layout, count: int) -> Reading:
    """Reads an axis in the first column and a spectrum in each other one."""
    if count > MOST_BANDS + len(layout.above) + 1:
        raise source.error(_NO_BANDS, _NAME_THEM, value=f"{count} rows, too many to be an axis")
    with _opened(source) as file:
        lines = file.read().decode("utf-8-sig").splitlines()
    width = len(layout.rows[0]) if layout.rows else 0
    rows = [_split(line, layout.delimiter) for line in lines[len(layout.above) + bool(layout.header) :] if line.strip()]
    uneven = next((len(row) for row in rows if len(row) != width), None)
    if uneven is not None or len(rows) < MIN_BANDS:
        value = f"{len(rows)} rows" if uneven is None else f"{uneven} columns instead of {width}"
        raise source.error(_NO_BANDS, _NAME_THEM, value=value)
    decimal = _decimal(source, layout.delimiter, rows)
    try:
        cells = [[cell.strip().replace(decimal, ".") or "nan" for cell in row] for row in rows]
        numbers = np.array([[float(cell) for cell in row] for row in cells])
    except ValueError as error:
        raise source.error(_NO_BANDS, _NAME_THEM, value=str(error)) from None
    words = " ".join([*layout.above, *layout.header])
    first, others = (layout.header or [""])[0], layout.header[1:]
    unit = unit_in(first) or unit_in(words)
    said = {quantity_in(name) for name in others} - {None}
    quantity = said.pop() if len(said) == 1 else quantity_in(words)
    ids = [source.path.stem] if width == 2 else others or [f"{source.path.stem}:{row}" for row in range(width - 1)]
    return make(source, "CSV", numbers[:, 0], numbers[:, 1:].T, unit=unit, quantity=quantity, ids=ids)


def _wide(source: Source, layout: _Layout, count: int) -> Reading:
    """Reads a row a sample, in pieces; rows of another width are refused one by one."""
    if layout.delimiter == " ":
        raise source.error("columns are parted by white space", "Separate them by comma, semicolon or tab.")
    bands = tables.choose_bands(source, layout.header)
    words = " ".join(layout.above)
    bands = dataclasses.replace(bands, unit=bands.unit or unit_in(words), quantity=bands.quantity or quantity_in(words))
    source.require_memory(8 * count * len(bands.columns))
    try:
        values, labels, refused = _pieces(source, layout, bands, count, as_text=False)
    except _NotNumbers:
        values, labels, refused = _pieces(source, layout, bands, count, as_text=True)
    if len(refused) > len(values):
        raise source.error("the rows have other columns than the header", _REMEDY, value=refused[0].reason)
    return tables.from_parts(source, "CSV", bands, values, labels, refused)


class _NotNumbers(Exception):
    """A band holds text: the bands are read as text, and the rows with it are refused."""


def _pieces(
    source: Source, layout: _Layout, bands: tables.Bands, count: int, *, as_text: bool
) -> tuple[np.ndarray, pd.DataFrame, list[Refusal]]:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    refused: list[Refusal] = []

    def of_another_width(row: Any) -> str:
        number = "a row" if row.number is None else f"line {row.number + len(layout.above)}"
        refused.append(Refusal(number, f"{row.actual_columns} columns instead of {row.expected_columns}"))
        return "skip"

    def number(column: np.ndarray) -> np.ndarray:
        return _numbers(pd.Series(column), layout.decimal) if as_text else column

    band_names = set(bands.columns)
    kinds = {name: pa.float64() if name in band_names and not as_text else pa.string() for name in layout.header}
    reading = arrow_csv.ReadOptions(
        use_threads=False, block_size=_BLOCK, skip_rows=len(layout.above) + 1, column_names=layout.header
    )
    parsing = arrow_csv.ParseOptions(delimiter=layout.delimiter, invalid_row_handler=of_another_width)
    conversion = arrow_csv.ConvertOptions(
        column_types=kinds, null_values=_NULLS, strings_can_be_null=True, decimal_point=layout.decimal
    )
    with pa.input_stream(str(source.path), compression="gzip" if source.path.suffix.lower() == ".gz" else None) as file:
        try:
            reader = arrow_csv.open_csv(file, reading, parsing, conversion)
            values, labels = tables.of_batches(reader, bands, count, number)
        except pa.ArrowInvalid as error:
            if not as_text and "conversion error" in str(error):
                raise _NotNumbers from error
            raise
    typed = {name: _typed(pd.Series(labels[name]), layout.decimal) for name in labels.columns}
    return values, pd.DataFrame(typed, index=labels.index), refused


def _typed(column: pd.Series, decimal: str) -> pd.Series:
    """Returns numbers where every cell that is filled is one, else the text; 007 and long numbers are names."""
    found = pd.Series(_numbers(column, decimal), column.index)
    is_text = (found.isna() & column.notna()) | column.str.match(r"0\d|\d{16}", na=False)
    return column if bool(is_text.any()) else found


def _numbers(column: pd.Series, decimal: str) -> np.ndarray:
    """Returns the numbers in a column of text, NaN for other text; a point beside decimal commas is such."""
    if decimal == ",":
        column = column.where(~column.str.contains(".", regex=False, na=False)).str.replace(",", ".")
    return tables.numbers(column)
