"""Library: spectra with their properties and groups, one validated table."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError, did_you_mean
from jaxsoil.spectra.container import Spectra

# (n,) text. NDArray[np.str_] would say so, but its run-time check admits empty strings alone.
Strings = NDArray[Any]

PROTECTED = ("sample", "pedon", "profile", "cluster")
"""Groups that no split parts, from the finest to the coarsest; a cluster holds like spectra of soils without a site."""

SOC_IS = "soc_is"
"""Group that says what the number called SOC is, in each row; without it all of it is measured SOC."""

MEASURED, MODELLED = "measured", "modelled"
KINDS_OF_SOC = (MEASURED, MODELLED, "total carbon", "unit presumed")
"""What it may say: "modelled" is predicted from the spectra, "total carbon" has carbonates in it, and "unit presumed"
is a number whose source states no unit."""

SOC_METHOD, NOT_STATED = "soc_method", "not stated"
"""Group that names the laboratory's method for SOC in each row, in any words; what it says where none is known."""

_HASHED = 4096

GROUPS = ("sample", "pedon", "profile", "cluster", "region", "laboratory", "source", "country", SOC_IS, SOC_METHOD)


@dataclasses.dataclass(frozen=True, eq=False, init=False)
class Property:
    """One property of every row.

    Args:
      values: (n,) numbers, NaN where it was not measured; stored as read-only float64.
      unit: "%" by mass, "g/kg", "cmol(+)/kg", "1" for pH ...
    """

    values: NDArray[np.float64]
    unit: str

    def __init__(self, values: ArrayLike, unit: str) -> None:
        numbers = np.array(values, dtype=np.float64)
        numbers.flags.writeable = False
        object.__setattr__(self, "values", numbers)
        object.__setattr__(self, "unit", unit)


