"""Random draws of rows: shares, counts and folds, of whole groups (sample, pedon ...) wherever groups are given.

Each function takes the group of every row and a generator, and returns masks or fold numbers of those rows.
``jaxsoil.data.splits`` makes the protocols of the studies from them.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from jaxsoil.runs.errors import DataError

Mask = NDArray[np.bool_]


def take_share(
    groups: Any,
    share: float,
    rng: np.random.Generator,
    rule: Literal["nearest", "at most", "at least", "of groups"] = "nearest",
    *,
    source: str | None = None,
) -> Mask:
    """Returns a mask (n,) of whole groups, drawn in random order, that hold a share of the rows.

    Args:
      groups: (n,) group of each row.
      share: between 0 and 1; 0 gives an empty mask.
      rng: source of the draw.
      rule: where the draw ends. "nearest": where the rows come nearest to the share, with at least one group on
        either side. "at most": every group that still fits under the share. "at least": as soon as the share is
        reached. "of groups": at that share of the groups, whatever their sizes, with at least one on either side.
      source: name of the data, for messages.

    Raises:
      DataError: fewer than two groups, where the rule needs one on either side.

    Six rows of three groups, half of them:

    >>> take_share(["a", "a", "b", "b", "c", "c"], 0.5, np.random.default_rng(0), "at most")
    array([False, False, False, False,  True,  True])
    """
    kinds, codes, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    codes = codes.reshape(-1)
    if share == 0:
        return np.zeros(codes.size, bool)
    if kinds.size < 2 and rule in ("nearest", "of groups"):
        value = f"{kinds.size} groups, {codes.size} rows"
        remedy = "Use more samples or a finer group, or set the share to 0."
        raise DataError("a share needs at least two groups", source=source, value=value, remedy=remedy)
    order = rng.permutation(kinds.size)
    reached = np.cumsum(sizes[order])
    if rule == "nearest":
        taken = order[: np.argmin(np.abs(reached[:-1] - share * codes.size)) + 1]
    elif rule == "at least":
        taken = order[reached - sizes[order] < share * codes.size]
    elif rule == "of groups":
        taken = order[: min(max(1, round(share * kinds.size)), kinds.size - 1)]
    else:
        taken, room = [], int(share * codes.size)
        for group in order:
            if sizes[group] <= room:
                taken.append(group)
                room -= sizes[group]
    return np.isin(codes, taken)


def take_rows(groups: Any, count: int, rng: np.random.Generator) -> tuple[Mask, Mask]:
    """Returns ``count`` rows, group after group in random order, and all rows of the groups that were not touched.

    The last group may be taken in part; the rest of it is in neither mask.

    Args:
      groups: (n,) group of each row.
      count: number of rows.
      rng: source of the draw.
    """
    kinds, codes = np.unique(np.asarray(groups), return_inverse=True)
    turn = rng.permutation(kinds.size)[codes.reshape(-1)]
    taken = np.zeros(turn.size, bool)
    taken[np.argsort(turn, kind="stable")[:count]] = True
    return taken, ~np.isin(codes.reshape(-1), codes.reshape(-1)[taken])


def take_single_rows(n: int, count: int, rng: np.random.Generator) -> Mask:
    """Returns a mask (n,) of ``count`` rows, each drawn by itself."""
    taken = np.zeros(n, bool)
    taken[rng.permutation(n)[:count]] = True
    return taken


def group_folds(groups: Any, folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Fold of each row, (n,): groups in random order, larger ones first, each to the fold with the fewest rows.

    Args:
      groups: (n,) group of each row.
      folds: number of folds.
      rng: source of the draw.

    Raises:
      DataError: fewer groups than folds.
    """
    kinds, codes, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    if kinds.size < folds:
        value = f"{folds} folds, {kinds.size} groups, {codes.size} rows"
        remedy = "Use fewer folds, or leave this property out."
        raise DataError("there are too few groups for so many folds", value=value, remedy=remedy)
    shuffled = rng.permutation(kinds.size)
    filled, fold = np.zeros(folds, np.int64), np.empty(kinds.size, np.int64)
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        fold[group] = np.argmin(filled)
        filled[fold[group]] += sizes[group]
    return fold[codes.reshape(-1)]
