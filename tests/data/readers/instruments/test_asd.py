"""ASD files of every version, built from the documented layout (tools/instrument_files.py)."""

import struct

import numpy as np
import pytest

from jaxsoil.data.readers import instruments
from jaxsoil.runs.errors import DataError
from tools.instrument_files import NM, asd, spectrum

REFLECTANCE = spectrum(np.random.default_rng(0), NM)[0]
WHITE = np.linspace(20_000.0, 30_000.0, NM.size)


def write(tmp_path, content, name="soil.asd"):
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


@pytest.mark.parametrize("version", range(2, 9))
@pytest.mark.parametrize("numbers", ["<f4", "<f8"])
def test_spectrum_over_reference(tmp_path, version, numbers):
    reading = instruments.read(write(tmp_path, asd(REFLECTANCE * WHITE, WHITE, version=version, numbers=numbers)))
    np.testing.assert_allclose(reading.spectra.values[0], REFLECTANCE, rtol=1e-6)
    np.testing.assert_allclose(reading.spectra.axis, NM)
    assert (reading.spectra.unit, reading.spectra.quantity, reading.format) == ("nm", "reflectance", "ASD")
    assert reading.ids == ("soil",)
    assert reading.instrument == "ASD FieldSpec FR 1234"


def test_whole_counts_over_a_reference(tmp_path):
    counts = np.round(REFLECTANCE * WHITE)
    reading = instruments.read(write(tmp_path, asd(counts, WHITE, kind=0, numbers="<i4")))
    np.testing.assert_allclose(reading.spectra.values[0], counts / np.trunc(WHITE), rtol=1e-6)


def test_version_1_has_no_reference(tmp_path):
    reading = instruments.read(write(tmp_path, asd(REFLECTANCE, version=1)))
    np.testing.assert_allclose(reading.spectra.values[0], REFLECTANCE, rtol=1e-6)


def test_stored_reflectance_and_absorbance_are_taken_as_they_are(tmp_path):
    reading = instruments.read(write(tmp_path, asd(REFLECTANCE, kind=1)))
    np.testing.assert_allclose(reading.spectra.values[0], REFLECTANCE, rtol=1e-6)
    reading = instruments.read(write(tmp_path, asd(-np.log10(REFLECTANCE), kind=8)))
    assert reading.spectra.quantity == "absorbance"
    np.testing.assert_allclose(reading.spectra.values[0], -np.log10(REFLECTANCE), rtol=1e-5)


def test_numbered_files_are_told_apart_by_their_content(tmp_path):
    assert instruments.read(write(tmp_path, asd(REFLECTANCE), "soil.001")).format == "ASD"


def test_long_description_moves_the_reference(tmp_path):
    content = asd(REFLECTANCE * WHITE, WHITE, description=b"a white panel, scanned twice")
    np.testing.assert_allclose(instruments.read(write(tmp_path, content)).spectra.values[0], REFLECTANCE, rtol=1e-6)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (asd(REFLECTANCE * WHITE, kind=0), "raw counts without a white reference"),
        (asd(REFLECTANCE, kind=2), "holds radiance"),
        (asd(REFLECTANCE, kind=6), "holds transmittance"),
        (asd(REFLECTANCE, kind=77), "holds data of type 77"),
        (asd(REFLECTANCE, WHITE), "spectrum and reference are not of one kind"),
        (asd(REFLECTANCE, 0.0 * WHITE)[:484], "the spectrum is cut off"),
        (asd(REFLECTANCE * WHITE, WHITE, version=3)[:-8], "the reference is cut off"),
        (asd(REFLECTANCE)[:300], "the header is cut off"),
        (asd(REFLECTANCE * WHITE), "reflectance must be a fraction"),
        (asd(100.0 * REFLECTANCE), r'pass quantity="reflectance_percent"'),
        (asd(np.full(NM.size, 0.3)), "the spectrum is constant"),
    ],
)
def test_file_that_is_no_reflectance_is_refused(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        instruments.read(write(tmp_path, content))


def test_sizes_in_the_header_are_held_against_the_file(tmp_path):
    content = bytearray(asd(REFLECTANCE))
    struct.pack_into("<H", content, 204, 65_535)
    with pytest.raises(DataError, match="the spectrum is cut off"):
        instruments.read(write(tmp_path, bytes(content)))


def test_dead_channel_of_the_reference_refuses_the_spectrum(tmp_path):
    white = WHITE.copy()
    white[3] = 0.0
    with pytest.raises(DataError, match=r"no spectrum of the file can be used.*inf at 1030 nm is missing or infinite"):
        instruments.read(write(tmp_path, asd(REFLECTANCE * WHITE, white)))
