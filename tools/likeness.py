"""Numbers by which a twin is held against measured sets: depths of bands, noise, components, skill, properties.

Every function takes any set, synthetic or measured. ``tools/compare_twins.py`` prints them side by side, and the tests
hold the twins to :data:`SOIL_RANGES` and :data:`INFRARED_RANGES`, which were read from the measured sets.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxsoil.data.library import Library
from jaxsoil.evaluation import metrics
from jaxsoil.models import plsr
from jaxsoil.spectra.container import Spectra
from jaxsoil.spectra.preprocess import SNV, Resample

SOIL_BANDS = {"1400": (1340.0, 1500.0), "1900": (1850.0, 2130.0), "2200": (2130.0, 2250.0)}
"""Absorptions of soils and the shoulders (nm) of their continuum: hydroxyl and water, water, clays."""

INFRARED_LEVELS = (1300.0, 1080.0, 900.0, 1630.0)
"""Wavenumbers (cm-1) at which absorbance is read: about the reststrahlen band of quartz, and clay with water."""

INFRARED_BANDS = {"1870": (1870.0, 1830.0, 1920.0), "3620": (3620.0, 3560.0, 3720.0)}
"""Quartz and kaolinite: where the band is read and the shoulders (cm-1) of its baseline."""

DARK_BANDS = (650.0, 1650.0)
"""Wavelengths (nm) at which the darkening by SOC is read: visible and near infrared, away from other bands."""

STEP = 10.0
"""Bands (nm) on which components and skill are counted, as those of ``fields``."""

_WINDOW = 4.0  # cm-1 to either side of a level
_QUIET = (2000.0, 2300.0)  # cm-1, without strong bands of soils


SOIL_RANGES = {
    "depth_1400": (0.015, 0.075),
    "depth_1900": (0.075, 0.235),
    "depth_2200": (0.02, 0.12),
    "noise": (0.0, 5e-4),
    "noise_ends": (0.0, 2e-3),
    "components": (4.0, 15.0),
    "dark_650": (0.1, 1.3),
    "dark_1650": (-0.1, 0.75),
    "soc_median": (0.8, 3.7),
    "soc_log10_sd": (0.1, 0.52),
    "clay_mean": (20.0, 55.0),
    "clay_sd": (8.0, 19.0),
}
"""Ranges of :func:`soil_row` over eight measured sets of dry soils (SSP.460, SC.93, SL.125, UL.120, geeves, csiro100,
raca99, nirsoil), rounded outwards. Components reach to 15: a set of many regions has more than one of few. Noise
reaches to 5e-4: the measured spectra, smoothed by their instruments, show 1e-5 to 1e-4."""

INFRARED_RANGES = {
    "level_1300": (1.0, 2.2),
    "level_1080": (0.6, 1.9),
    "level_900": (1.0, 2.1),
    "level_1630": (0.9, 2.2),
    "height_1870": (0.08, 0.26),
    "height_3620": (0.25, 0.46),
    "noise": (0.0, 2e-3),
    "components": (5.0, 15.0),
}
"""Ranges of :func:`infrared_row` over nine measured sets (those of ``fields_mir``, woodwell604, bungoma140, afsis113),
rounded outwards."""


def band_depth(spectra: Spectra, low: float, high: float) -> NDArray[np.float64]:
    """The deepest of 1 - R / continuum between two shoulders, (n,), of reflectances in nm.

    The continuum is the straight line through the reflectances at ``low`` and ``high`` (nm); a spectrum that bulges
    above it everywhere has depth 0. NaN where the axis does not hold both.
    """
    axis = spectra.axis
    if axis[0] > low or axis[-1] < high:
        return np.full(len(spectra), np.nan)
    fine = np.linspace(low, high, 81)
    values = _interpolate(spectra.to_reflectance(), fine)
    line = values[:, :1] + (values[:, -1:] - values[:, :1]) * (fine - low) / (high - low)
    return np.max(1.0 - values / line, axis=1)


def band_height(spectra: Spectra, centre: float, low: float, high: float) -> NDArray[np.float64]:
    """Absorbance at ``centre`` above the line through ``low`` and ``high``, (n,); all read as :func:`level`."""
    left, right = level(spectra, low), level(spectra, high)
    return level(spectra, centre) - (left + (right - left) * (centre - low) / (high - low))


def level(spectra: Spectra, at: float) -> NDArray[np.float64]:
    """Mean absorbance within 4 cm-1 of ``at``, (n,); NaN where the axis holds none of it."""
    inside = np.abs(spectra.axis - at) <= _WINDOW
    if not inside.any():
        return np.full(len(spectra), np.nan)
    return spectra.to_absorbance().values[:, inside].mean(axis=1, dtype=np.float64)


def noise(values: ArrayLike) -> NDArray[np.float64]:
    """SD of what varies from band to band, for each band but the outermost, (m - 2,), in the unit of the values.

    White noise of SD s has second differences of SD s sqrt(6). The spread over the samples is taken, by its median
    absolute deviation, so that a band which all soils share does not count. Curvature of soils' own bands adds to it:
    use fine axes (1 to 2 nm) and the median over bands.
    """
    second = np.diff(np.asarray(values, dtype=np.float64), 2, axis=1)
    return 1.4826 * np.median(np.abs(second - np.median(second, axis=0)), axis=0) / np.sqrt(6.0)


def components(spectra: Spectra, share: float = 0.99) -> int:
    """Principal components that hold ``share`` of the variance of SNV absorbance."""
    values = SNV()(spectra.to_absorbance()).values.astype(np.float64)
    variance = np.linalg.svd(values - values.mean(axis=0), compute_uv=False) ** 2
    return int(np.searchsorted(np.cumsum(variance), share * variance.sum()) + 1)


def plsr_skill(library: Library, *, folds: ArrayLike) -> dict[str, float]:
    """R2 of log10 SOC by PLSR (15 components, SNV absorbance), each fold left out in turn.

    Args:
      library: SOC above zero in every row.
      folds: (n,) the fold of each row: a region, or a number drawn at random.

    Returns:
      R2 by fold, in sorted order.
    """
    fold = np.asarray(folds)
    x = SNV()(library.spectra.to_absorbance()).values
    y = np.log10(library.property("soc").values)
    found = {}
    for name in np.unique(fold):
        test = fold == name
        model = plsr.fit(x[~test], y[~test], min(plsr.N_COMPONENTS, int((~test).sum()) - 1))
        found[str(name)] = metrics.r2(y[test], model.predict(x[test]))
    return found


def random_skill(library: Library, *, n_folds: int = 5, seed: int = 0) -> float:
    """Median R2 of :func:`plsr_skill` over random folds of the rows' groups (sample and pedon stay whole)."""
    block = np.unique(library.blocks, return_inverse=True)[1]
    number = np.random.default_rng(seed).permutation(int(block.max()) + 1) % n_folds
    return float(np.median(list(plsr_skill(library, folds=number[block]).values())))


