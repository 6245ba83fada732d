"""Sections on regions: what models saw, how they compare, what regions hold, which fail, and the matrix of transfer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pandas as pd

from jaxsoil.evaluation.compare import Interval
from jaxsoil.evaluation.regions import GENERALISING, PROBLEMATIC
from jaxsoil.evaluation.results import CONVERGED, FITTED
from jaxsoil.models.config import Input
from jaxsoil.report import style
from jaxsoil.report.document import Document, Item
from jaxsoil.report.prose import Prose
from jaxsoil.report.run_files import where
from jaxsoil.report.tables import Table, marked, natural_sorted, number, pivot_table, rows_table
from jaxsoil.studies.reconstruction.config import SocLoss
from jaxsoil.studies.reconstruction.report import published, scores
from jaxsoil.studies.reconstruction.report.reading import Run, model_label
from jaxsoil.studies.reconstruction.report.sections import dagger_notes, marked_label
from jaxsoil.studies.reconstruction.summaries import ALL, MEASURED, UNTESTED
from jaxsoil.studies.reconstruction.tables import OWN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PROSE = Prose(__package__, "region_sections", label=model_label)

INPUTS: dict[str, str] = {"reflectance": "reflectance", "absorbance": "absorbance", "snv": "SNV of absorbance"}
LOSSES: dict[str, str] = {"linear": "linear SOC", "proportional": "SOC, proportional sigma", "log": "log10 SOC"}


def settings_sentence(run: Run) -> str:
    """Which models saw what and had which loss; those with one setting are named together."""
    alike: dict[tuple[str, str], list[str]] = {}
    for model in run.models:
        mine = where(run.tables["trials"], model=model)
        if len(mine):
            alike.setdefault((str(mine["input"].iloc[0]), str(mine["loss"].iloc[0])), []).append(model_label(model))
    groups = [(names, INPUTS.get(what, what), LOSSES.get(loss, loss)) for (what, loss), names in alike.items()]
    return _PROSE.text("settings", groups=groups)


def scale_notes(run: Run) -> tuple[str, ...]:
    """What the scores on the two scales are scores of, with the median factor of each model of log10 SOC."""
    found: Any = scores.averages(run, metric="smearing").set_index("model")["median"]
    factors = [f"{model_label(model)} {number(found[model], 2)}" for model in run.models if model in found.index]
    return _PROSE.notes("scales", factors=factors) if factors else ()


def with_modelled_table(run: Run) -> list[Table]:
    """Means over regions with measured SOC beside those over all regions; nothing where no SOC is modelled."""
    if not run.modelled:
        return []
    heads = {MEASURED: f"{len(run.measured)} regions, measured SOC", ALL: f"all {len(run.regions)} regions"}
    rows = where(run.table("averages"), split="test", scale="log10")
    table = pivot_table(
        pd.DataFrame(rows[rows["metric"].isin(["ccc", "rmse"]) & rows["part"].isin(list(heads))]),
        "model",
        ("metric", "part"),
        "mean",
        title="Means over regions without and with those whose SOC is modelled from spectra.",
        fmt={"ccc": 2, "rmse": 3},
        order={"model": run.models, "metric": ("ccc", "rmse"), "part": tuple(heads)},
        labels={
            "model": model_label,
            "metric": {"ccc": "CCC (log10)", "rmse": "RMSE (log10 %)"},
            "part": heads,
        },
        notes=_PROSE.notes("modelled", modelled=natural_sorted(set(run.modelled))),
    )
    return [table]


def grid_section(document: Document, run: Run) -> None:
    """Adds the grid of inputs and losses, a row for each model and input; nothing where each model has one setting."""
    if not len(run.grid_trials) or not any(run.grid_trials["variant"].tolist()):
        return
    status: dict[Any, set[str]] = {
        key: set(found["status"]) - {CONVERGED, FITTED} for key, found in run.grid_trials.groupby(["model", *OWN])
    }
    tables = []
    for scale, metric, name, digits in (("log10", "ccc", "CCC of log10 SOC", 2), ("percent", "rmse", "RMSE in %", 3)):
        means = where(run.grid, part=MEASURED, split="test", scale=scale, metric=metric)
        keys = zip(*(means[key] for key in ("model", *OWN)), strict=True)
        tables.append(
            pivot_table(
                means.assign(doubtful=[bool(status.get(key)) for key in keys]),
                {"model": "Model", "input": "Input"},
                "loss",
                "mean",
                title=f"{name} by model, input and SOC loss, mean over {len(run.measured)} held-out regions.",
                fmt=digits,
                order={"model": run.models, "input": get_args(Input), "loss": get_args(SocLoss)},
                labels={"model": model_label, "input": INPUTS, "loss": LOSSES},
                marks={"mean": "doubtful"},
                notes=_PROSE.notes("grid", doubtful=any(status.values())),
            )
        )
    document.section("Grid of inputs and losses", _PROSE.text("grid_text"), *tables)


_MEASURES = (("log10", "ccc"), ("log10", "rmse"), ("percent", "r2"))


def by_region(run: Run, best: str) -> list[Item]:
    """Each other model against ``best``, regions paired: intervals, and the tests by rank."""
    rows = []
    for model in run.models:
        if model != best:
            found = [scores.interval(run, (model, best), *measure) for measure in _MEASURES]
            cells = [scores.interval_text(one, metric) for one, (_, metric) in zip(found, _MEASURES, strict=True)]
            rows.append((marked_label(run, model), *cells, *scores.ranked(run, (model, best), "log10", "rmse")))
    if not rows:
        return []
    label = marked_label(run, best)
    header = (
        f"{label} minus", "CCC (log10)", "RMSE (log10 %)", "R2, pseudo-median", "Regions better, RMSE (log10)",
        "p, signed rank", "p, sign",
    )  # fmt: skip
    notes = (*_PROSE.notes("region_notes"), *dagger_notes(run, run.models))
    return [Table(f"{label} against each other model, held-out regions paired.", header, tuple(rows), notes)]


def by_draw(run: Run, parts: Mapping[str, Run]) -> list[Item]:
    """The models of a random split against that of the lowest RMSE of log10 SOC, draws paired."""
    tables: list[Item] = []
    for kind, part in parts.items():
        found = where(run.table("draw_intervals"), parting=kind, split="test")
        means = {model: scores.average(part, model, "log10", "rmse", part=kind)[0] for model in part.models}
        known = {model: mean for model, mean in means.items() if np.isfinite(mean)}
        if len(known) < 2:
            continue
        best = min(known, key=known.__getitem__)
        rows = tuple(
            (marked_label(part, model), *(_cell(found, model, best, *measure) for measure in _MEASURES))
            for model in part.models
            if model != best
        )
        label = marked_label(part, best)
        header = (f"{label} minus", "CCC (log10)", "RMSE (log10 %)", "R2 of SOC in %")
        title = f"{label} against each other model on the same draws, drawn by {kind}, held-out rows."
        notes = (*_PROSE.notes("draw_notes"), *dagger_notes(part, part.models))
        tables.append(Table(title, header, rows, notes))
    return tables


def _cell(found: pd.DataFrame, first: str, second: str, scale: str, metric: str) -> str:
    row = where(found, first=first, second=second, scale=scale, metric=metric)
    if not len(row):
        return scores.interval_text(Interval(0, np.nan, np.nan, np.nan), metric)
    n, centre, low, high = (row[name].iloc[0] for name in ("n", "centre", "low", "high"))
    return scores.interval_text(Interval(int(n), centre, low, high), metric)


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
    asked = run.settings.get("pedons_per_region", "few")
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
    folds = run.settings.get("transfer_folds", "a few")
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
