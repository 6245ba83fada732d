"""Compositions such as clay, silt and sand: closure, zeros, isometric log-ratios and their inverse.

One implementation serves NumPy and JAX: it computes with the library its input belongs to, float64 or float32.

The D - 1 coordinates refer to the orthonormal basis of :func:`basis`, the Helmert matrix, which is a sequential
binary partition: coordinate i weighs the geometric mean of the first i parts against part i + 1,

    y_i = sqrt(i / (i + 1)) ln((x_1 x_2 ... x_i)^(1/i) / x_{i+1}),   i = 1 .. D - 1,

so for (clay, silt, sand): y_1 = ln(clay / silt) / sqrt(2) and y_2 = sqrt(2/3) ln(sqrt(clay silt) / sand).

Source of the transform: the multi-fidelity study, section 2.5, Eqs. 8 and 9, which states neither basis nor zeros;
both are ours.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsoil.runs.errors import DataError

TOTAL = 100.0
"""Sum of the parts, percent."""

DELTA = 0.05
"""Percent that stands for a zero: half of the 0.1 % to which texture is commonly reported."""


def closure(parts: Any, total: float = TOTAL) -> Any:
    """Scales each row (..., D) of non-negative parts to the sum ``total``.

    >>> closure(np.array([1.0, 1.0, 2.0])).tolist()
    [25.0, 25.0, 50.0]
    """
    xp = _library(parts)
    return parts / xp.sum(parts, axis=-1, keepdims=True) * total


def replace_zeros(parts: Any, delta: float = DELTA, total: float = TOTAL) -> Any:
    """Multiplicative replacement: zeros become ``delta`` and the others shrink to make room for them.

    After closure to ``total``, a part x_j > 0 becomes x_j (1 - z delta / total), z the zeros of its row, so ratios
    between parts that were measured stay as they were and the sum stays ``total``. Rows without zeros are closed
    alone. Parts between 0 and ``delta`` are measurements and stay.

    Args:
      parts: (..., D) non-negative.
      delta: what stands for a zero, in the unit of ``total``; z delta must stay below ``total``.
      total: sum of a row.
    """
    xp = _library(parts)
    closed = closure(parts, total)
    zero = closed <= 0
    count = xp.sum(zero, axis=-1, keepdims=True).astype(closed.dtype)
    # The zeros themselves are constants: their gradient is 0, and no logarithm of a zero follows.
    return xp.where(zero, xp.full_like(closed, delta), closed * (1.0 - count * (delta / total)))


def basis(parts: int) -> np.ndarray:
    """Orthonormal basis (D, D - 1) of the log-ratios, float64: columns of length 1 that sum to 0.

    Column i is sqrt(i / (i + 1)) (1/i, ..., 1/i, -1, 0, ..., 0), with i entries of 1/i.
    """
    if parts < 2:
        raise DataError("a composition needs at least two parts", value=parts, remedy="Give all parts of the whole.")
    v = np.zeros((parts, parts - 1))
    for i in range(1, parts):
        v[:i, i - 1] = 1.0 / i
        v[i, i - 1] = -1.0
        v[:, i - 1] *= np.sqrt(i / (i + 1.0))
    return v


def ilr(parts: Any, delta: float = DELTA) -> Any:
    """Coordinates (..., D - 1) of parts (..., D) with any positive sum; zeros are replaced first.

    Raises:
      DataError: NumPy parts that are negative, not finite or all zero (JAX arrays are not checked).
    """
    xp = _library(parts)
    if xp is np:
        parts = np.asarray(parts, np.float64)
        wrong = ~np.isfinite(parts).all(axis=-1) | (parts < 0).any(axis=-1) | ~(parts.sum(axis=-1) > 0)
        if wrong.any():
            row = np.argwhere(np.atleast_1d(wrong))[0]
            value = f"row {int(row[0])}: {np.atleast_2d(parts)[row[0]].tolist()}"
            remedy = "Parts are finite and not negative, with a positive sum: leave such rows out."
            raise DataError("no composition", value=value, remedy=remedy)
    logs = xp.log(replace_zeros(parts, delta))
    return _product(xp, logs, basis(parts.shape[-1]))


def ilr_inverse(coordinates: Any, total: float = TOTAL) -> Any:
    """Parts (..., D) of coordinates (..., D - 1), which sum to ``total``.

    NumPy results sum to ``total`` exactly in float64, in whatever order they are added: they are rounded to multiples
    of 1.4e-14 (for 100), and the largest is the rest. JAX results do so to float32 rounding.
    """
    xp = _library(coordinates)
    if xp is np:
        coordinates = np.asarray(coordinates, np.float64)
    logs = _product(xp, coordinates, basis(coordinates.shape[-1] + 1).T)
    # The largest part is exp(0): no overflow, and a sum of at least 1.
    largest = xp.max(logs, axis=-1, keepdims=True)
    parts = closure(xp.exp(logs - (jax.lax.stop_gradient(largest) if xp is jnp else largest)), total)
    if xp is jnp:
        return parts
    # On the grid of the floating-point numbers next to the total (1.4e-14 for 100) every partial sum is representable,
    # so sums in any order are exact. The largest part is the rest.
    step = np.spacing(total)
    parts = np.round(parts / step) * step
    place = np.argmax(parts, axis=-1)[..., None]
    others = np.where(np.arange(parts.shape[-1]) == place, 0.0, parts).sum(axis=-1, keepdims=True)
    np.put_along_axis(parts, place, total - others, axis=-1)
    return parts


def _library(values: Any) -> Any:
    return jnp if isinstance(values, jax.Array) else np


def _product(xp: Any, values: Any, matrix: np.ndarray) -> Any:
    matrix = xp.asarray(matrix, dtype=values.dtype)
    return xp.matmul(values, matrix, **({"precision": jax.lax.Precision.HIGHEST} if xp is jnp else {}))
