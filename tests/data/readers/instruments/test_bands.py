"""Bands in their places and elsewhere; tests/data/test_measured.py holds the measured sets to them."""

import numpy as np
import pytest

from jaxsoil.data.readers.instruments import bands
from jaxsoil.spectra.container import Spectra


def built(centre: float, width: float = 20.0) -> Spectra:
    """One absorption on a straight line."""
    axis = np.arange(1000.0, 2100.0, 2.0)
    line = 0.5 - 1e-4 * (axis - 1000.0)
    peaks = 0.2 * np.exp(-(((axis - centre) / width) ** 2)) + 0.1 * np.exp(-(((axis - centre + 501.0) / width) ** 2))
    return Spectra([line + peaks], axis, "nm", "absorbance")


@pytest.mark.parametrize("centre", [1900.0, 1915.0, 1930.0])
def test_band_in_its_place_is_not_questioned(centre):
    assert bands.question(built(centre)) == []


@pytest.mark.parametrize("centre", [1850.0, 1975.0])
def test_band_is_named_with_where_it_lies(centre):
    questions = bands.question(built(centre))
    assert any(line.startswith("water near 1915 nm") for line in questions)
    assert any(f"{centre:g}"[:3] in line for line in questions)


def test_what_cannot_be_judged_is_not():
    assert bands.question(built(1915.0).replace(quantity="pretreated")) == []
    assert bands.question(Spectra(np.ones((1, 50)), np.arange(400.0, 900.0, 10.0), "nm", "reflectance")) == []


@pytest.mark.parametrize("width", [5, 21])
def test_the_curvature_is_that_of_savitzky_and_golay(width: int) -> None:
    from scipy.signal import savgol_filter

    values = np.random.default_rng(0).normal(size=60).cumsum()
    expected = np.asarray(savgol_filter(values, width, 3, deriv=2))
    np.testing.assert_allclose(bands.curvature(values, width), expected, rtol=1e-8, atol=1e-10)
