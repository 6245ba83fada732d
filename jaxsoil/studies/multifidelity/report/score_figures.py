"""Figures of scores: metric by property and strategy, internal clouds, paired differences, curves over labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from jaxsoil.report.style import GREY, MARKERS, OKABE_ITO, WIDTH, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, SKY, ORANGE, GREEN, PURPLE = (OKABE_ITO[place] for place in (2, 6, 1, 4, 5))
KINDS = {BLUE: "from MIR spectra, measured or converted", SKY: "from latent features", ORANGE: "from NIR spectra"}
"""The paper's three colours of figures 5 and 6, as colours that colour-blind readers tell apart."""

EXTRA_KINDS = {GREEN: "with ILR of clay, silt and sand", PURPLE: "from MIR converted by the Fourier operator"}


@dataclass(frozen=True)
class Bar:
    """One strategy and property.

    Attributes:
      strategy, property: names as printed.
      mean, sd: over seeds; SD is NaN for one seed.
      paper: the published value, NaN if there is none.
      trusted: False hatches the bar (a training that did not converge).
    """

    strategy: str
    property: str
    mean: float
    sd: float
    paper: float
    trusted: bool = True


def color_of(strategy: str) -> str:
    """Colour of a strategy by what its property model takes."""
    if "ILR" in strategy:
        return GREEN
    if "FNO" in strategy:
        return PURPLE
    if "SSL" in strategy:
        return SKY
    return ORANGE if strategy.startswith("NIR-") else BLUE


@styled
def by_property(bars: Sequence[Bar], *, axis_label: str, threshold: float, best: float | None) -> Figure:
    """Figures 5, 6, 8 and C.9: a panel for each property, a bar for each strategy, the published value beside it.

    Args:
      bars: in the order of the panels and, within, of the strategies.
      axis_label: name and unit of the metric.
      threshold: where a line is drawn (0.7 for CCC, 2 for RPIQ); NaN draws none.
      best: value of a perfect model, to which the axis reaches; None leaves it to the data.
    """
    properties = list(dict.fromkeys(bar.property for bar in bars))
    strategies = list(dict.fromkeys(bar.strategy for bar in bars))
    columns = min(3, len(properties))
    rows = math.ceil(len(properties) / columns)
    height = 0.155 * len(strategies) + 0.28
    figure = new_figure(WIDTH, 0.85 + rows * height)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    low, high = _range(bars, best)
    for panel, name in zip(panels, properties, strict=False):
        mine = {bar.strategy: bar for bar in bars if bar.property == name}
        _bars(panel, [mine.get(strategy) for strategy in strategies], low)
        panel.set_title(name, loc="left", pad=2, fontweight="bold")
        if math.isfinite(threshold):
            panel.axvline(threshold, color="black", linewidth=0.7, linestyle=(0, (4, 2)), zorder=4)
    panels[0].set(xlim=(low, high), ylim=(len(strategies) - 0.4, -0.6))
    panels[0].set_yticks(range(len(strategies)), strategies)
    for panel in panels[len(properties) :]:
        panel.set_visible(False)
    for panel in panels[max(0, len(properties) - columns) : len(properties)]:
        panel.set_xlabel(axis_label)
        panel.tick_params(labelbottom=True)
    _bar_legend(figure, bars)
    return figure


