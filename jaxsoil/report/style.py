"""How figures look and how they are saved: colours that colour-blind readers tell apart, sizes, file formats.

The parts that figures share are here too: grids of panels, legends, ticks of logarithmic axes, error bars, bands.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from jaxsoil.runs.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

OKABE_ITO = ("#000000", "#E69F00", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#F0E442")
"""Colours of Okabe and Ito (2008), yellow last: it is faint on white."""

DRAWN = (*OKABE_ITO[:-1], "#882255")
"""Colours of models: those of Okabe and Ito, in place of yellow the wine red of Tol's muted scheme (2021)."""

MARKERS = ("s", "D", "o", "^", "v", "P", "X", "*")

GREY = "#8a8a8a"
LIGHT = "#e6e6e6"
"""Lines of a grid behind the data."""

DASHED = (0, (4, 2))
"""Line style of what is not measured: reconstructions, limits, the truth of a twin."""

BACKDROP: dict[str, Any] = {"facecolor": "white", "alpha": 0.8, "linewidth": 0.0, "pad": 1.0}
"""Box behind text that is written over data."""

DPI = 150
WIDTH = 7.2
"""Width of a page in inches."""

_STYLE: Any = {
    "font.size": 8.0, "font.family": "DejaVu Sans", "pdf.fonttype": 42,
    "axes.titlesize": 8.0, "axes.labelsize": 8.5, "axes.linewidth": 0.6,
    "axes.spines.top": False, "axes.spines.right": False,
    "xtick.labelsize": 7.0, "ytick.labelsize": 7.0, "xtick.major.width": 0.6, "ytick.major.width": 0.6,
    "legend.frameon": False, "legend.fontsize": 8.0,
}  # fmt: skip

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Look:
    """How one model is drawn and named.

    Attributes:
      label: name in the legend.
      color: of markers and lines.
      marker: matplotlib's, "" for a line without markers.
      line: line style in the legend, "" for markers alone.
      filled: whether the marker is filled; open ones are white inside.
    """

    label: str
    color: str
    marker: str = ""
    line: Any = ""
    filled: bool = True


def looks(labels: Mapping[str, str], order: Sequence[str] = ()) -> dict[str, Look]:
    """A look for each model, the same in every figure of a report.

    Args:
      labels: model -> name in the legend.
      order: models whose colour must not depend on which others are present; the rest follow.
    """
    names = [*order, *(name for name in labels if name not in order)]
    return {
        name: Look(labels[name], DRAWN[index % len(DRAWN)], MARKERS[index % len(MARKERS)])
        for index, name in enumerate(names)
        if name in labels
    }


