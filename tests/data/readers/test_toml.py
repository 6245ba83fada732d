"""TOML tables as dataclasses: types, defaults, and errors that name the key and the nearest right one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from jaxsoil.data.readers.toml import build, read_toml
from jaxsoil.runs.errors import DataError

FILE = Path("my.toml")


@dataclasses.dataclass(frozen=True)
class Part:
    size: float
    good: bool = True


@dataclasses.dataclass(frozen=True)
class Whole:
    name: str
    part: Part
    count: int | None = None
    key: str | Sequence[str] = ()
    rows: Sequence[Sequence[int]] = ()
    parts: Mapping[str, Part] = dataclasses.field(default_factory=dict)
    more: Sequence[Part] = ()


def test_every_kind_of_value_is_taken():
    table = {
        "name": "a",
        "part": {"size": 2},
        "count": 3,
        "key": ["x", "y"],
        "rows": [[1, 2], []],
        "parts": {"one": {"size": 0.5, "good": False}},
        "more": [{"size": 1.0}],
    }
    expected = Whole("a", Part(2), 3, ("x", "y"), ((1, 2), ()), {"one": Part(0.5, False)}, (Part(1.0),))
    assert build(Whole, table, FILE) == expected
    assert build(Whole, {"name": "a", "part": {"size": 2}, "key": "x"}, FILE) == Whole("a", Part(2), key="x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nam": "a"}, r"my\.toml, column nam: unknown key\. Did you mean 'name'"),
        ({"part": {"sise": 1.0}}, r"column part\.sise: unknown key\. Did you mean 'size'"),
        ({"part": {}}, r"column part\.size: a key is missing\. Add part\.size: a number"),
        ({"part": 3}, r"column part: .*wrong type \(found: 3\)\. Give a table with size, good"),
        ({"part": {"size": True}}, r"column part\.size: .*Give a number"),
        ({"part": {"size": 1.0, "good": 1}}, r"Give true or false"),
        ({"count": 1.5}, r"column count: .*found: 1\.5\). Give a whole number"),
        ({"key": 1}, r"Give text in quotes or a list of text in quotes"),
        ({"rows": [[1, "2"]]}, r"column rows: .*found: 2\)\. Give a whole number"),
        ({"rows": [1]}, r"Give a list of a whole number"),
        ({"parts": {"one": {"good": True}}}, r"column parts\.one\.size: a key is missing"),
        ({"parts": []}, r"column parts: .*Give a table"),
        ({"more": [{"size": "x"}]}, r"column more\.size: .*Give a number"),
    ],
)
def test_mistakes_are_named(change, message):
    with pytest.raises(DataError, match=message):
        build(Whole, {"name": "a", "part": {"size": 1.0}} | change, FILE)


def test_a_key_without_which_nothing_goes():
    with pytest.raises(DataError, match=r"column part: a key is missing\. Add part: a table with size, good"):
        build(Whole, {"name": "a"}, FILE)


@pytest.mark.parametrize("content", [b"\0" * 20, b"\xff\xfe", b"a = ", b"a = " + b"[" * 5000, b"a = 1\0"])
def test_files_that_are_no_toml(tmp_path, content):
    (tmp_path / "my.toml").write_bytes(content)
    with pytest.raises(DataError, match=r"my\.toml: this is not a TOML file"):
        read_toml(tmp_path / "my.toml")


def test_files_that_are_not_there(tmp_path):
    for path in (tmp_path / "absent.toml", tmp_path):
        with pytest.raises(DataError, match="the file cannot be read"):
            read_toml(path)
