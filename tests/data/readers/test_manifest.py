"""A user's table and manifest: what is right loads, what is wrong is named with its remedy."""

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jaxsoil.data import registry
from jaxsoil.runs.errors import DataError

AXIS = np.arange(400, 2401, 10)


def soils(n=8):
    """Reflectance that rises through the visible, with water bands."""
    shape = 1 - 0.8 * np.exp(-(AXIS - 350) / 300)
    for centre in (1420, 1930):
        shape = shape * (1 - 0.15 * np.exp(-0.5 * ((AXIS - centre) / 30) ** 2))
    return np.linspace(0.2, 0.5, n)[:, None] * shape


def frame(n=8, **changes):
    table = pd.DataFrame(soils(n), columns=[str(band) for band in AXIS])
    labels = {
        "lab_no": [f"L{row}" for row in range(n)],
        "plot": ["N01", "N01", "N02", "N02", "S01", "S01", "S02", "S02"][:n],
        "SOM": np.linspace(1.0, 5.0, n),
    }
    return table.assign(**(labels | changes))


MANIFEST = """
name = "mine"
title = "My soils"
data = "mine.csv"
id = "lab_no"
licence = "CC0"

[axis]
unit = "nm"

[values]
quantity = "reflectance"

[labels.soc]
column = "SOM"
unit = "%"
factor = "1/1.724"

[groups]
pedon = "plot"
region = { column = "plot", characters = [1, 1] }
"""


@pytest.fixture
def write(tmp_path):
    """Writes a table and a manifest, with replacements in the manifest's text, and returns its path."""

    def make(table=None, *replacements, name="mine.csv"):
        table = frame() if table is None else table
        if name.endswith("parquet"):
            table.to_parquet(tmp_path / name)
        else:
            table.to_csv(tmp_path / name, index=False)
        text = MANIFEST
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "mine.toml").write_text(text)
        return tmp_path / "mine.toml"

    return make


def refuse(path, message):
    with pytest.raises(DataError, match=message):
        registry.load(path)


def test_a_table_and_its_manifest_are_a_library(write):
    made = registry.load(write())
    np.testing.assert_allclose(made.spectra.values, soils(), rtol=1e-6)
    np.testing.assert_array_equal(made.spectra.axis, AXIS)
    np.testing.assert_allclose(made.property("soc").values, np.linspace(1.0, 5.0, 8) / 1.724)
    assert made.ids.tolist() == [f"L{row}" for row in range(8)]
    assert made.group("region").tolist() == ["N"] * 4 + ["S"] * 4
    assert made.group("pedon")[4] == "S01"
    assert made.notes == ("soc [%] = SOM x 1/1.724",) and made.licence == "CC0"


def test_parquet_and_csv_load_alike(write):
    csv = registry.load(write())
    parquet = registry.load(write(None, ("mine.csv", "mine.parquet"), name="mine.parquet"))
    np.testing.assert_allclose(csv.spectra.values, parquet.spectra.values, rtol=1e-6)
    assert csv.ids.tolist() == parquet.ids.tolist()


def test_the_registry_loads_a_path_and_resamples(write):
    made = registry.load(str(write()), axis=np.arange(500.0, 2301.0, 100.0))
    assert made.spectra.n_bands == 19


def test_percent_columns_with_prefix_descending_comma_and_missing_code(write, tmp_path):
    table = frame(SOM=[1.0, 2.0, -9999.0, 4.0, 5.0, 6.0, 7.0, 8.0])
    bands = [str(band) for band in AXIS]
    table[bands] *= 100
    table = table[["lab_no", "plot", "SOM", *bands[::-1]]]
    table.columns = [f"X{name}" if name in bands else name for name in table.columns]
    path = write(
        table,
        ('unit = "nm"', 'unit = "nm"\norder = "descending"\npattern = \'X([0-9.]+)\''),
        ('quantity = "reflectance"', 'quantity = "reflectance"\nscale = 0.01'),
        ('factor = "1/1.724"', "missing = [-9999]"),
        ('name = "mine"', 'name = "mine"\nseparator = ";"\ndecimal = ","'),
    )
    table.to_csv(tmp_path / "mine.csv", index=False, sep=";", decimal=",")
    made = registry.load(path)
    np.testing.assert_allclose(made.spectra.values, soils(), rtol=1e-6)
    assert np.isnan(made.property("soc").values[2]) and made.property("soc").values[3] == 4.0
    assert made.spectra.steps == ("scaled by 0.01", "descending axis reversed")


