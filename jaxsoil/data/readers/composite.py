"""Several data sets on one axis, each of them a region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from jaxsoil.data.library import MEASURED, NOT_STATED, PROTECTED, SOC_IS, SOC_METHOD, Library, Property, Strings
from jaxsoil.data.licences import of_parts
from jaxsoil.data.readers.schema import Composite, Grid
from jaxsoil.runs.errors import DataError
from jaxsoil.spectra.resample import Resample


def grid_axis(grid: Grid) -> NDArray[np.float64]:
    """Returns the bands low, low + step, ... up to high."""
    count = int(np.floor((grid.high - grid.low) / grid.step + 1e-9)) + 1
    return grid.low + grid.step * np.arange(count, dtype=np.float64)


def join(composite: Composite, members: Sequence[Library]) -> Library:
    """Returns the members on the common axis as reflectance, with the member's name as region.

    Rows without the properties that must be positive are left out and counted in the notes. A member without
    samples or pedons has each of its rows as its own.

    Raises:
      DataError: an axis that does not cover the grid, a property whose units differ, no row left.
    """
    parts, notes = [], list(composite.notes)
    positive = " and ".join(f"{name} > 0" for name in composite.positive)
    for member in members:
        kept = np.ones(len(member), bool)
        for name in composite.positive:
            kept &= member.property(name).values > 0  # NaN is not above zero
        if not kept.all():
            notes.append(f"{member.name}: left out {int((~kept).sum())} rows without {positive}")
        if not kept.any():
            problem = "a member of the composite has no row left"
            value = f"{len(member)} rows, none with {positive}"
            remedy = "Remove the member, or the property from `positive`."
            raise DataError(problem, source=composite.name, column=member.name, value=value, remedy=remedy)
        notes += [f"{member.name}: {note}" for note in member.notes]
        parts.append(on_grid(member.select(kept), composite.grid, "reflectance", member.name))
    first, same = parts[0].spectra, len({part.spectra.steps for part in parts}) == 1
    steps = first.steps if same else (f"members of {composite.name} as reflectance", first.steps[-1])
    licence = of_parts(composite.licence, {part.name: part.licence for part in parts})
    ids = np.concatenate([prefixed(part.name, part.ids) for part in parts])
    told: dict[str, Any] = {"ids": ids, "steps": steps, "licence": licence, "notes": tuple(notes)}
    return stacked(parts, composite.name, composite.name, _groups(parts), **told)


def on_grid(library: Library, grid: Grid, quantity: Literal["reflectance", "absorbance"], source: str) -> Library:
    """Returns a library as reflectance or absorbance on a grid.

    Raises:
      DataError: pretreated spectra, or a grid that reaches beyond what was measured; ``source`` names the data.
    """
    try:
        spectra = library.spectra.to_reflectance() if quantity == "reflectance" else library.spectra.to_absorbance()
        return library.with_spectra(Resample(grid_axis(grid), grid.unit, grid.method)(spectra.to_unit(grid.unit)))
    except DataError as error:
        told = {"column": error.column, "value": error.value, "remedy": error.remedy}
        raise DataError(error.problem, source=source, **told) from error


def stacked(
    parts: Sequence[Library],
    name: str,
    source: str,
    groups: Mapping[str, Strings],
    *,
    steps: Sequence[str],
    **told: Any,
) -> Library:
    """Returns the rows of libraries on one axis, one part after the other; a property is NaN where a part lacks it.

    Args:
      parts: the libraries.
      name, groups: of the whole.
      source: names the whole in messages.
      steps: what was done to the spectra.
      **told: licence and notes of the whole, and ids where they are not those of the parts.

    Raises:
      DataError: a property whose units differ.
    """
    values = np.concatenate([part.spectra.values for part in parts])
    told = {"ids": np.concatenate([part.ids for part in parts]), **told}
    spectra = parts[0].spectra.replace(values=values, steps=steps)
    return Library(name, spectra, properties=_joined_properties(parts, source), groups=groups, **told)


def _joined_properties(parts: Sequence[Library], source: str) -> dict[str, Property]:
    names = dict.fromkeys(name for part in parts for name in part.properties)
    joined = {}
    for name in names:
        units = {part.properties[name].unit for part in parts if name in part.properties}
        if len(units) > 1:
            problem = "the members give a property in different units"
            remedy = "Bring them to one unit with `factor` in the members' manifests."
            raise DataError(problem, source=source, column=name, value=", ".join(sorted(units)), remedy=remedy)
        values = [
            part.properties[name].values if name in part.properties else np.full(len(part), np.nan) for part in parts
        ]
        joined[name] = Property(np.concatenate(values), units.pop())
    return joined


def _groups(parts: Sequence[Library]) -> dict[str, Strings]:
    groups = {"region": np.concatenate([np.full(len(part), part.name) for part in parts])}
    # A sample or pedon of one data set is never one of another, so names carry the data set.
    # Where a member has no such group, a profile stands for a pedon and the reverse, else its samples.
    alike = {"pedon": "profile", "profile": "pedon"}
    for name in PROTECTED:
        if any(name in part.groups for part in parts):
            other = alike.get(name, name)
            own = [part.groups.get(name, part.groups.get(other, part.samples)) for part in parts]
            groups[name] = np.concatenate([prefixed(part.name, found) for part, found in zip(parts, own, strict=True)])
    if any("laboratory" in part.groups for part in parts):
        # A laboratory may hold several members: its name is its own. A member that names none is one.
        labs = [part.groups.get("laboratory", np.full(len(part), part.name)) for part in parts]
        groups["laboratory"] = np.concatenate(labs)
    for name, unsaid in ((SOC_IS, MEASURED), (SOC_METHOD, NOT_STATED)):
        if any(name in part.groups for part in parts):
            groups[name] = np.concatenate([part.groups.get(name, np.full(len(part), unsaid)) for part in parts])
    if all("country" in part.groups for part in parts):
        groups["country"] = np.concatenate([part.groups["country"] for part in parts])
    return groups


def prefixed(name: str, values: Strings) -> Strings:
    """Returns names that carry the data set's, so that those of two data sets never meet."""
    return np.array([f"{name}/{value}" for value in values.tolist()])
