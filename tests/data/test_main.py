"""``python -m jaxsoil.data``: what it lists."""

from __future__ import annotations

import runpy
import sys

import pytest

from jaxsoil.data import __main__ as command
from jaxsoil.data import registry


def test_with_words_it_is_the_command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delitem(sys.modules, "jaxsoil.data.__main__")
    monkeypatch.setattr(sys, "argv", ["jaxsoil.data", "check", "absent.toml"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_module("jaxsoil.data", run_name="__main__")
    assert stopped.value.code == 2 and "absent.toml" in capsys.readouterr().err


def test_it_lists_every_data_set_without_data(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("JAXSOIL_DATA", raising=False)
    command.main()
    lines = capsys.readouterr().out.splitlines()
    assert tuple(line.split()[0] for line in lines[: len(registry.names())]) == registry.names()
    assert all(line.endswith(title) for line, (_, title) in zip(lines, registry.describe(), strict=False))
    assert "JAXSOIL_DATA" in lines[-1]
