"""A folder of instrument files as one library, with labels joined by id."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jaxsoil.data.library import Library, Property
from jaxsoil.data.readers.instruments import bands
from jaxsoil.data.readers.instruments.reading import Reading
from jaxsoil.data.readers.instruments.tables import numbers, row_ids
from jaxsoil.data.readers.table import column_numbers, column_strings, read_table
from jaxsoil.runs.errors import DataError
from jaxsoil.spectra.container import Spectra

if TYPE_CHECKING:
    import pandas as pd


def as_library(
    readings: Iterable[tuple[Path, Reading | DataError]],
    labels_csv: str | Path | None = None,
    *,
    units: Mapping[str, str] | None = None,
    id_column: str | None = None,
    name: str = "instrument files",
) -> Library:
    """Returns the spectra of all files as one library.

    Args:
      readings: what :func:`~jaxsoil.data.readers.instruments.readings` yields. Files that could not be read, and rows
        that were refused, are counted and named in the notes.
      labels_csv: table with a row for each id (name of the file, with or without extension, or id of the row); without
        it, the numeric columns beside the spectra are the labels.
      units: name of a label -> its unit, such as {"soc": "%"}; only these columns become properties. None takes every
        numeric column with unit "1".
      id_column: of ``labels_csv``; None takes the one whose name says so, else the first.
      name: of the library.

    Raises:
      DataError: no readable file; files that differ in axis, unit or quantity; labels of which no id occurs.
    """
    good: list[tuple[Path, Reading]] = []
    failed: list[DataError] = []
    for path, result in readings:
        if isinstance(result, Reading):
            good.append((path, result))
        elif labels_csv is None or Path(path).resolve() != Path(labels_csv).resolve():
            failed.append(result)
    if not good:
        first = str(failed[0]) if failed else "no file"
        raise DataError("no file could be read", source=name, value=first, remedy="Correct the first, then the others.")
    _require_one_kind(name, good)
    files = [path.name for path, reading in good for _ in reading.ids]
    ids = [one for _, reading in good for one in reading.ids]
    table = _beside(good) if labels_csv is None else _joined(Path(labels_csv), ids, files, id_column)
    unique = numbered(ids, ":")
    first = good[0][1].spectra
    spectra = Spectra(
        np.concatenate([reading.spectra.values for _, reading in good]),
        first.axis, first.unit, first.quantity, first.steps,
    )  # fmt: skip
    notes = [f"not read: {error}" for error in failed]
    notes += [f"{path.name}: row {one.row} refused: {one.reason}" for path, reading in good for one in reading.refused]
    notes += [f"questioned: {question}" for question in bands.question(spectra)]
    return Library(
        name,
        spectra,
        np.array(unique),
        _properties(table, units, Path(labels_csv or name)),
        {"sample": np.array(ids)} if unique != ids else {},
        notes=tuple(notes),
    )


def _require_one_kind(name: str, good: list[tuple[Path, Reading]]) -> None:
    """Raises DataError that names the files of each kind of axis, unit and quantity where there are several."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for path, reading in good:
        spectra, first = reading.spectra, good[0][1].spectra
        axis = first.axis if spectra.is_on_axis(first.axis, first.unit) else spectra.axis
        shown = f"{axis[0]:.6g}-{axis[-1]:.6g} {spectra.unit}, {axis.size} bands"
        kinds[f"{spectra.quantity}, {shown}"].append(path.name)
    if len(kinds) > 1:
        listed = "; ".join(f"{kind}: {_some(files)}" for kind, files in kinds.items())
        remedy = "Read each kind on its own, or bring them to one axis first (to_unit, Resample, to_reflectance)."
        raise DataError(f"the files differ in quantity, axis or unit: {listed}", source=name, remedy=remedy)


def _some(files: list[str]) -> str:
    return ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")


def _joined(path: Path, ids: list[str], files: list[str], id_column: str | None) -> pd.DataFrame:
    """Returns the rows of the labels in the order of the spectra, NaN where there is none."""
    table = read_table(path, as_text=True)
    keys = row_ids(table) if id_column is None else column_strings(table, id_column, path).tolist()
    # Without a column that bears a name of ids, they stand in the first.
    keys = keys or column_strings(table, str(table.columns[0]), path).tolist()
    twice = [key for key, count in Counter(keys).items() if count > 1]
    if twice:
        remedy = "Keep one row for each."
        raise DataError("an id occurs twice in the labels", source=path, value=twice[0], remedy=remedy)
    table.index = keys  # type: ignore[assignment]
    known = set(keys)
    wanted = [file if file in known and one not in known else one for one, file in zip(ids, files, strict=True)]
    if not set(wanted) & known:
        value, remedy = f"{keys[0]!r} beside {ids[0]!r}", "Give id_column, or name the files as the labels do."
        raise DataError("no id of the labels is one of the spectra", source=path, value=value, remedy=remedy)
    return table.reindex(wanted).reset_index(drop=True)


def _beside(good: list[tuple[Path, Reading]]) -> pd.DataFrame:
    import pandas as pd

    parts = [
        pd.DataFrame(index=range(len(reading.ids))) if reading.labels is None else reading.labels for _, reading in good
    ]
    return pd.concat(parts, ignore_index=True)


def _properties(table: pd.DataFrame, units: Mapping[str, str] | None, source: Path) -> dict[str, Property]:
    """Returns the columns that ``units`` names, or every column of numbers."""
    table = table.mask(table == "")
    if units is None:
        filled = {str(key): ~np.isnan(numbers(table[key])) for key in table.columns}
        units = {key: "1" for key, good in filled.items() if good.any() and (good | table[key].isna()).all()}
    return {key: Property(column_numbers(table, key, source), unit) for key, unit in units.items()}


def numbered(ids: list[str], mark: str) -> list[str]:
    """Returns ids that differ: with the mark ":" the second scan of "a" becomes "a:2"."""
    seen: Counter[str] = Counter()
    unique = []
    for one in ids:
        seen[one] += 1
        unique.append(one if seen[one] == 1 else f"{one}{mark}{seen[one]}")
    return unique
