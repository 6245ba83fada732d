"""Landscapes by name: covariate rasters and sites with profiles, synthetic or described by a TOML file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from jaxsoil.data.rasters.rasters import Rasters, open_rasters
from jaxsoil.data.rasters.sites import Layer, Sites
from jaxsoil.data.readers.table import column_numbers, column_strings, read_table
from jaxsoil.data.readers.toml import build, packaged, read_toml
from jaxsoil.data.root import data_root
from jaxsoil.data.twin.landscape.make import LandscapeConfig, make_landscape
from jaxsoil.runs.errors import DataError, did_you_mean

TWIN = "landscape_twin"


@dataclasses.dataclass(frozen=True)
class LayerColumn:
    """[[layers]]: a depth layer in cm, and the column of the table that holds its values."""

    column: str
    top: float
    bottom: float


@dataclasses.dataclass(frozen=True)
class Description:
    """The TOML file of a landscape; its paths are relative to its folder (packaged ones: to JAXSOIL_DATA).

    Args:
      table: CSV or Parquet file of the sites, one row a profile.
      id, east, north: columns with the name of each site and its coordinates in the system of the rasters.
      quantity, unit: what was measured in the layers, such as "soil organic carbon" and "%".
      rasters: name of each covariate -> GeoTIFF.
      layers: the depth layers.
      title: one line on it; without, the name of the file.
      notes: units, doubts, known traps.
    """

    table: str
    id: str
    east: str
    north: str
    quantity: str
    unit: str
    rasters: Mapping[str, str]
    layers: Sequence[LayerColumn]
    title: str = ""
    notes: Sequence[str] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Landscape:
    """Covariates, sites and what a reader must know about them.

    Attributes:
      name, title: as on the command line, and one line for people.
      rasters: covariates on one grid.
      sites: profiles, not yet checked against the rasters.
      source: file or generator, for messages.
      notes: units, doubts, exclusions.
      truth: (layers, h, w) true maps of a synthetic landscape, else None.
    """

    name: str
    title: str
    rasters: Rasters
    sites: Sites
    source: str
    notes: tuple[str, ...] = ()
    truth: Float64[np.ndarray, "l h w"] | None = None


def names() -> tuple[str, ...]:
    """Names that :func:`load` knows, the twin first."""
    return (TWIN, *sorted(_packaged()))


def load(name: str, config: LandscapeConfig | None = None) -> Landscape:
    """Loads a landscape.

    Args:
      name: one of :func:`names`, or the path of a TOML file (its paths are relative to its folder).
      config: of the twin.

    Raises:
      DataError: an unknown name (with the nearest), absent data, or files that do not hold what is declared.
    """
    if name == TWIN:
        twin = make_landscape(config or LandscapeConfig())
        return Landscape(name, "Synthetic landscape with known maps", twin.rasters, twin.sites, TWIN, (), twin.truth)
    packaged = _packaged()
    if name.endswith(".toml"):
        return _read(name, Path(name), Path(name).parent)
    if name not in packaged:
        remedy = f"{did_you_mean(name, names())} One's own: the path of a .toml file."
        raise DataError("no such landscape", value=name, remedy=remedy)
    return _read(name, packaged[name], data_root())


def _packaged() -> dict[str, Path]:
    return packaged("jaxsoil.data.rasters", "landscapes")


def _read(name: str, path: Path, root: Path) -> Landscape:
    content = build(Description, read_toml(path), path)
    if not content.rasters or not content.layers:
        value = f"{len(content.rasters)} rasters, {len(content.layers)} layers"
        remedy = "Write a table [rasters] of names and files, and [[layers]] with column, top and bottom."
        raise DataError("a landscape needs rasters and layers", source=path, value=value, remedy=remedy)
    source = root / content.table
    table = read_table(source)
    for layer in content.layers:
        if not 0.0 <= layer.top < layer.bottom:
            value = f"{layer.top:g} to {layer.bottom:g} cm"
            remedy = "Give 0 <= top < bottom in cm."
            raise DataError("a layer must reach down", source=path, column=layer.column, value=value, remedy=remedy)
    layers = tuple(Layer(float(layer.top), float(layer.bottom)) for layer in content.layers)
    values = np.stack([column_numbers(table, layer.column, source) for layer in content.layers], axis=1)
    east, north = (column_numbers(table, column, source, what="coordinate") for column in (content.east, content.north))
    sites = Sites(
        column_strings(table, content.id, source), east, north, layers, values, content.quantity, content.unit
    )
    rasters = open_rasters({covariate: root / file for covariate, file in content.rasters.items()})
    return Landscape(name, content.title or Path(name).stem, rasters, sites, str(source), tuple(content.notes))
