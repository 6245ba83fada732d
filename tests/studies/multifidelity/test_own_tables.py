"""A manifest of one's own end to end: measured soils cut in two halves by row, in tables of four kinds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import run_here

from jaxsoil.bundle.bundle import NONCOMMERCIAL_WARNING, Bundle
from jaxsoil.runs.files import read_json

MODELS = ("MIR-PLSR", "NIR-PLSR", "MIR-SSL-PLSR")

HEAD = """
name = "halves"
title = "Measured soils in two halves"
mid = "mir"
near = "nir"
labelled = ["more"]
pretrain = ["scans"]

[mid_grid]
unit = "cm-1"
low = 760
high = 3780
step = 60

[near_grid]
unit = "nm"
low = 1700
high = 2460
step = 40

[properties.eoc]
column = "soc"
unit = "g/kg"
factor = 10

[test]
mid = "test_mir"
near = "test_nir"
"""

TABLE = """
[tables.{0}]
data = "{1}.parquet"
id = "sample_id"
licence = "{2}"
axis = {{ unit = "{3}", order = "descending", pattern = '{4}([0-9.]+)', low = {5} }}
values = {{ quantity = "absorbance" }}
"""
LABEL = 'labels.soc = { column = "OC", unit = "%", factor = 0.1 }\n'


@pytest.fixture(scope="module")
def folder(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every fifth soil: the first half trains (pairs, labels alone, spectra alone), the second is the test set."""
    folder = tmp_path_factory.mktemp("halves")
    table = pd.read_parquet(data_root / "woodwell604" / "woodwell604_nir_mir_absorbance.parquet").iloc[::5]
    table = table.reset_index(drop=True)
    bands = {name: float(name) for name in table.columns if str(name).replace(".", "").isdigit()}
    mir = {name: f"mir_{name}" for name, band in bands.items() if 625 <= band <= 4000}
    above = sorted((band, name) for name, band in bands.items() if band > 4000)
    nir = {name: f"nir_{1e7 / band:.3f}" for band, name in above}
    first, second = np.arange(len(table)) < len(table) // 2, np.arange(len(table)) >= len(table) // 2
    own = table[["sample_id", "OC"]]
    whole = pd.concat([own, table[list(mir)].rename(columns=mir), table[list(nir)].rename(columns=nir)], axis=1)
    rows = whole[first].reset_index(drop=True)
    rows.iloc[:36].to_parquet(folder / "pairs.parquet")
    rows.iloc[36:48].to_parquet(folder / "more.parquet")
    # Another axis, and no labels.
    thin = rows.iloc[48:][["sample_id", *list(mir.values())[::3]]]
    thin.to_parquet(folder / "scans.parquet")
    whole[second].to_parquet(folder / "test.parquet")
    text = HEAD
    tables = (("mir", "pairs", LABEL), ("more", "more", LABEL), ("scans", "scans", ""), ("test_mir", "test", LABEL))
    for name, file, labels in tables:
        licence = "CC BY-NC 4.0" if name == "mir" else "CC BY 4.0"
        text += TABLE.format(name, file, licence, "cm-1", "mir_", 625) + labels
    for name, file in (("nir", "pairs"), ("test_nir", "test")):
        text += TABLE.format(name, file, "CC BY 4.0", "nm", "nir_", 1600)
    (folder / "halves.toml").write_text(text, "utf-8")
    return folder


def test_four_kinds_of_tables_run_end_to_end(folder: Path) -> None:
    words = ["--exp", "multifidelity", "--smoke", "--data", str(folder / "halves.toml"), "--wandb", "disabled"]
    words += ["--seeds", "1", "--strategies", *MODELS, "--curves.labels", "--instruments.curves", "--internal", "0"]
    assert run_here(*words, "--workdir", str(folder / "run")) == 0
    predictions = pd.read_parquet(folder / "run" / "predictions.parquet")
    judged = predictions[predictions["set"] == "test"]
    second = set(pd.read_parquet(folder / "test.parquet")["sample_id"].astype(str))
    assert set(judged["strategy"]) == set(MODELS)
    for name, mine in judged.groupby("strategy"):
        assert set(mine["id"]) == second and len(mine) == len(second)
        if "SSL" not in str(name):  # a network of six epochs knows little
            assert np.corrcoef(mine["observed"], mine["predicted"])[0, 1] > 0.6
    notes = read_json(folder / "run" / "data.json")["notes"]
    report = (folder / "run" / "report.md").read_text("utf-8").replace("\\", "")
    for said in ("scans (pre-training): ", "more (labelled): ", "mir (mid-infrared): ", "test_nir (test set, near"):
        assert any(note.startswith(said) for note in notes) and said in report
    bundle = Bundle.load(folder / "run" / "bundle" / "nir")
    assert bundle.warning == NONCOMMERCIAL_WARNING and "mir: CC BY-NC 4.0" in bundle.data["licence"]
