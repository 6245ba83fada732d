"""The folder of measured data."""

from pathlib import Path

import pytest

from jaxsoil.data.root import DATA_VARIABLE, data_root
from jaxsoil.runs.errors import DataError


def test_the_folder_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    assert data_root() == tmp_path


def test_a_variable_that_is_unset_or_wrong_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    with pytest.raises(DataError, match=r"is not set.*export JAXSOIL_DATA.*'twin' needs none"):
        data_root()
    (tmp_path / "file").write_text("")
    for wrong in (tmp_path / "absent", tmp_path / "file"):
        monkeypatch.setenv(DATA_VARIABLE, str(wrong))
        with pytest.raises(DataError, match="names no folder"):
            data_root()
