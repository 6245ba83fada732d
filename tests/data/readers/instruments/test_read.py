"""What every format shares: extensions against content, folders, archives, missing libraries."""

import builtins
import stat
import zipfile

import numpy as np
import pytest

from jaxsoil.data.readers import instruments
from jaxsoil.runs.errors import DataError
from tools.instrument_files import CM, MAKERS, NM, asd, opus, spectrum, wide_csv, zipped

RNG = np.random.default_rng(0)
ASD = asd(spectrum(RNG, NM)[0])
OPUS = opus(spectrum(RNG, CM)[0], CM[0], CM[-1])


def write(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("name", list(MAKERS))
def test_every_format_is_dispatched(tmp_path, name):
    files = MAKERS[name](np.random.default_rng(1))
    write(tmp_path, files)
    asked = {"unit": "nm", "quantity": "reflectance"} if name in ("CSV", "Parquet", "R") else {}
    reading = instruments.read(tmp_path / next(iter(files)), **asked)
    assert reading.format == ("ASD" if name == "ZIP" else name)
    assert len(reading.ids) == len(reading.spectra) > 0


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", OPUS, "not what its extension says .CSV. .found: OPUS by its first bytes"),
        ("a.asd", OPUS, "not what its extension says .ASD. .found: OPUS"),
        ("a.parquet", b"%PDF-1.7", "found: PDF"),
        ("a.0", b"hello, this is text", "no known format by its first bytes"),
        ("a.rds", b"\x89HDF....", "found: HDF5"),
        ("a.csv", zipped({"x": b"1"}), "found: ZIP"),
        ("a.xlsx", zipped({"x": b"1"}), r"this extension are not read .found: .xlsx, ZIP.*Known: .asd"),
        ("a", b"x", "this extension are not read"),
        ("a.asd", b"", "the file is empty"),
        ("a.jdx", b"\0" * 900, r"a\.jdx: "),
    ],
)
def test_content_is_held_against_the_extension(tmp_path, name, content, message):
    write(tmp_path, {name: content})
    with pytest.raises(DataError, match=message):
        instruments.read(tmp_path / name)


