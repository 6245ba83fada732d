"""What instruments and the state of a sample do to spectra: one home for twins, augmentation and invariance.

Every function but ``smooth_curve`` and ``noise_level`` takes (n, m) reflectances and a strength for each of the n
spectra, (n,), keeps shape and dtype, and leaves its input alone; a strength of 0 (a factor of 1) changes nothing.
``axis`` is in nm, ascending, (m,), but for ``carbon_dioxide``; in the mid-infrared ``shift``, ``broaden``, ``tilt``,
``curvature`` and ``wet`` take one in cm-1 alike, with strengths, window and bands in cm-1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxsoil.runs.errors import DataError

WINDOW = (350.0, 2500.0)
"""Range (nm) of a laboratory spectrometer, at whose ends tilt and curvature are stated."""

WATER_BANDS = (
    (970.0, 25.0, 0.3),
    (1190.0, 35.0, 0.5),
    (1415.0, 20.0, 1.0),
    (1455.0, 40.0, 1.0),
    (1915.0, 22.0, 4.0),
    (1950.0, 45.0, 3.0),
    (2950.0, 280.0, 25.0),
)
"""Absorption of the water held by air-dry soil, in -ln R per unit of water mass per mass of dry soil: centre (nm),
standard deviation (nm), depth. Overtones and combinations of H2O near 970, 1190, 1450 and 1940 nm, and the wing of the
fundamentals near 2950 nm. The depths are ours: 2 % of water deepens the band at 1930 nm by some 16 %."""

WATER_DARKENING = 3.0
"""A film of water lowers the index contrast of the grains and darkens all bands alike, in the same unit."""

WATER_FUNDAMENTALS = ((1640.0, 35.0, 12.0), (2130.0, 120.0, 1.5), (3300.0, 200.0, 25.0))
"""The same in the mid-infrared, centres and standard deviations in cm-1: bending, its combination with librations, and
stretching. The centres at 1640 and 3300 cm-1 are those of water in soils after Margenot et al. (2016), who are cited in
the table of mid-infrared band assignments of mir_bands (docs/data.md); the others, widths and depths are ours, with
the depth of the stretching band as above."""

CARBON_DIOXIDE = ((2361.0, 12.0, 1.0), (2337.0, 14.0, 0.8), (668.0, 6.0, 0.5))
"""Carbon dioxide of the air in the light's path: centre (cm-1), full width at half maximum (cm-1), relative absorbance
of the two branches of the asymmetric stretching band and of the bending band. Widths and heights are ours."""

CURVE_WIDTH = 400.0
"""Over how many cm-1 the curves of :func:`random_curves` change: full width of their window at half maximum. Settled
after a first version that drew cosines had been seen on two twins (docs/multifidelity.md)."""

HALF_WAVES = (2, 8)
"""Half waves over the axis of the smooth curve by which two instruments differ: fewer are an offset or a tilt."""


def position(axis: ArrayLike, window: tuple[float, float] = WINDOW) -> NDArray[np.float64]:
    """Where each band lies in the window: -1 at its lower end, 1 at its upper one."""
    low, high = window
    return (np.asarray(axis, dtype=np.float64) - (low + high) / 2) / ((high - low) / 2)


def gain(values: NDArray, factor: ArrayLike) -> NDArray:
    """A constant factor, such as packing and the height of a sample give: factor * R."""
    return values * _column(factor, values)


def offset(values: NDArray, amount: ArrayLike) -> NDArray:
    """Stray light and a wrong dark current: R + amount (reflectance)."""
    return values + _column(amount, values)


def tilt(values: NDArray, amount: ArrayLike, axis: ArrayLike, window: tuple[float, float] = WINDOW) -> NDArray:
    """R * exp(amount * u): ln R moves by ``amount`` at the upper end of the window and by -amount at the lower one."""
    return values * _exp(amount, position(axis, window), values)


def curvature(values: NDArray, amount: ArrayLike, axis: ArrayLike, window: tuple[float, float] = WINDOW) -> NDArray:
    """R * exp(amount * (3 u^2 - 1) / 2): ln R moves by ``amount`` at both ends and by -amount / 2 in the middle."""
    return values * _exp(amount, (3.0 * position(axis, window) ** 2 - 1.0) / 2.0, values)


def splice(values: NDArray, gains: ArrayLike, axis: ArrayLike, borders: Sequence[float]) -> NDArray:
    """Each detector's own gain, (n, detectors); ``borders`` in nm, a border belongs to the detector below it."""
    detector = np.searchsorted(np.asarray(borders, dtype=np.float64), np.asarray(axis), side="left")
    return values * np.asarray(gains)[:, detector].astype(values.dtype)


