"""Report of the study of layer transfer: tables beside the published numbers, maps, and what the numbers mean."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from jaxsoil.report.document import Document, Picture
from jaxsoil.report.prose import Prose
from jaxsoil.report.run_files import where
from jaxsoil.report.run_sections import command_section, open_document, timing_section
from jaxsoil.report.tables import Table, number
from jaxsoil.studies.layers.report import figures, tables
from jaxsoil.studies.layers.report.tables import LABELS, POOLED, SPLITS, LayersRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PROSE = Prose("jaxsoil.studies.layers.report", "page", label=LABELS.__getitem__, split_name=SPLITS.__getitem__)

MAP_SCORES = {"map_rmse": "rmse", "map_r2": "r2_layers"}
"""What the section on maps says of its model, and under which metric it stands in results.csv."""


def write_report(run_folder: str | os.PathLike[str]) -> Path:
    """Writes report.md, report.html and figures/ into the folder of a finished run; returns the path of report.html.

    The HTML needs no other file. A file of the run that is missing or damaged is a DataError.
    """
    run = tables.read_layers_run(run_folder)
    document = open_document(run, "Layer transfer and maps")
    gains = _picture(document, "gains", figures.gains_figure(run)) if len(run.tables["gains"]) else None
    scores = _picture(document, "scores", figures.scores_figure(run))
    document.opening(PROSE.text("found", run=run, **_found(run)), gains or scores, tables.short_table(run), "Scores")
    document.section("The paper, and what was compared", *_compared(run))
    _scores(document, run, scores if gains else None)
    if gains:
        document.section("Which layers gain from the others", tables.gain_table(run))
    _maps(document, run)
    coverage = _picture(document, "coverage", figures.coverage_figure(run))
    document.section("Do the intervals cover?", coverage, tables.coverage_table(run))
    sites = tuple((entry["name"], str(entry["sites"])) for entry in run.data["layers"])
    table = Table("Sites with a value.", ("Layer", "Sites"), sites)
    drawn = _picture(document, "sites", figures.sites_figure(run))
    document.section("Data and splits", *PROSE.items("data", data=run.data), drawn, table, run.data["notes"])
    if len(run.tables["trainings"]):
        document.section("Networks", tables.training_table(run))
    timing_section(document, run)
    command_section(document, run)
    return document.write()


def _picture(document: Document, name: str, figure: Figure, **values: Any) -> Picture | None:
    """A figure with the caption that the template has under its name."""
    return document.picture(figure, name, PROSE.text(name, **values))


def _compared(run: LayersRun) -> list[Any]:
    """What was published, the order of the models, and what each comparison found."""
    split, comparisons = run.splits[0], []
    pooled = run.scores("rmse", split=split, layer=POOLED).sort_values("value")
    order = [f"{LABELS[row['model']]} {number(row['value'])}" for row in pooled.to_dict("records")]
    for _, rows in where(run.tables["gains"], split=split).groupby(["first", "second"], sort=False):
        single: pd.DataFrame = rows.loc[rows["layer"] != POOLED]
        layers = {kind: ", ".join(where(single, verdict=kind)["layer"]) for kind in ("gain", "loss")}
        clear = "; ".join(f"clear {kind}: {names}" for kind, names in layers.items() if names)
        comparisons.append((where(rows, layer=POOLED).to_dict("records")[0], clear))
    values = {"split": SPLITS[split], "pooled": "; ".join(order), "comparisons": comparisons}
    return PROSE.items("compared", run=run, **values)


def _found(run: LayersRun) -> dict[str, Any]:
    """What the first three sentences say: the best model, what is left of transfer, and how sure both are."""
    split, maps = run.splits[0], run.json["maps"]
    rows = where(run.tables["gains"], split=split, first="transfer", layer=POOLED).to_dict("records")
    gains = {row["second"]: row for row in rows}
    pooled = run.scores("rmse", split=split, layer=POOLED).sort_values("value")
    pooled = pooled[pooled["model"] != "chosen"]
    covered = where(run.tables["coverage"], split=maps["split"], model=maps["model"], layer=POOLED).iloc[0]
    best, second = pooled.iloc[0], pooled.iloc[min(1, len(pooled) - 1)]
    return {"best": best, "second": second, "gains_of": gains, "maps": maps, "covered": covered}


def _scores(document: Document, run: LayersRun, drawn: Picture | None) -> None:
    names = {"r2": "R2 of each layer", "rmse": f"RMSE of each layer ({run.unit})"}
    names["ccc"] = "Concordance (CCC) of each layer"
    layers = [tables.layer_table(run, metric, f"{name}, seeds together.") for metric, name in names.items()]
    protocol = PROSE.items("protocol", smear=run.data["smear"])
    document.section("Scores", tables.overview_table(run), *protocol, drawn, *layers)
    model, split = run.json["maps"]["model"], run.json["maps"]["split"]
    figure = figures.observed_figure(run, model, split)
    document.add(_picture(document, "observed", figure, model=model, split=split))
    split = run.splits[0]
    document.add(_picture(document, "profiles", figures.profiles_figure(run, split), split=split))


def _maps(document: Document, run: LayersRun) -> None:
    maps = run.json["maps"]
    notes = PROSE.notes("bands", maps=maps, unit=run.unit)
    table = Table("GeoTIFFs.", ("Layer", "File"), tuple(maps["files"].items()), notes, (0, 1))
    held_out = {"split": maps["split"], "model": maps["model"], "layer": POOLED}
    scored = {name: run.scores(metric, **held_out)["value"].iloc[0] for name, metric in MAP_SCORES.items()}
    names = "; ".join(LABELS[name] for name in dict.fromkeys(maps["models"]))
    text = PROSE.text("maps", maps=maps, settings=run.settings, unit=run.unit, names=names, **scored)
    drawn = document.picture(figures.maps_figure(run), "maps", PROSE.text("map_figure", truth=run.data["truth"]))
    document.section("Maps", text, drawn, tables.truth_table(run), tables.inner_table(run), table)
