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
from jaxsoil.report.run_sections import ALIKE_NOT, closing_sections, dagger_sentence, open_document, settings
from jaxsoil.report.style import (
    GREY,
    OKABE_ITO,
    WIDTH,
    Look,
    legend,
    light_grid,
    names_axis,
    new_figure,
    points,
    styled,
)
from jaxsoil.report.tables import Table, number, pivot_table
from jaxsoil.studies.reconstruction.config import BY_ROW
from jaxsoil.studies.reconstruction.report import published, scores, sections
from jaxsoil.studies.reconstruction.report.reading import (
    MODEL_LABELS,
    Run,
    model_label,
    predictions_by_trial,
    read_run,
    styles_of,
)
from jaxsoil.studies.reconstruction.report.shared_figures import (
    curves_figure,
    doubtful_sentence,
    reconstruction_figure,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
    document = open_document(run, "Random split of everything: soil organic carbon", run.name)
    document.add(*_opening(run, parts))
    document.section("Beside the published Table 1", _table_1(run, parts))
    if len(parts) > 1:
        document.section("What drawing by row gains from shared pedons", _difference_by_parting(parts))
    document.section("Mean over draws")
    for kind, part in parts.items():
        common = f"Drawn {_SOURCES[kind]}; mean over draws ± standard error (SD/√n), held-out rows."
        document.add(*scores.mean_tables(part, common))
    _figures(document, run, parts)
    sections.status_section(document, run)
    sections.exposure_section(document, run, _uses(run))
    closing_sections(document, run, MODEL_LABELS)
    return document.write()


def by_parting(run: Run) -> dict[str, Run]:
    """The run by what was drawn, "group" and "row"; a kind without draws is absent."""
    of = {"row": [name for name in run.regions if name.endswith(BY_ROW)]}
    of = {"group": [name for name in run.regions if name not in of["row"]]} | of

    def part(names: list[str]) -> Run:
        # Loss curves are not parted: history.csv has no regions.
        return run.part(
            lambda lines: np.isin(lines["region"], names) if "region" in lines else np.full(len(lines), True)
        )

    return {kind: part(names) for kind, names in of.items() if names}


def _opening(run: Run, parts: dict[str, Run]) -> list[str]:
    share = settings(run).get("share", 0.6)
    counted = " and ".join(f"{len(part.regions)} {_SOURCES[kind]}" for kind, part in parts.items())
    repeated = "row" not in parts and "row" in settings(run).get("parting", ())
    return [
        f"{number(100 * share, 0)} % of the rows train, the others are held out; random splits: {counted}. "
        f"Models: {', '.join(model_label(model) for model in run.models)}.",
        "Drawn by group, all rows of a sample and of a pedon lie on one side. The paper draws rows and ignores "
        "groups, so that horizons of one pedon lie on both sides. All regions lie on both sides in either case: "
        "this baseline says nothing about a new region, for which see the region_out experiment.",
        "No draw by row would part a group of these data, so they would repeat those by group." if repeated else "",
        dagger_sentence(any(run.untrusted(model) for model in run.models)),
    ]


def _table_1(run: Run, parts: dict[str, Run]) -> Table:
    notes = (
        *sections.dagger_notes(run, run.models),
        *sections.train_note(run),
        *sections.unbounded_note(run),
        "The paper's split is drawn by row; it gives its standard errors over 10 seeds.",
        ALIKE_NOT,
        f"Source: {published.RECONSTRUCTION_SOURCE}.",
    )
    here = [scores.our_lines(part, source=f"here, {_SOURCES[kind]}") for kind, part in parts.items()]
    return scores.beside_table(
        [scores.paper_lines(1), *here],
        {"model": "Model", "source": "Source"},
        title="SOC in % by mass, mean ± standard error over draws; paper: RaCA, 10 seeds.",
        notes=notes,
    )


def _difference_by_parting(parts: dict[str, Run]) -> Table:
    """The same models on both kinds of draws, and the difference."""
    group, row = parts["group"], parts["row"]
    lines = []
    for model in group.models:
        for measure in _LEAK_METRICS:
            values = {kind: scores.average(part.results, model, *measure) for kind, part in parts.items()}
            (row_mean, row_se), (group_mean, group_se) = values["row"], values["group"]
            values["difference"] = row_mean - group_mean, math.hypot(row_se, group_se)
            doubtful = bool(group.untrusted(model))
            lines += [(model, measure, kind, mean, se, doubtful) for kind, (mean, se) in values.items()]
    return pivot_table(
        pd.DataFrame(lines, columns=pd.Index(["model", "measure", "kind", "mean", "se", "doubtful"])),
        ["model", "measure"],
        "kind",
        ("mean", "se"),
        title="The same models on splits drawn by group and by row, held-out rows, mean ± standard error over draws.",
        order={"kind": ("group", "row", "difference")},
        labels={
            "model": model_label,
            "measure": _LEAK_METRICS,
            "kind": {"group": "By group", "row": "By row", "difference": "By row − by group"},
        },
        marks={"model": "doubtful"},
        notes=(
            "Error of the difference: from the two standard errors, as of independent draws.",
            f"By row: {'; '.join(sorted({trial.exposure for trial in row.trials}))}.",
            *sections.dagger_notes(group, group.models),
        ),
    )


def _uses(run: Run) -> list[tuple[str, str, str]]:
    rows = [("SOC scores (CCC, RMSE, bias, R2, RPIQ)", "through the finished model", "to score")]
    if any(model in published.MODELS for model in run.models):
        rows.append(("Choice of epoch, convergence", "none: training rows only", "none"))
    if run.reconstructions:
        rows += sections.reconstruction_uses()
    return rows


def _figures(document: Document, run: Run, parts: dict[str, Run]) -> None:
    document.section("Figures")
    styles, doubtful = styles_of(run), doubtful_sentence(run, run.models)
    caption = (
        "RMSE and R2 of SOC in % on the held-out rows, mean and standard error over draws, beside the published "
        f"Table 1 (other data). Triangles that point left: R2 below {number(_LOWEST_R2, 1)}." + doubtful
    )
    document.draw(comparison(run, parts), "table_1", caption)
    for kind, part in parts.items():
        panels = _scatter_panels(part)
        title = f"Drawn {_SOURCES[kind]}, all draws"
        figure = figures.predicted_vs_observed(panels, title=title, color=OKABE_ITO[2], floor=SOC_FLOOR)
        caption = (
            f"Predicted against observed SOC of the held-out rows, drawn {_SOURCES[kind]}; grey: 1:1. CCC on the log10 "
            f"scale, mean over draws. Values outside {SOC_FLOOR:g} to {figures.CEILING:g} % are drawn at the edge."
        )
        document.draw(figure, f"predicted_vs_observed_{kind}", caption + doubtful)
    first = next(iter(parts.values()))
    reconstruction_figure(document, first, styles, f"draws {_SOURCES[next(iter(parts))]}")
    curves_figure(document, run, styles)


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
    look = {"paper": Look("paper (RaCA)", GREY, "D")} | {
        kind: Look(f"here, {_SOURCES[kind]}", color, marker)
        for kind, color, marker in (("group", OKABE_ITO[2], "o"), ("row", OKABE_ITO[3], "s"))
        if kind in parts
    }
    theirs = {line.model: line.test for line in published.rows(1)}
    figure = new_figure(WIDTH, 1.1 + 0.42 * len(run.models))
    panels = figure.subplots(1, 2, sharey=True)
    for panel, metric, label in zip(panels, ("rmse", "r2"), ("RMSE (% SOC)", "R2 (dimensionless)"), strict=True):
        for place, model in enumerate(run.models):
            values = {kind: scores.average(part.results, model, "percent", metric) for kind, part in parts.items()}
            if model in theirs:
                values["paper"] = (theirs[model][metric].mean, theirs[model][metric].se)
            for shift, kind in zip((-0.22, 0.0, 0.22), ("paper", "group", "row"), strict=True):
                mean, se = values.get(kind, (math.nan, math.nan))
                if math.isfinite(mean):
                    low = metric == "r2" and mean < _LOWEST_R2
                    drawn = dataclasses.replace(look[kind], marker="<") if low else look[kind]
                    points(panel, _LOWEST_R2 if low else mean, place + shift, drawn, xerr=0.0 if low else se)
        panel.set_xlabel(label)
        light_grid(panel)
    panels[1].set_xlim(left=max(panels[1].get_xlim()[0], _LOWEST_R2 - 0.05))
    names_axis(panels[0], [sections.marked_label(run, model) for model in run.models])
    legend(figure, look, size=4.5)
    return figure
