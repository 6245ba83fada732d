"""One small study of layers, prepared and run once for all tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from layers_study import TINY, start

from jaxsoil.studies.layers.prepare import LayersData, prepare
from jaxsoil.studies.layers.run import run


@pytest.fixture(scope="session")
def prepared() -> LayersData:
    return prepare(TINY)


@pytest.fixture(scope="session")
def finished(prepared: LayersData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the smallest study."""
    folder = tmp_path_factory.mktemp("layers")
    run(TINY, start(folder, TINY), prepared)
    assert json.loads((folder / "maps.json").read_text())["model"] == "transfer"
    return folder
