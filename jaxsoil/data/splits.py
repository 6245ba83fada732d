"""Splits by group, as masks of static shape; a group on both sides is an error.

The protocols are those of the structured-reconstruction study: a random share (baseline, 60:40), one region
left out (Experiment 1), and few labels with adaptation to the held-out region (Experiment 3). Their arguments
have one meaning:

* ``library``: the rows to split.
* ``seed``: seed of the draw.
* ``by``: the group that is held out (regions), or that is kept together too (folds).
* ``protect``: groups that never lie on both sides, as far as the library has them: samples and pedons.
* ``target``: property that a row must have to train with a label or to test; None takes every row.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from jaxsoil.data.draws import Mask, group_folds, take_share
from jaxsoil.data.library import PROTECTED, Library, Strings
from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError
from jaxsoil.runs.keys import stable_hash

INDUCTIVE = "inductive"

EVERYTHING = "every row trains, nothing is held out"
"""Exposure of a model that is handed on and not judged."""


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Which rows a trial learns from and which it is judged on.

    Args:
      name: such as "region_out/geeves".
      held_out: the region, fold or share that is held out.
      train: (n,) labelled training rows.
      unlabelled: (n,) rows whose spectra alone are trained on; none of ``train``.
      test: (n,) rows on which the trial is judged; none of ``train``.
      exposure: "inductive" where nothing of the held-out part is used, else a sentence that says what is.
      seed: seed of the draw (0 where nothing is drawn).
    """

    name: str
    held_out: str
    train: Mask
    unlabelled: Mask
    test: Mask
    exposure: str
    seed: int

    def __post_init__(self) -> None:
        for field in ("train", "unlabelled", "test"):
            mask = np.array(getattr(self, field))
            if mask.dtype != np.bool_ or mask.ndim != 1 or mask.shape != np.shape(self.train):
                problem = "a mask must be boolean and as long as the library"
                value = f"{mask.dtype} {mask.shape}"
                remedy = "Give train, unlabelled and test as boolean arrays of one length."
                raise DataError(problem, source=self.name, column=field, value=value, remedy=remedy)
            mask.flags.writeable = False
            object.__setattr__(self, field, mask)
        for field in ("train",) if self.exposure == EVERYTHING else ("train", "test"):
            if not getattr(self, field).any():
                remedy = "Check that the part has labelled rows, or use fewer folds or another share."
                raise DataError(f"the split has no {field} row", source=self.name, column=field, remedy=remedy)
        overlaps = {"train and test": self.train & self.test, "train and unlabelled": self.train & self.unlabelled}
        if self.exposure == INDUCTIVE:
            overlaps["unlabelled and test"] = self.unlabelled & self.test
        for pair, both in overlaps.items():
            remedy = "Give every row one role; a protocol that uses test spectra declares it."
            require.no_row(both, f"leak: rows lie in {pair}", source=self.name, remedy=remedy)


def check_no_leak(split: Split, groups: Mapping[str, Strings] | Strings) -> None:
    """Raises DataError that names a group with rows on both sides of ``split``.

    Args:
      split: the split.
      groups: group columns by name, or one column.

    Labelled training rows are always held against the test rows. Unlabelled rows are too, unless the split
    declares by its exposure that spectra of the held-out part are used.
    """
    columns = groups if isinstance(groups, Mapping) else {"group": groups}
    seen = split.train | split.unlabelled if split.exposure == INDUCTIVE else split.train
    for name, values in columns.items():
        both = np.intersect1d(values[seen], values[split.test])
        if both.size:
            problem = f"leak: a {name} lies in training and in test"
            value = f"{both[0]}; {both.size} in all"
            remedy = f"Split by '{name}' or by a group that contains it, or correct the group column."
            raise DataError(problem, source=split.name, column=name, value=value, remedy=remedy)


def all_rows(library: Library) -> Split:
    """Every row trains: for a model that others take to their own samples."""
    everything, nothing = np.ones(len(library), bool), np.zeros(len(library), bool)
    return Split("all/all", "all", everything, nothing, nothing, EVERYTHING, 0)


def region_out(library: Library, *, by: str = "region", target: str | None = "soc") -> list[Split]:
    """Returns one inductive split for each region: it is held out, all others train.

    Raises:
      DataError: fewer than two regions; a sample or pedon in two regions (named); a region without labels.
    """
    regions = library.group(by)
    names = np.unique(regions)
    if names.size < 2:
        problem = f"leaving one {by} out needs at least two"
        value = f"only {str(names[0])!r}" if names.size else "none"
        remedy = "Use k-fold or a random share, or join data sets from several regions."
        raise DataError(problem, source=library.name, column=by, value=value, remedy=remedy)
    labelled = _labelled(library, target)
    return [_held_out(library, labelled, regions == name, f"{by}_out/{name}", name, 0) for name in names.tolist()]


