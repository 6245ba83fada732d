"""Soil properties as what a model predicts, and back: log(1 + y), ILR of the texture, standardisation."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxsoil.data.properties import TEXTURE
from jaxsoil.runs.errors import DataError

LOGGED = ("tc", "tn", "ic", "eoc", "cec")
"""Properties taken as log(1 + y): all but pH and the particle sizes (multi-fidelity paper, section 2.5)."""


@dataclasses.dataclass(frozen=True, eq=False)
class Targets:
    """Properties in training units: transformed and standardised by the training rows.

    Args:
      properties: names of the p columns of values.
      ilr: whether clay, silt and sand become two ILR coordinates, so that predictions sum to 100 %.
      centre, scale: (q,) mean and standard deviation of the transformed training rows; q = p, or p - 1 with ILR.
    """

    properties: tuple[str, ...]
    ilr: bool
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def fit(cls, values: ArrayLike, properties: Sequence[str], *, ilr: bool = False, constant: bool = False) -> Targets:
        """Learns centre and scale from the training rows.

        Args:
          values: (n, p) measured values of the training rows, NaN where absent.
          properties: names of the p columns.
          ilr: see the class.
          constant: whether a property whose training values are all alike may stay, with scale 1.

        Raises:
          DataError: a property without two different values, one below -1 that is taken as log(1 + y), or ILR
            without all three particle sizes.
        """
        properties = tuple(properties)
        if ilr and not set(TEXTURE) <= set(properties):
            raise DataError(
                "ILR needs clay, silt and sand",
                value=", ".join(properties),
                remedy="Use data with the three particle sizes, or leave ILR out.",
            )
        transformed = _transform(np.asarray(values, np.float64), properties, ilr)
        centre, scale = np.zeros(transformed.shape[1]), np.ones(transformed.shape[1])
        for place, (name, column) in enumerate(zip(_columns(properties, ilr), transformed.T, strict=True)):
            measured = column[np.isfinite(column)]
            if measured.size and (measured.size < 2 or np.ptp(measured) == 0) and constant:
                centre[place] = measured[0]
                continue
            if measured.size < 2 or np.ptp(measured) == 0:
                raise DataError(
                    "a property needs two different values among the training rows",
                    column=name,
                    value=f"{measured.size} measured values",
                    remedy="Leave the property out, or train on more rows.",
                )
            centre[place], scale[place] = measured.mean(), measured.std(ddof=1)
        return cls(properties, ilr, centre, scale)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the q training columns."""
        return _columns(self.properties, self.ilr)

    def forward(self, values: ArrayLike) -> NDArray[np.float64]:
        """(n, p) values in their units to (n, q) training units; NaN stays NaN."""
        return (_transform(np.asarray(values, np.float64), self.properties, self.ilr) - self.centre) / self.scale

    def inverse(self, scaled: ArrayLike) -> NDArray[np.float64]:
        """(n, q) training units to (n, p) values in their units; with ILR clay + silt + sand = 100."""
        columns = dict(zip(self.columns, (np.asarray(scaled, np.float64) * self.scale + self.centre).T, strict=True))
        found = {name: np.expm1(column) if name in LOGGED else column for name, column in columns.items()}
        if self.ilr:
            from jaxsoil.spectra import compositions

            coordinates = np.stack([columns["ilr1"], columns["ilr2"]], axis=1)
            parts = np.asarray(compositions.ilr_inverse(coordinates, 100.0))
            found |= dict(zip(TEXTURE, parts.T, strict=True))
        return np.stack([found[name] for name in self.properties], axis=1)


def _columns(properties: tuple[str, ...], ilr: bool) -> tuple[str, ...]:
    if not ilr:
        return properties
    return (*(name for name in properties if name not in TEXTURE), "ilr1", "ilr2")


def _transform(values: NDArray[np.float64], properties: tuple[str, ...], ilr: bool) -> NDArray[np.float64]:
    if values.ndim != 2 or values.shape[1] != len(properties):
        raise DataError(
            "one column for each property",
            value=f"values {values.shape}, {len(properties)} properties",
            remedy="Pass an array (n, p) in the order of the names.",
        )
    columns = dict(zip(properties, values.T, strict=True))
    for name in set(LOGGED) & set(properties):
        if np.nanmin(columns[name], initial=0.0) <= -1.0:
            raise DataError(
                "log(1 + y) needs values above -1",
                column=name,
                value=float(np.nanmin(columns[name])),
                remedy="Correct the values: these properties are not negative.",
            )
        columns[name] = np.log1p(columns[name])
    if ilr:
        columns |= dict(zip(("ilr1", "ilr2"), _texture_coordinates(columns).T, strict=True))
    return np.stack([columns[name] for name in _columns(properties, ilr)], axis=1)


def _texture_coordinates(columns: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """ILR coordinates (n, 2), NaN for rows without all three particle sizes."""
    from jaxsoil.spectra import compositions

    parts = np.stack([columns[name] for name in TEXTURE], axis=1)
    whole = np.isfinite(parts).all(axis=1)
    coordinates = np.full((len(parts), 2), np.nan)
    if whole.any():
        coordinates[whole] = np.asarray(compositions.ilr(parts[whole]))
    return coordinates
