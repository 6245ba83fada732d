"""Reflectance troughs of a spectrum, by prominence, beside the positions that the literature names."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks, savgol_filter

from jaxsoil.runs.errors import DataError

PROMINENCE = 0.003
"""Least depth of a trough under the lower of its two rims, reflectance."""

SMOOTHING = 80.0
"""Window of the Savitzky-Golay smoothing (quadratic) before troughs are sought, nm: estimates of f_SOC carry noise
from band to band that has nothing of an absorption, whose widths here are 40 to 100 nm."""

LEAST_WIDTH = 15.0
"""Least width of a trough at half its depth, nm."""


@dataclasses.dataclass(frozen=True)
class Trough:
    """A local minimum of a spectrum.

    Args:
      position: nm.
      depth: prominence, reflectance.
      width: at half the depth, nm.
    """

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


def find_troughs(
    axis: NDArray[np.float64], reflectance: NDArray[np.float64], *, prominence: float = PROMINENCE
) -> list[Trough]:
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


def presence(axis: NDArray[np.float64], spectra: NDArray[np.float64]) -> list[float]:
    """Returns, for each line of :data:`LITERATURE`, the share of the (b, m) finite spectra with a trough there."""
    finite = spectra[np.isfinite(spectra).all(axis=1)]
    if not len(finite):
        return [float("nan")] * len(LITERATURE)
    found = [find_troughs(axis, spectrum) for spectrum in finite]
    return [float(np.mean([nearest(troughs, line) is not None for troughs in found])) for line in LITERATURE]
