"""Scans of a few latent factors, with repeats, and near-infrared spectra of the same samples."""

from __future__ import annotations

import numpy as np

from jaxsoil.data.scans import Scans
from jaxsoil.models.vae import VaeConfig
from jaxsoil.studies.multifidelity.config import PretrainConfig
from jaxsoil.training.config import LoopConfig

BANDS, NIR_BANDS, FACTORS = 30, 12, 3
SMALL = VaeConfig(latents=6, widths=(24, 16), features=(4, 6), kernel=5)
CONFIG = PretrainConfig(SMALL, LoopConfig(epochs=4, batch=16, lr=3e-3), checkpoint_steps=5)


def spectra(samples: int = 60, repeats: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Absorbance of scans (n, BANDS), their samples (n,), and near-infrared absorbance (samples, NIR_BANDS)."""
    draw = np.random.default_rng(seed)
    x = np.linspace(0, 1, BANDS)
    shapes = np.stack([np.exp(-0.5 * ((x - c) / 0.08) ** 2) for c in (0.2, 0.5, 0.8)])
    amount = draw.uniform(0.1, 1.0, (samples, FACTORS))
    mir = np.repeat(0.3 + amount @ shapes, repeats, axis=0) + draw.normal(0, 0.003, (samples * repeats, BANDS))
    broad = np.stack([np.exp(-0.5 * ((np.linspace(0, 1, NIR_BANDS) - c) / 0.3) ** 2) for c in (0.1, 0.5, 0.9)])
    nir = 0.3 + amount @ broad + draw.normal(0, 0.003, (samples, NIR_BANDS))
    names = np.repeat([f"s{i}" for i in range(samples)], repeats)
    return mir.astype(np.float32), names, nir.astype(np.float32)


def scans(samples: int = 60, seed: int = 0) -> Scans:
    """The scans as a library that is read by row."""
    values, names, _ = spectra(samples, seed=seed)
    return Scans(np.linspace(600.0, 4000.0, BANDS), names, lambda rows: values[rows])


def snv(values: np.ndarray) -> np.ndarray:
    """By hand, to compare with."""
    values = values.astype(np.float64)
    centred = values - values.mean(axis=1, keepdims=True)
    return (centred / values.std(axis=1, ddof=1, keepdims=True)).astype(np.float32)
