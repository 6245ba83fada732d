"""A table and its manifest become a Library: read, checked, converted, with a note on everything left out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from jaxsoil.data.library import Library, Property, Strings
from jaxsoil.data.properties import MOST_SOC
from jaxsoil.data.readers.schema import Axis, Exclude, Group, Join, Label, Manifest
from jaxsoil.data.readers.table import (
    band_columns,
    column_numbers,
    column_strings,
    read_table,
    require_column,
    spectral_values,
)
from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError, Faults
from jaxsoil.spectra.checks import check_entry
from jaxsoil.spectra.container import Spectra

if TYPE_CHECKING:
    import pandas as pd


def load_table(manifest: Manifest, root: Path) -> Library:
    """Returns the Library of a table whose description was checked; its files are relative to ``root``.

    Raises:
      DataError: anything in the table that does not hold; what can be said at once is said at once.
    """
    file = root / manifest.data
    notes: list[str] = []
    table = read_table(file, separator=manifest.separator, decimal=manifest.decimal, name=manifest.object)
    for rule in manifest.join:
        table, note = _with_columns(table, rule, file, root)
        notes.append(note)
    faults, kept = Faults(), np.ones(len(table), bool)
    for rule in manifest.exclude:
        with faults.kept():
            out = _excluded(table, rule, manifest.axis, file)
            notes.append(f"left out {int((out & kept).sum())} rows: {rule.reason}")
            kept &= ~out
    if not kept.any():
        value = "; ".join(notes)
        remedy = "Correct the rows or conditions of [[exclude]]."
        raise DataError("the exclusions leave no row", source=file, column="exclude", value=value, remedy=remedy)
    if faults.found:
        # Rows that were to be left out are still there: what they hold is no fault.
        _require_columns(table, manifest, file, faults)
        faults.tell()
    groups: dict[str, Strings] = {}
    for name, group in manifest.groups.items():
        with faults.kept():
            groups[name] = _group(table, group, file)[kept]
            remedy = "Fill it in, or leave these rows out: [[exclude]] column, missing = true, reason."
            empty = np.char.strip(groups[name]) == ""
            require.no_row(empty, "a group name is empty", source=file, column=f"groups.{name}", remedy=remedy)
    ids, spectra, properties = np.empty(0, np.str_), None, {}
    with faults.kept():
        ids = _ids(table, manifest, file)[kept]
    table = table.loc[kept].reset_index(drop=True)
    with faults.kept():
        spectra = _spectra(table, manifest, file)
    for name, label in manifest.labels.items():
        with faults.kept():
            properties[name] = _property(table, name, label, file)
    faults.tell()
    assert spectra is not None
    for name, group in manifest.groups.items():
        if group.alike is not None:
            groups[name], count = _joined(groups[name], spectra, group.alike)
            notes.append(f"{name}: {count} pairs of spectra less than {group.alike:g} (SNV) apart are one {name}")
    notes += [note for _, note in properties.values() if note]
    return Library(
        name=manifest.name,
        spectra=spectra,
        ids=ids,
        properties={name: found for name, (found, _) in properties.items()},
        groups=groups,
        licence=manifest.licence,
        notes=(*manifest.notes, *notes, *_declared(manifest)),
    )


def _with_columns(table: pd.DataFrame, rule: Join, file: Path, root: Path) -> tuple[pd.DataFrame, str]:
    """The rows of a table, in their order, with columns of another one that lies in ``root``, and a note.

    Several rows may have one partner; cells of rows without one are empty. Refused are keys of the other table that
    are empty or repeat, columns that both have, and a join without any partner.
    """
    import pandas as pd

    source = root / rule.data
    other = read_table(source, separator=rule.separator, decimal=rule.decimal, name=rule.object)
    key = rule.key or rule.on
    theirs, ours = column_strings(other, key, source), column_strings(table, rule.on, file)
    remedy = "Give every row its name, or remove the row."
    require.no_row(theirs == "", "a key of a join is empty", source=source, column=key, remedy=remedy)
    names, first, counts = np.unique(theirs, return_index=True, return_counts=True)
    require.no_row(
        counts > 1,
        "a key of a join occurs twice, so that nobody knows which row is meant",
        show=lambda place: f"{str(names[place])!r}, first in row {first[place]}",
        source=source,
        column=key,
        what="names repeat",
        remedy="Keep one row for each name; a table that has several rows for one is the `data` of the manifest.",
    )
    taken = list(rule.columns) or [name for name in other.columns if name != key]
    for column in taken:
        require_column(other, column, source)
    shared = [name for name in taken if name in table.columns]
    if shared:
        remedy = "Name the columns to take: columns = [...] under [[join]]."
        value = f"also in {file.name}"
        raise DataError("both tables have this column", source=source, column=shared[0], value=value, remedy=remedy)
    rows = pd.Index(theirs).get_indexer(pd.Index(ours))
    if not (rows >= 0).any():
        value, remedy = f"{str(ours[0])!r} beside {str(theirs[0])!r}", "Name the columns that hold the same names."
        raise DataError("no key of a join is in both tables", source=source, column=key, value=value, remedy=remedy)
    found = other[taken].reindex(rows).reset_index(drop=True)  # row -1 does not exist, and gives empty cells
    alone = int((rows < 0).sum())
    note = f"joined {rule.data} on {rule.on}: {len(table) - alone} of {len(table)} rows have a partner"
    return pd.concat([table.reset_index(drop=True), found], axis=1), note


def _require_columns(table: pd.DataFrame, manifest: Manifest, file: Path, faults: Faults) -> None:
    """Adds the columns of labels, groups and ids that the table lacks."""
    ids = () if manifest.id is None else (manifest.id,) if isinstance(manifest.id, str) else manifest.id
    named = [label.column for label in manifest.labels.values()]
    named += [group.column for group in manifest.groups.values() if group.column is not None]
    for column in (*named, *ids):
        with faults.kept():
            require_column(table, column, file)


def _spectra(table: pd.DataFrame, manifest: Manifest, file: Path) -> Spectra:
    """The spectra of the rows, checked."""
    columns, axis = band_columns(list(table.columns), manifest.axis, file)
    values, unit = spectral_values(table, columns, file) * manifest.values.scale, manifest.axis.unit
    check_entry(values, axis, unit, manifest.values.quantity, source=file, confirm=manifest.confirm)
    steps = [f"scaled by {manifest.values.scale:g}"] if manifest.values.scale != 1 else []
    steps += ["descending axis reversed"] if manifest.axis.order == "descending" else []
    return Spectra(values, axis, unit, manifest.values.quantity, tuple(steps))


def _declared(manifest: Manifest) -> list[str]:
    """Notes on what the manifest itself decides: checks that are not made, conversions."""
    notes = [f"check '{name}' was switched off by the manifest" for name in manifest.confirm]
    for name, label in manifest.labels.items():
        notes += [f"{name} [{label.unit}] = {label.column} x {label.factor}"] if label.multiplier != 1.0 else []
        notes += [f"{name}: {label.note}"] if label.note else []
    return notes


def _excluded(table: pd.DataFrame, rule: Exclude, axis: Axis, file: Path) -> NDArray[np.bool_]:
    if rule.incomplete:
        columns, _ = band_columns(list(table.columns), axis, file)
        return table[columns].isna().to_numpy().any(axis=1)
    if rule.column is None:
        _require_rows(list(rule.rows), len(table), "exclude.rows", file)
        out = np.zeros(len(table), bool)
        out[list(rule.rows)] = True
        return out
    if rule.equals is not None:
        return _equal(table, rule.column, rule.equals, file)
    if rule.missing:
        return column_strings(table, rule.column, file) == ""
    numbers = column_numbers(table, rule.column, file, what="value of an exclusion")
    if rule.below is not None:
        return numbers < rule.below
    assert rule.above is not None  # the one condition that is left
    return numbers > rule.above


def _equal(table: pd.DataFrame, column: str, value: str | float, file: Path) -> NDArray[np.bool_]:
    if isinstance(value, str):
        return column_strings(table, column, file) == value
    return column_numbers(table, column, file, what="value of a condition") == value


def _ids(table: pd.DataFrame, manifest: Manifest, file: Path) -> Strings:
    if manifest.id is None:
        width = len(str(len(table) - 1))
        return np.array([f"{manifest.name}-{row:0{width}d}" for row in range(len(table))])
    columns = [manifest.id] if isinstance(manifest.id, str) else list(manifest.id)
    parts = [column_strings(table, column, file) for column in columns]
    ids = np.array(["-".join(row) for row in zip(*(part.tolist() for part in parts), strict=True)])
    _, first, counts = np.unique(ids, return_index=True, return_counts=True)
    empty = np.nonzero(np.char.str_len(parts[0]) == 0)[0]
    if empty.size or (counts > 1).any():
        what = "an id is empty" if empty.size else "an id occurs twice"
        row = int(empty[0]) if empty.size else int(first[counts > 1].min())
        value = f"{str(ids[row])!r} in row {row}"
        remedy = "Name a column that differs for every row, or several (id = [...]); what repeats is a group."
        raise DataError(what, source=file, column=" and ".join(columns), value=value, remedy=remedy)
    return ids


def _property(table: pd.DataFrame, name: str, label: Label, file: Path) -> tuple[Property, str]:
    """Returns the property and a note on the labels that a condition makes missing, "" where there is none."""
    numbers, note = column_numbers(table, label.column, file), ""
    numbers[np.isin(numbers, np.asarray(label.missing, np.float64))] = np.nan
    if label.unless is not None:
        out = _equal(table, label.unless.column, label.unless.equals, file)
        note = f"{name} of {int(out.sum())} rows counts as missing: {label.unless.column} is {label.unless.equals}"
        numbers[out] = np.nan
    wrong = (numbers < 0) | np.isinf(numbers)
    code = f"{numbers[np.argmax(wrong)]:g}" if wrong.any() else ""
    require.no_row(
        wrong,
        f"{name} cannot be negative or infinite",
        show=lambda row: f"{numbers[row]:g} in row {row}",
        source=file,
        column=label.column,
        remedy=f"Correct it; if it stands for a missing value, write missing = [{code}] under [labels.{name}].",
    )
    values = numbers * label.multiplier
    most = MOST_SOC if name == "soc" else 100.0
    if label.unit == "%" and np.nanmax(values, initial=0.0) > most:
        row, problem = int(np.nanargmax(values)), f"{name} in % cannot exceed {most:g}"
        remedy = "g/kg needs factor = 0.1 to become %; code missing values with missing = [...]."
        value = f"{values[row]:g} in row {row}"
        raise DataError(problem, source=file, column=label.column, value=value, remedy=remedy)
    return Property(values, label.unit), note


def _group(table: pd.DataFrame, group: Group, file: Path) -> Strings:
    if group.constant is not None:
        return np.full(len(table), group.constant)
    if group.same_rows is not None:
        names = np.array([f"row {row}" for row in range(len(table))])
        for rows in group.same_rows:
            _require_rows(list(rows), len(table), "groups.same_rows", file)
            names[list(rows)] = names[rows[0]]
        return names
    assert group.column is not None
    values = column_strings(table, group.column, file)
    if group.characters is None:
        return values
    first, last = group.characters
    require.no_row(
        np.char.str_len(values) < last,
        f"a name is too short to take characters {first} to {last} of it",
        show=lambda row: f"{str(values[row])!r} in row {row}",
        source=file,
        column=group.column,
        remedy="Correct the name, or exclude the row with a reason.",
    )
    return np.array([value[first - 1 : last] for value in values.tolist()])


def _joined(names: Strings, spectra: Spectra, alike: float) -> tuple[Strings, int]:
    """Groups (n,) joined where their spectra differ by less than ``alike``, and the number of such pairs of rows."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    from jaxsoil.spectra.preprocess import SNV

    z = SNV()(spectra.to_absorbance()).values.astype(np.float64)
    size, (_, first, code) = np.square(z).sum(axis=1), np.unique(names, return_index=True, return_inverse=True)
    pairs: list[NDArray[np.intp]] = []
    for row in range(len(z) - 1):  # a row at a time: all distances of a large library would not fit the memory
        off = size[row] + size[row + 1 :] - 2.0 * z[row + 1 :] @ z[row]
        found = row + 1 + np.flatnonzero(off < alike**2 * z.shape[1])
        pairs.append(np.stack([np.full(found.size, row), found]))
    one, other = np.concatenate([*pairs, np.empty((2, 0), np.intp)], axis=1).astype(np.intp)
    links = coo_array((np.ones(one.size), (code[one], code[other])), shape=(first.size, first.size))
    joined = connected_components(links, directed=False)[1]
    # The name of a whole is that of its first group.
    name = np.array([names[first[np.flatnonzero(joined == part)[0]]] for part in range(joined.max() + 1)])
    return name[joined[code]], one.size


def _require_rows(rows: list[int], n: int, where: str, file: Path) -> None:
    wrong = [row for row in rows if not 0 <= row < n]
    if wrong or not rows:
        value = wrong[0] if wrong else "none given"
        remedy = f"Count rows from 0 to {n - 1}, without the header."
        raise DataError("no such row", source=file, column=where, value=value, remedy=remedy)
