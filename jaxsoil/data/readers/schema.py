"""What a manifest may say: its tables and keys as frozen dataclasses, with nothing unknown accepted."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxsoil.data.library import GROUPS
from jaxsoil.runs.errors import DataError, did_you_mean
from jaxsoil.spectra.checks import CHECKS
from jaxsoil.spectra.container import QUANTITIES, UNITS
from jaxsoil.spectra.resample import METHODS


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
        above, _, below = str(self.factor).partition("/")
        return float(above) / float(below or 1.0)


@dataclasses.dataclass(frozen=True)
class Group:
    """[groups] NAME: a column (or characters of it, counted from 1), a constant, or rows that belong together.

    Args:
      column: column of the file.
      characters: [first, last] characters of the column, both included.
      constant: one name for all rows.
      same_rows: lists of rows (counted from 0) that are one group each; every other row is a group of its own.
    """

    column: str | None = None
    characters: Sequence[int] | None = None
    constant: str | None = None
    same_rows: Sequence[Sequence[int]] | None = None


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
      data: CSV or Parquet file.
      axis, values, labels, groups, exclude: the tables above.
      id: column of unique ids, or several that are joined; None numbers the rows.
      licence, citation, source: whose it is and where it came from.
      notes: known traps.
      confirm: plausibility checks that are not made because somebody looked (see jaxsoil.spectra.checks).
      separator, decimal: of a CSV file.
    """

    name: str
    title: str
    data: str
    axis: Axis
    values: Values
    labels: Mapping[str, Label] = dataclasses.field(default_factory=dict)
    groups: Mapping[str, Group] = dataclasses.field(default_factory=dict)
    exclude: Sequence[Exclude] = ()
    id: str | Sequence[str] | None = None
    licence: str = ""
    citation: str = ""
    source: str = ""
    notes: Sequence[str] = ()
    confirm: Sequence[str] = ()
    separator: str = ","
    decimal: str = "."


@dataclasses.dataclass(frozen=True)
class Composite:
    """Several data sets on one axis, each a region.

    Args:
      name: name of the data set.
      title: one line on it.
      members: names of packaged data sets, or manifests (paths beside this one); each becomes a region.
      grid: the common axis.
      positive: properties that must be measured and above zero; other rows are left out.
      licence, citation, notes: as in a manifest.
    """

    name: str
    title: str
    members: Sequence[str]
    grid: Grid
    positive: Sequence[str] = ()
    licence: str = ""
    citation: str = ""
    notes: Sequence[str] = ()


def read_manifest(path: Path) -> Manifest | Composite:
    """Returns the checked content of a TOML file.

    Raises:
      DataError: a file that is absent or no TOML, an unknown or missing key, a value that cannot be.
    """
    table = read_toml(path)
    if "members" in table:
        composite = _build(Composite, {**table, "grid": _child(Grid, table, "grid", path)}, "", path)
        _require_one("method", composite.grid.method, METHODS, path)
        _require_one("unit", composite.grid.unit, UNITS, path)
        if not composite.members or composite.grid.step <= 0 or composite.grid.high < composite.grid.low:
            raise DataError(
                "a composite needs members and a grid from low to high by a positive step",
                source=path,
                column="members, [grid]",
                value=f"{len(composite.members)} members, {composite.grid}",
                remedy="Correct these keys.",
            )
        return composite
    parts = {
        "axis": _child(Axis, table, "axis", path),
        "values": _child(Values, table, "values", path),
        "labels": {k: _label(v, f"labels.{k}", path) for k, v in _tables(table, "labels", path)},
        "groups": {k: _group(v, f"groups.{k}", path) for k, v in _tables(table, "groups", path)},
        "exclude": tuple(_build(Exclude, v, "exclude", path) for v in table.get("exclude", ())),
    }
    manifest = _build(Manifest, {**table, **parts}, "", path)
    _check(manifest, path)
    return manifest


def read_toml(path: Path) -> dict[str, Any]:
    """Returns the content of a TOML file; an absent or broken one raises DataError."""
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(
            "this is not a TOML file", source=path, value=str(error), remedy="See docs/data.md for an example."
        ) from error
    except OSError as error:
        raise DataError(
            "the manifest cannot be read",
            source=path,
            value=error.strerror,
            remedy="Check the path; --data takes the name of a packaged data set or the path of a TOML file.",
        ) from error


def _check(manifest: Manifest, path: Path) -> None:
    _require_one("axis.unit", manifest.axis.unit, UNITS, path)
    _require_one("axis.order", manifest.axis.order, ("ascending", "descending"), path)
    _require_one("values.quantity", manifest.values.quantity, QUANTITIES, path)
    for name in manifest.confirm:
        _require_one("confirm", name, CHECKS, path)
    for name in manifest.groups:
        _require_one("groups", name, GROUPS, path)
    for name, label in manifest.labels.items():
        try:
            good = label.multiplier > 0
        except (ValueError, ZeroDivisionError):
            good = False
        if not good:
            raise DataError(
                "a factor is a positive number or a quotient",
                source=path,
                column=f"labels.{name}.factor",
                value=label.factor,
                remedy='Write factor = 0.1 or factor = "1/1.724".',
            )
    if manifest.axis.pattern is not None:
        _check_pattern(manifest.axis.pattern, path)
    for rule in manifest.exclude:
        conditions = (rule.equals is not None, rule.below is not None, rule.above is not None, rule.missing)
        kinds = (bool(rule.rows), rule.column is not None, rule.incomplete)
        if sum(kinds) != 1 or sum(conditions) != (rule.column is not None):
            raise DataError(
                "an exclusion is a list of rows, a column with one condition, or incomplete = true",
                source=path,
                column="exclude",
                value=str(rule),
                remedy="Give rows, a column with one of equals, below, above, missing = true, or incomplete = true.",
            )


