"""Tables of a report: text cells, written as Markdown and as HTML."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

UNDEFINED = "n/a"
"""What stands in a table where a number is undefined."""

DAGGER = "†"
"""Marks every number that rests on a network that did not converge."""


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
      caption: one or two sentences that stand above it.
      header: column names, with units.
      rows: cells; every row has as many as the header.
      notes: footnotes under it.
      left: columns that hold text and are aligned left (negative: from the end); the others are numbers.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    left: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        wrong = [row for row in self.rows if len(row) != len(self.header)]
        if wrong:
            raise ValueError(f"{self.caption}: {len(self.header)} columns but a row of {len(wrong[0])}: {wrong[0]}")

    def markdown(self) -> str:
        """The table in GitHub's Markdown, with its caption above and its notes below."""
        rule = ["---" if self._is_text(column) else "---:" for column in range(len(self.header))]
        lines = [markdown_text(self.caption), "", _markdown_row(self.header), "| " + " | ".join(rule) + " |"]
        lines += [_markdown_row(row) for row in self.rows]
        if self.notes:
            lines += ["", *(f"- {markdown_text(note)}" for note in self.notes)]
        return "\n".join(lines)

    def html(self) -> str:
        """The table as HTML; every cell is escaped."""
        head = "".join(self._cell("th", column, cell) for column, cell in enumerate(self.header))
        body = "\n".join(
            "<tr>" + "".join(self._cell("td", column, cell) for column, cell in enumerate(row)) + "</tr>"
            for row in self.rows
        )
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return (
            f'<div class="wide"><table><caption>{html.escape(self.caption)}</caption>\n<thead><tr>{head}</tr></thead>\n'
            f"<tbody>\n{body}\n</tbody></table></div>" + (f'\n<ul class="notes">{notes}</ul>' if notes else "")
        )

    def _is_text(self, column: int) -> bool:
        return column in self.left or column - len(self.header) in self.left

    def _cell(self, tag: str, column: int, cell: str) -> str:
        kind = "" if self._is_text(column) else ' class="number"'
        return f"<{tag}{kind}>{html.escape(cell)}</{tag}>"


def number(value: float | None, digits: int = 3) -> str:
    """A number with fixed digits and a true minus sign; absent or non-finite values as :data:`UNDEFINED`."""
    if value is None or not math.isfinite(value):
        return UNDEFINED
    text = f"{value:.{digits}f}"
    # A rounded -0.000 says nothing about a sign.
    return text.lstrip("-") if float(text) == 0.0 else text.replace("-", "−")


def plus_minus(mean: float | None, se: float | None, digits: int = 3) -> str:
    """``mean ± standard error``; the mean alone where the error is undefined."""
    centre = number(mean, digits)
    if centre == UNDEFINED or se is None or not math.isfinite(se):
        return centre
    return f"{centre} ± {number(se, digits)}"


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is: no table cell, tag or emphasis can come from a name in the data."""
    return re.sub(r"([\\`*_|\[\]#])", r"\\\1", " ".join(text.split())).replace("<", "&lt;").replace(">", "&gt;")


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sorts region "2" before "10"."""
    parts = re.split(r"(\d+)", text)
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part.lower()) for part in parts if part)


def natural_sorted(names: Sequence[str] | set[str]) -> list[str]:
    """Distinct names in natural order."""
    return sorted(set(names), key=lambda name: (natural_key(name), name))


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(markdown_text(cell) or " " for cell in cells) + " |"
