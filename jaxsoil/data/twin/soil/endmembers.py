"""What the synthetic soils are made of: minerals, the dark spectrum of SOC, and the library that models are given."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from numpy.typing import NDArray

from jaxsoil.data.endmembers import EndmemberLibrary, load_usgs, twin_minerals
from jaxsoil.data.twin.soil.config import TwinConfig
from jaxsoil.physics.parametric_minerals import HIGH, LOW, band_mean
from jaxsoil.runs.require import known

# Baseline of the true f_SOC: dark in the visible, rising to the near infrared.
SOC_DARKEST = 0.036  # reflectance
_SOC_START, _SOC_SCALE, _SOC_POWER = 365.0, 850.0, 1.7  # nm, nm, 1

# Absorptions of organic matter and of the water it holds: centre (nm), standard deviation (nm), depth
# (reflectance). C-H overtones near 1730 nm, C-H combinations near 2305 and 2350 nm, O-H near 1445 and 1930 nm.
SOC_TROUGHS = (
    (1445.0, 35.0, 0.022),
    (1730.0, 22.0, 0.012),
    (1930.0, 40.0, 0.030),
    (2305.0, 20.0, 0.026),
    (2350.0, 16.0, 0.020),
    (2490.0, 30.0, 0.025),
)


CLAY_MINERALS = (
    "Kaolinite", "Montmorillonite", "Illite", "Vermiculite", "Beidellite", "Nontronite", "Hectorite", "Halloysite",
    "Sepiolite", "Ammonio-Smectite", "Chlorite",
)  # fmt: skip

# Minerals that are their own iron oxide coat.
IRON_OXIDES = ("Goethite", "Ferrihydrite", "Hematite", "Lepidocrocite", "Maghemite", "Magnetite", "Ilmenite")


def coat_absorption(wavelength: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns -ln R of the iron oxide coat of thickness 1 at wavelengths in nm.

    The charge-transfer edge of Fe(III) in the visible and a slow fall into the near infrared. Crystal-field
    bands (near 900 nm) are left to the oxides that occur as grains, so that they vary between soils. The numbers
    are ours, chosen so that mixtures rise through the visible as measured soils do.
    """
    beyond = np.maximum(wavelength - LOW, 0.0)
    return 1.45 * np.exp(-((beyond / 320.0) ** 1.7)) + 0.5 * np.exp(-beyond / 800.0)


def soc_curve(
    wavelength: NDArray[np.float64], *, troughs: bool, darkness: float, brightness: float
) -> NDArray[np.float64]:
    """Returns the true f_SOC at wavelengths in nm.

    Args:
      wavelength: of any shape.
      troughs: False gives the smooth baseline alone (the null control).
      darkness: 1st percentile of f over 365-2500 nm, reached by shifting the whole curve.
      brightness: reflectance at which the baseline levels off in the near infrared, before that shift.
    """
    window = _soc_unshifted(np.arange(365.0, 2501.0), troughs, brightness)
    return _soc_unshifted(wavelength, troughs, brightness) + (darkness - np.percentile(window, 1))


def _soc_unshifted(wavelength: NDArray[np.float64], troughs: bool, brightness: float) -> NDArray[np.float64]:
    rise = 1.0 - np.exp(-((np.maximum(wavelength - _SOC_START, 0.0) / _SOC_SCALE) ** _SOC_POWER))
    curve = SOC_DARKEST + (brightness - SOC_DARKEST) * rise
    for centre, width, depth in SOC_TROUGHS if troughs else ():
        curve = curve - depth * np.exp(-0.5 * ((wavelength - centre) / width) ** 2)
    return curve


