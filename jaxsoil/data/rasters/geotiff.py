"""GeoTIFFs of several bands: written tile by tile, whole or not at all, and read back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from jaxsoil.data.rasters.rasters import Box, Grid, Rasters, crs_text, opened
from jaxsoil.runs.errors import DataError
from jaxsoil.runs.files import atomic_path


@contextlib.contextmanager
def new_geotiff(
    path: Path, grid: Grid, bands: Mapping[str, str], nodata: float, tags: Mapping[str, str]
) -> Iterator[Callable[[Box, Shaped[np.ndarray, "b h w"]], None]]:
    """Yields what writes a tile: a function of its box and (bands, box.height, box.width) values, NaN for nodata.

    The file appears under its name when the block succeeds, whole or not at all.

    Args:
      path: the GeoTIFF.
      grid: where its pixels lie.
      bands: name -> unit of each; they become the band's description and its tag UNITS.
      nodata: what stands for no value.
      tags: of the whole file.

    Raises:
      DataError: a value that is infinite: it would look like a measurement.
    """
    import rasterio
    from rasterio.transform import Affine
    from rasterio.windows import Window

    with atomic_path(path) as temporary:
        profile = {
            "driver": "GTiff", "height": grid.height, "width": grid.width, "count": len(bands), "dtype": "float32",
            "crs": grid.crs or None, "transform": Affine(*grid.transform), "nodata": nodata, "compress": "deflate",
            "predictor": 3, "interleave": "band",
        }  # fmt: skip
        with rasterio.open(temporary, "w", **profile) as file:
            file.update_tags(**tags)
            for number, (name, unit) in enumerate(bands.items(), start=1):
                file.set_band_description(number, name)
                file.update_tags(number, UNITS=unit)

            def write(box: Box, values: np.ndarray) -> None:
                if np.isinf(values).any():
                    value = f"tile at row {box.row}, column {box.col}"
                    remedy = "The model diverged: lower its learning rate and run again."
                    raise DataError("a predicted map holds an infinite value", value=value, remedy=remedy)
                filled = np.where(np.isnan(values), nodata, values).astype(np.float32)
                window = Window(box.col, box.row, box.width, box.height)  # pyright: ignore[reportCallIssue]
                file.write(filled, window=window)

            yield write


def write_rasters(rasters: Rasters, folder: Path) -> dict[str, Path]:
    """Writes each covariate as ``folder/NAME.tif``; returns the files by name."""
    everything = Box(0, 0, rasters.grid.height, rasters.grid.width)
    paths = {name: folder / f"{name}.tif" for name in rasters.names}
    for (name, path), values in zip(paths.items(), rasters.read(everything), strict=True):
        with new_geotiff(path, rasters.grid, {name: ""}, rasters.nodata, {}) as write:
            write(everything, values[None])
    return paths


def read_geotiff(path: Path) -> tuple[Grid, dict[str, np.ndarray], dict[str, str]]:
    """Grid, (height, width) bands by their descriptions (NaN for nodata) and tags of a GeoTIFF.

    Raises:
      DataError: a file that is absent or no raster.
    """
    with opened(path, "this raster", "Run again with --resume to write it.") as file:
        grid = Grid(file.height, file.width, tuple(file.transform)[:6], crs_text(file.crs))
        values = np.ma.filled(file.read(masked=True).astype(np.float64), np.nan)
        return grid, dict(zip(file.descriptions, values, strict=True)), file.tags()
