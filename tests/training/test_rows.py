"""Trainings over rows: closed forms, optax as reference, the same bits again, members that leave each other alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxsoil.runs.errors import DataError, UsageError
from jaxsoil.training.checkpoints import Checkpoints
from jaxsoil.training.config import LoopConfig
from jaxsoil.training.rows import fit, fit_many

N, P = 60, 3
KEY = jax.random.key(1)


def problem(seed: int = 0) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(N, P)).astype(np.float32)
    return {"x": x, "y": (x @ np.array([1.0, -2.0, 0.5], np.float32) + 3.0).astype(np.float32)}


def start() -> dict[str, jax.Array]:
    return {"w": jnp.zeros(P, jnp.float32), "b": jnp.zeros((), jnp.float32)}


def squares(params: Any, stats: Any, batch: Any, key: Any, progress: Any) -> Any:
    error = batch["x"] @ params["w"] + params["b"] - batch["y"]
    return jnp.mean(jnp.square(error)), (stats, {"bias": jnp.mean(error), "progress": progress})


def same(a: Any, b: Any) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


TRAIN, VALIDATION = np.arange(40), np.arange(40, N)


@pytest.mark.parametrize("per_step", [False, True])
def test_least_squares_are_found(per_step: bool) -> None:
    config = LoopConfig(epochs=150, batch=16, lr=0.1, jit_per_step=per_step)
    fitted = fit(squares, start(), problem(), TRAIN, VALIDATION, config, KEY, label="squares")
    np.testing.assert_allclose(fitted.params["w"], [1.0, -2.0, 0.5], atol=1e-3)
    assert float(fitted.params["b"]) == pytest.approx(3.0, abs=1e-3)
    assert set(fitted.history) == {"loss", "validation_loss", "bias", "progress"}
    np.testing.assert_allclose(fitted.history["progress"], np.linspace(0, 1, 150), atol=1e-6)
    assert fitted.epochs_run == 150 and fitted.history["validation_loss"][-1] < 1e-5


def test_a_full_batch_follows_optax_adamw() -> None:
    config = LoopConfig(epochs=7, batch=40, lr=0.05, weight_decay=0.1, schedule="cosine")
    arrays = problem()
    fitted = fit(squares, start(), arrays, TRAIN, VALIDATION, config, KEY)
    rate: Any = optax.cosine_decay_schedule(0.05, 7)
    params: Any = start()
    batch, losses = {k: jnp.asarray(v[:40]) for k, v in arrays.items()}, []
    with jax.numpy_dtype_promotion("standard"):
        adamw = optax.adamw(rate, weight_decay=0.1)
        state = adamw.init(params)
        for _ in range(7):
            (value, _), grads = jax.value_and_grad(squares, has_aux=True)(params, None, batch, None, 0.0)
            updates, state = adamw.update(grads, state, params)
            params = optax.apply_updates(params, updates)
            losses.append(float(value))
    np.testing.assert_allclose(fitted.history["loss"], losses, rtol=1e-5)
    np.testing.assert_allclose(fitted.params["w"], params["w"], rtol=1e-4)


def test_the_parameters_of_the_best_validation_loss_are_kept() -> None:
    config = LoopConfig(epochs=20, batch=16, lr=1.5, schedule="constant")
    fitted = fit(squares, start(), problem(), TRAIN, VALIDATION, config, KEY)
    held_out = {k: jnp.asarray(v[VALIDATION]) for k, v in problem().items()}
    lowest = float(squares(fitted.params, None, held_out, None, 1.0)[0])
    assert lowest == pytest.approx(fitted.history["validation_loss"].min(), rel=1e-5)
    assert fitted.history["validation_loss"].argmin() < 19, "the last epoch must not be the best for this test"


def test_patience_stops_as_converged() -> None:
    config = LoopConfig(epochs=400, batch=16, lr=1.0, schedule="constant", patience=3)
    fitted = fit(squares, start(), problem(), TRAIN, VALIDATION, config, KEY)
    assert fitted.converged and fitted.epochs_run < 400
    assert np.nanargmin(fitted.history["validation_loss"]) == fitted.epochs_run - 1 - 3


@pytest.mark.parametrize("per_step", [False, True])
def test_a_resumed_run_has_the_same_bits(tmp_path: Path, per_step: bool) -> None:
    config = LoopConfig(epochs=4, batch=16, lr=0.1, jit_per_step=per_step)
    whole = fit(squares, start(), problem(), TRAIN, VALIDATION, config, KEY)

    class Killed(Exception):
        pass

    class Dies(Checkpoints):
        def save(self, number: int, state: Any) -> None:
            super().save(number, state)
            if int(state["epoch"]) == 2:
                raise Killed

    with Dies(tmp_path) as folder, pytest.raises(Killed):
        fit(squares, start(), problem(), TRAIN, VALIDATION, config, KEY, checkpoints=folder)
    with Checkpoints(tmp_path) as folder:
        # Two steps an epoch, and a number for its end.
        assert folder.latest == 2 * 3
        resumed = fit(squares, start(), problem(), TRAIN, VALIDATION, config, KEY, checkpoints=folder)
        again = fit(squares, start(), problem(), TRAIN, VALIDATION, config, KEY, checkpoints=folder)
        with pytest.raises(DataError, match="another random key"):
            fit(squares, start(), problem(), TRAIN, VALIDATION, config, jax.random.key(9), checkpoints=folder)
    for other in (resumed, again):
        assert same(whole.params, other.params)
        assert all(np.array_equal(whole.history[k], other.history[k]) for k in whole.history)


def test_held_out_rows_change_nothing() -> None:
    config, arrays = LoopConfig(epochs=5, batch=16), problem()
    spoilt = {"x": arrays["x"].copy(), "y": arrays["y"].copy()}
    spoilt["y"][50:] = 1e3
    rows = (TRAIN, np.arange(40, 50))
    a, b = (fit(squares, start(), data, *rows, config, KEY) for data in (arrays, spoilt))
    assert same(a.params, b.params)


def test_what_is_shared_is_not_trained() -> None:
    def loss(params: Any, stats: Any, batch: Any, key: Any, progress: Any, *, shared: Any) -> Any:
        return squares({"w": params["w"], "b": shared}, stats, batch, key, progress)

    shared = jnp.float32(3.0)
    config = LoopConfig(epochs=100, batch=16, lr=0.1, weight_decay=1e-3)
    fitted = fit(loss, {"w": jnp.zeros(P)}, problem(), TRAIN, VALIDATION, config, KEY, shared=shared)
    assert set(fitted.params) == {"w"} and float(shared) == 3.0
    np.testing.assert_allclose(fitted.params["w"], [1.0, -2.0, 0.5], atol=1e-2)


def test_a_random_loss_is_drawn_from_the_key_and_validated_without_one() -> None:
    seen = []

    def noisy(params: Any, stats: Any, batch: Any, key: Any, progress: Any) -> Any:
        seen.append(key is None)
        value, _ = squares(params, stats, batch, key, progress)
        return value if key is None else value + jax.random.normal(key), (stats, {})

    config = LoopConfig(epochs=3, batch=16)
    runs = [fit(noisy, start(), problem(), TRAIN, VALIDATION, config, jax.random.key(k)) for k in (0, 0, 1)]
    assert set(seen) == {True, False}
    assert np.array_equal(runs[0].history["loss"], runs[1].history["loss"])
    assert not np.allclose(runs[0].history["loss"], runs[2].history["loss"])


def many(arrays: Any, train: np.ndarray, watch: np.ndarray, config: LoopConfig, members: int, **options: Any) -> Any:
    params = jax.tree.map(lambda x: jnp.stack([x] * members), start())
    keys = jnp.stack([jax.random.key(i) for i in range(members)])
    return fit_many(squares, params, arrays, train, watch, config, keys, **options)


@pytest.mark.parametrize("vectorised", [False, True])
def test_members_are_the_trainings_they_would_be_alone(vectorised: bool) -> None:
    """Folds of unequal size: each as :func:`fit` would train it with the common batch."""
    config = LoopConfig(epochs=12, batch=16, lr=0.1, patience=5)
    train, watch = np.zeros((2, N), bool), np.zeros((2, N), bool)
    train[0, :40], train[1, 10:42], watch[0, 45:], watch[1, 50:55] = True, True, True, True
    together = many(problem(), train, watch, config, 2, vectorised=vectorised)
    for i in range(2):
        alone = fit(squares, start(), problem(), train[i], watch[i], config, jax.random.key(i))
        np.testing.assert_allclose(together.params["w"][i], alone.params["w"], atol=1e-5)
        np.testing.assert_allclose(together.history["validation_loss"][i], alone.history["validation_loss"], rtol=1e-4)
        assert together.epochs_run[i] == alone.epochs_run


@pytest.mark.parametrize("vectorised", [False, True])
def test_a_member_that_dies_leaves_the_others_alone(vectorised: bool) -> None:
    arrays = problem()
    arrays["y"][39] = np.nan
    config = LoopConfig(epochs=6, batch=8)
    train = np.zeros((2, N), bool)
    train[:, :39], train[1, 39] = True, True
    fitted = many(arrays, train, np.arange(N) >= 40, config, 2, vectorised=vectorised)
    assert fitted.alive.tolist() == [True, False]
    assert np.isfinite(fitted.params["w"]).all() and fitted.epochs_run[0] == 6 and not fitted.converged[1]


def test_members_have_constants_of_their_own() -> None:
    def column(params: Any, stats: Any, batch: Any, key: Any, progress: Any, *, own: Any) -> Any:
        return squares(params, stats, {"x": batch["x"], "y": batch["y"] * own}, key, progress)

    params = jax.tree.map(lambda x: jnp.stack([x] * 2), start())
    keys = jnp.stack([KEY, KEY])
    config, masks = LoopConfig(epochs=150, batch=16, lr=0.1), (np.arange(N) < 40, np.arange(N) >= 40)
    fitted = fit_many(column, params, problem(), *masks, config, keys, own=jnp.array([1.0, -1.0]))
    np.testing.assert_allclose(fitted.params["b"], [3.0, -3.0], atol=1e-2)


@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("row", [3, 45])
def test_a_loss_that_is_not_finite_is_a_recorded_divergence(row: int, per_step: bool) -> None:
    """By the gradient (row 3 trains) and by the validation loss (row 45): a status, and the parameters before it."""
    arrays = problem()
    arrays["x"][row] = np.inf
    config = LoopConfig(epochs=3, batch=8, jit_per_step=per_step)
    fitted = fit(squares, start(), arrays, TRAIN, VALIDATION, config, KEY)
    assert fitted.alive is False and fitted.converged is False and fitted.epochs_run == 0
    assert all(np.isnan(values).all() for values in fitted.history.values())
    assert same(fitted.params, start())


def test_bad_input_is_refused() -> None:
    config = LoopConfig(epochs=2, batch=8)
    with pytest.raises(DataError, match="no training rows"):
        fit(squares, start(), problem(), np.array([], int), VALIDATION, config, KEY)
    with pytest.raises(DataError, match="trained on and validated"):
        fit(squares, start(), problem(), TRAIN, TRAIN[:3], config, KEY)
    with pytest.raises(DataError, match="from 0 to 59"):
        fit(squares, start(), problem(), np.array([3, 60]), VALIDATION, config, KEY)
    with pytest.raises(DataError, match="differ in length"):
        fit(squares, start(), {**problem(), "y": np.zeros(5, np.float32)}, TRAIN, VALIDATION, config, KEY)
    with pytest.raises(UsageError, match="jit_per_step"):
        many(problem(), np.arange(N) < 40, np.arange(N) >= 40, LoopConfig(jit_per_step=True), 2)
    with pytest.raises(DataError, match="masks"):
        many(problem(), TRAIN, VALIDATION, config, 2)
