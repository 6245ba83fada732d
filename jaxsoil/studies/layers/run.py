"""The study of layer transfer, from the plan to the files of the run folder."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.data.rasters.geotiff import new_geotiff, write_rasters
from jaxsoil.data.rasters.rasters import Box, fill_gaps, windows_around
from jaxsoil.evaluation.results import write_results
from jaxsoil.report.prose import Prose
from jaxsoil.runs import progress
from jaxsoil.runs.files import write_arrays, write_csv, write_parquet
from jaxsoil.runs.folder import RunFolder
from jaxsoil.studies.layers import maps, scores
from jaxsoil.studies.layers.config import NETWORKS, LayersConfig
from jaxsoil.studies.layers.learn import GOES_ON, PER_LAYER, example
from jaxsoil.studies.layers.prepare import LayersData, overlaps, prepare
from jaxsoil.studies.layers.trainings import Training, TrainingResult, in_parallel, train_or_read, trainings
from jaxsoil.training import cost

__all__ = ["plan", "prepare", "run"]

MEMBERS = "members"
"""Folder of the finished trainings inside a run."""

PROBE = 3000
"""Pixels at which every model is held against the truth of a synthetic landscape."""

REFERENCE_SECONDS = {"mean": 0.1, "rf": 5.0, "rf_window": 6.0}
"""Seconds of a training of references at the default size on two idle cores, for the plan alone."""


def run(config: LayersConfig, folder: RunFolder, data: LayersData) -> None:
    """Trains what is not yet there, scores it, and writes tables and maps.

    Every training (model, split, seed) is a file under ``members/`` that appears when it is finished; a run that goes
    on reads those.
    """
    with folder.track(dataclasses.asdict(config)) as tracker:
        started = time.perf_counter()
        _write_inputs(folder, config, data)
        pixels, truth = probe_pixels(data)
        probe = np.empty((0, *data.windows.shape[1:]), np.float32)
        if len(pixels[0]):
            probe, _ = fill_gaps(windows_around(data.land.rasters, *pixels, config.window))
        trained: dict[Training, TrainingResult] = {}
        waiting = _started(config, data, folder.path / MEMBERS, probe)
        every = trainings(config)
        progress.expect(Counter(training.model for training in every))
        for number, training in enumerate(every, start=1):
            trained[training] = waiting[training].result()
            progress.reach(training.model, training.label)
            for record in records(training, trained[training]):
                tracker.log(record)
            tracker.log({"trainings_done": number, "trainings": len(every)})
        inner = None
        if config.map_model == "best":
            progress.note("choosing the model of the maps")
            inner = maps.inner_scores(config, data, folder.path / MEMBERS)
            write_csv(folder.path / "inner.csv", inner)
        done = time.perf_counter()
        results: Results = {}
        for training, result in trained.items():
            results.setdefault((training.split, training.model), []).append(result)
        models = maps.chosen_models(config, inner)
        of_models = {model: results[config.map_split, model] for model in models}
        mine = maps.composed(models, of_models, data.folds[config.map_split])
        if inner is not None:
            results[config.map_split, maps.CHOSEN] = mine
        scored = _write_tables(folder, config, data, results, truth, _trainings(trained))
        if not (folder.path / "maps.json").exists():
            maps.write_maps(folder, data, config, models, mine, folder.path / MEMBERS)
        rest = time.perf_counter() - done
        times = {"trainings_s": done - started, "tables_and_maps_s": rest, "total_s": done - started + rest}
        folder.add_timing(times)
        tracker.summary(headline(scored))


def _started(
    config: LayersConfig, data: LayersData, members: Path, probe: np.ndarray
) -> dict[Training, Future[TrainingResult]]:
    """Starts all trainings: those of one split and seed one after the other, since some go on from an earlier one."""
    chains: dict[tuple[str, int], dict[Training, Callable[[], TrainingResult]]] = {}
    for training in trainings(config):
        call = functools.partial(train_or_read, training, data, config, members, probe)
        chains.setdefault((training.split, training.seed), {})[training] = call
    return in_parallel([*chains.values()], alike=True)


def headline(scored: pd.DataFrame) -> dict[str, float]:
    """R2 and RMSE over all layers and seeds of each model and split, for the tracker."""
    return {
        f"{metric}/{row['model']}/{row['split']}": float(row["value"])
        for metric in ("r2", "rmse")
        for row in scores.pooled_scores(scored, metric).to_dict("records")
    }


def records(training: Training, result: TrainingResult) -> list[dict[str, Any]]:
    """Records for the tracker: the losses of each epoch, the mean over the members that still train in it.

    A training that an earlier call finished gives the same records again, which the log leaves out.
    """
    found = []
    for stage, losses in result.stages.items():
        training_still = np.isfinite(losses["loss"])
        for epoch in np.flatnonzero(training_still.any(axis=0)).tolist():
            members = training_still[:, epoch]
            means = {name: float(values[members, epoch].mean()) for name, values in losses.items()}
            count = int(members.sum())
            found.append({"trial": f"{training.label}/{stage}", "epoch": epoch + 1, "members": count, **means})
    return found


def plan(config: LayersConfig, data: LayersData) -> str:
    """Describes trainings and their cost."""
    count, layers = len(data.sites), len(data.layers)
    # The inner cross-validation trains each pair of folds once, on the other folds.
    inner = (config.folds - 2) / 2.0 if config.map_model == "best" else 0.0
    trained = config.seeds * len(config.splits) + inner
    rows, costs = count * (1.0 - 1.0 / config.folds) * (1.0 - config.watch), []
    for name in (model for model in config.models if model in NETWORKS):
        stages = [] if name in GOES_ON else [("", config.train, layers if name == "cnn" else 1)]
        stages += [(" fine", config.finetune, layers)] if name in GOES_ON or name == "transfer" else []
        for stage, loop, each in stages:
            steps = [max(1, int(rows) // loop.batch)] * round(config.folds * each * trained)
            costs.append(cost.of_program(f"{name}{stage}", *example(name, data, config, loop), steps))
    references = [(name, round(trained)) for name in config.models if name not in NETWORKS]
    seconds = sum(REFERENCE_SECONDS.get(name, 0.0) * number for name, number in references)
    networks = config.seeds * config.folds * (layers if config.map_model in PER_LAYER else 1)
    values = {"trainings": len(trainings(config)), "networks": networks, "seconds": seconds}
    lines = Prose("jaxsoil.studies.layers.report", "plan").notes("plan", data=data, config=config, **values)
    return "\n".join([*lines, "", *cost.table(costs, references, "references and maps")])


def probe_pixels(data: LayersData) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Random pixels with covariates, and their (layers, t) true values; none where the truth is not known."""
    if data.land.truth is None:
        return (np.empty(0, np.int64), np.empty(0, np.int64)), np.empty((len(data.layers), 0))
    grid = data.land.rasters.grid
    values = data.land.rasters.read(Box(0, 0, grid.height, grid.width))
    known = np.flatnonzero(np.isfinite(values).all(axis=0))
    chosen = np.random.default_rng(1).choice(known, min(PROBE, known.size), replace=False)
    row, col = np.divmod(chosen, grid.width)
    return (row.astype(np.int64), col.astype(np.int64)), data.land.truth[:, row, col]


