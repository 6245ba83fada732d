"""The command ``jaxsoil``: its verbs, its exit status, and what it refuses."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_bundle import small_bundle, soils

from jaxsoil.bundle.bundle import TWIN_WARNING
from jaxsoil.cli import console


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_bundle().save(tmp_path_factory.mktemp("console") / "bundle")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    spectra, _ = soils(4)
    frame = pd.DataFrame(spectra.values, columns=[f"{band:g}" for band in spectra.axis])
    frame.to_csv(tmp_path / "mine.csv", index_label="id")
    return tmp_path / "mine.csv"


SAID = ("--quantity", "reflectance", "--unit", "nm")


def predict(bundle: Path, *words: object) -> int:
    return console(["predict", str(bundle), *map(str, words)])


def test_all_predicted_is_status_0(bundle: Path, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "out.csv"
    assert predict(bundle, table, "-o", out, *SAID) == 0
    found = pd.read_csv(out)
    assert len(found) == 4 and np.isfinite(found["value"].to_numpy()).all()
    assert "4 samples predicted, 0 refused" in capsys.readouterr().out


def test_a_refusal_is_status_3_and_the_others_are_written(
    bundle: Path, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "bad.csv").write_bytes(b"\0\0\0")
    assert predict(bundle, table, tmp_path / "bad.csv", "-o", tmp_path / "out.csv", *SAID) == 3
    assert np.isfinite(pd.read_csv(tmp_path / "out.csv")["value"].to_numpy()).sum() == 4
    assert "refused:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-o", "{}/out.txt"), "give a table"),
        (("-o", "{}/out.csv", "--level", "90"), "between 0 and 1"),
        (("-o", "{}/mine.csv"), "exists"),
        (("-o", "{}/out.csv", "--model", "plrs"), "Did you mean 'plsr'"),
    ],
)
def test_what_cannot_be_done_is_status_2_and_changes_nothing(
    words: tuple[str, ...], message: str, bundle: Path, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    before = table.read_bytes()
    assert predict(bundle, table, *SAID, *(word.format(tmp_path) for word in words)) == 2
    assert message in capsys.readouterr().err
    assert table.read_bytes() == before and not (tmp_path / "out.csv").exists()


def test_no_bundle_is_status_2(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert predict(tmp_path, table, "-o", tmp_path / "out.csv") == 2
    assert "no bundle here" in capsys.readouterr().err


def test_a_twin_warns(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = small_bundle(twin=True).save(tmp_path / "twin")
    assert predict(folder, table, "-o", tmp_path / "out.csv", *SAID) == 0
    assert TWIN_WARNING in capsys.readouterr().err


def test_describe_list_and_data(bundle: Path, capsys: pytest.CaptureFixture) -> None:
    assert console(["describe", str(bundle)]) == 0
    assert "Model plsr (predicts unless another is named)" in capsys.readouterr().out
    assert console(["list"]) == 0
    assert "region_out" in capsys.readouterr().out
    assert console(["data"]) == 0
    assert "fields" in capsys.readouterr().out


def test_python_m_is_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr("sys.argv", ["jaxsoil", "list"])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_module("jaxsoil", run_name="__main__")
    assert "region_out" in capsys.readouterr().out


def test_run_and_plan_are_those_of_the_experiments(capsys: pytest.CaptureFixture) -> None:
    assert console(["run", "region_ot"]) == 2
    assert "Did you mean 'region_out'" in capsys.readouterr().err
    assert console(["report", "no-such-folder"]) == 2
    assert "holds no run" in capsys.readouterr().err
