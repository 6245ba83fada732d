"""Maps of every layer with their uncertainty, made tile by tile and written as GeoTIFFs on the grid of the inputs."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from jaxsoil.data.rasters.geotiff import Band, new_geotiff
from jaxsoil.data.rasters.rasters import Box, fill_gaps, tile_boxes, tile_windows
from jaxsoil.runs.folder import RunFolder
from jaxsoil.studies.layers.config import LayersConfig
from jaxsoil.studies.layers.forest import point_features
from jaxsoil.studies.layers.groups import Group, Outcome, Predict, predictor
from jaxsoil.studies.layers.prepare import Prepared
from jaxsoil.studies.layers.scores import map_interval, mean_over_seeds

PREDICTED, LOW, HIGH, SPREAD, OUTSIDE = "predicted", "low", "high", "spread", "outside"
BANDS = (PREDICTED, LOW, HIGH, SPREAD, OUTSIDE)
"""Mean of the fold models; ends of its interval; standard deviation over fold models and seeds; how many covariates
lie outside the range of the sites."""

CHUNK = 4096
"""Pixels whose windows go through the models at a time."""


def write_maps(
    run: RunFolder, prepared: Prepared, config: LayersConfig, model: str, outcomes: list[Outcome], members: Path
) -> dict[str, Any]:
    """Writes maps/LAYER.tif for every layer, and maps.json last; returns what the latter says.

    Args:
      run: the run folder.
      prepared, config: the study.
      model: model of the maps; its split is ``config.map_split``.
      outcomes: of its groups, one for each seed.
      members: folder of the groups.
    """
    grid, unit, split = prepared.land.rasters.grid, prepared.sites.unit, config.map_split
    held_out = mean_over_seeds([outcome.held_out for outcome in outcomes], f"{model} {split}")
    predicts = [predictor(Group(model, split, seed), prepared, config, members) for seed in range(len(outcomes))]
    ranges = _ranges(prepared)
    files = {layer.name: f"maps/{layer.key}.tif" for layer in prepared.layers}
    bands = [Band(name, unit if name != OUTSIDE else "number of covariates") for name in BANDS]
    boxes = tile_boxes(grid, config.tile)
    with contextlib.ExitStack() as stack:
        writers = []
        for layer in prepared.layers:
            tags = _tags(prepared, config, model, layer.name)
            target = run.path / files[layer.name]
            writers.append(stack.enter_context(new_geotiff(target, grid, bands, prepared.land.rasters.nodata, tags)))
        for box in tqdm(boxes, desc=f"{'maps':14}", unit="tile", leave=False):
            values = tile_map(prepared, config, predicts, held_out, ranges, box)
            for place, writer in enumerate(writers):
                writer.write(box, values[place])
    content = {
        "model": model, "split": split, "coverage": config.coverage, "members": len(outcomes) * config.folds,
        "unit": unit, "quantity": prepared.sites.quantity, "bands": list(BANDS), "files": files,
    }  # fmt: skip
    run.write_json("maps.json", content)
    return content


def tile_map(
    prepared: Prepared,
    config: LayersConfig,
    predicts: list[Predict],
    held_out: np.ndarray,
    ranges: np.ndarray,
    box: Box,
) -> np.ndarray:
    """One tile of all maps: (layers, bands, box.height, box.width), NaN where a covariate is missing."""
    windows, _ = fill_gaps(tile_windows(prepared.land.rasters, box, config.window))
    centre = point_features(windows, context=False)
    known = np.flatnonzero(np.isfinite(centre).all(axis=1))
    flat = np.full((len(prepared.layers), len(BANDS), len(windows)), np.nan)
    for start in range(0, known.size, CHUNK):
        pixels = known[start : start + CHUNK]
        every = np.stack([predict(windows[pixels]) for predict in predicts])
        centres = mean_over_seeds(list(every), f"map, tile at row {box.row}, column {box.col}")
        outside = ((centre[pixels] < ranges[0]) | (centre[pixels] > ranges[1])).sum(axis=1)
        for place in range(len(prepared.layers)):
            low, high = map_interval(prepared, config, config.map_split, held_out, centres[:, :, place], place)
            members = prepared.to_unit(every[..., place]).reshape(-1, pixels.size)
            flat[place][:, pixels] = np.stack(
                [
                    prepared.to_unit(centres[:, :, place].mean(axis=0)),
                    prepared.to_unit(low),
                    prepared.to_unit(high),
                    np.nanstd(members, axis=0),
                    outside,
                ]
            )
    return flat.reshape(len(prepared.layers), len(BANDS), box.height, box.width)


def _ranges(prepared: Prepared) -> np.ndarray:
    centre = point_features(prepared.windows, context=False)
    return np.stack([centre.min(axis=0), centre.max(axis=0)])


def _tags(prepared: Prepared, config: LayersConfig, model: str, layer: str) -> dict[str, str]:
    return {
        "QUANTITY": prepared.sites.quantity,
        "UNITS": prepared.sites.unit,
        "LAYER": layer,
        "MODEL": model,
        "COVERAGE": f"{config.coverage:g}",
        "COVARIATES": ", ".join(prepared.land.rasters.names),
        "SOFTWARE": "jaxsoil",
    }
