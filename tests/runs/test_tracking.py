"""The run folder's log, and its mirror in Weights & Biases.

What reached W&B is read back from its own file, or recorded by a stand-in for its server.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

from jaxsoil.runs import mirror, tracking
from jaxsoil.runs.errors import DataError, UsageError

EPOCHS = [{"trial": "ann/geeves/0", "epoch": epoch, "train_loss": 1.0 / (1 + epoch)} for epoch in range(4)]


def log_of(folder: Path) -> list[dict[str, Any]]:
    return tracking.read_log(folder / tracking.LOG_NAME)


def write(folder: Path, records: list[dict[str, Any]], mode: Any = "disabled") -> None:
    with tracking.start(folder, mode) as tracker:
        for record in records:
            tracker.log(record)


def test_what_is_logged_is_read_back(tmp_path: Path) -> None:
    write(tmp_path, EPOCHS)
    assert log_of(tmp_path) == EPOCHS
    assert [path.name for path in tmp_path.iterdir()] == [tracking.LOG_NAME]


def test_numbers_of_numpy_and_jax_become_plain(tmp_path: Path) -> None:
    odd = {
        "n": np.int64(3),
        "x": np.float32(0.5),
        "loss": jnp.float32(0.25),
        "both": np.array([1.0, np.nan]),
        "diverged": float("inf"),
        "path": Path("a"),
    }
    write(tmp_path, [odd])
    expected = {"n": 3, "x": 0.5, "loss": 0.25, "both": [1.0, None], "diverged": None, "path": "a"}
    assert log_of(tmp_path) == [expected]


# Letters that JSON escapes or that take several bytes; the table of all Unicode takes seconds to make.
TEXT = st.text('ab"\\\n\0\x7fé\u2028\uffff😀', max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=10,
)


@given(record=st.dictionaries(TEXT, JSON))
def test_plain_values_survive_strict_json(record: dict[str, Any]) -> None:
    value = tracking.plain(record)
    assert json.loads(json.dumps(value, allow_nan=False)) == value
    assert tracking.plain(value) == value


def test_resumed_study_repeats_nothing(tmp_path: Path) -> None:
    write(tmp_path, EPOCHS[:3])
    repeated = {**EPOCHS[2], "train_loss": 0.333}  # the same epoch, measured again
    write(tmp_path, [repeated, EPOCHS[3]])
    assert log_of(tmp_path) == EPOCHS


def test_equal_records_of_one_session_are_all_kept(tmp_path: Path) -> None:
    write(tmp_path, [{"loss": 1.0}, {"loss": 1.0}])
    assert len(log_of(tmp_path)) == 2


def test_summary_that_changes_is_news(tmp_path: Path) -> None:
    for rmse in (1.0, 1.0, 2.0):
        with tracking.start(tmp_path, "disabled") as tracker:
            tracker.summary({"rmse": rmse})
    assert log_of(tmp_path) == [{"summary": {"rmse": 1.0}}, {"summary": {"rmse": 2.0}}]


@pytest.mark.parametrize("cut", range(1, 12))
def test_half_written_last_line_is_dropped_and_replaced(tmp_path: Path, cut: int) -> None:
    write(tmp_path, EPOCHS[:2])
    path = tmp_path / tracking.LOG_NAME
    path.write_bytes(path.read_bytes()[:-cut])
    assert log_of(tmp_path) == EPOCHS[:1]
    write(tmp_path, EPOCHS)
    assert log_of(tmp_path) == EPOCHS


def test_damage_elsewhere_names_file_line_and_remedy(tmp_path: Path) -> None:
    path = tmp_path / tracking.LOG_NAME
    path.write_text('{"a": 1}\nnonsense\n{"a": 2}\n')
    with pytest.raises(DataError, match=r"log\.jsonl.*line 2 .*nonsense.*Delete that line"):
        tracking.read_log(path)


def test_no_log_is_an_empty_log(tmp_path: Path) -> None:
    assert log_of(tmp_path) == []


def test_kill_9_loses_no_finished_line(tmp_path: Path) -> None:
    code = f"""
import itertools
from jaxsoil.runs import tracking
tracker = tracking.start({str(tmp_path)!r}, "disabled")
for epoch in itertools.count():
    tracker.log({{"epoch": epoch}})
    print(epoch, flush=True)
