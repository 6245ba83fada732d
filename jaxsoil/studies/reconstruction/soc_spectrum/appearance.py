"""How a spectrum looks: its Munsell value (lightness), and its troughs beside those that the literature names."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.signal import find_peaks, savgol_filter

from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError
from jaxsoil.studies.reconstruction.soc_spectrum.direct import Floats

VISIBLE = (380.0, 780.0)
"""Range of the integration, nm."""

BLACK = 2.5
"""Highest value that soil colour charts call black (10YR 2/1, 2.5/1), at a chroma of 1."""


def luminance(axis: ArrayLike, reflectance: ArrayLike) -> float:
    """Returns the luminance factor Y in % under illuminant C for the CIE 1931 2 degree observer (CIE 15).

    Args:
      axis: (m,) nm, ascending, over at least 380-780 nm.
      reflectance: (m,) as fractions; values outside [0, 1] count as the bound.

    Raises:
      DataError: an axis that does not cover 380-780 nm, or values that are not finite.
    """
    bands, values = np.asarray(axis, dtype=np.float64), np.asarray(reflectance, dtype=np.float64)
    if bands[0] > VISIBLE[0] or bands[-1] < VISIBLE[1]:
        raise DataError(
            "a Munsell value needs the visible range",
            value=f"{bands[0]:g}-{bands[-1]:g} nm",
            remedy=f"Give bands over {VISIBLE[0]:g}-{VISIBLE[1]:g} nm.",
        )
    require.all_finite(values, "reflectances of a Munsell value", remedy="Leave a diverged trial out.")
    colour = _colour()
    # The CIE tabulates illuminant C every 5 nm (CIE 15): all three are brought to that step.
    shape = colour.SpectralShape(*VISIBLE, 5.0)
    spectrum = colour.SpectralDistribution(
        np.interp(shape.wavelengths, bands, np.clip(values, 0.0, 1.0)), shape.wavelengths
    )
    observer = colour.MSDS_CMFS["CIE 1931 2 Degree Standard Observer"].copy().align(shape)
    illuminant = colour.SDS_ILLUMINANTS["C"].copy().align(shape)
    return float(colour.sd_to_XYZ(spectrum, observer, illuminant, method="Integration")[1])


def munsell_value(axis: ArrayLike, reflectance: ArrayLike) -> float:
    """Returns the Munsell value (0 black to 10 white) by ASTM D1535, from :func:`luminance`."""
    return float(_colour().munsell_value(luminance(axis, reflectance), method="ASTM D1535"))


def _colour() -> Any:
    """Imports colour-science, which takes about a second and warns of optional packages that it does without.

    On import it also sets NumPy's print options to those of version 1.13, where str(0.1 + 0.2) is 0.3: tables written
    later in the same process would lose digits.
    """
    with warnings.catch_warnings(), np.printoptions():
        warnings.simplefilter("ignore")
        import colour
    return colour


PROMINENCE = 0.003
"""Least depth of a trough under the lower of its two rims, reflectance."""

SMOOTHING = 80.0
"""Window of the Savitzky-Golay smoothing (quadratic) before troughs are sought, nm: estimates of f_SOC carry noise
from band to band that has nothing of an absorption, whose widths here are 40 to 100 nm."""

LEAST_WIDTH = 15.0
"""Least width of a trough at half its depth, nm."""


@dataclasses.dataclass(frozen=True)
class Trough:
    """A local minimum of a spectrum: its position in nm, its depth (prominence, reflectance), and its width at half the
    depth in nm."""

    position: float
    depth: float
    width: float


@dataclasses.dataclass(frozen=True)
class Literature:
    """A position in nm, how near counts as a match (nm), what absorbs there, and who says so."""

    position: float
    within: float
    what: str
    source: str


LITERATURE = (
    Literature(1400.0, 60.0, "O-H of trapped water", "paper, after Chang and Laird 2002; Bishop et al. 1994"),
    Literature(1730.0, 25.0, "C-H, first overtone", "named by this project, not by the paper"),
    Literature(1900.0, 60.0, "H2O, combination", "paper, after Chang and Laird 2002; Bishop et al. 1994"),
    Literature(2205.0, 20.0, "Al-OH: kaolinite that leaks in", "named by this project, not by the paper"),
    Literature(2305.0, 25.0, "C-H, combination", "named by this project, not by the paper"),
    Literature(2350.0, 20.0, "C-H, combination", "named by this project, not by the paper"),
    Literature(2500.0, 45.0, "humic acid, or carbonate", "paper, after Chang and Laird 2002; Clark et al. 2020"),
)
"""Positions named by Coleman et al. 2024 (near 1400, 1900 and 2500 nm), and further ones of C-H and Al-OH
that this project looks for, ascending."""


def find_troughs(axis: Floats, reflectance: Floats, *, prominence: float = PROMINENCE) -> list[Trough]:
    """Finds the troughs of a smoothed spectrum, ascending by position.

    A spectrum that falls up to its last band has a trough there, as deep as that fall: its other rim is unseen.

    Args:
      axis: (m,) nm, ascending; an uneven one is interpolated to its median spacing.
      reflectance: (m,) as fractions.
      prominence: least depth, reflectance.

    Raises:
      DataError: a spectrum that is not finite, or too short to be smoothed.
    """
    step = float(np.median(np.diff(axis)))
    window = max(3, 2 * int(SMOOTHING / step / 2) + 1)
    if not np.isfinite(reflectance).all() or axis.size < 3 * window:
        raise DataError(
            "troughs need a finite spectrum of more bands",
            value=f"{axis.size} bands, {int((~np.isfinite(reflectance)).sum())} not finite",
            remedy=f"Give at least {3 * window} bands of this spacing; leave a diverged trial out.",
        )
    even = np.arange(axis[0], axis[-1] + 0.5 * step, step)
    smooth = np.asarray(savgol_filter(np.interp(even, axis, reflectance), window, min(2, window - 1)))
    # The mirror image beyond the last band turns a fall towards it into a trough.
    mirrored = np.concatenate([smooth, smooth[-2::-1]])
    places, found = find_peaks(-mirrored, prominence=prominence, width=LEAST_WIDTH / step)
    return [
        Trough(float(even[place]), float(depth), float(width * step))
        for place, depth, width in zip(places, found["prominences"], found["widths"], strict=True)
        if place < even.size
    ]


def nearest(troughs: Sequence[Trough], line: Literature) -> Trough | None:
    """Returns the trough nearest to a literature position and within its tolerance, or None."""
    near = [trough for trough in troughs if abs(trough.position - line.position) <= line.within]
    return min(near, key=lambda trough: abs(trough.position - line.position), default=None)


def presence(axis: Floats, spectra: Floats) -> list[float]:
    """Returns, for each line of :data:`LITERATURE`, the share of the (b, m) finite spectra with a trough there."""
    finite = spectra[np.isfinite(spectra).all(axis=1)]
    if not len(finite):
        return [float("nan")] * len(LITERATURE)
    found = [find_troughs(axis, spectrum) for spectrum in finite]
    return [float(np.mean([nearest(troughs, line) is not None for troughs in found])) for line in LITERATURE]
