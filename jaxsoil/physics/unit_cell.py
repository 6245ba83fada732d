"""Volumes of crystal unit cells from the way mineral tables write them: '0.517*0.894*0.995', 'β = 1.987 rad'."""

from __future__ import annotations

import math
import re

_NUMBER = r"\d+(?:\.\d+)?"
_ANGLE = re.compile(rf"(α|β|γ|alpha|beta|gamma)\s*=\s*({_NUMBER})\s*(rad|°|deg\w*)?", re.IGNORECASE)
_GREEK = {"alpha": "α", "beta": "β", "gamma": "γ"}

# Word by which a table names the system -> (system, number of edges it needs).
_SYSTEMS = (
    ("isometric", "cubic", 1),
    ("cubic", "cubic", 1),
    ("tetragonal", "tetragonal", 2),
    ("hex", "hexagonal", 2),  # "Hex/rhombo": rhombohedral cells are given on hexagonal axes
    ("ditrigonal", "hexagonal", 2),
    ("trigonal", "hexagonal", 2),
    ("orthorhombic", "orthorhombic", 3),
    ("monoclinic", "monoclinic", 3),
    ("triclinic", "triclinic", 3),
)


def parse_edges(text: str) -> tuple[float, ...]:
    """Returns the edges in the unit of the text; a range ('0.660-0.662') counts as its middle.

    Raises:
      ValueError: a part that is neither a number nor a range.
    """
    edges = []
    for part in text.split(",")[0].split("*"):
        found = re.fullmatch(rf"\s*({_NUMBER})\s*(?:[-–]\s*({_NUMBER}))?\s*", part)
        if found is None:
            raise ValueError(f"cannot read the cell edge {part.strip()!r}")
        low = float(found[1])
        edges.append((low + float(found[2])) / 2 if found[2] else low)
    return tuple(edges)


def parse_angles(text: str) -> dict[str, float]:
    """Returns the angles named in the text, in radians, by the letters α, β and γ.

    An angle without unit, or below π without one, cannot be told apart by its unit alone; no cell has an
    angle below 4 degrees, so a bare number below 4 is taken as radians.
    """
    angles = {}
    for letter, number, unit in _ANGLE.findall(text):
        value = float(number)
        in_radians = unit == "rad" or (not unit and value < 4.0)
        angles[_GREEK.get(letter.lower(), letter)] = value if in_radians else math.radians(value)
    return angles


def crystal_system(text: str) -> tuple[str, int]:
    """Returns the crystal system that the text names, and the number of edges that its cell needs.

    Raises:
      ValueError: no known system.
    """
    lowered = text.strip().lower()
    for word, name, needed in _SYSTEMS:
        if lowered.startswith(word):
            return name, needed
    raise ValueError(f"unknown crystal system {text!r}")


def cell_volume(edges: str, system: str) -> float:
    """Returns the volume of the unit cell in the cube of the edges' unit.

    V = abc sqrt(1 - cos²α - cos²β - cos²γ + 2 cosα cosβ cosγ), with a = b = c (cubic), a = b (tetragonal,
    hexagonal), γ = 120° (hexagonal axes) and right angles where the system has them (International Tables
    for Crystallography D, section 1.1).

    Args:
      edges: the edges that the system needs, 'a*b*c', 'a*c' or 'a'; angles may follow after a comma.
      system: name of the system, with its angles.

    Raises:
      ValueError: unreadable edges, an unknown system, too few edges, a missing angle.
    """
    name, needed = crystal_system(system)
    lengths, angles = parse_edges(edges), parse_angles(f"{edges} {system}")
    if len(lengths) != needed:
        raise ValueError(f"a {name} cell needs {needed} edges, {len(lengths)} are given in {edges!r}")
    required = {"monoclinic": "β", "triclinic": "αβγ"}.get(name, "")
    if missing := [letter for letter in required if letter not in angles]:
        raise ValueError(f"a {name} cell needs the angle {missing[0]}")
    a, b, c = {1: lengths * 3, 2: (lengths[0], *lengths), 3: lengths}[needed]
    if name == "hexagonal":
        angles = {"γ": math.radians(120.0)}
    cosines = [math.cos(angles[letter]) if letter in angles else 0.0 for letter in "αβγ"]
    squared = 1 - sum(cosine**2 for cosine in cosines) + 2 * math.prod(cosines)
    if squared <= 0:
        raise ValueError(f"the angles in {system!r} do not form a cell")
    return a * b * c * math.sqrt(squared)
