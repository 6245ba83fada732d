"""Bad and odd input of the hybrid data set: refused by name, or written down as an exclusion."""

from __future__ import annotations

import numpy as np
import pytest
from hybrid_data import library

from jaxsoil.data.library import Property
from jaxsoil.runs.errors import DataError
from jaxsoil.studies.hybrid.config import HybridConfig
from jaxsoil.studies.hybrid.cross_fit import LABORATORY, RANDOM, CrossFit, HeldOut
from jaxsoil.studies.hybrid.prepare import prepare_library


def test_measured_values_and_rows_come_through_as_they_are() -> None:
    source = library()
    data = prepare_library(source)
    assert data.targets == ("carbon",) and len(data) == len(source) and not len(data.exclusions)
    there = data.observed("carbon").view(np.uint64)
    assert (there == source.property("carbon").values.view(np.uint64)).all()
    np.testing.assert_allclose(data.values.std(axis=1, ddof=1), 1.0, rtol=1e-5)


def test_a_target_without_any_value_is_refused_by_name() -> None:
    source = library(properties={"clay": Property(np.full(96, np.nan), "%")})
    with pytest.raises(DataError, match=r"column clay.*no measured value"):
        prepare_library(source, targets=("carbon", "clay"))
    assert prepare_library(source).targets == ("carbon",)


def test_no_property_with_a_range_is_refused() -> None:
    with pytest.raises(DataError, match="no property can be imputed"):
        prepare_library(library(carbon=np.full(96, np.nan)))


def test_units_mixed_between_laboratories_are_refused_with_the_laboratory() -> None:
    source = library()
    values = np.array(source.property("carbon").values)
    values[source.groups["laboratory"] == "B"] /= 10.0
    mixed = library(carbon=values)
    with pytest.raises(DataError, match=r"column carbon.*values of [AB] are about .* units seem mixed"):
        prepare_library(mixed)
    assert any("times from what the others predict" in note for note in prepare_library(mixed, unit_check="note").notes)


def test_values_outside_the_physical_range_name_laboratory_and_row() -> None:
    values = np.array(library().property("carbon").values)
    values[1] = 1200.0
    with pytest.raises(DataError, match=r"carbon, laboratory A.*outside the physical range.*1200 at 'A-1'"):
        prepare_library(library(carbon=values))


def test_a_spectrum_held_twice_is_left_out_once_and_recorded_with_both_values() -> None:
    source = library()
    values, carbon = np.array(source.spectra.values), np.array(source.property("carbon").values)
    row = int(np.flatnonzero(source.ids == "B-71")[0])
    values[row], carbon[row] = values[1], 3.0
    data = prepare_library(library(values=values, carbon=carbon))
    assert len(data) == len(source) - 1 and "B-71" not in data.library.ids
    record = data.exclusions.iloc[0]
    assert record["id"] == "B-71" and record["from"] == "product"
    assert "another laboratory" in record["reason"] and "A-1" in record["reason"] and "3 against" in record["reason"]


def test_the_copy_with_the_measured_value_is_the_one_that_stays() -> None:
    source = library()
    values = np.array(source.spectra.values)
    values[1] = values[0]  # row 0 was not measured
    assert prepare_library(library(values=values)).exclusions["id"].tolist() == ["A-0"]


def test_a_constant_spectrum_is_recorded() -> None:
    values = np.array(library().spectra.values)
    values[7] = 1.0
    data = prepare_library(library(values=values))
    assert data.exclusions[["id", "reason"]].to_numpy().tolist() == [["A-7", "constant spectrum"]]


def test_repeats_of_a_laboratory_are_averaged_and_its_measured_value_kept() -> None:
    source = library(transfer=0)
    sample = np.array(source.groups["sample"])
    sample[2], carbon = sample[1], np.array(source.property("carbon").values)
    carbon[2] = carbon[1]
    groups = {"sample": sample, "laboratory": source.groups["laboratory"]}
    data = prepare_library(library(transfer=0, carbon=carbon, groups=groups))
    assert len(data) == 89 and any("1 repeated scans were averaged" in note for note in data.notes)
    np.testing.assert_allclose(data.library.spectra.values[1], source.spectra.values[1:3].mean(axis=0), rtol=1e-6)
    assert data.observed("carbon")[1] == carbon[1]


def test_one_place_and_depth_under_two_names_is_one_soil_in_every_split() -> None:
    source = library(transfer=0)
    place = {name: np.arange(90.0) for name in ("longitude", "latitude", "depth_top", "depth_bottom")}
    for column in place.values():
        column[80] = column[3]
    properties = {name: Property(values, "cm") for name, values in place.items()}
    data = prepare_library(library(transfer=0, properties=properties))
    assert data.sample[80] == data.sample[3]
    assert any("place and depth of another laboratory" in note and source.ids[80] in note for note in data.notes)
    cross_fit = CrossFit.draw(data, HybridConfig(folds=3, test_share=0.0))
    assert cross_fit.fold[80] == cross_fit.fold[3]
    assert not cross_fit.tested(HeldOut(LABORATORY, "A"), "carbon")[3]


def test_laboratories_that_are_one_are_joined() -> None:
    assert set(prepare_library(library(), same_laboratory=("A+B", "C+D")).laboratory.tolist()) == {"A+B"}


def test_samples_of_two_laboratories_are_never_on_both_sides() -> None:
    data = prepare_library(library())
    cross_fit = CrossFit.draw(data, HybridConfig(folds=3, test_share=0.1))
    for held_out in cross_fit.held_out:
        tested = cross_fit.tested(held_out, "carbon")
        assert tested.any() and not np.isin(data.sample[tested], data.sample[cross_fit.trained(held_out)]).any()
    held = cross_fit.fold < 0
    assert held.any() and not np.isin(data.sample[held], data.sample[~held]).any()
    assert {held_out.scheme for held_out in cross_fit.held_out} == {RANDOM, LABORATORY} and cross_fit.method == "direct"


def test_watched_rows_share_no_sample_with_training_rows() -> None:
    cross_fit = CrossFit.draw(prepare_library(library()), HybridConfig(folds=3, pca_components=4))
    found = cross_fit.training_rows(cross_fit.held_out[0], "carbon", cross_fit.data.values)
    sample = cross_fit.data.sample
    assert found.watch.size and not np.isin(sample[found.watch], sample[found.rows]).any()
    assert cross_fit.trained(cross_fit.held_out[0])[np.concatenate([found.rows, found.watch])].all()


def test_too_few_measured_rows_are_refused_by_name() -> None:
    carbon = np.array(library().property("carbon").values)
    carbon[20:] = np.nan
    with pytest.raises(DataError, match=r"column carbon.*too few measured rows"):
        CrossFit.draw(prepare_library(library(carbon=carbon)), HybridConfig())


def test_a_small_laboratory_is_not_held_out_and_direct_needs_transfer_samples() -> None:
    lab = np.array(["A"] * 85 + ["B"] * 5)
    source = library(transfer=0)
    data = prepare_library(library(transfer=0, groups={"sample": source.groups["sample"], "laboratory": lab}))
    cross_fit = CrossFit.draw(data, HybridConfig(folds=3))
    assert cross_fit.laboratories == ("A",) and cross_fit.method == "none" and "direct" not in cross_fit.methods
    assert "5 rows" in cross_fit.harmoniser(None, "centre").unchanged["B"]
    with pytest.raises(DataError, match="'direct' is not possible"):
        CrossFit.draw(data, HybridConfig(folds=3, harmonise="direct"))
