"""Report of the study of layer transfer: tables beside the published numbers, maps, and what the numbers mean."""

from __future__ import annotations

import os
from pathlib import Path

from jaxsoil.report.document import Document
from jaxsoil.report.style import save
from jaxsoil.report.tables import Table, number
from jaxsoil.studies.layers.report import figures, tables
from jaxsoil.studies.layers.report.tables import ALL, COMPARISONS, LABELS, POOLED, SPLITS, Gain, LayersRun, chosen

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
      DataError: if a file of the run is missing.
    """
    run = tables.read_layers_run(Path(run_folder))
    found = {
        (split, first, second): tables.gains(run, split, first, second)
        for split in run.splits
        for first, second in COMPARISONS
        if {first, second} <= set(run.models)
    }
    document = Document(f"Layer transfer and maps, data '{run.data['name']}'")
    _opening(document, run, found)
    _scores(document, run)
    _gains(document, run, found)
    _maps(document, run)
    _uncertainty(document, run)
    _data(document, run)
    document.heading("Networks")
    document.table(tables.training_table(run))
    _command(document, run)
    return document.write(run.path)


def _opening(document: Document, run: LayersRun, found: dict[tuple[str, str, str], dict[str, Gain]]) -> None:
    document.text(CLAIM)
    split = run.splits[0]
    pooled = chosen(run.scores, split=split, seed=ALL, layer=POOLED).sort_values("rmse")
    order = [f"{LABELS[row['model']]} {number(row['rmse'])}" for _, row in pooled.iterrows()]
    document.text(f"RMSE under {SPLITS[split]}, all layers and seeds together ({run.unit}): {'; '.join(order)}.")
    document.bullets(
        [_sentence(SPLITS[split], first, second, by_layer) for (split, first, second), by_layer in found.items()]
    )
    if run.unit != "%":
        document.text(
            f"The property is {run.data['quantity']} in {run.unit}: its RMSE cannot be compared with the published one "
            "in %, and its R2 is of another property."
        )


def _sentence(split: str, first: str, second: str, by_layer: dict[str, Gain]) -> str:
    gain = by_layer[POOLED]
    verdicts = {kind: [] for kind in ("gain", "loss")}
    for layer, one in by_layer.items():
        kind = tables.verdict(one)
        if layer != POOLED and kind in verdicts:
            verdicts[kind].append(layer)
    clear = "; ".join(f"clear {kind}: {', '.join(names)}" for kind, names in verdicts.items() if names)
    return (
        f"{LABELS[first]} over {LABELS[second]}, {split}: gain of {number(gain.mean, 1)} % of RMSE, all layers (95 % "
        f"over folds {number(gain.over_folds[0], 1)} to {number(gain.over_folds[1], 1)}); "
        f"{clear or 'no layer on which both intervals exclude zero'}."
    )


def _scores(document: Document, run: LayersRun) -> None:
    document.heading("Scores")
    document.table(tables.overview_table(run))
    document.bullets(list(PROTOCOL))
    document.table(tables.layer_table(run, "r2", "R2 of each layer, seeds together."))
    document.table(tables.layer_table(run, "rmse", f"RMSE of each layer ({run.unit}), seeds together."))
    document.table(tables.layer_table(run, "ccc", "Concordance (CCC) of each layer, seeds together."))
    _figure(document, run, "scores", figures.scores_figure(run), "Scores by layer: small marks are seeds, large marks "
            "the mean prediction of all seeds. The mean of a layer (RMSE only) is what a model must beat.")  # fmt: skip
    model, split = run.maps["model"], run.splits[0]
    caption = (
        f"Observed against predicted values of held-out sites, {LABELS[model]}, {SPLITS[split]}; bars are intervals, "
        "the line is 1:1."
    )
    _figure(document, run, "observed", figures.observed_figure(run, model, split), caption)
    caption = (
        f"Profiles of held-out sites ({SPLITS[split]}), chosen evenly by their value at the surface: bars are observed "
        "layers, marks predicted ones, the curve is the depth function (mean coefficients of the seeds)."
    )
    _figure(document, run, "profiles", figures.profiles_figure(run, split), caption)


def _gains(document: Document, run: LayersRun, found: dict[tuple[str, str, str], dict[str, Gain]]) -> None:
    if not found:
        return
    document.heading("Which layers gain from the others")
    document.table(tables.gain_table(run, found))
    caption = (
        "Gains with 95 % intervals: thick over folds (mark: their mean), dashed over blocks. Right of zero is better."
    )
    _figure(document, run, "gains", figures.gains_figure(run, found), caption)


def _maps(document: Document, run: LayersRun) -> None:
    document.heading("Maps")
    maps = run.maps
    how = "as configured" if run.config["config"]["map_model"] != "best" else (
        f"the lowest RMSE under {SPLITS[run.splits[0]]}; choosing it by held-out sites flatters it a little"
    )  # fmt: skip
    document.text(
        f"Model of the maps: {LABELS[maps['model']]} ({how}). Each pixel is the mean of {maps['members']} sets of "
        f"networks or forests (folds and seeds of the split '{SPLITS[maps['split']]}'); the interval of nominally "
        f"{100 * maps['coverage']:g} % comes from their held-out errors (CV+). Where a covariate is missing the map is "
        "nodata."
    )
    files = tuple((layer, name) for layer, name in maps["files"].items())
    note = (
        f"Bands: {', '.join(maps['bands'])}. predicted, low, high and spread (standard deviation over folds and seeds) "
        f"in {run.unit}; outside: number of covariates beyond the range of the sites (0: none). Grid, projection and "
        "nodata value are those of the inputs."
    )
    document.table(Table("GeoTIFFs.", ("Layer", "File"), files, (note,), (0, 1)))
    known = "the true map, " if run.data["truth"] else ""
    caption = f"Each layer: {known}the predicted map, and the width of its interval. Colours end at the 1st and 99th "
    _figure(document, run, "maps", figures.maps_figure(run), caption + "percentile; white: nodata.")
    truth = tables.truth_table(run)
    if truth is not None:
        document.table(truth)


def _uncertainty(document: Document, run: LayersRun) -> None:
    document.heading("Do the intervals cover?")
    document.table(tables.coverage_table(run))
    caption = "Coverage by layer with Wilson's 95 % interval; grey: within 2 points of nominal."
    _figure(document, run, "coverage", figures.coverage_figure(run), caption)


def _data(document: Document, run: LayersRun) -> None:
    document.heading("Data and splits")
    data = run.data
    document.text(
        f"{data['title']}. {data['sites']} sites, {data['quantity']} in {data['unit']}, learnt on the scale "
        f"'{data['scale']}'; covariates: {', '.join(data['covariates'])}; {data['grid']['height']} x "
        f"{data['grid']['width']} pixels, {data['grid']['crs'][:60]}; {data['blocks']} blocks of "
        f"{data['block_side'] / 1000.0:.1f} km."
    )
    shares = [f"{SPLITS[name]} {100 * share:.0f} %" for name, share in data["overlap"].items()]
    document.text(
        f"Windows of neighbouring sites overlap: {'; '.join(shares)} of the held-out sites share pixels of their "
        "window with a training site. Blocks make that rarer and do not end it; at random it is the rule."
    )
    rows = tuple((entry["name"], str(entry["sites"])) for entry in data["layers"])
    document.table(Table("Sites with a value.", ("Layer", "Sites"), rows))
    document.bullets(data["notes"])
    caption = "Sites by fold, on the land that has covariates; lines: spatial blocks."
    _figure(document, run, "sites", figures.sites_figure(run), caption)


def _command(document: Document, run: LayersRun) -> None:
    document.heading("How to run it again")
    document.command(str(run.environment.get("command", "python experiments/run.py --exp=layer_transfer")))
    timing = run.timing
    document.text(
        f"Trainings took {timing['trainings_s']:.0f} s, tables and maps {timing['tables_and_maps_s']:.0f} s, on "
        f"{run.environment.get('processor')} ({run.environment.get('cores')} cores)."
    )


def _figure(document: Document, run: LayersRun, name: str, figure: object, caption: str) -> None:
    document.figure(save(figure, run.path / "figures", name), caption, run.path)  # pyright: ignore[reportArgumentType]
