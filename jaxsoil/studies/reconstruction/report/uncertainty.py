"""Section of a report: intervals on regions never seen, what they cover, and what to measure again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxsoil.report.document import Document
from jaxsoil.report.prose import Prose
from jaxsoil.report.run_files import where
from jaxsoil.report.style import GREY, OKABE_ITO, Look, grid, legend, styled
from jaxsoil.report.tables import Table, percent, pivot_table, rows_table
from jaxsoil.studies.reconstruction.report.reading import Run, model_label
from jaxsoil.studies.reconstruction.uncertainty import GOAL, HALF, LEAST, LEVEL, POOLED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METHODS = {
    "split": "rows exchangeable (split)",
    "region": "regions exchangeable",
    "classifier": "weighted, classifier",
    "density": "weighted, densities",
    "cross": "CV+ by region",
}
RANKINGS = {
    "random": "at random",
    "width": "interval width (factor)",
    "width_percent": "interval width (%)",
    "strangeness": "strangeness of the spectrum",
    "spectrum_rmse": "reconstruction error",
    "latent_distance": "latent distance",
    "error": "best possible (true errors)",
}
_LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), "-.", "-", (0, (5, 1.5)), (0, (1, 1)))
_COLORS = (OKABE_ITO[0], OKABE_ITO[2], OKABE_ITO[3], OKABE_ITO[4], OKABE_ITO[5], OKABE_ITO[1], GREY)
_PROSE = Prose(__package__, "uncertainty", least=LEAST, level=f"{100 * LEVEL:g}", goal=f"{100 * GOAL:g}")


def uncertainty_section(document: Document, run: Run) -> None:
    """Adds definitions, coverage over regions and by region, and two figures; nothing where a run has no intervals."""
    if "coverage" not in run.tables:
        return
    means, remeasured = run.table("coverage_means"), run.table("remeasure_means")
    level = 100.0 * np.max(np.asarray(where(run.table("coverage_curve"), method="region")["level"]))
    definitions = _PROSE.items("definitions", region_level=level)
    document.section("How sure: intervals on regions never seen", *definitions)
    document.add(_mean_table(means), _region_table(run))
    kept = where(means, calibration=POOLED, rows="share")
    document.draw(coverage_curves(kept, _looks(METHODS)), "coverage", _PROSE.text("coverage_caption"))
    document.draw(remeasure_curves(remeasured, _looks(RANKINGS)), "remeasure", _PROSE.text("remeasure_caption"))


def _reached(share: float) -> str:
    return percent(share) if np.isfinite(share) else "never"


def _mean_table(means: pd.DataFrame) -> Table:
    lines = where(means, rows="share", kept=1.0)
    for name, part in (("half", where(means, rows="share", kept=HALF)), ("fit", where(means, rows="applicable"))):
        lines = lines.merge(part, on=["model", "calibration", "method"], suffixes=("", f"_{name}"))
    columns: dict[str | tuple[str, ...], Any] = {
        "model": "Model", "calibration": "Residuals", "method": "Method", "level": ("Nominal (%)", percent),
        "answered": ("Answered (%)", percent), "coverage": ("Coverage, regions (%)", percent),
        "pooled": ("Coverage, rows (%)", percent), "lowest": ("Lowest region (%)", percent),
        "regions": ("Regions", 0), "factor": ("Factor", 2), "answered_fit": ("Answered, applicable (%)", percent),
        "coverage_fit": ("Coverage, regions (%)", percent), "lowest_fit": ("Lowest region (%)", percent),
        "coverage_half": ("Coverage, half kept (%)", percent), "lowest_half": ("Lowest region (%)", percent),
        "most": (f"{100 * GOAL:g} % in each region up to (% answered)", _reached),
    }  # fmt: skip
    return rows_table(
        lines,
        columns,
        title="Coverage, mean over regions, of all rows, of the applicable ones and of the least strange half.",
        labels={"model": model_label, "method": METHODS},
        notes=_PROSE.notes("mean_notes", half=f"{100 * HALF:g}"),
    )


def _region_table(run: Run) -> Table:
    chosen = where(run.table("coverage_regions"), calibration=POOLED, rows="all")
    coverage: Any = where(chosen, metric="coverage")
    coverage = coverage.assign(head=coverage["method"].map(METHODS))
    facts: Any = where(chosen, method="density")
    facts = facts[facts["metric"].isin(["n", "applicable", "effective_n"])]
    facts = facts.assign(head=facts["metric"].map(_FACTS))
    heads = [*_FACTS.values(), *METHODS.values()]
    return pivot_table(
        pd.concat([facts, coverage]),
        {"model": "Model", "region": "Region"},
        "head",
        "value",
        title="Share of rows covered by region (%), residuals pooled, beside the share that is applicable.",
        fmt={"n": 0, _FACTS["effective_n"]: 0} | dict.fromkeys([*METHODS.values(), _FACTS["applicable"]], percent),
        order={"model": run.models, "region": run.regions, "head": heads},
        labels={"model": model_label},
        notes=_PROSE.notes("region_notes"),
    )


_FACTS = {"n": "n", "applicable": "Applicable", "effective_n": "Effective rows"}


def _looks(labels: Mapping[str, str]) -> dict[str, Look]:
    return {name: Look(label, _COLORS[place], line=_LINES[place]) for place, (name, label) in enumerate(labels.items())}


@styled
def coverage_curves(curve: pd.DataFrame, looks: Mapping[str, Look]) -> Figure:
    """A panel for each model: mean and lowest coverage of regions against the share of rows kept."""
    models = list(dict.fromkeys(curve["model"]))
    figure, panels = grid(
        len(models), xlabel="Rows kept (%)", ylabel="Rows covered (%)", sharex=True, sharey=True, extra=0.8
    )
    shown = [name for name in looks if name in set(curve["method"])]
    for panel, model in zip(panels, models, strict=True):
        for level in (LEVEL, GOAL):
            panel.axhline(100 * level, color=GREY, linewidth=0.6, zorder=0)
        for name in shown:
            rows: Any = where(curve, model=model, method=name)
            mine = rows.set_index("kept").sort_index()
            look: Any = {"color": looks[name].color, "linestyle": looks[name].line}
            panel.plot(100 * mine.index, 100 * mine["coverage"], linewidth=1.6, **look)
            panel.plot(100 * mine.index, 100 * mine["lowest"], linewidth=0.7, **look)
        panel.set_title(model_label(model), loc="left", pad=3)
        panel.set_xlim(0, 100)
    panels[0].set_ylim(top=101)
    legend(figure, [looks[name] for name in shown])
    return figure


@styled
def remeasure_curves(remeasured: pd.DataFrame, looks: Mapping[str, Look]) -> Figure:
    """A panel for each model: RMSE of log10 SOC of the table against the share of it that is measured."""
    models = list(dict.fromkeys(remeasured["model"]))
    ylabel = "RMSE of log10 SOC (log10 %)"
    figure, panels = grid(len(models), xlabel="Measured (%)", ylabel=ylabel, sharex=True, sharey=True, extra=0.8)
    shown = [name for name in looks if name in set(remeasured["ranking"])]
    for panel, model in zip(panels, models, strict=True):
        for name in shown:
            rows: Any = where(remeasured, model=model, ranking=name)
            mine = rows.set_index("measured")["rmse_log10"].sort_index()
            if len(mine):
                look: Any = {"color": looks[name].color, "linestyle": looks[name].line}
                panel.plot(100 * mine.index, mine, linewidth=1.3, **look)
        panel.set_title(model_label(model), loc="left", pad=3)
        panel.set_xlim(0, 100)
    panels[0].set_ylim(bottom=0)
    legend(figure, [looks[name] for name in shown])
    return figure
