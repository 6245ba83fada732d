"""Report of the random split (baseline, Table 1 of the reconstruction paper), by group and by row."""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from jaxsoil.report import figures, style
from jaxsoil.report.document import Document, Item
from jaxsoil.report.prose import Prose
from jaxsoil.report.run_files import where
from jaxsoil.report.run_sections import ALIKE_NOT, closing_sections, dagger_sentence, open_document
from jaxsoil.report.tables import Table, number, pivot_table
from jaxsoil.studies.reconstruction.baseline_split import DIFFERENCE
from jaxsoil.studies.reconstruction.config import BY_ROW
from jaxsoil.studies.reconstruction.report import published, region_sections, scores, sections, shared_figures
from jaxsoil.studies.reconstruction.report.reading import MODEL_LABELS, Run, model_label, read_run, styles_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PROSE = Prose(__package__, "baseline_split")
_SOURCES = {"paper": "paper", "group": "by group", "row": "by row"}
_LEAK_METRICS = {
    ("percent", "rmse"): "RMSE (%)",
    ("percent", "r2"): "R2 of SOC in %",
    ("log10", "rmse"): "RMSE (log10 %)",
    ("log10", "ccc"): "CCC of log10",
}
_LOWEST_R2 = -0.5


def write_report(run_folder: str | os.PathLike[str]) -> Path:
    """Writes report.md, report.html and figures/ into the folder of a finished run; returns the path of the HTML.

    Raises:
      DataError: if a file of the run is missing or damaged.
    """
    run = read_run(run_folder)
    run.table("draws")
    parts = by_parting(run)
    document = open_document(run, "Random split of everything: soil organic carbon", run.name)
    doubtful = sections.doubtful_sentence(run, run.models)
    caption = _PROSE.text("caption", lowest=_LOWEST_R2) + doubtful
    what, *more = _opening(run, parts)
    document.opening(str(what), document.picture(comparison(run, parts), "table_1", caption))
    document.section("What was run", *more)
    document.section("Beside the published Table 1", _table_1(run, parts))
    if len(parts) > 1:
        document.section("What drawing by row gains from shared pedons", _difference_by_parting(parts))
    document.section("Mean over draws")
    for kind, part in parts.items():
        common = f"Drawn {_SOURCES[kind]}; mean over draws ± standard error (corrected), held-out rows."
        document.add(*scores.mean_tables(part, common, kind))
    document.section("Models against each other", *region_sections.by_draw(run, parts))
    _figures(document, run, parts)
    sections.status_section(document, run)
    watched = run.networks and "training rows"
    uses = sections.PROSE.rows("uses", watched=watched, reconstructions=bool(run.reconstructions))
    sections.exposure_section(document, run, uses)
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


def _opening(run: Run, parts: dict[str, Run]) -> list[Item]:
    values = {
        "share": run.settings.get("share", 0.6),
        "counted": [f"{len(part.regions)} {_SOURCES[kind]}" for kind, part in parts.items()],
        "repeated": "row" not in parts and "row" in run.settings.get("parting", ()),
    }
    opening = [*_PROSE.items("opening", run=run, **values), _PROSE.text("overlap", overlap=run.overlap)]
    return [*opening, dagger_sentence(run.doubtful)]


def _table_1(run: Run, parts: dict[str, Run]) -> Table:
    notes = (
        *sections.dagger_notes(run, run.models),
        *sections.train_note(run),
        *sections.unbounded_note(run),
        *_PROSE.notes("table_notes", spread=published.spread),
        ALIKE_NOT,
        f"Source: {published.RECONSTRUCTION_SOURCE}; earlier paper: {published.EARLIER_SOURCE}.",
    )
    here = [scores.our_lines(part, kind, source=f"here, {_SOURCES[kind]}") for kind, part in parts.items()]
    return scores.beside_table(
        [published.earlier().assign(doubtful=False, source="earlier paper"), scores.paper_lines(1), *here],
        {"model": "Model", "source": "Source"},
        title="SOC in % by mass, mean ± standard error over draws; paper: RaCA, 10 seeds.",
        notes=notes,
        order={"model": [published.EARLIER_MODEL, *published.MODELS, *MODEL_LABELS]},
        labels={"model": lambda name: published.MODELS.get(name, published.EARLIER.get(name) or model_label(name))},
    )


