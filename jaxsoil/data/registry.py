"""Names of data sets, and the Library behind each: the twin, the packaged manifests, or a user's own TOML."""

from __future__ import annotations

import os
from pathlib import Path

from numpy.typing import ArrayLike

from jaxsoil.data.library import Library
from jaxsoil.data.readers.composite import join
from jaxsoil.data.readers.manifest import load_manifest
from jaxsoil.data.readers.schema import Composite, Manifest, read_manifest
from jaxsoil.data.readers.toml import packaged
from jaxsoil.data.root import DATA_VARIABLE, data_root
from jaxsoil.data.sources import prepare
from jaxsoil.data.sources.catalogue import source_of, sources
from jaxsoil.runs.errors import DataError, did_you_mean
from jaxsoil.spectra.resample import Resample

TWIN = "twin"
_TWIN_LINE = "Synthetic soils with known truth: 17 regions, made from physics, no download (the default)"


def names() -> tuple[str, ...]:
    """Returns the names that ``load`` knows, the twin first."""
    return (TWIN, *sorted(_packaged()))


def describe() -> list[tuple[str, str]]:
    """Returns (name, one line) of each data set, from the manifests alone: no data are needed."""
    return [(TWIN, _TWIN_LINE), *((name, read_manifest(path).title) for name, path in sorted(_packaged().items()))]


def load(name: str | os.PathLike[str], *, axis: ArrayLike | None = None) -> Library:
    """Returns a data set by name, or the one that a TOML file describes.

    Args:
      name: one of ``names()``, a public library ("raca", "ossl_mir/KSSL.SSL"), which is prepared where it is not yet,
        or the path of a manifest (its data file is relative to its folder).
      axis: bands in nm, ascending, to resample to; None keeps the data set's own axis.

    Raises:
      DataError: an unknown name (with the nearest), absent data, or data that do not hold what is declared.
    """
    library = _load(os.fspath(name), Path(), ())
    return library if axis is None else library.with_spectra(Resample(axis)(library.spectra.to_unit("nm")))


def _load(name: str, folder: Path, above: tuple[str, ...]) -> Library:
    """Loads a name or a path relative to ``folder``; ``above`` are the composites that contain it."""
    if name == TWIN:
        from jaxsoil.data.twin.soil.make import make_twin  # imports JAX, which no other data set needs

        return make_twin()
    packaged = _packaged()
    own, public = name.endswith(".toml"), source_of(name)
    if not own and public is not None and not public.manifests:
        return prepare.load(name)
    if public is not None and name not in packaged:  # a table of a library of several
        name = name.partition("/")[2] or name
    if not own and name not in packaged:
        remedy = f"{did_you_mean(name, (*names(), *sources()))} One's own data: the path of a .toml file."
        if Path(name).suffix in (".csv", ".parquet"):
            remedy = f"A table needs a manifest that says what its columns are: see docs/data.md. {remedy}"
        raise DataError("no such data set", value=name, remedy=remedy)
    path = folder / name if own else packaged[name]
    manifest = read_manifest(path)
    if not isinstance(manifest, Composite):
        return load_manifest(path, data_root=None if own else _root_of(name, manifest))
    key = str(path.resolve())
    if key in above:
        raise DataError("a composite contains itself", source=path, remedy="Remove it from its members.")
    members = [_load(member, path.parent, (*above, key)) for member in manifest.members]
    return join(manifest, members)


def _root_of(name: str, manifest: Manifest) -> Path:
    """Folder of a packaged data set: JAXSOIL_DATA where it has the file, else what a public library was made into."""
    library = next((one.name for one in sources().values() if name in one.manifests), None)
    where = os.environ.get(DATA_VARIABLE)
    if library is None or (where and (Path(where) / manifest.data).is_file()):
        return data_root()
    return prepare.prepare(library, wait=prepare.PATIENCE)


def _packaged() -> dict[str, Path]:
    return packaged("jaxsoil.data", "manifests")
