"""R files (.rds, .rda), parsed by rdata (MIT): data frames, also with matrix columns, and matrices with column names.

Functions and other code in a file are refused unread; nothing is evaluated.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from jaxsoil.data.readers.instruments import tables
from jaxsoil.data.readers.instruments.reading import MOST_BYTES, Reading, Source, optional

if TYPE_CHECKING:
    import pandas as pd

SEVERAL = (b"RDX2\n", b"RDX3\n")
"""First bytes of a file of named objects (.rda), in the binary form that R writes by default."""

_PACKED: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
_MOST_INFLATED = 4 * MOST_BYTES


def read(source: Source) -> Reading:
    """Returns the spectra of the one table with bands in a file.

    Raises:
      DataError: a damaged file, code, no table with bands or several, an ASCII or native file.
    """
    with optional("rdata"):
        from rdata.parser import RObjectType
    data = _inflated(source)
    parsed = _parse(source, data)
    objects: dict[str, Any] = {source.path.stem: parsed}
    if data.startswith(SEVERAL):
        objects = {_name(item.tag): item.value[0] for item in _pairs(parsed, RObjectType)}
    frames, failed = [], []
    for name, item in objects.items():
        try:
            frame = _frame(item, RObjectType)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            failed.append(f"{name}: {error}")
            continue
        if tables.find_bands([str(column) for column in frame.columns]):
            frames.append(frame)
        else:
            failed.append(f"{name}: columns {', '.join(map(str, frame.columns[:4]))} ...")
    if len(frames) != 1:
        problem = "the file holds several tables of spectra" if frames else "no table with columns named by their band"
        remedy = "Save one data frame or matrix whose columns are named by wavelength or wavenumber (saveRDS)."
        raise source.error(problem, remedy, value="; ".join(failed) or f"{len(frames)} tables")
    return tables.from_frame(source, "R", frames[0])


def _inflated(source: Source) -> bytes:
    data = source.content()
    opener = next((opener for magic, opener in _PACKED.items() if data.startswith(magic)), None)
    if opener is None:
        return data
    file: IO[bytes] = opener(io.BytesIO(data))
    # Piece by piece: one large read would take its memory before there is anything to read.
    pieces = []
    while (piece := file.read(1 << 20)) and sum(map(len, pieces)) <= _MOST_INFLATED:
        pieces.append(piece)
    data = b"".join(pieces)
    if len(data) > _MOST_INFLATED:
        raise source.error("the packed file is too large", "Save it in parts.", value=f"over {_MOST_INFLATED} bytes")
    return data


def _parse(source: Source, data: bytes) -> Any:
    """Returns the root object. Sizes are held against what is left of the file, which rdata leaves out."""
    from rdata.parser import DEFAULT_ALTREP_MAP
    from rdata.parser._xdr import ParserXDR

    class Parser(ParserXDR):
        def _parse_array_values(self, dtype: Any, length: int) -> np.ndarray:
            left = len(data) - self.file.tell()
            if not 0 <= length * np.dtype(dtype).itemsize <= left:
                raise source.damaged("an object reaches beyond the end of the file", f"{length} values")
            return super()._parse_array_values(dtype, length)

        def _parse_bytecode(self, *_: Any) -> Any:
            raise source.error("the file holds code", "Save the data frame alone, with saveRDS.")

    def bounded(expand: Any) -> Any:
        def checked(state: Any) -> Any:
            # A sequence is stored as its length: no longer one than the file could hold written out.
            if isinstance(state.value, np.ndarray) and not 0 <= state.value[0] <= max(len(data), 1 << 20):
                raise source.damaged("a sequence is too long", state.value[0])
            return expand(state)

        return checked

    start = next((len(magic) for magic in SEVERAL if data.startswith(magic)), 0)
    if data[start : start + 2] != b"X\n":
        remedy = "Save it with saveRDS(data, file) and no other argument."
        raise source.error("the file is no R file in its binary form", remedy, value=repr(data[:12]))
    constructors = {name: bounded(expand) for name, expand in DEFAULT_ALTREP_MAP.items()}
    body = memoryview(data)[start + 2 :]
    data = bytes(body)
    return Parser(body, expand_altrep=True, altrep_constructor_dict=constructors).parse_all().object


def _pairs(item: Any, kinds: Any) -> Iterator[Any]:
    while item is not None and item.info.type is kinds.LIST:
        yield item
        item = item.value[1]


def _name(symbol: Any) -> str:
    while symbol.referenced_object is not None:
        symbol = symbol.referenced_object
    return _string(symbol.value)


def _string(item: Any) -> str:
    return "" if item.value is None else item.value.decode("utf-8", "replace")


def _attributes(item: Any, kinds: Any) -> dict[str, Any]:
    return (
        {} if item.attributes is None else {_name(pair.tag): pair.value[0] for pair in _pairs(item.attributes, kinds)}
    )


def _vector(item: Any, kinds: Any) -> np.ndarray:
    """Returns a vector as an array: numbers as they are, text and factors as objects."""
    if item.info.type is kinds.STR:
        return np.array([_string(text) if text.value is not None else None for text in item.value], dtype=object)
    if not isinstance(item.value, np.ndarray):
        raise TypeError(f"a column of type {item.info.type.name}")
    levels = _attributes(item, kinds).get("levels")
    if levels is None:
        return np.ma.filled(np.ma.asarray(item.value, dtype=float), np.nan)
    names = np.array([None, *_vector(levels, kinds)], dtype=object)
    codes = np.ma.filled(item.value, 0)
    return names[np.where((codes > 0) & (codes < len(names)), codes, 0)]


def _frame(item: Any, kinds: Any) -> pd.DataFrame:
    """Returns a data frame or a matrix as a table; a matrix column `spc` with columns 350 ... gives 350 ..."""
    import pandas as pd

    attributes = _attributes(item, kinds)
    if item.info.type is not kinds.VEC:
        return pd.DataFrame(_matrix(item, attributes, kinds))
    if "names" not in attributes:
        raise ValueError("a list without names")
    parts: dict[str, np.ndarray] = {}
    for name, column in zip(_vector(attributes["names"], kinds), item.value, strict=True):
        own = _attributes(column, kinds)
        if column.info.type is kinds.VEC:
            inner = _frame(column, kinds)
            more = {str(key): inner[key].to_numpy() for key in inner.columns}
        else:
            more = _matrix(column, own, kinds) if "dim" in own else {str(name): _vector(column, kinds)}
        if parts.keys() & more.keys():
            raise ValueError(f"a column occurs twice: {next(iter(parts.keys() & more.keys()))}")
        parts |= more
    if len({len(part) for part in parts.values()}) > 1:
        raise ValueError("columns of different lengths")
    return pd.DataFrame(parts)


def _matrix(item: Any, attributes: dict[str, Any], kinds: Any) -> dict[str, np.ndarray]:
    """Returns the columns of a matrix by their names."""
    if "dim" not in attributes or "dimnames" not in attributes:
        raise ValueError("no matrix with column names")
    shape = tuple(int(n) for n in attributes["dim"].value)
    if len(shape) != 2 or min(shape) < 0 or attributes["dimnames"].value[1].info.type is not kinds.STR:
        raise ValueError("no matrix with column names")
    values = _vector(item, kinds).reshape(shape, order="F")
    names = _vector(attributes["dimnames"].value[1], kinds)
    if len(set(names)) < len(names):
        raise ValueError("a column occurs twice")
    return {str(name): values[:, place] for place, name in enumerate(names)}
