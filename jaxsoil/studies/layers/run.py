"""The study of layer transfer, from the plan to the files of the run folder."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from jaxsoil.data.rasters.geotiff import Band, new_geotiff, write_rasters
from jaxsoil.data.rasters.rasters import Box, fill_gaps, windows_around
from jaxsoil.runs import tracking
from jaxsoil.runs.files import write_arrays, write_csv, write_parquet
from jaxsoil.runs.folder import RunFolder
from jaxsoil.studies.layers import scores
from jaxsoil.studies.layers.config import NETWORKS, LayersConfig
from jaxsoil.studies.layers.groups import Group, Outcome, finish, groups
from jaxsoil.studies.layers.learn import PER_LAYER
from jaxsoil.studies.layers.maps import write_maps
from jaxsoil.studies.layers.prepare import Prepared, overlaps, prepare

__all__ = ["plan", "prepare", "run"]

MEMBERS = "members"
"""Folder of the trained groups inside a run."""

PROBE = 3000
"""Pixels at which every model is held against the truth of a synthetic landscape."""

REFERENCE_SECONDS = {"mean": 0.1, "rf": 5.0, "rf_window": 6.0}
"""Seconds of a group of references at the default size on two idle cores, for the plan alone."""

STEP_SECONDS = 2.5e-4
"""Seconds of a step of 32 windows of 9 x 9 pixels on the same cores, for the plan alone."""


def run(config: LayersConfig, folder: RunFolder, prepared: Prepared) -> None:
    """Trains what is not yet there, scores it, and writes tables and maps.

    Every group (model, split, seed) is a file under ``members/`` that appears when it is finished; a run that goes on
    skips those.
    """
    with tracking.start(folder.path, folder.wandb, dataclasses.asdict(config)) as tracker:
        tracker.summary(headline(_run(config, folder, prepared, tracker)))


def headline(scored: pd.DataFrame) -> dict[str, float]:
    """R2 and RMSE over all layers and seeds of each model and split, for the tracker."""
    chosen: pd.DataFrame = scored.loc[(scored["seed"] == scores.ALL) & (scored["layer"] == scores.POOLED)]
    return {
        f"{metric}/{row['model']}/{row['split']}": float(row[metric])
        for row in chosen.to_dict("records")
        for metric in ("r2", "rmse")
    }


def _run(config: LayersConfig, folder: RunFolder, prepared: Prepared, tracker: tracking.Tracker) -> pd.DataFrame:
    """Writes everything and returns the scores."""
    started = time.perf_counter()
    _write_inputs(folder, config, prepared)
    pixels, truth = probe_pixels(prepared)
    probe = np.empty((0, *prepared.windows.shape[1:]), np.float32)
    if len(pixels[0]):
        probe, _ = fill_gaps(windows_around(prepared.land.rasters, *pixels, config.window))
    outcomes: dict[Group, Outcome] = {}
    every = groups(config)
    with tqdm(every, desc=f"{'trainings':14}", unit="group") as bar:
        for number, group in enumerate(bar, start=1):
            bar.set_postfix_str(group.label)
            outcomes[group] = finish(group, prepared, config, folder.path / MEMBERS, probe)
            for record in records(group, outcomes[group]):
                tracker.log(record)
            tracker.log({"groups_done": number, "groups": len(every)})
    trained = time.perf_counter()
    table = _tables(folder, config, prepared, outcomes, truth)
    chosen = map_model(config, table)
    if not (folder.path / "maps.json").exists():
        made = [
            outcome for group, outcome in outcomes.items() if (group.model, group.split) == (chosen, config.map_split)
        ]
        write_maps(folder, prepared, config, chosen, made, folder.path / MEMBERS)
    _write_timing(folder, trained - started, time.perf_counter() - trained)
    return table


def records(group: Group, outcome: Outcome) -> list[dict[str, Any]]:
    """Records for the tracker: the losses of each epoch, the mean over the members that still train in it.

    A model that an earlier call finished gives the same records again, which the log leaves out.
    """
    found = []
    for stage in dict.fromkeys(name.split("/")[0] for name in outcome.history):
        losses = {name: outcome.history[f"{stage}/{name}"] for name in ("loss", "validation_loss")}
        training = np.isfinite(losses["validation_loss"])
        for epoch in np.flatnonzero(training.any(axis=0)).tolist():
            members = training[:, epoch]
            means = {name: float(values[members, epoch].mean()) for name, values in losses.items()}
            count = int(members.sum())
            found.append({"trial": f"{group.label}/{stage}", "epoch": epoch + 1, "members": count, **means})
    return found


def plan(config: LayersConfig, prepared: Prepared) -> str:
    """Describes trainings and their cost."""
    count, layers = len(prepared.sites), len(prepared.layers)
    steps = {name: 0 for name in config.models if name in NETWORKS}
    rows = count * (1.0 - 1.0 / config.folds) * (1.0 - config.watch)
    for name in steps:
        each = rows / config.train.batch * config.train.epochs * config.folds
        each *= layers if name == "cnn" else 1
        if name == "transfer":
            each += rows / config.finetune.batch * config.finetune.epochs * config.folds * layers
        steps[name] = int(each) * config.seeds * len(config.splits)
    seconds = sum(steps.values()) * STEP_SECONDS * (config.window / 9.0) ** 2
    seconds += sum(REFERENCE_SECONDS.get(name, 0.0) for name in config.models) * config.seeds * len(config.splits)
    grid = prepared.land.rasters.grid
    by_layer = [f"{layer.name} {n}" for layer, n in zip(prepared.layers, prepared.seen.sum(axis=0), strict=True)]
    lines = [
        f"{prepared.land.title}: {count} sites, {layers} layers, {len(prepared.land.rasters.names)} covariates",
        f"Sites by layer: {', '.join(by_layer)}",
        f"Splits: {', '.join(config.splits)}, {config.folds} folds each; "
        f"{np.unique(prepared.block).size} blocks of {prepared.block_side:.0f} (unit of the CRS)",
        f"Groups (model x split x seed): {len(groups(config))}; steps of {config.train.batch} windows: "
        + ", ".join(f"{name} {number}" for name, number in steps.items()),
        f"Maps: {grid.height} x {grid.width} pixels, {layers} GeoTIFFs, "
        f"{config.seeds * config.folds * (layers if config.map_model in PER_LAYER else 1)} networks at least",
        f"At most about {seconds / 60:.0f} min on two idle cores, before any training stops early; maps come on top.",
        *prepared.notes,
    ]
    return "\n".join(lines)


def map_model(config: LayersConfig, scored: pd.DataFrame) -> str:
    """The model of the maps: as configured, or the one with the lowest RMSE under the first split."""
    if config.map_model != "best":
        return config.map_model
    rows: pd.DataFrame = scored.loc[
        (scored["split"] == config.splits[0]) & (scored["seed"] == scores.ALL) & (scored["layer"] == scores.POOLED)
    ]
    return str(rows["model"].iloc[int(np.argmin(rows["rmse"].to_numpy()))])


def probe_pixels(prepared: Prepared) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Random pixels with covariates, and their (layers, t) true values; none where the truth is not known."""
    if prepared.land.truth is None:
        return (np.empty(0, np.int64), np.empty(0, np.int64)), np.empty((len(prepared.layers), 0))
    grid = prepared.land.rasters.grid
    values = prepared.land.rasters.read(Box(0, 0, grid.height, grid.width))
    known = np.flatnonzero(np.isfinite(values).all(axis=0))
    chosen = np.random.default_rng(1).choice(known, min(PROBE, known.size), replace=False)
    row, col = np.divmod(chosen, grid.width)
    return (row.astype(np.int64), col.astype(np.int64)), prepared.land.truth[:, row, col]


