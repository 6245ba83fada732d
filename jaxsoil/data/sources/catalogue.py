"""What the catalogue says of each public library: its files, their addresses and columns, licence and citation."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from jaxsoil.data.library import GROUPS
from jaxsoil.data.readers.schema import Axis, Label, Values
from jaxsoil.data.readers.toml import build, packaged, read_toml
from jaxsoil.data.sources.places import MIRROR_VARIABLE, by_hand, downloads
from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError


@dataclasses.dataclass(frozen=True)
class Remote:
    """[[files]]: one file of a library.

    Args:
      name: of the file.
      base: address in front of its name; "" for a file that must be brought by hand.
      listing: path below ``base`` of a JSON list that states the file's own address, and perhaps its checksum.
      query: what stands behind the name in the address.
      other_names: names under which somebody may have it already.
      manual: how to get a file that is not fetched, because its licence or its publisher forbids it.
      optional: whether the library is prepared without it where it cannot be had.
    """

    name: str
    base: str = ""
    listing: str = ""
    query: str = ""
    other_names: Sequence[str] = ()
    manual: str = ""
    optional: bool = False

    @property
    def address(self) -> str:
        """Address of the file, or of the list that states it; a mirror takes the publisher's place where one is set."""
        mirror = os.environ.get(MIRROR_VARIABLE)
        base = f"{mirror.rstrip('/')}/" if mirror else self.base
        return base + (self.listing or self.name + ("" if mirror else self.query))

    def at_hand(self, provider: str) -> Path | None:
        """The file where it is there already, brought by hand or downloaded."""
        names = (self.name, *self.other_names)
        places = [folder / name for folder in by_hand(provider) for name in names]
        return next((path for path in (*places, downloads(provider) / self.name) if path.is_file()), None)


@dataclasses.dataclass(frozen=True)
class Table:
    """[spectra]: the table of scans.

    Args:
      file: its name.
      axis, values: as in a manifest; bands outside ``low`` and ``high`` are not read.
      bands: number of bands of this version.
      id: columns whose values, joined, name a scan.
    """

    file: str
    axis: Axis
    values: Values
    bands: int
    id: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Join:
    """[[joins]]: a table with one row for each soil, whose columns are added to those of the scans.

    Args:
      file: its name.
      columns: what it must have beside the key.
      key: its columns that name a soil.
      of: the columns of the scans that name it, where these are called otherwise.
      characters: [first, last] characters of a single column ``of``, counted from 1.
      complete: whether every scan must have its row; otherwise scans without one lack its values.
    """

    file: str
    columns: Sequence[str]
    key: Sequence[str]
    of: Sequence[str] = ()
    characters: Sequence[int] = ()
    complete: bool = True


@dataclasses.dataclass(frozen=True)
class Names:
    """[groups.NAME]: the first of the columns that is not empty, or a constant.

    Args:
      columns: columns of the scans or of what is joined to them.
      within: a column put in front: numbers of two providers may be the same.
      prefix: text put in front.
      characters: [first, last] characters of the column, counted from 1.
      unknown: name where all columns are empty; "" refuses such rows.
      constant: one name for all.
      joined: whether the name is all columns together, and not the first that is not empty.
    """

    columns: Sequence[str] = ()
    within: str = ""
    prefix: str = ""
    unknown: str = ""
    characters: Sequence[int] = ()
    constant: str = ""
    joined: bool = False


@dataclasses.dataclass(frozen=True)
class Instrument:
    """[instruments.NAME]: the scans of one instrument among instrument files; a library of its own, SOURCE_NAME.

    Args:
      folder: folder of its files in the archive.
      low, high: bands outside are not read, cm-1.
    """

    folder: str
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Source:
    """A public library.

    Args:
      name, title, version: what it is.
      provider: folder of its files below downloads and manual.
      licence, citation, homepage: whose it is.
      files: what is fetched.
      rows: rows that its publisher states; those of parts in ``parts``.
      parts: part ("KSSL.SSL") -> rows, loaded as NAME/PART by the group "source".
      spectra, joins, labels, groups: of a library that is a table of scans.
      manifests: of a library that is made into tables that packaged manifests describe: their names.
      instruments: of instrument files: in a file of the catalogue all, in :func:`sources` the one of each library.
      notes: known traps.
    """

    name: str
    title: str
    version: str
    provider: str
    licence: str
    citation: str
    homepage: str
    files: Sequence[Remote]
    rows: int = 0
    parts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    spectra: Table | None = None
    joins: Sequence[Join] = ()
    labels: Mapping[str, Label] = dataclasses.field(default_factory=dict)
    groups: Mapping[str, Names] = dataclasses.field(default_factory=dict)
    manifests: Sequence[str] = ()
    instruments: Mapping[str, Instrument] = dataclasses.field(default_factory=dict)
    notes: Sequence[str] = ()

    def file(self, name: str) -> Remote:
        """The file of a name."""
        return next(one for one in self.files if one.name == name)


@functools.cache
def sources() -> Mapping[str, Source]:
    """Returns all libraries by name.

    Raises:
      DataError: a file of the catalogue that does not hold what it must.
    """
    paths = sorted(packaged("jaxsoil.data.sources", "catalogue").items())
    return {one.name: one for _, path in paths for one in _apart(read_source(path))}


def _apart(source: Source) -> list[Source]:
    """The library, or one for each of its instruments, whose axes differ."""
    return [
        dataclasses.replace(
            source, name=f"{source.name}_{name}", title=f"{source.title}: {one.folder}", instruments={name: one}
        )
        for name, one in source.instruments.items()
    ] or [source]


def source_of(name: str) -> Source | None:
    """Returns the library of a name such as "ossl_mir" or "ossl_mir/KSSL.SSL", None where there is none."""
    return sources().get(name.partition("/")[0])


def named(name: str) -> Source:
    """Returns the library of a name; an unknown one raises DataError with the nearest."""
    require.known(name, sources(), "no such public library")
    return sources()[name]


def read_source(path: Path) -> Source:
    """Returns the checked content of a file of the catalogue.

    Raises:
      DataError: an unknown or missing key, a table whose file is not listed, an unknown group.
    """
    made = build(Source, read_toml(path), path)
    used = [*([made.spectra.file] if made.spectra else []), *(join.file for join in made.joins)]
    for name in used:
        require.known(name, [one.name for one in made.files], "a file is not listed", source=path, column="files")
    for name in made.groups:
        require.known(name, GROUPS, "unknown group", source=path, column="groups")
    for one in made.files:
        if not one.base and not one.manual:
            remedy = "Give its base, or say under manual how to get it."
            raise DataError("a file has no address", source=path, column=one.name, remedy=remedy)
    return made
