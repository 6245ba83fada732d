"""Figures of the hybrid data set. Laboratories keep their colour and marker through all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxsoil.report import style
from jaxsoil.report.run_files import where
from jaxsoil.report.style import OKABE_ITO, Look, legend, points, shifts, styled
from jaxsoil.report.tables import number
from jaxsoil.studies.hybrid.report.files import KINDS, METHODS, SCHEMES, HybridRun, column
from jaxsoil.studies.hybrid.results import MEASURED, MISLABELLED, PREDICTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KIND_LOOKS = {
    MEASURED: Look(KINDS[MEASURED], OKABE_ITO[2], "o", "-"),
    PREDICTED: Look(KINDS[PREDICTED], OKABE_ITO[1], "D", "--"),
}
COVERAGE_LOOKS = {
    "out of fold": Look("random folds, out of fold", OKABE_ITO[2], "o", "-"),
    "held-out rows": Look("held-out rows that no fold trains on", OKABE_ITO[0], "s", "-"),
    "imputed rows not flagged, true values": Look("imputed rows not flagged, true values", OKABE_ITO[4], "^", "-"),
    "imputed rows flagged, true values": Look("imputed rows flagged, true values", OKABE_ITO[5], "P", "-"),
    "laboratory out, calibrated at random": Look("laboratory out, calibrated on random folds", OKABE_ITO[3], "D", "-"),
    "laboratory out, calibrated on the other laboratories": Look(
        "laboratory out, calibrated on other laboratories held out", OKABE_ITO[1], "v", "-"
    ),
}
METHOD_LOOKS = {
    "none": Look("no harmonisation", OKABE_ITO[0], "o"),
    "centre": Look(METHODS["centre"], OKABE_ITO[1], "^"),
    "direct": Look(METHODS["direct"], OKABE_ITO[2], "D"),
}
_DRAWN = 4000
"""Points of a laboratory that are drawn at most."""


@styled
def observed_predicted(run: HybridRun) -> Figure:
    """Predicted against measured values: a row for each property, random folds left, laboratory out right."""
    ours = where(run.tables["predictions"], model="cnn", harmonisation=run.method)
    schemes = [s for s in ("random", "laboratory") if (column(ours, "scheme") == s).any()]
    targets, side = list(run.properties), (style.WIDTH - 0.6) / 2
    figure = style.new_figure(0.6 + side * len(schemes), 0.5 + (side + 0.1) * len(targets))
    for line, target in zip(figure.subplots(len(targets), len(schemes), squeeze=False), targets, strict=True):
        for axis, scheme in zip(line, schemes, strict=True):
            rows = where(ours, scheme=scheme, property=target)
            if not len(rows):
                axis.set_visible(False)
                continue
            observed, predicted = column(rows, "observed"), column(rows, "predicted")
            top = 1.03 * float(max(observed.max(), predicted.max()))
            low = 0.97 * float(min(observed.min(), predicted.min()))
            if _rooted(run, target):
                low = 0.0
                _root_axis(axis, "xy", top)
            style.one_to_one(axis, low, top)
            size = float(np.clip(8000.0 / max(len(rows), 1), 4.0, 16.0))
            _by_laboratory(axis, run, rows, observed, predicted, s=size, alpha=0.6)
            axis.set(xlim=(low, top), ylim=(low, top), aspect="equal")
            axis.set(xlabel=run.axis(target, "Measured"), ylabel=run.axis(target, "Predicted"))
            scores = run.numbers(split=scheme, property=target, model="cnn")
            text = (
                f"n = {scores['n']:,.0f}\nR² = {number(scores['r2'], 2)}\n"
                f"RMSE = {number(scores['rmse'], 2)} {run.unit(target)}\nRPIQ = {number(scores['rpiq'], 2)}"
            )
            style.corner_text(axis, text, style.free_corner(axis, observed, predicted), fontsize=7.5)
            axis.set_title(f"{run.label(target)}: {SCHEMES[scheme]}", loc="left")
    legend(figure, _laboratory_looks(run), place="below", title="Laboratory")
    return figure


def _laboratory_looks(run: HybridRun) -> dict[str, Look]:
    """A look for each laboratory, the largest first."""
    return style.looks({name: name for name in run.laboratories})


def _by_laboratory(axis: Axes, run: HybridRun, rows: pd.DataFrame, x: np.ndarray, y: np.ndarray, **more: Any) -> None:
    for name, look in _laboratory_looks(run).items():
        here = np.flatnonzero(column(rows, "laboratory") == name)[:_DRAWN]
        axis.scatter(x[here], y[here], color=look.color, marker=look.marker, linewidths=0, **more)


@styled
def coverage(run: HybridRun) -> Figure:
    """Share of observations within their intervals, against the nominal coverage."""
    found = where(run.tables["coverage"], laboratory="all")
    drawn = {kind: look for kind, look in COVERAGE_LOOKS.items() if (column(found, "kind") == kind).any()}
    lowest = column(found, "coverage")[found["kind"].isin([*drawn])].min()
    named: dict[str, Any] = {"xlabel": "Nominal coverage", "ylabel": "Observations within their interval"}
    figure, axes = style.grid(len(run.properties), panel=2.7, extra=0.6, sharex=True, sharey=True, **named)
    for axis, target in zip(axes, run.properties, strict=True):
        style.one_to_one(axis, 0.45, 1.0)
        axis.fill_between([0.45, 1.0], [0.43, 0.98], [0.47, 1.02], color=style.GREY, alpha=0.2, linewidth=0)
        for (kind, look), shift in zip(drawn.items(), shifts(len(drawn), 0.012), strict=True):
            rows = where(found, property=target, kind=kind)
            y = column(rows, "coverage")
            ends = np.stack([y - column(rows, "lowest"), column(rows, "highest") - y]).clip(min=0.0)
            if len(rows):
                points(axis, column(rows, "nominal") + shift, y, look, yerr=ends, size=3.5, linewidth=0.8)
        axis.set_title(run.label(target), loc="left")
        axis.set(xlim=(0.47, 0.98), ylim=(min(0.4, float(np.floor(10.0 * lowest - 0.3) / 10.0)), 1.02))
    legend(figure, drawn, place="below", columns=1 if len(axes) == 1 else 2)
    return figure


@styled
def harmonisation(run: HybridRun) -> Figure | None:
    """RMSE of each laboratory that is held out, by harmonisation: the network filled, PLSR open; None without."""
    if not run.data["held_laboratories"]:
        return None
    rows = where(run.rows(split="laboratory", harmonisation="", region="", model=("cnn", "plsr")), metric="rmse")
    targets = [name for name in run.properties if (column(rows, "property") == name).any()]
    names = [name for name in [*run.laboratories, "all"] if (column(rows, "region") == name).any()]
    methods = {name: look for name, look in METHOD_LOOKS.items() if (column(rows, "harmonisation") == name).any()}
    figure = style.new_figure(0.8 * style.WIDTH, 0.9 + len(targets) * (0.5 + 0.26 * len(names)))
    kinds = [(method, model) for method in methods for model in ("cnn", "plsr")]
    for axis, target in zip(figure.subplots(len(targets), 1, squeeze=False).ravel(), targets, strict=True):
        for (method, model), shift in zip(kinds, shifts(len(kinds), 0.3), strict=True):
            for place, name in enumerate(names):
                found = where(rows, property=target, region=name, harmonisation=method, model=model)
                if len(found):
                    value = column(found, "value")
                    points(axis, value, place + shift, methods[method], trusted=model == "cnn", size=4)
        style.names_axis(axis, ["all together" if name == "all" else name for name in names])
        axis.axhline(len(names) - 1.5, color=style.GREY, linewidth=0.6)
        axis.set_xscale("log")
        style.log_ticks(axis.xaxis)
        axis.set_xlabel(run.axis(target, "RMSE of", ", laboratory held out"))
        style.light_grid(axis, "x")
    legend(figure, methods, place="below", title="Filled: network; open: PLSR", columns=1)
    return figure


@styled
def outliers(run: HybridRun) -> Figure:
    """Distance and residual of every spectrum, each over its limit; a twin's spoiled rows are ringed."""
    found = run.tables["outliers"]
    targets = [target for target in run.properties if (column(found, "property") == target).any()][:2]
    xlabel = "Distance in component space / its limit"
    figure, axes = style.grid(len(targets), panel=3.2, xlabel=xlabel, sharex=True, sharey=True)
    for axis, target in zip(axes, targets, strict=True):
        rows = where(found, property=target)
        x, y = (column(rows, name) / column(rows, f"{name}_limit") for name in ("distance", "residual"))
        _by_laboratory(axis, run, rows, x, y, s=6, alpha=0.5)
        spoiled = ~rows["spoiled"].isin(["", MISLABELLED]).to_numpy()
        axis.scatter(x[spoiled], y[spoiled], s=34, facecolors="none", edgecolors=OKABE_ITO[0], linewidths=0.7)
        axis.axvline(1.0, color=style.GREY, linewidth=0.8, linestyle="--")
        axis.axhline(1.0, color=style.GREY, linewidth=0.8, linestyle="--")
        axis.set(xscale="log", yscale="log")
        axis.set_title(f"Models of {run.label(target, inside=True)}", loc="left")
    for side in (axes[0].xaxis, axes[0].yaxis):
        style.log_ticks(side)
    axes[0].set_ylabel("Residual outside the components / its limit")
    title = "Laboratory (ring: a spectrum that the twin spoiled)" if run.data["synthetic"] else "Laboratory"
    legend(figure, _laboratory_looks(run), place="below", title=title)
    return figure


