"""What a data set holds, in words and as a figure."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jaxsoil.data.library import Library
from jaxsoil.data.sources.catalogue import source_of
from jaxsoil.report import style
from jaxsoil.report.figures import AXIS_LABELS

_SHOWN = 2000


def describe(library: Library, name: str = "") -> str:
    """Returns counts, ranges, units and missing values of a data set, its groups, licence, citation and notes."""
    spectra = library.spectra
    some = spectra.values[_some(len(library))].astype(np.float64)
    low, middle, high = np.quantile(some, (0.0, 0.5, 1.0)) if some.size else (np.nan,) * 3
    lines = [
        f"{library.name}: {len(library)} rows, {spectra.n_bands} bands, {spectra.axis[0]:g} to {spectra.axis[-1]:g} "
        f"{spectra.unit}, {spectra.quantity}",
        f"values: {low:.4g} to {high:.4g}, median {middle:.4g} (of {len(some)} rows)",
        "",
        f"{'property':14} {'unit':>11} {'n':>8} {'missing':>8} {'min':>9} {'median':>9} {'max':>9}",
    ]
    for key, one in library.properties.items():
        found = one.values[np.isfinite(one.values)]
        span = np.quantile(found, (0.0, 0.5, 1.0)) if found.size else (np.nan,) * 3
        numbers = " ".join(f"{value:9.4g}" for value in span)
        lines.append(f"{key:14} {one.unit:>11} {found.size:8d} {len(library) - found.size:8d} {numbers}")
    lines += ["", f"{'group':14} {'number':>8}  largest"]
    for key, values in library.groups.items():
        kinds, counts = np.unique(values, return_counts=True)
        order = np.argsort(-counts, kind="stable")[:3]
        lines.append(f"{key:14} {kinds.size:8d}  " + ", ".join(f"{kinds[at]} ({counts[at]})" for at in order))
    source = source_of(name)
    lines += ["", f"licence: {library.licence or 'none stated'}"]
    lines += [f"cite: {source.citation}", f"from: {source.homepage}"] if source else []
    return "\n".join([*lines, *(f"note: {note}" for note in library.notes)])


@style.styled
def draw(library: Library, target: Path) -> None:
    """Draws the median and the middle 90 % of the spectra of each region (or source), and the distribution of SOC.

    Of many rows 2,000 are drawn, in even steps; ``target`` is the file of the figure.
    """
    rows = _some(len(library))
    spectra, axis = library.spectra.values[rows].astype(np.float64), library.spectra.axis
    group = next((key for key in ("region", "source") if key in library.groups), None)
    names = library.groups[group][rows] if group else np.full(rows.size, library.name)
    kinds, counts = np.unique(names, return_counts=True)
    figure = style.new_figure(style.WIDTH, 3.0)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    for place, kind in enumerate(kinds[np.argsort(-counts, kind="stable")][: len(style.OKABE_ITO)]):
        mine = spectra[names == kind]
        colour = style.OKABE_ITO[place]
        left.plot(axis, np.median(mine, axis=0), color=colour, lw=1.2, label=f"{kind} ({len(mine)})")
        if place < 2:
            left.fill_between(axis, *np.quantile(mine, (0.05, 0.95), axis=0), color=colour, alpha=0.15, lw=0)
    left.set(xlabel=AXIS_LABELS[library.spectra.unit], ylabel=library.spectra.quantity.capitalize())
    if library.spectra.unit == "cm-1":
        left.invert_xaxis()
    left.legend(title=group, fontsize=7)
    soc = library.properties.get("soc") or next(iter(library.properties.values()), None)
    label = next((key for key, one in library.properties.items() if one is soc), "")
    found = np.empty(0) if soc is None else soc.values[np.isfinite(soc.values) & (soc.values > 0)]
    if soc is not None and found.size and found.min() < found.max():
        right.hist(found, np.geomspace(found.min(), found.max(), 30), color=style.OKABE_ITO[2])
        right.set_xscale("log")
        style.log_ticks(right.xaxis)
        right.set(xlabel=f"{label.upper() if label == 'soc' else label} ({soc.unit})", ylabel="Rows")
    else:
        right.set_axis_off()
    style.save(figure, target.parent, target.stem, formats=(target.suffix.lstrip(".") or "png",))


def _some(n: int) -> np.ndarray:
    return np.unique(np.linspace(0, max(0, n - 1), min(n, _SHOWN)).astype(np.int64))
