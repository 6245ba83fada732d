"""Sites: what is refused, what is left out and named, and how sites meet rasters."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import pytest

from jaxsoil.data.rasters.rasters import Grid, MemoryRasters
from jaxsoil.data.rasters.sites import Layer, Sites, check_sites, join_sites
from jaxsoil.runs.errors import DataError

GRID = Grid(10, 10, (10.0, 0.0, 0.0, 0.0, -10.0, 100.0), "EPSG:32755")
LAYERS = (Layer(0, 5), Layer(5, 15), Layer(15, 30))


def sites(n: int = 6) -> Sites:
    ids = np.array([f"p{number}" for number in range(n)])
    at = 5.0 + 10.0 * np.arange(n)
    return Sites(ids, at, 100.0 - at, LAYERS, np.arange(3.0 * n).reshape(n, 3), "carbon", "%")


def rasters() -> MemoryRasters:
    data = np.arange(200, dtype=np.float32).reshape(2, 10, 10)
    return MemoryRasters(GRID, ("a", "b"), data)


def changed(place: Any, value: float) -> Sites:
    table = sites().values.copy()
    table[place] = value
    return dataclasses.replace(sites(), values=table)


def test_names_of_layers() -> None:
    assert (Layer(0, 5).name, Layer(0, 5).key) == ("0-5 cm", "000_005cm")


def test_a_layer_with_too_few_sites_is_left_out_and_named() -> None:
    kept, notes = check_sites(changed((slice(0, 4), 2), np.nan), "here", fewest=3)
    assert kept.layers == LAYERS[:2] and kept.values.shape == (6, 2)
    assert notes == ["Layer 15-30 cm is left out: 2 sites, fewer than 3 (--min-sites)."]
    with pytest.raises(DataError, match="no layer has enough sites"):
        check_sites(sites(), "here", fewest=7)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (changed((slice(None), 1), np.nan), r"column 5-15 cm: nothing was measured"),
        (changed((2, 0), -1.0), "-1 at site p2"),
        (changed((2, 0), np.inf), "inf at site p2"),
        (dataclasses.replace(sites(), ids=np.array(["x"] * 6)), "stands there twice"),
        (dataclasses.replace(sites(), east=np.full(6, np.nan)), "p0"),
        (dataclasses.replace(sites(), layers=(LAYERS[0], Layer(3, 15), LAYERS[2])), "0-5 cm, then 3-15 cm"),
        (dataclasses.replace(sites(), layers=(LAYERS[2], LAYERS[1], LAYERS[0])), "out of order"),
    ],
)
def test_what_was_measured_is_checked(wrong: Sites, message: str) -> None:
    with pytest.raises(DataError, match=message) as refused:
        check_sites(wrong, "table.csv", fewest=2)
    assert "table.csv" in str(refused.value)


def test_sites_outside_and_on_nodata_are_left_out_and_named() -> None:
    some = sites()
    some = dataclasses.replace(some, east=np.where(some.ids == "p1", -50.0, some.east))
    land = rasters()
    land.values[1, 3, 3] = np.nan
    kept, row, col, windows, notes = join_sites(some, land, "here", 3)
    assert kept.ids.tolist() == ["p0", "p2", "p4", "p5"]
    assert row.tolist() == col.tolist() == [0, 2, 4, 5]
    assert windows.shape == (4, 3, 3, 2) and windows[1, 1, 1].tolist() == [22.0, 122.0]
    assert re.search("1 site left out, outside the rasters: p1", notes[0])
    assert re.search(r"1 site left out, on a pixel .*nodata.*: p3", notes[1])


def test_sites_that_share_a_pixel_are_counted() -> None:
    some = dataclasses.replace(sites(), east=np.full(6, 5.0), north=np.array([95.0] * 5 + [85.0]))
    assert join_sites(some, rasters(), "here", 3)[4] == [
        "4 sites share their pixel with another, and so have the same covariates."
    ]


def test_sites_of_another_projection_or_without_covariates_are_refused() -> None:
    degrees = dataclasses.replace(sites(), east=np.full(6, 149.9), north=np.full(6, -30.1))
    with pytest.raises(DataError, match=r"no site lies on the rasters.*150, -30"):
        join_sites(degrees, rasters(), "here", 3)
    land = rasters()
    land.values[0] = np.nan
    with pytest.raises(DataError, match="pixel without value"):
        join_sites(sites(), land, "here", 3)
