"""Training of the layer networks and their references: no leak, masks, the right member for each layer."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from layers_study import TINY
from sklearn.ensemble import RandomForestRegressor

from jaxsoil.runs.errors import DataError
from jaxsoil.studies.layers import learn
from jaxsoil.studies.layers.config import LayersConfig
from jaxsoil.studies.layers.prepare import LayersData
from jaxsoil.studies.layers.scores import mean_over_seeds
from jaxsoil.studies.layers.trainings import point_features, reference
from jaxsoil.training.rows import Fitted


def with_values(prepared: LayersData, values: np.ndarray) -> LayersData:
    return dataclasses.replace(prepared, sites=dataclasses.replace(prepared.sites, values=values))


def with_equal_stages(lr: float) -> LayersConfig:
    """A second stage as long as the first: both stages of a network of one layer then run one compiled program."""
    return dataclasses.replace(TINY, finetune=dataclasses.replace(TINY.train, lr=lr))


def test_scaling_knows_training_rows_only(prepared: LayersData) -> None:
    learnt = prepared.folds["blocks"] != 0
    other = prepared.sites.values.copy()
    other[~learnt] *= 50.0
    windows = prepared.windows.copy()
    windows[~learnt] += 1e4
    changed = dataclasses.replace(with_values(prepared, other), windows=windows)
    weight = np.ones((1, len(prepared.layers)))
    first, second = (learn.members_of(data, learnt[None], weight) for data in (prepared, changed))
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    target = np.log1p(prepared.sites.values[learnt])
    np.testing.assert_allclose(first["y_mean"][0], np.nanmean(target, axis=0), rtol=1e-6)
    np.testing.assert_allclose(first["x_sd"][0], prepared.windows[learnt].reshape(-1, 4).std(axis=0), rtol=1e-4)


def test_the_loss_is_the_mean_over_what_was_measured(prepared: LayersData) -> None:
    loss, n = learn.loss_of("multitask", prepared, TINY), len(prepared.sites)
    own = learn.members_of(prepared, np.ones((1, n), bool), np.ones((1, len(prepared.layers))))
    own = {name: jnp.asarray(values[0]) for name, values in own.items()}
    x = jnp.asarray(prepared.windows)
    params = jax.jit(loss.network.init)(jax.random.key(0), x)
    target = np.where(prepared.seen, prepared.to_scale(prepared.sites.values), 77.0).astype(np.float32)
    batch = {"x": x, "y": jnp.asarray(target), "seen": jnp.asarray(prepared.seen, jnp.float32)}
    value, _ = jax.jit(loss)(params, None, batch, None, jnp.float32(0), own)
    predicted = np.asarray(jax.jit(loss.predict)(params, x, own))
    standard = (prepared.to_scale(prepared.sites.values) - np.asarray(own["y_mean"])) / np.asarray(own["y_sd"])
    assert float(value) == pytest.approx(np.nanmean((predicted - standard) ** 2), rel=1e-4)


def test_held_out_sites_do_not_change_what_is_learnt(prepared: LayersData) -> None:
    """In neither stage; both run the programs of the next test."""
    held = prepared.folds["blocks"] == 0
    other = prepared.sites.values.copy()
    other[held] = 3.0 * other[held] + 1.0
    found, rows, config = [], learn.held_out_rows(prepared.folds["blocks"], 2), with_equal_stages(TINY.train.lr)
    for data in (prepared, with_values(prepared, other)):
        base = learn.train(("multitask", "blocks", 0), rows, data, config)
        trained = learn.train(("multitask_tuned", "blocks", 0), rows, data, config, base)
        members = learn.predict_members(learn.loss_of("multitask_tuned", data, config), trained, data.windows)
        found.append(learn.by_fold("multitask_tuned", members, 6))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert not np.array_equal(found[0][1], found[1][1])


def test_rows_are_held_out_by_fold_or_by_pairs_of_folds() -> None:
    fold = np.array([0, 1, 2, 0])
    np.testing.assert_array_equal(learn.held_out_rows(fold, 3).argmax(axis=1), [0, 1, 2])
    pairs = learn.held_out_rows(fold, 3, pairs=True)
    np.testing.assert_array_equal(pairs, [[1, 1, 0, 1], [1, 0, 1, 1], [0, 1, 1, 0]])


def test_controls_go_on_from_the_network_that_they_are_the_control_of(prepared: LayersData) -> None:
    """A second stage without a step's worth of learning rate leaves the network, and with it the predictions, alone."""
    still = with_equal_stages(1e-20)
    held = learn.held_out_rows(prepared.folds["blocks"], 2)
    for model, base in learn.GOES_ON.items():
        before = learn.train((base, "blocks", 0), held, prepared, still)
        after = learn.train((model, "blocks", 0), held, prepared, still, before)
        pairs = ((base, before), (model, after))
        found = [
            learn.by_fold(name, learn.predict_members(learn.loss_of(name, prepared, still), one, prepared.windows), 6)
            for name, one in pairs
        ]
        np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-5)
        assert list(after.history) == ["finetune/loss", "finetune/validation_loss"]


