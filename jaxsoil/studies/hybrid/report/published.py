"""What the abstract of the hybrid MIR data set prints, as data, and what its numbers imply about each other.

From the abstract: "C (R2 = 0.96, RMSE = 15.41 g/kg, MAE = 6.62 g/kg,
RPIQ = 1.38; prediction SD = 40.08 g/kg; 5,708 imputed samples)" and the same for OM. It states no split.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

SOURCE = "abstract of the hybrid MIR data set (about 57,000 samples; C measured on 51,079, OM on 5,750)"

NORMAL_RATIO = 1.3489795
"""Interquartile range over standard deviation of a normal law."""


@dataclass(frozen=True)
class Published:
    """One property of the abstract; contents in g/kg.

    Attributes:
      measured, imputed: number of samples.
      r2, rmse, mae, rpiq: as printed.
      prediction_sd: standard deviation of the predictions, as printed.
    """

    measured: int
    imputed: int
    r2: float
    rmse: float
    mae: float
    rpiq: float
    prediction_sd: float

    @property
    def sd(self) -> float:
        """Standard deviation of the measured values that R2 and RMSE imply: RMSE / sqrt(1 - R2)."""
        return self.rmse / math.sqrt(1.0 - self.r2)

    @property
    def iqr(self) -> float:
        """Interquartile range of the measured values that RPIQ and RMSE imply: RPIQ x RMSE."""
        return self.rpiq * self.rmse


PUBLISHED = {
    "carbon": Published(51_079, 5_708, 0.96, 15.41, 6.62, 1.38, 40.08),
    "organic_matter": Published(5_750, 51_037, 0.79, 19.15, 11.76, 1.05, 10.06),
}


def normal_rpiq(r2: float) -> float:
    """RPIQ of a normal law with this R2: its interquartile range is 1.349 SD, and SD / RMSE is 1 / sqrt(1 - R2)."""
    return NORMAL_RATIO / math.sqrt(1.0 - r2) if r2 < 1.0 else math.nan


def lognormal_sigma(ratio: float) -> float:
    """Standard deviation s of log values of the log-normal law whose interquartile range over SD is ``ratio``.

    IQR / SD = 2 sinh(0.6745 s) / (exp(s^2 / 2) sqrt(exp(s^2) - 1)), which falls from 1.349 at s = 0; solved by
    bisection. NaN where ``ratio`` is not between 0 and 1.349.
    """
    if not 0.0 < ratio < NORMAL_RATIO:
        return math.nan

    def of(s: float) -> float:
        return 2.0 * math.sinh(0.5 * NORMAL_RATIO * s) / (math.exp(0.5 * s * s) * math.sqrt(math.expm1(s * s)))

    low, high = 1e-6, 6.0
    for _ in range(80):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if of(middle) > ratio else (low, middle)
    return 0.5 * (low + high)
