"""Property models: a linear truth is found by either task, gaps are left out; target transforms and the way back."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from unittest.mock import Mock

import jax
import numpy as np
import pytest

from jaxsoil.data.scans import MultifidelityData
from jaxsoil.evaluation.metrics import r2
from jaxsoil.runs.errors import DataError, UsageError
from jaxsoil.studies.multifidelity.config import STRATEGY, PropertyConfig
from jaxsoil.studies.multifidelity.property_models import PropertyModel, Targets, fit_properties
from jaxsoil.studies.multifidelity.replicates import SpectraSets
from jaxsoil.training.config import LoopConfig

NAMES = ("tc", "ph")
LOOP = LoopConfig(epochs=60, batch=32, lr=5e-3)


def problem() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 6)).astype(np.float32)
    x[:, 5] = 1.0
    return x, np.column_stack([np.expm1(np.abs(0.5 * x[:, 0] + 1.0)), 6.5 + x[:, 1]])


def fitted(x: np.ndarray, y: np.ndarray, task, loop: LoopConfig = LOOP, **options) -> tuple[PropertyModel, object]:
    config, rows = PropertyConfig(widths=(16,), dropout=0.0, loop=loop, steps=0, **options), np.arange(len(x))
    sets = SpectraSets(Mock(spec=MultifidelityData), NAMES, {}, {}, {"labelled": y.astype(np.float64)})
    own, sides = STRATEGY["MIR-MLP"], (rows[:200], rows[200:220])
    return fit_properties(config, own, sets, {"labelled": x}, *sides, task=task, key=jax.random.key(0))


@pytest.mark.parametrize("task", ["multi", "single"])
def test_properties_are_predicted_in_their_units(task: str) -> None:
    x, y = problem()
    model, training = fitted(x, y, task)
    predicted = model.predict(x[220:])
    assert predicted.shape == (80, 2)
    assert r2(y[220:, 0], predicted[:, 0]) > 0.9 and r2(y[220:, 1], predicted[:, 1]) > 0.95
    assert np.shape(training.epochs_run) == (() if task == "multi" else (2,))  # type: ignore[attr-defined]
    wild = x[220:].copy()
    wild[:, 5] = 2.0  # a column without variance in training is not blown up by its rounding error
    assert np.isfinite(model.predict(wild)).all()


def test_spectra_that_exceed_the_memory_are_read_from_the_disk_to_the_same_bits(tmp_path: Path) -> None:
    x, y = problem()
    np.save(tmp_path / "x.npy", x)
    mapped, loop = np.load(tmp_path / "x.npy", mmap_mode="r"), LoopConfig(epochs=3, batch=32)
    (inside, _), (streamed, _) = fitted(x, y, "multi", loop), fitted(mapped, y, "multi", loop, memory_gb=1e-6)
    assert np.array_equal(inside.centre, x[:200].mean(axis=0)) and np.array_equal(streamed.scale, inside.scale)
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, inside.params, streamed.params)))
    with pytest.raises(UsageError, match=r"--properties.memory-gb -1"):
        PropertyConfig(memory_gb=-1.0)


def test_rows_without_a_value_do_not_train_that_property() -> None:
    x, y = problem()
    gaps = y.copy()
    gaps[:150, 0] = np.nan
    model, _ = fitted(x, gaps, "multi")
    assert r2(y[220:, 1], model.predict(x[220:])[:, 1]) > 0.95
    assert model.targets.centre[0] == pytest.approx(np.log1p(y[150:200, 0]).mean())


@pytest.mark.parametrize("task", ["multi", "single"])
def test_a_diverged_training_predicts_nothing(task) -> None:
    x, y = problem()
    model, training = fitted(x, y, task, dataclasses.replace(LOOP, lr=1e30))
    assert not np.any(training.alive) and not np.any(training.converged)  # type: ignore[attr-defined]
    assert np.isnan(model.predict(x[220:])).all()


TEXTURED = ("tc", "ph", "clay", "silt", "sand")


def textured(n: int = 30) -> np.ndarray:
    rng = np.random.default_rng(0)
    texture = 100.0 * rng.dirichlet([2.0, 3.0, 4.0], n)
    return np.column_stack([rng.lognormal(0.0, 1.0, n), rng.uniform(4.0, 9.0, n), texture])


def test_carbon_is_logged_and_ph_and_texture_are_not() -> None:
    y = textured()
    targets = Targets.fit(y, TEXTURED)
    t = targets.forward(y)
    logged = np.log1p(y[:, 0])
    np.testing.assert_allclose(t[:, 0], (logged - logged.mean()) / logged.std(ddof=1), rtol=1e-12)
    np.testing.assert_allclose(t[:, 1:], (y[:, 1:] - y[:, 1:].mean(0)) / y[:, 1:].std(0, ddof=1), rtol=1e-12)


@pytest.mark.parametrize("ilr", [False, True])
def test_back_again(ilr: bool) -> None:
    y = textured()
    y[3, 0] = np.nan
    targets = Targets.fit(y, TEXTURED, ilr=ilr)
    assert len(targets.columns) == (4 if ilr else 5)
    np.testing.assert_allclose(targets.inverse(targets.forward(y)), y, rtol=1e-5, atol=1e-5)


def test_any_prediction_sums_to_100_with_ilr() -> None:
    targets = Targets.fit(textured(), TEXTURED, ilr=True)
    texture = targets.inverse(np.random.default_rng(1).normal(0.0, 5.0, (200, 4)))[:, 2:]
    assert (texture.sum(axis=1) == 100.0).all()
    assert (texture >= 0).all()


def test_what_cannot_be_learned_is_named() -> None:
    y = textured()
    with pytest.raises(DataError, match="column tc: log"):
        Targets.fit(y - 5.0, TEXTURED)
    y[:, 1] = 7.0
    with pytest.raises(DataError, match="column ph: a property needs two different values"):
        Targets.fit(y, TEXTURED)
    with pytest.raises(DataError, match="ILR needs clay, silt and sand"):
        Targets.fit(textured()[:, :2], TEXTURED[:2], ilr=True)
    with pytest.raises(DataError, match="one column for each property"):
        Targets.fit(textured(), TEXTURED[:2])
