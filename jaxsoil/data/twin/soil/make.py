"""The twin: a synthetic soil spectral library whose truth is known.

    library = make_twin(TwinConfig())            # 17 regions, 1,700 horizons, 200 bands, in about a second
    library.truth.mass, library.truth.f_soc      # what models try to recover

Soils are drawn first (``soils.py``: regions, pedons, horizons, minerals, SOC, water), mixed by the physics of
``jaxsoil.physics.mixing``, then scanned: texture, water, scatter, detectors and noise of
``jaxsoil.spectra.perturbations``, on chunks of (n, m) reflectances with the axis in nm.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxsoil.data.endmembers import EndmemberLibrary
from jaxsoil.data.library import Library, Property
from jaxsoil.data.twin.soil.config import TwinConfig, reference_config
from jaxsoil.data.twin.soil.endmembers import as_soil_grains, decoder_minerals, powder_minerals, soc_reflectance
from jaxsoil.data.twin.soil.soils import SOC, Soils, compose
from jaxsoil.physics import mixing
from jaxsoil.spectra import perturbations
from jaxsoil.spectra.container import Spectra

__all__ = ["TwinConfig", "TwinTruth", "make_twin", "reference_config", "reference_twin"]

# Rows that are mixed and measured at a time: at 2,136 bands a chunk takes some 100 MB.
_CHUNK = 2048
_Scans = dict[str, NDArray[np.float64]]


@dataclasses.dataclass(frozen=True, eq=False)
class TwinTruth:
    """What the spectra of a twin were made from. Rows follow the library, SOC is the last endmember.

    Args:
      names: K endmembers, SOC last.
      axis: (m,) nm, the axis on which the spectra were made.
      mass: (n, K) mass fractions of the dry soil.
      area: (n, K) area fractions.
      endmembers: (K, m) reflectances F, the last row f_SOC.
      rho_r: (K,) density times characteristic length, g cm-3 nm.
      moisture: (n,) mass of water per mass of dry soil.
      path: (n,) texture: factor on -ln R of the dry mixture, above 1 where grains are coarse.
      minerals: the true mineral library (K - 1 minerals).
      decoder_minerals: the library that models are given, which may lack or distort minerals.
      outlying_regions: regions whose mineralogy lies outside the hull of the others.
      config: what the twin was made with.
    """

    names: tuple[str, ...]
    axis: NDArray[np.float64]
    mass: NDArray[np.float64]
    area: NDArray[np.float64]
    endmembers: NDArray[np.float64]
    rho_r: NDArray[np.float64]
    moisture: NDArray[np.float64]
    path: NDArray[np.float64]
    minerals: EndmemberLibrary
    decoder_minerals: EndmemberLibrary
    outlying_regions: tuple[str, ...]
    config: TwinConfig

    def __repr__(self) -> str:
        return f"TwinTruth({len(self.mass)} rows, {len(self.names)} endmembers, {self.axis.size} bands)"

    @property
    def f_soc(self) -> NDArray[np.float64]:
        """(m,) the true reflectance of SOC."""
        return self.endmembers[-1]

    @property
    def soc_rho_r(self) -> float:
        """The true (rho r)_SOC, g cm-3 nm."""
        return float(self.rho_r[-1])

    def select(self, rows: Any) -> TwinTruth:
        """Returns the truth of the chosen rows (a mask, indices or a slice)."""
        own = {name: getattr(self, name)[rows] for name in ("mass", "area", "moisture", "path")}
        return dataclasses.replace(self, **own)


def make_twin(config: TwinConfig | None = None, *, axis: ArrayLike | None = None, name: str = "twin") -> Library:
    """Generates the library; the same configuration and axis give the same bits.

    Args:
      config: by default ``TwinConfig()``.
      axis: band centres in nm instead of the configuration's, ascending, within 350-2500 nm.
      name: of the library.

    Returns:
      Reflectances with properties soc (%), clay (%), depth_top and depth_bottom (cm), groups sample, pedon,
      region and source, and a ``TwinTruth``.

    Raises:
      DataError: an axis outside the window of the minerals, an unknown mineral.
    """
    config = TwinConfig() if config is None else config
    bands = config.axis if axis is None else np.asarray(axis, dtype=np.float64)
    soil_seed, scan_seed, noise_seed, label_seed, decoder_seed = np.random.SeedSequence(config.seed).spawn(5)
    powders = powder_minerals(config, bands)
    minerals = as_soil_grains(powders, config)
    soils = compose(config, minerals.names, soil_seed)
    rho_r = np.append(minerals.rho_r, config.soc_rho_r)
    endmembers = np.vstack([minerals.spectra.values.astype(np.float64), soc_reflectance(config, bands)])
    values, area = _scan(config, soils, rho_r, endmembers, bands, scan_seed, noise_seed)
    regions = np.array([f"R{region + 1:02d}" for region in range(config.n_regions)])
    truth = TwinTruth(
        names=(*minerals.names, SOC),
        axis=bands,
        mass=soils.mass,
        area=area,
        endmembers=endmembers,
        rho_r=rho_r,
        moisture=soils.moisture,
        path=soils.path,
        minerals=minerals,
        decoder_minerals=decoder_minerals(config, powders, decoder_seed),
        outlying_regions=tuple(regions[list(soils.outlying)].tolist()),
        config=config,
    )
    spectra = Spectra(values, bands, "nm", "reflectance")
    return _library(name, config, soils, regions, spectra, truth, np.random.default_rng(label_seed))


def reference_twin(n_samples: int = 2000, seed: int = 0, **changes: Any) -> Library:
    """Returns ``make_twin(reference_config(...))``."""
    return make_twin(reference_config(n_samples, seed, **changes), name="twin_reference")


def _scan(
    config: TwinConfig,
    soils: Soils,
    rho_r: NDArray,
    endmembers: NDArray,
    axis: NDArray,
    scan_seed: np.random.SeedSequence,
    noise_seed: np.random.SeedSequence,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Returns the measured (n, m) reflectances and the (n, K) area fractions, chunk by chunk."""
    n = len(soils.mass)
    scans = draw_scans(config, n, np.random.default_rng(scan_seed))
    noise = np.random.default_rng(noise_seed)
    values = np.empty((n, axis.size), dtype=np.float32)
    area = np.empty(soils.mass.shape)
    rho, spectra = jnp.asarray(rho_r, jnp.float32), jnp.asarray(endmembers, jnp.float32)
    for start in range(0, n, _CHUNK):
        rows = slice(start, min(start + _CHUNK, n))
        mass = jnp.asarray(soils.mass[rows], jnp.float32)
        dry = np.array(_mix(mass, rho, spectra))
        area[rows] = np.asarray(mixing.area_fractions(mass, rho))
        these = {name: drawn[rows] for name, drawn in scans.items()}
        values[rows] = measure(dry, soils.rows(rows), these, axis, config, noise)
    return values, area


