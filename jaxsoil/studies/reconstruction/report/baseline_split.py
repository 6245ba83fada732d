"""Report of the random split (baseline, Table 1 of the reconstruction paper), by group and by row."""

from __future__ import annotations

import dataclasses
import math
import os
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from jaxsoil.evaluation.results import SOC_FLOOR
from jaxsoil.report import figures
from jaxsoil.report.document import Document
from jaxsoil.report.run_sections import closing_sections
from jaxsoil.report.style import GREY, OKABE_ITO, WIDTH, looks, new_figure, save, styled
from jaxsoil.report.tables import DAGGER, Table, number, plus_minus
from jaxsoil.studies.reconstruction.report import published, scores, sections
from jaxsoil.studies.reconstruction.report.curves import curves_figure
from jaxsoil.studies.reconstruction.report.examples import reconstruction_figure
from jaxsoil.studies.reconstruction.report.reading import MODEL_LABELS, Run, model_label, predictions_by_trial, read_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BY_ROW = ", by row"
"""Ends the name of a draw that ignores groups."""

_SOURCES = {"paper": "paper", "group": "by group", "row": "by row"}
_LEAK_METRICS = {
    ("percent", "rmse"): "RMSE (%)",
    ("percent", "r2"): "R2 of SOC in %",
    ("log10", "rmse"): "RMSE (log10 %)",
    ("log10", "ccc"): "CCC of log10",
}
_LOWEST_R2 = -0.5


def write_report(run_folder: str | os.PathLike[str]) -> Path:
    """Writes report.md, report.html and figures/ into the folder of a finished run.

    Returns:
      Path of report.html, which needs no other file.

    Raises:
      DataError: if a file of the run is missing or damaged.
    """
    run = read_run(run_folder)
    parts = by_parting(run)
    document = Document(f"Random split of everything: soil organic carbon, data '{run.name}'")
    _opening(document, run, parts)
    _table_1(document, run, parts)
    _leak(document, parts)
    document.heading("Mean over draws")
    for kind, part in parts.items():
        common = f"Drawn {_SOURCES[kind]}; mean over draws ± standard error (SD/√n), held-out rows."
        for table in scores.mean_tables(part, common):
            document.table(table)
    _figures(document, run, parts)
    sections.status_section(document, run)
    sections.exposure_section(document, run, _uses(run))
    closing_sections(document, run, MODEL_LABELS)
    return document.write(run.path)


def by_parting(run: Run) -> dict[str, Run]:
    """The run by what was drawn, "group" and "row"; a kind without draws is absent."""
    parts = {}
    for kind in ("group", "row"):
        names = [region for region in run.regions if region.endswith(BY_ROW) == (kind == "row")]
        if names:
            arrays = run.reconstructions
            chosen = np.isin(arrays["region"], names) if arrays else None
            parts[kind] = dataclasses.replace(
                run,
                results=pd.DataFrame(run.results[run.results["region"].isin(names)]),
                trials=tuple(trial for trial in run.trials if trial.region in names),
                predictions=pd.DataFrame(run.predictions[run.predictions["region"].isin(names)]),
                reconstructions={
                    key: values[chosen] if key not in ("axis", "unit") else values for key, values in arrays.items()
                },
            )
    return parts


def _opening(document: Document, run: Run, parts: dict[str, Run]) -> None:
    share = run.config.get("config", {}).get("share", 0.6)
    draws = {kind: len(part.regions) for kind, part in parts.items()}
    counted = " and ".join(f"{count} {_SOURCES[kind]}" for kind, count in draws.items())
    document.text(
        f"{number(100 * share, 0)} % of the rows train, the others are held out; random splits: {counted}. "
        f"Models: {', '.join(model_label(model) for model in run.models)}."
    )
    document.text(
        "Drawn by group, all rows of a sample and of a pedon lie on one side. The paper draws rows and ignores "
        "groups, so that horizons of one pedon lie on both sides. All regions lie on both sides in either case: "
        "this baseline says nothing about a new region, for which see the region_out experiment."
    )
    if "row" not in parts and "row" in run.config.get("config", {}).get("parting", ()):
        document.text("No draw by row would part a group of these data, so they would repeat those by group.")
    if any(run.untrusted(model) for model in run.models):
        document.text(f"A dagger ({DAGGER}) marks every number with a network behind it that did not converge.")


