"""Documents: text from data stays text, figures are saved where they are linked, every part of a run is named."""

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from report_pages import opened

from jaxsoil.report import run_sections, style
from jaxsoil.report.document import Document
from jaxsoil.report.run_files import RunContents
from jaxsoil.report.tables import DAGGER, Table, markdown_text

NASTY = '<script>alert(1)</script> a|b *c* `d` \n# e [x](javascript:1) & "q"'


def test_html_escapes_everything(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "f.png").write_bytes(b"\x89PNG")
    document = Document(NASTY, tmp_path)
    document.heading(NASTY)
    document.text(NASTY)
    document.bullets([NASTY])
    document.bullets([])
    document.table(Table(NASTY, (NASTY,), ((NASTY,),), (NASTY,)))
    document.command(NASTY)
    document.figure(tmp_path / "figures" / "f.png", NASTY)
    html = document.html()
    # The page's own script, and no other; the heading stands in the contents too.
    assert html.count("<script") == 1 and "<script>alert" not in html
    assert html.count("&lt;script&gt;") == 13
    assert '"q"' not in html
    assert html.count("<ul>") == 1
    # Base64 of the four bytes written above.
    assert 'src="data:image/png;base64,iVBORw=="' in html
    assert "](figures/f.png)" in document.markdown()
    assert "<script" not in document.markdown().replace(f"```\n{NASTY}\n```", "")


def test_two_figures_of_one_name_are_refused(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    document = Document("t", tmp_path)
    assert document.picture(Figure(), "f", "c") and document.picture(Figure(), "f", "c", subfolder="other")
    with pytest.raises(ValueError, match="called 'f'"):
        document.picture(Figure(), "f", "another")


def test_a_command_cannot_close_its_fence() -> None:
    document = Document("t")
    document.command("echo ``` ````")
    assert "`````\necho ``` ````\n`````" in document.markdown()


def test_a_document_is_written_twice(tmp_path: Path) -> None:
    path = Document("t", tmp_path / "new").write()
    assert path.name == "report.html"
    assert (tmp_path / "new" / "report.md").read_text("utf-8") == "# t\n"
    assert markdown_text("few_labels") == "few\\_labels"


def test_a_section_takes_text_tables_and_lists_in_order() -> None:
    document = Document("t")
    document.section("S", "first", None, Table("c", ("a",), (("1",),)), "", ["x", "y"], [])
    assert document.markdown() == "# t\n\n## S\n\nfirst\n\nc\n\n| a |\n| --- |\n| 1 |\n\n- x\n- y\n"
    assert document.html().index("first") < document.html().index("<table>") < document.html().index("<ul>")


def test_a_figure_is_saved_and_linked(tmp_path: Path) -> None:
    document = Document("t", tmp_path)
    figure, axes = style.grid(1)
    axes[0].plot([0, 1])
    document.draw(figure, "line", "A line.", subfolder="before", formats=("png", "pdf"))
    document.draw(None, "nothing", "Not there.")
    assert document.write() == tmp_path / "report.html"
    assert sorted(p.name for p in (tmp_path / "figures" / "before").iterdir()) == ["line.pdf", "line.png"]
    markdown = (tmp_path / "report.md").read_text("utf-8")
    assert "![A line.](figures/before/line.png)" in markdown and "Not there" not in markdown


def record(**files: dict[str, Any]) -> RunContents:
    """The files that all runs have, empty where not given."""
    every = {name: {} for name in ("config", "env", "data", "timing")} | files
    return RunContents(path=Path("run"), results=pd.DataFrame(), **every)


def test_an_empty_run_says_what_it_does_not_know() -> None:
    run = record()
    document = run_sections.open_document(run, "A study")
    run_sections.closing_sections(document, run)
    text = document.markdown()
    assert text.startswith("# A study, data 'data'\n") and document.folder == Path("run")
    assert "does not say how its settings compare" in text and "has no data.json" in text
    assert "did not record its command" in text and "## Time" not in text
    assert run_sections.dagger_sentence([]) == "" and run_sections.dagger_note(run, []) == ()


def test_a_full_run_states_data_time_settings_and_command() -> None:
    run = record(
        config={"differs_from_paper": [["train.epochs", 5, None], ["widths", [8, 4.5], 100]], "convergence": "Flat."},
        env={"command": "python run.py", "python": "3.12", "versions": {"jax": "0.9", "x": None}, "processor": "p",
             "git": {"commit": "abc", "modified": True}},
        data={"name": "twin", "rows": 3, "bands": 2, "axis": [400.0, 2500.0], "unit": "nm", "notes": ["a note"],
              "sha256": "ff", "steps": ["snv"], "licence": "CC0"},
        timing={"total_s": 3.0, "compile_s": 1.25, "plsr_s": 0.5, "ann_train_s": 1.0},
    )  # fmt: skip
    document = run_sections.open_document(run, "A study")
    run_sections.closing_sections(document, run, {"plsr": "PLSR", "ann": "Encoder"})
    text = document.markdown()
    for line in (
        "| train.epochs | 5 | not stated |",
        "| widths | 8, 4.5 | 100 |",
        "- twin: 3 spectra of 2 bands, 400 to 2500 nm.",
        "- Preprocessing: snv.",
        "| Compilation | 1.2 |\n| Training: Encoder | 1.0 |\n| PLSR | 0.5 |\n| Whole run | 3.0 |",
        "With Python 3.12, jax 0.9.",
        "Code at commit abc, with uncommitted changes.",
    ):
        assert line in text, line
    (note,) = run_sections.dagger_note(run, ["ANN 1 of 2 trainings"])
    assert note == f"{DAGGER} includes networks that did not converge (ANN 1 of 2 trainings). Flat."


def test_a_run_without_differences_says_none() -> None:
    document = Document("t")
    run_sections.differences_section(document, record(config={"differs_from_paper": []}))
    assert document.markdown().endswith("## Settings that differ from the paper\n\nNone.\n")


@pytest.mark.parametrize(
    ("value", "text"), [(0.001, "0.001"), (None, "not stated"), (("a", 2.0), "a, 2"), (True, "True")]
)
def test_settings_as_text(value: object, text: str) -> None:
    assert run_sections.setting_text(value) == text


def test_the_opening_is_short_and_the_rest_is_folded_and_listed(tmp_path: Path) -> None:
    document = Document("t", tmp_path)
    figure, axes = style.grid(1)
    axes[0].plot([0, 1])
    picture = document.picture(figure, "line", "A line.")
    table = Table("c", ("a", "b"), tuple((str(row), "x") for row in range(12)), ("a note",))
    document.opening("One. Two. Three.", picture, table, "Scores & all")
    document.section("Scores & all", table)
    document.section("Same", "once")
    document.section("same", "twice")
    document.section("?!", "no letter")
    page = opened(document.html())
    assert page.sections == {"scores-all": "Scores & all", "same": "Same", "same-2": "same", "section": "?!"}
    assert document.html() == document.html()
    assert "The first 10 of 12 rows; all are under 'Scores & all'." in document.markdown()
    assert table.head(12) is table and table.head(2).rows == (("0", "x"), ("1", "x"))
    with pytest.raises(ValueError, match="opening comes first"):
        document.opening("Late.")


def test_the_page_runs_its_own_script_and_style_alone() -> None:
    html = Document("t").html()
    policy = re.search(r'content="(default-src [^"]+)"', html)
    assert policy is not None and policy[1].startswith("default-src 'none'; img-src data:;")
    for tag in ("style", "script"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        named = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{named}'" in policy[1]


def test_a_part_of_a_table_keeps_what_is_text() -> None:
    table = Table("c", ("a", "b", "d"), (("x", "1", "p"), ("y", "2", "q")), ("note",), left=(0, -1))
    part = table.part((-1, 1), (1, 0))
    assert part == Table("c", ("d", "b"), (("q", "2"), ("p", "1")), (), left=(0,))
