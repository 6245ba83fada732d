"""The bands of measured sets: none that is right is questioned, all that are wrong are."""

import numpy as np
import pytest

from jaxsoil.data import registry
from jaxsoil.data.readers import instruments
from jaxsoil.data.readers.instruments import bands
from jaxsoil.spectra.container import Spectra

NAMED = (
    "CV.98", "H.138", "MG.44", "NRW.115", "NRW.42", "NRW.62", "O.32", "RP.62", "SA.112", "SC.93", "SL.125", "SP.231",
    "SSP.460", "SSP.58", "UL.120", "csiro100", "geeves", "geeves_moisture", "nirsoil", "raca99", "yamsys",
)  # fmt: skip
FILES = {
    "woodwell604": ("woodwell604/woodwell604_nir_mir_absorbance.parquet", "cm-1"),
    "bungoma140": ("bungoma140/bungoma_mir_140.parquet", "cm-1"),
    "afsis113": ("afsis113/afsis_mir_113_unlabelled.parquet", "cm-1"),
    "abisko108": ("abisko108/abisko_vnir_108.parquet", "nm"),
}


def load(name, data_root) -> Spectra:
    if name in FILES:
        path, unit = FILES[name]
        return instruments.read(data_root / path, unit=unit, quantity="absorbance").spectra
    return registry.load(name).spectra


def wrong(spectra: Spectra) -> dict[str, Spectra]:
    """The set with the mistakes that range and unit do not show."""
    other = "absorbance" if spectra.quantity == "reflectance" else "reflectance"
    shifts = (60.0, 100.0, 150.0) if spectra.unit == "nm" else (100.0, 164.0, 250.0)
    return {
        "other quantity": spectra.replace(quantity=other),
        "reversed": spectra.replace(values=spectra.values[:, ::-1]),
        **{f"shift {sign * by:g}": spectra.replace(axis=spectra.axis + sign * by) for by in shifts for sign in (1, -1)},
    }


@pytest.mark.parametrize("name", [*NAMED, *FILES])
def test_right_sets_pass_and_wrong_ones_are_questioned(name, data_root):
    spectra = load(name, data_root)
    assert bands.question(spectra) == []
    assert bands.question(spectra.to_unit("nm" if spectra.unit == "cm-1" else "cm-1")) == []
    missed = [mistake for mistake, one in wrong(spectra).items() if not bands.question(one)]
    assert not missed


@pytest.mark.slow
@pytest.mark.parametrize(("n", "needless", "missed"), [(1, 21, 0), (10, 2, 2)])
def test_few_spectra(n, needless, missed, data_root):
    """The numbers that docs/data.md gives: 20 draws from each of the 25 sets, each with four mistakes."""
    generator, found = np.random.default_rng(0), [0, 0]
    for name in [*NAMED, *FILES]:
        spectra = load(name, data_root)
        for _ in range(20):
            drawn = spectra[generator.choice(len(spectra), n, replace=False)]
            found[0] += bool(bands.question(drawn))
            found[1] += sum(not bands.question(one) for one in list(wrong(drawn).values())[:4])
    # The float32 of another machine may move one or two across the line.
    assert abs(found[0] - needless) <= 2
    assert abs(found[1] - missed) <= 2


def test_axis_that_counts_bands_is_questioned(data_root):
    spectra = registry.load("nirsoil").spectra  # 1100 to 2498 nm by 2
    counted = spectra.replace(axis=1100.0 + np.arange(spectra.n_bands))
    assert bands.question(counted) and bands.question(spectra.replace(axis=1800.0 + np.arange(spectra.n_bands)))


def built(centre: float, width: float = 20.0) -> Spectra:
    """One absorption on a straight line."""
    axis = np.arange(1000.0, 2100.0, 2.0)
    line = 0.5 - 1e-4 * (axis - 1000.0)
    peaks = 0.2 * np.exp(-(((axis - centre) / width) ** 2)) + 0.1 * np.exp(-(((axis - centre + 501.0) / width) ** 2))
    return Spectra([line + peaks], axis, "nm", "absorbance")


@pytest.mark.parametrize("centre", [1900.0, 1915.0, 1930.0])
def test_band_in_its_place_is_not_questioned(centre):
    assert bands.question(built(centre)) == []


@pytest.mark.parametrize("centre", [1850.0, 1975.0])
def test_band_is_named_with_where_it_lies(centre):
    questions = bands.question(built(centre))
    assert any(line.startswith("water near 1915 nm") for line in questions)
    assert any(f"{centre:g}"[:3] in line for line in questions)


def test_what_cannot_be_judged_is_not():
    assert bands.question(built(1915.0).replace(quantity="pretreated")) == []
    assert bands.question(Spectra(np.ones((1, 50)), np.arange(400.0, 900.0, 10.0), "nm", "reflectance")) == []


@pytest.mark.parametrize("width", [5, 21])
def test_the_curvature_is_that_of_savitzky_and_golay(width: int) -> None:
    from scipy.signal import savgol_filter

    values = np.random.default_rng(0).normal(size=60).cumsum()
    expected = np.asarray(savgol_filter(values, width, 3, deriv=2))
    np.testing.assert_allclose(bands.curvature(values, width), expected, rtol=1e-8, atol=1e-10)
