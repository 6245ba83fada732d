"""The pure trial: it learns, repeats itself bit for bit, and sees nothing that it must not see."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from engine_problem import BANDS, COMPONENTS, ROWS, TRAIN, arrays, problem

from jaxsoil.models.autoencoder import Autoencoder, DecoderKind, Minerals, ModelConfig
from jaxsoil.studies.reconstruction.objectives import mineral_divergence
from jaxsoil.training.config import TrainConfig
from jaxsoil.training.fit import Data, Fit, TrialArrays, TrialState, make_fit


@functools.cache
def fit(decoder: DecoderKind = "ann", train: TrainConfig = TRAIN) -> Fit:
    functions = make_fit(Autoencoder(COMPONENTS, BANDS, ModelConfig(width=16, hidden=1, decoder=decoder)), train, 12)
    # Compiled once for all tests of this file.
    return dataclasses.replace(
        functions,
        init=jax.jit(jax.vmap(functions.init, in_axes=(0, None))),
        run=jax.jit(jax.vmap(functions.run, in_axes=(0, 0, None, None, None, None))),
        predict=jax.jit(jax.vmap(functions.predict, in_axes=(0, None))),
    )


def mapped(functions: Fit, trial: TrialArrays, data: Data, stop: int, state: TrialState | None = None, start: int = 0):
    state = functions.init(trial, data) if state is None else state
    return functions.run(state, trial, data, jnp.int32(start), jnp.int32(stop), jnp.max(trial.steps))


def leaves(tree: object) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def same(a: object, b: object) -> bool:
    return all(np.array_equal(x, y, equal_nan=True) for x, y in zip(leaves(a), leaves(b), strict=True))


def predict(functions: Fit, state: TrialState, data: Data) -> np.ndarray:
    return np.asarray(functions.predict(state, data)[0][..., -1])


def test_training_lowers_the_loss_and_finds_the_relation() -> None:
    train = dataclasses.replace(TRAIN, epochs=40)
    functions, data = fit("ann", train), problem()
    state = mapped(functions, arrays(2), data, train.epochs)
    history = np.asarray(state.history)
    assert np.all(history[:, -1, 0] < 0.2 * history[:, 0, 0])
    soc = np.asarray(data.soc)
    for predicted in predict(functions, state, data):
        assert np.corrcoef(predicted[92:], soc[92:])[0, 1] > 0.9


def test_a_run_in_two_parts_is_the_run_in_one_bit_for_bit() -> None:
    functions, data, trial = fit(), problem(), arrays(2)
    whole = mapped(functions, trial, data, 4)
    half = mapped(functions, trial, data, 3)
    assert same(whole, mapped(functions, trial, data, 4, half, 3))


def test_held_out_rows_change_nothing() -> None:
    """Neither loss, BatchNorm nor the watched loss may see a row outside the trial's masks."""
    functions, data, trial = fit(), problem(), arrays(1)
    spoilt = Data(data.spectra.at[92:].set(1.4), data.soc.at[92:].set(0.9))
    assert same(mapped(functions, trial, data, 4), mapped(functions, trial, spoilt, 4))


def test_validation_rows_are_watched_but_not_trained_on() -> None:
    train = dataclasses.replace(TRAIN, keep="last")
    functions, data, trial = fit("ann", train), problem(), arrays(1)
    spoilt = Data(data.spectra, data.soc.at[80:92].set(0.5))
    a, b = mapped(functions, trial, data, 4), mapped(functions, trial, spoilt, 4)
    assert same((a.params, a.stats), (b.params, b.stats))
    assert np.array_equal(a.history[..., 0], b.history[..., 0])
    assert np.all(np.asarray(b.history[..., 1]) > np.asarray(a.history[..., 1]))


def test_a_diverged_trial_stops_and_leaves_its_neighbours_alone() -> None:
    functions, data, trial = fit(), problem(), arrays(3)
    bad = dataclasses.replace(trial, lr=trial.lr.at[1].set(jnp.nan))
    good, mixed = mapped(functions, trial, data, 4), mapped(functions, bad, data, 4)
    assert np.asarray(mixed.alive).tolist() == [True, False, True]
    pick = lambda tree: jax.tree.map(lambda x: x[jnp.array([0, 2])], tree)  # noqa: E731
    assert same(pick((good.params, good.history)), pick((mixed.params, mixed.history)))


def test_a_trial_alone_agrees_with_itself_in_company() -> None:
    functions, data, trial = fit(), problem(), arrays(3)
    alone = jax.tree.map(lambda x: x[:1], trial)
    # Batched matrix products round differently (by up to 2.4e-7 a step, measured); 20 steps of Adam add to that.
    np.testing.assert_allclose(
        mapped(functions, alone, data, 4).history[0], mapped(functions, trial, data, 4).history[0], rtol=1e-4
    )