def _check_pattern(pattern: str, path: Path) -> None:
    try:
        groups = re.compile(pattern).groups
    except re.error:
        groups = -1
    if groups != 1:
        raise DataError(
            "a pattern needs one group that holds the number",
            source=path,
            column="axis.pattern",
            value=pattern,
            remedy="Write for instance pattern = 'X([0-9.]+)' (single quotes keep backslashes).",
        )


def _label(value: Any, where: str, path: Path) -> Label:
    if isinstance(value, dict) and "unless" in value:
        value = {**value, "unless": _build(Unless, value["unless"], f"{where}.unless", path)}
    return _build(Label, value, where, path)


def _group(value: Any, where: str, path: Path) -> Group:
    group = Group(column=value) if isinstance(value, str) else _build(Group, value, where, path)
    kinds = sum(part is not None for part in (group.column, group.constant, group.same_rows))
    span = group.characters
    good_span = span is None or (group.column and len(span) == 2 and 1 <= span[0] <= span[1])
    if kinds != 1 or not good_span:
        raise DataError(
            "a group is one of a column, a constant, and rows that belong together",
            source=path,
            column=where,
            value=str(value),
            remedy='Write "COLUMN", { column = "COLUMN", characters = [2, 3] }, { constant = "NAME" } or '
            "{ same_rows = [[3, 4]] }.",
        )
    return group


def _tables(table: Mapping[str, Any], key: str, path: Path) -> list[tuple[str, Any]]:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise DataError("this must be a table", source=path, column=key, remedy=f"Write it under [{key}].")
    return list(value.items())


def _child(cls: type[Any], table: Mapping[str, Any], key: str, path: Path) -> Any:
    if key not in table:
        names = ", ".join(field.name for field in dataclasses.fields(cls))
        raise DataError(
            "a table of the manifest is missing",
            source=path,
            column=f"[{key}]",
            remedy=f"Add [{key}]; it knows {names}. {_maybe(key, table)}",
        )
    return _build(cls, table[key], key, path)


def _maybe(key: str, table: Mapping[str, Any]) -> str:
    return "" if not table else f"The file has: {', '.join(table)}."


def _build(cls: type[Any], table: Any, where: str, path: Path) -> Any:
    """Makes ``cls`` of a TOML table; unknown, missing and wrongly typed keys raise DataError."""
    if not isinstance(table, dict):
        raise DataError("this must be a table", source=path, column=where, remedy=f"Write it under [{where}].")
    fields = {field.name: field for field in dataclasses.fields(cls)}
    prefix = f"{where}." if where else ""
    for key, value in table.items():
        if key not in fields:
            raise DataError("unknown key", source=path, column=prefix + key, remedy=did_you_mean(key, fields))
        _check_type(value, str(fields[key].type), prefix + key, path)
    needed = [
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    for name in needed:
        if name not in table:
            raise DataError("a key is missing", source=path, column=prefix + name, remedy=f"Add {name} = ...")
    return cls(**table)


_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "float": (int, float),
    "bool": (bool,),
    "int": (int,),
}


def _check_type(value: Any, annotation: str, where: str, path: Path) -> None:
    """Holds a TOML value against an annotation such as ``str | None`` or ``Sequence[float]``."""
    for part in annotation.split(" | "):
        outer, _, inner = part.partition("[")
        if outer == "Sequence" and isinstance(value, (list, tuple)):
            if all(_matches(item, inner.removesuffix("]")) for item in value):
                return
        elif outer not in ("Sequence", "None") and _matches(value, part):
            return
    raise DataError(
        "a value has the wrong type",
        source=path,
        column=where,
        value=value,
        remedy=f"Give {annotation.replace('Sequence', 'a list of ')}.",
    )


def _matches(value: Any, annotation: str) -> bool:
    if annotation.startswith("Sequence["):
        inner = annotation.removeprefix("Sequence[").removesuffix("]")
        return isinstance(value, list) and all(_matches(item, inner) for item in value)
    kinds = _KINDS.get(annotation)
    if kinds is None:
        return True  # a table, which has been built and checked already
    return isinstance(value, kinds) and (annotation == "bool" or not isinstance(value, bool))


def _require_one(what: str, value: str, known: Any, path: Path) -> None:
    if value not in known:
        raise DataError("unknown value", source=path, column=what, value=value, remedy=did_you_mean(value, known))
