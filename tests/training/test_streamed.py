"""Rows on the disk: the same bits as in memory, also after a kill, and memory that does not grow with the library."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsoil.runs.errors import UsageError
from jaxsoil.training.checkpoints import Checkpoints
from jaxsoil.training.config import LoopConfig
from jaxsoil.training.devices import batch_mesh, shared_batch
from jaxsoil.training.rows import fit, fit_many
from jaxsoil.training.streamed import HELD, Blocks, Stored, steps_held

N, P, BATCH = 1500, 4, 32
KEY = jax.random.key(1)
TRAIN, VALIDATION = np.arange(N - 1100), np.arange(N - 1100, N)[::-1]  # more than the 1,024 rows of a part


def arrays() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(N, P)).astype(np.float32)
    return {"x": x, "y": np.tanh(x[:, 0]) + 0.1 * draw.normal(size=N).astype(np.float32)}


def loss(params: Any, stats: Any, batch: Any, key: Any, progress: Any) -> Any:
    noise = 0.0 if key is None else 0.01 * jax.random.normal(key, (P,))
    error = jnp.tanh(batch["x"] @ (params["w"] + noise)) - batch["y"]
    return jnp.mean(jnp.square(error)), (stats, {"bias": jnp.mean(error)})


def trained(rows: Any, config: LoopConfig, **options: Any) -> dict[str, np.ndarray]:
    made = fit(loss, {"w": jnp.zeros(P, jnp.float32)}, rows, TRAIN, VALIDATION, config, KEY, **options)
    return {"params": np.asarray(made.params["w"]), **made.history}


def stored(memory_gb: float, **changes: Any) -> Stored:
    values = arrays()

    def read(rows: np.ndarray) -> dict[str, np.ndarray]:
        assert np.all(np.diff(rows) > 0) and rows.max() < N
        return {name: column[rows] for name, column in values.items()}

    return Stored(N, read, memory_gb, **changes)


def interrupted(folder: Path, config: LoopConfig, first: Stored, then: Stored, **options: Any) -> dict[str, np.ndarray]:
    """A training that was killed within its second epoch and went on with other settings."""

    class Killed(Exception):
        pass

    class Dies(Checkpoints):
        def save(self, number: int, state: Any) -> None:
            super().save(number, state)
            if (int(state["epoch"]), int(state["step"])) == (1, 2):
                raise Killed

    with Dies(folder) as kept, pytest.raises(Killed):
        trained(first, config, checkpoints=kept, **options)
    with Checkpoints(folder) as kept:
        return trained(then, config, checkpoints=kept, **options)


@pytest.mark.parametrize("per_step", [False, True])
def test_a_streamed_training_has_the_bits_of_one_in_memory(tmp_path: Path, per_step: bool) -> None:
    """Though it was killed within an epoch while it held one step at a time, and went on with three."""
    config = LoopConfig(epochs=6, batch=BATCH, lr=0.05, patience=4, jit_per_step=per_step)
    held = HELD * BATCH * 4 * (P + 1) * 1e-9  # one step
    got = interrupted(
        tmp_path, config, stored(0.0, checkpoint_steps=7), Stored(N, arrays(), 3 * held, checkpoint_steps=7)
    )
    for name, expected in trained(arrays(), config).items():
        # The parts of the validation loss are added up by another program; NaN: not reached.
        np.testing.assert_allclose(got[name], expected, rtol=1e-6 if name == "validation_loss" else 0, atol=0)


SHARED = """
import sys; sys.path.insert(0, "tests/training")
import tempfile
from pathlib import Path
import jax, numpy as np
from test_streamed import BATCH, HELD, KEY, N, P, TRAIN, VALIDATION, arrays, interrupted, loss, stored, trained
from jaxsoil.training.checkpoints import Checkpoints
from jaxsoil.training.config import LoopConfig
from jaxsoil.training.devices import batch_mesh
from jaxsoil.training.rows import program_of

