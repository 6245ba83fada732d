"""Spectra as lines of an SVG: coordinates and ticks, which the page's template draws in its own colours."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

SIDE = 1000
"""Width and height of the box in which the lines are drawn; the page stretches it."""

MOST_POINTS = 600
"""Bands of a line that are drawn: about one for each pixel."""

_TICKS = 5
AXES = {"nm": "Wavelength (nm)", "cm-1": "Wavenumber (cm⁻¹)"}


@dataclasses.dataclass(frozen=True)
class Line:
    """One spectrum: what the key calls it ("" where it has no entry), its look in the page's style, its SVG path."""

    label: str
    look: str
    path: str


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A panel of spectra.

    Attributes:
      lines: in a box of :data:`SIDE` by :data:`SIDE`, y downwards.
      across, up: (share of the side from the left or the top, text) of the ticks.
      axis, quantity: what stands along the axes.
      title: what the drawing shows, for whoever cannot see it.
    """

    lines: tuple[Line, ...]
    across: tuple[tuple[float, str], ...]
    up: tuple[tuple[float, str], ...]
    axis: str
    quantity: str
    title: str


def draw(
    axis: np.ndarray, unit: str, quantity: str, curves: Sequence[tuple[str, str, np.ndarray]], title: str
) -> Drawing:
    """Draws spectra of one axis in one panel; wavenumbers fall to the right, as is usual.

    Args:
      axis: (m,) ascending, in ``unit``.
      unit: "nm" or "cm-1".
      quantity: of the values.
      curves: label, look and (m,) values of each line.
      title: what the drawing shows.
    """
    every = -(-axis.size // MOST_POINTS)
    chosen = np.unique(np.append(np.arange(0, axis.size, every), axis.size - 1))
    left, right = (axis[-1], axis[0]) if unit == "cm-1" else (axis[0], axis[-1])
    x = (axis[chosen] - left) / (right - left) + 0.0  # no "-0.0"
    low, high = (float(function([function(values) for _, _, values in curves])) for function in (np.min, np.max))
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    low, high = low - margin, high + margin
    lines = []
    for label, look, values in curves:
        y = (high - values[chosen].astype(np.float64)) / (high - low)
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(SIDE * x, SIDE * y, strict=True))
        lines.append(Line(label, look, f"M{points}"))
    across = tuple(
        (float((tick - left) / (right - left)), text) for tick, text in ticks(float(axis[0]), float(axis[-1]))
    )
    up = tuple(((high - tick) / (high - low), text) for tick, text in ticks(low, high))
    return Drawing(tuple(lines), across, up, AXES[unit], quantity.capitalize(), title)


def ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Round numbers from ``low`` to ``high``, about :data:`_TICKS` of them, as numbers and as text."""
    step = 10.0 ** math.floor(math.log10((high - low) / _TICKS))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (factor * step) <= _TICKS)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    found = [(number * step, f"{number * step:.{digits}f}") for number in range(first, last + 1)]
    return [(value, text.lstrip("-") if float(text) == 0.0 else text.replace("-", "−")) for value, text in found]
