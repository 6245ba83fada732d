"""The data of the multi-fidelity study: relations of its parts, refusals, measured variants."""

import dataclasses
import functools

import numpy as np
import pytest

from jaxsoil.data import pairs, registry
from jaxsoil.data.library import Library, Property
from jaxsoil.data.properties import PROPERTIES
from jaxsoil.data.readers import limesoda_pairs
from jaxsoil.data.scans import MultifidelityData, Scans
from jaxsoil.data.twin.infrared.config import InfraredTwinConfig
from jaxsoil.runs.errors import DataError
from jaxsoil.spectra.container import Spectra

SMALL = InfraredTwinConfig(samples=60, labelled=40, pairs=20, test=10, mir_step=20.0, nir_bands=56)


@pytest.fixture(scope="module")
def twin():
    return pairs.load("infrared_twin", SMALL)


# Relations


def test_parts_are_related_as_in_the_study(twin):
    assert len(twin.pretrain) == 240 and len(np.unique(twin.pretrain.samples)) == 60
    assert len(twin.labelled) == 40 and set(twin.labelled.ids) <= set(twin.pretrain.samples)
    assert len(twin.paired_mir) == 20 and set(twin.paired_mir.ids) <= set(twin.labelled.ids)
    np.testing.assert_array_equal(twin.paired_mir.ids, twin.paired_nir.ids)
    np.testing.assert_array_equal(twin.test_mir.ids, twin.test_nir.ids)
    assert not set(twin.test_mir.ids) & set(twin.pretrain.samples)
    assert tuple(twin.labelled.properties) == PROPERTIES and twin.has_pairs
    for name in PROPERTIES:
        np.testing.assert_array_equal(twin.paired_mir.property(name).values, twin.paired_nir.property(name).values)
    assert (twin.test_nir.spectra.axis[0], twin.test_nir.spectra.axis[-1]) == (1400.0, 2500.0)


def test_paired_rows_are_labelled_rows(twin):
    where = np.nonzero(np.isin(twin.labelled.ids, twin.paired_mir.ids))[0]
    np.testing.assert_allclose(twin.labelled.spectra.values[where], twin.paired_mir.spectra.values, atol=2e-6)


# Scans


def test_scans_are_chosen_as_rows_of_an_array(twin):
    scans = twin.pretrain
    everything = scans.read(slice(None))
    mask = np.zeros(len(scans), bool)
    mask[[3, 200]] = True
    np.testing.assert_array_equal(scans.read(mask), everything[mask])
    np.testing.assert_array_equal(scans.read([200, 3]), everything[[200, 3]])
    assert scans.read([]).shape == (0, scans.axis.size)
    blocks = list(scans.blocks(100))
    np.testing.assert_array_equal(np.concatenate([rows for rows, _ in blocks]), np.arange(240))
    np.testing.assert_array_equal(np.concatenate([values for _, values in blocks]), everything)


@pytest.mark.parametrize("rows", [[-1], [240], np.ones(5, bool)])
def test_scans_that_do_not_exist_are_refused(twin, rows):
    with pytest.raises(DataError, match=r"no such scan|another length"):
        twin.pretrain.read(rows)


def test_scans_of_a_library_are_absorbances():
    reflectance = np.array([[0.5, 0.1], [1.0, 0.2]])
    library = Library("x", Spectra(reflectance, [1000.0, 2000.0], "cm-1", "reflectance"), np.array(["a", "b"]), {}, {})
    scans = Scans.of(library)
    np.testing.assert_allclose(scans.read([1]), -np.log10(reflectance[[1]]), atol=1e-7)
    assert list(scans.samples) == ["a", "b"]


# Bad input


def renamed(library, ids):
    return dataclasses.replace(library, ids=ids, groups={"sample": ids})


def with_property(library, name, values):
    return dataclasses.replace(library, properties={**library.properties, name: Property(values, "%")})


def shifted(library):
    return library.with_spectra(library.spectra.replace(axis=library.spectra.axis + 1.0))


