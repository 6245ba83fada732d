"""Figures of scores: metric by property and strategy, internal clouds, paired differences, curves over labels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxsoil.evaluation.compare import MEAN
from jaxsoil.report.run_files import where
from jaxsoil.report.style import (
    DASHED,
    GREY,
    MARKERS,
    OKABE_ITO,
    WIDTH,
    Look,
    band,
    grid,
    legend,
    light_grid,
    names_axis,
    new_figure,
    points,
    shifts,
    styled,
)
from jaxsoil.report.tables import mean_sd
from jaxsoil.studies.multifidelity.config import STRATEGY
from jaxsoil.studies.multifidelity.report.files import TERMS, in_order, label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, SKY, ORANGE, GREEN, PURPLE = (OKABE_ITO[place] for place in (2, 6, 1, 4, 5))
KINDS = {
    BLUE: "from MIR spectra, measured or converted",
    SKY: "from latent features",
    ORANGE: "from NIR spectra",
    GREEN: "with ILR of clay, silt and sand",
    PURPLE: "from MIR converted by the Fourier operator",
}
"""The paper's three colours of figures 5 and 6, as colours that colour-blind readers tell apart, and two of ours."""

MOST = 12
"""Panels of the figure of losses."""

_AXES = {"ccc": ("CCC (dimensionless)", 0.7, 1.0), "rpiq": ("RPIQ (dimensionless)", 2.0, None)}
"""Metric -> axis label, where the paper draws a line, value of a perfect model to which the axis reaches."""

_PUBLISHED = Look("published", "black", "D", filled=False)


def color_of(strategy: str) -> str:
    """Colour of a strategy by what its property model takes."""
    one = STRATEGY[strategy]
    return GREEN if one.ilr else {"mir": BLUE, "converted": BLUE, "nir": ORANGE, "fno": PURPLE}.get(one.view, SKY)


@styled
def by_property(scores: pd.DataFrame, metric: str, *, line: bool = True) -> Figure:
    """Figures 5, 6, 8 and C.9: a panel for each property, a bar for each strategy, the published value beside it.

    Args:
      scores: rows ``property, strategy, mean, sd, paper, doubtful`` in the order of panels and bars; bars of doubtful
        strategies are hatched.
      metric: "ccc" or "rpiq".
      line: whether the paper's line (0.7 for CCC, 2 for RPIQ) is drawn.
    """
    from matplotlib.patches import Patch

    axis_label, threshold, best = _AXES[metric]
    properties, strategies = (list(dict.fromkeys(scores[name])) for name in ("property", "strategy"))
    height = 0.155 * len(strategies) + 0.28
    figure, panels = grid(len(properties), panel=height, extra=0.85, xlabel=axis_label, sharex=True, sharey=True)
    low, high = _range(scores, best)
    for panel, name in zip(panels, properties, strict=True):
        _bars(panel, where(scores, property=name), strategies)
        panel.set_title(label(name), loc="left", pad=2, fontweight="bold")
        if line:
            panel.axvline(threshold, color="black", linewidth=0.7, linestyle=DASHED, zorder=4)
    names_axis(panels[0], strategies)
    panels[0].set_xlim(low, high)
    used = {color_of(strategy) for strategy in strategies}
    handles: list = [Patch(color=color, label=text) for color, text in KINDS.items() if color in used]
    handles += [_PUBLISHED] if np.isfinite(scores["paper"]).any() else []
    if bool(scores["doubtful"].any()):
        handles.append(Patch(facecolor=GREY, edgecolor="white", hatch="/////", label="not converged"))
    legend(figure, handles, size=4.0)
    return figure


def _range(scores: pd.DataFrame, best: float | None) -> tuple[float, float]:
    values = np.nan_to_num(np.stack([scores["mean"], scores["mean"] + np.nan_to_num(scores["sd"]), scores["paper"]]))
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    # A model that fails badly would squeeze all others into a line.
    low = max(low, -0.5 * max(high, 1.0))
    return 1.05 * low, best if best is not None else 1.05 * high


