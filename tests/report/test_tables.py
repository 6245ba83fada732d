"""Tables and documents: formats, marks, and text from data that must stay text."""

from pathlib import Path

import pytest

from jaxsoil.report.document import Document
from jaxsoil.report.tables import UNDEFINED, Table, markdown_text, natural_sorted, number, plus_minus

NASTY = '<script>alert(1)</script> a|b *c* `d` \n# e [x](javascript:1) & "q"'


def test_numbers():
    assert number(-0.1234, 2) == "\u22120.12"
    assert number(-0.0001, 2) == "0.00"
    assert number(float("nan")) == number(None) == number(float("inf")) == UNDEFINED
    assert plus_minus(1.0, 0.25, 2) == "1.00 ± 0.25"
    assert plus_minus(1.0, float("nan"), 2) == "1.00"
    assert plus_minus(float("nan"), 0.1) == UNDEFINED


def test_natural_order():
    assert natural_sorted({"10", "2", "b", "a10", "a9", "B"}) == ["2", "10", "a9", "a10", "B", "b"]


def test_markdown_table_keeps_its_columns():
    table = Table("Caption.", ("Name", "x", "why"), ((NASTY, "1", "t"),), ("a note",), left=(0, -1))
    lines = table.markdown().splitlines()
    assert lines[3] == "| --- | ---: | --- |"
    cells = lines[4].replace("\\|", "").split("|")
    assert len(cells) == 5
    assert "<script>" not in lines[4] and "&lt;script&gt;" in lines[4]
    assert "\\[x\\](javascript" in lines[4]
    assert lines[-1] == "- a note"


def test_rows_of_wrong_length_are_refused():
    with pytest.raises(ValueError, match="2 columns but a row of 1"):
        Table("Caption.", ("a", "b"), (("1",),))


def test_html_escapes_everything(tmp_path: Path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "f.png").write_bytes(b"\x89PNG")
    document = Document(NASTY)
    document.heading(NASTY)
    document.text(NASTY)
    document.bullets([NASTY])
    document.bullets([])
    document.table(Table(NASTY, (NASTY,), ((NASTY,),), (NASTY,)))
    document.command(NASTY)
    document.figure(tmp_path / "figures" / "f.png", NASTY, tmp_path)
    html = document.html()
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 12
    assert '"q"' not in html
    assert html.count("<ul>") == 1
    # Base64 of the four bytes written above.
    assert 'src="data:image/png;base64,iVBORw=="' in html
    assert "](figures/f.png)" in document.markdown()
    assert "<script" not in document.markdown().replace(f"```\n{NASTY}\n```", "")


def test_a_command_cannot_close_its_fence():
    document = Document("t")
    document.command("echo ``` ````")
    assert "`````\necho ``` ````\n`````" in document.markdown()


def test_a_document_is_written_twice(tmp_path: Path):
    path = Document("t").write(tmp_path / "new")
    assert path.name == "report.html"
    assert (tmp_path / "new" / "report.md").read_text("utf-8") == "# t\n"
    assert markdown_text("few_labels") == "few\\_labels"
