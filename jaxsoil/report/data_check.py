"""What is right and wrong with data of one's own, before any training: in words, and drawn by group."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jaxsoil.data import registry
from jaxsoil.data.library import PROTECTED, Library, Property
from jaxsoil.data.licences import NO_DERIVATIVES, NONCOMMERCIAL, terms
from jaxsoil.data.rasters import landscape
from jaxsoil.data.rasters.landscape import Landscape
from jaxsoil.data.rasters.rasters import Box
from jaxsoil.data.rasters.sites import check_sites, join_sites
from jaxsoil.data.readers.instruments import bands
from jaxsoil.data.readers.manifest import load_table
from jaxsoil.data.readers.measured_pairs import MID_ALONE, MeasuredPairs
from jaxsoil.data.readers.pair_set import read_pair_set
from jaxsoil.data.readers.schema import Manifest, kind_of, read_manifest
from jaxsoil.data.readers.toml import read_toml
from jaxsoil.report.figures import AXIS_LABELS
from jaxsoil.report.style import OKABE_ITO, WIDTH, corner_text, grid, new_figure, shortened, styled
from jaxsoil.runs.errors import DataError, DataErrors
from jaxsoil.spectra.checks import CHECKS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STUDIES = {
    "table": ("reconstruction", "hybrid"), "composite": ("reconstruction", "hybrid"),
    "pairs": ("multifidelity",), "landscape": ("layers",),
}  # fmt: skip
"""Kind of a manifest -> studies that read it."""

DRAWN = ("region", "laboratory", "source", "country")
"""Groups by which spectra are drawn: the first of them that has several names."""

PANELS, LINES = 8, 40
"""Panels of a table at most, and spectra that are drawn in each."""

_TERMS = {
    NONCOMMERCIAL: "a bundle will say that it allows no commercial use",
    NO_DERIVATIVES: "no bundle will be written",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Checked:
    """What was found in a manifest.

    Attributes:
      kind: "table", "composite", "pairs" or "landscape".
      right: lines on what was read.
      questions: lines on what can be loaded and does not look right.
      faults: what must be corrected before the data can be used.
      tables: title -> spectra to be drawn, also those of tables with faults.
      land: a landscape to be drawn.
    """

    kind: str
    right: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    faults: tuple[DataError, ...] = ()
    tables: Mapping[str, Library] = dataclasses.field(default_factory=dict)
    land: Landscape | None = None

    @property
    def text(self) -> str:
        """All of it in words."""
        lines = [f"This is a manifest of a {self.kind}." if self.kind != "pairs" else "This is a manifest of pairs."]
        for title, found in (
            ("Right:", self.right), ("To be looked at:", self.questions), ("Wrong:", list(map(str, self.faults))),
        ):  # fmt: skip
            lines += ["", title, *(f"  {number}. {line}" for number, line in enumerate(found, 1))] if found else []
        return "\n".join(lines)


def check(path: Path) -> Checked:
    """Reads what a manifest names; nothing is raised that can be listed, but DataError where there is no TOML."""
    kind = kind_of(read_toml(path))
    try:
        if kind == "landscape":
            return _landscape(path)
        if kind != "pairs":
            library = registry.load(path)
            return Checked(kind, _about(library), _questions({library.name: library}), tables={library.name: library})
        return _pairs(path)
    except DataError as error:
        faults = error.faults if isinstance(error, DataErrors) else (error,)
        return Checked(kind, faults=faults, tables=_unchecked(path, kind))


def _unchecked(path: Path, kind: str) -> dict[str, Library]:
    """Spectra of tables of which something does not hold, to be looked at; those that cannot be read are left out."""
    found = {}
    with contextlib.suppress(DataError):
        made = read_pair_set(path) if kind == "pairs" else read_manifest(path)
        tables = {made.name: made} if isinstance(made, Manifest) else made.tables
        for name, table in tables.items():
            for groups in ({}, table.groups):  # without groups, if with them is not possible
                bare = dataclasses.replace(table, labels={}, id=None, confirm=tuple(CHECKS), groups=groups)
                with contextlib.suppress(DataError):
                    found[f"{name}, unchecked"] = load_table(bare, path.parent)
    return found


def _pairs(path: Path) -> Checked:
    pairs = MeasuredPairs.read(path)
    tables = {"labelled, mid-infrared": pairs.mid, "pairs, near-infrared": pairs.near}
    if pairs.test is not None:
        tables |= {"test, mid-infrared": pairs.test[0], "test, near-infrared": pairs.test[1]}
    tables = {title: library for title, library in tables.items() if len(library)}
    tables |= {f"{other.scans.name}, pre-training": other.scans for other in pairs.others}
    right = [*pairs.notes, f"{len(pairs.near)} samples have both ranges." if len(pairs.near) else MID_ALONE]
    right += [f"{name}: {_values(prop)}" for name, prop in pairs.mid.properties.items()]
    right += _licence(pairs.mid)
    try:
        made = [pairs.fixed()] if pairs.test is not None else [*pairs.parts("groups"), *pairs.parts("random")]
    except DataError as error:
        faults = error.faults if isinstance(error, DataErrors) else (error,)
        return Checked("pairs", tuple(right), _questions(tables), faults, tables)
    for one in made:
        part = one.name.partition("/")[2]
        right.append(
            f"{part}: {len(one.pretrain)} scans, {len(one.labelled)} labelled, {len(one.paired_mir)} pairs train; "
            f"{len(one.test_mir)} samples judge."
        )
    return Checked("pairs", tuple(right), _questions(tables), tables=tables)


def _landscape(path: Path) -> Checked:
    land = landscape.load(str(path))
    sites, notes = check_sites(land.sites, land.source, fewest=1)
    sites, _, _, _, more = join_sites(sites, land.rasters, land.source, window=1)
    right = [f"{len(sites)} of {len(land.sites)} sites lie on the rasters."]
    right += [f"{layer.name}: {_values(Property(column, sites.unit))}"
              for layer, column in zip(sites.layers, sites.values.T, strict=True)]  # fmt: skip
    shape, pixel = land.rasters.grid, land.rasters.grid.pixel
    names = ", ".join(land.rasters.names)
    right.append(
        f"{len(land.rasters.names)} rasters of {shape.height} x {shape.width} pixels of {pixel[0]:g}: {names}."
    )
    right += [f"licence: {land.licence or 'none stated'}", *land.notes, *notes]
    return Checked("landscape", tuple(right), tuple(more), land=dataclasses.replace(land, sites=sites))


def _about(library: Library) -> tuple[str, ...]:
    """Lines on a library: its spectra, labels, groups, licence and notes."""
    spectra = library.spectra
    lines = [
        f"{len(library)} spectra of {np.unique(library.samples).size} samples, {spectra.quantity}, "
        f"{spectra.axis[0]:g}-{spectra.axis[-1]:g} {spectra.unit}, {spectra.n_bands} bands"
    ]
    lines += [f"label {name}: {_values(prop)}" for name, prop in library.properties.items()]
    for name, rows in library.groups.items():
        kinds, counts = np.unique(rows, return_counts=True)
        shown = ", ".join(f"{kind} {count}" for kind, count in zip(kinds[:6], counts[:6], strict=True))
        tied = "; never parted by a split" if name in PROTECTED else ""
        lines.append(f"group {name}: {kinds.size} ({shown}{', ...' if kinds.size > 6 else ''}){tied}")
    return (*lines, *_licence(library), *library.notes)


def _licence(library: Library) -> list[str]:
    stated = "; ".join(_TERMS[term] for term in terms(library.licence))
    return [f"licence: {library.licence or 'none stated'}{f' ({stated})' if stated else ''}"]


def _values(prop: Property) -> str:
    known = prop.values[np.isfinite(prop.values)]
    if not known.size:
        return f"no value among {prop.values.size}"
    low, middle, high = np.quantile(known, [0.0, 0.5, 1.0])
    return f"{known.size} of {prop.values.size} values, {low:.4g} to {high:.4g} {prop.unit}, median {middle:.4g}"


def _questions(tables: Mapping[str, Library]) -> tuple[str, ...]:
    found = []
    for title, library in tables.items():
        if library.spectra.quantity != "pretreated":
            found += [f"{title}: {line}" for line in bands.question(library.spectra)]
    return tuple(found)


def draw(checked: Checked) -> Figure | None:
    """Spectra by group, a row of panels for each table; of a landscape its sites on a raster, and its layers."""
    if checked.land is not None:
        return _map(checked.land)
    return _spectra(checked.tables) if checked.tables else None


@styled
def _spectra(tables: Mapping[str, Library]) -> Figure:
    panels = [(title, library, rows, name) for title, library in tables.items() for name, rows in _groups(library)]
    figure, axes = grid(len(panels), most=min(4, max(2, len(panels))), panel=1.7)
    limits: dict[str, tuple[float, float]] = {}
    for title, library, _, _ in panels:
        limits[title] = tuple(np.quantile(library.spectra.values, [0.0005, 0.9995]).tolist())
    for axis, (title, library, rows, name) in zip(axes, panels, strict=True):
        spectra = library.spectra
        values = spectra.values[rows]
        shown = np.random.default_rng(0).permutation(len(values))[:LINES]
        axis.plot(spectra.axis, values[shown].T, color=OKABE_ITO[2], linewidth=0.4, alpha=0.35)
        axis.plot(spectra.axis, np.median(values, axis=0), color=OKABE_ITO[0], linewidth=1.2)
        low, high = limits[title]
        margin = 0.15 * (high - low) or 0.1
        axis.set(xlabel=AXIS_LABELS[spectra.unit], ylim=(low - margin / 3, high + margin))
        axis.set_ylabel(spectra.quantity.capitalize())
        axis.set_title(shortened(title, 34))
        corner_text(axis, f"{shortened(name, 22)}: {len(values)}", "upper right")
    figure.suptitle(f"Black: median. Blue: {LINES} spectra at most, drawn at random.", fontsize=8.0)
    return figure


def _groups(library: Library) -> list[tuple[str, np.ndarray]]:
    """Rows of each group that is drawn, the largest first; what is beyond the panels is one of them."""
    name = next((one for one in DRAWN if one in library.groups and np.unique(library.groups[one]).size > 1), "")
    if not name:
        return [("all", np.arange(len(library)))]
    kinds, counts = np.unique(library.groups[name], return_counts=True)
    order = kinds[np.argsort(-counts, kind="stable")].tolist()
    alone = order if len(order) <= PANELS else order[: PANELS - 1]
    found = [(str(one), np.flatnonzero(library.groups[name] == one)) for one in alone]
    rest = np.flatnonzero(~np.isin(library.groups[name], alone))
    return [*found, (f"{len(order) - len(alone)} others", rest)] if rest.size else found


@styled
def _map(land: Landscape) -> Figure:
    sites, raster_grid = land.sites, land.rasters.grid
    figure = new_figure(WIDTH, 3.0)
    left, right = figure.subplots(1, 2)
    west, east, south, north = raster_grid.extent
    values = land.rasters.read(Box(0, 0, raster_grid.height, raster_grid.width))[0]
    image = left.imshow(values, extent=(west, east, south, north), cmap="Greys", interpolation="nearest")
    figure.colorbar(image, ax=left, label=f"{land.rasters.names[0]} (unit of its file)")
    left.plot(sites.east, sites.north, ".", color=OKABE_ITO[3], markersize=3.0)
    left.set(xlabel="Easting (unit of the CRS)", ylabel="Northing (unit of the CRS)", title=f"{len(sites)} sites")
    _layers(right, land)
    return figure


def _layers(axis: Axes, land: Landscape) -> None:
    sites = land.sites
    columns = [column[np.isfinite(column)] for column in sites.values.T]
    axis.boxplot(
        columns, orientation="horizontal", positions=range(len(columns)), widths=0.6,
        flierprops={"markersize": 2.0}, medianprops={"color": OKABE_ITO[2]},
    )  # fmt: skip
    names = [f"{layer.name} ({len(c)})" for layer, c in zip(sites.layers, columns, strict=True)]
    axis.set_yticks(range(len(columns)), names)
    axis.invert_yaxis()
    axis.set(xlabel=f"{sites.quantity} ({sites.unit})", title="Layers (sites)")
