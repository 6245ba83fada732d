"""Horizons: weighted layers against sums by hand, faults refused by profile and row or left out and named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jaxsoil.data.rasters.horizons import HorizonTable, layer_values, read_horizons
from jaxsoil.data.rasters.sites import Layer
from jaxsoil.runs.errors import DataError

SITES = np.array(["b", "a", "c"])
HEAD = "site,top,bottom,om\n"
GOOD = HEAD + "a,0,10,3.448\na,10,20,1.724\nb,4,12,1.724\na,20,30,\n"


def table(**changes: object) -> HorizonTable:
    options: dict[str, object] = {"factor": "1/1.724"} | changes
    return HorizonTable("h.csv", "site", "top", "bottom", "om", **options)  # pyright: ignore[reportArgumentType]


def written(folder: Path, text: str) -> Path:
    (folder / "h.csv").write_text(text)
    return folder / "h.csv"


def test_layers_are_means_weighted_by_thickness(tmp_path: Path) -> None:
    found, notes = read_horizons(table(), written(tmp_path, GOOD), SITES)
    layers = (Layer(0, 5), Layer(5, 15), Layer(15, 30))
    half = layer_values(found, SITES, layers, np.array([0.5, 0.5, 0.3]))
    # a: 5 of 5 cm; 5 cm of 2 % and 5 cm of 1 %; 5 of 15 cm. b: 1 of 5 cm is too little; 7 of 10 cm. c: nothing.
    np.testing.assert_allclose(half, [[np.nan, 1.0, np.nan], [2.0, 1.5, 1.0], [np.nan] * 3])
    whole = layer_values(found, SITES, layers, np.ones(3))
    np.testing.assert_allclose(whole, [[np.nan] * 3, [2.0, 1.5, np.nan], [np.nan] * 3])
    assert notes == []


@pytest.mark.parametrize(
    ("line", "message", "note"),
    [
        ("c,14,14,1", r"has no thickness \(found: c, row 4: 14 to 14 cm; 1 horizons\)", "1 horizons left out"),
        ("c,30,10,1", "upside down.*c, row 4: 30 to 10 cm", "1 horizons left out"),
        ("c,-5,10,1", "negative depth.*c, row 4", "1 horizons left out"),
        ("c,,10,1", "has no depth.*c, row 4", "1 horizons left out"),
        ("d,0,10,1", "table of sites lacks.*d, row 4", "1 horizons left out"),
        ("a,0,10,3.448", "repeats another of its site.*a, row 4", "1 horizons left out"),
        ("b,11,20,1", "overlaps with another of its site.*b, row 4: 11 to 20 cm", "All horizons of 1 sites left out"),
        ("b,0,20,1", "overlaps with another of its site.*b, row 2: 4 to 12 cm", "All horizons of 1 sites left out"),
    ],
)
def test_a_faulty_horizon_is_refused_by_profile_and_row_or_left_out(
    tmp_path: Path, line: str, message: str, note: str
) -> None:
    source = written(tmp_path, GOOD + line + "\n")
    with pytest.raises(DataError, match=message) as refused:
        read_horizons(table(), source, SITES)
    assert "h.csv" in str(refused.value) and "leave_out_faults" in str(refused.value)
    found, notes = read_horizons(table(leave_out_faults=True), source, SITES)
    assert len(notes) == 1 and notes[0].startswith(note)
    assert ("b" in found.site) == (not note.startswith("All")) and (found.bottom > found.top).all()


@pytest.mark.parametrize(
    ("text", "changes", "message"),
    [
        (GOOD.replace("a,10,20,1.724", "a,10,20,-1"), {"leave_out_faults": True}, "not negative.*a, row 1"),
        (GOOD, {"factor": 0.0}, "factor is a positive number"),
        (HEAD + "a,5,5,1\n", {"leave_out_faults": True}, "no horizon is left"),
        (GOOD.replace("3.448", "traces"), {}, "traces"),
    ],
)
def test_what_cannot_be_left_out_is_refused(
    tmp_path: Path, text: str, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_horizons(table(**changes), written(tmp_path, text), SITES)
