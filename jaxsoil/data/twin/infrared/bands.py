"""What the constituents of a soil absorb in the infrared: one table for the fundamentals and for their overtones.

Positions in the mid-infrared are those of the published band assignments that ``tests/data`` holds them against.
A near-infrared band names the fundamentals whose overtone or combination it is, so that both ranges share a cause;
their sum differs from the position by the anharmonicity, less than 4 %. Widths and strengths are ours: they give a
soil of average composition bands of the depth that the ranges show, and are fitted to no data set.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

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


def _constituent(
    name: str,
    kind: str,
    bands: Sequence[tuple[float, float, float]],
    overtones: Sequence[tuple[float, float, float, tuple[float, ...]]] = (),
    water: Sequence[tuple[float, float, float]] = (),
    **second_form: float,
) -> Constituent:
    """A constituent from rows of its table: bands of one kind, overtones, and bands of water."""
    kinds = [*(Band(*row, kind) for row in bands), *(Band(*row, WATER) for row in water)]
    return Constituent(name, tuple(kinds), tuple(Overtone(*row) for row in overtones), **second_form)


# Each row: bands (position and width in cm-1, strength), then overtones (position and width in nm, strength, causes).
# fmt: off
CONSTITUENTS = (
    _constituent("quartz", MINERAL, [
        (1080, 90, 14), (1165, 50, 5), (800, 16, 4), (780, 16, 4), (697, 14, 3), (1340, 40, 0.2), (1990, 45, 0.5),
        (1876, 45, 0.7), (1795, 35, 0.4)], shift=1.5),
    _constituent("feldspar", MINERAL, [(1015, 100, 12), (1100, 80, 8), (760, 25, 2.5), (650, 40, 2)]),
    _constituent("kaolinite", MINERAL, [
        (3695, 22, 8), (3669, 20, 2.5), (3651, 22, 2.5), (3620, 20, 7), (1115, 40, 9), (1030, 60, 16), (1008, 40, 14),
        (938, 25, 3), (915, 30, 8), (795, 25, 1.5), (690, 30, 3)],
        [(1395, 20, 0.1, (3695, 3695)), (1414, 18, 0.14, (3620, 3620)), (2162, 30, 0.22, (3695, 938)),
        (2208, 26, 0.4, (3620, 915)), (2312, 30, 0.08, (3620, 690)), (2350, 30, 0.1, (3620, 690))],
        shift=2.0, broadening=1.6),
    _constituent("smectite", MINERAL, [
        (3626, 60, 5), (3430, 280, 2.5), (1630, 60, 0.8), (1035, 130, 15), (915, 35, 2.5), (840, 30, 2)],
        [(1414, 25, 0.1, (3626, 3626)), (2208, 35, 0.22, (3626, 915)), (2240, 40, 0.05, (3626, 840))], shift=5.0),
    _constituent("illite", MINERAL, [(3620, 70, 4.5), (1025, 110, 14), (915, 40, 2), (830, 40, 1.5), (755, 20, 1)],
        [(1410, 30, 0.05, (3620, 3620)), (2208, 40, 0.16, (3620, 915)), (2348, 40, 0.11, (3620, 755))]),
    _constituent("calcite", MINERAL, [
        (2592, 50, 0.5), (2515, 60, 2.2), (2150, 40, 0.1), (1796, 22, 1.6), (1430, 110, 22), (875, 18, 9),
        (714, 12, 4)],
        [(1995, 50, 0.05, (2515, 2515)), (2160, 40, 0.05, (1796, 1430, 1430)), (2340, 55, 0.24, (1430, 1430, 1430)),
        (2495, 60, 0.16, (2515, 1430))]),
    _constituent("dolomite", MINERAL, [
        (2627, 50, 0.6), (2526, 60, 2.2), (1802, 25, 1), (1445, 110, 21), (881, 18, 8), (726, 12, 4)],
        [(2320, 55, 0.24, (1445, 1445, 1445)), (2490, 60, 0.12, (2526, 1445))]),
    _constituent("gibbsite", MINERAL, [
        (3620, 20, 4), (3525, 30, 5), (3460, 50, 5), (3398, 60, 4), (1020, 60, 8), (970, 40, 5)],
        [(1452, 30, 0.1, (3460, 3460)), (2268, 45, 0.35, (3460, 970))]),
    _constituent("iron oxides", MINERAL, [(3100, 200, 3), (900, 40, 5), (800, 35, 4), (650, 70, 5)]),
    _constituent("allophane", MINERAL, [(3450, 400, 3), (1630, 70, 0.8), (1000, 150, 12)],
        [(1400, 60, 0.1, (3450, 3450)), (2190, 60, 0.12, (3450, 1000))]),
    _constituent("water", MINERAL, [(3430, 280, 16)],
        [(1455, 60, 3, (3430, 3430)), (1912, 45, 6, (3430, 1640)), (1950, 90, 4.5, (3430, 1640))],
        shift=-14.0, broadening=1.2, water=[(3300, 480, 18), (1640, 75, 14)]),
    _constituent("aliphatic", ORGANIC, [
        (2957, 25, 9), (2920, 45, 36), (2850, 30, 24), (1460, 40, 14), (1375, 20, 5), (720, 12, 5)],
        [(1726, 25, 1.6, (2920, 2920)), (1762, 25, 1.1, (2850, 2850)), (2310, 30, 3.2, (2850, 1460)),
        (2347, 30, 2.5, (2850, 1375))]),
    _constituent("polysaccharide", ORGANIC, [
        (3400, 350, 16), (2900, 60, 6), (1370, 40, 5), (1160, 50, 14), (1070, 60, 22), (1035, 50, 22), (900, 25, 3)],
        [(1490, 80, 0.8, (3400, 3400)), (2100, 90, 1.8, (3400, 1370)), (2276, 50, 0.9, (2900, 1370)),
        (2335, 50, 0.7, (2900, 1370))]),
    _constituent("lignin", ORGANIC, [
        (3075, 60, 3), (2930, 60, 6), (1600, 50, 14), (1510, 25, 14), (1450, 40, 8), (1270, 50, 12), (1230, 50, 9),
        (835, 30, 4)],
        [(1685, 35, 0.6, (3075, 3075)), (2140, 50, 0.6, (3075, 1600)), (2270, 50, 0.5, (2930, 1450))]),
    _constituent("charcoal", ORGANIC, [(3050, 80, 2), (1585, 90, 10)]),
    _constituent("protein", ORGANIC, [(3320, 150, 14), (3080, 60, 2), (1655, 50, 28), (1540, 45, 18), (1270, 50, 8)],
        [(1510, 50, 0.9, (3320, 3320)), (2055, 50, 1.6, (3320, 1540)), (2180, 45, 1.3, (1655, 1655, 1270))],
        shift=-5.0),
    _constituent("carboxylic acid", ORGANIC, [(3100, 450, 7), (1720, 50, 30), (1225, 80, 14)],
        [(1930, 45, 0.4, (1720, 1720, 1720))], shift=-6.0),
    _constituent("carboxylate", ORGANIC, [(1600, 70, 30), (1400, 50, 20)],
        [(2080, 50, 0.2, (1600, 1600, 1600))], shift=-8.0),
)
# fmt: on
NAMES = tuple(constituent.name for constituent in CONSTITUENTS)
ORGANICS = ("aliphatic", "polysaccharide", "lignin", "charcoal", "protein", "carboxylic acid", "carboxylate")
