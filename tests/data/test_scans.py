"""Scans and the parts of the multi-fidelity data: how they are read, and refusals of parts that do not fit."""

import dataclasses

import numpy as np
import pytest

from jaxsoil.data import pairs
from jaxsoil.data.library import Library, Property
from jaxsoil.data.scans import Scans
from jaxsoil.data.twin.infrared.config import InfraredTwinConfig
from jaxsoil.runs.errors import DataError
from jaxsoil.spectra.container import Spectra

SMALL = InfraredTwinConfig(samples=60, labelled=40, pairs=20, test=10, mir_step=20.0, nir_bands=56)


@pytest.fixture(scope="module")
def twin():
    return pairs.load("infrared_twin", SMALL)


# Scans


def test_scans_are_chosen_as_rows_of_an_array(twin):
    scans = twin.pretrain
    everything = scans.read(slice(None))
    mask = np.zeros(len(scans), bool)
    mask[[3, 200]] = True
    np.testing.assert_array_equal(scans.read(mask), everything[mask])
    np.testing.assert_array_equal(scans.read([200, 3]), everything[[200, 3]])
    assert scans.read([]).shape == (0, scans.axis.size)


@pytest.mark.parametrize("rows", [[-1], [240], np.ones(5, bool)])
def test_scans_that_do_not_exist_are_refused(twin, rows):
    with pytest.raises(DataError, match=r"no such scan|a mask and scans differ in length"):
        twin.pretrain.read(rows)


def test_scans_of_a_library_are_absorbances():
    reflectance = np.array([[0.5, 0.1], [1.0, 0.2]])
    library = Library("x", Spectra(reflectance, [1000.0, 2000.0], "cm-1", "reflectance"), np.array(["a", "b"]), {}, {})
    scans = Scans.of(library)
    np.testing.assert_allclose(scans.read([1]), -np.log10(reflectance[[1]]), atol=1e-7)
    assert list(scans.samples) == ["a", "b"]


# Bad input


def test_ranges_may_meet_in_one_band_and_not_overlap(twin):
    mir, nir = twin.paired_mir.spectra, twin.paired_nir.spectra
    assert mir.axis[-1] == 1e7 / nir.axis[-1] == 4000.0
    twin.check()
    wider = nir.axis * (2600.0 / 2500.0)
    parts = {name: getattr(twin, name) for name in ("paired_nir", "test_nir")}
    changed = {name: part.with_spectra(part.spectra.replace(axis=wider)) for name, part in parts.items()}
    with pytest.raises(DataError, match=r"two ranges of the pairs overlap.*Cut both at one wavenumber"):
        dataclasses.replace(twin, **changed).check()


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
