"""Finished pieces: read back as they were, refused where damaged, never made again unasked."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from flax.core import freeze

from jaxsoil.runs.errors import DataError
from jaxsoil.runs.pieces import Piece, Pieces, file_name

REMEDY = r"Delete this file and run again with --resume: it is made anew\."


def piece() -> Piece:
    kernel = jnp.arange(6, dtype=jnp.float32).reshape(2, 3)
    return Piece(
        arrays={"predicted": np.array([0.1, np.nan]), "ids": np.array(["007", "NA"]), "file": np.float64(2.5)},
        trees={"net": freeze({"params": {"Dense_0": {"kernel": kernel, "a/b": np.ones(1)}}, "batch_stats": {}})},
        tables={"history": pd.DataFrame({"epoch": [1, 2], "stage": ["NA", ""], "loss": [0.1 + 0.2, np.nan]})},
        facts={"status": "converged", "epochs": np.int64(12), "limits": (0.0, 1.0), "watched": None},
    )


def never() -> Piece:
    raise AssertionError("a finished piece was made again")


def same(found: Piece, made: Piece) -> None:
    assert list(found.arrays) == list(made.arrays)
    for name, values in made.arrays.items():
        assert found.arrays[name].dtype == np.asarray(values).dtype
        np.testing.assert_array_equal(found.arrays[name], values)
    net = found.trees["net"]
    assert set(net) == {"params", "batch_stats"} and net["batch_stats"] == {}
    assert set(net["params"]["Dense_0"]) == {"kernel", "a/b"}
    np.testing.assert_array_equal(net["params"]["Dense_0"]["kernel"], np.arange(6, dtype=np.float32).reshape(2, 3))
    assert net["params"]["Dense_0"]["kernel"].dtype == np.float32
    pd.testing.assert_frame_equal(found.tables["history"], made.tables["history"])
    assert found.facts == {"status": "converged", "epochs": 12, "limits": [0.0, 1.0], "watched": None}


def test_a_piece_is_made_once_and_read_afterwards(tmp_path: Path) -> None:
    pieces = Pieces(tmp_path / "deep" / "pieces")
    assert not pieces.exists("0-stage1")
    first = pieces.get("0-stage1", piece, identity=["a/0", "a/1"])
    assert pieces.exists("0-stage1") and first.seconds > 0.0
    again = pieces.get("0-stage1", never, identity=("a/0", "a/1"))
    for found in (first, again, pieces.read("0-stage1")):
        same(found, piece())
    assert again.seconds == first.seconds
    assert [path.name for path in pieces.folder.iterdir()] == ["0-stage1.npz"]


def test_another_identity_is_refused(tmp_path: Path) -> None:
    pieces = Pieces(tmp_path)
    pieces.get("a", piece, identity={"trials": ["a/0"]})
    with pytest.raises(DataError, match=r"a\.npz: this piece belongs to another configuration.*--overwrite"):
        pieces.get("a", never, identity={"trials": ["a/1"]})


def test_a_piece_that_fails_leaves_nothing_and_a_missing_one_is_missing(tmp_path: Path) -> None:
    pieces = Pieces(tmp_path)
    with pytest.raises(AssertionError):
        pieces.get("a", never)
    assert not list(tmp_path.iterdir())
    with pytest.raises(DataError, match=r"a\.npz: this piece of the run is missing\. .*--resume"):
        pieces.read("a")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.2, 0.5, 0.8, 0.99, 0.9999])
def test_a_piece_cut_short_is_named_and_not_made_again(tmp_path: Path, share: float) -> None:
    pieces = Pieces(tmp_path)
    pieces.get("a", piece)
    whole = pieces.path("a").read_bytes()
    pieces.path("a").write_bytes(whole[: int(share * len(whole))])
    for read in (lambda: pieces.read("a"), lambda: pieces.get("a", never)):
        with pytest.raises(DataError, match=rf"a\.npz: this file.*{REMEDY}"):
            read()


def test_a_flipped_byte_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    """Some bytes of a zip file mean nothing here, such as its dates; no other may go unseen."""
    pieces, refused = Pieces(tmp_path), 0
    pieces.write("a", piece())
    whole = pieces.path("a").read_bytes()
    places = range(0, len(whole), 7)
    for place, mask in zip(places, itertools.cycle((0x01, 0x40, 0xFF)), strict=False):
        flipped = bytearray(whole)
        flipped[place] ^= mask
        pieces.path("a").write_bytes(flipped)
        try:
            same(pieces.read("a"), piece())
        except DataError as error:
            assert "a.npz" in str(error) and "Delete this file" in str(error)
            refused += 1
    assert refused > len(places) / 2


def test_other_files_are_no_pieces(tmp_path: Path) -> None:
    pieces = Pieces(tmp_path)
    np.savez(pieces.path("plain"), soc=np.ones(3))
    lists: dict[str, Any] = {"piece.json": np.frombuffer(b"[1]", np.uint8)}
    np.savez(pieces.path("lists"), **lists)
    pieces.path("nul").write_bytes(bytes(1000))
    (tmp_path / "folder.npz").mkdir()
    for name in ("plain", "lists", "nul", "folder"):
        with pytest.raises(DataError, match=rf"{name}\.npz: this file.*{REMEDY}"):
            pieces.get(name, never)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (Piece(arrays={"x": np.array([{}, None], object)}), "has the type object"),
        (Piece(trees={"net": {"w": jnp.ones(2, jnp.bfloat16)}}), "has the type bfloat16"),
        (Piece(trees={"net": {"w": [1.0, None]}}), "has the type object"),
        (Piece(trees={"net": {0: np.ones(2)}}), "keys of a tree are text"),
        (Piece(trees={"net": {"a/b": np.ones(1), "a": {"b": np.ones(1)}}}), "occurs twice"),
        (Piece(facts={"made": object()}), "must be JSON"),
    ],
)
def test_what_would_not_come_back_is_not_written(tmp_path: Path, wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Pieces(tmp_path).write("a", wrong)
    assert not list(tmp_path.iterdir())


def test_names_become_names_of_files() -> None:
    assert file_name("ann-R0.5/site 3: Mähdrescher-0") == "ann-R0.5_site_3__Mähdrescher-0"
    assert Pieces(Path("pieces")).path("../a/b") == Path("pieces/.._a_b.npz")
