"""What the regions of the data hold (rows, pedons, labels: Figure 2 of the paper), and which of them fail."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from jaxsoil.data.library import Library
from jaxsoil.data.splits import Split
from jaxsoil.studies.reconstruction.config import PAPER_NETWORKS
from jaxsoil.studies.reconstruction.tables import read_main

UNKNOWN = "not stated"
"""Country of a region whose data name none."""
UNTESTED = "no network"
"""Block of a region on which no network has a defined R2."""


def region_rows(folder: Path, library: Library, splits: Sequence[Split]) -> dict[str, pd.DataFrame]:
    """region_rows.csv: what each region holds, and what its few labelled pedons of the lowest seed do (``folder`` is
    not read).

    Returns:
      Rows ``region, country, rows, labelled, pedons, subsample_rows``: rows, those with SOC, pedons with SOC, and
      labelled rows of the pedons that were drawn, NaN for a region that no split trains on.
    """
    labelled, pedons = np.isfinite(library.property("soc").values), library.group("pedon")
    lowest = min(split.seed for split in splits)
    rows = []
    for name, mine in _regions(library):
        # A region's draw is the same whichever other region is held out.
        drawn = [split.train & mine for split in splits if split.seed == lowest and split.held_out != name]
        pedons_there = np.unique(pedons[mine & labelled]).size
        counts = (int(mine.sum()), int((mine & labelled).sum()), pedons_there)
        rows.append((name, _country(library, mine), *counts, float(drawn[0].sum()) if drawn else np.nan))
    columns = ["region", "country", "rows", "labelled", "pedons", "subsample_rows"]
    return {"region_rows": pd.DataFrame(rows, columns=pd.Index(columns))}


def region_facts(folder: Path, library: Library) -> dict[str, pd.DataFrame]:
    """region_facts.csv: of each held-out region where it lies, its rows, its SOC, and how the networks did on it.

    Returns:
      Rows ``region, country, rows, pedons, soc_median, soc_log_sd, block, lowest_r2, highest_r2, bias_log10, mrmse``:
      median SOC in %, standard deviation of log10 SOC (n - 1); of the publication's networks the block and the extreme
      R2 of SOC in % (blocks.csv), and over networks and seeds the mean bias of log10 SOC and mean MRMSE in %.
    """
    results = read_main(folder)
    blocks = pd.read_csv(folder / "blocks.csv", dtype={"region": str}, keep_default_na=False).set_index("region")
    tested = results[(results["split"] == "test") & results["model"].isin(PAPER_NETWORKS)]
    means = {}
    for name, scale, metric in (("bias_log10", "log10", "bias"), ("mrmse", "reflectance", "mrmse")):
        rows = tested[(tested["scale"] == scale) & (tested["metric"] == metric)]
        means[name] = rows.assign(region=rows["region"].astype(str)).groupby("region")["value"].mean()
    soc, units = library.property("soc").values, library.blocks
    found = []
    for name, mine in _regions(library):
        log = np.log10(soc[mine])
        facts = {"region": name, "country": _country(library, mine), "rows": int(mine.sum())}
        facts |= {"pedons": int(np.unique(units[mine]).size), "soc_median": float(np.median(soc[mine]))}
        facts |= {"soc_log_sd": float(log.std(ddof=1)) if log.size > 1 else np.nan, "block": UNTESTED}
        facts |= dict.fromkeys(("lowest_r2", "highest_r2"), np.nan)
        if name in blocks.index:
            facts |= blocks.loc[name, ["block", "lowest_r2", "highest_r2"]].to_dict()
        found.append(facts | {key: float(values.get(name, np.nan)) for key, values in means.items()})
    return {"region_facts": pd.DataFrame(found)}


def _regions(library: Library) -> list[tuple[str, np.ndarray]]:
    regions = library.group("region")
    return [(name, regions == name) for name in np.unique(regions).tolist()]


def _country(library: Library, rows: np.ndarray) -> str:
    if "country" not in library.groups:
        return UNKNOWN
    return ", ".join(np.unique(library.groups["country"][rows]).tolist())
