"""The infrared twin: mid-infrared scans with repeats, near-infrared pairs, nine properties, another laboratory.

    data = make_infrared_twin(InfraredTwinConfig())   # 12,000 scans of 3,000 samples, 400 pairs, 206 test samples
    data.pretrain.read([0, 1, 2])                     # any scans, made when they are asked for

Soils come first (``soils.py``), their constituents absorb in both ranges (``bands.py``), light
is scattered and mirrored and the instruments add what they add (``optics.py``). A scan depends on the
seed and its own number alone, so any rows of any size of library can be made in bounded memory (an instrument's
slow drift runs over the whole library and so follows its size).

Against Appendix A of the paper (``python tools/compare_twins.py --part properties``; docs/data.md), carbon,
carbonate, pH and texture have its means, spreads and skewness; total nitrogen and exchange capacity have its means but
not its longest tails (a kurtosis of 4,605 for TN is a few entries, the largest 41.9 %). The cropland test set has the
narrower ranges of NAPT.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxsoil.data.library import Library, Property, Strings
from jaxsoil.data.properties import UNITS
from jaxsoil.data.scans import MultifidelityData, Scans
from jaxsoil.data.twin.infrared import optics
from jaxsoil.data.twin.infrared.bands import NAMES
from jaxsoil.data.twin.infrared.config import InfraredTwinConfig
from jaxsoil.data.twin.infrared.soils import CROPLAND, DRAWS, LIBRARY, InfraredSoils, Population, compose, measured
from jaxsoil.spectra.container import Spectra
from jaxsoil.spectra.perturbations import smooth_curve

# Streams of random numbers: purposes that never share a number.
_SOILS, _LABELS, _PAIRING, _INSTRUMENTS, _MIR, _MIR_NOISE, _NIR, _NIR_NOISE, _TEST, _CURVE = range(10)
_DRAWS_SCAN = 8 + len(NAMES)


@dataclasses.dataclass(frozen=True, eq=False)
class InfraredTruth:
    """What the spectra of a library were made from; rows follow the library.

    Args:
      names: K constituents.
      mass: (n, K) mass fractions.
      properties: name -> (n,) true values, before the reference laboratory's error.
      config: what the twin was made with.
    """

    names: tuple[str, ...]
    mass: NDArray[np.float64]
    properties: dict[str, NDArray[np.float64]]
    config: InfraredTwinConfig

    def __repr__(self) -> str:
        return f"InfraredTruth({len(self.mass)} rows, {len(self.names)} constituents)"

    def select(self, rows: Any) -> InfraredTruth:
        """Returns the truth of the chosen rows (a mask, indices or a slice)."""
        chosen = {name: values[rows] for name, values in self.properties.items()}
        return dataclasses.replace(self, mass=self.mass[rows], properties=chosen)


def make_infrared_twin(config: InfraredTwinConfig | None = None) -> MultifidelityData:
    """Returns the twin; the same configuration gives the same bits on the same kind of device."""
    config = InfraredTwinConfig() if config is None else config
    library, elsewhere, labelled, paired = _campaigns(config)
    test = np.arange(config.test)
    return MultifidelityData(
        name="infrared_twin",
        pretrain=library.scans(),
        labelled=library.averaged("mir", labelled),
        paired_mir=library.averaged("mir", paired),
        paired_nir=library.averaged("nir", paired),
        test_mir=elsewhere.averaged("mir", test),
        test_nir=elsewhere.averaged("nir", test),
        notes=(
            f"Synthetic, seed {config.seed}; see truth for every setting. Not tuned to any order of strategies.",
            "The test set is cropland topsoil, scanned by instruments that no training row comes from: they differ in "
            "gain, offset and tilt, and by a smooth curve (SD in absorbance: mid-infrared "
            f"{config.laboratory_curve_sd:g}, near-infrared {config.nir_laboratory_curve_sd:g}).",
        ),
        truth=config,
    )


def reference_values(config: InfraredTwinConfig) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Returns the measured properties of the labelled, paired and test samples, without making any spectrum."""
    library, elsewhere, labelled, paired = _campaigns(config)
    return {
        "labelled": {name: values[labelled] for name, values in library.labels.items()},
        "paired": {name: values[paired] for name, values in library.labels.items()},
        "test": dict(elsewhere.labels),
    }


def laboratory_curve(config: InfraredTwinConfig, near: bool) -> NDArray[np.float64]:
    """Returns the smooth curve (M,), absorbance, that the test set's instrument adds to every spectrum."""
    rng = np.random.default_rng((config.seed, _CURVE, int(near)))
    sd = config.nir_laboratory_curve_sd if near else config.laboratory_curve_sd
    return smooth_curve((config.nir_axis if near else config.mir_axis).size, sd, rng)


