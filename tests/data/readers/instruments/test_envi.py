"""ENVI images: written by GDAL (rasterio) or built, read in tiles, against GDAL's own reading."""

import numpy as np
import pytest

from jaxsoil.data.readers import instruments
from jaxsoil.data.readers.instruments import envi as reader
from jaxsoil.runs.errors import DataError
from tools.instrument_files import NM, envi, spectrum

CUBE = spectrum(np.random.default_rng(0), NM, 20).reshape(4, 5, NM.size).astype(np.float32)


def write(tmp_path, files):
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path / "scene.hdr"


@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
def test_tiles_agree_with_gdal(tmp_path, interleave):
    rasterio = pytest.importorskip("rasterio")
    settings = {"driver": "ENVI", "interleave": interleave, "width": 5, "height": 4, "count": NM.size}
    with (
        pytest.warns(rasterio.errors.NotGeoreferencedWarning),
        rasterio.open(tmp_path / "scene.img", "w", dtype="float32", **settings) as file,
    ):
        file.write(CUBE.transpose(2, 0, 1))
    with open(tmp_path / "scene.hdr", "a") as header:
        header.write(f"\nwavelength units = nm\nwavelength = {{{', '.join(map(str, NM))}}}\n")
    image = reader.open(tmp_path / "scene.hdr", quantity="reflectance")
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning), rasterio.open(tmp_path / "scene.img") as file:
        theirs = file.read().transpose(1, 2, 0)
    np.testing.assert_array_equal(image.tile(slice(1, 3)), theirs[1:3])
    np.testing.assert_array_equal(image.tile([0, 3]), CUBE[[0, 3]])
    assert (image.shape, image.unit, image.quantity) == ((4, 5, NM.size), "nm", "reflectance")
    np.testing.assert_array_equal(image.axis, NM)


@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
def test_scaled_image_with_bad_bands_and_no_data(tmp_path, interleave):
    stored = np.round(10_000.0 * CUBE).astype("<i2")
    stored[2, 1] = -9999
    bad = ", ".join("0" if band in (0, 7) else "1" for band in range(NM.size))
    extra = f"reflectance scale factor = 10000\ndata ignore value = -9999\nbbl = {{{bad}}}\n"
    path = write(tmp_path, envi(stored, NM, interleave=interleave, extra=extra))
    image = reader.open(path)
    good = np.delete(np.arange(NM.size), [0, 7])
    tile = image.tile(slice(2, 4))
    assert np.isnan(tile[0, 1]).all()
    np.testing.assert_allclose(tile[1], CUBE[3][:, good], atol=1e-4)
    np.testing.assert_array_equal(image.axis, NM[good])
    assert image.nodata == -9999.0
    reading = instruments.read(path)
    assert len(reading.spectra) == 19
    assert reading.ids[:2] == ("scene:0,0", "scene:0,1")
    assert "scene:2,1" not in reading.ids
    assert reading.refused == (instruments.Refusal("pixels", "1 without data"),)


def test_descending_axis_and_micrometres(tmp_path):
    path = write(tmp_path, envi(CUBE, NM[::-1] / 1000.0, unit="Micrometers"))
    image = reader.open(tmp_path / "scene.img")
    np.testing.assert_allclose(image.axis, NM)
    np.testing.assert_array_equal(image.tile(slice(0, 1))[0], CUBE[0][:, ::-1])
    assert image.path == path


def test_spectral_library(tmp_path):
    files = envi(CUBE[:, :1], NM, interleave="bip")
    header = files["scene.hdr"].decode().replace("ENVI Standard", "ENVI Spectral Library")
    header = header.replace(f"bands = {NM.size}", "bands = 1").replace("samples = 1", f"samples = {NM.size}")
    header = header.replace("interleave = bip", "interleave = bsq") + "spectra names = {a, b, c, d}\n"
    (tmp_path / "scene.hdr").write_text(header)
    (tmp_path / "scene.sli").write_bytes(files["scene.img"])
    reading = instruments.read(tmp_path / "scene.sli")
    assert reading.ids == ("a", "b", "c", "d")
    np.testing.assert_array_equal(reading.spectra.values, CUBE[:, 0])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"lines = 4", b"lines = 99999999", "shorter than its header says"),
        (b"lines = 4", b"lines = many", "does not give 'lines' as a whole number"),
        (b"data type = 4", b"data type = 6", "no image of spectra"),
        (b"interleave = bil", b"interleave = bxl", "no image of spectra"),
        (b"ENVI\n", b"ENVY\n", "not what its extension says|does not begin with ENVI"),
        (b"1000, 1010", b"1000", "does not give the bands"),
        (b"Nanometers", b"Index", "does not say its unit"),
        (b"1000, 1010", b"1000, 3000", "the axis is not sorted"),
        (b"wavelength = {\n 1000", b"wavelength = {\n abc", r"scene\.hdr: "),
    ],
)
def test_damaged_header_is_refused(tmp_path, old, new, message):
    files = envi(CUBE, NM)
    assert old in files["scene.hdr"]
    path = write(tmp_path, {**files, "scene.hdr": files["scene.hdr"].replace(old, new)})
    with pytest.raises(DataError, match=message):
        instruments.read(path)


def test_files_that_lack_each_other_are_refused(tmp_path):
    path = write(tmp_path, envi(CUBE, NM))
    (tmp_path / "scene.img").rename(tmp_path / "other.img")
    with pytest.raises(DataError, match="the image of the header is absent"):
        reader.open(path)
    with pytest.raises(DataError, match="no header lies beside the image"):
        reader.open(tmp_path / "other.img")


def test_large_image_is_not_read_at_once(tmp_path):
    files = envi(CUBE[:1, :1], NM)
    path = write(tmp_path, {**files, "scene.hdr": files["scene.hdr"].replace(b"lines = 1", b"lines = 600000")})
    with open(tmp_path / "scene.img", "r+b") as file:
        file.truncate(600_000 * 4 * NM.size)
    with pytest.raises(DataError, match="too large to be read at once"):
        instruments.read(path)
    assert reader.open(path).tile(slice(0, 2)).shape == (2, 1, NM.size)
