"""Each perturbation by hand, and what all of them leave alone."""

import numpy as np
import pytest

from jaxsoil.runs.errors import DataError
from jaxsoil.spectra import perturbations
from jaxsoil.spectra.perturbations import add_curves, random_curves, smooth_curve

AXIS = np.array([350.0, 900.0, 1000.0, 1425.0, 1801.0, 2500.0])
FLAT = np.full((2, AXIS.size), 0.5, dtype=np.float32)


def test_scatter_by_hand():
    np.testing.assert_allclose(perturbations.gain(FLAT, [1.1, 0.5])[:, 0], [0.55, 0.25], rtol=1e-6)
    np.testing.assert_allclose(perturbations.offset(FLAT, [0.01, -0.1])[:, 3], [0.51, 0.4], rtol=1e-6)
    tilted = perturbations.tilt(FLAT, [0.2, 0.0], AXIS)
    np.testing.assert_allclose(tilted[0, [0, 3, 5]], 0.5 * np.exp([-0.2, 0.0, 0.2]), rtol=1e-6)
    curved = perturbations.curvature(FLAT, [0.2, 0.0], AXIS)
    np.testing.assert_allclose(curved[0, [0, 3, 5]], 0.5 * np.exp([0.2, -0.1, 0.2]), rtol=1e-6)
    np.testing.assert_array_equal(tilted[1], FLAT[1])
    np.testing.assert_array_equal(curved[1], FLAT[1])


def test_splices_step_at_the_detectors_borders_only():
    seen = perturbations.splice(FLAT, np.array([[1.02, 1.0, 0.97], [1.0, 1.0, 1.0]]), AXIS, (1000.0, 1800.0))
    np.testing.assert_allclose(seen[0], 0.5 * np.array([1.02, 1.02, 1.02, 1.0, 0.97, 0.97]), rtol=1e-6)
    np.testing.assert_array_equal(seen[1], FLAT[1])


def test_a_shifted_scale_reads_the_band_beside():
    line = np.array([AXIS / 5000.0, AXIS / 5000.0])
    seen = perturbations.shift(line, [10.0, 0.0], AXIS)
    np.testing.assert_allclose(seen[0, :-1], (AXIS[:-1] + 10.0) / 5000.0)
    assert seen[0, -1] == line[0, -1]
    np.testing.assert_array_equal(seen[1], line[1])


def test_a_longer_path_multiplies_minus_ln_r():
    seen = perturbations.path(FLAT, [2.0, 1.0])
    np.testing.assert_allclose(np.log(seen[0]), 2.0 * np.log(0.5), rtol=1e-6)
    np.testing.assert_array_equal(seen[1], FLAT[1])


def test_water_deepens_the_bands_near_1450_and_1940():
    axis = np.arange(400.0, 2500.0, 10.0)
    wet, dry = perturbations.wet(np.full((2, axis.size), 0.5), [0.05, 0.0], axis)
    np.testing.assert_array_equal(dry, 0.5)
    minima = axis[1:-1][(wet[1:-1] < wet[:-2]) & (wet[1:-1] < wet[2:])]
    assert all(np.min(np.abs(minima - band)) <= 30 for band in (970, 1190, 1440, 1930))
    assert wet.max() < 0.5


def test_noise_has_its_standard_deviation_inside_and_at_the_ends():
    level = perturbations.noise_level(AXIS, 2e-4, 1e-3)
    np.testing.assert_allclose(level[[0, 3, 5]], [1e-3, 2e-4, 1e-3], rtol=1e-6)
    seen = perturbations.noise(np.zeros((40_000, AXIS.size), np.float32), level, np.random.default_rng(0))
    np.testing.assert_allclose(seen.std(axis=0), level, rtol=0.02)


