"""Landscapes by name: files described by TOML, measured Edgeroi."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jaxsoil.data.rasters import landscape
from jaxsoil.data.rasters.geotiff import write_rasters
from jaxsoil.data.rasters.rasters import Box, MemoryRasters
from jaxsoil.data.twin.landscape.config import LandscapeConfig
from jaxsoil.data.twin.landscape.make import make_landscape
from jaxsoil.runs.errors import DataError

SMALL = LandscapeConfig(height=50, width=60, sites=80)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A landscape of one's own: two rasters, a table with two layers, and the TOML file that names them."""
    twin = make_landscape(SMALL)
    land = MemoryRasters(twin.rasters.grid, ("height", "wet"), twin.rasters.values[:2])
    write_rasters(land, tmp_path)
    columns = {"site": twin.sites.ids, "x": twin.sites.east, "y": twin.sites.north}
    pd.DataFrame(columns | {"top": twin.sites.values[:, 0], "sub": twin.sites.values[:, 4]}).to_csv(
        tmp_path / "sites.csv", index=False
    )
    (tmp_path / "mine.toml").write_text(
        'data = "sites.csv"\nid = "site"\neast = "x"\nnorth = "y"\nquantity = "SOC"\nunit = "%"\n'
        '[rasters]\nheight = "height.tif"\nwet = "wet.tif"\n'
        '[[layers]]\ncolumn = "top"\ntop = 0\nbottom = 10\n[[layers]]\ncolumn = "sub"\ntop = 10\nbottom = 30\n'
    )
    return tmp_path / "mine.toml"


def test_ones_own_landscape_reads_back(own: Path) -> None:
    land, twin = landscape.load(str(own)), make_landscape(SMALL)
    assert land.rasters.grid == twin.rasters.grid and land.rasters.names == ("height", "wet")
    assert [layer.name for layer in land.sites.layers] == ["0-10 cm", "10-30 cm"]
    np.testing.assert_allclose(land.sites.values, twin.sites.values[:, [0, 4]])
    assert land.truth is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"sub"', '"sib"', "Did you mean 'sub'"),
        ('unit = "%"', 'units = "%"', "Did you mean 'unit'"),
        ('unit = "%"\n', "", "key is missing.*unit"),
        ('wet = "wet.tif"', 'wet = "wat.tif"', "wat.tif"),
        ("bottom = 30", "bottom = 5", "must reach down"),
        ("bottom = 30", "", "layers.bottom: a key is missing.*a number"),
        ('"sites.csv"', '"profiles.csv"', "profiles.csv"),
        ("[rasters]", "[rasters", "not a TOML file"),
        ('height = "height.tif"\nwet = "wet.tif"\n', "", "needs rasters and layers.*0 rasters, 2 layers"),
        ("top = 0", 'top = "0"', "layers.top: .*wrong type.*Give a number"),
    ],
)
def test_what_is_wrong_in_a_description_is_named(own: Path, old: str, new: str, message: str) -> None:
    text = own.read_text()
    assert old in text
    own.write_text(text.replace(old, new))
    with pytest.raises(DataError, match=message):
        landscape.load(str(own))


def test_a_raster_that_is_cut_off_is_named_when_it_is_read(own: Path) -> None:
    path = own.parent / "wet.tif"
    land = landscape.load(str(own))
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(DataError, match=r"wet\.tif: a raster cannot be read"):
        land.rasters.read(Box(0, 0, land.rasters.grid.height, land.rasters.grid.width))
    for content in (b"", b"\0" * 64):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"wet\.tif: the raster of 'wet' cannot be read"):
            landscape.load(str(own))


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(DataError, match="Did you mean 'edgeroi'"):
        landscape.load("edgeroy")
    assert landscape.names() == ("landscape_twin", "edgeroi", "macedonia")


