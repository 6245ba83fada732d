"""Maps of every layer with their uncertainty, made tile by tile and written as GeoTIFFs on the grid of the inputs.

Their model is chosen in each fold among its training sites alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64

from jaxsoil.data.rasters.geotiff import new_geotiff
from jaxsoil.data.rasters.rasters import Box, fill_gaps, tile_boxes, tile_windows
from jaxsoil.runs import progress
from jaxsoil.runs.folder import RunFolder
from jaxsoil.studies.layers import trainings
from jaxsoil.studies.layers.config import LayersConfig
from jaxsoil.studies.layers.learn import GOES_ON
from jaxsoil.studies.layers.prepare import LayersData
from jaxsoil.studies.layers.scores import map_interval, mean_over_seeds, smearing
from jaxsoil.studies.layers.trainings import Predict, Training, TrainingResult

PREDICTED, LOW, HIGH, SPREAD, OUTSIDE = "predicted", "low", "high", "spread", "outside"
BANDS = (PREDICTED, LOW, HIGH, SPREAD, OUTSIDE)
"""Mean of the fold models; ends of its interval; standard deviation over fold models and seeds; how many covariates
lie outside the range of the sites."""

CHOSEN = "chosen"
"""Stands in the column ``model`` for what each fold's inner cross-validation chose."""

INNER_SEED = 0
"""Seed of the trainings of the inner cross-validation."""

CHUNK = 4096
"""Pixels whose windows go through the models at a time."""


def write_maps(
    run: RunFolder,
    data: LayersData,
    config: LayersConfig,
    models: list[str],
    trained: list[TrainingResult],
    members: Path,
) -> dict[str, Any]:
    """Writes maps/LAYER.tif for every layer, and maps.json last; returns what the latter says.

    Args:
      models: model of each fold of ``config.map_split``.
      trained, members: results of their trainings, one for each seed; the folder of these.
    """
    grid, unit, split = data.land.rasters.grid, data.sites.unit, config.map_split
    model = config.map_model if config.map_model != "best" else CHOSEN
    held_out = mean_over_seeds([one.held_out for one in trained], f"{model} {split}")
    predicts = []
    for seed in range(len(trained)):
        # The mean of a layer has no seed.
        mine = {name: Training(name, split, seed if name != "mean" else 0) for name in set(models)}
        every = {name: trainings.predictor(training, data, config, members) for name, training in mine.items()}
        predicts.append(composed_predict(models, every))
    centre = trainings.point_features(data.windows, context=False)
    ranges = np.stack([centre.min(axis=0), centre.max(axis=0)])
    tags = {
        "QUANTITY": data.sites.quantity, "UNITS": unit, "MODEL": ", ".join(dict.fromkeys(models)),
        "COVERAGE": f"{config.coverage:g}",
        "COVARIATES": ", ".join(data.land.rasters.names), "SOFTWARE": "jaxsoil",
    }  # fmt: skip
    files = {layer.name: f"maps/{layer.key}.tif" for layer in data.layers}
    bands = {name: unit if name != OUTSIDE else "number of covariates" for name in BANDS}
    boxes = tile_boxes(grid, config.tile)
    with contextlib.ExitStack() as stack:
        writers = []
        for layer in data.layers:
            target, own = run.path / files[layer.name], {**tags, "LAYER": layer.name}
            writers.append(stack.enter_context(new_geotiff(target, grid, bands, data.land.rasters.nodata, own)))
        for number, box in enumerate(boxes, start=1):
            progress.note(f"maps, tile {number} of {len(boxes)}")
            values = tile_map(data, config, predicts, held_out, ranges, box)
            for place, write in enumerate(writers):
                write(box, values[place])
    content = {
        "model": model, "models": models, "split": split, "coverage": config.coverage,
        "members": len(trained) * config.folds,
        "unit": unit, "quantity": data.sites.quantity, "bands": list(BANDS), "files": files,
    }  # fmt: skip
    run.write_json("maps.json", content)
    return content


