"""Prepares a public library: fetches its files, checks them, and writes the memory map that training reads."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxsoil.data.library import Library
from jaxsoil.data.sources import standin, store
from jaxsoil.data.sources.catalogue import Remote, Source, named
from jaxsoil.data.sources.fetch import LIMITS, Limits, checksum, fetch, get_json
from jaxsoil.data.sources.places import CACHE_VARIABLE, by_hand, downloads, prepared
from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError, UsageError
from jaxsoil.runs.lock import InUse, held
from jaxsoil.runs.progress import is_quiet

PATIENCE = 3600.0
"""Seconds that a study waits for another process that prepares a library it needs."""


def prepare(
    name: str,
    *,
    again: bool = False,
    accept: bool = False,
    progress: bool = True,
    wait: float = 0.0,
    limits: Limits = LIMITS,
) -> Path:
    """Returns the folder of a prepared library, made unless it is there.

    Args:
      name: of the catalogue, such as "ossl_mir".
      again: make it anew from the files at hand.
      accept: fetch the files again and take them though their checksums differ from those of the first download.
      progress: whether to print licence and citation and to draw progress bars.
      wait: seconds to wait for another process that prepares it.
      limits: patience of the downloads.

    Raises:
      DataError: files that cannot be had, or that do not hold what they must; nothing half-written is left.
      UsageError: another process prepares it.
    """
    source, folder, again = named(name), prepared(name), again or accept
    progress = progress and not is_quiet()
    if not again and is_prepared(name):
        return folder
    with _alone(folder, wait):
        if not again and is_prepared(name):  # another process made it in the meantime
            return folder
        if progress:
            print(f"{source.name} {source.version}: {source.title}")
            print(f"  licence: {source.licence}")
            print(f"  cite: {source.citation}")
        with _alone(downloads(source.provider), PATIENCE):
            files = {one.name: path for one in source.files if (path := _file(source, one, accept, progress, limits))}
        checksums = {one: {"path": str(path), "sha256": checksum(path)} for one, path in files.items()}
        about = {"source": source.name, "version": source.version, "homepage": source.homepage, "files": checksums}
        with store.new_folder(folder) as made:
            _make(source, files, made, progress, about)
        if progress:
            print(f"  prepared: {folder}")
    return folder


def load(name: str) -> Library:
    """Returns a public library, prepared first where it is not yet; "NAME/PART" gives the rows of one of its parts.

    While a study is planned (:func:`jaxsoil.data.sources.standin.planning`), one that is not prepared is made up.

    Raises:
      DataError: as :func:`prepare`; a part that there is not.
    """
    base, _, part = name.partition("/")
    source = named(base)
    if not is_prepared(base) and standin.wanted(source):
        return standin.library(source, part)
    library = store.open_folder(prepare(base, wait=PATIENCE))
    return part_of(library, part) if part else library


def part_of(library: Library, part: str) -> Library:
    """Returns the rows of one source, in memory; an unknown one raises DataError with the nearest."""
    sources = library.group("source")
    require.known(part, set(sources.tolist()), "no such part", source=library.name, column="source")
    return library.select(sources == part)


def is_prepared(name: str) -> bool:
    """Whether a library is there in the layout that this version reads."""
    return store.about(prepared(name)) is not None


def missing_files(source: Source) -> list[Remote]:
    """Returns the files of a library that must still be had."""
    return [one for one in source.files if one.at_hand(source.provider) is None]


def resolve(source: Source, one: Remote, limits: Limits = LIMITS) -> tuple[str, str]:
    """Returns the address of a file and the SHA-256 that its publisher states, "" where none is.

    Raises:
      DataError: a list of files that does not name it.
    """
    if not one.listing:
        return one.address, ""
    listed = get_json(one.address, limits)
    entries = (
        [entry for key in ("files", "urls") for entry in (listed.get(key) or ())] if isinstance(listed, dict) else []
    )
    wanted = {name.lower() for name in (one.name, *one.other_names)}
    for entry in entries:
        found = entry.get("name") or entry.get("filename")
        address = entry.get("download_url") or entry.get("url")
        if str(found).lower() in wanted and address:
            return str(address), str((entry.get("digests") or {}).get("sha256", ""))
    names = ", ".join(str(entry.get("name") or entry.get("filename")) for entry in entries[:10])
    remedy = f"Look at {source.homepage}: the file may have another name now."
    raise DataError(f"the list of files does not name {one.name}", source=one.address, value=names, remedy=remedy)


def _file(source: Source, one: Remote, accept: bool, progress: bool, limits: Limits) -> Path | None:
    """The file at hand, or fetched; None for one that is not needed and cannot be had."""
    target = downloads(source.provider) / one.name
    at_hand = one.at_hand(source.provider)
    if at_hand is not None and at_hand != target:
        return at_hand
    if at_hand is None and not one.base:
        where = " or ".join(str(folder / one.name) for folder in by_hand(source.provider))
        remedy = f"{one.manual} Put the file at {where}."
        raise DataError(f"{one.name} is not fetched: it must be brought", source=source.name, remedy=remedy)
    try:
        url, sha256 = ("", "") if at_hand and not accept else resolve(source, one, limits)
        return fetch(url, target, sha256=sha256, limits=limits, progress=progress, accept=accept)
    except DataError as error:
        if one.optional and at_hand is None:
            print(f"  {one.name} cannot be had, and its values will be missing: {error}")
            return None
        raise


def _make(source: Source, files: dict[str, Path], folder: Path, progress: bool, about: dict[str, Any]) -> None:
    if source.spectra is not None:
        from jaxsoil.data.sources import tables

        tables.make(source, files, folder, progress=progress, extra=about)
        return
    from jaxsoil.data.sources import archives

    archives.MAKERS[source.provider](source, files, folder, about)


@contextlib.contextmanager
def _alone(folder: Path, wait: float) -> Iterator[None]:
    """Holds the lock of a folder; says in the words of libraries who else is in it."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(held(folder, wait))
        except InUse as error:
            who = str(error).partition(":")[0].removeprefix(str(folder))
            remedy = f"Wait for it, or give another folder with {CACHE_VARIABLE}."
            raise UsageError(f"{folder} is being prepared:{who}. {remedy}") from error
        yield