@pytest.mark.parametrize(
    "seen",
    [
        perturbations.gain(FLAT, [1.0, 1.0]),
        perturbations.shift(FLAT, [1.0, 2.0], AXIS),
        perturbations.wet(FLAT, [0.1, 0.2], AXIS),
        perturbations.noise(FLAT, 0.1, np.random.default_rng(0)),
    ],
)
def test_shape_dtype_and_input_stay(seen):
    assert seen.shape == FLAT.shape and seen.dtype == FLAT.dtype
    np.testing.assert_array_equal(FLAT, 0.5)


@pytest.mark.parametrize("bands", [426, 1701])
def test_a_smooth_curve_has_the_stated_spread_and_few_half_waves(bands):
    curve = smooth_curve(bands, 0.01, np.random.default_rng(3))
    np.testing.assert_allclose([curve.mean(), curve.std()], [0.0, 0.01], atol=1e-12)
    # Cosines of 2 to 8 half waves: none of 0, 1 or more than 8, which a discrete cosine transform would show.
    place = (np.arange(bands) + 0.5) / bands
    parts = np.array([curve @ np.cos(np.pi * k * place) for k in range(20)]) * 2.0 / bands
    assert np.abs(parts[[0, 1, *range(9, 20)]]).max() < 1e-12 < np.abs(parts[2:9]).min()


def test_the_shape_of_a_curve_does_not_depend_on_its_spread():
    one, other = (smooth_curve(50, sd, np.random.default_rng(0)) for sd in (0.01, 0.03))
    np.testing.assert_allclose(other, 3.0 * one, rtol=1e-12)
    assert not smooth_curve(50, 0.0, np.random.default_rng(0)).any()


@pytest.mark.parametrize("sd", [-0.01, float("nan"), float("inf")])
def test_a_negative_curve_is_refused(sd):
    with pytest.raises(DataError, match="at least 0"):
        smooth_curve(50, sd, np.random.default_rng(0))


def test_a_wider_slit_spreads_a_line_and_keeps_its_area():
    axis = np.arange(1000.0, 2001.0, 5.0)
    line = np.exp(-4.0 * np.log(2.0) * ((axis - 1500.0) / 40.0) ** 2)
    seen = perturbations.broaden(np.stack([line, line]), [30.0, 0.0], axis)
    # Variances add: a line of 40 nm behind a slit of 30 nm is 50 nm wide.
    expected = 0.8 * np.exp(-4.0 * np.log(2.0) * ((axis - 1500.0) / 50.0) ** 2)
    np.testing.assert_allclose(seen[0], expected, atol=1e-3)
    np.testing.assert_array_equal(seen[1], line)
    np.testing.assert_allclose(perturbations.broaden(np.full((1, axis.size), 0.5), [80.0], axis), 0.5)


def test_tilt_and_curvature_may_have_a_window_of_their_own():
    window = (AXIS[0], AXIS[3])
    assert perturbations.tilt(FLAT, [0.2, 0.0], AXIS, window)[0, 3] == pytest.approx(0.5 * np.exp(0.2))
    assert perturbations.curvature(FLAT, [0.2, 0.0], AXIS, window)[0, 0] == pytest.approx(0.5 * np.exp(0.2))


def test_random_curves_are_smooth_of_one_standard_deviation_and_differ_from_row_to_row():
    axis = np.arange(600.0, 4000.1, 10.0)
    found = random_curves(40, axis, np.random.default_rng(0))
    np.testing.assert_allclose(found.std(axis=1), 1.0, rtol=1e-9)
    np.testing.assert_allclose(found.mean(axis=1), 0.0, atol=1e-9)
    # Neighbouring bands, 10 of 400 cm-1 apart, hardly differ.
    assert np.abs(np.diff(found, axis=1)).max() < 0.2
    assert np.abs(np.corrcoef(found)[~np.eye(40, dtype=bool)]).mean() < 0.5
    seen = add_curves(np.full((2, axis.size), 0.4), np.array([0.05, -0.05]), axis, np.random.default_rng(0))
    np.testing.assert_allclose(np.log10(0.4 / seen), 0.05 * found[:2] * [[1.0], [-1.0]], atol=2e-2 * 0.05)
