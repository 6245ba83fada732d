"""Mid-infrared perturbations of absorbance, by hand and by what they must leave alone."""

from __future__ import annotations

import numpy as np
import pytest

from jaxsoil.runs.errors import DataError
from jaxsoil.spectra import infrared_perturbations
from jaxsoil.spectra.infrared_perturbations import KINDS, Strengths, perturbed

AXIS = np.arange(600.0, 4000.1, 10.0)


def absorbances(n: int = 40) -> np.ndarray:
    rng = np.random.default_rng(0)
    bands = np.exp(-0.5 * ((AXIS - rng.uniform(800, 3800, (n, 1))) / 60.0) ** 2)
    return 0.8 + 0.1 * rng.random((n, 1)) + 0.3 * bands


def moved(kind: str, x: np.ndarray, **strengths: float) -> np.ndarray:
    return perturbed(x, AXIS, kind, 0, Strengths(**strengths)) - x


@pytest.mark.parametrize("kind", KINDS)
def test_no_strength_no_difference_and_the_same_seed_the_same_one(kind: str) -> None:
    x = absorbances()
    kept = x.copy()
    np.testing.assert_allclose(moved(kind, x, **{kind: 0.0}), 0.0, atol=1e-12)
    some = perturbed(x, AXIS, kind)
    assert np.abs(some - x).max() > 1e-4
    np.testing.assert_array_equal(some, perturbed(x, AXIS, kind))
    np.testing.assert_array_equal(x, kept)


def test_offsets_slopes_and_paths_are_what_their_names_say() -> None:
    x = absorbances(400)
    offset, slope, path = (moved(kind, x) for kind in ("offset", "slope", "path"))
    np.testing.assert_allclose(offset, np.broadcast_to(offset[:, :1], offset.shape), atol=1e-12)
    assert 0.8 * 0.02 < offset[:, 0].std() < 1.1 * 0.02 and np.abs(offset).max() <= 0.04 + 1e-12
    np.testing.assert_allclose(np.diff(slope, 2, axis=1), 0.0, atol=1e-12)
    np.testing.assert_allclose(slope[:, 0], -slope[:, -1], atol=1e-12)
    np.testing.assert_allclose(path / x, np.broadcast_to((path / x)[:, :1], x.shape), atol=1e-9)
    curvature = moved("curvature", x)
    np.testing.assert_allclose(curvature[:, 0], curvature[:, -1], atol=1e-12)
    np.testing.assert_allclose(curvature[:, AXIS == 2300.0], -0.5 * curvature[:, :1], atol=1e-9)


def test_a_wrong_scale_moves_bands_in_proportion_to_their_wavenumber() -> None:
    line = AXIS[None] / 1000.0
    seen = infrared_perturbations.shift(line, [2.0], AXIS) - line
    np.testing.assert_allclose(seen[0, :-1], AXIS[:-1] / 1000.0 * 2.0 / 2000.0, rtol=1e-9)
    assert seen[0, -1] == 0.0  # beyond the axis the outermost value stands


def test_water_and_carbon_dioxide_have_their_bands() -> None:
    x = absorbances()
    for kind, centre in (("water", 3400.0), ("carbon_dioxide", 2340.0)):
        size = np.abs(moved(kind, x)).max(axis=0)
        assert abs(AXIS[size.argmax()] - centre) <= 100.0
    assert np.abs(moved("carbon_dioxide", x))[:, (AXIS > 900) & (AXIS < 2200)].max() < 1e-9


def test_curves_are_smooth_of_the_stated_size_and_differ_from_row_to_row() -> None:
    x = absorbances()
    found = moved("curve", x, curve=0.05)
    np.testing.assert_allclose(found.std(axis=1), 0.05, rtol=1e-9)
    np.testing.assert_allclose(found.mean(axis=1), 0.0, atol=1e-9)
    # Neighbouring bands, 10 of 400 cm-1 apart, hardly differ.
    assert np.abs(np.diff(found, axis=1)).max() < 0.2 * 0.05
    assert np.abs(np.corrcoef(found)[~np.eye(len(x), dtype=bool)]).mean() < 0.5


@pytest.mark.parametrize(
    ("kind", "value"), [("shift", 5000.0), ("resolution", 5000.0), ("water", -1.0), ("curve", np.nan)]
)
def test_an_impossible_strength_is_refused(kind: str, value: float) -> None:
    with pytest.raises(DataError, match=f"impossible {kind}"):
        perturbed(absorbances(2), AXIS, kind, 0, Strengths(**{kind: value}))


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(DataError, match=r"no such perturbation.*shift, resolution"):
        perturbed(absorbances(2), AXIS, "gain")
