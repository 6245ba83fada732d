"""What models should not react to: simulated perturbations by hand, whitening and orthogonalisation by algebra."""

from __future__ import annotations

import numpy as np
import pytest

from jaxsoil.models import invariance
from jaxsoil.models.invariance import KINDS, MidInfraredStrengths, Strengths
from jaxsoil.runs.errors import DataError

AXIS = np.arange(1400.0, 2400.0, 10.0)


def absorbances(n: int = 60) -> np.ndarray:
    rng = np.random.default_rng(0)
    bands = np.exp(-0.5 * ((AXIS - rng.uniform(1500, 2300, (n, 1))) / 60.0) ** 2)
    return 0.3 + 0.1 * rng.random((n, 1)) + 0.1 * bands


def test_a_gain_moves_all_bands_alike_and_a_path_as_the_spectrum() -> None:
    x = absorbances()
    gain = invariance.differences(x, AXIS, "gain")
    np.testing.assert_allclose(gain, np.broadcast_to(gain[:, :1], gain.shape), atol=1e-12)
    assert 0.3 * 0.05 < gain.std() < 0.6 * 0.05  # of log10 (1 + 0.05 z), z cut at two
    path = invariance.differences(x, AXIS, "path") / x
    np.testing.assert_allclose(path, np.broadcast_to(path[:, :1], path.shape), atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_no_strength_no_difference(kind: str) -> None:
    nothing = Strengths(**dict.fromkeys(KINDS, 0.0))
    np.testing.assert_allclose(invariance.differences(absorbances(), AXIS, kind, 0, nothing), 0.0, atol=1e-12)
    some = invariance.differences(absorbances(), AXIS, kind)
    assert np.isfinite(some).all() and np.abs(some).max() > 1e-4
    np.testing.assert_array_equal(some, invariance.differences(absorbances(), AXIS, kind))


def test_dark_spectra_keep_half_of_their_light() -> None:
    moved = invariance.differences(np.full((50, AXIS.size), 3.0), AXIS, "offset", 0, Strengths(offset=0.1))
    assert moved.max() == pytest.approx(np.log10(2.0))


@pytest.mark.parametrize(("kind", "value"), [("shift", 2000.0), ("bandwidth", 1e4), ("gain", -0.1), ("shift", np.nan)])
def test_an_impossible_perturbation_is_refused(kind: str, value: float) -> None:
    with pytest.raises(DataError, match=f"impossible {kind}"):
        invariance.penalties(absorbances(), AXIS, strengths=Strengths(**{kind: value}))


CM = np.arange(800.0, 3800.0, 10.0)


@pytest.mark.parametrize("kind", MidInfraredStrengths.kinds())
def test_the_mid_infrared_is_perturbed_in_wavenumbers(kind: str) -> None:
    band = np.exp(-0.5 * ((CM - np.linspace(1200.0, 3400.0, 12)[:, None]) / 80.0) ** 2)
    x = (0.4 + 0.5 * band)[:, ::-1]  # on an axis that ascends in nm, as studies have it
    found = invariance.differences(x, 1e7 / CM[::-1], kind)[:, ::-1]
    assert np.isfinite(found).all() and 1e-4 < np.abs(found).max() < 0.6
    at = [int(np.argmin(np.abs(CM - centre))) for centre in (1200.0, 1640.0, 2360.0, 2600.0, 3300.0)]
    if kind == "shift":  # of at most two standard deviations, 2 cm-1, on the steepest slope
        assert np.abs(found).max() < 2.0 * 0.5 / 80.0 * np.exp(-0.5) * 1.05
    if kind == "moisture":
        wet = found[:, at].mean(axis=0)
        assert wet[4] > wet[1] > 3.0 * wet[3] and wet[0] < 1e-9
    if kind == "carbon_dioxide":
        assert np.abs(found[:, at[2]]).max() > 0.01 and np.abs(found[:, [at[0], at[1], at[3], at[4]]]).max() < 1e-9
    if kind == "gain":
        np.testing.assert_allclose(found, np.broadcast_to(found[:, :1], found.shape), atol=1e-12)
    with pytest.raises(DataError, match=f"impossible {kind}"):
        invariance.differences(x, 1e7 / CM[::-1], kind, 0, MidInfraredStrengths(**{kind: -1.0}))


def test_a_shift_wider_than_the_mid_infrared_is_refused_in_wavenumbers() -> None:
    with pytest.raises(DataError, match=r"impossible shift.*3000 cm-1 on 2990 cm-1"):
        invariance.penalties(np.ones((2, CM.size)), 1e7 / CM[::-1], strengths=MidInfraredStrengths(shift=3000.0))


def test_what_one_standard_deviation_does_is_linear_in_small_strengths() -> None:
    x = absorbances()
    one, many = (
        invariance.unit_differences(x, AXIS, Strengths(**{kind: s * getattr(Strengths(), kind) for kind in KINDS}))
        for s in (0.5, 1.0)
    )
    assert one.shape == (60, len(KINDS), AXIS.size)
    for number, kind in enumerate(KINDS):
        size, off = (np.sqrt(np.mean(d**2)) for d in (many[:, number], 2.0 * one[:, number] - many[:, number]))
        assert off < (1.0 if kind == "bandwidth" else 0.06) * size
    np.testing.assert_array_equal(np.array(KINDS)[invariance.one_sided(Strengths())], ["moisture", "bandwidth"])


def test_penalties_are_mean_products() -> None:
    x = absorbances()
    found = invariance.penalties(x, AXIS)
    moved = invariance.differences(x, AXIS, "tilt")
    np.testing.assert_allclose(found[KINDS.index("tilt")], moved.T @ moved / len(x))
    assert found.shape == (len(KINDS), AXIS.size, AXIS.size)


def test_whitening_turns_the_penalty_into_the_identity_and_sorts_by_variance() -> None:
    rng = np.random.default_rng(1)
    root, other = rng.normal(size=(2, 6, 6))
    penalty, covariance = root @ root.T + np.eye(6), other @ other.T
    found = invariance.whitening(penalty, covariance)
    np.testing.assert_allclose(found.T @ penalty @ found, np.eye(6), atol=1e-9)
    variances = np.diag(found.T @ covariance @ found)
    assert (np.diff(variances) <= 1e-9).all()
    np.testing.assert_allclose(np.abs(invariance.whitening(penalty, covariance, 2)), np.abs(found[:, :2]), rtol=1e-6)
    with pytest.raises(DataError, match="not positive definite"):
        invariance.whitening(np.diag([1.0, -1.0]), np.eye(2))


def test_orthogonalisation_removes_the_first_directions_and_no_other() -> None:
    directions = np.linalg.qr(np.random.default_rng(2).normal(size=(5, 5)))[0]
    kept = invariance.orthogonal(directions @ np.diag([9.0, 4.0, 1.0, 0.5, 0.1]) @ directions.T, 2)
    np.testing.assert_allclose(kept @ directions[:, :2], 0.0, atol=1e-9)
    np.testing.assert_allclose(kept @ directions[:, 2:], directions[:, 2:], atol=1e-9)
    with pytest.raises(DataError, match="too many directions"):
        invariance.orthogonal(np.eye(3), 3)
