"""Readers of instrument files: every file ends in a :class:`Reading` or in a DataError that names it.

>>> from jaxsoil.data.readers import instruments
>>> sorted(instruments.KNOWN)[:4]
['.asd', '.bil', '.bip', '.bsq']
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from jaxsoil.data.readers.instruments import bands, envi
from jaxsoil.data.readers.instruments.archives import unpacked
from jaxsoil.data.readers.instruments.asd import VERSIONS
from jaxsoil.data.readers.instruments.library import as_library
from jaxsoil.data.readers.instruments.reading import Reading, Refusal, Source, guarded
from jaxsoil.data.readers.instruments.rfiles import SEVERAL
from jaxsoil.runs.errors import DataError

__all__ = ["KNOWN", "Reading", "Refusal", "as_library", "bands", "envi", "read", "readings"]

_ROOM = "jaxsoil.data.readers.instruments"
_MODULES = {
    "OPUS": "opus", "ASD": "asd", "SPC": "spc", "JCAMP-DX": "jcampdx", "CSV": "text", "Parquet": "parquet",
    "R": "rfiles", "NumPy": "npz", "ENVI": "envi",
}  # fmt: skip
KNOWN = {
    **{".asd": "ASD", ".spc": "SPC", ".npz": "NumPy", ".zip": "ZIP"},
    **dict.fromkeys((".jdx", ".dx", ".jcm", ".jcamp"), "JCAMP-DX"),
    **dict.fromkeys((".csv", ".tsv", ".txt", ".csv.gz"), "CSV"),
    **dict.fromkeys((".parquet", ".pq"), "Parquet"),
    **dict.fromkeys((".rds", ".rda", ".rdata"), "R"),
    **dict.fromkeys((".hdr", ".img", ".bsq", ".bil", ".bip", ".sli"), "ENVI"),
}
"""Format of each extension; ``.0``, ``.001`` and other numbers are OPUS or ASD by their content."""

_MAGIC = {
    b"\n\n\xfe\xfe": "OPUS", **dict.fromkeys(VERSIONS, "ASD"), b"PAR1": "Parquet", b"PK\x03\x04": "ZIP",
    b"ENVI": "ENVI", b"##TITLE": "JCAMP-DX", **dict.fromkeys((*SEVERAL, b"X\n", b"RDA2\n", b"RDA3\n"), "R"),
    b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x89HDF": "HDF5", b"%PDF": "PDF", b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"\x93NUMPY": "a NumPy array",
    b"\x80\x04": "a pickle", b"\x80\x05": "a pickle", b"\xd0\xcf\x11\xe0": "an old Excel file",
}  # fmt: skip
# What the first bytes may say of a file of each format; formats that are not here have no mark of their own.
_MARKS = {
    "OPUS": {"OPUS"}, "ASD": {"ASD"}, "JCAMP-DX": {"JCAMP-DX", None}, "Parquet": {"Parquet"}, "ZIP": {"ZIP"},
    "NumPy": {"ZIP"}, "R": {"R", "gzip", "bzip2", "xz"},
}  # fmt: skip


def read(path: str | Path, *, quantity: str | None = None, unit: str | None = None) -> Reading:
    """Returns the spectra of one file.

    Args:
      path: the file; of a ZIP archive, one with a single file that can be read.
      quantity: "reflectance", "reflectance_percent", "absorbance" or "pretreated", where the file does not say it.
      unit: of the axis, "nm", "cm-1" or "um" (micrometres become nm), where the file does not say it.

    Raises:
      DataError: a file that cannot be read, whatever is wrong with it; a quantity or unit that is unknown, not said,
        or contradicted by the file.
    """
    source = Source(Path(path), quantity, unit)
    kind = _kind(source)
    with guarded(source, kind):
        if kind == "ZIP":
            return _only(source)
        return importlib.import_module(f"{_ROOM}.{_MODULES[kind]}").read(source)


def readings(
    paths: str | Path | Iterable[str | Path], *, quantity: str | None = None, unit: str | None = None
) -> Iterator[tuple[Path, Reading | DataError]]:
    """Yields each file with its reading or its error, one at a time; a bad file does not stop the others.

    Args:
      paths: files and folders. Folders are walked in sorted order, with their subfolders and ZIP archives; hidden
        files, and images beside an ENVI header, are passed over.
      quantity, unit: as in :func:`read`, for all of them.
    """
    for path in [paths] if isinstance(paths, str | Path) else paths:
        for file in _walk(Path(path)):
            if file.suffix.lower() == ".zip" and file.is_file():
                yield from _members(Source(file, quantity, unit))
                continue
            try:
                yield file, read(file, quantity=quantity, unit=unit)
            except DataError as error:
                yield file, error


def _walk(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for folder, names, files in os.walk(path):
        names[:] = sorted(name for name in names if not name.startswith("."))
        headers = {name[:-4] for name in files if name.lower().endswith(".hdr")}
        for name in sorted(files):
            is_image = not name.lower().endswith(".hdr") and (name in headers or Path(name).stem in headers)
            if not name.startswith(".") and not is_image:
                yield Path(folder, name)


def _members(source: Source) -> Iterator[tuple[Path, Reading | DataError]]:
    """Yields the files in an archive as ``archive.zip/name``."""
    with contextlib.ExitStack() as stack:
        try:
            _kind(source)
            with guarded(source, "ZIP"):
                folder = stack.enter_context(unpacked(source))
                files = list(_walk(folder))
        except DataError as error:
            yield source.path, error
            return
        for file in files:
            shown = source.path / file.relative_to(folder)
            try:
                if file.suffix.lower() == ".zip":
                    raise source.error("an archive lies in the archive", "Unpack it.", value=file.name)
                yield shown, read(file, quantity=source.quantity, unit=source.unit)
            except DataError as error:
                where = {"source": shown, "column": error.column, "value": error.value, "remedy": error.remedy}
                yield shown, DataError(error.problem, **where)


def _only(source: Source) -> Reading:
    found = list(_members(source))
    good = [result for _, result in found if isinstance(result, Reading)]
    if len(found) == 1 and isinstance(found[0][1], DataError):
        raise found[0][1]
    if len(good) != 1:
        remedy = "Use readings(path), which yields each of them."
        raise source.error("the archive does not hold one file of spectra", remedy, value=f"{len(good)} readable files")
    return good[0]


def _kind(source: Source) -> str:
    """Returns the format by extension, held against the first bytes."""
    path = source.path
    if path.is_dir():
        raise source.error("a folder is no instrument file", "Use readings(folder), which yields each of its files.")
    if not path.is_file():
        raise source.error("the file does not exist", "Check its path.")
    with guarded(source, "file"), open(path, "rb") as file:
        head = file.read(512).removeprefix(b"\xef\xbb\xbf")
    if not head:
        raise source.damaged("the file is empty", "0 bytes")
    mark = next((name for magic, name in _MAGIC.items() if head.upper().startswith(magic.upper())), None)
    if mark == "ASD" and b"\0" not in head:
        mark = None  # a text that begins with these letters
    name = path.name.lower()
    kind = next((kind for suffix, kind in KNOWN.items() if name.endswith(suffix)), None)
    if path.suffix[1:].isdigit():
        kind = mark if mark in ("OPUS", "ASD") else "OPUS or ASD"
    is_really = f"{mark} by its first bytes" if mark else "no known format by its first bytes"
    if kind is None:
        remedy = f"Known: {', '.join(sorted(KNOWN))}, and .0, .1 ... of OPUS."
        value = f"{path.suffix or name}, {is_really}"
        raise source.error("files with this extension are not read", remedy, value=value)
    allowed = _MARKS.get(kind, {None, kind} | ({"gzip"} if name.endswith(".csv.gz") else set()))
    if kind == "ENVI" and path.suffix.lower() != ".hdr":
        allowed = {mark}
    if (kind not in _MODULES and kind != "ZIP") or mark not in allowed:
        remedy = "Give it the extension of what it is, or fetch it again."
        raise source.error(f"the file is not what its extension says ({kind})", remedy, value=is_really)
    return kind
