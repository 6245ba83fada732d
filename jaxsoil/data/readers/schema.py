"""What a manifest may say: its tables and keys as frozen dataclasses, with nothing unknown accepted."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxsoil.data.library import GROUPS
from jaxsoil.data.readers.toml import build, read_toml
from jaxsoil.runs.errors import DataError, Faults, did_you_mean
from jaxsoil.runs.require import known
from jaxsoil.spectra.checks import CHECKS
from jaxsoil.spectra.container import QUANTITIES, UNITS
from jaxsoil.spectra.resample import METHODS

ORDERS = ("ascending", "descending")
_MOST_BANDS = 1_000_000
_GROUP_REMEDY = (
    'Write "COLUMN", { column = "COLUMN", characters = [2, 3] }, { constant = "NAME" } or { same_rows = [[3, 4]] }.'
)


@dataclasses.dataclass(frozen=True)
class Axis:
    """[axis]: which columns are bands, and what their names mean.

    Args:
      unit: "nm" or "cm-1".
      order: order of the columns in the file, "ascending" or "descending".
      pattern: regular expression of the band columns whose one group is the number, such as "X([0-9.]+)"; None
        takes every column whose name is a number.
      low: bands below are not read.
      high: bands above are not read.
    """

    unit: str
    order: str = "ascending"
    pattern: str | None = None
    low: float | None = None
    high: float | None = None


@dataclasses.dataclass(frozen=True)
class Values:
    """[values]: quantity of the spectra ("reflectance", "absorbance", "pretreated"), and scale (percent: 0.01)."""

    quantity: str
    scale: float = 1.0


def multiplier(factor: float | str, *, source: object = None, column: object = None) -> float:
    """Returns the number that a ``factor`` is: a positive one, or a quotient such as "1/1.724".

    Raises:
      DataError: anything else.
    """
    above, _, below = str(factor).partition("/")
    with contextlib.suppress(ValueError, ZeroDivisionError):
        if 0 < (number := float(above) / float(below or 1.0)) < math.inf:
            return number
    problem, remedy = "a factor is a positive number or a quotient", 'Write factor = 0.1 or factor = "1/1.724".'
    raise DataError(problem, source=source, column=column, value=factor, remedy=remedy)


@dataclasses.dataclass(frozen=True)
class Unless:
    """``unless`` of a label: the rows in which a column holds a value, such as a flag of modelled values."""

    column: str
    equals: str | float


@dataclasses.dataclass(frozen=True)
class Label:
    """[labels.NAME]: one property.

    Args:
      column: column of the file.
      unit: unit after multiplication with ``factor``.
      factor: a number, or a quotient in quotes such as "1/1.724".
      missing: numbers that stand for a missing value, such as [-9999].
      unless: rows whose label is missing whatever its column holds; their spectra stay.
      note: what to know about it.
    """

    column: str
    unit: str
    factor: float | str = 1.0
    missing: Sequence[float] = ()
    unless: Unless | None = None
    note: str = ""

    @property
    def multiplier(self) -> float:
        """The factor as a number."""
        return multiplier(self.factor)


@dataclasses.dataclass(frozen=True)
class Group:
    """[groups] NAME: a column (or characters of it, counted from 1), a constant, or rows that belong together.

    Spectra of one soil that are scanned twice agree to the noise of the instrument: ``alike`` joins them by a rule.

    Args:
      column: column of the file.
      characters: [first, last] characters of the column, both included.
      constant: one name for all rows.
      same_rows: lists of rows (counted from 0) that are one group each; every other row is a group of its own.
      alike: beside one of these: groups are joined that have spectra whose SNV of absorbance differs by less than this
        (root mean square over bands).
    """

    column: str | None = None
    characters: Sequence[int] | None = None
    constant: str | None = None
    same_rows: Sequence[Sequence[int]] | None = None
    alike: float | None = None


@dataclasses.dataclass(frozen=True)
class Exclude:
    """[[exclude]]: rows (counted from 0), a condition on a column, or incomplete spectra, and why they are left out.

    Args:
      reason: goes into the library's notes with the number of rows.
      rows: rows of the file.
      column: column of the file, with one of ``equals``, ``below``, ``above`` or ``missing`` (the cell is empty).
      incomplete: rows in which a band between ``low`` and ``high`` of the axis is empty.
    """

    reason: str
    rows: Sequence[int] = ()
    column: str | None = None
    equals: str | float | None = None
    below: float | None = None
    above: float | None = None
    missing: bool = False
    incomplete: bool = False


@dataclasses.dataclass(frozen=True)
class Join:
    """[[join]]: columns of another table, such as labels that lie apart from the spectra.

    Args:
      data: the other table, beside that of the manifest.
      on: column of names that both have; in the other table every name stands once.
      key: that column in the other table, where it is called otherwise.
      columns: of the other table that are taken; none named: all.
      separator, decimal: of a CSV file.
      object: name of the table in an .rda file of several.
    """

    data: str
    on: str
    key: str = ""
    columns: Sequence[str] = ()
    separator: str = ","
    decimal: str = "."
    object: str = ""


@dataclasses.dataclass(frozen=True)
class Grid:
    """[grid]: the common axis of a composite, from low to high by step, and how members come to it."""

    unit: str
    low: float
    high: float
    step: float
    method: str = "bandmean"


@dataclasses.dataclass(frozen=True)
class Manifest:
    """One table of spectra with labels and groups.

    Args:
      name: name of the data set.
      title: one line on it.
      data: CSV, Parquet or R file.
      axis, values, labels, groups, exclude, join: the tables above.
      id: column of unique ids, or several that are joined; None numbers the rows.
      licence, citation, source: whose it is and where it came from.
      notes: known traps.
      confirm: plausibility checks that are not made because somebody looked (see jaxsoil.spectra.checks).
      separator, decimal: of a CSV file.
      object: name of the table in an .rda file of several.
    """

    name: str
    title: str
    data: str
    axis: Axis
    values: Values
    labels: Mapping[str, Label] = dataclasses.field(default_factory=dict)
    groups: Mapping[str, Group] = dataclasses.field(default_factory=dict)
    exclude: Sequence[Exclude] = ()
    join: Sequence[Join] = ()
    id: str | Sequence[str] | None = None
    licence: str = ""
    citation: str = ""
    source: str = ""
    notes: Sequence[str] = ()
    confirm: Sequence[str] = ()
    separator: str = ","
    decimal: str = "."
    object: str = ""


@dataclasses.dataclass(frozen=True)
class Composite:
    """Several data sets on one axis, each a region.

    Args:
      name: name of the data set.
      title: one line on it.
      members: names of ``tables`` or packaged data sets, or manifests (paths beside this one); each becomes a region.
      grid: the common axis.
      positive: properties that must be measured and above zero; other rows are left out.
      licence, citation, notes: as in a manifest.
      tables: [tables.NAME], tables described here instead of in manifests of their own.
    """

    name: str
    title: str
    members: Sequence[str]
    grid: Grid
    positive: Sequence[str] = ()
    licence: str = ""
    citation: str = ""
    notes: Sequence[str] = ()
    tables: Mapping[str, Manifest] = dataclasses.field(default_factory=dict)


MARKS = {"members": "composite", "mid": "pairs", "near": "pairs", "rasters": "landscape", "layers": "landscape"}
"""Keys that only one kind of manifest has; every other one is of a table of spectra."""

_STUDIES = {
    "table": "Several tables of spectra are joined by `members`; pairs need `mid` and `near` (docs/own_data.md).",
    "composite": "Give its members one by one.",
    "pairs": "Pairs are for --exp=multifidelity, ilr and fno.",
    "landscape": "Profiles with rasters are for --exp=layer_transfer.",
}


def kind_of(content: Mapping[str, Any]) -> str:
    """Returns what a manifest describes: "table", "composite", "pairs" or "landscape"."""
    return next((kind for key, kind in MARKS.items() if key in content), "table")


def read_content(path: Path, *kinds: str) -> dict[str, Any]:
    """Returns the content of a manifest of one of these kinds, its short forms written out.

    Raises:
      DataError: a file that is absent or no TOML, or a manifest of another kind.
    """
    content = read_toml(path)
    if (kind := kind_of(content)) not in kinds:
        problem = f"a manifest of a {' or '.join(kinds)} is needed"
        value = f"{kind}, by its keys {', '.join([key for key in MARKS if key in content] or content)}"
        raise DataError(problem, source=path, value=value, remedy=_STUDIES[kind])
    if isinstance(tables := content.get("tables"), dict):
        content["tables"] = {
            name: _written_out({"name": name, "title": name} | table) if isinstance(table, dict) else table
            for name, table in tables.items()
        }
    return _written_out(content)


def _written_out(content: dict[str, Any]) -> dict[str, Any]:
    """The name of a column alone is short for a table of a group."""
    if isinstance(groups := content.get("groups"), dict):
        groups = {name: {"column": group} if isinstance(group, str) else group for name, group in groups.items()}
        content = content | {"groups": groups}
    return content


def read_manifest(path: Path) -> Manifest | Composite:
    """Returns the checked content of a TOML file.

    Raises:
      DataError: a file that is absent or no TOML, unknown or missing keys, values that cannot be; all at once.
    """
    content, faults = read_content(path, "table", "composite"), Faults()
    if "members" not in content:
        manifest = build(Manifest, content, path)
        _check(manifest, path, "", faults)
        faults.tell()
        return manifest
    composite = build(Composite, content, path)
    grid = composite.grid
    with faults.kept():
        known(grid.method, METHODS, "unknown value", source=path, column="grid.method")
    with faults.kept():
        known(grid.unit, UNITS, "unknown value", source=path, column="grid.unit")
    if not composite.members or not grid.step > 0 or not 0 <= (grid.high - grid.low) / grid.step <= _MOST_BANDS:
        problem = "a composite needs members and a grid from low to high by a positive step"
        value, remedy = f"{len(composite.members)} members, {grid}", "Correct these keys."
        faults.add(DataError(problem, source=path, column="members, [grid]", value=value, remedy=remedy))
    check_tables(composite.tables, composite.members, path, faults)
    faults.tell()
    return composite


def check_tables(tables: Mapping[str, Manifest], used: Iterable[str], path: Path, faults: Faults) -> None:
    """Adds what is wrong with the tables of a manifest, of which each must be among the names that are ``used``."""
    used = list(used)
    for name, table in tables.items():
        _check(table, path, f"tables.{name}.", faults)
        if name not in used:
            remedy = f"Name it where it is to be used, or remove it. {did_you_mean(name, used)}"
            faults.add(DataError("nothing uses this table", source=path, column=f"tables.{name}", remedy=remedy))


def _check(manifest: Manifest, path: Path, at: str, faults: Faults) -> None:
    """Adds what cannot be in a table's description; ``at`` stands before the names of keys in messages."""

    def add(problem: str, column: str, value: object, remedy: str) -> None:
        faults.add(DataError(problem, source=path, column=at + column, value=value, remedy=remedy))

    choices = [("axis.unit", manifest.axis.unit, UNITS), ("axis.order", manifest.axis.order, ORDERS)]
    choices += [("values.quantity", manifest.values.quantity, QUANTITIES)]
    choices += [("confirm", name, CHECKS) for name in manifest.confirm]
    for column, value, options in [*choices, *(("groups", name, GROUPS) for name in manifest.groups)]:
        with faults.kept():
            known(value, options, "unknown value", source=path, column=at + column)
    for name, group in manifest.groups.items():
        kinds = sum(part is not None for part in (group.column, group.constant, group.same_rows))
        span = group.characters
        if group.alike is not None and not 0.0 < group.alike < math.inf:
            problem = "the difference of spectra that are alike is a positive number"
            add(problem, f"groups.{name}.alike", group.alike, "Write for instance alike = 0.01.")
        if kinds != 1 or not (span is None or (group.column and len(span) == 2 and 1 <= span[0] <= span[1])):
            problem = "a group is one of a column, a constant, and rows that belong together"
            add(problem, f"groups.{name}", str(group), _GROUP_REMEDY)
    for name, label in manifest.labels.items():
        with faults.kept():
            multiplier(label.factor, source=path, column=f"{at}labels.{name}.factor")
    if (pattern := manifest.axis.pattern) is not None:
        groups = 0
        with contextlib.suppress(re.error):
            groups = re.compile(pattern).groups
        if groups != 1:
            remedy = "Write for instance pattern = 'X([0-9.]+)' (single quotes keep backslashes)."
            add("a pattern needs one group that holds the number", "axis.pattern", pattern, remedy)
    for rule in manifest.exclude:
        conditions = (rule.equals is not None, rule.below is not None, rule.above is not None, rule.missing)
        kinds = (bool(rule.rows), rule.column is not None, rule.incomplete)
        if sum(kinds) != 1 or sum(conditions) != (rule.column is not None):
            problem = "an exclusion is a list of rows, a column with one condition, or incomplete = true"
            remedy = "Give rows, a column with one of equals, below, above, missing = true, or incomplete = true."
            add(problem, "exclude", str(rule), remedy)
