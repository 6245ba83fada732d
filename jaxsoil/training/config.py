"""Settings of a training and what they can be: numbers that cannot be are refused before anything is loaded."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

from jaxsoil.runs.errors import UsageError

_PER_TRIAL = "per_trial"


def per_trial(default: Any) -> Any:
    """A field, with its default, in which trainings of one program may differ.

    Each trial carries its own value, or its rows follow from it, or the program has no part of it. Whether a weight is
    zero is a matter of the program all the same: a term without weight is left out.
    """
    return dataclasses.field(default=default, metadata={_PER_TRIAL: True})


def program_of(config: Any) -> Any:
    """What programs are made from: the configuration without its :func:`per_trial` fields, but for weights of zero.

    Trainings whose configurations give equal ones can share a program, if they share the data.

    Args:
      config: a frozen dataclass; those inside it are treated alike.
    """
    changed: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            changed[field.name] = program_of(value)
        elif field.metadata.get(_PER_TRIAL):
            changed[field.name] = float(bool(value)) if isinstance(value, float) else type(value)()
    return dataclasses.replace(config, **changed)


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
    """Spectra added to each step where the study has rows without a label and the model a decoder, drawn from all N'
    rows, with or without a label; they alone make the spectrum term of Eq. 1. 0: the labelled rows make it."""
    epoch_of: Literal["labelled", "spectra"] = "spectra"
    """What an epoch passes once where a step takes spectra of its own: the labelled rows (13 steps in the paper's few
    labels), or all N' spectra (some 290)."""
    lr: float = per_trial(5e-5)
    """Learning rate of Adam (paper: 5e-5)."""
    b1: float = 0.99
    """Adam's first decay (paper: 0.99)."""
    b2: float = 0.999
    """Adam's second decay (paper: 0.999)."""
    decoder_lr: float = per_trial(1.0)
    """Learning rate of the mixing decoder over the encoder's (paper: 1)."""
    mineral_kl: float = per_trial(0.0)
    """Weight in the mixing decoder's loss of the divergence of soils' minerals from a mean soil (paper: 0)."""
    batch_norm: Literal["batch", "stored"] = "batch"
    """Statistics BatchNorm trains on: those of each batch, or the stored ones (default when fine-tuning)."""
    perturbed: float = per_trial(0.0)
    """Strength of the carry-over model's simulated perturbations, in their standard deviations; each spectrum is moved
    by them anew in each step (paper: 0, none). What is reconstructed is the moved spectrum."""
    sigma_soc: float = 0.0041
    """Standard error of SOC as a mass fraction in Eq. 1 (paper: 0.0041)."""
    sigma_relative: float = 0.1
    """Standard error of SOC over SOC where the loss is 'proportional' or 'log' (ours)."""
    sigma_floor: float = 0.0005
    """What the standard error of 'proportional' has beside it, as a mass fraction (ours)."""
    sigma_reflectance: float = 0.01
    """Standard error of reflectance in Eq. 1 (paper: 0.01)."""
    validation_share: float = 0.0
    """Share of the training groups set aside for the validation loss (paper: 0; the training loss then stands in)."""
    keep: Literal["last", "best"] = "last"
    """Parameters that predict: the last, or those of the best validation loss (paper: last)."""
    patience: int = 0
    """Stop, as converged, after so many epochs without a new best validation loss; 0 runs all."""
    tolerance: float = per_trial(0.05)
    """Converged without patience: the mean validation loss of the last fifth of the epochs is less than this (relative)
    under that of the fifth before."""
    checkpoint_every: int = 50
    """Epochs between checkpoints."""
    checkpoint_seconds: float = 60.0
    """Seconds between checkpoints at least: trainings that are shorter keep none and are repeated whole."""
    precision: Literal["highest", "default", "bfloat16"] = "highest"
    """Precision of float32 matrix products: 'highest' for published tables; 'default' is faster on accelerators;
    'bfloat16' rounds the factors in the networks' dense layers while they train, all else as 'highest'."""
    seed: int = per_trial(0)
    """Root of the random keys of all trainings and of the baselines; fine-tuning takes that of its first stage."""


