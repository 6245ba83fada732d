"""Prepared libraries: a folder with the spectra as one float32 file, which is mapped and not read, and their columns.

``values.f32``: n x m float32, row by row; ``columns.npz``: axis, ids, properties, and groups as codes with their names;
``about.json``: sizes, units, licence, citation, notes, checksums of the files it was made from. A folder appears whole
or not at all; opening one checks sizes and not contents, which were checked when it was written.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxsoil.data.library import Library, Property
from jaxsoil.data.sources.fetch import full_disk
from jaxsoil.runs.errors import DataError
from jaxsoil.runs.files import read_arrays, read_json, write_arrays, write_json
from jaxsoil.spectra.container import Spectra

VERSION = 1
"""Of the layout; a folder of another version is made anew."""

VALUES, COLUMNS, ABOUT = "values.f32", "columns.npz", "about.json"
AGAIN = "Prepare it again: jaxsoil data prepare {} --again."


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yields a temporary folder that becomes ``folder`` when the block succeeds; after an error nothing of it is left.

    Raises:
      DataError: the disk is full.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(f".{folder.name}-*.making"):  # of a process that was killed; the lock is ours
        shutil.rmtree(left, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", suffix=".making", dir=folder.parent))
    try:
        with full_disk(folder.parent):
            yield made
            mask = os.umask(0)
            os.umask(mask)
            made.chmod(0o777 & ~mask)
            if folder.exists():
                shutil.rmtree(folder)
            os.replace(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def open_values(folder: Path) -> io.BufferedWriter:
    """Opens the file that spectra are appended to."""
    return open(folder / VALUES, "wb")


def write_columns(
    folder: Path,
    axis: NDArray[np.float64],
    ids: NDArray[Any],
    properties: Mapping[str, Property],
    groups: Mapping[str, NDArray[Any]],
    about: Mapping[str, Any],
) -> None:
    """Writes what belongs to n spectra that were appended.

    Args:
      folder: with :data:`VALUES`.
      axis: (m,) bands.
      ids, properties, groups: of the n rows.
      about: name, unit, quantity and whatever is to be known.
    """
    arrays: dict[str, Any] = {"axis": axis, "ids": _bytes(ids)}
    arrays["properties"] = np.stack([one.values for one in properties.values()] or [np.empty(0)], axis=-1)
    for name, values in groups.items():
        kinds, codes = np.unique(values, return_inverse=True)
        arrays[f"names {name}"], arrays[f"codes {name}"] = _bytes(kinds), codes.astype(np.int32).reshape(-1)
    write_arrays(folder / COLUMNS, arrays)
    units = {name: one.unit for name, one in properties.items()}
    content = {"layout": VERSION, "rows": len(ids), "bands": int(axis.size), "units": units, "groups": list(groups)}
    write_json(folder / ABOUT, {**content, **about})


def write_library(folder: Path, library: Library, about: Mapping[str, Any]) -> None:
    """Writes a library that is in memory."""
    spectra = library.spectra
    with open_values(folder) as stream:
        stream.write(np.ascontiguousarray(spectra.values, "<f4").tobytes())
    kind = {"name": library.name, "unit": spectra.unit, "quantity": spectra.quantity, "steps": list(spectra.steps)}
    stated = {"licence": library.licence, "notes": list(library.notes)}
    write_columns(folder, spectra.axis, library.ids, library.properties, library.groups, {**kind, **stated, **about})


def about(folder: Path) -> dict[str, Any] | None:
    """Returns what is said of a prepared library; None where there is none of this layout."""
    try:
        said = read_json(folder / ABOUT, remedy=AGAIN.format(folder.name))
    except FileNotFoundError:
        return None
    return said if said.get("layout") == VERSION else None


def open_folder(folder: Path) -> Library:
    """Returns a prepared library, its spectra mapped from the disk.

    Raises:
      DataError: files that are missing, cut short or do not belong together.
    """
    said, again = about(folder), AGAIN.format(folder.name)
    if said is None:
        raise DataError("there is no prepared library", source=folder, remedy=again)
    try:
        arrays = read_arrays(folder / COLUMNS, remedy=again)
    except FileNotFoundError as error:
        raise DataError("a file is missing", source=folder / COLUMNS, remedy=again) from error
    path, rows, bands = folder / VALUES, int(said["rows"]), int(said["bands"])
    size = path.stat().st_size if path.is_file() else -1
    if size != rows * bands * 4 or arrays["ids"].shape != (rows,) or arrays["axis"].shape != (bands,):
        value = f"{size} bytes for {rows} x {bands} float32"
        raise DataError("the prepared library is damaged", source=path, value=value, remedy=again)
    values = np.memmap(path, "<f4", "r", shape=(rows, bands)) if rows else np.empty((0, bands), np.float32)
    columns = zip(said["units"].items(), arrays["properties"].reshape(rows, -1).T, strict=True)
    return Library(
        name=said["name"],
        spectra=Spectra.of_checked(values, arrays["axis"], said["unit"], said["quantity"], said["steps"]),
        ids=_text(arrays["ids"]),
        properties={name: Property(one, unit) for (name, unit), one in columns},
        groups={name: _text(arrays[f"names {name}"])[arrays[f"codes {name}"]] for name in said["groups"]},
        licence=said["licence"],
        notes=tuple(said["notes"]),
    )


def _bytes(text: NDArray[Any]) -> NDArray[Any]:
    """UTF-8 bytes: a quarter of what NumPy's own text takes."""
    return np.char.encode(np.asarray(text, dtype=np.str_), "utf-8") if len(text) else np.empty(0, "S1")


def _text(data: NDArray[Any]) -> NDArray[Any]:
    try:
        return data.astype(np.str_)  # quick, and ASCII alone
    except UnicodeDecodeError:
        return np.char.decode(data, "utf-8")
