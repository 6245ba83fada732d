"""R files (.rds, .rda), parsed by rdata (MIT): data frames, also with matrix columns, and matrices with column names.

Functions and other code in a file are refused unread; nothing is evaluated. A matrix column `spc` with columns 350 ...
gives columns 350 ...; where two columns of a table would have one name, those of matrices are called spc.350 ..., as R
itself writes them. Row names that are text stand in a column "row.names".
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from jaxsoil.data.readers.instruments import tables
from jaxsoil.data.readers.instruments.reading import MOST_BYTES, Reading, Source, guarded, optional
from jaxsoil.runs import require

if TYPE_CHECKING:
    import pandas as pd

SEVERAL = (b"RDX2\n", b"RDX3\n")
"""First bytes of a file of named objects (.rda), in the binary form that R writes by default."""

_PACKED: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
_MOST_INFLATED = 4 * MOST_BYTES
_SAVE = "Save a data frame or a matrix with column names (saveRDS)."


def read(source: Source) -> Reading:
    """Returns the spectra of the one table with bands in a file.

    Raises:
      DataError: a damaged file, code, no table with bands or several, an ASCII or native file.
    """
    frames, failed = [], []
    for name, frame in _tables(source).items():
        if isinstance(frame, str):
            failed.append(f"{name}: {frame}")
        elif tables.find_bands([str(column) for column in frame.columns]):
            frames.append(frame)
        else:
            failed.append(f"{name}: columns {', '.join(map(str, frame.columns[:4]))} ...")
    if len(frames) != 1:
        problem = "the file holds several tables of spectra" if frames else "no table with columns named by their band"
        remedy = "Save one data frame or matrix whose columns are named by wavelength or wavenumber (saveRDS)."
        raise source.error(problem, remedy, value="; ".join(failed) or f"{len(frames)} tables")
    return tables.from_frame(source, "R", frames[0])


def read_frame(path: Path, name: str = "") -> pd.DataFrame:
    """Returns one table of a file with all its columns; ``attrs["unread"]`` says why a column is not among them.

    Args:
      path: the file.
      name: of the object, where the file holds several tables ("soils$spectra" for a part of a list).

    Raises:
      DataError: a damaged file, code, no table, an unknown name, or several tables and no name.
    """
    source = Source(path)
    with guarded(source, "R"):
        found = _tables(source)
    frames = {key: frame for key, frame in found.items() if not isinstance(frame, str)}
    if name:
        require.known(name, frames, "the file has no table of this name", source=path, column="object")
        return frames[name]
    if len(frames) != 1:
        problem = "the file holds several tables" if frames else "the file holds no table"
        value = ", ".join(frames) or "; ".join(f"{key}: {why}" for key, why in found.items())
        raise source.error(problem, 'Name one of them: object = "NAME".' if frames else _SAVE, value=value)
    return next(iter(frames.values()))


def _tables(source: Source) -> dict[str, pd.DataFrame | str]:
    """The tables of a file by name, parts of lists as "list$part"; of what is no table, why."""
    with optional("rdata"):
        from rdata.parser import RObjectType as kinds
    data = _inflated(source)
    parsed = _parse(source, data)
    objects: dict[str, Any] = {source.path.stem: parsed}
    if data.startswith(SEVERAL):
        objects = {_name(item.tag): item.value[0] for item in _pairs(parsed, kinds)}
    for name, item in list(objects.items()):
        parts = _parts(item, kinds)
        if not _is_table(item, kinds) and any(_is_table(part, kinds) for part in parts.values()):
            del objects[name]
            objects |= {f"{name}${part}": inner for part, inner in parts.items()}
    found: dict[str, pd.DataFrame | str] = {}
    for name, item in objects.items():
        try:
            found[name] = _frame(item, kinds)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            found[name] = str(error)
    return found


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
    return {_name(pair.tag): pair.value[0] for pair in _pairs(item.attributes, kinds)}


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


def _is_table(item: Any, kinds: Any) -> bool:
    attributes = _attributes(item, kinds)
    return "dim" in attributes or ("class" in attributes and "data.frame" in _vector(attributes["class"], kinds))


def _parts(item: Any, kinds: Any) -> dict[str, Any]:
    """The columns of a data frame, or the parts of a list with names."""
    names = _attributes(item, kinds).get("names") if item.info.type is kinds.VEC else None
    return {} if names is None else dict(zip(map(str, _vector(names, kinds)), item.value, strict=True))


def _frame(item: Any, kinds: Any) -> pd.DataFrame:
    """Returns a data frame or a matrix as a table."""
    import pandas as pd

    attributes = _attributes(item, kinds)
    if item.info.type is not kinds.VEC:
        own, unread = [("", _matrix(item, attributes, kinds))], {}
        rows = attributes["dimnames"].value[0]
    elif "names" not in attributes:
        raise ValueError("a list without names")
    else:
        own, unread = _columns(item, kinds)
        rows = attributes.get("row.names")
    if rows is not None and rows.info.type is kinds.STR:
        own.append(("", {"row.names": _vector(rows, kinds)}))
    names = [name for _, columns in own for name in columns]
    said = len(set(names)) == len(names)
    parts = {name if said or not of else f"{of}.{name}": values for of, some in own for name, values in some.items()}
    if len(parts) < len(names):
        raise ValueError(f"a column occurs twice: {next(name for name in names if names.count(name) > 1)}")
    if len({len(part) for part in parts.values()}) > 1:
        raise ValueError("columns of different lengths")
    frame = pd.DataFrame(parts)
    frame.attrs["unread"] = unread
    return frame


def _columns(item: Any, kinds: Any) -> tuple[list[tuple[str, dict[str, np.ndarray]]], dict[str, str]]:
    """The columns of a data frame, those of a matrix or inner data frame with its name; and why some are not read."""
    found: list[tuple[str, dict[str, np.ndarray]]] = []
    unread: dict[str, str] = {}
    for name, column in _parts(item, kinds).items():
        own = _attributes(column, kinds)
        try:
            if column.info.type is kinds.VEC:
                inner = _frame(column, kinds)
                found.append((name, {str(key): inner[key].to_numpy() for key in inner.columns}))
            elif "dim" in own:
                found.append((name, _matrix(column, own, kinds)))
            else:
                found.append(("", {name: _vector(column, kinds)}))
        except (TypeError, ValueError) as error:
            unread[name] = str(error)
    return found, unread


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
