"""Ridge regressions of the study: what the penalty does, and properties that cannot be fitted."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from jaxsoil.spectra.perturbations import smooth_curve
from jaxsoil.spectra.preprocess import SNV
from jaxsoil.studies.multifidelity import ridges
from jaxsoil.studies.multifidelity.config import CARRY_OVER, NO_CURVE, RIDGE, STRATEGY, MultifidelityConfig, smoke
from jaxsoil.studies.multifidelity.replicates import SpectraSets
from jaxsoil.studies.multifidelity.run import prepare


@pytest.fixture(scope="module")
def sets() -> SpectraSets:
    return prepare(smoke(MultifidelityConfig(seeds=1))).each[0].sets


def test_the_penalty_keeps_predictions_where_another_instrument_adds_a_curve(sets: SpectraSets) -> None:
    models = ridges.fit_ridges(STRATEGY.values(), sets, np.arange(0, 130, 2), draws=8)
    assert list(models) == [RIDGE, CARRY_OVER, NO_CURVE]
    new = sets.data.labelled.spectra.to_absorbance()[np.arange(1, 130, 2)]
    curve = smooth_curve(new.n_bands, 0.03, np.random.default_rng(7))
    plain, moved = (SNV()(new.replace(values=new.values + one, step="curve")).values for one in (0.0 * curve, curve))
    spread = np.std(sets.values["labelled"], axis=0)
    change = {name: np.mean(np.abs(model(moved)[0] - model(plain)[0]) / spread) for name, model in models.items()}
    assert change[CARRY_OVER] < 0.4 * min(change[RIDGE], change[NO_CURVE])
    # The penalty has not taken the property away.
    ph = sets.properties.index("ph")
    assert np.corrcoef(models[CARRY_OVER](plain)[0][:, ph], sets.values["labelled"][1::2, ph])[0, 1] > 0.5


def test_a_property_that_cannot_be_fitted_is_a_constant_or_unknown(sets: SpectraSets) -> None:
    values = np.full_like(sets.values["labelled"], np.nan)
    values[:, 0] = 2.0
    values[:2, 1] = 10.0, 10.5
    values[:9, 2] = np.arange(9.0)  # known of other rows than the first
    one = dataclasses.replace(sets, values={**sets.values, "labelled": values})
    model = ridges.fit_ridges([STRATEGY[CARRY_OVER]], one, np.arange(12), draws=2)[CARRY_OVER]
    found, _ = model(sets.mir["labelled"][:12])
    np.testing.assert_allclose(found[:, 0], 2.0, rtol=1e-9)
    np.testing.assert_allclose(found[:, 1], np.expm1(np.log1p([10.0, 10.5]).mean()), rtol=1e-9)
    assert np.corrcoef(found[:9, 2], np.arange(9.0))[0, 1] > 0.5
    assert np.isnan(found[:, 3:]).all()
    assert np.any(model.coefficients, axis=0).tolist() == [False, False, True] + [False] * 6


def test_perturbations_leave_nothing_of_a_gain_or_a_path_behind_snv(sets: SpectraSets) -> None:
    found = ridges.changes_of_perturbations(sets.library("labelled"), np.arange(4))
    assert found.shape == (len(ridges.KINDS), ridges.LEAST_ROWS, sets.mir["labelled"].shape[1])
    size = dict(zip(ridges.KINDS, np.sqrt(np.mean(found**2, axis=(1, 2))), strict=True))
    # A factor on reflectance is an offset of absorbance, a path a factor on it.
    assert max(size["gain"], size["path"]) < 1e-5 < 1e-3 < min(size["curve"], size["tilt"], size["moisture"])


@pytest.mark.parametrize(("groups", "expected"), [({}, 1), ({"region": 2}, 2), ({"region": 2, "laboratory": 3}, 3)])
def test_laboratories_come_before_regions_and_like_spectra_do_not_count(
    sets: SpectraSets, groups: dict[str, int], expected: int
) -> None:
    named = {name: (np.arange(130) % count).astype(str) for name, count in (groups | {"cluster": 5}).items()}
    library = dataclasses.replace(sets.library("labelled"), groups=named)
    assert np.unique(ridges.known_regions(library)).size == expected
