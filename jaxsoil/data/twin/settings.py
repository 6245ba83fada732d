"""Checks of the twins' configurations: a setting that cannot be is named with its value and a remedy."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from jaxsoil.runs.errors import DataError


def require(config: Any, field: str, holds: bool, remedy: str) -> None:
    """Raises DataError that names ``field`` and its value unless ``holds``."""
    if not holds:
        source, value = type(config).__name__, getattr(config, field)
        raise DataError("impossible setting of the twin", source=source, column=field, value=value, remedy=remedy)


def require_finite(config: Any) -> None:
    """Raises DataError unless every float of a configuration is finite and not negative."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, float):
            require(config, field.name, 0 <= value < math.inf, "Give a finite number, not negative.")
