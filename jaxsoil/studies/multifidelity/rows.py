"""Which rows of the library learn what, for one seed, such that no model is judged on a row it has seen.

The paired samples are a subset of the labelled library, and both of the scans of stage 1. A pair that is held out
for validation is therefore kept out of all three stages, with every sample of its pedon or profile; the rows
watched for early stopping come from the training side.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxsoil.data.draws import take_share
from jaxsoil.data.library import Library
from jaxsoil.runs.errors import DataError

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

    def counts(self) -> dict[str, int]:
        """Number of rows in each role."""
        return {field.name: int(getattr(self, field.name).size) for field in dataclasses.fields(self)}


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
    held_out: set[str] = set()
    if pairs is not None:
        names = pairs.blocks
        valid = take_share(names, validation, rng)
        held_out = _of_groups(set(names[valid].tolist()), (pairs, labelled))
    banned = np.isin(labelled.samples, sorted(held_out))
    free = np.nonzero(~np.isin(samples, sorted(held_out)))[0]
    kept = np.nonzero(~banned)[0]
    kept_stop = take_share(labelled.blocks[kept], watch, rng)
    paired = np.nonzero(~valid)[0]
    paired_stop = np.zeros(0, bool) if pairs is None else take_share(pairs.blocks[paired], watch, rng)
    rows = SeedRows(
        free, kept[~kept_stop], kept[kept_stop], paired[~paired_stop], paired[paired_stop],
        np.nonzero(valid)[0],
    )  # fmt: skip
    check_rows(rows, samples, labelled, pairs)
    return rows


def _of_groups(groups: set[str], libraries: Sequence[Library]) -> set[str]:
    """Samples of all rows of ``libraries`` in one of ``groups``."""
    found: set[str] = set()
    for library in libraries:
        found |= set(library.samples[np.isin(library.blocks, sorted(groups))].tolist())
    return found


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
    judged = set(pairs.samples[rows.pairs_valid].tolist())
    for name, ids in (
        ("stage 1", samples[rows.scans]),
        ("labelled", labelled.samples[np.concatenate([rows.labelled, rows.labelled_watch])]),
        ("pairs", pairs.samples[np.concatenate([rows.pairs, rows.pairs_watch])]),
    ):
        both = judged & set(ids.tolist())
        if both:
            raise DataError(
                "leak: validation samples are trained on",
                column=name,
                value=f"{len(both)} samples, such as {min(both)!r}",
                remedy="Keep the ids of a sample the same in scans, labelled and paired tables.",
            )