def _range(bars: Sequence[Bar], best: float | None) -> tuple[float, float]:
    ends = [bar.mean + _finite(bar.sd) for bar in bars if math.isfinite(bar.mean)]
    published = [bar.paper for bar in bars if math.isfinite(bar.paper)]
    low = min([0.0, *(bar.mean for bar in bars if math.isfinite(bar.mean)), *published])
    high = max([0.0, *ends, *published])
    # A model that fails badly would squeeze all others into a line.
    low = max(low, -0.5 * max(high, 1.0))
    return (1.05 * low, best if best is not None else 1.05 * high)


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def _bars(panel: Axes, bars: Sequence[Bar | None], low: float) -> None:
    for place, bar in enumerate(bars):
        if bar is None:
            continue
        if math.isfinite(bar.mean):
            panel.barh(
                place,
                bar.mean,
                height=0.66,
                color=color_of(bar.strategy),
                hatch=None if bar.trusted else "/////",
                edgecolor="white",
                linewidth=0.0,
                zorder=2,
            )
            if math.isfinite(bar.sd):
                panel.errorbar(bar.mean, place, xerr=bar.sd, color="black", elinewidth=0.8, capsize=1.6, zorder=5)
        else:
            panel.text(0.0, place, " undefined", va="center", fontsize=6.5, color=GREY)
        if math.isfinite(bar.paper):
            panel.plot(
                bar.paper, place, "D", mfc="white", mec="black", markersize=3.4, mew=0.8, zorder=6, clip_on=False
            )
    panel.axvline(0.0, color="black", linewidth=0.8, zorder=3)
    # The line at 0 is the axis, also where a bar points to the left.
    panel.spines["left"].set_visible(False)
    panel.tick_params(axis="y", length=0)
    panel.grid(axis="x", color="#e6e6e6", linewidth=0.6, zorder=0)
    panel.set_axisbelow(True)


def _bar_legend(figure: Figure, bars: Sequence[Bar]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    used = {color_of(bar.strategy) for bar in bars}
    handles: list = [
        Patch(color=color, label=text) for color, text in {**KINDS, **EXTRA_KINDS}.items() if color in used
    ]
    if any(math.isfinite(bar.paper) for bar in bars):
        handles.append(
            Line2D([], [], linestyle="none", marker="D", mfc="white", mec="black", markersize=4.0, label="published")
        )
    if not all(bar.trusted for bar in bars):
        handles.append(Patch(facecolor=GREY, edgecolor="white", hatch="/////", label="not converged"))
    # About 95 letters and handles fit the width of a page.
    wide = sum(len(str(handle.get_label())) + 6 for handle in handles) > 95
    columns = 3 if len(handles) > 4 else 2 if wide else 4
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, columnspacing=1.2)


@dataclass(frozen=True)
class Cloud:
    """A panel of figure 7.

    Attributes:
      title: of the data set.
      internal: property -> (r,) scores of each repetition of the internal cross-validation.
      points: strategy -> property -> score.
    """

    title: str
    internal: Mapping[str, np.ndarray]
    points: Mapping[str, Mapping[str, float]]


@styled
def internal_clouds(rows: Mapping[str, Sequence[Cloud]], properties: Sequence[str]) -> Figure:
    """Figure 7: scores of strategies over the cloud of each data set's own cross-validation.

    Args:
      rows: axis label of a metric -> a panel for each data set.
      properties: order along the axis.
    """
    columns = max(len(clouds) for clouds in rows.values())
    figure = new_figure(WIDTH, 0.6 + 2.1 * len(rows))
    axes = figure.subplots(len(rows), columns, sharex=True, sharey="row", squeeze=False)
    strategies = list(dict.fromkeys(s for clouds in rows.values() for cloud in clouds for s in cloud.points))
    looks = dict(zip(strategies, zip((OKABE_ITO[1], OKABE_ITO[2], OKABE_ITO[3]), "sDo", strict=True), strict=False))
    for line, (metric, clouds) in zip(axes, rows.items(), strict=True):
        for panel, cloud in zip(line, clouds, strict=False):
            _cloud(panel, cloud, properties, looks)
        line[0].set_ylabel(metric)
    for panel, cloud in zip(axes[0], next(iter(rows.values())), strict=False):
        panel.set_title(cloud.title, loc="left", pad=4)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(handles))
    return figure


