"""What baselines fit, and the mean of SOC behind a model of its logarithm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jaxsoil.models import plsr
from jaxsoil.runs.errors import DataError
from jaxsoil.studies.reconstruction import baselines
from jaxsoil.training.config import TrainConfig


def soils(n: int = 400, spread: float = 0.3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spectra that give the median of a log-normal SOC exactly, SOC in %, and groups of four rows."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 20))
    soc = 10.0 ** (0.2 * x[:, 0] + rng.normal(0.0, spread, n))
    return x, soc, np.arange(n) // 4


def test_the_smearing_factor_of_normal_residuals_is_that_of_the_lognormal() -> None:
    residuals = np.random.default_rng(1).normal(0.0, 0.2, 200_000)
    assert baselines.factor_of(residuals) == pytest.approx(np.exp((0.2 * np.log(10.0)) ** 2 / 2.0), rel=0.01)
    assert baselines.factor_of(np.empty(0)) == 1.0 == baselines.factor_of(np.array([np.nan, 0.0]))


@pytest.mark.parametrize("name", ["plsr", "random_forest"])
def test_the_mean_of_a_log_model_is_less_biased_than_its_median(name: str) -> None:
    x, soc, groups = soils()
    new_x, new_soc, _ = soils(4000)
    model = baselines.fit(name, x, soc, groups, seed=0)
    median = model.predict(new_x)
    assert median.mean() < 0.9 * new_soc.mean()
    assert (model.factor * median).mean() == pytest.approx(new_soc.mean(), rel=0.12)
    linear = baselines.fit(name, x, soc, groups, seed=0, loss="linear")
    assert linear.factor == 1.0 and linear.predict(new_x).mean() == pytest.approx(new_soc.mean(), rel=0.12)
    assert baselines.fit(name, x, soc, groups, seed=0, correct=False).factor == 1.0


def test_proportional_weighs_by_the_networks_sigma() -> None:
    x, soc, groups = soils(80)
    train = TrainConfig(sigma_relative=0.2, sigma_floor=0.001)
    made = baselines.fit("plsr", x, soc, groups, seed=0, loss="proportional", train=train)
    expected = plsr.fit(x, soc, weights=1.0 / (0.2 * soc + 0.1) ** 2)
    np.testing.assert_allclose(made.predict(x), expected.predict(x))


def test_an_unknown_baseline_is_refused() -> None:
    parts: Any = soils(40)
    with pytest.raises(DataError, match="no baseline 'cubist'"):
        baselines.fit("cubist", *parts, seed=0)