def _campaigns(config: InfraredTwinConfig) -> tuple[_Campaign, _Campaign, NDArray, NDArray]:
    """Returns the library and the test set, and the library's samples with labels and with pairs."""
    library = _Campaign.of(config, LIBRARY, config.samples, "S", _SOILS)
    return library, _Campaign.of(config, CROPLAND, config.test, "T", _TEST), *_choose(config, library.soils)


def _choose(config: InfraredTwinConfig, soils: InfraredSoils) -> tuple[NDArray, NDArray]:
    """Returns the samples with labels, and those of them with pairs: mineral soils, as in the study."""
    rng = np.random.default_rng((config.seed, _PAIRING))
    labelled = np.sort(rng.permutation(config.samples)[: config.labelled])
    # Organic horizons are rarely paired, topsoils more often than the subsoils that fill a library by horizons.
    carbon = soils.properties["eoc"][labelled]
    weight = np.where(carbon > 12.0, 0.2, (0.1 + carbon) ** 0.35)
    # Exponential clocks: those that ring first are a sample with these weights, without replacement.
    clock = rng.standard_exponential(config.labelled) / weight
    return labelled, np.sort(labelled[np.argsort(clock)[: config.pairs]])


def draw_instruments(config: InfraredTwinConfig, near: bool) -> dict[str, NDArray[np.float64]]:
    """Returns what the instruments of the library and, last, that of the test set do to every scan, (L,) each.

    Names are those of ``optics.draw_scans``, and ``drift`` (absorbance) and ``phase`` (radians) of a slow wave. The
    mirrored share differs since the library's samples are ground in one place, the test set's elsewhere.
    """
    rng = np.random.default_rng((config.seed, _INSTRUMENTS, int(near)))
    n = config.instruments + 1
    far = np.ones(n)
    far[-1] = 1.5 * config.laboratory_shift
    blur = config.laboratory_blur * np.exp(0.3 * far * rng.standard_normal(n))
    drawn = {
        "gain": np.exp(config.laboratory_gain_log_sd * far * rng.standard_normal(n)),
        "offset": config.laboratory_offset_sd * far * rng.standard_normal(n),
        "tilt": config.laboratory_tilt_sd * far * rng.standard_normal(n),
        "shift": config.laboratory_axis_sd * far * rng.standard_normal(n),
        # More would sharpen and ring instead of blur.
        "blur": np.minimum(blur, 0.25),
        "drift": config.drift * np.exp(0.3 * rng.standard_normal(n)),
        "phase": 2.0 * np.pi * rng.random(n),
    }
    ground = np.exp(config.laboratory_grinding_log_sd * np.where(np.arange(n) < n - 1, 0.0, far) * rng.normal(size=n))
    same = np.zeros(n)
    return {**drawn, "mirrored": (0.02 if near else config.specular) * ground, "packing": same, "curve": same}


