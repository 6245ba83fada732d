"""A document that is written twice: as Markdown beside its figures, and as one self-contained HTML file."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jaxsoil.report.style import save
from jaxsoil.report.tables import Table, markdown_text
from jaxsoil.runs.files import write_text_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OPENING_ROWS = 10
"""Rows of the table of an opening at most."""


class Picture(NamedTuple):
    """A figure that is saved below a document's folder: its PNG and its caption."""

    png: Path
    caption: str


class _Section(NamedTuple):
    """What stands folded behind one heading; ``anchor`` is what a link to it names."""

    heading: str
    anchor: str
    parts: list[tuple[str, Any]]


Item = str | Table | Picture | Sequence[str] | None
"""A paragraph, a table, a figure, a list, or nothing."""


class Document:
    """An opening, then sections with paragraphs, lists, tables, figures and commands, in order.

    All text is plain: whatever comes from data is escaped for the format it is written to. The HTML is laid out by
    templates/document.html.j2: the opening, a table of contents, and every section folded behind its heading. Its
    style and its script (sorting of tables) are in the page; the page refuses any other.

    Example::

        document = Document("Leave one region out", run.path)
        picture = document.picture(scatter(run), "scatter", "Predicted against observed SOC.")
        document.opening("The finding. What it rests on. How sure it is.", picture, score_table(run))
        document.section("Scores", "Means over regions.", all_scores(run), ["One remark.", "Another."])
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
        self._drawn: set[tuple[str, str]] = set()

    def opening(self, words: str, picture: Picture | None = None, table: Table | None = None, rest: str = "") -> None:
        """Writes what a reader wants first; comes before the first section.

        Args:
          words: three sentences: what was found, against what, and how sure it is.
          picture: the figure that carries the finding.
          table: the scores behind it; of a long one the first :data:`OPENING_ROWS` rows.
          rest: heading of the section that has the whole table.

        Raises:
          ValueError: a section has begun.
        """
        if self._parts:
            raise ValueError(f"the opening comes first, not after {self._parts[0]}")
        self.add(words, picture, table and table.head(OPENING_ROWS, rest))

    def section(self, heading: str, *items: Item) -> None:
        """Starts a section, with what :meth:`add` takes."""
        self._add("section", heading, f"## {markdown_text(heading)}")
        self.add(*items)

    def heading(self, text: str) -> None:
        """Starts a section."""
        self.section(text)

    def add(self, *items: Item) -> None:
        """Adds paragraphs (text), tables, figures and lists (sequences of text), in order; nothing for None or ""."""
        for item in items:
            if isinstance(item, Table):
                self.table(item)
            elif isinstance(item, Picture):
                self.figure(*item)
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

    def draw(self, figure: Figure | None, name: str, caption: str, **options: Any) -> None:
        """Saves a figure and adds it; nothing for None. Arguments as of :meth:`picture`."""
        self.add(self.picture(figure, name, caption, **options))

    def picture(
        self, figure: Figure | None, name: str, caption: str, *, subfolder: str = "", formats: Sequence[str] = ("png",)
    ) -> Picture | None:
        """Saves a figure as figures/``name``.png (or in ``subfolder`` of figures/), to be added; None for None.

        The caption says what it shows in one to three sentences; ``formats`` begin with PNG.

        Raises:
          ValueError: another figure of the document has this name: its file would be replaced under its caption.
        """
        if figure is None:
            return None
        if (subfolder, name) in self._drawn:
            raise ValueError(f"Two figures of a document are called '{name}': name them apart.")
        self._drawn.add((subfolder, name))
        return Picture(save(figure, self.folder / "figures" / subfolder, name, formats=formats), caption)

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

        page, style, script = (_template(name) for name in ("document.html.j2", "document.css", "document.js"))
        environment = jinja2.Environment(autoescape=True, trim_blocks=True, keep_trailing_newline=True)
        first = next((at for at, (kind, _) in enumerate(self._parts) if kind == "section"), len(self._parts))
        return environment.from_string(page).render(
            title=self.title, opening=self._parts[:first], sections=self._sections(self._parts[first:]),
            style=style, script=script, style_hash=_hash(style), script_hash=_hash(script),
        )  # fmt: skip

    def write(self) -> Path:
        """Writes report.md and report.html into the document's folder; returns the path of the HTML."""
        write_text_atomic(self.folder / "report.md", self.markdown())
        write_text_atomic(self.folder / "report.html", self.html())
        return self.folder / "report.html"

    def _add(self, kind: str, content: Any, markdown: str) -> None:
        self._parts.append((kind, content))
        self._markdown.append(markdown)

    @staticmethod
    def _sections(parts: Sequence[tuple[str, Any]]) -> list[_Section]:
        """The parts by section, each with an anchor of its own."""
        found: list[_Section] = []
        taken: set[str] = set()
        for kind, content in parts:
            if kind != "section":
                found[-1].parts.append((kind, content))
                continue
            plain = anchor = re.sub(r"[^\w-]+", "-", content.lower()).strip("-") or "section"
            number = 2
            while anchor in taken:
                anchor, number = f"{plain}-{number}", number + 1
            taken.add(anchor)
            found.append(_Section(content, anchor, []))
        return found


def _template(name: str) -> str:
    return resources.files("jaxsoil.report").joinpath("templates", name).read_text("utf-8")


def _hash(text: str) -> str:
    """What the page's policy names a style or a script by, so that the browser runs no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
