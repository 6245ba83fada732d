"""The sentences of the reports: every piece that the code names is in a template beside it, and none is idle."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import jaxsoil.studies.reconstruction as study

STUDY = Path(study.__path__[0])


FOLDERS = {"report": STUDY / "report", "soc_spectrum": STUDY / "soc_spectrum" / "report"}


@pytest.mark.parametrize("folder", FOLDERS.values(), ids=FOLDERS)
def test_code_and_templates_name_the_same_pieces(folder: Path) -> None:
    code = "\n".join(path.read_text("utf-8") for path in folder.glob("*.py"))
    named = set(re.findall(r"PROSE\.(?:text|notes|items|rows)\(\s*[\"'](\w+)", code))
    pieces, text = set(), ""
    for path in (folder / "templates").glob("*.md.j2"):
        text += path.read_text("utf-8")
        own = re.findall(r"{% macro (\w+)\(", path.read_text("utf-8"))
        assert len(own) == len(set(own)), path
        pieces |= set(own)
    within = {piece for piece in pieces if re.search(rf"(?<!macro )\b{piece}\(", text)}
    assert named <= pieces
    assert pieces <= named | within
