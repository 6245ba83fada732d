"""Accuracy and sweeps on small reference twins; the aims at full size are among the slow tests."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from jaxsoil.data.twin.soil.config import TwinConfig
from jaxsoil.data.twin.soil.make import reference_twin
from jaxsoil.runs.errors import DataError
from jaxsoil.studies.reconstruction.soc_spectrum import sweep as sweeps
from jaxsoil.studies.reconstruction.soc_spectrum.config import FACTORS, LIBRARIES, SocSpectrumConfig


def column(frame, name):
    return np.array(frame[name].tolist())


def test_every_factor_names_fields_of_the_twin():
    fields = set(TwinConfig.__dataclass_fields__)
    assert set(SocSpectrumConfig().libraries) < set(LIBRARIES)
    for factor in FACTORS.values():
        assert len(factor.levels) >= 4 and all(set(settings) <= fields for settings in factor.levels.values())


def test_a_sweep_is_a_tidy_frame():
    frame = sweeps.sweep(factors=("darkness", "samples"), n_samples=200, seeds=(0,), methods=("regions",))
    assert tuple(frame.columns) == sweeps.SCORES.required
    assert frame["level"].tolist() == [*FACTORS["darkness"].levels, *FACTORS["samples"].levels]
    assert set(frame["problem"].tolist()) == {""} and np.isfinite(column(frame, "rmse")).all()
    # A true f that is brighter than the gauge is taken for a larger c.
    assert (np.diff(column(frame, "ratio_error")[:6]) > 0.0).all()


def test_means_over_seeds_leave_failures_out():
    frame = sweeps.accuracy((300,), (0, 1), ("regions", "log_soc"))
    frame.loc[0, ["rmse", "cosine", "ratio_error", "c_error", "deepest"]] = np.nan
    means = {row["method"]: row for row in sweeps.over_seeds(frame).to_dict("records")}
    assert means["regions"]["failed"] == 1 and means["log_soc"]["failed"] == 0
    assert means["regions"]["rmse"] == frame.loc[2, "rmse"]
    both = column(frame, "rmse")[[1, 3]]
    assert means["log_soc"]["rmse"] == pytest.approx(both.mean())
    assert (means["log_soc"]["rmse_min"], means["log_soc"]["rmse_max"]) == (both.min(), both.max())


def test_a_failed_estimate_leaves_its_reason():
    library = reference_twin(100, n_bands=12)
    row = sweeps.score(library, "minerals")
    assert np.isnan(row["rmse"]) and "too few bands" in row["problem"]


def test_measured_data_have_no_truth():
    library = dataclasses.replace(reference_twin(50, n_bands=40), truth=None)
    with pytest.raises(DataError, match="no truth"):
        sweeps.score(library, "regions")


@pytest.mark.slow
def test_the_aims_of_the_direct_regression():
    small = sweeps.accuracy((2000,), range(3), ("regions",))
    assert column(small, "rmse").max() <= 0.045 and column(small, "cosine").min() >= 0.98
    assert np.abs(column(small, "ratio_error")).max() <= 0.10
    large = sweeps.over_seeds(sweeps.accuracy((8000,), range(3), ("regions",))).to_dict("records")[0]
    assert large["rmse"] <= 0.015 and large["cosine"] >= 0.998 and abs(large["ratio_error"]) <= 0.08
    null = sweeps.accuracy((8000,), range(3), ("regions", "minerals"), soc_troughs=False)
    assert column(null, "deepest").max() <= 0.008