@styled
def distributions(run: HybridRun) -> Figure:
    """Measured against imputed values, as shares of rows in bins of equal width on the learning scale."""
    figure, axes = style.grid(len(run.properties), panel=2.4)
    for axis, target in zip(axes, run.properties, strict=True):
        rows = where(run.tables["hybrid"], property=target)
        value, kind = column(rows, "value"), column(rows, "kind")
        scale, back = (np.sqrt, np.square) if _rooted(run, target) else (np.asarray, np.asarray)
        sizes = {name: int((kind == name).sum()) for name in KIND_LOOKS}
        bins = int(np.clip(2.0 * np.sqrt(min(size for size in sizes.values() if size)), 6, 36))
        edges = np.linspace(scale(value.min()), scale(value.max()) + 1e-9, bins + 1)
        for name, look in KIND_LOOKS.items():
            if sizes[name]:
                share = np.histogram(scale(value[kind == name]), edges)[0] / sizes[name]
                axis.stairs(100 * share, back(edges), color=look.color, linestyle=look.line, linewidth=1.3)
        axis.set_title(", ".join(f"{size:,} {KINDS[name]}" for name, size in sizes.items()), loc="left")
        if _rooted(run, target):
            _root_axis(axis, "x", float(value.max()))
        axis.set(xlabel=run.axis(target), ylabel="Share of rows per bin (%)", ylim=(0, None))
    legend(figure, [Look(look.label, look.color, line=look.line) for look in KIND_LOOKS.values()], place="below")
    return figure


