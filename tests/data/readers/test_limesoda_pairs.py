"""Measured data of the multi-fidelity study: repeats, held-out fields, one set in two ranges."""

import dataclasses
import functools

import numpy as np
import pytest

from jaxsoil.data import pairs, registry
from jaxsoil.data.library import Library, Property
from jaxsoil.data.readers import limesoda_pairs
from jaxsoil.data.readers.limesoda_pairs import average_repeats, spatial_blocks
from jaxsoil.data.scans import MultifidelityData
from jaxsoil.runs.errors import DataError
from jaxsoil.spectra.container import Spectra

FOUND = {"NRW.42": ["eoc", "ph", "clay"], "yamsys": ["ph", "clay", "tn", "silt", "sand"]}
"""Properties that a field has and the others too."""


@pytest.fixture(scope="module")
def measured(data_root):
    """Reads each measured set once for all tests of this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limesoda_pairs, "_load", functools.cache(limesoda_pairs._load))
        yield


def test_repeats_are_averaged_by_sample():
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
    assert list(made.test_mir.properties) == FOUND[field]
    assert len(made.labelled) == {"NRW.42": 581, "yamsys": 529}[field]
    assert len(made.pretrain) == {"NRW.42": 884, "yamsys": 642}[field]


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


def test_spatial_blocks_are_whole_and_hold_a_fifth():
    rng = np.random.default_rng(3)
    easting, northing = rng.uniform(0.0, 4000.0, (2, 300))
    held = spatial_blocks(easting, northing)
    cells = list(zip(easting // 500, northing // 500, strict=True))
    assert not {cells[i] for i in np.flatnonzero(held)} & {cells[i] for i in np.flatnonzero(~held)}
    assert 60 <= held.sum() < 60 + max(cells.count(cell) for cell in set(cells))