def test_watched_sites_are_training_sites_and_equally_many(prepared: LayersData) -> None:
    rows = prepared.folds["random"] != 1
    size = 9
    first, watch = learn.parts(rows, (0, 1), size)
    assert watch.sum() == size and not (first & watch).any()
    np.testing.assert_array_equal(first | watch, rows)


def test_each_layer_comes_from_its_own_member() -> None:
    members = np.arange(2 * 3)[:, None, None] * 100.0 + np.zeros((6, 4, 3)) + np.arange(3)[None, None, :]
    found = learn.by_fold("cnn", members, 3)
    assert found.shape == (2, 4, 3)
    assert found[0, 0].tolist() == [0.0, 101.0, 202.0] and found[1, 0].tolist() == [300.0, 401.0, 502.0]
    assert learn.by_fold("multitask", members, 3) is members


def test_forests_are_scikit_learns(prepared: LayersData) -> None:
    predicted = reference("rf", 1, learn.held_out_rows(prepared.folds["blocks"], 2), prepared, TINY)(prepared.windows)
    target, train = prepared.to_scale(prepared.sites.values), prepared.folds["blocks"] != 0
    rows = train & prepared.seen[:, 5]
    centre = prepared.windows[:, 1, 1, :]
    np.testing.assert_array_equal(point_features(prepared.windows, context=False), centre)
    twin = RandomForestRegressor(n_estimators=5, max_features=1 / 3, min_samples_leaf=3, random_state=2)
    twin.fit(centre[rows], target[rows, 5])
    np.testing.assert_allclose(predicted[0][:, 5], twin.predict(centre))
    context = point_features(prepared.windows, context=True)
    np.testing.assert_allclose(context[:, 4:8], prepared.windows.mean(axis=(1, 2)))
    means = reference("mean", 0, learn.held_out_rows(prepared.folds["blocks"], 2), prepared, TINY)(prepared.windows)
    np.testing.assert_allclose(means[0, 7], np.nanmean(target[train], axis=0))


def test_what_diverged_predicts_nothing_and_is_never_averaged_in() -> None:
    good, bad = np.ones((2, 3)), np.full((2, 3), np.nan)
    np.testing.assert_array_equal(mean_over_seeds([good, bad, 3.0 * good], "x"), 2.0 * good)
    with pytest.raises(DataError, match="every seed of a fold diverged"):
        mean_over_seeds([bad, bad], "transfer blocks")


def test_a_training_that_diverges_is_marked(prepared: LayersData) -> None:
    wild = dataclasses.replace(TINY, train=dataclasses.replace(TINY.train, lr=1e30))
    trained = learn.train(("multitask", "blocks", 0), learn.held_out_rows(prepared.folds["blocks"], 2), prepared, wild)
    assert not trained.alive.any()
    assert np.isnan(learn.predict_members(learn.loss_of("multitask", prepared, wild), trained, prepared.windows)).all()


def test_no_stage_of_transfer_is_handed_a_held_out_row(prepared: LayersData, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of both stages, without training: that rows which are not handed over change nothing is tested above."""
    held, stages = learn.held_out_rows(prepared.folds["blocks"], 2), []

    def noted(loss: Any, params: Any, arrays: Any, rows: Any, watched: Any, loop: Any, keys: Any, **_: Any) -> Fitted:
        stages.append((rows, watched))
        history = {name: np.zeros((len(keys), loop.epochs)) for name in ("loss", "validation_loss")}
        done = np.ones(len(keys), bool)
        return Fitted(params, history, done, np.full(len(keys), loop.epochs), done)

    monkeypatch.setattr(learn, "fit_many", noted)
    learn.train(("transfer", "blocks", 0), held, prepared, TINY)
    assert [len(rows) for rows, _ in stages] == [2, 2 * len(prepared.layers)]
    for rows, watched in stages:
        unseen = np.repeat(held, len(rows) // 2, axis=0)
        assert rows.any(axis=1).all() and not (rows & unseen).any() and not (watched & unseen).any()