def soc_reflectance(config: TwinConfig, axis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the true f_SOC in the bands of ``axis``, shape (m,)."""
    level = {"darkness": config.soc_darkness, "brightness": config.soc_brightness}
    return band_mean(functools.partial(soc_curve, troughs=config.soc_troughs, **level), axis)


def powder_minerals(config: TwinConfig, axis: NDArray[np.float64]) -> EndmemberLibrary:
    """Returns the minerals of the soils as powders, on ``axis``; the soils hold ``as_soil_grains`` of them.

    Raises:
      DataError: a main mineral that the library lacks, or measured minerals that are not there.
    """
    library = twin_minerals(axis) if config.minerals == "fitted" else load_usgs().resample(axis)
    library = _without(library, config.minerals_left_out, "minerals_left_out")
    for name in config.main_minerals:
        library.index(name)
    return library


def as_soil_grains(library: EndmemberLibrary, config: TwinConfig) -> EndmemberLibrary:
    """Returns the minerals as grains of a soil: sands coarser than the powders of a library, clays finer, iron-coated.

    ln R' = exponent ln R - iron_coat * coat_absorption: a longer path through a grain multiplies -ln R (clay minerals
    have an exponent of their own), and a coat adds its own (Beer-Lambert). Mixtures of the pure powders are twice as
    bright as soils, lack their steep rise through the visible, and have hydroxyl bands two to three times too deep.
    """
    if config.grain_exponent == config.clay_grain_exponent == 1.0 and config.iron_coat == 0.0:
        return library
    exponent = np.where(np.isin(library.names, CLAY_MINERALS), config.clay_grain_exponent, config.grain_exponent)
    coated = ~np.isin(library.names, IRON_OXIDES)
    log_grains = exponent[:, None] * np.log(library.spectra.values.astype(np.float64))
    log_grains -= config.iron_coat * coated[:, None] * coat_absorption(library.spectra.axis)
    note = f"Grain exponent {config.grain_exponent:g}, of clay minerals {config.clay_grain_exponent:g}; "
    note += f"iron coat {config.iron_coat:g}."
    spectra = library.spectra.replace(values=np.exp(log_grains), step="grains of soils with iron coats")
    return dataclasses.replace(library, spectra=spectra, notes=(*library.notes, note))


def decoder_minerals(config: TwinConfig, powders: EndmemberLibrary, seed: np.random.SeedSequence) -> EndmemberLibrary:
    """Returns the library handed to models: the true one, or one that lacks, distorts or does not coat minerals."""
    true = powders if config.decoder_powders else as_soil_grains(powders, config)
    spectra_rng, rho_rng = (np.random.default_rng(part) for part in seed.spawn(2))
    error = config.decoder_distortion * _smooth_curves(spectra_rng, len(true), true.spectra.axis)
    rho_error = config.decoder_rho_r_log_sd * rho_rng.standard_normal(len(true))
    if not error.any() and not rho_error.any():
        return _without(true, config.decoder_missing, "decoder_missing")
    distorted = np.clip(true.spectra.values * np.exp(error), 1e-4, 1.0)
    given = dataclasses.replace(
        true,
        spectra=true.spectra.replace(values=distorted, step="distorted"),
        density=true.density * np.exp(rho_error),
        notes=(*true.notes, "Distorted on purpose: not the minerals of the soils."),
    )
    return _without(given, config.decoder_missing, "decoder_missing")


def _without(library: EndmemberLibrary, names: tuple[str, ...], field: str) -> EndmemberLibrary:
    if not names:
        return library
    for name in names:
        known(name, library.names, "no such mineral to leave out", column=field)
    kept = [name for name in library.names if name not in names]
    return library.select(kept, reason=f"left out by {field}")


def _smooth_curves(rng: np.random.Generator, count: int, axis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns (count, m) random curves of unit variance that bend over some 400 nm, the same on every axis."""
    orders = np.arange(6)
    phase = rng.uniform(0.0, 2.0 * np.pi, (count, orders.size))
    amplitude = rng.standard_normal((count, orders.size))
    position = (axis - LOW) / (HIGH - LOW)
    waves = np.cos(np.pi * orders[:, None] * position + phase[:, :, None])
    return np.sum(amplitude[:, :, None] * waves, axis=1) * np.sqrt(2.0 / orders.size)
