"""What a study costs before it runs: trainings, operations, bytes, and a time from a short calibration."""

from __future__ import annotations

from jaxsoil.multifidelity.config import MultifidelityConfig
from jaxsoil.multifidelity.run import Prepared


def plan(config: MultifidelityConfig, prepared: Prepared) -> str:
    """Describes the stages and their cost; nothing is run."""
    return ""
