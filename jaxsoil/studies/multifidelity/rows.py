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

from jaxsoil.data.library import Library, Strings
from jaxsoil.runs.errors import DataError

Rows = NDArray[np.int64]

TOGETHER = ("sample", "pedon", "profile")
"""Groups that no split parts; without them each row is its own."""


@dataclasses.dataclass(frozen=True, eq=False)
class SeedRows:
    """Row numbers by role; ``*_watch`` stop the training, ``pairs_valid`` and the test set judge it.

    ``scans`` are rows of the pre-training scans (stage 1 parts them itself, by sample, into those that train and
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


def blocks(library: Library) -> Strings:
    """A name for each row (n,), equal where rows share a pedon, profile or sample (the coarsest that is there)."""
    for name in reversed(TOGETHER):
        if name in library.groups:
            return library.groups[name]
    return library.ids


def samples_of(library: Library) -> Strings:
    """Sample (n,) of each row: its group, or its id."""
    return library.groups.get("sample", library.ids)


def share_out(names: Any, share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """A random mask (n,) of about ``share`` of the rows, whole groups only, with at least one group on either side.

    Args:
      names: (n,) group of each row.
      share: between 0 and 1; 0 gives an empty mask.
      rng: source of the draw.

    Raises:
      DataError: for fewer than two groups.
    """
    names = np.asarray(names)
    if share == 0:
        return np.zeros(names.size, bool)
    kinds, inverse, sizes = np.unique(names, return_inverse=True, return_counts=True)
    if kinds.size < 2:
        raise DataError(
            "rows of fewer than two groups cannot be shared out",
            value=f"{names.size} rows, {kinds.size} groups",
            remedy="Use more samples, or set the share to 0.",
        )
    order = rng.permutation(kinds.size)
    reached = np.cumsum(sizes[order])
    taken = int(np.argmin(np.abs(reached[:-1] - share * reached[-1]))) + 1
    return np.isin(inverse.reshape(-1), order[:taken])


def split_rows(
    samples: Any, labelled: Library, pairs: Library | None, seed: int, *, validation: float, watch: float
) -> SeedRows:
    """Deals the rows of one seed.

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
        names = blocks(pairs)
        valid = share_out(names, validation, rng)
        held_out = _of_groups(set(names[valid].tolist()), (pairs, labelled))
    banned = np.isin(samples_of(labelled), sorted(held_out))
    free = np.nonzero(~np.isin(samples, sorted(held_out)))[0]
    kept = np.nonzero(~banned)[0]
    kept_stop = share_out(blocks(labelled)[kept], watch, rng)
    paired = np.nonzero(~valid)[0]
    paired_stop = np.zeros(0, bool) if pairs is None else share_out(blocks(pairs)[paired], watch, rng)
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
        found |= set(samples_of(library)[np.isin(blocks(library), sorted(groups))].tolist())
    return found


def check_rows(rows: SeedRows, samples: Any, labelled: Library, pairs: Library | None) -> None:
    """Raises DataError where a role is empty or a validation sample has a part in a training."""
    samples = np.asarray(samples)
    required = ["scans", "labelled"] + ([] if pairs is None else ["pairs", "pairs_valid"])
    for name in required:
        if getattr(rows, name).size == 0:
            raise DataError(
                "no row is left for a role", column=name, remedy="Use more samples, or lower the shares held out."
            )
    if pairs is None:
        return
    judged = set(samples_of(pairs)[rows.pairs_valid].tolist())
    for name, ids in (
        ("stage 1", samples[rows.scans]),
        ("labelled", samples_of(labelled)[np.concatenate([rows.labelled, rows.labelled_watch])]),
        ("pairs", samples_of(pairs)[np.concatenate([rows.pairs, rows.pairs_watch])]),
    ):
        both = judged & set(ids.tolist())
        if both:
            raise DataError(
                "leak: validation samples are trained on",
                column=name,
                value=f"{len(both)} samples, such as {min(both)!r}",
                remedy="Keep the ids of a sample the same in scans, labelled and paired tables.",
            )