def _cloud(panel: Axes, cloud: Cloud, properties: Sequence[str], looks: Mapping[str, tuple[str, str]]) -> None:
    shift = np.random.default_rng(0).uniform(-0.28, 0.28, 200)
    for place, name in enumerate(properties):
        values = np.asarray(cloud.internal.get(name, ()), dtype=np.float64)
        panel.scatter(
            place + np.resize(shift, values.size),
            values,
            s=7.0,
            color="#b0b0b0",
            linewidths=0,
            zorder=2,
            label="internal 10-fold PLSR" if place == 0 else None,
        )
    width = 0.16
    for rank, (strategy, (color, marker)) in enumerate(looks.items()):
        points = cloud.points.get(strategy, {})
        found = np.array([points.get(name, math.nan) for name in properties])
        places = np.arange(len(properties)) + width * (rank - 0.5 * (len(looks) - 1))
        panel.plot(places, found, marker, color=color, mec="white", mew=0.5, markersize=5.5, zorder=3, label=strategy)
    panel.set_xticks(range(len(properties)), properties)
    panel.set_xlim(-0.6, len(properties) - 0.4)
    panel.grid(axis="y", color="#e6e6e6", linewidth=0.6, zorder=0)
    # A model that fails on one property would squeeze all others.
    if panel.get_ylim()[0] < -1.0:
        panel.set_ylim(bottom=-1.0)


@dataclass(frozen=True)
class Difference:
    """One line of the figure of differences: ours with interval, by property, and the published one."""

    title: str
    mean: float
    low: float
    high: float
    paper: float
    by_property: tuple[float, ...] = ()


@styled
def differences(lines: Sequence[Difference], *, axis_label: str) -> Figure:
    """Paired differences with intervals, the published difference beside them, properties as ticks."""
    figure = new_figure(WIDTH, 0.95 + 0.27 * len(lines))
    axis = figure.subplots()
    for place, line in enumerate(lines):
        axis.plot(line.by_property, [place + 0.2] * len(line.by_property), "|", color=GREY, markersize=5.0, zorder=2)
        if math.isfinite(line.low):
            axis.plot([line.low, line.high], [place, place], color=BLUE, linewidth=2.0, zorder=3)
        axis.plot(line.mean, place, "o", color=BLUE, markersize=5.0, zorder=4)
        if math.isfinite(line.paper):
            axis.plot(line.paper, place, "D", mfc="white", mec="black", markersize=4.2, mew=0.8, zorder=5)
    axis.axvline(0.0, color="black", linewidth=0.7, zorder=1)
    axis.set_yticks(range(len(lines)), [line.title for line in lines])
    axis.set_ylim(len(lines) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color="#e6e6e6", linewidth=0.6, zorder=0)
    axis.set_axisbelow(True)
    axis.set_xlabel(axis_label)
    _difference_legend(figure, lines)
    return figure


def _difference_legend(figure: Figure, lines: Sequence[Difference]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=BLUE, marker="o", markersize=5.0, linewidth=2.0, label="here, mean and 95 % interval"),
        Line2D([], [], linestyle="none", marker="|", color=GREY, markersize=6.0, label="here, each property"),
    ]
    if any(math.isfinite(line.paper) for line in lines):
        handles.append(
            Line2D([], [], linestyle="none", marker="D", mfc="white", mec="black", markersize=4.2, label="Appendix B")
        )
    figure.legend(handles=handles, loc="outside upper center", ncols=3)


@styled
def label_curves(
    panels: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]], *, y_label: str | Sequence[str]
) -> Figure:
    """Score against the number of labelled samples.

    Args:
      panels: title -> strategy -> (labels, mean, SD), each (p,).
      y_label: of all panels, or one for each; then they do not share their axis.
    """
    shared = isinstance(y_label, str)
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = new_figure(WIDTH, 0.55 + (1.75 if rows > 1 else 2.5) * rows)
    axes = figure.subplots(rows, columns, sharex=True, sharey=shared, squeeze=False).ravel()
    strategies = list(dict.fromkeys(name for curves in panels.values() for name in curves))
    colors = dict(zip(strategies, (OKABE_ITO[0], OKABE_ITO[1], OKABE_ITO[2], *OKABE_ITO[3:]), strict=False))
    lowest = -0.2
    for place, (panel, (title, curves)) in enumerate(zip(axes, panels.items(), strict=False)):
        for rank, (strategy, (labels, mean, sd)) in enumerate(curves.items()):
            panel.fill_between(labels, mean - sd, mean + sd, color=colors[strategy], alpha=0.18, linewidth=0.0)
            panel.plot(
                labels,
                mean,
                color=colors[strategy],
                marker=MARKERS[rank],
                markersize=3.6,
                linewidth=1.2,
                label=strategy,
            )
        panel.set_xscale("log")
        counts = sorted({float(count) for labels, _, _ in curves.values() for count in labels})
        panel.set_xticks(counts, [f"{count:g}" for count in counts])
        panel.minorticks_off()
        panel.set_title(title, loc="left", pad=3)
        if not shared:
            panel.set_ylabel(y_label[place])
        elif place % columns == 0:
            panel.set_ylabel(str(y_label))
        if shared and panel.get_ylim()[0] < lowest:
            # A model that fails with few labels would squeeze all others.
            panel.set_ylim(bottom=lowest)
        if place >= len(panels) - columns:
            panel.set_xlabel("Labelled samples")
            panel.tick_params(labelbottom=True)
    for panel in axes[len(panels) :]:
        panel.set_visible(False)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(handles))
    return figure


