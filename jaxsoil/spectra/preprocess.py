"""Preprocessing as composable steps: absorbance, SNV, Savitzky-Golay, centring and scaling.

Steps on the axis (Trim, Resample, SpliceCorrection) live in ``jaxsoil.spectra.resample`` and are importable here
as well. All arithmetic is float64; Spectra store float32.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from jaxsoil.runs.errors import DataError
from jaxsoil.spectra.container import Spectra
from jaxsoil.spectra.resample import Resample, SpliceCorrection, Trim
from jaxsoil.spectra.steps import NotInvertibleError, Pipeline, Step

__all__ = [
    "SNV", "Absorbance", "MeanCentre", "NotInvertibleError", "Pipeline", "Resample", "SavitzkyGolay",
    "SpliceCorrection", "Standardise", "Step", "Trim",
]  # fmt: skip


SNV_ROWS = 32
"""Spectra whose standard normal variate is computed together: their float64 copies stay in a core's cache."""


@dataclasses.dataclass(frozen=True, eq=False)
class Absorbance(Step):
    """Reflectance to absorbance A = log10(1/R); absorbance passes unchanged. The inverse gives reflectance."""

    def __call__(self, spectra: Spectra) -> Spectra:
        return spectra.to_absorbance()

    def inverse(self, spectra: Spectra) -> Spectra:
        return spectra.to_reflectance()


@dataclasses.dataclass(frozen=True, eq=False)
class SNV(Step):
    """Standard normal variate: each spectrum minus its mean, over its standard deviation (n - 1).

    Source: Barnes, Dhanoa and Lister (1989), Applied Spectroscopy 43, 772.

    Raises:
      DataError: a spectrum that is constant, or has fewer than two bands.

    >>> SNV()(Spectra([[1.0, 2.0, 3.0]], [1000.0, 1100.0, 1200.0], "nm", "absorbance")).values.tolist()
    [[-1.0, 0.0, 1.0]]
    """

    _lost: ClassVar[str] = "mean and standard deviation of each spectrum are lost"

    def __call__(self, spectra: Spectra) -> Spectra:
        scaled = standard_normal(spectra.values)
        scaled.flags.writeable = False  # so that it is taken over and not copied
        return spectra.replace(values=scaled, quantity="pretreated", step="SNV")


def standard_normal(values: NDArray[np.float32], moments: NDArray[np.float64] | None = None) -> NDArray[np.float32]:
    """Returns the standard normal variate of each row of ``values`` (n, m), float32, computed in float64.

    Beside the result it needs memory for :data:`SNV_ROWS` rows alone. ``moments`` (n, 2) keeps the mean and standard
    deviation of each row for a later call, which takes half the time and gives the same bits; NaN: not known yet.

    Raises:
      DataError: a row that is constant, or has fewer than two values.
    """
    out, bands, flat = np.empty(values.shape, np.float32), values.shape[1], []
    buffer, squared = (np.empty((min(SNV_ROWS, len(values)), bands)) for _ in range(2))
    for start in range(0, len(values), SNV_ROWS):
        count = min(SNV_ROWS, len(values) - start)
        part, squares = buffer[:count], squared[:count]
        known = None if moments is None else moments[start : start + count]
        np.copyto(part, values[start : start + count])
        if known is not None and np.isfinite(known).all():
            spread = known[:, 1:]
            np.subtract(part, known[:, :1], out=part)
        else:
            mean = part.mean(axis=1, keepdims=True)
            np.subtract(part, mean, out=part)
            total = np.add.reduce(np.multiply(part, part, out=squares), axis=1, keepdims=True)
            spread = np.sqrt(total / (bands - 1)) if bands > 1 else np.zeros_like(mean)
            # The largest value is looked up where it can matter: it exceeds the mean by at most sqrt(m) spreads.
            for row in np.flatnonzero(spread <= 2e-7 * np.abs(mean)):
                if spread[row, 0] <= 1e-7 * np.abs(values[start + row]).max():
                    flat.append(start + row)
            if known is not None and not flat:
                known[:] = np.concatenate([mean, spread], axis=1)
        if not flat:
            np.divide(part, spread, out=out[start : start + count], casting="same_kind")
    if flat:
        value = f"row {flat[0]}; {len(flat)} rows"
        remedy = "Exclude those rows with a reason: a flat spectrum is a failed scan or a fill value."
        raise DataError("a constant spectrum has no standard normal variate", value=value, remedy=remedy)
    return out


