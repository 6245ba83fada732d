"""From a landscape to what models learn from: windows, targets, folds, and what was left out."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Float32, Int64

from jaxsoil.data.rasters import landscape
from jaxsoil.data.rasters.landscape import Landscape
from jaxsoil.data.rasters.rasters import fill_gaps
from jaxsoil.data.rasters.sites import Layer, Sites, check_sites, join_sites
from jaxsoil.runs.errors import DataError
from jaxsoil.studies.layers.config import LayersConfig

SKEWED = 0.5
"""Skewness above which a target is learnt as log(1 + value)."""

MEASURED = 0.5
"""A site is left out where less than this share of its window has values."""


@dataclasses.dataclass(frozen=True, eq=False)
class LayersData:
    """A landscape made ready for training: windows of covariates, targets in layers, and folds.

    Attributes:
      land: covariates, true maps where they are known.
      sites: those that lie on the rasters, n of them.
      row, col: (n,) their pixels.
      windows: (n, window, window, c) covariates as delivered, without gaps.
      folds: split -> (n,) fold of each site, 0 ... folds - 1.
      block: (n,) spatial block of each site; ``block_side`` in the unit of the CRS.
      log: whether models learn log(1 + value).
      notes: units, exclusions, doubts.
    """

    land: Landscape
    sites: Sites
    row: Int64[np.ndarray, " n"]
    col: Int64[np.ndarray, " n"]
    windows: Float32[np.ndarray, "n w v c"]
    folds: dict[str, Int64[np.ndarray, " n"]]
    block: Int64[np.ndarray, " n"]
    block_side: float
    log: bool
    notes: tuple[str, ...]

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Depth layers of the targets."""
        return self.sites.layers

    @property
    def blocks(self) -> int:
        """Number of spatial blocks that hold sites."""
        return int(np.unique(self.block).size)

    @property
    def seen(self) -> Bool[np.ndarray, "n l"]:
        """Where a value was measured."""
        return np.isfinite(self.sites.values)

    def to_scale(self, values: np.ndarray) -> np.ndarray:
        """From the unit of the data to the scale on which models learn."""
        return np.log1p(values) if self.log else values

    def to_unit(self, values: np.ndarray, smear: np.ndarray | float = 1.0) -> np.ndarray:
        """Back to the unit of the data; a property that cannot be negative is not.

        ``smear``: mean of exp(error) on the log1p scale, which makes means of what else are medians; 1: none.
        """
        return np.maximum(smear * np.exp(values) - 1.0 if self.log else values, 0.0)


def prepare(config: LayersConfig) -> LayersData:
    """Loads and checks the data and draws the folds.

    Raises:
      DataError: data that do not fit together; a layer that a fold would leave without sites to learn from.
      UsageError: settings that cannot be carried out.
    """
    from scipy.stats import skew

    config.check()
    land = landscape.load(config.data, config.twin, config.cover)
    sites, notes = check_sites(land.sites, land.source, config.min_sites)
    if land.truth is not None:
        kept = [place for place, layer in enumerate(land.sites.layers) if layer in sites.layers]
        land = dataclasses.replace(land, truth=land.truth[kept])
    sites, row, col, windows, more = join_sites(sites, land.rasters, land.source, config.window)
    windows, share = fill_gaps(windows)
    enough = share >= MEASURED
    notes += more
    if not enough.all():
        lost = ", ".join(map(str, sites.ids[~enough][:8]))
        notes.append(f"{int((~enough).sum())} sites left out, most of whose window has no value: {lost}.")
        sites, row, col, windows = sites.take(enough), row[enough], col[enough], windows[enough]
    centre = windows[:, config.window // 2, config.window // 2, :]
    constant = np.ptp(centre, axis=0) == 0.0
    if constant.any():
        place = int(np.argmax(constant))
        problem, remedy = "a raster has the same value at every site", "Leave it out: nothing can be learnt from it."
        named = {"source": land.source, "column": land.rasters.names[place], "value": float(centre[0, place])}
        raise DataError(problem, **named, remedy=remedy)
    block_side = config.block or float(np.sqrt(np.ptp(sites.east) * np.ptp(sites.north)) / 6.0)
    block, by_block = _block_folds(sites, block_side, config.folds)
    rng = np.random.default_rng(0)
    drawn = {"blocks": by_block, "random": rng.permutation(np.arange(len(sites)) % config.folds)}
    folds = {name: drawn[name].astype(np.int64) for name in config.splits}
    _require_folds(sites, folds, config.folds, land.source)
    skewness = [skew(column[np.isfinite(column)]) for column in sites.values.T]
    log = config.transform == "log1p" or (config.transform == "auto" and float(np.median(skewness)) > SKEWED)
    return LayersData(land, sites, row, col, windows, folds, block, block_side, log, (*land.notes, *notes))


def overlaps(data: LayersData, fold: Int64[np.ndarray, " n"], window: int) -> Bool[np.ndarray, " n"]:
    """Sites whose window shares pixels with that of a site of another fold, which their model learnt from."""
    rows, cols = (np.abs(place[:, None] - place[None, :]) < window for place in (data.row, data.col))
    return (rows & cols & (fold[:, None] != fold[None, :])).any(axis=1)


def _block_folds(sites: Sites, side: float, folds: int) -> tuple[np.ndarray, np.ndarray]:
    """Block of each site, and its fold: whole blocks, balanced in their numbers of sites."""
    import verde

    coordinates = np.stack([sites.east, sites.north], axis=1)
    if not side > 0.0:
        remedy = "Sites on one line have no extent of their own: give --block in the unit of the CRS."
        raise DataError("spatial blocks need a side above 0", column="block", value=side, remedy=remedy)
    _, labels = verde.block_split((sites.east, sites.north), spacing=side)
    if np.unique(labels).size < folds:
        value = f"{np.unique(labels).size} blocks of {side:.0f} for {folds} folds"
        remedy = "Give a smaller --block or fewer --folds."
        raise DataError("there are fewer blocks than folds", column="block", value=value, remedy=remedy)
    assigned = np.empty(len(sites), np.int64)
    splitter = verde.BlockKFold(spacing=side, n_splits=folds, shuffle=True, random_state=0, balance=True)
    for number, (_, test) in enumerate(splitter.split(coordinates)):
        assigned[test] = number
    return np.asarray(labels, np.int64), assigned


def _require_folds(sites: Sites, folds: dict[str, np.ndarray], count: int, source: str) -> None:
    for name, fold in folds.items():
        for place, layer in enumerate(sites.layers):
            seen = np.isfinite(sites.values[:, place])
            fewest = min(int((seen & (fold != number)).sum()) for number in range(count))
            if fewest < 8:
                problem = f"a fold of the split '{name}' would leave too few sites to learn from"
                remedy = "Give smaller blocks (--block), fewer folds, or leave the layer out (--min-sites)."
                raise DataError(problem, source=source, column=layer.name, value=fewest, remedy=remedy)
