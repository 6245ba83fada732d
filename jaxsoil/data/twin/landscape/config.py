"""Configuration of the synthetic landscape; imports no heavy library."""

from __future__ import annotations

import dataclasses

from jaxsoil.data.twin.settings import require_finite
from jaxsoil.runs.errors import DataError

DEPTHS = ((0, 5), (5, 15), (15, 30), (30, 60), (60, 100), (100, 200))
"""Top and bottom in cm of the layers (those of GlobalSoilMap, which the measured profiles of Edgeroi also have)."""


@dataclasses.dataclass(frozen=True)
class LandscapeConfig:
    """Size and difficulty of the synthetic landscape."""

    height: int = 180
    """Rows of pixels."""
    width: int = 240
    """Columns of pixels."""
    pixel: float = 90.0
    """Side of a pixel, m."""
    sites: int = 500
    """Sites, drawn at random from the pixels with values."""
    gaps: tuple[float, ...] = (0.0, 0.0, 0.0, 0.02, 0.15, 0.4)
    """Share of the sites at which each layer, from the surface down, was not measured."""
    medians: tuple[float, ...] = (4.5, 3.5, 2.4, 1.4, 0.8, 0.45)
    """Median SOC of each layer, %."""
    explained: float = 0.42
    """Standard deviation of log SOC that follows the covariates, at the surface."""
    shared: float = 0.22
    """Standard deviation of log SOC that follows no covariate and is common to all layers."""
    separate: float = 0.12
    """Standard deviation of log SOC that follows no covariate and is each layer's own."""
    measurement: float = 0.06
    """Standard deviation of the logarithm of a measurement around the truth."""
    sensor: float = 0.6
    """Noise of a pixel in vegetation and potassium, in standard deviations of the clean raster."""
    water: float = 0.04
    """Share of the land without values (open water), 0 to 0.5."""
    seed: int = 0

    def __post_init__(self) -> None:
        require_finite(self)
        if len(self.gaps) != len(DEPTHS) or len(self.medians) != len(DEPTHS):
            value = f"{len(self.gaps)} and {len(self.medians)}"
            remedy = f"Give {len(DEPTHS)} of each."
            raise DataError("gaps and medians need one number for each layer", value=value, remedy=remedy)
        pixels = int(self.height * self.width * (1.0 - self.water))
        if min(self.height, self.width) < 16 or not 10 <= self.sites <= pixels:
            value = f"{self.height} x {self.width} pixels, {self.sites} sites"
            remedy = "Give at least 16 x 16 pixels and between 10 sites and one for each pixel."
            raise DataError("this landscape is too small for its sites", value=value, remedy=remedy)
