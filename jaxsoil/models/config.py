"""Shapes of networks that a configuration holds, as frozen dataclasses that import no heavy library."""

from __future__ import annotations

import dataclasses
from typing import Literal

Activation = Literal["relu", "gelu", "silu", "tanh"]
"""Names of the functions between the layers."""

Input = Literal["reflectance", "absorbance", "snv"]
"""What a model of reflectance spectra sees: them, their absorbance log10(1/R), or its standard normal variate."""


@dataclasses.dataclass(frozen=True)
class VaeConfig:
    """Shape of the autoencoder. The publication states the number of latent features alone; the rest is ours."""

    kind: Literal["mlp", "conv"] = "mlp"
    """Dense layers, or convolutions along the bands."""
    latents: int = 32
    """Latent features (paper: 32)."""
    widths: tuple[int, ...] = (512, 256)
    """Units of the encoder's dense layers; the decoder's are the same backwards."""
    features: tuple[int, ...] = (16, 32, 32)
    """Channels of the convolutions, each of stride 2; the decoder's are the same backwards."""
    kernel: int = 7
    """Bands that a convolution sees."""
    activation: Activation = "gelu"
    """Between the layers."""
    linear: bool = True
    """A linear path beside the layers of encoder and decoder, which starts at the principal components."""
