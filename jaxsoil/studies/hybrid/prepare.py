"""From a library of several laboratories to what the study works on, with everything left out written down."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jaxsoil.data.library import Library
from jaxsoil.runs.errors import DataError
from jaxsoil.spectra.preprocess import SNV
from jaxsoil.studies.hybrid.ranges import RANGES, Range, range_of

Floats = NDArray[np.float64]
Strings = NDArray[Any]

EXCLUSION_COLUMNS = ("id", "laboratory", "property", "from", "reason")
MIN_ROWS = 10
"""Rows below which a laboratory is neither harmonised nor held out."""


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """Checked data of the study.

    Attributes:
      library: one row for each sample and laboratory, spectra as they came.
      values: (n, m) SNV spectra.
      laboratory: (n,) names.
      sample: (n,) names; rows of one place and depth that laboratories hold under other names share one.
      ranges: target -> physical range.
      exclusions: what was left out, see :data:`EXCLUSION_COLUMNS`; "from" is "product" or "training".
      notes: sentences for the data card.
      places: optional columns of the rows by name: "depth_cm", "latitude", "longitude".
      truth: target -> (n,) true values of a twin; empty for measured data.
    """

    library: Library
    values: Floats
    laboratory: Strings
    sample: Strings
    ranges: Mapping[str, Range]
    exclusions: pd.DataFrame
    notes: tuple[str, ...]
    places: Mapping[str, Floats]
    truth: Mapping[str, Floats]

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the properties to be imputed."""
        return tuple(self.ranges)

    def observed(self, target: str) -> Floats:
        """Measured values, (n,), NaN where there is none."""
        return self.library.property(target).values

    def __len__(self) -> int:
        return len(self.library)


def prepare_library(
    library: Library, targets: Sequence[str] = (), same_laboratory: Sequence[str] = (), unit_check: str = "error"
) -> Prepared:
    """Checks and merges a library.

    Args:
      library: absorbance, reflectance or preprocessed spectra with the group "laboratory" (or "region").
      targets: properties to impute; none takes every property with a physical range and a measured value.
      same_laboratory: laboratories that are one, joined by "+".
      unit_check: "error" refuses a laboratory whose values look like another unit, "note" writes it down.

    Raises:
      DataError: a target without any value, values outside the physical range, units mixed between laboratories.
    """
    laboratory = _laboratories(library, same_laboratory)
    ranges = _ranges(library, targets)
    records: list[tuple[str, str, str, str, str]] = []
    notes = list(library.notes)
    flat = np.ptp(library.spectra.values, axis=1) <= 1e-7 * np.abs(library.spectra.values).max(axis=1)
    for row in np.flatnonzero(flat).tolist():
        records.append((str(library.ids[row]), str(laboratory[row]), "", "product", "constant spectrum"))
    library, laboratory = library.select(~flat), laboratory[~flat]
    library, laboratory, merged = _average_repeats(library, laboratory, tuple(ranges))
    if merged:
        notes.append(f"{merged} repeated scans were averaged with others of their sample and laboratory")
    twice = _duplicates(library, laboratory, tuple(ranges))
    kept = np.ones(len(library), bool)
    for row, first, why in twice:
        kept[row] = False
        records.append((str(library.ids[row]), str(laboratory[row]), "", "product", f"{why} {library.ids[first]}"))
    library, laboratory = library.select(kept), laboratory[kept]
    library, linked = _link_places(library, laboratory)
    if linked:
        notes.append(
            f"{len(linked)} samples have the place and depth of another laboratory's sample: taken for one soil, kept "
            f"in one fold and never on both sides of a split ({_few(linked)})"
        )
    values = _snv(library)
    for target, found in ranges.items():
        _check_range(library, laboratory, target, found)
        notes += _check_units(library, laboratory, values, target, unit_check)
    return Prepared(
        library,
        values,
        laboratory,
        library.groups.get("sample", library.ids),
        ranges,
        pd.DataFrame(records, columns=pd.Index(EXCLUSION_COLUMNS)),
        tuple(notes),
        _places(library),
        _truth(library, ranges),
    )


