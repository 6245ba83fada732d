"""A table of scans and the tables joined to it become a prepared library, in bounded memory."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jaxsoil.data.library import Property
from jaxsoil.data.properties import MOST_SOC, TEXTURE
from jaxsoil.data.readers.schema import Label
from jaxsoil.data.readers.table import band_columns
from jaxsoil.data.sources import store, stream
from jaxsoil.data.sources.catalogue import Join, Names, Source, Table
from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError, did_you_mean
from jaxsoil.spectra.checks import RANGES, check_quantity, check_scale, check_unit, outside_range
from jaxsoil.spectra.container import check_axis

MOST_LEFT_OUT = 0.5
"""Share of the rows that may be left out; more says that the file is not what it was taken for."""

_CHECKED_ROWS = 512
_MARK = 8  # bytes of a spectrum's digest


def make(source: Source, files: Mapping[str, Path], folder: Path, *, progress: bool, extra: Mapping[str, Any]) -> None:
    """Writes the store of a library that is a table of scans into ``folder``.

    Spectra with an empty band or an impossible value are left out, and so is a scan that occurs twice; the notes count
    them. Labels that cannot be are missing, and counted too.

    Args:
      source: the library.
      files: name -> file, those of the catalogue that are at hand.
      folder: an empty one.
      progress: whether to draw a bar.
      extra: entries of ``about.json``.

    Raises:
      DataError: columns that are not those of the version, a join whose keys are missing or repeat, spectra of another
        unit, scale or quantity, more than half of the rows left out.
    """
    assert source.spectra is not None
    joined = read_joins(source, files)
    writer = _Scans(source, source.spectra, files[source.spectra.file], joined)
    with store.open_values(folder) as out:
        for values, others in stream.blocks(writer.path, writer.bands, writer.text, progress=progress):
            out.write(writer.take(values, others).tobytes())
    writer.finish(folder, joined, extra)


def read_joins(source: Source, files: Mapping[str, Path]) -> list[Joined]:
    """Returns the tables that are joined to the scans, as far as their files are at hand.

    Raises:
      DataError: columns that are not those of the version.
    """
    return [Joined.read(join, files, source) for join in source.joins if join.file in files]


@dataclasses.dataclass
class Joined:
    """A table with one row for each soil; rows without a key belong to no scan and are left out."""

    join: Join
    path: Path
    table: pd.DataFrame

    @classmethod
    def read(cls, join: Join, files: Mapping[str, Path], source: Source) -> Joined:
        """Reads the columns that are needed."""
        path, needed = files[join.file], [*join.key, *join.columns]
        _require_columns(needed, stream.header(path), source, path)
        table: Any = stream.read_text(path, needed)
        named = np.all([(table[name] != "").to_numpy(bool) for name in join.key], axis=0)
        return cls(join, path, table if named.all() else table[named].reset_index(drop=True))

    def rows(self, scans: pd.DataFrame, source: Source) -> NDArray[np.int64]:
        """(n,) row of each scan in this table, -1 where it has none.

        Raises:
          DataError: a key that occurs twice; a scan without its row, where each must have one, or no scan with one.
        """
        own = _keys(self.table, self.join.key)
        refuse = functools.partial(require.no_row, source=self.path, column=" + ".join(self.join.key))
        refuse(
            pd.Series(own).duplicated().to_numpy(),
            "a key occurs twice, so that it does not say which row belongs to a scan",
            show=lambda row: str(own[row]),
            remedy="Delete the file and prepare again; if it stays so, the publisher changed the layout.",
        )
        keys = _keys(scans, self.join.of or self.join.key)
        if self.join.characters:
            first, last = self.join.characters
            keys = [key[first - 1 : last] for key in keys]
        found = pd.Index(own).get_indexer(pd.Index(keys)).astype(np.int64)
        refused = found < 0 if self.join.complete else np.full(found.size, found.size > 0 and bool((found < 0).all()))
        refuse(
            refused,
            "scans have no row in the table that is joined to them",
            show=lambda row: str(keys[row]),
            what="scans",
            remedy="Check that both files are of one version, and delete and fetch the older one again.",
        )
        return found


class _Scans:
    """Takes blocks of scans, keeps those that can be used, and remembers what belongs to each."""

    def __init__(self, source: Source, table: Table, path: Path, joined: Sequence[Joined]) -> None:
        self.source, self.table, self.path = source, table, path
        columns = stream.header(path)
        self.bands, self.axis = band_columns(columns, table.axis, path)
        if len(self.bands) != table.bands:
            value = f"{len(self.bands)} bands, {self.axis[0]:g} to {self.axis[-1]:g} {table.axis.unit}"
            problem = f"version {source.version} of {source.name} has {table.bands} bands"
            remedy = "The publisher may have changed the layout: keep the version that the catalogue names."
            raise DataError(problem, source=path, column=table.axis.pattern, value=value, remedy=remedy)
        check_axis(self.axis, source=path)
        check_unit(self.axis, table.axis.unit, source=path)
        elsewhere = {name for join in source.joins for name in join.columns}
        keys = [name for one in joined for name in (one.join.of or one.join.key)]
        own = [name for name in _wanted(source) if name not in elsewhere]
        self.text = list(dict.fromkeys([*table.id, *keys, *own]))
        _require_columns(self.text, columns, source, path)
        self.kept: list[pd.DataFrame] = []
        self.seen: dict[str, bytes] = {}
        self.ids: list[str] = []
        self.out = {"incomplete": 0, "range": 0, "twice": 0}
        self.checked = False

    def take(self, values: NDArray[np.float32], others: pd.DataFrame) -> NDArray[np.float32]:
        """Returns (k, m) the scans of a block that are kept."""
        kind = self.table.values
        if kind.scale != 1.0:
            values = values * np.float32(kind.scale)
        whole = np.isfinite(values).all(axis=1)
        if not self.checked and whole.any():
            some = values[whole][:_CHECKED_ROWS].astype(np.float64)
            check_scale(some, kind.quantity, source=self.path)
            check_quantity(some, self.axis, self.table.axis.unit, kind.quantity, source=self.path)
            self.checked = True
        good = whole & ~outside_range(values, kind.quantity).any(axis=1)
        self.out["incomplete"] += int((~whole).sum())
        self.out["range"] += int((whole & ~good).sum())
        for row, name in zip(np.flatnonzero(good).tolist(), _keys(others.loc[good], self.table.id), strict=True):
            known = self.seen.get(name, b"")
            mark = hashlib.blake2b(values[row].tobytes(), digest_size=_MARK).digest()
            if mark in (known[start : start + _MARK] for start in range(0, len(known), _MARK)):
                good[row] = False
                self.out["twice"] += 1
            else:
                self.seen[name] = known + mark
                self.ids.append(f"{name}#{len(known) // _MARK + 1}" if known else name)
        self.kept.append(others.loc[good])
        return np.ascontiguousarray(values[good], dtype="<f4")

    def finish(self, folder: Path, joined: Sequence[Joined], extra: Mapping[str, Any]) -> None:
        """Joins what belongs to the scans and writes it."""
        kept, left, notes = len(self.ids), sum(self.out.values()), _notes_on(self.out, self.table)
        require_enough(kept, left, notes, self.path)
        scans = pd.concat(self.kept, ignore_index=True)
        kind = {"unit": self.table.axis.unit, "quantity": self.table.values.quantity}
        write(self.source, self.path, folder, self.axis, self.ids, scans, joined, notes, {**kind, **extra})


def require_enough(kept: int, left: int, notes: Sequence[str], path: Path) -> None:
    """Raises DataError where more than :data:`MOST_LEFT_OUT` of the rows, or all, had to be left out."""
    if not kept or left > MOST_LEFT_OUT * (kept + left):
        value = f"{left} of {kept + left} rows left out; {'; '.join(notes)}"
        remedy = "Check that the file is the one that the catalogue names."
        raise DataError("too few spectra can be used", source=path, value=value, remedy=remedy)


def write(
    source: Source,
    path: Path,
    folder: Path,
    axis: NDArray[np.float64],
    ids: Sequence[str],
    scans: pd.DataFrame,
    joined: Sequence[Joined],
    notes: Sequence[str],
    about: Mapping[str, Any],
) -> None:
    """Joins to n scans, whose spectra are written already, what belongs to them, and writes it.

    Args:
      source: whose labels and groups are made of the columns.
      path: of the scans, for messages.
      folder: with the spectra.
      axis: (m,) bands.
      ids: n names.
      scans: n rows of text columns.
      joined: tables with a row for each soil.
      notes: what was left out.
      about: unit, quantity, and whatever is to be known.

    Raises:
      DataError: as :meth:`Joined.rows`; a label that is text, a group without a name.
    """
    rows_of, told = len(ids), [*source.notes, *notes]
    columns: dict[str, Any] = {str(name): scans[name] for name in scans.columns}
    for one in joined:
        rows = one.rows(scans, source)
        if (rows < 0).any():
            told.append(f"{int((rows < 0).sum())} scans have no row in {one.join.file}: its values are missing.")
        for name in one.join.columns:
            taken = one.table[name].take(np.maximum(rows, 0)).reset_index(drop=True)
            columns[name] = taken.where(rows >= 0, "")
    for join in source.joins:
        if join.file not in {one.join.file for one in joined}:
            told.append(f"{join.file} was not to be had: its values are missing.")
    properties = {}
    for name, label in source.labels.items():
        properties[name], more = _property(name, label, columns, path, rows_of)
        told += more
    properties, more = _texture(properties)
    groups = {name: _names(name, rule, columns, rows_of, path) for name, rule in source.groups.items()}
    stated = {"licence": source.licence, "citation": source.citation, "notes": [*told, *more]}
    names = np.array(ids, dtype=np.str_)
    store.write_columns(folder, axis, names, properties, groups, {"name": source.name, "steps": [], **stated, **about})


def _notes_on(out: Mapping[str, int], table: Table) -> list[str]:
    low, high = RANGES[table.values.quantity]
    reasons = {
        "incomplete": "a band is empty",
        "range": f"{table.values.quantity} lies outside {low:g} to {high:g}",
        "twice": "the same scan stands there twice",
    }
    return [f"left out {count} rows: {reasons[name]}" for name, count in out.items() if count]


def _wanted(source: Source) -> list[str]:
    """Columns that labels and groups are made of, wherever they stand."""
    labels = [
        name for one in source.labels.values() for name in (one.column, *([one.unless.column] if one.unless else []))
    ]
    groups = [name for one in source.groups.values() for name in (*one.columns, one.within) if name]
    return list(dict.fromkeys([*labels, *groups]))


def _require_columns(needed: Sequence[str], columns: Sequence[str], source: Source, path: Path) -> None:
    missing = [name for name in needed if name not in columns]
    if missing:
        near = did_you_mean(missing[0], [name for name in columns if not name[-1:].isdigit()])
        problem = f"columns of version {source.version} of {source.name} are missing: {', '.join(missing)}"
        raise DataError(problem, source=path, column=missing[0], remedy=near)


def _keys(table: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    parts = [table[name].tolist() for name in columns]
    return parts[0] if len(parts) == 1 else [":".join(row) for row in zip(*parts, strict=True)]


def _property(
    name: str, label: Label, columns: Mapping[str, pd.Series], path: Path, rows: int
) -> tuple[Property, list[str]]:
    """The property, and notes on values that count as missing."""
    if label.column not in columns:
        return Property(np.full(rows, np.nan), label.unit), []
    cells = columns[label.column].astype(object)
    numbers = np.array(pd.to_numeric(cells.where(cells != ""), errors="coerce"), dtype=np.float64)
    require.no_row(
        np.isnan(numbers) & (cells != "").to_numpy(),
        "a label is text, not a number",
        show=lambda row: repr(cells.iloc[row]),
        source=path,
        column=label.column,
        remedy="Check that the file is of the version that the catalogue names.",
    )
    notes, values = [], numbers * label.multiplier
    if label.unless is not None and label.unless.column in columns:
        out = (columns[label.unless.column] == label.unless.equals).to_numpy()
        told = f"rows counts as missing: {label.unless.column} is {label.unless.equals}"
        notes += [f"{name} of {int(out.sum())} {told}"] if out.any() else []
        values[out] = np.nan
    most = MOST_SOC if name == "soc" else 100.0 if label.unit == "%" else np.inf
    # Longitudes and latitudes may be negative.
    wrong = (values > most) | ((values < 0) & (label.unit != "degree"))
    told = f"rows counts as missing: it is negative or above {most:g} {label.unit}"
    notes += [f"{name} of {int(wrong.sum())} {told}"] if wrong.any() else []
    values[wrong] = np.nan
    notes += [f"{name}: {label.note}"] if label.note else []
    return Property(values, label.unit), notes


def _texture(properties: dict[str, Property]) -> tuple[dict[str, Property], list[str]]:
    """Texture that does not sum to 100 % within 1 is missing."""
    if not all(name in properties for name in TEXTURE):
        return properties, []
    total = np.sum([properties[name].values for name in TEXTURE], axis=0)
    wrong = np.abs(total - 100.0) > 1.0
    if not wrong.any():
        return properties, []
    changed = {name: Property(np.where(wrong, np.nan, properties[name].values), "%") for name in TEXTURE}
    note = f"texture of {int(wrong.sum())} rows counts as missing: it does not sum to 100 % within 1"
    return {**properties, **changed}, [note]


def _names(name: str, rule: Names, columns: Mapping[str, pd.Series], rows: int, path: Path) -> NDArray[Any]:
    """(n,) names; one that is not from the first column says from which, so that numbers of two columns stay apart."""
    if rule.constant:
        return np.full(rows, rule.constant)
    names = np.full(rows, "", dtype=object)
    if rule.joined:
        parts = zip(*(columns[column].tolist() for column in rule.columns), strict=True)
        return np.array([":".join(row) for row in parts], dtype=np.str_)
    for place, column in enumerate(rule.columns):
        if column in columns:
            found = columns[column].to_numpy(object)
            if rule.characters:
                found = np.array([one[rule.characters[0] - 1 : rule.characters[1]] for one in found], dtype=object)
            mark = "" if place == 0 else f"{place}~"
            names = np.where((names == "") & (found != ""), mark + found, names)
    remedy = "Check that the files are of the version that the catalogue names."
    where = " or ".join(rule.columns)
    if not rule.unknown:
        require.no_row(names == "", f"the {name} of a scan is empty", source=path, column=where, remedy=remedy)
    front = columns[rule.within].to_numpy(object) + ":" if rule.within else f"{rule.prefix}:" if rule.prefix else ""
    return np.where(names == "", rule.unknown, front + names).astype(np.str_)
