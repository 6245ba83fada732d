"""A library of instrument files: the scans of one instrument become a store, joined to tables by the sample's name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.data.readers import instruments
from jaxsoil.data.readers.instruments.library import numbered
from jaxsoil.data.sources import store, tables
from jaxsoil.data.sources.catalogue import Source
from jaxsoil.runs.errors import DataError
from jaxsoil.spectra.checks import RANGES, outside_range
from jaxsoil.spectra.container import Spectra

SAMPLE = "SSN"
"""Column of the sample's name, which is that of the file."""


def make(source: Source, files: Mapping[str, Path], folder: Path, extra: Mapping[str, Any]) -> None:
    """Writes the scans of the source's instrument, as absorbance, into ``folder``.

    Files that cannot be read, those on another axis than most, and those with impossible values are left out and
    counted; several files of a sample are its repeats.

    Args:
      source: with one instrument, and the tables that are joined.
      files: name -> file; the ZIP archive holds a folder for each instrument.
      folder: an empty one.
      extra: entries of ``about.json``.

    Raises:
      DataError: no file of the instrument, more than half of the files left out; as ``tables.write``.
    """
    ((_, instrument),) = source.instruments.items()
    path = next(file for name, file in files.items() if name.endswith(".zip"))
    found, failed = _scans(path, instrument.folder)
    if not found:
        value = f"{len(failed)} files that cannot be read, such as {failed[0]}" if failed else "no file"
        remedy = f"Put the files of this instrument into a folder {instrument.folder} of the archive."
        raise DataError("the archive holds no scan of the instrument", source=path, value=value, remedy=remedy)
    axis, on_axis = _on_one_axis(found)
    inside = (axis >= instrument.low) & (axis <= instrument.high)
    low, high = RANGES["absorbance"]
    values = np.stack([spectra.values[0, inside] for _, spectra in on_axis])
    good = ~outside_range(values, "absorbance").any(axis=1)
    names = [name for (name, _), keep in zip(on_axis, good, strict=True) if keep]
    counts = {
        "cannot be read": len(failed),
        "are on another axis than most": len(found) - len(on_axis),
        f"have absorbances that are no numbers or outside {low:g} to {high:g}": int((~good).sum()),
    }
    notes = [f"left out {count} files that {why}" for why, count in counts.items() if count]
    tables.require_enough(len(names), sum(counts.values()), notes, path)
    with store.open_values(folder) as out:
        out.write(values[good].astype("<f4").tobytes())
    scans, joined = pd.DataFrame({SAMPLE: names}), tables.read_joins(source, files)
    about = {"unit": "cm-1", "quantity": "absorbance", **extra}
    tables.write(source, path, folder, axis[inside], numbered(names, "#"), scans, joined, notes, about)


def _scans(path: Path, folder: str) -> tuple[list[tuple[str, Spectra]], list[str]]:
    """(sample, absorbance) of each file of an instrument, and what is wrong with the others."""
    found, failed = [], []
    for file, result in instruments.readings(path):
        if folder not in file.parts:
            continue
        if isinstance(result, DataError):
            failed.append(str(result))
        else:
            found.append((file.stem, result.spectra.to_unit("cm-1").to_absorbance()))
    return found, failed


def _on_one_axis(found: list[tuple[str, Spectra]]) -> tuple[np.ndarray, list[tuple[str, Spectra]]]:
    """The axis that most files have, within 0.1 cm-1 at both ends, and the files that have it."""
    keys = [(one.n_bands, round(float(one.axis[0]), 1), round(float(one.axis[-1]), 1)) for _, one in found]
    most = Counter(keys).most_common(1)[0][0]
    kept = [one for one, key in zip(found, keys, strict=True) if key == most]
    return kept[0][1].axis, kept
