"""Minerals: constants by hand, exclusions with reasons, the fitted minerals against the measured ones."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pandas as pd
import pytest

from jaxsoil.data.endmembers import EndmemberLibrary, load_usgs, read_endmembers, twin_minerals
from jaxsoil.data.root import USGS_FOLDER
from jaxsoil.physics import parametric_minerals
from jaxsoil.runs.errors import DataError
from jaxsoil.spectra.container import Spectra

AXIS = np.arange(400.0, 421.0, 2.0)


# Reading tables


def row(component, **changes):
    return {
        "component": component,
        "density_best": "2.5",
        "unit_cell_nm": "0.5",
        "crystal_system": "Cubic",
        "unit_cell_volume_nm3_sheet": "",
        **changes,
    }


def tables(*rows, **spectra):
    """Two sound minerals, and the given rows with flat spectra (or those given by name)."""
    sheet = pd.DataFrame([row("one"), row("two"), *rows])
    names = [entry["component"] for entry in sheet.to_dict("records")]
    values = np.array([spectra.get(name, np.full(AXIS.size, 0.3 + 0.01 * i)) for i, name in enumerate(names)])
    table = pd.DataFrame(values, columns=[f"{band:g}" for band in AXIS])
    table.insert(0, "mineral", names)
    return table, sheet


def test_r_and_rho_r_come_from_density_and_cell():
    library = read_endmembers(*tables(row("three", density_best="4", unit_cell_nm="0.8")))
    assert library.names == ("One", "Two", "Three")
    np.testing.assert_allclose(library.r, [0.5, 0.5, 0.8])
    np.testing.assert_allclose(library.rho_r, [1.25, 1.25, 3.2])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"density_best": ""}, "no density"),
        ({"density_best": "2-Mar"}, "holds a date"),
        ({"density_best": "2023-03-02 00:00:00"}, "holds a date"),
        ({"density_best": "?"}, "not a number"),
        ({"density_best": "265"}, "impossible"),
        ({"unit_cell_nm": "", "crystal_system": "Cubic"}, "no cell volume"),
        ({"crystal_system": ""}, "no cell volume: unknown crystal system"),
    ],
)
def test_a_mineral_without_density_or_volume_is_a_named_exclusion(changes, reason):
    library = read_endmembers(*tables(row("three", **changes)))
    assert library.names == ("One", "Two")
    assert reason in library.exclusions["Three"]
    with pytest.raises(DataError, match="was excluded"):
        library.index("Three")


def test_broken_repeated_and_unlisted_spectra_are_excluded():
    broken, same = np.full(AXIS.size, 0.001), np.full(AXIS.size, 0.3)
    table, sheet = tables(row("three"), row("four"), row("five"), three=broken, four=same)
    library = read_endmembers(table, sheet.query("component != 'five'"))
    assert "uncertainty column" in library.exclusions["Three"]
    assert "duplicate of One" in library.exclusions["Four"]
    assert "no row in the sheet" in library.exclusions["Five"]


def test_a_missing_density_can_be_given_with_its_source():
    library = read_endmembers(*tables(row("three", density_best="")), densities={"Three": (2.5, "handbook")})
    assert library.density[2] == 2.5
    assert "handbook" in library.provenance["Three"]["density"]


def test_the_sheets_volume_has_precedence_and_disagreements_are_recorded():
    library = read_endmembers(
        *tables(
            row("agrees", unit_cell_volume_nm3_sheet="0.125"),
            row("decimal", unit_cell_volume_nm3_sheet="1.25"),
            row("unchecked", unit_cell_nm="?", unit_cell_volume_nm3_sheet="0.3"),
        )
    )
    np.testing.assert_allclose(library.cell_volume[2:], [0.125, 1.25, 0.3])
    assert [note.split(":")[0] for note in library.notes] == ["Decimal", "Unchecked"]


def test_one_mineral_is_refused_with_the_reasons_of_the_others():
    table, sheet = tables()
    sheet.loc[1, "density_best"] = ""
    with pytest.raises(DataError, match=r"at least two minerals.*no density"):
        read_endmembers(table, sheet)


# The library


def library_of(values, axis=AXIS, names=None):
    values = np.asarray(values)
    count = len(values)
    return EndmemberLibrary(
        names=tuple(f"M{i}" for i in range(count)) if names is None else names,
        spectra=Spectra(values, axis, "nm", "reflectance"),
        density=np.full(count, 2.5),
        cell_volume=np.full(count, 0.1),
        provenance={},
    )


def test_repeated_names_and_impossible_values_are_refused():
    flat = np.full((2, AXIS.size), 0.5)
    with pytest.raises(DataError, match="unique"):
        library_of(flat, names=("A", "A"))
    with pytest.raises(DataError, match="density"):
        EndmemberLibrary(("A", "B"), Spectra(flat, AXIS, "nm", "reflectance"), np.array([1.0, 0.0]), np.ones(2), {})
    with pytest.raises(DataError, match="differ in length"):
        EndmemberLibrary(("A", "B", "C"), Spectra(flat, AXIS, "nm", "reflectance"), np.ones(3), np.ones(3), {})


def test_select_keeps_the_order_asked_for_and_records_what_is_left_out():
    library = library_of(np.linspace(0.1, 0.9, 3)[:, None] * np.ones(AXIS.size))
    chosen = library.select(["M2", "M0"], reason="too dark")
    np.testing.assert_allclose(chosen.spectra.values[:, 0], [0.9, 0.1], rtol=1e-6)
    assert chosen.exclusions["M1"] == "too dark"
    with pytest.raises(DataError, match="no such mineral"):
        library.select(["M2", "Quarz"])


def test_resample_averages_bands_and_keeps_straight_lines():
    ramp = np.linspace(0.2, 0.6, AXIS.size)
    library = library_of(np.array([ramp, ramp[::-1]])).resample(np.array([405.0, 410.0, 415.0]))
    np.testing.assert_allclose(library.spectra.values[0], [0.3, 0.4, 0.5], rtol=1e-5)


def test_an_axis_that_the_minerals_do_not_cover_is_refused():
    library = library_of(np.full((2, AXIS.size), 0.5))
    with pytest.raises(DataError, match=r"do not cover.*Trim"):
        library.resample(np.array([390.0, 400.0]))


def test_libraries_travel_to_other_processes():
    library = read_endmembers(*tables(row("three", density_best="")))
    again = pickle.loads(pickle.dumps(library))
    assert again.names == library.names and dict(again.exclusions) == dict(library.exclusions)


# Measured minerals


def test_usgs_library(data_root):
    library = load_usgs(data_root)
    assert len(library) == 84
    assert set(library.exclusions) == {
        "Saponite",
        "Bassanite",
        "Hydromagnesite",
        "Montmorillonite",
        "Beidellite",
    }
    # Muscovite's c lost a decimal and brookite's a a digit; the sheet's volumes are the published ones.
    assert [note.split(":")[0] for note in library.notes] == ["Muscovite", "Brookite"]
    assert library.cell_volume[library.index("Muscovite")] == pytest.approx(0.45989)
    # Quartz: 2.65 g cm-3 and 0.113 nm3; gypsum's volume from its cell, 0.567 * 1.515 * 0.628 * sin(1.987).
    assert library.rho_r[library.index("Quartz")] == pytest.approx(2.65 * 0.113 ** (1 / 3))
    assert library.cell_volume[library.index("Gypsum")] == pytest.approx(0.53945514 * math.sin(1.987))
    assert all(set(library.provenance[name]) == {"spectrum", "density", "cell_volume"} for name in library.names)
    with_smectite = load_usgs(data_root, densities={"Montmorillonite": (2.5, "handbook")})
    assert "Montmorillonite" in with_smectite.names


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"PAR1 cut off", b"component\nx\n"])
@pytest.mark.parametrize("damaged", ["endmembers_350_2500_1nm.parquet", "endmember_properties_clean.csv"])
def test_damaged_files_of_minerals_are_refused(tmp_path, damaged, content):
    (tmp_path / USGS_FOLDER).mkdir()
    table, sheet = tables()
    table.to_parquet(tmp_path / USGS_FOLDER / "endmembers_350_2500_1nm.parquet")
    sheet.to_csv(tmp_path / USGS_FOLDER / "endmember_properties_clean.csv", index=False)
    assert load_usgs(tmp_path).names == ("One", "Two")
    (tmp_path / USGS_FOLDER / damaged).write_bytes(content)
    with pytest.raises(DataError):
        load_usgs(tmp_path)


def test_a_reflectance_that_is_text_is_named():
    table, sheet = tables()
    table["400"] = ["0.3", "none"]
    with pytest.raises(DataError, match=r"column 400: a band value is text.*'none' in row 1"):
        read_endmembers(table, sheet)


def test_absent_minerals_say_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"JAXSOIL_DATA.*twin's minerals"):
        load_usgs(tmp_path)


# Fitted minerals


def test_the_fitted_minerals_reproduce_the_measured_ones(data_root):
    measured = load_usgs(data_root)
    fitted = twin_minerals(measured.spectra.axis).select(measured.names)
    rms = np.sqrt(np.mean((fitted.spectra.values - measured.spectra.values) ** 2, axis=1))
    stated = {mineral.name: mineral.rms for mineral in parametric_minerals.load_table()}
    np.testing.assert_allclose(rms, [stated[name] for name in measured.names], atol=2e-5)
    assert rms.max() < 0.01 and np.median(rms) < 0.002
    np.testing.assert_allclose(fitted.rho_r, measured.rho_r, rtol=1e-5)


def test_fitted_minerals_are_plausible_reflectances():
    library = twin_minerals(np.linspace(350, 2500, 400))
    assert len(library) == 86
    assert library.spectra.values.min() > 0 and library.spectra.values.max() < 1


def test_fitted_minerals_refuse_to_extrapolate():
    with pytest.raises(DataError, match="350-2500"):
        twin_minerals(np.array([340.0, 400.0]))
