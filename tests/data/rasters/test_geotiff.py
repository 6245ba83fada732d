"""GeoTIFFs keep what they are given, read back by rasterio, and leave nothing when they fail."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from jaxsoil.data.rasters.rasters import Box, Grid, new_geotiff, read_geotiff, tile_boxes
from jaxsoil.runs.errors import DataError

GRID = Grid(12, 15, (30.0, 0.0, 1000.0, 0.0, -30.0, 5000.0), "EPSG:32755")


def test_a_geotiff_keeps_grid_bands_units_and_nodata(tmp_path: Path) -> None:
    data = np.arange(360, dtype=np.float64).reshape(2, 12, 15)
    data[1, 2, 3] = np.nan
    path = tmp_path / "maps" / "map.tif"
    with new_geotiff(path, GRID, {"mean": "%", "sd": "%"}, -9.0, {"LAYER": "0-5 cm"}) as write:
        for box in tile_boxes(GRID, 8):
            write(box, data[:, box.row : box.row + box.height, box.col : box.col + box.width])
        assert not path.exists()
    with rasterio.open(path) as file:
        assert file.descriptions == ("mean", "sd") and file.nodata == -9.0 and file.tags(2)["UNITS"] == "%"
        assert file.read(2)[2, 3] == -9.0 and file.crs.to_epsg() == 32755
    grid, bands, tags = read_geotiff(path)
    assert grid == GRID and tags["LAYER"] == "0-5 cm"
    np.testing.assert_array_equal(bands["sd"], data[1])


def test_an_infinite_value_is_never_mapped_and_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "map.tif"
    bad = np.full((1, 12, 15), np.inf)
    with (
        pytest.raises(DataError, match="infinite"),
        new_geotiff(path, GRID, {"mean": "%"}, -9.0, {}) as write,
    ):
        write(Box(0, 0, 12, 15), bad)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DataError, match="cannot be read"):
        read_geotiff(path)
