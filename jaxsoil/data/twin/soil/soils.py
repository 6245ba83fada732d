"""Composition of the synthetic soils: regions, pedons and horizons, their minerals, SOC and water.

Nothing here knows of spectra: several instruments can scan the same soils.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxsoil.data.twin.soil.config import TwinConfig
from jaxsoil.data.twin.soil.endmembers import CLAY_MINERALS

SOC = "SOC"
# Mass shares of the main minerals in the mean soil, a choice of this project: a temperate mineral soil, mostly quartz,
# feldspar and clays, with enough oxides to colour it. They are normalised over the main minerals in use.
MEAN_SOIL = {
    "Quartz": 0.36, "Microcline": 0.14, "Kaolinite": 0.13, "Montmorillonite": 0.08, "Vermiculite": 0.08, "Illite": 0.12,
    "Muscovite": 0.07, "Calcite": 0.04, "Goethite": 0.04, "Hematite": 0.015, "Gibbsite": 0.015,
}  # fmt: skip


class Outlying(NamedTuple):
    """Soils that no mixture of the others gives.

    Args:
      minerals: mass shares of what is unusual in them.
      moisture: factor on the water that they hold.
      path: factor on -ln R, by texture.
    """

    minerals: Mapping[str, float]
    moisture: float
    path: float


OUTLYING = (
    # Young volcanic soils: their allophane holds much water.
    Outlying({"Halloysite": 0.45, "Anorthite": 0.15, "Augite": 0.20, "Ferrihydrite": 0.20}, moisture=4.0, path=1.6),
    # Acid sulphate soils.
    Outlying({"Siderite": 0.35, "Pyrite": 0.15, "Jarosite": 0.20, "Illite": 0.30}, moisture=1.5, path=1.4),
    # On serpentinite.
    Outlying({"Antigorite": 0.40, "Chlorite": 0.25, "Nontronite": 0.30, "Magnetite": 0.05}, moisture=1.5, path=1.4),
    # Coarse black sands, which hold little water.
    Outlying({"Quartz": 0.55, "Augite": 0.30, "Ilmenite": 0.15}, moisture=0.3, path=1.8),
    # On amphibolite.
    Outlying({"Hornblende": 0.40, "Epidote": 0.30, "Biotite": 0.30}, moisture=1.0, path=1.5),
    # Gypsiferous calcareous soils: fine, bright and dry.
    Outlying({"Calcite": 0.45, "Dolomite": 0.25, "Gypsum": 0.30}, moisture=0.5, path=0.7),
)
"""Outlying regions take them in turn."""

_NOMINAL_DEPTHS = np.array([0.0, 10.0, 25.0, 45.0, 75.0, 110.0, 150.0])  # cm, horizon borders


@dataclasses.dataclass(frozen=True, eq=False)
class Soils:
    """n horizons; regions and pedons are numbered from 0.

    Args:
      mass: (n, k + 1) mass fractions of the dry soil, minerals in the order given, SOC last.
      region: (n,) index.
      pedon: (n,) index within the region.
      horizon: (n,) index within the pedon, from the top.
      top: (n,) upper depth, cm.
      bottom: (n,) lower depth, cm.
      clay: (n,) mass fraction of clay minerals.
      moisture: (n,) mass of water per mass of dry soil.
      path: (n,) texture: factor on -ln R of the dry mixture, above 1 where grains are coarse.
      outlying: indices of the regions with unusual mineralogy.
    """

    mass: NDArray[np.float64]
    region: NDArray[np.int64]
    pedon: NDArray[np.int64]
    horizon: NDArray[np.int64]
    top: NDArray[np.float64]
    bottom: NDArray[np.float64]
    clay: NDArray[np.float64]
    moisture: NDArray[np.float64]
    path: NDArray[np.float64]
    outlying: tuple[int, ...]

    def rows(self, chosen: slice) -> Soils:
        """Returns some horizons."""
        own = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return Soils(**{name: value if name == "outlying" else value[chosen] for name, value in own.items()})


def compose(config: TwinConfig, names: tuple[str, ...], seed: np.random.SeedSequence) -> Soils:
    """Draws the soils.

    Args:
      config: sizes, levels and spreads.
      names: the k minerals of the true library.
      seed: source of randomness; each part of the composition gets a stream of its own.
    """
    layout, regions, pedons, carbon, water, texture, clays = map(np.random.default_rng, seed.spawn(7))
    region, pedon, horizon, top, bottom = _layout(config, layout)
    outlying = outlying_regions(config)
    means, traces = _region_means(config, names, outlying, regions)
    start = np.flatnonzero(horizon == 0)
    # Row -> running number of its pedon, over all regions.
    pedon_of_row = np.cumsum(horizon == 0) - 1
    mineral = _minerals(config, means[region[start]], traces[region[start]], pedon_of_row, pedons)
    soc, relative = _soc(config, region, pedon_of_row, (top + bottom) / 2, carbon)
    is_clay = np.isin(names, CLAY_MINERALS)
    mineral[:, is_clay] *= (relative ** _clay_exponents(config, clays)[region])[:, None]
    mineral /= mineral.sum(axis=1, keepdims=True)
    mass = np.column_stack([mineral * (1.0 - soc)[:, None], soc])
    clay = mass[:, :-1][:, is_clay].sum(axis=1)
    state = {where: OUTLYING[turn % len(OUTLYING)] for turn, where in enumerate(outlying)}
    moisture = _moisture(config, region, clay, soc, water)
    moisture *= _outlying_factor(config, {where: soil.moisture for where, soil in state.items()})[region]
    path = np.exp(texture.normal(0.0, config.path_region_log_sd, config.n_regions))
    path *= _outlying_factor(config, {where: soil.path for where, soil in state.items()})
    path = path[region] * np.exp(texture.normal(0.0, config.path_sample_log_sd, region.size))
    return Soils(mass, region, pedon, horizon, top, bottom, clay, moisture, path, outlying)


def outlying_regions(config: TwinConfig) -> tuple[int, ...]:
    """Returns the indices of the outlying regions, spread evenly over all, at most a third of them."""
    count = min(config.n_outlying, config.n_regions // 3)
    return tuple((turn + 1) * config.n_regions // (count + 1) for turn in range(count))


def _outlying_factor(config: TwinConfig, factors: Mapping[int, float]) -> NDArray:
    """Returns (regions,) factors: 1, and in outlying regions their own to the power ``outlying_state``."""
    found = np.ones(config.n_regions)
    for region, factor in factors.items():
        found[region] = factor**config.outlying_state
    return found


def _clay_exponents(config: TwinConfig, rng: np.random.Generator) -> NDArray:
    """Returns (regions,) exponents of clay on SOC, evenly spread around their mean, in random order."""
    spread = np.linspace(-np.sqrt(3.0), np.sqrt(3.0), config.n_regions) if config.n_regions > 1 else np.zeros(1)
    return config.clay_follows_soc + config.clay_follows_soc_sd * rng.permutation(spread)


def _layout(config: TwinConfig, rng: np.random.Generator) -> tuple[NDArray, ...]:
    """Returns region, pedon, horizon, top and bottom of every row; the last pedon of a region may be cut short."""
    sizes = np.full(config.n_regions, config.n_samples // config.n_regions)
    sizes[: config.n_samples % config.n_regions] += 1
    rows: list[tuple[int, int, int]] = []
    for region, size in enumerate(sizes):
        left, pedon = int(size), 0
        while left > 0:
            count = min(left, int(rng.integers(config.horizons_fewest, config.horizons_most + 1)))
            rows += [(region, pedon, horizon) for horizon in range(count)]
            left, pedon = left - count, pedon + 1
    region, pedon, horizon = np.array(rows).T
    nominal = np.interp(np.arange(config.horizons_most + 1), np.arange(_NOMINAL_DEPTHS.size), _NOMINAL_DEPTHS)
    if config.horizons_most >= _NOMINAL_DEPTHS.size:
        nominal = np.linspace(0.0, _NOMINAL_DEPTHS[-1], config.horizons_most + 1)
    # Horizons of a pedon keep their order: its borders stretch together.
    stretch = np.exp(rng.normal(0.0, 0.15, int(np.sum(horizon == 0))))[np.cumsum(horizon == 0) - 1]
    return region, pedon, horizon, np.round(nominal[horizon] * stretch), np.round(nominal[horizon + 1] * stretch)


def _region_means(
    config: TwinConfig, names: tuple[str, ...], outlying: tuple[int, ...], rng: np.random.Generator
) -> tuple[NDArray, NDArray]:
    """Returns the (regions, k) mean shares of the main minerals and of the trace minerals, each summing to one."""
    is_main = np.isin(names, config.main_minerals)
    shape = (config.n_regions, len(names))
    mean_soil = np.array([MEAN_SOIL.get(name, 0.05) if name in config.main_minerals else 0.0 for name in names])
    means = mean_soil * np.exp(rng.normal(0.0, config.region_log_sd, shape))
    means /= means.sum(axis=1, keepdims=True)
    for turn, region in enumerate(outlying):
        unusual = np.array([OUTLYING[turn % len(OUTLYING)].minerals.get(name, 0.0) for name in names])
        if unusual.sum() > 0:
            means[region] *= 1.0 - config.outlying_share
            means[region] += config.outlying_share * unusual / unusual.sum()
    traces = np.where(is_main, 0.0, np.exp(rng.normal(0.0, 1.0, shape)))
    return means, traces / np.maximum(traces.sum(axis=1, keepdims=True), 1e-12)


def _minerals(
    config: TwinConfig, means: NDArray, traces: NDArray, pedon_of_row: NDArray, rng: np.random.Generator
) -> NDArray:
    """Returns (n, k) mineral shares: pedons around their region (means, traces by pedon), horizons around those."""
    within, total = config.within_pedon_concentration, config.concentration
    shares = _dirichlet(rng, means * _between(total, within))[pedon_of_row]
    if config.horizons_most > 1:
        shares = _dirichlet(rng, shares * within)
    if not traces.any():
        return shares
    # Some twenty effective draws: trace minerals vary between samples without vanishing.
    trace = _dirichlet(rng, traces[pedon_of_row] * 20.0)
    return (1.0 - config.trace_share) * shares + config.trace_share * trace


def _between(total: float, within: float) -> float:
    """Returns the concentration between pedons that, with ``within``, gives a sample the variance of ``total``.

    The variance of a share p under Dirichlet(a p) is p (1 - p) / (a + 1); over two levels it is
    p (1 - p) (b + (1 - b) w) with b = 1 / (between + 1), w = 1 / (within + 1).
    """
    w, both = 1.0 / (within + 1.0), 1.0 / (total + 1.0)
    if both <= w:
        return total
    return (1.0 - w) / (both - w) - 1.0


def _dirichlet(rng: np.random.Generator, shape: NDArray) -> NDArray:
    """Returns one draw per row; parts with shape 0 stay 0."""
    draw = rng.standard_gamma(shape)
    # Every gamma of a row with tiny shapes may underflow; such a row falls back to its mean.
    total = draw.sum(axis=-1, keepdims=True)
    return np.where(total > 0, draw / np.where(total > 0, total, 1.0), shape / shape.sum(axis=-1, keepdims=True))


def _soc(
    config: TwinConfig, region: NDArray, pedon_of_row: NDArray, depth: NDArray, rng: np.random.Generator
) -> tuple[NDArray, NDArray]:
    """Returns the SOC mass fraction and its ratio to the median of its region."""
    level = rng.normal(0.0, config.soc_region_log_sd, config.n_regions)
    n_pedons = int(pedon_of_row[-1]) + 1
    # The slopes' mean square is one: exp(2 mean + 2 variance) = 1 for a log-normal with mean = -variance.
    by_pedon, slope = rng.standard_normal(n_pedons), np.exp(rng.normal(-(0.25**2), 0.25, n_pedons))
    own = rng.standard_normal(region.size)
    # ln SOC falls steeply near the surface and levels off below.
    fall = np.sqrt(depth)
    fall = (fall - fall.mean()) / max(float(fall.std()), 1e-9) if config.soc_depth_share > 0 else 0.0 * fall
    rest = 1.0 - config.soc_depth_share
    standard = (
        -np.sqrt(config.soc_depth_share) * slope[pedon_of_row] * fall
        + np.sqrt(rest - min(rest, config.soc_horizon_share)) * by_pedon[pedon_of_row]
        + np.sqrt(min(rest, config.soc_horizon_share)) * own
    )
    median = config.soc_median * np.exp(level[region])
    percent = np.clip(median * np.exp(config.soc_log_sd * standard), config.soc_low, config.soc_high)
    return percent / 100.0, percent / median


def _moisture(config: TwinConfig, region: NDArray, clay: NDArray, soc: NDArray, rng: np.random.Generator) -> NDArray:
    air = np.exp(rng.normal(0.0, config.moisture_region_log_sd, config.n_regions))[region]
    sample = np.exp(rng.normal(0.0, config.moisture_sample_log_sd, region.size))
    held = config.moisture_base + config.moisture_clay * clay + config.moisture_soc * soc
    return config.moisture * held * air * sample
