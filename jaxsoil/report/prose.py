"""The prose of reports: named pieces of text in jinja2 templates, which stand in a folder beside the report's code."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

from jaxsoil.report import tables


class Prose:
    """The pieces of one template; every piece is a macro of it, which takes its values by name.

    Templates are files of the package, never of a user. They hold plain text: what it is written to escapes it. A
    name that a piece uses and does not get is an error. Blank lines part paragraphs; lines that begin with "- " are a
    list, also right under a paragraph. White space in a value becomes one space, so that no value breaks a line.
    Filters: ``number`` (with digits, as tables show it) and those of jinja2.

    Example::

        PROSE = Prose("jaxsoil.studies.layers.report", "page")
        document.add(*PROSE.items("opening", run=run, best=best))
        Table(PROSE.text("caption", n=3), header, rows, PROSE.notes("score_notes", unit="%"))

    Args:
      package: whose folder templates/ has the file ``name``.md.j2: ``__package__`` of the report.
      name: of the file.
      names: what all pieces may use beside their values, such as a function that labels models.
    """

    def __init__(self, package: str | None, name: str, **names: Any) -> None:
        self._package, self._name, self._names = str(package), name, names

    def text(self, piece: str, /, **values: Any) -> str:
        """A piece as one paragraph; "" where it says nothing."""
        return " ".join(self._render(piece, values).split())

    def notes(self, piece: str, /, **values: Any) -> tuple[str, ...]:
        """The paragraphs of a piece, such as the notes under a table."""
        parts = (" ".join(part.split()) for part in re.split(r"\n\s*\n", self._render(piece, values)))
        return tuple(part for part in parts if part)

    def items(self, piece: str, /, **values: Any) -> list[str | list[str]]:
        """The paragraphs and lists of a piece, for :meth:`jaxsoil.report.document.Document.add`."""
        found: list[str | list[str]] = []
        for part in re.split(r"\n\s*\n", self._render(piece, values)):
            first, *entries = (" ".join(entry.split()) for entry in re.split(r"^- ", part, flags=re.MULTILINE))
            found += [item for item in (first, entries) if item]
        return found

    def rows(self, piece: str, /, **values: Any) -> tuple[tuple[str, ...], ...]:
        """The lines of a piece as rows of a table of text, whose cells "|" parts."""
        lines = self._render(piece, values).splitlines()
        return tuple(tuple(cell.strip() for cell in line.split("|")) for line in lines if line.strip())

    def _render(self, piece: str, values: Mapping[str, Any]) -> str:
        template: Any = _environment(self._package).get_template(f"{self._name}.md.j2", globals=self._names)
        return str(getattr(template.module, piece)(**values))


@functools.cache
def _environment(package: str) -> Any:
    import jinja2

    folder = resources.files(package) / "templates"
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (folder / name).read_text("utf-8")),
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: " ".join(value.split()) if isinstance(value, str) else value,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    environment.filters["number"] = tables.number
    return environment
