"""The study's data as arrays: pre-treated spectra and the values of its properties, by set."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from jaxsoil.data.library import Library
from jaxsoil.data.properties import PROPERTIES
from jaxsoil.data.scans import MultifidelityData
from jaxsoil.runs.errors import DataError
from jaxsoil.spectra.preprocess import SNV

Array = NDArray[np.float32]


@dataclasses.dataclass(frozen=True, eq=False)
class SpectraSets:
    """SNV absorbance and properties of the labelled library, the pairs and the test set.

    Args:
      data: where they come from.
      properties: the p properties that the labelled library has, in the order of the paper.
      mir: set -> (n, M) SNV absorbance in the mid-infrared ("labelled", "pairs", "test").
      nir: set -> (n, B) SNV absorbance in the near-infrared ("pairs", "test"); empty where nothing is paired.
      values: set -> (n, p) properties, NaN where absent.
    """

    data: MultifidelityData
    properties: tuple[str, ...]
    mir: Mapping[str, Array]
    nir: Mapping[str, Array]
    values: Mapping[str, NDArray[np.float64]]

    @property
    def paired(self) -> bool:
        """Whether there are near-infrared spectra."""
        return bool(self.nir)

    def library(self, part: str) -> Library:
        """The mid-infrared library of a set."""
        return {"labelled": self.data.labelled, "pairs": self.data.paired_mir, "test": self.data.test_mir}[part]


def snv(library: Library) -> Array:
    """Standard normal variate of each absorbance spectrum (n, m), as in the paper for both ranges."""
    return SNV()(library.spectra.to_absorbance()).values


def read_sets(data: MultifidelityData, *, complete: bool) -> SpectraSets:
    """Pre-treats the data of a study.

    Args:
      data: checked data.
      complete: whether rows that lack one of the properties are left out, as in the paper.

    Raises:
      DataError: where no property, or no complete row, is left.
    """
    properties = tuple(name for name in PROPERTIES if name in data.labelled.properties)
    if not properties:
        raise DataError(
            "no property is known", source=data.name, value=", ".join(data.labelled.properties),
            remedy=f"Name at least one of {', '.join(PROPERTIES)}.",
        )  # fmt: skip
    data = _complete(data, properties) if complete else data
    mir = {"labelled": data.labelled, "pairs": data.paired_mir, "test": data.test_mir}
    nir = {"pairs": data.paired_nir, "test": data.test_nir}
    pretreated = [{name: snv(library) for name, library in sets.items() if len(library)} for sets in (mir, nir)]
    values = {name: _values(mir[name], properties) for name in pretreated[0]}
    return SpectraSets(data, properties, *pretreated, values)


def _values(library: Library, properties: tuple[str, ...]) -> NDArray[np.float64]:
    absent = np.full(len(library), np.nan)
    return np.stack(
        [library.properties[name].values if name in library.properties else absent for name in properties], axis=1
    )


def _complete(data: MultifidelityData, properties: tuple[str, ...]) -> MultifidelityData:
    changed = {}
    for names in (("labelled",), ("paired_mir", "paired_nir"), ("test_mir", "test_nir")):
        libraries = {name: getattr(data, name) for name in names}
        rows = np.isfinite(_values(libraries[names[0]], properties)).all(axis=1)
        if rows.size and not rows.any():
            raise DataError(
                "no row has all properties", source=data.name, column=names[0],
                value=", ".join(properties), remedy="Give --no-complete: each property then uses its own rows.",
            )  # fmt: skip
        if not rows.all():
            changed |= {name: library.select(rows) for name, library in libraries.items() if len(library)}
    return dataclasses.replace(data, **changed)
