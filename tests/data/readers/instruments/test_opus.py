"""OPUS files: the measured ones against the table made from them, and built ones for what may go wrong."""

import struct

import numpy as np
import pandas as pd
import pytest

from jaxsoil.data.readers import instruments
from jaxsoil.runs.errors import DataError
from tools.instrument_files import CM, opus, spectrum

VALUES = spectrum(np.random.default_rng(0), CM)[0]


def read(tmp_path, content, **settings):
    (tmp_path / "soil.0").write_bytes(content)
    return instruments.read(tmp_path / "soil.0", **settings)


def test_measured_files_agree_with_their_table(data_root):
    table = pd.read_parquet(data_root / "woodwell604" / "woodwell604_nir_mir_absorbance.parquet").set_index("file")
    bands = [name for name in table.columns if name[0].isdigit()][::-1]
    found = list(instruments.readings(data_root / "woodwell604" / "opus"))
    assert len(found) == 8
    for path, reading in found:
        assert isinstance(reading, instruments.Reading)
        inside = reading.spectra.axis > 600.0  # the table ends there, the files at 179 cm-1
        np.testing.assert_allclose(reading.spectra.axis[inside], [float(name) for name in bands], atol=0.006)
        np.testing.assert_array_equal(
            reading.spectra.values[0, inside], table.loc[path.name, bands].to_numpy(np.float32)
        )
        assert (reading.spectra.unit, reading.spectra.quantity) == ("cm-1", "absorbance")
        assert reading.instrument == "Vertex 70"


def test_built_file_descends_in_the_file_and_ascends_in_the_reading(tmp_path):
    reading = read(tmp_path, opus(VALUES, CM[0], CM[-1]))
    np.testing.assert_array_equal(reading.spectra.values[0], VALUES[::-1].astype(np.float32))
    np.testing.assert_allclose(reading.spectra.axis, CM[::-1])
    assert reading.ids == ("soil",)


def test_reflectance_and_micrometres(tmp_path):
    reading = read(tmp_path, opus(VALUES, 2.5, 10.0, block=12, unit=b"MI\0\0"))
    assert reading.spectra.quantity == "reflectance"
    np.testing.assert_allclose(reading.spectra.axis[[0, -1]], [2500.0, 10_000.0])
    assert reading.spectra.steps == ("axis from um to nm",)


def test_transmittance_is_refused(tmp_path):
    with pytest.raises(DataError, match="transmittance is not read"):
        read(tmp_path, opus(VALUES, CM[0], CM[-1], block=5))


def test_single_channels_are_refused(tmp_path):
    with pytest.raises(DataError, match="no absorbance and no reflectance"):
        read(tmp_path, opus(VALUES, CM[0], CM[-1], block=1))


def test_negative_length_of_a_parameter_ends_in_an_error(tmp_path):
    """It would hold brukeropus for ever."""
    content = bytearray(opus(VALUES, CM[0], CM[-1]))
    struct.pack_into("<h", content, content.index(b"NPT\0") + 6, -4)
    with pytest.raises(DataError, match="a block of parameters is damaged"):
        read(tmp_path, bytes(content))


def test_number_of_points_is_held_against_the_block(tmp_path):
    content = bytearray(opus(VALUES, CM[0], CM[-1]))
    struct.pack_into("<i", content, content.index(b"NPT\0") + 8, 2**31 - 1)
    with pytest.raises(DataError, match=r"soil\.0: "):
        read(tmp_path, bytes(content))


@pytest.mark.parametrize("end", [3, 30, 200, 700])
def test_truncated_file_is_refused(tmp_path, end):
    with pytest.raises(DataError):
        read(tmp_path, opus(VALUES, CM[0], CM[-1])[:end])
