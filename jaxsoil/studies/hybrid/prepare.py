"""From a library of several laboratories to what the study works on, with everything left out written down."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jaxsoil.data.library import Library, Property
from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError
from jaxsoil.spectra.preprocess import SNV
from jaxsoil.studies.hybrid.ranges import RANGES, Range, range_of

Floats = NDArray[np.float64]
Strings = NDArray[Any]

EXCLUSION_COLUMNS = ("id", "laboratory", "property", "from", "reason")
MIN_ROWS = 10
"""Rows below which a laboratory is neither harmonised nor held out."""


@dataclasses.dataclass(frozen=True, eq=False)
class LaboratoryData:
    """Checked data of the study.

    Attributes:
      library: one row for each sample and laboratory, spectra as they came, with the group "laboratory"; rows of one
        place and depth that laboratories hold under other names share one sample.
      values: (n, m) SNV spectra.
      ranges: target -> physical range.
      exclusions: what was left out, see :data:`EXCLUSION_COLUMNS`; "from" is "product" or "training".
      notes: sentences for the data card.
    """

    library: Library
    values: Floats
    ranges: Mapping[str, Range]
    exclusions: pd.DataFrame
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.library)

    @property
    def laboratory(self) -> Strings:
        """Laboratory of each row, (n,)."""
        return self.library.groups["laboratory"]

    @property
    def sizes(self) -> dict[str, int]:
        """Number of rows of each laboratory, by name."""
        names, counts = np.unique(self.laboratory, return_counts=True)
        return dict(zip(names.tolist(), counts.tolist(), strict=True))

    @property
    def sample(self) -> Strings:
        """Sample of each row, (n,)."""
        return self.library.samples

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the properties to be imputed."""
        return tuple(self.ranges)

    def observed(self, target: str) -> Floats:
        """Measured values, (n,), NaN where there is none."""
        return self.library.property(target).values

    def measured(self, target: str) -> NDArray[np.bool_]:
        """Whether a row has a measured value, (n,)."""
        return np.isfinite(self.observed(target))

    def truth(self, target: str) -> Floats | None:
        """True values of a twin, (n,); None for measured data."""
        known = getattr(self.library.truth, target, None)
        return None if known is None else np.asarray(known, dtype=np.float64)

    @property
    def places(self) -> dict[str, Floats]:
        """What the library has of "latitude", "longitude", "depth_top", "depth_bottom" and "depth_cm", the middle of
        the layer; (n,) each. A single depth is both ends."""
        known = self.library.properties
        found = {name: p.values for name, p in known.items() if name in ("latitude", "longitude")}
        ends = [known[name].values for name in ("depth_top", "depth_bottom") if name in known]
        ends = ends or ([known["depth"].values] if "depth" in known else [])
        if ends:
            found |= {"depth_top": ends[0], "depth_bottom": ends[-1], "depth_cm": np.mean(ends, axis=0)}
        return found


def prepare_library(
    library: Library, targets: Sequence[str] = (), same_laboratory: Sequence[str] = (), unit_check: str = "error"
) -> LaboratoryData:
    """Checks and merges a library.

    Args:
      library: absorbance, reflectance or preprocessed spectra with the group "laboratory" (or "region").
      targets: properties to impute; none takes every property with a physical range and a measured value.
      same_laboratory: laboratories that are one, joined by "+".
      unit_check: "error" refuses a laboratory whose values look like another unit, "note" writes it down.

    Raises:
      DataError: a target without any value, values outside the physical range, units mixed between laboratories.
    """
    names = np.array(library.group("laboratory" if "laboratory" in library.groups else "region"), dtype=object)
    for joined in same_laboratory:
        members = joined.split("+")
        if np.isin(members, names).all():
            names[np.isin(names, members)] = joined
    library = dataclasses.replace(library, groups={**library.groups, "laboratory": names.astype(str)})
    library, notes = _in_grams(library)
    ranges = _ranges(library, targets)
    spectra = library.spectra.values
    flat = np.flatnonzero(np.ptp(spectra, axis=1) <= 1e-7 * np.abs(spectra).max(axis=1))
    library, constant = _left_out(library, dict.fromkeys(flat.tolist(), "constant spectrum"))
    library, merged = _average_repeats(library, tuple(ranges))
    if merged:
        notes.append(f"{merged} repeated scans were averaged with others of their sample and laboratory")
    library, repeated = _left_out(library, _duplicates(library, tuple(ranges)))
    library, linked = _link_places(library)
    if linked:
        few = ", ".join(linked[:5]) + (f" and {len(linked) - 5} more" if len(linked) > 5 else "")
        notes.append(
            f"{len(linked)} samples have the place and depth of another laboratory's sample: taken for one soil, kept "
            f"in one fold and never on both sides of a split ({few})"
        )
    spectra = library.spectra
    spectra = spectra.to_absorbance() if spectra.quantity == "reflectance" else spectra
    values = SNV()(spectra).values.astype(np.float64)
    for target, found in ranges.items():
        measured = library.property(target).values
        wrong = (measured < found.low) | (measured > found.high)
        problem = f"measured values lie outside the physical range {found.low:g} to {found.high:g} {found.unit}"
        show = lambda row, values=measured: f"{values[row]:g} at {str(library.ids[row])!r}"  # noqa: E731
        column = f"{target}, laboratory {library.groups['laboratory'][int(np.argmax(wrong))]}"
        remedy = "Check the unit of this laboratory, or exclude those rows with a reason."
        require.no_row(wrong, problem, show=show, source=library.name, column=column, remedy=remedy)
        notes += _check_units(library, values, target, unit_check)
    exclusions = pd.DataFrame(constant + repeated, columns=pd.Index(EXCLUSION_COLUMNS))
    return LaboratoryData(library, values, ranges, exclusions, tuple(notes))


