"""Run folders: declared files are read as declared, and whatever is damaged is named with its remedy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jaxsoil.evaluation import results
from jaxsoil.report.run_files import RunContents, RunFiles, where
from jaxsoil.runs.errors import DataError
from jaxsoil.runs.files import write_parquet
from jaxsoil.runs.tables import Columns, read_csv, read_parquet

FILES = RunFiles(
    csv={
        "scores": Columns(text="laboratory", whole="seed", number="ccc", flag="converged", optional="kl"),
        "history": Columns(number=("loss",)),
    },
    parquet={"predictions": Columns(text="id", number="observed")},
    arrays={"xi": ("wavenumber", "xi")},
    json=("maps", "card"),
    optional=("timing", "history", "card"),
    results=("strategy",),
)
SCORES = "laboratory,seed,ccc,converged,note\nNA,0,0.30000000000000004,True,\n007,1,,False,12\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("config", "env", "data", "maps"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"config": {"seeds": 2}, "name": name}))
    (tmp_path / "scores.csv").write_text(SCORES)
    pd.DataFrame({"id": ["NA", "007"], "observed": [1.0, np.nan]}).to_parquet(tmp_path / "predictions.parquet")
    np.savez(tmp_path / "xi.npz", wavenumber=np.arange(500.0), xi=np.ones(500))
    keys = {"study": "s", "data": "d", "model": "m", "property": "clay", "region": "NA", "seed": 0, "split": "test"}
    rows = results.value_rows({"ccc": 0.5}, unit="%", scale="percent", keys={**keys, "strategy": "007"})
    results.write_results(tmp_path / "results.csv", results.as_frame(rows, ("strategy",)), ("strategy",))
    return tmp_path


def test_a_run_is_read_as_it_was_declared(folder: Path) -> None:
    run = FILES.read(folder)
    assert (run.path, run.env["name"], run.timing) == (folder, "env", {})
    assert list(run.json) == ["maps"] and set(run.tables) == {"scores", "predictions"}
    scores = run.tables["scores"]
    assert scores["laboratory"].tolist() == ["NA", "007"] and scores["note"].tolist() == ["", "12"]
    assert scores["seed"].dtype == np.int64 and scores["converged"].tolist() == [True, False]
    # 0.1 + 0.2, to the last bit, and an empty cell.
    np.testing.assert_array_equal(scores["ccc"], [0.1 + 0.2, np.nan])
    assert run.tables["predictions"]["id"].tolist() == ["NA", "007"]
    assert run.arrays["xi"]["xi"].shape == (500,)
    assert run.results[["region", "strategy", "property"]].iloc[0].tolist() == ["NA", "007", "clay"]


def test_a_study_may_have_a_class_of_its_own_and_no_results(folder: Path) -> None:
    class Own(RunContents):
        @property
        def seeds(self) -> int:
            return self.config["config"]["seeds"]

    (folder / "results.csv").unlink()
    run = Own.of(RunFiles(results=None, optional=("timing",)).read(folder))
    assert run.seeds == 2 and run.results.empty and tuple(run.results.columns) == results.RESULT_COLUMNS


@pytest.mark.parametrize(
    "name",
    ["config.json", "env.json", "data.json", "maps.json", "results.csv", "scores.csv", "predictions.parquet", "xi.npz"],
)
def test_each_file_missing_cut_short_or_full_of_nuls_is_named(folder: Path, name: str) -> None:
    whole = (folder / name).read_bytes()
    contents = [whole[: int(share * len(whole))] for share in (0.0, 0.3, 0.6)] + [whole[:-1], bytes(200_000)]
    contents += ["Größe,Höhe\n1,2\n".encode("latin-1")]
    for content in contents:
        (folder / name).write_bytes(content)
        with pytest.raises(DataError, match=rf"{name}: .*(--overwrite|--resume: it is made anew)\.") as caught:
            FILES.read(folder)
        assert "\n" not in str(caught.value)
    (folder / name).unlink()
    with pytest.raises(DataError, match=rf"{name}: this file of the run is missing\. Finish the run first"):
        FILES.read(folder)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("NA,0,", "NA,0.5,", r"column seed, row 1: not a whole number \(found: 0\.5\)"),
        ("007,1,", "007,,", r"column seed, row 2: not a whole number"),
        ("0.30000000000000004", "0.3x", r"column ccc, row 1: not a number \(found: 0\.3x\)"),
        ("True", "perhaps", r"column converged, row 1: not True or False \(found: perhaps\)"),
        ("NA,0,", "NA,0,1,", r"row 1 has 6 columns, not 5"),
        ("007,1,,", "007,1,", r"row 2 has 4 columns, not 5"),
        ("ccc", "cc", r"columns are missing: ccc"),
        ("note", "ccc", r"no header, or a column twice"),
        ("NA", '"NA', r"this is not a table"),
    ],
)
def test_a_cell_that_is_not_what_it_should_be_is_named(folder: Path, old: str, new: str, message: str) -> None:
    (folder / "scores.csv").write_text(SCORES.replace(old, new))
    with pytest.raises(DataError, match=rf"scores\.csv: .*{message}.*--overwrite"):
        FILES.read(folder)


def test_a_table_cut_within_a_line_is_refused(folder: Path) -> None:
    path = folder / "scores.csv"
    for length in range(len(SCORES)):
        if SCORES[length - 1 : length] == "\n":
            continue
        path.write_text(SCORES[:length])
        with pytest.raises(DataError, match=r"scores\.csv: this is not a table"):
            read_csv(path, FILES.csv["scores"])


def test_what_parquet_files_and_arrays_lack_is_named(folder: Path) -> None:
    frame = pd.DataFrame({"id": ["a"], "observed": ["text"]})
    frame.to_parquet(folder / "predictions.parquet")
    with pytest.raises(DataError, match=r"predictions\.parquet: column observed: not a number"):
        FILES.read(folder)
    frame.drop(columns="observed").to_parquet(folder / "predictions.parquet")
    with pytest.raises(DataError, match=r"predictions\.parquet: columns are missing: observed"):
        FILES.read(folder)
    pd.DataFrame({"id": ["a"], "observed": [1.0]}).to_parquet(folder / "predictions.parquet")
    np.savez(folder / "xi.npz", wavenumber=np.ones(3))
    with pytest.raises(DataError, match=r"xi\.npz: arrays are missing: xi"):
        FILES.read(folder)


def test_a_flipped_byte_of_a_parquet_file_is_refused_or_changes_nothing(folder: Path) -> None:
    path, columns = folder / "predictions.parquet", FILES.parquet["predictions"]
    frame = pd.DataFrame({"id": ["a", "b", "NA"] * 20, "observed": np.random.default_rng(0).normal(size=60)})
    write_parquet(path, frame)
    whole, refused = path.read_bytes(), 0
    places = range(0, len(whole), 13)
    for place in places:
        flipped = bytearray(whole)
        flipped[place] ^= 0x10
        path.write_bytes(flipped)
        try:
            pd.testing.assert_frame_equal(read_parquet(path, columns), frame)
        except DataError as error:
            assert "predictions.parquet" in str(error)
            refused += 1
    assert refused > len(places) / 2


def test_a_configuration_that_is_none_is_named(folder: Path) -> None:
    for text in ('{"config": 3}', "{}"):
        (folder / "config.json").write_text(text)
        with pytest.raises(DataError, match=r"config\.json: the configuration is missing\. Run the study again"):
            FILES.read(folder)
    (folder / "config.json").write_text("[1, 2]")
    with pytest.raises(DataError, match=r"config\.json: this is not a JSON object"):
        FILES.read(folder)


def test_rows_are_chosen_by_all_values() -> None:
    table = pd.DataFrame({"a": np.arange(200.0), "b": ["y", "y"] + ["x"] * 198})
    assert where(table, a=1.0, b="y").index.tolist() == [1]
    assert where(table, a=5.0, b="y").empty
