"""A whole small study: tables and maps that line up, resuming after an interruption, reports."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
from layers_study import TINY
from pictures import undrawn

from jaxsoil.data.rasters.rasters import Box, fill_gaps, windows_around
from jaxsoil.evaluation.results import ALL_SEEDS, read_results
from jaxsoil.runs import tracking
from jaxsoil.runs.errors import DataError
from jaxsoil.studies.layers import maps as choice
from jaxsoil.studies.layers import run as study
from jaxsoil.studies.layers.maps import tile_map
from jaxsoil.studies.layers.prepare import LayersData, prepare
from jaxsoil.studies.layers.report.page import write_report
from jaxsoil.studies.layers.report.tables import LABELS, SPLITS
from jaxsoil.studies.layers.scores import OWN, POOLED, pooled_scores
from jaxsoil.studies.layers.trainings import Training, TrainingResult, in_parallel, predictor, train_or_read, trainings


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


def test_a_pixel_of_the_map_is_the_mean_of_all_fold_models(finished: Path, prepared: LayersData) -> None:
    row, col = prepared.row[:5], prepared.col[:5]
    windows, _ = fill_gaps(windows_around(prepared.land.rasters, row, col, 3))
    members = finished / "members"
    every = [predictor(Training("transfer", "random", seed), prepared, TINY, members)(windows) for seed in (0, 1)]
    trained = [
        train_or_read(Training("transfer", "random", seed), prepared, TINY, members, np.empty((0, 3, 3, 4), np.float32))
        for seed in (0, 1)
    ]
    held_out = np.mean([one.held_out for one in trained], axis=0)
    factor = np.nanmean(np.exp(prepared.to_scale(prepared.sites.values) - held_out), axis=0)
    expected = prepared.to_unit(np.mean(every, axis=(0, 1)), factor)
    for place, layer in enumerate(prepared.layers):
        with rasterio.open(finished / "maps" / f"{layer.key}.tif") as file:
            np.testing.assert_allclose(file.read(1)[row, col], expected[:, place], rtol=1e-5)


def test_tables_read_back_with_every_model_split_seed_and_layer(finished: Path, prepared: LayersData) -> None:
    table = pd.read_parquet(finished / "predictions.parquet")
    count = prepared.seen.sum()
    sizes = table.groupby(["split", "model", "seed"]).size()
    assert (sizes == count).all() and len(sizes) == 2 * (3 * 3 + 2)
    assert np.isfinite(table["predicted"]).all()
    scores = read_results(finished / "results.csv", OWN)
    assert set(scores["layer"]) == {layer.name for layer in prepared.layers} | {POOLED}
    assert set(scores["seed"]) == {0, 1, ALL_SEEDS} and set(scores["property"]) == {prepared.sites.quantity}
    data = json.loads((finished / "data.json").read_text())
    assert data["truth"] and data["scale"] == "log1p" and data["overlap"]["blocks"] <= data["overlap"]["random"]


def test_the_log_has_every_epoch_and_ends_with_a_summary(finished: Path) -> None:
    *records, last = tracking.read_log(finished / tracking.LOG_NAME)
    every = trainings(TINY)
    assert [r["trainings_done"] for r in records if "trainings_done" in r] == list(range(1, len(every) + 1))
    epochs = [(r["trial"], r["epoch"]) for r in records if "epoch" in r]
    lengths = {"transfer": {"pretrain": 3, "finetune": 2}, "profile": {"train": 3}}
    assert epochs == [
        (f"{training.label}/{stage}", epoch)
        for training in every
        for stage, count in lengths.get(training.model, {}).items()
        for epoch in range(1, count + 1)
    ]
    pooled = pooled_scores(read_results(finished / "results.csv", OWN), "rmse")
    value = pooled[(pooled["model"] == "profile") & (pooled["split"] == "blocks")]["value"].item()
    assert last["summary"]["rmse/profile/blocks"] == pytest.approx(value, rel=1e-8)
    assert len(last["summary"]) == 2 * len(pooled)


def test_a_damaged_training_is_named(finished: Path, prepared: LayersData, tmp_path: Path) -> None:
    training = trainings(TINY)[0]
    whole = (finished / "members" / f"{training.label}.npz").read_bytes()
    for left in (whole[: len(whole) // 2], b"not an archive"):
        (tmp_path / f"{training.label}.npz").write_bytes(left)
        with pytest.raises(DataError, match=r"mean-blocks-0.npz.*Delete this file"):
            train_or_read(training, prepared, TINY, tmp_path, np.empty((0, 3, 3, 4), np.float32))


def test_the_model_of_the_maps_is_chosen_among_the_training_sites_of_each_fold(tmp_path: Path) -> None:
    config = dataclasses.replace(TINY, models=("mean", "rf"), folds=3, seeds=1, map_model="best")
    data = prepare(config)
    table = choice.inner_scores(config, data, tmp_path)
    chosen: Any = table.groupby("fold")["chosen"].sum()
    assert len(table) == 6 and chosen.tolist() == [1, 1, 1]
    best = table.loc[table.groupby("fold")["rmse"].idxmin(), "model"].tolist()
    assert choice.chosen_models(config, table) == best and choice.chosen_models(TINY, None) == ["transfer"] * 2
    # Values of the sites of a fold have no part in what is chosen for it.
    fold, other = data.folds["random"], data.sites.values.copy()
    other[fold == 1] = 40.0 + 9.0 * other[fold == 1]
    changed = dataclasses.replace(data, sites=dataclasses.replace(data.sites, values=other))
    again = choice.inner_scores(config, changed, tmp_path / "again")
    mine, theirs = (np.asarray(one[one["fold"] == 1]["rmse"]) for one in (table, again))
    np.testing.assert_array_equal(mine, theirs)
    assert not np.allclose(table["rmse"], again["rmse"])


def test_results_of_chosen_models_are_those_of_each_folds_own(prepared: LayersData) -> None:
    fold, n = prepared.folds["random"], len(prepared.sites)
    flags = np.ones(1, bool), np.ones(1, bool)
    made = {
        name: [TrainingResult(np.full((n, 6), value), np.full((2, 4, 6), value), *flags, fold, {})]
        for name, value in (("rf", 1.0), ("mean", 2.0))
    }
    (found,) = choice.composed(["mean", "rf"], made, fold)
    np.testing.assert_array_equal(found.held_out[:, 0], np.where(fold == 0, 2.0, 1.0))
    assert found.probe[:, 0, 0].tolist() == [2.0, 1.0]
    predict = choice.composed_predict(["mean", "rf"], {name: lambda _, v=one[0].probe: v for name, one in made.items()})
    assert predict(np.empty(0))[:, 0, 0].tolist() == [2.0, 1.0]


def test_after_an_error_no_further_training_is_started() -> None:
    calls: list[int] = []

    def fails() -> int:
        raise DataError("it broke", remedy="Mend it.")

    results = in_parallel([{0: lambda: 3, 1: fails, 2: lambda: calls.append(1) or 1}])
    assert results[0].result() == 3 and not calls
    for name in (1, 2):
        with pytest.raises(DataError, match="it broke"):
            results[name].result()


def test_chains_that_are_alike_follow_the_first() -> None:
    done: list[int] = []

    def slow(number: int) -> int:
        time.sleep(0.05)
        done.append(number)
        return number

    first: dict[str, Any] = {f"first {number}": functools.partial(slow, number) for number in range(3)}
    second: dict[str, Any] = {f"second {number}": lambda number=number: number in done for number in (1, 2)}
    results = in_parallel([first, second], alike=True)
    assert results["second 1"].result() and results["second 2"].result()


def test_a_map_of_the_middle_leaves_the_rest_without_values(prepared: LayersData) -> None:
    config, box = dataclasses.replace(TINY, map_side=6), Box(10, 10, 20, 26)
    mean = lambda windows: np.ones((2, len(windows), 6))  # noqa: E731
    held_out = np.ones((len(prepared.sites), 6))
    part, whole = (tile_map(prepared, c, [mean], held_out, np.zeros((2, 4)), box) for c in (config, TINY))
    expected = np.full(whole.shape, np.nan)
    # The grid has 40 x 46 pixels: its middle is at row 20, column 23.
    expected[:, :, 7:13, 10:16] = whole[:, :, 7:13, 10:16]
    np.testing.assert_array_equal(part, expected)
    assert np.isnan(tile_map(prepared, config, [mean], held_out, np.zeros((2, 4)), Box(0, 0, 9, 9))).all()


def test_the_plan_names_sites_steps_and_what_was_left_out(prepared: LayersData) -> None:
    # Two stages of one length are one compiled program.
    text = study.plan(dataclasses.replace(TINY, models=("mean", "rf", "transfer"), finetune=TINY.train), prepared)
    for part in ("90 sites", "transfer fine", "blocks of", "GeoTIFFs", "TFLOP (float32), floors"):
        assert part in text


def test_the_report_puts_published_numbers_beside_ours_and_shows_every_map(finished: Path) -> None:
    with undrawn():  # the smoke run of the study draws them all
        path = write_report(finished)
    text = (finished / "report.md").read_text()
    for part in ("0.374", "2.937", "not stated", r"maps/000\_005cm.tif", "CNN, transfer over", "Against the true maps"):
        assert part in text, part
    names = {"maps", "scores", "gains", "observed", "profiles", "coverage", "sites"}
    assert {file.stem for file in (finished / "figures").iterdir()} == names
    assert path.read_text().count("<img") == len(names)


def cells(text: str, caption: str) -> list[list[str]]:
    """Rows of the table of report.md under a caption, header first."""
    lines = text[text.index(caption) :].splitlines()[2:]
    rows = itertools.takewhile(lambda line: line.startswith("|"), lines)
    return [[cell.strip().replace("−", "-") for cell in row.strip("|").split("|")] for row in rows]


def test_numbers_of_the_report_are_those_of_the_tables(finished: Path, prepared: LayersData) -> None:
    text, found = (finished / "report.md").read_text(), read_results(finished / "results.csv", OWN)
    scores = found.set_index(["split", "model", "seed", "layer", "metric"])["value"]
    for metric, caption in (("r2", "R2 of each layer, seeds"), ("rmse", "RMSE of each layer (%), seeds")):
        header, _, *rows = cells(text, caption)
        assert header[2:] == [layer.name for layer in prepared.layers] and len(rows) == 8
        for split, model in itertools.product(TINY.splits, TINY.models):
            row = next(row for row in rows if row[:2] == [SPLITS[split], LABELS[model]])
            expected = [scores[split, model, ALL_SEEDS, layer, metric] for layer in header[2:]]
            np.testing.assert_allclose([float(cell) for cell in row[2:]], expected, atol=5.01e-4)
    _, _, *rows = cells(text, "All layers together, on sites")
    row = next(row for row in rows if row[:2] == ["random", LABELS["transfer"]])
    single = [scores["random", "transfer", seed, POOLED, "rmse"] for seed in (0, 1)]
    assert row[5] == f"{np.mean(single):.3f} ± {np.std(single, ddof=1):.3f}"
    layers = [scores["random", "transfer", ALL_SEEDS, layer.name, "r2"] for layer in prepared.layers]
    assert float(row[4]) == pytest.approx(np.mean(layers), abs=5.01e-4)
    gains = pd.read_csv(finished / "gains.csv")
    _, _, *rows = cells(text, "Which layers gain, and by how much")
    assert len(rows) == len(gains) == 2 * 7
    for row, line in zip(rows, gains.to_dict("records"), strict=True):
        assert float(row[4]) == pytest.approx(line["gain"], abs=0.0501) and row[-1] == line["verdict"]
        assert [float(end) for end in row[7].split(" to ")] == pytest.approx(
            [line["blocks_low"], line["blocks_high"]], abs=0.0501
        )
    coverage = pd.read_csv(finished / "coverage.csv").set_index(["split", "model", "layer"])["coverage"]
    _, _, *rows = cells(text, "Coverage of intervals of nominally 90 %")
    row = next(row for row in rows if row[:2] == ["spatial blocks", LABELS["rf"]])
    assert float(row[2]) == pytest.approx(100.0 * coverage["blocks", "rf", POOLED], abs=0.0501)


def test_a_report_needs_a_finished_run_of_this_version(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"config.json.*missing"):
        write_report(tmp_path)
    (tmp_path / "scores.csv").write_text("split,model,seed,layer,n,r2\n")
    with pytest.raises(DataError, match=r"scores.csv: .*earlier version.*--overwrite") as refused:
        write_report(tmp_path)
    assert "\n" not in str(refused.value)
