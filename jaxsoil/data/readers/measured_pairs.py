"""Measured near- and mid-infrared spectra of the same samples, as a TOML file describes them.

The two ranges come from two data sets whose rows meet by sample, or from one whose scans are cut. Further sets may
serve pre-training, or add labels without near-infrared. Either every pair is held out once, in two ways (in groups,
which are a column or like spectra, and at random), or a test set of other samples is named.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from pathlib import Path

import numpy as np

from jaxsoil.data import registry
from jaxsoil.data.clusters import like_spectra
from jaxsoil.data.draws import group_folds
from jaxsoil.data.library import PROTECTED, Library, Strings
from jaxsoil.data.readers.composite import prefixed
from jaxsoil.data.readers.pair_set import PairSet, PartKind, read_pair_set
from jaxsoil.data.readers.pair_tables import PairTables
from jaxsoil.data.scans import MultifidelityData, Scans
from jaxsoil.runs.errors import DataError, Faults

MID_ALONE = (
    "The manifest has no near-infrared: what starts from it (conversion, NIR strategies, the bundle 'nir') is left "
    "out. Give near and near_grid for it."
)


@dataclasses.dataclass(frozen=True, eq=False)
class Others:
    """Spectra of another set for pre-training.

    Args:
      scans: on the axis of the pre-training.
      own: whether its names are those of the manifest's other tables, so that a scan of a held-out sample is known.
    """

    scans: Library
    own: bool

    @property
    def samples(self) -> Strings:
        """Sample of each scan; those of a packaged set bear its name and meet no other."""
        return self.scans.samples if self.own else prefixed(self.scans.name, self.scans.samples)

    def blocks(self, group: str) -> Strings:
        """(n,) the group of each scan that no split parts, as the manifest names it; without it a name of its own."""
        known = self.own and group in self.scans.groups
        return self.scans.groups[group] if known else prefixed(self.scans.name, self.samples)

    def seen(self, held: Library, group: str) -> np.ndarray:
        """(n,) scans of what is held out: the same sample, pedon or profile, or the same one of a ``group``."""
        seen = np.isin(self.samples, held.samples)
        for name in {*PROTECTED[1:3], group} & set(self.scans.groups) & set(held.groups) if self.own else ():
            seen |= np.isin(self.scans.groups[name], held.groups[name])
        return seen


@dataclasses.dataclass(frozen=True, eq=False)
class MeasuredPairs:
    """Pairs in memory.

    Args:
      about: the file's content.
      mid: one row a sample, mid-infrared, those of ``labelled`` last; with the group "cluster" where no group is named.
      near: near-infrared of the samples that have both; no rows where the manifest has none.
      others: pre-training spectra of other sets.
      test: mid- and near-infrared of a test set of its own.
      notes: what each table gave.
    """

    about: PairSet
    mid: Library
    near: Library
    others: tuple[Others, ...]
    test: tuple[Library, Library] | None
    notes: tuple[str, ...]

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> MeasuredPairs:
        """Reads the data sets that a file names.

        Raises:
          DataError: anything in the file or in the data sets that does not hold; no sample with both ranges.
        """
        path = Path(path)
        about, faults, loaded = read_pair_set(path), Faults(), {}
        for name in about.names:
            with faults.kept():
                loaded[name] = registry.load_named(name, path, about.tables)
        faults.tell()
        tables = PairTables(about, path, loaded)
        both, parts, others, test, notes = None, [], [], None, ()
        with faults.kept():
            *both, notes = tables.pairs(about.mid, about.near)
        for name in about.labelled:
            with faults.kept():
                parts.append(tables.mid(name, every=False))
        for name in about.pretrain:
            with faults.kept():
                own = name in about.tables or name.endswith(".toml")
                others.append(Others(tables.on_grid(loaded[name], about.mid_grid, name), own))
        if about.test is not None:
            with faults.kept():
                *test, more = tables.pairs(about.test.mid, about.test.near)
                notes += tuple(f"test set: {note}" for note in more)
        faults.tell()
        assert both is not None
        mid, near = tables.joined([both[0], *parts]), both[1]
        if test is None:
            mid = _with_groups(mid, about, path)
        near = dataclasses.replace(near, licence=mid.licence)
        fixed = None if test is None else (test[0], test[1])
        made = cls(about, mid, near, tuple(others), fixed, notes + tables.notes())
        made._require_apart(path)
        return made

    def parts(self, kind: PartKind, count: int | None = None) -> list[MultifidelityData]:
        """Returns the data with each part held out, checked; the first ``count`` of them."""
        names, paired = held_together(self.mid, kind, self.about), self.judging
        # Parts are drawn of pairs; a row without near-infrared is left out where its group is.
        drawn = group_folds(names[paired], self.about.split.folds, np.random.default_rng(0))
        fold = dict(zip(names[paired].tolist(), drawn.tolist(), strict=True))
        folds = np.array([fold.get(name, -1) for name in names.tolist()])
        return [self._held_out(kind, folds == number, number + 1) for number in range(self.about.split.folds)[:count]]

    def whole(self) -> MultifidelityData:
        """Returns the data with nothing held out: every row trains, and the "test" set is the pairs themselves."""
        none, judging = np.zeros(len(self.mid), bool), self.mid.select(self.judging)
        return self._data("all", self.mid, none, (judging, self._near(judging)), self.mid.select(none))

    @property
    def judging(self) -> np.ndarray:
        """(n,) rows of ``mid`` that can judge: those with near-infrared, or all where there is none."""
        return np.isin(self.mid.ids, self.near.ids) if len(self.near) else np.ones(len(self.mid), bool)

    def fixed(self) -> MultifidelityData:
        """Returns the data with the test set that the file names, checked."""
        assert self.test is not None
        data = self._data("test", self.mid, np.zeros(len(self.mid), bool), self.test, self.test[0])
        data.check()
        return data

    def _held_out(self, kind: PartKind, out: np.ndarray, number: int) -> MultifidelityData:
        # Rows that no group ties together are drawn one by one inside the training rows too.
        mid = self.mid if kind == "groups" else without_clusters(self.mid)
        test = mid.select(out & self.judging)
        data = self._data(f"{kind}/{number}", mid, out, (test, self._near(test)), mid.select(out))
        data.check()
        return data

    def _near(self, partner: Library) -> Library:
        """Near-infrared of some samples, with the properties and groups of their mid-infrared; no rows without any."""
        partner = partner if len(self.near) else partner.select([])
        place = {name: row for row, name in enumerate(self.near.ids.tolist())}
        near = self.near.select([place[name] for name in partner.ids.tolist()])
        return dataclasses.replace(near, properties=partner.properties, groups=partner.groups)

    @functools.cached_property
    def _scans(self) -> np.ndarray:
        """Spectra of ``mid`` and of the other sets, which all parts share."""
        return np.concatenate([self.mid.spectra.values, *(other.scans.spectra.values for other in self.others)])

    def _data(
        self, part: str, mid: Library, out: np.ndarray, test: tuple[Library, Library], held: Library
    ) -> MultifidelityData:
        """The data without the rows ``out`` of ``mid``, and without scans of what is ``held`` out."""
        kind, group = part.split("/")[0], self.about.split.group
        paired = mid.select(np.isin(mid.ids, self.near.ids) & ~out)
        tied = next((name for name in reversed(PROTECTED) if name in mid.groups), "")
        kept, names, blocks, notes = [~out], [mid.samples[~out]], [mid.blocks[~out]], []
        for other in self.others:
            seen = other.seen(held, group if kind == "groups" else "")
            kept.append(~seen)
            names.append(other.samples[~seen])
            blocks.append(other.blocks(tied)[~seen])
            if seen.any():
                notes.append(f"{other.scans.name}: {int(seen.sum())} scans of what is held out take no part.")
        every, rows = self._scans, np.flatnonzero(np.concatenate(kept))
        samples, tied_by = np.concatenate(names), np.concatenate(blocks)
        return MultifidelityData(
            name=f"{self.about.name}/{part}",
            pretrain=Scans(mid.spectra.axis, samples, lambda some: every[rows[some]], every.nbytes, tied_by),
            labelled=mid.select(~out),
            paired_mir=paired,
            paired_nir=self._near(paired),
            test_mir=test[0],
            test_nir=test[1],
            notes=(*self._notes(kind), *notes),
        )

    def _notes(self, kind: str) -> tuple[str, ...]:
        split, about = self.about.split, self.about
        together = (
            f"no {split.group} is parted."
            if split.group
            else "no site is named, so soils of like spectra count as one site, by Ward's linkage of SNV scores on "
            f"{split.components} principal components of the mid-infrared, cut at {split.clusters} clusters."
        )
        rules = {
            "groups": f"Samples are held out in {split.folds} parts of whole groups: {together}",
            "random": f"Samples are held out at random, in {split.folds} parts.",
            "all": "Nothing is held out: what is said of these rows is in-sample.",
            "test": "The test set is the one that the manifest names.",
        }
        one_scan = "Optimistic: both ranges are one scan of one aliquot by one instrument, cut, so that noise, packing "
        one_scan += "and drift are shared. A second instrument would differ."
        unpaired = len(self.mid) - len(self.near) if len(self.near) else 0
        found = (rules[kind], *((one_scan,) if about.mid == about.near else ()), *self.notes)
        found += () if len(self.near) else (MID_ALONE,)
        found += (f"{unpaired} samples have no near-infrared: they are labelled and not paired.",) if unpaired else ()
        return (*found, *about.notes, *(note for note in self.mid.notes))

    def _require_apart(self, path: Path) -> None:
        """Refuses a pedon or profile of the test set among the training rows; samples are looked at by ``check``."""
        if self.test is None:
            return
        for name in set(PROTECTED[1:3]) & set(self.mid.groups) & set(self.test[0].groups):
            shared = np.intersect1d(self.mid.groups[name], self.test[0].groups[name])
            if shared.size:
                value, remedy = f"{str(shared[0])!r}; {shared.size} of them", "Leave it out of one of both."
                problem = f"training and test set share a {name}"
                raise DataError(problem, source=path, column=f"groups.{name}", value=value, remedy=remedy)


def held_together(library: Library, kind: PartKind, about: PairSet) -> Strings:
    """Returns (n,) what a split keeps together: the named group or clusters, or at random samples, pedons, profiles."""
    if kind == "groups" and about.split.group:
        return library.group(about.split.group)
    return (library if kind == "groups" else without_clusters(library)).blocks


def without_clusters(library: Library) -> Library:
    """Returns the library without the group of like spectra."""
    groups = {name: rows for name, rows in library.groups.items() if name != "cluster"}
    return dataclasses.replace(library, groups=groups)


def _with_groups(mid: Library, about: PairSet, path: Path) -> Library:
    """The library with what its parts are made of: a group that it has, or clusters of like spectra."""
    if not about.split.group:
        clusters = like_spectra(mid.spectra, about.split.clusters, about.split.components)
        return dataclasses.replace(mid, groups={**mid.groups, "cluster": clusters})
    groups = np.unique(mid.group(about.split.group)).size
    if groups < about.split.folds:
        value, remedy = f"{groups} of {about.split.group}, {about.split.folds} folds", "Give fewer folds under [split]."
        raise DataError("there are fewer groups than parts", source=path, column="split", value=value, remedy=remedy)
    return mid
