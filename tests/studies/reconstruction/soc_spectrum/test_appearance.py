"""Munsell values of greys, against the polynomial of ASTM D1535-08 and published values, and troughs of synthetic
Gaussians, whose positions, depths and widths are known."""

from __future__ import annotations

import numpy as np
import pytest

from jaxsoil.data.twin.soil.endmembers import soc_curve
from jaxsoil.runs.errors import DataError
from jaxsoil.studies.reconstruction.soc_spectrum.appearance import (
    LITERATURE,
    find_troughs,
    luminance,
    munsell_value,
    nearest,
    presence,
)

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


def with_dips(*dips, axis=AXIS, level=0.3):
    spectrum = np.full(axis.size, level)
    for centre, deviation, depth in dips:
        spectrum -= depth * np.exp(-0.5 * ((axis - centre) / deviation) ** 2)
    return spectrum


def test_gaussian_dips_are_found_where_they_are():
    found = find_troughs(AXIS, with_dips((900.0, 60.0, 0.05), (1930.0, 50.0, 0.03)))
    assert [round(trough.position) for trough in found] == [900, 1930]
    # Quadratic smoothing over 80 nm lowers dips of these widths by under 2 %.
    np.testing.assert_allclose([trough.depth for trough in found], (0.05, 0.03), rtol=0.03)
    # Full width at half maximum of a Gaussian: 2 sqrt(2 ln 2) SD.
    np.testing.assert_allclose([trough.width for trough in found], (2.3548 * 60.0, 2.3548 * 50.0), rtol=0.05)


def test_shallow_and_narrow_dips_are_left_out():
    assert find_troughs(AXIS, with_dips((900.0, 60.0, 0.002))) == []
    assert len(find_troughs(AXIS, with_dips((900.0, 60.0, 0.002)), prominence=0.001)) == 1
    spike = with_dips()
    # One band of 5 nm weighs a fifth in the middle of the smoothing window.
    spike[100] -= 0.01
    assert find_troughs(AXIS, spike) == []


def test_a_fall_to_the_last_band_is_a_trough_and_a_rise_is_none():
    found = find_troughs(AXIS, with_dips((2520.0, 60.0, 0.05)))
    assert [trough.position for trough in found] == [2500.0]
    np.testing.assert_allclose(found[0].depth, 0.05 * np.exp(-0.5 / 9), rtol=0.05)
    assert find_troughs(AXIS, np.linspace(0.1, 0.5, AXIS.size)) == []


def test_the_twins_truth():
    bands = np.linspace(365.0, 2493.0, 267)
    true = find_troughs(bands, soc_curve(bands, troughs=True, darkness=0.037, brightness=0.246))
    # The dip at 2350 nm joins the deeper one at 2305 nm.
    positions = [trough.position for trough in true]
    np.testing.assert_allclose(positions, (1438.0, 1725.0, 1929.0, 2313.0, 2493.0), atol=8.0)
    assert find_troughs(bands, soc_curve(bands, troughs=False, darkness=0.037, brightness=0.246)) == []


def test_an_uneven_axis_is_interpolated():
    uneven = np.sort(np.unique(np.concatenate([AXIS[::2], AXIS[200:300]])))
    found = find_troughs(uneven, with_dips((1200.0, 60.0, 0.05), axis=uneven))
    assert len(found) == 1 and abs(found[0].position - 1200.0) < 6.0


def test_nearest_keeps_to_the_tolerance():
    found = find_troughs(AXIS, with_dips((1445.0, 40.0, 0.03), (2205.0, 40.0, 0.03)))
    lines = {line.position: nearest(found, line) for line in LITERATURE}
    assert lines[1400.0] is not None and lines[2205.0] is not None
    assert {position for position, trough in lines.items() if trough is None} == {
        1730.0,
        1900.0,
        2305.0,
        2350.0,
        2500.0,
    }


def test_presence_counts_the_finite_spectra():
    spectra = np.stack([with_dips((1445.0, 40.0, 0.03)), with_dips(), np.full(AXIS.size, np.nan)])
    shares = dict(zip((line.position for line in LITERATURE), presence(AXIS, spectra), strict=True))
    assert shares[1400.0] == 0.5 and shares[2205.0] == 0.0
    assert np.isnan(presence(AXIS, spectra[2:])).all()


def test_unusable_spectra_are_refused():
    with pytest.raises(DataError, match="finite spectrum of more bands"):
        find_troughs(AXIS, np.full(AXIS.size, np.nan))
    with pytest.raises(DataError, match="finite spectrum of more bands"):
        find_troughs(AXIS[:40], np.full(40, 0.3))
