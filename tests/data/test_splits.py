"""Splits: masks of static shape, by group, the same for the same seed; a leak raises."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxsoil.data.library import Library, Property
from jaxsoil.data.splits import (
    Split,
    check_no_leak,
    few_label,
    few_label_adaptation,
    fewer_unlabelled,
    kfold,
    random_share,
    region_out,
    validation_rows,
    without_watched,
)
from jaxsoil.runs.errors import DataError
from jaxsoil.spectra import Spectra


def library(regions, pedons=None, samples=None, soc=None):
    n = len(regions)
    groups = {"region": np.array(regions)}
    groups |= {} if pedons is None else {"pedon": np.array(pedons)}
    groups |= {} if samples is None else {"sample": np.array(samples)}
    values = np.linspace(0.1, 0.9, 2 * n).reshape(n, 2)
    return Library(
        name="toy",
        spectra=Spectra(values, [400.0, 500.0], "nm", "reflectance"),
        ids=np.array([f"s{row}" for row in range(n)]),
        properties={"soc": Property(np.ones(n) if soc is None else soc, "%")},
        groups=groups,
    )


def layered(n_regions=3, pedons=6, horizons=3):
    """Regions of pedons of horizons."""
    rows = [(f"r{r}", f"r{r}p{p}") for r in range(n_regions) for p in range(pedons) for _ in range(horizons)]
    return library([row[0] for row in rows], [row[1] for row in rows])


def sides(split, values):
    return set(values[split.train | split.unlabelled]), set(values[split.test])


def test_each_region_is_left_out_once():
    made = layered()
    splits = region_out(made)
    assert [split.held_out for split in splits] == ["r0", "r1", "r2"]
    for split in splits:
        train, test = sides(split, made.group("region"))
        assert test == {split.held_out} and not train & test
        assert split.exposure == "inductive" and not split.unlabelled.any()
        assert split.train.shape == split.test.shape == (len(made),)
    np.testing.assert_array_equal(sum(split.test.astype(int) for split in splits), 1)


@pytest.mark.parametrize("group", ["pedons", "samples"])
def test_a_sample_or_pedon_in_two_regions_is_named(group):
    with pytest.raises(DataError, match=r"leak: a (pedon|sample) lies in training and in test.*shared"):
        region_out(library(["a", "a", "b", "b"], **{group: ["x", "shared", "shared", "y"]}))


def test_regions_that_do_not_suffice_are_refused():
    with pytest.raises(DataError, match=r"column region: .*at least two.*only 'a'"):
        region_out(library(["a"] * 4))
    with pytest.raises(DataError, match=r"no such group column.*Did you mean 'region'"):
        region_out(library(["a", "b"]), by="regions")
    with pytest.raises(DataError, match=r"region_out/b, column test: .*no test row"):
        region_out(library(["a", "b", "c"], soc=[1.0, np.nan, 2.0]))


def test_rows_without_the_target_neither_train_nor_test():
    made = library(["a", "a", "b", "b"], soc=[1.0, np.nan, 2.0, np.nan])
    for split in region_out(made):
        assert not (split.train | split.test)[[1, 3]].any()
    for split in region_out(made, target=None):
        assert (split.train | split.test).all()
    with pytest.raises(DataError, match="Known: soc"):
        region_out(made, target="nitrogen")
    with pytest.raises(DataError, match="no row has this label"):
        region_out(library(["a", "b"], soc=[np.nan, np.nan]))


@given(st.lists(st.integers(0, 12), min_size=12, max_size=60), st.integers(2, 5), st.integers(0, 3))
def test_folds_cover_every_row_once_and_part_no_group(pedons, n_folds, seed):
    made = library(["a"] * len(pedons), [f"p{pedon}" for pedon in pedons])
    if len(set(pedons)) < n_folds:
        with pytest.raises(DataError, match="too few groups"):
            kfold(made, n_folds, seed)
        return
    splits = kfold(made, n_folds, seed)
    np.testing.assert_array_equal(sum(split.test.astype(int) for split in splits), 1)
    for split in splits:
        train, test = sides(split, made.group("pedon"))
        assert not train & test
        np.testing.assert_array_equal(split.train, ~split.test)


@given(st.lists(st.integers(0, 12), min_size=12, max_size=60), st.floats(0.1, 0.9), st.integers(0, 3))
def test_a_random_share_parts_no_group(pedons, share, seed):
    made = library(["a"] * len(pedons), [f"p{pedon}" for pedon in pedons])
    if len(set(pedons)) < 2:
        return
    split = random_share(made, share, seed)
    train, test = sides(split, made.group("pedon"))
    assert not train & test and (split.train | split.test).all()
    largest = max(pedons.count(pedon) for pedon in set(pedons))
    assert abs(split.train.mean() - share) <= largest / len(pedons)


def test_a_random_share_of_single_rows_is_exact():
    split = random_share(library(["a"] * 100), 0.6, 0)
    assert split.train.sum() == 60 and split.test.sum() == 40


def test_groups_that_overlap_stay_together():
    # Row 1 ties sample x to pedon q: the three rows are one block.
    made = library(["a"] * 5, pedons=["p", "q", "q", "r", "s"], samples=["x", "x", "y", "z", "w"])
    for seed in range(5):
        for split in kfold(made, 3, seed):
            assert len(set(split.test[:3])) == 1


def test_a_further_group_is_kept_together():
    made = layered()
    for split in kfold(made, 3, 0, by="region"):
        train, test = sides(split, made.group("region"))
        assert not train & test


def test_folds_are_balanced():
    sizes = [split.test.sum() for split in kfold(library(["a"] * 103), 10, 0)]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    "draw",
    [
        lambda made, seed: [split.test for split in kfold(made, 3, seed)],
        lambda made, seed: [random_share(made, 0.5, seed).test],
        lambda made, seed: [few_label(made, 2, seed, "r0").train],
        lambda made, seed: [few_label_adaptation(made, 2, seed, "r0").train],
    ],
)
def test_the_seed_decides(draw):
    made = layered()
    np.testing.assert_array_equal(draw(made, 1), draw(made, 1))
    assert any(not np.array_equal(draw(made, 1), draw(made, seed)) for seed in range(2, 6))


def test_impossible_draws_are_refused():
    made = layered()
    for share in (0.0, 1.0, 60.0):
        with pytest.raises(DataError, match=r"between 0 and 1.*0\.6"):
            random_share(made, share, 0)
    with pytest.raises(DataError, match=r"too few groups.*19 folds, 18 groups, 54 labelled rows"):
        kfold(made, 19, 0)
    with pytest.raises(DataError, match="too few groups"):
        kfold(made, 1, 0)
    with pytest.raises(DataError, match="at least two groups"):
        random_share(library(["a"]), 0.5, 0)


def test_few_labels():
    made = layered()
    split = few_label(made, 2, 0, "r1")
    regions, pedons = made.group("region"), made.group("pedon")
    for region in ("r0", "r2"):
        assert len(set(pedons[split.train & (regions == region)])) == 2
    np.testing.assert_array_equal(split.test, regions == "r1")
    np.testing.assert_array_equal(split.unlabelled, (regions != "r1") & ~split.train)
    assert split.exposure == "inductive"


def test_labelled_pedons_do_not_depend_on_the_region_held_out():
    made = layered()
    here, there = few_label(made, 2, 0, "r1"), few_label(made, 2, 0, "r0")
    common = made.group("region") == "r2"
    np.testing.assert_array_equal(here.train[common], there.train[common])


def test_a_small_training_region_gives_all_its_pedons_where_asked():
    made = layered()
    with pytest.raises(DataError, match="7 asked for, 6 there"):
        few_label(made, 7, 0, "r1")
    split = few_label(made, 7, 0, "r1", fewer="take all")
    np.testing.assert_array_equal(split.train, made.group("region") != "r1")


def test_a_share_of_the_unlabelled_rows_is_drawn_in_whole_pedons():
    made = layered()
    split, pedons = few_label(made, 2, 0, "r1"), made.group("pedon")
    half, more = (fewer_unlabelled(split, pedons, share) for share in (0.5, 0.75))
    assert fewer_unlabelled(split, pedons, 1.0) is split
    assert 0.5 <= half.unlabelled.sum() / split.unlabelled.sum() < 0.75
    assert not (half.unlabelled & ~more.unlabelled).any() and not (more.unlabelled & ~split.unlabelled).any()
    dropped = split.unlabelled & ~half.unlabelled
    assert not set(pedons[half.unlabelled]) & set(pedons[dropped])
    np.testing.assert_array_equal(half.train, split.train)


def test_few_label_adaptation_declares_its_exposure():
    made = layered()
    split = few_label_adaptation(made, 4, 0, "r1")
    regions, pedons = made.group("region"), made.group("pedon")
    assert len(set(pedons[split.train])) == 4 and len(set(pedons[split.test])) == 2
    np.testing.assert_array_equal(split.train | split.unlabelled, regions == "r1")
    assert split.exposure == "all spectra of r1 and the labels of 4 of its pedons"
    assert not set(pedons[split.train]) & set(pedons[split.test])


def test_few_labels_that_cannot_be_are_refused():
    made = layered()
    with pytest.raises(DataError, match=r"column r1: .*too few labelled groups.*7 asked for, 6 there"):
        few_label(made, 7, 0, "r0")
    with pytest.raises(DataError, match="1 to be left"):
        few_label_adaptation(made, 6, 0, "r0")
    for draw in (few_label, few_label_adaptation):
        with pytest.raises(DataError, match="no such region"):
            draw(made, 1, 0, "r9")
        with pytest.raises(DataError, match=r"column pedon: .*no such group"):
            draw(library(["a", "b"]), 1, 0, "a")


def test_validation_rows_are_whole_groups_of_training_rows():
    made = layered()
    (part,) = (split for split in region_out(made) if split.held_out == "r1")
    pedons = made.group("pedon")
    rows = validation_rows(part, pedons, 0.2, seed=0)
    assert 0 < rows.sum() <= 0.2 * part.train.sum() and not (rows & ~part.train).any()
    assert not set(pedons[rows]) & set(pedons[part.train & ~rows])
    assert any(not np.array_equal(rows, validation_rows(part, pedons, 0.2, seed)) for seed in range(1, 4))
    assert not validation_rows(part, pedons, 0.0, seed=0).any()


def test_layers_without_a_label_leave_training_with_the_watched_ones_of_their_pedon():
    soc = np.where(np.arange(54) % 3 == 2, np.nan, 1.0)  # the deepest horizon of each pedon is not measured
    made = layered()
    made = library(made.group("region"), made.group("pedon"), soc=soc)
    part, pedons = few_label(made, 4, 0, "r1"), made.group("pedon")
    watched = validation_rows(part, pedons, 0.3, seed=0)
    kept = without_watched(part, pedons, watched)
    held = set(pedons[watched])
    assert held and held & set(pedons[part.unlabelled]) and not held & set(pedons[kept.unlabelled])
    gone = part.unlabelled & ~kept.unlabelled
    assert set(pedons[gone]) <= held and np.isnan(soc[gone]).all() and (kept.train == part.train).all()
    assert without_watched(part, pedons, np.zeros(54, bool)) is part


def split_of(train, unlabelled, test, exposure="inductive"):
    return Split("toy", "x", np.array(train, bool), np.array(unlabelled, bool), np.array(test, bool), exposure, 0)


def test_masks_that_overlap_or_differ_are_refused():
    for masks in (([1, 1], [0, 0], [0, 1]), ([1, 0, 0], [1, 0, 0], [0, 0, 1]), ([1, 0, 0], [0, 0, 1], [0, 0, 1])):
        with pytest.raises(DataError, match="leak: rows lie in"):
            split_of(*masks)
    split_of([1, 0, 0], [0, 0, 1], [0, 0, 1], "all spectra of x")
    with pytest.raises(DataError, match="as long as the library"):
        split_of([1, 0, 0], [0, 0], [0, 0, 1])
    with pytest.raises(DataError, match="no train row"):
        split_of([0, 0], [0, 0], [0, 1])


def test_a_leak_raises_unless_it_is_declared_for_spectra():
    split = split_of([1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1])
    check_no_leak(split, np.array(["a", "b", "c", "d"]))
    with pytest.raises(DataError, match=r"toy, column pedon: leak: a pedon.*a; 1 in all"):
        check_no_leak(split, {"pedon": np.array(["a", "b", "a", "d"])})
    with pytest.raises(DataError, match="leak"):
        check_no_leak(split, np.array(["a", "b", "b", "d"]))
    declared = split_of([1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1], "all spectra of x")
    check_no_leak(declared, np.array(["a", "b", "b", "d"]))
    with pytest.raises(DataError, match="leak"):
        check_no_leak(declared, np.array(["a", "b", "c", "a"]))
