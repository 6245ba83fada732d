"""A folder for public libraries, and a local server that stands for all publishers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import library_server
import pytest


@pytest.fixture(scope="session")
def publishers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all publishers' files, which no test changes."""
    folder = tmp_path_factory.mktemp("publishers")
    library_server.write_all(folder)
    return folder


@pytest.fixture
def server(publishers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[library_server.Server]:
    """A server of these files in place of every publisher's, and an empty folder of public libraries."""
    monkeypatch.setenv("JAXSOIL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("JAXSOIL_DATA", raising=False)
    with library_server.served(publishers) as made:
        monkeypatch.setenv("JAXSOIL_MIRROR", made.address)
        yield made
