"""The parts of the page: names of uploads, coordinates and ticks of drawings, numbers as text."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from jaxsoil.web import uploads
from jaxsoil.web.answer import significant
from jaxsoil.web.drawing import draw, ticks


def test_files_of_one_name_lie_beside_each_other_and_doubles_apart(tmp_path: Path) -> None:
    sent = ["a/image.hdr", "a/image.img", "b/image.hdr", "scan.0", "scan.0", "../../up.csv.gz", "plain", "x.$(id)"]
    written = uploads.write([(name, io.BytesIO(name.encode())) for name in sent], tmp_path)
    own = {name: key for key, name in reversed(written.names.items())}
    assert own["a/image.hdr"].removesuffix(".hdr") == own["a/image.img"].removesuffix(".img")
    assert own["b/image.hdr"] != own["a/image.hdr"] and len(written.names) == len(sent)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(written.names)
    endings = {Path(name).name.partition(".")[2] for name in written.names}
    assert endings == {"hdr", "img", "0", "csv.gz", ""}
    assert {path.read_text() for path in tmp_path.iterdir()} == set(sent)


def test_names_of_the_folder_become_those_that_were_sent(tmp_path: Path) -> None:
    written = uploads.write([("deep/scan.csv.gz", io.BytesIO(b"")), ("a b.0", io.BytesIO(b""))], tmp_path)
    first, second = written.names
    assert (
        written.shown(f"{tmp_path / first}: the file is empty. Fetch it.")
        == "deep/scan.csv.gz: the file is empty. Fetch it."
    )
    assert written.shown(str(tmp_path / second / "inner.csv")) == "a b.0/inner.csv"
    # The id of a single spectrum is the name of its file.
    assert written.shown(Path(second).stem) == "a b" and written.shown(Path(first).stem) == "scan.csv"
    assert written.shown("soil-00001.0") == "soil-00001.0"


def test_a_name_is_one_short_line() -> None:
    assert uploads.clean("a\x00b\n<c>\u202e") == "a b <c> "
    assert uploads.clean("\ud800") == " " and len(uploads.clean("x" * 5000)) == 201


def test_a_line_passes_its_points() -> None:
    axis = np.array([1000.0, 1500.0, 2000.0])
    up = draw(axis, "nm", "reflectance", [("a", "measured", np.array([0.0, 0.5, 1.0]))], "t")
    # 5 % of room below and above: 1.1 from edge to edge.
    edge = 1000 * 0.05 / 1.1
    assert up.lines[0].path == f"M0.0,{1000 - edge:.1f} 500.0,500.0 1000.0,{edge:.1f}"
    assert up.across[0] == (0.0, "1000") and up.across[-1] == (1.0, "2000")
    # Wavenumbers fall to the right.
    down = draw(axis, "cm-1", "absorbance", [("a", "measured", np.array([0.0, 0.5, 1.0]))], "t")
    assert down.lines[0].path == f"M1000.0,{1000 - edge:.1f} 500.0,500.0 0.0,{edge:.1f}"
    assert down.across[0] == (1.0, "1000")
    many = draw(np.arange(1000.0, 3001.0), "nm", "reflectance", [("a", "measured", np.ones(2001))], "t")
    assert len(many.lines[0].path.split()) <= 602 and many.lines[0].path.endswith("1000.0,500.0")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (-0.31, 0.32, ["−0.2", "0.0", "0.2"]),
        (1670.0, 2450.0, ["1800", "2000", "2200", "2400"]),
        (0.051, 0.118, ["0.06", "0.08", "0.10"]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[str]) -> None:
    assert [text for _, text in ticks(low, high)] == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.5, "2.50"), (0.9096, "0.910"), (0.0, "0.00"), (1234.5, "1230"), (0.00012345, "0.000123"), (100.0, "100"),
     (-3.0, "−3.00"), (float("nan"), "–"), (None, "–"), (float("inf"), "∞")],
)  # fmt: skip
def test_numbers_have_three_digits(value: float | None, text: str) -> None:
    assert significant(value) == text
