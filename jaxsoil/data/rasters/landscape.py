"""Landscapes by name: covariate rasters and sites with profiles, synthetic or described by a TOML file."""

from __future__ import annotations

import dataclasses
import os
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from jaxsoil.data.rasters.rasters import Rasters, open_rasters
from jaxsoil.data.rasters.sites import Layer, Sites
from jaxsoil.data.readers import table as tables
from jaxsoil.data.root import data_root
from jaxsoil.data.twin.landscape.make import LandscapeConfig, make_landscape
from jaxsoil.runs.errors import DataError, did_you_mean

TWIN = "landscape_twin"
KEYS = ("title", "table", "id", "east", "north", "quantity", "unit", "notes", "rasters", "layers")
"""What the TOML file of a landscape may say; all but ``title`` and ``notes`` are required."""


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
        raise DataError(
            "no such landscape",
            value=name,
            remedy=f"{did_you_mean(name, names())} One's own: the path of a .toml file.",
        )
    return _read(name, packaged[name], data_root())


def _packaged() -> dict[str, Path]:
    folder = resources.files("jaxsoil.data.rasters") / "landscapes"
    return {
        entry.name.removesuffix(".toml"): Path(str(entry)) for entry in folder.iterdir() if entry.name.endswith(".toml")
    }


def _read(name: str, path: Path, root: Path) -> Landscape:
    content = _content(path)
    table_path = root / content["table"]
    table = tables.read_table(table_path)
    layers = [_layer(entry, path) for entry in content["layers"]]
    values = np.stack([tables.column_numbers(table, column, table_path) for column, _ in layers], axis=1)
    east, north = (tables.column_numbers(table, content[axis], table_path) for axis in ("east", "north"))
    ids = tables.column_strings(table, content["id"], table_path)
    sites = Sites(ids, east, north, tuple(layer for _, layer in layers), values, content["quantity"], content["unit"])
    rasters = open_rasters({key: root / str(where) for key, where in content["rasters"].items()})
    title = content.get("title", Path(name).stem)
    return Landscape(name, title, rasters, sites, str(table_path), tuple(content.get("notes", ())))


def _content(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DataError("there is no such file", source=os.fspath(path), remedy="Correct the path of the TOML file.")
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError("this is no TOML file", source=path, value=str(error), remedy="Correct the line.") from None
    for key in content:
        if key not in KEYS:
            raise DataError("unknown key", source=path, value=key, remedy=did_you_mean(key, KEYS))
    for key in KEYS:
        if key not in content and key not in ("title", "notes"):
            raise DataError("a key is missing", source=path, value=key, remedy=f"Add it. Known: {', '.join(KEYS)}.")
    for key, kind in (("rasters", dict), ("layers", list)):
        if not isinstance(content[key], kind) or not content[key]:
            raise DataError(
                f"'{key}' is empty or of the wrong kind",
                source=path,
                remedy="Write a table [rasters] of names and files, and [[layers]] with column, top and bottom.",
            )
    return content


def _layer(entry: Any, path: Path) -> tuple[str, Layer]:
    try:
        layer = Layer(float(entry["top"]), float(entry["bottom"]))
        column = str(entry["column"])
    except (KeyError, TypeError, ValueError):
        raise DataError(
            "a layer needs column, top and bottom", source=path, value=entry, remedy="Give depths in cm."
        ) from None
    if not 0.0 <= layer.top < layer.bottom:
        raise DataError(
            "a layer must reach down",
            source=path,
            column=column,
            value=layer.name,
            remedy="Give 0 <= top < bottom in cm.",
        )
    return column, layer