def test_paths_that_are_no_files(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        instruments.read(tmp_path / "a.asd")
    with pytest.raises(DataError, match="a folder is no instrument file"):
        instruments.read(tmp_path)


@pytest.mark.parametrize(("what", "near"), [({"unit": "NM"}, "nm"), ({"quantity": "reflectence"}, "reflectance")])
def test_unknown_unit_or_quantity(tmp_path, what, near):
    with pytest.raises(DataError, match=f"Did you mean '{near}'"):
        instruments.read(tmp_path / "a.asd", **what)


def test_text_that_begins_like_a_binary_file(tmp_path):
    text = wide_csv(spectrum(RNG, NM, 2), NM).replace("sample_id", "ASD_id")
    write(tmp_path, {"a.csv": text.encode()})
    assert len(instruments.read(tmp_path / "a.csv", unit="nm", quantity="reflectance").ids) == 2


def test_folder_is_walked_in_order_and_a_bad_file_stops_nothing(tmp_path):
    write(
        tmp_path,
        {"b.asd": ASD, "a.asd": ASD[:600], "c/d.0": OPUS, "c/notes.docx": b"x", ".hidden.asd": b"x", "z.zip": zipped(
            {"in/e.asd": ASD, "f.asd": b"x"})},
    )  # fmt: skip
    found = list(instruments.readings(tmp_path))
    assert [str(path.relative_to(tmp_path)) for path, _ in found] == [
        "a.asd", "b.asd", "z.zip/f.asd", "z.zip/in/e.asd", "c/d.0", "c/notes.docx",
    ]  # fmt: skip
    assert [isinstance(result, instruments.Reading) for _, result in found] == [False, True, False, True, True, False]
    assert "z.zip/f.asd: " in str(found[2][1])
    assert ".docx" in str(found[5][1])


def test_what_the_caller_prints_between_two_files_is_seen(tmp_path, capsys):
    write(tmp_path, {"a.zip": zipped({"a.asd": ASD, "b.asd": ASD})})
    for path, _ in instruments.readings(tmp_path):
        print(path.name)
    assert capsys.readouterr().out == "a.asd\nb.asd\n"


def test_readings_take_files_one_at_a_time(tmp_path):
    write(tmp_path, {"a.asd": ASD})
    stream = instruments.readings([tmp_path / "a.asd", tmp_path / "absent.asd"])
    assert isinstance(next(stream)[1], instruments.Reading)
    assert "does not exist" in str(next(stream)[1])


def test_envi_image_beside_its_header_is_read_once(tmp_path):
    write(tmp_path, MAKERS["ENVI"](np.random.default_rng(0)))
    assert [path.name for path, _ in instruments.readings(tmp_path)] == ["scene.hdr"]


def test_archive_with_several_files_is_refused_by_read(tmp_path):
    write(tmp_path, {"a.zip": zipped({"a.asd": ASD, "b.asd": ASD})})
    with pytest.raises(DataError, match=r"does not hold one file of spectra.*2 readable"):
        instruments.read(tmp_path / "a.zip")


@pytest.mark.parametrize("name", ["../out.asd", "/tmp/out.asd", "a/../../out.asd", "..\\out.asd", "C:\\out.asd"])
def test_paths_that_leave_the_archive_are_refused(tmp_path, name):
    write(tmp_path, {"inner/a.zip": zipped({name: ASD})})
    with pytest.raises(DataError, match="a path outside its folder, or a link"):
        instruments.read(tmp_path / "inner" / "a.zip")
    assert not list(tmp_path.rglob("out.asd"))


def test_bombs_links_and_encrypted_members_are_refused(tmp_path):
    write(tmp_path, {"bomb.zip": zipped({"a.csv": bytes(50 << 20)})})
    with pytest.raises(DataError, match="inflates as a bomb does"):
        instruments.read(tmp_path / "bomb.zip")
    link = zipfile.ZipInfo("a.asd")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match="or a link"):
        instruments.read(tmp_path / "link.zip")
    content = zipped({"a.asd": ASD})
    at = content.index(b"PK\x01\x02") + 8
    write(tmp_path, {"secret.zip": content[:at] + b"\x01" + content[at + 1 :]})
    with pytest.raises(DataError, match="encrypted"):
        instruments.read(tmp_path / "secret.zip")


def test_declared_sizes_are_added_up(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxsoil.data.readers.instruments.archives.MOST_BYTES", 2 * len(ASD))
    write(tmp_path, {"a.zip": zipped({"a.asd": ASD, "b.asd": ASD, "c.asd": ASD})})
    with pytest.raises(DataError, match="the archive is too large"):
        instruments.read(tmp_path / "a.zip")


def test_archive_within_an_archive_is_not_opened(tmp_path):
    write(tmp_path, {"a.zip": zipped({"b.zip": zipped({"a.asd": ASD})})})
    with pytest.raises(DataError, match="an archive lies in the archive"):
        instruments.read(tmp_path / "a.zip")


@pytest.mark.parametrize(("library", "name"), [("brukeropus", "OPUS"), ("jcamp", "JCAMP-DX"), ("rdata", "R")])
def test_missing_library_is_named_with_its_remedy(tmp_path, monkeypatch, library, name):
    files = MAKERS[name](np.random.default_rng(1))
    write(tmp_path, files)
    whole = builtins.__import__

    def without(wanted, *args, **kwargs):
        if wanted.split(".")[0] == library:
            raise ModuleNotFoundError(f"No module named {wanted!r}")
        return whole(wanted, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match=rf"{library}, which is not installed. .*pip install 'jaxsoil\[instruments\]'"):
        instruments.read(tmp_path / next(iter(files)))


def test_nothing_is_printed_and_no_file_is_left(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {"a.0": OPUS, "b.jdx": MAKERS["JCAMP-DX"](RNG)["a.jdx"].replace(b"0.", b"9.", 3)})
    before = sorted(tmp_path.rglob("*"))
    list(instruments.readings(tmp_path))
    assert sorted(tmp_path.rglob("*")) == before
    assert capsys.readouterr() == ("", "")
