"""Tables of a report: text cells, their Markdown, and how they are filled from data frames."""

from __future__ import annotations

import dataclasses
import math
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd
from numpy.typing import ArrayLike

from jaxsoil.evaluation import compare

UNDEFINED = "n/a"
"""What stands in a table where a number is undefined."""

DAGGER = "†"
"""Marks every number that rests on a network that did not converge."""

DASH = "–"
"""What stands in a pivot table where there is no number at all."""

Format = int | str | Callable[..., str]
"""How numbers become a cell: digits, a format string such as "{:,}", or a function of them."""


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
        rule = ["---" if self.is_text(column) else "---:" for column in range(len(self.header))]
        header, *rows = ([markdown_text(cell) or " " for cell in row] for row in (self.header, *self.rows))
        lines = [markdown_text(self.caption), ""]
        lines += [f"| {' | '.join(cells)} |" for cells in (header, rule, *rows)]
        if self.notes:
            lines += ["", *(f"- {markdown_text(note)}" for note in self.notes)]
        return "\n".join(lines)

    def head(self, rows: int, rest: str = "") -> Table:
        """The first ``rows`` rows, with a note where there are more; ``rest``: heading of where these stand."""
        if len(self.rows) <= rows:
            return self
        where = f"; all are under '{rest}'" if rest else ""
        note = f"The first {rows} of {len(self.rows)} rows{where}."
        return dataclasses.replace(self, rows=self.rows[:rows], notes=(note, *self.notes))

    def part(self, columns: Sequence[int], rows: Iterable[int] | None = None, notes: Iterable[str] = ()) -> Table:
        """Some columns (negative: from the end) of some rows (None: all), in that order, with notes of their own."""
        chosen = self.rows if rows is None else [self.rows[at] for at in rows]
        header, *body = (tuple(row[column] for column in columns) for row in (self.header, *chosen))
        left = tuple(place for place, column in enumerate(columns) if self.is_text(column % len(self.header)))
        return Table(self.caption, header, tuple(body), tuple(notes), left)

    def is_text(self, column: int) -> bool:
        """Whether a column holds text."""
        return column in self.left or column - len(self.header) in self.left


def number(value: float | None, digits: int = 3) -> str:
    """A number with fixed digits and a true minus sign; absent or non-finite values as :data:`UNDEFINED`."""
    if value is None or not math.isfinite(value):
        return UNDEFINED
    text = f"{value:.{digits}f}"
    # A rounded -0.000 says nothing about a sign.
    return text.lstrip("-") if float(text) == 0.0 else text.replace("-", "−")


def percent(share: float | None, digits: int = 1) -> str:
    """A share (0 to 1) in %, without the sign; absent or non-finite values as :data:`UNDEFINED`."""
    return number(None if share is None else 100.0 * share, digits)


def plus_minus(mean: float | None, se: float | None, digits: int = 3) -> str:
    """``mean ± standard error``; the mean alone where the error is undefined."""
    centre = number(mean, digits)
    if centre == UNDEFINED or se is None or not math.isfinite(se):
        return centre
    return f"{centre} ± {number(se, digits)}"


class MeanSd(compare.MeanSd):
    """A mean with its standard deviation, and how a report writes them."""

    def text(self, digits: int = 3) -> str:
        """``mean ± SD``, the mean alone where the SD is undefined."""
        return plus_minus(self.mean, self.sd, digits)


def mean_sd(values: ArrayLike | Sequence[float]) -> MeanSd:
    """:func:`jaxsoil.evaluation.compare.mean_sd`, as a report writes it."""
    return MeanSd(*compare.mean_sd(values))


def with_interval(mean: float | None, low: float | None, high: float | None, digits: int = 3) -> str:
    """``mean [low, high]``; the mean alone where the interval is undefined."""
    centre = number(mean, digits)
    if low is None or not math.isfinite(low):
        return centre
    return f"{centre} [{number(low, digits)}, {number(high, digits)}]"


def marked(text: str, doubtful: object) -> str:
    """``text`` with a dagger if ``doubtful`` is true (or a list that is not empty)."""
    return f"{text} {DAGGER}" if doubtful else text


def cell(values: object, fmt: Format = 3) -> str:
    """The text of a cell.

    Args:
      values: a number; (mean, error) for ``mean ± error``; (mean, low, high) for ``mean [low, high]``; a text stays.
      fmt: digits, or what else makes a text of them (:data:`Format`).
    """
    numbers = tuple(values) if isinstance(values, tuple | list) else (values,)
    numbers = numbers[:2] if isinstance(values, MeanSd) else numbers
    if isinstance(fmt, str):
        return fmt.format(*numbers)
    if not isinstance(fmt, int):
        return fmt(*numbers)
    if isinstance(numbers[0], str):
        return " ".join(map(str, numbers))
    write: Any = (number, plus_minus, with_interval)[len(numbers) - 1]
    return write(*numbers, fmt)


