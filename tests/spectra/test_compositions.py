"""Compositions against SciPy's Helmert matrix, closed forms for texture, and round trips."""

from __future__ import annotations

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given

from jaxsoil.runs.errors import DataError
from jaxsoil.spectra.compositions import basis, closure, ilr, ilr_inverse, replace_zeros

TEXTURE = np.array([[20.0, 30.0, 50.0], [5.0, 15.0, 80.0], [60.0, 39.5, 0.5]])


def test_texture_by_the_closed_form() -> None:
    clay, silt, sand = TEXTURE.T
    expected = np.stack([np.log(clay / silt) / np.sqrt(2), np.sqrt(2 / 3) * np.log(np.sqrt(clay * silt) / sand)], 1)
    np.testing.assert_allclose(ilr(TEXTURE), expected, rtol=1e-13)
    np.testing.assert_allclose(ilr(jnp.asarray(TEXTURE, jnp.float32)), expected, rtol=1e-5)
    # Equal parts are the origin.
    np.testing.assert_allclose(ilr(np.full((1, 3), 7.0)), 0.0, atol=1e-15)


@pytest.mark.parametrize("parts", [2, 3, 5, 9])
def test_the_basis_is_scipys_helmert_matrix(parts: int) -> None:
    v = basis(parts)
    np.testing.assert_allclose(v, scipy.linalg.helmert(parts).T, atol=1e-14)
    np.testing.assert_allclose(v.T @ v, np.eye(parts - 1), atol=1e-14)
    np.testing.assert_allclose(v.sum(axis=0), 0.0, atol=1e-14)


def test_distances_are_those_of_aitchison() -> None:
    """The isometry: the squared distance is the mean over all pairs of parts of squared log-ratio differences."""
    a, b = np.log(TEXTURE[0]), np.log(TEXTURE[1])
    pairs = [((a[i] - a[j]) - (b[i] - b[j])) ** 2 for i in range(3) for j in range(i + 1, 3)]
    first, second = ilr(TEXTURE)[:2]
    assert np.sum((first - second) ** 2) == pytest.approx(sum(pairs) / 3, rel=1e-12)


@given(st.lists(st.tuples(*[st.floats(0.01, 100.0)] * 3), min_size=1, max_size=5))
def test_round_trip(rows: list[tuple[float, float, float]]) -> None:
    parts = np.array(rows)
    back = ilr_inverse(ilr(parts))
    np.testing.assert_allclose(back, closure(parts), rtol=1e-10)


@given(st.lists(st.tuples(*[st.floats(-30.0, 30.0)] * 2), min_size=1, max_size=20))
def test_clay_silt_and_sand_sum_to_exactly_100(rows: list[tuple[float, float]]) -> None:
    parts = ilr_inverse(np.array(rows))
    assert np.all(parts[:, 0] + parts[:, 1] + parts[:, 2] == 100.0)
    assert np.all(parts >= 0) and np.all(parts <= 100.0)


def test_many_rows_and_float32_coordinates_sum_to_exactly_100() -> None:
    y = np.random.default_rng(0).normal(0, 2, (20_000, 2))
    for coordinates in (y, y.astype(np.float32)):
        parts = ilr_inverse(coordinates)
        assert parts.dtype == np.float64 and np.all(parts[:, 0] + parts[:, 1] + parts[:, 2] == 100.0)
        assert np.all(parts[:, 2] + parts[:, 1] + parts[:, 0] == 100.0) and np.all(parts.sum(axis=1) == 100.0)
    in_jax = np.asarray(jax.jit(ilr_inverse)(jnp.asarray(y, jnp.float32)))
    assert in_jax.dtype == np.float32
    np.testing.assert_allclose(in_jax, ilr_inverse(y), rtol=2e-4, atol=1e-6)
    np.testing.assert_allclose(in_jax.sum(axis=1), 100.0, rtol=1e-6)


def test_zeros_by_hand() -> None:
    replaced = replace_zeros(np.array([[0.0, 30.0, 70.0], [0.0, 0.0, 8.0], [10.0, 20.0, 70.0]]), delta=0.05)
    expected = [[0.05, 30 * 0.9995, 70 * 0.9995], [0.05, 0.05, 99.9], [10.0, 20.0, 70.0]]
    np.testing.assert_allclose(replaced, expected, rtol=1e-14)
    np.testing.assert_allclose(replaced.sum(axis=1), 100.0, rtol=1e-14)
    # Ratios of what was measured stay.
    assert replaced[0, 1] / replaced[0, 2] == pytest.approx(30 / 70, rel=1e-14)
    assert np.isfinite(ilr(np.array([[0.0, 0.0, 100.0]]))).all()


def test_gradients_at_zeros_and_extremes_are_finite() -> None:
    parts = jnp.array([[0.0, 40.0, 60.0], [0.0, 0.0, 100.0], [33.0, 33.0, 34.0]], jnp.float32)
    gradient = jax.jit(jax.jacrev(lambda p: ilr(p).sum()))(parts)
    assert bool(jnp.isfinite(gradient).all()) and bool((gradient[0, 1:] != 0).all())
    far = jnp.array([[300.0, -200.0], [0.0, 0.0], [-50.0, 80.0]], jnp.float32)
    slopes = jax.jit(jax.jacrev(ilr_inverse))
    assert bool(jnp.isfinite(slopes(far)).all())
    by_difference = (ilr_inverse(np.array([[0.1 + 1e-6, 0.2]])) - ilr_inverse(np.array([[0.1 - 1e-6, 0.2]]))) / 2e-6
    analytic = slopes(jnp.array([0.1, 0.2], jnp.float32))
    np.testing.assert_allclose(analytic[:, 0], by_difference[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("row", [[-1.0, 41.0, 60.0], [np.nan, 40.0, 60.0], [0.0, 0.0, 0.0]])
def test_what_is_no_composition_is_refused(row: list[float]) -> None:
    with pytest.raises(DataError, match="no composition") as raised:
        ilr(np.array([[20.0, 30.0, 50.0], row]))
    assert "row 1" in str(raised.value)
    with pytest.raises(DataError, match="two parts"):
        basis(1)
