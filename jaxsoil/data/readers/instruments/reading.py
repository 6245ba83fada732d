"""What an instrument file gives: spectra with ids, the columns beside them, and the rows that cannot be used."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import re
import threading
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxsoil.runs.errors import DataError, did_you_mean
from jaxsoil.spectra.checks import check_unit, outside_range
from jaxsoil.spectra.container import Spectra, check_axis

if TYPE_CHECKING:
    import pandas as pd

MIN_BANDS = 8
"""Fewer columns or points than this are no spectrum."""

MOST_BANDS = 100_000
"""More are no spectrum either, but a damaged size or a table on its side."""

MOST_BYTES = 256 << 20
"""Largest file that is read as a whole (one of a few spectra)."""

UNITS = ("nm", "cm-1", "um")
QUANTITIES = ("reflectance", "reflectance_percent", "absorbance", "pretreated")

# Ranges in which soils are measured: 0.2 to 200 um (instruments record to their detector's end).
_RANGES = {"nm": (200.0, 200_000.0), "cm-1": (50.0, 50_000.0)}
_ROWS_AT_ONCE = 4096
_READING = threading.RLock()
_MANY_ROWS = 10

_UNIT_WORDS = {
    "cm-1": r"cm\s*\^?-1|cm⁻¹|1\s*/\s*cm|wave\s?numbers?|reciprocal centim",
    "um": r"(?<![a-z])[uµμ]m(?![a-z])|microm|microns?(?![a-z])",
    "nm": r"(?<![a-z])nm(?![a-z])|nanomet",
}
_QUANTITY_WORDS = {
    "transmittance": r"transmi(ttance|ssion)",
    "absorbance": r"absorbance|absorption|(?<![a-z])abs(?![a-z])|log\s*\(?\s*1\s*/\s*r",
    "reflectance": r"reflectance|reflectivity|(?<![a-z])refl?(?![a-z])",
}


@dataclasses.dataclass(frozen=True)
class Refusal:
    """A row that cannot be used.

    Args:
      row: its id.
      reason: why.
    """

    row: str
    reason: str


@dataclasses.dataclass(frozen=True, eq=False)
class Reading:
    """What one file gives.

    Args:
      spectra: n spectra on an ascending axis in nm or cm-1.
      ids: n ids; the name of the file, without its extension, where it holds one spectrum.
      labels: n rows of the columns that are no bands, or None.
      refused: rows that cannot be used, each with its reason; the others are kept.
      instrument: what the file says, "" where it says nothing.
      format: of the file, such as "OPUS".
    """

    spectra: Spectra
    ids: tuple[str, ...]
    labels: pd.DataFrame | None
    refused: tuple[Refusal, ...]
    instrument: str
    format: str


@dataclasses.dataclass(frozen=True)
class Source:
    """A file, and what the caller says about what the file does not say.

    Args:
      path: the file.
      quantity: one of ``QUANTITIES``, or None.
      unit: one of ``UNITS``, or None.
    """

    path: Path
    quantity: str | None = None
    unit: str | None = None

    def __post_init__(self) -> None:
        for what, value, options in (("quantity", self.quantity, QUANTITIES), ("unit", self.unit, UNITS)):
            if value is not None and value not in options:
                raise DataError(f"unknown {what}", value=value, remedy=did_you_mean(value, options))

    def error(self, problem: str, remedy: str, *, value: object = None, column: object = None) -> DataError:
        """Returns an error that names the file."""
        return DataError(problem, source=self.path, column=column, value=value, remedy=remedy)

    def damaged(self, what: str, value: object = None) -> DataError:
        """Returns the error for content that does not hold together."""
        return self.error(what, "Fetch the file again, or export it again from the instrument.", value=value)

    def content(self) -> bytes:
        """Returns all bytes of the file; one larger than ``MOST_BYTES`` raises DataError."""
        size = self.path.stat().st_size
        if size > MOST_BYTES:
            raise self.error("the file is too large for its kind", "Export it in parts.", value=f"{size} bytes")
        return self.path.read_bytes()

    def require_memory(self, needed: int) -> None:
        """Raises DataError where ``needed`` bytes are more than half of the memory."""
        if needed > os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2:
            raise self.error("the spectra do not fit the memory", "Cut the file into parts.", value=f"{needed} bytes")

    def settle(self, what: str, said: str | None, hint: str = "") -> str:
        """Returns the unit or quantity that holds.

        Args:
          what: "unit" or "quantity".
          said: by the file, None where it says nothing.
          hint: what the caller may look at to decide.

        Raises:
          DataError: file and caller contradict each other, or neither says.
        """
        asked: str | None = getattr(self, what)
        options = UNITS if what == "unit" else QUANTITIES
        if said is not None and said not in options:
            raise self.error(f"{said} is not read", f"Export {' or '.join(options[:3])}.")
        if said is None and asked is None:
            remedy = f'Pass {what}="{options[0]}", or one of {", ".join(options[1:])}.{hint}'
            raise self.error(f"the file does not say its {what}", remedy)
        # Micrometres are brought to the nm that was asked for. A file that says reflectance does not say whether in
        # percent; one that does is brought to the fraction that was asked for.
        if {said, asked} == {"reflectance", "reflectance_percent"}:
            return "reflectance_percent"
        same = (said, asked) == ("um", "nm")
        if said is not None and asked is not None and said != asked and not same:
            value, remedy = f"{said} in the file, {asked} given", f"Leave {what} out, or correct the file."
            raise self.error(f"the file contradicts the {what} that was given", remedy, value=value)
        return said or asked or ""


def unit_in(text: str) -> str | None:
    """Returns the one unit of an axis that a text names ("nm", "cm-1" or "um"), None for none or several."""
    found = [unit for unit, words in _UNIT_WORDS.items() if re.search(words, text.lower())]
    return found[0] if len(found) == 1 else None


def quantity_in(text: str) -> str | None:
    """Returns the one quantity that a text names, "reflectance_percent" with a percent sign; None without."""
    text = text.lower()
    found = [name for name, words in _QUANTITY_WORDS.items() if re.search(words, text)]
    if len(found) != 1:
        return None
    return "reflectance_percent" if found == ["reflectance"] and re.search(r"%|percent", text) else found[0]


def make(
    source: Source,
    kind: str,
    axis: ArrayLike,
    values: ArrayLike,
    *,
    unit: str | None,
    quantity: str | None,
    ids: Sequence[str] | None = None,
    labels: pd.DataFrame | None = None,
    refused: Sequence[Refusal] = (),
    instrument: str = "",
) -> Reading:
    """Returns the reading of what a file holds, after the checks that every format shares.

    Args:
      source: file and caller.
      kind: name of the format.
      axis: (m,) numbers as they stand in the file, ascending or descending.
      values: (n, m) numbers as they stand in the file.
      unit, quantity: what the file says, or None.
      ids, labels: of the n rows; without ids, the name of the file.
      refused: rows that were left out already.
      instrument: what the file says.

    Raises:
      DataError: no usable row; an axis, a unit, a quantity or a scale that cannot be.
    """
    axis = np.array(axis, dtype=np.float64)
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused below, as infinite
        values = np.atleast_2d(np.asarray(values)).astype(np.float32, copy=False)
    if axis.size < MIN_BANDS or axis.size > MOST_BANDS or values.shape[1:] != axis.shape:
        raise source.damaged("the file holds no spectrum", f"{axis.size} points, values {values.shape}")
    axis, unit, steps, descends = settled_axis(source, axis, unit)
    values = values[:, ::-1] if descends else values
    shown = ""
    if values.size:
        # Neither takes a copy, as nanmin and nanmax do.
        lowest, highest = np.fmin.reduce(values, axis=None), np.fmax.reduce(values, axis=None)
        shown = f" The values lie between {lowest:.3g} and {highest:.3g}."
    quantity = source.settle("quantity", quantity, shown)
    if quantity == "reflectance_percent":
        values, quantity, steps = values / np.float32(100.0), "reflectance", [*steps, "fraction from percent"]
    if quantity == "reflectance":
        _require_fraction(source, values)
    axis, values, trimmed = _without_empty_ends(values, axis, unit)
    steps = [*steps, *trimmed]
    reasons = _reasons(values, axis, unit, quantity)
    names = [source.path.stem] if ids is None else [str(name) for name in ids]
    kept = np.array([reason is None for reason in reasons], dtype=bool)
    out = [Refusal(name, reason) for name, reason in zip(names, reasons, strict=True) if reason is not None]
    if not kept.any():
        first = out[0].reason if out else (refused[0].reason if refused else "no rows")
        raise source.error("no spectrum of the file can be used", "Export it again.", value=first)
    if out:
        values, names = values[kept], [name for name, keep in zip(names, kept, strict=True) if keep]
        labels = None if labels is None else labels.loc[kept]
    return Reading(
        Spectra(values, axis, unit, quantity, steps),
        tuple(names),
        None if labels is None else labels.reset_index(drop=True),
        (*refused, *out),
        " ".join(instrument.replace("\0", " ").split()),
        kind,
    )


def settled_axis(source: Source, axis: NDArray, said: str | None) -> tuple[NDArray, str, list[str], bool]:
    """Returns the checked axis in ascending order, its unit, what was done to it, and whether it descended.

    Args:
      source: file and caller.
      axis: (m,) numbers as they stand in the file.
      said: unit in the file, or None.
    """
    unit = source.settle("unit", said, f" The axis runs from {axis[0]:g} to {axis[-1]:g}.")
    steps = []
    descends = bool(axis[0] > axis[-1])
    axis = axis[::-1] if descends else axis
    if micrometres := unit == "um":
        axis, unit, steps = axis * 1000.0, "nm", ["axis from um to nm"]
    check_axis(axis, source=source.path)
    low, high = _RANGES[unit]
    if axis[0] < low or axis[-1] > high:
        remedy = 'Check the unit (micrometres need unit="um"); an axis that counts bands is none.'
        value = f"{axis[0]:g} to {axis[-1]:g} {unit}"
        raise source.error("the axis fits no range in which soils are measured", remedy, value=value)
    if not micrometres:
        try:
            check_unit(axis, unit)
        except DataError as error:
            raise source.error(error.problem, "Give the right unit, or correct the file.", value=error.value) from None
    return axis, unit, steps, descends


def _without_empty_ends(values: NDArray, axis: NDArray, unit: str) -> tuple[NDArray, NDArray, list[str]]:
    """Cuts off outer bands that are missing in most rows, so that they do not cost the rows; returns what was done."""
    if len(values) < _MANY_ROWS:
        return axis, values, []
    missing = np.array([np.mean(~np.isfinite(values[:, band])) > 0.5 for band in range(axis.size)])
    if not missing.any() or missing.all():
        return axis, values, []
    first, last = int(np.argmin(missing)), axis.size - int(np.argmin(missing[::-1]))
    if last - first == axis.size or last - first < MIN_BANDS:
        return axis, values, []
    kept = f"{axis[first]:g}-{axis[last - 1]:g} {unit}"
    return axis[first:last], values[:, first:last], [f"cut to {kept}: the outer bands are missing in most rows"]


def _require_fraction(source: Source, values: NDArray) -> None:
    brightest = np.fmax.reduce(values, axis=1)
    brightest = brightest[np.isfinite(brightest)]
    if brightest.size == 0:
        return
    typical = float(np.median(brightest))
    if np.mean(brightest > 2.0) > 0.5:
        remedy = 'If it is percent, pass quantity="reflectance_percent".'
        remedy = remedy if typical <= 120.0 else "Give reflectance, not counts."
        raise source.error("reflectance must be a fraction", remedy, value=f"values up to {typical:.4g}")
    if 0.0 < typical < 0.02:
        remedy = "A fraction is no percent, and is not divided by 100 twice."
        raise source.error("reflectance is darker than any soil", remedy, value=f"values up to {typical:.4g}")


def _reasons(values: NDArray, axis: NDArray, unit: str, quantity: str) -> list[str | None]:
    """Returns why each row cannot be used, None where it can."""
    reasons: list[str | None] = [None] * len(values)
    for start in range(0, len(values), _ROWS_AT_ONCE):
        block = values[start : start + _ROWS_AT_ONCE]
        outside, empty = outside_range(block, quantity), ~np.isfinite(block)
        flat = block.max(axis=1) == block.min(axis=1)
        for row in np.flatnonzero(outside.any(axis=1) | empty.any(axis=1) | flat):
            bad, what = (empty, "missing or infinite") if empty[row].any() else (outside, f"no {quantity}")
            band, count = int(bad[row].argmax()), int(bad[row].sum())
            said = f"{block[row, band]:g} at {axis[band]:g} {unit} is {what}; {count} bands"
            reasons[start + row] = said if count else "the spectrum is constant"
    return reasons


@contextlib.contextmanager
def guarded(source: Source, kind: str) -> Iterator[None]:
    """Turns whatever a reader raises into DataError, and swallows what a library prints or warns of.

    One thread reads at a time: where text is printed to belongs to the process.
    """
    silent = io.StringIO()
    try:
        mute = contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent)
        with _READING, warnings.catch_warnings(action="ignore"), mute[0], mute[1]:
            yield
    except DataError:
        raise
    except MemoryError as error:
        raise source.error(f"the {kind} file does not fit the memory", "Cut it into parts.") from error
    except (FileNotFoundError, PermissionError) as error:
        remedy = "Check that it exists and may be read."
        raise source.error("the file cannot be opened", remedy, value=error.strerror or str(error)) from error
    except Exception as error:
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        raise source.damaged(f"the file cannot be read as {kind}", said) from error


@contextlib.contextmanager
def optional(library: str) -> Iterator[None]:
    """Around the import of a library of the extra ``instruments``: its absence becomes one line with the remedy."""
    try:
        yield
    except ImportError as error:
        remedy = "Install it: pip install 'jaxsoil[instruments]'"
        raise DataError(f"this kind of file is read by {library}, which is not installed", remedy=remedy) from error
