"""The host loop: when the state is kept, that the same bits come after a kill anywhere, and when it stops."""

from __future__ import annotations

import dataclasses
import os
import signal
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsoil.runs import stop as stopping
from jaxsoil.training import loop as loop_module
from jaxsoil.training import step as pure
from jaxsoil.training.batches import RowBatches
from jaxsoil.training.checkpoints import Checkpoints
from jaxsoil.training.devices import Layout
from jaxsoil.training.loop import CheckpointPolicy, Program, converged, run
from jaxsoil.training.step import Data, Member, Training

ROWS, STEPS, EPOCHS = 12, 3, 5


def loss(params: Any, stats: Any, batch: Any, key: Any, progress: Any) -> Any:
    return jnp.mean(jnp.square(batch["x"] * params["w"] - 1.0)), (stats, {})


class InBlocks(Program):
    """Two steps, then one: as data that come block by block."""

    def blocks(self, epoch: int, at: int) -> Iterator[tuple[int, Any, Data]]:
        for stop, order, data in super().blocks(epoch, at):
            for until in (2, stop):
                if until > at:
                    yield until, order, data


def program(kind: type[Program] = Program, patience: int = 0, per_step: bool = False) -> Program:
    rows = {"train": jnp.arange(ROWS, dtype=jnp.int32), "count": jnp.int32(ROWS), "validation": jnp.zeros(0, jnp.int32)}
    member = Member(rows, jnp.int32(STEPS), jnp.float32(0.1), jax.random.key(0))
    training = Training(loss, RowBatches(ROWS // STEPS), EPOCHS, patience, jit_per_step=per_step)
    made = kind(training, Layout(), member, Data({"x": jnp.linspace(0.5, 2.0, ROWS)}))
    made.in_parts = kind is InBlocks or per_step
    return made


def trained(made: Program, **options: Any) -> pure.State:
    return run(made, made.initial({"w": jnp.float32(3)}), **options)


class Killed(Exception):
    pass


class Recorder(Checkpoints):
    """Notes what is kept; dies after the number ``last``."""

    def __init__(self, folder: Path, last: tuple[int, int] | None = None) -> None:
        super().__init__(folder)
        self.kept: list[tuple[int, int]] = []
        self.last = last

    def save(self, number: int, state: Any) -> None:
        super().save(number, state)
        self.kept.append((int(state["epoch"]), int(state["step"])))
        if self.kept[-1] == self.last:
            raise Killed


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (CheckpointPolicy(epochs=2), [(2, 0), (4, 0)]),
        (CheckpointPolicy(share=0.5), [(3, 0)]),
        (CheckpointPolicy(share=0.0), []),
        (CheckpointPolicy(epochs=1, seconds=3600.0), []),
        (CheckpointPolicy(share=0.0, steps=4), [(1, 1), (2, 2), (3, 3)]),
    ],
)
def test_the_state_is_kept_as_the_policy_says(tmp_path: Path, policy: CheckpointPolicy, expected: list) -> None:
    # Three steps an epoch; the end of the training is not kept.
    with Recorder(tmp_path) as folder:
        trained(program(InBlocks), checkpoints=folder, policy=policy)
        assert folder.kept == expected


def test_only_the_latest_state_lies_on_the_disk(tmp_path: Path) -> None:
    with Recorder(tmp_path) as folder:
        trained(program(), checkpoints=folder, policy=CheckpointPolicy(epochs=1))
        assert len(folder.kept) == EPOCHS - 1
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 1


@pytest.mark.parametrize(
    ("kind", "per_step", "policy", "last"),
    [
        (Program, False, CheckpointPolicy(epochs=2), (2, 0)),
        (Program, True, CheckpointPolicy(share=0.0, steps=5), (1, 2)),
        (InBlocks, False, CheckpointPolicy(share=0.0, steps=2), (2, 2)),
        # The end of an epoch, before it is closed.
        (InBlocks, False, CheckpointPolicy(share=0.0, steps=6), (1, 3)),
    ],
)
def test_a_kill_changes_no_bit(tmp_path: Path, kind: Any, per_step: bool, policy: Any, last: Any) -> None:
    whole = trained(program(kind, per_step=per_step))
    with Recorder(tmp_path, last) as folder, pytest.raises(Killed):
        trained(program(kind, per_step=per_step), checkpoints=folder, policy=policy)
    with Checkpoints(tmp_path) as folder:
        resumed = trained(program(kind, per_step=per_step), checkpoints=folder, policy=policy)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(resumed), strict=True):
        assert np.array_equal(a, b, equal_nan=True)