@styled
def histories(panels: Mapping[str, Sequence[tuple[np.ndarray, Mapping[str, np.ndarray]]]]) -> Figure:
    """Losses by epoch: a panel for each training, thin lines for the seeds.

    Args:
      panels: title -> for each seed the epochs and the terms, (e,) each.
    """
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = new_figure(WIDTH if columns > 1 else 0.6 * WIDTH, 0.6 + 1.75 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    terms = list(dict.fromkeys(name for seeds in panels.values() for _, found in seeds for name in found))
    styles = ("-", (0, (4, 2)), (0, (1, 1)), (0, (6, 1, 1, 1)), (0, (3, 1, 1, 1, 1, 1)))
    for panel, (title, seeds) in zip(axes, panels.items(), strict=False):
        drawn = []
        for epochs, found in seeds:
            for name, values in found.items():
                rank = terms.index(name)
                panel.plot(
                    epochs,
                    values,
                    color=OKABE_ITO[(rank + 2) % 6],
                    linestyle=styles[rank % 5],
                    linewidth=0.9,
                    alpha=0.8,
                )
                drawn.append(values[np.isfinite(values)])
        # Ticks of a logarithmic axis need a decade or so.
        every = np.concatenate(drawn) if drawn else np.zeros(1)
        if every.size and every.min() > 0.0 and every.max() > 20.0 * every.min():
            panel.set_yscale("log")
        panel.locator_params(axis="x", integer=True)
        panel.set_title(title, loc="left", pad=3)
    for panel in axes[len(panels) :]:
        panel.set_visible(False)
    for panel in axes[max(0, len(panels) - columns) : len(panels)]:
        panel.set_xlabel("Epoch")
    for row in range(rows):
        axes[row * columns].set_ylabel("Loss (dimensionless)")
    _term_legend(figure, terms, styles)
    return figure


def _term_legend(figure: Figure, terms: Sequence[str], styles: Sequence) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=OKABE_ITO[(rank + 2) % 6], linestyle=styles[rank % 5], label=name)
        for rank, name in enumerate(terms)
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(6, len(handles)))


@styled
def texture_sums(sums: Mapping[str, np.ndarray]) -> Figure:
    """Distribution of clay + silt + sand of the predictions of each strategy, (n,) in %."""
    figure = new_figure(WIDTH, 0.8 + 0.42 * len(sums))
    axis = figure.subplots()
    for place, (strategy, values) in enumerate(sums.items()):
        low, first, middle, third, high = np.percentile(values, [1.0, 25.0, 50.0, 75.0, 99.0])
        color = color_of(strategy)
        axis.plot([low, high], [place, place], color=color, linewidth=1.2, zorder=2)
        axis.plot([first, third], [place, place], color=color, linewidth=6.0, solid_capstyle="butt", zorder=3)
        axis.plot(middle, place, "|", color="black", markersize=9.0, mew=1.4, zorder=4)
    axis.axvline(100.0, color="black", linewidth=0.7, linestyle=(0, (4, 2)), zorder=1)
    axis.set_yticks(range(len(sums)), list(sums))
    axis.set_ylim(len(sums) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0)
    axis.set_xlabel("Predicted clay + silt + sand (%)")
    return figure
