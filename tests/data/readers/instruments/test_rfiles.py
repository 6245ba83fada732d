"""R files: data frames written by rdata's own writer, and matrix columns built from R's serialization format."""

import gzip

import numpy as np
import pandas as pd
import pytest

from jaxsoil.data.readers import instruments
from jaxsoil.data.readers.table import read_table, require_column
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


def test_a_table_of_a_manifest_has_every_column(tmp_path):
    """Two matrices with one band in common, a data frame in the data frame, and what cannot be a column."""
    inner = {"silt": np.array([1.0, 2.0, 3.0]), "clay": np.array([4.0, 5.0, 6.0])}
    both = {
        "id": ["a", "b", "c"],
        "nir": (["1100", "1110"], VALUES[:, :2]),
        "mir": (["1110", "1120"], VALUES[:, 2:4]),
        "texture": inner,
    }
    path = tmp_path / "soils.rds"
    path.write_bytes(r_file(both))
    table = read_table(path)
    assert list(table.columns) == ["id", "nir.1100", "nir.1110", "mir.1110", "mir.1120", "texture.silt", "texture.clay"]
    np.testing.assert_array_equal(table["mir.1110"], VALUES[:, 2])
    # Without a name in common each column bears the name that it has.
    path.write_bytes(r_file({"id": ["a", "b", "c"], "spc": (["1100", "1110"], VALUES[:, :2]), "texture": inner}))
    assert list(read_table(path).columns) == ["id", "1100", "1110", "silt", "clay"]


def test_a_column_that_is_none_is_named_when_it_is_asked_for(tmp_path):
    nameless = np.asarray(VALUES[:, :2])
    content = r_file({"soc": np.ones(3), "spc": (["1", "2"], nameless)}).replace(b"dimnames", b"dimnomes")
    (tmp_path / "soils.rds").write_bytes(content)
    table = read_table(tmp_path / "soils.rds")
    assert list(table.columns) == ["soc"]
    with pytest.raises(DataError, match=r"this column of the R table is not read.*no matrix with column names"):
        require_column(table, "spc", tmp_path / "soils.rds")


def test_one_of_several_tables_is_read_by_its_name(tmp_path):
    rdata = pytest.importorskip("rdata")
    frame = pd.DataFrame({"soc": [1.0, 2.0]})
    rdata.write_rda(tmp_path / "several.rda", {"lab": frame, "other": frame * 2})
    with pytest.raises(DataError, match=r"holds several tables.*lab, other.*object = "):
        read_table(tmp_path / "several.rda")
    with pytest.raises(DataError, match="Did you mean 'lab'"):
        read_table(tmp_path / "several.rda", name="lib")
    assert read_table(tmp_path / "several.rda", name="other")["soc"].tolist() == [2.0, 4.0]


def test_row_names_are_a_column_and_parts_of_a_list_are_tables(tmp_path):
    path, parts = tmp_path / "soils.rds", {"lab": {"soc": np.array([1.0, 2.0])}, "field": {"x": np.array([3.0, 4.0])}}
    path.write_bytes(r_file({"soc": np.array([1.0, 2.0])}, rows=["first", "second"]))
    assert read_table(path)["row.names"].tolist() == ["first", "second"]
    # The class of the whole stands last: without it the data frame is a list of two.
    path.write_bytes(r_file(parts)[::-1].replace(b"emarf.atad", b"emarf.atac", 1)[::-1])
    assert read_table(path, name="soils$field")["x"].tolist() == [3.0, 4.0]
    with pytest.raises(DataError, match=r"soils\$lab, soils\$field"):
        read_table(path)