def _laboratories(library: Library, same: Sequence[str]) -> Strings:
    name = "laboratory" if "laboratory" in library.groups else "region"
    names = np.array(library.group(name), dtype=object)
    for joined in same:
        members = joined.split("+")
        if np.isin(members, names).all():
            names[np.isin(names, members)] = joined
    return names.astype(str)


def _ranges(library: Library, targets: Sequence[str]) -> dict[str, Range]:
    found = {}
    for name in targets or [name for name in library.properties if name in RANGES]:
        known = library.property(name)
        if not np.isfinite(known.values).any():
            if not targets:
                continue
            raise DataError(
                "the target has no measured value: nothing can be learned",
                source=library.name,
                column=name,
                remedy="Leave it out of the targets, or give measured values of some samples.",
            )
        found[name] = range_of(name, known.unit)
    if not found:
        raise DataError(
            "no property can be imputed",
            source=library.name,
            value=", ".join(library.properties),
            remedy=f"Give one of: {', '.join(RANGES)}.",
        )
    return found


def _average_repeats(library: Library, laboratory: Strings, targets: Sequence[str]) -> tuple[Library, Strings, int]:
    """One row for each sample and laboratory; scans whose measured values differ stay rows of their own."""
    sample = library.groups.get("sample", library.ids)
    labels = [library.property(name).values for name in targets]
    keys = [
        "\x1f".join((lab, name, *(f"{label[row]!r}" for label in labels)))
        for row, (lab, name) in enumerate(zip(laboratory.tolist(), sample.tolist(), strict=True))
    ]
    _, first, inverse, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    if (counts == 1).all():
        return library, laboratory, 0
    total = np.zeros((first.size, library.spectra.n_bands))
    np.add.at(total, inverse.reshape(-1), library.spectra.values.astype(np.float64))
    order = np.argsort(first, kind="stable")
    rows = first[order]
    mean = (total / counts[:, None])[order]
    averaged = library.select(rows)
    spectra = averaged.spectra.replace(values=mean, step="repeats averaged")
    return averaged.with_spectra(spectra), laboratory[rows], len(library) - rows.size


def _duplicates(library: Library, laboratory: Strings, targets: Sequence[str]) -> list[tuple[int, int, str]]:
    """Rows whose spectrum is that of another row to the last digit: (row, the row that is kept, why)."""
    found: dict[bytes, list[int]] = {}
    for row, spectrum in enumerate(np.ascontiguousarray(library.spectra.values)):
        found.setdefault(spectrum.tobytes(), []).append(row)
    measured = np.sum([np.isfinite(library.property(name).values) for name in targets], axis=0)
    left = []
    for rows in found.values():
        if len(rows) == 1:
            continue
        # What has most measured values is kept; the first one, where several have.
        first = max(rows, key=lambda row: (measured[row], -row))
        for row in rows:
            if row != first:
                place = "in another laboratory" if laboratory[row] != laboratory[first] else "in the same laboratory"
                differ = _label_differs(library, row, first, targets)
                left.append((row, first, f"same spectrum{differ} as {place}:"))
    return left


def _link_places(library: Library, laboratory: Strings) -> tuple[Library, list[str]]:
    """Gives samples of several laboratories with the same coordinates and depth one sample name."""
    names = [n for n in ("longitude", "latitude", "depth_top", "depth_bottom", "depth") if n in library.properties]
    sample = np.array(library.groups.get("sample", library.ids), dtype=object)
    if "longitude" not in names or len(names) < 3:
        return library, []
    table = np.stack([library.property(name).values for name in names], axis=1)
    first: dict[bytes, int] = {}
    linked = []
    for row in np.flatnonzero(np.isfinite(table).all(axis=1)).tolist():
        other = first.setdefault(table[row].tobytes(), row)
        if sample[other] != sample[row] and laboratory[other] != laboratory[row]:
            linked.append(f"{library.ids[row]} with {library.ids[other]}")
            sample[row] = sample[other]
    groups = {**library.groups, "sample": sample.astype(str)}
    return dataclasses.replace(library, groups=groups), linked


