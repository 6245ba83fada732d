"""What an instrument makes of a soil's reflectance: water, scatter, detector splices, noise.

All functions take (n, m) reflectances and the axis in nm, and work on a chunk of rows.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from jaxsoil.data.twin.soil.config import TwinConfig
from jaxsoil.physics.parametric_minerals import HIGH, LOW

# Absorption of the water held by air-dry soil, in -ln R per unit of water mass per mass of dry soil: centre (nm),
# standard deviation (nm), depth. Overtones and combinations of H2O near 970, 1190, 1450 and 1940 nm, and the wing
# of the fundamentals near 2950 nm. The depths are ours: 2 % of water deepens the band at 1930 nm by some 16 %.
WATER_BANDS = (
    (970.0, 25.0, 0.3),
    (1190.0, 35.0, 0.5),
    (1415.0, 20.0, 1.5),
    (1455.0, 40.0, 1.5),
    (1915.0, 22.0, 4.0),
    (1950.0, 45.0, 3.0),
    (2950.0, 280.0, 25.0),
)
# A film of water lowers the index contrast of the grains and darkens all bands alike, in the same unit.
WATER_DARKENING = 3.0


@dataclasses.dataclass(frozen=True, eq=False)
class ScanState:
    """One draw per scan.

    Args:
      gain: (n,) multiplicative scatter.
      tilt: (n,) ln of the gain at the upper end of 350-2500 nm over that in the middle.
      offset: (n,) additive scatter, reflectance.
      detectors: (n, d) gain of each detector; the middle one's is 1.
    """

    gain: NDArray[np.float64]
    tilt: NDArray[np.float64]
    offset: NDArray[np.float64]
    detectors: NDArray[np.float64]

    def rows(self, chosen: slice) -> ScanState:
        """Returns the state of some scans."""
        return ScanState(self.gain[chosen], self.tilt[chosen], self.offset[chosen], self.detectors[chosen])


def draw_scans(config: TwinConfig, n: int, rng: np.random.Generator) -> ScanState:
    """Draws scatter and splices of ``n`` scans."""
    n_detectors = len(config.splices) + 1
    detectors = np.exp(rng.normal(0.0, config.splice_log_sd, (n, n_detectors)))
    detectors[:, n_detectors // 2] = 1.0
    return ScanState(
        gain=np.exp(rng.normal(0.0, config.gain_log_sd, n)),
        tilt=rng.normal(0.0, config.tilt_log_sd, n),
        offset=rng.normal(0.0, config.offset_sd, n),
        detectors=detectors,
    )


def wet(reflectance: NDArray, moisture: NDArray, axis: NDArray, strength: float = 1.0) -> NDArray:
    """Returns the reflectance with ``moisture`` (n,): -ln R grows by the water's absorption, Beer-Lambert."""
    absorption = np.full(axis.shape, WATER_DARKENING)
    for centre, width, depth in WATER_BANDS:
        absorption += depth * np.exp(-0.5 * ((axis - centre) / width) ** 2)
    exponent = (-strength * moisture)[:, None] * absorption
    return reflectance * np.exp(exponent).astype(reflectance.dtype)


def scatter(reflectance: NDArray, scans: ScanState, axis: NDArray) -> NDArray:
    """Returns gain * exp(tilt * u) * R + offset, u from -1 at 350 nm to 1 at 2500 nm."""
    scaled = (axis - (LOW + HIGH) / 2) / ((HIGH - LOW) / 2)
    factor = scans.gain[:, None] * np.exp(scans.tilt[:, None] * scaled)
    return reflectance * factor.astype(reflectance.dtype) + scans.offset[:, None].astype(reflectance.dtype)


def splice(reflectance: NDArray, scans: ScanState, axis: NDArray, borders: tuple[float, ...]) -> NDArray:
    """Returns the spectra with each detector's own gain; a border belongs to the detector below it."""
    detector = np.searchsorted(np.array(borders), axis, side="left")
    return reflectance * scans.detectors[:, detector].astype(reflectance.dtype)


def measure(
    reflectance: NDArray,
    moisture: NDArray,
    scans: ScanState,
    axis: NDArray,
    config: TwinConfig,
    noise: np.random.Generator,
) -> NDArray:
    """Returns what the instrument reports for a chunk; ``noise`` is consumed row by row."""
    seen = wet(reflectance, moisture, axis, config.water_absorption)
    seen = splice(scatter(seen, scans, axis), scans, axis, config.splices)
    seen += np.float32(config.noise) * noise.standard_normal(seen.shape, dtype=np.float32)
    return np.clip(seen, config.reflectance_floor, None)
