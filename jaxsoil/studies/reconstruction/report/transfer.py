"""Section of a report: the matrix of transfer, trained on one region alone and tested on each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxsoil.evaluation.results import CONVERGED, FITTED
from jaxsoil.report import style
from jaxsoil.report.document import Document
from jaxsoil.report.prose import Prose
from jaxsoil.report.run_files import where
from jaxsoil.report.run_sections import settings
from jaxsoil.report.tables import marked, natural_sorted, number, rows_table
from jaxsoil.studies.reconstruction.report.reading import Run, model_label

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PROSE = Prose(__package__, "transfer")

_LIMITS = (-0.2, 1.0)
"""CCC at the ends of the colours; lower ones have that of the lower end."""


def transfer_section(document: Document, run: Run) -> None:
    """Adds the matrix as a heatmap for each model, and its means; nothing where the run has none."""
    if "transfer" not in run.tables:
        return
    cells = where(run.tables["transfer"], scale="log10", metric="ccc")
    present, lost = set(cells["model"]), run.table("transfer_trials")
    lost = lost[~lost["status"].isin([CONVERGED, FITTED])]
    counts = {
        model: f"{(lost['model'] == model).sum()} of {(run.table('transfer_trials')['model'] == model).sum()}"
        for model in run.models
        if model in set(lost["model"])
    }
    doubtful = [f"{model_label(model)} {count} trainings" for model, count in counts.items()]
    folds = settings(run).get("transfer_folds", "a few")
    document.section("From one region to another", _PROSE.text("what", folds=folds))
    columns: dict[str | tuple[str, ...], Any] = {
        "model": "Model", "metric": "Log10 SOC", "within": ("Same region, cross-validated", 2),
        "between": ("One other region", 2), "others": ("All other regions", 2), "regions": ("Regions", 0),
    }  # fmt: skip
    names = {name: marked(model_label(name), name in counts) for name in run.models}
    labels = {"model": names, "metric": {"ccc": "CCC", "rmse": "RMSE (log10 %)"}}
    title = "Mean over tested regions, by what the model was trained on."
    means, notes = run.table("transfer_means"), _PROSE.notes("doubtful", models=doubtful) if doubtful else ()
    document.add(rows_table(means, columns, title=title, labels=labels, left=(0, 1), notes=notes))
    why = cells.loc[(cells["reason"] != "") & cells["reason"].notna()]
    reasons = why.drop_duplicates(subset=["trained_on", "kind", "reason"])
    named = sorted({f"{row['trained_on']} ({row['kind']}): {row['reason']}." for row in reasons.to_dict("records")})
    document.add(named)
    for model in [name for name in run.models if name in present]:
        figure = heatmap(where(cells, model=model), run.regions)
        caption = _PROSE.text("caption", model=names[model], low=_LIMITS[0])
        document.draw(figure, f"transfer_{model}", caption)


@style.styled
def heatmap(cells: pd.DataFrame, regions: Sequence[str]) -> Figure:
    """CCC by trained (rows) and tested region (columns), written into the cells, those of the diagonal framed.
    ``cells``: rows of transfer.csv of one model and metric; NaN and absent ones are hatched."""
    from matplotlib.patches import Rectangle

    names = [*regions, *natural_sorted({*cells["trained_on"], *cells["tested_on"]} - set(regions))]
    values = cells.pivot(index="trained_on", columns="tested_on", values="value").reindex(index=names, columns=names)
    count = len(names)
    side = min(0.42, 5.4 / count)
    # Cells are square: the figure is as wide as they need, with names on the left and the scale on the right.
    figure = style.new_figure(min(style.WIDTH, 2.3 + side * count), 1.0 + side * count)
    axis = figure.subplots()
    for spine in axis.spines.values():
        spine.set_visible(False)
    shown = np.ma.masked_invalid(values.to_numpy(dtype=np.float64))
    image = axis.imshow(shown, cmap="cividis", vmin=_LIMITS[0], vmax=_LIMITS[1], interpolation="nearest")
    for row in range(count):
        for column in range(count):
            corner, value = (column - 0.5, row - 0.5), shown[row, column]
            if np.ma.is_masked(value):
                axis.add_patch(Rectangle(corner, 1, 1, fill=False, hatch="////", edgecolor=style.GREY, linewidth=0.0))
                continue
            dark = float(value) < 0.5 * sum(_LIMITS)
            text = number(float(value), 2).replace("0.", ".", 1)
            axis.text(column, row, text, ha="center", va="center", fontsize=6, color="white" if dark else "black")
        frame: dict[str, Any] = {"fill": False, "edgecolor": style.OKABE_ITO[3], "linewidth": 1.4, "clip_on": False}
        axis.add_patch(Rectangle((row - 0.5, row - 0.5), 1, 1, zorder=3, **frame))
    short = [style.shortened(name, 16) for name in names]
    axis.set_xticks(range(count), short, rotation=90 if max(map(len, short)) > 4 else 0)
    axis.set_yticks(range(count), short)
    axis.tick_params(length=0)
    axis.set_xlabel("Tested on region")
    axis.set_ylabel("Trained on region alone")
    bar = figure.colorbar(image, ax=axis, shrink=0.8, extend="min")
    bar.set_label("CCC of log10 SOC (dimensionless)")
    return figure
