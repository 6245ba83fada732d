"""Checks of arrays and numbers that callers hand in: each DataError states the problem, the value and the remedy.

A ``name`` is a plural noun that fits into a sentence, such as "training spectra". Arrays come back in float64.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jaxsoil.runs.errors import DataError, did_you_mean

FINITE = "Leave out rows without a measurement and models that diverged, by name."
ROWS = "Pass arrays of the same samples, in the same order."


def array(
    values: ArrayLike,
    name: str,
    ndim: int,
    *,
    least: int = 0,
    finite: bool = True,
    features: int | None = None,
    dtype: type[np.floating] = np.float64,
) -> np.ndarray:
    """An array of ``ndim`` dimensions, which :data:`vector`, :data:`table` and :data:`finite_rows` are cases of.

    It has ``least`` rows or more, and as many columns as ``features``, those of the training rows (None: any number
    above zero); where ``finite``, NaN and infinity are refused.

    Raises:
      DataError: another number of dimensions, no column, too few rows, another number of columns than ``features``, or
        a value that is not finite.
    """
    found = np.asarray(values, dtype=dtype)
    if found.ndim != ndim or 0 in found.shape[1:]:
        value = f"shape {found.shape}"
        remedy = "Pass rows of features as (n, m), one value for each row as (n,)."
        raise DataError(f"{name} are an array of {ndim} dimension{'s' if ndim > 1 else ''}", value=value, remedy=remedy)
    if found.shape[0] < least:
        remedy = "Pass more rows, or leave this part out, by name."
        raise DataError(f"{name} are too few: at least {least} needed", value=found.shape[0], remedy=remedy)
    if features is not None and found.shape[1] != features:
        value = f"{found.shape[1]} against {features}"
        remedy = "Pass rows on the axis, or of the encoder, of the training."
        raise DataError(f"{name} have another number of features than the training rows", value=value, remedy=remedy)
    if finite:
        all_finite(found, name)
    return found


vector = functools.partial(array, ndim=1)
"""An (n,) float64 array with at least ``least`` values; NaN and infinity are allowed if ``finite`` is False."""

table = functools.partial(array, ndim=2, finite=False)
"""An (n, m) float64 array with at least ``least`` rows and one column; it may hold NaN and infinity."""

finite_rows = functools.partial(array, ndim=2, least=1)
"""As :data:`table`, with finite values only and one row or more."""


def all_finite(values: np.ndarray, name: str, *, error: type[DataError] = DataError, remedy: str = FINITE) -> None:
    """Refuses NaN and infinity, and counts them, with ``error``."""
    wrong = int(np.size(values) - np.isfinite(values).sum())
    if wrong:
        raise error(f"{name} are not all finite", value=f"{wrong} of {np.size(values)}", remedy=remedy)


def pair(
    first: ArrayLike,
    second: ArrayLike,
    *,
    names: tuple[str, str] = ("observed values", "predicted values"),
    ndim: int = 1,
    undefined: type[DataError] = DataError,
) -> tuple[np.ndarray, np.ndarray]:
    """Two finite float64 arrays of one shape, with ``ndim`` dimensions (2 for spectra) and at least one value.

    ``undefined`` is the error for what is no mistake of the caller: nothing observed, or a second array not finite.

    Raises:
      DataError: shapes that differ, another number of dimensions, no value, or one that is not finite.
    """
    one, two = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    same_shape({names[0]: one, names[1]: two})
    array(one, names[0], ndim, finite=False)
    if one.size == 0:
        raise undefined(f"there are no {names[0]}", remedy="Leave out a region without labels, by name.")
    all_finite(one, names[0], remedy="Select the rows with a measured value first.")
    all_finite(two, names[1], error=undefined, remedy="Mark the trial as diverged, or lower its learning rate.")
    return one, two


def same_shape(arrays: dict[str, Any], *, remedy: str = "") -> None:
    """Refuses named arrays whose shapes differ, and names each."""
    shapes = {name: np.shape(values) for name, values in arrays.items()}
    if len(set(shapes.values())) > 1:
        remedy = remedy or f"{ROWS} (n, 1) arrays need .ravel() beside (n,)."
        raise DataError(f"{_listed(shapes)} differ in shape", value=_against(shapes.values()), remedy=remedy)


def same_length(arrays: dict[str, Any], *, remedy: str = ROWS) -> None:
    """Refuses named arrays with different numbers of rows, and names each."""
    lengths = {name: len(values) for name, values in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"{_listed(lengths)} differ in length", value=_against(lengths.values()), remedy=remedy)


def not_negative(values: np.ndarray, name: str, *, remedy: str) -> None:
    """Refuses values below zero, and names the lowest; NaN passes."""
    if np.any(values < 0.0):
        raise DataError(f"{name} are negative", value=float(np.nanmin(values)), remedy=remedy)


def positive(values: np.ndarray, name: str, *, remedy: str) -> None:
    """Refuses values that are not above zero, NaN among them, and counts them."""
    wrong = int(np.sum(~(values > 0.0)))
    if wrong:
        raise DataError(f"{name} are not all positive", value=f"{wrong} of {np.size(values)}", remedy=remedy)


def between_0_and_1(value: float, name: str) -> None:
    """Refuses a share, such as a coverage, a confidence or a significance level, outside the open interval (0, 1)."""
    if not 0.0 < value < 1.0:
        raise DataError(f"a {name} lies between 0 and 1", value=value, remedy="Write 90 % as 0.9.")


def columns(frame: Any, names: Iterable[str], source: str) -> None:
    """Refuses a data frame without some of the columns, and names them."""
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise DataError(f"columns are missing: {', '.join(missing)}", source=source, remedy="Run the study again.")


def known(value: str, options: Iterable[str], problem: str, *, source: object = None, column: object = None) -> None:
    """Refuses a name that is not among ``options``, and names the nearest."""
    options = list(options)
    if value not in options:
        raise DataError(problem, source=source, column=column, value=value, remedy=did_you_mean(str(value), options))


def no_row(
    wrong: ArrayLike,
    problem: str,
    *,
    show: Callable[[int], str] | None = None,
    source: object = None,
    column: object = None,
    what: str = "rows",
    remedy: str,
) -> None:
    """Refuses rows of which one is ``wrong`` (n,): a DataError with the first of them and their number.

    ``show`` says what stands in that row, its number alone by default; ``what`` is counted.
    """
    rows = np.nonzero(np.asarray(wrong))[0]
    if rows.size:
        first = show(int(rows[0])) if show else f"row {int(rows[0])}"
        raise DataError(problem, source=source, column=column, value=f"{first}; {rows.size} {what}", remedy=remedy)


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}"


def _against(values: Iterable[object]) -> str:
    return " against ".join(str(value) for value in values)
