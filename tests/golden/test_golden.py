"""Numbers of every experiment's smoke run beside those that were stored.

A change of code that should change no result must leave them alone. Where a change is meant to change results,
``python tests/golden/renew.py --exp EXPERIMENT`` stores the new ones, and the change's description lists them.
"""

from __future__ import annotations

import os
from pathlib import Path

import golden_files
import pytest
from command import run_apart
from golden_runs import MEASURED
from numbers_of_runs import numbers
from smoke_runs import TWINS, lines_of, smoke_run

NO_DATA = "no measured data"
"""As tests/conftest.py counts what is left out."""
SLOW = ("ilr", "fno")
"""Their strategies are in the run of multifidelity."""
EVERY = [pytest.param(name, marks=pytest.mark.campaign) if name in SLOW else name for name in TWINS]
SAMPLE = ("region_out", "multifidelity", "hybrid_dataset")
"""Of the runs on measured data those that CI makes, each with the code of a study of its own."""
ON_MEASURED = [
    pytest.param(*key, marks=pytest.mark.slow if key[0] in SAMPLE else pytest.mark.campaign) for key in MEASURED
]


def compare(experiment: str, data: str, folder: Path, flags: str) -> None:
    path = golden_files.path_of(experiment, data)
    golden = golden_files.read(path)
    here = golden_files.platform_of(folder, flags)
    if here["minerals"] != golden.platform["minerals"]:  # measured ones where there are measured data
        pytest.skip(f"{NO_DATA}: {path.name} was made with minerals from {golden.platform['minerals']}")
    found = golden_files.differences(golden, numbers(experiment, folder), here, data != TWINS[experiment])
    if not found:
        return
    other = [f"{name}: {golden.platform[name]} -> {here[name]}" for name in here if here[name] != golden.platform[name]]
    where = "the platform that made the file" if not other else f"another platform ({'; '.join(other)})"
    pytest.fail(
        f"{len(found)} of {len(golden.rows)} numbers of {path.name} differ on {where}:\n"
        + "\n".join(found)
        + f"\nIf this change was to leave results alone, it does not. If it is meant to change them, "
        f"`python tests/golden/renew.py --exp {experiment} --data {data}` stores the new numbers: list the change "
        "and its size where it is described.",
        pytrace=False,
    )


@pytest.mark.parametrize("experiment", EVERY)
def test_numbers_on_the_twin_are_the_stored_ones(experiment: str) -> None:
    compare(experiment, TWINS[experiment], smoke_run(experiment), os.environ["XLA_FLAGS"])


@pytest.mark.parametrize("experiment", EVERY)
def test_a_run_shows_one_line_that_counts_every_trial(experiment: str) -> None:
    ((announced, done),) = lines_of(smoke_run(experiment))
    assert announced >= 4 and done == pytest.approx(announced)


@pytest.mark.parametrize(("experiment", "data"), ON_MEASURED)
def test_numbers_of_measured_data_are_the_stored_ones(
    experiment: str, data: str, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the real command, with the compiler's own settings."""
    monkeypatch.delenv("XLA_FLAGS")
    options = ["--smoke", "--data", data, *MEASURED[experiment, data], "--wandb", "disabled"]
    done = run_apart("--exp", experiment, *options, "--workdir", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    compare(experiment, data, tmp_path / "run", "")


def test_a_number_that_moved_is_named_and_a_chaotic_one_counts_at_home_alone(tmp_path: Path) -> None:
    import pandas as pd

    key = dict.fromkeys(golden_files.COLUMNS, "")
    rows = pd.DataFrame([key | {"model": name, "value": 2.0, "elsewhere": tolerance}
                         for name, tolerance in (("plsr", 0.02), ("ann", float("inf")), ("gone", 0.02))])  # fmt: skip
    golden_files.write(tmp_path / "x.csv", golden_files.Golden({"cores": 2}, rows))
    golden = golden_files.read(tmp_path / "x.csv")
    pd.testing.assert_frame_equal(golden.rows, rows)
    found = rows[:2].drop(columns="elsewhere").assign(value=[2.0002, 3.0])
    at_home = golden_files.differences(golden, found, {"cores": 2})
    assert [line.split(":")[0] for line in at_home] == ["  model=plsr", "  model=ann", "  model=gone"]
    assert golden_files.differences(golden, found, {"cores": 8}) == ["  model=gone: 2 is missing"]