def styled(draw: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Runs a function under the settings of this package's figures and leaves matplotlib's own as they were."""

    @functools.wraps(draw)
    def wrapper(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        import matplotlib

        with matplotlib.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return wrapper


def new_figure(width: float, height: float, *, solve_layout: bool = True) -> Figure:
    """An empty figure of a size in inches, without pyplot: no display, no global state.

    Without ``solve_layout``, which lets matplotlib find the margins, the caller sets them.
    """
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained" if solve_layout else None)


@styled
def save(figure: Figure, folder: Path, name: str, *, formats: Sequence[str] = ("png",)) -> Path:
    """Writes the figure as ``name.png`` (150 dpi) and in any other format asked for, such as "pdf".

    No dates go into the files, so that equal figures are equal bytes.

    Returns:
      Path of the first file.
    """
    dates: dict[str, dict[str, Any]] = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
    figure.set_dpi(DPI)
    # Margins are found here, once for all formats: to find them savefig would go through the whole drawing first.
    if (engine := figure.get_layout_engine()) is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")
    for suffix in formats:
        with atomic_path(folder / f"{name}.{suffix}") as temporary:
            figure.savefig(temporary, format=suffix, dpi=DPI, metadata=dates.get(suffix), facecolor="white")
    return folder / f"{name}.{formats[0]}"


def grid(
    n: int,
    *,
    most: int = 3,
    panel: float = 2.3,
    extra: float = 0.4,
    xlabel: str = "",
    ylabel: str = "",
    sharex: bool = False,
    sharey: bool = False,
) -> tuple[Figure, np.ndarray]:
    """A figure with ``n`` panels, as wide as the page (0.6 of it for a single column).

    Args:
      n: panels, one or more.
      most: columns at most.
      panel, extra: height of a row and of what is above and below all of them, inches.
      xlabel: of the lowest panel of each column.
      ylabel: of the first panel of each row.
      sharex, sharey: whether the panels have common limits.

    Returns:
      The figure and its panels (n,), row by row.
    """
    columns = min(most, n)
    rows = math.ceil(n / columns)
    figure = new_figure(WIDTH if columns > 1 else 0.6 * WIDTH, extra + panel * rows)
    axes = trim(figure.subplots(rows, columns, sharex=sharex, sharey=sharey, squeeze=False), n)
    for place, axis in enumerate(axes):
        if xlabel and place + columns >= n:
            axis.set_xlabel(xlabel)
        if ylabel and place % columns == 0:
            axis.set_ylabel(ylabel)
    return figure, axes


def trim(axes: np.ndarray, n: int) -> np.ndarray:
    """Removes all but the first ``n`` panels of a grid (rows, columns); returns these (n,).

    The lowest panel of each column then carries the tick labels, also where the row below it is not full.
    """
    columns = axes.shape[1]
    for axis in axes.flat[n:]:
        axis.remove()
    for axis in axes.flat[max(0, n - columns) : n]:
        axis.tick_params(labelbottom=True)
    return axes.ravel()[:n]


_PLACES = {"above": "outside upper center", "below": "outside lower center", "right": "outside right center"}
_LINE_LETTERS = 100
"""Letters of a legend that fit beside each other on a page's width, with six for each sign."""


def legend(
    target: Figure | Axes,
    looks: Mapping[Any, Look] | Iterable[Look | Artist] | None = None,
    *,
    place: str = "above",
    columns: int | None = None,
    size: float = 5.0,
    **options: Any,
) -> Legend:
    """A legend of looks, or of what is drawn with a label.

    Args:
      target: a figure or an axis.
      looks: what stands in it, in order: looks, or matplotlib's own artists with a label. None takes the labelled
        artists of the figure or axis, each label once.
      place: "above", "below" or "right" of a figure's panels, or any ``loc`` of matplotlib.
      columns: number of columns; otherwise as many as fit beside each other on a figure, one on an axis.
      size: of the markers, points.
      options: matplotlib's, such as ``title``.
    """
    if looks is None:
        # A figure has a list of axes; an axis has none.
        inside: Any = getattr(target, "axes", None)
        axes: list[Any] = inside if isinstance(inside, list) else [target]
        found: dict[str, Any] = {}
        for axis in axes:
            for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
                found.setdefault(label, handle)
        handles = list(found.values())
    else:
        entries = looks.values() if isinstance(looks, Mapping) else looks
        handles = [_sign(entry, size) if isinstance(entry, Look) else entry for entry in entries]
    names = [str(handle.get_label()) for handle in handles]
    size_inches = getattr(target, "get_size_inches", None)
    if columns is None:
        columns = 1 if size_inches is None else _columns([len(name) for name in names], size_inches()[0])
    options = {"columnspacing": 1.4, **options}
    options["title"] = options.get("title") or None
    where: Any = _PLACES.get(place, place)
    return target.legend(handles=handles, labels=names, loc=where, ncols=columns, **options)


def _sign(look: Look, size: float) -> Any:
    from matplotlib.lines import Line2D

    face = look.color if look.filled else "white"
    shape: dict[str, Any] = {"marker": look.marker, "ms": _size(look.marker, size), "mfc": face, "lw": 1.2}
    return Line2D([], [], color=look.color, label=look.label, ls=look.line or "none", **shape)


def _columns(letters: Sequence[int], width: float) -> int:
    """The most columns of a legend that fit; entries fill a column before the next, which matplotlib does too."""
    for columns in range(len(letters), 1, -1):
        rows = math.ceil(len(letters) / columns)
        widest = [max(letters[start : start + rows]) + 6 for start in range(0, len(letters), rows)]
        if sum(widest) <= _LINE_LETTERS * width / WIDTH:
            return len(widest)
    return 1


def log_ticks(axis: Axis, *, inner: bool = False) -> None:
    """Few round numbers on a logarithmic axis whose limits are set, written out as 0.1, 1, 10.

    ``inner`` leaves out numbers near the ends, which would run into those of a neighbouring panel.
    """
    from matplotlib.ticker import FixedLocator, LogLocator, NullLocator, StrMethodFormatter

    low, high = sorted(axis.get_view_interval())
    # Within a factor of four, ticks at 1, 2 and 5 alone would leave one number or none.
    steps = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0) if high < 4.0 * low else (1.0, 2.0, 5.0) if high < 50.0 * low else (1.0,)
    locator: Any = LogLocator(subs=steps)
    if inner:
        places = np.log(np.asarray(locator.tick_values(low, high)) / low) / math.log(high / low)
        shown = [low * (high / low) ** place for place in places if 0.1 < place < 0.9]
        locator = FixedLocator([float(f"{value:.3g}") for value in shown])
    axis.set_major_locator(locator)
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_locator(NullLocator())


