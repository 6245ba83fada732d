"""The data of the replicates as arrays, and which of their rows learn what, such that no model is judged on a row seen.

The paired samples are a subset of the labelled library, and both of the scans of stage 1. A pair that is held out
for validation is therefore kept out of all three stages, with every sample of its pedon or profile; the rows
watched for early stopping come from the training side.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from jaxsoil.data.draws import take_share
from jaxsoil.data.library import Library
from jaxsoil.data.properties import PROPERTIES
from jaxsoil.data.readers.pair_set import PairSet
from jaxsoil.data.scans import MultifidelityData
from jaxsoil.runs.errors import DataError
from jaxsoil.runs.keys import key_of
from jaxsoil.spectra.preprocess import SNV

Array = NDArray[np.float32]


@dataclasses.dataclass(frozen=True, eq=False)
class SpectraSets:
    """SNV absorbance and properties of the labelled library, the pairs and the test set.

    Args:
      data: where they come from.
      properties: the p properties that the labelled library has, in the order of the paper.
      mir: set -> (n, M) SNV absorbance in the mid-infrared ("labelled", "pairs", "test").
      nir: set -> (n, B) SNV absorbance in the near-infrared ("pairs", "test"); empty where nothing is paired.
      values: set -> (n, p) properties, NaN where absent.
    """

    data: MultifidelityData
    properties: tuple[str, ...]
    mir: Mapping[str, Array]
    nir: Mapping[str, Array]
    values: Mapping[str, NDArray[np.float64]]

    @property
    def paired(self) -> bool:
        """Whether there are near-infrared spectra."""
        return bool(self.nir)

    def library(self, part: str) -> Library:
        """The mid-infrared library of a set."""
        return {"labelled": self.data.labelled, "pairs": self.data.paired_mir, "test": self.data.test_mir}[part]


def read_sets(data: MultifidelityData, *, complete: bool) -> SpectraSets:
    """Pre-treats the data of a study.

    Args:
      data: checked data.
      complete: whether rows that lack one of the properties are left out, as in the paper.

    Raises:
      DataError: where no property, or no complete row, is left.
    """
    properties = tuple(name for name in PROPERTIES if name in data.labelled.properties)
    if not properties:
        value, remedy = ", ".join(data.labelled.properties), f"Name at least one of {', '.join(PROPERTIES)}."
        raise DataError("no property is known", source=data.name, value=value, remedy=remedy)
    data = _complete(data, properties) if complete else data
    libraries = {"labelled": data.labelled, "pairs": data.paired_mir, "test": data.test_mir}
    near = {"pairs": data.paired_nir, "test": data.test_nir}
    # Standard normal variate of each absorbance spectrum, as in the paper for both ranges.
    mir, nir = (
        {name: SNV()(one.spectra.to_absorbance()).values for name, one in sets.items() if len(one)}
        for sets in (libraries, near)
    )
    return SpectraSets(data, properties, mir, nir, {name: _values(libraries[name], properties) for name in mir})


def _values(library: Library, properties: tuple[str, ...]) -> NDArray[np.float64]:
    absent = np.full(len(library), np.nan)
    return np.stack(
        [library.properties[name].values if name in library.properties else absent for name in properties], axis=1
    )


def _complete(data: MultifidelityData, properties: tuple[str, ...]) -> MultifidelityData:
    changed = {}
    for names in (("labelled",), ("paired_mir", "paired_nir"), ("test_mir", "test_nir")):
        libraries = {name: getattr(data, name) for name in names}
        rows = np.isfinite(_values(libraries[names[0]], properties)).all(axis=1)
        if rows.size and not rows.any():
            where, remedy = names[0], "Give --no-complete: each property then uses its own rows."
            value = ", ".join(properties)
            raise DataError("no row has all properties", source=data.name, column=where, value=value, remedy=remedy)
        if not rows.all():
            changed |= {name: library.select(rows) for name, library in libraries.items() if len(library)}
    return dataclasses.replace(data, **changed)


TEST, VALIDATION = "test", "validation"
"""Sets that judge: the independent test set, and the pairs that no stage has seen."""

FITTED = "fitted"
"""Set of rows that were trained on, by the models of measured pairs that are handed on."""

Rows = NDArray[np.int64]


@dataclasses.dataclass(frozen=True, eq=False)
class SeedRows:
    """Row numbers by role; ``*_watch`` stop the training, ``pairs_valid`` and the test set judge it.

    ``scans`` are rows of the pre-training scans (stage 1 splits them itself, by sample, into those that train and
    those that stop it), ``labelled`` of the labelled library, ``pairs`` of the paired one.
    """

    scans: Rows
    labelled: Rows
    labelled_watch: Rows
    pairs: Rows
    pairs_watch: Rows
    pairs_valid: Rows

    @property
    def all_labelled(self) -> Rows:
        """Labelled rows that train or stop a training."""
        return np.concatenate([self.labelled, self.labelled_watch])

    @property
    def all_pairs(self) -> Rows:
        """Pairs that train or stop a training."""
        return np.concatenate([self.pairs, self.pairs_watch])

    def counts(self) -> dict[str, int]:
        """Number of rows in each role."""
        return {name: int(rows.size) for name, rows in vars(self).items()}


@dataclasses.dataclass(frozen=True, eq=False)
class Replicate:
    """One replicate: its number, its data, which rows train, stop and judge the trainings, and the test set's name."""

    number: int
    sets: SpectraSets
    rows: SeedRows
    judge: str = TEST

    def key(self, *purpose: object) -> jax.Array:
        """Random key of one purpose; others do not change it."""
        return key_of(self.number, *purpose)

    @property
    def judging(self) -> dict[str, tuple[str, Any]]:
        """Sets that judge -> set of the data, and the rows of it."""
        pairs = {VALIDATION: ("pairs", self.rows.pairs_valid)} if self.rows.pairs_valid.size else {}
        return pairs | {self.judge: ("test", slice(None))}


