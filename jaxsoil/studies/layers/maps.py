"""Maps of every layer with their uncertainty, made tile by tile and written as GeoTIFFs on the grid of the inputs."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np

from jaxsoil.data.rasters.geotiff import new_geotiff
from jaxsoil.data.rasters.rasters import Box, fill_gaps, tile_boxes, tile_windows
from jaxsoil.runs import progress
from jaxsoil.runs.folder import RunFolder
from jaxsoil.studies.layers.choice import CHOSEN, composed_predict
from jaxsoil.studies.layers.config import LayersConfig
from jaxsoil.studies.layers.prepare import LayersData
from jaxsoil.studies.layers.scores import map_interval, mean_over_seeds, smearing
from jaxsoil.studies.layers.trainings import Predict, Training, TrainingResult, point_features, predictor

PREDICTED, LOW, HIGH, SPREAD, OUTSIDE = "predicted", "low", "high", "spread", "outside"
BANDS = (PREDICTED, LOW, HIGH, SPREAD, OUTSIDE)
"""Mean of the fold models; ends of its interval; standard deviation over fold models and seeds; how many covariates
lie outside the range of the sites."""

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
      run: the run folder.
      data, config: the study.
      models: model of each fold of ``config.map_split``.
      trained: results of their trainings, one for each seed.
      members: folder of the trainings.
    """
    grid, unit, split = data.land.rasters.grid, data.sites.unit, config.map_split
    model = config.map_model if config.map_model != "best" else CHOSEN
    held_out = mean_over_seeds([one.held_out for one in trained], f"{model} {split}")
    predicts = []
    for seed in range(len(trained)):
        # The mean of a layer has no seed.
        mine = {name: Training(name, split, seed if name != "mean" else 0) for name in set(models)}
        every = {name: predictor(training, data, config, members) for name, training in mine.items()}
        predicts.append(composed_predict(models, every))
    centre = point_features(data.windows, context=False)
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
    data: LayersData,
    config: LayersConfig,
    predicts: list[Predict],
    held_out: np.ndarray,
    ranges: np.ndarray,
    box: Box,
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
    centre = point_features(windows, context=False)
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