@styled
def depths(run: HybridRun) -> Figure | None:
    """Median and quartiles by depth of measured and imputed values; None without depths."""
    if "depths" not in run.tables or not len(run.tables["depths"]):
        return None
    found = run.tables["depths"]
    names = dict(sorted(zip(found["place"], found["depth"], strict=True)))
    figure, axes = style.grid(len(run.properties), panel=3.2, sharey=True)
    for axis, target in zip(axes, run.properties, strict=True):
        for (kind, look), shift in zip(KIND_LOOKS.items(), shifts(2, 0.12), strict=True):
            rows = where(found, property=target, kind=kind)
            middle = column(rows, "median")
            ends = np.stack([middle - column(rows, "q25"), column(rows, "q75") - middle])
            points(axis, middle, column(rows, "place") + shift, look, xerr=ends, size=4, label=look.label)
        axis.set_xlabel(f"{run.axis(target)}, median and quartiles")
        if _rooted(run, target):
            axis.set_xscale("log")
            style.log_ticks(axis.xaxis)
        legend(axis, place="lower right")
    axes[0].set_yticks([*names], [*names.values()])
    axes[0].set_ylabel("Depth, middle of the layer (cm)")
    axes[0].invert_yaxis()
    return figure


@styled
def places(run: HybridRun) -> Figure | None:
    """Where values are measured and where imputed; None without coordinates."""
    known = run.tables["places"]
    if not {"latitude", "longitude"} <= set(known.columns):
        return None
    own = run.tables["hybrid"].drop(columns=["latitude", "longitude"], errors="ignore")
    joined = own.merge(known[["id", "latitude", "longitude"]], on="id")
    panels = [(target, kind) for target in run.properties for kind in KIND_LOOKS]
    shared: dict[str, Any] = {"xlabel": "Longitude (°)", "ylabel": "Latitude (°)", "sharex": True, "sharey": True}
    figure, axes = style.grid(len(panels), most=2, panel=2.1, **shared)
    for axis, (target, kind) in zip(axes, panels, strict=True):
        rows, color = where(joined, property=target, kind=kind), KIND_LOOKS[kind].color
        axis.scatter(column(rows, "longitude"), column(rows, "latitude"), s=4, color=color, alpha=0.5, linewidths=0)
        style.light_grid(axis, "both")
        axis.set_title(f"{run.label(target)}, {KINDS[kind]}: {len(rows):,} rows", loc="left")
    return figure


def _rooted(run: HybridRun, target: str) -> bool:
    return run.properties[target]["scale"] == "sqrt"


def _root_axis(axis: Axes, sides: str, top: float) -> None:
    """Square-root axes "x" or "xy" with ticks that are about evenly spaced and reach to ``top``."""
    steps = [0.0]
    for share in (0.04, 0.16, 0.36, 0.64, 1.0):
        value = share * top
        size = 10.0 ** np.floor(np.log10(value))
        steps.append(float(max(m * size for m in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0) if m * size <= value * 1.001)))
    ticks = sorted(set(steps))
    for side in sides:
        functions = (lambda values: np.sqrt(np.maximum(values, 0.0)), np.square)
        getattr(axis, f"set_{side}scale")("function", functions=functions)
        getattr(axis, f"set_{side}ticks")(ticks, [f"{tick:g}" for tick in ticks])
