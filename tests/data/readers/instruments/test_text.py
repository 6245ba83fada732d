"""Text exports: delimiters, decimal signs, names of bands, and what must not be guessed."""

import gzip
import tracemalloc

import numpy as np
import pytest

from jaxsoil.data.readers import instruments
from jaxsoil.runs.errors import DataError
from tools.instrument_files import CM, NM, spectrum, wide_csv

VALUES = spectrum(np.random.default_rng(0), NM, 4)
ASKED = {"unit": "nm", "quantity": "reflectance"}


def read(tmp_path, text, name="soils.csv", **settings):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return instruments.read(tmp_path / name, **settings)


@pytest.mark.parametrize(("delimiter", "decimal"), [(",", "."), (";", "."), (";", ","), ("\t", "."), ("\t", ",")])
def test_wide_tables(tmp_path, delimiter, decimal):
    reading = read(tmp_path, wide_csv(VALUES, NM, delimiter=delimiter, decimal=decimal), **ASKED)
    np.testing.assert_allclose(reading.spectra.values, VALUES, atol=1e-5)
    np.testing.assert_array_equal(reading.spectra.axis, NM)
    assert reading.ids == ("s0", "s1", "s2", "s3")
    assert reading.labels is not None
    assert reading.labels["clay"].tolist() == [10, 11, 12, 13]
    assert list(reading.labels) == ["sample_id", "clay"]


@pytest.mark.parametrize(
    ("name", "axis", "unit", "quantity"),
    [
        ("scan_visnir.{:g}_ref", NM, "nm", "reflectance"),
        ("scan_mir.{:g}_abs", CM, "cm-1", "absorbance"),
        ("abs_{:g}nm", NM, "nm", "absorbance"),
        ("{:g} cm-1", CM, "cm-1", None),
        ("X{:g}", NM, None, None),
        ("{:.1f}", NM, None, None),
    ],
)
def test_names_say_unit_and_quantity(tmp_path, name, axis, unit, quantity):
    text = wide_csv(spectrum(np.random.default_rng(1), axis, 2), axis, name=name)
    missing = {key: ASKED[key] for key, said in (("unit", unit), ("quantity", quantity)) if said is None}
    spectra = read(tmp_path, text, **missing).spectra
    assert (spectra.unit, spectra.quantity) == (unit or "nm", quantity or "reflectance")
    np.testing.assert_array_equal(spectra.axis, np.sort(axis))
    for key in missing:
        with pytest.raises(DataError, match=f"the file does not say its {key}"):
            read(tmp_path, text, **{other: value for other, value in missing.items() if other != key})


def test_contradiction_is_an_error(tmp_path):
    text = wide_csv(VALUES, NM, name="scan_visnir.{:g}_ref")
    with pytest.raises(DataError, match=r"contradicts the unit.*nm in the file, cm-1 given"):
        read(tmp_path, text, unit="cm-1")
    with pytest.raises(DataError, match="contradicts the quantity"):
        read(tmp_path, text, quantity="absorbance")


@pytest.mark.parametrize(
    ("head", "separator", "settings"),
    [
        ("Wavelength (nm)\tReflectance\n", "\t", {}),
        ("wavelength_um,reflectance\n", ",", {}),
        ("x_Axis:Wavelength (nm)\ty_Axis:%Reflectance\n", "\t", {}),
        ("# made by us\n# quantity: reflectance, axis in nm\n", ",", {}),
        ("", " ", ASKED),
        ("", ";", ASKED),
    ],
)
def test_axis_in_the_first_column(tmp_path, head, separator, settings):
    axis, values = NM / (1000.0 if "um" in head else 1.0), VALUES[0] * (100.0 if "%" in head else 1.0)
    rows = "".join(f"{at:g}{separator}{value:.6f}\n" for at, value in zip(axis, values, strict=True))
    reading = read(tmp_path, head + rows, "soil.txt", **settings)
    np.testing.assert_allclose(reading.spectra.values[0], VALUES[0], atol=1e-5)
    np.testing.assert_allclose(reading.spectra.axis, NM)
    assert (reading.ids, reading.spectra.quantity) == (("soil",), "reflectance")


