"""Names of data sets, and the Library behind each: the twin, the packaged manifests, or a user's own TOML."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from numpy.typing import ArrayLike

from jaxsoil.data.library import Library
from jaxsoil.data.readers.composite import join
from jaxsoil.data.readers.manifest import load_table
from jaxsoil.data.readers.schema import Composite, Manifest, read_manifest
from jaxsoil.data.readers.table import READABLE
from jaxsoil.data.readers.toml import packaged
from jaxsoil.data.root import DATA_VARIABLE, data_root
from jaxsoil.data.sources import prepare
from jaxsoil.data.sources.catalogue import source_of, sources
from jaxsoil.runs.errors import DataError, Faults, did_you_mean
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
    library = load_named(os.fspath(name))
    return library if axis is None else library.with_spectra(Resample(axis)(library.spectra.to_unit("nm")))


def load_named(
    name: str, beside: Path = Path(), tables: Mapping[str, Manifest] = MappingProxyType({}), above: tuple[str, ...] = ()
) -> Library:
    """Returns the data set that a manifest names.

    Args:
      name: one of ``tables``, of ``names()``, or a path.
      beside: the manifest, to whose folder paths are relative (data of a packaged one lie below JAXSOIL_DATA).
      tables: described in the manifest itself.
      above: composites that contain it.

    Raises:
      DataError: as :func:`load`; a composite that contains itself.
    """
    packaged = _packaged()
    if name in tables:
        return load_table(tables[name], data_root() if beside in packaged.values() else beside.parent)
    if name == TWIN:
        from jaxsoil.data.twin.soil.make import make_twin  # imports JAX, which no other data set needs

        return make_twin()
    own, public = name.endswith(".toml"), source_of(name)
    if not own and public is not None and not public.manifests:
        return prepare.load(name)
    if public is not None and name not in packaged:  # a table of a library of several
        name = name.partition("/")[2] or name
    if not own and name not in packaged:
        remedy = f"{did_you_mean(name, (*tables, *names(), *sources()))} One's own data: the path of a .toml file."
        if Path(name).suffix.lower() in READABLE:
            remedy = f"A table needs a manifest that says what its columns are: see docs/data.md. {remedy}"
        raise DataError("no such data set", source=beside if beside.name else None, value=name, remedy=remedy)
    path = beside.parent / name if own else packaged[name]
    key = str(path.resolve())
    if key in above:
        remedy = "Remove it from its members, or from those of a member."
        value = " > ".join(Path(one).name for one in (*above, key))
        raise DataError("a composite contains itself", source=path, value=value, remedy=remedy)
    manifest = read_manifest(path)
    if not isinstance(manifest, Composite):
        return load_table(manifest, path.parent if own else _root_of(name, manifest))
    faults, members = Faults(), []
    for member in manifest.members:
        with faults.kept():
            members.append(load_named(member, path, manifest.tables, (*above, key)))
    faults.tell()
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
