"""What the predictors of a bundle share: modelling scales, rows in parts, and trees of arrays as one level."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxsoil.runs.errors import DataError

SCALES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "unit": lambda values: values,
    "log10": lambda values: 10.0**values,
    "log1p": np.expm1,
}
"""How a modelling scale is undone."""

ROWS = 1024
"""Rows of a network's forward pass; fewer rows are padded to a power of two, so that few programs compile."""


def batched(apply: Callable[[Any], Any], x: np.ndarray) -> list[Any]:
    """What ``apply`` makes of the rows of (t, m) spectra, part by part, on the host."""
    import jax

    found = []
    for start in range(0, max(len(x), 1), ROWS):
        part = np.asarray(x[start : start + ROWS], np.float32)
        count = len(part)
        missing = min(ROWS, 1 << max(count - 1, 0).bit_length()) - count
        filled = np.concatenate([part, np.ones((missing, x.shape[1]), np.float32)]) if missing else part
        found.append(jax.tree.map(lambda y, n=count: np.asarray(y)[:n], apply(filled)))
    return found


def undone(values: np.ndarray, scales: Sequence[str]) -> np.ndarray:
    """Values (t, p) in the units of their properties, from their modelling scales."""
    with np.errstate(over="ignore"):
        return np.stack([SCALES[scale](column) for scale, column in zip(scales, values.T, strict=True)], axis=1)


def flat(tree: Mapping[str, Any], above: str = "") -> dict[str, np.ndarray]:
    """A nested dictionary of arrays as one level, its keys joined by "/"."""
    found: dict[str, np.ndarray] = {}
    for name, value in tree.items():
        found |= flat(value, f"{above}{name}/") if isinstance(value, Mapping) else {f"{above}{name}": np.asarray(value)}
    return found


def nested(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The nested dictionary that :func:`flat` came from."""
    tree: dict[str, Any] = {}
    for name, values in arrays.items():
        *above, last = name.split("/")
        place = tree
        for part in above:
            place = place.setdefault(part, {})
        place[last] = values
    return tree


def scales_of(facts: Mapping[str, Any], count: int) -> tuple[str, ...]:
    """Modelling scales of ``count`` properties among the facts of a predictor; DataError where they do not fit."""
    scales = tuple(facts["scales"])
    if len(scales) != count or not set(scales) <= set(SCALES):
        raise DataError(
            "the modelling scales do not fit the properties", value=scales, remedy="Write the bundle again."
        )
    return scales
