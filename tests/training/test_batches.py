"""Batches: shuffled, whole, wrapped where rows are few, and averaged over parts as over all."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsoil.training import batches
from jaxsoil.training.batches import LabelledBatches, RowBatches
from jaxsoil.training.step import Member

KEY = jax.random.key(2)


def taken(made, arrays, member: Member, epoch: int, count: int) -> list:
    order = made.order(member, jnp.int32(epoch))
    return [made.take(arrays, member, order, jnp.int32(i)) for i in range(count)]


def by_number(train: list[int], validation: list[int], n: int = 20) -> Member:
    padded = jnp.asarray(train + [0] * (n - len(train)), jnp.int32)
    rows = {"train": padded, "count": jnp.int32(len(train)), "validation": jnp.asarray(validation, jnp.int32)}
    return Member(rows, None, None, KEY)


def test_an_epoch_has_each_row_at_most_once_and_epochs_differ() -> None:
    member, arrays = by_number(list(range(5, 17)), []), {"x": jnp.arange(20)}
    first, second = (
        np.concatenate([b["x"] for b in taken(RowBatches(4), arrays, member, epoch, 3)]) for epoch in (0, 1)
    )
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(5, 17))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("unrolled", [False, True])
@pytest.mark.parametrize("part", [3, 4, 1024])
def test_the_validation_mean_does_not_depend_on_the_parts(part: int, unrolled: bool, monkeypatch) -> None:
    monkeypatch.setattr(batches, "VALIDATION_ROWS", part)
    arrays = {"x": jnp.arange(20.0)}
    made = RowBatches(4)
    value = lambda batch: jnp.mean(batch["x"])  # noqa: E731
    member = by_number([0], list(range(8, 16)))
    assert float(made.validation(value, arrays, member, unrolled)) == pytest.approx(11.5)
    assert made.validation(value, arrays, by_number([0], []), unrolled) is None


def by_mask(labelled: list[int], unlabelled: list[int], validation: list[int]) -> Member:
    masks = {"labelled": labelled, "unlabelled": unlabelled, "validation": validation}
    return Member({name: jnp.asarray(np.isin(np.arange(20), rows)) for name, rows in masks.items()}, None, None, KEY)


def test_labelled_rows_come_first_and_few_rows_wrap_around() -> None:
    member = by_mask([1, 3, 5], [10, 11], [7])
    arrays = {"x": jnp.arange(20), "y": 100 + jnp.arange(20)}
    drawn = taken(LabelledBatches(4, 3, 0, ("y",)), arrays, member, 0, 3)
    for batch in drawn:
        assert batch["x"].shape == (7,) and batch["y"].shape == (4,)
        assert np.array_equal(batch["y"], 100 + batch["x"][:4])
        assert set(batch["x"][:4].tolist()) == {1, 3, 5}
    # Twelve draws of three rows: each four times.
    assert np.bincount(np.concatenate([b["x"][:4] for b in drawn]))[[1, 3, 5]].tolist() == [4, 4, 4]


def test_the_other_rows_are_drawn_from_all_that_train_in_equal_shares() -> None:
    """N' spectra (Eq. 1): 5 rows, 3 of them labelled; in 5 batches of 3 each comes three times, watched ones never."""
    member = by_mask([1, 3, 5], [10, 11], [7])
    drawn = taken(LabelledBatches(4, 3, 0, ()), {"x": jnp.arange(20)}, member, 0, 5)
    counts = np.bincount(np.concatenate([batch["x"][4:] for batch in drawn]), minlength=20)
    assert counts[[1, 3, 5, 10, 11]].tolist() == [3] * 5 and counts.sum() == 15


def test_without_an_unlabelled_batch_such_rows_are_not_drawn() -> None:
    member = by_mask([1, 3, 5], [10, 11], [])
    (batch,) = taken(LabelledBatches(3, 0, 0, ("y",)), {"x": jnp.arange(20)}, member, 0, 1)
    assert sorted(batch["x"].tolist()) == [1, 3, 5]


def test_validation_rows_have_weight_one() -> None:
    made, arrays = LabelledBatches(2, 0, 4, ()), {"x": jnp.arange(20.0)}
    member = by_mask([0, 1], [], [7, 9, 12])
    mean = lambda b: jnp.sum(b["weight"] * b["x"]) / jnp.sum(b["weight"])  # noqa: E731
    assert float(made.validation(mean, arrays, member, False)) == pytest.approx(28 / 3)
    assert LabelledBatches(2, 0, 0, ()).validation(mean, arrays, member, False) is None