def soil_row(library: Library) -> dict[str, float]:
    """What a vis-NIR set looks like, NaN where it has no such band or property.

    Returns:
      ``n``; ``depth_1400``, ``_1900``, ``_2200``: medians over the samples of :func:`band_depth`; ``noise`` and
      ``noise_ends``: medians over all bands and over those of the outer 30 nm (reflectance); ``components`` on 10 nm
      band means; ``dark_650`` and ``dark_1650``: see :func:`darkening`; and :func:`property_row`.
    """
    spectra = library.spectra
    row = {"n": float(len(library))}
    for name, shoulders in SOIL_BANDS.items():
        row[f"depth_{name}"] = float(np.median(band_depth(spectra, *shoulders)))
    by_band = noise(spectra.to_reflectance().values)
    centre = spectra.axis[1:-1]
    outer = (centre < spectra.axis[0] + 30.0) | (centre > spectra.axis[-1] - 30.0)
    row["noise"], row["noise_ends"] = float(np.median(by_band)), float(np.median(by_band[outer]))
    row["components"] = float(components(coarse(spectra)))
    row |= {f"dark_{at:g}": darkening(library, at) for at in DARK_BANDS}
    return row | property_row(library)


def darkening(library: Library, at: float) -> float:
    """How much ln R at ``at`` nm falls where SOC grows tenfold: minus the slope of ln R on log10 SOC within regions."""
    spectra, soc = library.spectra, library.property("soc").values
    kept = soc > 0
    if not spectra.axis[0] <= at <= spectra.axis[-1] or kept.sum() < 3:
        return np.nan
    dark = -np.log(_interpolate(spectra[kept].to_reflectance(), np.array([at]))[:, 0])
    x = np.log10(soc[kept])
    region = library.groups["region"][kept] if "region" in library.groups else np.zeros(x.size)
    for name in np.unique(region):
        rows = region == name
        dark[rows], x[rows] = dark[rows] - dark[rows].mean(), x[rows] - x[rows].mean()
    return float(x @ dark / (x @ x))


