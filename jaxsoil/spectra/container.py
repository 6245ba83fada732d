"""Spectra: values, their axis, its unit, the quantity, and what was done to them, as one checked object."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError

UNITS = ("nm", "cm-1")
QUANTITIES = ("reflectance", "absorbance", "pretreated")

# Two instruments' axes count as one when they agree to a part in a million: 0.001 nm at 1000 nm.
_AXIS_RTOL = 1e-6


@dataclasses.dataclass(frozen=True, eq=False, init=False)
class Spectra:
    """One row per spectrum on a common axis.

    Args:
      values: (n, m) finite numbers, stored as read-only float32.
      axis: (m,) wavelengths or wavenumbers, strictly ascending, positive; stored as read-only float64.
      unit: "nm" or "cm-1".
      quantity: "reflectance" (a fraction, never percent), "absorbance" (log10(1/R)) or "pretreated" (after
        SNV, a derivative, centring ...: no longer a physical quantity).
      steps: what was done to the values, in order, for people to read.

    Raises:
      DataError: a shape, an axis, a unit or a quantity that does not hold, or a value that is not finite.
    """

    values: NDArray[np.float32]
    axis: NDArray[np.float64]
    unit: str
    quantity: str
    steps: tuple[str, ...] = ()

    def __init__(self, values: ArrayLike, axis: ArrayLike, unit: str, quantity: str, steps: Sequence[str] = ()) -> None:
        require.known(unit, UNITS, "unknown unit")
        require.known(quantity, QUANTITIES, "unknown quantity")
        values, axis = _frozen(values, np.float32), _frozen(axis, np.float64)
        if values.ndim != 2 or axis.ndim != 1 or values.shape[1] != axis.shape[0] or axis.shape[0] == 0:
            value = f"values {values.shape}, axis {axis.shape}"
            remedy = "Give values of shape (n, m) and an axis of shape (m,), m at least 1."
            raise DataError("values and axis do not belong together", value=value, remedy=remedy)
        check_axis(axis)
        check_finite(values, axis)
        for name, value in zip(
            ("values", "axis", "unit", "quantity", "steps"), (values, axis, unit, quantity, tuple(steps)), strict=True
        ):
            object.__setattr__(self, name, value)

    @classmethod
    def of_checked(
        cls, values: NDArray[np.float32], axis: ArrayLike, unit: str, quantity: str, steps: Sequence[str] = ()
    ) -> Spectra:
        """Returns spectra whose values were checked when they were written to a file: they are not read here.

        Raises:
          DataError: as the class, but for values that are not finite.
        """
        made = cls(np.empty((0, values.shape[1]), np.float32), axis, unit, quantity, steps)
        object.__setattr__(made, "values", _frozen(values, np.float32))
        return made

    def __len__(self) -> int:
        return self.values.shape[0]

    def __getitem__(self, rows: Any) -> Spectra:
        """Returns the chosen rows (a mask, indices, a slice, or one index, which keeps the row axis)."""
        return self.replace(values=self.values[np.atleast_1d(rows) if np.isscalar(rows) else rows])

    def __repr__(self) -> str:
        span = f"{self.axis[0]:g}-{self.axis[-1]:g} {self.unit}"
        done = f", steps: {' > '.join(self.steps)}" if self.steps else ""
        return f"Spectra({len(self)} x {self.n_bands}, {span}, {self.quantity}{done})"

    @property
    def n_bands(self) -> int:
        """Number of bands m."""
        return self.axis.shape[0]

    def replace(self, *, step: str | None = None, **fields: Any) -> Spectra:
        """Returns a checked copy in which the fields that are given are changed; ``step`` is added to the record."""
        return dataclasses.replace(self, **{"steps": (*self.steps, *([step] if step else [])), **fields})

    def to_unit(self, unit: str) -> Spectra:
        """Returns the spectra on an axis in ``unit``, still ascending: nm = 1e7 / cm-1.

        >>> Spectra([[0.2, 0.3]], [4000.0, 5000.0], "cm-1", "absorbance").to_unit("nm").axis.tolist()
        [2000.0, 2500.0]
        """
        require.known(unit, UNITS, "unknown unit")
        if unit == self.unit:
            return self
        return self.replace(values=self.values[:, ::-1], axis=1e7 / self.axis[::-1], unit=unit, step=f"axis in {unit}")

    def to_absorbance(self) -> Spectra:
        """Returns log10(1/R); unchanged where the quantity is absorbance already.

        Raises:
          DataError: for pretreated spectra, and for reflectances that are not positive.
        """
        if self.quantity == "absorbance":
            return self
        self.require_quantity("reflectance")
        if not np.all(self.values > 0):
            row, band = (int(index[0]) for index in np.nonzero(self.values <= 0))
            problem = "reflectance must be positive to have an absorbance"
            value = f"{self.values[row, band]:g} in row {row}"
            remedy = "Remove the band or the row, or correct the reflectance at its source."
            raise DataError(problem, column=f"{self.axis[band]:g} {self.unit}", value=value, remedy=remedy)
        values = -np.log10(self.values.astype(np.float64))
        return self.replace(values=values, quantity="absorbance", step="absorbance log10(1/R)")

    def to_reflectance(self) -> Spectra:
        """Returns 10**-A; unchanged where the quantity is reflectance already.

        Raises:
          DataError: for pretreated spectra.
        """
        if self.quantity == "reflectance":
            return self
        self.require_quantity("absorbance")
        values = 10.0 ** -self.values.astype(np.float64)
        return self.replace(values=values, quantity="reflectance", step="reflectance 10**-A")

    def require_quantity(self, *quantities: str) -> None:
        """Raises DataError unless the quantity is one of ``quantities``."""
        if self.quantity not in quantities:
            value = f"{self.quantity}, steps {list(self.steps)}"
            remedy = "Apply this before the step that changed the quantity, or convert the spectra first."
            raise DataError(f"{' or '.join(quantities)} is needed", value=value, remedy=remedy)

    def is_on_axis(self, axis: NDArray[np.float64], unit: str) -> bool:
        """Whether the spectra have these bands, to a part in a million, in this unit."""
        same = self.unit == unit and self.axis.shape == axis.shape
        return same and np.allclose(self.axis, axis, rtol=_AXIS_RTOL, atol=0.0)

    def require_same_axis(self, other: Spectra) -> None:
        """Raises DataError unless both have the same unit and the same bands (to a part in a million)."""
        if not self.is_on_axis(other.axis, other.unit):
            remedy = "Bring both to one axis with to_unit(...) and Resample(axis)."
            raise DataError("the spectra lie on different axes", value=f"{self!r} and {other!r}", remedy=remedy)


def check_axis(axis: NDArray[np.floating], *, source: object = None) -> None:
    """Raises DataError, naming the offender, unless ``axis`` is finite, positive and strictly ascending."""
    if not np.all(np.isfinite(axis)) or np.any(axis <= 0):
        bad = axis[~(np.isfinite(axis) & (axis > 0))][0]
        remedy = "Name each spectral column by its wavelength in nm or its wavenumber in cm-1."
        raise DataError("the axis must hold positive, finite numbers", source=source, value=f"{bad:g}", remedy=remedy)
    falls = np.nonzero(np.diff(axis) <= 0)[0]
    if falls.size == 0:
        return
    first = int(falls[0])
    pair = f"{axis[first]:g} followed by {axis[first + 1]:g}"
    if np.any(np.diff(np.sort(axis)) == 0):
        ordered = np.sort(axis)
        twice = ordered[np.nonzero(np.diff(ordered) == 0)[0][0]]
        problem, pair = "the axis repeats a band", f"{twice:g} twice"
        remedy = "Keep one column for each band (average repeated scans as rows, not as columns)."
    elif falls.size == axis.size - 1:
        problem = "the axis descends"
        remedy = 'Reverse axis and values together; in a manifest write order = "descending" under [axis].'
    else:
        problem, remedy = "the axis is not sorted", "Sort the spectral columns by their axis value."
    raise DataError(problem, source=source, column=pair, value=f"{axis.size} bands", remedy=remedy)


def check_finite(values: NDArray[np.floating], axis: NDArray[np.floating], *, source: object = None) -> None:
    """Raises DataError that names the first band and row that is not finite."""
    # The sum is not finite where one value is not, and takes a tenth of the time and no memory.
    if np.isfinite(np.sum(values, dtype=np.float64)) or np.all(np.isfinite(values)):
        return
    bad = ~np.isfinite(values)
    row, band = (int(index[0]) for index in np.nonzero(bad))
    problem = "a spectrum has missing or infinite values"
    value = f"{values[row, band]} in row {row}; {bad.any(0).sum()} bands and {bad.any(1).sum()} rows"
    remedy = "Leave those bands out or exclude those rows with a reason; nothing is filled in silently."
    raise DataError(problem, source=source, column=f"{axis[band]:g}", value=value, remedy=remedy)


def _frozen(array: ArrayLike, dtype: Any) -> NDArray[Any]:
    if isinstance(array, np.memmap) and array.dtype == dtype and array.mode == "r":
        frozen = np.asarray(array)  # a file that is only read stays on the disk
    elif isinstance(array, np.ndarray) and array.dtype == dtype and array.base is None:
        # What is frozen already, and is no view of something that is not, is shared instead of copied.
        frozen = np.array(array) if array.flags.writeable else array
    else:
        frozen = np.array(array, dtype=dtype)
    frozen.flags.writeable = False
    return frozen