def _table_1(document: Document, run: Run, parts: dict[str, Run]) -> None:
    document.heading("Beside the published Table 1")
    rows = []
    for line in published.rows(1):
        rows.append((published.MODELS[line.model], "paper", *scores.printed(line)))
        rows += [
            (
                sections.marked(published.MODELS[line.model], part, line.model),
                f"here, {_SOURCES[kind]}",
                *scores.ours(part.results, line.model),
            )
            for kind, part in parts.items()
            if line.model in run.models
        ]
    for model in (model for model in run.models if model not in published.MODELS):
        for kind, part in parts.items():
            label = sections.marked(model_label(model), part, model)
            rows.append((label, f"here, {_SOURCES[kind]}", *scores.ours(part.results, model)))
    notes = (
        *sections.dagger_notes(run, run.models),
        *sections.train_note(run),
        *sections.unbounded_note(run),
        "The paper's split is drawn by row; it gives its standard errors over 10 seeds.",
        "Data, number of spectra, bands and training length differ from the paper's as listed under "
        "'Settings that differ from the paper': the columns show what each found, not a like-for-like comparison.",
        f"Source: {published.RECONSTRUCTION_SOURCE}.",
    )
    caption = "SOC in % by mass, mean ± standard error over draws; paper: RaCA, 10 seeds."
    header = ("Model", "Source", *scores.published_header("held out"))
    document.table(Table(caption, header, tuple(rows), notes, left=(0, 1)))


def _leak(document: Document, parts: dict[str, Run]) -> None:
    if len(parts) < 2:
        return
    document.heading("What parting pedons leaks")
    group, row = parts["group"], parts["row"]
    rows = []
    for model in group.models:
        for (scale, metric), label in _LEAK_METRICS.items():
            values = {kind: scores.average(part.results, model, scale, metric) for kind, part in parts.items()}
            difference = values["row"][0] - values["group"][0]
            error = math.hypot(values["row"][1], values["group"][1])
            rows.append(
                (
                    sections.marked(model_label(model), group, model),
                    label,
                    *(plus_minus(*values[kind], 3) for kind in ("group", "row")),
                    plus_minus(difference, error, 3),
                )
            )
    notes = (
        "Error of the difference: from the two standard errors, as of independent draws.",
        f"By row: {'; '.join(sorted({trial.exposure for trial in row.trials}))}.",
        *sections.dagger_notes(group, group.models),
    )
    header = ("Model", "Measure", "By group", "By row", "By row − by group")
    caption = "The same models on splits drawn by group and by row, held-out rows, mean ± standard error over draws."
    document.table(Table(caption, header, tuple(rows), notes, left=(0, 1)))


def _uses(run: Run) -> list[tuple[str, str, str]]:
    rows = [("SOC scores (CCC, RMSE, bias, R2, RPIQ)", "through the finished model", "to score")]
    if any(model in published.MODELS for model in run.models):
        rows.append(("Choice of epoch, convergence", "none: training rows only", "none"))
    if run.reconstructions:
        rows += sections.reconstruction_uses()
    return rows


