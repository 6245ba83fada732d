"""A folder of files as a library."""

import numpy as np
import pytest

from jaxsoil.data.readers import instruments
from jaxsoil.runs.errors import DataError
from tools.instrument_files import CM, NM, asd, opus, spectrum, wide_csv

RNG = np.random.default_rng(0)
VALUES = spectrum(RNG, NM, 4)


@pytest.fixture
def folder(tmp_path):
    for row, name in enumerate("abc"):
        (tmp_path / f"{name}.asd").write_bytes(asd(VALUES[row]))
    return tmp_path


def test_labels_are_joined_by_the_name_of_the_file(folder, tmp_path_factory):
    labels = tmp_path_factory.mktemp("labels") / "labels.csv"
    labels.write_text("sample_id,soc,site\nc,3.5,x\na.asd,1.5,y\nz,9,z\n")
    library = instruments.as_library(instruments.readings(folder), labels, units={"soc": "%"})
    assert library.ids.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(library.property("soc").values, [1.5, np.nan, 3.5])
    np.testing.assert_allclose(library.spectra.values, VALUES[:3], rtol=1e-6)
    assert library.groups == {}


def test_labels_may_lie_in_the_folder(folder):
    (folder / "labels.csv").write_text("id,soc\na,1\nb,2\nc,3\n")
    library = instruments.as_library(instruments.readings(folder), folder / "labels.csv", units={"soc": "%"})
    assert library.property("soc").values.tolist() == [1.0, 2.0, 3.0]
    assert not [note for note in library.notes if "not read" in note]


def test_what_was_not_read_is_in_the_notes(folder):
    (folder / "d.asd").write_bytes(b"as7\0")
    library = instruments.as_library(instruments.readings(folder))
    assert len(library) == 3
    assert any("d.asd: the header is cut off" in note for note in library.notes)


def test_numeric_columns_beside_the_spectra_are_labels(tmp_path):
    (tmp_path / "soils.csv").write_text(wide_csv(VALUES, NM, name="scan_visnir.{:g}_ref"))
    library = instruments.as_library(instruments.readings(tmp_path), units={"clay": "%"})
    assert library.property("clay").values.tolist() == [10.0, 11.0, 12.0, 13.0]


def test_repeated_ids_are_scans_of_one_sample(tmp_path):
    text = wide_csv(VALUES, NM, name="scan_visnir.{:g}_ref").replace("s1,", "s0,")
    (tmp_path / "soils.csv").write_text(text)
    library = instruments.as_library(instruments.readings(tmp_path))
    assert library.ids.tolist() == ["s0", "s0:2", "s2", "s3"]
    assert library.group("sample").tolist() == ["s0", "s0", "s2", "s3"]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (asd(VALUES[3], kind=8), "absorbance"),
        (asd(VALUES[3], first=1010.0), "1010-2500 nm"),
        (asd(VALUES[3], step=10.01), "1000-2491"),
    ],
)
def test_mixed_files_are_refused_by_name(folder, content, kind):
    (folder / "d.asd").write_bytes(content)
    with pytest.raises(DataError, match=rf"differ in quantity, axis or unit: .*a.asd, b.asd, c.asd.*{kind}.*: d.asd"):
        instruments.as_library(instruments.readings(folder))


def test_units_are_not_mixed(folder):
    (folder / "d.0").write_bytes(opus(spectrum(RNG, CM)[0], CM[0], CM[-1], block=12))
    with pytest.raises(DataError, match=r"cm-1, 170 bands: d\.0"):
        instruments.as_library(instruments.readings(folder))


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("id,soc\nx,1\n", {}, "no id of the labels is one of the spectra .found: 'x' beside 'a'"),
        ("id,soc\na,1\nb,low\n", {"units": {"soc": "%"}}, "a label is text, not a number .found: 'low' in row 1"),
        ("id,soc\na,1\na,2\n", {}, "an id occurs twice in the labels"),
        ("id,soc\na,1\n", {"id_column": "nr"}, "column nr: the file has no such column"),
        ("id,soc\na,1\n", {"units": {"clay": "%"}}, "column clay: the file has no such column"),
    ],
)
def test_labels_that_do_not_fit_are_refused(folder, tmp_path_factory, text, settings, message):
    labels = tmp_path_factory.mktemp("labels") / "labels.csv"
    labels.write_text(text)
    with pytest.raises(DataError, match=message):
        instruments.as_library(instruments.readings(folder), labels, **settings)


def test_names_with_leading_zeros_stay_as_they_are(tmp_path):
    for name in ("007", "7"):
        (tmp_path / f"{name}.asd").write_bytes(asd(VALUES[len(name)]))
    (tmp_path / "labels.csv").write_text("nr,clay\n007,1\n7,\n")
    library = instruments.as_library(instruments.readings(tmp_path), tmp_path / "labels.csv")
    assert library.ids.tolist() == ["007", "7"]
    np.testing.assert_array_equal(library.property("clay").values, [1.0, np.nan])
    text = wide_csv(VALUES, NM, name="scan_visnir.{:g}_ref").replace("\ns", "\n00")
    (tmp_path / "soils.csv").write_text(text)
    assert instruments.read(tmp_path / "soils.csv").ids == ("000", "001", "002", "003")


def test_rows_without_ids_of_two_files_stay_apart(tmp_path):
    text = wide_csv(VALUES, NM, name="scan_visnir.{:g}_ref").replace("sample_id", "number").replace("\ns", "\n")
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text(text)
    library = instruments.as_library(instruments.readings(tmp_path))
    assert library.ids.tolist() == [f"{name}:{row}" for name in "ab" for row in range(4)]
    assert library.groups == {}


def test_folder_without_a_readable_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="no file could be read"):
        instruments.as_library(instruments.readings(tmp_path))