def test_layers_can_be_made_of_horizons(own: Path) -> None:
    """Two horizons that are the two layers give the table's own values back."""
    table = pd.read_csv(own.parent / "sites.csv")
    parts = [
        table[["site"]].assign(a=a, b=b, om=1.724 * table[name]) for name, a, b in (("top", 0, 10), ("sub", 10, 30))
    ]
    pd.concat(parts).to_csv(own.parent / "h.csv", index=False)
    before = landscape.load(str(own))
    text = own.read_text().replace('column = "top"\n', "").replace('column = "sub"\n', "cover = 0.9\n")
    horizons = '[horizons]\ndata = "h.csv"\nid = "site"\ntop = "a"\nbottom = "b"\nvalue = "om"\nfactor = "1/1.724"\n'
    own.write_text(text + horizons)
    found = landscape.load(str(own))
    kept = np.isfinite(before.sites.values).any(axis=1)
    np.testing.assert_allclose(found.sites.values, before.sites.values[kept])
    assert any("0-10 cm 50 %, 10-30 cm 90 %" in note and "1.724" in note for note in found.notes)
    assert any("0-10 cm 70 %, 10-30 cm 70 %" in note for note in landscape.load(str(own), cover=0.7).notes)
    with pytest.raises(DataError, match="share of it"):
        landscape.load(str(own), cover=1.5)
    own.write_text(text)
    with pytest.raises(DataError, match=r"a layer has no column"):
        landscape.load(str(own))


def test_layers_that_are_columns_have_no_cover(own: Path) -> None:
    for name in (str(own), "landscape_twin"):
        with pytest.raises(DataError, match="not made of horizons"):
            landscape.load(name, SMALL, cover=0.5)


def test_rasters_in_degrees_need_a_projection(own: Path) -> None:
    import rasterio
    from rasterio.transform import from_origin

    for name in ("height", "wet"):
        with rasterio.open(own.parent / f"{name}.tif", "r+") as file:
            file.crs, file.transform = "EPSG:4326", from_origin(21.0, 42.0, 0.01, 0.01)
    with pytest.raises(DataError, match=r"in degrees.*project = "):
        landscape.load(str(own))


def test_macedonia_is_what_its_description_says(data_root: Path) -> None:
    land = landscape.load("macedonia")
    assert land.rasters.grid.crs == "EPSG:32634" and len(land.rasters.names) == 25 and land.sites.unit == "%"
    counts = np.isfinite(land.sites.values).sum(axis=0)
    assert counts.tolist() == [1545, 1563, 1370, 1064, 684, 120]
    notes = " ".join(land.notes)
    for part in ("no thickness: P0494, row 3083", "16 horizons left out, each repeats", "All horizons of 7 sites"):
        assert part in notes
    # By hand: 0-18 cm of 3.0 % organic matter covers the upper layer whole.
    first = land.sites.values[land.sites.ids == "P0863", 0]
    np.testing.assert_allclose(first, 3.0 / 1.724)


def test_edgeroi_is_what_its_description_says(data_root: Path) -> None:
    land = landscape.load("edgeroi")
    assert np.isfinite(land.sites.values).sum(axis=0).tolist() == [341, 341, 341, 341, 339, 320]
    assert (land.rasters.grid.height, land.rasters.grid.width, land.rasters.grid.crs) == (400, 577, "EPSG:32755")
    assert land.sites.unit == "kg m-3" and len(land.rasters.names) == 5
    # The table brings the covariates at the sites, read by its authors: ours must be the same pixels.
    table = pd.read_parquet(data_root / "edgeroi" / "edgeroi_spline_with_covariates.parquet")
    from jaxsoil.data.rasters.rasters import windows_around

    row, col, inside = land.rasters.grid.index(land.sites.east, land.sites.north)
    assert inside.all()
    ours = windows_around(land.rasters, row, col, 1)[:, 0, 0, :]
    close = [np.isclose(ours[:, place], table[name], rtol=1e-4) for place, name in enumerate(land.rasters.names)]
    assert np.mean(close) > 0.99
