"""Figures of the reports, as matplotlib objects made without pyplot: nothing is global, nothing needs a display.

Every axis carries its quantity and unit; a model keeps its colour and marker through all figures of a report.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from jaxsoil.evaluation.compare import mean_sd
from jaxsoil.report import style
from jaxsoil.report.style import DASHED, GREY, WIDTH, Look, legend, new_figure, points, shifts, shortened, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CEILING = 100.0
"""Largest SOC that is drawn, % by mass: no soil holds more, but a linear model of log10 SOC may predict it."""

AXIS_LABELS = {"nm": "Wavelength (nm)", "cm-1": "Wavenumber (cm$^{-1}$)"}


@dataclass(frozen=True, eq=False)
class ScatterPanel:
    """Observed and predicted SOC of one region, (n,), in % by mass, and what is written into the panel."""

    title: str
    observed: ArrayLike
    predicted: ArrayLike
    text: str = ""


@styled
def predicted_vs_observed(panels: Sequence[ScatterPanel], *, title: str, color: str, floor: float) -> Figure:
    """Small multiples of predicted against observed SOC on common logarithmic axes, with the 1:1 line.

    Points are drawn in ``color``; those under ``floor`` (SOC in % by mass, the floor of the log10 metrics) or over
    100 % at the edge.
    """
    columns = min(4, len(panels)) if len(panels) <= 8 else 5 if len(panels) <= 10 else 6
    rows = math.ceil(len(panels) / columns)
    drawn = [_drawn(values, floor) for panel in panels for values in (panel.observed, panel.predicted)]
    values = np.concatenate([*drawn, [1.0]])
    values = values[np.isfinite(values)]
    low, high = 0.8 * float(values.min()), 1.25 * float(values.max())
    figure, axes = _square_panels(rows, columns, len(panels))
    # Scale, limits and ticks are common to all panels.
    axes[0].set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
    for side in (axes[0].xaxis, axes[0].yaxis):
        style.log_ticks(side, inner=True)
    for axis, panel in zip(axes, panels, strict=True):
        observed, predicted = _drawn(panel.observed, floor), _drawn(panel.predicted, floor)
        style.one_to_one(axis, low, high)
        # Many points need less ink each.
        size = float(np.clip(500.0 / max(observed.size, 1), 1.5, 9.0))
        axis.scatter(observed, predicted, s=size, color=color, alpha=0.55, linewidths=0, zorder=2, rasterized=True)
        axis.set_title(shortened(panel.title, 22), loc="left", pad=3)
        corner = style.free_corner(axis, observed, predicted)
        style.corner_text(axis, panel.text, corner, fontsize=6.8, linespacing=1.25)
    width, height = (float(inches) for inches in figure.get_size_inches())
    figure.suptitle(title, x=0.08 / width, y=1.0 - 0.08 / height, ha="left", va="top", fontsize=9.5)
    figure.supxlabel("Observed SOC (% by mass)", y=0.05 / height, va="bottom", fontsize=8.5)
    figure.supylabel("Predicted SOC (% by mass)", x=0.05 / width, ha="left", fontsize=8.5)
    return figure


def _square_panels(rows: int, columns: int, count: int) -> tuple[Figure, np.ndarray]:
    """``count`` square panels with fixed margins in inches; solving the layout of many panels takes seconds."""
    left, right, top, bottom, gap, between = 0.50, 0.08, 0.55, 0.48, 0.14, 0.30
    # Panels of a page with few regions are as large as those of four in a row, and the page is narrower.
    across = max(columns, 4)
    side = (WIDTH - left - right - (across - 1) * gap) / across
    width = left + right + columns * side + (columns - 1) * gap
    height = top + bottom + rows * side + (rows - 1) * between
    figure = new_figure(width, height, solve_layout=False)
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    ends = {"right": 1.0 - right / width, "top": 1.0 - top / height, "wspace": gap / side, "hspace": between / side}
    figure.subplots_adjust(left=left / width, bottom=bottom / height, **ends)
    return figure, style.trim(axes, count)


@dataclass(frozen=True)
class Dot:
    """One model in one region.

    Attributes:
      model, region: what is shown.
      values: the metric for each seed; NaN where undefined.
      trusted: False draws an open marker (a network that did not converge).
    """

    model: str
    region: str
    values: tuple[float, ...]
    trusted: bool = True


@styled
def metric_by_region(
    dots: Sequence[Dot], styles: Mapping[str, Look], *, label: str, lower: float | None = None, best: float | None = 1.0
) -> Figure:
    """Dot plot of a metric: a line for each region, sorted by the mean of its dots, and their mean at the bottom.

    Args:
      dots: one for each model and region; seeds are averaged, their range is drawn as a bar.
      styles: look of each model, in the order of the legend.
      label: name and unit of the metric.
      lower: values below are drawn at this value as left-pointing triangles.
      best: value of a perfect model, to which the axis reaches; None leaves it to the data.
    """
    means = {(dot.model, dot.region): mean_sd(dot.values).mean for dot in dots}
    regions = sorted({dot.region for dot in dots}, key=lambda region: _sort_value(means, region))
    figure = new_figure(WIDTH, 1.25 + 0.22 * (len(regions) + 1))
    axis = figure.subplots()
    places = {region: index for index, region in enumerate(regions)}
    # Models stand a little above each other, in the order of the legend, so that equal values stay visible.
    for (model, look), shift in zip(styles.items(), shifts(len(styles), -0.16), strict=True):
        mine = [dot for dot in dots if dot.model == model]
        for dot in mine:
            _draw_dot(axis, places[dot.region] + shift, dot.values, look, dot.trusted, lower)
        average = mean_sd([means[dot.model, dot.region] for dot in mine]).mean
        trusted = all(dot.trusted for dot in mine)
        _draw_dot(axis, -1.4 + shift, (average,), look, trusted, lower)
    axis.axhline(-0.7, color=GREY, linewidth=0.6)
    axis.set_yticks([-1.4, *range(len(regions))], ["mean", *(shortened(region, 28) for region in regions)])
    axis.set_ylim(-2.0, len(regions) - 0.4)
    axis.tick_params(axis="y", length=0, labelsize=8.0)
    axis.spines["left"].set_visible(False)
    style.light_grid(axis)
    for region, place in places.items():
        if not math.isfinite(_sort_value(means, region)[0]):
            look: Any = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": 7, "color": GREY}
            axis.annotate("undefined", (0.01, place), **look)
    low, high = axis.get_xlim()
    low = min(low, 0.0) if lower is None else max(min(low, 0.0), lower - 0.03)
    axis.set_xlim(low, high if best is None else max(best, min(high, best)))
    if low < 0.0:
        axis.axvline(0.0, color=GREY, linewidth=0.6, zorder=1)
    axis.set_xlabel(label)
    doubtful = [] if all(dot.trusted for dot in dots) else [Look("not converged", GREY, "o", filled=False)]
    legend(figure, [*styles.values(), *doubtful])
    return figure


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """One spectrum and what each model made of it.

    Attributes:
      title: region and sample.
      observed: (m,) reflectance as a fraction.
      reconstructed: model -> (m,) reflectance as a fraction; NaN where the model diverged.
    """

    title: str
    observed: np.ndarray
    reconstructed: Mapping[str, np.ndarray]


@styled
def reconstructions(
    axis_values: np.ndarray, examples: Sequence[Reconstruction], styles: Mapping[str, Look], *, unit: str = "nm"
) -> Figure:
    """Observed spectra (solid), their reconstructions (dashed) and, below each, the residual; above it the RMSEs.

    The axis (m,) is in ``unit``, "nm" or "cm-1"; ``styles`` has the look of each model.
    """
    columns = min(3, len(examples))
    rows = math.ceil(len(examples) / columns)
    figure = new_figure(WIDTH, 0.75 + 2.25 * rows)
    grid = figure.add_gridspec(2 * rows, columns, height_ratios=[2.6, 1.0] * rows)
    residuals = [
        100.0 * float(np.abs(spectrum - example.observed).max())
        for example in examples
        for spectrum in example.reconstructed.values()
        if np.isfinite(spectrum).all()
    ]
    residual_limit = 1.1 * max([*residuals, 0.5])
    shared: Any = None
    for index, example in enumerate(examples):
        row, column = divmod(index, columns)
        upper = figure.add_subplot(grid[2 * row, column], sharex=shared, sharey=shared)
        shared = shared or upper
        below = figure.add_subplot(grid[2 * row + 1, column], sharex=upper)
        _draw_reconstruction(upper, below, axis_values, example, styles)
        below.set_ylim(-residual_limit, residual_limit)
        upper.tick_params(labelbottom=False)
        # The last panel of a column carries the axis, also where the row below is not full.
        below.tick_params(labelbottom=index + columns >= len(examples))
        for panel, label in ((upper, "Reflectance (fraction)"), (below, "Residual\n(% refl.)")):
            if column == 0:
                panel.set_ylabel(label)
            else:
                panel.tick_params(labelleft=False)
        if index + columns >= len(examples):
            below.set_xlabel(AXIS_LABELS.get(unit, unit))
    figure.align_ylabels()
    models = [dataclasses.replace(look, marker="", line=DASHED) for look in styles.values()]
    legend(figure, [Look("Observed", "black", line="-"), *models])
    return figure


def _drawn(values: ArrayLike, floor: float) -> np.ndarray:
    """Values on a logarithmic axis: what lies outside is drawn at the edge, NaN is left out by matplotlib."""
    return np.clip(np.asarray(values, dtype=np.float64), floor, CEILING)


def _sort_value(means: Mapping[tuple[str, str], float], region: str) -> tuple[float, str]:
    mean = mean_sd([value for (_, where), value in means.items() if where == region]).mean
    return (mean if math.isfinite(mean) else -math.inf, region)


def _draw_dot(
    axis: Axes, place: float, values: Sequence[float], look: Look, trusted: bool, lower: float | None
) -> None:
    mean = mean_sd(values).mean
    if not math.isfinite(mean):
        return
    outside = lower is not None and mean < lower
    where = lower if outside and lower is not None else mean
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) > 1:
        ends = np.clip([min(finite), max(finite)], lower, None)
        axis.plot(ends, [place, place], color=look.color, linewidth=0.9, alpha=0.7, zorder=2)
    drawn = dataclasses.replace(look, marker="<") if outside else look
    points(axis, where, place, drawn, trusted=trusted, size=5.0, alpha=0.9, zorder=3, clip_on=False)


def _draw_reconstruction(
    upper: Axes, below: Axes, axis_values: np.ndarray, example: Reconstruction, styles: Mapping[str, Look]
) -> None:
    upper.plot(axis_values, example.observed, color="black", linewidth=1.0, zorder=2)
    below.axhline(0.0, color=GREY, linewidth=0.6, zorder=1)
    lines: list[tuple[str, str]] = []
    for model, look in styles.items():
        spectrum = example.reconstructed.get(model)
        if spectrum is None:
            continue
        if not np.isfinite(spectrum).all():
            lines.append(("diverged", look.color))
            continue
        residual = 100.0 * (spectrum - example.observed)
        upper.plot(axis_values, spectrum, color=look.color, linewidth=1.1, linestyle=DASHED, zorder=3)
        below.plot(axis_values, residual, color=look.color, linewidth=0.9, zorder=2)
        lines.append((f"{np.sqrt(np.mean(residual**2)):.2f}", look.color))
    upper.set_title(shortened(example.title, 34), loc="left", pad=12)
    # Above the panel, where no spectrum runs.
    start, step = 0.28, 0.72 / max(3, len(lines))
    for place, (text, color) in enumerate([("RMSE (%):", GREY), *lines]):
        x = start + step * (place - 1) if place else 0.0
        upper.text(x, 1.02, text, color=color, transform=upper.transAxes, ha="left", va="bottom", fontsize=7.0)
