"""The direct regression against a closed form in which its model holds exactly, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from jaxsoil.data.library import Library, Property
from jaxsoil.data.twin.soil.make import reference_twin
from jaxsoil.runs.errors import DataError
from jaxsoil.spectra.container import Spectra
from jaxsoil.studies.reconstruction.soc_spectrum import direct as soc_spectrum
from jaxsoil.studies.reconstruction.soc_spectrum.methods import estimate

AXIS = np.arange(365.0, 2501.0, 8.0)
TRUE_C, C_BAR = 0.9, 1.7


def true_spectrum(troughs=True):
    """A dark spectrum whose 1st percentile is the gauge."""
    f = 0.25 * (1.0 - np.exp(-(((AXIS - 365.0) / 900.0) ** 2)))
    if troughs:
        f -= 0.04 * np.exp(-0.5 * ((AXIS - 1930.0) / 40.0) ** 2)
    return f + (soc_spectrum.GAUGE - np.percentile(f, soc_spectrum.GAUGE_PERCENTILE))


def exact_soils(troughs=True, n=60, regions=3, seed=0):
    """Soils whose minerals are the same within a region and whose 1 / c_bar is the same everywhere.

    Returns reflectance (n, m), x (n,) and region (n,): R (1 / c_bar + x / c) = b_region + x f / c, to the bit.
    """
    rng = np.random.default_rng(seed)
    region = np.repeat(np.arange(regions), n // regions)
    x = np.exp(rng.normal(-4.0, 0.9, n))
    b = rng.uniform(0.2, 0.6, (regions, AXIS.size)) / C_BAR
    top = b[region] + (x / TRUE_C)[:, None] * true_spectrum(troughs)
    return top / (1.0 / C_BAR + x / TRUE_C)[:, None], x, region


def library_of(reflectance, x, region, axis=AXIS, **changes):
    soc = 100.0 * x / (1.0 + x)
    names = np.array([f"r{index}" for index in region])
    values = {
        "name": "made",
        "spectra": Spectra(reflectance, axis, "nm", "reflectance"),
        "ids": np.array([f"s{index}" for index in range(len(x))]),
        "properties": {"soc": Property(soc, "%")},
        "groups": {"region": names},
    }
    return Library(**{**values, **changes})


@pytest.mark.parametrize("troughs", [True, False])
def test_noise_free_soils_give_f_and_c_exactly(troughs):
    reflectance, x, region = exact_soils(troughs)
    slope, product = soc_spectrum.slopes(reflectance, x, region)
    found = soc_spectrum.from_slopes(AXIS, slope[0], product[0], c_bar=C_BAR)
    np.testing.assert_allclose(found.ratio, TRUE_C / C_BAR, rtol=1e-9)
    np.testing.assert_allclose(found.soc_rho_r, TRUE_C, rtol=1e-9)
    np.testing.assert_allclose(found.f_soc, true_spectrum(troughs), atol=1e-10)


def test_the_library_gives_the_same_to_the_precision_of_its_reflectance():
    found = estimate(library_of(*exact_soils()), c_bar=C_BAR)
    # float32 reflectance (6e-8) over an SD of x near 0.02.
    np.testing.assert_allclose(found.f_soc, true_spectrum(), atol=2e-5)
    np.testing.assert_allclose(found.soc_rho_r, TRUE_C, rtol=1e-4)


def test_the_slope_is_that_of_least_squares_with_dummies():
    reflectance, x, region = exact_soils(seed=3)
    reflectance = reflectance + np.random.default_rng(1).normal(0.0, 0.01, reflectance.shape)
    control = np.random.default_rng(2).normal(size=(x.size, 1))
    design = np.column_stack([x, control, region[:, None] == np.unique(region)])
    expected = np.linalg.lstsq(design, reflectance, rcond=None)[0][0]
    slope, product = soc_spectrum.slopes(reflectance, x, region, controls=control)
    np.testing.assert_allclose(slope[0], expected, rtol=1e-8, atol=1e-10)
    expected = np.linalg.lstsq(design, reflectance * x[:, None], rcond=None)[0][0]
    np.testing.assert_allclose(product[0], expected, rtol=1e-8, atol=1e-10)


def test_whole_weights_are_repeated_rows():
    reflectance, x, region = exact_soils(seed=4)
    reflectance = reflectance + np.random.default_rng(1).normal(0.0, 0.01, reflectance.shape)
    weights = np.random.default_rng(5).integers(0, 4, x.size)
    rows = np.repeat(np.arange(x.size), weights)
    repeated = soc_spectrum.slopes(reflectance[rows], x[rows], region[rows])
    weighted = soc_spectrum.slopes(reflectance, x, region, weights=weights[None, :].astype(float))
    np.testing.assert_allclose(weighted[0], repeated[0], rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(weighted[1], repeated[1], rtol=1e-9, atol=1e-11)


def test_regions_matter_where_their_means_differ():
    reflectance, x, region = exact_soils()
    # Brighter regions that hold more SOC: without their constants the slope is wrong.
    x = np.asarray(x * (1.0 + 2.0 * region), dtype=np.float64)
    slope, product = soc_spectrum.slopes(reflectance, x, np.zeros_like(region))
    with_regions = soc_spectrum.slopes(reflectance, x, region)
    assert np.abs(slope - with_regions[0]).max() > 0.5 and product.shape == (1, AXIS.size)


def test_the_gauge_is_met():
    reflectance, x, region = exact_soils()
    for gauge in (0.01, 0.03, 0.06):
        found = estimate(library_of(reflectance, x, region), gauge=gauge)
        assert abs(np.percentile(found.f_soc, soc_spectrum.GAUGE_PERCENTILE) - gauge) < 1e-9


def test_c_bar_only_scales_c():
    soils = library_of(*exact_soils())
    one, two = (estimate(soils, c_bar=c_bar) for c_bar in (1.0, 2.0))
    np.testing.assert_array_equal(one.f_soc, two.f_soc)
    assert two.soc_rho_r == 2.0 * one.soc_rho_r


def test_the_mean_soil():
    assert sum(soc_spectrum.MEAN_SOIL.values()) == pytest.approx(100.0)
    # By hand from the sheet's (rho r): quartz 1.281, microcline 2.295, kaolinite 1.799, illite 2.016,
    # vermiculite 2.081, calcite 1.949.
    parts = 48.5 / 1.281 + 14.7 / 2.295 + 34.6 / 3 * (1 / 1.799 + 1 / 2.016 + 1 / 2.081) + 2.2 / 1.949
    assert soc_spectrum.mean_soil_c_bar() == pytest.approx(100.0 / parts, rel=1e-3)
    shares = soc_spectrum.mean_soil_shares(["Quartz", "Gypsum", "Calcite", "Halite"])
    np.testing.assert_allclose(shares, np.array([46.56, 2.0, 2.112, 2.0]) / 52.672)


def test_rows_without_soc_are_left_out():
    reflectance, x, region = exact_soils()
    full = estimate(library_of(reflectance, x, region))
    more = np.vstack([reflectance, np.full((2, AXIS.size), 0.9)])
    soc = np.append(100.0 * x / (1.0 + x), [np.nan, 0.0])
    ids = np.array([f"s{index}" for index in range(x.size + 2)])
    names = np.array([f"r{index}" for index in [*region, 0, 1]])
    library = Library("made", Spectra(more, AXIS, "nm", "reflectance"), ids, {"soc": Property(soc, "%")},
                      {"region": names})  # fmt: skip
    np.testing.assert_array_equal(estimate(library).f_soc, full.f_soc)


def test_absorbance_and_wavenumbers_are_converted():
    soils = library_of(*exact_soils())
    expected = estimate(soils)
    other = soils.with_spectra(soils.spectra.to_absorbance().to_unit("cm-1"))
    found = estimate(other)
    np.testing.assert_allclose(found.axis, AXIS, rtol=1e-12)
    np.testing.assert_allclose(found.f_soc, expected.f_soc, atol=1e-4)


@pytest.mark.parametrize("axis", [np.linspace(1100.0, 2498.0, 100), np.linspace(365.0, 2300.0, 100)])
def test_a_short_axis_is_refused_with_what_it_lacks(axis):
    reflectance, x, region = exact_soils()
    with pytest.raises(soc_spectrum.NotAvailable, match=r"not available on this axis.*420 nm.*2350 nm"):
        estimate(library_of(reflectance[:, :100], x, region, axis))


def test_soc_that_does_not_vary_within_groups_is_refused():
    reflectance, x, _ = exact_soils()
    with pytest.raises(DataError, match="does not vary within the groups"):
        soc_spectrum.slopes(reflectance, x, np.arange(x.size))
    with pytest.raises(DataError, match="does not vary within the groups"):
        soc_spectrum.slopes(reflectance, x, np.zeros(x.size), controls=3.0 * x[:, None])


def test_soils_that_soc_does_not_darken_meet_no_gauge():
    _, x, region = exact_soils()
    bright = np.broadcast_to(0.3 + x[:, None], (x.size, AXIS.size))
    with pytest.raises(DataError, match=r"no \(rho r\)_SOC meets the dark-material gauge"):
        estimate(library_of(bright, x, region))


def test_recovery_of_the_truth_itself_is_perfect():
    truth = reference_twin(50, n_bands=40).truth
    ratio = truth.soc_rho_r / soc_spectrum.true_c_bar(truth)
    close = soc_spectrum.recovery(truth.f_soc, ratio, truth.soc_rho_r, truth)
    assert close == {"rmse": 0.0, "cosine": pytest.approx(1.0), "ratio_error": 0.0, "c_error": 0.0}
    shares = truth.mass[:, :-1] / truth.mass[:, :-1].sum(axis=1, keepdims=True)
    harmonic = 1.0 / np.mean([np.sum(row / truth.rho_r[:-1]) for row in shares])
    assert soc_spectrum.true_c_bar(truth) == pytest.approx(harmonic)
    with pytest.raises(DataError, match="the estimate and those of the truth differ in shape"):
        soc_spectrum.recovery(truth.f_soc[1:], 1.0, 1.0, truth)


def test_the_reference_twin_is_recovered():
    library = reference_twin(2000, seed=0)
    found = estimate(library)
    close = soc_spectrum.recovery(found.f_soc, found.ratio, found.soc_rho_r, library.truth)
    assert close["rmse"] <= 0.045 and close["cosine"] >= 0.98 and abs(close["ratio_error"]) <= 0.10
    # The truth of c in g cm-3 nm also needs c_bar, which is a published one.
    assert abs(close["c_error"]) <= 0.12


def test_measured_soils_are_dark_in_the_visible(data_root):
    from jaxsoil.data import registry

    found = estimate(registry.load("soils_vnir"))
    at = np.interp((450.0, 650.0), found.axis, found.f_soc)
    np.testing.assert_allclose(at, (0.03, 0.06), atol=0.01)
    assert 0.085 <= found.soc_rho_r <= 0.145
