"""Trials: keys that do not move, groups, outcomes that survive."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from engine_problem import BANDS, COMPONENTS, ROWS, TRAIN, problem

from jaxsoil.data.splits import Split, validation_rows
from jaxsoil.models.autoencoder import ModelConfig
from jaxsoil.runs.errors import DataError
from jaxsoil.runs.pieces import Piece
from jaxsoil.studies.reconstruction.objectives import make_loss
from jaxsoil.training.config import DeviceConfig
from jaxsoil.training.grid import Trial, make_groups, steps_per_epoch
from jaxsoil.training.group_run import GroupRun, losses
from jaxsoil.training.loop import compiled
from jaxsoil.training.step import State

DEVICES = DeviceConfig()
MODEL = ModelConfig(width=16, hidden=0, decoder="ann")


def split(name: str = "region_out/a", held_out: int = 30) -> Split:
    test = np.arange(ROWS) >= ROWS - held_out
    return Split(name, name.split("/")[-1], ~test, np.zeros(ROWS, bool), test, "inductive", 0)


def trial(name: str = "region_out/a", seed: int = 0, model: ModelConfig = MODEL) -> Trial:
    part = split(name)
    groups = np.array([f"pedon {row // 3}" for row in range(ROWS)])
    return Trial("ann", model, part, seed, validation_rows(part, groups, 0.1, seed), ROWS - 1)


def run(trials: list[Trial], folder: Path, train=TRAIN, devices=DEVICES):
    data = jax.tree.map(np.asarray, problem())
    (group,) = make_groups(trials, train, devices, COMPONENTS, BANDS)
    seen = []
    runner = GroupRun(group, data, train, devices, folder, make_loss)
    return dict(
        (t.id, outcome)
        for t, outcome in runner.outcomes(lambda t, start, stop, history: seen.append((t.id, start, stop)))
    ), seen


def test_adding_trials_leaves_old_ones_as_they_were(tmp_path: Path) -> None:
    few, _ = run([trial()], tmp_path / "few")
    more, _ = run([trial(), trial(seed=1), trial("region_out/b")], tmp_path / "more")
    np.testing.assert_allclose(few["ann/region_out/a/0"].soc, more["ann/region_out/a/0"].soc, rtol=1e-4, atol=1e-6)
    assert not np.allclose(more["ann/region_out/a/0"].soc, more["ann/region_out/a/1"].soc, rtol=1e-2)


def test_chunks_hold_every_trial_once(tmp_path: Path) -> None:
    trials = [trial(seed=seed) for seed in range(5)]
    outcomes, seen = run(trials, tmp_path, devices=DeviceConfig(chunk=2))
    assert list(outcomes) == [t.id for t in trials]
    assert len(list((tmp_path / "trials").glob("*.npz"))) == 3
    assert {(start, stop) for _, start, stop in seen} == {(0, 1), (1, 2), (2, 3), (3, 4)}


def test_finished_chunks_are_not_run_again_and_give_the_same_outcome(tmp_path: Path) -> None:
    first, _ = run([trial()], tmp_path)
    again, seen = run([trial()], tmp_path)
    assert seen == []
    assert np.array_equal(first["ann/region_out/a/0"].soc, again["ann/region_out/a/0"].soc)


def test_an_interrupted_run_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    train = dataclasses.replace(TRAIN, checkpoint_every=2, checkpoint_seconds=0.0)
    devices = DeviceConfig(chunk=2)
    whole, _ = run([trial(), trial(seed=1)], tmp_path / "whole", train, devices)

    class Stop(Exception):
        pass

    data = jax.tree.map(np.asarray, problem())
    (group,) = make_groups([trial(), trial(seed=1)], train, devices, COMPONENTS, BANDS)

    def stop_in_epoch_four(t: Trial, start: int, stop: int, history: np.ndarray) -> None:
        if stop == 4:
            raise Stop

    with pytest.raises(Stop):
        list(GroupRun(group, data, train, devices, tmp_path / "cut", make_loss).outcomes(stop_in_epoch_four))
    assert (tmp_path / "cut" / "checkpoints" / "ann-0").exists()
    resumed, seen = run([trial(), trial(seed=1)], tmp_path / "cut", train, devices)
    # Progress is told before the state is kept: the latest one is that of epoch two.
    assert min(start for _, start, _ in seen) == 2
    for name, outcome in whole.items():
        for field in ("soc", "rmse", "history", "example"):
            assert np.array_equal(getattr(outcome, field), getattr(resumed[name], field)), (name, field)
    assert not (tmp_path / "cut" / "checkpoints" / "ann-0").exists()


def test_trials_that_run_at_a_time_end_in_the_same_bits(tmp_path: Path) -> None:
    trials = [trial(seed=seed) for seed in range(4)]
    alone, _ = run(trials, tmp_path / "alone", devices=DeviceConfig(chunk=1, threads=1))
    together, seen = run(trials, tmp_path / "together", devices=DeviceConfig(chunk=1, threads=3))
    assert list(together) == [t.id for t in trials]
    assert {name for name, *_ in seen} == {t.id for t in trials}
    for name, outcome in alone.items():
        for field in dataclasses.fields(outcome):
            assert np.array_equal(getattr(outcome, field.name), getattr(together[name], field.name), equal_nan=True)


def test_an_error_in_one_of_the_trials_that_run_at_a_time_is_raised(tmp_path: Path) -> None:
    data = jax.tree.map(np.asarray, problem())
    (group,) = make_groups([trial(seed=seed) for seed in range(4)], TRAIN, DeviceConfig(chunk=1), COMPONENTS, BANDS)
    runner = GroupRun(group, data, TRAIN, DeviceConfig(chunk=1, threads=2), tmp_path, make_loss)

    def fail(t: Trial, start: int, stop: int, history: np.ndarray) -> None:
        if t.seed == 1:
            raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        list(runner.outcomes(fail))


def test_outcomes_of_other_trials_are_refused(tmp_path: Path) -> None:
    run([trial()], tmp_path)
    with pytest.raises(DataError, match="--overwrite"):
        run([trial(seed=3)], tmp_path)


def test_a_checkpoint_of_another_width_is_refused(tmp_path: Path) -> None:
    from jaxsoil.training.checkpoints import Checkpoints

    state = {"w": jax.numpy.ones((2, 3)), "alive": jax.numpy.bool_(True)}
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(3, state)
        assert checkpoints.latest == 3
        with pytest.raises(DataError, match="another configuration"):
            checkpoints.restore({"w": jax.numpy.ones((2, 4)), "alive": jax.numpy.bool_(True)})
        # Orbax would cast to bfloat16 without a word.
        with pytest.raises(DataError, match="another configuration"):
            checkpoints.restore({"w": jax.numpy.ones((2, 3), "bfloat16"), "alive": jax.numpy.bool_(True)})
        with pytest.raises(DataError, match="was not saved"):
            checkpoints.save(3, state)


def test_states_are_restored_by_any_number_of_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one process kept several restore, and the other way; in the second case a damaged state is told apart."""
    from jaxsoil.training.checkpoints import Checkpoints, DamagedCheckpoint

    state = {"w": jax.numpy.arange(6.0).reshape(2, 3), "alive": jax.numpy.bool_(True)}
    like = jax.tree.map(jax.numpy.zeros_like, state)
    for kept_by, restored_by in ((1, 2), (2, 2), (2, 1)):
        folder = tmp_path / f"{kept_by}-{restored_by}"
        monkeypatch.setattr(jax, "process_count", lambda count=kept_by: count)
        with Checkpoints(folder) as checkpoints:
            assert checkpoints.latest is None
            checkpoints.save(3, like)
            checkpoints.save(5, state)
        monkeypatch.setattr(jax, "process_count", lambda count=restored_by: count)
        with Checkpoints(folder) as checkpoints:
            assert checkpoints.latest == 5
            found = checkpoints.restore(like)
        assert found["w"].sharding == state["w"].sharding and found["alive"].dtype == bool
        np.testing.assert_array_equal(found["w"], state["w"])
    assert [path.name for path in folder.iterdir()] == ["5.npz"]
    (folder / "5.npz").write_bytes((folder / "5.npz").read_bytes()[:-40])
    with Checkpoints(folder) as checkpoints, pytest.raises(DamagedCheckpoint, match="the checkpoint is damaged"):
        checkpoints.restore(like)