def test_several_spectra_beside_one_axis(tmp_path):
    rows = "".join(f"{at:g};{VALUES[0, i]:.6f};{VALUES[1, i]:.6f}\n".replace(".", ",") for i, at in enumerate(NM))
    reading = read(tmp_path, "nm;one;two\n" + rows, quantity="reflectance")
    np.testing.assert_allclose(reading.spectra.values, VALUES[:2], atol=1e-5)
    assert reading.ids == ("one", "two")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # 0,12 with commas between the columns as well
        (wide_csv(VALUES, NM, delimiter=",", decimal=","), "other columns than the header .are commas decimal"),
        (
            "wavelength,reflectance\n" + "".join(f"{at:.0f},0,{i + 10}\n" for i, at in enumerate(NM)),
            "whole numbers alone",
        ),
        ("".join(f"{at:.0f},0,{i + 10}\n" for i, at in enumerate(NM)), "whole numbers alone"),
        # 12,345 is 12.345 or 12345
        (
            "nm;R\n" + "".join(f"{at:.0f};{10 + i},{i % 7}21\n" for i, at in enumerate(NM)),
            "may be decimal or part thousands",
        ),
        (
            "nm;R\n" + "".join(f"{at:.0f};0,{i % 7}2\n" for i, at in enumerate(NM)) + "2500;0.3\n",
            "may be decimal or part",
        ),
    ],
)
def test_commas_are_never_guessed(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, text, **ASKED)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"id,soc\na,1\nb,2\n", "no column is named by its band"),
        (wide_csv(VALUES, NM).encode().replace(b"s1", b"s\0"), "NUL bytes"),
        (wide_csv(VALUES, NM).encode().replace(b"s1", b"\xff\xfe"), "not UTF-8.*0xff"),
        (wide_csv(VALUES, NM).encode("utf-16"), "NUL bytes|not UTF-8"),
        (wide_csv(VALUES, NM).replace("1010", "1000").encode(), "column 1000: a column occurs twice"),
        (wide_csv(VALUES, np.arange(1.0, 151.0)).encode(), "the axis fits no range"),
        (wide_csv(VALUES, np.random.default_rng(0).permutation(NM)).encode(), "the axis is not sorted"),
        (wide_csv(100.0 * VALUES, NM).encode(), r'must be a fraction .*pass quantity="reflectance_percent"'),
        (wide_csv(10_000.0 * VALUES, NM).encode(), "must be a fraction.*not counts"),
        (wide_csv(VALUES, NM, name="V{:g}").encode(), "no column is named by its band"),
        (b"a" * 3_000_000, r"soils\.csv: "),
    ],
)
def test_file_that_is_no_table_of_spectra_is_refused(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, content, **ASKED)


def test_percent_on_request(tmp_path):
    reading = read(tmp_path, wide_csv(100.0 * VALUES, NM), unit="nm", quantity="reflectance_percent")
    np.testing.assert_allclose(reading.spectra.values, VALUES, atol=1e-5)
    with pytest.raises(DataError, match="darker than any soil"):
        read(tmp_path, wide_csv(VALUES, NM), unit="nm", quantity="reflectance_percent")


def test_reflectance_of_unknown_scale_may_be_called_percent(tmp_path):
    text = wide_csv(100.0 * VALUES, NM, name="scan_visnir.{:g}_ref")
    with pytest.raises(DataError, match="must be a fraction"):
        read(tmp_path, text)
    np.testing.assert_allclose(read(tmp_path, text, quantity="reflectance_percent").spectra.values, VALUES, atol=1e-5)