def _difference_by_parting(parts: dict[str, Run]) -> Table:
    """The same models on both kinds of draws, and the difference."""
    group, heads = parts["group"], {"group": "By group", "row": "By row", DIFFERENCE: "By row − by group"}
    lines = pd.concat([scores.averages(group, part, split="test") for part in heads])
    lines["measure"] = list(zip(lines["scale"], lines["metric"], strict=True))
    return pivot_table(
        pd.DataFrame(lines[lines["measure"].isin(list(_LEAK_METRICS))]),
        ["model", "measure"],
        "part",
        ("mean", "se"),
        title="The same models on splits drawn by group and by row, held-out rows, mean ± standard error over draws.",
        order={"model": group.models, "measure": _LEAK_METRICS, "part": heads},
        labels={"model": model_label, "measure": _LEAK_METRICS, "part": heads},
        marks={"model": "doubtful"},
        notes=(
            *_PROSE.notes("difference_notes", exposures=sorted({trial.exposure for trial in parts["row"].trials})),
            *sections.dagger_notes(group, group.models),
        ),
    )


def _figures(document: Document, run: Run, parts: dict[str, Run]) -> None:
    document.section("Figures")
    styles, doubtful = styles_of(run), sections.doubtful_sentence(run, run.models)
    for kind, part in parts.items():
        title, of = f"Drawn {_SOURCES[kind]}, all draws", f"of the held-out rows, drawn {_SOURCES[kind]}"
        look = {"color": style.OKABE_ITO[2], "average": ", mean over draws", "end": doubtful}
        shared_figures.scatter_figure(document, _scatter_panels(part, kind), title, of, kind, **look)
    kind, first = next(iter(parts.items()))
    shared_figures.reconstruction_figure(document, first, styles, f"draws {_SOURCES[kind]}")
    shared_figures.curves_figure(document, run, styles)


def _scatter_panels(part: Run, kind: str) -> list[figures.ScatterPanel]:
    panels = []
    for model in part.models:
        rows = where(part.predictions, model=model)
        text = f"CCC {number(scores.average(part, model, 'log10', 'ccc', part=kind)[0], 2)}\nn = {len(rows)}"
        name = sections.marked(published.MODELS.get(model, model_label(model)), part, model)
        panels.append(figures.ScatterPanel(name, rows["observed"], rows["predicted"], text))
    return panels


@style.styled
def comparison(run: Run, parts: dict[str, Run]) -> Figure:
    """RMSE and R2 of each model: published, by group and by row."""
    look = {"paper": style.Look("paper (RaCA)", style.GREY, "D")} | {
        kind: style.Look(f"here, {_SOURCES[kind]}", color, marker)
        for kind, color, marker in (("group", style.OKABE_ITO[2], "o"), ("row", style.OKABE_ITO[3], "s"))
        if kind in parts
    }
    theirs = where(published.rows(1), split="test").set_index(["model", "metric"])
    figure = style.new_figure(style.WIDTH, 1.1 + 0.42 * len(run.models))
    panels = figure.subplots(1, 2, sharey=True)
    for panel, metric, label in zip(panels, ("rmse", "r2"), ("RMSE (% SOC)", "R2 (dimensionless)"), strict=True):
        for place, model in enumerate(run.models):
            values = {kind: scores.average(part, model, "percent", metric, part=kind) for kind, part in parts.items()}
            if (model, metric) in theirs.index:
                values["paper"] = tuple(theirs.loc[(model, metric), ["mean", "se"]])
            for shift, kind in zip((-0.22, 0.0, 0.22), ("paper", "group", "row"), strict=True):
                mean, se = values.get(kind, (math.nan, math.nan))
                if math.isfinite(mean):
                    low = metric == "r2" and mean < _LOWEST_R2
                    drawn = dataclasses.replace(look[kind], marker="<") if low else look[kind]
                    style.points(panel, _LOWEST_R2 if low else mean, place + shift, drawn, xerr=0.0 if low else se)
        panel.set_xlabel(label)
        style.light_grid(panel)
    panels[1].set_xlim(left=max(panels[1].get_xlim()[0], _LOWEST_R2 - 0.05))
    style.names_axis(panels[0], [sections.marked_label(run, model) for model in run.models])
    style.legend(figure, look, size=4.5)
    return figure
