"""R files: data frames written by rdata's own writer, and matrix columns built from R's serialization format."""

import gzip

import numpy as np
import pandas as pd
import pytest

from jaxsoil.data.readers import instruments
from jaxsoil.runs.errors import DataError
from tools.instrument_files import NM, r_file, spectrum

VALUES = spectrum(np.random.default_rng(0), NM, 3)
NAMES = [f"{at:g}" for at in NM]
ASKED = {"unit": "nm", "quantity": "reflectance"}
COLUMNS = {"id": ["a", "b", "c"], "soc": np.array([1.0, 2.0, 3.0]), "spc": (NAMES, VALUES)}


@pytest.mark.parametrize("name", [None, "soils"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_matrix_column(tmp_path, name, pack):
    path = tmp_path / ("soils.rds" if name is None else "soils.rda")
    path.write_bytes(pack(r_file(COLUMNS, name=name)))
    reading = instruments.read(path, **ASKED)
    np.testing.assert_array_equal(reading.spectra.values, VALUES.astype(np.float32))
    assert reading.ids == ("a", "b", "c")
    assert reading.labels is not None
    assert reading.labels["soc"].tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("suffix", ["rds", "rda"])
def test_frame_written_by_rdata(tmp_path, suffix):
    rdata = pytest.importorskip("rdata")
    frame = pd.DataFrame(VALUES, columns=[f"X{name}" for name in NAMES])
    frame.insert(0, "site", pd.Categorical(["one", "two", "one"]))
    frame.insert(1, "depth", np.array([5, 15, 30], dtype=np.int32))
    if suffix == "rds":
        rdata.write_rds(tmp_path / "soils.rds", frame)
    else:
        rdata.write_rda(tmp_path / "soils.rda", {"soils": frame})
    reading = instruments.read(tmp_path / f"soils.{suffix}", **ASKED)
    np.testing.assert_array_equal(reading.spectra.values, VALUES.astype(np.float32))
    assert reading.labels is not None
    assert reading.labels["depth"].tolist() == [5, 15, 30]
    assert reading.labels["site"].tolist() == ["one", "two", "one"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (r_file({"id": ["a"], "soc": np.ones(1)}), "no table with columns named by their band"),
        (r_file(COLUMNS)[:-40], r"soils\.rds: "),
        (gzip.compress(r_file(COLUMNS))[:-40], r"soils\.rds: "),
        (b"RDX2\nA\n2\n197888\n131840\n", "no R file in its binary form"),
        (r_file(COLUMNS).replace(b"\0\0\x01\xc2", b"\x7f\xff\xff\xff"), "reaches beyond the end"),
        (b"X\n" + bytes.fromhex("000000020004000000020300" + "00000015" + "7fffffff"), "the file holds code"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    (tmp_path / "soils.rds").write_bytes(content)
    with pytest.raises(DataError, match=message):
        instruments.read(tmp_path / "soils.rds", **ASKED)
