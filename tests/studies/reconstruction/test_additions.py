"""The transductive mix: level and shape by hand, the weight on made regions, and what it may see."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest

from jaxsoil.data.splits import INDUCTIVE, Split
from jaxsoil.runs.errors import DataError
from jaxsoil.studies.reconstruction import additions
from jaxsoil.studies.reconstruction.config import CarryOverConfig
from jaxsoil.studies.reconstruction.train import side_by_side


def test_the_level_is_of_one_model_and_the_shape_of_both() -> None:
    level, shape = np.array([0.0, 1.0, 5.0]), np.array([10.0, 14.0, 12.0])
    np.testing.assert_allclose(additions.mixed(level, shape, 0.0), level)
    np.testing.assert_allclose(additions.mixed(level, shape, 1.0), [0.0, 4.0, 2.0])
    np.testing.assert_allclose(additions.mixed(level, shape, 0.5), level + (np.array([0.0, 4.0, 2.0]) - level) / 2.0)


@pytest.mark.parametrize("best", [0.0, 1.0])
def test_the_weight_is_that_of_the_model_with_the_better_shape(best: float) -> None:
    rng = np.random.default_rng(0)
    soc = [10.0 ** rng.normal(0.0, 0.3, 40) for _ in range(4)]
    # Off in level alone, and right in the mean with noise about it.
    shifted = [3.0 * values for values in soc]
    noisy = [values * 10.0 ** rng.normal(0.0, 0.5, 40) for values in soc]
    level, shape = (shifted, noisy) if best == 0.0 else (noisy, shifted)
    assert additions.chosen_weight(soc, level, shape) == best
    # A region whose SOC does not vary has no CCC and no say; with no other there is nothing to choose by.
    flat = [np.full(40, 2.0)]
    assert additions.chosen_weight(soc + flat, level + flat, shape + flat) == best
    assert additions.chosen_weight(flat, [shifted[0]], [noisy[0]]) == 0.0


def test_pairs_are_those_of_held_out_regions_and_what_is_seen_is_declared() -> None:
    config = CarryOverConfig()
    assert additions.pairs_of([2], 4, config) == [(0, 2), (1, 2), (2, 3)]
    assert len(additions.pairs_of([0, 1, 2, 3], 4, config)) == 6
    assert additions.pairs_of([0, 1], 2, config) == []
    assert additions.pairs_of([2], 4, dataclasses.replace(config, baselines=("plsr_absorbance",))) == []
    test = np.array([False, True])
    split = Split("region_out/a", "a", ~test, test & ~test, test, INDUCTIVE, 0)
    seen = additions.seen_by_mix(split)
    assert seen.exposure == additions.SEES_SPECTRA != INDUCTIVE and seen.unlabelled.tolist() == test.tolist()


def test_fits_beside_each_other_come_in_order_and_a_failure_is_not_swallowed() -> None:
    def failing() -> int:
        raise DataError("no such fit", remedy="None.")

    calls = [functools.partial(int, number) for number in range(6)]
    for many in (False, True):
        assert list(side_by_side(calls, many=many)) == list(range(6))
        with pytest.raises(DataError, match="no such fit"):
            list(side_by_side([*calls, failing], many=many))
