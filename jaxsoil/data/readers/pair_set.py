"""What a manifest of pairs may say: both ranges of the same samples, and what else trains and tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from jaxsoil.data.clusters import CLUSTERS, COMPONENTS
from jaxsoil.data.library import GROUPS
from jaxsoil.data.properties import PROPERTIES
from jaxsoil.data.readers.schema import Grid, Manifest, check_tables, read_content
from jaxsoil.data.readers.toml import build, packaged
from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError, Faults
from jaxsoil.spectra.resample import METHODS

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
    """[split]: parts that are held out in turn.

    Args:
      folds: number of parts.
      group: group of ``mid`` that is never parted, such as "region" or "pedon"; without it, groups of like spectra.
      clusters, components: how these are found; see ``clusters.like_spectra``.
    """

    folds: int = 5
    group: str = ""
    clusters: int = CLUSTERS
    components: int = COMPONENTS


@dataclasses.dataclass(frozen=True)
class PairTest:
    """[test]: both ranges of a test set of other samples, named as in the manifest itself."""

    mid: str
    near: str = ""


@dataclasses.dataclass(frozen=True)
class PairSet:
    """Near- and mid-infrared spectra of the same samples.

    Data sets are named as elsewhere: one of ``tables``, a packaged name, or a manifest beside this file.

    Args:
      name: name of the data.
      title: one line on them.
      mid, near: data sets of the two ranges. The same one twice is one scan that is cut. Without ``near`` all that
        needs no near-infrared can be done.
      mid_grid, near_grid: the axes, in cm-1 and in nm; they must not overlap.
      properties: what is predicted, by the study's names.
      pretrain: data sets whose spectra, and nothing else, join the pre-training.
      labelled: mid-infrared data sets with labels and no near-infrared.
      test: a test set of its own; without it parts are held out.
      split: parts that are held out.
      tables: [tables.NAME], tables described here instead of in manifests of their own.
      licence: of the whole; without it, those of the data sets.
      notes: known traps.
    """

    name: str
    title: str
    mid: str
    mid_grid: Grid
    properties: Mapping[str, PairProperty]
    near: str = ""
    near_grid: Grid | None = None
    pretrain: Sequence[str] = ()
    labelled: Sequence[str] = ()
    test: PairTest | None = None
    split: PairSplit = PairSplit()
    tables: Mapping[str, Manifest] = dataclasses.field(default_factory=dict)
    licence: str = ""
    notes: Sequence[str] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every data set, once."""
        test = () if self.test is None else (self.test.mid, self.test.near)
        every = (self.mid, self.near, *self.labelled, *test, *self.pretrain)
        return tuple(dict.fromkeys(name for name in every if name))


def pair_sets() -> dict[str, Path]:
    """Returns the packaged files by name."""
    return packaged("jaxsoil.data", "pair_sets")


def read_pair_set(path: Path) -> PairSet:
    """Returns the checked content of a file.

    Raises:
      DataError: a file that is absent or no TOML, unknown or missing keys, values that cannot be; all at once.
    """
    content, faults = read_content(path, "pairs"), Faults()
    made = build(PairSet, content, path)
    for name, grid, unit in (("mid_grid", made.mid_grid, "cm-1"), ("near_grid", made.near_grid, "nm")):
        if grid is None:
            continue
        with faults.kept():
            require.known(grid.unit, (unit,), "unknown value", source=path, column=f"{name}.unit")
        with faults.kept():
            require.known(grid.method, METHODS, "unknown value", source=path, column=f"{name}.method")
        if not (0 < grid.low < grid.high and 0 < grid.step <= grid.high - grid.low):
            value, remedy = f"{grid.low:g} to {grid.high:g} by {grid.step:g}", "Give low < high and a step > 0."
            problem = "a grid goes from low to high"
            faults.add(DataError(problem, source=path, column=name, value=value, remedy=remedy))
    given: dict[str, object] = {"near": made.near, "near_grid": made.near_grid}
    given |= {} if made.test is None else {"test.near": made.test.near}
    if 0 < len(absent := [name for name, value in given.items() if not value]) < len(given):
        value = f"{', '.join(absent)} is missing beside {', '.join(name for name in given if name not in absent)}"
        remedy = "Give it too; or, for mid-infrared alone, leave out all of near, near_grid and test.near."
        problem = "near-infrared is described in part"
        faults.add(DataError(problem, source=path, column=absent[0], value=value, remedy=remedy))
    for name in made.properties:
        with faults.kept():
            require.known(name, PROPERTIES, "unknown property", source=path, column="properties")
    if made.split.folds < 2 or not made.properties:
        value, remedy = f"{made.split.folds} folds, {len(made.properties)} properties", "Correct these keys."
        problem = "pairs need two folds or more, and a property"
        faults.add(DataError(problem, source=path, column="split.folds, properties", value=value, remedy=remedy))
    if made.split.group:
        with faults.kept():
            require.known(made.split.group, GROUPS, "unknown group", source=path, column="split.group")
    if made.test is not None and "split" in content:
        problem = "there is a test set, and parts that are held out"
        faults.add(DataError(problem, source=path, column="test, split", remedy="Remove [test] or [split]."))
    check_tables(made.tables, made.names, path, faults)
    faults.tell()
    return made
