"""Run folders for the tests of reports."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from reconstruction_run import write_run


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """``make_run(regions=..., ...)`` writes a run folder and returns its path."""

    def make(**options: Any) -> Path:
        options.setdefault("regions", ("Alpha", "Beta", "Gamma"))
        return write_run(tmp_path / "run", **options)

    return make
