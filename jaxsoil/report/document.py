"""A document that is written twice: as Markdown beside its figures, and as one self-contained HTML file."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxsoil.report.style import save
from jaxsoil.report.tables import Table, markdown_text
from jaxsoil.runs.files import write_text_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Item = str | Table | Sequence[str] | None
"""A paragraph, a table, a list, or nothing."""


class Document:
    """Headings, paragraphs, lists, tables, figures and commands, in order.

    All text is plain: whatever comes from data is escaped for the format it is written to. The HTML is laid out by
    templates/document.html.j2.

    Example::

        document = Document("Leave one region out", run.path)
        document.section("Scores", "Means over regions.", score_table(run), ["One remark.", "Another."])
        document.draw(scatter(run), "scatter", "Predicted against observed SOC.")
        return document.write()

    Args:
      title: heading of the document.
      folder: where report.md, report.html and figures/ are written.
    """

    def __init__(self, title: str, folder: str | os.PathLike[str] = ".") -> None:
        self.title = title
        self.folder = Path(folder)
        self._markdown = [f"# {markdown_text(title)}"]
        self._parts: list[tuple[str, Any]] = []

    def section(self, heading: str, *items: Item) -> None:
        """Starts a section, with what :meth:`add` takes."""
        self._add("section", heading, f"## {markdown_text(heading)}")
        self.add(*items)

    def heading(self, text: str) -> None:
        """Starts a section."""
        self.section(text)

    def add(self, *items: Item) -> None:
        """Adds paragraphs (text), tables and lists (sequences of text), in order; nothing for None or ""."""
        for item in items:
            if isinstance(item, Table):
                self.table(item)
            elif isinstance(item, str):
                self.text(item) if item else None
            elif item is not None:
                self.bullets(item)

    def text(self, text: str) -> None:
        """Adds a paragraph."""
        self._add("text", text, markdown_text(text))

    def bullets(self, items: Sequence[str]) -> None:
        """Adds a list; nothing where there is none."""
        if items:
            self._add("list", items, "\n".join(f"- {markdown_text(item)}" for item in items))

    def table(self, table: Table) -> None:
        """Adds a table with its caption and notes."""
        self._add("table", table, table.markdown())

    def command(self, line: str) -> None:
        """Adds a command line."""
        # A fence longer than any run of backticks inside cannot be closed by the text.
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", line)), default=0))
        self._add("command", line, f"{fence}\n{line}\n{fence}")

    def draw(
        self,
        figure: Figure | None,
        name: str,
        caption: str,
        *,
        subfolder: str = "",
        formats: Sequence[str] = ("png",),
    ) -> None:
        """Saves a figure as figures/``name``.png (or in ``subfolder`` of figures/) and adds it; nothing for None.

        Args:
          figure: the figure.
          name: of the file, without its ending.
          caption: what it shows, one to three sentences.
          subfolder: folder within figures/.
          formats: formats of the file, PNG first.
        """
        if figure is not None:
            self.figure(save(figure, self.folder / "figures" / subfolder, name, formats=formats), caption)

    def figure(self, png: Path, caption: str) -> None:
        """Adds a PNG below the document's folder: linked in Markdown, embedded in HTML."""
        link = png.relative_to(self.folder).as_posix()
        content = {"caption": caption, "png": base64.b64encode(png.read_bytes()).decode("ascii")}
        self._add("figure", content, f"![{markdown_text(caption)}]({link})\n\n{markdown_text(caption)}")

    def markdown(self) -> str:
        """The document as Markdown."""
        return "\n\n".join(self._markdown) + "\n"

    def html(self) -> str:
        """The document as one HTML file without outside references."""
        import jinja2

        template = resources.files("jaxsoil.report").joinpath("templates", "document.html.j2").read_text("utf-8")
        environment = jinja2.Environment(autoescape=True, trim_blocks=True, keep_trailing_newline=True)
        return environment.from_string(template).render(title=self.title, parts=self._parts)

    def write(self) -> Path:
        """Writes report.md and report.html into the document's folder; returns the path of the HTML."""
        write_text_atomic(self.folder / "report.md", self.markdown())
        write_text_atomic(self.folder / "report.html", self.html())
        return self.folder / "report.html"

    def _add(self, kind: str, content: Any, markdown: str) -> None:
        self._parts.append((kind, content))
        self._markdown.append(markdown)
