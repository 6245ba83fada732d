"""The model of the maps, chosen in each fold among its training sites alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float64

from jaxsoil.studies.layers.config import LayersConfig
from jaxsoil.studies.layers.learn import GOES_ON
from jaxsoil.studies.layers.prepare import LayersData
from jaxsoil.studies.layers.scores import smearing
from jaxsoil.studies.layers.trainings import Predict, TrainingResult, in_parallel, inner_predictions

CHOSEN = "chosen"
"""Stands in the column ``model`` for what each fold's inner cross-validation chose."""

INNER_SEED = 0
"""Seed of the trainings of the inner cross-validation."""


def inner_scores(config: LayersConfig, data: LayersData, folder: Path) -> pd.DataFrame:
    """RMSE over all layers of every model in the inner cross-validation of each fold of ``config.map_split``.

    The inner folds of fold k are the other folds: the sites of one are predicted by a model that saw neither them nor
    those of k. Trainings are kept in ``folder``.

    Returns:
      Columns split, fold, model, rmse (unit of the data), n (values), seed, chosen (1: the lowest of its fold).
    """

    def make(model: str) -> Callable[[], np.ndarray]:
        return lambda: inner_predictions(model, config.map_split, data, config, folder)

    # A network that goes on from another one follows it.
    chains = [[model, *(late for late in config.models if GOES_ON.get(late) == model)] for model in config.models]
    chains = [chain for chain in chains if GOES_ON.get(chain[0]) not in config.models]
    waiting = {}
    for chain, results in zip(chains, in_parallel([[make(model) for model in chain] for chain in chains]), strict=True):
        waiting |= dict(zip(chain, results, strict=True))
    rows = []
    for model in config.models:
        for number, rmse, n in inner_rmse(data, config, waiting[model].result()):
            rows.append((config.map_split, number, model, rmse, n, INNER_SEED))
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
