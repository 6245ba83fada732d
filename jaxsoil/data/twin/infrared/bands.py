"""What the constituents of a soil absorb in the infrared: one table for the fundamentals and for their overtones.

Positions in the mid-infrared are those of the published band assignments that ``tests/data`` holds them against.
A near-infrared band names the fundamentals whose overtone or combination it is, so that both ranges share a cause;
their sum differs from the position by the anharmonicity, less than 4 %. Widths and strengths are ours: they give a
soil of average composition bands of the depth that the ranges show, and are fitted to no data set.
"""

from __future__ import annotations

import dataclasses
import tomllib
from importlib import resources

MINERAL, ORGANIC, WATER = "min", "org", "water"


@dataclasses.dataclass(frozen=True)
class Band:
    """A fundamental: position and full width (cm-1), absorption at its centre for a mass fraction of 1, kind."""

    centre: float
    width: float
    strength: float
    kind: str


@dataclasses.dataclass(frozen=True)
class Overtone:
    """A near-infrared band: position and full width (nm), absorption at its centre, and its fundamentals (cm-1)."""

    centre: float
    width: float
    strength: float
    fundamentals: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Constituent:
    """One absorber.

    Args:
      name: of the constituent.
      bands: fundamentals.
      overtones: near-infrared bands.
      shift: of its second form (disordered, bound to a mineral ...) against the first, cm-1 at 2000 cm-1 and in
        proportion elsewhere.
      broadening: width of the second form's bands over the first's.
    """

    name: str
    bands: tuple[Band, ...]
    overtones: tuple[Overtone, ...]
    shift: float = 3.0
    broadening: float = 1.3


def _read() -> tuple[Constituent, ...]:
    """The table of the package: rows of bands and overtones by constituent, with water that some of them hold."""
    text = (resources.files("jaxsoil.data.twin.infrared") / "bands.toml").read_text("utf-8")
    found = []
    for row in tomllib.loads(text)["constituent"]:
        kinds = [(row["kind"], band) for band in row["bands"]] + [(WATER, band) for band in row.get("water", ())]
        bands = (Band(centre, width, strength, kind) for kind, (centre, width, strength) in kinds)
        overtones = (Overtone(at, width, size, tuple(causes)) for at, width, size, causes in row.get("overtones", ()))
        second_form = {name: row[name] for name in ("shift", "broadening") if name in row}
        found.append(Constituent(row["name"], tuple(bands), tuple(overtones), **second_form))
    return tuple(found)


CONSTITUENTS = _read()
NAMES = tuple(constituent.name for constituent in CONSTITUENTS)
ORGANICS = ("aliphatic", "polysaccharide", "lignin", "charcoal", "protein", "carboxylic acid", "carboxylate")