config, held = LoopConfig(epochs=4, batch=BATCH, lr=0.05), 3 * HELD * BATCH * 4 * (P + 1) * 1e-9
one = trained(stored(held), config)
for devices in (2, 8):
    mesh = batch_mesh(jax.devices()[:devices])
    program = program_of(loss, stored(held), TRAIN, VALIDATION, config, KEY, mesh=mesh)
    # Three steps of a block, of each step a part on each device: other rows on each.
    values = next(program.blocks(0, 0))[2].arrays["x"]
    parts = [np.asarray(part.data) for part in values.addressable_shards]
    assert len(parts) == devices and {part.shape for part in parts} == {(3, BATCH // devices, P)}
    assert len(np.unique(np.stack(parts)[..., 0])) == 3 * BATCH
    many = trained(stored(held), config, mesh=mesh)
    for name in one:
        np.testing.assert_allclose(many[name], one[name], rtol=1e-5, atol=1e-6, err_msg=name)
    print(devices, max(np.abs(many[name] - one[name]).max() for name in one))
with tempfile.TemporaryDirectory() as folder:
    resumed = interrupted(Path(folder), config, stored(0.0, checkpoint_steps=7), stored(held), mesh=mesh)
for name in many:
    assert np.array_equal(resumed[name], many[name]), name
"""


def test_devices_share_each_batch_to_the_result_of_one(run_with_devices) -> None:
    """Parameters and losses within 1e-5, and a training that was killed has the bits of one that was not."""
    assert len(run_with_devices(SHARED, n=8).strip().splitlines()) == 2


def test_blocks_hold_what_the_memory_admits_and_are_read_once() -> None:
    assert steps_held(100, 10, 8e-6, 64) == 2 and steps_held(100, 10, 0.0, 64) == 1 and steps_held(100, 10, 1.0, 6) == 6
    orders = [np.random.default_rng(epoch).permutation(35).reshape(7, 5) for epoch in range(2)]
    read: list[np.ndarray] = []

    def reader(rows: np.ndarray) -> dict[str, np.ndarray]:
        assert np.all(np.diff(rows) > 0)
        read.append(rows)
        return {"x": rows * 10, "y": np.stack([rows, -rows], axis=1).astype(np.float32)}

    def blocks_of(together: int) -> Blocks:
        like = {"x": np.empty(1, np.int64), "y": np.empty((1, 2), np.float32)}
        return Blocks(reader, like, orders.__getitem__, epochs=2, steps=7, held=3, together=together)

    def halve(rows: dict[str, np.ndarray]) -> None:
        assert rows["y"].shape[0] <= 4
        rows["y"] /= 2

    reading = blocks_of(4)
    found = [list(reading.of(epoch, 0)) for epoch in range(2)]
    for order, blocks in zip(orders, found, strict=True):
        assert [(block.first, block.last) for block in blocks] == [(0, 3), (3, 6), (6, 7)]
        assert {block.values["y"].shape for block in blocks} == {(3, 5, 2)}  # one compiled program
        used = {name: np.concatenate([b.values[name][: b.last - b.first] for b in blocks]) for name in ("x", "y")}
        assert np.array_equal(used["x"], order * 10) and np.array_equal(used["y"], np.stack([order, -order], axis=2))
        assert all(block.values["y"].ctypes.data % 64 == 0 for block in blocks)
    assert sum(rows.size for rows in read) == 70 and max(rows.size for rows in read) == 4
    # A block is read whole from its first step on, also in an epoch that comes unexpectedly.
    (resumed, _), first = reading.of(0, 4), found[0][1]
    assert resumed.first == 3 and np.array_equal(resumed.values["x"], first.values["x"])
    # Arrays in place of a reader, of which one cannot be taken as it lies; what is taken is prepared, and they stay.
    whole = {"x": np.arange(35) * 10, "y": np.stack([np.arange(35), -np.arange(35)]).astype(np.float32).T}
    (block, *_) = Blocks(whole, {k: v[:1] for k, v in whole.items()}, orders.__getitem__, 2, 7, 3, 4, halve).of(0, 0)
    assert np.array_equal(block.values["x"], found[0][0].values["x"]) and whole["y"][3, 0] == 3.0
    assert np.array_equal(2 * block.values["y"], found[0][0].values["y"])
    parts = list(blocks_of(2).parts([np.array([7, 3, 5]), np.array([1])]))
    assert [part["x"].tolist() for part in parts] == [[70, 30, 50], [10]]


def test_what_cannot_be_streamed_is_refused_and_an_error_of_the_reader_ends_the_training() -> None:
    def fails(rows: np.ndarray) -> Any:
        if rows.max() > 0:
            raise OSError("the disk is gone")
        return {name: column[rows] for name, column in arrays().items()}

    config = LoopConfig(epochs=2, batch=BATCH)
    with pytest.raises(OSError, match="the disk is gone"):
        trained(Stored(N, fails, 0.0), config)
    for memory, block in ((float("nan"), 1), (-1.0, 1), (1.0, 0)):
        with pytest.raises(UsageError, match="Stored rows"):
            Stored(N, fails, memory, block)
    with pytest.raises(UsageError, match="an array of 90"):
        Stored(100, {"x": np.zeros((100, 5)), "y": np.zeros(90)}, 1.0)
    with pytest.raises(UsageError, match="prepares them itself"):
        Stored(N, fails, 1.0, prepare=lambda rows: None)
    with pytest.raises(UsageError, match="8 devices cannot share batches of 30"):
        shared_batch(30, N, 8)
    assert (shared_batch(32, 30, 8), shared_batch(32, 30, 1)) == (24, 30)
    with pytest.raises(UsageError, match="share the batches of stored rows"):
        trained(arrays(), config, mesh=batch_mesh(jax.devices()[:1]))
    with pytest.raises(UsageError, match="fit_many holds its rows in memory"):
        fit_many(loss, {}, stored(1.0), TRAIN, VALIDATION, config, jax.random.split(KEY))


GROWTH = """
import gc, json, sys, tempfile
from pathlib import Path
sys.path.insert(0, "benchmarks")
from scale_worker import Case, Watch, contender, now, write_scans

with tempfile.TemporaryDirectory() as place:
    write_scans(Path(place), 100_000, 1000)
    found, mapped = {}, now()[1]
    for kind in ("pretrain", "property"):
        gc.collect()
        case = Case(place, kind, 100_000, 0.01, widths=(8, 8), batch=256, steps=400)  # more than an epoch
        with Watch() as watch:
            contender(case)[1]()
        # What the first training mapped may go as late as in the second: mapped pages count from the beginning.
        found[kind] = [watch.grown_mb, watch.mapped_mb - mapped]
    print(json.dumps(found))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="counts anonymous memory as Linux does")
def test_memory_is_bounded_by_the_setting_and_not_by_the_library() -> None:
    """400 MB of scans are trained on with 10 MB for scans: all that this takes, the compiler included, is less than a
    copy of them, and their mapped pages show that they were read."""
    done = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for anonymous, mapped in json.loads(done.stdout).values():
        assert anonymous < 300 < mapped, done.stdout
