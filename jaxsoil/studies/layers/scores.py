"""Held-out predictions and what is computed of them: scores, coverage, gains of one model over another.

All tables have the columns split, model, seed and layer where these apply. The seed :data:`ALL_SEEDS` stands for the
mean prediction of all seeds, the layer :data:`POOLED` for all layers together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64

from jaxsoil.evaluation import bootstrap, conformal, metrics, results
from jaxsoil.evaluation.compare import t_interval
from jaxsoil.evaluation.results import ALL_SEEDS
from jaxsoil.runs.errors import DataError
from jaxsoil.studies.layers.config import LayersConfig
from jaxsoil.studies.layers.prepare import LayersData, overlaps
from jaxsoil.studies.layers.trainings import TrainingResult

OWN = ("layer",)
"""Key column of results.csv beside those of all studies."""

POOLED = "pooled"
"""Stands for all layers together, in the column ``layer``."""

METRICS = ("r2", "rmse", "ccc", "bias")

COMPARISONS = (
    ("transfer", "cnn"), ("transfer", "cnn_long"), ("transfer", "multitask"), ("transfer", "multitask_tuned"),
    ("transfer", "rf"), ("cnn_long", "cnn"), ("multitask_tuned", "multitask"), ("profile", "multitask"),
)  # fmt: skip
"""Pairs that are compared: how much lower the RMSE of the first is than that of the second."""

BOOTSTRAPS, BOOTSTRAP_SEED = 2000, 0

GAIN_COLUMNS = (
    "split", "first", "second", "layer", "gain", "folds_low", "folds_high", "folds", "folds_better", "blocks_low",
    "blocks_high", "bootstraps", "seed", "verdict",
)  # fmt: skip
"""Columns of gains.csv, see :func:`gains`."""

Frame = Any
"""A pandas table. Its type stubs make a union of every expression over columns, which says nothing to a checker."""


def mean_over_seeds(values: list[np.ndarray], label: str) -> np.ndarray:
    """Mean over the seeds that did not diverge; DataError where there is none.

    A map must not have holes that look like missing data.
    """
    stacked = np.stack(values)
    made = np.isfinite(stacked)
    if not made.any(axis=0).all():
        remedy = "Lower the learning rate (--train.lr, --finetune.lr) and run again."
        raise DataError("every seed of a fold diverged", source=label, remedy=remedy)
    return np.where(made, stacked, 0.0).sum(axis=0) / made.sum(axis=0)


def smearing(
    data: LayersData, config: LayersConfig, predicted: Float64[np.ndarray, "n l"], rows: Bool[np.ndarray, "n l"]
) -> Float64[np.ndarray, " l"]:
    """Mean of exp(error) on the log1p scale of each layer, over some rows: 1 where nothing is to be corrected.

    The factor of :func:`jaxsoil.evaluation.metrics.smearing`; the predictions must be of models that did not see the
    rows.

    Args:
      predicted: on the scale of learning, NaN where a model diverged.
      rows: what counts of each layer.
    """
    if not (data.log and config.smear):
        return np.ones(predicted.shape[1])
    errors = np.where(rows, data.to_scale(data.sites.values) - predicted, np.nan)
    return metrics.smearing(np.exp(errors))


def fold_smearing(data: LayersData, config: LayersConfig, fold: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """(n, layers) factors of :func:`smearing`: those of a fold come from the held-out errors of the other folds."""
    factors = np.ones(predicted.shape)
    for number in np.unique(fold).tolist():
        factors[fold == number] = smearing(data, config, predicted, (fold != number)[:, None] & data.seen)
    return factors


def predictions(
    data: LayersData, config: LayersConfig, model: str, split: str, trained: list[TrainingResult]
) -> pd.DataFrame:
    """Held-out predictions of a model under a split, a row for each seed, site and layer measured, in the data's unit.

    The rows of all seeds together also have the ends of their intervals: each fold's are set by the errors of the
    other folds alone, layer by layer; so is the correction of the transformation back.
    """
    fold, seen = data.folds[split], data.seen
    target = data.to_scale(data.sites.values)
    shared = overlaps(data, fold, config.window)
    frames = []
    together = mean_over_seeds([one.held_out for one in trained], f"{model} {split}")
    each = [(number, one.held_out) for number, one in enumerate(trained)]
    for seed, values in [*each, (ALL_SEEDS, together)]:
        factor = fold_smearing(data, config, fold, values)
        for place, layer in enumerate(data.layers):
            rows = seen[:, place]
            low = high = np.full(int(rows.sum()), np.nan)
            if seed == ALL_SEEDS:
                ends = conformal.fold_intervals(target[rows, place], values[rows, place], fold[rows], config.coverage)
                low, high = (data.to_unit(end) for end in ends)
            columns = {
                "split": split, "model": model, "seed": seed, "fold": fold[rows], "block": data.block[rows],
                "overlap": shared[rows], "id": data.sites.ids[rows], "layer": layer.name,
                "observed": data.sites.values[rows, place], 
                "predicted": data.to_unit(values[rows, place], factor[rows, place]),
                "low": low, "high": high,
            }  # fmt: skip
            frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def score(table: Frame, named: Mapping[str, str], unit: str) -> pd.DataFrame:
    """R2, RMSE, CCC and bias for each split, model, seed and layer, and for all layers pooled, in the shared schema.

    ``r2_within`` compares with the mean of each layer and not of all values: pooled over layers, R2 also counts that
    carbon falls with depth, which the mean of each layer knows already. ``r2_layers``, of the pooled layers alone, is
    the mean of the layers' own R2.

    Args:
      table: of :func:`predictions`.
      named, unit: study, data and property of the rows; of the property.
    """
    rows = []
    for group, part in table.groupby(["split", "model", "seed"], sort=False):
        keys = {**named, **dict(zip(("split", "model", "seed"), group, strict=True)), "region": "all folds"}
        r2s: list[float] = []
        for layer, some in [*part.groupby("layer", sort=False), (POOLED, part)]:
            keys["layer"] = layer
            observed, predicted = some["observed"].to_numpy(), some["predicted"].to_numpy()
            found = results.score_rows(observed, predicted, unit=unit, scale="unit", keys=keys, metrics=METRICS)
            rest = observed - some.groupby("layer")["observed"].transform("mean").to_numpy()
            own = {"r2_within": 1.0 - float(((predicted - observed) ** 2).sum()) / float((rest**2).sum())}
            if layer == POOLED:
                own["r2_layers"] = float(np.mean(r2s))
            r2s.append(float(str(found[0]["value"])))
            rows += found + results.value_rows(own, unit="1", scale="unit", keys=keys)
    return results.as_frame(rows, OWN)


def pooled_scores(scored: Frame, metric: str, split: str | None = None) -> pd.DataFrame:
    """Rows of one metric over all layers and seeds together, under one split or all."""
    rows = scored[(scored["seed"] == ALL_SEEDS) & (scored["layer"] == POOLED) & (scored["metric"] == metric)]
    return rows if split is None else rows[rows["split"] == split]


def score_folds(table: Frame) -> Frame:
    """RMSE of each fold and seed: what differences between models are paired by."""
    keys = ["split", "model", "seed", "fold", "layer"]
    single = table[table["seed"] != ALL_SEEDS]
    pooled = single.assign(layer=POOLED)
    squared = pd.concat([single, pooled]).assign(square=lambda f: (f["predicted"] - f["observed"]) ** 2)
    found = squared.groupby(keys, sort=False)["square"].agg(["mean", "size"]).reset_index()
    return found.assign(rmse=np.sqrt(found["mean"])).rename(columns={"size": "n"}).drop(columns="mean")


def gains(table: Frame, folds: Frame, seed: int = BOOTSTRAP_SEED) -> pd.DataFrame:
    """How much lower the RMSE of one model is than another's (:data:`COMPARISONS`), in percent of the latter's.

    Positive is better. ``gain`` is the mean over folds, seeds averaged first, with Student's 95 % interval
    ``folds_low`` to ``folds_high``; ``blocks_low`` to ``blocks_high`` is the percentile interval of a bootstrap that
    redraws spatial blocks, of the mean prediction of all seeds. ``verdict``: "gain" or "loss" where both intervals lie
    on one side of zero, else "open".

    Args:
      table, folds, seed: of :func:`predictions`, of :func:`score_folds`, of the bootstrap.
    """
    models, rows = set(table["model"]), []
    squares = table[table["seed"] == ALL_SEEDS].assign(square=lambda f: (f["predicted"] - f["observed"]) ** 2)
    layers = [*dict.fromkeys(table["layer"]), POOLED]
    for split in dict.fromkeys(table["split"]):
        for first, second in COMPARISONS:
            if not {first, second} <= models:
                continue
            for layer in layers:
                mine = folds[(folds["split"] == split) & (folds["layer"] == layer)]
                rmse = mine.pivot_table(index="fold", columns="model", values="rmse")
                by_fold = 100.0 * (1.0 - rmse[first] / rmse[second]).to_numpy()
                here = squares[(squares["split"] == split) & ((squares["layer"] == layer) | (layer == POOLED))]
                sums = here.groupby(["block", "model"])["square"].sum().unstack()
                student, blocks = t_interval(by_fold), _block_interval(sums[first], sums[second], seed)
                over, counts = (student.low, student.high), (by_fold.size, int((by_fold > 0.0).sum()))
                ends = np.array([over, blocks])
                verdict = "gain" if (ends > 0.0).all() else "loss" if (ends < 0.0).all() else "open"
                found = (student.mean, *over, *counts, *blocks, BOOTSTRAPS, seed, verdict)
                rows.append((split, first, second, layer, *found))
    return pd.DataFrame(rows, columns=pd.Index(GAIN_COLUMNS))


def _block_interval(first: Frame, second: Frame, seed: int) -> tuple[float, float]:
    """95 % interval of the gain, from the sums of squares of each block."""
    one, other = first.to_numpy(), second.to_numpy()
    if one.size < 2:
        return math.nan, math.nan
    drawn = bootstrap.weights(np.random.default_rng(seed), one.size, BOOTSTRAPS)
    low, high = np.percentile(100.0 * (1.0 - np.sqrt((drawn @ one) / (drawn @ other))), [2.5, 97.5])
    return float(low), float(high)


def coverage(table: Frame, nominal: float) -> pd.DataFrame:
    """Share of the held-out observations inside their interval, with Wilson's 95 % interval of the share.

    Its effective number is that of the sites: the layers of one site, pooled, are no independent observations.
    """
    rows = []
    for group, part in table[table["seed"] == ALL_SEEDS].groupby(["split", "model"], sort=False):
        split, model = cast(tuple[str, str], group)
        for layer, some in [*part.groupby("layer", sort=False), (POOLED, part)]:
            inside = conformal.covered(some["observed"], some["low"], some["high"])
            share, n, sites = float(inside.mean()), len(some), some["id"].nunique()
            lowest, highest = conformal.share_range(share, sites)
            width = float((some["high"] - some["low"]).median())
            rows.append(
                {
                    "split": split, "model": model, "layer": layer, "n": n, "sites": sites, "nominal": nominal,
                    "coverage": share, "coverage_low": lowest, "coverage_high": highest, "median_width": width,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def against_truth(
    data: LayersData, config: LayersConfig, model: str, split: str, trained: list[TrainingResult], truth: np.ndarray
) -> pd.DataFrame:
    """A model at pixels whose truth is known: the mean of its fold models, and the intervals that maps have.

    Args:
      trained: one result for each seed, with (folds, t, layers) predictions at the pixels.
      truth: (layers, t) true values in the unit of the data.

    Returns:
      A row for each layer and one for all pooled.
    """
    centres = mean_over_seeds([one.probe for one in trained], f"{model} {split}")
    held_out = mean_over_seeds([one.held_out for one in trained], f"{model} {split}")
    predicted, inside = np.empty(truth.shape), np.empty(truth.shape, bool)
    factor = smearing(data, config, held_out, data.seen)
    for place in range(len(data.layers)):
        low, high = map_interval(data, config, split, held_out, centres[:, :, place], place)
        predicted[place] = data.to_unit(centres[:, :, place].mean(axis=0), factor[place])
        inside[place] = conformal.covered(truth[place], data.to_unit(low), data.to_unit(high))
    rows = []
    for name, at in [*((layer.name, [place]) for place, layer in enumerate(data.layers)), (POOLED, slice(None))]:
        found = metrics.summary(truth[at].ravel(), predicted[at].ravel())
        keys = {"split": split, "model": model, "layer": name, "n": truth[at].size, "nominal": config.coverage}
        rows.append(keys | {one: found[one] for one in METRICS} | {"coverage": float(inside[at].mean())})
    return pd.DataFrame(rows)


def map_interval(
    data: LayersData, config: LayersConfig, split: str, held_out: np.ndarray, centres: np.ndarray, place: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cross-fitted interval (CV+) of one layer on the scale of learning: (t,) ends for (folds, t) predictions."""
    rows = data.seen[:, place]
    target = data.to_scale(data.sites.values[rows, place])
    errors = conformal.scores(target, held_out[rows, place])
    return conformal.cross_interval(errors, data.folds[split][rows], centres, config.coverage)
