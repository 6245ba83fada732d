"""Sections of reports: the rows of each region (the paper's Figure 2), and which regions fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxsoil.evaluation.regions import GENERALISING, PROBLEMATIC
from jaxsoil.report import style
from jaxsoil.report.document import Document
from jaxsoil.report.prose import Prose
from jaxsoil.report.run_sections import settings
from jaxsoil.report.tables import natural_sorted, rows_table
from jaxsoil.studies.reconstruction.regions import UNTESTED
from jaxsoil.studies.reconstruction.report import published
from jaxsoil.studies.reconstruction.report.reading import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PROSE = Prose(__package__, "regions")

_ALL, _DRAWN = style.OKABE_ITO[6], style.OKABE_ITO[0]
_BLOCKS = {
    PROBLEMATIC: ("problematic: R2 < 0, all networks", style.OKABE_ITO[3]),
    GENERALISING: ("generalising", style.OKABE_ITO[2]),
    UNTESTED: ("no network tested", style.GREY),
}


def rows_section(document: Document, run: Run) -> None:
    """Adds the rows of each region with the subsample that carries labels; nothing where the run does not say."""
    if "region_rows" not in run.tables:
        return
    found = _sorted(run.table("region_rows"))
    asked = settings(run).get("pedons_per_region", "few")
    document.section("Rows by region")
    document.draw(rows_by_region(found), "rows_by_region", _PROSE.text("rows_caption", asked=asked))
    columns: dict[str | tuple[str, ...], Any] = {
        "region": "Region", "country": "Country", "rows": ("Rows", 0), "labelled": ("Rows with SOC", 0),
        "pedons": ("Pedons with SOC", 0), "subsample_rows": (f"Labelled rows of {asked} pedons", 0),
    }  # fmt: skip
    document.add(rows_table(found, columns, title="What each region holds.", notes=_PROSE.notes("rows_notes")))


def failing_section(document: Document, run: Run) -> None:
    """Adds which regions fail, where they lie and what their SOC is, as a table and a figure; nothing untested."""
    if "region_facts" not in run.tables or set(run.table("region_facts")["block"]) == {UNTESTED}:
        return
    found = _sorted(run.table("region_facts"))
    order = {name: place for place, name in enumerate(_BLOCKS)}
    found = found.iloc[np.argsort(found["block"].map(order.get).to_numpy(), kind="stable")]
    document.section("Which regions fail")
    columns: dict[str | tuple[str, ...], Any] = {
        "region": "Region", "country": "Country", "block": "Block", "rows": ("Rows", 0), "pedons": ("Pedons", 0),
        "soc_median": ("Median SOC (%)", 2), "soc_log_sd": ("SD of log10 SOC", 2),
        "lowest_r2": ("Lowest R2", 2), "highest_r2": ("Highest R2", 2), "bias_log10": ("Bias (log10 %)", 2),
        "mrmse": ("MRMSE (%)", 2),
    }  # fmt: skip
    notes = _PROSE.notes("failing_notes", failing=published.PROBLEMATIC_REGIONS)
    document.add(rows_table(found, columns, title="Held-out regions by the paper's parting.", notes=notes))
    document.draw(rows_by_region(found), "regions_by_block", _PROSE.text("block_caption"))


@style.styled
def rows_by_region(frame: pd.DataFrame) -> Figure:
    """Bars of the rows of each region (region_rows.csv or region_facts.csv), coloured by block where there is one,
    black the labelled subsample."""
    figure = style.new_figure(style.WIDTH, 0.9 + 0.2 * len(frame))
    axis = figure.subplots()
    places = np.arange(len(frame))[::-1]
    blocks = frame["block"].tolist() if "block" in frame else [""] * len(frame)
    looks = {"": ("all rows", _ALL), **_BLOCKS}
    for block in dict.fromkeys(blocks):
        mine = np.array([one == block for one in blocks])
        label, color = looks[block]
        axis.barh(places[mine], frame["rows"].to_numpy()[mine], height=0.72, color=color, label=label)
    if "subsample_rows" in frame:
        drawn = frame["subsample_rows"].fillna(0.0).to_numpy()
        axis.barh(places, drawn, height=0.36, color=_DRAWN, label="labelled rows of the pedons drawn")
    for place, rows in zip(places, frame["rows"], strict=True):
        axis.annotate(f"{rows:,}", (rows, place), (3, 0), textcoords="offset points", va="center", fontsize=7)
    names = frame["region"] if set(frame["country"]) <= {"not stated"} else frame["region"] + ", " + frame["country"]
    axis.set_yticks(places, [style.shortened(name, 34) for name in names])
    axis.tick_params(axis="y", length=0)
    axis.set_xlabel("Spectra in the region (number)")
    axis.margins(x=0.08, y=0.01)
    style.legend(figure)
    return figure


def _sorted(frame: pd.DataFrame) -> pd.DataFrame:
    names = natural_sorted(set(frame["region"]))
    return frame.set_index("region").loc[names].reset_index()