def test_trials_with_fewer_rows_share_the_program() -> None:
    """A smaller fold takes fewer steps in an epoch; the steps it skips must leave it untouched."""
    functions, data, trial = fit(), problem(), arrays(2)
    small = np.asarray(trial.labelled).copy()
    small[1, 48:80] = False
    uneven = dataclasses.replace(trial, labelled=jnp.asarray(small), steps=jnp.array([5, 3], jnp.int32))
    alone = jax.tree.map(lambda x: x[1:], uneven)
    together = mapped(functions, uneven, data, 4)
    np.testing.assert_allclose(together.history[1], mapped(functions, alone, data, 4).history[0], rtol=1e-4)


def test_unlabelled_rows_train_the_decoder_only() -> None:
    """N' != N (Eq. 1): spectra without label enter the second term; without a decoder they enter nothing."""
    train = dataclasses.replace(TRAIN, unlabelled_batch=8)
    data, trial = problem(), arrays(1, train_rows=48)
    extra = np.zeros((1, ROWS), dtype=bool)
    extra[0, 92:] = True
    more = dataclasses.replace(trial, unlabelled=jnp.asarray(extra))
    wrong_label = Data(data.spectra, data.soc.at[92:].set(0.9))
    with_decoder = fit("ann", train)
    assert same(mapped(with_decoder, more, data, 4), mapped(with_decoder, more, wrong_label, 4))
    encoder_only = fit("none", train)
    assert same(mapped(encoder_only, more, data, 4).params, mapped(fit("none"), trial, data, 4).params)


@pytest.mark.parametrize("keep", ["last", "best"])
def test_predictions_come_from_the_kept_parameters(keep: str) -> None:
    train = dataclasses.replace(TRAIN, keep=keep, epochs=12)
    functions, data = fit("ann", train), problem()
    state = mapped(functions, arrays(1), data, 12)
    if keep == "best":
        best = int(np.argmin(np.asarray(state.history)[0, :, 1])) + 1
        at_best = mapped(functions, arrays(1), data, best)
        assert same(state.best, (at_best.params, at_best.stats))
    else:
        assert state.best is None
    assert np.isfinite(predict(functions, state, data)).all()


def test_patience_rests_a_trial_without_touching_its_state() -> None:
    train = dataclasses.replace(TRAIN, patience=2, epochs=40, lr=3e-2)
    functions, data, trial = fit("ann", train), problem(), arrays(1)
    state = mapped(functions, trial, data, 40)
    watched = np.asarray(state.history)[0, :, 1]
    stop = int(np.isfinite(watched).sum())
    assert stop < 40, "the problem must converge for this test"
    assert np.nanargmin(watched) == stop - 1 - 2
    assert same(state, mapped(functions, trial, data, stop))


def test_step_by_step_is_the_epoch_in_one_program() -> None:
    plain = make_fit(Autoencoder(COMPONENTS, BANDS, ModelConfig(width=16, hidden=1, decoder="ann")), TRAIN, 12)
    data, trial = problem(), jax.tree.map(lambda x: x[0], arrays(1))
    whole = jax.jit(plain.run)(plain.init(trial, data), trial, data, jnp.int32(0), jnp.int32(2), jnp.int32(5))
    state, step = plain.init(trial, data), jax.jit(plain.step)
    for epoch in range(2):
        total = jnp.float32(0)
        for i in range(5):
            state, total = step(state, total, trial, data, jnp.int32(epoch), jnp.int32(i))
        state = plain.close(state, total, trial, data, jnp.int32(epoch))
    # Two programs round differently, and ten steps of Adam add to that.
    np.testing.assert_allclose(state.history, whole.history, rtol=1e-3)


def test_a_weight_on_the_divergence_draws_the_minerals_to_the_mean_soil() -> None:
    shares = jnp.array([0.7, 0.1, 0.1, 0.1])
    spectra = jnp.linspace(0.2, 0.7, 4)[:, None] * jnp.ones((4, BANDS))
    data = dataclasses.replace(problem(), minerals=Minerals(spectra, jnp.linspace(1.0, 2.0, 4), shares))
    divergence = []
    for weight in (0.0, 1e4):  # the SOC term of these few steps is as large
        train = dataclasses.replace(TRAIN, mineral_kl=weight, epochs=20)
        functions = fit("physics", train)
        mass, _ = functions.predict(mapped(functions, arrays(1), data, 20), data)
        divergence.append(float(mineral_divergence(mass[0], shares)))
    assert divergence[1] < 0.1 * divergence[0]
