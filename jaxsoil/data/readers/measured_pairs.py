"""Measured near- and mid-infrared spectra of the same samples, as a TOML file describes them, in held-out parts.

The two ranges come from two data sets whose rows meet by sample, or from one whose scans are cut. Every sample is held
out once, in two ways: in groups of like spectra, for sites that are not named, and at random.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from jaxsoil.data import registry
from jaxsoil.data.clusters import CLUSTERS, COMPONENTS, like_spectra
from jaxsoil.data.draws import group_folds
from jaxsoil.data.library import Library, Property, Strings
from jaxsoil.data.properties import PROPERTIES
from jaxsoil.data.readers.composite import grid_axis, prefixed
from jaxsoil.data.readers.limesoda_pairs import average_repeats
from jaxsoil.data.readers.schema import Grid
from jaxsoil.data.readers.toml import build, packaged, read_toml
from jaxsoil.data.scans import MultifidelityData, Scans
from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError
from jaxsoil.spectra.container import Spectra
from jaxsoil.spectra.resample import METHODS, Resample

PartKind = Literal["groups", "random"]
KINDS: tuple[PartKind, ...] = ("groups", "random")
"""How samples are held out: clusters of like spectra that are never parted, and samples at random."""


@dataclasses.dataclass(frozen=True)
class PairProperty:
    """[properties.NAME]: a label of the mid-infrared data set, its unit after multiplication with ``factor``."""

    column: str
    unit: str
    factor: float = 1.0


@dataclasses.dataclass(frozen=True)
class PairSplit:
    """[split]: parts that are held out in turn, and how like spectra are found; see ``clusters.like_spectra``."""

    folds: int = 5
    clusters: int = CLUSTERS
    components: int = COMPONENTS


@dataclasses.dataclass(frozen=True)
class PairSet:
    """Near- and mid-infrared spectra of the same samples.

    Args:
      name: name of the data.
      title: one line on them.
      mid, near: data sets of the two ranges: packaged names, or manifests beside this file. The same one twice is one
        scan that is cut.
      mid_grid, near_grid: the axes, in cm-1 and in nm; they must not overlap.
      properties: what is predicted, by the study's names.
      pretrain: data sets whose spectra, and nothing else, join the pre-training.
      split: parts that are held out.
      notes: known traps.
    """

    name: str
    title: str
    mid: str
    near: str
    mid_grid: Grid
    near_grid: Grid
    properties: Mapping[str, PairProperty]
    pretrain: Sequence[str] = ()
    split: PairSplit = PairSplit()
    notes: Sequence[str] = ()


def pair_sets() -> dict[str, Path]:
    """Returns the packaged files by name."""
    return packaged("jaxsoil.data", "pair_sets")


def read_pair_set(path: Path) -> PairSet:
    """Returns the checked content of a file.

    Raises:
      DataError: a file that is absent or no TOML, an unknown or missing key, a value that cannot be.
    """
    made = build(PairSet, read_toml(path), path)
    for name, grid, unit in (("mid_grid", made.mid_grid, "cm-1"), ("near_grid", made.near_grid, "nm")):
        require.known(grid.unit, (unit,), "unknown value", source=path, column=f"{name}.unit")
        require.known(grid.method, METHODS, "unknown value", source=path, column=f"{name}.method")
        if not (0 < grid.low < grid.high and 0 < grid.step <= grid.high - grid.low):
            value, remedy = (
                f"{grid.low:g} to {grid.high:g} by {grid.step:g}",
                "Give low < high and a step > 0.",
            )
            raise DataError("a grid goes from low to high", source=path, column=name, value=value, remedy=remedy)
    for name in made.properties:
        require.known(name, PROPERTIES, "unknown property", source=path, column="properties")
    if made.split.folds < 2 or not made.properties:
        value, remedy = f"{made.split.folds} folds, {len(made.properties)} properties", "Correct these keys."
        problem = "pairs need two folds or more, and a property"
        raise DataError(problem, source=path, column="split.folds, properties", value=value, remedy=remedy)
    return made


@dataclasses.dataclass(frozen=True, eq=False)
class MeasuredPairs:
    """Pairs in memory.

    Args:
      about: the file's content.
      mid: one row a sample, mid-infrared, with the group "cluster".
      near: near-infrared of the samples that have both.
      others: pre-training spectra of other sets and their samples.
    """

    about: PairSet
    mid: Library
    near: Library
    others: tuple[tuple[Spectra, Strings], ...]

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> MeasuredPairs:
        """Reads the data sets that a file names.

        Raises:
          DataError: anything in the file or in the data sets that does not hold; no sample with both ranges.
        """
        path = Path(path)
        about = read_pair_set(path)
        whole = _load(about.mid, path)
        mid = _on_grid(average_repeats(whole), about.mid_grid)
        same = about.mid == about.near
        near = _on_grid(average_repeats(whole if same else _load(about.near, path)), about.near_grid)
        _, places, rows = np.intersect1d(mid.ids, near.ids, return_indices=True)
        if not rows.size:
            value = f"such as {str(mid.ids[0])!r} and {str(near.ids[0])!r}"
            remedy = "Give both the same names of samples: id, or groups.sample, in their manifests."
            raise DataError("no sample has both ranges", source=path, column="mid, near", value=value, remedy=remedy)
        near = near.select(rows[np.argsort(places)])
        properties = {
            name: Property(mid.property(one.column).values * one.factor, one.unit)
            for name, one in about.properties.items()
        }
        mid = dataclasses.replace(mid, name=about.name, properties=properties)
        clusters = like_spectra(mid.spectra, about.split.clusters, about.split.components)
        mid = dataclasses.replace(mid, groups={**mid.groups, "cluster": clusters})
        others = []
        for name in about.pretrain:
            other = _load(name, path)
            others.append((_on_grid(other, about.mid_grid).spectra, prefixed(other.name, other.samples)))
        return cls(about, mid, near, tuple(others))

    def parts(self, kind: PartKind, count: int | None = None) -> list[MultifidelityData]:
        """Returns the data with each part held out, checked; the first ``count`` of them."""
        names = self.mid.blocks if kind == "groups" else self.mid.ids
        fold = group_folds(names, self.about.split.folds, np.random.default_rng(0))
        return [self._held_out(kind, fold == number, number + 1) for number in range(self.about.split.folds)[:count]]

    def whole(self) -> MultifidelityData:
        """Returns the data with nothing held out: every row trains, and the "test" set is the pairs themselves."""
        return self._data("all", np.zeros(len(self.mid), bool), self.mid)

    def _held_out(self, kind: PartKind, out: np.ndarray, number: int) -> MultifidelityData:
        # Rows that no group ties together are drawn one by one inside the training rows too.
        groups = {name: rows for name, rows in self.mid.groups.items() if kind == "groups" or name != "cluster"}
        data = self._data(f"{kind}/{number}", out, dataclasses.replace(self.mid, groups=groups))
        data.check()
        return data

    def _data(self, part: str, out: np.ndarray, mid: Library) -> MultifidelityData:
        """The data with the rows ``out`` as the test set; without any, the pairs themselves are."""
        paired = np.isin(mid.ids, self.near.ids)
        partner = mid.select(paired)
        near = dataclasses.replace(self.near, properties=partner.properties, groups=partner.groups)
        test = paired & out if out.any() else paired
        scans = [mid.spectra.values[~out], *(spectra.values for spectra, _ in self.others)]
        values, names = np.concatenate(scans), [mid.samples[~out], *(samples for _, samples in self.others)]
        return MultifidelityData(
            name=f"{self.about.name}/{part}",
            pretrain=Scans(mid.spectra.axis, np.concatenate(names), lambda rows: values[rows], values.nbytes),
            labelled=mid.select(~out),
            paired_mir=mid.select(paired & ~out),
            paired_nir=near.select(~out[paired]),
            test_mir=mid.select(test),
            test_nir=near.select(test[paired]),
            notes=self._notes(part.split("/")[0]),
        )

    def _notes(self, kind: str) -> tuple[str, ...]:
        split, about = self.about.split, self.about
        rules = {
            "groups": f"Samples are held out in {split.folds} parts of whole clusters: no site is named, so soils of "
            f"like spectra count as one site, by Ward's linkage of SNV scores on {split.components} principal "
            f"components of the mid-infrared, cut at {split.clusters} clusters.",
            "random": f"Samples are held out at random, in {split.folds} parts.",
            "all": "Nothing is held out: what is said of these rows is in-sample.",
        }
        one_scan = (
            "Optimistic: both ranges are one scan of one aliquot by one instrument, cut, so that noise, packing and "
            "drift are shared. A second instrument would differ."
        )
        others = (f"Pre-training adds the spectra of {', '.join(about.pretrain)}.",) if about.pretrain else ()
        unpaired = len(self.mid) - len(self.near)
        found = (rules[kind], *((one_scan,) if about.mid == about.near else ()), *others)
        found += (f"{unpaired} samples have no near-infrared: they are labelled and not paired.",) if unpaired else ()
        return (*found, *about.notes, *(note for note in self.mid.notes))


def _load(name: str, path: Path) -> Library:
    """Loads a packaged data set, or a manifest beside the file."""
    return registry.load(path.parent / name if name.endswith(".toml") else name)


def _on_grid(library: Library, grid: Grid) -> Library:
    """Returns the library as absorbance on a grid."""
    spectra = library.spectra.to_absorbance().to_unit(grid.unit)
    try:
        return library.with_spectra(Resample(grid_axis(grid), grid.unit, grid.method)(spectra))
    except DataError as error:
        told = {"column": error.column, "value": error.value, "remedy": error.remedy}
        raise DataError(error.problem, source=library.name, **told) from error
