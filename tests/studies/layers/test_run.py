"""A whole small study: tables and maps that line up, resuming after an interruption, reports."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
from layers_study import TINY

from jaxsoil.data.rasters.rasters import fill_gaps, windows_around
from jaxsoil.runs import tracking
from jaxsoil.runs.errors import DataError
from jaxsoil.studies.layers import run as study
from jaxsoil.studies.layers.groups import Group, groups, predictor
from jaxsoil.studies.layers.prepare import Prepared
from jaxsoil.studies.layers.report.page import write_report


def test_maps_line_up_with_the_inputs_and_say_what_they_hold(finished: Path) -> None:
    maps = json.loads((finished / "maps.json").read_text())
    with rasterio.open(finished / "inputs" / "elevation.tif") as land:
        missing = land.read(1) == land.nodata
        profile = (land.crs, land.transform, land.shape, land.nodata)
    assert missing.any() and len(maps["files"]) == 6
    for layer, name in maps["files"].items():
        with rasterio.open(finished / name) as file:
            assert (file.crs, file.transform, file.shape, file.nodata) == profile
            assert list(file.descriptions) == maps["bands"] and file.tags()["LAYER"] == layer
            assert [file.tags(band)["UNITS"] for band in (1, 2, 3, 4)] == ["%"] * 4
            bands = file.read()
        assert ((bands == file.nodata) == missing[None]).all()
        predicted, low, high, spread, outside = bands[:, ~missing]
        assert np.isfinite(bands).all() and (low <= high).all() and (low >= 0.0).all() and (spread >= 0.0).all()
        assert (low <= predicted).mean() > 0.99 and (predicted <= high).mean() > 0.99
        assert set(np.unique(outside)) <= {0.0, 1.0, 2.0, 3.0, 4.0}


def test_a_pixel_of_the_map_is_the_mean_of_all_fold_models(finished: Path, prepared: Prepared) -> None:
    row, col = prepared.row[:5], prepared.col[:5]
    windows, _ = fill_gaps(windows_around(prepared.land.rasters, row, col, 3))
    members = finished / "members"
    every = [predictor(Group("transfer", "random", seed), prepared, TINY, members)(windows) for seed in (0, 1)]
    expected = prepared.to_unit(np.mean(every, axis=(0, 1)))
    for place, layer in enumerate(prepared.layers):
        with rasterio.open(finished / "maps" / f"{layer.key}.tif") as file:
            np.testing.assert_allclose(file.read(1)[row, col], expected[:, place], rtol=1e-5)


def test_tables_read_back_with_every_model_split_seed_and_layer(finished: Path, prepared: Prepared) -> None:
    table = pd.read_parquet(finished / "predictions.parquet")
    count = prepared.seen.sum()
    sizes = table.groupby(["split", "model", "seed"]).size()
    assert (sizes == count).all() and len(sizes) == 2 * (3 * 3 + 2)
    assert np.isfinite(table["predicted"]).all()
    scores = pd.read_csv(finished / "scores.csv")
    assert set(scores["layer"]) == {layer.name for layer in prepared.layers} | {"pooled"}
    data = json.loads((finished / "data.json").read_text())
    assert data["truth"] and data["scale"] == "log1p" and data["overlap"]["blocks"] <= data["overlap"]["random"]


def test_the_log_has_every_epoch_and_ends_with_a_summary(finished: Path) -> None:
    *records, last = tracking.read_log(finished / tracking.LOG_NAME)
    every = groups(TINY)
    assert [r["groups_done"] for r in records if "groups_done" in r] == list(range(1, len(every) + 1))
    epochs = [(r["trial"], r["epoch"]) for r in records if "epoch" in r]
    lengths = {"transfer": {"pretrain": 3, "finetune": 2}, "profile": {"train": 3}}
    assert epochs == [
        (f"{group.label}/{stage}", epoch)
        for group in every
        for stage, count in lengths.get(group.model, {}).items()
        for epoch in range(1, count + 1)
    ]
    scores = pd.read_csv(finished / "scores.csv", dtype={"seed": str})
    pooled = scores[(scores["seed"] == "all") & (scores["layer"] == "pooled")]
    row = pooled[(pooled["model"] == "profile") & (pooled["split"] == "blocks")]
    assert last["summary"]["rmse/profile/blocks"] == row["rmse"].item() and len(last["summary"]) == 2 * len(pooled)


def test_a_damaged_training_is_named(finished: Path, prepared: Prepared, tmp_path: Path) -> None:
    group = groups(TINY)[0]
    whole = (finished / "members" / f"{group.label}.npz").read_bytes()
    for left in (whole[: len(whole) // 2], b"not an archive"):
        (tmp_path / f"{group.label}.npz").write_bytes(left)
        with pytest.raises(DataError, match=r"mean-blocks-0.npz.*Delete this file"):
            study.finish(group, prepared, TINY, tmp_path, np.empty((0, 3, 3, 4), np.float32))


def test_the_best_model_is_the_one_with_the_lowest_error_under_the_first_split(finished: Path) -> None:
    scores = pd.read_csv(finished / "scores.csv", dtype={"seed": str})
    rows: Any = scores[(scores["split"] == "blocks") & (scores["seed"] == "all") & (scores["layer"] == "pooled")]
    expected = rows.sort_values("rmse")["model"].iloc[0]
    assert study.map_model(dataclasses.replace(TINY, map_model="best"), scores) == expected
    assert study.map_model(TINY, scores) == "transfer"


def test_the_plan_names_sites_steps_and_what_was_left_out(prepared: Prepared) -> None:
    text = study.plan(TINY, prepared)
    for part in ("90 sites", "transfer", "blocks of", "GeoTIFFs", "min on two idle cores"):
        assert part in text


def test_the_report_puts_published_numbers_beside_ours_and_shows_every_map(finished: Path) -> None:
    path = write_report(finished)
    text = (finished / "report.md").read_text()
    for part in ("0.374", "2.937", "not stated", r"maps/000\_005cm.tif", "CNN, transfer over", "Against the true maps"):
        assert part in text, part
    names = {"maps", "scores", "gains", "observed", "profiles", "coverage", "sites"}
    assert {file.stem for file in (finished / "figures").iterdir()} == names
    assert path.read_text().count("<img") == len(names)


def test_a_report_needs_a_finished_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data.json.*missing"):
        write_report(tmp_path)