_mix = jax.jit(mixing.mix)


def _library(
    name: str,
    config: TwinConfig,
    soils: Soils,
    regions: NDArray,
    spectra: Spectra,
    truth: TwinTruth,
    label_rng: np.random.Generator,
) -> Library:
    region = regions[soils.region]
    pedon = np.array([f"{r}-P{p + 1:03d}" for r, p in zip(region, soils.pedon, strict=True)])
    ids = np.array([f"{p}-H{h + 1}" for p, h in zip(pedon, soils.horizon, strict=True)])
    soc = 100.0 * soils.mass[:, -1] * np.exp(config.label_noise * label_rng.standard_normal(len(ids)))
    return Library(
        name=name,
        spectra=spectra,
        ids=ids,
        properties={
            "soc": Property(np.minimum(soc, 100.0), "%"),
            "clay": Property(100.0 * soils.clay, "%"),
            "depth_top": Property(soils.top, "cm"),
            "depth_bottom": Property(soils.bottom, "cm"),
        },
        groups={"sample": ids, "pedon": pedon, "region": region, "source": np.full(len(ids), name)},
        licence="Apache-2.0 (generated)",
        notes=(f"Synthetic, seed {config.seed}; {config.minerals} minerals; see truth.config for every setting.",),
        truth=truth,
    )


def draw_scans(config: TwinConfig, n: int, rng: np.random.Generator) -> _Scans:
    """Draws scatter and instrument of ``n`` scans, one draw for each; ``spectra.perturbations`` says what each does.

    Returns:
      ``gain``, (n,) factor; ``tilt, curvature``, (n,) of ln R, at the ends of 350-2500 nm; ``offset``, (n,)
      reflectance; ``shift``, (n,) error of the wavelength scale, nm; ``detectors``, (n, d) gain of each, the middle
      one's is 1.
    """
    n_detectors = len(config.splices) + 1
    detectors = np.exp(rng.normal(0.0, config.splice_log_sd, (n, n_detectors)))
    detectors[:, n_detectors // 2] = 1.0
    return {
        "gain": np.exp(rng.normal(0.0, config.gain_log_sd, n)),
        "tilt": rng.normal(0.0, config.tilt_log_sd, n),
        "offset": rng.normal(0.0, config.offset_sd, n),
        "curvature": rng.normal(0.0, config.curvature_log_sd, n),
        "shift": rng.normal(0.0, config.shift_sd, n),
        "detectors": detectors,
    }


def measure(
    reflectance: NDArray, soils: Soils, scans: _Scans, axis: NDArray, config: TwinConfig, noise: np.random.Generator
) -> NDArray:
    """Returns what the instrument reports for a chunk of dry soils; ``noise`` is consumed row by row."""
    # A power of exactly 1 may still round: soils of one texture keep the bits of the mixture.
    seen = perturbations.path(reflectance, soils.path) if np.any(soils.path != 1.0) else reflectance
    seen = perturbations.wet(seen, soils.moisture, axis, config.water_absorption)
    seen = perturbations.tilt(perturbations.gain(seen, scans["gain"]), scans["tilt"], axis)
    seen = perturbations.offset(perturbations.curvature(seen, scans["curvature"], axis), scans["offset"])
    seen = perturbations.splice(seen, scans["detectors"], axis, config.splices)
    if scans["shift"].any():
        seen = perturbations.shift(seen, scans["shift"], axis)
    level = perturbations.noise_level(axis, config.noise, config.noise * config.noise_ends)
    return np.clip(perturbations.noise(seen, level, noise), config.reflectance_floor, None)