def _bars(panel: Axes, scores: pd.DataFrame, strategies: Sequence[str]) -> None:
    for row in scores.to_dict("records"):
        place, mean = strategies.index(row["strategy"]), row["mean"]
        if math.isfinite(mean):
            hatch = "/////" if row["doubtful"] else None
            color = color_of(row["strategy"])
            panel.barh(place, mean, height=0.66, color=color, hatch=hatch, edgecolor="white", linewidth=0.0, zorder=2)
        else:
            panel.text(0.0, place, " undefined", va="center", fontsize=6.5, color=GREY)
        if math.isfinite(row["sd"]):
            panel.errorbar(mean, place, xerr=row["sd"], color="black", elinewidth=0.8, capsize=1.6, zorder=5)
        if math.isfinite(row["paper"]):
            points(panel, row["paper"], place, _PUBLISHED, size=3.4, mew=0.8, zorder=6, clip_on=False)
    panel.axvline(0.0, color="black", linewidth=0.8, zorder=3)
    # The line at 0 is the axis, also where a bar points to the left.
    panel.spines["left"].set_visible(False)
    panel.tick_params(axis="y", length=0)
    light_grid(panel, "x")


@styled
def held_out_parts(table: pd.DataFrame, reference: pd.DataFrame) -> Figure:
    """CCC of measured pairs by strategy, a panel for each property: both ways of holding out, lines of 10-fold PLSR.

    Args:
      table: rows ``split, strategy, property, ccc`` in the order of panels and strategies.
      reference: rows ``split, range, property, ccc``; those of the first split are drawn.
    """
    properties, strategies, splits = (list(dict.fromkeys(table[name])) for name in ("property", "strategy", "split"))
    shared: dict[str, Any] = {"xlabel": _AXES["ccc"][0], "sharex": True, "sharey": True}
    figure, panels = grid(len(properties), most=2, panel=0.155 * len(strategies) + 0.28, extra=0.9, **shared)
    lines = {"mir": Look("10-fold PLSR, MIR", BLUE, "", "-"), "nir": Look("10-fold PLSR, NIR", ORANGE, "", DASHED)}
    for panel, name in zip(panels, properties, strict=True):
        for span, look in lines.items():
            for value in where(reference, split=splits[0], range=span, property=name)["ccc"]:
                panel.axvline(value, color=look.color, linestyle=look.line, linewidth=1.0, zorder=1)
        for row in where(table, property=name).to_dict("records"):
            look = Look("", color_of(row["strategy"]), "o", filled=row["split"] == splits[0])
            points(panel, row["ccc"], strategies.index(row["strategy"]), look, size=4.2, zorder=3)
        panel.set_title(label(name), loc="left", pad=2, fontweight="bold")
        light_grid(panel, "x")
    names_axis(panels[0], strategies)
    # A model that fails would squeeze all others.
    panels[0].set_xlim(left=max(panels[0].get_xlim()[0], -0.2), right=1.0)
    kinds = [Look(split, "black", "o", filled=split == splits[0]) for split in splits]
    legend(figure, [*kinds, *lines.values()])
    return figure


@styled
def internal_clouds(
    sets: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]], properties: Sequence[str], strategies: Sequence[str]
) -> Figure:
    """Figure 7: scores of strategies, means over seeds, over the cloud of each data set's own cross-validation.

    Args:
      sets: title of a data set -> rows ``property, repetition, ccc, rpiq`` of its internal cross-validation, and rows
        ``strategy, property, metric, seed, value``.
      properties: order along the axis.
      strategies: three at most.
    """
    looks = {s: Look(s, OKABE_ITO[rank + 1], "sDo"[rank]) for rank, s in enumerate(strategies)}
    columns, metrics = len(sets), ("ccc", "rpiq")
    figure, panels = grid(2 * columns, most=columns, panel=2.1, extra=0.6, sharex=True)
    jitter = np.random.default_rng(0).uniform(-0.28, 0.28, 200)
    for number, (metric, title) in enumerate(itertools.product(metrics, sets)):
        panel, (internal, scores) = panels[number], sets[title]
        if number % columns:
            panel.sharey(panels[number - 1])
        for place, name in enumerate(properties):
            values = where(internal, property=name)[metric]
            x = place + np.resize(jitter, len(values))
            panel.scatter(x, values, s=7.0, color="#b0b0b0", linewidths=0, zorder=2)
        for shift, (strategy, look) in zip(shifts(len(looks), 0.08), looks.items(), strict=True):
            mine = where(scores, strategy=strategy, metric=metric)
            means = [mean_sd(where(mine, property=name)["value"]).mean for name in properties]
            points(panel, np.arange(len(properties)) + shift, means, look, size=5.5, mec="white", mew=0.5, zorder=3)
        panel.set_xticks(range(len(properties)), list(map(label, properties)))
        panel.set_xlim(-0.6, len(properties) - 0.4)
        light_grid(panel)
        # A model that fails on one property would squeeze all others.
        panel.set_ylim(bottom=max(panel.get_ylim()[0], -1.0))
        if number < columns:
            panel.set_title(title, loc="left", pad=4)
        if number % columns == 0:
            panel.set_ylabel(_AXES[metric][0])
    legend(figure, [Look("internal 10-fold PLSR", "#b0b0b0", "o"), *looks.values()])
    return figure