@dataclasses.dataclass(frozen=True, eq=False)
class SavitzkyGolay(Step):
    """Savitzky-Golay smoothing or derivative, by scipy.signal.savgol_filter; the ends are fitted polynomials.

    Args:
      points: window in bands, odd. Give this or ``width``.
      width: window in units of the axis (nm or cm-1), rounded to the nearest odd number of bands.
      polyorder: order of the polynomial, below the window.
      deriv: order of the derivative, per unit of the axis; 0 smooths and keeps the quantity.

    Raises:
      DataError: an axis whose steps differ, a window that does not fit.

    Source: Savitzky and Golay (1964), Analytical Chemistry 36, 1627.
    """

    _lost: ClassVar[str] = "smoothing removes what varies from band to band"
    points: int | None = None
    width: float | None = None
    polyorder: int = 2
    deriv: int = 0

    def __post_init__(self) -> None:
        if (self.points is None) == (self.width is None):
            value = f"points={self.points}, width={self.width}"
            remedy = "Give either points (bands, odd) or width (nm or cm-1)."
            raise DataError("Savitzky-Golay needs one window", value=value, remedy=remedy)

    def __call__(self, spectra: Spectra) -> Spectra:
        from scipy.signal import savgol_filter

        steps = np.diff(spectra.axis)
        # 1 % of the step admits axes that were rounded to a few digits, not ones whose steps differ.
        if steps.size == 0 or np.ptp(steps) > 0.01 * steps.mean():
            shown = f"steps {steps.min():g} to {steps.max():g} {spectra.unit}" if steps.size else "one band"
            remedy = "Resample to a uniform axis first: Resample(np.arange(low, high, step))."
            raise DataError("Savitzky-Golay needs an axis with one step", value=shown, remedy=remedy)
        step = float(steps.mean())
        points = 2 * round(((self.width or 0.0) / step - 1) / 2) + 1 if self.points is None else self.points
        if points % 2 == 0 or points > steps.size + 1 or points <= self.polyorder or self.deriv > self.polyorder:
            value = f"{points} bands, order {self.polyorder}, derivative {self.deriv}, {steps.size + 1} bands in all"
            remedy = "Use an odd window above the order, up to the number of bands; the order at least deriv."
            raise DataError("the Savitzky-Golay window does not fit", value=value, remedy=remedy)
        values = spectra.values.astype(np.float64)
        values = np.asarray(savgol_filter(values, points, self.polyorder, deriv=self.deriv, delta=step, axis=1))
        done = f"Savitzky-Golay {points} bands, order {self.polyorder}, derivative {self.deriv}"
        quantity = spectra.quantity if self.deriv == 0 else "pretreated"
        return spectra.replace(values=values, quantity=quantity, step=done)


@dataclasses.dataclass(frozen=True, eq=False)
class _Fitted(Step):
    """A step that learns an offset and a scale for each band from the training rows."""

    # A spectrum of the fitted kind (axis, unit and quantity, to hold others against), offset and scale.
    _fitted: tuple[Spectra, NDArray[np.float64], NDArray[np.float64]] | None = None

    def _require_fit(self, spectra: Spectra) -> tuple[Spectra, NDArray[np.float64], NDArray[np.float64]]:
        if self._fitted is None:
            remedy = "Call fit(training spectra) and use the step that it returns."
            raise DataError(f"{type(self).__name__} is used before it is fitted", remedy=remedy)
        self._fitted[0].require_same_axis(spectra)
        return self._fitted

    def __call__(self, spectra: Spectra) -> Spectra:
        """Returns (values - offset) / scale with the fitted numbers."""
        of, offset, scale = self._require_fit(spectra)
        spectra.require_quantity(of.quantity)
        values = (spectra.values - offset) / scale
        return spectra.replace(values=values, quantity="pretreated", step=type(self).__name__)

    def inverse(self, spectra: Spectra) -> Spectra:
        """Returns values * scale + offset, with the quantity that the step was fitted on."""
        of, offset, scale = self._require_fit(spectra)
        spectra.require_quantity("pretreated")
        values = spectra.values * scale + offset
        return spectra.replace(values=values, quantity=of.quantity, step=f"{type(self).__name__} undone")


@dataclasses.dataclass(frozen=True, eq=False)
class MeanCentre(_Fitted):
    """Subtracts the mean training spectrum."""

    def fit(self, spectra: Spectra) -> MeanCentre:
        """Returns the step with the mean of ``spectra`` (training rows only)."""
        _require_rows(spectra, 1)
        mean = spectra.values.mean(axis=0, dtype=np.float64)
        return MeanCentre((spectra[:1], mean, np.ones_like(mean)))


@dataclasses.dataclass(frozen=True, eq=False)
class Standardise(_Fitted):
    """Subtracts each band's training mean and divides by its training standard deviation (n - 1)."""

    def fit(self, spectra: Spectra) -> Standardise:
        """Returns the step with mean and standard deviation of ``spectra``; a constant band raises DataError."""
        _require_rows(spectra, 2)
        values = spectra.values.astype(np.float64)
        mean, spread = values.mean(axis=0), values.std(axis=0, ddof=1)
        flat = np.nonzero(spread <= 1e-7 * np.abs(values).max(axis=0))[0]
        if flat.size:
            problem = "a band is constant over the training rows and cannot be standardised"
            value = f"{flat.size} bands"
            remedy = "Trim those bands: a constant band carries nothing, or is a fill value."
            raise DataError(problem, column=f"{spectra.axis[flat[0]]:g} {spectra.unit}", value=value, remedy=remedy)
        return Standardise((spectra[:1], mean, spread))


def _require_rows(spectra: Spectra, least: int) -> None:
    if len(spectra) < least:
        value = f"{len(spectra)}, at least {least} needed"
        raise DataError("too few spectra to fit a step to", value=value, remedy="Fit on all training rows.")
