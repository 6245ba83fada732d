"""Options of the study of f_SOC, without the libraries that run it."""

from __future__ import annotations

import dataclasses

from jaxsoil.studies.reconstruction.config import StudyConfig

FACTORS = ("samples", "noise", "scatter", "label_noise", "library", "darkness", "clay")
"""What the sweeps can vary (``evaluation.soc_spectrum_sweep.FACTORS``)."""

LIBRARIES = ("true", "distorted 20 %", "clays missing", "rho r off by 20 %")
"""Mineral libraries given to the decoder, levels of ``soc_spectrum_sweep.FACTORS["library"]``."""


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
    sweep_factors: tuple[str, ...] = FACTORS
    """What the sweeps vary, one at a time."""
    libraries: tuple[str, ...] = LIBRARIES
    """Mineral libraries, right and wrong, with which decoders are trained on one held-out region of the twin."""
    library_epochs: int = 150
    """Epochs, at most, of each of those decoders."""
