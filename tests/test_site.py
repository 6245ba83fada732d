"""The check of the built site (tools/check_site.py) finds what it is to find, and every room has a page."""

from __future__ import annotations

import re
import runpy
import zlib
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[1]
CHECK = SimpleNamespace(**runpy.run_path(str(ROOT / "tools" / "check_site.py")))
GOOD = '<html id="top"><a href="b.html#here">b</a><a href="https://example.org/x">x</a><img src="_static/i.png"></html>'


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "_static").mkdir()
    (tmp_path / "_static" / "i.png").write_bytes(b"")
    (tmp_path / "_static" / "a.css").write_text("p { background: url(i.png) url('data:image/svg+xml,http://x') }")
    (tmp_path / "a.html").write_text(GOOD)
    (tmp_path / "b.html").write_text('<h1 id="here">b</h1><a href="a.html">a</a><a href="#here">up</a>')
    return tmp_path


def test_a_site_without_faults_has_none(site: Path) -> None:
    assert CHECK.faults_of_links(site) == []


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ('<a href="c.html">c</a>', "links to c.html, which is not there"),
        ('<a href="b.html#gone">b</a>', "no such anchor"),
        ('<script src="https://cdn.example.org/x.js"></script>', "loads https://cdn.example.org/x.js"),
        ('<link rel="stylesheet" href="//fonts.example.org/f.css">', "loads //fonts.example.org/f.css"),
        ('<img src="gone.png">', "loads gone.png, which is not there"),
    ],
)
def test_faults_of_pages_are_found(more: str, fault: str, site: Path) -> None:
    (site / "a.html").write_text(GOOD + more)
    (found,) = CHECK.faults_of_links(site)
    assert found.startswith("a.html ") and fault in found


def test_fonts_from_elsewhere_are_found(site: Path) -> None:
    (site / "_static" / "a.css").write_text("@import 'https://fonts.example.org/f.css'; @font-face{src:url(//x.org/f)}")
    assert len(CHECK.faults_of_links(site)) == 2


def test_an_empty_folder_is_no_site(tmp_path: Path) -> None:
    assert CHECK.faults_of_links(tmp_path) == [f"{tmp_path.resolve()}: no page"]


def test_public_names_that_the_reference_lacks_are_found(tmp_path: Path) -> None:
    package, site = tmp_path / "own", tmp_path / "site"
    package.mkdir()
    (site / "reference").mkdir(parents=True)
    (package / "__init__.py").write_text('__all__ = ["make", "Thing"]\n')
    (package / "parts.py").write_text('"""Parts."""\nN = 3\n"""Number."""\nM = 4\n\ndef make():\n    """Makes."""\n'
                                      'class Thing:\n    """One."""\ndef _hidden():\n    """No."""\n')  # fmt: skip
    (package / "_private.py").write_text('def own():\n    """No."""\n')
    assert CHECK.public_names(package) == {"own.parts.N", "own.parts.make", "own.parts.Thing"}
    rows = "own.parts.N py:data 1 reference/parts.html#$ -\nown.parts.make py:function 1 reference/parts.html#$ -\n"
    (site / "objects.inv").write_bytes(b"# Sphinx inventory version 2\n# a\n# b\n# c\n" + zlib.compress(rows.encode()))
    (site / "reference" / "index.html").write_text('<a href="parts.html#own.parts.make">make</a>')
    assert CHECK.faults_of_reference(site, package) == [
        "the reference has no own.parts.Thing",
        "reference/index.html has no link to own.Thing",
    ]


def test_every_room_of_the_package_has_a_place_in_the_reference() -> None:
    named = set()
    for page in (ROOT / "docs" / "reference").glob("*.rst"):
        named |= set(re.findall(r"^\.\. room:: (\S+)", page.read_text("utf-8"), flags=re.MULTILINE))
    rooms = {path.stem if path.is_file() else path.name for path in (ROOT / "jaxsoil").iterdir()}
    rooms = {f"jaxsoil.{room}" for room in rooms if room[0] != "_" and room not in ("py", "studies")}
    rooms |= {
        f"jaxsoil.studies.{path.name}" for path in (ROOT / "jaxsoil" / "studies").iterdir() if path.name[0] != "_"
    }
    assert named == rooms


def test_every_page_is_in_a_table_of_contents() -> None:
    text = (ROOT / "docs" / "index.md").read_text("utf-8")
    listed = {line.strip() for block in re.findall(r"```\{toctree\}(.*?)```", text, flags=re.DOTALL)
              for line in block.splitlines() if line.strip() and not line.startswith(":")}  # fmt: skip
    for page in (ROOT / "docs").glob("*.md"):
        assert page.stem in listed | {"index"} or any(Path(page.stem).match(one) for one in listed), page
