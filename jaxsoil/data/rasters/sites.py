"""Profiles at sites: a soil property in several depth layers, with gaps, and what was left out of it."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float64, Shaped

from jaxsoil.data.rasters.rasters import Rasters, windows_around
from jaxsoil.runs.errors import DataError


@dataclasses.dataclass(frozen=True)
class Layer:
    """A depth layer in cm below the surface."""

    top: float
    bottom: float

    @property
    def name(self) -> str:
        """The depths in words, such as "5-15 cm"."""
        return f"{self.top:g}-{self.bottom:g} cm"

    @property
    def key(self) -> str:
        """The depths in file names, such as "005_015cm"."""
        return f"{self.top:03.0f}_{self.bottom:03.0f}cm"


@dataclasses.dataclass(frozen=True, eq=False)
class Sites:
    """A property in depth layers at sites.

    Args:
      ids: (n,) distinct names.
      east, north: (n,) coordinates in the CRS of the rasters.
      layers: depth layers from the surface down.
      values: (n, layers), NaN where nothing was measured.
      quantity, unit: what was measured, such as "soil organic carbon" in "%".
    """

    ids: Shaped[np.ndarray, " n"]
    east: Float64[np.ndarray, " n"]
    north: Float64[np.ndarray, " n"]
    layers: tuple[Layer, ...]
    values: Float64[np.ndarray, "n l"]
    quantity: str
    unit: str

    def __len__(self) -> int:
        return self.ids.size

    def take(self, keep: np.ndarray) -> Sites:
        """The sites of a mask or of row numbers."""
        own = {name: getattr(self, name)[keep] for name in ("ids", "east", "north", "values")}
        return dataclasses.replace(self, **own)


def distinct_ids(ids: np.ndarray, source: str) -> None:
    """Refuses a name that stands for two sites.

    Raises:
      DataError: with the name.
    """
    names, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        value = str(names[counts > 1][0])
        remedy = "Average its rows or give each its own id."
        raise DataError("a site stands there twice", source=source, column="id", value=value, remedy=remedy)


def check_sites(sites: Sites, source: str, fewest: int) -> tuple[Sites, list[str]]:
    """Checks what was measured; returns the sites, and a note for each layer that had too few values to stay.

    Args:
      sites: as read.
      source: file or data set, for messages.
      fewest: sites that a layer needs.

    Raises:
      DataError: a name twice, coordinates or values that are infinite, negative values, layers that overlap or are
        not in order, a layer in which nothing was measured, or no layer with enough sites.
    """
    distinct_ids(sites.ids, source)
    coordinates = np.isfinite(sites.east) & np.isfinite(sites.north)
    if not coordinates.all():
        value = str(sites.ids[~coordinates][0])
        remedy = "Complete the coordinates or remove the row."
        raise DataError("a site has no coordinates", source=source, value=value, remedy=remedy)
    for above, below in zip(sites.layers, sites.layers[1:], strict=False):
        if below.top < above.bottom:
            value = f"{above.name}, then {below.name}"
            remedy = "List the layers from the surface down, without overlap."
            raise DataError("layers overlap or are out of order", source=source, value=value, remedy=remedy)
    notes, keep = [], []
    for place, layer in enumerate(sites.layers):
        values, name = sites.values[:, place], layer.name
        if np.isnan(values).all():
            told = {"value": "all values are missing", "source": source, "column": name}
            remedy = "Correct the column's name, or take the layer out of the list."
            raise DataError("nothing was measured in this layer", remedy=remedy, **told)
        wrong = np.isinf(values) | (values < 0.0)
        if wrong.any():
            problem = f"{sites.quantity} must be finite and not negative"
            value = f"{values[wrong][0]:g} at site {sites.ids[wrong][0]}"
            remedy = "Correct the value, or leave the cell empty where nothing was measured."
            raise DataError(problem, source=source, column=name, value=value, remedy=remedy)
        count = int(np.isfinite(values).sum())
        if count >= fewest:
            keep.append(place)
        else:
            notes.append(f"Layer {layer.name} is left out: {count} sites, fewer than {fewest} (--min-sites).")
    if not keep:
        remedy = "Give more sites, or lower --min-sites."
        raise DataError("no layer has enough sites", source=source, value="; ".join(notes), remedy=remedy)
    layers = tuple(sites.layers[place] for place in keep)
    return dataclasses.replace(sites, layers=layers, values=sites.values[:, keep]), notes


def join_sites(
    sites: Sites, rasters: Rasters, source: str, window: int
) -> tuple[Sites, np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Sites that lie on the rasters, with the pixels they fall into and the windows around them.

    Args:
      sites: checked sites.
      rasters: covariates.
      source: data set, for messages.
      window: side of the windows in pixels.

    Returns:
      The sites kept, their (n,) rows and columns, (n, window, window, c) windows with NaN beyond the data, and a
      note on every exclusion.

    Raises:
      DataError: no site lies on the rasters, or none on a pixel where all of them have a value.
    """
    row, col, inside = rasters.grid.index(sites.east, sites.north)
    notes = []
    if not inside.any():
        where = f"{rasters.grid.extent} in {rasters.grid.crs[:40]}"
        value = f"first site at {sites.east[0]:.0f}, {sites.north[0]:.0f}; rasters from {where}"
        remedy = "Give the sites in the coordinate reference system of the rasters."
        raise DataError("no site lies on the rasters", source=source, value=value, remedy=remedy)
    if not inside.all():
        notes.append(_excluded(sites.ids[~inside], "outside the rasters"))
    sites, row, col = sites.take(inside), row[inside], col[inside]
    windows = windows_around(rasters, row, col, window)
    whole = np.isfinite(windows[:, window // 2, window // 2, :]).all(axis=1)
    if not whole.any():
        value = ", ".join(rasters.names)
        remedy = "Check the nodata value of the rasters."
        raise DataError("every site lies on a pixel without value", source=source, value=value, remedy=remedy)
    if not whole.all():
        notes.append(_excluded(sites.ids[~whole], "on a pixel where a raster has no value (nodata)"))
    sites, row, col, windows = sites.take(whole), row[whole], col[whole], windows[whole]
    shared = len(sites) - np.unique(row * rasters.grid.width + col).size
    if shared:
        notes.append(f"{shared} sites share their pixel with another, and so have the same covariates.")
    return sites, row, col, windows, notes


def _excluded(ids: np.ndarray, why: str) -> str:
    shown = ", ".join(str(name) for name in ids[:8]) + (", ..." if ids.size > 8 else "")
    return f"{ids.size} site{'s' if ids.size > 1 else ''} left out, {why}: {shown}."
