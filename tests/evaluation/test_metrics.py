"""Metrics against scikit-learn, SciPy, hand computation and closed forms."""

from typing import Any

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxsoil.evaluation import metrics
from jaxsoil.runs.errors import DataError


@pytest.fixture
def pair():
    rng = np.random.default_rng(7)
    observed = rng.lognormal(0.3, 0.8, size=83)
    return observed, 0.7 * observed + 0.4 + rng.normal(0.0, 0.3, size=83)


def test_rmse_and_r2_agree_with_scikit_learn(pair):
    assert metrics.rmse(*pair) == pytest.approx(sklearn.metrics.root_mean_squared_error(*pair), rel=1e-12)
    assert metrics.r2(*pair) == pytest.approx(sklearn.metrics.r2_score(*pair), rel=1e-12)


def test_r2_corr_is_squared_pearson_of_scipy(pair):
    expected: Any = scipy.stats.pearsonr(*pair)
    assert metrics.r2_corr(*pair) == pytest.approx(expected.statistic**2, rel=1e-12)


def test_r2_and_r2_corr_differ_under_bias():
    observed = np.array([1.0, 2.0, 3.0, 4.0])
    assert metrics.r2_corr(observed, observed + 2.0) == pytest.approx(1.0)
    # SSE = 4 * 4, SST = 5, by hand.
    assert metrics.r2(observed, observed + 2.0) == pytest.approx(1.0 - 16.0 / 5.0)


def test_bias_is_negative_for_under_prediction():
    assert metrics.bias([1.0, 2.0], [0.5, 1.5]) == pytest.approx(-0.5)


def test_ccc_by_hand():
    # Means 2 and 3; variances over n 2/3 and 8/3; covariance over n 4/3: 2 * 4/3 / (2/3 + 8/3 + 1) = 8/13.
    assert metrics.ccc([1.0, 2.0, 3.0], [1.0, 3.0, 5.0]) == pytest.approx(8.0 / 13.0, rel=1e-14)


def test_ccc_closed_forms(pair):
    observed, _ = pair
    assert metrics.ccc(observed, observed) == pytest.approx(1.0)
    shift = 0.9
    assert metrics.ccc(observed, observed + shift) == pytest.approx(
        2 * observed.var() / (2 * observed.var() + shift**2)
    )
    assert metrics.ccc(observed, np.full_like(observed, 2.0)) == 0.0


def test_rpiq_uses_type_7_quartiles():
    observed = np.array([1.0, 2.0, 3.0, 4.0])
    # Type 7: quartiles 1.75 and 3.25; RMSE 0.5.
    assert metrics.rpiq(observed, observed + 0.5) == pytest.approx(1.5 / 0.5)


def test_rpd_uses_the_sample_standard_deviation():
    observed = np.array([1.0, 2.0, 3.0, 4.0])
    assert metrics.rpd(observed, observed + 0.5) == pytest.approx(np.sqrt(5.0 / 3.0) / 0.5)


@given(hnp.arrays(np.float64, st.integers(3, 40), elements=st.floats(-50, 50)), st.floats(0.1, 5.0))
def test_invariants(observed, gain):
    predicted = observed[::-1] * 0.5 + 1.0
    if np.ptp(observed) < 1e-3:
        return
    assert abs(metrics.ccc(observed, predicted)) <= np.sqrt(metrics.r2_corr(observed, predicted)) + 1e-9
    assert metrics.r2(observed, predicted) <= metrics.r2_corr(observed, predicted) + 1e-9
    assert metrics.ccc(gain * observed, gain * predicted) == pytest.approx(metrics.ccc(observed, predicted), abs=1e-9)
    assert metrics.rmse(observed, predicted) >= abs(metrics.bias(observed, predicted)) - 1e-9


@pytest.mark.parametrize("name", list(metrics.METRICS))
def test_mistaken_input_is_refused_with_a_remedy(name):
    metric = metrics.METRICS[name]
    with pytest.raises(DataError, match=r"\(3,\) against \(3, 1\).*ravel"):
        metric(np.ones(3), np.ones((3, 1)))
    with pytest.raises(DataError, match="1 dimension"):
        metric(np.ones((3, 2)), np.ones((3, 2)))
    with pytest.raises(DataError, match=r"observed values are not all finite.*1 of 3"):
        metric([1.0, np.nan, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(metrics.UndefinedMetric, match="no observed values"):
        metric([], [])
    with pytest.raises(metrics.UndefinedMetric, match="diverged"):
        metric([1.0, 2.0, 3.0], [1.0, np.inf, 3.0])


@pytest.mark.parametrize("name", ["r2", "r2_corr", "ccc", "rpiq", "rpd"])
def test_constant_observations_are_refused(name):
    # 0.1 is not exact in binary: a variance of rounding errors must not pass for one.
    with pytest.raises(metrics.UndefinedMetric, match=r"observed values are all the same.*RMSE and bias"):
        metrics.METRICS[name](np.full(7, 0.1), np.linspace(0.0, 1.0, 7))


def test_other_undefined_cases():
    with pytest.raises(metrics.UndefinedMetric, match="predicted values are all the same"):
        metrics.r2_corr([1.0, 2.0], [1.5, 1.5])
    for metric in (metrics.rpiq, metrics.rpd):
        with pytest.raises(metrics.UndefinedMetric, match="predictions are exact"):
            metric([1.0, 2.0], [1.0, 2.0])


def test_summary_gives_nan_with_the_reason_and_still_refuses_mistakes():
    reasons = {}
    values = metrics.summary([2.0, 2.0], [2.5, 1.0], reasons=reasons)
    assert values["rmse"] == pytest.approx(np.sqrt((0.25 + 1.0) / 2))
    assert values["bias"] == pytest.approx(-0.25)
    undefined = {name for name, value in values.items() if np.isnan(value)}
    assert undefined == set(reasons) == {"r2", "r2_corr", "ccc", "rpiq", "rpd"}
    assert "all the same" in reasons["r2"]
    with pytest.raises(DataError, match="differ in shape"):
        metrics.summary([1.0, 2.0], [1.0])