def _left_out(library: Library, reasons: Mapping[int, str]) -> tuple[Library, list[tuple[str, ...]]]:
    """The library without some rows, and their lines of the exclusions."""
    rows, laboratory = list(reasons), library.groups["laboratory"]
    lines = [(str(library.ids[row]), str(laboratory[row]), "", "product", reasons[row]) for row in rows]
    return library.select(np.setdiff1d(np.arange(len(library)), rows)), lines


def _in_grams(library: Library) -> tuple[Library, list[str]]:
    """The library with contents that the publication gives in g/kg in this unit, and all notes."""
    properties, notes = dict(library.properties), list(library.notes)
    for name in ("carbon", "organic_matter"):
        if name in properties and properties[name].unit == "%":
            properties[name] = Property(10.0 * properties[name].values, "g/kg")
            notes.append(f"{name} is given in % and was brought to g/kg: 1 % is 10 g/kg")
    return dataclasses.replace(library, properties=properties), notes


def _ranges(library: Library, targets: Sequence[str]) -> dict[str, Range]:
    found = {}
    for name in targets or [name for name in library.properties if name in RANGES]:
        known = library.property(name)
        if np.isfinite(known.values).any():
            found[name] = range_of(name, known.unit)
        elif targets:
            problem = "the target has no measured value: nothing can be learned"
            remedy = "Leave it out of the targets, or give measured values of some samples."
            raise DataError(problem, source=library.name, column=name, remedy=remedy)
    if not found:
        value = ", ".join(library.properties)
        remedy = f"Give one of: {', '.join(RANGES)}."
        raise DataError("no property can be imputed", source=library.name, value=value, remedy=remedy)
    return found


def _average_repeats(library: Library, targets: Sequence[str]) -> tuple[Library, int]:
    """One row for each sample and laboratory; scans whose measured values differ stay rows of their own."""
    keys = [library.groups["laboratory"], library.samples, *(library.property(name).values for name in targets)]
    groups = pd.Series(0, range(len(library))).groupby(keys, sort=False, dropna=False)
    _, first, place, counts = np.unique(groups.ngroup(), return_index=True, return_inverse=True, return_counts=True)
    if (counts == 1).all():
        return library, 0
    total = np.zeros((first.size, library.spectra.n_bands))
    np.add.at(total, place, library.spectra.values.astype(np.float64))
    averaged = library.select(first)
    spectra = averaged.spectra.replace(values=total / counts[:, None], step="repeats averaged")
    return averaged.with_spectra(spectra), len(library) - first.size


def _duplicates(library: Library, targets: Sequence[str]) -> dict[int, str]:
    """Rows whose spectrum is that of another row to the last digit -> why, with the row that is kept."""
    found: dict[bytes, list[int]] = {}
    for row, spectrum in enumerate(np.ascontiguousarray(library.spectra.values)):
        found.setdefault(spectrum.tobytes(), []).append(row)
    measured = np.sum([np.isfinite(library.property(name).values) for name in targets], axis=0)
    laboratory, left = library.groups["laboratory"], {}
    for rows in found.values():
        # What has most measured values is kept; the first one, where several have.
        kept = max(rows, key=lambda row: (measured[row], -row))
        for row in rows:
            if row != kept:
                place = "in another laboratory" if laboratory[row] != laboratory[kept] else "in the same laboratory"
                pairs = [(name, *library.property(name).values[[row, kept]].tolist()) for name in targets]
                other = [f"{name} {a:g} against {b:g}" for name, a, b in pairs if np.isfinite(a) and a != b]
                differ = f" with other values ({', '.join(other)})" if other else ""
                left[row] = f"same spectrum{differ} as {place}: {library.ids[kept]}"
    return left


def _link_places(library: Library) -> tuple[Library, list[str]]:
    """Gives samples of several laboratories with the same coordinates and depth one sample name."""
    names = [n for n in ("longitude", "latitude", "depth_top", "depth_bottom", "depth") if n in library.properties]
    sample, laboratory = np.array(library.samples, dtype=object), library.groups["laboratory"]
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
    return dataclasses.replace(library, groups={**library.groups, "sample": sample.astype(str)}), linked


def _check_units(library: Library, values: Floats, target: str, action: str) -> list[str]:
    """Holds every laboratory (and set) against a PLSR of the others: ten times too much is another unit."""
    from jaxsoil.models import plsr

    if target == "ph":
        return []
    y = library.property(target).values
    usable, found = np.isfinite(y) & (y > 0), []
    named = [library.groups[name] for name in ("laboratory", "region") if name in library.groups]
    groups = {str(name): group == name for group in named for name in np.unique(group)}
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
        times = f"{10**ratio:.3g} times what the other laboratories' spectra predict"
        problem, source = f"the values of {name} are about {times}: units seem mixed", library.name
        value = f"declared as {library.property(target).unit} for all laboratories"
        remedy = "Correct the unit of this laboratory (1 % = 10 g/kg); if it is right, give --unit-check note."
        raise DataError(problem, source=source, column=target, value=value, remedy=remedy)
    return [f"{target}: {name} lies {10**ratio:.3g} times from what the others predict" for name, ratio in found]
