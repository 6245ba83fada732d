"""Which columns of a table are bands, what their names say, and which column holds the ids."""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxsoil.data.readers.instruments.reading import MIN_BANDS, MOST_BANDS, Reading, Refusal, Source, make
from jaxsoil.data.readers.table import cell_text

if TYPE_CHECKING:
    import pandas as pd

IDS = ("id", "sample_id", "sampleid", "sample", "sample_name", "sample_no", "lab_no", "rcapid", "ssn", "smp_id",
       "id.layer_uuid_txt", "id.sample_local_c", "dataset.id", "filename", "file", "name")  # fmt: skip
"""Names of columns that hold ids, in lower case, the likeliest first."""

# What stands around the number of a band: unit and quantity. Names that count columns (V1, band 1) are no bands.
_PREFIXES: dict[str, tuple[str | None, str | None]] = {
    **dict.fromkeys(("", "x", "w", "wl", "wavelength", "spc", "spectra", "spectrum"), (None, None)),
    **dict.fromkeys(("nm", "scan_visnir", "scan_nir", "visnir", "vnir"), ("nm", None)),
    **dict.fromkeys(("wn", "wavenumber", "scan_mir", "mir"), ("cm-1", None)),
    **dict.fromkeys(("r", "ref", "refl", "reflectance"), (None, "reflectance")),
    **dict.fromkeys(("a", "abs", "absorbance"), (None, "absorbance")),
}
_SUFFIXES: dict[str, tuple[str | None, str | None]] = {
    "": (None, None),
    "nm": ("nm", None),
    **dict.fromkeys(("cm-1", "cm.1", "1/cm", "cm⁻¹"), ("cm-1", None)),
    **dict.fromkeys(("um", "µm", "μm"), ("um", None)),
    **dict.fromkeys(("ref", "refl", "reflectance"), (None, "reflectance")),
    **dict.fromkeys(("abs", "absorbance"), (None, "absorbance")),
}
_NAME = re.compile(r"([A-Za-z][A-Za-z_]*)?[._ ]?(\d+(?:\.\d+)?)[._ ]?([A-Za-zµμ1][A-Za-zµμ0-9./⁻¹-]*)?")


@dataclasses.dataclass(frozen=True)
class Bands:
    """The columns that are bands.

    Args:
      columns: their names.
      axis: the number of each.
      unit, quantity: what the names say, or None.
    """

    columns: list[str]
    axis: list[float]
    unit: str | None
    quantity: str | None


def find_bands(names: Sequence[str]) -> list[Bands]:
    """Returns the sets of at least ``MIN_BANDS`` columns whose names are one number between the same words."""
    families: dict[tuple[str, str], list[tuple[str, float]]] = defaultdict(list)
    for name in names:
        match = _NAME.fullmatch(name.strip())
        if match is None:
            continue
        before, after = (match[1] or "").lower().rstrip("_"), (match[3] or "").lower()
        if before in _PREFIXES and after in _SUFFIXES:
            families[before, after].append((name, float(match[2])))
    found = []
    for (before, after), columns in families.items():
        if len(columns) >= MIN_BANDS:
            (unit, quantity), (other, otherwise) = _PREFIXES[before], _SUFFIXES[after]
            names_of, axis = (list(part) for part in zip(*columns, strict=True))
            found.append(Bands(names_of, axis, unit or other, quantity or otherwise))
    return found


def choose_bands(source: Source, names: Sequence[str]) -> Bands:
    """Returns the one set of bands, of the unit that was asked for where there are several.

    Raises:
      DataError: no set of bands, several, a column that occurs twice, or too many.
    """
    twice = next((name for name, other in zip(sorted(names), sorted(names)[1:], strict=False) if name == other), None)
    if twice is not None:
        raise source.error("a column occurs twice", "Keep one column for each band.", column=twice)
    found = find_bands(names)
    if len(found) > 1 and source.unit is not None:
        found = [bands for bands in found if bands.unit == source.unit] or found
    shown = [f"{bands.columns[0]} ... {bands.columns[-1]}" for bands in found] or [", ".join(names[:5]) + " ..."]
    if len(found) != 1:
        problem = "the file holds several sets of bands" if found else "no column is named by its band"
        remedy = "Pass the unit of one of them, or keep one." if found else (
            "Name the spectral columns by wavelength or wavenumber, such as 350, X350 or scan_mir.600_abs."
        )  # fmt: skip
        raise source.error(problem, remedy, value="; ".join(shown))
    if len(found[0].columns) > MOST_BANDS:
        raise source.error("the table has more bands than a spectrum", "Transpose it.", value=len(found[0].columns))
    return found[0]


def from_frame(source: Source, kind: str, frame: pd.DataFrame) -> Reading:
    """Returns the reading of a table in memory: bands, ids and the other columns as labels."""
    frame.columns = [str(name) for name in frame.columns]
    bands = choose_bands(source, list(frame.columns))
    source.require_memory(8 * len(frame) * len(bands.columns))
    values = np.empty((len(frame), len(bands.columns)), np.float32)
    with np.errstate(over="ignore"):
        for place, name in enumerate(bands.columns):
            values[:, place] = numbers(frame[name])
    return from_parts(source, kind, bands, values, frame.drop(columns=bands.columns))


def of_batches(
    batches: Iterable[Any], bands: Bands, rows: int, number: Callable[[np.ndarray], np.ndarray] = np.asarray
) -> tuple[np.ndarray, pd.DataFrame]:
    """Returns the (n, m) float32 values of the bands and the other columns of Arrow's batches, ``rows`` at most.

    ``number`` makes numbers of a column that holds text.
    """
    import pandas as pd

    values, filled, frames, chosen = np.empty((rows, len(bands.columns)), np.float32), 0, [], set(bands.columns)
    for batch in batches:
        here = slice(filled, filled + batch.num_rows)
        filled += batch.num_rows
        for place, name in enumerate(bands.columns):
            with np.errstate(over="ignore"):
                values[here, place] = number(batch.column(name).to_numpy(zero_copy_only=False))
        others = [name for name in batch.schema.names if name not in chosen]
        frames.append(batch.select(others).to_pandas() if others else pd.DataFrame(index=range(batch.num_rows)))
    return values[:filled], pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def from_parts(
    source: Source, kind: str, bands: Bands, values: np.ndarray, labels: pd.DataFrame, refused: Sequence[Refusal] = ()
) -> Reading:
    """Returns the reading of bands, their values and the other columns."""
    ids = row_ids(labels) or [f"{source.path.stem}:{row}" for row in range(len(values))]
    return make(
        source, kind, bands.axis, values, unit=bands.unit, quantity=bands.quantity, ids=ids,
        labels=labels if len(labels.columns) else None, refused=refused,
    )  # fmt: skip


def row_ids(labels: pd.DataFrame) -> list[str]:
    """Returns the ids of the rows: a column whose name says so, else the first if it is text, else none."""
    names = {str(name).lower(): name for name in labels.columns}
    chosen = next((names[name] for name in IDS if name in names), None)
    if chosen is None and len(labels.columns) and np.isnan(numbers(labels.iloc[:, 0])).all():
        chosen = labels.columns[0]
    cells = [] if chosen is None else [cell_text(value) for value in labels[chosen].tolist()]
    return [] if "" in cells else cells


def numbers(column: Any) -> np.ndarray:
    """Returns a column as float64, NaN where it holds no number."""
    import pandas as pd

    return np.asarray(pd.to_numeric(column, errors="coerce"), dtype=np.float64)
