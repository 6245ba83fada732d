"""Every number that shapes a synthetic library, with its unit."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxsoil.data.root import USGS_FOLDER, data_root
from jaxsoil.data.twin.settings import require, require_finite
from jaxsoil.physics.parametric_minerals import HIGH, LOW
from jaxsoil.runs.errors import DataError
from jaxsoil.runs.require import known

MAIN_MINERALS = (
    "Quartz", "Microcline", "Kaolinite", "Montmorillonite", "Illite", "Muscovite", "Calcite", "Goethite", "Hematite",
    "Gibbsite",
)  # fmt: skip
MINERAL_SOURCES = ("fitted", "measured")


@dataclasses.dataclass(frozen=True)
class TwinConfig:
    """A synthetic soil spectral library: sizes, soils, instrument, and switches that make it harder.

    The defaults give a library of realistic difficulty, not of any one place. Streams of random numbers are
    separate by purpose: two configurations that differ in a switch of the instrument or of f_SOC share their
    soils, and one with other noise shares its scatter.
    """

    # Size and axis.
    n_samples: int = 1700
    n_regions: int = 17
    seed: int = 0
    wavelength_low: float = 365.0  # nm
    wavelength_high: float = 2500.0  # nm
    n_bands: int = 200  # evenly spaced, each the mean over its width; 2136 is the study's 1 nm axis

    # Minerals.
    minerals: str = "fitted"  # "fitted" (in the package) or "measured" (USGS spectra below JAXSOIL_DATA)
    main_minerals: tuple[str, ...] = MAIN_MINERALS
    minerals_left_out: tuple[str, ...] = ()  # of the true library
    grain_exponent: float = 1.9  # -ln R of a soil's grains over that of the finer powders of the library
    clay_grain_exponent: float = 0.35  # the same of clay minerals, which are finer than those powders
    iron_coat: float = 0.85  # thickness of the grains' iron oxide coat, see endmembers.coat_absorption
    concentration: float = 12.0  # of the Dirichlet of a sample's main minerals around the mean of its region
    region_log_sd: float = 0.7  # of a region's mean mineral shares around the mean soil
    trace_share: float = 0.04  # mass share of all other minerals together
    n_outlying: int = 5  # regions whose soils lie outside the hull of the others; at most a third of all
    outlying_share: float = 0.85  # weight of the unusual mineralogy in an outlying region's mean
    outlying_state: float = 1.0  # exponent of an outlying region's factors of moisture and texture; 0 = none

    # Pedons.
    horizons_fewest: int = 5
    horizons_most: int = 6
    within_pedon_concentration: float = 60.0  # of the Dirichlet of a horizon's minerals around its pedon's

    # Soil organic carbon.
    soc_median: float = 1.2  # % by mass
    soc_region_log_sd: float = 0.4  # of the regional medians
    soc_log_sd: float = 0.8  # within a region
    soc_depth_share: float = 0.45  # share of that variance that follows depth within a pedon
    soc_horizon_share: float = 0.1  # share that is the horizon's own; the rest belongs to the pedon
    soc_low: float = 0.1  # % by mass
    soc_high: float = 20.0  # % by mass
    soc_rho_r: float = 0.12  # g cm-3 nm, the true (rho r)_SOC; measured soils give 0.115 +- 0.03
    soc_troughs: bool = True  # False: the null control, a true f_SOC without absorptions
    soc_brightness: float = 0.5  # where f_SOC levels off in the near infrared, reflectance
    soc_darkness: float = 0.037  # 1st percentile of f_SOC over 365-2500 nm, reflectance
    clay_follows_soc: float = 0.0  # exponent e of clay minerals proportional to SOC^e; 0 = independent
    clay_follows_soc_sd: float = 0.2  # of e between regions
    label_noise: float = 0.0  # log-SD of the laboratory's SOC around the true one

    # Texture: factor on -ln R of the dry mixture, above 1 where grains are coarse.
    path_region_log_sd: float = 0.05  # of the regions' factors
    path_sample_log_sd: float = 0.05  # within a region

    # Water held by the air-dry sample, as mass per mass of dry soil.
    moisture: float = 1.0  # factor on all of it; 0 = perfectly dry
    moisture_base: float = 0.002
    moisture_clay: float = 0.025  # per mass of clay minerals
    moisture_soc: float = 0.1  # per mass of SOC
    moisture_region_log_sd: float = 0.6
    moisture_sample_log_sd: float = 0.2
    water_absorption: float = 1.0  # factor on the depths of the water bands and of the darkening

    # Scatter, one draw per scan.
    gain_log_sd: float = 0.1  # multiplicative
    tilt_log_sd: float = 0.02  # multiplicative, at the ends of 350-2500 nm, of opposite signs
    curvature_log_sd: float = 0.01  # multiplicative, at the ends, of one sign
    offset_sd: float = 0.003  # additive, reflectance

    # Instrument.
    splices: tuple[float, ...] = (1000.0, 1800.0)  # nm, borders of the detectors
    splice_log_sd: float = 0.003  # of each outer detector's gain against the middle one's
    shift_sd: float = 0.3  # error of the wavelength scale, nm
    noise: float = 0.0002  # SD per band, reflectance
    noise_ends: float = 5.0  # factor on it at the ends of 350-2500 nm
    reflectance_floor: float = 0.004  # lowest value that the instrument reports

    # The mineral library handed to models, where it differs from the truth.
    decoder_powders: bool = False  # True: the pure powders instead of the soil's coated grains
    decoder_missing: tuple[str, ...] = ()  # minerals that it lacks
    decoder_distortion: float = 0.2  # log-SD of a smooth error of its spectra
    decoder_rho_r_log_sd: float = 0.0  # log-SD of the error of its densities

    def __post_init__(self) -> None:
        require(self, "n_samples", self.n_samples >= 1, "Ask for at least one sample.")
        require(self, "n_regions", 1 <= self.n_regions <= self.n_samples, "Ask for 1 to n_samples regions.")
        require(self, "n_bands", self.n_bands >= 2, "Ask for at least two bands.")
        inside = LOW <= self.wavelength_low < self.wavelength_high <= HIGH
        remedy = f"Stay within {LOW:g}-{HIGH:g} nm, low below high: there the minerals are known."
        require(self, "wavelength_low", inside, remedy)
        require(self, "horizons_fewest", 1 <= self.horizons_fewest <= self.horizons_most, "Ask for 1 to horizons_most.")
        require(self, "n_outlying", self.n_outlying >= 0, "Ask for 0 or more.")
        require(self, "soc_low", 0 < self.soc_low < self.soc_high <= 100, "Give percentages, low below high.")
        require(self, "soc_darkness", 0.0 < self.soc_darkness < 0.5, "Give a reflectance between 0 and 0.5.")
        known(self.minerals, MINERAL_SOURCES, "unknown source of minerals", column="minerals")
        require_finite(self)
        for share in ("trace_share", "outlying_share", "soc_depth_share", "soc_horizon_share"):
            require(self, share, getattr(self, share) < 1, "Give a share below 1.")

    @property
    def axis(self) -> NDArray[np.float64]:
        """Band centres in nm, shape (n_bands,)."""
        return np.linspace(self.wavelength_low, self.wavelength_high, self.n_bands)


def reference_config(n_samples: int = 2000, seed: int = 0, **changes: Any) -> TwinConfig:
    """Returns the reference twin on which the recovery of f_SOC is studied.

    Eight regions, 267 bands at 8 nm, dry, of one texture, no scatter and no instrument but white noise of 0.01, every
    sample a pedon of its own, SOC independent of depth and of clay, 84 minerals + SOC, the decoder given the true
    minerals. It is a fixed benchmark, noisier than soils and darker in the near infrared. Measured minerals are used
    where they are available and the fitted ones of the same names otherwise; ``changes`` replaces any field.
    """
    measured = _measured_minerals_available()
    # The published sheet gives montmorillonite and beidellite no density; vermiculite stands for the swelling clays.
    main = ("Vermiculite" if mineral == "Montmorillonite" else mineral for mineral in TwinConfig.main_minerals)
    base: dict[str, Any] = dict(
        n_samples=n_samples, seed=seed, n_regions=8, wavelength_high=2493.0, n_bands=267,
        minerals="measured" if measured else "fitted", main_minerals=tuple(main),
        minerals_left_out=() if measured else ("Montmorillonite", "Beidellite"),
        grain_exponent=1.0, clay_grain_exponent=1.0, iron_coat=0.0, n_outlying=0, clay_follows_soc_sd=0.0,
        horizons_fewest=1, horizons_most=1, soc_depth_share=0.0, soc_log_sd=1.1, soc_rho_r=1.4, soc_brightness=0.246,
        moisture=0.0, path_region_log_sd=0.0, path_sample_log_sd=0.0, gain_log_sd=0.0, tilt_log_sd=0.0,
        curvature_log_sd=0.0, offset_sd=0.0, splice_log_sd=0.0, shift_sd=0.0, noise=0.01, noise_ends=1.0,
        decoder_distortion=0.0,
    )  # fmt: skip
    return TwinConfig(**{**base, **changes})


def _measured_minerals_available() -> bool:
    try:
        return (data_root() / USGS_FOLDER).is_dir()
    except DataError:
        return False
