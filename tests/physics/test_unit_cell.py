"""Volumes of unit cells against lattice determinants; cells that cannot be read say why."""

from __future__ import annotations

import math

import numpy as np
import pytest

from jaxsoil.physics.unit_cell import cell_volume, crystal_system, parse_angles, parse_edges


def lattice_volume(a, b, c, alpha, beta, gamma):
    """The determinant of the lattice vectors: independent of the formula under test."""
    al, be, ga = (math.radians(angle) for angle in (alpha, beta, gamma))
    x = math.cos(be)
    y = (math.cos(al) - math.cos(be) * math.cos(ga)) / math.sin(ga)
    vectors = [
        [a, 0, 0],
        [b * math.cos(ga), b * math.sin(ga), 0],
        [c * x, c * y, c * math.sqrt(1 - x * x - y * y)],
    ]
    return float(np.linalg.det(vectors))


@pytest.mark.parametrize(
    ("edges", "system", "cell"),
    [
        ("0.564", "cubic", (0.564, 0.564, 0.564, 90, 90, 90)),
        ("1.1526", "Isometric", (1.1526, 1.1526, 1.1526, 90, 90, 90)),
        ("0.499*1.706", "Hex/rhomo", (0.499, 0.499, 1.706, 90, 90, 120)),
        ("0.49133*0.54053", "Trigonal", (0.49133, 0.49133, 0.54053, 90, 90, 120)),
        ("0.695 * 0.634", "Ditrigonal scalenhedral", (0.695, 0.695, 0.634, 90, 90, 120)),
        ("0.45937 * 0.29581", "Tetragonal ", (0.45937, 0.45937, 0.29581, 90, 90, 90)),
        ("0.4608 * 0.9956 * 0.30215", "Orthorhombic", (0.4608, 0.9956, 0.30215, 90, 90, 90)),
        ("0.517*0.894*0.995", "Monoclinic, β = 99.54°", (0.517, 0.894, 0.995, 90, 99.54, 90)),
        (
            "0.567 * 1.515 * 0.628",
            "Monoclinic, β = 1.987 rad",
            (0.567, 1.515, 0.628, 90, math.degrees(1.987), 90),
        ),
        ("1.77 * 1.79 * 0.74, beta = 116 degrees", "Monoclinic", (1.77, 1.79, 0.74, 90, 116, 90)),
        (
            "0.794*0.732*0.707",
            "Triclinic, α = 90.03°, β = 95.37°, γ = 103.43°",
            (0.794, 0.732, 0.707, 90.03, 95.37, 103.43),
        ),
        ("0.66-0.67 * 0.59-0.61", "Tetragonal", (0.665, 0.665, 0.6, 90, 90, 90)),
    ],
)
def test_cell_volume_equals_the_determinant_of_the_lattice(edges, system, cell):
    np.testing.assert_allclose(cell_volume(edges, system), lattice_volume(*cell), rtol=1e-12)


@pytest.mark.parametrize(
    ("edges", "system", "message"),
    [
        ("0.5*0.6", "Orthorhombic", "needs 3 edges"),
        ("0.5*0.6*0.7", "Monoclinic", "needs the angle β"),
        ("0.5*0.6*0.7", "amorphous", "unknown crystal system"),
        ("0.5*?*0.7", "Orthorhombic", "cannot read the cell edge"),
        ("", "cubic", "cannot read the cell edge"),
        ("0.5*0.6*0.7", "Triclinic, α = 10°, β = 20°, γ = 170°", "do not form a cell"),
    ],
)
def test_unreadable_cells_say_why(edges, system, message):
    with pytest.raises(ValueError, match=message):
        cell_volume(edges, system)


def test_edges_and_angles_are_read_as_tables_write_them():
    assert parse_edges("0.5*0.6-0.7 * 1") == pytest.approx((0.5, 0.65, 1.0))
    assert parse_angles("alpha = 90, β=1.5708 rad, γ = 120°") == pytest.approx(
        {"α": math.pi / 2, "β": 1.5708, "γ": 2 * math.pi / 3}
    )
    # Below 4 without a unit an angle is taken as radians.
    assert parse_angles("β = 1.987") == {"β": 1.987} and crystal_system(" Hex/rhombo") == ("hexagonal", 2)
