"""What mid-infrared instruments and the state of a sample do to absorbance spectra.

The near-infrared's are those of reflectances (:mod:`jaxsoil.spectra.perturbations`). Here every function takes (n, m)
absorbances, A = -log10 R, on an axis (m,) in cm-1, ascending, and a strength for each of the n spectra, (n,); a
strength of 0 changes nothing. The strengths are ours; what is known of real instruments stands beside them.

Not simulated: mirrored light (coarse grains, reststrahlen bands) and the lines of water vapour, which are narrower than
the bands of soil spectra.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxsoil.runs.errors import DataError
from jaxsoil.spectra import perturbations

STATED_AT = 2000.0
"""Wavenumber, cm-1, at which a shift is stated."""

Bands = tuple[tuple[float, float, float], ...]
"""Gaussian bands: centre (cm-1), standard deviation (cm-1), height."""

WATER: Bands = (
    (3400.0, 200.0, 1.0),
    (3250.0, 150.0, 0.5),
    (2130.0, 150.0, 0.08),
    (1640.0, 45.0, 0.35),
    (700.0, 150.0, 0.3),
)
"""Water held by a soil; heights by that of the stretching band."""

CARBON_DIOXIDE: Bands = ((2338.0, 12.0, 1.0), (2362.0, 8.0, 1.0), (668.0, 4.0, 0.5))
"""Carbon dioxide in the compartment: the two branches near 2349 cm-1 and the bending band."""

CURVE_WIDTH = 400.0
"""Over how many cm-1 smooth curves change: their window's full width at half maximum; not tuned."""


@dataclasses.dataclass(frozen=True)
class Strengths:
    """How far instruments and the state of samples move spectra: standard deviations of normal draws, cut at two."""

    shift: float = 1.0
    """Wavenumber scale, cm-1 at 2000 cm-1."""
    resolution: float = 8.0
    """A coarser resolution, full width at half maximum in cm-1; the same for all spectra."""
    offset: float = 0.02
    """Absorbance."""
    slope: float = 0.02
    """Absorbance at the upper end of the axis, its negative at the lower end."""
    curvature: float = 0.02
    """Absorbance at both ends of the axis."""
    path: float = 0.05
    """Path of the light with packing and grain size, a share of the absorbance (multiplicative scatter)."""
    water: float = 0.03
    """Water that the sample holds, absorbance at 3400 cm-1."""
    carbon_dioxide: float = 0.01
    """Absorbance at the maximum of its band."""
    curve: float = 0.02
    """Smooth curve, SD over the bands in absorbance: the least of four that were measured between instruments (0.02 to
    0.07). Each spectrum has a curve of its own, of exactly this SD."""


KINDS: tuple[str, ...] = tuple(field.name for field in dataclasses.fields(Strengths))
"""Kinds of perturbation."""

_WIDTHS = ("shift", "resolution")


def shift(values: NDArray, amount: ArrayLike, axis: ArrayLike) -> NDArray:
    """A wrong wavenumber scale: band x reports what lies at x (1 + amount / 2000), ``amount`` in cm-1.

    The error of a Fourier-transform instrument (wavelength of its laser, divergence of the beam) grows with the
    wavenumber. Beyond the axis the outermost value stands.
    """
    axis = np.asarray(axis, dtype=np.float64)
    rows = zip(np.asarray(amount, dtype=np.float64), values, strict=True)
    return np.array([np.interp(axis * (1.0 + by / STATED_AT), axis, row) for by, row in rows]).reshape(values.shape)


def bands(values: NDArray, amount: ArrayLike, axis: ArrayLike, shape: Bands) -> NDArray:
    """A + amount times Gaussian bands; ``shape`` as :data:`WATER`, ``amount`` in absorbance at a height of 1."""
    axis, added = np.asarray(axis, dtype=np.float64), np.zeros(values.shape[1])
    for centre, width, height in shape:
        added += height * np.exp(-0.5 * ((axis - centre) / width) ** 2)
    return values + _column(amount) * added


def smooth_curves(count: int, axis: ArrayLike, rng: np.random.Generator, width: float = CURVE_WIDTH) -> NDArray:
    """Smooth random curves (count, m) of mean 0 and SD 1 over the bands: white noise under a Gaussian window.

    Nothing but their smoothness is assumed. They are not the sums of seven cosines (``perturbations.smooth_curve``) by
    which the twin's laboratories differ and with which studies test.

    Args:
      count: number of curves.
      axis: (m,) ascending, cm-1.
      rng: draws the noise.
      width: full width of the window at half maximum, cm-1.
    """
    noise = rng.standard_normal((count, np.size(axis)))
    made = perturbations.broaden(noise, np.full(count, width), axis)
    made -= made.mean(axis=1, keepdims=True)
    return made / np.maximum(made.std(axis=1, keepdims=True), 1e-12)


def perturbed(
    absorbance: ArrayLike, axis: ArrayLike, kind: str, seed: int = 0, strengths: Strengths | None = None
) -> NDArray[np.float64]:
    """Spectra (n, m) after a perturbation of one kind.

    Args:
      absorbance: (n, m), on
      axis: (m,) ascending, cm-1.
      kind: one of :data:`KINDS`.
      seed: of the strengths, one for each row.
      strengths: standard deviations; None: the default ones.

    Raises:
      DataError: there is no such kind; a strength is negative or not finite; a shift or a resolution is wider than the
        axis.
    """
    if kind not in KINDS:
        raise DataError("there is no such perturbation", value=kind, remedy=f"Use one of {', '.join(KINDS)}.")
    rows, place = np.asarray(absorbance, np.float64), np.asarray(axis, np.float64)
    sd, span = float(getattr(strengths or Strengths(), kind)), float(place[-1] - place[0])
    if not 0.0 <= sd < (span if kind in _WIDTHS else np.inf):
        what = f"{sd:g} cm-1 on {span:g} cm-1" if kind in _WIDTHS else f"{sd:g}"
        remedy = "Give a finite standard deviation of at least 0 that is narrower than the axis."
        raise DataError(f"a perturbation has an impossible {kind}", value=what, remedy=remedy)
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    drawn = sd * np.clip(rng.standard_normal(len(rows)), -2.0, 2.0)
    ends = perturbations.position(place, (place[0], place[-1]))
    applied: dict[str, Callable[[], NDArray]] = {
        "shift": lambda: shift(rows, drawn, place),
        "resolution": lambda: perturbations.broaden(rows, np.full(len(rows), sd), place),
        "offset": lambda: rows + _column(drawn),
        "slope": lambda: rows + _column(drawn) * ends,
        "curvature": lambda: rows + _column(drawn) * (3.0 * ends**2 - 1.0) / 2.0,
        "path": lambda: rows * _column(1.0 + drawn),
        "water": lambda: bands(rows, drawn, place, WATER),
        "carbon_dioxide": lambda: bands(rows, drawn, place, CARBON_DIOXIDE),
        "curve": lambda: rows + sd * smooth_curves(len(rows), place, rng),
    }
    return applied[kind]()


def _column(of_each: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(of_each, dtype=np.float64)[:, None]
