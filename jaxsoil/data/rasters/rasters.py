"""Rasters on one grid: covariates, checked on entry and read in windows and tiles."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, Int64, Shaped

from jaxsoil.data.rasters.projection import projected_grid
from jaxsoil.runs.errors import DataError, did_you_mean

NODATA = -9999.0
"""What stands for no value in the GeoTIFFs that this package writes, where the inputs name none."""

READ_TILE = 256
"""Side in pixels of the tiles in which windows around sites are read."""


@dataclasses.dataclass(frozen=True)
class Grid:
    """Where the pixels of a raster lie.

    Args:
      height, width: pixels.
      transform: (a, b, c, d, e, f) of easting = a col + b row + c and northing = d col + e row + f, at the corner
        of a pixel, in the unit of ``crs``.
      crs: coordinate reference system as WKT or "EPSG:...".
    """

    height: int
    width: int
    transform: tuple[float, float, float, float, float, float]
    crs: str

    @property
    def pixel(self) -> tuple[float, float]:
        """Sides of a pixel along easting and northing, in the unit of the CRS (m for a projected one)."""
        a, b, _, d, e, _ = self.transform
        return math.hypot(a, d), math.hypot(b, e)

    def index(
        self, east: Shaped[np.ndarray, " n"], north: Shaped[np.ndarray, " n"]
    ) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
        """Rows and columns of the pixels that hold the points, and whether each lies on the grid."""
        a, b, c, d, e, f = self.transform
        x, y = np.asarray(east, np.float64) - c, np.asarray(north, np.float64) - f
        determinant = a * e - b * d
        col = np.floor((e * x - b * y) / determinant).astype(np.int64)
        row = np.floor((a * y - d * x) / determinant).astype(np.int64)
        return row, col, (row >= 0) & (row < self.height) & (col >= 0) & (col < self.width)

    def centre(self, row: np.ndarray, col: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Easting and northing of the centres of pixels."""
        a, b, c, d, e, f = self.transform
        return a * (col + 0.5) + b * (row + 0.5) + c, d * (col + 0.5) + e * (row + 0.5) + f

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """West, east, south and north of a grid that is not rotated."""
        a, _, c, _, e, f = self.transform
        return c, c + a * self.width, f + e * self.height, f


@dataclasses.dataclass(frozen=True)
class Box:
    """A rectangle of pixels; it may reach over the border of the grid."""

    row: int
    col: int
    height: int
    width: int


