"""Rasters: grids against rasterio, windows and tiles against plain slices, refusals that name the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine, from_origin, rowcol

from jaxsoil.data.rasters import geotiff, rasters
from jaxsoil.data.rasters.rasters import Box, Grid, MemoryRasters
from jaxsoil.runs.errors import DataError

GRID = Grid(12, 15, (30.0, 0.0, 1000.0, 0.0, -30.0, 5000.0), "EPSG:32755")


def values(grid: Grid = GRID, covariates: int = 2) -> np.ndarray:
    count = covariates * grid.height * grid.width
    return np.arange(count, dtype=np.float32).reshape(covariates, grid.height, grid.width)


def write(path: Path, data: np.ndarray, **changes: object) -> Path:
    profile: dict[str, Any] = {
        "driver": "GTiff", "height": data.shape[-2], "width": data.shape[-1], "count": 1, "dtype": "float32",
        "crs": "EPSG:32755", "transform": from_origin(1000.0, 5000.0, 30.0, 30.0), "nodata": -1.0,
    } | changes  # fmt: skip
    with rasterio.open(path, "w", **profile) as file:
        for band in range(1, int(str(profile["count"])) + 1):
            file.write(data, band)
    return path


def test_points_fall_into_the_pixels_that_rasterio_names() -> None:
    rng = np.random.default_rng(0)
    rotated = (29.0, 5.0, 1000.0, 4.0, -31.0, 5000.0)
    for transform in (GRID.transform, rotated):
        grid = Grid(12, 15, transform, GRID.crs)
        east, north = rng.uniform(900.0, 1600.0, 50), rng.uniform(4500.0, 5100.0, 50)
        row, col, inside = grid.index(east, north)
        expected = rowcol(Affine(*transform), east, north)
        np.testing.assert_array_equal(row, expected[0])
        np.testing.assert_array_equal(col, expected[1])
        np.testing.assert_array_equal(inside, (row >= 0) & (row < 12) & (col >= 0) & (col < 15))


def test_centres_fall_into_their_pixels() -> None:
    row, col = np.divmod(np.arange(GRID.height * GRID.width), GRID.width)
    back_row, back_col, inside = GRID.index(*GRID.centre(row, col))
    assert inside.all() and (back_row == row).all() and (back_col == col).all()


def test_files_and_memory_read_the_same_with_nan_for_nodata_and_beyond_the_border(tmp_path: Path) -> None:
    data = values()
    data[0, 3, 4] = -1.0
    paths = {name: write(tmp_path / f"{name}.tif", layer) for name, layer in zip("ab", data, strict=True)}
    from_files = rasters.open_rasters(paths)
    assert (from_files.grid, from_files.nodata, from_files.names) == (GRID, -1.0, ("a", "b"))
    memory = MemoryRasters(GRID, ("a", "b"), np.where(data == -1.0, np.nan, data).astype(np.float32))
    for box in (Box(0, 0, 12, 15), Box(2, 3, 4, 4), Box(-2, -3, 5, 6), Box(10, 12, 6, 6), Box(20, 20, 2, 2)):
        np.testing.assert_array_equal(from_files.read(box), memory.read(box))
    assert np.isnan(from_files.read(Box(-1, 0, 2, 2))[:, 0]).all()
    assert np.isnan(from_files.read(Box(3, 4, 1, 1))[0, 0, 0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crs": "EPSG:32756"}, "projection differs"),
        ({"transform": from_origin(1015.0, 5000.0, 30.0, 30.0)}, "grid differs"),
        ({"transform": from_origin(1000.0, 5000.0, 25.0, 30.0)}, "grid differs"),
        ({"count": 2}, "several bands"),
        ({"crs": None}, "no projection"),
    ],
)
def test_a_raster_that_does_not_fit_is_named(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    first = write(tmp_path / "good.tif", values()[0])
    second = write(tmp_path / "other.tif", values()[1], **changes)
    with pytest.raises(DataError, match=message) as refused:
        rasters.open_rasters({"good": first, "other": second})
    assert "other.tif" in str(refused.value)


def test_sizes_that_differ_and_files_that_are_none_are_refused(tmp_path: Path) -> None:
    first = write(tmp_path / "good.tif", values()[0])
    small = write(tmp_path / "small.tif", values()[0, :5])
    with pytest.raises(DataError, match=r"small.tif.*size differs"):
        rasters.open_rasters({"good": first, "small": small})
    (tmp_path / "text.tif").write_text("no raster")
    for name in ("text.tif", "absent.tif"):
        with pytest.raises(DataError, match=name):
            rasters.open_rasters({"x": tmp_path / name})
    with pytest.raises(DataError, match="no rasters"):
        rasters.open_rasters({})


def test_a_raster_without_nodata_is_measured_everywhere_unless_the_caller_names_a_value(tmp_path: Path) -> None:
    data = values()[0]
    path = write(tmp_path / "a.tif", data, nodata=None)
    silent, told = rasters.open_rasters({"a": path}), rasters.open_rasters({"a": path}, nodata={"a": 0.0})
    assert silent.own_nodata == (None,) and told.own_nodata == (0.0,)
    whole = Box(0, 0, 12, 15)
    np.testing.assert_array_equal(silent.read(whole)[0], data)
    np.testing.assert_array_equal(told.read(whole)[0], np.where(data == 0.0, np.nan, data))
    with pytest.raises(DataError, match=r"no such raster.*Did you mean 'a'"):
        rasters.open_rasters({"a": path}, nodata={"aa": 0.0})
    other = write(tmp_path / "b.tif", data)
    with pytest.raises(DataError, match=r"b\.tif.*names another nodata value.*-1 against 0"):
        rasters.open_rasters({"b": other}, nodata={"b": 0.0})


@pytest.mark.parametrize("nodata", [None, -1.0])
def test_rasters_in_degrees_are_brought_into_metres(tmp_path: Path, nodata: float | None) -> None:
    """A plane in degrees, in a place where its values can be computed from the coordinates of each pixel."""
    from rasterio.warp import transform as to_other

    rows, cols = np.mgrid[:40, :50]
    plane = (100.0 + 2.0 * cols + 3.0 * rows).astype(np.float32)
    degrees = {"crs": "EPSG:4326", "transform": from_origin(21.0, 42.0, 0.01, 0.01), "nodata": nodata}
    path = write(tmp_path / "plane.tif", plane, **degrees)
    land = rasters.open_rasters({"plane": path}, project="EPSG:32634", pixel=900.0)
    assert land.grid.crs == "EPSG:32634" and land.grid.pixel == (900.0, 900.0) and land.files_crs == "EPSG:4326"
    found = land.read(Box(0, 0, land.grid.height, land.grid.width))[0]
    row, col = np.mgrid[: land.grid.height, : land.grid.width]
    east, north = land.grid.centre(row.ravel(), col.ravel())
    lon, lat = (np.asarray(one).reshape(found.shape) for one in to_other("EPSG:32634", "EPSG:4326", east, north))
    x, y = (lon - 21.0) / 0.01 - 0.5, (42.0 - lat) / 0.01 - 0.5
    beyond = (x < -0.6) | (x > 49.6) | (y < -0.6) | (y > 39.6)
    inside = (x > 1) & (x < 48) & (y > 1) & (y < 38)
    assert beyond.any() and np.isnan(found[beyond]).all()
    # GDAL places pixels to an eighth of a pixel, across which the plane changes by 5 / 8 at most.
    np.testing.assert_allclose(found[inside], (100.0 + 2.0 * x + 3.0 * y)[inside], atol=5.0 / 8.0)
    part = land.read(Box(7, 9, 5, 6))[0]
    np.testing.assert_array_equal(part, found[7:12, 9:15])
    for project, pixel, message in (("EPSG:4326", 0.0, "not projected"), ("UTM", 0.0, "not known"),
                                    ("EPSG:32634", -1.0, "pixels have a side")):  # fmt: skip
        with pytest.raises(DataError, match=message):
            rasters.open_rasters({"plane": path}, project=project, pixel=pixel)


def test_windows_are_slices_around_their_pixel() -> None:
    memory = MemoryRasters(GRID, ("a", "b"), values())
    rows, cols = np.array([4, 0, 11]), np.array([7, 0, 14])
    windows = rasters.windows_around(memory, rows, cols, 5)
    np.testing.assert_array_equal(windows[0], np.moveaxis(values()[:, 2:7, 5:10], 0, -1))
    padded = np.pad(values(), ((0, 0), (2, 2), (2, 2)), constant_values=np.nan)
    for place, (row, col) in enumerate(zip(rows, cols, strict=True)):
        np.testing.assert_array_equal(windows[place], np.moveaxis(padded[:, row : row + 5, col : col + 5], 0, -1))


def test_tiles_cover_the_grid_once_with_the_windows_of_their_pixels() -> None:
    memory = MemoryRasters(GRID, ("a", "b"), values())
    count = np.zeros((GRID.height, GRID.width), int)
    for box in rasters.tile_boxes(GRID, 7):
        count[box.row : box.row + box.height, box.col : box.col + box.width] += 1
        row, col = (part.ravel() for part in np.mgrid[: box.height, : box.width])
        expected = rasters.windows_around(memory, row + box.row, col + box.col, 3)
        np.testing.assert_array_equal(rasters.tile_windows(memory, box, 3), expected)
    assert (count == 1).all()


def test_windows_cross_the_tiles_in_which_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = MemoryRasters(GRID, ("a", "b"), values())
    rows, cols = (part.ravel() for part in np.mgrid[:12, :15])
    whole = rasters.windows_around(memory, rows, cols, 5)
    monkeypatch.setattr(rasters, "READ_TILE", 4)
    np.testing.assert_array_equal(rasters.windows_around(memory, rows, cols, 5), whole)


def test_an_even_window_has_no_centre() -> None:
    with pytest.raises(DataError, match="central pixel"):
        rasters.windows_around(MemoryRasters(GRID, ("a", "b"), values()), np.array([1]), np.array([1]), 4)


def test_gaps_take_the_mean_of_their_window_and_a_centre_is_never_made_up() -> None:
    windows = np.arange(18, dtype=np.float32).reshape(2, 3, 3, 1)
    windows[0, 0, 0] = windows[1, 1, 1] = np.nan
    filled, share = rasters.fill_gaps(windows)
    assert filled[0, 0, 0, 0] == np.arange(1, 9).mean() and np.isnan(filled[1, 1, 1, 0])
    assert np.isfinite(np.delete(filled.ravel(), 13)).all()
    np.testing.assert_allclose(share, 8 / 9)


def test_values_that_do_not_fit_the_grid_are_refused() -> None:
    with pytest.raises(DataError, match="do not fit"):
        MemoryRasters(GRID, ("a",), values())


def test_a_geotiff_keeps_grid_bands_units_and_nodata(tmp_path: Path) -> None:
    data = np.arange(360, dtype=np.float64).reshape(2, 12, 15)
    data[1, 2, 3] = np.nan
    path = tmp_path / "maps" / "map.tif"
    with geotiff.new_geotiff(path, GRID, {"mean": "%", "sd": "%"}, -9.0, {"LAYER": "0-5 cm"}) as put:
        for box in rasters.tile_boxes(GRID, 8):
            put(box, data[:, box.row : box.row + box.height, box.col : box.col + box.width])
        assert not path.exists()
    with rasterio.open(path) as file:
        assert file.descriptions == ("mean", "sd") and file.nodata == -9.0 and file.tags(2)["UNITS"] == "%"
        assert file.read(2)[2, 3] == -9.0 and file.crs.to_epsg() == 32755
    grid, bands, tags = geotiff.read_geotiff(path)
    assert grid == GRID and tags["LAYER"] == "0-5 cm"
    np.testing.assert_array_equal(bands["sd"], data[1])


def test_an_infinite_value_is_never_mapped_and_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "map.tif"
    bad = np.full((1, 12, 15), np.inf)
    with (
        pytest.raises(DataError, match="infinite"),
        geotiff.new_geotiff(path, GRID, {"mean": "%"}, -9.0, {}) as put,
    ):
        put(Box(0, 0, 12, 15), bad)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DataError, match="cannot be read"):
        geotiff.read_geotiff(path)
