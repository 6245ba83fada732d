"""Preprocessing against SciPy, scikit-learn and closed forms; each inverse undoes its step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxsoil.runs.errors import DataError
from jaxsoil.spectra import Spectra
from jaxsoil.spectra.preprocess import (
    SNV,
    Absorbance,
    MeanCentre,
    NotInvertibleError,
    Pipeline,
    Resample,
    SavitzkyGolay,
    SpliceCorrection,
    Standardise,
    Trim,
)

AXIS = np.arange(400.0, 600.0, 2.0)


def soil_like(n=6, axis=AXIS, seed=0):
    rng = np.random.default_rng(seed)
    slope = rng.uniform(1e-4, 1e-3, (n, 1))
    values = 0.05 + slope * (axis - axis[0]) + 0.01 * rng.standard_normal((n, axis.size)) * 0.1
    return Spectra(values, axis, "nm", "reflectance")


@pytest.mark.parametrize(("points", "polyorder", "deriv"), [(11, 2, 0), (11, 2, 1), (7, 3, 2), (5, 4, 0)])
def test_savitzky_golay_is_scipys(points, polyorder, deriv):
    from scipy.signal import savgol_filter

    made = soil_like()
    values = made.values.astype(float)
    expected = np.asarray(savgol_filter(values, points, polyorder, deriv=deriv, delta=2.0, axis=1))
    got = SavitzkyGolay(points=points, polyorder=polyorder, deriv=deriv)(made)
    np.testing.assert_allclose(got.values, expected, rtol=1e-5, atol=1e-7)
    assert got.quantity == ("reflectance" if deriv == 0 else "pretreated")


def test_savitzky_golay_derivative_of_a_parabola_is_per_nm():
    made = Spectra((1e-5 * AXIS**2)[None], AXIS, "nm", "reflectance")
    np.testing.assert_allclose(SavitzkyGolay(width=22.0, deriv=1)(made).values[0], 2e-5 * AXIS, rtol=1e-4)
    np.testing.assert_allclose(SavitzkyGolay(width=22.0, deriv=2)(made).values[0], 2e-5, rtol=1e-3)


def test_savitzky_golay_windows():
    made = soil_like()
    by_points, by_width = SavitzkyGolay(points=11)(made), SavitzkyGolay(width=22.0)(made)
    np.testing.assert_array_equal(by_points.values, by_width.values)
    for wrong in ({"points": 10}, {"points": 101}, {"points": 3, "polyorder": 3}, {"points": 5, "deriv": 3}):
        with pytest.raises(DataError, match="window does not fit"):
            SavitzkyGolay(**wrong)(made)
    for wrong in ({}, {"points": 5, "width": 10.0}):
        with pytest.raises(DataError, match="needs one window"):
            SavitzkyGolay(**wrong)


def test_savitzky_golay_refuses_uneven_axes():
    axis = np.concatenate([AXIS, [700.0]])
    with pytest.raises(DataError, match=r"axis with one step.*Resample"):
        SavitzkyGolay(points=5)(soil_like(axis=axis))


def test_snv_is_the_standard_score_of_each_spectrum():
    from scipy.stats import zscore

    made = soil_like()
    got = SNV()(made)
    np.testing.assert_allclose(got.values, np.asarray(zscore(made.values.astype(float), axis=1, ddof=1)), atol=1e-5)
    assert got.quantity == "pretreated" and got.steps[-1] == "SNV"


def test_snv_does_not_see_gain_and_offset():
    made = soil_like()
    scaled = made.replace(values=1.7 * made.values + 0.1)
    np.testing.assert_allclose(SNV()(made).values, SNV()(scaled).values, atol=1e-4)


def test_snv_refuses_constant_spectra():
    flat = Spectra(np.full((2, 5), 0.3), np.arange(1.0, 6.0), "nm", "reflectance")
    with pytest.raises(DataError, match=r"constant spectrum.*row 0"):
        SNV()(flat)


def test_standardise_is_scikit_learns_on_training_rows():
    from sklearn.preprocessing import StandardScaler

    train, test = soil_like(seed=1), soil_like(seed=2)
    scaler = StandardScaler().fit(train.values.astype(float))
    expected = scaler.transform(test.values.astype(float)) * np.sqrt((len(train) - 1) / len(train))
    np.testing.assert_allclose(Standardise().fit(train)(test).values, expected, rtol=1e-3, atol=1e-4)


@given(hnp.arrays(np.float32, (4, 6), elements=st.floats(0.015625, 1.5, width=32), unique=True))
def test_what_can_be_undone_is(values):
    made = Spectra(values, np.arange(400.0, 406.0), "nm", "reflectance")
    pipeline = Pipeline((Absorbance(), MeanCentre())).fit(made)
    back = pipeline.inverse(pipeline(made))
    np.testing.assert_allclose(back.values, values, rtol=1e-4)
    assert back.quantity == "reflectance"


def test_standardise_round_trip():
    made = soil_like()
    step = Standardise().fit(made)
    np.testing.assert_allclose(step.inverse(step(made)).values, made.values, rtol=1e-5)


@pytest.mark.parametrize(
    "step", [SNV(), SavitzkyGolay(points=5), Trim(450, 500), Resample(AXIS[5:9]), SpliceCorrection((500.0,))]
)
def test_what_cannot_be_undone_says_what_is_lost(step):
    with pytest.raises(
        NotInvertibleError, match=f"{type(step).__name__} cannot be undone: .*(lost|dropped|kept|removes)"
    ):
        step.inverse(soil_like())


@pytest.mark.parametrize("step", [MeanCentre(), Standardise(), Pipeline((Absorbance(), MeanCentre()))])
def test_fitted_steps_refuse_use_before_fit(step):
    with pytest.raises(DataError, match=r"before it is fitted.*fit"):
        step(soil_like())


def test_fitted_steps_refuse_another_axis_and_another_quantity():
    step = MeanCentre().fit(soil_like())
    with pytest.raises(DataError, match="different axes"):
        step(soil_like(axis=AXIS + 1.0))
    with pytest.raises(DataError, match="reflectance is needed"):
        step(soil_like().to_absorbance())


def test_standardise_refuses_a_constant_band_and_too_few_rows():
    made = soil_like()
    values = made.values.copy()
    values[:, 3] = 0.2
    with pytest.raises(DataError, match=r"column 406 nm.*constant"):
        Standardise().fit(made.replace(values=values))
    with pytest.raises(DataError, match="too few spectra"):
        Standardise().fit(made[:1])
    with pytest.raises(DataError, match="too few spectra"):
        MeanCentre().fit(made[:0])


def test_a_pipeline_fits_each_step_on_what_the_steps_before_made():
    made = soil_like()
    fitted = Pipeline((SNV(), MeanCentre())).fit(made)
    np.testing.assert_allclose(fitted(made).values.mean(axis=0), 0.0, atol=1e-6)
    assert fitted(made).steps == ("SNV", "MeanCentre")


def test_trim():
    made = soil_like()
    cut = Trim(450.0, 500.0)(made)
    assert (cut.axis[0], cut.axis[-1]) == (450.0, 500.0)
    with pytest.raises(DataError, match="no band lies in the range"):
        Trim(4000.0, 600.0)(made)