@dataclasses.dataclass(frozen=True, eq=False)
class _Campaign:
    """The samples of one laboratory and how they are scanned, in both ranges."""

    config: InfraredTwinConfig
    soils: InfraredSoils
    labels: dict[str, NDArray[np.float64]]
    ids: Strings
    new: bool  # scanned by the test set's instruments
    seed: int
    mir: optics.Optics
    nir: optics.Optics
    instruments: dict[str, dict[str, NDArray[np.float64]]]

    @classmethod
    def of(cls, config: InfraredTwinConfig, population: Population, n: int, prefix: str, stream: int) -> _Campaign:
        # Each campaign's numbers come from a seed of its own: rows of both are counted from 0.
        seed = int(np.random.SeedSequence((config.seed, stream)).generate_state(1)[0])
        rows = np.arange(n)
        soils = compose(population, optics.normal(seed, _SOILS, rows, DRAWS), config.matrix)
        error = optics.normal(seed, _LABELS, rows, 7)
        # The median of n Gaussian errors has an SD of sqrt(pi / 2 n) of one (for many; never more than one).
        median = min(1.0, np.sqrt(np.pi / (2.0 * config.test_laboratories))) if stream == _TEST else 1.0
        spreads = (config.label_log_sd, config.label_ph_sd, config.label_texture_sd)
        labels = measured(soils, error, *(median * spread for spread in spreads))
        return cls(
            config=config,
            soils=soils,
            labels=labels,
            ids=np.array([f"{prefix}{row:06d}" for row in range(n)]),
            new=stream == _TEST,
            seed=seed,
            mir=optics.mid_infrared(config.mir_axis),
            nir=optics.near_infrared(config.nir_axis, config.nir_resolution),
            instruments={"mir": draw_instruments(config, False), "nir": draw_instruments(config, True)},
        )

    def scans(self) -> Scans:
        """Returns all mid-infrared scans, sample by sample."""
        missing = self._missing()
        counts = np.full(len(self.ids), self.config.repeats)
        counts[:missing] -= 1
        state = self.soils.mass.nbytes + self.soils.forms.nbytes + self.mir.n_bytes
        samples = np.repeat(self.ids, counts)
        return Scans(self.mir.axis, samples, self._read, state + samples.nbytes)

    def averaged(self, near_or_mid: str, rows: NDArray) -> Library:
        """Returns the mean over the repeats of each chosen sample, with its properties."""
        near = near_or_mid == "nir"
        total = self.config.nir_repeats if near else self.config.repeats
        axis = self.nir.axis if near else self.mir.axis
        values = np.empty((len(rows), axis.size), np.float32)
        missing = 0 if near else self._missing()
        for start in range(0, len(rows), optics.ROWS):
            part = np.asarray(rows)[start : start + optics.ROWS]
            made = [self._absorbance(near, part, np.full(part.size, turn)) for turn in range(total - 1)]
            mean = np.sum(made, axis=0, dtype=np.float64) if made else np.zeros((part.size, axis.size))
            last = part >= missing
            mean[last] += self._absorbance(near, part[last], np.full(int(last.sum()), total - 1))
            values[start : start + part.size] = mean / np.where(last, total, total - 1)[:, None]
        spectra = Spectra(values, axis, "nm" if near else "cm-1", "absorbance", (f"mean of {total} repeats",))
        chosen = self.soils.select(np.asarray(rows))
        return Library(
            name="infrared_twin",
            spectra=spectra,
            ids=self.ids[rows],
            properties={name: Property(self.labels[name][rows], unit) for name, unit in UNITS.items()},
            groups={"sample": self.ids[rows], "source": np.full(len(rows), "new" if self.new else "library")},
            licence="Apache-2.0 (generated)",
            truth=InfraredTruth(NAMES, chosen.mass, chosen.properties, self.config),
        )

    def _missing(self) -> int:
        """Returns how many of the first samples lack a repeat; the test set lacks none."""
        full = len(self.ids) * self.config.repeats
        return 0 if self.new or self.config.scans is None else full - self.config.scans

    def _read(self, scans: NDArray[np.int64]) -> NDArray[np.float32]:
        repeats, missing = self.config.repeats, self._missing()
        early = scans < missing * (repeats - 1)
        later = scans - missing * (repeats - 1)
        sample = np.where(early, scans // max(repeats - 1, 1), missing + later // repeats)
        turn = np.where(early, scans % max(repeats - 1, 1), later % repeats)
        out = np.empty((scans.size, self.mir.axis.size), np.float32)
        for start in range(0, scans.size, 8192):
            block = slice(start, start + 8192)
            out[block] = self._absorbance(False, sample[block], turn[block])
        return out

    def _absorbance(self, near: bool, sample: NDArray, turn: NDArray) -> NDArray[np.float32]:
        """Returns the scans of ``sample`` that are its repeats number ``turn``."""
        config = self.config
        number = sample * 64 + turn  # at most 64 repeats of a sample
        z = optics.normal(self.seed, _NIR if near else _MIR, number, _DRAWS_SCAN)
        logits = config.form_sd * self.soils.forms[sample]
        mass = self.soils.mass[sample] * np.exp(config.aliquot_log_sd * z[:, 8:])
        # Batches of 96 samples go to one instrument.
        which = np.full(sample.shape, config.instruments) if self.new else (sample // 96) % config.instruments
        instrument = self.instruments["nir" if near else "mir"]
        wave = 2.0 * np.pi * sample / len(self.ids) * 1.5 + instrument["phase"][which]
        sd = {"mirrored": 0.3, "gas": config.carbon_dioxide_sd, "curve": (0.4 if near else 1.0) * config.curve_sd}
        if near:
            sd |= {"gain": config.nir_gain_log_sd, "offset": config.nir_offset_sd, "tilt": config.nir_tilt_sd}
        else:
            sd |= {"gain": config.gain_log_sd, "offset": config.offset_sd, "tilt": config.tilt_sd}
        sd["packing"], noise = (0.10, config.nir_noise) if near else (0.06, config.noise)
        sand = self.soils.sand[sample]
        scans = optics.draw_scans(number, optics.both_forms(mass, logits), sand, instrument, which, wave, z, sd, noise)
        made = optics.absorbances(self.nir if near else self.mir, scans, self.seed, _NIR_NOISE if near else _MIR_NOISE)
        return made + laboratory_curve(config, near).astype(np.float32) if self.new else made
