"""The examples that a reader runs: the scripts of examples/, and those in docstrings."""

from __future__ import annotations

import doctest
import importlib
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WITH_EXAMPLES = sorted(path for path in (ROOT / "jaxsoil").rglob("*.py") if ">>> " in path.read_text("utf-8"))


def test_one_trial_learns_and_repeats(capsys: pytest.CaptureFixture[str]) -> None:
    main = runpy.run_path(str(ROOT / "examples" / "one_trial.py"))["main"]
    scores = main(steps=120)
    losses = [float(line.split()[-1]) for line in capsys.readouterr().out.splitlines() if line.startswith("step")]
    assert losses[-1] < 0.2 * losses[0]
    assert scores["ccc"] > 0.4  # 0.64 after 300 steps
    assert main(steps=120) == scores


def test_there_are_examples_in_docstrings() -> None:
    assert len(WITH_EXAMPLES) >= 5


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_examples_in_docstrings(path: Path) -> None:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted and not result.failed