def _tables(
    folder: RunFolder, config: LayersConfig, prepared: Prepared, outcomes: dict[Group, Outcome], truth: np.ndarray
) -> pd.DataFrame:
    predicted, checked = [], []
    for split in config.splits:
        for model in config.models:
            mine = [outcome for group, outcome in outcomes.items() if (group.split, group.model) == (split, model)]
            predicted.append(scores.predictions(prepared, config, model, split, mine))
            if truth.size:
                checked.append(scores.against_truth(prepared, config, model, split, mine, truth))
    table = pd.concat(predicted, ignore_index=True)
    write_parquet(folder.path / "predictions.parquet", table)
    scored = scores.score(table)
    write_csv(folder.path / "scores.csv", scored)
    write_csv(folder.path / "folds.csv", scores.score_folds(table))
    write_csv(folder.path / "coverage.csv", scores.coverage(table, config.coverage))
    if checked:
        write_csv(folder.path / "truth.csv", pd.concat(checked, ignore_index=True))
    write_csv(folder.path / "trainings.csv", _trainings(outcomes))
    curves = {
        f"{group.split}-{group.seed}": outcome.curves for group, outcome in outcomes.items() if len(outcome.curves)
    }
    if curves:
        write_arrays(folder.path / "curves.npz", ids=prepared.sites.ids, **curves)
    return scored


