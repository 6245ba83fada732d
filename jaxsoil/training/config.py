"""Settings of a training, as frozen dataclasses that import no heavy library."""

from __future__ import annotations

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How a network is trained. The defaults are the paper's where a comment says so."""

    epochs: int = 1000
    """Passes over the training rows (paper: 1,000)."""
    batch: int = 75
    """Labelled rows in a step; an incomplete last batch is dropped (paper: 75)."""
    wrap: bool = False
    """Fill a batch by repeating rows where there are fewer labelled rows than one batch (fine-tuning on few)."""
    unlabelled_batch: int = 0
    """Rows without a label added to each step where the study has such rows and the model a decoder; 0: none."""
    lr: float = 5e-5
    """Learning rate of Adam (paper: 5e-5)."""
    b1: float = 0.99
    """Adam's first decay (paper: 0.99)."""
    b2: float = 0.999
    """Adam's second decay (paper: 0.999)."""
    decoder_lr: float = 1.0
    """Learning rate of the mixing decoder over the encoder's (paper: 1)."""
    mineral_kl: float = 0.0
    """Weight in the mixing decoder's loss of the divergence of soils' minerals from a mean soil (paper: 0)."""
    batch_norm: Literal["batch", "stored"] = "batch"
    """Statistics BatchNorm trains on: those of each batch, or the stored ones (default when fine-tuning)."""
    sigma_soc: float = 0.0041
    """Standard error of SOC as a mass fraction in Eq. 1 (paper: 0.0041)."""
    sigma_reflectance: float = 0.01
    """Standard error of reflectance in Eq. 1 (paper: 0.01)."""
    validation_share: float = 0.0
    """Share of the training groups set aside to watch convergence (paper: 0; then the training loss is watched)."""
    keep: Literal["last", "best"] = "last"
    """Parameters that predict: the last, or those of the lowest watched loss (paper: last)."""
    patience: int = 0
    """Stop, as converged, once the watched loss has not fallen below its lowest for so many epochs; 0 runs them all."""
    tolerance: float = 0.05
    """Converged without patience: the mean watched loss of the last fifth of the epochs is less than this (relative)
    under that of the fifth before."""
    checkpoint_every: int = 50
    """Epochs between checkpoints."""
    precision: Literal["highest", "default"] = "highest"
    """Precision of float32 matrix products: 'highest' for published tables, 'default' is faster on accelerators."""
    seed: int = 0
    """Root of all random keys of the study."""


@dataclasses.dataclass(frozen=True)
class DeviceConfig:
    """Where the trials run."""

    method: Literal["jit", "pmap"] = "jit"
    """'jit' shards over a mesh of devices; 'pmap' keeps one replica per device (trials only)."""
    batch_devices: int = 1
    """Devices that share one trial's batch; the rest of the devices share the trials. jit only."""
    chunk: int = 0
    """Trials that run as one program; 0 takes what fits the memory (CPU: one a device)."""
    memory_gb: float = 0.0
    """Memory for one chunk on one device in GB; 0 asks the device."""