@dataclasses.dataclass(frozen=True, eq=False)
class Library:
    """Spectra, properties and groups of the same n rows.

    Args:
      name: name of the data set.
      spectra: n spectra.
      ids: (n,) strings, unique.
      properties: name -> Property of n values. "soc" is always in % by mass.
      groups: name -> (n,) strings, none empty; see ``GROUPS``. A split never parts a sample or a pedon.
      licence: licence of the data.
      notes: exclusions with counts and reasons, unit conversions, known traps.
      truth: known truth of a synthetic library, None for measured ones.

    Raises:
      DataError: lengths that differ, repeated ids, a group without name, impossible values of SOC.
    """

    name: str
    spectra: Spectra
    ids: Strings
    properties: Mapping[str, Property]
    groups: Mapping[str, Strings]
    licence: str = ""
    notes: tuple[str, ...] = ()
    truth: Any = None

    def __post_init__(self) -> None:
        ids = _strings(self.ids)
        groups = {name: _strings(values) for name, values in self.groups.items()}
        properties = dict(self.properties)
        lengths = {"ids": ids, **groups, **{name: prop.values for name, prop in properties.items()}}
        for column, values in lengths.items():
            if values.shape != (len(self.spectra),):
                problem = "a column has another number of rows than the spectra"
                value = f"shape {values.shape} for {len(self.spectra)} spectra"
                remedy = "Give one value for each spectrum."
                raise DataError(problem, source=self.name, column=column, value=value, remedy=remedy)
        names, counts = np.unique(ids, return_counts=True)
        require.no_row(
            counts > 1,
            "ids must be unique",
            show=lambda place: repr(str(names[place])),
            source=self.name,
            column="ids",
            what="ids repeat",
            remedy="Use a column that differs for every row; what repeats (a sample) is a group.",
        )
        for name, values in groups.items():
            require.known(name, GROUPS, "unknown group", source=self.name, column=name)
            if name == SOC_IS:
                for kind in np.unique(values).tolist():
                    require.known(kind, KINDS_OF_SOC, "unknown kind of SOC", source=self.name, column=name)
            empty = np.char.strip(values) == ""
            remedy = "Give every row a group, or exclude the rows without one, with a reason."
            require.no_row(empty, "a group name is empty", source=self.name, column=name, remedy=remedy)
        if "soc" in properties:
            soc = properties["soc"]
            if soc.unit != "%":
                remedy = 'Convert it: 1 % = 10 g/kg (factor = 0.1 and unit = "%" in a manifest).'
                value = soc.unit
                raise DataError("SOC must be in % by mass", source=self.name, column="soc", value=value, remedy=remedy)
            require.no_row(
                (soc.values < 0) | (soc.values > 100),
                "SOC must lie between 0 and 100 %",
                show=lambda row: f"{soc.values[row]:g} at {str(ids[row])!r}",
                source=self.name,
                column="soc",
                remedy="Check the unit (g/kg needs factor = 0.1); leave the cells of missing values empty.",
            )
        object.__setattr__(self, "ids", ids)
        object.__setattr__(self, "groups", MappingProxyType(groups))
        object.__setattr__(self, "properties", MappingProxyType(properties))
        object.__setattr__(self, "notes", tuple(self.notes))

    def __len__(self) -> int:
        return len(self.spectra)

    def __repr__(self) -> str:
        groups = ", ".join(f"{name} {len(np.unique(values))}" for name, values in self.groups.items())
        return f"Library({self.name!r}, {self.spectra!r}, {', '.join(self.properties)}; {groups})"

    def __reduce__(self) -> tuple[Any, ...]:
        # A mapping proxy cannot be pickled, and worker processes receive libraries.
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        fields["properties"], fields["groups"] = dict(self.properties), dict(self.groups)
        return (Library, tuple(fields.values()))

    @property
    def kinds_of_soc(self) -> dict[str, str]:
        """What SOC is in each region with other than measured SOC, such as {"raca99": "modelled"}."""
        kinds = self.groups.get(SOC_IS, np.full(len(self), MEASURED))
        regions = self.groups.get("region", np.full(len(self), self.name))
        found = {name: np.unique(kinds[regions == name]).tolist() for name in np.unique(regions).tolist()}
        return {name: ", ".join(kinds) for name, kinds in found.items() if kinds != [MEASURED]}

    # Above the method `property`, which hides the decorator below it.
    @property
    def samples(self) -> Strings:
        """(n,) the sample of each row; without the group each row is its own."""
        return self.groups.get("sample", self.ids)

    @property
    def blocks(self) -> Strings:
        """(n,) the coarsest of the groups that no split parts, ``PROTECTED``; without, the row's id."""
        return next((self.groups[name] for name in reversed(PROTECTED) if name in self.groups), self.ids)

    def property(self, name: str) -> Property:
        """Returns a property by name; an unknown one raises DataError with the nearest name."""
        if name not in self.properties:
            remedy = did_you_mean(name, self.properties)
            raise DataError("no such property", source=self.name, column=name, remedy=remedy)
        return self.properties[name]

    def group(self, name: str) -> Strings:
        """Returns a group column by name; an absent one raises DataError that says how to give it."""
        if name not in self.groups:
            near = did_you_mean(name, self.groups)
            remedy = f"Name it under [groups] in the manifest, as a column or as a constant. {near}"
            raise DataError("the data have no such group column", source=self.name, column=name, remedy=remedy)
        return self.groups[name]

    def select(self, rows: Any) -> Library:
        """Returns the chosen rows (a mask, indices or a slice); ``truth`` is cut with its own ``select``."""
        truth = self.truth.select(rows) if hasattr(self.truth, "select") else self.truth
        return dataclasses.replace(
            self,
            spectra=self.spectra[rows],
            ids=self.ids[rows],
            properties={k: Property(p.values[rows], p.unit) for k, p in self.properties.items()},
            groups={k: v[rows] for k, v in self.groups.items()},
            truth=truth,
        )

    def with_spectra(self, spectra: Spectra) -> Library:
        """Returns the library with other spectra of the same rows (after preprocessing)."""
        return dataclasses.replace(self, spectra=spectra)

    def fingerprint(self) -> str:
        """Returns the SHA-256 of spectra, ids, properties and groups: equal content, equal fingerprint."""
        digest = hashlib.sha256()

        def feed(label: str, content: bytes) -> None:
            digest.update(f"{label}:{len(content)}:".encode())
            digest.update(content)

        feed("axis", self.spectra.axis.astype("<f8").tobytes())
        values = self.spectra.values
        digest.update(f"values:{4 * values.size}:".encode())
        for start in range(0, len(values), _HASHED):  # in parts: they may be mapped from a disk
            digest.update(values[start : start + _HASHED].astype("<f4").tobytes())
        feed("kind", f"{self.spectra.unit} {self.spectra.quantity}".encode())
        feed("ids", _joined(self.ids))
        for name in sorted(self.properties):
            prop = self.properties[name]
            feed(f"property {name} {prop.unit}", prop.values.astype("<f8").tobytes())
        for name in sorted(self.groups):
            feed(f"group {name}", _joined(self.groups[name]))
        return digest.hexdigest()


def _strings(values: Any) -> Strings:
    strings = np.array(values, dtype=np.str_)
    strings.flags.writeable = False
    return strings


def _joined(values: Strings) -> bytes:
    # Independent of the width that numpy chose for the strings.
    return "\x1f".join(values.tolist()).encode()
