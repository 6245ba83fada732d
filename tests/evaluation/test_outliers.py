"""Outlying spectra: components by scikit-learn's PCA, planted outliers of both kinds."""

from __future__ import annotations

import numpy as np
import pytest

from jaxsoil.evaluation.outliers import PcaSpace
from jaxsoil.runs.errors import DataError


def spectra(n: int = 400, m: int = 30, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 3)) @ rng.normal(size=(3, m)) + 0.05 * rng.normal(size=(n, m)) + 2.0


def test_components_and_residuals_are_those_of_scikit_learn() -> None:
    from sklearn.decomposition import PCA

    rows = spectra()
    space = PcaSpace.fit(rows, 3, 0.01, rounds=1)
    reference = PCA(3).fit(rows)
    loadings = np.asarray(reference.components_)
    np.testing.assert_allclose(np.abs(space.components @ loadings.T), np.eye(3), atol=1e-6)
    left = rows - reference.inverse_transform(reference.transform(rows))
    np.testing.assert_allclose(space.judge(rows).residual, np.sqrt(np.mean(left**2, axis=1)), rtol=1e-6)


def test_few_training_rows_are_flagged_and_each_kind_of_outlier_by_its_name() -> None:
    rows = spectra()
    space = PcaSpace.fit(rows, 3, 0.01)
    assert space.judge(rows).outside.mean() < 0.06
    far = (space.mean + 200.0 * space.components[0])[None, :]
    strange = rows[:1] + np.where(np.arange(30) % 2, 1.0, -1.0)
    assert space.judge(far).flag.tolist() == ["distance"]
    assert "residual" in space.judge(strange).flag[0]


def test_a_gross_outlier_does_not_set_the_limits() -> None:
    rows = spectra()
    dirty = np.concatenate([rows, rows[:4] + 50.0 * np.random.default_rng(1).normal(size=(4, 30))])
    once, twice = PcaSpace.fit(dirty, 3, 0.01, rounds=1), PcaSpace.fit(dirty, 3, 0.01)
    assert twice.residual_limit.value < 0.5 * once.residual_limit.value
    assert twice.judge(dirty[-4:]).outside.all()


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(DataError, match="more rows"):
        PcaSpace.fit(spectra(n=4), 3, 0.01)
