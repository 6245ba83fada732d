"""Report of the study of layer transfer: tables beside the published numbers, maps, and what the numbers mean."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from jaxsoil.report.document import Document
from jaxsoil.report.run_files import where
from jaxsoil.report.run_sections import command_section, open_document, settings, timing_section
from jaxsoil.report.tables import Table, number
from jaxsoil.studies.layers.report import figures, tables
from jaxsoil.studies.layers.report.tables import LABELS, POOLED, SPLITS, LayersRun

CLAIM = (
    "Han et al. (2025, Frontiers in Environmental Science, abstract) predict SOC of soil layers with a CNN that is "
    "pre-trained on the data of all layers and fine-tuned on the target layer, and report R2 0.374 and RMSE 2.937 % "
    "for it, ahead of a random forest, a CNN of one layer and a multi-task CNN."
)

PROTOCOL = (
    "The abstract names neither covariates, sites, layers, split nor whether its scores pool layers; these are ours, "
    "so the published numbers stand beside ours for orientation and not for comparison.",
    "Networks see a window of covariates around a site, random forests its central pixel; 'RF, with window means' "
    "also sees the window's means and standard deviations, which tells what the window alone gives.",
    "Covariates and targets are scaled by training rows only; which sites stop a network's training comes from the "
    "training rows too. The scale (log1p or not) is chosen once, from the skewness of all measured values.",
    "Predictions are transformed back without correction: on the log1p scale they are medians rather than means, and "
    "lie a little low on average.",
    "The depth function is deep + rise exp(-rate depth): it falls with depth and stays positive by construction, and "
    "its means over the layers are exact.",
)


def write_report(run_folder: str | os.PathLike[str]) -> Path:
    """Writes report.md, report.html and figures/ into the folder of a finished run.

    Args:
      run_folder: folder of a run of ``layer_transfer``.

    Returns:
      Path of report.html, which needs no other file.

    Raises:
      DataError: if a file of the run is missing or damaged.
    """
    run = tables.read_layers_run(run_folder)
    document = open_document(run, "Layer transfer and maps")
    _opening(document, run)
    _scores(document, run)
    if len(run.tables["gains"]):
        document.section("Which layers gain from the others", tables.gain_table(run))
        document.draw(figures.gains_figure(run), "gains",
            "Gains with 95 % intervals: thick over folds (mark: their mean), dashed over blocks. Right of zero is "
            "better.")  # fmt: skip
    _maps(document, run)
    document.section("Do the intervals cover?", tables.coverage_table(run))
    caption = "Coverage by layer with Wilson's 95 % interval; grey: within 2 points of nominal."
    document.draw(figures.coverage_figure(run), "coverage", caption)
    _data(document, run)
    if len(run.tables["trainings"]):
        document.section("Networks", tables.training_table(run))
    timing_section(document, run)
    command_section(document, run)
    return document.write()


def _opening(document: Document, run: LayersRun) -> None:
    split, gains = run.splits[0], run.tables["gains"]
    pooled = run.scores("rmse", split=split, layer=POOLED).sort_values("value")
    order = [f"{LABELS[row['model']]} {number(row['value'])}" for row in pooled.to_dict("records")]
    document.add(
        CLAIM,
        f"RMSE under {SPLITS[split]}, all layers and seeds together ({run.unit}): {'; '.join(order)}.",
        [_sentence(rows) for _, rows in gains.groupby(["split", "first", "second"], sort=False)],
    )
    if run.unit != "%":
        document.text(
            f"The property is {run.data['quantity']} in {run.unit}: its RMSE cannot be compared with the published one "
            "in %, and its R2 is of another property."
        )


def _sentence(rows: pd.DataFrame) -> str:
    """What one comparison found, from its row for each layer and for all pooled."""
    gain = where(rows, layer=POOLED).to_dict("records")[0]
    single: pd.DataFrame = rows.loc[rows["layer"] != POOLED]
    clear = [f"clear {kind}: {', '.join(where(single, verdict=kind)['layer'])}" for kind in ("gain", "loss")
             if kind in set(single["verdict"])]  # fmt: skip
    return (
        f"{LABELS[gain['first']]} over {LABELS[gain['second']]}, {SPLITS[gain['split']]}: gain of "
        f"{number(gain['gain'], 1)} % of RMSE, all layers (95 % over folds {number(gain['folds_low'], 1)} to "
        f"{number(gain['folds_high'], 1)}); "
        f"{'; '.join(clear) or 'no layer on which both intervals exclude zero'}."
    )


def _scores(document: Document, run: LayersRun) -> None:
    document.section(
        "Scores",
        tables.overview_table(run),
        PROTOCOL,
        tables.layer_table(run, "r2", "R2 of each layer, seeds together."),
        tables.layer_table(run, "rmse", f"RMSE of each layer ({run.unit}), seeds together."),
        tables.layer_table(run, "ccc", "Concordance (CCC) of each layer, seeds together."),
    )
    document.draw(figures.scores_figure(run), "scores",
        "Scores by layer: small marks are seeds, large marks the mean prediction of all seeds. The mean of a layer "
        "(RMSE only) is what a model must beat.")  # fmt: skip
    model, split = run.json["maps"]["model"], run.splits[0]
    document.draw(figures.observed_figure(run, model, split), "observed",
        f"Observed against predicted values of held-out sites, {LABELS[model]}, {SPLITS[split]}; bars are intervals, "
        "the line is 1:1.")  # fmt: skip
    document.draw(figures.profiles_figure(run, split), "profiles",
        f"Profiles of held-out sites ({SPLITS[split]}), chosen evenly by their value at the surface: bars are observed "
        "layers, marks predicted ones, the curve is the depth function (mean coefficients of the seeds).")  # fmt: skip


def _maps(document: Document, run: LayersRun) -> None:
    maps, chosen = run.json["maps"], settings(run)
    how = "as configured" if chosen["map_model"] != "best" else (
        f"the lowest RMSE under {SPLITS[run.splits[0]]}; choosing it by held-out sites flatters it a little"
    )  # fmt: skip
    side = chosen.get("map_side")
    part = f" and outside the {side} x {side} pixels in the middle (--map-side)" if side else ""
    note = (
        f"Bands: {', '.join(maps['bands'])}. predicted, low, high and spread (standard deviation over folds and seeds) "
        f"in {run.unit}; outside: number of covariates beyond the range of the sites (0: none). Grid, projection and "
        "nodata value are those of the inputs."
    )
    document.section(
        "Maps",
        f"Model of the maps: {LABELS[maps['model']]} ({how}). Each pixel is the mean of {maps['members']} sets of "
        f"networks or forests (folds and seeds of the split '{SPLITS[maps['split']]}'); the interval of nominally "
        f"{100 * maps['coverage']:g} % comes from their held-out errors (CV+). Where a covariate is missing{part} the "
        "map is nodata.",
        Table("GeoTIFFs.", ("Layer", "File"), tuple(maps["files"].items()), (note,), (0, 1)),
    )
    known = "the true map, " if run.data["truth"] else ""
    document.draw(figures.maps_figure(run), "maps",
        f"Each layer: {known}the predicted map, and the width of its interval. Colours end at the 1st and 99th "
        "percentile; white: nodata.")  # fmt: skip
    document.add(tables.truth_table(run))


def _data(document: Document, run: LayersRun) -> None:
    data = run.data
    shares = [f"{SPLITS[name]} {100 * share:.0f} %" for name, share in data["overlap"].items()]
    rows = tuple((entry["name"], str(entry["sites"])) for entry in data["layers"])
    document.section(
        "Data and splits",
        f"{data['title']}. {data['sites']} sites, {data['quantity']} in {data['unit']}, learnt on the scale "
        f"'{data['scale']}'; covariates: {', '.join(data['covariates'])}; {data['grid']['height']} x "
        f"{data['grid']['width']} pixels, {data['grid']['crs'][:60]}; {data['blocks']} blocks of "
        f"{data['block_side'] / 1000.0:.1f} km.",
        f"Windows of neighbouring sites overlap: {'; '.join(shares)} of the held-out sites share pixels of their "
        "window with a training site. Blocks make that rarer and do not end it; at random it is the rule.",
        Table("Sites with a value.", ("Layer", "Sites"), rows),
        data["notes"],
    )
    caption = "Sites by fold, on the land that has covariates; lines: spatial blocks."
    document.draw(figures.sites_figure(run), "sites", caption)
