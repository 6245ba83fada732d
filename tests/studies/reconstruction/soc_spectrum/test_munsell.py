"""Munsell values of greys, against the polynomial of ASTM D1535-08 and published values."""

from __future__ import annotations

import numpy as np
import pytest

from jaxsoil.runs.errors import DataError
from jaxsoil.studies.reconstruction.soc_spectrum.munsell import luminance, munsell_value

AXIS = np.arange(365.0, 2501.0, 5.0)


def published_luminance(value):
    """ASTM D1535-08, equation for Y (%) from the Munsell value V."""
    return np.polyval((0.00081939, -0.020484, 0.23352, -0.22533, 1.1914, 0.0), value)


def test_a_grey_reflects_its_reflectance():
    assert luminance(AXIS, np.full(AXIS.size, 0.1927)) == pytest.approx(19.27, abs=1e-9)


def test_the_grey_of_19_27_percent_has_value_5():
    assert munsell_value(AXIS, np.full(AXIS.size, 0.1927)) == pytest.approx(5.0, abs=0.001)


@pytest.mark.parametrize("value", range(1, 10))
def test_greys_of_the_published_polynomial(value):
    grey = np.full(AXIS.size, published_luminance(value) / 100.0)
    assert munsell_value(AXIS, grey) == pytest.approx(value, abs=0.002)


def test_only_the_visible_counts_and_green_most():
    dark, infrared, green = (np.full(AXIS.size, 0.03) for _ in range(3))
    infrared[AXIS > 780.0] = 0.9
    green[(AXIS > 500.0) & (AXIS < 600.0)] = 0.9
    assert luminance(AXIS, infrared) == pytest.approx(luminance(AXIS, dark), abs=1e-3)
    # The CIE 1931 luminosity holds most of its weight between 500 and 600 nm.
    assert luminance(AXIS, green) > 0.6 * 90.0


def test_values_outside_zero_and_one_count_as_the_bound():
    assert munsell_value(AXIS, np.full(AXIS.size, -0.01)) == pytest.approx(0.0, abs=1e-6)
    assert luminance(AXIS, np.full(AXIS.size, 1.2)) == pytest.approx(100.0)


def test_it_needs_the_visible_and_numbers():
    with pytest.raises(DataError, match="380-780 nm"):
        munsell_value(AXIS[10:], np.full(AXIS.size - 10, 0.1))
    with pytest.raises(DataError, match="finite"):
        munsell_value(AXIS, np.full(AXIS.size, np.nan))


def test_the_library_of_colours_leaves_the_printing_of_numbers_alone():
    munsell_value(np.arange(380.0, 781.0, 5.0), np.full(81, 0.2))
    assert str(np.float64(0.1) + np.float64(0.2)) == "0.30000000000000004"
