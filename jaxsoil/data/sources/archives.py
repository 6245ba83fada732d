"""Libraries that come as an archive or an R file: minerals and instrument files become a store, fields the tables of
packaged manifests."""

from __future__ import annotations

import io
import pickletools
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jaxsoil.data.library import Library
from jaxsoil.data.readers.instruments import rfiles
from jaxsoil.data.readers.instruments.reading import Source as File
from jaxsoil.data.readers.schema import Manifest, read_manifest
from jaxsoil.data.readers.toml import packaged
from jaxsoil.data.sources import opus_files, store
from jaxsoil.data.sources.catalogue import Source
from jaxsoil.data.sources.stream import DAMAGED
from jaxsoil.runs.errors import DataError
from jaxsoil.runs.files import write_json, write_parquet
from jaxsoil.spectra.container import Spectra

NM = np.arange(350.0, 2501.0)
"""Axis of the minerals: that of the ASD spectrometers; Beckman's coarser bands are interpolated."""

_DELETED = -1e30  # channels of splib07 without a value hold -1.23e34
_MOST_BYTES = 256 << 20


def make_splib07(source: Source, files: Mapping[str, Path], folder: Path, extra: Mapping[str, Any]) -> None:
    """Writes the minerals (ASD and Beckman, absolute reflectance) of splib07a on 350 to 2500 nm.

    Raises:
      DataError: a damaged archive, wavelengths that are not where they must be, no mineral.
    """
    path = files["ASCIIdata_splib07a.zip"]
    rows, ids, minerals, spectrometers, gaps = [], [], [], [], 0
    with _archive(path) as archive:
        names = [PurePosixPath(name) for name in archive.namelist()]
        axes = {}
        for code in ("ASD", "BECK"):
            found = [name for name in names if name.name.startswith(f"splib07a_Wavelengths_{code}_")]
            if len(found) != 1:
                problem = f"the archive does not hold the wavelengths of {code}"
                raise DataError(problem, source=path, value=f"{len(found)} files", remedy=DAMAGED)
            axes[code] = 1000.0 * _channels(archive, found[0], path)
        for name in sorted(names):
            spectrometer = next((code for code in axes if f"_{code}" in name.stem), None)
            if name.parent.name != "ChapterM_Minerals" or "errorbars" in name.parts or spectrometer is None:
                continue
            if not name.name.endswith("AREF.txt"):
                continue
            values, axis = _channels(archive, name, path), axes[spectrometer]
            if values.shape != axis.shape:
                value = f"{values.size} channels, {axis.size} wavelengths"
                raise DataError("a spectrum has another number of channels", source=name, value=value, remedy=DAMAGED)
            inside = (axis >= NM[0] - 10) & (axis <= NM[-1] + 10)
            if (values[inside] < _DELETED).any() or not (values[inside] > 0).any():
                gaps += 1
                continue
            good = values > _DELETED
            rows.append(np.interp(NM, axis[good], values[good]))
            ids.append(name.stem.removeprefix("splib07a_").removesuffix("_AREF"))
            minerals.append(ids[-1].split("_")[0])
            spectrometers.append(spectrometer)
    if not rows:
        raise DataError("the archive holds no spectrum of a mineral", source=path, remedy=DAMAGED)
    notes = (*source.notes, *([f"left out {gaps} spectra: a channel was deleted by the authors"] if gaps else []))
    library = Library(
        name=source.name,
        spectra=Spectra(np.array(rows), NM, "nm", "reflectance", ("Beckman interpolated to 1 nm",)),
        ids=np.array(ids),
        properties={},
        groups={"sample": np.array(minerals), "source": np.array(spectrometers)},
        licence=source.licence,
        notes=notes,
    )
    store.write_library(folder, library, {**extra, "citation": source.citation})


def make_limesoda(source: Source, files: Mapping[str, Path], folder: Path, extra: Mapping[str, Any]) -> None:
    """Writes the fields with spectra as the tables that the packaged manifests describe.

    Raises:
      DataError: a damaged package; none of the fields in it.
    """
    (path,) = files.values()
    written = []
    with _archive(path) as archive:
        inside = {PurePosixPath(name).name: name for name in archive.namelist()}
        for field in source.manifests:
            if f"{field}.npz" not in inside:
                continue
            with _archive(io.BytesIO(archive.read(inside[f"{field}.npz"])), path) as parts:
                table = _frame(parts, "dataset", path)
                fold = _array(parts, "folds.npy", path)
                place = _frame(parts, "coordinates", path) if "coordinates_columns.npy" in parts.namelist() else None
            table.columns = [name.removeprefix("wl_").removeprefix("wn_") for name in table.columns]
            table.insert(0, "fold", fold)
            if place is not None:
                table = place.add_prefix("coord_").join(table)
            write_parquet(folder / _manifest(field).data, table)
            written.append(field)
    if not written:
        value = ", ".join(sorted(inside)[:5])
        raise DataError("the package holds none of the fields with spectra", source=path, value=value, remedy=DAMAGED)
    _about(folder, source, written, extra)