def pivot_table(
    frame: pd.DataFrame,
    index: str | Sequence[str] | Mapping[str, str],
    columns: str | Sequence[str],
    value: str | Sequence[str],
    *,
    title: str,
    fmt: Format | Mapping[Any, Format] = 3,
    combine: Callable[[Any], Any] | None = None,
    order: Mapping[str, Iterable[Any]] | None = None,
    labels: Mapping[str, Mapping[Any, str] | Callable[[Any], str]] | None = None,
    units: Mapping[Any, str] | None = None,
    heading: Callable[..., str] | None = None,
    marks: Mapping[str, str] | None = None,
    missing: str = DASH,
    notes: Iterable[str] = (),
    left: Collection[int] | None = None,
) -> Table:
    """A table with a cell for each pair of a row key and a column key of a long data frame.

    Example::

        pivot_table(scores, {"model": "Model"}, "metric", ("mean", "se"), title="Scores.",
                    fmt={"ccc": 2, "rmse": 3}, order={"metric": METRICS}, labels={"model": LABELS, "metric": NAMES},
                    units={"rmse": "%"}, marks={"model": "doubtful"}, notes=(CONVENTIONS,))

    Args:
      frame: one line for each cell; several lines of one cell need ``combine``.
      index: columns of the frame that name a row, or a mapping of them to their headings in the table.
      columns: columns of the frame that name a column of the table.
      value: column of the frame with the number; two for ``mean ± error``, three for ``mean [low, high]``, or as many
        as ``fmt`` takes.
      title: caption.
      fmt: digits, format string or function of the value(s); or a mapping of a key, of the column or else of the row,
        to these (3 digits for keys that it does not name).
      combine: makes one value of the lines of a cell, such as :func:`mean_sd` or ``np.nanmean``;
        a result with an error is shown as ``mean ± error``.
      order: column of the frame -> keys in order. Rows and columns otherwise stand as the frame has them. Column keys
        that all levels of ``columns`` order stand in the table even where the frame has none of them.
      labels: column of the frame -> key -> text.
      units: key of a column -> unit, which follows the text in parentheses; "" and "1" add nothing.
      heading: makes a heading of the texts of the levels of ``columns``; otherwise they are joined by commas.
      marks: a column of ``index`` (its text is marked), or the (first) value column (cells are), -> boolean column of
        the frame. A dagger follows the text of a row or cell with a line for which it is true.
      missing: stands where the frame has no line.
      notes: footnotes.
      left: columns that are aligned left; those of ``index`` by default.

    Raises:
      ValueError: several lines of one cell without ``combine``.
    """
    sides, across, values = ([names] if isinstance(names, str) else list(names) for names in (index, columns, value))
    order = {name: list(keys) for name, keys in (order or {}).items()}
    marks, text = dict(marks or {}), _Labels(labels or {}, units or {})
    # Values by row and column key, and whether any line of the cell has a mark.
    lines: dict[tuple[_Key, _Key], list[Any]] = defaultdict(list)
    doubtful: dict[tuple[_Key, _Key, str | None], bool] = defaultdict(bool)
    for record in frame.to_dict("records"):
        place = tuple(record[name] for name in sides), tuple(record[name] for name in across)
        lines[place].append(tuple(record[name] for name in values))
        for flag in marks.values():
            doubtful[(*place, flag)] |= bool(record[flag])
    crowded = next((place for place, some in lines.items() if len(some) > 1), None)
    if combine is None and crowded is not None:
        raise ValueError(f"{len(lines[crowded])} lines for the cell {crowded}: say how to combine them")
    found = {place: some[0] if combine is None else combine([one[0] for one in some]) for place, some in lines.items()}
    full = all(name in order for name in across)
    expected = pd.MultiIndex.from_product([order[name] for name in across]).to_list() if full else []
    heads = _ordered([*expected, *(column for _, column in found)], across, order)
    filled = []
    for row in _ordered([row for row, _ in found], sides, order):
        names = [
            marked(text.of(name, key), any(doubtful[row, column, marks.get(name)] for column in heads))
            for name, key in zip(sides, row, strict=True)
        ]
        cells = [
            marked(cell(found[row, column], _format(fmt, column, row)), doubtful[row, column, marks.get(values[0])])
            if (row, column) in found
            else missing
            for column in heads
        ]
        filled.append((*names, *cells))
    join = heading or (lambda *texts: ", ".join(texts))
    header = [join(*(text.of(name, key, unit=True) for name, key in zip(across, head, strict=True))) for head in heads]
    given = index if isinstance(index, Mapping) else {}
    first = [given.get(name, (name[:1].upper() + name[1:]).replace("_", " ")) for name in sides]
    places = tuple(range(len(sides)) if left is None else left)
    return Table(title, (*first, *header), tuple(filled), tuple(notes), places)


