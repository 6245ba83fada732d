"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxsoil.runs.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

REMAKE = "Delete this file and run again with --resume: it is made anew."
"""What to do about a damaged file that a resumed run makes again."""

_DAMAGED = (
    OSError, ValueError, EOFError, KeyError, RuntimeError, MemoryError, struct.error, zipfile.BadZipFile, zlib.error
)  # fmt: skip
"""What reading an .npz raises where the file is cut short or its bytes are changed."""


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path beside ``path`` and moves it there when the block succeeds.

    A reader sees the old file or the new one, never half of it; after an error (a full or read-only disk,
    an interruption) the old file is untouched and the temporary one is removed.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.stem}-", suffix=target.suffix, dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb+") as written:
            os.fsync(written.fileno())
        # mkstemp creates private files; results are meant to be shared, so they get the usual permissions.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


_UNFINISHED = re.compile(r"\.[^/]+-[a-z0-9_]{8}(\.[^./]+)?")  # names by tempfile: of atomic_path, and of bundles


def remove_unfinished(folder: Path) -> None:
    """Removes what a killed process was just writing into a folder, which the caller holds."""
    for path in [path for path in folder.rglob(".*-*") if _UNFINISHED.fullmatch(path.name)]:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def write_text_atomic(path: str | os.PathLike[str], text: str) -> None:
    """Writes ``text`` to ``path`` as UTF-8 with Unix line ends, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


def write_csv(path: str | os.PathLike[str], frame: pd.DataFrame, *, float_format: str | None = None) -> None:
    """Writes a table without its index, whole or not at all; without a format floats read back to the bit."""
    write_text_atomic(path, frame.to_csv(index=False, lineterminator="\n", float_format=float_format))


def read_csv_text(
    path: str | os.PathLike[str], *, remedy: str = "Run the study again with --overwrite."
) -> tuple[list[str], list[list[str]]]:
    """Reads a CSV table of a run as text: its header and its rows, each as long as the header.

    Text first, because "NA" and "007" are names as well; the caller makes numbers of what is to be numbers. ``remedy``
    says what to do where the file is damaged.

    Raises:
      FileNotFoundError: there is no such file.
      DataError: the file is empty, cut short, not UTF-8 text, or a row is longer or shorter than the header.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
        if "\0" in text:
            raise ValueError("it holds NUL bytes")
        if text and not text.endswith("\n"):
            raise ValueError(f"its last line is cut: {text[text.rfind(chr(10)) + 1 :][-60:]!r}")
        header, *rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row] or [[]]
    except FileNotFoundError:
        raise
    except (OSError, ValueError, csv.Error) as error:
        raise DataError("this is not a table", source=path, value=str(error), remedy=remedy) from error
    if not header or len(set(header)) < len(header):
        raise DataError("this is not a table", source=path, value="no header, or a column twice", remedy=remedy)
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            problem = f"row {number} has {len(row)} columns, not {len(header)}"
            raise DataError(f"this is not a table: {problem}", source=path, value=row[-1], remedy=remedy)
    return header, rows


def write_parquet(path: str | os.PathLike[str], frame: pd.DataFrame) -> None:
    """Writes a table without its index, with checksums of its pages, whole or not at all."""
    with atomic_path(path) as temporary:
        frame.to_parquet(temporary, index=False, write_page_checksum=True)


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Writes ``content`` as JSON, whole or not at all."""
    write_text_atomic(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_json(path: str | os.PathLike[str], *, remedy: str = "Run the study again with --overwrite.") -> dict[str, Any]:
    """Reads a JSON object; ``remedy`` says what to do where the file is damaged.

    Raises:
      FileNotFoundError: there is no such file.
      DataError: the file is cut short, altered or not a JSON object.
    """
    try:
        content = json.loads(Path(path).read_bytes().decode("utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise DataError("this is not JSON", source=path, value=str(error), remedy=remedy) from error
    if not isinstance(content, dict):
        raise DataError("this is not a JSON object", source=path, value=type(content).__name__, remedy=remedy)
    return content


def write_arrays(path: str | os.PathLike[str], named: Mapping[str, Any] | None = None, /, **arrays: Any) -> None:
    """Writes named arrays as an ``.npz`` file, whole or not at all; ``named`` takes names that are no keywords.

    Raises:
      ValueError: an array of Python objects, which could not be read back.
    """
    content: dict[str, Any] = {name: np.asarray(values) for name, values in {**(named or {}), **arrays}.items()}
    for name, values in content.items():
        if values.dtype.hasobject:
            raise ValueError(f"{path}: '{name}' holds Python objects, which are not read back: give it a plain dtype.")
    # Written through a file handle: given a name, numpy appends a suffix of its own.
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        np.savez(stream, **content)


def read_arrays(path: str | os.PathLike[str], *, remedy: str = REMAKE) -> dict[str, np.ndarray]:
    """Reads all arrays of an ``.npz`` file; ``remedy`` says what to do where it is damaged.

    Raises:
      FileNotFoundError: there is no such file.
      DataError: the file is cut short, altered or not an ``.npz``.
    """
    try:
        with open(path, "rb") as stream:
            stored = np.load(stream, allow_pickle=False)
            if not isinstance(stored, np.lib.npyio.NpzFile):
                raise ValueError("a single array, not an .npz of several")
            with stored:
                # NumPy stops at the last value it expects; the checksum of an entry is compared at its very end.
                if altered := zipfile.ZipFile(stream).testzip():
                    raise ValueError(f"the bytes of '{altered}' are altered")
                return {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        raise
    except _DAMAGED as error:
        raise DataError(
            "this file of arrays cannot be read", source=path, value=f"{error}" or type(error).__name__, remedy=remedy
        ) from error