BAD = {
    "rows that do not pair": (
        lambda d: {"paired_nir": d.paired_nir.select(slice(None, None, -1))}, "do not pair", "paired"),
    "another number of rows": (lambda d: {"test_nir": d.test_nir.select(slice(5))}, "do not pair", "test"),
    "test axis differs": (lambda d: {"test_mir": shifted(d.test_mir)}, "axis differs", "test_mir"),
    "near-infrared test axis differs": (lambda d: {"test_nir": shifted(d.test_nir)}, "axis differs", "test_nir"),
    "near-infrared in cm-1": (
        lambda d: {"test_nir": d.test_nir.with_spectra(d.test_nir.spectra.to_unit("cm-1"))}, "axis differs", "cm-1"),
    "reflectance": (
        lambda d: {"labelled": d.labelled.with_spectra(d.labelled.spectra.to_reflectance())}, "absorbance is needed",
        "reflectance"),
    "property missing for all rows": (
        lambda d: {"labelled": with_property(d.labelled, "cec", np.full(40, np.nan))}, "missing for all rows", "cec"),
    "texture does not sum": (
        lambda d: {"labelled": with_property(d.labelled, "clay", d.labelled.property("clay").values + 3.0)},
        "do not sum to 100", "103"),
    "pre-training overlaps the test set": (
        lambda d: {"test_mir": renamed(d.test_mir, d.pretrain.samples[:40:4]),
                   "test_nir": renamed(d.test_nir, d.pretrain.samples[:40:4])}, "share samples", "pretrain"),
    "a label overlaps the test set": (
        lambda d: {"labelled": renamed(d.labelled, np.array([*d.test_mir.ids, *d.labelled.ids[10:]]))},
        "share samples", "labelled"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_parts_that_do_not_fit_are_refused(twin, case):
    change, problem, shown = BAD[case]
    with pytest.raises(DataError, match=problem) as error:
        dataclasses.replace(twin, **change(twin)).check()
    assert shown in str(error.value)


def test_texture_that_was_not_measured_is_no_fault(twin):
    clay = twin.labelled.property("clay").values.copy()
    clay[3] = np.nan
    dataclasses.replace(twin, labelled=with_property(twin.labelled, "clay", clay)).check()


def test_unknown_names_and_misplaced_settings_are_refused():
    with pytest.raises(DataError, match="Did you mean 'infrared_twin'"):
        pairs.load("infra_twin")
    with pytest.raises(DataError, match="configuration of the twin"):
        pairs.load("limesoda_mir", SMALL)
    with pytest.raises(DataError, match="no such field"):
        pairs.load("limesoda_mir/NRW.11")


# Measured


@pytest.fixture(scope="module")
def measured(data_root):
    """Reads each measured set once for all tests of this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limesoda_pairs, "_load", functools.cache(limesoda_pairs._load))
        yield


def test_repeats_are_averaged_by_sample():
    average_repeats = limesoda_pairs.average_repeats
    library = Library(
        "x",
        Spectra([[1.0, 2.0], [5.0, 6.0], [3.0, 6.0]], [1000.0, 2000.0], "cm-1", "absorbance"),
        np.array(["1", "2", "3"]),
        {"ph": Property([np.nan, 7.0, 6.0], "1"), "clay": Property([np.nan, 1.0, np.nan], "%")},
        {"sample": np.array(["b", "a", "b"]), "region": np.array(["R", "Q", "R"])},
    )
    made = average_repeats(library)
    assert list(made.ids) == ["b", "a"] and list(made.group("region")) == ["R", "Q"]
    np.testing.assert_allclose(made.spectra.values, [[2.0, 4.0], [5.0, 6.0]])
    np.testing.assert_allclose(made.property("ph").values, [6.0, 7.0])
    np.testing.assert_allclose(made.property("clay").values, [np.nan, 1.0])
    apart = dataclasses.replace(library, groups={**library.groups, "region": np.array(["R", "Q", "S"])})
    with pytest.raises(DataError, match="differ in region"):
        average_repeats(apart)


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize("field", ["NRW.42", "yamsys"])
def test_a_field_left_out_is_nowhere_in_training(field):
    made = pairs.load(f"limesoda_mir/{field}")
    assert isinstance(made, MultifidelityData) and not made.has_pairs and len(made.test_nir) == 0
    assert set(made.test_mir.group("region")) == {field}
    assert field not in set(made.labelled.group("region"))
    assert not any(sample.startswith(f"{field}/") for sample in made.pretrain.samples)
    assert (made.pretrain.axis[0], made.pretrain.axis[-1]) == (752.0, 3796.0)
    # yamsys gives total carbon and the others organic carbon: neither is taken for the other.
    assert list(made.test_mir.properties) == (["ph", "clay"] if field == "yamsys" else ["eoc", "ph", "clay"])
    assert len(made.labelled) == {"NRW.42": 441, "yamsys": 389}[field]
    assert len(made.pretrain) == {"NRW.42": 631, "yamsys": 389}[field]


@pytest.mark.usefixtures("measured")
def test_one_set_in_two_ranges():
    made = pairs.load("H.138_split")
    assert len(made.paired_nir) + len(made.test_nir) == 138 and 28 <= len(made.test_nir) <= 45
    assert (made.paired_nir.spectra.axis[0], made.paired_nir.spectra.axis[-1]) == (1860.0, 2490.0)
    assert any("ptimistic" in note for note in made.notes) and any("Not comparable" in note for note in made.notes)
    source = registry.load("H.138")
    # One row by hand: the reflectance near 2000 nm is that near 5000 cm-1, as absorbance.
    row = int(np.nonzero(source.ids == made.test_nir.ids[0].removeprefix("H.138/"))[0][0])
    near = np.interp(5000.0, source.spectra.axis, source.spectra.values[row])
    at = int(np.nonzero(made.test_nir.spectra.axis == 2000.0)[0][0])
    np.testing.assert_allclose(made.test_nir.spectra.values[0, at], -np.log10(near), atol=3e-3)
    place = {key: source.property(key).values for key in ("easting", "northing")}
    cell = np.stack([np.floor(place["easting"] / 500), np.floor(place["northing"] / 500)], axis=1)
    held = np.isin(source.ids, [name.removeprefix("H.138/") for name in made.test_mir.ids.tolist()])
    assert not {tuple(c) for c in cell[held]} & {tuple(c) for c in cell[~held]}


@pytest.mark.usefixtures("data_root")
def test_the_composite_names_regions_and_laboratories():
    made = registry.load("fields_mir")
    pairs = set(zip(made.group("region").tolist(), made.group("laboratory").tolist(), strict=True))
    assert len(pairs) == 6
    assert {region for region, laboratory in pairs if laboratory == "NRW laboratory"} == {"NRW.115", "NRW.42", "NRW.62"}
    assert len(np.unique(made.group("sample"))) == 389 + 94
