"""Soils of the infrared twin: nine correlated properties and the constituents behind them.

Every sample is made from its own row of standard normal numbers, so nothing here depends on how many there are.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr

from jaxsoil.data.twin.infrared.bands import NAMES, ORGANICS

CARBON_OF_CARBONATE = 0.12  # g C per g CaCO3: 12.011 / 100.09, rounded as in the paper (EOC = TC - 0.12 IC)
SOM_PER_CARBON = 1.9  # mass of soil organic matter per mass of organic carbon, on average
# Exchange capacity in cmol(+)/kg of the pure material: usual ranges of soil science, middles taken by us.
EXCHANGE = {"kaolinite": 8.0, "smectite": 95.0, "illite": 28.0, "gibbsite": 4.0, "iron oxides": 4.0, "allophane": 60.0}
EXCHANGE_ORGANIC = 2.2  # cmol(+)/kg per % of organic carbon near neutral

DRAWS = 50  # standard normal numbers per sample


@dataclasses.dataclass(frozen=True)
class Population:
    """Where soils come from: the levels and spreads of what drives them.

    Args:
      sand_logit, sand_logit_sd: of sand against silt and clay.
      clay_logit, clay_logit_sd: of clay against silt.
      carbon, carbon_log_sd: median of organic carbon (%) of mineral soils, and spread.
      carbon_low: least organic carbon, %.
      organic_share: share of organic horizons, 12 to 55 % carbon.
      ph, ph_half_range, ph_steepness, ph_sd: centre, half range, steepness and own noise of pH.
      carbonate, carbonate_log_sd, carbonate_most: median where there is any, spread and most of CaCO3 (%).
      carbonate_ph: pH at which half of the soils hold carbonate.
      carbonate_floor: what the method reports where there is none, %.
      ratio: median C:N.
      activity: level of the smectites among the clay minerals, logit.
    """

    sand_logit: float
    sand_logit_sd: float
    clay_logit: float
    clay_logit_sd: float
    carbon: float
    carbon_log_sd: float
    carbon_low: float
    organic_share: float
    ph: float
    ph_half_range: float
    ph_steepness: float
    ph_sd: float
    carbonate: float
    carbonate_log_sd: float
    carbonate_most: float
    carbonate_ph: float
    carbonate_floor: float
    ratio: float
    activity: float


# A national library of all horizons and land uses, and the cropland topsoils of a proficiency test: chosen near
# the moments of Appendix A for KSSL and for NAPT.
LIBRARY = Population(
    sand_logit=-0.6, sand_logit_sd=1.9, clay_logit=-0.62, clay_logit_sd=0.95,
    carbon=0.88, carbon_log_sd=1.15, carbon_low=0.02, organic_share=0.014,
    ph=6.5, ph_half_range=2.1, ph_steepness=0.85, ph_sd=0.45,
    carbonate=7.5, carbonate_log_sd=1.3, carbonate_most=95.0, carbonate_ph=7.55, carbonate_floor=0.0,
    ratio=11.0, activity=1.2,
)  # fmt: skip
CROPLAND = Population(
    sand_logit=-0.7, sand_logit_sd=1.55, clay_logit=-0.95, clay_logit_sd=0.65,
    carbon=1.45, carbon_log_sd=0.58, carbon_low=0.25, organic_share=0.0,
    ph=6.75, ph_half_range=1.35, ph_steepness=0.85, ph_sd=0.3,
    carbonate=4.5, carbonate_log_sd=0.9, carbonate_most=25.0, carbonate_ph=7.3, carbonate_floor=0.2,
    ratio=10.8, activity=1.5,
)  # fmt: skip


@dataclasses.dataclass(frozen=True, eq=False)
class InfraredSoils:
    """n samples.

    Args:
      properties: name -> (n,) true values in the units of ``jaxsoil.data.properties.UNITS``.
      mass: (n, K) mass fractions of the constituents in ``NAMES``; water is per mass of dry soil, the others sum to
        at most one (dolomite stands for more calcite than it weighs).
      sand: (n,) mass fraction of the mineral part, which sets how coarse the sample is.
      forms: (n, K) logit of the share of each constituent's second form, before the config's spread.
      depth: (n,) cm, middle of the sample.
    """

    properties: dict[str, NDArray[np.float64]]
    mass: NDArray[np.float64]
    sand: NDArray[np.float64]
    forms: NDArray[np.float64]
    depth: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.mass)

    def select(self, rows: NDArray) -> InfraredSoils:
        """Returns the chosen rows."""
        properties = {name: values[rows] for name, values in self.properties.items()}
        return InfraredSoils(properties, self.mass[rows], self.sand[rows], self.forms[rows], self.depth[rows])


def compose(population: Population, normal: NDArray[np.float64], matrix: float = 1.0) -> InfraredSoils:
    """Returns the soils made from (n, DRAWS) standard normal numbers.

    Leaching lowers pH, dissolves carbonate and turns clay minerals into kaolinite, gibbsite and iron oxides; fine
    texture and shallow depth keep organic matter; exchange capacity follows from clay minerals, organic carbon
    and pH.
    """
    z = np.asarray(normal, np.float64)
    leaching, texture, share, carbon, organic, lime, depth_draw, nitrogen = z[:, :8].T
    depth = 45.0 * np.exp(0.9 * depth_draw)
    sand = expit(population.sand_logit + population.sand_logit_sd * texture)
    clay = (1.0 - sand) * expit(population.clay_logit + population.clay_logit_sd * (0.95 * share + 0.3 * depth_draw))
    silt = 1.0 - sand - clay
    eoc = _carbon(population, carbon, organic, texture, depth_draw)
    ph = _ph(population, leaching, eoc, z[:, 8])
    matter, charcoal = _matter(eoc, z[:, 48:50])
    rest = 1.0 - matter - charcoal
    ic = _carbonate(population, ph, lime, z[:, 9], rest)
    mass = _minerals(population, leaching, sand, clay, rest, ic / 100.0, z)
    cec = _exchange(mass, eoc, ph, z[:, [10, 22]], silt)
    ratio = population.ratio * np.exp(0.25 * nitrogen) * (1.0 + 0.45 * np.log1p(eoc / 10.0))
    tn = eoc / ratio
    _organic(mass, matter, charcoal, tn, ph, z[:, 23:30])
    water = 0.004 + 0.0007 * cec + 0.02 * SOM_PER_CARBON * eoc / 100.0
    mass[:, NAMES.index("water")] = water * np.exp(0.2 * z[:, 11])
    properties = {"tc": eoc + CARBON_OF_CARBONATE * ic, "tn": tn, "ic": ic, "eoc": eoc, "ph": ph, "cec": cec}
    properties |= {"clay": 100.0 * clay, "silt": 100.0 * silt, "sand": 100.0 * sand}
    return InfraredSoils(properties, mass, sand, _forms(mass, clay, matrix, z[:, 30 : 30 + len(NAMES)]), depth)


def measured(soils: InfraredSoils, normal: NDArray, log_sd: float, ph_sd: float, texture_sd: float) -> dict:
    """Returns the properties as a laboratory reports them, from (n, 7) standard normal numbers.

    TC and IC are measured and EOC = TC - 0.12 IC is computed, so the identity holds exactly; clay and silt are
    rounded to 0.1 % and sand is the rest, so texture sums to 100 and may hold zeros.
    """
    true, z = soils.properties, np.asarray(normal, np.float64)
    ic = true["ic"] * np.exp(log_sd * z[:, 0])
    # An estimate of organic carbon is not negative: total carbon is at least that of the carbonate.
    tc = np.maximum(true["tc"] * np.exp(0.6 * log_sd * z[:, 1]), CARBON_OF_CARBONATE * ic)
    clay = np.round(np.clip(true["clay"] + texture_sd * z[:, 2] * _within(true["clay"]), 0.0, 99.0), 1)
    silt = np.round(np.clip(true["silt"] + texture_sd * z[:, 3] * _within(true["silt"]), 0.0, 99.9 - clay), 1)
    return {
        "tc": tc,
        "tn": true["tn"] * np.exp(log_sd * z[:, 4]),
        "ic": ic,
        "eoc": tc - CARBON_OF_CARBONATE * ic,
        "ph": true["ph"] + ph_sd * z[:, 5],
        "cec": true["cec"] * np.exp(log_sd * z[:, 6]),
        "clay": clay,
        "silt": silt,
        "sand": 100.0 - clay - silt,
    }


def _within(percent: NDArray) -> NDArray:
    """Returns a factor that lets the error of a fraction vanish at 0 and 100 %."""
    return np.sqrt(np.clip(percent * (100.0 - percent), 0.0, None)) / 50.0


def _carbon(population: Population, own: NDArray, organic: NDArray, texture: NDArray, depth: NDArray) -> NDArray:
    # Fine texture (low `texture`) and shallow depth hold more; the rest is the sample's own.
    standard = -0.5 * depth - 0.2 * texture + np.sqrt(1.0 - 0.5**2 - 0.2**2) * own
    mineral = population.carbon * np.exp(population.carbon_log_sd * standard)
    peat = 12.0 + 43.0 * ndtr(own)
    eoc = np.where(ndtr(organic) < population.organic_share, peat, np.minimum(mineral, 20.0 + 0.1 * mineral))
    return np.clip(eoc, population.carbon_low, 55.0)


def _ph(population: Population, leaching: NDArray, eoc: NDArray, own: NDArray) -> NDArray:
    driver = -population.ph_steepness * leaching - 0.12 * np.log(eoc / population.carbon)
    return population.ph + population.ph_half_range * np.tanh(driver) + population.ph_sd * own


def _carbonate(population: Population, ph: NDArray, any_lime: NDArray, amount: NDArray, rest: NDArray) -> NDArray:
    calcareous = ndtr(any_lime) < expit((ph - population.carbonate_ph) / 0.25)
    lime = population.carbonate * np.exp(population.carbonate_log_sd * amount)
    # Organic matter dilutes it, and no soil is all carbonate.
    most = np.minimum(population.carbonate_most, 98.0 * rest)
    lime = most * (1.0 - np.exp(-lime / most))
    return np.where(calcareous, np.maximum(lime, population.carbonate_floor), population.carbonate_floor)


def _matter(eoc: NDArray, z: NDArray) -> tuple[NDArray, NDArray]:
    """Returns the mass fractions of organic matter without charcoal and of charcoal, which is 80 % carbon."""
    burnt = expit(-2.6 + 0.8 * z[:, 0])  # share of the carbon
    charcoal = burnt * eoc / 100.0 / 0.8
    matter = (1.0 - burnt) * SOM_PER_CARBON * np.exp(0.1 * z[:, 1]) * eoc / 100.0
    # Some ash is left of everything.
    return np.minimum(matter, 0.97 - charcoal), charcoal


def _minerals(
    population: Population, leaching: NDArray, sand: NDArray, clay: NDArray, rest: NDArray, lime: NDArray, z: NDArray
) -> NDArray:
    """Returns (n, K) mass fractions that sum to ``rest``, ``lime`` of it carbonate."""
    silt = 1.0 - sand - clay
    mass = np.zeros((len(leaching), len(NAMES)))
    # Clay fraction: logits of its minerals, each with a spread of its own.
    by_name = {
        "kaolinite": 0.1 + 0.9 * leaching + 0.8 * z[:, 12],
        "smectite": population.activity - 0.7 * leaching + 0.9 * z[:, 13],
        "illite": 0.3 - 0.2 * leaching + 0.7 * z[:, 14],
        "iron oxides": -1.5 + 0.5 * leaching + 0.6 * z[:, 15],
        "gibbsite": -3.5 + 1.2 * leaching + 1.0 * z[:, 16],
        "allophane": -4.5 + 2.0 * z[:, 17],
    }
    logits = np.stack(list(by_name.values()), axis=1)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    # Particles of clay size are not all clay minerals.
    ground = clay * expit(-1.4 + 0.6 * z[:, 21])
    for column, name in enumerate(by_name):
        mass[:, NAMES.index(name)] = (clay - ground) * shares[:, column]
    # Sand is mostly quartz, silt holds more feldspar and mica; the parent material moves both.
    quartz = sand * expit(1.3 + 0.4 * leaching + 0.8 * z[:, 18]) + silt * expit(0.3 + 0.3 * leaching + 0.6 * z[:, 18])
    mica = silt * 0.18 * np.exp(0.4 * z[:, 19]) * (1.0 - expit(z[:, 18]) * 0.5)
    mass[:, NAMES.index("quartz")] = quartz + 0.6 * ground
    mass[:, NAMES.index("illite")] += np.minimum(mica, sand + silt - quartz)
    mass[:, NAMES.index("feldspar")] = np.maximum(sand + silt - quartz - mica, 0.0) + 0.4 * ground
    mass *= ((rest - lime) / mass.sum(axis=1))[:, None]
    dolomite = expit(-2.0 + 1.5 * z[:, 20])
    mass[:, NAMES.index("calcite")] = lime * (1.0 - dolomite)
    # As CaCO3 equivalent: 1 g of dolomite holds the carbonate of 1.085 g of calcite.
    mass[:, NAMES.index("dolomite")] = lime * dolomite / 1.085
    return mass


def _organic(mass: NDArray, som: NDArray, charcoal: NDArray, tn: NDArray, ph: NDArray, z: NDArray) -> None:
    """Fills in the organic groups: protein by nitrogen, carboxyls charged by pH, the rest by decay."""
    # Some 40 % of the nitrogen is in amides of 16 % nitrogen.
    protein = np.minimum(0.4 * np.exp(0.2 * z[:, 0]) * tn / 100.0 / 0.16, 0.4 * som)
    aliphatic, polysaccharide = 0.16 * np.exp(0.4 * z[:, 1]), 0.34 * np.exp(0.25 * z[:, 2] - 0.15 * z[:, 4])
    lignin, carboxyl = 0.26 * np.exp(0.25 * z[:, 3]), 0.20 * np.exp(0.25 * z[:, 4])
    groups = np.stack([aliphatic, polysaccharide, lignin, carboxyl], axis=1)
    groups *= ((som - protein) / groups.sum(axis=1))[:, None]
    charged = expit((ph - 5.2) / 0.8 + 0.4 * z[:, 5])
    parts = (*groups[:, :3].T, charcoal, protein, groups[:, 3] * (1.0 - charged), groups[:, 3] * charged)
    for name, part in zip(ORGANICS, parts, strict=True):
        mass[:, NAMES.index(name)] = part


def _exchange(minerals: NDArray, eoc: NDArray, ph: NDArray, z: NDArray, silt: NDArray) -> NDArray:
    # The charge of a clay mineral varies from place to place, by a fifth.
    charge = np.exp(0.2 * z[:, 1])
    by_clay = charge * sum(EXCHANGE[name] * minerals[:, NAMES.index(name)] for name in EXCHANGE)
    by_carbon = EXCHANGE_ORGANIC * eoc * expit(0.9 * (ph - 4.5))
    return (0.4 + 2.0 * silt + by_clay + by_carbon) * np.exp(0.08 * z[:, 0])


def _forms(mass: NDArray, clay: NDArray, matrix: float, own: NDArray) -> NDArray:
    """Returns the logits of the second forms: water is held by smectite, organics by clay and iron oxides."""
    forms = own.copy()
    smectite = mass[:, NAMES.index("smectite")]
    forms[:, NAMES.index("water")] += matrix * (8.0 * smectite - 0.8)
    bound = 4.0 * clay + 10.0 * mass[:, NAMES.index("iron oxides")] - 1.0
    for name in ("protein", "carboxylic acid", "carboxylate"):
        forms[:, NAMES.index(name)] += matrix * bound
    return forms
