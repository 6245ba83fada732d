"""A document that is written twice: as Markdown beside its figures, and as one self-contained HTML file."""

from __future__ import annotations

import base64
import html
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jaxsoil.report.style import save
from jaxsoil.report.tables import Table, markdown_text
from jaxsoil.runs.files import write_text_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE = """
body { font: 16px/1.5 system-ui, "Segoe UI", Roboto, sans-serif; color: #1a1a1a; background: #fff;
       max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.25rem; margin-top: 2.4rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; margin: 1rem 0 .4rem; }
caption { text-align: left; padding-bottom: .4rem; color: #333; }
th { border-bottom: 1.5px solid #1a1a1a; border-top: 1.5px solid #1a1a1a; text-align: left; }
th, td { padding: .22rem .7rem .22rem 0; vertical-align: top; }
tbody tr:last-child td { border-bottom: 1.5px solid #1a1a1a; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.notes { font-size: .85rem; color: #333; padding-left: 1.2rem; }
figure { margin: 1.2rem 0; } figure img { max-width: 100%; height: auto; }
figcaption { font-size: .9rem; color: #333; }
pre { background: #f4f4f4; padding: .6rem .8rem; overflow-x: auto; }
""".strip()


Item = str | Table | Sequence[str] | None
"""A paragraph, a table, a list, or nothing."""


class Document:
    """Headings, paragraphs, lists, tables, figures and commands, in order.

    All text is plain: whatever comes from data is escaped for the format it is written to.

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
        self._html = [f"<h1>{html.escape(title)}</h1>"]

    def section(self, heading: str, *items: Item) -> None:
        """Starts a section, with what :meth:`add` takes."""
        self._add(f"## {markdown_text(heading)}", f"<h2>{html.escape(heading)}</h2>")
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
        self._add(markdown_text(text), f"<p>{html.escape(text)}</p>")

    def bullets(self, items: Sequence[str]) -> None:
        """Adds a list; nothing where there is none."""
        if items:
            marked = "\n".join(f"- {markdown_text(item)}" for item in items)
            self._add(marked, "<ul>" + "".join(f"<li>{html.escape(item)}</li>" for item in items) + "</ul>")

    def table(self, table: Table) -> None:
        """Adds a table with its caption and notes."""
        self._add(table.markdown(), table.html())

    def command(self, line: str) -> None:
        """Adds a command line."""
        # A fence longer than any run of backticks inside cannot be closed by the text.
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", line)), default=0))
        self._add(f"{fence}\n{line}\n{fence}", f"<pre>{html.escape(line)}</pre>")

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

    def figure(self, png: Path, caption: str, base: Path | None = None) -> None:
        """Adds a PNG: linked relative to ``base`` (the document's folder) in Markdown, embedded in HTML."""
        link = png.relative_to(self.folder if base is None else base).as_posix()
        data = base64.b64encode(png.read_bytes()).decode("ascii")
        text = html.escape(caption, quote=True)
        self._add(
            f"![{markdown_text(caption)}]({link})\n\n{markdown_text(caption)}",
            f'<figure><img alt="{text}" src="data:image/png;base64,{data}">\n<figcaption>{text}</figcaption></figure>',
        )

    def markdown(self) -> str:
        """The document as Markdown."""
        return "\n\n".join(self._markdown) + "\n"

    def html(self) -> str:
        """The document as one HTML file without outside references."""
        return (
            f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{html.escape(self.title)}</title>\n<style>\n{_STYLE}\n</style>\n</head>\n<body>\n"
            + "\n".join(self._html)
            + "\n</body>\n</html>\n"
        )

    def write(self, folder: str | os.PathLike[str] | None = None) -> Path:
        """Writes report.md and report.html into the document's folder, or another; returns the path of the HTML."""
        target = self.folder if folder is None else Path(folder)
        write_text_atomic(target / "report.md", self.markdown())
        write_text_atomic(target / "report.html", self.html())
        return target / "report.html"

    def _add(self, markdown: str, markup: str) -> None:
        self._markdown.append(markdown)
        self._html.append(markup)
