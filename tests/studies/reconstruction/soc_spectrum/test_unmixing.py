"""Unmixing of exact mixtures, made by the mixing model itself; the degeneracy: other f and c, the same spectra."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from jaxsoil.data.twin.soil.make import reference_twin
from jaxsoil.physics import mixing
from jaxsoil.runs.errors import DataError
from jaxsoil.studies.reconstruction.soc_spectrum.unmixing import abundance_error, degenerate_solutions, unmix


def exact(seed=0, n=8, k=5, m=40):
    rng = np.random.default_rng(seed)
    mass = rng.dirichlet(np.ones(k), n)
    rho_r, endmembers = rng.uniform(1.0, 3.0, k), rng.uniform(0.05, 0.9, (k, m))
    reflectance = np.asarray(mixing.mix(*(jnp.asarray(part, jnp.float32) for part in (mass, rho_r, endmembers))))
    return mass, reflectance.astype(np.float64), endmembers, rho_r


def test_noise_free_mixtures_are_unmixed():
    mass, reflectance, endmembers, rho_r = exact()
    np.testing.assert_allclose(unmix(reflectance, endmembers, rho_r), mass, atol=2e-5)


def test_absent_endmembers_are_zero_and_rows_sum_to_one():
    _, reflectance, endmembers, rho_r = exact()
    more = np.vstack([endmembers, np.random.default_rng(9).uniform(0.05, 0.9, (1, 40))])
    found = unmix(reflectance, more, np.append(rho_r, 2.0))
    assert found[:, -1].max() < 1e-4
    np.testing.assert_allclose(found.sum(axis=1), 1.0)


def test_errors_by_endmember():
    true = np.array([[0.5, 0.5], [0.2, 0.8]])
    np.testing.assert_allclose(abundance_error(true, true + np.array([[0.1, -0.1], [-0.3, 0.3]])), (0.2, 0.2))
    with pytest.raises(DataError, match="differ in shape"):
        abundance_error(true, true[:1])


def test_what_cannot_be_unmixed_is_refused():
    _, reflectance, endmembers, rho_r = exact()
    with pytest.raises(DataError, match="do not belong together"):
        unmix(reflectance[:, :-1], endmembers, rho_r)
    with pytest.raises(DataError, match="not all finite"):
        unmix(reflectance, np.full_like(endmembers, np.nan), rho_r)


@pytest.fixture(scope="module")
def found():
    return degenerate_solutions(reference_twin(400, seed=0).truth)


def test_the_spectra_are_the_same_to_rounding(found):
    assert found.difference.max() <= 1e-12
    np.testing.assert_allclose(found.reflectance - found.reflectance[:1], 0.0, atol=1e-12)


def test_f_and_c_differ(found):
    assert found.soc_rho_r[0] == pytest.approx(1.4)
    low, high = found.soc_rho_r[1::2], found.soc_rho_r[2::2]
    assert (low < 1.39).all() and (high > 1.41).all()
    # What is spared widens the range.
    assert low[1] < low[0] and high[1] > high[0]
    assert np.sqrt(np.mean((found.f_soc[1:] - found.f_soc[0]) ** 2, axis=1)).max() > 0.1


def test_the_solutions_are_physical_where_none_is_spared(found):
    assert found.feasible[:3].tolist() == [1.0, 1.0, 1.0]
    assert found.f_soc.min() >= -1e-9 and found.f_soc.max() <= 1.0 + 1e-9
    assert (found.soc > 0.0).all() and (np.diff(found.soc) > 0.0).all()


def test_the_lowest_and_highest_c_are_stated(found):
    arrays = found.arrays()
    assert arrays["physical_c"].tolist() == [found.soc_rho_r[:3].min(), found.soc_rho_r[:3].max()]
    assert arrays["all_c"].tolist() == [found.soc_rho_r[3], found.soc_rho_r[4]]