@styled
def differences(found: pd.DataFrame) -> Figure:
    """Paired differences in CCC with intervals, the published difference beside them, properties as ticks.

    ``found``: rows ``title, property, mean, low, high, paper`` and, if known, ``low_samples, high_samples``; the
    property "mean" is the mean over properties.
    """
    means = where(found, property=MEAN)
    figure = new_figure(WIDTH, 0.95 + 0.27 * len(means))
    axis = figure.subplots()
    ours, each = Look("here, mean and 95 % over seeds", BLUE, "o", "-"), Look("here, each property", GREY, "|")
    for place, row in enumerate(means.to_dict("records")):
        ticks = found[(found["title"] == row["title"]) & (found["property"] != MEAN)]["mean"]
        axis.plot(ticks, [place + 0.2] * len(ticks), "|", color=GREY, markersize=5.0, zorder=2)
        axis.plot([row["low"], row["high"]], [place, place], color=BLUE, linewidth=2.4, zorder=3)
        if "low_samples" in row:
            axis.plot([row["low_samples"], row["high_samples"]], [place] * 2, color="black", linewidth=0.9, zorder=3)
        axis.plot(row["mean"], place, "o", color=BLUE, markersize=5.0, zorder=4)
        if math.isfinite(row["paper"]):
            points(axis, row["paper"], place, _PUBLISHED, size=4.2, mew=0.8, zorder=5)
    axis.axvline(0.0, color="black", linewidth=0.7, zorder=1)
    names_axis(axis, [title.replace(" minus ", " − ") for title in means["title"]])
    light_grid(axis, "x")
    axis.set_xlabel("Difference in CCC (dimensionless)")
    published = [Look("Appendix B", "black", "D", filled=False)] if np.isfinite(means["paper"]).any() else []
    samples = [Look("95 % over test samples", "black", "", "-")] if "low_samples" in means else []
    legend(figure, [ours, *samples, each, *published])
    return figure


@styled
def label_curves(curves: pd.DataFrame, panels: Sequence[tuple[str, str]]) -> Figure:
    """Score against the number of labelled samples, mean and SD over seeds and draws.

    Args:
      curves: rows ``labels, strategy, property`` and metrics.
      panels: property (or "mean") and metric of each; with one metric for all of them they share their axis.
    """
    shared, high = len({metric for _, metric in panels}) == 1, 1.75 if len(panels) > 3 else 2.5
    named: dict[str, Any] = {"xlabel": "Labelled samples", "ylabel": _AXES[panels[0][1]][0] if shared else ""}
    figure, axes = grid(len(panels), panel=high, extra=0.55, **named, sharex=True, sharey=shared)
    strategies = in_order(curves["strategy"], STRATEGY)
    counts = sorted(set(curves["labels"]))
    for panel, (name, metric) in zip(axes, panels, strict=True):
        mean_bands(panel, where(curves, property=name), "labels", metric, strategies)
        panel.set_xscale("log")
        panel.set_xticks(counts, [f"{count:g}" for count in counts])
        panel.minorticks_off()
        title = f"Mean over properties: {metric.upper()}" if name == MEAN else label(name)
        panel.set_title(title, loc="left", pad=3)
        if not shared:
            panel.set_ylabel(_AXES[metric][0])
        # A model that fails with few labels would squeeze all others.
        elif panel.get_ylim()[0] < -0.2:
            panel.set_ylim(bottom=-0.2)
    legend(figure)
    return figure


