"""Measured pairs of a size of seconds: some soils and bands of a measured table, as a user's own TOML files."""

from __future__ import annotations

from pathlib import Path

SOILS = """
name = "small"
title = "Some soils"
data = "soils.parquet"
id = "sample_id"

[axis]
unit = "cm-1"
order = "descending"
low = 625

[values]
quantity = "absorbance"

[labels.soc]
column = "OC"
unit = "%"
factor = 0.1

[labels.clay]
column = "CLAY"
unit = "%"
unless = { column = "SAND", equals = 0 }
"""

PAIRS = """
name = "small_pairs"
title = "Near- and mid-infrared of some soils"
mid = "soils.toml"
near = "soils.toml"
pretrain = ["afsis113"]

[mid_grid]
unit = "cm-1"
low = 760
high = 3790
step = 30

[near_grid]
unit = "nm"
low = 1700
high = 2470
step = 20

[properties.eoc]
column = "soc"
unit = "g/kg"
factor = 10

[properties.clay]
column = "clay"
unit = "%"

[split]
folds = 2
clusters = 8
"""


def write_small_pairs(folder: Path, data: Path) -> Path:
    """Writes every ninth soil and the first eight, which have instrument files, and returns the path of the pairs."""
    import pandas as pd

    table = pd.read_parquet(data / "woodwell604" / "woodwell604_nir_mir_absorbance.parquet")
    rows = sorted({*range(8), *range(0, len(table), 9)})
    table.iloc[rows].to_parquet(folder / "soils.parquet", index=False)
    (folder / "soils.toml").write_text(SOILS, encoding="utf-8")
    path = folder / "pairs.toml"
    path.write_text(PAIRS, encoding="utf-8")
    return path
