"""The command line of experiments: refusals with a remedy, resuming, what a run leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from smoke_runs import arguments, smoke_run

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENTS = ROOT / "experiments"
# Two networks: one without and one with a decoder.
SMOKE = ["--exp=region_out", "--smoke", "--wandb", "disabled", "--networks", "none", "physics"]
TWO = ["--processes", "2", "--process-index", "0", "--process-address", "localhost:9"]


def command(*arguments: str, timeout: float = 300.0) -> subprocess.CompletedProcess[str]:
    # A user's JAX is neither strict nor type-checked, so the real command runs without the tests' settings.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_NUMPY")}
    return subprocess.run(
        [sys.executable, str(EXPERIMENTS / "run.py"), *arguments],
        capture_output=True,
        text=True,
        env=environment,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )


def run(*arguments: str) -> int:
    from jaxsoil.cli import main

    return main(EXPERIMENTS, list(arguments))


@pytest.fixture(scope="module")
def finished() -> Path:
    return smoke_run("region_out")


def test_a_run_leaves_tables_figures_and_what_it_depends_on(finished: Path) -> None:
    for name in ("results.csv", "trials.csv", "history.csv", "predictions.parquet", "reconstructions.npz"):
        assert (finished / name).stat().st_size > 0, name
    assert (finished / "report.html").exists() and len(list((finished / "figures").glob("*.png"))) >= 3
    environment = json.loads((finished / "env.json").read_text())
    assert environment["versions"]["jax"] and environment["devices"] and "--smoke" in environment["command"]
    config = json.loads((finished / "config.json").read_text())
    assert config["config"]["train"]["epochs"] == 12
    assert ["train.epochs", 12, 1000] in config["differs_from_paper"]
    assert "compile_s" in json.loads((finished / "timing.json").read_text())
    # Twelve epochs of each trial, by the formula of dense networks; the share is of what this device can do.
    floors = environment["floors"]["networks"]
    assert 0.0 < floors["share"] < 1.0 and max(floors["compute_s"], floors["memory_s"]) <= floors["seconds"]
    assert floors["operations"] == pytest.approx(floors["bytes"] / 32.0 * 6.0 * config["config"]["train"]["batch"])
    assert "of the larger floor" in (finished / "report.md").read_text()


def test_results_name_every_model_region_and_exposure(finished: Path) -> None:
    from jaxsoil.evaluation.results import read_results

    frame = read_results(finished / "results.csv", ("input", "loss"))
    assert set(frame.model) == {"none", "ann", "physics", "plsr", "random_forest", "plsr_absorbance", "carry_over"}
    assert set(frame.region) == {"R01", "R02", "R03", "R04"}
    assert set(frame[frame.metric == "mrmse"].model) == {"ann", "physics"}
    trials = (finished / "trials.csv").read_text()
    assert trials.count("inductive") == 28


def test_an_existing_run_is_refused_and_left_alone(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (finished / "results.csv").stat().st_mtime_ns
    assert run(*arguments("region_out"), "--workdir", str(finished)) == 2
    assert "--resume" in capsys.readouterr().err
    assert (finished / "results.csv").stat().st_mtime_ns == before


def test_resuming_with_another_configuration_names_the_field(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments("region_out"), "--workdir", str(finished), "--train.epochs", "25", "--resume") == 2
    assert "train.epochs was 12, is 25" in capsys.readouterr().err


def test_overwrite_deletes_only_what_is_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    assert run(*SMOKE, "--workdir", str(tmp_path), "--overwrite") == 2
    assert "holds no run" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").read_text() == "precious"


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--exp=regoin_out"], "Did you mean 'region_out'"),
        (["--exp=region_out", "--data", "feilds"], "Did you mean 'fields'"),
        (["--exp=region_out", "--data", "nowhere/mine.toml"], "mine.toml"),
        ([], "--exp"),
        ([*SMOKE, "--resume", "--overwrite"], "exclude each other"),
        ([*SMOKE, "--train.batch", "5000"], "--train.batch"),
        ([*SMOKE, "--twin.n-regions", "1"], "region"),
        ([*SMOKE, "--devices.count", "99"], "--devices.count 99: there are"),
        ([*SMOKE, "--devices.memory-gb", "1e-5"], "A trial needs 0.00"),
        ([*SMOKE, "--processes", "2"], "--process-index is missing"),
        ([*SMOKE, *TWO, "--plan"], "--plan runs in one process"),
        ([*SMOKE, *TWO, "--sweep", "decoder"], "--sweep runs in one process"),
        (["--exp=hybrid_dataset", "--smoke", *TWO], "hybrid_dataset runs in one process"),
    ],
)
def test_refusals_say_what_to_do(arguments: list[str], hint: str, tmp_path: Path, capsys) -> None:
    assert run(*arguments, *(["--workdir", str(tmp_path / "run")] if arguments else [])) == 2
    assert hint in capsys.readouterr().err
    assert not (tmp_path / "run" / "results.csv").exists()


def test_an_unknown_field_is_refused_with_the_nearest_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(*SMOKE, "--train.epoch", "3")
    assert stopped.value.code == 2
    assert "--train.epochs" in capsys.readouterr().err


def test_plan_prints_the_trials_and_runs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*SMOKE[:-1], "--plan", "--compile", "--workdir", str(tmp_path / "run")) == 0
    printed = capsys.readouterr().out
    assert "TFLOP" in printed and "4 splits" in printed and "XLA counts" in printed
    assert "GFLOP/s" in printed and "XLA's memory of none: " in printed and "temporaries" in printed
    assert not (tmp_path / "run").exists()


def test_list_and_help_name_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--list") == 0
    assert "region_out" in capsys.readouterr().out
    assert run("--exp=region_out", "--help") == 0
    printed = capsys.readouterr().out
    for option in ("--plan", "--resume", "--train.lr", "--twin.noise", "--devices.method"):
        assert option in printed


def test_options_load_without_the_libraries_that_run_a_study() -> None:
    code = f"""
import sys
from pathlib import Path
from jaxsoil.experiments import discover, load
folder = Path({str(EXPERIMENTS)!r})
heavy = ("jax", "flax", "optax", "orbax", "scipy", "pandas", "matplotlib", "sklearn")
for name in discover(folder):
    load(name, folder)
    print(*[f"{{name}}: {{library}}" for library in heavy if library in sys.modules], end="")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert not done.stdout, f"imported by {done.stdout}"


def test_a_run_folder_that_cannot_be_written_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("no folder")
    assert run(*SMOKE, "--workdir", str(tmp_path / "file" / "run")) == 1
    assert "--workdir" in capsys.readouterr().err
