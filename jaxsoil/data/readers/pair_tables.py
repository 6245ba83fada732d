"""The tables of a manifest of pairs, each brought to the axis and the properties that it asks for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxsoil.data.library import PROTECTED, Library, Property
from jaxsoil.data.licences import of_parts
from jaxsoil.data.readers.composite import on_grid, stacked
from jaxsoil.data.readers.limesoda_pairs import average_repeats
from jaxsoil.data.readers.pair_set import PairSet
from jaxsoil.data.readers.schema import Grid
from jaxsoil.runs.errors import DataError, Faults
from jaxsoil.spectra.container import Spectra

NO_NEAR = np.array([1400.0, 2500.0])
"""Bands, nm, of the near-infrared that a manifest does not have: of no spectrum."""

_PER_PERCENT = {"%": 1.0, "g/kg": 10.0}


@dataclasses.dataclass
class PairTables:
    """Data sets by the names of a manifest, and what is made of them.

    Args:
      about: the manifest.
      path: its file, for messages.
      loaded: name -> data set.
    """

    about: PairSet
    path: Path
    loaded: Mapping[str, Library]

    def on_grid(self, library: Library, grid: Grid, name: str) -> Library:
        """Returns the library of a table as absorbance on a grid; errors as :func:`~.composite.on_grid`."""
        return on_grid(library, grid, "absorbance", f"{self.path}, {name}")

    def mid(self, name: str, *, every: bool = True) -> Library:
        """Returns the mid-infrared of a table, one row a sample, with the properties that are predicted.

        Args:
          name: of the table.
          every: whether each property must be among its labels; otherwise one of them.

        Raises:
          DataError: labels that the table lacks, or whose unit is not the one that the manifest converts.
        """
        faults, properties = Faults(), {}
        averaged = average_repeats(self.loaded[name])
        wanted_here = {
            wanted: one for wanted, one in self.about.properties.items() if every or one.column in averaged.properties
        } or self.about.properties
        for wanted, one in wanted_here.items():
            with faults.kept():
                found, where = averaged.property(one.column), f"properties.{wanted}"
                units = (found.unit, one.unit)
                if set(units) <= set(_PER_PERCENT):
                    right = _PER_PERCENT[one.unit] / _PER_PERCENT[found.unit]
                    if abs(one.factor / right - 1.0) > 1e-6:
                        value, remedy = f"{found.unit} x {one.factor:g} to {one.unit}", f"Write factor = {right:g}."
                        problem = f"the factor does not bring the label {one.column} of {name} to its unit"
                        raise DataError(problem, source=self.path, column=where, value=value, remedy=remedy)
                properties[wanted] = Property(found.values * one.factor, one.unit)
        with faults.kept():
            averaged = self.on_grid(averaged, self.about.mid_grid, name)
        faults.tell()
        return dataclasses.replace(averaged, properties=properties)

    def pairs(self, mid_name: str, near_name: str) -> tuple[Library, Library, tuple[str, ...]]:
        """Returns mid-infrared, near-infrared of the samples that have both, and a note on samples left out.

        Without near-infrared in the manifest, the second has no rows.

        Raises:
          DataError: no sample has both ranges; as :meth:`mid`.
        """
        if not near_name or self.about.near_grid is None:
            mid = self.mid(mid_name)
            none = Spectra(np.empty((0, 2), np.float32), NO_NEAR, "nm", "absorbance")
            return mid, mid.select([]).with_spectra(none), ()
        faults, mid, near = Faults(), None, None
        with faults.kept():
            mid = self.mid(mid_name)
        with faults.kept():
            near = self.on_grid(average_repeats(self.loaded[near_name]), self.about.near_grid, near_name)
        faults.tell()
        assert mid is not None and near is not None
        _, places, rows = np.intersect1d(mid.ids, near.ids, return_indices=True)
        if not rows.size:
            value = f"such as {str(mid.ids[0])!r} in {mid_name} and {str(near.ids[0])!r} in {near_name}"
            remedy = "Give both the same names of samples: id, or groups.sample, in their manifests."
            problem = "no sample has both ranges"
            raise DataError(problem, source=self.path, column="mid, near", value=value, remedy=remedy)
        alone = len(near) - rows.size
        notes = (f"{near_name}: {alone} samples without mid-infrared take no part.",) if alone else ()
        near = near.select(rows[np.argsort(places)])
        partner = mid.select(np.sort(places))
        return mid, dataclasses.replace(near, properties=partner.properties, groups=partner.groups), notes

    def joined(self, parts: Sequence[Library]) -> Library:
        """Returns mid-infrared tables as one, the named samples of all; a group that one lacks is its samples or it.

        Raises:
          DataError: a sample that stands in two tables.
        """
        first, names = parts[0], dict.fromkeys(name for part in parts for name in part.groups)
        ids = np.concatenate([part.ids for part in parts])
        shown, counts = np.unique(ids, return_counts=True)
        if (counts > 1).any():
            value = f"{str(shown[counts > 1][0])!r}; {int((counts > 1).sum())} samples"
            remedy = "Keep each sample in one of mid and labelled; repeated scans belong to pretrain."
            problem = "a sample stands in two tables"
            raise DataError(problem, source=self.path, column="mid, labelled", value=value, remedy=remedy)
        groups = {}
        for name in names:
            alone = [part.samples if name in PROTECTED else np.full(len(part), part.name) for part in parts]
            own = [part.groups.get(name, other) for part, other in zip(parts, alone, strict=True)]
            groups[name] = np.concatenate(own)
        used = dict.fromkeys((self.about.mid, self.about.near, *self.about.labelled))
        licence = of_parts(
            self.about.licence, {self.loaded[name].name: self.loaded[name].licence for name in used if name}
        )
        notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
        told: dict[str, Any] = {"steps": first.spectra.steps, "licence": licence, "notes": notes}
        return stacked(parts, self.about.name, str(self.path), groups, **told)

    def notes(self) -> tuple[str, ...]:
        """What each table gave, and the axis it was brought to."""
        about = self.about
        test = (about.test.mid, about.test.near) if about.test is not None else ("", "")
        roles = {
            "pre-training": about.pretrain, "mid-infrared": (about.mid,), "near-infrared": (about.near,),
            "labelled": about.labelled, "test set, mid-infrared": test[:1], "test set, near-infrared": test[1:],
        }  # fmt: skip
        found = []
        for name, library in self.loaded.items():
            spectra, samples = library.spectra, np.unique(library.samples).size
            listed = " and ".join(role for role, names in roles.items() if name in names)
            axis = f"{spectra.axis[0]:g}-{spectra.axis[-1]:g} {spectra.unit}, {spectra.n_bands} bands"
            found.append(f"{name} ({listed}): {len(library)} spectra of {samples} samples, {spectra.quantity}, {axis}.")
        grids = [grid for grid in (about.mid_grid, about.near_grid) if grid is not None]
        axes = " and ".join(f"{grid.low:g}-{grid.high:g} {grid.unit} by {grid.step:g}" for grid in grids)
        return (*found, f"All are absorbance on {axes}, by {' and '.join(grid.method for grid in grids)}.")
