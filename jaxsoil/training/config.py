"""Settings of a training, as frozen dataclasses that import no heavy library."""

from __future__ import annotations

import dataclasses
from typing import Literal

from jaxsoil.models.config import VaeConfig


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
    """Root of the random keys of all trainings and of the baselines; fine-tuning takes that of its first stage."""


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


@dataclasses.dataclass(frozen=True)
class LoopConfig:
    """How parameters are trained. All of it is ours: the publications state none of these numbers."""

    epochs: int = 100
    """Passes over the training rows."""
    batch: int = 64
    """Rows in a step; fewer where a training has fewer rows. An incomplete last batch is dropped."""
    lr: float = 1e-3
    """Learning rate of AdamW at the start."""
    weight_decay: float = 0.0
    """Decoupled weight decay of AdamW."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """Learning rate over the steps: constant, or falling to zero along half a cosine."""
    patience: int = 0
    """Epochs without a new lowest watched loss before it stops, as converged; 0 runs all."""
    stepped: bool = False
    """One compiled program per step: convolutions on a CPU are 17 times slower inside a loop of XLA's."""
    tolerance: float = 0.05
    """Converged without patience: the mean watched loss of the last fifth of the epochs is less than this (relative)
    under that of the fifth before."""


@dataclasses.dataclass(frozen=True)
class PretrainConfig:
    """Stage 1 of the multi-fidelity study: the autoencoder of mid-infrared scans.

    The publication states 32 latent features and the 80:20 split; all other numbers are ours.
    """

    vae: VaeConfig = dataclasses.field(default_factory=VaeConfig)
    """Shape of the autoencoder."""
    loop: LoopConfig = dataclasses.field(default_factory=lambda: LoopConfig(epochs=60, batch=256, lr=2e-3))
    """Training; ``stepped`` is chosen by the kind of autoencoder and the device."""
    beta: float = 1e-2
    """Weight of the divergence, beside a norm that grows with the root of the number of bands. Chosen on the twin's
    training samples: 1e-3 fits scans a little better, 1e-1 makes 24 of 32 latent features collapse."""
    warmup: float = 0.3
    """Share of the epochs over which that weight rises from 0."""
    held_out: float = 0.2
    """Share of the samples that are watched, not trained on (paper: 20 %)."""
    active: float = 0.05
    """Mean divergence, nats, below which a latent feature counts as collapsed to the prior."""
    memory_gb: float = 4.0
    """Scans that take more are streamed."""
    block: int = 64
    """Steps whose scans are held together when streaming."""
    checkpoint_steps: int = 1000
    """Steps between checkpoints, in the middle of an epoch too."""


@dataclasses.dataclass(frozen=True)
class ConversionConfig:
    """Stage 2 of the multi-fidelity study: near-infrared to mid-infrared spectra.

    The publication states Eqs. 4 to 6 and the 80:20 split; the numbers are ours.
    """

    widths: tuple[int, ...] = (256, 128)
    """Units of the near-infrared encoder's layers; its regularising decoder has the same backwards."""
    loop: LoopConfig = dataclasses.field(default_factory=lambda: LoopConfig(epochs=200, batch=32, weight_decay=1e-4))
    """Training of the point conversion."""
    spread_widths: tuple[int, ...] = (64,)
    """Units of the layers that give the log variances."""
    spread_loop: LoopConfig = dataclasses.field(
        default_factory=lambda: LoopConfig(epochs=100, batch=32, weight_decay=1e-4, patience=20)
    )
    """Training of the spread."""


@dataclasses.dataclass(frozen=True)
class FnoConfig:
    """The Fourier neural operator of the multi-fidelity study (its Appendix C); its numbers are ours."""

    width: int = 24
    """Channels."""
    layers: int = 4
    """Fourier layers."""
    modes: int = 64
    """Frequencies that a layer mixes; 64 resolve features of about 27 cm-1 on 3400 cm-1."""
    loop: LoopConfig = dataclasses.field(default_factory=lambda: LoopConfig(epochs=100, batch=32, weight_decay=1e-4))
    """Training."""
