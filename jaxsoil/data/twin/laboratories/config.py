"""Configuration of the twin of several laboratories; imports no heavy library."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxsoil.data.twin.settings import require, require_finite

FACTORS = (1.4, 2.5)
"""Least and most organic matter per organic carbon of a soil; the range is ours."""


@dataclasses.dataclass(frozen=True)
class LaboratoriesConfig:
    """Sizes of the hybrid twin, and what its laboratories do to spectra.

    ``samples``, ``carbon`` and ``organic_matter`` count soils; rows are more, because transfer samples are scanned by
    every laboratory and duplicates by two.
    """

    samples: int = 2000
    carbon: int = 1792  # samples on which carbon is measured
    organic_matter: int = 202  # samples on which organic matter is measured
    laboratories: int = 5
    transfer: int = 20  # samples that every laboratory scans
    duplicates: int = 10  # further samples that two laboratories hold under different names
    outliers: int = 20  # spoiled rows
    mir_step: float = 8.0  # cm-1, 600 to 4000
    seed: int = 0

    organic_share: float = 0.045  # of organic horizons: the library holds forest floors and peats
    repeats: int = 2  # scans that are averaged
    gain_log_sd: float = 0.08  # between laboratories
    offset_sd: float = 0.06  # absorbance
    tilt_sd: float = 0.05
    curve_sd: float = 0.02
    axis_sd: float = 0.0008  # relative error of the scale
    blur: float = 0.10  # weight of each neighbouring band
    drift: float = 0.02  # absorbance
    noise: float = 0.0015
    label_log_sd: float = 0.05  # within a laboratory
    method_log_sd: float = 0.03  # between the laboratories' methods
    factor_log_sd: float = 0.12  # of organic matter per organic carbon between soils; the factor stays in FACTORS
    matter_label_log_sd: float = 0.12  # as label_log_sd, of organic matter: ignition or wet oxidation
    matter_method_log_sd: float = 0.08  # as method_log_sd, of organic matter

    def __post_init__(self) -> None:
        require(self, "laboratories", self.laboratories >= 2, "Ask for at least two.")
        require(self, "repeats", self.repeats >= 1, "Ask for at least one.")
        require(self, "samples", self.samples >= 4 * self.laboratories, "Ask for at least four per laboratory.")
        for field in ("carbon", "organic_matter", "transfer", "duplicates", "outliers"):
            require(self, field, 0 <= getattr(self, field) <= self.samples, "Ask for 0 to `samples`.")
        require(self, "carbon", self.carbon > 0 and self.organic_matter > 0, "Measure each property at least once.")
        special = self.transfer + self.duplicates + self.outliers
        remedy = "Keep transfer samples, duplicates and outliers below half of the samples."
        require(self, "transfer", special <= self.samples // 2, remedy)
        require(self, "mir_step", 0.5 <= self.mir_step <= 100, "Give a step of 0.5 to 100 cm-1.")
        require_finite(self)
        require(
            self, "organic_share", self.organic_share < 1 and self.blur <= 0.25, "Give a share below 1, blur to 1/4."
        )

    @classmethod
    def paper(cls, **changes: Any) -> LaboratoriesConfig:
        """Returns the sizes that the study's abstract states: 57,000 samples, C on 51,079 and OM on 5,750."""
        sizes: dict[str, Any] = {"samples": 57_000, "carbon": 51_079, "organic_matter": 5_750}
        sizes |= {"transfer": 60, "duplicates": 200, "outliers": 300}
        return cls(**{**sizes, **changes})

    @property
    def axis(self) -> NDArray[np.float64]:
        """Bands in cm-1, ascending."""
        return np.arange(600.0, 4000.0 + 1e-9, self.mir_step)
