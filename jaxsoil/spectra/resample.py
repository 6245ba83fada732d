"""Steps that change the axis: trim, resample with the right band width, and correct detector splices."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError
from jaxsoil.spectra.container import Spectra, check_axis
from jaxsoil.spectra.steps import Step

METHODS = ("bandmean", "gaussian", "linear")

Floats = NDArray[np.float64]

_FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))


@dataclasses.dataclass(frozen=True, eq=False)
class Trim(Step):
    """Keeps the bands between ``low`` and ``high``, both included, in the unit of the spectra."""

    _lost: ClassVar[str] = "the bands outside are dropped"
    low: float
    high: float

    def __call__(self, spectra: Spectra) -> Spectra:
        """Returns the bands inside; none inside raises DataError."""
        inside = (spectra.axis >= self.low) & (spectra.axis <= self.high)
        if not inside.any():
            problem = "no band lies in the range to keep"
            value = f"axis {spectra.axis[0]:g}-{spectra.axis[-1]:g} {spectra.unit}"
            remedy = "Give low and high in the unit of the axis, low first."
            raise DataError(problem, column=f"{self.low:g}-{self.high:g} {spectra.unit}", value=value, remedy=remedy)
        step = f"trim {self.low:g}-{self.high:g} {spectra.unit}"
        return spectra.replace(values=spectra.values[:, inside], axis=spectra.axis[inside], step=step)


@dataclasses.dataclass(frozen=True, eq=False)
class Resample(Step):
    """Brings spectra to another axis, inside the measured range only.

    Args:
      axis: (p,) target bands, ascending, in ``unit``.
      unit: unit of ``axis``; spectra in the other unit are refused.
      method: "bandmean" averages the spectrum (linear between measured bands, so that unequal steps weigh as
        they should) over each target band, which reaches half-way to its neighbours. "gaussian" weighs with a
        Gaussian response. Both interpolate where a target band is no wider than the measured step, since there
        is nothing to average there. "linear" interpolates everywhere and ignores the band width.
      fwhm: full width at half maximum of the Gaussian response; None takes the spacing of the target.
      source_fwhm: band width that the spectra have already; variances subtract.

    Target bands must lie within the measured range; a first or last band that reaches beyond it is averaged over
    its measured part.

    Raises:
      DataError: another unit, a target band outside the measured range, an unknown method.
    """

    _lost: ClassVar[str] = "the shape between the bands is lost"
    axis: ArrayLike
    unit: str = "nm"
    method: str = "bandmean"
    fwhm: float | None = None
    source_fwhm: float = 0.0

    def __post_init__(self) -> None:
        axis = np.array(self.axis, np.float64)
        if axis.ndim != 1 or axis.size == 0:
            remedy = "Give np.arange(low, high + step / 2, step)."
            raise DataError("the target axis must be one row of bands", value=f"shape {axis.shape}", remedy=remedy)
        check_axis(axis, source="target axis")
        require.known(self.method, METHODS, "unknown method")
        if (self.fwhm is not None or self.source_fwhm) and self.method != "gaussian":
            remedy = 'Write method="gaussian", or leave fwhm and source_fwhm out.'
            raise DataError("a band width belongs to the Gaussian method", value=self.method, remedy=remedy)
        axis.flags.writeable = False
        object.__setattr__(self, "axis", axis)

    def __call__(self, spectra: Spectra) -> Spectra:
        target = np.asarray(self.axis)
        if spectra.unit != self.unit:
            remedy = f'Convert the spectra with to_unit("{self.unit}"), or give unit="{spectra.unit}".'
            raise DataError(f"the target axis is in {self.unit}, the spectra are in {spectra.unit}", remedy=remedy)
        outside = (target < spectra.axis[0] - 1e-6) | (target > spectra.axis[-1] + 1e-6)
        if outside.any():
            problem = "the target axis reaches beyond what was measured"
            value = f"measured {spectra.axis[0]:g}-{spectra.axis[-1]:g}, {int(outside.sum())} bands outside"
            remedy = "Choose a target axis inside the measured range; nothing is extrapolated."
            raise DataError(problem, column=f"{target[outside][0]:g} {self.unit}", value=value, remedy=remedy)
        values = spectra.values.astype(np.float64) @ self.weights(spectra.axis)
        span = f"{target[0]:g}-{target[-1]:g} {self.unit}, {target.size} bands"
        return spectra.replace(values=values, axis=target, step=f"resample to {span}, {self.method}")

    def weights(self, source: Floats) -> Floats:
        """Returns (m, p) weights whose columns sum to one: resampled = values @ weights.

        Those of the last axis are kept: files of one instrument share theirs.
        """
        kept = self.__dict__.get("_kept")
        if kept is None or not np.array_equal(kept[0], source):
            kept = (source.copy(), self._weights(source))
            kept[1].flags.writeable = False
            self.__dict__["_kept"] = kept
        return kept[1]

    def _weights(self, source: Floats) -> Floats:
        target = np.asarray(self.axis)
        weights = np.ones((1, target.size))
        if source.size > 1:
            right = np.clip(np.searchsorted(source, target), 1, source.size - 1)
            share = np.clip((target - source[right - 1]) / (source[right] - source[right - 1]), 0.0, 1.0)
            weights, columns = np.zeros((source.size, target.size)), np.arange(target.size)
            weights[right - 1, columns] = 1.0 - share
            weights[right, columns] += share
        if self.method == "linear":
            return weights
        edges = _edges(target)
        step = np.gradient(source) if source.size > 1 else np.ones(1)
        # A thousandth of slack: rounded axes must not fall to the other side.
        wider = np.diff(edges) > 1.001 * np.interp(target, source, step)
        if not wider.any():
            return weights
        if self.method == "bandmean":
            # The mean over a target band of the line that joins the measured bands.
            low, high = np.maximum(edges[:-1][wider], source[0]), np.minimum(edges[1:][wider], source[-1])
            weights[:, wider] = (_integral(source, high) - _integral(source, low)) / (high - low)
        else:
            # Each measured band weighs by the width that it stands for.
            width, spacing = np.diff(_edges(source)), np.diff(edges)[wider]
            fwhm = spacing if self.fwhm is None else np.full_like(spacing, self.fwhm)
            if np.any(fwhm <= self.source_fwhm):
                value = f"source {self.source_fwhm:g}, target {fwhm.min():g} {self.unit}"
                problem = "the spectra are broader already than the target response"
                remedy = "Widen fwhm or use a coarser axis: resampling cannot sharpen."
                raise DataError(problem, value=value, remedy=remedy)
            sigma = np.sqrt(fwhm**2 - self.source_fwhm**2) / _FWHM_PER_SIGMA
            found = np.exp(-0.5 * ((source[:, None] - target[wider]) / sigma) ** 2) * width[:, None]
            weights[:, wider] = found / found.sum(axis=0)
        return weights


@dataclasses.dataclass(frozen=True, eq=False)
class SpliceCorrection(Step):
    """Removes the steps between detectors by adding an offset to each segment.

    At each splice a line through the nearest ``points`` bands on either side is carried to the point half-way
    between the two detectors; the difference there is the step. The reference segment stays as it is and the
    others are moved to it, one after another outwards (the usual correction of ASD spectra, whose detectors
    change after 1000 and 1800 nm and whose middle detector has the stable temperature).

    Args:
      at: last band of each detector but the last, in the unit of the axis, ascending.
      reference: index of the segment that stays; None takes the middle one.
      points: bands on either side that the lines are fitted to.

    Raises:
      DataError: a splice without enough bands on either side, a reference that does not exist.
    """

    _lost: ClassVar[str] = "the offsets of each spectrum are not kept"
    at: Sequence[float] = (1000.0, 1800.0)
    reference: int | None = None
    points: int = 5

    def __call__(self, spectra: Spectra) -> Spectra:
        cuts = np.searchsorted(spectra.axis, np.asarray(self.at, np.float64), side="right")
        edges = np.concatenate([[0], cuts, [spectra.n_bands]])
        short = np.nonzero(np.diff(edges) < max(self.points, 2))[0]
        count = edges.size - 1
        if count < 2 or short.size or self.points < 2:
            problem = "a detector segment has too few bands to be joined"
            value = f"axis {spectra.axis[0]:g}-{spectra.axis[-1]:g} {spectra.unit}, {self.points} points"
            remedy = "Give ascending splices inside the axis with at least `points` (2 or more) bands beside each."
            raise DataError(problem, column=f"splices {list(self.at)}", value=value, remedy=remedy)
        if self.reference is not None and not 0 <= self.reference < count:
            remedy = f"Count the {count} segments from 0."
            raise DataError("no such detector segment", column="reference", value=self.reference, remedy=remedy)
        values = spectra.values.astype(np.float64)
        jumps = np.empty((len(spectra), cuts.size))
        for place, cut in enumerate(cuts.tolist()):
            # How far the segment on the right lies above that on the left, half-way between the two detectors.
            sides = (slice(cut, cut + self.points), slice(cut - self.points, cut))
            middle = float(0.5 * (spectra.axis[cut - 1] + spectra.axis[cut]))
            right, left = (_line_at(spectra.axis[side], values[:, side], middle) for side in sides)
            jumps[:, place] = right - left
        # Level of each segment above the first, then relative to the reference.
        level = np.concatenate([np.zeros((len(spectra), 1)), np.cumsum(jumps, axis=1)], axis=1)
        reference = (edges.size - 1) // 2 if self.reference is None else self.reference
        offset = level - level[:, [reference]]
        corrected = values - np.repeat(offset, np.diff(edges), axis=1)
        shown = ", ".join(f"{at:g}" for at in self.at)
        return spectra.replace(values=corrected, step=f"splice correction at {shown} {spectra.unit}")


def _line_at(axis: Floats, values: Floats, at: float) -> Floats:
    """Returns (n,) the least-squares line through each row of ``values``, at ``at``."""
    centred = axis - axis.mean()
    slope = values @ centred / (centred @ centred)
    return values.mean(axis=1) + slope * (at - axis.mean())


def _edges(centres: Floats) -> Floats:
    """Returns (p + 1,) borders half-way between bands; the outer bands are symmetric."""
    if centres.size == 1:
        return np.array([centres[0], centres[0]])
    inner = 0.5 * (centres[1:] + centres[:-1])
    return np.concatenate([[2 * centres[0] - inner[0]], inner, [2 * centres[-1] - inner[-1]]])


def _integral(source: Floats, to: Floats) -> Floats:
    """Returns (m, p) weights of the integral from the first measured band to ``to`` (trapezoids)."""
    steps = np.diff(source)
    whole = np.clip(to[None, :] - source[:-1, None], 0.0, steps[:, None])  # (m - 1, p) covered part of each step
    second = whole**2 / (2.0 * steps[:, None])  # a line from a to b over part w of h: a (w - w2/2h) + b w2/2h
    weights = np.zeros((source.size, to.size))
    weights[:-1] += whole - second
    weights[1:] += second
    return weights
