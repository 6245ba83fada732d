"""The twin of the hybrid data set: mid-infrared spectra from several laboratories, carbon and organic matter in part.

    library = load_laboratories()                            # 2,000 samples, 5 laboratories, 426 bands
    library.property("carbon"), library.property("organic_matter")   # g/kg, NaN where not measured

Soils and optics are those of the infrared twin. Each laboratory scans its own soils on an instrument with its own
gain, offset, tilt, resolution and drift. Carbon is measured on 51,079 of 57,000 samples and organic matter on 5,750,
as in the abstract of the study; both are skewed as its numbers imply: an R2 of 0.96 at an RMSE of 15.41 g/kg means a
standard deviation near 77 g/kg, and an RPIQ of 1.38 an interquartile range of 21 g/kg (OM: 42 and 20). At the
published size the twin's are 74 and 21 (OM: 39 and 19). Organic matter is organic carbon times a factor of each
soil's own around 1.9, measured with a larger error than carbon.

Some samples were scanned by every laboratory (``transfer``), a few were sent to two laboratories under different
names, and some rows are spoiled: ``truth`` says which.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from jaxsoil.data.library import Library, Property, Strings
from jaxsoil.data.twin.infrared.bands import NAMES
from jaxsoil.data.twin.infrared.config import InfraredTwinConfig
from jaxsoil.data.twin.infrared.optics import Optics, absorbances, both_forms, draw_scans, mid_infrared, normal
from jaxsoil.data.twin.infrared.soils import CARBON_OF_CARBONATE, DRAWS, LIBRARY, SOM_PER_CARBON, InfraredSoils, compose
from jaxsoil.data.twin.laboratories.config import FACTORS, LaboratoriesConfig
from jaxsoil.spectra.container import Spectra

_SOILS, _SCAN, _NOISE, _LAYOUT, _LABELS, _INSTRUMENTS, _SPOIL, _FACTOR = range(20, 28)
_UNITS = {"carbon": "g/kg", "organic_matter": "g/kg", "depth_top": "cm", "depth_bottom": "cm"}
_UNITS |= {"longitude": "degrees", "latitude": "degrees"}
# Standard deviations between the scans of one laboratory, by the names of ``draw_scans``.
_SCAN_SD = {"packing": 0.05, "mirrored": 0.2, "gain": 0.03, "offset": 0.015, "tilt": 0.015, "curve": 0.008, "gas": 0.01}
# What goes wrong with a row, in turn.
SPOILS = ("saturated", "noisy", "wet", "contaminated", "mislabelled")
# Which soil each row is (by number), which laboratory scanned it and under which name, and what is known of it.
_Rows = dict[str, NDArray[Any]]


@dataclasses.dataclass(frozen=True, eq=False)
class LaboratoriesTruth:
    """What is known of every row of the hybrid twin.

    Args:
      soil: (n,) number of the soil; rows with one number are one soil, whatever their names.
      carbon, organic_matter: (n,) true contents, g/kg.
      inorganic_carbon: (n,) g/kg, part of ``carbon``.
      transfer: (n,) scanned by every laboratory.
      duplicate: (n,) held by another laboratory under another name.
      spoiled: (n,) "" or one of ``SPOILS``.
      depth_top, depth_bottom: (n,) cm.
      longitude, latitude: (n,) degrees.
      mass: (n, K) mass fractions of the constituents.
      names: K constituents.
      config: what the twin was made with.
    """

    soil: NDArray[np.int64]
    carbon: NDArray[np.float64]
    organic_matter: NDArray[np.float64]
    inorganic_carbon: NDArray[np.float64]
    transfer: NDArray[np.bool_]
    duplicate: NDArray[np.bool_]
    spoiled: Strings
    depth_top: NDArray[np.float64]
    depth_bottom: NDArray[np.float64]
    longitude: NDArray[np.float64]
    latitude: NDArray[np.float64]
    mass: NDArray[np.float64]
    names: tuple[str, ...]
    config: LaboratoriesConfig

    def __repr__(self) -> str:
        return f"LaboratoriesTruth({len(self.soil)} rows of {len(np.unique(self.soil))} soils)"

    def select(self, rows: Any) -> LaboratoriesTruth:
        """Returns the truth of the chosen rows (a mask, indices or a slice)."""
        fields = [field.name for field in dataclasses.fields(self) if field.name not in ("names", "config")]
        return dataclasses.replace(self, **{name: getattr(self, name)[rows] for name in fields})


def load_laboratories(config: LaboratoriesConfig | None = None) -> Library:
    """Returns the hybrid twin; the same configuration gives the same bits on the same kind of device.

    Returns:
      Absorbances in cm-1 with properties carbon and organic_matter (g/kg, NaN where not measured), depth_top and
      depth_bottom (cm), longitude and latitude (degrees); groups sample, laboratory and source; a
      ``LaboratoriesTruth``. A transfer sample has one row in each laboratory under one sample name; its labels are
      those of its home laboratory. Duplicates have different sample names, and labels of each laboratory's own.
    """
    config = LaboratoriesConfig() if config is None else config
    population = dataclasses.replace(LIBRARY, carbon=1.0, carbon_log_sd=0.95, organic_share=config.organic_share)
    soils = compose(population, normal(config.seed, _SOILS, np.arange(config.samples), DRAWS))
    home = _homes(config)
    rows = _layout(config, home)
    values = _spectra(config, soils, rows)
    properties, true = _labels(config, soils, home, rows)
    place = {name: column[rows["soil"]] for name, column in _places(config, soils, home).items()}
    known: dict[str, Any] = {name: rows[name] for name in ("soil", "transfer", "duplicate", "spoiled")}
    known |= true | place
    truth = LaboratoriesTruth(**known, mass=soils.mass[rows["soil"]], names=NAMES, config=config)
    source = np.full(len(rows["ids"]), "laboratories")
    return Library(
        name="laboratories",
        spectra=Spectra(values, config.axis, "cm-1", "absorbance", (f"mean of {config.repeats} repeats",)),
        ids=rows["ids"],
        properties={name: Property(column, _UNITS[name]) for name, column in {**properties, **place}.items()},
        groups={"sample": rows["sample"], "laboratory": _names(rows["laboratory"]), "source": source},
        licence="Apache-2.0 (generated)",
        notes=(
            f"Synthetic, seed {config.seed}: {config.samples} soils, {len(rows['ids'])} spectra.",
            f"{config.transfer} transfer samples were scanned by all {config.laboratories} laboratories.",
            "Carbon is total carbon; laboratories differ in soils, instruments and a little in methods.",
        ),
        truth=truth,
    )


def _names(laboratory: NDArray[np.int64]) -> Strings:
    return np.array([f"L{number + 1}" for number in laboratory.tolist()])


def _homes(config: LaboratoriesConfig) -> NDArray[np.int64]:
    """Returns the laboratory of each soil: the first is large, the last small, and some prefer other soils."""
    rng = np.random.default_rng((config.seed, _LAYOUT))
    weight = 0.6 ** np.arange(config.laboratories)
    home = rng.choice(config.laboratories, size=config.samples, p=weight / weight.sum())
    # Every laboratory has soils, however few there are.
    home[: config.laboratories] = np.arange(config.laboratories)
    return home


def _layout(config: LaboratoriesConfig, home: NDArray[np.int64]) -> _Rows:
    rng = np.random.default_rng((config.seed, _LAYOUT, 1))
    special = rng.permutation(config.samples)[: config.transfer + config.duplicates]
    transfer, duplicate = special[: config.transfer], special[config.transfer :]
    labs = np.arange(config.laboratories)
    others = np.array([(s, lab) for s in transfer for lab in labs if lab != home[s]], np.int64).reshape(-1, 2)
    elsewhere = (home[duplicate] + 1 + rng.integers(0, config.laboratories - 1, duplicate.size)) % config.laboratories
    soil = np.concatenate([np.arange(config.samples), others[:, 0], duplicate])
    laboratory = np.concatenate([home, others[:, 1], elsewhere]).astype(np.int64)
    first = soil.size - duplicate.size
    sample = np.array([f"H{s:06d}{'b' if row >= first else ''}" for row, s in enumerate(soil.tolist())])
    ids = np.array([f"{name}-{lab}" for name, lab in zip(sample.tolist(), _names(laboratory).tolist(), strict=True)])
    spoiled = _spoils(config, soil, special)
    known = {"soil": soil, "laboratory": laboratory, "sample": sample, "ids": ids, "spoiled": spoiled}
    return {**known, "transfer": np.isin(soil, transfer), "duplicate": np.isin(soil, duplicate)}


def _spoils(config: LaboratoriesConfig, soil: NDArray[np.int64], special: NDArray[np.int64]) -> Strings:
    rng = np.random.default_rng((config.seed, _SPOIL))
    spoiled = np.full(soil.size, "", dtype=f"<U{max(map(len, SPOILS))}")
    ordinary = np.setdiff1d(np.arange(config.samples), special)
    chosen = rng.permutation(ordinary)[: config.outliers]
    spoiled[chosen] = [SPOILS[turn % len(SPOILS)] for turn in range(chosen.size)]
    return spoiled


def _instruments(config: LaboratoriesConfig) -> dict[str, NDArray[np.float64]]:
    rng = np.random.default_rng((config.seed, _INSTRUMENTS))
    n = config.laboratories
    return {
        "gain": np.exp(config.gain_log_sd * rng.standard_normal(n)),
        "offset": config.offset_sd * rng.standard_normal(n),
        "tilt": config.tilt_sd * rng.standard_normal(n),
        "curve": config.curve_sd * rng.standard_normal(n),
        "shift": config.axis_sd * rng.standard_normal(n),
        "blur": np.minimum(config.blur * np.exp(0.5 * rng.standard_normal(n)), 0.25),
        "drift": config.drift * np.exp(0.3 * rng.standard_normal(n)),
        "phase": 2.0 * np.pi * rng.random(n),
        "mirrored": InfraredTwinConfig.specular * np.exp(0.25 * rng.standard_normal(n)),  # grinding differs
        "packing": 0.08 * rng.standard_normal(n),
        "method": config.method_log_sd * rng.standard_normal(n),
        "matter_method": config.matter_method_log_sd * rng.standard_normal(n),
    }


def _spectra(config: LaboratoriesConfig, soils: InfraredSoils, rows: _Rows) -> NDArray[np.float32]:
    """Returns (n, M) absorbances, mean over the repeats, a block of rows at a time."""
    optics, instrument = mid_infrared(config.axis), _instruments(config)
    values = np.empty((rows["soil"].size, config.axis.size), np.float32)
    for start in range(0, rows["soil"].size, 4096):
        part = np.arange(start, min(start + 4096, rows["soil"].size))
        made = [_scan(config, optics, instrument, soils, rows, part, turn) for turn in range(config.repeats)]
        values[part] = np.mean(made, axis=0)
    return values


def _scan(
    config: LaboratoriesConfig,
    optics: Optics,
    instrument: dict[str, NDArray[np.float64]],
    soils: InfraredSoils,
    rows: _Rows,
    part: NDArray[np.int64],
    turn: int,
) -> NDArray[np.float32]:
    number = part * 8 + turn
    soil, lab, spoiled = rows["soil"][part], rows["laboratory"][part], rows["spoiled"][part]
    z = normal(config.seed, _SCAN, number, 8 + len(NAMES))
    mass = soils.mass[soil] * np.exp(0.04 * z[:, 8:])
    mass[spoiled == "wet", NAMES.index("water")] += 0.15
    # Oil of the pump, or plastic of the vial: hydrocarbon bands that no soil has at this strength.
    mass[spoiled == "contaminated", NAMES.index("aliphatic")] += 0.08
    wave = 3.0 * np.pi * soil / config.samples + instrument["phase"][lab]
    noise = config.noise * np.where(spoiled == "noisy", 40.0, 1.0)
    forms, sand = both_forms(mass, 1.2 * soils.forms[soil]), soils.sand[soil]
    scans = draw_scans(number, forms, sand, instrument, lab, wave, z, _SCAN_SD, noise)
    made = absorbances(optics, scans, config.seed, _NOISE)
    # A detector that is driven into saturation reports nothing above a level.
    limit = np.where(spoiled == "saturated", 0.75, np.inf)[:, None]
    return np.minimum(made, limit).astype(np.float32)


def _labels(
    config: LaboratoriesConfig, soils: InfraredSoils, home: NDArray[np.int64], rows: _Rows
) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
    """Returns what was measured (NaN where nothing was) and what is true, by row, in g/kg."""
    rng = np.random.default_rng((config.seed, _LABELS))
    # A soil's own factor: what decays leaves matter of another composition, which no band of the twin shows.
    factor = SOM_PER_CARBON * np.exp(
        config.factor_log_sd * normal(config.seed, _FACTOR, np.arange(config.samples), 1)[:, 0]
    )
    true = {
        "carbon": 10.0 * soils.properties["tc"],
        "organic_matter": np.minimum(10.0 * np.clip(factor, *FACTORS) * soils.properties["eoc"], 980.0),
        "inorganic_carbon": 10.0 * CARBON_OF_CARBONATE * soils.properties["ic"],
    }
    # Organic matter is determined by few, mostly on soils with some of it, seldom on peat.
    carbon = rng.permutation(config.samples)[: config.carbon]
    eagerness = (0.04 + expit(-2.0 * (np.log(soils.properties["eoc"]) - 1.0))) * (0.2 + (home % 2))
    clock = rng.standard_exponential(config.samples) / np.maximum(eagerness, 1e-9)
    matter = np.argsort(clock)[: config.organic_matter]
    transferred_home = rows["laboratory"] == home[rows["soil"]]
    # A copy under another name was analysed by its own laboratory; a transfer scan carries its home's labels.
    analyst = np.where(rows["transfer"] & ~transferred_home, home[rows["soil"]], rows["laboratory"])
    instruments, out = _instruments(config), {}
    spread = (config.label_log_sd, config.matter_label_log_sd)
    for name, chosen, seed in (("carbon", carbon, 0), ("organic_matter", matter, 1)):
        stream = rows["soil"] * config.laboratories + analyst
        method = instruments[("method", "matter_method")[seed]][analyst]
        error = spread[seed] * normal(config.seed, _LABELS + 100 * (seed + 1), stream, 1)[:, 0]
        measured = true[name][rows["soil"]] * np.exp(method + error)
        measured = np.where(np.isin(rows["soil"], chosen), measured, np.nan)
        # A misplaced decimal point, as happens when percent are typed where g/kg are asked for.
        out[name] = np.where(rows["spoiled"] == "mislabelled", measured / 10.0, measured)
    return out, {name: values[rows["soil"]] for name, values in true.items()}


def _places(
    config: LaboratoriesConfig, soils: InfraredSoils, home: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """Returns depth and place of each soil: each laboratory's soils lie around a few centres."""
    rng = np.random.default_rng((config.seed, _LAYOUT, 2))
    span = (config.laboratories, 6)
    centres = np.stack([rng.uniform(-120.0, 140.0, span), rng.uniform(-35.0, 60.0, span)])
    which = rng.integers(0, 6, config.samples)
    place = centres[:, home, which] + rng.normal(0.0, 3.0, (2, config.samples))
    middle = np.clip(soils.depth, 2.5, 190.0)
    half = np.minimum(0.35 * middle + 2.0, middle)
    return {
        "depth_top": np.round(middle - half),
        "depth_bottom": np.round(middle + half),
        "longitude": np.round(place[0], 4),
        "latitude": np.round(place[1], 4),
    }
