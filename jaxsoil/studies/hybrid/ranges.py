"""What a property can be at all: physical ranges, and the scale on which a model learns within them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxsoil.runs.errors import DataError, did_you_mean

Floats = NDArray[np.float64]

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(21)


@dataclass(frozen=True)
class Range:
    """The physical range of a property and its learning scale.

    Attributes:
      low, high: what it can be, in ``unit``.
      unit: unit of the values.
      scale: "sqrt" learns the square root of the value above ``low`` (the error of a content grows with the content),
        "identity" the value itself.
    """

    low: float
    high: float
    unit: str
    scale: Literal["sqrt", "identity"]

    @property
    def bounds(self) -> tuple[float, float]:
        """The range on the learning scale."""
        low, high = self.to_scale(np.array([self.low, self.high])).tolist()
        return low, high

    def to_scale(self, values: ArrayLike) -> Floats:
        """Learning scale of values within the range; values outside are moved to its ends, NaN stays."""
        inside = np.clip(np.asarray(values, dtype=np.float64), self.low, self.high)
        return np.sqrt(inside - self.low) if self.scale == "sqrt" else inside

    def from_scale(self, scaled: ArrayLike) -> Floats:
        """Values in ``unit`` of numbers on the learning scale, clipped to the range."""
        inside = np.clip(np.asarray(scaled, dtype=np.float64), *self.bounds)
        return self.low + inside**2 if self.scale == "sqrt" else inside

    def outside(self, scaled: ArrayLike) -> NDArray[np.bool_]:
        """Which numbers on the learning scale are no possible value: what clipping hides."""
        low, high = self.bounds
        numbers = np.asarray(scaled, dtype=np.float64)
        return (numbers < low) | (numbers > high)

    def error(self, scaled: ArrayLike, sd: ArrayLike) -> Floats:
        """Standard deviation in ``unit`` of a normal variable on the learning scale, clipped to the range.

        ``scaled`` and ``sd``: (n,) means and standard deviations on the learning scale.

        By Gauss-Hermite quadrature with 21 nodes; exact for the square root without clipping.
        """
        mean, width = np.asarray(scaled, dtype=np.float64), np.asarray(sd, dtype=np.float64)
        values = self.from_scale(mean[:, None] + width[:, None] * _NODES)
        weights = _WEIGHTS / _WEIGHTS.sum()
        centre = values @ weights
        return np.sqrt(np.maximum(((values - centre[:, None]) ** 2) @ weights, 0.0))


_CONTENT = Range(0.0, 1000.0, "g/kg", "sqrt")

RANGES: dict[str, tuple[Range, ...]] = {
    "carbon": (_CONTENT,),
    "organic_matter": (_CONTENT,),
    "soc": (Range(0.0, 100.0, "%", "sqrt"),),
    "clay": (Range(0.0, 100.0, "%", "identity"), Range(0.0, 1000.0, "g/kg", "identity")),
    "sand": (Range(0.0, 100.0, "%", "identity"), Range(0.0, 1000.0, "g/kg", "identity")),
    "silt": (Range(0.0, 100.0, "%", "identity"), Range(0.0, 1000.0, "g/kg", "identity")),
    "ph": (Range(0.0, 14.0, "1", "identity"),),
}
"""Properties that can be imputed, by name and unit: a mass fraction lies between nothing and everything, and pH
within its scale."""


def range_of(name: str, unit: str) -> Range:
    """The range of a property in a unit; DataError for a property or a unit that has none here."""
    if name not in RANGES:
        remedy = f"Choose other targets. {did_you_mean(name, RANGES)}"
        raise DataError("this property has no physical range to predict within", column=name, remedy=remedy)
    for found in RANGES[name]:
        if found.unit == unit:
            return found
    remedy = f"Convert it to {' or '.join(found.unit for found in RANGES[name])} with `factor`."
    raise DataError("this property comes in another unit", column=name, value=unit, remedy=remedy)
