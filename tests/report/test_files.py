"""Files of a run folder: what is missing, cut in half or lacks a part is named with its remedy."""

import numpy as np
import pandas as pd
import pytest

from jaxsoil.report import files
from jaxsoil.runs.errors import DataError


def half(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


@pytest.fixture
def table():
    return pd.DataFrame({"a": np.arange(200.0), "b": ["x"] * 200})


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("a.json", files.read_json),
        ("a.csv", files.read_csv),
        ("a.parquet", files.read_parquet),
        ("a.npz", lambda path: files.read_arrays(path, ())),
    ],
)
def test_a_missing_file_is_said_to_be_missing(tmp_path, name, read):
    with pytest.raises(DataError, match=rf"{name}: this file of the run is missing.*Finish the run first") as caught:
        read(tmp_path / name)
    assert "--overwrite" not in str(caught.value)


def test_optional_settings_that_are_absent_are_empty(tmp_path):
    assert files.read_json(tmp_path / "timing.json", optional=True) == {}


def test_files_cut_in_half_are_named(tmp_path, table):
    np.savez(tmp_path / "a.npz", a=np.arange(500.0), b=np.ones(3))
    with pytest.raises(DataError, match=r"a\.npz: .*cannot be read.*Delete this file.*--resume"):
        files.read_arrays(half(tmp_path / "a.npz"), ("a",))
    table.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet: this is not a Parquet table.*--overwrite"):
        files.read_parquet(half(tmp_path / "a.parquet"))
    (tmp_path / "a.json").write_text('{"a": 1}')
    with pytest.raises(DataError, match=r"a\.json: this is not JSON.*--overwrite"):
        files.read_json(half(tmp_path / "a.json"))
    (tmp_path / "a.csv").write_text("")
    with pytest.raises(DataError, match=r"a\.csv: this is not a table.*--overwrite"):
        files.read_csv(tmp_path / "a.csv")


def test_what_a_file_lacks_is_named(tmp_path, table):
    np.savez(tmp_path / "a.npz", a=np.ones(3))
    with pytest.raises(DataError, match=r"a\.npz: arrays are missing: b"):
        files.read_arrays(tmp_path / "a.npz", ("a", "b"))
    table.to_csv(tmp_path / "a.csv", index=False)
    table.to_parquet(tmp_path / "a.parquet")
    for name, read in (("a.csv", files.read_csv), ("a.parquet", files.read_parquet)):
        assert len(read(tmp_path / name, ("a", "b"))) == 200
        with pytest.raises(DataError, match="columns are missing: c, d"):
            read(tmp_path / name, ("a", "c", "d"))


def test_rows_are_chosen_by_all_values(table):
    table.loc[:1, "b"] = "y"
    assert files.where(table, a=1.0, b="y").index.tolist() == [1]
    assert files.where(table, a=5.0, b="y").empty
