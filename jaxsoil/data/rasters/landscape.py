"""Landscapes by name: covariate rasters and sites with profiles, synthetic or described by a TOML file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from jaxsoil.data.rasters.horizons import HorizonTable, layer_values, read_horizons
from jaxsoil.data.rasters.projection import geographic, projected_points
from jaxsoil.data.rasters.rasters import FileRasters, Rasters, open_rasters
from jaxsoil.data.rasters.sites import Layer, Sites, distinct_ids
from jaxsoil.data.readers.schema import multiplier, read_content
from jaxsoil.data.readers.table import column_numbers, column_strings, read_table
from jaxsoil.data.readers.toml import build, packaged
from jaxsoil.data.root import data_root
from jaxsoil.data.twin.landscape.make import LandscapeConfig, make_landscape
from jaxsoil.runs.errors import DataError, Faults, did_you_mean

TWIN = "landscape_twin"


@dataclasses.dataclass(frozen=True)
class LayerColumn:
    """[[layers]]: a depth layer in cm, and the column of the table that holds its values.

    With [horizons] it needs no column; ``cover``, above 0, then stands instead of that of all layers. ``factor`` and
    ``missing`` are those of a label of a manifest.
    """

    top: float
    bottom: float
    column: str = ""
    cover: float = 0.0
    factor: float | str = 1.0
    missing: Sequence[float] = ()


@dataclasses.dataclass(frozen=True)
class Description:
    """The TOML file of a landscape; its paths are relative to its folder (packaged ones: to JAXSOIL_DATA).

    Args:
      data: CSV, Parquet or R file of the sites, one row a profile.
      id, east, north: columns with the name of each site and its coordinates in the system of the rasters' files.
      quantity, unit: what was measured in the layers, such as "soil organic carbon" and "%".
      rasters: name of each covariate -> GeoTIFF.
      layers: the depth layers.
      horizons: the table of horizons of which the layers are made, instead of columns of ``data``.
      nodata: name of a covariate -> what stands for no value in a raster whose file does not say so.
      project: projected system in metres ("EPSG:32634") into which rasters and sites are brought; needed where the
        files are in degrees.
      pixel: side in m of its pixels; 0: as near as can be to the pixels of the files.
      title: one line on it; without, the name of the file.
      licence, citation, source: whose it is and where it came from.
      notes: units, doubts, known traps.
    """

    data: str
    id: str
    east: str
    north: str
    quantity: str
    unit: str
    rasters: Mapping[str, str]
    layers: Sequence[LayerColumn]
    horizons: HorizonTable | None = None
    nodata: Mapping[str, float] = dataclasses.field(default_factory=dict)
    project: str = ""
    pixel: float = 0.0
    title: str = ""
    licence: str = ""
    citation: str = ""
    source: str = ""
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
      licence: of the data.
    """

    name: str
    title: str
    rasters: Rasters
    sites: Sites
    source: str
    notes: tuple[str, ...] = ()
    truth: Float64[np.ndarray, "l h w"] | None = None
    licence: str = ""


def names() -> tuple[str, ...]:
    """Names that :func:`load` knows, the twin first."""
    return (TWIN, *sorted(_packaged()))


def load(name: str, config: LandscapeConfig | None = None, cover: float = 0.0) -> Landscape:
    """Loads a landscape.

    Args:
      name: one of :func:`names`, or the path of a TOML file (its paths are relative to its folder).
      config: of the twin.
      cover: share of a layer that horizons must cover, instead of what the description says; 0: as it says.

    Raises:
      DataError: an unknown name (with the nearest), absent data, or files that do not hold what is declared.
    """
    if name == TWIN:
        _no_horizons(cover, TWIN)
        twin = make_landscape(config or LandscapeConfig())
        return Landscape(name, "Synthetic landscape with known maps", twin.rasters, twin.sites, TWIN, (), twin.truth)
    packaged = _packaged()
    if name.endswith(".toml"):
        return _read(name, Path(name), Path(name).parent, cover)
    if name not in packaged:
        remedy = f"{did_you_mean(name, names())} One's own: the path of a .toml file."
        raise DataError("no such landscape", value=name, remedy=remedy)
    return _read(name, packaged[name], data_root(), cover)


def _packaged() -> dict[str, Path]:
    return packaged("jaxsoil.data.rasters", "landscapes")


def _no_horizons(cover: float, source: object) -> None:
    if cover:
        problem = "the layers are not made of horizons, of which a share could be covered"
        raise DataError(problem, source=source, column="cover", value=cover, remedy="Leave --cover out.")


