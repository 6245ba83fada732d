"""What ``jaxsoil data describe`` prints and draws."""

from __future__ import annotations

import numpy as np
import pytest

from jaxsoil.data.library import Library, Property
from jaxsoil.report.library import describe, draw
from jaxsoil.spectra.container import Spectra


@pytest.fixture
def library() -> Library:
    axis = np.arange(400.0, 500.0, 10.0)
    values = np.linspace(0.2, 0.4, 5)[:, None] + np.zeros((5, axis.size))
    soc = Property([1.0, 2.0, np.nan, 4.0, 10.0], "%")
    groups = {"region": np.array(["a", "a", "b", "b", "b"]), "sample": np.array(list("vwxyz"))}
    return Library(
        "five", Spectra(values, axis, "nm", "reflectance"), np.arange(5), {"soc": soc}, groups, "CC0", ("n",)
    )


def test_counts_ranges_units_and_missing_values(library):
    lines = describe(library).splitlines()
    assert lines[0] == "five: 5 rows, 10 bands, 400 to 490 nm, reflectance"
    assert lines[1] == "values: 0.2 to 0.4, median 0.3 (of 5 rows)"
    row = next(line for line in lines if line.startswith("soc"))
    assert row.split() == ["soc", "%", "4", "1", "1", "3", "10"]
    assert next(line for line in lines if line.startswith("region")).split() == ["region", "2", "b", "(3),", "a", "(2)"]
    assert lines[-2:] == ["licence: CC0", "note: n"]


def test_the_figure_is_drawn(library, tmp_path):
    draw(library, tmp_path / "five.png")
    assert (tmp_path / "five.png").read_bytes().startswith(b"\x89PNG")
