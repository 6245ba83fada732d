"""The Gaussian process against scikit-learn's kernels and NumPy's solution, and the bad input that it must meet."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.gaussian_process.kernels import Matern, RationalQuadratic

from jaxsoil.models import gaussian_process, invariance
from jaxsoil.models.gaussian_process import Draws
from jaxsoil.runs.errors import DataError

AXIS = np.arange(1400.0, 2400.0, 100.0)


def soils(n: int = 90) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = 0.4 + 0.05 * rng.normal(size=(n, AXIS.size))
    return x, 8.0 * (x[:, 2] - x[:, 5]) + rng.normal(0.0, 0.05, n), np.arange(n) % 3


def one(rational: float, noise: float = 0.1, components: int = 40, kinds: float = 0.0) -> Draws:
    plain = np.full((1, len(invariance.KINDS)), kinds)
    whole = np.array([1e-3]), plain, np.array([kinds]), np.array([components]), np.array([0.8])
    return Draws(*whole, np.array([rational]), np.array([noise]))


@pytest.mark.parametrize("rational", [0.0, 1.0])
def test_a_process_is_that_of_the_reference(rational: float) -> None:
    x, y, region = soils()
    new = x[:20] + 0.01
    found = gaussian_process.fit(x, y, region, AXIS, one(rational))
    # In the plain metric distances are proportional to Euclid's.
    length = 0.8 * np.sqrt(2.0 * np.square(x - x.mean(axis=0)).sum(axis=1).mean())
    kernel: Any = RationalQuadratic(length, alpha=1.0) if rational else Matern(length, nu=1.5)
    same = region[:, None] == region
    system = y.var() * kernel(x) + 1.0 + 0.1**2 * same + 0.1**2 * np.eye(y.size)
    weights = np.linalg.solve(system, y - y.mean())
    expected = y.mean() + (y.var() * kernel(new, x) + 1.0) @ weights
    np.testing.assert_allclose(found.predict(new), expected, atol=1e-6)
    assert found.jitter.tolist() == [0.0]


def test_draws_are_averaged_and_reproducible() -> None:
    x, y, region = soils()
    draws = gaussian_process.prior(3, seed=1)
    alone = [gaussian_process.fit(x, y, region, AXIS, Draws(*(part[k : k + 1] for part in draws))) for k in range(3)]
    found = gaussian_process.fit(x, y, region, AXIS, draws)
    np.testing.assert_allclose(found.predict(x), np.mean([model.predict(x) for model in alone], axis=0), atol=1e-8)
    np.testing.assert_array_equal(found.weights, gaussian_process.fit(x, y, region, AXIS, draws).weights)
    assert np.corrcoef(found.predict(x), y)[0, 1] > 0.9


def test_only_the_first_components_count() -> None:
    x, y, region = soils()
    found = gaussian_process.fit(x, y, region, AXIS, one(0.0, components=2, kinds=1.0))
    assert np.any(found.directions[0, :, :2]) and not np.any(found.directions[0, :, 2:])


def test_twins_with_other_labels_get_the_mean_and_without_noise_a_jitter() -> None:
    x, y, region = soils()
    x[1], y[:2], region[1] = x[0], (1.0, -1.0), region[0]
    found = gaussian_process.fit(x, y, region, AXIS, one(0.0))
    assert abs(found.predict(x[:1])[0]) < 0.5 and found.jitter[0] == 0.0
    assert gaussian_process.fit(x, y, region, AXIS, one(0.0, noise=0.0)).jitter[0] > 0.0
    with pytest.raises(DataError, match="not positive definite"):
        gaussian_process.fit(x, y, region, AXIS, one(0.0, noise=np.nan))


def test_labels_that_do_not_vary_are_taken() -> None:
    x, y, region = soils()
    found = gaussian_process.fit(x, np.full(y.size, 0.7), region, AXIS, gaussian_process.prior(2))
    np.testing.assert_allclose(found.predict(x), 0.7, atol=1e-6)
    # A single region without variation is one of several.
    some = np.where(region == region[0], 0.7, y)
    found = gaussian_process.fit(x, some, region, AXIS, one(0.0))
    assert np.ptp(found.predict(x[region == region[0]])) < np.ptp(found.predict(x[region != region[0]]))


def test_too_many_rows_are_refused_and_a_subset_is_shared_by_the_regions() -> None:
    many = np.random.default_rng(0).normal(size=(30_000, 4))
    with pytest.raises(DataError, match="takes at most 5000 rows"):
        gaussian_process.fit(many, many[:, 0], np.zeros(30_000), np.arange(4.0))
    region = np.repeat(["a", "b", "c"], [29_000, 900, 100])
    rows = gaussian_process.subset(region)
    assert np.array_equal(rows, gaussian_process.subset(region)) and (np.diff(rows) > 0).all()
    assert np.unique(region[rows], return_counts=True)[1].tolist() == [250, 250, 100]
    shares = np.bincount(gaussian_process.subset(np.arange(30_000) % 40) % 40)
    assert shares.tolist() == [25] * 40
    with pytest.raises(DataError, match="another number of features"):
        gaussian_process.fit(*soils(), AXIS, one(0.0)).predict(np.ones((2, 3)))
