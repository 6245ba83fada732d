"""Which rows of the library learn what, for one seed, such that no model is judged on a row it has seen.

The paired samples are a subset of the labelled library, and both of the scans of stage 1. A pair that is held out
for validation is therefore kept out of all three stages, with every sample of its pedon or profile; the rows
watched for early stopping come from the training side.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from jaxsoil.data.draws import take_share
from jaxsoil.data.library import Library
from jaxsoil.runs.errors import DataError
from jaxsoil.runs.keys import key_of
from jaxsoil.studies.multifidelity.inputs import SpectraSets

TEST, VALIDATION = "test", "validation"
"""Sets that judge: the independent test set, and the pairs that no stage has seen."""

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
    """One replicate: its number, its data, and which rows train, stop and judge the trainings."""

    number: int
    sets: SpectraSets
    rows: SeedRows

    def key(self, *purpose: object) -> jax.Array:
        """Random key of one purpose; others do not change it."""
        return key_of(self.number, *purpose)

    @property
    def judging(self) -> dict[str, tuple[str, Any]]:
        """Sets that judge -> set of the data, and the rows of it."""
        pairs = {VALIDATION: ("pairs", self.rows.pairs_valid)} if self.sets.paired else {}
        return pairs | {TEST: ("test", slice(None))}


@dataclasses.dataclass(frozen=True, eq=False)
class Replicates:
    """All replicates of a study, checked, and notes on them for the report."""

    each: tuple[Replicate, ...]
    notes: tuple[str, ...]

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
        return {one.number: one.sets.data.name.partition("/")[2] or "all" for one in self.each}


def split_rows(
    samples: Any, labelled: Library, pairs: Library | None, seed: int, *, validation: float, watch: float
) -> SeedRows:
    """Assigns the rows of one seed to their roles.

    Args:
      samples: (s,) sample of each pre-training scan; repeats of a sample stay on one side.
      labelled: the labelled MIR library.
      pairs: the paired library (either range); None where nothing is paired.
      seed: replicate.
      validation: share of the pairs that judges (paper: 0.2).
      watch: share of the labelled and of the paired training rows that stops the networks (ours).

    Raises:
      DataError: where a role is left without rows.
    """
    rng = np.random.default_rng([seed, 2])
    samples = np.asarray(samples)
    valid = np.zeros(0, bool)
    held_out = np.zeros(0, str)
    if pairs is not None:
        valid = take_share(pairs.blocks, validation, rng)
        groups = pairs.blocks[valid]
        held_out = np.concatenate([one.samples[np.isin(one.blocks, groups)] for one in (pairs, labelled)])
    free = np.flatnonzero(~np.isin(samples, held_out))
    kept = np.flatnonzero(~np.isin(labelled.samples, held_out))
    kept_stop = take_share(labelled.blocks[kept], watch, rng)
    paired = np.flatnonzero(~valid)
    paired_stop = np.zeros(0, bool) if pairs is None else take_share(pairs.blocks[paired], watch, rng)
    rows = SeedRows(
        free, kept[~kept_stop], kept[kept_stop], paired[~paired_stop], paired[paired_stop], np.flatnonzero(valid)
    )
    check_rows(rows, samples, labelled, pairs)
    return rows


def check_rows(rows: SeedRows, samples: Any, labelled: Library, pairs: Library | None) -> None:
    """Raises DataError where a role is empty or a validation sample is among the rows of a training."""
    samples = np.asarray(samples)
    required = ["scans", "labelled"] + ([] if pairs is None else ["pairs", "pairs_valid"])
    for name in required:
        if getattr(rows, name).size == 0:
            raise DataError(
                "no row is left for a role", column=name, remedy="Use more samples, or lower the shares held out."
            )
    if pairs is None:
        return
    trained = {
        "stage 1": samples[rows.scans],
        "labelled": labelled.samples[rows.all_labelled],
        "pairs": pairs.samples[rows.all_pairs],
    }
    for name, ids in trained.items():
        both = np.intersect1d(pairs.samples[rows.pairs_valid], ids)
        if both.size:
            raise DataError(
                "leak: validation samples are trained on",
                column=name,
                value=f"{both.size} samples, such as {str(both[0])!r}",
                remedy="Keep the ids of a sample the same in scans, labelled and paired tables.",
            )