def test_exclusions_are_counted_and_given_reasons(write):
    rules = """
[[exclude]]
rows = [0, 1]
reason = "dropped vial"

[[exclude]]
column = "SOM"
above = 4.9
reason = "peat"

[[exclude]]
column = "plot"
equals = "N02"
reason = "other project"
"""
    made = registry.load(write(None, ("[groups]", rules + "\n[groups]")))
    assert made.ids.tolist() == ["L4", "L5", "L6"]
    assert made.notes[:3] == (
        "left out 2 rows: dropped vial",
        "left out 1 rows: peat",
        "left out 2 rows: other project",
    )


def test_ids_may_be_absent_or_joined_and_rows_may_be_one_sample(write):
    path = write(None, ('id = "lab_no"\n', ""), ('pedon = "plot"', 'pedon = "plot"\nsample = { same_rows = [[2, 3]] }'))
    made = registry.load(path)
    assert made.ids[:2].tolist() == ["mine-0", "mine-1"]
    assert len(set(made.group("sample"))) == 7 and len(set(made.group("sample")[2:4])) == 1
    assert registry.load(write(None, ('"lab_no"', '["plot", "lab_no"]'))).ids[0] == "N01-L0"


@pytest.mark.parametrize("condition", ['column = "method", equals = "modelled"', 'column = "flag", equals = 2'])
def test_a_label_may_be_missing_under_a_condition(write, condition):
    table = frame(method=["modelled", "dry"] * 4, flag=[2, 1] * 4)
    table.loc[0, "SOM"] = -1.0  # what a model made is not looked at
    made = registry.load(write(table, ('factor = "1/1.724"', f"factor = 1\nunless = {{ {condition} }}")))
    assert len(made) == 8 and np.isnan(made.property("soc").values).tolist() == [True, False] * 4
    assert any(note.startswith("soc of 4 rows counts as missing: ") for note in made.notes)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('title = "My soils"', 'titel = "My soils"', r"mine.toml, column titel: unknown key.*Did you mean 'title'"),
        ('title = "My soils"\n', "", r"column title: a key is missing"),
        ('title = "My soils"', "title = 3", r"column title: .*wrong type.*Give text"),
        ('title = "My soils"', "title = ", "not a TOML file"),
        ('unit = "nm"', 'unit = "um"', "axis.unit.*um"),
        ('unit = "nm"', 'unit = "nm"\nlow = "400"', r"axis.low: .*wrong type.*Give a number"),
        ('unit = "nm"', "unit = \"nm\"\npattern = 'X.*'", "one group"),
        ('unit = "nm"', "unit = \"nm\"\npattern = 'Y([0-9]+)'", "column Y.*no spectral column"),
        ('unit = "nm"', 'unit = "nm"\norder = "descending"', "declared descending but ascends"),
        ("[axis]", "[axes]", r"column axes: unknown key.*Did you mean 'axis'"),
        ('quantity = "reflectance"', 'quantity = "reflectnce"', "Did you mean 'reflectance'"),
        ('quantity = "reflectance"', 'quantity = "reflectance"\nscale = true', "wrong type"),
        ('factor = "1/1.724"', 'factor = "1/0"', "positive number or a quotient.*1/0"),
        ('factor = "1/1.724"', 'factor = "some"', "positive number or a quotient"),
        ('factor = "1/1.724"', "factor = inf", "positive number or a quotient"),
        ('[axis]\nunit = "nm"\n', "", "column axis: a key is missing.*a table with unit, order"),
        (
            'factor = "1/1.724"',
            'unless = "modelled"',
            "labels.soc.unless: .*wrong type.*Give a table with column, equals",
        ),
        ('factor = "1/1.724"', 'unless = { column = "plot", equal = "x" }', "unless.equal: .*Did you mean 'equals'"),
        ('factor = "1/1.724"', 'unless = { column = "plot" }', "unless.equals: a key is missing"),
        ('factor = "1/1.724"', 'unless = { column = "plott", equals = "x" }', "plott.*Did you mean 'plot'"),
        ('factor = "1/1.724"', 'unless = { column = "plot", equals = 1 }', "value of a condition is text"),
        ('column = "SOM"', 'column = "SOMM"', "mine.csv, column SOMM: .*Did you mean 'SOM'"),
        ('pedon = "plot"', 'pedon = "plott"', "column plott: .*Did you mean 'plot'"),
        ('pedon = "plot"', 'pedn = "plot"', "Did you mean 'pedon'"),
        ('pedon = "plot"', 'pedon = { colum = "plot" }', "Did you mean 'column'"),
        ('pedon = "plot"', "pedon = { same_rows = [[7, 8]] }", "no such row.*8.*0 to 7"),
        ('pedon = "plot"', "pedon = {}", "a group is one of"),
        ('pedon = "plot"', "soc_method = 3", r"groups.soc_method: .*wrong type \(found: 3\). Give a table with column"),
        ('pedon = "plot"', "soc_method = { constant = 3 }", r"soc_method.constant: .*wrong type.*Give text in quotes"),
        ('pedon = "plot"', 'soc_method = { constant = " " }', r"a group name is empty.*Fill it in"),
        ("characters = [1, 1]", "characters = [3, 4]", "too short.*'N01' in row 0"),
        ("characters = [1, 1]", "characters = [0, 1]", "a group is one of"),
        ('id = "lab_no"', 'id = "plot"', "column plot: an id occurs twice.*'N01' in row 0"),
        ('id = "lab_no"', 'id = "lab_no"\nconfirm = ["percent"]', "confirm.*percent"),
        ("[groups]", '[[exclude]]\nrows = [99]\nreason = "x"\n[groups]', "no such row.*99"),
        ("[groups]", '[[exclude]]\ncolumn = "SOM"\nreason = "x"\n[groups]', "one condition"),
        ("[groups]", '[[exclude]]\nrows = [1]\nincomplete = true\nreason = "x"\n[groups]', "incomplete = true"),
        ("[groups]", '[[exclude]]\nrows = [1]\nmissing = true\nreason = "x"\n[groups]', "one condition"),
        ("[groups]", '[[exclude]]\ncolumn = "SOM"\nabove = 0\nreason = "x"\n[groups]', "leave no row"),
        ("[groups]", "[[exclude]]\nrows = [1]\n[groups]", "exclude.reason: a key is missing"),
        ('"mine.csv"', '"yours.csv"', "yours.csv: the data file does not exist"),
        ('"mine.csv"', '"mine.xlsx"', r"not read.*\.xlsx.*\.csv, \.parquet"),
        ('"mine.csv"', '"mine.pkl"', r"not read.*\.pkl"),
    ],
)
def test_mistakes_in_the_manifest(write, old, new, message):
    refuse(write(None, (old, new)), re.sub(r"(?<!\\)\.(csv|toml)", r"\\.\1", message))