def _few(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _label_differs(library: Library, row: int, first: int, targets: Sequence[str]) -> str:
    pairs = [(name, *library.property(name).values[[row, first]].tolist()) for name in targets]
    other = [f"{name} {a:g} against {b:g}" for name, a, b in pairs if np.isfinite(a) and a != b]
    return f" with other values ({', '.join(other)})" if other else ""


def _snv(library: Library) -> Floats:
    spectra = library.spectra
    if spectra.quantity == "reflectance":
        spectra = spectra.to_absorbance()
    return SNV()(spectra).values.astype(np.float64)


def _check_range(library: Library, laboratory: Strings, target: str, found: Range) -> None:
    values = library.property(target).values
    wrong = np.flatnonzero((values < found.low) | (values > found.high))
    if wrong.size:
        row = int(wrong[0])
        raise DataError(
            f"measured values lie outside the physical range {found.low:g} to {found.high:g} {found.unit}",
            source=library.name,
            column=f"{target}, laboratory {laboratory[row]}",
            value=f"{values[row]:g} at {str(library.ids[row])!r}; {wrong.size} rows",
            remedy="Check the unit of this laboratory, or exclude those rows with a reason.",
        )


def _check_units(library: Library, laboratory: Strings, values: Floats, target: str, action: str) -> list[str]:
    """Holds every laboratory (and set) against a PLSR of the others: ten times too much is another unit."""
    from jaxsoil.models import plsr

    y = library.property(target).values
    usable = np.isfinite(y) & (y > 0)
    if target == "ph":
        return []
    found = []
    groups = {str(name): laboratory == name for name in np.unique(laboratory)}
    if "region" in library.groups:
        region = library.groups["region"]
        groups |= {str(name): region == name for name in np.unique(region)}
    for name, inside in groups.items():
        rows, others = usable & inside, usable & ~inside
        if rows.sum() < MIN_ROWS or others.sum() < 4 * MIN_ROWS:
            continue
        thin = slice(None, None, max(1, values.shape[1] // 200))
        predicted = plsr.fit(values[others, thin], np.log10(y[others]), 8).predict(values[rows, thin])
        ratio = np.log10(y[rows]) - predicted
        # A factor of 10 or more that holds for the bulk of the rows; soils that differ do not shift so evenly.
        if abs(np.median(ratio)) > 0.8 and np.subtract(*np.percentile(ratio, [75, 25])) < 0.8:
            found.append((name, float(np.median(ratio))))
    if found and action == "error":
        name, ratio = found[0]
        raise DataError(
            f"the values of {name} are about {10**ratio:.3g} times what the other laboratories' spectra predict: "
            "units seem mixed",
            source=library.name,
            column=target,
            value=f"declared as {library.property(target).unit} for all laboratories",
            remedy="Correct the unit of this laboratory (1 % = 10 g/kg); if it is right, give --unit-check note.",
        )
    return [f"{target}: {name} lies {10**ratio:.3g} times from what the others predict" for name, ratio in found]


def _places(library: Library) -> dict[str, Floats]:
    """Depth (middle of the layer, cm) and coordinates, where the library has them."""
    found = {name: p.values for name, p in library.properties.items() if name in ("latitude", "longitude")}
    depths = [p.values for name, p in library.properties.items() if name in ("depth_top", "depth_bottom", "depth")]
    if depths:
        found["depth_cm"] = np.mean(depths, axis=0)
    return found


def _truth(library: Library, ranges: Mapping[str, Range]) -> dict[str, Floats]:
    known = {name: getattr(library.truth, name, None) for name in ranges}
    return {name: np.asarray(values, dtype=np.float64) for name, values in known.items() if values is not None}