def test_two_sets_of_bands_are_parted_by_unit(tmp_path):
    near = wide_csv(VALUES, NM, name="scan_visnir.{:g}_ref").splitlines()
    mid = wide_csv(spectrum(np.random.default_rng(2), CM, 4), CM, name="scan_mir.{:g}_abs").splitlines()
    text = "\n".join(f"{one},{other.split(',', 2)[2]}" for one, other in zip(near, mid, strict=True)) + "\n"
    with pytest.raises(DataError, match="several sets of bands"):
        read(tmp_path, text)
    assert read(tmp_path, text, unit="cm-1").spectra.quantity == "absorbance"
    assert read(tmp_path, text, unit="nm").spectra.n_bands == NM.size


def test_bad_rows_are_refused_and_the_others_kept(tmp_path):
    lines = wide_csv(spectrum(np.random.default_rng(3), NM, 8), NM).splitlines()
    lines[2] = lines[2].replace(",0.", ",", 1) + ",1,2"
    lines[3] = ",".join([*lines[3].split(",")[:-1], "n.d."])
    lines[5] = ",".join([*lines[5].split(",")[:-1], ""])
    lines[6] = ",".join(["s5", "1", *["0.3"] * NM.size])
    lines[7] = ",".join(["s6", "1", *lines[7].split(",")[2:-1], "-0.1"])
    reading = read(tmp_path, "\n".join(lines), **ASKED)
    assert reading.ids == ("s0", "s3", "s7")
    assert {one.row: one.reason for one in reading.refused} == {
        "line 3": f"{NM.size + 4} columns instead of {NM.size + 2}",
        "s2": "nan at 2490 nm is missing or infinite; 1 bands",
        "s4": "nan at 2490 nm is missing or infinite; 1 bands",
        "s5": "the spectrum is constant",
        "s6": "-0.1 at 2490 nm is no reflectance; 1 bands",
    }
    assert reading.labels is not None
    assert reading.labels["sample_id"].tolist() == ["s0", "s3", "s7"]


def test_outer_band_that_most_rows_lack_costs_the_band_not_the_rows(tmp_path):
    values = spectrum(np.random.default_rng(3), NM, 20)
    lines = wide_csv(values, NM).splitlines()
    lines[1:16] = [",".join([*line.split(",")[:-1], "NA"]) for line in lines[1:16]]
    spectra = read(tmp_path, "\n".join(lines), **ASKED).spectra
    assert (len(spectra), spectra.n_bands) == (20, NM.size - 1)
    assert spectra.steps == ("cut to 1000-2480 nm: the outer bands are missing in most rows",)


def test_compressed_table(tmp_path):
    reading = read(tmp_path, gzip.compress(wide_csv(VALUES, NM).encode()), "soils.csv.gz", **ASKED)
    np.testing.assert_allclose(reading.spectra.values, VALUES, atol=1e-5)
    with pytest.raises(DataError):
        read(tmp_path, gzip.compress(wide_csv(VALUES, NM).encode())[:-20], "soils.csv.gz", **ASKED)


def test_long_table_is_read_in_bounded_memory(tmp_path):
    """What more rows cost is a few times their spectra, and less than their text."""
    axis = NM[:100]
    row = ",".join(f"{0.2 + 0.001 * i:.15f}" for i in range(axis.size)) + "\n"
    peaks = []
    for n in (4_000, 10_000):
        (tmp_path / "soils.csv").write_text(",".join(f"{at:g}" for at in axis) + "\n" + n * row)
        tracemalloc.start()
        reading = instruments.read(tmp_path / "soils.csv", **ASKED)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert reading.ids[-1] == f"soils:{n - 1}"
    assert peaks[1] - peaks[0] < 0.6 * 6_000 * len(row)


def test_rows_too_many_for_an_axis(tmp_path):
    with pytest.raises(DataError, match="too many to be an axis"):
        read(tmp_path, "a,b\n" + "1,2.5\n" * 120_000, **ASKED)


def test_agencys_layout(data_root):
    reading = instruments.read(data_root / "raca99" / "RaCA-spectra-first100.csv", unit="nm", quantity="reflectance")
    assert reading.spectra.values.shape == (99, 2151)
    assert reading.labels is not None
    assert "sample_id" in reading.labels
