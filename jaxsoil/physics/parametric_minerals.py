"""Mineral reflectances as a smooth continuum times Gaussian absorptions, fitted to measured minerals.

    ln R(x) = sum_i c_i P_i(u) - sum_j d_j exp(-(x - mu_j)^2 / (2 w_j^2)),     u = (x - 1425 nm) / 1075 nm,

a modified Gaussian model (after Sunshine, Pieters and Pratt 1990, J. Geophys. Res. 95, 6955-6966; here in
wavelength) with Legendre polynomials P_i as continuum. Broad Gaussians centred outside the window stand for the
edges of iron oxides in the ultraviolet and for the water fundamental near 3000 nm. The numbers are those of
``tables/parametric_minerals.json``, which ``tools/fit_parametric_minerals.py`` writes.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from jaxsoil.runs.errors import DataError

LOW, HIGH = 350.0, 2500.0  # nm, the window of the fit: outside it nothing holds the curves
TABLE = "parametric_minerals.json"


@dataclasses.dataclass(frozen=True, eq=False)
class ParametricMineral:
    """One fitted mineral.

    Args:
      name: of the mineral.
      density: g cm-3.
      cell_volume: volume of the unit cell, nm3.
      continuum: (p,) Legendre coefficients of ln R.
      bands: (b, 3) centre (nm), standard deviation (nm) and depth (in ln R) of each absorption.
      rms: root mean square residual of the fit, reflectance.
      provenance: "spectrum", "density", "cell_volume" -> where the value comes from.
    """

    name: str
    density: float
    cell_volume: float
    continuum: NDArray[np.float64]
    bands: NDArray[np.float64]
    rms: float
    provenance: Mapping[str, str]

    def reflectance(self, wavelength: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the reflectance at wavelengths (nm) of any shape."""
        return reflectance(self.continuum, self.bands, wavelength)


def reflectance(
    continuum: NDArray[np.float64], bands: NDArray[np.float64], wavelength: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Evaluates the equation of this module at wavelengths in nm."""
    scaled = (wavelength - (LOW + HIGH) / 2) / ((HIGH - LOW) / 2)
    log_reflectance = np.polynomial.legendre.legval(scaled, continuum)
    for centre, width, depth in bands:
        log_reflectance = log_reflectance - depth * np.exp(-0.5 * ((wavelength - centre) / width) ** 2)
    return np.exp(log_reflectance)


def band_reflectance(minerals: Sequence[ParametricMineral], axis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the (k, m) reflectances that an instrument with adjoining bands at ``axis`` (nm) sees.

    Each value is the mean over the band, which reaches half-way to its neighbours (the outermost ones
    symmetrically, as far as the window goes), sampled about every nanometre: a doublet narrower than the band
    is averaged, not hit or missed.

    Raises:
      DataError: an axis that leaves 350-2500 nm.
    """
    return np.array([band_mean(mineral.reflectance, axis) for mineral in minerals])


def band_mean(
    curve: Callable[[NDArray[np.float64]], NDArray[np.float64]], axis: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Returns the mean of ``curve`` (a function of wavelength in nm) over each band of ``axis``."""
    axis = np.asarray(axis, dtype=np.float64)
    if axis.min() < LOW - 1e-6 or axis.max() > HIGH + 1e-6:
        value, remedy = f"{axis.min():g}-{axis.max():g} nm", f"Ask for wavelengths within {LOW:g}-{HIGH:g} nm."
        raise DataError("the fitted minerals do not cover this axis", value=value, remedy=remedy)
    if axis.size == 1:
        return curve(axis)
    inner = (axis[1:] + axis[:-1]) / 2
    edges = np.clip([2 * axis[0] - inner[0], *inner, 2 * axis[-1] - inner[-1]], LOW, HIGH)
    widths = np.diff(edges)
    count = max(1, int(np.ceil(widths.max())))
    positions = (np.arange(count) + 0.5) / count
    return curve(edges[:-1, None] + widths[:, None] * positions).mean(axis=1)


@functools.cache
def load_table() -> tuple[ParametricMineral, ...]:
    """Returns the fitted minerals that travel with the package."""
    text = resources.files("jaxsoil.physics").joinpath("tables", TABLE).read_text(encoding="utf-8")
    names = [field.name for field in dataclasses.fields(ParametricMineral)]
    found = [{name: entry[name] for name in names} for entry in json.loads(text)["minerals"]]
    for one in found:
        one |= {"continuum": np.array(one["continuum"]), "bands": np.array(one["bands"]).reshape(-1, 3)}
    return tuple(ParametricMineral(**one) for one in found)
