"""Draws of rows: groups stay whole, shares and counts hold, and what cannot be drawn is refused."""

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxsoil.data import draws
from jaxsoil.data.draws import group_folds, take_rows, take_share, take_single_rows
from jaxsoil.runs.errors import DataError

groups_of_rows = st.lists(st.integers(0, 12), min_size=8, max_size=60).filter(lambda rows: len(set(rows)) > 1)


def whole(mask, groups):
    return not set(np.asarray(groups)[mask]) & set(np.asarray(groups)[~mask])


@given(groups_of_rows, st.floats(0.05, 0.95), st.integers(0, 3))
def test_shares_are_whole_groups_and_end_where_their_rule_says(groups, share, seed):
    n, largest = len(groups), max(groups.count(group) for group in set(groups))
    rules = ("nearest", "at most", "at least", "of groups")
    taken = {rule: take_share(groups, share, np.random.default_rng(seed), rule) for rule in rules}
    assert all(whole(mask, groups) for mask in taken.values())
    assert abs(taken["nearest"].sum() - share * n) <= largest and 0 < taken["nearest"].sum() < n
    assert taken["at most"].sum() <= share * n
    # No group that was left behind would still have fitted.
    room = int(share * n) - taken["at most"].sum()
    assert all(groups.count(g) > room for g in set(np.asarray(groups)[~taken["at most"]]))
    assert share * n <= taken["at least"].sum() < share * n + largest
    count = len(set(np.asarray(groups)[taken["of groups"]]))
    assert count == min(max(1, round(share * len(set(groups)))), len(set(groups)) - 1)


def test_a_share_of_nothing_is_empty_and_one_group_cannot_be_shared():
    assert not take_share(["a", "b"], 0.0, np.random.default_rng(0)).any()
    for rule in ("nearest", "of groups"):
        with pytest.raises(DataError, match=r"toy: a share needs at least two groups.*1 groups, 2 rows"):
            take_share(["a", "a"], 0.5, np.random.default_rng(0), rule, source="toy")
    assert not take_share(["a", "a"], 0.5, np.random.default_rng(0), "at most").any()


@given(groups_of_rows, st.integers(1, 7), st.integers(0, 3))
def test_counted_rows_share_no_group_with_the_rows_that_are_left(groups, count, seed):
    taken, left = take_rows(groups, count, np.random.default_rng(seed))
    assert taken.sum() == count and not (taken & left).any()
    touched = set(np.asarray(groups)[taken])
    np.testing.assert_array_equal(left, [group not in touched for group in groups])
    # At most one group is taken in part.
    assert sum(bool(np.any(~taken & (np.asarray(groups) == group))) for group in touched) <= 1


def test_single_rows_are_drawn_alike():
    taken = np.array([take_single_rows(10, 3, np.random.default_rng(seed)) for seed in range(2000)])
    assert (taken.sum(axis=1) == 3).all()
    # Binomial: 0.3 +- 0.01 in each place, four standard errors.
    np.testing.assert_allclose(taken.mean(axis=0), 0.3, atol=0.041)


def test_folds_keep_groups_whole_and_even():
    groups = np.repeat(np.arange(23), np.random.default_rng(0).integers(1, 6, 23)).astype(str)
    fold = group_folds(groups, 5, np.random.default_rng(1))
    assert all(np.unique(fold[groups == name]).size == 1 for name in np.unique(groups))
    assert np.ptp(np.bincount(fold)) <= 2
    assert (fold != group_folds(groups, 5, np.random.default_rng(2))).any()
    with pytest.raises(DataError, match="24 folds, 23 groups"):
        group_folds(groups, 24, np.random.default_rng(0))


def test_large_groups_are_dealt_first():
    # By hand: 5 to one fold, 4 to the other, 3 to the fold with 4, 2 to the one with 5, 1 to either.
    fold = group_folds(np.repeat(list("abcde"), [1, 2, 3, 4, 5]), 2, np.random.default_rng(0))
    of = dict(zip(np.repeat(list("abcde"), [1, 2, 3, 4, 5]), fold, strict=True))
    assert of["e"] == of["b"] != of["d"] == of["c"]


def test_examples_in_the_docstrings():
    assert doctest.testmod(draws).failed == 0 and doctest.testmod(draws).attempted