def coarse(spectra: Spectra) -> Spectra:
    """The spectra as 10 nm band means, as ``fields`` has them."""
    low, high = STEP * np.ceil(spectra.axis[0] / STEP), STEP * np.floor(spectra.axis[-1] / STEP)
    return Resample(np.arange(low, high + STEP / 2, STEP))(spectra)


def property_row(library: Library) -> dict[str, float]:
    """Median SOC (%), SD of its log10, mean and SD of clay (%), and Spearman's correlation of the two."""
    nan = np.full(len(library), np.nan)
    soc, clay = (library.property(name).values if name in library.properties else nan for name in ("soc", "clay"))
    kept, both = soc > 0, (soc > 0) & np.isfinite(clay)
    return {
        "soc_median": float(np.median(soc[kept])) if kept.any() else np.nan,
        "soc_log10_sd": float(np.std(np.log10(soc[kept]))) if kept.any() else np.nan,
        "clay_mean": float(np.nanmean(clay)) if both.any() else np.nan,
        "clay_sd": float(np.nanstd(clay)) if both.any() else np.nan,
        "clay_soc": spearman(clay[both], soc[both]) if both.sum() > 2 else np.nan,
    }


def spearman(one: ArrayLike, other: ArrayLike) -> float:
    """Spearman's rank correlation."""
    from scipy.stats import rankdata

    return float(np.corrcoef(rankdata(one), rankdata(other))[0, 1])


def infrared_row(spectra: Spectra) -> dict[str, float]:
    """What a mid-infrared set looks like, NaN where its axis does not reach.

    Returns:
      ``n``; ``level_1300`` and so on: medians over the samples of :func:`level` (absorbance); ``height_1870`` (quartz)
      and ``height_3620`` (kaolinite): of :func:`band_height`; ``noise`` from 2000 to 2300 cm-1; ``components`` from 760
      to 3790 cm-1.
    """
    spectra = spectra.to_absorbance()
    row = {"n": float(len(spectra))}
    for at in INFRARED_LEVELS:
        row[f"level_{at:g}"] = float(np.median(level(spectra, at)))
    for name, place in INFRARED_BANDS.items():
        row[f"height_{name}"] = float(np.median(band_height(spectra, *place)))
    quiet = (spectra.axis > _QUIET[0]) & (spectra.axis < _QUIET[1])
    row["noise"] = float(np.median(noise(spectra.values[:, quiet])))
    common = (spectra.axis >= 760.0) & (spectra.axis <= 3790.0)
    trimmed = spectra.replace(values=spectra.values[:, common], axis=spectra.axis[common], step="trim")
    row["components"] = float(components(trimmed))
    return row


def layer_row(values: ArrayLike) -> dict[str, float]:
    """What SOC in depth layers looks like: (n, layers) values above zero, NaN where not measured.

    Returns:
      ``n`` sites; ``top_median`` in the unit of the values; ``deepest_over_top`` of the medians; ``log10_sd_top`` and
      ``_deepest``; ``adjacent``: least correlation of the logarithms of adjacent layers; ``ends``: of first and last.
    """
    soc = np.asarray(values, dtype=np.float64)
    log = np.log10(np.where(soc > 0, soc, np.nan))
    medians, spread = np.nanmedian(log, axis=0), np.nanstd(log, axis=0)
    return {
        "n": float(len(soc)),
        "top_median": float(10.0 ** medians[0]),
        "deepest_over_top": float(10.0 ** (medians[-1] - medians[0])),
        "log10_sd_top": float(spread[0]),
        "log10_sd_deepest": float(spread[-1]),
        "adjacent": min(_correlation(log[:, place], log[:, place + 1]) for place in range(soc.shape[1] - 1)),
        "ends": _correlation(log[:, 0], log[:, -1]),
    }


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    both = np.isfinite(one) & np.isfinite(other)
    return float(np.corrcoef(one[both], other[both])[0, 1])


def outside(row: Mapping[str, float], ranges: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """The numbers of ``row`` that lie outside their range, or are NaN."""
    return {name: row[name] for name, (low, high) in ranges.items() if not low <= row[name] <= high}


def _interpolate(spectra: Spectra, at: NDArray[np.float64]) -> NDArray[np.float64]:
    return Resample(at, spectra.unit, "linear")(spectra).values.astype(np.float64)
