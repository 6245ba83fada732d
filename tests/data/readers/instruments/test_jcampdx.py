"""JCAMP-DX files in the forms of the standard."""

import numpy as np
import pytest

from jaxsoil.data.readers import instruments
from jaxsoil.runs.errors import DataError
from tools.instrument_files import CM, NM, jcamp, spectrum

VALUES = spectrum(np.random.default_rng(0), CM)[0]


def read(tmp_path, text, **settings):
    (tmp_path / "soil.jdx").write_text(text)
    return instruments.read(tmp_path / "soil.jdx", **settings)


@pytest.mark.parametrize("form", ["AFFN", "DIF", "XY"])
def test_forms(tmp_path, form):
    reading = read(tmp_path, jcamp(VALUES, CM, form=form))
    np.testing.assert_allclose(reading.spectra.values[0], VALUES[::-1], atol=1e-6)
    np.testing.assert_allclose(reading.spectra.axis, CM[::-1])
    assert (reading.spectra.unit, reading.spectra.quantity) == ("cm-1", "absorbance")
    assert reading.instrument == "made by us"


@pytest.mark.parametrize(
    ("x", "y", "axis", "unit", "quantity"),
    [
        ("NANOMETERS", "REFLECTANCE", NM, "nm", "reflectance"),
        ("MICROMETERS", "REFLECTANCE", NM / 1000.0, "nm", "reflectance"),
        ("1/CM", "LOG(1/R)", CM, "cm-1", "absorbance"),
    ],
)
def test_units(tmp_path, x, y, axis, unit, quantity):
    spectra = read(tmp_path, jcamp(VALUES[: axis.size], axis, x=x, y=y, form="XY")).spectra
    assert (spectra.unit, spectra.quantity) == (unit, quantity)
    np.testing.assert_allclose(spectra.axis[[0, -1]], sorted((axis * (1000.0 if x[:3] == "MIC" else 1.0))[[0, -1]]))


def test_percent(tmp_path):
    reading = read(tmp_path, jcamp(100.0 * VALUES, CM, y="% REFLECTANCE"))
    np.testing.assert_allclose(reading.spectra.values[0], VALUES[::-1], atol=1e-5)
    assert reading.spectra.steps == ("fraction from percent",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (jcamp(VALUES, CM, y="TRANSMITTANCE"), "transmittance is not read"),
        (jcamp(VALUES, CM, y="KUBELKA-MUNK"), "kubelka-munk is not read"),
        (jcamp(VALUES, CM, y="ARBITRARY UNITS"), "does not say its quantity"),
        (jcamp(VALUES, CM, x="SECONDS"), "does not say its unit"),
        (jcamp(VALUES, CM).replace("NPOINTS=170", "NPOINTS=171"), "points are missing or damaged"),
        (jcamp(VALUES, CM).replace("NPOINTS=170", "NPOINTS=1999999999"), "the number of points is damaged"),
        (jcamp(VALUES, CM, form="DIF").replace("J", "K", 9), "points are missing or damaged"),
        (jcamp(VALUES, CM).replace("##XYDATA=(X++(Y..Y))", "##PEAK TABLE=(XY..XY)"), r"soil\.jdx: "),
        ("##TITLE=a\n##DATA TYPE=LINK\n" + jcamp(VALUES, CM), "holds several spectra"),
        (jcamp(VALUES, CM).replace("##END", "A" + 5000 * "S" + "\n##END"), "longer than the format allows"),
        (jcamp(VALUES, CM)[:400], r"soil\.jdx: "),
    ],
)
def test_other_files_are_refused(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, text)


def test_xy_pairs_are_held_against_the_header(tmp_path):
    with pytest.raises(DataError, match="does not run from FIRSTX to LASTX"):
        read(tmp_path, jcamp(VALUES, CM, form="XY").replace("FIRSTX=4000", "FIRSTX=3000"))
