"""The mixing physics against closed forms."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsoil.physics import mixing


def _example(seed=0, n=7, k=6, m=11, dtype="float32"):
    rng = np.random.default_rng(seed)
    drawn = rng.dirichlet(np.ones(k), n), rng.uniform(1.0, 4.0, k), rng.uniform(0.05, 0.9, (k, m))
    return tuple(jnp.asarray(part.astype(dtype)) for part in drawn)


def test_one_endmember_reflects_as_itself():
    spectrum = jnp.array([[0.1, 0.4, 0.7]])
    np.testing.assert_array_equal(mixing.mix(jnp.array([[1.0]]), jnp.array([3.3]), spectrum), spectrum)


def test_two_endmembers_by_hand():
    # Surfaces 0.75/3 = 0.25 and 0.25/0.5 = 0.5, so area fractions 1/3 and 2/3; R = 0.9/3 + 0.3 * 2/3 = 0.5.
    mass, rho_r = jnp.array([0.75, 0.25]), jnp.array([3.0, 0.5])
    np.testing.assert_allclose(mixing.area_fractions(mass, rho_r), [1 / 3, 2 / 3], rtol=1e-6)
    np.testing.assert_allclose(mixing.mix(mass, rho_r, jnp.array([[0.9], [0.3]])), [0.5], rtol=1e-6)


def test_area_fractions_sum_to_one():
    mass, rho_r, _ = _example()
    np.testing.assert_allclose(jnp.sum(mixing.area_fractions(mass, rho_r), axis=-1), np.ones(7), rtol=1e-6)


def test_equal_rho_r_gives_the_mass_fractions():
    mass, _, _ = _example()
    np.testing.assert_allclose(mixing.area_fractions(mass, jnp.full(6, 2.6)), mass, rtol=2e-6)


def test_only_ratios_of_rho_r_and_of_mass_matter():
    mass, rho_r, spectra = _example()
    np.testing.assert_allclose(
        mixing.mix(3.0 * mass, 7.0 * rho_r, spectra), mixing.mix(mass, rho_r, spectra), rtol=1e-5
    )


def test_vmapped_and_jitted_equal_the_batched_call():
    mass, rho_r, spectra = _example()
    one_by_one = jax.jit(jax.vmap(mixing.mix, in_axes=(0, None, None)))(mass, rho_r, spectra)
    np.testing.assert_allclose(one_by_one, mixing.mix(mass, rho_r, spectra), rtol=1e-6)


def test_gradient_with_respect_to_rho_r_equals_finite_differences():
    with jax.enable_x64(True):
        mass, rho_r, spectra = _example(dtype="float64")

        def total(value):
            return jnp.sum(mixing.mix(mass, rho_r.at[-1].set(value), spectra) ** 2)

        numeric = (total(2.0 + 1e-5) - total(2.0 - 1e-5)) / 2e-5
        np.testing.assert_allclose(jax.grad(total)(2.0), numeric, rtol=1e-7)


@pytest.mark.parametrize("seed", range(5))
def test_reflectance_and_soc_leave_f_and_c_undetermined(seed):
    with jax.enable_x64(True):
        mass, rho_r, spectra = _example(seed, n=20, k=85, m=267, dtype="float64")
        shift = jnp.asarray(np.random.default_rng(seed + 100).normal(0.0, 0.05, 84))
        other = mixing.equivalent_solution(mass, rho_r, spectra, shift)
        np.testing.assert_array_equal(other[0][:, -1], mass[:, -1])
        assert np.abs(np.asarray(mixing.mix(*other)) - np.asarray(mixing.mix(mass, rho_r, spectra))).max() <= 1e-12
        assert np.abs(np.asarray(other[2][-1]) - spectra[-1]).max() > 1e-3
        assert abs(float(other[1][-1]) - rho_r[-1]) > 1e-3


def test_the_shift_is_made_to_sum_to_zero_so_that_masses_keep_their_total():
    with jax.enable_x64(True):
        mass, rho_r, spectra = _example(dtype="float64")
        other, *_ = mixing.equivalent_solution(mass, rho_r, spectra, jnp.linspace(0.3, 0.34, 5))
        np.testing.assert_allclose(jnp.sum(other, axis=-1), np.ones(7), rtol=1e-12)
