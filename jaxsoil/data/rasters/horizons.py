"""Soil horizons of unequal depth, and what they say of fixed depth layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Int64, Shaped

from jaxsoil.data.rasters.sites import Layer
from jaxsoil.data.readers.schema import multiplier
from jaxsoil.data.readers.table import column_numbers, column_strings, read_table
from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError


@dataclasses.dataclass(frozen=True)
class HorizonTable:
    """[horizons]: a table with one row for each horizon.

    Args:
      data: CSV, Parquet or R file.
      id: column with the name of the site, as in the table of sites.
      top, bottom: columns with the depths in cm.
      value: column with what was measured; an empty cell was not measured.
      factor: of the values, a number or a quotient: "1/1.724" makes percent of carbon of percent of organic matter.
      missing: numbers that stand for a missing value, such as [-9999].
      cover: share of a layer's thickness that measured horizons must cover, above 0 and up to 1.
      leave_out_faults: False refuses a table with faulty horizons; True leaves them out and says which.
    """

    data: str
    id: str
    top: str
    bottom: str
    value: str
    factor: float | str = 1.0
    missing: Sequence[float] = ()
    cover: float = 0.5
    leave_out_faults: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Horizons:
    """Horizons in the order of their table, h of them.

    Attributes:
      site: (h,) names of their sites.
      top, bottom: (h,) depths in cm, downwards positive.
      value: (h,) NaN where nothing was measured.
      row: (h,) rows of the table, from 0.
    """

    site: Shaped[np.ndarray, " h"]
    top: Float64[np.ndarray, " h"]
    bottom: Float64[np.ndarray, " h"]
    value: Float64[np.ndarray, " h"]
    row: Int64[np.ndarray, " h"]

    def take(self, keep: Bool[np.ndarray, " h"]) -> Horizons:
        """The horizons of a mask."""
        return Horizons(*(getattr(self, field.name)[keep] for field in dataclasses.fields(self)))

    def show(self, place: int) -> str:
        """A horizon in words, such as "P0494, row 3083: 14 to 14 cm"."""
        return f"{self.site[place]}, row {self.row[place]}: {self.top[place]:g} to {self.bottom[place]:g} cm"


def read_horizons(content: HorizonTable, source: Path, sites: np.ndarray) -> tuple[Horizons, list[str]]:
    """Reads and checks horizons.

    Args:
      content: names of the columns, and what becomes of faults.
      source: the file.
      sites: names of all sites.

    Returns:
      Horizons without fault, and a note on everything that was left out.

    Raises:
      DataError: naming profile and row of a horizon without depth, with a negative one, without thickness, upside
        down, of a site that the table of sites lacks, repeated, or that overlaps with another; unless
        ``content.leave_out_faults``. A negative or infinite value is always refused.
    """
    factor = multiplier(content.factor, source=source, column="horizons.factor")
    table = read_table(source)
    top, bottom, value = (column_numbers(table, name, source) for name in (content.top, content.bottom, content.value))
    site = column_strings(table, content.id, source)
    value[np.isin(value, np.asarray(content.missing, np.float64))] = np.nan
    found = Horizons(site, top, bottom, value * factor, np.arange(len(table), dtype=np.int64))
    wrong = np.isinf(found.value) | (found.value < 0.0)
    remedy = "Correct the value, or where nothing was measured leave the cell empty or write missing = [CODE]."
    problem = "a measured value must be finite and not negative"
    require.no_row(wrong, problem, show=found.show, source=source, column=content.value, remedy=remedy)
    return without_faults(found, sites, source, leave_out=content.leave_out_faults)


def without_faults(
    found: Horizons, sites: np.ndarray, source: object, *, leave_out: bool
) -> tuple[Horizons, list[str]]:
    """Horizons that can be what they say, and a note on the others; arguments and errors as :func:`read_horizons`.

    A horizon that cannot be is left out; one that repeats another of its site to the last digit counts once; of sites
    whose horizons still overlap nobody knows which is right, so that all of their horizons are left out.
    """
    notes: list[str] = []

    def part(wrong: np.ndarray, what: str, remedy: str, whole_site: bool = False) -> None:
        nonlocal found
        if not wrong.any():
            return
        if not leave_out:
            remedy += " Or leave such horizons out by leave_out_faults = true."
            require.no_row(wrong, f"a horizon {what}", show=found.show, source=source, what="horizons", remedy=remedy)
        few = "; ".join(found.show(int(place)) for place in np.flatnonzero(wrong)[:4])
        names = np.unique(found.site[wrong])
        count = f"All horizons of {names.size} sites" if whole_site else f"{wrong.sum()} horizons"
        notes.append(f"{count} left out, each {what}: {few}{'; ...' if wrong.sum() > 4 else ''}.")
        found = found.take(~np.isin(found.site, names) if whole_site else ~wrong)

    part(np.isnan(found.top) | np.isnan(found.bottom), "has no depth", "Give top and bottom in cm.")
    part((found.top < 0.0) | (found.bottom < 0.0), "has a negative depth", "Give depths below the surface, from 0.")
    part(found.top > found.bottom, "lies upside down (top below bottom)", "Exchange top and bottom.")
    part(found.top == found.bottom, "has no thickness", "Correct its depths.")
    part(~np.isin(found.site, sites), "is of a site that the table of sites lacks", "Add the site.")
    part(_table(found).duplicated().to_numpy(), "repeats another of its site", "Keep one of the two rows.")
    part(_overlaps(found), "overlaps with another of its site", "Correct the depths of one.", whole_site=True)
    if not found.row.size:
        raise DataError("no horizon is left", source=source, remedy="Check the columns of depths and names.")
    return found, notes


def layer_values(
    found: Horizons, sites: np.ndarray, layers: tuple[Layer, ...], cover: np.ndarray
) -> Float64[np.ndarray, "n l"]:
    """Means over depth layers, weighted by the thickness of each horizon inside the layer.

    Args:
      found: horizons that do not overlap.
      sites: (n,) names, each once.
      layers: l depth layers.
      cover: (l,) share of each layer that horizons with a value must cover.

    Returns:
      (n, l) values, NaN where less is covered.
    """
    found = found.take(np.isfinite(found.value))
    order = np.argsort(sites)
    place = order[np.searchsorted(sites, found.site, sorter=order)]
    values = np.full((len(sites), len(layers)), np.nan)
    for number, layer in enumerate(layers):
        inside = np.minimum(found.bottom, layer.bottom) - np.maximum(found.top, layer.top)
        weight = np.maximum(inside, 0.0)
        total = np.bincount(place, weight, len(sites))
        mean = np.bincount(place, weight * found.value, len(sites)) / np.maximum(total, 1e-9)
        # A share of 1 must not fail by rounding.
        enough = total >= cover[number] * (layer.bottom - layer.top) - 1e-9
        values[:, number] = np.where(enough, mean, np.nan)
    return values


def _table(found: Horizons) -> pd.DataFrame:
    return pd.DataFrame({"site": found.site, "top": found.top, "bottom": found.bottom, "value": found.value})


def _overlaps(found: Horizons) -> np.ndarray:
    """Every horizon that begins above the end of another of its site that begins no deeper."""
    table = _table(found).sort_values(["site", "top", "bottom"])
    deepest = table.groupby("site")["bottom"].cummax().groupby(table["site"]).shift()
    return (table["top"] < deepest).sort_index().to_numpy()