"""
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert child.stdout is not None
    reported = [child.stdout.readline() for _ in range(50)]
    os.kill(child.pid, signal.SIGKILL)
    reported += child.stdout.read().splitlines()
    child.wait()
    logged = [record["epoch"] for record in log_of(tmp_path)]
    assert logged == list(range(len(logged)))
    assert len(logged) >= len(reported) - 1  # the last line printed may itself be cut


def test_full_disk_warns_once_and_leaves_whole_lines(tmp_path: Path) -> None:
    full = "no space left on device"

    class Full:
        def __init__(self, file: Any) -> None:
            self.file = file

        def write(self, data: bytes) -> int:
            self.file.write(data[:5])
            raise OSError(28, full)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    tracker = tracking.start(tmp_path, "disabled")
    assert isinstance(tracker, tracking.Tracker)
    tracker.log({"epoch": 0})
    real, tracker._file = tracker._file, Full(tracker._file)  # type: ignore[assignment]
    with pytest.warns(UserWarning, match=full) as caught:
        tracker.log({"epoch": 1})
        tracker.log({"epoch": 2})
    assert len(caught) == 1
    tracker._file = real
    tracker.log({"epoch": 3})
    tracker.finish()
    assert log_of(tmp_path) == [{"epoch": 0}, {"epoch": 3}]


@pytest.mark.parametrize(
    ("mode", "wished", "key", "expected"),
    [
        ("auto", None, None, "offline"),
        ("auto", None, "secret", "online"),
        ("auto", "disabled", "secret", "disabled"),
        ("auto", "online", None, "online"),
        ("auto", "nonsense", None, "offline"),
        ("offline", "online", "secret", "offline"),
    ],
)
def test_mode(monkeypatch: pytest.MonkeyPatch, mode: str, wished: str | None, key: str | None, expected: str) -> None:
    for name, value in (("WANDB_MODE", wished), ("WANDB_API_KEY", key)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert tracking.resolve_mode(mode) == expected


def test_unknown_mode_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'offline'"):
        tracking.resolve_mode("ofline")


class StandIn:
    """A W&B module whose server knows the first ``known`` steps of every run."""

    def __init__(self, known: int = 0, broken: str = "") -> None:
        self.known, self.broken = known, broken
        self.started: list[dict[str, Any]] = []
        self.logged: list[tuple[int, dict[str, Any]]] = []
        self.finished = 0
        self.summary: dict[str, Any] = {}
        self.step = known

    Settings = staticmethod(lambda **fields: fields)

    def init(self, **options: Any) -> StandIn:
        if self.broken == "init" and options["mode"] == "online":
            raise ConnectionError("no route to the server")
        self.started.append(options)
        self.step = self.known if options["mode"] == "online" else 0
        return self

    def define_metric(self, *_: Any, **__: Any) -> None: ...

    def log(self, values: dict[str, Any], step: int) -> None:
        if self.broken == "log":
            raise ConnectionError("the line is cut")
        self.logged.append((step, values))

    def teardown(self) -> None: ...

    def finish(self) -> None:
        self.finished += 1


def install(monkeypatch: pytest.MonkeyPatch, stand_in: StandIn) -> StandIn:
    monkeypatch.setitem(sys.modules, "wandb", stand_in)  # type: ignore[arg-type]
    monkeypatch.setenv(mirror.TRIALS, "0")
    return stand_in


def test_online_mirror_follows_at_once_and_continues_where_the_server_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = install(monkeypatch, StandIn())
    tracker = tracking.start(tmp_path, "online", {"train": {"lr": 1e-3}})
    tracker.log(EPOCHS[0])
    assert first.logged == [(0, {"epoch": 0, "train_loss/ann/geeves/0": 1.0})]
    write(tmp_path, EPOCHS[:3])  # the mirror of the first session lost two records
    second = install(monkeypatch, StandIn(known=1))
    write(tmp_path, EPOCHS, "online")
    assert [step for step, _ in second.logged] == [1, 2, 3]
    assert first.started[0]["id"] == second.started[0]["id"]
    assert first.started[0]["config"] == {"train.lr": 1e-3}
    assert first.started[0]["resume"] == "allow" and first.started[0]["group"] == tmp_path.name
    assert second.finished == 1


def test_unreachable_server_costs_a_warning_and_leaves_a_mirror_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = install(monkeypatch, StandIn(broken="init"))
    with pytest.warns(UserWarning, match="goes on without it: ConnectionError: no route") as caught:
        write(tmp_path, EPOCHS, "online")
    assert len(caught) == 1
    assert [options["mode"] for options in server.started] == ["offline"]
    assert [step for step, _ in server.logged] == [0, 1, 2, 3]
    assert log_of(tmp_path) == EPOCHS


def test_cut_line_costs_one_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, StandIn(broken="log"))
    with pytest.warns(UserWarning, match="the line is cut") as caught:
        write(tmp_path, EPOCHS, "online")
    assert len(caught) == 1
    assert log_of(tmp_path) == EPOCHS


def test_missing_wandb_costs_one_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)  # type: ignore[arg-type]
    with pytest.warns(UserWarning, match="W&B failed"):
        write(tmp_path, EPOCHS, "offline")
    assert log_of(tmp_path) == EPOCHS


def test_disabled_never_imports_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write(tmp_path, EPOCHS, "disabled")


OFFLINE = """
import sys
from pathlib import Path
import numpy as np
from jaxsoil.runs import tracking
from jaxsoil.runs.mirror import Inputs
from jaxsoil.spectra.container import Spectra
folder, epochs, config = Path(sys.argv[1]), int(sys.argv[2]), {"train": {"lr": 1e-3}, "networks": ["ann", "none"]}
spectra = Spectra(0.1 + np.arange(20.0).reshape(4, 5) / 100, np.linspace(400.0, 800.0, 5), "nm", "reflectance")
inputs = Inputs.of(spectra, ["a", "b", "b", "b"], per=2)
with tracking.start(folder, "offline", config, group="widths", inputs=inputs) as tracker:
    for epoch in range(epochs):
        tracker.log({"trial": "ann/geeves/0", "epoch": epoch, "train_loss": 1.0 / (1 + epoch)})
    tracker.summary({"rmse": 0.5})
