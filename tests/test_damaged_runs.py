"""A damaged file of a finished run, one by one: a message of one line names it, and nothing ends in a traceback."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from command import EXPERIMENTS, run_here
from damage import each_damaged, files_read
from pictures import undrawn
from smoke_runs import arguments, copied, smoke_run

from jaxsoil.experiments import Experiment, load
from jaxsoil.runs.errors import DataError, UsageError

STUDIES = ("region_out", "few_labels", "soc_spectrum", "multifidelity", "hybrid_dataset", "layer_transfer")
REPORTS = (*STUDIES, "baseline_split", "carry_over", "rho_r")
"""Those whose report has files of its own; runs of the last three are resumed as that of region_out is."""
SAMPLE = ("baseline_split", "hybrid_dataset")
RESUMED = [*SAMPLE, *(pytest.param(name, marks=pytest.mark.campaign) for name in STUDIES if name not in SAMPLE)]
"""A resumed run takes seconds for each of its files: a sample is tried on every change. The split at random reads what
region_out does, baselines and networks, in a fraction of its time."""


def one_line(message: str, name: Path, what: str) -> None:
    assert name.name in message, f"{what}: the message does not name the file: {message}"
    assert "\n" not in message.strip(), f"{what}: {message}"


@pytest.mark.parametrize("experiment", REPORTS)
def test_a_report_names_the_damaged_file(experiment: str, tmp_path: Path) -> None:
    with undrawn():
        _each_damage_is_named(experiment, tmp_path)


def _each_damage_is_named(experiment: str, tmp_path: Path) -> None:
    whole, write = smoke_run(experiment), load(experiment, EXPERIMENTS).report_module().write_report
    copy = copied(whole, tmp_path / "whole")
    names = files_read(copy, lambda: write(copy))
    assert len(names) > 4, names
    wrong = []
    for what, folder, name in each_damaged(whole, names, tmp_path):
        try:
            write(folder)
        except (DataError, UsageError) as error:
            one_line(str(error), name, what)
        except Exception as error:
            wrong.append(f"{what}: {type(error).__name__}: {error}")
        else:
            wrong.append(f"{what}: the report was written")
        shutil.rmtree(folder)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("experiment", RESUMED)
def test_resuming_names_the_damaged_file(
    experiment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Or makes again what it does not rest on, such as a table: then it ends as the undisturbed run."""
    whole, study = smoke_run(experiment), load(experiment, EXPERIMENTS).study_module()
    monkeypatch.setattr(Experiment, "report_module", lambda self: SimpleNamespace(write_report=lambda folder: folder))
    read: dict[str, Any] = {}  # the data, once
    once = study.prepare
    monkeypatch.setattr(study, "prepare", lambda config: read.get("data") or read.setdefault("data", once(config)))
    words = [*arguments(experiment), "--resume", "--workdir"]
    copy = copied(whole, tmp_path / "whole")
    names = files_read(copy, lambda: run_here(*words, str(copy)))
    assert Path("config.json") in names and len(names) > 1
    wrong = []
    for what, folder, name in each_damaged(whole, names, tmp_path):
        try:
            code = run_here(*words, str(folder))
        except Exception as error:
            wrong.append(f"{what}: {type(error).__name__}: {error}")
        else:
            printed = capsys.readouterr().err
            if code == 2:
                one_line(printed[printed.rindex("error: ") :], name, what)
            elif code or (name.suffix in (".csv", ".parquet") and _differ(folder / name, whole / name)):
                wrong.append(f"{what}: exit status {code}, the file differs")
        shutil.rmtree(folder)
    assert not wrong, "\n".join(wrong)


def _differ(first: Path, second: Path) -> bool:
    return first.read_bytes() != second.read_bytes()
