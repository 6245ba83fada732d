"""Libraries that are not there yet, at the size that their publisher states: what a plan needs without a download."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

import numpy as np

from jaxsoil.data.library import Library, Property
from jaxsoil.data.sources.catalogue import Source
from jaxsoil.data.sources.fetch import remote_size
from jaxsoil.spectra.container import Spectra

_SHAPES = 64
_REGIONS = 17
_TYPICAL = {"clay": 20.0, "silt": 30.0, "sand": 50.0, "ph": 6.0}

_missing: contextvars.ContextVar[list[Source] | None] = contextvars.ContextVar("missing", default=None)


@contextlib.contextmanager
def planning() -> Iterator[list[Source]]:
    """Within the block, libraries that are not prepared are made up; yields the list of them, which grows."""
    found: list[Source] = []
    token = _missing.set(found)
    try:
        yield found
    finally:
        _missing.reset(token)


def wanted(source: Source) -> bool:
    """Whether a library is to be made up; it is then counted as missing."""
    found = _missing.get()
    if found is None or source.spectra is None:
        return False
    if source not in found:
        found.append(source)
    return True


def library(source: Source, part: str) -> Library:
    """Returns made-up spectra, labels and groups of a library, or of one of its parts, at its size.

    A few shapes are repeated: they have the cost of the real ones, and no meaning.
    """
    assert source.spectra is not None
    table, rows = source.spectra, source.parts.get(part, source.rows)
    rng, number = np.random.default_rng(0), np.arange(rows)
    axis = np.linspace(table.axis.low or 0.0, table.axis.high or 0.0, table.bands)
    shapes = (0.2 + 0.3 * rng.random((_SHAPES, table.bands))).astype(np.float32)
    # Neospectra's soils are layers of KSSL, each on up to nine devices.
    soil = number % 2106 if source.name == "neospectra_nir" else number
    names = np.repeat(list(source.parts), list(source.parts.values())) if source.parts and not part else None
    of = np.full(rows, part or "KSSL.SSL") if names is None or names.size != rows else names
    groups = {
        "sample": _joined(of, soil),
        "pedon": _joined(of, soil // 4),
        "region": np.char.add("region ", (soil // 4 % _REGIONS).astype(str)),
        "source": of,
    }
    properties = {
        name: Property(np.full(rows, _TYPICAL[name]) if name in _TYPICAL else rng.lognormal(size=rows), label.unit)
        for name, label in source.labels.items()
    }
    return Library(
        name=source.name,
        spectra=Spectra(shapes[number % _SHAPES], axis, table.axis.unit, table.values.quantity),
        ids=np.char.add("row ", number.astype(str)),
        properties=properties,
        groups={name: values for name, values in groups.items() if name in source.groups},
        licence=source.licence,
        notes=(f"Made up at the size that is stated of {source.name}; it is not prepared.",),
    )


def _joined(first: np.ndarray, number: np.ndarray) -> np.ndarray:
    return np.char.add(np.char.add(first, ":"), number.astype(str))


def in_words(found: list[Source]) -> list[str]:
    """Lines on what is to be fetched before the study can run, with its size where the servers state it."""
    lines = []
    for source in found:
        from jaxsoil.data.sources.prepare import missing_files

        sizes = {one.name: remote_size(one.address) if one.base and not one.listing else None
                 for one in missing_files(source)}  # fmt: skip
        known = sum(size for size in sizes.values() if size)
        files = ", ".join(f"{name} ({'size not stated' if size is None else f'{size / 1e6:.1f} MB'})"
                          for name, size in sizes.items())  # fmt: skip
        bands = source.spectra.bands if source.spectra else 0
        lines += [
            f"{source.name} is not prepared: sizes are those its publisher states ({source.rows} rows in all).",
            f"  to fetch: {files or 'nothing'}; {known / 1e6:.1f} MB of known size",
            f"  prepared on the disk: {source.rows * bands * 4 / 1e9:.2f} GB",
            *(f"  {one.name} must be brought by hand: {one.manual}" for one in missing_files(source) if not one.base),
            f"  licence: {source.licence}; cite: {source.citation}",
        ]
    return lines
