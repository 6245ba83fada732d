"""What a plan counts: operations and bytes of a small network by hand, XLA's memory, and the floors that follow."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsoil.training import cost, floors
from jaxsoil.training.config import LoopConfig
from jaxsoil.training.loop import Program, run
from jaxsoil.training.rows import program_of
from jaxsoil.training.step import zero

ROWS, BATCH, INPUTS, HIDDEN, OUTPUTS = 64, 32, 100, 50, 20
PARAMETERS = INPUTS * HIDDEN + HIDDEN * OUTPUTS
EPOCHS = 3


def loss(params: Any, stats: Any, batch: Any, key: Any, progress: Any) -> Any:
    hidden = jnp.tanh(batch["x"] @ params["first"])
    return jnp.mean(jnp.square(hidden @ params["second"])), (stats, {})


def problem(members: int) -> tuple[Program, Any]:
    """Two layers without biases; several members run one after the other."""
    many = () if members == 1 else (members,)
    params = {"first": jnp.full((*many, INPUTS, HIDDEN), 0.01), "second": jnp.full((*many, HIDDEN, OUTPUTS), 0.01)}
    keys = jax.random.key(0) if members == 1 else jax.random.split(jax.random.key(0), members)
    every = np.ones(ROWS, bool)
    arrays, loop = {"x": np.ones((ROWS, INPUTS), np.float32)}, LoopConfig(epochs=EPOCHS, batch=BATCH)
    return program_of(loss, arrays, every, ~every, loop, keys, vectorised=False), params


@pytest.mark.parametrize("members", [1, 3])
def test_operations_of_a_step_are_those_of_its_products(members: int) -> None:
    program, params = problem(members)
    found = cost.of_program("small", program, params, [2] * members, members)
    # Forward, and for the weights backward, each product once; for the hidden units the second one again.
    step = 2.0 * BATCH * (2 * PARAMETERS + HIDDEN * OUTPUTS)
    assert found.parameters == PARAMETERS and found.count == members
    products = step * 2 * members * EPOCHS
    # Besides: tanh, means, and some twenty operations of the optimiser on each parameter.
    assert products <= found.operations <= products + (30.0 * PARAMETERS + 1e5) * 2 * members * EPOCHS
    assert found.step_bytes == 32 * PARAMETERS
    # 1 GFLOP/s and 1 MB/s: the counts in those units.
    compute, memory = found.floors(floors.Rates(1e9, 1e6, 8, "highest"))
    assert compute == pytest.approx(found.operations / 1e9)
    assert memory == pytest.approx(32 * PARAMETERS * 2 * members * EPOCHS / 1e6)


def test_xla_accounts_for_the_parameters_where_it_is_asked() -> None:
    program, params = problem(1)
    state = jax.eval_shape(lambda: program.initial(params))
    assert cost.memory_in_words(program, state) == ""
    with cost.compiling():
        said = cost.memory_in_words(program, state)
    arguments = float(said.partition("arguments ")[2].split()[0]) * 1e6
    # Parameters, two moments and the best ones, at least.
    assert arguments >= 4 * 4 * PARAMETERS


def test_what_was_trained_is_counted_beside_the_best_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floors, "rates", lambda precision: floors.Rates(1e9, 1e6, 8, precision))
    mark = floors.marked()
    assert floors.reached(mark) == {}
    program, params = problem(3)
    run(program, program.initial(params))
    found: Any = floors.reached(mark)
    steps = 3 * 2 * EPOCHS
    assert found["operations"] == 6 * PARAMETERS * BATCH * steps and found["bytes"] == 32 * PARAMETERS * steps
    assert found["memory_s"] == pytest.approx(found["bytes"] / 1e6)
    # Two that overlap for a second, and one by itself: 3 + 1 seconds. Their floors: 2, 2 and 1 s by their bytes.
    work = [floors.Work(1e3, 2e6, 10.0, 12.0), floors.Work(1e3, 2e6, 11.0, 13.0), floors.Work(1e9, 1e3, 20.0, 21.0)]
    monkeypatch.setattr(floors, "_done", work)
    together: Any = floors.reached()
    assert together["seconds"] == pytest.approx(4.0) and together["share"] == pytest.approx(5.0 / 4.0)


@pytest.mark.parametrize("members", [1, 3])
def test_a_training_gives_the_memory_of_its_state_back(members: int) -> None:
    """XLA writes the new state over the old one, but for a few bytes, in whole epochs and in single steps."""
    program, params = problem(members)
    state = jax.eval_shape(lambda: program.initial(params))
    size, first = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state)), jnp.int32(0)
    total, order = jax.eval_shape(zero, state), jax.eval_shape(program.functions.order, program.ordering, first)
    step = (total, order, program.stepping, program.data, first, first)
    for function, others in (("epochs", (program.member, program.data, first, first, None)), ("step", step)):
        account = getattr(program.functions, function).lower(state, *others).compile().memory_analysis()
        assert account.alias_size_in_bytes > 0.99 * size, function


def test_the_best_of_the_device_is_measured_and_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floors, "SECONDS", 0.02)
    monkeypatch.setattr(floors, "SIDE", dict.fromkeys(("cpu", "gpu"), 64))
    monkeypatch.setattr(floors, "VALUES", dict.fromkeys(("cpu", "gpu"), 1 << 16))
    floors.rates.cache_clear()
    try:
        found = floors.rates("default")
    finally:
        floors.rates.cache_clear()
    assert found.operations > 0.0 and found.bytes > 0.0
    assert "64 x 64" in found.in_words() and "'default'" in found.in_words()


def test_the_table_sums_the_floors_and_says_what_share_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "rates", lambda precision: floors.Rates(1e9, 1e9, 8, precision))
    # 60 s of arithmetic and 64 s of memory; measured 128 s.
    one = cost.Cost("net", 2, 1_000_000, 100, (10, 10), 6e10, cost.BY_FORMULA, 0.064, 128.0)
    lines = cost.table([one], [("plsr", 4)], "baselines")
    (row,) = [line for line in lines if line.startswith("net")]
    assert row.split()[-6:] == ["60", "s", "64", "s", "2.1", "min"]
    text = " ".join(lines)
    assert "floors 60 s and 64 s; 2.1 min here" in text and "50 % of the larger floor" in text
