"""Whether the bands of water, hydroxyl and quartz lie where they must: a check of axis, unit and quantity together.

The places are those of Stenberg et al. (2010, Adv. Agron. 107) and of the clay hydroxyls and quartz overtones in the
mid-infrared (Nguyen et al. 1991, Aust. J. Soil Res. 29). How far a band may lie from its place, and how sharp it must
be, was set on 25 measured sets: none of them is questioned, all of them are with values reversed, with the other
quantity, and shifted by 60 nm or 100 cm-1 or more (docs/data.md).
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from jaxsoil.spectra.container import Spectra


@dataclasses.dataclass(frozen=True)
class Band:
    """An absorption that soils show.

    Args:
      name: for people.
      unit: of the numbers below.
      search: the axis within which the strongest absorption is looked for.
      places: intervals in which it must lie.
      width: of the smoothing before the second derivative.
      sharpness: least quotient of its curvature and the strongest opposite curvature in ``search``.
      beside: name of a band of which this one must have 0.4 of the curvature; a weaker one is not judged.
    """

    name: str
    unit: str
    search: tuple[float, float]
    places: tuple[tuple[float, float], ...]
    width: int
    sharpness: float
    beside: str | None = None


WATER = "water near 1915 nm (5222 cm-1)"
BANDS = (
    Band("hydroxyl and water near 1414 nm (7072 cm-1)", "nm", (1300, 1560), ((1395, 1440),), 31, 0.7),
    Band(WATER, "nm", (1800, 2060), ((1890, 1932),), 31, 0.7),
    # Organic soils and sands show little of it.
    Band("clay hydroxyl near 2208 nm (4529 cm-1)", "nm", (2130, 2290), ((2185, 2225),), 31, 0.5, WATER),
    Band("O-H stretching near 3620 cm-1 (or 3697 of kaolinite)", "cm-1", (3450, 3780), ((3610, 3635), (3688, 3710)), 41,
         0.6),
    Band("Si-O overtones of quartz near 1793, 1870 and 1995 cm-1", "cm-1", (1700, 2080),
         ((1783, 1803), (1862, 1882), (1985, 2005)), 61, 0.4),
)  # fmt: skip
"""Looked for in this order; those that an axis does not cover are left out."""

_MARGIN_BELOW, _MARGIN_ABOVE = 60.0, 25.0
_LOWEST_REFLECTANCE = 1e-3


def question(spectra: Spectra) -> list[str]:
    """Returns one line for each band that does not lie where it must; an empty list where nothing is wrong.

    The median spectrum of the set is taken as absorbance; a band lies where its smoothed second derivative is lowest.
    Pretreated spectra, and axes that cover no band, are not judged. Single spectra of the measured sets were questioned
    without need in 4 % of draws.

    Args:
      spectra: a set of soils, (n, m).
    """
    if spectra.quantity == "pretreated" or len(spectra) == 0:
        return []
    values = spectra.values.astype(np.float64)
    if spectra.quantity == "reflectance":
        values = -np.log10(np.clip(values, _LOWEST_REFLECTANCE, None))
    typical = np.median(values, axis=0)
    questions: list[str] = []
    curvatures: dict[str, float] = {}
    for band in BANDS:
        same = band.unit == spectra.unit
        axis, absorbance = (spectra.axis, typical) if same else (1e7 / spectra.axis[::-1], typical[::-1])
        if axis[0] > band.places[0][0] - _MARGIN_BELOW or axis[-1] < band.places[-1][1] + _MARGIN_ABOVE:
            continue
        at, curvature, sharpness = _strongest(axis, absorbance, band)
        curvatures[band.name] = curvature
        if band.beside in curvatures and curvature < 0.4 * curvatures[band.beside]:
            continue
        if sharpness < band.sharpness or not any(low <= at <= high for low, high in band.places):
            places = " or ".join(f"{low:g}-{high:g}" for low, high in band.places)
            questions.append(f"{band.name}: the absorption lies at {at:.0f}, not at {places} {band.unit}")
    return questions


def curvature(values: NDArray, width: int) -> NDArray:
    """Second derivative (n,) of the cubics fitted to ``width`` (odd) values around each; at the ends, of the last one.

    It is scipy.signal.savgol_filter(values, width, 3, deriv=2), whose import takes a second of a first prediction.
    """
    half = width // 2
    fit = np.linalg.pinv(np.vander(np.arange(-half, half + 1.0), 4, increasing=True))
    found = np.empty(values.size)
    found[half : values.size - half] = np.convolve(values, 2.0 * fit[2][::-1], mode="valid")
    for window, place, at in ((values[:width], slice(0, half), -half), (values[-width:], slice(-half, None), 1)):
        cubic = fit @ window
        found[place] = 2.0 * cubic[2] + 6.0 * cubic[3] * np.arange(at, at + half)
    return found


def _strongest(axis: NDArray, absorbance: NDArray, band: Band) -> tuple[float, float, float]:
    """Returns place, curvature and sharpness of the strongest absorption that a band's search finds."""
    low, high = band.search
    step = np.diff(axis)[(axis[:-1] > low) & (axis[:-1] < high)].max(initial=0.0)
    width = max(band.width, int(4 * step)) | 1
    half = width // 2
    low, high = max(low - half, axis[0]), min(high + half, axis[-1])
    grid = np.arange(low, high, 1.0)
    if grid.size <= width:
        return float(grid[0]), 0.0, 0.0
    curve = curvature(np.interp(grid, axis, absorbance), width)
    # Fits at the very ends of the grid are left out.
    inside = (grid >= max(band.search[0], low + half / 2)) & (grid <= min(band.search[1], high - half / 2))
    curve, grid = curve[inside], grid[inside]
    place = int(curve.argmin())
    return float(grid[place]), float(-curve[place]), float(-curve[place] / max(curve.max(), 1e-30))
