"""Sweeps of a study that takes milliseconds: what they leave, refuse, repeat and go on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import toy_experiment
from report_pages import opened

from jaxsoil import cli
from jaxsoil.runs import lock
from jaxsoil.runs.errors import UsageError
from jaxsoil.sweep import sweep as sweeps

ROOT = Path(__file__).resolve().parents[2]

OWN = """
def sweep_none(): ...
def sweep_needs(n):
    return [{"width": n}]
def sweep_fails():
    yield {"width": 1 // 0}
def sweep_endless():
    while True:
        yield {"width": 8}
"""
"""Mistakes in a file of one's own."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "toy_study", raising=False)
    return toy_experiment.write(tmp_path)


def sweep(folder: Path, named: str, *options: str) -> int:
    return cli.main(folder, ["--exp", "toy", "--sweep", named, "--workdir", str(folder.parent / "s"), *options])


def begun(target: Path) -> dict[str, int]:
    """How often each point's study was called."""
    return {path.parent.name: len(path.read_text().split()) for path in target.glob("points/*/begun.txt")}


def test_a_sweep_leaves_ordinary_runs_one_table_and_a_report(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = folder.parent / "s"
    assert sweep(folder, "width,lr", "--networks", "net", "other") == 0
    table = pd.read_csv(target / "sweep.csv")
    assert len(table) == 6 * 2 * 2  # points x regions x models, one metric
    runs = sorted(path for path in (target / "points").iterdir() if path.is_dir())
    assert len(runs) == 6 and not list((target / "points").glob(".*"))
    for run in runs:
        mine: Any = table[table["point"] == run.name].drop(columns=["point", "config.width", "config.train.lr"])
        pd.testing.assert_frame_equal(mine.reset_index(drop=True), pd.read_csv(run / "results.csv"))
        config = json.loads((run / "config.json").read_text())["config"]
        one = table[table["point"] == run.name].iloc[0]
        assert (config["width"], config["train"]["lr"]) == (one["config.width"], one["config.train.lr"])
        command = json.loads((run / "env.json").read_text())["command"]
        assert f"--networks net other --width {config['width']} --train.lr {config['train']['lr']}" in command
    # CCC is width / 100 + lr + 0.1 on average over regions.
    text: Any = {"setting": str}
    effects: Any = pd.read_csv(target / "effects.csv", keep_default_na=False, dtype=text).query(
        "model == 'net' and metric == 'ccc'"
    )
    found = {
        (row.field, str(row.setting)): (round(float(row.mean), 6), int(row.points)) for row in effects.itertuples()
    }
    assert found["width", "8"] == (round(0.08 + 0.7 / 3 + 0.1, 6), 3)
    assert found["train.lr", "0.4"] == (0.62, 2)
    best = pd.read_csv(target / "best.csv").query("model == 'net' and rank == 1").iloc[0]
    assert "width-16_train.lr-0.4" in best["point"] and best["of"] == 6
    html = (target / "report.html").read_text()
    assert list(opened(html).sections)[:3] == ["what-was-run", "effect-of-each-field", "best-points"]
    assert "is not an estimate of what it will reach on new data" in " ".join(html.split())
    assert (target / "figures" / "effects_ccc.png").exists()

    before = begun(target)
    assert sweep(folder, "width,lr", "--networks", "net", "other") == 2
    assert "--resume" in capsys.readouterr().err
    assert sweep(folder, "width,lr", "--networks", "net", "other", "--resume") == 0
    assert "6 of 6 points are finished and are not run again" in capsys.readouterr().out
    assert sweep(folder, "width,lr", "--resume") == 2 and "networks" in capsys.readouterr().err
    assert begun(target) == before and set(before.values()) == {1}
    (target / "report.html").unlink()
    assert cli.console(["report", str(target)]) == 0 and (target / "report.html").exists()


def test_points_that_fail_are_named_and_the_others_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = folder.parent / "s"
    assert sweep(folder, "fails") == 1
    printed = capsys.readouterr().out
    assert "a width is positive (found: -1). Give --width 8." in printed and "RuntimeError: a bug" in printed
    points = pd.read_csv(target / "points.csv", keep_default_na=False).set_index("config.width")
    assert points["status"].to_dict() == {8: "finished", -1: "failed", 666: "failed"}
    assert "a bug" in (target / "report.md").read_text()
    assert not (target / "points" / points.loc[-1, "point"]).exists()  # pyright: ignore[reportArgumentType]
    assert sweep(folder, "fails", "--resume") == 1  # What failed is tried again, what is finished is not.
    assert pd.read_csv(target / "points.csv")["attempts"].tolist() == [1, 2, 2]


def test_a_sweep_of_which_every_point_fails_still_says_why(folder: Path) -> None:
    (folder / "bad.py").write_text("def sweep_all():\n    return [{'width': -1}, {'width': 666}]\n")
    target = folder.parent / "s"
    assert sweep(folder, f"{folder / 'bad.py'}:all") == 1
    assert pd.read_csv(target / "points.csv")["status"].tolist() == ["failed", "failed"]
    page = (target / "report.md").read_text()
    assert "0 of 2 points" in page and "a bug" in page


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["unknown"], "Did you mean 'train.lr'"),
        (["type"], "takes int"),
        (["none"], "has no points"),
        (["twice"], "Points 1 and 2"),
        (["widht"], "Did you mean 'width'"),
        (["width,width"], "each sweep once"),
        (["nowhere.py:width"], "no file nowhere.py"),
        (["own.py"], "name one of its sweeps too, own.py:NAME"),
        (["own.py:none"], "'own.py:none' gives no points (TypeError: 'NoneType' object is not iterable)"),
        (["own.py:needs"], "missing 1 required positional argument"),
        (["own.py:fails"], "ZeroDivisionError: integer division or modulo by zero; own.py, line 6"),
        (["own.py:endless"], "more than 10000 points"),
        (["broken.py:x"], "broken.py is no file of Python that runs (SyntaxError: "),
        ([""], "--sweep has no name"),
        (["lr", "--launcher", "ray", "--ray-cpus", "-1"], "--ray-cpus -1: give 0 or more"),
        (["width", "--point", "7"], "points 0 to 1"),
        (["width", "--resume", "--overwrite"], "exclude each other"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_written(
    words: list[str], hint: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder.parent / "own.py").write_text(OWN)
    (folder.parent / "broken.py").write_text("def sweep_x(:")
    assert sweep(folder, *words) == 2
    assert hint in capsys.readouterr().err
    assert not (folder.parent / "s").exists()


def test_a_folder_is_that_of_one_sweep(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = folder.parent / "s"
    assert sweep(folder, "width", "--point", "0") == 0
    table = (target / "points.csv").read_text()
    assert sweep(folder, "lr", "--resume") == 2
    assert "holds the sweep 'width' of toy" in capsys.readouterr().err
    assert (target / "points.csv").read_text() == table
    left = sweeps.reopen(target).jobs[1].folder
    (folder / "toy.py").write_text((folder / "toy.py").read_text().replace("(8, 16)", "(8, 32)"))
    assert sweep(folder, "width", "--point", "0", "--resume") == 0
    assert f"left out of its tables: 1 points in {target}" in capsys.readouterr().out
    left.mkdir()
    with lock.held(left):  # Somebody still runs a point that the sweep has no more.
        assert sweep(folder, "width", "--overwrite") == 2
        assert "in use by process" in capsys.readouterr().err
    (target / "config.json").unlink()  # As where the very start of a sweep was killed.
    assert sweep(folder, "width", "--point", "0", "--resume") == 0 and (target / "config.json").exists()
    (target / "sweep.json").write_text("{}")
    assert cli.console(["report", str(target)]) == 2
    assert "sweep.json: this does not describe a sweep" in capsys.readouterr().err
    assert sweep(folder, "width", "--point", "0", "--resume") == 0


def test_options_of_a_sweep_need_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--point", "0"], ["--launcher", "ray"], ["--export", "x.yaml"], ["--asha"], ["--no-share"]):
        assert cli.main(folder, ["--exp", "toy", *words]) == 2
        assert "name one with --sweep" in capsys.readouterr().err
    assert sweep(folder, "lr", "--asha") == 2
    assert "give --launcher ray too" in capsys.readouterr().err


def test_a_users_own_file_and_single_points(folder: Path) -> None:
    own = folder.parent / "mine.py"
    own.write_text("def sweep_kind():\n    return [{'kind': 'a'}, {'kind': 'b'}]\n")
    assert sweep(folder, f"{own}:kind,lr", "--point", "1,3") == 0
    status = pd.read_csv(folder.parent / "s" / "points.csv")["status"].tolist()
    assert status == ["not run", "finished", "not run", "finished", "not run", "not run"]


def test_a_killed_sweep_goes_on_and_points_may_be_added(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = folder.parent / "s"
    code = f"import sys; from pathlib import Path; from jaxsoil.cli import main; main(Path({str(folder)!r}))"
    words = ["--exp", "toy", "--sweep", "lr", "--workdir", str(target)]
    path = os.pathsep.join([str(folder.parent), str(ROOT)])
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_NUMPY")}
    environment |= {"TOY_SECONDS": "0.7", "PYTHONPATH": path}
    process = subprocess.Popen([sys.executable, "-c", code, *words], env=environment, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 60.0
    while len(begun(target)) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    # A second worker in the killed one's point is refused before, and not after.
    busy = max(target.glob("points/*/begun.txt"), key=lambda one: one.stat().st_mtime).parent
    with pytest.raises(lock.InUse):
        lock.refuse_running(busy)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert lock.lock_path(busy).exists() and not (busy / "results.csv").exists()
    assert sweep(folder, "lr", "--resume") == 0
    counts = begun(target)
    assert counts.pop(busy.name) == 2 and set(counts.values()) == {1} and len(counts) == 2
    assert "1 of 3 points are finished" in capsys.readouterr().out
    text = (folder / "toy.py").read_text().replace("(0.1, 0.2, 0.4)", "(0.1, 0.2, 0.3, 0.4)")
    (folder / "toy.py").write_text(text)
    assert sweep(folder, "lr", "--resume") == 0
    assert "3 of 4 points are finished" in capsys.readouterr().out


def test_a_point_that_another_worker_runs_is_left_to_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = folder.parent / "s"
    made = sweeps.reopen(target) if target.exists() else None
    assert made is None and sweep(folder, "width", "--point", "0") == 0
    other = sweeps.reopen(target).jobs[1]
    with lock.held(other.folder):
        assert sweep(folder, "width", "--resume") == 0
        assert "1 in use" in capsys.readouterr().out
        assert sweep(folder, "width", "--overwrite") == 2 and "in use by process" in capsys.readouterr().err
    assert sweep(folder, "width", "--resume") == 0
    assert pd.read_csv(target / "points.csv")["status"].tolist() == ["finished"] * 2


def test_the_export_for_wandb_names_every_point(folder: Path) -> None:
    import yaml

    target = folder.parent / "sweep.yaml"
    assert sweep(folder, "width,lr", "--export", str(target)) == 0
    said = yaml.safe_load(target.read_text())
    assert said["method"] == "grid" and len(said["parameters"]["point"]["values"]) == 6
    name = said["parameters"]["point"]["values"][4]
    fixed = ("${env}", "${interpreter}", "${program}", "${args}")
    words = [word for word in said["command"] if word not in fixed]
    # As an agent of W&B runs it: the words of the file, and the parameter in place of ${args}.
    assert cli.main(folder, [*words, f"--point={name}"]) == 0
    assert begun(folder.parent / "s") == {name: 1}
    assert sweep(folder, "width,lr", "--export", str(target)) == 2


def test_a_second_run_in_one_folder_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = folder.parent / "one"
    words = ["--exp", "toy", "--workdir", str(target)]
    with lock.held(target):
        assert cli.main(folder, words) == 2
        assert "in use by process" in capsys.readouterr().err and not target.exists()
    assert cli.main(folder, words) == 0
    with pytest.raises(UsageError, match="holds a run and no sweep"):
        made = sweeps.make("width", "toy", folder, "", [], _config(folder), target, "disabled")
        made.open([], False, True)


def _config(folder: Path) -> object:
    from jaxsoil import experiments

    return experiments.load("toy", folder).config