@dataclasses.dataclass(frozen=True, eq=False)
class Replicates:
    """All replicates of a study, checked, and notes on them for the report.

    Attributes:
      each: the replicates.
      notes: what a reader must know of them.
      whole: of measured pairs: every row trains, for the models that are handed on; its test set is in-sample.
      validation: share of the pairs that is set aside.
      about: of measured pairs: what their file says.
    """

    each: tuple[Replicate, ...]
    notes: tuple[str, ...]
    whole: Replicate | None = None
    validation: float = 0.2
    about: PairSet | None = None

    @property
    def handed_on(self) -> Replicate:
        """The replicate whose models are handed on."""
        return self.whole or self.each[0]

    @property
    def first(self) -> SpectraSets:
        """Data of the first replicate."""
        return self.each[0].sets

    @property
    def units(self) -> dict[str, str]:
        """Unit of each property."""
        return {name: one.sets.data.labelled.property(name).unit for one in self.each for name in one.sets.properties}

    @property
    def regions(self) -> dict[int, str]:
        """The field that each replicate holds out, as the data's name says after a slash; "all" where there is none."""
        every = (*self.each, *((self.whole,) if self.whole else ()))
        return {one.number: one.sets.data.name.partition("/")[2] or "all" for one in every}


def replicate_of(sets: SpectraSets, number: int, *, validation: float, watch: float, judge: str = TEST) -> Replicate:
    """A replicate whose rows are drawn by its number; see :func:`split_rows`."""
    pairs, data = sets.data.paired_mir if sets.paired else None, sets.data
    scans, shares = data.pretrain, {"validation": validation, "watch": watch}
    rows = split_rows(scans.samples, data.labelled, pairs, number, **shares, pedons=scans.pedons)
    return Replicate(number, sets, rows, judge)


def split_rows(
    samples: Any,
    labelled: Library,
    pairs: Library | None,
    seed: int,
    *,
    validation: float,
    watch: float,
    pedons: Any = None,
) -> SeedRows:
    """Assigns the rows of one seed to their roles.

    Args:
      samples: (s,) sample of each pre-training scan; repeats of a sample stay on one side.
      labelled: the labelled MIR library.
      pairs: the paired library (either range); None where nothing is paired.
      seed: replicate.
      validation: share of the pairs that judges (paper: 0.2); 0 where the test set does alone.
      watch: share of the labelled and of the paired training rows that stops the networks (ours).
      pedons: (s,) pedon of each scan, so that layers without a label leave with the others of their pedon; None where
        it is unknown.

    Raises:
      DataError: where a role is left without rows.
    """
    rng = np.random.default_rng([seed, 2])
    samples = np.asarray(samples)
    valid, held_out, groups = np.zeros(0, bool), np.zeros(0, str), np.zeros(0, str)
    if pairs is not None:
        valid = take_share(pairs.blocks, validation, rng)
        groups = pairs.blocks[valid]
        held_out = np.concatenate([one.samples[np.isin(one.blocks, groups)] for one in (pairs, labelled)])
    out = np.isin(samples, held_out)
    free = np.flatnonzero(~out if pedons is None else ~out & ~np.isin(pedons, groups))
    kept = np.flatnonzero(~np.isin(labelled.samples, held_out))
    kept_stop = take_share(labelled.blocks[kept], watch, rng)
    paired = np.flatnonzero(~valid)
    paired_stop = np.zeros(0, bool) if pairs is None else take_share(pairs.blocks[paired], watch, rng)
    rows = SeedRows(
        free, kept[~kept_stop], kept[kept_stop], paired[~paired_stop], paired[paired_stop], np.flatnonzero(valid)
    )
    check_rows(rows, samples, labelled, pairs, validated=validation > 0, pedons=pedons)
    return rows


def check_rows(
    rows: SeedRows,
    samples: Any,
    labelled: Library,
    pairs: Library | None,
    *,
    validated: bool = True,
    pedons: Any = None,
) -> None:
    """Raises DataError where a role is empty, or a validation sample or its pedon is among the rows of a training.

    ``validated`` says whether pairs are set aside for validation; ``pedons`` are those of the scans.
    """
    for name in ["scans", "labelled"] + ([] if pairs is None else ["pairs"] + ["pairs_valid"] * validated):
        if getattr(rows, name).size == 0:
            remedy = "Use more samples, or lower the shares held out."
            raise DataError("no row is left for a role", column=name, remedy=remedy)
    if pairs is None:
        return
    for what, of_scans, of_labelled, of_pairs in (
        ("samples", samples, labelled.samples, pairs.samples),
        ("pedons", pedons, labelled.blocks, pairs.blocks),
    ):
        seen = {} if of_scans is None else {"stage 1": np.asarray(of_scans)[rows.scans]}
        seen |= {"labelled": of_labelled[rows.all_labelled], "pairs": of_pairs[rows.all_pairs]}
        for name, ids in seen.items():
            both = np.intersect1d(of_pairs[rows.pairs_valid], ids)
            if both.size:
                value = f"{both.size} {what}, such as {str(both[0])!r}"
                remedy = f"Keep the names of {what} the same in scans, labelled and paired tables."
                raise DataError(f"leak: validation {what} are trained on", column=name, value=value, remedy=remedy)
