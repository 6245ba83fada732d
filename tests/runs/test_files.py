"""Files that are whole or not there, and arrays that say when they are not whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jaxsoil.runs.errors import DataError
from jaxsoil.runs.files import (
    atomic_path,
    read_arrays,
    read_csv_text,
    read_json,
    remove_unfinished,
    write_arrays,
    write_csv,
    write_json,
    write_parquet,
)

ARRAYS = {
    "path": np.arange(2000.0).reshape(40, 50),
    "params/kernel": np.ones((3, 4), np.float32),
    "name": np.array(["a", "bc"]),
    "none": np.empty((0, 3)),
}


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "some.npz"
    write_arrays(file, **ARRAYS)
    found = read_arrays(file)
    assert list(found) == list(ARRAYS)
    for name, values in ARRAYS.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)
    assert [path.name for path in file.parent.iterdir()] == ["some.npz"]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.5, 0.9, 0.999])
def test_a_file_cut_short_is_named_with_its_remedy(tmp_path: Path, share: float) -> None:
    file = tmp_path / "model.npz"
    write_arrays(file, **ARRAYS)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match=r"model\.npz.*cannot be read.*Delete this file and run again with --resume"):
        read_arrays(file)
    with pytest.raises(DataError, match=r"Fetch it again\."):
        read_arrays(file, remedy="Fetch it again.")


def test_altered_bytes_and_other_files_are_refused_and_a_missing_one_is_missing(tmp_path: Path) -> None:
    file = tmp_path / "model.npz"
    write_arrays(file, **ARRAYS)
    altered = bytearray(file.read_bytes())
    altered[len(altered) // 3] ^= 0xFF
    file.write_bytes(altered)
    with pytest.raises(DataError, match="cannot be read"):
        read_arrays(file)
    np.save(tmp_path / "single.npy", np.ones(3))
    for name in ("single.npy", ""):
        with pytest.raises(DataError, match="cannot be read"):
            read_arrays(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "none.npz")


def test_objects_are_refused_and_leave_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "some.npz"
    write_arrays(file, x=np.ones(3))
    with pytest.raises(ValueError, match="'x' holds Python objects"):
        write_arrays(file, x=np.array([{}, None], object))
    np.testing.assert_array_equal(read_arrays(file)["x"], np.ones(3))
    assert [path.name for path in tmp_path.iterdir()] == ["some.npz"]


def test_tables_read_back_and_an_error_leaves_the_old_one(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": ["a", "b"], "value": [0.1 + 0.2, np.nan]})
    write_csv(tmp_path / "t.csv", frame)
    assert (tmp_path / "t.csv").read_bytes() == b"id,value\na,0.30000000000000004\nb,\n"
    write_csv(tmp_path / "t.csv", frame, float_format="%.3g")
    assert (tmp_path / "t.csv").read_bytes() == b"id,value\na,0.3\nb,\n"
    write_parquet(tmp_path / "t.parquet", frame)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), frame)
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "t.csv") as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert (tmp_path / "t.csv").read_bytes() == b"id,value\na,0.3\nb,\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv", "t.parquet"]


def test_a_damaged_json_file_is_named_with_its_remedy(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    write_json(path, {"config": {"seeds": 3, "name": "Boden ä"}})
    assert read_json(path) == {"config": {"seeds": 3, "name": "Boden ä"}}
    whole = path.read_bytes()
    for content in (b"", whole[:20], whole.replace("ä".encode(), b"\xe4"), bytes(50), b"[" * 100_000):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"config\.json: this is not JSON .*Run the study again with --overwrite\."):
            read_json(path)
    path.write_text("[1]")
    with pytest.raises(DataError, match=r"config\.json: this is not a JSON object \(found: list\)\. Restore it\."):
        read_json(path, remedy="Restore it.")
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "env.json")


def test_a_csv_table_is_read_as_text_and_a_row_of_another_length_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write_csv(path, pd.DataFrame({"region": ["NA", "007", 'a "b", c'], "value": [1.5, np.nan, 2.0]}))
    assert read_csv_text(path) == (["region", "value"], [["NA", "1.5"], ["007", ""], ['a "b", c', "2.0"]])
    for text, message in (("a,b\n1\n", "row 1 has 1 columns"), ("a,b\n1,2\n3", "last line is cut"), ("\0\n", "NUL")):
        path.write_text(text)
        with pytest.raises(DataError, match=rf"t\.csv: this is not a table.*{message}"):
            read_csv_text(path)


def test_what_a_killed_process_was_writing_goes_and_nothing_else(tmp_path: Path) -> None:
    kept = ["config.json", ".hidden-notes", "a-b.csv", ".gitignore", "part/config.json"]
    for name in kept:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("kept")
    (tmp_path / "pieces").mkdir()
    for place in (tmp_path, tmp_path / "pieces"):
        with pytest.raises(KeyboardInterrupt), atomic_path(place / "t.csv") as temporary:
            shutil.copytree(tmp_path / "part", place / ".bundle-abc_1234", dirs_exist_ok=True)
            shutil.copy(tmp_path / "config.json", place / f"{temporary.name[:-12]}zzzzzzzz.csv")
            raise KeyboardInterrupt
    assert len([*tmp_path.rglob(".*-*")]) > 4
    remove_unfinished(tmp_path)
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()) == sorted(kept)
