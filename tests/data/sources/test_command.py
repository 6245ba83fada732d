"""``jaxsoil data``: prepare and describe."""

from __future__ import annotations

from jaxsoil.cli import console


def test_the_command_prepares_and_describes(server, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert console(["data", "prepare", "neospectra_mir"]) == 0
    said = capsys.readouterr()
    assert "licence: CC BY 4.0" in said.out and "cite: Sanderman et al. (2023)" in said.out
    assert "neospectra_mir_v1.2.csv.gz" in said.err  # the progress bar
    assert console(["data", "describe", "neospectra_mir"]) == 0
    assert "16 rows, 1701 bands" in capsys.readouterr().out
    assert (tmp_path / "neospectra_mir.png").exists()
    assert console(["data", "prepare", "neospectre"]) == 2
    assert "Did you mean" in capsys.readouterr().err