def shift(values: NDArray, amount: ArrayLike, axis: ArrayLike) -> NDArray:
    """A wrong wavelength scale: band x reports what lies at x + amount (nm), read from the line that joins the bands.

    Beyond the axis the outermost value stands.
    """
    axis = np.asarray(axis, dtype=np.float64)
    rows = zip(np.asarray(amount, dtype=np.float64), values, strict=True)
    return np.array([np.interp(axis + by, axis, row) for by, row in rows], dtype=values.dtype).reshape(values.shape)


def broaden(values: NDArray, width: ArrayLike, axis: ArrayLike) -> NDArray:
    """A wider slit: each band is the mean of its neighbours, weighted by a Gaussian of full width ``width`` (nm) at
    half maximum. At the ends of the axis the weights of the bands that are there sum to 1."""
    axis, found = np.asarray(axis, dtype=np.float64), np.array(values)
    width = np.asarray(width, dtype=np.float64)
    for own in np.unique(width[width > 0]):
        weights = gaussian(axis[:, None], axis, own)
        rows = width == own
        found[rows] = values[rows] @ (weights / weights.sum(axis=1, keepdims=True)).T.astype(values.dtype)
    return found


def path(values: NDArray, factor: ArrayLike) -> NDArray:
    """R ** factor: in coarser grains light goes further, and -ln R grows with the path (Beer-Lambert)."""
    return np.maximum(values, 0.0) ** _column(factor, values)


def wet(
    values: NDArray,
    moisture: ArrayLike,
    axis: ArrayLike,
    strength: float = 1.0,
    bands: Sequence[tuple[float, float, float]] = WATER_BANDS,
    darkening: float = WATER_DARKENING,
) -> NDArray:
    """Water held by the sample: -ln R grows by its absorption (Beer-Lambert).

    Args:
      values: (n, m) reflectances of the dry samples.
      moisture: (n,) mass of water per mass of dry soil.
      axis: (m,) in the unit of the bands.
      strength: factor on the bands and on the darkening.
      bands, darkening: absorption per unit of water: :data:`WATER_BANDS`, or :data:`WATER_FUNDAMENTALS`.
    """
    axis = np.asarray(axis, dtype=np.float64)
    absorption = np.full(axis.shape, darkening)
    for centre, width, depth in bands:
        absorption += depth * np.exp(-0.5 * ((axis - centre) / width) ** 2)
    return values * _exp(-strength * np.asarray(moisture, dtype=np.float64), absorption, values)


def carbon_dioxide(values: NDArray, amount: ArrayLike, axis: ArrayLike) -> NDArray:
    """Carbon dioxide of the air between background and sample: absorbance grows by ``amount`` at 2361 cm-1.

    ``axis`` is in cm-1, (m,); the amount may be negative, where the background held more of it.
    """
    profile = carbon_dioxide_profile(np.asarray(axis, dtype=np.float64))
    return values * _exp(-np.log(10.0) * np.asarray(amount, dtype=np.float64), profile, values)