def _read(name: str, path: Path, root: Path, cover: float) -> Landscape:
    content = build(Description, read_content(path, "landscape"), path)
    layers = _layers(content, path)
    source, faults, columns = root / content.data, Faults(), {}
    with faults.kept():
        table = read_table(source)
        with faults.kept():
            columns["id"] = column_strings(table, content.id, source)
        for column in (content.east, content.north):
            with faults.kept():
                columns[column] = column_numbers(table, column, source, what="coordinate")
        for layer in () if content.horizons is not None else content.layers:
            with faults.kept():
                values = column_numbers(table, layer.column, source)
                values[np.isin(values, np.asarray(layer.missing, np.float64))] = np.nan
                columns[f"layer {layer.top}"] = values * multiplier(layer.factor, source=path, column="layers.factor")
    rasters = None
    with faults.kept():
        rasters = open_rasters(
            {covariate: root / file for covariate, file in content.rasters.items()},
            nodata=content.nodata, project=content.project, pixel=content.pixel,
        )  # fmt: skip
    faults.tell()
    assert rasters is not None
    ids, east, north = columns["id"], columns[content.east], columns[content.north]
    if content.project:
        east, north = projected_points(east, north, rasters.files_crs, content.project)
    elif geographic(rasters.grid.crs):
        remedy = 'Add project = "EPSG:..." with a projected system in metres, such as the UTM zone of the place.'
        problem = "the rasters are in degrees, in which neither blocks nor windows have one size"
        raise DataError(problem, source=path, value=rasters.grid.crs[:40], remedy=remedy)
    if content.horizons is None:
        _no_horizons(cover, path)
        values = np.stack([columns[f"layer {layer.top}"] for layer in content.layers], axis=1)
        notes = []
    else:
        distinct_ids(ids, str(source))
        values, notes = _of_horizons(content, layers, ids, root / content.horizons.data, cover, path)
    sites = Sites(ids, east, north, layers, values, content.quantity, content.unit)
    empty = np.isnan(values).all(axis=1)
    if content.horizons is not None and empty.any():
        notes.append(f"{int(empty.sum())} sites left out, of which no layer is covered enough.")
        sites = sites.take(~empty)
    notes = (*content.notes, *notes, *_raster_notes(rasters, content))
    title = content.title or Path(name).stem
    return Landscape(name, title, rasters, sites, str(source), notes, licence=content.licence)


def _layers(content: Description, path: Path) -> tuple[Layer, ...]:
    """The layers of a description that has rasters and depths that can be."""
    if not content.rasters or not content.layers:
        value = f"{len(content.rasters)} rasters, {len(content.layers)} layers"
        remedy = "Write a table [rasters] of names and files, and [[layers]] with column, top and bottom."
        raise DataError("a landscape needs rasters and layers", source=path, value=value, remedy=remedy)
    for layer in content.layers:
        if not 0.0 <= layer.top < layer.bottom:
            value = f"{layer.top:g} to {layer.bottom:g} cm"
            remedy = "Give 0 <= top < bottom in cm."
            raise DataError("a layer must reach down", source=path, column=layer.column, value=value, remedy=remedy)
        if not layer.column and content.horizons is None:
            remedy = "Give the column of the table, or a table of horizons ([horizons])."
            raise DataError("a layer has no column", source=path, value=f"from {layer.top:g} cm", remedy=remedy)
    return tuple(Layer(float(layer.top), float(layer.bottom)) for layer in content.layers)


def _of_horizons(
    content: Description, layers: tuple[Layer, ...], ids: np.ndarray, source: Path, cover: float, path: Path
) -> tuple[np.ndarray, list[str]]:
    """(n, layers) values made of horizons, and how: the rule, what it needs, what was left out."""
    table = content.horizons
    assert table is not None
    needed = np.array([cover or layer.cover or table.cover for layer in content.layers])
    if not ((needed > 0.0) & (needed <= 1.0)).all():
        remedy = "Give a share above 0 and up to 1."
        raise DataError("a layer must be covered by a share of it", source=path, value=needed.tolist(), remedy=remedy)
    found, notes = read_horizons(table, source, ids)
    values = layer_values(found, ids, layers, needed)
    shares = ", ".join(f"{layer.name} {100.0 * share:g} %" for layer, share in zip(layers, needed, strict=True))
    rule = "A layer's value is the mean of the horizons inside it, weighted by thickness."
    rule += f" Horizons with a value must cover at least this share of it: {shares}."
    if multiplier(table.factor) != 1.0:
        rule += f" Values of the column {table.value} were multiplied by {table.factor}."
    return values, [rule, *notes]


def _raster_notes(rasters: FileRasters, content: Description) -> list[str]:
    """What was done to the rasters: nodata that was declared or is not known, and another projection."""
    notes = []
    if content.nodata:
        told = ", ".join(f"{name} {value:g}" for name, value in content.nodata.items())
        notes.append(f"These rasters name no nodata value; the description does: {told}.")
    silent = [name for name, value in zip(rasters.names, rasters.own_nodata, strict=True) if value is None]
    if silent:
        notes.append(f"These rasters have no nodata value: {', '.join(silent)}; all their values count as measured.")
    if content.project:
        side = rasters.grid.pixel[0]
        way = f"from {rasters.files_crs[:40]} to {content.project}, pixels of {side:g} m (bilinear)"
        notes.append(f"Rasters and sites were brought {way}: blocks, windows and maps are in metres.")
    return notes
