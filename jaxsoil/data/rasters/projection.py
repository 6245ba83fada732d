"""Coordinate reference systems: points and grids brought from one into another."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jaxsoil.runs.errors import DataError


def geographic(crs: str) -> bool:
    """Whether a system counts in degrees."""
    return bool(_system(crs).is_geographic)


def projected_points(east: np.ndarray, north: np.ndarray, crs: str, target: str) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates, (n,) each, in another system; NaN where they are missing or cannot be brought there."""
    from rasterio.warp import transform

    found = np.full((2, len(east)), np.nan)
    known = np.isfinite(east) & np.isfinite(north)
    if known.any():
        there = np.asarray(transform(_system(crs), _system(target), east[known].tolist(), north[known].tolist()))
        found[:, known] = np.where(np.isfinite(there), there, np.nan)
    return found[0], found[1]


def projected_grid(
    height: int, width: int, transform: tuple[float, ...], crs: str, target: str, pixel: float
) -> tuple[int, int, tuple[float, ...]]:
    """Height, width and transform of the grid of square pixels in ``target`` that covers another one.

    Args:
      height, width, transform, crs: of the files, as in :class:`jaxsoil.data.rasters.rasters.Grid`.
      target: projected system in metres.
      pixel: side of the new pixels in m; 0: what keeps about as many pixels as the files have.

    Raises:
      DataError: a system that is unknown or in degrees, a side that is negative or leaves no pixel.
    """
    from rasterio.transform import Affine, array_bounds
    from rasterio.warp import calculate_default_transform

    system = _system(target)
    if system.is_geographic:
        remedy = "Give one in metres, such as the UTM zone of the place."
        raise DataError("this system is not projected", column="project", value=target, remedy=remedy)
    if not 0.0 <= pixel < math.inf:
        problem = "pixels have a side of 0 (as in the files) or more"
        raise DataError(problem, column="pixel", value=pixel, remedy="In m.")
    options = {"resolution": pixel} if pixel else {}
    bounds = array_bounds(height, width, Affine(*transform))
    made, columns, rows = calculate_default_transform(_system(crs), system, width, height, *bounds, **options)
    if not rows or not columns:
        raise DataError("no pixel is left of the rasters", column="pixel", value=pixel, remedy="Give smaller pixels.")
    return int(rows), int(columns), tuple(made)[:6]


def _system(crs: str) -> Any:
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    try:
        return CRS.from_string(crs)
    except CRSError as error:
        remedy = 'Give a code such as "EPSG:32634", or WKT.'
        raise DataError("this coordinate reference system is not known", value=crs[:60], remedy=remedy) from error
