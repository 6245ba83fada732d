"""The pure training: it learns, repeats itself bit for bit, sees nothing that it must not see, and rests for free."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from engine_problem import BANDS, ROWS, members, network, problem, training
from engine_problem import TRAIN as SHORT

from jaxsoil.models.autoencoder import DecoderKind, Minerals
from jaxsoil.studies.reconstruction.objectives import mineral_divergence
from jaxsoil.training import step as pure
from jaxsoil.training.config import TrainConfig
from jaxsoil.training.devices import Layout
from jaxsoil.training.grid import NetworkFunctions, over_trials
from jaxsoil.training.loop import Program, advance
from jaxsoil.training.step import Data, Member, State, Training

SIDE_BY_SIDE = Layout("side_by_side")
TRAIN = dataclasses.replace(SHORT, epochs=60, patience=2)
"""One for all, as far as it goes: other settings, and other numbers of epochs, are programs of their own. These trials
rest after 15 epochs or more."""
LAST = dataclasses.replace(TRAIN, keep="last", patience=0)


def functions(decoder: DecoderKind) -> Any:
    """Those of a small network over trials side by side: initial, predict, reconstruct."""
    return over_trials(NetworkFunctions(network(decoder)), SIDE_BY_SIDE)


def run(
    decoder: DecoderKind, train: TrainConfig, member: Member, data: Data, stop: int, state: Any = None, start: int = 0
) -> State:
    """Trains trials side by side from ``start`` to ``stop``."""
    program = Program(training(decoder, train), SIDE_BY_SIDE, member, data)
    if state is None:
        state = program.initial(*functions(decoder)[0](member.key, None, data.shared))
    # Copied: the state is given back to XLA.
    return program.epochs(jax.tree.map(jnp.copy, state), start, stop)


def predict(decoder: DecoderKind, state: State, data: Data) -> np.ndarray:
    predicted = functions(decoder)[1](state, data.arrays["spectra"], data.shared)
    return np.asarray(predicted[0])


def leaves(tree: object) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def same(a: object, b: object) -> bool:
    return all(np.array_equal(x, y, equal_nan=True) for x, y in zip(leaves(a), leaves(b), strict=True))


def with_rows(member: Member, **changes: Any) -> Member:
    return dataclasses.replace(member, rows=member.rows | changes)


def with_soc(data: Data, soc: jax.Array) -> Data:
    return dataclasses.replace(data, arrays=data.arrays | {"soc": soc})


def test_training_lowers_the_loss_and_finds_the_relation() -> None:
    data = problem()
    state = run("ann", dataclasses.replace(TRAIN, patience=0), members(3), data, TRAIN.epochs)
    loss = np.asarray(state.history["loss"])
    assert np.all(loss[:, -1] < 0.2 * loss[:, 0])
    soc = np.asarray(data.arrays["soc"])
    for predicted in predict("ann", state, data)[..., -1]:
        assert np.corrcoef(predicted[92:], soc[92:])[0, 1] > 0.9


def test_a_run_in_two_parts_is_the_run_in_one_bit_for_bit() -> None:
    half = run("ann", TRAIN, members(3), problem(), 3)
    whole = run("ann", TRAIN, members(3), problem(), 4)
    assert same(whole, run("ann", TRAIN, members(3), problem(), 4, half, 3))


def test_held_out_rows_change_nothing() -> None:
    """Neither loss, BatchNorm nor the validation loss may see a row outside the trial's masks."""
    data = problem()
    spoilt = Data({"spectra": data.arrays["spectra"].at[92:].set(1.4), "soc": data.arrays["soc"].at[92:].set(0.9)})
    assert same(run("ann", TRAIN, members(1), data, 4), run("ann", TRAIN, members(1), spoilt, 4))


def test_validation_rows_are_not_trained_on() -> None:
    data = problem()
    spoilt = with_soc(data, data.arrays["soc"].at[80:92].set(0.5))
    a, b = (run("ann", LAST, members(1), d, 4) for d in (data, spoilt))
    assert same((a.params, a.stats, a.history["loss"]), (b.params, b.stats, b.history["loss"]))
    assert np.all(np.asarray(b.history["validation_loss"])[:, :4] > np.asarray(a.history["validation_loss"])[:, :4])


def test_a_trial_that_diverges_by_its_gradient_stops_and_leaves_its_neighbours_alone() -> None:
    member = members(3)
    bad = dataclasses.replace(member, lr=member.lr.at[1].set(jnp.nan))
    good, mixed = (run("ann", TRAIN, m, problem(), 4) for m in (member, bad))
    assert np.asarray(mixed.alive).tolist() == [True, False, True]
    assert np.isnan(mixed.history["loss"][1]).all()
    pick = lambda tree: jax.tree.map(lambda x: x[jnp.array([0, 2])], tree)  # noqa: E731
    assert same(pick((good.params, good.history)), pick((mixed.params, mixed.history)))