@runtime_checkable
class Rasters(Protocol):
    """Covariates on one grid, in memory or in files."""

    @property
    def grid(self) -> Grid: ...

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def nodata(self) -> float: ...

    def read(self, box: Box) -> Float32[np.ndarray, "c h w"]:
        """Values of ``box``, NaN where there is none and beyond the border."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class MemoryRasters:
    """Covariates held in memory, such as those of a synthetic landscape.

    Args:
      grid: where the pixels lie.
      names: covariates, with units.
      values: (c, height, width), NaN where there is no value.
      nodata: what stands for NaN in files.
    """

    grid: Grid
    names: tuple[str, ...]
    values: Float32[np.ndarray, "c h w"]
    nodata: float = NODATA

    def __post_init__(self) -> None:
        expected = (len(self.names), self.grid.height, self.grid.width)
        if self.values.shape != expected:
            value = f"{self.values.shape}, expected {expected}"
            remedy = "Give one layer for each name, as high and wide as the grid."
            raise DataError("the values do not fit the grid and the names", value=value, remedy=remedy)

    def read(self, box: Box) -> Float32[np.ndarray, "c h w"]:
        """See :class:`Rasters`."""
        return _padded(box, self.grid, lambda inner: self.values[:, inner[0], inner[1]], len(self.names))


@dataclasses.dataclass(frozen=True)
class FileRasters:
    """Covariates in GeoTIFFs of one band, read piece by piece. Made by :func:`open_rasters`, which checks them.

    Attributes:
      grid: the pixels as they are read: those of the files, or of the system into which the files are brought.
      names, paths: of the covariates.
      nodata: what stands for no value in files that are written beside them.
      own_nodata: what stands for it in each file; None where neither the file nor the caller names a value.
      files_crs: system of the files.
    """

    grid: Grid
    names: tuple[str, ...]
    paths: tuple[Path, ...]
    nodata: float
    own_nodata: tuple[float | None, ...]
    files_crs: str

    def read(self, box: Box) -> Float32[np.ndarray, "c h w"]:
        """See :class:`Rasters`."""
        return _padded(box, self.grid, self._read_inside, len(self.names))

    def _read_inside(self, inner: tuple[slice, slice]) -> np.ndarray:
        from rasterio.windows import Window

        window, layers = Window.from_slices(*inner), []
        for path, nodata in zip(self.paths, self.own_nodata, strict=True):
            with opened(path, "a raster", "Check that the file is whole.") as file:
                if self.files_crs != self.grid.crs:
                    layers.append(self._warped(file, nodata, window))
                    continue
                values = file.read(1, window=window, masked=True)
                found = np.ma.filled(values.astype(np.float32), np.nan)
                # The file's own mask does not know a value that the caller names.
                known = nodata is None or nodata == file.nodata
                layers.append(found if known else np.where(found == np.float32(nodata), np.nan, found))
        return np.stack(layers)

    def _warped(self, file: Any, nodata: float | None, window: Any) -> np.ndarray:
        """A window in the other system, bilinear among the pixels that have a value."""
        from rasterio.enums import Resampling
        from rasterio.transform import Affine
        from rasterio.vrt import WarpedVRT

        # A band that says which pixels are filled: without it those beyond a file without nodata would read 0.
        mask = {"add_alpha": True} if nodata is None else {"src_nodata": nodata, "nodata": NODATA}
        options = {
            "crs": self.grid.crs, "transform": Affine(*self.grid.transform), "height": self.grid.height,
            "width": self.grid.width, "resampling": Resampling.bilinear, "dtype": "float32",
        }  # fmt: skip
        with WarpedVRT(file, **options, **mask) as warped:
            values = warped.read(1, window=window)
            missing = warped.read(2, window=window) <= 0.0 if nodata is None else values == np.float32(NODATA)
        return np.where(missing, np.nan, values).astype(np.float32)


@contextlib.contextmanager
def opened(path: Path, what: str, remedy: str) -> Iterator[Any]:
    """Yields the open raster file; what cannot be opened or read is a DataError with the file and ``remedy``."""
    import rasterio
    from rasterio.errors import RasterioIOError

    try:
        with rasterio.open(path) as file:
            yield file
    except RasterioIOError as error:
        raise DataError(f"{what} cannot be read: {error}", source=path, remedy=remedy) from None


def open_rasters(
    paths: Mapping[str, str | os.PathLike[str]],
    *,
    nodata: Mapping[str, float] | None = None,
    project: str = "",
    pixel: float = 0.0,
) -> FileRasters:
    """Opens GeoTIFFs of one band as covariates on one grid; reads no values yet.

    Args:
      paths: name of the covariate -> file.
      nodata: name of a covariate -> what stands for no value in its file, where the file does not say so.
      project: projected system into which pixels are brought; "" leaves them as they are.
      pixel: side of the pixels in that system in m; 0: about that of the files.

    Raises:
      DataError: a value for no value of a covariate that is not there, or of which the file names another.
      DataError: a file that is absent, no raster, of several bands or without projection; files whose projection,
        size, corner or pixel differ from those of the first. The message names the file.
    """
    if not paths:
        raise DataError("there are no rasters", remedy="Name one GeoTIFF for each covariate.")
    grids: list[tuple[Path, Grid, float | None]] = []
    for name, where in paths.items():
        path = Path(where)
        remedy = "Correct the path, or write the raster again as GeoTIFF."
        with opened(path, f"the raster of '{name}'", remedy) as file:
            if file.count != 1 or file.crs is None:
                wrong, value = ("several bands", file.count) if file.count != 1 else ("no projection", None)
                remedy = "Write one covariate to each file, with its coordinate reference system."
                raise DataError(f"the raster of '{name}' has {wrong}", source=path, value=value, remedy=remedy)
            grid = Grid(file.height, file.width, tuple(file.transform)[:6], crs_text(file.crs))
            grids.append((path, grid, file.nodata))
        _require_same(*grids[0][:2], path, grids[-1][1])
    own = _own_nodata(list(paths), grids, nodata or {})
    first = next((value for _, _, value in grids if value is not None and math.isfinite(value)), NODATA)
    grid = grids[0][1]
    if project:
        made = projected_grid(grid.height, grid.width, grid.transform, grid.crs, project, pixel)
        grid, first = Grid(*made, project), NODATA  # pyright: ignore[reportArgumentType]
    return FileRasters(grid, tuple(paths), tuple(path for path, _, _ in grids), first, own, grids[0][1].crs)


def _own_nodata(names: list[str], files: list[tuple[Path, Grid, float | None]], given: Mapping[str, float]) -> Any:
    """What stands for no value in each file, by the file or by the caller."""
    for name in given:
        if name not in names:
            raise DataError("no such raster", column="nodata", value=name, remedy=did_you_mean(name, names))
    found = []
    for name, (path, _, value) in zip(names, files, strict=True):
        told = given.get(name)
        if told is not None and value is not None and value != told:
            remedy = "Take the raster out of [nodata]: its file says what stands for no value."
            problem = "the file names another nodata value"
            raise DataError(problem, source=path, column=name, value=f"{value:g} against {told:g}", remedy=remedy)
        found.append(value if told is None else told)
    return tuple(found)


def crs_text(crs: object) -> str:
    """ "EPSG:32755" where the system has a code, its WKT else."""
    code = crs.to_epsg()  # pyright: ignore[reportAttributeAccessIssue]
    return f"EPSG:{code}" if code else crs.to_wkt()  # pyright: ignore[reportAttributeAccessIssue]


def _require_same(first: Path, grid: Grid, path: Path, other: Grid) -> None:
    # A corner may differ by rounding in the file, but by no visible part of a pixel.
    tolerance = 1e-3 * min(grid.pixel)
    if other.crs != grid.crs:
        what, value = "projection", f"{other.crs} against {grid.crs}"
    elif (other.height, other.width) != (grid.height, grid.width):
        what, value = "size", f"{other.height} x {other.width} against {grid.height} x {grid.width} pixels"
    elif max(abs(a - b) for a, b in zip(other.transform, grid.transform, strict=True)) > tolerance:
        what, value = "grid", f"{other.transform} against {grid.transform}"
    else:
        return
    remedy = "Resample all rasters to one grid first (gdalwarp -t_srs ... -te ... -tr ...)."
    raise DataError(f"the {what} differs from that of {first.name}", source=path, value=value, remedy=remedy)


def _padded(box: Box, grid: Grid, inside: Callable[[tuple[slice, slice]], np.ndarray], count: int) -> np.ndarray:
    """Reads the part of ``box`` that lies on the grid and puts NaN around it."""
    values = np.full((count, box.height, box.width), np.nan, np.float32)
    top, left = max(box.row, 0), max(box.col, 0)
    bottom, right = min(box.row + box.height, grid.height), min(box.col + box.width, grid.width)
    if top < bottom and left < right:
        part = inside((slice(top, bottom), slice(left, right)))
        values[:, top - box.row : bottom - box.row, left - box.col : right - box.col] = part
    return values


def fill_gaps(
    windows: Float32[np.ndarray, "n w v c"],
) -> tuple[Float32[np.ndarray, "n w v c"], Shaped[np.ndarray, " n"]]:
    """Fills what is missing in a window with the mean of what was measured in it, covariate by covariate.

    The central pixel is never made up: a window whose centre has no value stays without one.

    Args:
      windows: (n, w, w, c), NaN where there is no value.

    Returns:
      The windows, NaN only where a centre is, and (n,) the share of each window that was measured.
    """
    missing = np.isnan(windows)
    known = windows.shape[1] * windows.shape[2] - missing.sum(axis=(1, 2))
    mean = np.where(missing, 0.0, windows).sum(axis=(1, 2)) / np.maximum(known, 1)
    filled = np.where(missing, mean[:, None, None, :].astype(np.float32), windows)
    row, col = windows.shape[1] // 2, windows.shape[2] // 2
    filled[:, row, col, :] = windows[:, row, col, :]
    return filled, 1.0 - missing.mean(axis=(1, 2, 3))


def windows_around(
    rasters: Rasters, rows: Int64[np.ndarray, " n"], cols: Int64[np.ndarray, " n"], size: int
) -> Float32[np.ndarray, "n w v c"]:
    """Square windows around pixels.

    Args:
      rasters: covariates.
      rows, cols: (n,) central pixels.
      size: side in pixels, odd.

    Returns:
      (n, size, size, c), NaN where there is no value and beyond the border.
    """
    _require_odd(size)
    half = size // 2
    found = np.empty((rows.size, size, size, len(rasters.names)), np.float32)
    # Tile by tile: every file is opened once for all sites of a tile.
    for box in tile_boxes(rasters.grid, READ_TILE):
        within = (rows >= box.row) & (rows < box.row + box.height) & (cols >= box.col) & (cols < box.col + box.width)
        if not within.any():
            continue
        values = rasters.read(Box(box.row - half, box.col - half, box.height + 2 * half, box.width + 2 * half))
        for place in np.flatnonzero(within):
            row, col = rows[place] - box.row, cols[place] - box.col
            found[place] = np.moveaxis(values[:, row : row + size, col : col + size], 0, -1)
    return found


def tile_boxes(grid: Grid, size: int) -> list[Box]:
    """Square tiles of ``size`` pixels that cover the grid, row by row; those at the border are smaller."""
    return [
        Box(row, col, min(size, grid.height - row), min(size, grid.width - col))
        for row in range(0, grid.height, size)
        for col in range(0, grid.width, size)
    ]


def tile_windows(rasters: Rasters, box: Box, size: int) -> Float32[np.ndarray, "n w v c"]:
    """The window around every pixel of a tile, row by row: (box.height box.width, size, size, c).

    Only the tile and a margin of half a window are read.
    """
    _require_odd(size)
    half = size // 2
    values = rasters.read(Box(box.row - half, box.col - half, box.height + 2 * half, box.width + 2 * half))
    view = np.lib.stride_tricks.sliding_window_view(values, (size, size), axis=(1, 2))
    return np.ascontiguousarray(np.moveaxis(view, 0, -1)).reshape(-1, size, size, len(rasters.names))


def _require_odd(size: int) -> None:
    if size < 1 or size % 2 == 0:
        remedy = "Give an odd number of pixels, such as 9."
        raise DataError("a window needs a central pixel", column="window", value=size, remedy=remedy)