if epochs > 2:
    from PIL import Image
    (folder / "results.csv").write_text("model,region,seed,value\\nann,NA,0,0.5\\nann,b,all,\\n")
    (folder / "figures").mkdir()
    Image.new("RGB", (2, 2)).save(folder / "figures" / "dots.png")
    tracking.complete(folder, "offline", config, "widths")
"""


def run_offline(folder: Path, epochs: int, home: Path) -> None:
    """Tracks in a process of its own, with W&B itself; it must print nothing."""
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", OFFLINE, str(folder), str(epochs)],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def records_of(data: bytes) -> Iterator[bytes]:
    """Yields the records of a W&B file: LevelDB's log format (blocks of 32 KiB) after a header of 7 bytes."""
    at, record = 7, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        _checksum, length, kind = struct.unpack_from("<IHB", data, at)
        record += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield record
            record = b""


def mirrored(path: Path) -> tuple[Any, list[dict[str, Any]], dict[str, Any]]:
    """Reads the run, its history and its summary from an offline folder of W&B."""
    protocol: Any = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    (file,) = path.glob("*.wandb")
    run, history, summary = None, [], {}
    for data in records_of(file.read_bytes()):
        record = protocol.Record()
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run = record.run
        if kind == "history":
            items = record.history.item
            history.append({"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in items})
        if kind == "summary":
            updates = record.summary.update
            summary |= {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in updates}
    return run, history, summary


def test_offline_mirror_is_complete_silent_and_rebuilt_on_resume(tmp_path: Path) -> None:
    folder, home = tmp_path / "run", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    run_offline(folder, 2, home)
    name = (folder / "wandb" / "run-id").read_text().strip()
    run_offline(folder, 4, home)
    assert [record.get("epoch") for record in log_of(folder)] == [0, 1, None, 2, 3]
    # One run of the study, one of its trial, both made anew.
    (whole,) = (folder / "wandb").glob(f"offline-run-*-{name}")
    (trial,) = (folder / "wandb").glob(f"offline-run-*-{name}-????????")
    run, history, summary = mirrored(whole)
    curve = "train_loss/ann/geeves/0"
    assert [row[curve] for row in history if curve in row] == [1.0, 1 / 2, 1 / 3, 1 / 4]
    assert summary["rmse"] == 0.5
    assert (run.run_id, run.run_group, run.job_type, run.display_name) == (name, "widths", "point", "run")
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert (config["train.lr"], config["networks"]) == (1e-3, "ann, none")
    assert media(whole, history[0], "inputs/a_table/path")["data"] == [
        [400.0 + 100.0 * band, "spectrum 1", pytest.approx(0.1 + band / 100)] for band in range(5)
    ]
    assert len(media(whole, history[0], "inputs/b_table/path")["data"]) == 2 * 5
    table = media(whole, history[-1], "results/path")
    assert table["columns"] == ["model", "region", "seed", "value"]
    assert table["data"] == [["ann", "NA", 0.0, 0.5], ["ann", "b", "all", None]]
    assert history[-1]["figures/dots/width"] == 2 and (whole / "files" / history[-1]["figures/dots/path"]).exists()
    run, history, _ = mirrored(trial)
    assert (run.run_group, run.job_type, run.display_name) == ("widths", "trial", "ann/geeves/0")
    assert [row["train_loss"] for row in history] == [1.0, 1 / 2, 1 / 3, 1 / 4]
    assert list(home.rglob("*.log")) == [], "W&B wrote outside the run folder"


def media(path: Path, row: dict[str, Any], name: str) -> dict[str, Any]:
    return json.loads((path / "files" / row[name]).read_text("utf-8"))
