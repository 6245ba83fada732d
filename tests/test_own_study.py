"""A study in a user's own file: examples/own_study.py and docs/own_study.md."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import run_here
from pictures import undrawn

from jaxsoil.cli import console
from jaxsoil.runs.files import read_json

ROOT = Path(__file__).resolve().parents[1]
OWN = ROOT / "examples" / "own_study.py"
DOCS = (ROOT / "docs" / "own_study.md").read_text("utf-8")
WORDS = ["--exp", str(OWN), "--smoke", "--wandb", "disabled"]


def test_the_example_runs_by_its_path_and_reports_again(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert run_here(*WORDS, "--k", "20", "--workdir", str(folder)) == 0
    table = pd.read_csv(folder / "results.csv")
    scores = table[(table["scale"] == "log10") & (table["metric"] == "ccc")]
    assert set(scores["model"]) == {"global", "local"} and set(scores["region"]) == {"R01", "R02", "R03", "R04"}
    values = np.asarray(scores["value"])
    assert ((values > 0.1) & (values < 0.95)).all() and set(table["study"]) == {"own_study"}
    assert read_json(folder / "config.json")["config"]["k"] == 20
    assert (folder / "figures" / "ccc_by_region.png").stat().st_size > 5000
    first = (folder / "report.html").read_bytes()
    (folder / "report.html").unlink()
    assert console(["report", str(folder)]) == 0  # config.json says where the file lies
    assert (folder / "report.html").read_bytes() == first


def test_all_neighbours_are_all_soils(tmp_path: Path) -> None:
    with undrawn():
        few = ["--twin.n-samples", "160"]
        assert run_here(*WORDS, *few, "--k", "1000", "--workdir", str(tmp_path / "run")) == 0
    table = pd.read_csv(tmp_path / "run" / "results.csv")
    values = table.pivot(index=["region", "scale", "metric"], columns="model", values="value")
    assert len(values) > 20
    np.testing.assert_allclose(values["local"], values["global"], rtol=1e-6)


def test_the_page_and_its_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = len(OWN.read_text("utf-8").splitlines())
    assert lines < 100 and f"one of {lines} lines" in DOCS
    (sweep,) = re.findall(r"```python\n(.*?)```", DOCS, flags=re.DOTALL)
    (tmp_path / "my_sweeps.py").write_text(sweep, "utf-8")
    (words,) = re.findall(r"run\.py --exp examples/own_study\.py (--sweep .*)", DOCS)
    monkeypatch.chdir(tmp_path)
    assert run_here(*WORDS, *words.split()) == 0
    assert "4 points" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        (None, (), "There is no file"),
        ("A = 1", (), "describes no experiment: give it EXPERIMENT"),
        (OWN.read_text("utf-8"), ("--k", "8"), "give more neighbours"),
        (OWN.read_text("utf-8"), ("--data", "geevs"), "no such data set"),
    ],
)
def test_what_cannot_be_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, words: tuple[str, ...], message: str
) -> None:
    if text is not None:
        (tmp_path / "mine.py").write_text(text, "utf-8")
    folder = tmp_path / "run"
    assert run_here("--exp", str(tmp_path / "mine.py"), *words, "--workdir", str(folder)) == 2
    assert message in capsys.readouterr().err and not folder.exists()


def test_a_name_that_is_no_studys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.py").write_text("", "utf-8")
    assert run_here("--exp", str(tmp_path / "run.py")) == 2
    assert "rename the file" in capsys.readouterr().err