def rows_table(
    frame: pd.DataFrame,
    columns: Mapping[str | tuple[str, ...], str | tuple[str, Format]],
    *,
    title: str,
    labels: Mapping[str, Mapping[Any, str] | Callable[[Any], str]] | None = None,
    marks: Mapping[str, str] | None = None,
    notes: Iterable[str] = (),
    left: Collection[int] | None = None,
) -> Table:
    """A table with a row for each line of a data frame.

    Example::

        rows_table(coverage, {"model": "Model", "n": ("n", "{:,}"), ("mean", "sd"): ("Coverage (%)", 1)}, title="...")

    Args:
      frame: the lines, in order.
      columns: column of the frame (or two for ``mean ± error``, three for ``mean [low, high]``, or as many as the
        format takes) -> heading, for text that is aligned left, or heading and :data:`Format`.
      title, notes: caption and footnotes.
      labels: column of the frame -> key -> text; a dash where a text is None or NaN.
      marks: column of the frame -> boolean column; a dagger follows the text of a line for which it is true.
      left: columns that are aligned left; those without a format by default.
    """
    text, marks = _Labels(labels or {}, {}), dict(marks or {})
    filled = []
    for record in frame.to_dict("records"):
        cells = []
        for names, shown in columns.items():
            keys = (names,) if isinstance(names, str) else names
            found = tuple(record[name] for name in keys)
            if isinstance(shown, str) or keys[0] in text.labels:
                entry = DASH if pd.isna(found[0]) else text.of(keys[0], found[0])
            else:
                entry = cell(found, shown[1])
            cells.append(marked(entry, keys[0] in marks and record[marks[keys[0]]]))
        filled.append(tuple(cells))
    header = tuple(shown if isinstance(shown, str) else shown[0] for shown in columns.values())
    texts = [place for place, shown in enumerate(columns.values()) if isinstance(shown, str)]
    return Table(title, header, tuple(filled), tuple(notes), tuple(texts if left is None else left))


class _Labels(NamedTuple):
    """Texts and units of the keys of a data frame."""

    labels: Mapping[str, Mapping[Any, str] | Callable[[Any], str]]
    units: Mapping[Any, str]

    def of(self, column: str, key: Any, *, unit: bool = False) -> str:
        known = self.labels.get(column, {})
        text = known.get(key, str(key)) if isinstance(known, Mapping) else known(key)
        found = self.units.get(key, "") if unit else ""
        return f"{text} ({found})" if found not in ("", "1") else text


_Key = tuple[Any, ...]


def _ordered(keys: Iterable[_Key], names: Sequence[str], order: Mapping[str, Iterable[Any]]) -> list[_Key]:
    """Distinct keys as they came, sorted by the levels that have an order; what an order does not name stands last."""
    ranks = [{key: rank for rank, key in enumerate(dict.fromkeys(order.get(name, ())))} for name in names]
    return sorted(
        dict.fromkeys(keys),
        key=lambda key: [known.get(part, len(known)) for known, part in zip(ranks, key, strict=True)],
    )


def _format(fmt: Format | Mapping[Any, Format], column: _Key, row: _Key) -> Format:
    """The format of a cell: that of its column, or else of its row."""
    return fmt if not isinstance(fmt, Mapping) else next((fmt[k] for k in (column, *column, *row) if k in fmt), 3)


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is: no table cell, tag or emphasis can come from a name in the data."""
    return re.sub(r"([\\`*_|\[\]#])", r"\\\1", " ".join(text.split())).replace("<", "&lt;").replace(">", "&gt;")


def natural_sorted(names: Sequence[str] | set[str]) -> list[str]:
    """Distinct names in natural order: region "2" before "10"."""

    def key(text: str) -> list[tuple[int, int, str]]:
        parts = re.split(r"(\d+)", text)
        return [(0, int(part), "") if part.isdigit() else (1, 0, part.lower()) for part in parts if part]

    return sorted(set(names), key=lambda name: (key(name), name))
