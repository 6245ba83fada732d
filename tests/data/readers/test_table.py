"""Tables of spectra: their bands, numbers and texts, against pandas' own reading and by their errors."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jaxsoil.data.readers import table
from jaxsoil.data.readers.schema import Axis
from jaxsoil.runs.errors import DataError

SOURCE = Path("soils.csv")
FRAME = pd.DataFrame({"id": ["a", "b"], "1000": [0.1, 0.2], "1010": [0.3, np.nan], "soc": [1.0, None], "n": [7.0, 8.5]})


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_both_kinds_of_file_give_one_table(tmp_path, suffix):
    path = tmp_path / f"soils.{suffix}"
    FRAME.to_csv(path, index=False) if suffix == "csv" else FRAME.to_parquet(path)
    pd.testing.assert_frame_equal(table.read_table(path), FRAME, check_dtype=False)


def test_text_stays_as_it_stands(tmp_path):
    (tmp_path / "soils.csv").write_text("id,code\n1,007\n2,\n3,NA\n")
    assert table.read_table(tmp_path / "soils.csv", as_text=True)["code"].tolist() == ["007", "", "NA"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("soils.xlsx", b"x", r"this kind of file is not read \(found: .xlsx\). Give a table as .csv, .parquet"),
        ("soils.csv", None, "the data file does not exist"),
        ("soils.csv", b"", "the table has no rows"),
        ("soils.csv", b"a,b\n", "the table has no rows"),
        ("soils.csv", b"a,1000,1000\n1,2,3\n", "column 1000: a column occurs twice"),
        ("soils.csv", b"a,b\n1,\0\n", "NUL bytes"),
        ("soils.parquet", b"no parquet", "the table cannot be read"),
    ],
)
def test_file_that_is_no_table_is_refused(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        table.read_table(tmp_path / name)


def test_bands_ascend_within_their_limits():
    names = ["id", "X1020", "X1010", "X1000", "Xnan"]
    columns, axis = table.band_columns(names, Axis("nm", "descending", "X(.*)", high=1010.0), SOURCE)
    assert columns == ["X1000", "X1010"]
    np.testing.assert_array_equal(axis, [1000.0, 1010.0])


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        (Axis("nm", low=2000.0), "no spectral column was found"),
        (Axis("nm", "descending"), "declared descending but ascends"),
    ],
)
def test_axis_that_the_columns_do_not_have_is_refused(axis, message):
    with pytest.raises(DataError, match=message):
        table.band_columns(list(FRAME.columns), axis, SOURCE)


def test_cells_become_numbers_and_strings():
    np.testing.assert_array_equal(table.column_numbers(FRAME, "soc", SOURCE), [1.0, np.nan])
    assert table.column_strings(FRAME, "n", SOURCE).tolist() == ["7", "8.5"]
    assert table.column_strings(FRAME, "soc", SOURCE).tolist() == ["1", ""]
    np.testing.assert_array_equal(table.spectral_values(FRAME, ["1000", "1010"], SOURCE), [[0.1, 0.3], [0.2, np.nan]])


def test_text_among_numbers_and_absent_columns_are_named():
    with pytest.raises(DataError, match=r"soils.csv, column id: a label is text.* \(found: 'a' in row 0; 2 rows\)"):
        table.column_numbers(FRAME, "id", SOURCE)
    with pytest.raises(DataError, match="a band value is text"):
        table.spectral_values(FRAME, ["id", "1000"], SOURCE)
    with pytest.raises(DataError, match=r"no such column.*Did you mean 'soc'"):
        table.require_column(FRAME, "SOC ", SOURCE)
