"""``python -m jaxsoil.data``: what it lists."""

from __future__ import annotations

import pytest

from jaxsoil.data import __main__ as command
from jaxsoil.data import registry


def test_it_lists_every_data_set_without_data(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("JAXSOIL_DATA", raising=False)
    command.main()
    lines = capsys.readouterr().out.splitlines()
    assert tuple(line.split()[0] for line in lines[: len(registry.names())]) == registry.names()
    assert all(line.endswith(title) for line, (_, title) in zip(lines, registry.describe(), strict=False))
    assert "JAXSOIL_DATA" in lines[-1]
