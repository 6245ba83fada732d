"""Figures of the hybrid data set. Laboratories keep their colour and marker through all of them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxsoil.report.files import where
from jaxsoil.report.style import GREY, OKABE_ITO, WIDTH, Look, looks, new_figure, styled
from jaxsoil.report.tables import number
from jaxsoil.studies.hybrid.report.files import LABELS, METHODS, SCHEMES, HybridRun, column

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEASURED, PREDICTED = OKABE_ITO[2], OKABE_ITO[1]
COVERAGE_LOOKS = {
    "out of fold": Look("random folds, out of fold", OKABE_ITO[2], "o"),
    "held-out rows": Look("held-out rows that no fold trains on", OKABE_ITO[0], "s"),
    "imputed rows not flagged, true values": Look("imputed rows not flagged, true values", OKABE_ITO[4], "^"),
    "imputed rows flagged, true values": Look("imputed rows flagged, true values", OKABE_ITO[5], "P"),
    "laboratory out, calibrated at random": Look("laboratory out, calibrated on random folds", OKABE_ITO[3], "D"),
    "laboratory out, calibrated on the other laboratories": Look(
        "laboratory out, calibrated on other laboratories held out", OKABE_ITO[1], "v"
    ),
}
METHOD_LOOKS = {
    "none": Look("no harmonisation", OKABE_ITO[0], "o"),
    "centre": Look(METHODS["centre"], OKABE_ITO[1], "^"),
    "direct": Look(METHODS["direct"], OKABE_ITO[2], "D"),
}
_BACKDROP: dict[str, Any] = {"facecolor": "white", "alpha": 0.8, "linewidth": 0.0, "pad": 1.0}
_DRAWN = 4000


def laboratory_looks(run: HybridRun) -> dict[str, Look]:
    """A look for each laboratory, the largest first."""
    return looks({name: name for name in run.laboratories})


@styled
def observed_predicted(run: HybridRun) -> Figure:
    """Predicted against measured values: a row for each property, random folds left, laboratory out right."""
    ours = where(run.predictions, model="cnn", harmonisation=run.method)
    schemes = [s for s in ("random", "laboratory") if (column(ours, "scheme") == s).any()]
    targets, styles, side = list(run.properties), laboratory_looks(run), (WIDTH - 0.6) / 2
    figure = new_figure(0.6 + side * len(schemes), 0.5 + (side + 0.1) * len(targets))
    axes = figure.subplots(len(targets), len(schemes), squeeze=False)
    for line, target in zip(axes, targets, strict=True):
        for axis, scheme in zip(line, schemes, strict=True):
            rows = where(ours, scheme=scheme, property=target)
            if not len(rows):
                axis.set_visible(False)
                continue
            _scatter(axis, run, rows, target, styles)
            axis.set_title(f"{LABELS.get(target, target)}: {SCHEMES[scheme]}", loc="left")
    _legend(figure, styles, "Laboratory")
    return figure


def _scatter(axis: Axes, run: HybridRun, rows: pd.DataFrame, target: str, styles: dict[str, Look]) -> None:
    observed, predicted = column(rows, "observed"), column(rows, "predicted")
    root = run.properties[target]["scale"] == "sqrt"
    top = 1.03 * float(max(observed.max(), predicted.max()))
    low = 0.0 if root else 0.97 * float(min(observed.min(), predicted.min()))
    if root:
        axis.set_xscale("function", functions=(_root, np.square))
        axis.set_yscale("function", functions=(_root, np.square))
    axis.plot([low, top], [low, top], color=GREY, linewidth=0.8, zorder=1)
    names = column(rows, "laboratory")
    for name, look in styles.items():
        here = np.flatnonzero(names == name)[:_DRAWN]
        size = float(np.clip(8000.0 / max(len(rows), 1), 4.0, 16.0))
        axis.scatter(
            observed[here], predicted[here], s=size, color=look.color, marker=look.marker, alpha=0.6, linewidths=0
        )
    axis.set(xlim=(low, top), ylim=(low, top), aspect="equal")
    if root:
        ticks = _root_ticks(top)
        axis.set_xticks(ticks, [f"{t:g}" for t in ticks])
        axis.set_yticks(ticks, [f"{t:g}" for t in ticks])
    axis.set_xlabel(run.axis(target, "Measured"))
    axis.set_ylabel(run.axis(target, "Predicted"))
    # Above the line or below it, wherever fewer points are.
    scale = _root if root else np.asarray
    x, y = ((scale(v) - scale(low)) / (scale(top) - scale(low)) for v in (observed, predicted))
    above = np.sum((x < 0.5) & (y > 0.6)) < np.sum((x > 0.5) & (y < 0.4))
    place: dict[str, Any] = {"x": 0.03, "y": 0.97, "ha": "left", "va": "top"}
    if not above:
        place = {"x": 0.97, "y": 0.04, "ha": "right", "va": "bottom"}
    axis.text(s=_metrics(run, rows, target), transform=axis.transAxes, bbox=_BACKDROP, fontsize=7.5, **place)


def _metrics(run: HybridRun, rows: pd.DataFrame, target: str) -> str:
    scheme = str(column(rows, "scheme")[0])
    found = where(
        run.scores, scheme=scheme, property=target, harmonisation=run.method, model="cnn", laboratory="all"
    ).iloc[0]
    unit = run.unit(target)
    return (
        f"n = {int(found['n']):,}\nR² = {number(float(found['r2']), 2)}\n"
        f"RMSE = {number(float(found['rmse']), 2)} {unit}\nRPIQ = {number(float(found['rpiq']), 2)}"
    )


@styled
def coverage(run: HybridRun) -> Figure:
    """Share of observations within their intervals, against the nominal coverage."""
    targets = list(run.properties)
    columns = min(len(targets), 3)
    lines = -(-len(targets) // columns)
    figure = new_figure(WIDTH if columns > 1 else 0.6 * WIDTH, 2.7 * lines + 0.6)
    axes = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).ravel()
    found = where(run.coverage, laboratory="all")
    present = [kind for kind in COVERAGE_LOOKS if (column(found, "kind") == kind).any()]
    drawn = np.isin(column(found, "kind"), present)
    low = min(0.4, float(np.floor(10.0 * column(found, "coverage")[drawn].min()) / 10.0))
    for axis, target in zip(axes, targets, strict=False):
        axis.plot([0.45, 1.0], [0.45, 1.0], color=GREY, linewidth=0.8)
        axis.fill_between([0.45, 1.0], [0.43, 0.98], [0.47, 1.02], color=GREY, alpha=0.2, linewidth=0)
        shifts = np.linspace(-0.012, 0.012, len(present)) if len(present) > 1 else np.zeros(1)
        for kind, shift in zip(present, shifts.tolist(), strict=True):
            rows, look = where(found, property=target, kind=kind), COVERAGE_LOOKS[kind]
            x, y = column(rows, "nominal") + shift, column(rows, "coverage")
            ends = np.stack([y - column(rows, "lowest"), column(rows, "highest") - y]).clip(min=0.0)
            axis.errorbar(
                x, y, yerr=ends, color=look.color, marker=look.marker, markersize=3.5, linewidth=0.8, elinewidth=0.8
            )
        axis.set_title(LABELS.get(target, target), loc="left")
        axis.set(xlim=(0.47, 0.98), ylim=(low, 1.02), xlabel="Nominal coverage")
        axis.tick_params(labelbottom=True)
    for axis in axes[len(targets) :]:
        axis.set_visible(False)
    for axis in axes[::columns]:
        axis.set_ylabel("Observations within their interval")
    _legend(figure, {kind: COVERAGE_LOOKS[kind] for kind in present}, "", columns=1 if columns == 1 else 2)
    return figure


@styled
def harmonisation(run: HybridRun) -> Figure:
    """RMSE of each laboratory that is held out, by harmonisation: the network filled, PLSR open."""
    rows = where(run.scores, scheme="laboratory")
    targets = [name for name in run.properties if (column(rows, "property") == name).any()]
    names = [name for name in [*run.laboratories, "all"] if (column(rows, "laboratory") == name).any()]
    height = 0.9 + len(targets) * (0.5 + 0.26 * len(names))
    figure = new_figure(0.8 * WIDTH, height)
    axes = figure.subplots(len(targets), 1, squeeze=False).ravel()
    methods = {name: METHOD_LOOKS[name] for name in METHOD_LOOKS if (column(rows, "harmonisation") == name).any()}
    for axis, target in zip(axes, targets, strict=True):
        for place, name in enumerate(reversed(names)):
            _methods(axis, where(rows, property=target, laboratory=name), place, methods)
        axis.set_yticks(range(len(names)), ["all together" if n == "all" else n for n in reversed(names)])
        axis.axhline(0.5, color=GREY, linewidth=0.6)
        axis.set_xscale("log")
        _plain_ticks(axis)
        axis.set_ylim(-0.6, len(names) - 0.4)
        unit = run.unit(target)
        axis.set_xlabel(f"RMSE of {_lower(target)}, laboratory held out{f' ({unit})' if unit else ''}")
        axis.grid(axis="x", color=GREY, alpha=0.25, linewidth=0.5)
    _legend(figure, methods, "Filled: network; open: PLSR", columns=1)
    return figure


def _methods(axis: Axes, rows: pd.DataFrame, place: int, methods: dict[str, Look]) -> None:
    kinds = [(method, model) for method in methods for model in ("cnn", "plsr")]
    shifts = np.linspace(0.3, -0.3, len(kinds))
    for (method, model), shift in zip(kinds, shifts.tolist(), strict=True):
        found, look = where(rows, harmonisation=method, model=model), methods[method]
        if len(found):
            face = look.color if model == "cnn" else "white"
            axis.plot(
                column(found, "rmse"),
                [place + shift],
                look.marker,
                color=look.color,
                markerfacecolor=face,
                markersize=4,
            )


@styled
def outliers(run: HybridRun) -> Figure:
    """Distance and residual of every spectrum, each over its limit; a twin's spoiled rows are ringed."""
    targets = [t for t in run.properties if (column(run.outliers, "property") == t).any()][:2]
    figure = new_figure(WIDTH if len(targets) > 1 else 0.6 * WIDTH, 3.6)
    axes = figure.subplots(1, len(targets), squeeze=False, sharex=True, sharey=True).ravel()
    styles = laboratory_looks(run)
    for axis, target in zip(axes, targets, strict=True):
        rows = where(run.outliers, property=target)
        x = column(rows, "distance") / column(rows, "distance_limit")
        y = column(rows, "residual") / column(rows, "residual_limit")
        for name, look in styles.items():
            here = np.flatnonzero(column(rows, "laboratory") == name)[:_DRAWN]
            axis.scatter(x[here], y[here], s=6, color=look.color, marker=look.marker, alpha=0.5, linewidths=0)
        spoiled = np.isin(column(rows, "spoiled"), ["saturated", "noisy", "wet", "contaminated"])
        if spoiled.any():
            axis.scatter(x[spoiled], y[spoiled], s=34, facecolors="none", edgecolors=OKABE_ITO[0], linewidths=0.7)
        axis.axvline(1.0, color=GREY, linewidth=0.8, linestyle="--")
        axis.axhline(1.0, color=GREY, linewidth=0.8, linestyle="--")
        axis.set(xscale="log", yscale="log", xlabel="Distance in component space / its limit")
        _plain_ticks(axis)
        _plain_ticks(axis, "y")
        axis.set_title(f"Models of {_lower(target)}", loc="left")
    axes[0].set_ylabel("Residual outside the components / its limit")
    title = "Laboratory (ring: a spectrum that the twin spoiled)" if run.data["synthetic"] else "Laboratory"
    _legend(figure, styles, title)
    return figure