def mean_bands(axis: Axes, table: pd.DataFrame, x: str, value: str, strategies: Sequence[str]) -> None:
    """Means of ``value`` at each ``x`` as a line with a band of one SD, for each strategy of a table."""
    for rank, strategy in enumerate(strategies):
        found: Any = where(table, strategy=strategy).groupby(x)[value].agg(["mean", "std"]).fillna({"std": 0.0})
        mean, sd = found["mean"].to_numpy(), found["std"].to_numpy()
        look = Look(strategy, OKABE_ITO[rank], MARKERS[rank], "-")
        band(axis, found.index.to_numpy(), mean - sd, mean, mean + sd, look)


@styled
def instrument_curves(table: pd.DataFrame, strategies: Sequence[str]) -> Figure:
    """Mean CCC and its SD over seeds against the SD of the curve, a line for each strategy."""
    figure, (axis,) = grid(1, panel=2.7, extra=0.5, xlabel="SD of the curve (absorbance)", ylabel="CCC (dimensionless)")
    mean_bands(axis, table, "sd", "ccc", strategies)
    legend(figure)
    return figure


@styled
def histories(history: pd.DataFrame) -> Figure:
    """Losses by epoch: a panel for each kind of training, thin lines for each seed.

    ``history``: rows ``title, seed, label, epoch`` and terms of the loss; a panel for each of the first titles.
    """
    titles = list(dict.fromkeys(history["title"]))[:MOST]
    figure, axes = grid(len(titles), panel=1.75, extra=0.6, xlabel="Epoch", ylabel="Loss (dimensionless)")
    lines = ("-", DASHED, (0, (1, 1)), (0, (6, 1, 1, 1)), (0, (3, 1, 1, 1, 1, 1)))
    terms = [name for name in TERMS if name in history.columns]
    looks = {name: Look(TERMS[name], OKABE_ITO[(i + 2) % 6], "", lines[i % 5]) for i, name in enumerate(terms)}
    for panel, title in zip(axes, titles, strict=True):
        mine = where(history, title=title)
        for _, rows in mine.groupby(["seed", "label"], sort=False):
            for name, look in looks.items():
                panel.plot(rows["epoch"], rows[name], color=look.color, linestyle=look.line, linewidth=0.9, alpha=0.8)
        every = mine[terms].to_numpy(np.float64)
        # Ticks of a logarithmic axis need a decade or so.
        if np.nanmin(every) > 0.0 and np.nanmax(every) > 20.0 * np.nanmin(every):
            panel.set_yscale("log")
        panel.locator_params(axis="x", integer=True)
        panel.set_title(title, loc="left", pad=3)
    legend(figure, looks)
    return figure


@styled
def texture_sums(sums: pd.DataFrame) -> Figure:
    """Distribution of predicted clay + silt + sand, a line for each row ``strategy, p1, p25, p50, p75, p99`` in %."""
    figure = new_figure(WIDTH, 0.8 + 0.42 * len(sums))
    axis = figure.subplots()
    for place, row in enumerate(sums.to_dict("records")):
        color = color_of(row["strategy"])
        axis.plot([row["p1"], row["p99"]], [place, place], color=color, linewidth=1.2, zorder=2)
        axis.plot([row["p25"], row["p75"]], [place] * 2, color=color, linewidth=6.0, solid_capstyle="butt", zorder=3)
        axis.plot(row["p50"], place, "|", color="black", markersize=9.0, mew=1.4, zorder=4)
    axis.axvline(100.0, color="black", linewidth=0.7, linestyle=DASHED, zorder=1)
    names_axis(axis, list(sums["strategy"]))
    axis.set_xlabel("Predicted clay + silt + sand (%)")
    return figure
