"""SPC files, built from the documented layout and held against spc-io, an independent reader."""

import io

import numpy as np
import pytest

from jaxsoil.data.readers import instruments
from jaxsoil.runs.errors import DataError
from tools.instrument_files import CM, NM, spc, spectrum

VALUES = spectrum(np.random.default_rng(0), CM, 3)


def read(tmp_path, content, **settings):
    (tmp_path / "soil.spc").write_bytes(content)
    return instruments.read(tmp_path / "soil.spc", **settings)


@pytest.mark.parametrize(("coding", "tolerance"), [("float", 1e-7), ("int32", 1e-7), ("int16", 1e-4)])
@pytest.mark.parametrize("n", [1, 3])
def test_codings(tmp_path, coding, tolerance, n):
    reading = read(tmp_path, spc(VALUES[:n], CM[0], CM[-1], coding=coding))
    np.testing.assert_allclose(reading.spectra.values, VALUES[:n, ::-1], atol=tolerance)
    np.testing.assert_allclose(reading.spectra.axis, CM[::-1])
    assert reading.ids == (("soil",) if n == 1 else ("soil:0", "soil:1", "soil:2"))
    assert (reading.spectra.quantity, reading.instrument) == ("absorbance", "Nicolet")


@pytest.mark.parametrize("coding", ["float", "int32", "int16"])
def test_spc_io_reads_the_same_values(tmp_path, coding):
    """spc-io takes a spectrum's own exponent also where the file's counts, hence files of several spectra."""
    spc_io = pytest.importorskip("spc_io")
    content = spc(VALUES, CM[0], CM[-1], coding=coding)
    theirs = spc_io.low_level.SpcRaw.from_bytes_io(io.BytesIO(content))
    reading = read(tmp_path, content)
    for row, sub in enumerate(theirs.subs):
        np.testing.assert_array_equal(reading.spectra.values[row, ::-1], np.asarray(sub.yarray).astype(np.float32))


def test_uneven_axis(tmp_path):
    axis = np.sort(np.random.default_rng(1).uniform(1000.0, 2400.0, CM.size))
    reading = read(tmp_path, spc(VALUES[:1], axis=axis, x_type=3, y_type=129))
    np.testing.assert_array_equal(reading.spectra.axis, axis.astype(np.float32))
    assert (reading.spectra.unit, reading.spectra.quantity) == ("nm", "reflectance")


def test_what_the_file_does_not_say_is_asked_for(tmp_path):
    content = spc(VALUES[:1, : NM.size], NM[0], NM[-1], x_type=0, y_type=0)
    with pytest.raises(DataError, match=r'does not say its unit. Pass unit="nm".* The axis runs from 1000 to 2490'):
        read(tmp_path, content)
    with pytest.raises(DataError, match=r'does not say its quantity. Pass quantity="reflectance"'):
        read(tmp_path, content, unit="nm")
    assert read(tmp_path, content, unit="nm", quantity="reflectance").spectra.n_bands == NM.size


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (spc(VALUES, version=0x4D), "the old format of LabCalc is not read"),
        (spc(VALUES, version=0x4C), "most significant first is not read"),
        (spc(VALUES, y_type=128), "transmittance is not read"),
        (spc(VALUES, x_type=13), "the file holds no spectrum.*axis of type 13"),
        (spc(VALUES)[:-1], "the file is cut off"),
        (spc(VALUES)[:400], "the header is cut off"),
        (b"\x40" + spc(VALUES)[1:], "an axis of its own"),
        (spc(VALUES)[:4] + b"\xff\xff\xff\x7f" + spc(VALUES)[8:], "the file is cut off"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, content)