def carbon_dioxide_profile(axis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Absorbance (m,) of carbon dioxide on an axis in cm-1, about 1 at its highest band."""
    found = np.zeros(axis.shape)
    for centre, width, height in CARBON_DIOXIDE:
        found += height * gaussian(axis, centre, width)
    return found


def gaussian(axis: NDArray, centre: ArrayLike, width: float) -> NDArray:
    """A Gaussian of height 1 on an axis, by its centre and its full width at half maximum."""
    return np.exp(-4.0 * np.log(2.0) * ((axis - centre) / width) ** 2)


def add_curves(values: NDArray, amount: ArrayLike, axis: ArrayLike, rng: np.random.Generator) -> NDArray:
    """A smooth curve of absorbance (:func:`random_curves`) for each spectrum, of standard deviation ``amount`` (n,);
    a negative one turns the curve over."""
    curves = random_curves(len(values), axis, rng)
    return values * (10.0 ** -(np.asarray(amount, dtype=np.float64)[:, None] * curves)).astype(values.dtype)


def random_curves(count: int, axis: ArrayLike, rng: np.random.Generator, width: float = CURVE_WIDTH) -> NDArray:
    """Smooth random curves (count, m) of mean 0 and SD 1 over the bands: white noise under a Gaussian window.

    Nothing but their smoothness is assumed. They are not the sums of cosines (:func:`smooth_curve`) by which the twin's
    laboratories differ and with which studies test.

    Args:
      count: number of curves.
      axis: (m,) ascending, cm-1.
      rng: draws the noise.
      width: full width of the window at half maximum, cm-1.
    """
    noise = rng.standard_normal((count, np.size(axis)))
    made = broaden(noise, np.full(count, width), axis)
    made -= made.mean(axis=1, keepdims=True)
    return made / np.maximum(made.std(axis=1, keepdims=True), 1e-12)


def smooth_curve(bands: int, sd: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """A smooth curve (bands,) in absorbance, such as another reference plate or detector adds to every spectrum.

    The sum of cosines of :data:`HALF_WAVES` (from, to) over the axis, with standard normal amplitudes, scaled to a mean
    of 0 and a standard deviation over the bands of exactly ``sd``.

    Args:
      bands: number of bands, equally spaced.
      sd: standard deviation over the bands, absorbance; between real mid-infrared instruments 0.02 to 0.07.
      rng: draws the amplitudes; the shape of a curve does not depend on ``sd``.

    Raises:
      DataError: ``sd`` is negative or not finite.
    """
    if not (np.isfinite(sd) and sd >= 0.0):
        remedy = "Give a finite number of absorbance units, not negative."
        raise DataError("a curve between instruments needs a standard deviation of at least 0", value=sd, remedy=remedy)
    waves = np.arange(HALF_WAVES[0], HALF_WAVES[1] + 1)
    place = (np.arange(bands) + 0.5) / bands
    curve = rng.standard_normal(waves.size) @ np.cos(np.pi * waves[:, None] * place)
    curve -= curve.mean()
    return sd * curve / np.sqrt(np.mean(curve**2))


def noise_level(axis: ArrayLike, middle: float, ends: float, window: tuple[float, float] = WINDOW) -> NDArray:
    """SD of white noise by band, (m,), in reflectance: ``middle`` inside, ``ends`` at the ends of the window.

    Detectors lose sensitivity there; the rise has a scale of 3 % of the window (some 65 nm).
    """
    to_end = (1.0 - np.abs(position(axis, window))) / 2.0
    return middle + (ends - middle) * np.exp(-np.maximum(to_end, 0.0) / 0.03)


def noise(values: NDArray, sd: ArrayLike, rng: np.random.Generator) -> NDArray:
    """Adds white noise of SD ``sd`` (reflectance; a number or one for each band); draws row by row."""
    return values + np.asarray(sd, dtype=np.float32) * rng.standard_normal(values.shape, dtype=np.float32)


def _column(of_each: ArrayLike, values: NDArray) -> NDArray:
    return np.asarray(of_each, dtype=np.float64)[:, None].astype(values.dtype)


def _exp(of_each: ArrayLike, by_band: NDArray, values: NDArray) -> NDArray:
    return np.exp(np.asarray(of_each, dtype=np.float64)[:, None] * by_band).astype(values.dtype)