def _figures(document: Document, run: Run, parts: dict[str, Run]) -> None:
    document.heading("Figures")
    folder = run.path / "figures"
    styles = looks({model: model_label(model) for model in run.models}, order=tuple(MODEL_LABELS))
    marked = [sections.marked(model_label(model), run, model) for model in run.models if run.untrusted(model)]
    doubtful = f" With networks that did not converge: {', '.join(marked)}." if marked else ""
    caption = (
        "RMSE and R2 of SOC in % on the held-out rows, mean and standard error over draws, beside the published "
        f"Table 1 (other data). Triangles that point left: R2 below {number(_LOWEST_R2, 1)}." + doubtful
    )
    document.figure(save(comparison(run, parts), folder, "table_1"), caption, run.path)
    for kind, part in parts.items():
        panels = _scatter_panels(part)
        title = f"Drawn {_SOURCES[kind]}, all draws"
        figure = figures.predicted_vs_observed(panels, title=title, color=OKABE_ITO[2], floor=SOC_FLOOR)
        caption = (
            f"Predicted against observed SOC of the held-out rows, drawn {_SOURCES[kind]}; grey: 1:1. CCC on the log10 "
            f"scale, mean over draws. Values outside {SOC_FLOOR:g} to {figures.CEILING:g} % are drawn at the edge."
        )
        document.figure(save(figure, folder, f"predicted_vs_observed_{kind}"), caption + doubtful, run.path)
    first = next(iter(parts.values()))
    reconstruction_figure(document, first, styles, folder, f"draws {_SOURCES[next(iter(parts))]}")
    curves_figure(document, run, styles, folder)


def _scatter_panels(part: Run) -> list[figures.ScatterPanel]:
    pairs: dict[str, list[tuple[np.ndarray, np.ndarray]]] = defaultdict(list)
    for (model, _, _), pair in predictions_by_trial(part).items():
        pairs[model].append(pair)
    panels = []
    for model in part.models:
        observed, predicted = (np.concatenate([pair[side] for pair in pairs[model]]) for side in (0, 1))
        text = f"CCC {number(scores.average(part.results, model, 'log10', 'ccc')[0], 2)}\nn = {observed.size}"
        name = sections.marked(published.MODELS.get(model, model_label(model)), part, model)
        panels.append(figures.ScatterPanel(name, observed, predicted, text))
    return panels


@styled
def comparison(run: Run, parts: dict[str, Run]) -> Figure:
    """RMSE and R2 of each model: published, by group and by row.

    Args:
      run: the run.
      parts: the run by what was drawn.
    """
    from matplotlib.lines import Line2D

    look = {"paper": ("D", GREY), "group": ("o", OKABE_ITO[2]), "row": ("s", OKABE_ITO[3])}
    theirs = {line.model: line.test for line in published.rows(1)}
    figure = new_figure(WIDTH, 1.1 + 0.42 * len(run.models))
    panels = figure.subplots(1, 2, sharey=True)
    for panel, metric, label in zip(panels, ("rmse", "r2"), ("RMSE (% SOC)", "R2 (dimensionless)"), strict=True):
        for place, model in enumerate(reversed(run.models)):
            values = {kind: scores.average(part.results, model, "percent", metric) for kind, part in parts.items()}
            if model in theirs:
                values["paper"] = (theirs[model][metric].mean, theirs[model][metric].se)
            for shift, kind in zip((0.22, 0.0, -0.22), look, strict=True):
                mean, se = values.get(kind, (math.nan, math.nan))
                if math.isfinite(mean):
                    low = metric == "r2" and mean < _LOWEST_R2
                    marker, color = look[kind] if not low else ("<", look[kind][1])
                    error = se if math.isfinite(se) and not low else 0.0
                    where = _LOWEST_R2 if low else mean
                    panel.errorbar(where, place + shift, xerr=error, fmt=marker, color=color, ms=4.5, elinewidth=1.0)
        panel.set_xlabel(label)
        panel.grid(axis="y", color="#e6e6e6", linewidth=0.6)
        panel.set_axisbelow(True)
    panels[1].set_xlim(left=max(panels[1].get_xlim()[0], _LOWEST_R2 - 0.05))
    labels = [sections.marked(model_label(model), run, model) for model in reversed(run.models)]
    panels[0].set_yticks(range(len(labels)), labels)
    panels[0].set_ylim(-0.6, len(labels) - 0.4)
    handles = [
        Line2D([], [], linestyle="none", marker=look[kind][0], color=look[kind][1], ms=4.5, label=label)
        for kind, label in (("paper", "paper (RaCA)"), ("group", "here, by group"), ("row", "here, by row"))
        if kind == "paper" or kind in parts
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure
