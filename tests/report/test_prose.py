"""Pieces of text from templates of a package."""

from __future__ import annotations

from pathlib import Path

import pytest

from jaxsoil.report.prose import Prose

TEMPLATE = """
{% from "shared.md.j2" import ending %}
{% macro uses(scored) %}
Scores | through the model | {{ scored }}

MRMSE | none | none
{% endmacro %}
{% macro opening(names, best, empty=false) %}
Each of {{ names|length }} regions
is held out. Highest CCC: {{ best|number(2) }}.

{% if empty %}
There is none.
{% endif %}

Regions:
- {{ names|join(", ") }}
  and no other;
- {{ label("ann") }} - {{ ending("x") }}.
{% endmacro %}
"""


@pytest.fixture
def prose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prose:
    folder = tmp_path / "prose_package" / "templates"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("")
    (folder / "page.md.j2").write_text(TEMPLATE)
    (folder / "shared.md.j2").write_text("{% macro ending(what) %}{{ label(what) }} & <b>{% endmacro %}")
    monkeypatch.syspath_prepend(str(tmp_path))
    return Prose("prose_package", "page", label=str.upper)


def test_blank_lines_part_paragraphs_and_dashes_make_lists(prose: Prose) -> None:
    values = {"names": ["a", "b - c"], "best": -0.004}
    paragraph = "Each of 2 regions is held out. Highest CCC: 0.00."
    entries = ["a, b - c and no other;", "ANN - X & <b>."]
    assert prose.items("opening", **values) == [paragraph, "Regions:", entries]
    assert prose.notes("opening", **values, empty=True)[:2] == (paragraph, "There is none.")
    assert prose.text("opening", **values).startswith(f"{paragraph} Regions: - a, b - c and no other; - ANN")


def test_a_value_breaks_no_line(prose: Prose) -> None:
    items = prose.items("opening", names=["a\n\n- b\n\n## c"], best=1)
    assert items[-1][0] == "a - b ## c and no other;"
    assert len(items) == 3


def test_lines_are_rows_of_cells(prose: Prose) -> None:
    assert prose.rows("uses", scored="to\nscore") == (
        ("Scores", "through the model", "to score"),
        ("MRMSE", "none", "none"),
    )


def test_a_value_is_not_read_as_a_template(prose: Prose) -> None:
    assert "{{ 1 + 1 }}" in prose.text("opening", names=["{{ 1 + 1 }}"], best=1)


def test_what_a_piece_needs_must_be_given(prose: Prose) -> None:
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError, match="names"):
        prose.text("opening", best=1)
    with pytest.raises(TypeError, match="worst"):
        prose.text("opening", names=[], best=1, worst=0)
    with pytest.raises(AttributeError, match="closing"):
        prose.text("closing")