def test_a_full_disk_is_reported_as_the_system_says_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from jaxsoil.training.checkpoints import Checkpoints

    def full(*_: object, **__: object) -> bool:
        raise ValueError("RESOURCE_EXHAUSTED: Error writing: No space left on device [os_error_code='28']")

    with Checkpoints(tmp_path / "c") as checkpoints:
        monkeypatch.setattr(checkpoints._manager, "save", full)
        with pytest.raises(OSError, match="No space left") as raised:
            checkpoints.save(1, {"w": jax.numpy.ones(2)})
    assert raised.value.filename == str(checkpoints.folder)


def test_a_group_compiles_once_for_all_its_chunks_and_runs(tmp_path: Path) -> None:
    trials = [trial(seed=seed) for seed in range(3)]
    data = jax.tree.map(np.asarray, problem())
    (group,) = make_groups(trials, TRAIN, DEVICES, COMPONENTS, BANDS)
    runs = [GroupRun(group, data, TRAIN, DEVICES, tmp_path / name, make_loss) for name in ("a", "b")]
    list(runs[0].outcomes(lambda *_: None))
    epochs = compiled(runs[0].training, runs[0].layout).epochs
    programs = epochs._cache_size()  # type: ignore[attr-defined]
    list(runs[1].outcomes(lambda *_: None))
    assert compiled(runs[1].training, runs[1].layout).epochs is epochs
    assert epochs._cache_size() == programs  # type: ignore[attr-defined]