def bands(factor):
    table = frame()
    names = [str(band) for band in AXIS]
    table[names] = table[names] * factor
    return table


def with_cell(column, row, value):
    table = frame()
    table[column] = table[column].astype(object)
    table.loc[row, column] = value
    return table


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (bands(100.0), r"mine\.csv, column all bands: .*looks like percent.*scale = 0\.01"),
        (bands(0.01), "divided by 100 again"),
        (with_cell("800", 3, 0.0), r"column 800 nm: .*outside \(0, 1\.5\].*row 3"),
        (with_cell("800", 3, 1.7), r"column 800 nm: .*outside \(0, 1\.5\].*1\.7 in row 3"),
        (with_cell("800", 3, np.nan), r"column 800: .*missing or infinite.*row 3"),
        (with_cell("800", 3, "n.a.x"), r"column 800: a band value is text.*'n\.a\.x' in row 3"),
        (with_cell("SOM", 2, "<0.1"), r"column SOM: a label is text.*'<0\.1' in row 2"),
        (with_cell("SOM", 2, -1.0), r"column SOM: soc cannot be negative.*-1 in row 2.*missing = \[-1\]"),
        (frame(SOM=np.linspace(10, 400, 8)), r"column SOM: soc in % cannot exceed 60.*factor = 0\.1"),
        (with_cell("plot", 5, ""), r"column plot: a name is too short"),
        (with_cell("lab_no", 5, ""), r"column lab_no: an id is empty.*row 5"),
        (frame().rename(columns={"410": "400.0"}), r"repeats.*400 twice|400 twice.*repeats"),
        (frame().rename(columns={"410": "2410"}), "not sorted"),
        (frame()[["lab_no", "plot", "SOM", *[str(band) for band in AXIS[::-1]]]], "descends.*descending"),
        (frame().head(0), "no rows"),
        (frame()[["lab_no", "plot", "SOM"]], "no spectral column"),
    ],
)
def test_mistakes_in_the_table(write, table, message):
    refuse(write(table), message)


