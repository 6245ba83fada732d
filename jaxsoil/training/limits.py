"""What the settings of a training can be; numbers that cannot be are refused before anything is loaded."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from jaxsoil.runs.errors import UsageError

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

TRAIN: dict[str, Limit] = {
    "epochs": at_least(1),
    "batch": at_least(1),
    "unlabelled_batch": at_least(0),
    "lr": above(0.0),
    "b1": _DECAY,
    "b2": _DECAY,
    "decoder_lr": above(0.0),
    "mineral_kl": at_least(0.0),
    "sigma_soc": above(0.0),
    "sigma_reflectance": above(0.0),
    "validation_share": from_to(0.0, 0.5),
    "patience": at_least(0),
    "tolerance": (lambda value: 0.0 < value < 1.0, "a share above 0 and below 1"),
    "checkpoint_every": at_least(1),
    "seed": from_to(0, 2**32 - 1),
}
"""Limits of :class:`jaxsoil.training.config.TrainConfig`."""

DEVICES: dict[str, Limit] = {"batch_devices": at_least(1), "chunk": at_least(0), "memory_gb": at_least(0.0)}
"""Limits of :class:`jaxsoil.training.config.DeviceConfig`."""


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
