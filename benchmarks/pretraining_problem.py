"""The problem that both sides of the pre-training benchmark solve. Needs NumPy alone."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Problem:
    """Shape of stage 1: the dense autoencoder of scans, L2 norm + beta KL, AdamW."""

    bands: int = 1701
    """Bands of a scan M (library of the paper: 1,701)."""
    latents: int = 32
    """Latent features (paper: 32)."""
    widths: tuple[int, int] = (512, 256)
    """Units of the encoder's layers; the decoder's are the same backwards."""
    rows: int = 8192
    """Scans in an epoch."""
    batch: int = 256
    """Scans in a step; an incomplete last batch is dropped."""
    lr: float = 1e-3
    """Learning rate of AdamW, constant."""
    beta: float = 1e-3
    """Weight of the divergence, without warm-up."""
    product: int = 4096
    """Side of the square matrices whose product measures the peak."""

    @property
    def steps(self) -> int:
        """Steps in an epoch."""
        return self.rows // self.batch

    @property
    def flops_per_row(self) -> int:
        """Floating-point operations of a training step per scan, matrix products alone.

        A product of a row with an ``a x b`` matrix takes 2ab, and a step makes three of them: forward, and backward
        for the weights and for the layer's input; the first layer's input needs none. The rest is left out.
        """
        (first, second), z = self.widths, self.latents
        weights = 2 * (self.bands * first + first * second) + 2 * second * z + z * second
        return 6 * weights - 2 * self.bands * first

    def data(self) -> np.ndarray:
        """Returns SNV-like scans ``(rows, bands)`` float32, always the same."""
        draw = np.random.default_rng(0)
        axis = np.linspace(0, 1, self.bands)
        centres = draw.uniform(0, 1, 12)
        shapes = np.exp(-0.5 * ((axis - centres[:, None]) / 0.03) ** 2)
        scans = draw.uniform(0, 1, (self.rows, 12)) @ shapes + draw.normal(0, 0.01, (self.rows, self.bands))
        scans -= scans.mean(axis=1, keepdims=True)
        return (scans / scans.std(axis=1, ddof=1, keepdims=True)).astype(np.float32)


def problem_of(setting: dict) -> Problem:
    """The problem of a setting that came as JSON, where tuples are lists."""
    values = dict(setting["problem"])
    return Problem(**{**values, "widths": tuple(values["widths"])})