def points(
    axis: Axes,
    x: ArrayLike,
    y: ArrayLike,
    look: Look,
    *,
    xerr: ArrayLike | None = None,
    yerr: ArrayLike | None = None,
    trusted: bool = True,
    size: float = 4.5,
    **options: Any,
) -> None:
    """Markers with error bars.

    Args:
      axis: where to draw.
      x, y: (n,) or numbers.
      look: colour, marker and, where it has one, line between the markers.
      xerr, yerr: (n,) half lengths of the bars (SD or standard error), or (2, n) below and above; no bar where NaN.
      trusted: False draws open markers (networks that did not converge).
      size: of the markers, points.
      options: of ``Axes.errorbar``, such as ``label`` and ``zorder``.
    """
    face = look.color if trusted and look.filled else "white"
    marks: dict[str, Any] = {"marker": look.marker, "ms": _size(look.marker, size), "mfc": face, "color": look.color}
    lines: dict[str, Any] = {"linestyle": look.line or "none", "elinewidth": 0.9, "linewidth": 1.0, **options}
    axis.errorbar(np.atleast_1d(x), np.atleast_1d(y), xerr=_bars(xerr), yerr=_bars(yerr), **marks, **lines)


def _size(marker: str, size: float) -> float:
    """Size at which a marker looks as large as the others: a star covers little of its square."""
    return 1.5 * size if marker == "*" else size


def _bars(lengths: ArrayLike | None) -> np.ndarray | None:
    return None if lengths is None else np.nan_to_num(np.atleast_1d(np.asarray(lengths, dtype=np.float64)))


def band(axis: Axes, x: ArrayLike, low: ArrayLike, middle: ArrayLike, high: ArrayLike, look: Look) -> None:
    """A line with a shaded band around it, (n,) each: a mean and its SD, or a median and percentiles."""
    axis.fill_between(np.asarray(x), np.asarray(low), np.asarray(high), color=look.color, alpha=0.2, linewidth=0.0)
    line = look.line or "-"
    axis.plot(x, middle, color=look.color, marker=look.marker, ms=3.5, ls=line, lw=1.2, label=look.label or None)


def one_to_one(axis: Axes, low: float, high: float) -> None:
    """The line on which the prediction is the observation."""
    axis.plot([low, high], [low, high], color=GREY, linewidth=0.8, zorder=1)


def names_axis(axis: Axes, names: Sequence[str]) -> None:
    """Names on the vertical axis, the first at height 0 and on top."""
    axis.set_yticks(range(len(names)), list(names))
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)


def light_grid(axis: Axes, along: str = "y") -> None:
    """Thin lines behind the data at the ticks of the axis "x", "y" or "both"."""
    axis.grid(axis=along, color=LIGHT, linewidth=0.6)  # pyright: ignore[reportArgumentType]
    axis.set_axisbelow(True)


def shifts(count: int, reach: float) -> list[float]:
    """Offsets from ``-reach`` to ``reach`` that part ``count`` marks of one place; 0 for a single one."""
    return np.linspace(-reach, reach, count).tolist() if count > 1 else [0.0]


_CORNERS: dict[str, tuple[float, float, str, str]] = {
    "upper left": (0.04, 0.96, "left", "top"),
    "upper right": (0.96, 0.96, "right", "top"),
    "lower left": (0.04, 0.04, "left", "bottom"),
    "lower right": (0.96, 0.04, "right", "bottom"),
}


def corner_text(axis: Axes, text: str, corner: str = "upper left", **options: Any) -> None:
    """Writes into a corner of a panel, over a white backdrop; ``options`` are those of ``Axes.text``."""
    x, y, side, level = _CORNERS[corner]
    look: dict[str, Any] = {"ha": side, "va": level, "fontsize": 7.0, "bbox": BACKDROP, **options}
    axis.text(x, y, text, transform=axis.transAxes, **look)


def free_corner(axis: Axes, x: ArrayLike, y: ArrayLike) -> str:
    """The corner off the 1:1 line, "upper left" or "lower right", that points (n,) leave free or keep away from."""
    places = axis.transAxes.inverted().transform(axis.transData.transform(np.column_stack([x, y])))
    # How far each point stays outside the text's box in either corner; negative: it would be covered.
    upper_left = np.maximum(places[:, 0] - 0.50, 0.70 - places[:, 1])
    lower_right = np.maximum(0.50 - places[:, 0], places[:, 1] - 0.30)
    crowding = [(int((gap < 0.0).sum()), -float(np.min(gap, initial=1.0))) for gap in (upper_left, lower_right)]
    return "upper left" if crowding[0] <= crowding[1] else "lower right"


def shortened(text: str, limit: int) -> str:
    """``text`` cut to ``limit`` letters; a dollar sign in a name would start mathematics and is escaped."""
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    return text.replace("$", r"\$")
