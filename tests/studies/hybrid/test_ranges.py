"""Physical ranges: scales and back, closed forms of the error, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from jaxsoil.runs.errors import DataError
from jaxsoil.studies.hybrid.ranges import RANGES, range_of


@pytest.mark.parametrize("name", RANGES)
def test_the_learning_scale_goes_back_and_never_leaves_the_range(name: str) -> None:
    for limits in RANGES[name]:
        values = np.linspace(limits.low, limits.high, 50)
        np.testing.assert_allclose(limits.from_scale(limits.to_scale(values)), values, atol=1e-9)
        wild = limits.from_scale(np.array([-1e6, np.inf, -np.inf, 1e6]))
        assert set(wild.tolist()) == {limits.low, limits.high}
        assert limits.outside(np.array([limits.bounds[0] - 0.01, limits.bounds[1] + 0.01])).all()


def test_missing_values_stay_missing() -> None:
    assert np.isnan(range_of("carbon", "g/kg").to_scale(np.array([np.nan]))).all()


def test_the_error_is_that_of_a_squared_normal_variable() -> None:
    """Var(Z^2) = 4 m^2 s^2 + 2 s^4 for Z of mean m and SD s, far from the ends of the range."""
    mean, sd = np.array([5.0, 10.0, 20.0]), np.array([0.5, 1.0, 0.2])
    expected = np.sqrt(4 * mean**2 * sd**2 + 2 * sd**4)
    np.testing.assert_allclose(range_of("carbon", "g/kg").error(mean, sd), expected, rtol=1e-9)


def test_a_clipped_error_is_smaller() -> None:
    limits = range_of("ph", "1")
    np.testing.assert_allclose(limits.error(np.array([7.0]), np.array([0.5])), [0.5], rtol=1e-9)
    assert limits.error(np.array([14.0]), np.array([0.5]))[0] < 0.45


def test_an_unknown_property_or_unit_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"carbon.*another unit.*%.*g/kg"):
        range_of("carbon", "%")
    with pytest.raises(DataError, match="Did you mean 'carbon'"):
        range_of("carbo", "g/kg")
