"""Differences, coverage and calibration of converted spectra against closed forms and simulated errors."""

import numpy as np
import pytest

from jaxsoil.evaluation.conversion import LEVELS, conversion_tables
from jaxsoil.runs.errors import DataError


def test_difference_is_converted_minus_observed():
    observed = np.array([[1.0, 2.0], [3.0, 4.0]])
    converted, sd = observed + np.array([[0.1, -0.2], [0.3, -0.2]]), np.ones((2, 2))
    table = conversion_tables([2.0, 1.0], observed, converted, sd)["conversion"]
    np.testing.assert_allclose(table["mean_difference"], [0.2, -0.2])
    np.testing.assert_allclose(table["sd_difference"], [0.2 / np.sqrt(2.0), 0.0], atol=1e-12)
    single = conversion_tables([2.0, 1.0], observed[:1], observed[:1], sd[:1])["conversion"]
    assert np.isnan(single["sd_difference"].to_numpy()).all()


def coverage_90(observed, converted, sd):
    axis = np.arange(float(observed.shape[1]))
    return conversion_tables(axis, observed, converted, sd)["conversion"]["coverage_90"].tolist()


def test_coverage_by_hand():
    """The central 90 % of a Gaussian reaches 1.6449 standard deviations to either side."""
    errors = np.array([[0.0], [1.64], [-1.64], [1.65]])
    assert coverage_90(np.zeros((4, 1)), errors, np.ones((4, 1))) == [0.75]
    assert coverage_90(np.zeros((2, 1)), np.array([[0.0], [1e-9]]), np.zeros((2, 1))) == [0.5]


def test_honest_spreads_are_calibrated_and_halved_ones_are_not():
    rng = np.random.default_rng(1)
    sd = rng.uniform(0.05, 0.5, (20_000, 4))
    observed = rng.normal(size=sd.shape)
    converted = observed + sd * rng.normal(size=sd.shape)
    found = conversion_tables(np.arange(4.0), observed, converted, sd)["calibration"]
    assert found["nominal"].tolist() == list(LEVELS)
    for name in ("low", "mean", "high"):
        np.testing.assert_allclose(found[name], LEVELS, atol=0.012)
    assert (np.diff(found[["low", "mean", "high"]].to_numpy(), axis=1) >= 0).all()
    for factor in (1.0, 0.5):
        scores = conversion_tables(np.arange(4.0), observed, converted, factor * sd)["conversion_scores"]
        assert scores["widening"].tolist() == pytest.approx([1.0 / factor], abs=0.02)
    # 2 * Phi(1.6449 / 2) - 1.
    np.testing.assert_allclose(coverage_90(observed, converted, 0.5 * sd), 0.589, atol=0.012)


def test_bands_and_scores():
    rng = np.random.default_rng(3)
    observed, sd = rng.normal(size=(50, 3)), np.full((50, 3), 0.3)
    tables = conversion_tables([3.0, 2.0, 1.0], observed, observed + 0.1, sd)
    table, scores = tables["conversion"], tables["conversion_scores"].iloc[0]
    assert table["wavenumber"].tolist() == [3.0, 2.0, 1.0]
    np.testing.assert_allclose(table["sd_predicted"], 0.3)
    assert table["coverage_90"].tolist() == [1.0, 1.0, 1.0]
    np.testing.assert_allclose(table["rmse"], 0.1)
    # The mean spectrum misses each sample by the deviation from it, n in the denominator.
    assert scores["rmse"] == pytest.approx(0.1)
    assert scores["rmse_of_mean"] == pytest.approx(np.sqrt(observed.var(axis=0).mean()))
    means = table.assign(size=table["mean_difference"].abs())
    for name in ("size", "sd_difference", "sd_predicted", "coverage_90"):
        assert scores[name] == pytest.approx(np.mean(means[name].to_numpy()))
    sure = conversion_tables([3.0, 2.0, 1.0], observed, observed + 0.1, 0.0 * sd)["conversion_scores"]
    assert sure["widening"].tolist() == [np.inf]


@pytest.mark.parametrize(
    ("converted", "sd", "message"),
    [
        (np.zeros((2, 2)), np.ones((2, 3)), "differ in shape"),
        (np.zeros((2, 3)), np.ones((3, 2)), "differ in shape"),
        (np.full((2, 3), np.nan), np.ones((2, 3)), "converted spectra are not all finite"),
        (np.zeros((2, 3)), -np.ones((2, 3)), "negative"),
    ],
)
def test_wrong_input_is_refused(converted, sd, message):
    with pytest.raises(DataError, match=message):
        coverage_90(np.zeros((2, 3)), converted, sd)
    with pytest.raises(DataError, match="number of bands"):
        conversion_tables([1.0], np.zeros((2, 3)), np.zeros((2, 3)), np.ones((2, 3)))
