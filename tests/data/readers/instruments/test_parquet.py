"""Parquet tables and NumPy archives."""

import io
import pickle

import numpy as np
import pandas as pd
import pytest

from jaxsoil.data.readers import instruments
from jaxsoil.runs.errors import DataError
from tools.instrument_files import NM, spectrum, zipped

VALUES = spectrum(np.random.default_rng(0), NM, 4).astype(np.float32)
FRAME = pd.DataFrame(VALUES, columns=[f"{at:g}" for at in NM]).assign(soc=[1.0, 2.0, np.nan, 4.0], name=list("abcd"))
ASKED = {"unit": "nm", "quantity": "reflectance"}


def test_table(tmp_path):
    FRAME.to_parquet(tmp_path / "soils.parquet")
    reading = instruments.read(tmp_path / "soils.parquet", **ASKED)
    np.testing.assert_array_equal(reading.spectra.values, VALUES)
    assert reading.ids == tuple("abcd")
    assert reading.labels is not None
    pd.testing.assert_frame_equal(reading.labels, FRAME.loc[:, ["soc", "name"]])


def test_missing_values_refuse_their_row(tmp_path):
    FRAME.assign(**{"1500": [0.1, None, 0.3, np.inf]}).to_parquet(tmp_path / "soils.parquet")
    reading = instruments.read(tmp_path / "soils.parquet", **ASKED)
    assert reading.ids == ("a", "c")
    assert [one.row for one in reading.refused] == ["b", "d"]


def test_measured_table(data_root):
    reading = instruments.read(
        data_root / "afsis113" / "afsis_mir_113_unlabelled.parquet", unit="cm-1", quantity="absorbance"
    )
    # Its first band is missing in 101 rows.
    assert reading.spectra.values.shape == (113, 1750)


@pytest.mark.parametrize("cut", [slice(0, 100), slice(0, -10), slice(50, None)])
def test_damaged_table_is_refused(tmp_path, cut):
    path = tmp_path / "soils.parquet"
    FRAME.to_parquet(path)
    path.write_bytes(path.read_bytes()[cut])
    with pytest.raises(DataError, match=r"soils\.parquet: "):
        instruments.read(path, **ASKED)


def test_bands_of_text_are_refused(tmp_path):
    FRAME.assign(**{"1500": list("wxyz")}).to_parquet(tmp_path / "soils.parquet")
    with pytest.raises(DataError, match=r"soils\.parquet: "):
        instruments.read(tmp_path / "soils.parquet", **ASKED)


def test_numpy_archive(tmp_path):
    np.savez(tmp_path / "a.npz", values=VALUES, axis=NM, ids=list("abcd"), unit="nm", quantity="reflectance")
    reading = instruments.read(tmp_path / "a.npz")
    np.testing.assert_array_equal(reading.spectra.values, VALUES)
    assert reading.ids == tuple("abcd")


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


def test_pickles_are_not_loaded(tmp_path):
    np.savez(tmp_path / "a.npz", values=VALUES, axis=np.array([Bomb()], dtype=object))
    with pytest.raises(DataError, match="allow_pickle"):
        instruments.read(tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(DataError, match=r"not what its extension says .NumPy. .found: a pickle"):
        instruments.read(tmp_path / "b.npz")


def test_array_larger_than_its_file_is_refused(tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, VALUES)
    content = zipped({"values.npy": buffer.getvalue().replace(b"(4, 150)", b"(99,150)")})
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"an array is larger than the file that holds it .found: shape .99, 150"):
        instruments.read(tmp_path / "a.npz")


def test_numpy_archive_without_an_axis_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", values=VALUES)
    with pytest.raises(DataError, match="the archive lacks axis"):
        instruments.read(tmp_path / "a.npz")
