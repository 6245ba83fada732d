"""Every number that shapes the infrared twin, with its unit."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from jaxsoil.data.twin.settings import require, require_finite

MIR_LOW, MIR_HIGH = 600.0, 4000.0  # cm-1
NIR_LOW, NIR_HIGH = 1350.0, 2550.0  # nm, the portable instrument


@dataclasses.dataclass(frozen=True)
class InfraredTwinConfig:
    """A mid-infrared library with repeats, pairs with a portable near-infrared instrument, and a test set elsewhere.

    The curve's default is the smallest of the four that were measured between real mid-infrared instruments on the same
    soils (0.020, 0.026, 0.037 and 0.070). None is known for the near-infrared, where it has the same share of the SD of
    absorbance over the bands (0.025 against 0.35). Labels of the test set are medians of several laboratories, as in a
    proficiency test, so that they have less noise than the library's.

    The defaults of the sizes are for a laptop; ``paper()`` gives the sizes of the study. Streams of random numbers are
    separate by purpose and counted by row, so a row does not change with the number of rows.
    """

    # Sizes.
    samples: int = 3000  # of the pre-training library
    repeats: int = 4  # scans of each
    scans: int | None = None  # in all; where fewer than samples x repeats, the first samples lack one repeat each
    labelled: int = 2400  # samples with all nine properties
    pairs: int = 400  # of those, scanned in the near-infrared too
    test: int = 206  # samples of another laboratory
    seed: int = 0

    # Axes.
    mir_step: float = 8.0  # cm-1, from 600 to 4000
    nir_low: float = 1400.0  # nm, trimmed from 1350-2550
    nir_high: float = 2500.0  # nm
    nir_bands: int = 111

    # Optics.
    specular: float = 0.34  # mean share of the surfaces that mirror light to the detector, mid-infrared
    form_sd: float = 1.2  # spread of the share of each constituent's second form, logit
    aliquot_log_sd: float = 0.04  # composition of the aliquots of a sample around it
    matrix: float = 1.0  # factor on the effects of the matrix on bands (water in smectite, organics on minerals)

    # One draw per scan, absorbance units; the near-infrared's are its own.
    gain_log_sd: float = 0.04
    offset_sd: float = 0.02
    tilt_sd: float = 0.02  # at the ends of the axis, of opposite signs
    curve_sd: float = 0.01
    carbon_dioxide_sd: float = 0.01  # the compartment is not purged
    noise: float = 0.0004  # SD per band in the mid-infrared
    nir_gain_log_sd: float = 0.06
    nir_offset_sd: float = 0.02
    nir_tilt_sd: float = 0.012
    nir_noise: float = 0.0012
    nir_repeats: int = 6  # averaged
    nir_resolution: float = 16.0  # nm, full width at half maximum

    # Laboratories: spreads between instruments. The library comes from the first ones, the test set from a new one.
    instruments: int = 3
    laboratory_shift: float = 1.0  # factor on how far the test set's instrument lies from the others
    laboratory_gain_log_sd: float = 0.03
    laboratory_offset_sd: float = 0.02  # absorbance
    laboratory_tilt_sd: float = 0.02
    laboratory_grinding_log_sd: float = 0.2  # of the mirrored share in the test set's laboratory
    laboratory_axis_sd: float = 0.0005  # relative error of the instrument's scale
    laboratory_blur: float = 0.08  # mean weight of each neighbouring band at 8 cm-1 or 10 nm
    laboratory_curve_sd: float = 0.02  # absorbance, of the smooth curve by which the test set's instrument differs
    nir_laboratory_curve_sd: float = 0.0015  # the same in the near-infrared
    drift: float = 0.01  # absorbance, amplitude of a slow wave over an instrument's life

    # Reference laboratory.
    label_log_sd: float = 0.05  # of TC, TN, IC and CEC
    label_ph_sd: float = 0.1
    label_texture_sd: float = 1.0  # %
    test_laboratories: int = 30  # whose median is a label of the test set (NAPT: 5 to 150)

    def __post_init__(self) -> None:
        counts = ("samples", "repeats", "labelled", "pairs", "test", "instruments", "nir_repeats", "test_laboratories")
        for field in counts:
            require(self, field, getattr(self, field) >= 1, "Ask for at least one.")
        require(self, "labelled", self.labelled <= self.samples, "Label at most all samples.")
        require(self, "pairs", self.pairs <= self.labelled, "Pair at most the labelled samples.")
        full = self.samples * self.repeats
        possible = self.scans is None or full - min(self.samples, full - self.samples) <= self.scans <= full
        remedy = "Give between samples x (repeats - 1), at least one each, and samples x repeats."
        require(self, "scans", possible, remedy)
        require(self, "mir_step", 0.5 <= self.mir_step <= 100, "Give a step of 0.5 to 100 cm-1.")
        inside = NIR_LOW <= self.nir_low < self.nir_high <= NIR_HIGH
        require(self, "nir_low", inside, "Stay within 1350-2550 nm, low below high.")
        require(self, "nir_bands", self.nir_bands >= 2, "Ask for at least two bands.")
        require_finite(self)

    @classmethod
    def paper(cls, **changes: object) -> InfraredTwinConfig:
        """Returns the sizes of the multi-fidelity study (Sun et al.): 334,665 scans of 83,971 samples, 1,701 bands.

        2,106 pairs are the samples scanned in the near-infrared; the study has both spectra of 1,976.
        """
        sizes: dict[str, object] = {"samples": 83_971, "scans": 334_665, "labelled": 51_508, "pairs": 2_106}
        sizes |= {"test": 206, "mir_step": 2.0, "nir_bands": 221}
        return cls(**{**sizes, **changes})  # type: ignore[arg-type]

    @property
    def mir_axis(self) -> NDArray[np.float64]:
        """Mid-infrared bands in cm-1, ascending as every axis: 600, 600 + step, ... up to 4000."""
        return np.arange(MIR_LOW, MIR_HIGH + 1e-9, self.mir_step)

    @property
    def nir_axis(self) -> NDArray[np.float64]:
        """Near-infrared bands in nm, ascending, shape (nir_bands,)."""
        return np.linspace(self.nir_low, self.nir_high, self.nir_bands)
