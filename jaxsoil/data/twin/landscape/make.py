"""A synthetic landscape: covariate rasters, sites with profiles of soil organic carbon, and the true maps.

Every number here is a choice of ours that gives maps of realistic difficulty; none is taken from a place. SOC follows
what surrounds a pixel (vegetation and wetness averaged over hundreds of metres, slope from the neighbours' height),
so that a window of covariates says more than its central pixel; what drives it changes smoothly with depth, so that
layers resemble each other; and a part follows no covariate at all.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from jaxsoil.data.rasters.rasters import Grid, MemoryRasters
from jaxsoil.data.rasters.sites import Layer, Sites
from jaxsoil.data.twin.landscape.config import DEPTHS, LandscapeConfig

LAYERS = tuple(Layer(top, bottom) for top, bottom in DEPTHS)
"""The depth layers."""

COVARIATES = ("elevation", "wetness", "vegetation", "radiometric_k")
"""Relief (m), a wetness index (1), a vegetation index (1) and gamma-ray potassium (%): the parent material."""

CORNER = (600000.0, 6300000.0)
"""Easting and northing (m) of the upper left corner; the place has no meaning."""

CRS = "EPSG:32755"
"""WGS 84 / UTM zone 55S, a projected system in metres."""


@dataclasses.dataclass(frozen=True, eq=False)
class TwinLandscape:
    """What the generator returns: inputs (``rasters``, ``sites``) and the (layers, h, w) true SOC in %."""

    rasters: MemoryRasters
    sites: Sites
    truth: Float64[np.ndarray, "l h w"]


def random_field(rng: np.random.Generator, height: int, width: int, scale: float) -> Float64[np.ndarray, "h w"]:
    """A Gaussian random field with mean 0 and standard deviation 1 over the grid.

    White noise smoothed by a Gaussian kernel of standard deviation ``scale`` pixels, so its correlation at lag h is
    exp(-h^2 / (4 scale^2)); made on a larger grid, so that opposite borders do not resemble each other.
    """
    from scipy.ndimage import gaussian_filter

    margin = int(4 * scale) + 1
    noise = rng.standard_normal((height + 2 * margin, width + 2 * margin))
    smooth = gaussian_filter(noise, scale, mode="wrap")[margin:-margin, margin:-margin]
    return _standard(smooth)


def make_landscape(config: LandscapeConfig) -> TwinLandscape:
    """Draws the landscape; the same configuration gives the same bits.

    Streams of random numbers are separate by purpose: a landscape with other sites has the same land.
    """
    land, soil, places, readings = (np.random.default_rng((config.seed, part)) for part in range(4))
    clean, slope = _land(land, config)
    truth = _soil(soil, config, clean, slope)
    values = _observed(land, config, clean)
    water = random_field(land, config.height, config.width, 7.0)
    values[:, water < np.quantile(water, config.water)] = np.nan
    grid = Grid(config.height, config.width, (config.pixel, 0.0, CORNER[0], 0.0, -config.pixel, CORNER[1]), CRS)
    rasters = MemoryRasters(grid, COVARIATES, values)
    return TwinLandscape(rasters, _sites(places, readings, config, grid, values, truth), truth)


def _land(rng: np.random.Generator, config: LandscapeConfig) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Clean standardised covariates, and the standardised slope, which is no covariate of its own."""
    from scipy.ndimage import gaussian_filter

    def field(scale: float) -> np.ndarray:
        return random_field(rng, config.height, config.width, scale)

    height = _standard(field(30.0) + 0.35 * field(8.0) + 0.12 * field(3.0))
    down, across = np.gradient(height)
    slope = _standard(np.log(np.hypot(down, across) + 1e-3))
    # Wet where the land lies lower than its surroundings and is flat.
    hollow = gaussian_filter(height, 8.0) - height
    wetness = _standard(_standard(hollow) - 0.6 * slope + 0.5 * field(4.0))
    rock = np.tanh(1.5 * field(22.0)) + 0.3 * field(5.0)
    vegetation = _standard(0.5 * wetness + 0.5 * height + 0.9 * field(6.0))
    clean = {"elevation": height, "wetness": wetness, "vegetation": vegetation, "radiometric_k": _standard(rock)}
    return clean, slope


def _soil(
    rng: np.random.Generator, config: LandscapeConfig, clean: dict[str, np.ndarray], slope: np.ndarray
) -> np.ndarray:
    """True SOC in %: (layers, h, w)."""
    from scipy.ndimage import gaussian_filter

    litter = _standard(gaussian_filter(clean["vegetation"], 2.5))
    moist = _standard(gaussian_filter(clean["wetness"], 1.5))
    common = random_field(rng, config.height, config.width, 5.0)
    maps = []
    for layer, median in zip(LAYERS, config.medians, strict=True):
        depth = 0.5 * (layer.top + layer.bottom)
        surface, below = np.exp(-depth / 35.0), 1.0 - np.exp(-depth / 60.0)
        signal = (
            (0.75 * litter + 0.25 * litter * moist) * surface
            + 0.45 * moist
            - 0.35 * slope * np.exp(-depth / 90.0)
            + 0.2 * clean["elevation"]
            - (0.1 + 0.6 * below) * clean["radiometric_k"]
        )
        own = random_field(rng, config.height, config.width, 4.0)
        logarithm = config.explained * signal + config.shared * common + config.separate * own
        maps.append(median * np.exp(logarithm))
    return np.stack(maps)


def _observed(rng: np.random.Generator, config: LandscapeConfig, clean: dict[str, np.ndarray]) -> np.ndarray:
    """Covariates as a sensor delivers them: (covariates, h, w) float32 in their units."""
    scales = {
        "elevation": (320.0, 60.0, 0.02),
        "wetness": (12.0, 2.5, 0.05),
        "vegetation": (0.45, 0.12, config.sensor),
        "radiometric_k": (1.4, 0.5, config.sensor),
    }
    levels = [(clean[name], *scales[name]) for name in COVARIATES]
    layers = [mean + sd * (level + noise * rng.standard_normal(level.shape)) for level, mean, sd, noise in levels]
    return np.stack(layers).astype(np.float32)


def _sites(
    places: np.random.Generator,
    readings: np.random.Generator,
    config: LandscapeConfig,
    grid: Grid,
    values: np.ndarray,
    truth: np.ndarray,
) -> Sites:
    land = np.flatnonzero(np.isfinite(values).all(axis=0))
    chosen = places.choice(land, config.sites, replace=False)
    row, col = np.divmod(chosen, config.width)
    shift = places.uniform(-0.45, 0.45, (2, config.sites))
    east, north = grid.centre(row + shift[0], col + shift[1])
    measured = truth[:, row, col].T * np.exp(config.measurement * readings.standard_normal((config.sites, len(LAYERS))))
    # A layer that is missing takes those below it along: the auger did not reach them.
    reach = readings.uniform(size=config.sites)
    measured[reach[:, None] < np.asarray(config.gaps)[None, :]] = np.nan
    ids = np.array([f"site{number:04d}" for number in range(config.sites)])
    return Sites(ids, east, north, LAYERS, measured, "soil organic carbon", "%")


def _standard(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return (values - values.mean()) / values.std()