@pytest.mark.parametrize("trials", [1, 3])
def test_a_validation_loss_that_is_not_finite_is_a_divergence(trials: int) -> None:
    data = problem()
    spoilt = with_soc(data, data.arrays["soc"].at[85].set(jnp.nan))
    state = run("ann", TRAIN, members(trials), spoilt, 4)
    assert not np.asarray(state.alive).any()
    assert np.isnan(state.history["loss"]).all() and np.isinf(state.best_loss).all()


def test_a_trial_alone_agrees_with_itself_in_company() -> None:
    member = members(3)
    alone = jax.tree.map(lambda x: x[:1], member)
    # Batched matrix products round differently (by up to 2.4e-7 a step, measured); 20 steps of Adam add to that.
    np.testing.assert_allclose(
        run("ann", TRAIN, alone, problem(), 4).history["loss"][0],
        run("ann", TRAIN, member, problem(), 4).history["loss"][0],
        rtol=1e-4,
    )


def test_trials_with_fewer_rows_share_the_program() -> None:
    """A smaller fold takes fewer steps in an epoch; the steps it skips must leave it untouched."""
    small = np.asarray(members(3).rows["labelled"]).copy()
    small[1, 48:80] = False
    uneven = with_rows(members(3), labelled=jnp.asarray(small))
    uneven = dataclasses.replace(uneven, steps=jnp.array([5, 3, 5], jnp.int32))
    alone = jax.tree.map(lambda x: x[1:2], uneven)
    together, single = (run("ann", TRAIN, m, problem(), 4).history["loss"] for m in (uneven, alone))
    np.testing.assert_allclose(together[1], single[0], rtol=1e-4)


def test_unlabelled_rows_train_the_decoder_only() -> None:
    """N' != N (Eq. 1): spectra without label enter the second term; without a decoder they enter nothing."""
    train, data = dataclasses.replace(TRAIN, unlabelled_batch=8), problem()
    member = members(1, train_rows=48)
    extra = np.zeros((1, ROWS), dtype=bool)
    extra[0, 92:] = True
    more = with_rows(member, unlabelled=jnp.asarray(extra))
    wrong_label = with_soc(data, data.arrays["soc"].at[92:].set(0.9))
    with_label = run("ann", train, more, data, 4)
    assert same(with_label, run("ann", train, more, wrong_label, 4))
    darker = dataclasses.replace(data, arrays=data.arrays | {"spectra": data.arrays["spectra"].at[92:].multiply(0.5)})
    assert not same(with_label.params, run("ann", train, more, darker, 4).params)
    assert same(run("none", train, more, data, 4).params, run("none", TRAIN, member, data, 4).params)


@pytest.mark.parametrize("train", [LAST, TRAIN], ids=["last", "best"])
def test_the_kept_parameters_are_returned(train: TrainConfig) -> None:
    data = problem()
    state = run("ann", train, members(1), data, 12)
    if train.keep == "best":
        best = int(np.nanargmin(np.asarray(state.history["validation_loss"])[0])) + 1
        at_best = run("ann", train, members(1), data, best)
        assert same(pure.kept(state), (at_best.params, at_best.stats))
    else:
        assert state.best is None and same(pure.kept(state), (state.params, state.stats))
    assert np.isfinite(predict("ann", state, data)).all()


@pytest.mark.parametrize("trials", [1, 3])
def test_patience_rests_a_trial_without_touching_its_state(trials: int) -> None:
    data = problem()
    state = run("ann", TRAIN, members(trials), data, TRAIN.epochs)
    losses = np.asarray(state.history["validation_loss"])
    stops = np.isfinite(losses).sum(axis=1)
    assert (stops < TRAIN.epochs).all(), "the problem must converge for this test"
    for trial, stop in enumerate(stops.tolist()):
        assert np.nanargmin(losses[trial]) == stop - 1 - 2
        then = run("ann", TRAIN, members(trials), data, stop)
        assert same(*(jax.tree.map(lambda x, t=trial: x[t], tree) for tree in (state, then)))


def plain(loss: Any, epochs: int = 6, **options: Any) -> tuple[Training, Member, Data]:
    """Eight rows of one number in one batch, nothing to validate on."""
    from jaxsoil.training.batches import RowBatches

    rows = {"train": jnp.arange(8, dtype=jnp.int32), "count": jnp.int32(8), "validation": jnp.zeros(0, jnp.int32)}
    member = Member(rows, jnp.int32(1), jnp.float32(0.1), jax.random.key(0))
    return Training(loss, RowBatches(8), epochs, **options), member, Data({"x": jnp.arange(8.0)})