@pytest.mark.parametrize(("kind", "when"), [(Program, 2), (InBlocks, 1)])
def test_a_run_that_is_asked_to_end_keeps_its_state_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Program], when: int
) -> None:
    monkeypatch.setattr(stopping, "_cut_off", lambda: None)
    told: list[int] = []

    def tell(first: int, after: int, state: pure.State) -> None:
        told.append(after)
        if len(told) == when:
            os.kill(os.getpid(), signal.SIGTERM)

    whole = trained(program(kind))
    with Recorder(tmp_path) as folder, stopping.caught(), pytest.raises(stopping.Terminated):
        trained(program(kind), checkpoints=folder, policy=CheckpointPolicy(share=0.0), on_epochs=tell)
    # Told after the call had looked: the end of the next call, an epoch or some steps of one.
    ((epoch, at),) = folder.kept
    assert (epoch, at) == (when + 1, 0) if kind is Program else epoch == when and 1 <= at <= STEPS
    with Checkpoints(tmp_path) as folder:
        resumed = trained(program(kind), checkpoints=folder, on_epochs=tell)
    assert told == [1, 2, 3, 4, 5]
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(resumed), strict=True):
        assert np.array_equal(a, b, equal_nan=True)


def test_a_damaged_checkpoint_costs_time_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, policy = trained(program()), CheckpointPolicy(epochs=1)
    with Recorder(tmp_path, (3, 0)) as folder, pytest.raises(Killed):
        trained(program(), checkpoints=folder, policy=policy)
    (metadata,) = tmp_path.glob("*/default/_METADATA")
    metadata.write_bytes(metadata.read_bytes()[:40])
    with Recorder(tmp_path) as folder:
        resumed = trained(program(), checkpoints=folder, policy=policy)
    assert folder.kept[0] == (1, 0)
    assert "damaged" in capsys.readouterr().out
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(resumed), strict=True):
        assert np.array_equal(a, b, equal_nan=True)


def test_time_counts_from_the_latest_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(np.arange(100.0))
    monkeypatch.setattr(loop_module, "time", types.SimpleNamespace(monotonic=lambda: float(next(clock))))
    with Recorder(tmp_path) as folder:
        trained(program(), checkpoints=folder, policy=CheckpointPolicy(epochs=1, seconds=2.0))
        # A second passes at each look: the first look comes too early, and the next one is on time.
        assert folder.kept == [(2, 0), (4, 0)]


def test_progress_is_told_and_a_run_at_rest_ends() -> None:
    told: list[tuple[int, int]] = []
    trained(program(), on_epochs=lambda first, after, state: told.append((first, after)))
    assert told == [(i, i + 1) for i in range(EPOCHS)]
    # It has waited as long as its patience: no epoch is run.
    made, told = program(patience=2), []
    state = made.initial({"w": jnp.float32(3)})
    run(
        made,
        dataclasses.replace(state, waited=jnp.int32(2)),
        on_epochs=lambda first, after, state: told.append((first, after)),
    )
    assert told == []


def test_convergence_is_a_flat_validation_loss() -> None:
    epochs = np.arange(50)
    falling, flat = np.exp(-epochs / 10.0), 1.0 + np.exp(-epochs / 3.0)
    assert not converged(falling, 0.05)
    assert converged(flat, 0.05)
    assert not converged(flat[:9], 0.05)
    assert not converged(np.where(epochs > 40, np.nan, flat), 0.05)
    # Lowest at epoch 30, then stopped ten epochs later; one epoch earlier it would not have waited long enough.
    bowl = (epochs - 30.0) ** 2
    assert converged(np.where(epochs > 40, np.nan, bowl), 0.05, patience=10)
    assert not converged(np.where(epochs > 39, np.nan, bowl), 0.05, patience=10)