def test_a_group_name_that_is_missing(write):
    path = write(with_cell("plot", 5, ""), ('region = { column = "plot", characters = [1, 1] }', ""))
    refuse(path, r"groups\.pedon: a group name is empty.*row 5")


def test_reflectance_declared_absorbance_and_the_reverse(write):
    refuse(write(None, ('"reflectance"', '"absorbance"')), "declared absorbance but looks like reflectance")
    table = frame()
    names = [str(band) for band in AXIS]
    table[names] = -np.log10(table[names])
    refuse(write(table), "declared reflectance but looks like absorbance")
    assert registry.load(write(table, ('"reflectance"', '"absorbance"'))).spectra.quantity == "absorbance"


def test_nm_given_as_wavenumbers_and_a_conscious_confirmation(write):
    refuse(write(None, ('unit = "nm"', 'unit = "cm-1"')), "declared in cm-1 but looks like nm")
    path = write(None, ('unit = "nm"', 'unit = "cm-1"'), ('"lab_no"', '"lab_no"\nconfirm = ["unit"]'))
    assert "check 'unit' was switched off by the manifest" in registry.load(path).notes


def test_a_repeated_column_is_not_read_as_another_band(write, tmp_path):
    path = write()
    text = (tmp_path / "mine.csv").read_text()
    (tmp_path / "mine.csv").write_text(text.replace("410,", "400,", 1))
    refuse(path, "column 400: a column occurs twice")


def test_files_that_are_no_tables(write, tmp_path):
    path = write()
    contents = {b"": "no rows", b"\xff\xfe\x00": "cannot be read", b"a;b\n1;2\n": "no such column"}
    contents |= {bytes(200_000): "NUL bytes", b"id,400\n" + bytes(9): "NUL bytes", b'"' + b"a" * 200_000: "field limit"}
    for content, message in contents.items():
        (tmp_path / "mine.csv").write_bytes(content)
        refuse(path, message)
    path = write(None, ("mine.csv", "mine.parquet"), name="mine.parquet")
    (tmp_path / "mine.parquet").write_bytes(b"PAR1 cut off")
    refuse(path, r"mine\.parquet: the table cannot be read")


def test_a_table_larger_than_the_memory_fails_clearly(write, monkeypatch):
    monkeypatch.setattr("os.sysconf", lambda name: 10)
    refuse(write(), "does not fit the memory.*fewer bands")


def test_a_manifest_that_is_absent(tmp_path):
    with pytest.raises(DataError, match=r"absent\.toml: the file cannot be read"):
        registry.load(str(tmp_path / "absent.toml"))


def test_incomplete_spectra_are_left_out_where_the_axis_is_read(write):
    table = frame()
    table.loc[2, "1500"] = np.nan
    table.loc[5, "400"] = np.nan
    rule = '[[exclude]]\nincomplete = true\nreason = "a band is empty"\n[groups]'
    whole = registry.load(write(table, ("[groups]", rule)))
    assert whole.ids.tolist() == ["L0", "L1", "L3", "L4", "L6", "L7"]
    assert "left out 2 rows: a band is empty" in whole.notes
    above = registry.load(write(table, ("[groups]", rule), ('unit = "nm"', 'unit = "nm"\nlow = 405')))
    assert above.ids.tolist() == ["L0", "L1", "L3", "L4", "L5", "L6", "L7"]


def test_samples_whose_spectra_are_alike_are_one(write):
    wave = 1.0 + 0.1 * np.sin(AXIS / np.arange(60, 220, 20)[:, None])
    spectra = soils() ** np.linspace(1.0, 0.4, 8)[:, None] * wave
    # Brighter by a factor, which SNV removes, and noise far below the rule; then a chain of two steps under it.
    spectra[1] = 1.1 * spectra[0] * (1.0 + 1e-4 * np.sin(AXIS / 7.0))
    for row in (5, 6):
        spectra[row] = spectra[row - 1] * 10.0 ** (0.001 * np.sin(AXIS / 300.0))
    columns: Any = {str(band): spectra[:, place] for place, band in enumerate(AXIS)}
    table = frame(**columns)
    rule = 'sample = { column = "lab_no", alike = 0.01 }'
    made = registry.load(write(table, ('pedon = "plot"', rule)))
    assert made.group("sample").tolist() == ["L0", "L0", "L2", "L3", "L4", "L4", "L4", "L7"]
    assert any("pairs of spectra less than 0.01 (SNV) apart are one sample" in note for note in made.notes)
    refuse(write(table, ('pedon = "plot"', rule.replace("0.01", "0.0"))), "groups.sample.alike.*positive")
