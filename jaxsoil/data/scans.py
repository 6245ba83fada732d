"""Infrared scans, and the data set of the multi-fidelity study: scans, labelled spectra and near-infrared pairs.

These are the types and their checks; ``jaxsoil.data.pairs`` loads data sets by name.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxsoil.data.library import PROTECTED, Library, Strings
from jaxsoil.data.properties import TEXTURE
from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError
from jaxsoil.spectra.container import Spectra

# Three fractions that are each rounded to 0.1 % sum to 100 within 0.15; laboratories allow more.
_TEXTURE_TOLERANCE = 1.0


@dataclasses.dataclass(frozen=True, eq=False)
class Scans:
    """n absorbance scans on one axis, made or read when they are asked for.

    Args:
      axis: (M,) cm-1, ascending.
      samples: (n,) sample of each scan; its repeats must stay on one side of any split.
      reader: gives (r, M) float32 absorbances of (r,) scan numbers.
      state_bytes: what the reader holds in memory, all scans together.
      pedons: (n,) pedon, or other group that no split parts, of each scan, by the names that the labelled and paired
        tables give it; None where no such group is known.
    """

    axis: NDArray[np.float64]
    samples: Strings
    reader: Callable[[NDArray[np.int64]], NDArray[np.float32]]
    state_bytes: int = 0
    pedons: Strings | None = None

    @classmethod
    def of(cls, library: Library) -> Scans:
        """Returns the scans of a library in memory, as absorbance; without the group each row is a sample."""
        spectra = library.spectra.to_unit("cm-1").to_absorbance()
        pedons = library.blocks if set(PROTECTED[1:]) & set(library.groups) else None
        return cls(spectra.axis, library.samples, lambda rows: spectra.values[rows], spectra.values.nbytes, pedons)

    def __len__(self) -> int:
        return len(self.samples)

    def __repr__(self) -> str:
        span = f"{self.axis[0]:g}-{self.axis[-1]:g} cm-1, {self.axis.size} bands"
        return f"Scans({len(self)} scans of {len(np.unique(self.samples))} samples, {span})"

    def read(self, rows: Any) -> NDArray[np.float32]:
        """Returns (r, M) absorbances of the chosen scans (indices, a mask or a slice), in their order.

        A twin makes them in blocks of 512, so that many rows at a time cost less than few.

        Raises:
          DataError: a scan that does not exist.
        """
        chosen = np.arange(len(self))[rows] if isinstance(rows, slice) else np.atleast_1d(np.asarray(rows))
        if chosen.dtype == bool:
            require.same_length({"a mask": chosen, "scans": self}, remedy="Give one truth value for each scan.")
            chosen = np.nonzero(chosen)[0]
        chosen = chosen.astype(np.int64)  # an empty list is float64
        outside = chosen[(chosen < 0) | (chosen >= len(self))]
        if outside.size:
            remedy = f"Count scans from 0 to {len(self) - 1}."
            raise DataError("no such scan", column="rows", value=int(outside[0]), remedy=remedy)
        return self.reader(chosen)

    def select(self, rows: NDArray[np.int64]) -> Scans:
        """Returns the chosen scans, which are read when they are asked for."""
        own = {"samples": self.samples[rows], "pedons": None if self.pedons is None else self.pedons[rows]}
        return dataclasses.replace(self, reader=lambda chosen: self.reader(rows[chosen]), **own)

    def fingerprint(self) -> str:
        """Returns the SHA-256 of axis, samples, pedons and the first and last 512 scans; all would take too long."""
        digest = hashlib.sha256(self.axis.astype("<f8").tobytes())
        digest.update("\n".join(self.samples.tolist()).encode())
        if self.pedons is not None:
            digest.update("\n".join(self.pedons.tolist()).encode())
        for rows in (slice(0, 512), slice(max(len(self) - 512, 0), len(self))):
            digest.update(self.read(rows).astype("<f4").tobytes())
        return digest.hexdigest()


@dataclasses.dataclass(frozen=True, eq=False)
class MultifidelityData:
    """What the stages of the study use; all spectra are absorbance, axes ascend.

    Args:
      name: of the data.
      pretrain: mid-infrared scans with repeats, for stage 1.
      labelled: mid-infrared, one row a sample (its repeats averaged), with properties (NaN where absent).
      paired_mir, paired_nir: the same samples row by row, both ranges.
      test_mir, test_nir: the same samples row by row, from another laboratory or a held-out field.
      notes: what a reader must know.
      truth: of a twin.
    """

    name: str
    pretrain: Scans
    labelled: Library
    paired_mir: Library
    paired_nir: Library
    test_mir: Library
    test_nir: Library
    notes: tuple[str, ...] = ()
    truth: Any = None

    @property
    def has_pairs(self) -> bool:
        """Whether there is any near-infrared; without, ``paired_*`` and ``test_nir`` have no rows."""
        return max(len(self.paired_mir), len(self.paired_nir), len(self.test_nir)) > 0

    def check(self) -> None:
        """Raises DataError, naming what is wrong, unless the parts fit together.

        Refused: rows that do not pair, two ranges that overlap, axes that differ, spectra that are no absorbance, a
        property that is missing for all rows, texture that does not sum to 100 %, and pre-training, labelled or paired
        samples that occur in the test set too.
        """
        if self.has_pairs:
            _check_pairs("paired", self.paired_mir, self.paired_nir, self.name)
            _check_pairs("test", self.test_mir, self.test_nir, self.name)
            _check_ranges(self.paired_mir.spectra, self.paired_nir.spectra, self.name)
        for part in self._libraries().values():
            part.spectra.require_quantity("absorbance")
        for name in ("labelled", "paired_mir", "test_mir"):
            _check_axis(self.pretrain.axis, "cm-1", getattr(self, name), f"{self.name}, {name}", "pretrain")
        nir = self.paired_nir.spectra
        _check_axis(nir.axis, nir.unit, self.test_nir, f"{self.name}, test_nir", "paired_nir")
        for where, library in self._libraries().items():
            _check_properties(library, f"{self.name}, {where}")
        names = {key: np.concatenate([part.samples, part.ids]) for key, part in self._libraries().items()}
        names["pretrain"] = self.pretrain.samples
        for where in ("pretrain", "labelled", "paired_mir"):
            shared = np.intersect1d(names[where], names["test_mir"])
            if shared.size:
                problem = "training and test set share samples"
                value = f"{str(shared[0])!r}; {shared.size} samples"
                remedy = "Leave the test samples, all their repeats included, out of pre-training and training."
                raise DataError(problem, source=self.name, column=where, value=value, remedy=remedy)

    def _libraries(self) -> dict[str, Library]:
        names = ("labelled", "paired_mir", "paired_nir", "test_mir", "test_nir")
        return {name: getattr(self, name) for name in names}


def _check_pairs(what: str, mir: Library, nir: Library, source: str) -> None:
    problem, remedy = "near- and mid-infrared rows do not pair", "Give both the same samples in one order, by id."
    if len(mir) != len(nir):
        value = f"{len(mir)} mid-infrared, {len(nir)} near-infrared rows"
        raise DataError(problem, source=source, column=what, value=value, remedy=remedy)
    require.no_row(
        mir.ids != nir.ids,
        problem,
        show=lambda row: f"{str(mir.ids[row])!r} and {str(nir.ids[row])!r} in row {row}",
        source=source,
        column=what,
        remedy=remedy,
    )


def _check_ranges(mir: Spectra, nir: Spectra, source: str) -> None:
    """Refuses ranges with bands in common; they may meet in one band, as 4000 cm-1 is 2500 nm."""
    (low, high), (near_low, near_high) = ((part.axis[0], part.axis[-1]) for part in (mir, nir.to_unit("cm-1")))
    if max(low, near_low) < min(high, near_high) * (1 - 1e-9):
        value = f"mid-infrared {low:g}-{high:g} cm-1, near-infrared {near_low:.6g}-{near_high:.6g} cm-1"
        remedy = "Cut both at one wavenumber, such as 4000 cm-1: a band in both would be converted from itself."
        raise DataError("the two ranges of the pairs overlap", source=source, column="axis", value=value, remedy=remedy)


def _check_axis(axis: NDArray[np.float64], unit: str, library: Library, where: str, other: str) -> None:
    spectra = library.spectra
    if spectra.is_on_axis(axis, unit):
        return
    value = (
        f"{spectra.axis[0]:g}-{spectra.axis[-1]:g} {spectra.unit}, {spectra.n_bands} bands, against "
        f"{axis[0]:g}-{axis[-1]:g} {unit}, {axis.size} bands"
    )
    remedy = "Bring both to one axis with to_unit(...) and Resample(axis)."
    raise DataError(f"the axis differs from that of {other}", source=where, column="axis", value=value, remedy=remedy)


def _check_properties(library: Library, where: str) -> None:
    for name, prop in library.properties.items():
        if len(library) and np.isnan(prop.values).all():
            value = f"{len(library)} rows"
            remedy = "Leave the property out, or give its values."
            raise DataError("a property is missing for all rows", source=where, column=name, value=value, remedy=remedy)
    if all(name in library.properties for name in TEXTURE):
        total = np.sum([library.property(name).values for name in TEXTURE], axis=0)
        require.no_row(
            np.abs(total - 100.0) > _TEXTURE_TOLERANCE,  # NaN is not measured, and not wrong
            f"clay, silt and sand do not sum to 100 % within {_TEXTURE_TOLERANCE:g}",
            show=lambda row: f"{total[row]:.4g} at {str(library.ids[row])!r}",
            source=where,
            column=" + ".join(TEXTURE),
            remedy="Correct the row, or leave its texture empty.",
        )