def tile_map(
    data: LayersData, config: LayersConfig, predicts: list[Predict], held_out: np.ndarray, ranges: np.ndarray, box: Box
) -> np.ndarray:
    """One tile of all maps: (layers, bands, box.height, box.width), NaN where a covariate is missing.

    With ``config.map_side`` also outside the square in the middle of the grid.
    """
    shape = (len(data.layers), len(BANDS), box.height, box.width)
    grid = data.land.rasters.grid
    row, col = (np.arange(size) + first + 0.5 for first, size in ((box.row, box.height), (box.col, box.width)))
    far = np.maximum(np.abs(row - 0.5 * grid.height)[:, None], np.abs(col - 0.5 * grid.width)[None, :]).ravel()
    mapped = far < 0.5 * (config.map_side or np.inf)
    if not mapped.any():
        return np.full(shape, np.nan)
    windows, _ = fill_gaps(tile_windows(data.land.rasters, box, config.window))
    centre = trainings.point_features(windows, context=False)
    known = np.flatnonzero(np.isfinite(centre).all(axis=1) & mapped)
    flat = np.full((len(data.layers), len(BANDS), len(windows)), np.nan)
    factor = smearing(data, config, held_out, data.seen)
    for start in range(0, known.size, CHUNK):
        pixels = known[start : start + CHUNK]
        every = np.stack([predict(windows[pixels]) for predict in predicts])
        centres = mean_over_seeds(list(every), f"map, tile at row {box.row}, column {box.col}")
        outside = ((centre[pixels] < ranges[0]) | (centre[pixels] > ranges[1])).sum(axis=1)
        for place in range(len(data.layers)):
            low, high = map_interval(data, config, config.map_split, held_out, centres[:, :, place], place)
            members = data.to_unit(every[..., place]).reshape(-1, pixels.size)
            mean = data.to_unit(centres[:, :, place].mean(axis=0), factor[place])
            ends = data.to_unit(low), data.to_unit(high)
            flat[place][:, pixels] = np.stack([mean, *ends, np.nanstd(members, axis=0), outside])
    return flat.reshape(shape)


def inner_scores(config: LayersConfig, data: LayersData, folder: Path) -> pd.DataFrame:
    """RMSE over all layers of every model in the inner cross-validation of each fold of ``config.map_split``.

    The inner folds of fold k are the other folds: the sites of one are predicted by a model that saw neither them nor
    those of k. Trainings are kept in ``folder``.

    Returns:
      Columns split, fold, model, rmse (unit of the data), n (values), seed, chosen (1: the lowest of its fold).
    """
    # A network that goes on from another one follows it.
    chains = [[model, *(late for late in config.models if GOES_ON.get(late) == model)] for model in config.models]
    chains = [chain for chain in chains if GOES_ON.get(chain[0]) not in config.models]
    given = (config.map_split, data, config, folder)
    calls = {name: functools.partial(trainings.inner_predictions, name, *given) for name in config.models}
    waiting = trainings.in_parallel([{name: calls[name] for name in chain} for chain in chains])
    rows = [
        (config.map_split, number, model, rmse, n, INNER_SEED)
        for model in config.models
        for number, rmse, n in inner_rmse(data, config, waiting[model].result())
    ]
    table = pd.DataFrame(rows, columns=pd.Index(["split", "fold", "model", "rmse", "n", "seed"]))
    # A model that diverged inside has no RMSE and is not chosen.
    best = table.groupby("fold")["rmse"].idxmin()
    return table.assign(chosen=np.isin(table.index, best).astype(int))


def inner_rmse(
    data: LayersData, config: LayersConfig, inner: Float64[np.ndarray, "k n l"]
) -> list[tuple[int, float, int]]:
    """Fold, RMSE over all sites and layers of its training folds, and number of values; NaN where one is missing."""
    fold, found = data.folds[config.map_split], []
    for number, predicted in enumerate(inner):
        rows = (fold != number)[:, None] & data.seen
        factor = smearing(data, config, predicted, rows)
        errors = (data.to_unit(predicted, factor) - data.sites.values)[rows]
        found.append((number, float(np.sqrt(np.mean(errors**2))), int(rows.sum())))
    return found


def chosen_models(config: LayersConfig, table: pd.DataFrame | None) -> list[str]:
    """Model of the maps in each fold: as configured, or as chosen in a table of :func:`inner_scores`."""
    if table is None:
        return [str(config.map_model)] * config.folds
    return table.loc[table["chosen"] == 1].sort_values(by="fold")["model"].tolist()


def composed(
    models: Sequence[str], results: Mapping[str, Sequence[TrainingResult]], fold: np.ndarray
) -> list[TrainingResult]:
    """Results as if one model had been trained: each fold's are those of its own model, one for each seed.

    Args:
      models: of each fold.
      results: model -> results of its seeds; a model without seeds (the mean) stands for all.
      fold: (n,) fold of each site.
    """
    made = []
    for seed in range(max(len(results[model]) for model in models)):
        mine = [results[model][min(seed, len(results[model]) - 1)] for model in models]
        held_out = np.stack([one.held_out for one in mine])[fold, np.arange(fold.size)]
        probe = np.stack([one.probe[number] for number, one in enumerate(mine)])
        made.append(dataclasses.replace(mine[0], held_out=held_out, probe=probe, curves=np.empty((0, 3))))
    return made


def composed_predict(models: Sequence[str], predicts: Mapping[str, Predict]) -> Predict:
    """The fold models of one seed, each fold's of its own model."""
    if len(set(models)) == 1:
        return predicts[models[0]]

    def predict(windows: np.ndarray) -> np.ndarray:
        every = {model: predicts[model](windows) for model in set(models)}
        return np.stack([every[model][number] for number, model in enumerate(models)])

    return predict