def make_nirsoil(source: Source, files: Mapping[str, Path], folder: Path, extra: Mapping[str, Any]) -> None:
    """Writes NIRsoil as the table that its packaged manifest describes.

    Raises:
      DataError: a damaged file, columns that are not there.
    """
    (path,) = files.values()
    reading = rfiles.read(File(path, unit="nm", quantity="absorbance"))
    labels = reading.labels
    missing = [name for name in ("Nt", "Ciso", "CEC", "train") if labels is None or name not in labels.columns]
    if missing or labels is None:
        raise DataError(f"columns are missing: {', '.join(missing)}", source=path, column=missing[0], remedy=DAMAGED)
    table = labels[["Nt", "Ciso", "CEC", "train"]].reset_index(drop=True)
    table.insert(0, "sample_id", np.arange(1, len(table) + 1))
    bands = dict(zip((f"{band:g}" for band in reading.spectra.axis), reading.spectra.values.T, strict=True))
    write_parquet(folder / _manifest("nirsoil").data, pd.concat([table, pd.DataFrame(bands)], axis=1))
    _about(folder, source, ["nirsoil"], extra)


MAKERS: Mapping[str, Callable[[Source, Mapping[str, Path], Path, Mapping[str, Any]], None]] = {
    "splib07": make_splib07,
    "limesoda": make_limesoda,
    "nirsoil": make_nirsoil,
    "afsis": opus_files.make,
}
"""Provider -> what writes it into an empty folder."""


def _about(folder: Path, source: Source, written: list[str], extra: Mapping[str, Any]) -> None:
    content = {"layout": store.VERSION, "name": source.name, "manifests": written, "licence": source.licence}
    write_json(folder / store.ABOUT, {**content, "citation": source.citation, **extra})


def _manifest(name: str) -> Manifest:
    made = read_manifest(packaged("jaxsoil.data", "manifests")[name])
    assert isinstance(made, Manifest)
    return made


def _archive(path: Path | io.BytesIO, shown: Path | None = None) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError("this is no ZIP archive", source=shown or path, value=str(error), remedy=DAMAGED) from error
    size = sum(entry.file_size for entry in archive.infolist())
    if size > _MOST_BYTES:
        told = {"source": shown or path, "value": f"{size / 1e6:.0f} MB unpacked"}
        raise DataError("the archive is too large to be what it should be", remedy=DAMAGED, **told)
    return archive


def _channels(archive: zipfile.ZipFile, name: PurePosixPath, path: Path) -> NDArray[np.float64]:
    """Numbers of a text file, one a line below a title."""
    try:
        lines = archive.read(str(name)).decode("latin-1").split("\n")[1:]
        return np.array([float(line) for line in lines if line.strip()])
    except (ValueError, zipfile.BadZipFile) as error:
        told = {"source": f"{path}/{name}", "value": str(error)}
        raise DataError("a file of the archive cannot be read", remedy=DAMAGED, **told) from error


def _array(parts: zipfile.ZipFile, name: str, path: Path) -> NDArray[Any]:
    try:
        with parts.open(name) as stream:
            return np.lib.format.read_array(stream, allow_pickle=False)
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        told = {"source": path, "column": name, "value": str(error)}
        raise DataError("a table of the package cannot be read", remedy=DAMAGED, **told) from error


def _frame(parts: zipfile.ZipFile, what: str, path: Path) -> pd.DataFrame:
    """A table of the package. Its column names are pickled: their text is taken from the codes, and none is run."""
    values = _array(parts, f"{what}_data.npy", path)
    stream = io.BytesIO(parts.read(f"{what}_columns.npy"))
    np.lib.format.read_magic(stream)
    np.lib.format.read_array_header_1_0(stream)
    words = [word for _, word, _ in pickletools.genops(stream) if isinstance(word, str)]
    names = words[len(words) - values.shape[1] :]
    if values.ndim != 2 or len(names) != values.shape[1] or len(set(names)) < len(names):
        problem = "the names of the package's columns are not what they were"
        raise DataError(problem, source=path, column=what, value=", ".join(names[:4]), remedy=DAMAGED)
    return pd.DataFrame(values, columns=names)