@dataclasses.dataclass(frozen=True)
class DeviceConfig:
    """Where the trials run."""

    method: Literal["jit", "pmap"] = "jit"
    """'jit' shards over a mesh of devices; 'pmap' keeps one replica per device (trials only)."""
    count: int = 0
    """Devices that are used; 0: all that the process has."""
    batch_devices: int = 1
    """Devices that share one trial's batch; the rest of the devices share the trials. jit only."""
    chunk: int = 0
    """Trials that run as one program; 0 takes what fits the memory (CPU: one a device)."""
    memory_gb: float = 0.0
    """Memory for one chunk on one device in GB; 0 asks the device."""
    mapping: Literal["auto", "vmap", "loop", "measured"] = "auto"
    """Trials of one program on one device: 'vmap' side by side, 'loop' one after the other. 'auto': loop on a CPU, vmap
    elsewhere; 'measured': the faster one in a short calibration, which env.json records and --resume keeps."""
    steps: Literal["auto", "scan", "stepped", "measured"] = "auto"
    """'scan': epochs are one program; 'stepped': each step is. 'auto': stepped for convolutions on a CPU; 'measured' as
    above."""
    threads: int = 0
    """Programs that run at a time on a single CPU device, with the same results; 0: one for each core, at most 8."""


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
    """Epochs without a new best validation loss before it stops, as converged; 0 runs all."""
    jit_per_step: bool = False
    """One compiled program per step: convolutions on a CPU are 17 times slower inside a loop of XLA's."""
    tolerance: float = 0.05
    """Converged without patience: the mean validation loss of the last fifth of the epochs is less than this (relative)
    under that of the fifth before."""


Limit = tuple[Callable[[float], bool], str]
"""Whether a number is admitted, and in words what is."""


def at_least(low: float) -> Limit:
    """Finite numbers from ``low``."""
    return lambda value: low <= value < math.inf, f"{low:g} or more"


def above(low: float) -> Limit:
    """Finite numbers above ``low``."""
    return lambda value: low < value < math.inf, f"a number above {low:g}"


def from_to(low: float, high: float) -> Limit:
    """Numbers from ``low`` to ``high``, both included."""
    return lambda value: low <= value <= high, f"{low:g} to {high:g}"


_DECAY: Limit = (lambda value: 0.0 <= value < 1.0, "0 to below 1")

TRAIN_LIMITS: dict[str, Limit] = {
    "epochs": at_least(1),
    "batch": at_least(1),
    "unlabelled_batch": at_least(0),
    "lr": above(0.0),
    "b1": _DECAY,
    "b2": _DECAY,
    "decoder_lr": above(0.0),
    "mineral_kl": at_least(0.0),
    "perturbed": at_least(0.0),
    "sigma_soc": above(0.0),
    "sigma_relative": above(0.0),
    "sigma_floor": above(0.0),
    "sigma_reflectance": above(0.0),
    "validation_share": from_to(0.0, 0.5),
    "patience": at_least(0),
    "tolerance": (lambda value: 0.0 < value < 1.0, "a share above 0 and below 1"),
    "checkpoint_every": at_least(1),
    "checkpoint_seconds": at_least(0.0),
    "seed": from_to(0, 2**32 - 1),
}
"""What the settings of :class:`TrainConfig` can be."""

DEVICE_LIMITS: dict[str, Limit] = {
    "count": at_least(0),
    "batch_devices": at_least(1),
    "chunk": at_least(0),
    "memory_gb": at_least(0.0),
    "threads": at_least(0),
}
"""What the settings of :class:`DeviceConfig` can be."""


def require(settings: Any, limits: Mapping[str, Limit], prefix: str = "") -> None:
    """Raises UsageError that names the option where a setting lies outside its limits.

    Args:
      settings: a configuration.
      limits: by field of ``settings``.
      prefix: where the fields stand on the command line, such as "train.".
    """
    for name, (admits, words) in limits.items():
        value = getattr(settings, name)
        if not admits(value):
            raise UsageError(f"--{prefix}{name} {value:g}: give {words}.".replace("_", "-"))
