"""Spectra hold what they promise, and conversions undo each other."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxsoil.runs.errors import DataError
from jaxsoil.spectra import Spectra

AXIS = np.array([400.0, 1000.0, 2500.0])
TWO = [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]


def spectra(values=TWO, axis=AXIS, unit="nm", quantity="reflectance"):
    return Spectra(values, axis, unit, quantity)


reflectances = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 5), st.just(3)), elements=st.floats(2.0**-10, 1.5, width=32)
)


def test_values_and_axis_are_read_only_and_independent_of_the_input():
    values = np.full((2, 3), 0.5, np.float32)
    made = spectra(values)
    values[:] = 9.0
    assert made.values.max() == 0.5
    assert (made.values.dtype, made.axis.dtype) == (np.float32, np.float64)
    for array in (made.values, made.axis):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0


def test_a_frozen_view_of_a_writeable_array_is_copied():
    base = np.full((4, 3), 0.5, np.float32)
    view = base[:2]
    view.flags.writeable = False
    made = spectra(view)
    base[:] = 9.0
    assert made.values.max() == 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"axis": [400.0, 1000.0]}, "do not belong together"),
        ({"values": [0.1, 0.2, 0.3]}, "do not belong together"),
        ({"values": np.zeros((2, 0)), "axis": []}, "do not belong together"),
        ({"axis": [2500.0, 1000.0, 400.0]}, "descends"),
        ({"axis": [400.0, 2500.0, 1000.0]}, "not sorted"),
        ({"axis": [400.0, 400.0, 1000.0]}, "repeats a band.*400 twice|400 twice.*repeats"),
        ({"axis": [1000.0, 400.0, 1000.0]}, "repeats"),
        ({"axis": [-1.0, 400.0, 1000.0]}, "positive"),
        ({"axis": [1.0, np.nan, 1000.0]}, "finite"),
        ({"unit": "um"}, "unknown unit.*'nm'|unknown unit"),
        ({"quantity": "reflectence"}, "Did you mean 'reflectance'"),
        ({"values": [[0.1, np.nan, 0.3]]}, "column 1000.*missing or infinite.*row 0"),
        ({"values": [[0.1, np.inf, 0.3]]}, "missing or infinite"),
    ],
)
def test_what_does_not_hold_is_refused(change, message):
    with pytest.raises(DataError, match=message):
        spectra(**change)


def test_rows_are_chosen_by_mask_index_and_slice():
    made = spectra()
    assert len(made[np.array([False, True])]) == 1
    assert made[1].values.shape == (1, 3)
    np.testing.assert_array_equal(made[::-1].values, made.values[::-1])
    assert len(made[np.zeros(2, bool)]) == 0


@given(reflectances)
def test_unit_round_trip(values):
    made = spectra(values)
    there = made.to_unit("cm-1")
    assert np.all(np.diff(there.axis) > 0)
    np.testing.assert_allclose(there.axis, [4000.0, 10000.0, 25000.0])
    back = there.to_unit("nm")
    np.testing.assert_allclose(back.axis, made.axis, rtol=1e-12)
    np.testing.assert_array_equal(back.values, made.values)


@given(reflectances)
def test_absorbance_round_trip(values):
    made = spectra(values)
    absorbance = made.to_absorbance()
    np.testing.assert_allclose(absorbance.values, np.log10(1.0 / values), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(absorbance.to_reflectance().values, values, rtol=1e-5)
    assert absorbance.to_absorbance() is absorbance


def test_no_absorbance_of_reflectance_that_is_not_positive_nor_of_pretreated_spectra():
    with pytest.raises(DataError, match=r"column 1000 nm.*positive.*row 0"):
        spectra([[0.1, 0.0, 0.3]]).to_absorbance()
    with pytest.raises(DataError, match="is needed"):
        spectra(quantity="pretreated").to_absorbance()
    with pytest.raises(DataError, match="is needed"):
        spectra(quantity="pretreated").to_reflectance()


def test_axes_that_differ_are_refused():
    made = spectra()
    made.require_same_axis(spectra(axis=AXIS * (1 + 1e-9)))
    for other in (spectra(axis=AXIS + 1), spectra([[1, 1]], axis=np.array([1.0, 2.0])), made.to_unit("cm-1")):
        with pytest.raises(DataError, match="different axes"):
            made.require_same_axis(other)


def test_steps_are_recorded_and_spectra_can_be_pickled():
    made = spectra().to_absorbance().to_unit("cm-1")
    assert made.steps == ("absorbance log10(1/R)", "axis in cm-1")
    again = pickle.loads(pickle.dumps(made))
    np.testing.assert_array_equal(again.values, made.values)
    assert "absorbance" in repr(again)


def test_a_memory_map_that_is_only_read_stays_on_the_disk(tmp_path: Path) -> None:
    np.save(tmp_path / "values.npy", np.full((3, 4), 0.5, np.float32))
    mapped = np.load(tmp_path / "values.npy", mmap_mode="r")
    shared = Spectra(mapped, np.arange(1.0, 5.0), "nm", "reflectance")
    assert np.shares_memory(shared.values, mapped)
    writeable = np.load(tmp_path / "values.npy", mmap_mode="r+")
    copied = Spectra(writeable, np.arange(1.0, 5.0), "nm", "reflectance")
    writeable[:] = 0.1
    np.testing.assert_array_equal(copied.values, np.float32(0.5))