def _trainings(outcomes: dict[Group, Outcome]) -> pd.DataFrame:
    rows = []
    for group, outcome in outcomes.items():
        if group.model not in NETWORKS:
            continue
        losses = [values for name, values in outcome.history.items() if name.endswith("/validation_loss")]
        rows.append(
            dataclasses.asdict(group)
            | {
                "members": outcome.alive.size,
                "diverged": int((~outcome.alive).sum()),
                "converged": int(outcome.converged.sum()),
                "epochs": "+".join(f"{np.isfinite(values).sum(axis=1).mean():.0f}" for values in losses),
            }
        )
    columns = ["model", "split", "seed", "members", "diverged", "converged", "epochs"]
    return pd.DataFrame(rows, columns=columns)


def _write_inputs(folder: RunFolder, config: LayersConfig, prepared: Prepared) -> None:
    """data.json, sites.csv and, of a synthetic landscape, its rasters and true maps."""
    grid, sites = prepared.land.rasters.grid, prepared.sites
    content = {
        "name": prepared.land.name,
        "title": prepared.land.title,
        "quantity": sites.quantity,
        "unit": sites.unit,
        "scale": "log1p" if prepared.log else "as measured",
        "layers": [
            {"name": layer.name, "top": layer.top, "bottom": layer.bottom, "sites": int(count)}
            for layer, count in zip(prepared.layers, prepared.seen.sum(axis=0), strict=True)
        ],
        "sites": len(sites),
        "covariates": list(prepared.land.rasters.names),
        "grid": dataclasses.asdict(grid),
        "block_side": prepared.block_side,
        "blocks": int(np.unique(prepared.block).size),
        "overlap": {
            name: float(overlaps(prepared, fold, config.window).mean()) for name, fold in prepared.folds.items()
        },
        "truth": prepared.land.truth is not None,
        "notes": list(prepared.notes),
    }
    folder.write_json("data.json", content)
    table = pd.DataFrame({"id": sites.ids, "east": sites.east, "north": sites.north, "block": prepared.block})
    for name, fold in prepared.folds.items():
        table[f"fold_{name}"] = fold
    for place, layer in enumerate(sites.layers):
        table[layer.name] = sites.values[:, place]
    write_csv(folder.path / "sites.csv", table)
    if prepared.land.truth is None or (folder.path / "inputs" / "truth.tif").exists():
        return
    write_rasters(prepared.land.rasters, folder.path / "inputs")
    bands = [Band(layer.name, sites.unit) for layer in prepared.layers]
    nodata = prepared.land.rasters.nodata
    with new_geotiff(folder.path / "inputs" / "truth.tif", grid, bands, nodata, {"UNITS": sites.unit}) as writer:
        writer.write(Box(0, 0, grid.height, grid.width), prepared.land.truth)


def _write_timing(folder: RunFolder, trainings: float, rest: float) -> None:
    """Adds the seconds of this call to those of earlier ones: a run that goes on has several."""
    path = folder.path / "timing.json"
    before: dict[str, Any] = folder.read_json("timing.json") if path.exists() else {}
    now = {"trainings_s": trainings, "tables_and_maps_s": rest, "calls": 1}
    folder.write_json("timing.json", {name: before.get(name, 0) + value for name, value in now.items()})