Results = dict[tuple[str, str], list[TrainingResult]]
"""Split and model -> results, one for each seed."""


def _write_tables(
    folder: RunFolder, config: LayersConfig, data: LayersData, results: Results, truth: np.ndarray, counts: pd.DataFrame
) -> pd.DataFrame:
    """Writes all tables of the run and returns the scores."""
    predicted, checked, curves = [], [], {}
    for (split, model), mine in results.items():
        predicted.append(scores.predictions(data, config, model, split, mine))
        if truth.size:
            checked.append(scores.against_truth(data, config, model, split, mine, truth))
        if len(mine[0].curves):
            curves[split] = np.mean([result.curves for result in mine], axis=0)
    table = pd.concat(predicted, ignore_index=True)
    write_parquet(folder.path / "predictions.parquet", table)
    named = {"study": folder.experiment, "data": data.land.name, "property": data.sites.quantity}
    scored = scores.score(table, named, data.sites.unit)
    write_results(folder.path / "results.csv", scored, scores.OWN)
    folds = scores.score_folds(table)
    tables = {"folds": folds, "coverage": scores.coverage(table, config.coverage), "trainings": counts}
    tables["gains"] = scores.gains(table, folds)
    if checked:
        tables["truth"] = pd.concat(checked, ignore_index=True)
    for name, content in tables.items():
        write_csv(folder.path / f"{name}.csv", content)
    if curves:
        write_arrays(folder.path / "curves.npz", ids=data.sites.ids, **curves)
    return scored


def _trainings(trained: dict[Training, TrainingResult]) -> pd.DataFrame:
    """How many networks of each training diverged and converged, and the mean epochs of its stages."""
    rows = []
    for training, result in trained.items():
        if training.model in NETWORKS:
            epochs = [np.isfinite(losses["loss"]).sum(axis=1).mean() for losses in result.stages.values()]
            counts = (result.alive.size, int((~result.alive).sum()), int(result.converged.sum()))
            rows.append((*dataclasses.astuple(training), *counts, "+".join(f"{mean:.0f}" for mean in epochs)))
    return pd.DataFrame(rows, columns=["model", "split", "seed", "members", "diverged", "converged", "epochs"])


def _write_inputs(folder: RunFolder, config: LayersConfig, data: LayersData) -> None:
    """data.json, sites.csv and, of a synthetic landscape, its rasters and true maps."""
    grid, sites = data.land.rasters.grid, data.sites
    layers = [
        {"name": layer.name, "top": layer.top, "bottom": layer.bottom, "sites": int(count)}
        for layer, count in zip(data.layers, data.seen.sum(axis=0), strict=True)
    ]
    content = {
        "name": data.land.name, "title": data.land.title, "quantity": sites.quantity, "unit": sites.unit,
        "scale": "log1p" if data.log else "as measured", "smear": bool(data.log and config.smear),
        "layers": layers, "sites": len(sites),
        "covariates": list(data.land.rasters.names), "grid": dataclasses.asdict(grid),
        "block_side": data.block_side, "blocks": data.blocks,
        "overlap": {name: float(overlaps(data, fold, config.window).mean()) for name, fold in data.folds.items()},
        "truth": data.land.truth is not None, "licence": data.land.licence, "notes": list(data.notes),
    }  # fmt: skip
    folder.write_json("data.json", content)
    table = pd.DataFrame({"id": sites.ids, "east": sites.east, "north": sites.north, "block": data.block})
    table = table.assign(**{f"fold_{name}": fold for name, fold in data.folds.items()})
    table[[layer.name for layer in sites.layers]] = sites.values
    write_csv(folder.path / "sites.csv", table)
    if data.land.truth is None or (folder.path / "inputs" / "truth.tif").exists():
        return
    write_rasters(data.land.rasters, folder.path / "inputs")
    bands = {layer.name: sites.unit for layer in data.layers}
    nodata = data.land.rasters.nodata
    with new_geotiff(folder.path / "inputs" / "truth.tif", grid, bands, nodata, {"UNITS": sites.unit}) as write:
        write(Box(0, 0, grid.height, grid.width), data.land.truth)
