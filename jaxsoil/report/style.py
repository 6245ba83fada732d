"""How figures look and how they are saved: colours that colour-blind readers tell apart, sizes, file formats."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from jaxsoil.runs.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OKABE_ITO = ("#000000", "#E69F00", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#F0E442")
"""Colours of Okabe and Ito (2008), yellow last: it is faint on white."""

MARKERS = ("s", "D", "o", "^", "v", "P", "X", "*")

GREY = "#8a8a8a"
DPI = 150
WIDTH = 7.2
"""Width of a page in inches."""

_STYLE: Any = {
    "font.size": 8.0,
    "font.family": "DejaVu Sans",
    "axes.titlesize": 8.0,
    "axes.labelsize": 8.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "pdf.fonttype": 42,
}

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Look:
    """How one model is drawn and named."""

    label: str
    color: str
    marker: str


def looks(labels: Mapping[str, str], order: Sequence[str] = ()) -> dict[str, Look]:
    """A look for each model, the same in every figure of a report.

    Args:
      labels: model -> name in the legend.
      order: models whose colour must not depend on which others are present; the rest follow.
    """
    names = [*order, *(name for name in labels if name not in order)]
    return {
        name: Look(labels[name], OKABE_ITO[index % len(OKABE_ITO)], MARKERS[index % len(MARKERS)])
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

    Args:
      width, height: inches.
      solve_layout: let matplotlib find the margins; without it the caller sets them.
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
    for suffix in formats:
        with atomic_path(folder / f"{name}.{suffix}") as temporary:
            figure.savefig(temporary, format=suffix, dpi=DPI, metadata=dates.get(suffix), facecolor="white")
        # The margins found for the first format hold for the others.
        figure.set_layout_engine("none")
    return folder / f"{name}.{formats[0]}"
