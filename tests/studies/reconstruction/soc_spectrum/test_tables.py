"""Rows of the study of f_SOC: problems are kept as rows, the truth agrees with itself."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from jaxsoil.data.twin.soil.make import reference_twin
from jaxsoil.studies.reconstruction.soc_spectrum import tables


@pytest.fixture(scope="module")
def library():
    return reference_twin(300, seed=1, n_bands=80)


def test_direct_rows_lines_and_curves(library):
    rows, lines, curves = tables.direct_tables(library, "troughs", ("regions", "log_soc", "pedons"), resamples=25)
    assert [row["estimator"] for row in rows] == ["regions", "log_soc", "pedons"]
    assert all(set(row) <= set(tables.TABLES["estimates"].required) for row in rows)
    # Every sample is a pedon of its own: nothing varies within one.
    assert "does not vary within the groups" in rows[2]["problem"] and "soc_rho_r" not in rows[2]
    direct = rows[0]
    assert direct["problem"] == "" and direct["low"] < direct["soc_rho_r"] < direct["high"] and direct["failed"] == 0
    assert "disagreement" not in direct and 0.0 <= rows[1]["disagreement"] <= 1.0
    assert [curve["estimator"] for curve in curves] == ["regions", "log_soc"]
    assert (curves[0]["low"] <= curves[0]["high"]).all()
    assert {line["line"] for line in lines} == {1400.0, 1730.0, 1900.0, 2205.0, 2305.0, 2350.0, 2500.0}
    assert all(0.0 <= line["presence"] <= 1.0 for line in lines)


def test_an_axis_that_does_not_allow_it_leaves_the_reason():
    short = reference_twin(100, seed=0, n_bands=60, wavelength_low=1100.0)
    rows, lines, curves = tables.direct_tables(short, "short", ("regions", "log_soc"), resamples=0)
    assert all("not available on this axis" in row["problem"] for row in rows)
    assert lines == [] and curves == []


def test_the_truth_is_an_estimator(library):
    (row, flat), lines, (curve,) = tables.truth_tables(library, "troughs")
    assert row["soc_rho_r"] == library.truth.soc_rho_r and 2.0 < row["munsell"] < 3.0
    np.testing.assert_array_equal(curve["f_soc"], library.truth.f_soc)
    # The cosine of a flat spectrum is its mean over its root mean square.
    assert flat["cosine"] == pytest.approx(curve["f_soc"].mean() / np.sqrt(np.mean(curve["f_soc"] ** 2)))
    by_line = {line["line"]: line["depth"] for line in lines}
    assert by_line[1900.0] > 0.01 and np.isnan(by_line[2205.0])


def test_network_rows_compare_with_the_truth(library):
    truth = library.truth
    learned = {
        "axis": truth.axis,
        "region": np.array(["R01", "R02"]),
        "seed": np.array([0, 0]),
        "f_soc": np.stack([truth.f_soc, np.full(truth.f_soc.shape, np.nan)]),
        "soc_rho_r": np.array([2.8, np.nan]),
    }
    start = {"start_f": np.full(truth.f_soc.shape, 0.5), "start_c": 2.6}
    trials = {
        ("R01", 0): {**start, "r2": 0.5, "status": "converged", "epochs": 9, "kept": 9, "reach": 1.3},
        ("R02", 0): {**start, "status": "diverged", "reach": 0.2},
    }
    one, two = tables.network_rows(library, "troughs", "paper", learned, trials)
    assert tuple(one) == tables.NETWORKS.required
    assert one["rmse"] == 0.0 and one["c_error"] == pytest.approx(1.0) and one["r2"] == 0.5
    # The library given is the true one, so that c_bar is the true one.
    assert one["ratio_error"] == pytest.approx(1.0, rel=1e-6)
    assert one["distance_c"] == pytest.approx(2.6 - truth.soc_rho_r) and one["moved_c"] == pytest.approx(0.2)
    assert one["moved_f"] == one["distance_f"] == pytest.approx(0.5 - truth.f_soc.min())
    assert two["status"] == "diverged" and np.isnan(two["rmse"]) and np.isnan(two["r2"])
    # c is 1.2 away: the first could have got there, the second not.
    assert not one["short"] and two["short"]


def test_a_training_without_truth_is_not_called_short(library):
    truth = library.truth
    learned = {"axis": truth.axis, "region": ["R01"], "seed": [0], "f_soc": truth.f_soc[None], "soc_rho_r": [2.0]}
    trials = {("R01", 0): {"start_f": truth.f_soc, "start_c": 2.6, "reach": 0.001}}
    (row,) = tables.network_rows(dataclasses.replace(library, truth=None), "soils", "paper", learned, trials)
    assert not row["short"] and np.isnan(row["distance_c"]) and row["moved_c"] == pytest.approx(0.6)


def test_means_and_ranges_over_trainings_leave_diverged_ones_out(library):
    truth, nothing = library.truth, np.full(library.truth.f_soc.shape, np.nan)
    measures = dict.fromkeys(tables.NETWORKS.required, np.nan) | {"source": "troughs", "start": "paper"}
    rows = [measures | {"soc_rho_r": c, "rmse": rmse, "reach": 1.0} for c, rmse in ((2.0, 0.1), (3.0, 0.3))]
    spectra = np.stack([truth.f_soc, truth.f_soc + 0.2, nothing])
    (row,), lines, (curve,) = tables.decoder_tables(truth.axis, spectra, [*rows, measures | {"reach": 0.5}], 300)
    assert (row["soc_rho_r"], row["sd"], row["trainings"]) == (2.5, pytest.approx(np.sqrt(0.5)), 3)
    assert row["rmse"] == pytest.approx(0.2) and len(lines) == 7
    np.testing.assert_allclose(
        (curve["f_soc"], curve["low"], curve["high"]), np.add(truth.f_soc, [[0.1], [0.0], [0.2]])
    )
    (row,), lines, curves = tables.decoder_tables(truth.axis, nothing[None], [measures], 300)
    assert np.isnan(row["soc_rho_r"]) and lines == [] and curves == []
    reach = {row["measure"]: row for row in tables.reach_rows(pd.DataFrame([*rows, measures | {"reach": 0.5}]))}
    assert (reach["reach"]["least"], reach["reach"]["greatest"]) == (0.5, 1.0)


def test_paired_differences_against_scipy():
    from scipy.stats import ttest_rel

    def rows(start, values):
        key = {"source": "troughs", "start": start}
        return [{**key, "region": region, "seed": seed, "r2": v} for (region, seed), v in values.items()]

    one = rows("paper", {("A", 0): 0.5, ("A", 1): 0.7, ("B", 0): 0.4, ("C", 0): 0.9, ("D", 0): np.nan})
    two = rows("direct", {("A", 0): 0.7, ("B", 0): 0.35, ("C", 0): 0.8, ("C", 1): 0.9, ("D", 0): 0.1})
    (found,) = tables.start_differences(pd.DataFrame([*one, *two]))
    expected = ttest_rel([0.7, 0.35, 0.85], [0.6, 0.4, 0.9])
    interval = expected.confidence_interval(0.95)
    assert (found["regions"], found["seeds"]) == (3, 2) and found["mean"] == pytest.approx(0.0, abs=1e-12)
    assert (found["low"], found["high"]) == pytest.approx((interval.low, interval.high))
    assert found["sd"] == pytest.approx(np.std([0.1, -0.05, -0.05], ddof=1))
    assert np.isnan(tables.start_differences(pd.DataFrame([one[0], two[0]]))[0]["sd"])
    assert tables.start_differences(pd.DataFrame(one)) == []


def test_abundances_of_noise_free_soils_are_exact_with_the_truth():
    library = reference_twin(40, seed=0, noise=0.0, n_bands=200)
    truth = library.truth
    grey = {"grey": (np.full(truth.f_soc.shape, 0.5), 2.6)}
    rows = tables.abundance_rows(library, "troughs", grey)
    assert {row["estimator"] for row in rows} == {"truth", "grey"} and len(rows) == 2 * (len(truth.names) + 1)
    error = {row["estimator"]: row["error"] for row in rows if row["mineral"] == "SOC"}
    minerals = [row["error"] for row in rows[: len(truth.names) - 1]]
    assert rows[len(truth.names)]["mineral"] == tables.MINERALS
    assert rows[len(truth.names)]["error"] == pytest.approx(np.mean(minerals))
    # float32 reflectance over some 80 similar minerals.
    assert error["truth"] < 1e-3 < error["grey"]


def test_no_munsell_value_without_the_visible():
    assert np.isnan(tables.value_of(np.linspace(400.0, 2500.0, 50), np.full(50, 0.1)))
