"""Mistakes of unit, scale and quantity are found; what somebody confirmed is let through."""

import numpy as np
import pytest

from jaxsoil.runs.errors import DataError
from jaxsoil.spectra.checks import CHECKS, check_entry

NM = np.arange(350.0, 2501.0, 5.0)
CM = np.arange(600.0, 4001.0, 4.0)


def soils_nm(axis=NM, n=7):
    """Reflectance that rises through the visible, with water bands at 1420 and 1930 nm."""
    level = np.linspace(0.2, 0.5, n)[:, None]
    shape = 1 - 0.8 * np.exp(-(axis - 350) / 300)
    for centre, depth in ((1420, 0.1), (1930, 0.2)):
        shape = shape * (1 - depth * np.exp(-0.5 * ((axis - centre) / 30) ** 2))
    return level * shape


def soils_cm(axis=CM, n=7):
    """Mid-infrared absorbance with O-H stretching near 3400 cm-1."""
    return np.linspace(0.5, 1.5, n)[:, None] * (0.3 + np.exp(-0.5 * ((axis - 3400) / 200) ** 2))


def check(values, axis=NM, unit="nm", quantity="reflectance", confirm=()):
    check_entry(values, axis, unit, quantity, source="mine.csv", confirm=confirm)


def test_plausible_spectra_pass():
    check(soils_nm())
    check(-np.log10(soils_nm()), quantity="absorbance")
    check(soils_cm(), CM, "cm-1", "absorbance")
    check(10 ** -soils_cm(), CM, "cm-1")
    check(soils_nm()[:, ::-1], 1e7 / NM[::-1], "cm-1")


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("scale", (100 * soils_nm(),), r"mine.csv.*looks like percent.*scale = 0.01"),
        ("scale", (0.01 * soils_nm(),), "divided by 100 again.*scale = 1"),
        ("quantity", (-np.log10(soils_nm()),), "1930 nm: declared reflectance but looks like absorbance"),
        ("quantity", (soils_nm(), NM, "nm", "absorbance"), "declared absorbance but looks like reflectance"),
        ("quantity", (soils_cm(), CM, "cm-1"), "looks like absorbance.*3400|3400.*looks like absorbance"),
        ("quantity", (10 ** -soils_cm(), CM, "cm-1", "absorbance"), "looks like reflectance"),
        ("unit", (soils_nm(), NM, "cm-1"), 'declared in cm-1 but looks like nm.*unit = "nm"'),
        ("unit", (10 ** -soils_cm(), CM, "nm"), "declared in nm but looks like cm-1"),
        ("unit", (soils_nm(), np.linspace(4000, 12000, NM.size), "nm"), "looks like cm-1"),
    ],
)
def test_each_mistake_is_named_with_its_remedy_and_can_be_confirmed(name, arguments, message):
    with pytest.raises(DataError, match=message):
        check(*arguments)
    others = [check_name for check_name in CHECKS if check_name != name]
    with pytest.raises(DataError, match=message.split(".*")[0]):
        check(*arguments, confirm=others)
    check(*arguments, confirm=[name, "range", "quantity"])


@pytest.mark.parametrize(("centre", "axis"), [("1420", NM[NM < 1700]), ("510", NM[NM < 900])])
def test_shorter_axes_are_judged_by_what_they_cover(centre, axis):
    with pytest.raises(DataError, match=f"{centre}.*looks like absorbance"):
        check(-np.log10(soils_nm(axis)), axis)


def test_an_axis_without_evidence_is_not_judged():
    axis = np.arange(2200.0, 2400.0, 5.0)
    check(-np.log10(soils_nm(axis)) * 0.5, axis)


def test_the_majority_of_spectra_decides():
    values = soils_nm()
    values[:3] = -np.log10(values[:3])
    check(values, confirm=["range"])


@pytest.mark.parametrize("bad", [0.0, -0.1, 1.6])
def test_reflectance_outside_its_range_is_named_by_band_and_row(bad):
    values = soils_nm()
    values[4, 10] = bad
    with pytest.raises(DataError, match=r"column 400 nm.*outside \(0, 1.5\].*row 4; 1 rows"):
        check(values)
    check(values, confirm=["range"])


def test_absorbance_outside_its_range():
    values = -np.log10(soils_nm())
    values[0, 0] = 9.9
    with pytest.raises(DataError, match=r"column 350 nm.*absorbance lies outside"):
        check(values, quantity="absorbance")


def test_percent_declared_absorbance():
    with pytest.raises(DataError, match=r"absorbance.*median.*percent"):
        check(100 * soils_nm(), quantity="absorbance")


def test_missing_values_and_axis_cannot_be_confirmed_away():
    values = soils_nm()
    values[2, 3] = np.nan
    with pytest.raises(DataError, match=r"mine.csv, column 365.*row 2"):
        check(values, confirm=list(CHECKS))
    with pytest.raises(DataError, match=r"descends.*order"):
        check(soils_nm(), NM[::-1], confirm=list(CHECKS))


def test_pretreated_spectra_are_checked_for_axis_and_gaps_alone():
    check(np.random.default_rng(0).standard_normal((3, NM.size)), quantity="pretreated")