def kfold(
    library: Library, n_folds: int, seed: int, *, by: str | None = None, target: str | None = "soc"
) -> list[Split]:
    """Returns ``n_folds`` splits whose test parts cover every labelled row once.

    Raises:
      DataError: fewer groups (or rows) than folds.
    """
    labelled = _labelled(library, target)
    blocks = _blocks(library, by)
    count = np.unique(blocks[labelled]).size
    if n_folds < 2 or count < n_folds:
        problem = "there are too few groups for so many folds"
        value = f"{n_folds} folds, {count} groups, {int(labelled.sum())} labelled rows"
        remedy = f"Ask for 2 to {max(count, 2)} folds."
        raise DataError(problem, source=library.name, column=by or "rows", value=value, remedy=remedy)
    fold = np.full(len(library), -1)
    fold[labelled] = group_folds(blocks[labelled], n_folds, np.random.default_rng(seed))
    return [
        _held_out(library, labelled, fold == number, f"kfold/{number + 1}", f"{number + 1} of {n_folds}", seed)
        for number in range(n_folds)
    ]


def random_share(
    library: Library, share: float, seed: int, *, protect: Sequence[str] = PROTECTED, target: str | None = "soc"
) -> Split:
    """Returns a random split that trains on about ``share`` of the labelled rows, by group.

    Args:
      share: share of labelled rows that train, between 0 and 1 (0.6 in the published baseline).

    Raises:
      DataError: a share outside 0 to 1, fewer than two groups.
    """
    if not 0.0 < share < 1.0:
        raise DataError("a share lies between 0 and 1", source=library.name, value=share, remedy="Write 60 % as 0.6.")
    labelled = _labelled(library, target)
    blocks = _blocks(library, None, protect)
    train = np.zeros(len(library), bool)
    train[labelled] = take_share(blocks[labelled], share, np.random.default_rng(seed), source=library.name)
    return _held_out(library, labelled, ~train, f"random_share/{seed}", f"{100 * (1 - share):g} %", seed, protect)


def few_label(
    library: Library,
    pedons_per_region: int,
    seed: int,
    held_out: str,
    *,
    fewer: Literal["refuse", "take all"] = "refuse",
) -> Split:
    """Returns an inductive split in which few pedons of each training region carry labels.

    The other rows of those regions are unlabelled; the held-out region is tested on and not seen at all. A region's
    labelled pedons are the same whichever other region is held out.

    Args:
      pedons_per_region: labelled pedons drawn from each region but the held-out one (10 in the paper).
      held_out: the region that is held out.
      fewer: what becomes of a training region with fewer labelled pedons: an error, or all of them are taken (none
        where no row has a label).
    """
    regions, pedons, labelled = _regions(library, held_out)
    train = np.zeros(len(library), bool)
    for place, region in enumerate(np.unique(regions).tolist()):
        if region != held_out:
            rows = labelled & (regions == region)
            count = pedons_per_region
            if fewer == "take all":
                if not rows.any():
                    continue  # a region whose spectra alone are used
                count = min(count, np.unique(pedons[rows]).size)
            train |= _draw(library, rows, pedons, count, np.random.default_rng([seed, place]), region)
    out = regions == held_out
    name = f"few_label/{held_out}/{pedons_per_region}"
    return _checked(Split(name, held_out, train, ~out & ~train, labelled & out, INDUCTIVE, seed), library)


def few_label_adaptation(library: Library, pedons: int, seed: int, held_out: str) -> Split:
    """Returns the second stage of few labels: adaptation to the held-out region.

    ``pedons`` of the region carry labels, all its spectra are used, and the test rows are its labelled rows
    without those pedons. The exposure says so: the reconstruction error of such a trial is in-sample.

    Args:
      pedons: labelled pedons drawn from the held-out region (5 in the paper).
      held_out: the region that is adapted to.
    """
    regions, units, labelled = _regions(library, held_out)
    inside = regions == held_out
    labelled &= inside
    train = _draw(library, labelled, units, pedons, np.random.default_rng(seed), held_out, leave=1)
    drawn = np.isin(units, units[train])
    exposure = f"all spectra of {held_out} and the labels of {pedons} of its pedons"
    name = f"few_label_adaptation/{held_out}/{pedons}"
    return _checked(Split(name, held_out, train, inside & ~train, labelled & ~drawn, exposure, seed), library)


