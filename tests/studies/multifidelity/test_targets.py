"""Target transforms: what is logged, closed forms, the way back, the texture's sum."""

from __future__ import annotations

import numpy as np
import pytest

from jaxsoil.runs.errors import DataError
from jaxsoil.studies.multifidelity.targets import Targets

NAMES = ("tc", "ph", "clay", "silt", "sand")


def values(n: int = 30) -> np.ndarray:
    rng = np.random.default_rng(0)
    texture = 100.0 * rng.dirichlet([2.0, 3.0, 4.0], n)
    return np.column_stack([rng.lognormal(0.0, 1.0, n), rng.uniform(4.0, 9.0, n), texture])


def test_carbon_is_logged_and_ph_and_texture_are_not() -> None:
    y = values()
    targets = Targets.fit(y, NAMES)
    t = targets.forward(y)
    logged = np.log1p(y[:, 0])
    np.testing.assert_allclose(t[:, 0], (logged - logged.mean()) / logged.std(ddof=1), rtol=1e-12)
    np.testing.assert_allclose(t[:, 1:], (y[:, 1:] - y[:, 1:].mean(0)) / y[:, 1:].std(0, ddof=1), rtol=1e-12)


@pytest.mark.parametrize("ilr", [False, True])
def test_back_again(ilr: bool) -> None:
    y = values()
    y[3, 0] = np.nan
    targets = Targets.fit(y, NAMES, ilr=ilr)
    assert len(targets.columns) == (4 if ilr else 5)
    np.testing.assert_allclose(targets.inverse(targets.forward(y)), y, rtol=1e-5, atol=1e-5)


def test_any_prediction_sums_to_100_with_ilr() -> None:
    targets = Targets.fit(values(), NAMES, ilr=True)
    texture = targets.inverse(np.random.default_rng(1).normal(0.0, 5.0, (200, 4)))[:, 2:]
    assert (texture.sum(axis=1) == 100.0).all()
    assert (texture >= 0).all()


def test_what_cannot_be_learned_is_named() -> None:
    y = values()
    with pytest.raises(DataError, match="column tc: log"):
        Targets.fit(y - 5.0, NAMES)
    y[:, 1] = 7.0
    with pytest.raises(DataError, match="column ph: a property needs two different values"):
        Targets.fit(y, NAMES)
    with pytest.raises(DataError, match="ILR needs clay, silt and sand"):
        Targets.fit(values()[:, :2], NAMES[:2], ilr=True)
    with pytest.raises(DataError, match="one column for each property"):
        Targets.fit(values(), NAMES[:2])
