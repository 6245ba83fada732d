"""Run folders for the tests of reports."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pictures
import pytest
from reconstruction_run import write_run


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """``make_run(regions=..., ...)`` writes a run folder and returns its path."""

    def make(**options: Any) -> Path:
        options.setdefault("regions", ("Alpha", "Beta", "Gamma"))
        return write_run(tmp_path / "run", **options)

    return make


@pytest.fixture(scope="module", autouse=True)
def words_alone() -> Iterator[None]:
    """Reports of these tests have one pixel for each figure; a test that asks for ``drawn`` has the figures."""
    with pictures.undrawn():
        yield


@pytest.fixture
def drawn() -> Iterator[None]:
    """Figures are drawn."""
    with pictures.drawn():
        yield