@styled
def distributions(run: HybridRun) -> Figure:
    """Measured against imputed values, as shares of rows in bins of equal width on the learning scale."""
    targets = list(run.properties)
    columns = min(len(targets), 3)
    lines = -(-len(targets) // columns)
    figure = new_figure(WIDTH if columns > 1 else 0.6 * WIDTH, 2.4 * lines + 0.4)
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for axis, target in zip(axes, targets, strict=False):
        rows = where(run.table, property=target)
        value, kind = column(rows, "value"), column(rows, "kind")
        root = run.properties[target]["scale"] == "sqrt"
        scale, back = (np.sqrt, np.square) if root else (np.asarray, np.asarray)
        sizes = {name: int((kind == name).sum()) for name in ("measured", "predicted")}
        fewest = min(size for size in sizes.values() if size)
        bins = int(np.clip(2.0 * np.sqrt(fewest), 6, 36))
        edges = np.linspace(scale(value.min()), scale(value.max()) + 1e-9, bins + 1)
        for name, color, style in (("measured", MEASURED, "-"), ("predicted", PREDICTED, "--")):
            here = value[kind == name]
            if here.size:
                share = np.histogram(scale(here), edges)[0] / here.size
                axis.stairs(100 * share, back(edges), color=color, linestyle=style, linewidth=1.3)
        axis.set_title(f"{sizes['measured']:,} measured, {sizes['predicted']:,} imputed", loc="left")
        if root:
            axis.set_xscale("function", functions=(_root, np.square))
            ticks = _root_ticks(float(value.max()))
            axis.set_xticks(ticks, [f"{t:g}" for t in ticks])
        axis.set(xlabel=run.axis(target), ylabel="Share of rows per bin (%)", ylim=(0, None))
    for axis in axes[len(targets) :]:
        axis.set_visible(False)
    from matplotlib.lines import Line2D

    kinds: Any = (("measured", MEASURED, "-"), ("imputed", PREDICTED, "--"))
    handles = [Line2D([], [], color=color, label=label, ls=style) for label, color, style in kinds]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


@styled
def depths(run: HybridRun) -> Figure | None:
    """Median and quartiles by depth of measured and imputed values; None without depths."""
    if "depth_cm" not in run.places:
        return None
    joined = run.table.merge(run.places[["id", "depth_cm"]], on="id")
    edges = np.array([0.0, 10.0, 20.0, 30.0, 50.0, 75.0, 100.0, 150.0, 1e9])
    targets = list(run.properties)
    figure = new_figure(WIDTH if len(targets) > 1 else 0.6 * WIDTH, 3.4)
    axes = figure.subplots(1, len(targets), squeeze=False, sharey=True).ravel()
    for axis, target in zip(axes, targets, strict=True):
        rows = where(joined, property=target)
        for name, color, marker, shift in (("measured", MEASURED, "o", -0.12), ("predicted", PREDICTED, "D", 0.12)):
            here = where(rows, kind=name)
            place = np.digitize(column(here, "depth_cm"), edges) - 1
            found = [(k, column(here, "value")[place == k]) for k in range(edges.size - 1) if (place == k).sum() >= 5]
            if found:
                quartiles = np.array([np.percentile(v, [25, 50, 75]) for _, v in found])
                middle = quartiles[:, 1]
                ends = np.stack([middle - quartiles[:, 0], quartiles[:, 2] - middle])
                label = "measured" if name == "measured" else "imputed"
                y = np.array([k for k, _ in found]) + shift
                axis.errorbar(
                    middle, y, xerr=ends, color=color, marker=marker, markersize=4, linewidth=1.0, label=label
                )
        axis.set_xlabel(f"{run.axis(target)}, median and quartiles")
        if run.properties[target]["scale"] == "sqrt":
            axis.set_xscale("log")
            _plain_ticks(axis)
        axis.legend(loc="lower right")
    names = [f"{a:g}-{b:g}" for a, b in itertools.pairwise(edges[:-1].tolist())] + [f"over {edges[-2]:g}"]
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylabel("Depth, middle of the layer (cm)")
    axes[0].invert_yaxis()
    return figure


@styled
def places(run: HybridRun) -> Figure | None:
    """Where values are measured and where imputed; None without coordinates."""
    if not {"latitude", "longitude"} <= set(run.places.columns):
        return None
    joined = run.table.merge(run.places[["id", "latitude", "longitude"]], on="id")
    targets = list(run.properties)
    figure = new_figure(WIDTH, 2.1 * len(targets) + 0.4)
    axes = figure.subplots(len(targets), 2, squeeze=False, sharex=True, sharey=True)
    for line, target in zip(axes, targets, strict=True):
        for axis, name, color in zip(line, ("measured", "predicted"), (MEASURED, PREDICTED), strict=True):
            rows = where(joined, property=target, kind=name)
            axis.scatter(column(rows, "longitude"), column(rows, "latitude"), s=4, color=color, alpha=0.5, linewidths=0)
            axis.grid(color=GREY, alpha=0.25, linewidth=0.5)
            shown = "measured" if name == "measured" else "imputed"
            axis.set_title(f"{LABELS.get(target, target)}, {shown}: {len(rows):,} rows", loc="left")
        line[0].set_ylabel("Latitude (°)")
    for axis in axes[-1]:
        axis.set_xlabel("Longitude (°)")
    return figure


def _lower(target: str) -> str:
    label = LABELS.get(target, target)
    return label if label in ("SOC", "pH") else label.lower()


def _root(values: Any) -> Any:
    return np.sqrt(np.maximum(values, 0.0))


def _root_ticks(top: float) -> list[float]:
    """Ticks that are about evenly spaced on a square-root axis."""
    steps = [0.0]
    for share in (0.04, 0.16, 0.36, 0.64, 1.0):
        value = share * top
        size = 10.0 ** np.floor(np.log10(value))
        steps.append(float(max(m * size for m in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0) if m * size <= value * 1.001)))
    return sorted(set(steps))


def _plain_ticks(axis: Axes, which: str = "x") -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    chosen: Any = axis.xaxis if which == "x" else axis.yaxis
    chosen.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0, 7.0)))
    chosen.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    chosen.set_minor_formatter(NullFormatter())


def _legend(figure: Figure, styles: dict[str, Look], title: str, columns: int | None = None) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=k.color, marker=k.marker, linestyle="", label=k.label) for k in styles.values()]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=columns or min(len(handles), 6), title=title or None
    )