def test_a_diverged_trial_is_recorded_and_its_neighbours_go_on(tmp_path: Path) -> None:
    data = jax.tree.map(np.array, problem())
    bad, good = trial(), trial(seed=1)
    # A validation row of one trial that the other does not see.
    only = np.flatnonzero(bad.validation & ~good.validation)[0]
    good = dataclasses.replace(good, split=dataclasses.replace(good.split, train=good.split.train & ~bad.validation))
    data.arrays["soc"][only] = np.nan
    devices = DeviceConfig(chunk=2)
    (group,) = make_groups([bad, good], TRAIN, devices, COMPONENTS, BANDS)
    runner = GroupRun(group, data, TRAIN, devices, tmp_path, make_loss, measure=lambda t, mass: mass[:, 0])
    first, second = (outcome for _, outcome in runner.outcomes(lambda *_: None))
    assert (first.alive, second.alive) == (False, True)
    assert np.isnan(first.history).all() and np.isfinite(second.history).all()
    assert np.isnan(first.latent).all() and np.isfinite(second.latent).all()


def test_losses_are_those_of_training_and_validation() -> None:
    history = {"loss": np.array([[3.0, 2.0]]), "validation_loss": np.array([[1.0, np.nan]])}
    state = State({}, {}, None, None, np.zeros(1), np.zeros(1), np.array([True]), history)
    np.testing.assert_array_equal(losses(state), [[[3.0, 1.0], [2.0, np.nan]]])


