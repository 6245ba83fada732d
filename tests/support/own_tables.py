"""Tables of one's own for the manifests of docs/own_data.md: made-up soils in the layouts that the page describes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from jaxsoil.data.rasters.geotiff import write_rasters
from jaxsoil.data.rasters.rasters import MemoryRasters
from jaxsoil.data.twin.landscape.config import LandscapeConfig
from jaxsoil.data.twin.landscape.make import make_landscape
from tools.instrument_files import r_file

ROOT = Path(__file__).resolve().parents[2]
DOCS = (ROOT / "docs" / "own_data.md").read_text("utf-8")
LANDSCAPE = LandscapeConfig(height=50, width=60, sites=80)
MID, NEAR = np.arange(700.0, 3750.0, 25.0), np.arange(1400.0, 2600.0, 10.0)


def manifest(name: str) -> str:
    """The manifest of the page whose first line is a comment with its name."""
    return next(text for text in re.findall(r"```toml\n(.*?)```", DOCS, re.DOTALL) if text.startswith(f"# {name}\n"))


def mid(level: np.ndarray, axis: np.ndarray = MID) -> np.ndarray:
    """Mid-infrared absorbance: the O-H band, and one that grows with the level (n,)."""
    return 0.8 + np.exp(-(((axis - 3400) / 300) ** 2)) + level[:, None] * np.exp(-(((axis - 1000) / 200) ** 2))


def near(level: np.ndarray, axis: np.ndarray = NEAR) -> np.ndarray:
    """Near-infrared absorbance: the water band, which grows with the level (n,)."""
    return 0.5 + (0.2 + level[:, None]) * np.exp(-(((axis - 1930) / 60) ** 2))


def columns(values: np.ndarray, axis: np.ndarray, before: str = "") -> pd.DataFrame:
    """Spectra as a table; a little noise makes every row its own."""
    noise = np.random.default_rng(len(values)).normal(0.0, 0.002, values.shape)
    return pd.DataFrame(values + noise, columns=[f"{before}{band:g}" for band in axis])


def write_soils(folder: Path) -> Path:
    """A table whose labels lie apart, in an R file and a CSV file."""
    axis = np.arange(400, 2401, 10)
    shape = (1 - 0.8 * np.exp(-(axis - 350) / 300)) * (1 - 0.2 * np.exp(-0.5 * ((axis - 1930) / 30) ** 2))
    names = [f"S{row:03d}" for row in range(240)]
    frame = {"lab_no": names, "spc": ([str(band) for band in axis], np.linspace(0.2, 0.5, 240)[:, None] * shape)}
    (folder / "soils.rds").write_bytes(r_file(frame))
    labels = pd.DataFrame({"sample": names[::-1], "SOM": np.linspace(3.448, 1.724, 240), "farm": ["a", "b"] * 120})
    labels.iloc[1:].to_csv(folder / "labels.csv", index=False)  # one soil has no labels, and so no farm
    text = manifest("soils.toml") + '\n[[exclude]]\ncolumn = "farm"\nmissing = true\nreason = "farm not known"\n'
    return _written(folder / "soils.toml", text)


def write_laboratories(folder: Path) -> Path:
    """Two laboratories with tables of their own."""
    level = np.random.default_rng(0).uniform(0.0, 1.0, 100)
    north, down = columns(mid(level[:50]), MID), MID[::-1]
    north.assign(sample=[f"n{row}" for row in range(50)], OC=30 * level[:50]).to_csv(folder / "north.csv", index=False)
    south = 100 * 10 ** -columns(mid(level[50:] + 0.02, down), down, "wn")
    south = south.assign(sample=[f"s{row}" for row in range(50)], SOC=3 * level[50:], clay=20 + 40 * level[50:])
    south.to_csv(folder / "south.csv", index=False)
    return _written(folder / "laboratories.toml", manifest("laboratories.toml"))


def write_pairs(folder: Path) -> Path:
    """Pairs in one table, and tables for further labels, pre-training and test."""
    level = np.random.default_rng(1).uniform(0.0, 1.0, 90)
    pairs, old, test = level[:40], level[40:60], level[60:80]
    table = pd.concat([columns(mid(pairs), MID, "mir_"), columns(near(pairs), NEAR, "nir_")], axis=1)
    ids = {"sample": [f"p{row}" for row in range(40)], "profile": [f"q{row // 2}" for row in range(40)]}
    table.assign(**ids, SOC=4 * pairs).to_csv(folder / "pairs.csv", index=False)
    archive = columns(mid(old), MID).assign(sample=[f"a{row}" for row in range(20)], SOC=4 * old)
    archive.to_csv(folder / "archive.csv", index=False)
    # Other bands, two scans a sample, and the last five samples are those of the test set.
    axis = np.arange(650.0, 3800.0, 40.0)
    scans = 10 ** -columns(mid(np.repeat(level[65:80], 2), axis), axis)
    scans.assign(sample=np.repeat([f"u{row}" for row in range(10)] + [f"t{row}" for row in range(5)], 2)).to_csv(
        folder / "scans.csv", index=False
    )
    names = [f"t{row}" for row in range(20)]
    columns(mid(test), MID).assign(sample=names, SOC=4 * test).to_csv(folder / "test_mir.csv", index=False)
    (10 ** -columns(near(test), NEAR)).assign(sample=names).to_csv(folder / "test_nir.csv", index=False)
    return _written(folder / "pairs.toml", manifest("pairs.toml"))


def write_mid_alone(folder: Path) -> Path:
    """The manifest of pairs without anything of the near-infrared, as somebody with one instrument has it."""
    path = write_pairs(folder)
    text = path.read_text("utf-8").replace('near = "nir"\n', "").replace('near = "test_nir"\n', "")
    for first, last in (
        ("[near_grid]", "[properties"),
        ("[tables.nir]", "[tables.archive]"),
        ("[tables.test_nir]", ""),
    ):
        text = text[: text.index(first)] + (text[text.index(last) :] if last else "")
    return _written(path, text)


def write_profiles(folder: Path) -> Path:
    """Sites with horizons on two rasters of the landscape twin; layers are its first and fifth."""
    twin = make_landscape(LANDSCAPE)
    write_rasters(MemoryRasters(twin.rasters.grid, ("elevation", "wetness"), twin.rasters.values[:2]), folder)
    sites = pd.DataFrame({"site": twin.sites.ids, "x": twin.sites.east, "y": twin.sites.north})
    sites.to_csv(folder / "sites.csv", index=False)
    parts = []
    for place, (top, bottom) in enumerate(((0, 10), (10, 30))):
        values = np.nan_to_num(1.724 * twin.sites.values[:, 4 * place], nan=-9999.0)
        parts.append(pd.DataFrame({"site": twin.sites.ids, "from": top, "to": bottom, "om": values}))
    pd.concat(parts).to_csv(folder / "horizons.csv", index=False)
    return _written(folder / "profiles.toml", manifest("profiles.toml"))


WRITERS = {
    "soils.toml": write_soils,
    "laboratories.toml": write_laboratories,
    "pairs.toml": write_pairs,
    "profiles.toml": write_profiles,
}


def _written(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path
