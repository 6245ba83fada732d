"""Unmixing of exact mixtures, made by the mixing model itself."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from jaxsoil.physics import mixing
from jaxsoil.runs.errors import DataError
from jaxsoil.studies.reconstruction.soc_spectrum.unmixing import abundance_error, unmix


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
    with pytest.raises(DataError, match="different shapes"):
        abundance_error(true, true[:1])


def test_what_cannot_be_unmixed_is_refused():
    _, reflectance, endmembers, rho_r = exact()
    with pytest.raises(DataError, match="do not belong together"):
        unmix(reflectance[:, :-1], endmembers, rho_r)
    with pytest.raises(DataError, match="not finite"):
        unmix(reflectance, np.full_like(endmembers, np.nan), rho_r)