def validation_rows(split: Split, groups: np.ndarray, share: float, seed: int) -> Mask:
    """Picks whole groups of training rows to watch convergence, at most ``share`` of the training rows.

    Args:
      split: the split whose training rows are used; held-out rows are never picked.
      groups: (n,) group of each row (sample, pedon ...); a group is never parted.
      share: largest share of the training rows, 0 to below 1.
      seed: draw number; the draw also depends on the split's name.

    Returns:
      Mask (n,), all False for a share of 0.
    """
    rows = np.zeros(split.train.size, bool)
    rng = np.random.default_rng([seed, stable_hash(split.name)])
    rows[split.train] = take_share(groups[split.train], share, rng, "at most")
    return rows


def without_watched(split: Split, groups: np.ndarray, watched: Mask) -> Split:
    """Returns the split without unlabelled rows of the groups that are watched.

    A pedon of which some layers have a label is watched with all its layers: the others are in no training either.

    Args:
      split: the split.
      groups: (n,) group of each row, as in :func:`validation_rows`.
      watched: (n,) rows that it picked.
    """
    own = split.unlabelled & np.isin(groups, groups[watched])
    return dataclasses.replace(split, unlabelled=split.unlabelled & ~own) if own.any() else split


def fewer_unlabelled(split: Split, groups: np.ndarray, share: float) -> Split:
    """Returns the split with a share of its unlabelled rows, drawn in whole groups; a larger share has the smaller's.

    Args:
      split: the split; the draw depends on its seed and name.
      groups: (n,) group of each row, as in :func:`validation_rows`.
      share: above 0; 1 leaves the split as it is.
    """
    if share == 1.0:
        return split
    kept, rng = np.zeros_like(split.unlabelled), np.random.default_rng([split.seed, stable_hash(split.name)])
    kept[split.unlabelled] = take_share(groups[split.unlabelled], share, rng, "at least")
    return dataclasses.replace(split, unlabelled=kept)


def _regions(library: Library, held_out: str) -> tuple[Strings, Strings, Mask]:
    """Region and pedon of each row, and whether it has SOC; an unknown region to hold out raises DataError."""
    regions, pedons = library.group("region"), library.group("pedon")
    require.known(held_out, np.unique(regions).tolist(), "no such region", source=library.name, column="region")
    return regions, pedons, _labelled(library, "soc")


def _labelled(library: Library, target: str | None) -> Mask:
    if target is None:
        return np.ones(len(library), bool)
    labelled = np.isfinite(library.property(target).values)
    if not labelled.any():
        remedy = "Choose another target, or pass target=None to split all rows."
        raise DataError("no row has this label", source=library.name, column=target, remedy=remedy)
    return labelled


def _blocks(library: Library, by: str | None, protect: Sequence[str] = PROTECTED) -> NDArray[np.int64]:
    """Returns a block number for each row: rows that share any kept-together group share a block."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    kept = [library.groups[name] for name in protect if name in library.groups]
    if by is not None:
        kept.append(library.group(by))
    n = len(library)
    links = [np.arange(n)]
    for values in kept:
        _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
        links.append(first[inverse.reshape(-1)])
    rows = np.tile(np.arange(n), len(links))
    graph = coo_array((np.ones(rows.size, np.int8), (rows, np.concatenate(links))), shape=(n, n))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _draw(
    library: Library, rows: Mask, units: Strings, count: int, rng: np.random.Generator, region: str, leave: int = 0
) -> Mask:
    """Draws ``count`` groups among ``rows``; at least ``leave`` must remain."""
    names = np.unique(units[rows])
    if count < 1 or names.size < count + leave:
        problem = "the region has too few labelled groups"
        value = f"{count} asked for, {names.size} there, {leave} to be left for the test"
        remedy = "Ask for fewer labels per region, or leave the region out of the library."
        raise DataError(problem, source=library.name, column=region, value=value, remedy=remedy)
    return rows & np.isin(units, rng.choice(names, count, replace=False))


def _held_out(
    library: Library, labelled: Mask, out: Mask, name: str, held_out: str, seed: int, protect: Sequence[str] = PROTECTED
) -> Split:
    """The inductive split that tests on the labelled rows of ``out`` and trains on all other labelled rows."""
    nothing = np.zeros(len(library), bool)
    split = Split(name, held_out, labelled & ~out, nothing, labelled & out, INDUCTIVE, seed)
    return _checked(split, library, protect)


def _checked(split: Split, library: Library, protect: Sequence[str] = PROTECTED) -> Split:
    check_no_leak(split, {name: library.groups[name] for name in protect if name in library.groups})
    return split