@pytest.mark.parametrize(("method", "per_step"), [("alone", False), ("alone", True), ("in_turn", False)])
@pytest.mark.parametrize(("slope", "epochs"), [(0.0, 3), (np.nan, 1)])
def test_a_training_that_rests_or_has_diverged_computes_no_gradient(
    method: Any, per_step: bool, slope: float, epochs: int
) -> None:
    calls: list[int] = []

    def loss(params: Any, stats: Any, batch: Any, key: Any, progress: Any) -> Any:
        jax.debug.callback(lambda: calls.append(1))
        # Flat, so that the first epoch is the best and patience ends two epochs later; or not finite at once.
        return jnp.mean(batch["x"]) + slope * params["w"], (stats, {})

    made, member, data = plain(loss, epochs=50, patience=2, jit_per_step=per_step)
    params, trainings = {"w": jnp.float32(1)}, 1
    if method == "in_turn":
        member, params = jax.tree.map(lambda x: jnp.stack([x, x]), (member, params))
        trainings = 2
    program = Program(made, Layout(method), member, data)
    state = advance(program, program.initial(params), 0, 50)
    jax.effects_barrier()
    assert len(calls) == trainings * epochs
    assert np.all(np.asarray(state.alive) == np.isfinite(slope))


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_steps_are_optax_adamw(schedule: Any) -> None:
    def loss(params: Any, stats: Any, batch: Any, key: Any, progress: Any) -> Any:
        return jnp.mean(jnp.square(batch["x"] * params["w"] - 1.0)), (stats, {})

    made, member, data = plain(loss, weight_decay=0.1, schedule=schedule, b1=0.8, b2=0.95)
    state = pure.initial(made, {"w": jnp.float32(1)}, None, member, data)
    state = pure.epochs(made, state, member, data, jnp.int32(0), jnp.int32(6))
    rate: Any = optax.cosine_decay_schedule(0.1, 6) if schedule == "cosine" else 0.1
    params: Any = {"w": jnp.float32(1)}
    with jax.numpy_dtype_promotion("standard"):
        adamw = optax.adamw(rate, 0.8, 0.95, weight_decay=0.1)
        moments = adamw.init(params)
        for _ in range(6):
            grads = jax.grad(lambda p: loss(p, None, data.arrays, None, 0.0)[0])(params)
            updates, moments = adamw.update(grads, moments, params)
            params = optax.apply_updates(params, updates)
    np.testing.assert_allclose(state.params["w"], params["w"], rtol=1e-6)


def test_a_part_of_the_parameters_has_a_rate_of_its_own() -> None:
    def loss(params: Any, stats: Any, batch: Any, key: Any, progress: Any) -> Any:
        return params["slow"] + params["fast"], (stats, {})

    made, member, data = plain(loss, epochs=1)
    member = dataclasses.replace(member, rates={"slow": jnp.float32(0.25)})
    start = {"slow": jnp.float32(0), "fast": jnp.float32(0)}
    state = pure.initial(made, start, None, member, data)
    state = pure.epochs(made, state, member, data, jnp.int32(0), jnp.int32(1))
    # The first step of Adam is the learning rate, whatever the gradient.
    assert float(state.params["fast"]) == pytest.approx(-0.1, rel=1e-5)
    assert float(state.params["slow"]) == pytest.approx(-0.025, rel=1e-5)


def test_step_by_step_is_the_epoch_in_one_program() -> None:
    data, member = problem(), jax.tree.map(lambda x: x[0], members(1))
    histories = []
    for per_step in (False, True):
        program = Program(training("ann", TRAIN, per_step=per_step), Layout(), member, data)
        state = program.initial(*NetworkFunctions(network()).initial(member.key, None, None))
        histories.append(advance(program, state, 0, 2).history["validation_loss"])
    # Two programs round differently, and ten steps of Adam add to that.
    np.testing.assert_allclose(*histories, rtol=1e-3)


def test_a_weight_on_the_divergence_draws_the_minerals_to_the_mean_soil() -> None:
    shares = jnp.array([0.7, 0.1, 0.1, 0.1])
    spectra = jnp.linspace(0.2, 0.7, 4)[:, None] * jnp.ones((4, BANDS))
    data = dataclasses.replace(problem(), shared=Minerals(spectra, jnp.linspace(1.0, 2.0, 4), shares))
    # The SOC term of these few steps is as large as the second weight.
    both = dataclasses.replace(members(2), own={"mineral_kl": jnp.array([0.0, 1e4], jnp.float32)})
    mass = predict("physics", run("physics", dataclasses.replace(LAST, mineral_kl=1.0), both, data, 20), data)
    without, weighted = (float(mineral_divergence(jnp.asarray(one), shares)) for one in mass)
    assert weighted < 0.1 * without
