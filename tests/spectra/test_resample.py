"""Resampling against closed forms, NumPy and SciPy; splice correction on steps that are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxsoil.runs.errors import DataError
from jaxsoil.spectra import Spectra
from jaxsoil.spectra.resample import Resample, SpliceCorrection

AXIS = np.arange(1000.0, 1101.0)


def spectra(values, axis=AXIS, unit="nm"):
    return Spectra(np.atleast_2d(values), axis, unit, "reflectance")


@given(
    st.lists(st.floats(0.5, 6.0), min_size=20, max_size=40),
    st.sampled_from(["bandmean", "gaussian", "linear"]),
)
def test_weights_sum_to_one_on_any_axis(steps, method):
    source = 1000.0 + np.cumsum(steps)
    target = np.linspace(source[0], source[-1], 7)
    weights = Resample(target, method=method).weights(source)
    np.testing.assert_allclose(weights.sum(axis=0), 1.0)
    assert weights.min() >= -1e-12


def test_weights_are_those_of_the_axis_that_is_given():
    step = Resample(np.arange(1000.0, 1201.0, 20.0))
    axes = [np.arange(990.0, 1211.0, 2.0), np.arange(990.0, 1211.0, 2.5)]
    for axis in (axes[0], axes[1], axes[1], axes[0]):
        np.testing.assert_array_equal(step.weights(axis), Resample(step.axis).weights(axis))


@given(st.lists(st.floats(0.5, 6.0), min_size=30, max_size=40))
def test_band_mean_of_a_straight_spectrum_is_its_value_at_the_centre(steps):
    source = 1000.0 + np.cumsum(steps)
    quarter = (source[-1] - source[0]) / 4
    inside = source[0] + quarter * np.array([0.5, 1.5, 2.5, 3.5])  # every band is measured whole
    got = Resample(inside)(spectra(1e-4 * source, source))
    np.testing.assert_allclose(got.values[0], 1e-4 * inside, rtol=1e-6)


def test_band_mean_is_the_integral_of_the_interpolated_spectrum():
    from scipy.integrate import quad

    rng = np.random.default_rng(3)
    source = np.sort(rng.choice(np.arange(1000.0, 1100.0, 0.5), 80, replace=False))
    values = rng.uniform(0.1, 0.9, source.size)
    target = np.arange(source[0] + 5, source[-1] - 5, 10.0)
    expected = [
        quad(np.interp, x - 5, x + 5, args=(source, values), points=source[abs(source - x) < 5], limit=200)[0] / 10
        for x in target
    ]
    np.testing.assert_allclose(Resample(target)(spectra(values, source)).values[0], expected, rtol=1e-5)


def test_gaussian_response_is_scipys():
    from scipy.ndimage import gaussian_filter1d

    values = np.random.default_rng(4).uniform(0.2, 0.8, AXIS.size)
    sigma = 10.0 / (2 * np.sqrt(2 * np.log(2)))
    expected = gaussian_filter1d(values, sigma, truncate=10.0)[40:61:10]
    got = Resample(AXIS[40:61:10], method="gaussian")(spectra(values)).values[0]
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_gaussian_width_counts_what_the_spectra_have_already():
    target = AXIS[20:81:10]
    narrow = Resample(target, method="gaussian", fwhm=5.0).weights(AXIS)
    same = Resample(target, method="gaussian", fwhm=13.0, source_fwhm=12.0).weights(AXIS)
    np.testing.assert_allclose(narrow, same)
    with pytest.raises(DataError, match="broader already"):
        Resample(target, method="gaussian", fwhm=5.0, source_fwhm=6.0)(spectra(AXIS / 2000))


@pytest.mark.parametrize("method", ["bandmean", "gaussian", "linear"])
def test_the_same_axis_changes_nothing_and_a_finer_one_interpolates(method):
    values = np.random.default_rng(5).uniform(0.2, 0.8, AXIS.size).astype(np.float32)
    np.testing.assert_array_equal(Resample(AXIS, method=method)(spectra(values)).values[0], values)
    fine = np.arange(1000.0, 1100.0, 0.25)
    got = Resample(fine, method=method)(spectra(values)).values[0]
    np.testing.assert_allclose(got, np.interp(fine, AXIS, values), rtol=1e-6)


def test_an_outer_band_is_averaged_over_its_measured_part():
    got = Resample(np.array([1000.0, 1010.0]))(spectra(AXIS / 2000))
    np.testing.assert_allclose(got.values[0], [1002.5 / 2000, 1010.0 / 2000], rtol=1e-6)


def test_wrong_targets_are_refused():
    made = spectra(AXIS / 2000)
    with pytest.raises(DataError, match=r"column 1110 nm.*beyond what was measured"):
        Resample([1090.0, 1110.0])(made)
    with pytest.raises(DataError, match="descends"):
        Resample([1090.0, 1010.0])
    with pytest.raises(DataError, match="target axis is in cm-1"):
        Resample([1000.0], "cm-1")(made)
    with pytest.raises(DataError, match="Did you mean 'bandmean'"):
        Resample([1000.0], method="bandmeans")
    with pytest.raises(DataError, match="Gaussian method"):
        Resample([1000.0], fwhm=3.0)
    with pytest.raises(DataError, match="one row of bands"):
        Resample([[1000.0]])


ASD = np.arange(350.0, 2501.0)


@given(st.lists(st.floats(-0.05, 0.05), min_size=2, max_size=2), st.sampled_from([None, 0, 1, 2]))
def test_known_steps_between_detectors_vanish(steps, reference):
    smooth = 0.2 + 1e-4 * (ASD - 350.0)
    segment = np.digitize(ASD, [1000.5, 1800.5])
    offsets = np.array([steps[0], 0.0, steps[1]])
    got = SpliceCorrection(reference=reference)(spectra(smooth + offsets[segment], ASD)).values[0]
    kept = offsets[1 if reference is None else reference]
    np.testing.assert_allclose(got, smooth + kept, atol=1e-6)


def test_splice_correction_leaves_a_continuous_spectrum_and_the_reference_detector():
    values = 0.3 + 0.1 * np.sin(ASD / 300.0)
    got = SpliceCorrection()(spectra(values, ASD)).values[0]
    np.testing.assert_allclose(got, values, atol=1e-4)
    middle = (ASD > 1000) & (ASD <= 1800)
    np.testing.assert_array_equal(got[middle], values.astype(np.float32)[middle])


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (SpliceCorrection((300.0,)), "too few bands"),
        (SpliceCorrection((1800.0, 1000.0)), "too few bands"),
        (SpliceCorrection((1000.0, 1002.0)), "too few bands"),
        (SpliceCorrection(()), "too few bands"),
        (SpliceCorrection(reference=3), "no such detector segment"),
        (SpliceCorrection(points=1), "too few bands"),
    ],
)
def test_splices_that_do_not_fit_are_refused(step, message):
    with pytest.raises(DataError, match=message):
        step(spectra(ASD / 5000, ASD))
