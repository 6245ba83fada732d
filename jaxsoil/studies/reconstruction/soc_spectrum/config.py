"""Options of the study of f_SOC and what its sweeps vary, without the libraries that run it."""

from __future__ import annotations

import dataclasses
from typing import Any

from jaxsoil.studies.reconstruction.config import StudyConfig


@dataclasses.dataclass(frozen=True)
class Factor:
    """One thing that is varied: its label with unit, and level -> settings of the twin (fields of ``TwinConfig``)."""

    label: str
    levels: dict[str, dict[str, Any]]


def _one_field(label: str, field: str, *values: float) -> Factor:
    return Factor(label, {f"{value:g}": {field: value} for value in values})


LIBRARIES: dict[str, dict[str, Any]] = {
    "true": {},
    "distorted 5 %": {"decoder_distortion": 0.05},
    "distorted 20 %": {"decoder_distortion": 0.2},
    "clays missing": {"decoder_missing": ("Kaolinite", "Illite", "Vermiculite")},
    "rho r off by 20 %": {"decoder_rho_r_log_sd": 0.2},
}
"""Mineral libraries given to the decoder, right and wrong: name -> settings of the twin."""

FACTORS: dict[str, Factor] = {
    "samples": _one_field("Samples", "n_samples", 500, 1000, 2000, 4000, 8000),
    "noise": _one_field("Noise (SD, reflectance)", "noise", 0.0, 0.005, 0.01, 0.02, 0.04),
    # Tilt and offset grow with the gain.
    "scatter": Factor(
        "Scatter (log-SD of gain)",
        {
            f"{size:g}": {"gain_log_sd": size, "tilt_log_sd": 0.3 * size, "offset_sd": 0.06 * size}
            for size in (0.0, 0.03, 0.1, 0.2)
        },
    ),
    "label_noise": _one_field("Label noise (log-SD of SOC)", "label_noise", 0.0, 0.1, 0.2, 0.4),
    "library": Factor("Mineral library given", LIBRARIES),
    "darkness": _one_field("True 1st percentile of f", "soc_darkness", 0.01, 0.02, 0.037, 0.05, 0.08, 0.12),
    "clay": _one_field("Clay as SOC^e: e", "clay_follows_soc", 0.0, 0.1, 0.3, 0.6, 1.0),
}
"""What the sweeps vary, one at a time, around the reference twin."""


@dataclasses.dataclass(frozen=True)
class SocSpectrumConfig(StudyConfig):
    """Configuration of the study of f_SOC; --twin is the reference twin, with and without troughs.

    From the paper's start all epochs are trained and the last parameters kept, as published; --train.patience,
    --train.keep and --train.validation-share are those of the direct start.
    """

    held_out: int = 4
    """Regions that are held out in turn, evenly spaced; 0: all (paper: all)."""
    warm_decoder_lr: float = 0.1
    """Learning rate of the decoder over the encoder's where it starts from the direct estimate."""
    resamples: int = 100
    """Bootstrap resamples of the direct estimate."""
    direct_sizes: tuple[int, ...] = (2000, 8000)
    """Samples of the reference twins on which the direct estimate is scored; the largest is also drawn."""
    direct_seeds: int = 3
    """Seeds of those twins, and of the sweeps."""
    sweep_samples: int = 2000
    """Samples of the twins that are swept."""
    sweep_factors: tuple[str, ...] = tuple(FACTORS)
    """What the sweeps vary, one at a time."""
    libraries: tuple[str, ...] = tuple(name for name in LIBRARIES if name != "distorted 5 %")
    """Mineral libraries, right and wrong, with which decoders are trained on one held-out region of the twin."""
    library_epochs: int = 150
    """Epochs, at most, of each of those decoders."""
