"""Columns of another table beside those of a manifest: labels, sites or coordinates that lie in files of their own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jaxsoil.data.readers.schema import Join
from jaxsoil.data.readers.table import column_strings, read_table, require_column
from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def joined(table: pd.DataFrame, rule: Join, file: Path, root: Path) -> tuple[pd.DataFrame, str]:
    """Returns a table with the columns of another one, and a note; cells of rows without a partner are empty.

    Args:
      table: rows that stay as many as they are, in their order; several may have one partner.
      rule: the other table, relative to ``root``.
      file: of ``table``, for messages.

    Raises:
      DataError: a key of the other table that is empty or repeats, columns that both have, no row with a partner.
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
    place = {str(name): row for row, name in enumerate(theirs)}
    rows = np.array([place.get(str(name), -1) for name in ours])
    if not (rows >= 0).any():
        value, remedy = f"{str(ours[0])!r} beside {str(theirs[0])!r}", "Name the columns that hold the same names."
        raise DataError("no key of a join is in both tables", source=source, column=key, value=value, remedy=remedy)
    found = other[taken].reindex(rows).reset_index(drop=True)  # row -1 does not exist, and gives empty cells
    alone = int((rows < 0).sum())
    note = f"joined {rule.data} on {rule.on}: {len(table) - alone} of {len(table)} rows have a partner"
    return pd.concat([table.reset_index(drop=True), found], axis=1), note
