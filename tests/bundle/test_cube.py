"""A map of an image is what its pixels give one by one; it is written in parts and says where it lies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_bundle import AXIS, small_bundle, soils

from jaxsoil.bundle import cube
from jaxsoil.bundle.predict import predict
from jaxsoil.data.rasters.geotiff import read_geotiff
from jaxsoil.runs.errors import DataError

ROWS, SAMPLES = 7, 5


def write_envi(folder: Path, values: np.ndarray, axis: np.ndarray = AXIS) -> Path:
    """A band-sequential image (rows, samples, bands) with a header that places it in UTM zone 33."""
    rows, samples, bands = values.shape
    np.moveaxis(values, 2, 0).astype("<f4").tofile(folder / "scene.img")
    header = f"""ENVI
samples = {samples}
lines = {rows}
bands = {bands}
header offset = 0
file type = ENVI Standard
data type = 4
interleave = bsq
byte order = 0
data ignore value = -1
map info = {{UTM, 1, 1, 500000, 5400000, 2, 2, 33, North, WGS-84}}
wavelength units = Nanometers
z plot titles = {{Wavelength, Reflectance}}
wavelength = {{{", ".join(f"{band:g}" for band in axis)}}}
"""
    (folder / "scene.hdr").write_text(header)
    return folder / "scene.hdr"


def test_pixels_are_predicted_in_place_and_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle, (spectra, _) = small_bundle(), soils(ROWS * SAMPLES, seed=3)
    values = spectra.values.reshape(ROWS, SAMPLES, -1).copy()
    values[2, 3] = -1.0  # no data
    values[4, 1, 6] = -0.1  # no absorbance
    monkeypatch.setattr(cube, "VALUES_AT_ONCE", 2 * SAMPLES * AXIS.size)
    counts = cube.predict_cube(bundle, write_envi(tmp_path, values), tmp_path / "map.tif")
    assert counts["pixels"] == 35 and counts["predicted"] == 33
    grid, bands, tags = read_geotiff(tmp_path / "map.tif")
    assert list(bands) == ["soc", "soc_low", "soc_high", cube.FLAGGED]
    expected = predict(bundle, spectra)
    soc = expected.set_index(expected["id"].astype(int))["value"].to_numpy().reshape(ROWS, SAMPLES)
    there = np.isfinite(bands["soc"])
    assert not there[2, 3] and not there[4, 1]
    np.testing.assert_allclose(bands["soc"][there], soc[there], rtol=1e-5)
    assert (bands["soc_low"][there] < bands["soc"][there]).all()
    assert grid.transform[:3] == (2.0, 0.0, 500000.0) and "33" in grid.crs
    assert tags["bundle"] == "small"


def test_an_axis_that_does_not_cover_the_models_leaves_no_file(tmp_path: Path) -> None:
    spectra, _ = soils(4)
    header = write_envi(tmp_path, spectra.values[:, 40:].reshape(2, 2, -1), AXIS[40:])
    with pytest.raises(DataError, match="beyond what was measured"):
        cube.predict_cube(small_bundle(), header, tmp_path / "map.tif")
    assert not list(tmp_path.glob("*.tif"))