@pytest.mark.parametrize("mixing", [True, False])
def test_an_outcome_holds_what_its_own_trial_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mixing: bool
) -> None:
    """Known arrays of two trials, the first diverged, in place of what their networks would make."""
    trials, devices = [trial(), trial(seed=1)], DeviceConfig(chunk=2)
    (group,) = make_groups(trials, TRAIN, devices, COMPONENTS, BANDS)
    data = jax.tree.map(np.asarray, problem())
    runner = GroupRun(group, data, TRAIN, devices, tmp_path, make_loss, measure=lambda t, mass: t.seed + mass[:, 0])
    mass = np.arange(2.0 * ROWS * COMPONENTS, dtype=np.float32).reshape(2, ROWS, COMPONENTS)
    rmse, examples = mass[:, :, 0] + 0.5, np.stack([np.full((1, BANDS), i, np.float32) for i in range(2)])
    monkeypatch.setattr(runner, "functions", (None, lambda *_: (mass, rmse), lambda *_: examples))

    def decoder(level: float) -> dict[str, np.ndarray]:
        return {"f_soc": np.full((2, BANDS), level, np.float32), "soc_rho_r": np.array([level, 2 * level], np.float32)}

    params, best = (({"decoder": decoder(level)} if mixing else {}) for level in (0.25, 0.5))
    history = {"loss": np.ones((2, 3)), "validation_loss": np.full((2, 3), 2.0)}
    state = State(params, {}, None, (best, {}), np.zeros(2), np.zeros(2), np.array([False, True]), history)
    monkeypatch.setattr(runner, "_run_chunk", lambda number, trials, report: Piece(runner._outcomes(trials, state)))
    first, second = (outcome for _, outcome in runner.outcomes(lambda *_: None))

    assert (first.alive, second.alive) == (False, True)
    np.testing.assert_array_equal(second.soc, mass[1, :, -1])
    np.testing.assert_array_equal(second.rmse, rmse[1])
    np.testing.assert_array_equal(second.example, np.ones(BANDS))
    np.testing.assert_array_equal(second.history, [[1.0, 2.0]] * 3)
    # What is measured is left out where a trial diverged, and where nothing measures.
    np.testing.assert_array_equal(first.latent, np.full(ROWS, np.nan))
    np.testing.assert_array_equal(second.latent, 1.0 + mass[1, :, 0])
    np.testing.assert_array_equal(second.abundance, np.full(COMPONENTS, np.nan))
    # The kept parameters are the best ones.
    np.testing.assert_array_equal(second.f_soc, np.full(BANDS, 0.5 if mixing else np.nan))
    np.testing.assert_array_equal([first.soc_rho_r, second.soc_rho_r], [0.5, 1.0] if mixing else [np.nan, np.nan])


def test_steps_drop_the_incomplete_last_batch() -> None:
    one = trial()
    labelled = int((one.split.train & ~one.validation).sum())
    assert steps_per_epoch(one, TRAIN) == labelled // 16
    assert steps_per_epoch(one, dataclasses.replace(TRAIN, batch=1000)) == 0


def test_an_epoch_passes_the_labelled_rows_or_all_spectra_once() -> None:
    """The paper's few labels by hand: 1,000 labelled of 22,000 rows in batches of 75 are 13 or 293 steps."""
    train = np.arange(22_000) < 1_000
    part = Split("few/a", "a", train, ~train, np.r_[np.zeros(21_999, bool), True], "uses spectra of a", 0)
    one = Trial("ann", MODEL, part, 0, np.zeros(22_000, bool), 0)
    both = dataclasses.replace(TRAIN, batch=75, unlabelled_batch=75)
    assert [steps_per_epoch(one, dataclasses.replace(both, epoch_of=of)) for of in ("labelled", "spectra")] == [13, 293]
    # Fewer labels than a batch: one step, as rows are repeated.
    few = dataclasses.replace(both, batch=2_000, epoch_of="labelled")
    assert [steps_per_epoch(one, dataclasses.replace(few, wrap=wrap)) for wrap in (False, True)] == [0, 1]


def test_networks_share_start_and_order_at_equal_seed_and_split(tmp_path: Path) -> None:
    """The encoders of all decoders begin with the same bytes and see the same rows; seeds and splits do not."""

    def drawn(decoder: str, seed: int = 0, name: str = "region_out/a") -> tuple[Any, np.ndarray]:
        one = dataclasses.replace(trial(name, seed, dataclasses.replace(MODEL, decoder=decoder)), name=decoder)
        (group,) = make_groups([one], TRAIN, DEVICES, COMPONENTS, BANDS)
        run = GroupRun(group, jax.tree.map(np.asarray, problem()), TRAIN, DEVICES, tmp_path, make_loss)
        program = run.program([one])
        member = jax.tree.map(lambda x: x[0], program.member)
        (order, count) = run.training.batches.order(member, 3)[0]
        return run.initial(program, [one]).params["encoder"], np.asarray(order)[: int(count)]

    (none, rows), (ann, same_rows) = drawn("none"), drawn("ann")
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(none), jax.tree.leaves(ann), strict=True))
    np.testing.assert_array_equal(rows, same_rows)
    for other, other_rows in (drawn("none", seed=1), drawn("none", name="region_out/b")):
        assert not np.array_equal(*(tree["Trunk_0"]["Dense_0"]["kernel"] for tree in (other, none)))
        assert other_rows.size != rows.size or not np.array_equal(other_rows, rows)
