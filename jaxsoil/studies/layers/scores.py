"""From held-out predictions to tables: scores, coverage, and what a landscape with known maps says about them."""

from __future__ import annotations

from typing import cast

import numpy as np
import pandas as pd

from jaxsoil.evaluation import conformal, metrics
from jaxsoil.runs.errors import DataError
from jaxsoil.studies.layers.config import LayersConfig
from jaxsoil.studies.layers.groups import Outcome
from jaxsoil.studies.layers.prepare import Prepared, overlaps

ALL = "all"
"""Stands for the mean over seeds, in the column ``seed``."""

POOLED = "pooled"
"""Stands for all layers together, in the column ``layer``."""

METRICS = ("r2", "rmse", "ccc", "bias")


def mean_over_seeds(values: list[np.ndarray], label: str) -> np.ndarray:
    """Mean over the seeds that did not diverge.

    Raises:
      DataError: a prediction that no seed made: a map must not have holes that look like missing data.
    """
    stacked = np.stack(values)
    made = np.isfinite(stacked)
    if not made.any(axis=0).all():
        raise DataError(
            "every seed of a fold diverged",
            source=label,
            remedy="Lower the learning rate (--train.lr, --finetune.lr) and run again.",
        )
    return np.where(made, stacked, 0.0).sum(axis=0) / made.sum(axis=0)


def predictions(
    prepared: Prepared, config: LayersConfig, model: str, split: str, outcomes: list[Outcome]
) -> pd.DataFrame:
    """Held-out predictions of a model under a split, a row for each seed, site and layer measured, in the data's unit.

    The rows of all seeds together also have the ends of their intervals: each fold's are set by the errors of the
    other folds alone, layer by layer.
    """
    fold, seen = prepared.folds[split], prepared.seen
    target = prepared.to_scale(prepared.sites.values)
    shared = overlaps(prepared, fold, config.window)
    frames = []
    together = mean_over_seeds([outcome.held_out for outcome in outcomes], f"{model} {split}")
    each = [(str(number), outcome.held_out) for number, outcome in enumerate(outcomes)]
    for seed, values in [*each, (ALL, together)]:
        for place, layer in enumerate(prepared.layers):
            rows = seen[:, place]
            low = high = np.full(int(rows.sum()), np.nan)
            if seed == ALL:
                ends = conformal.fold_intervals(target[rows, place], values[rows, place], fold[rows], config.coverage)
                low, high = (prepared.to_unit(end) for end in ends)
            frames.append(
                pd.DataFrame(
                    {
                        "split": split,
                        "model": model,
                        "seed": seed,
                        "fold": fold[rows],
                        "block": prepared.block[rows],
                        "overlap": shared[rows],
                        "id": prepared.sites.ids[rows],
                        "layer": layer.name,
                        "observed": prepared.sites.values[rows, place],
                        "predicted": prepared.to_unit(values[rows, place]),
                        "low": low,
                        "high": high,
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)


def score(table: pd.DataFrame) -> pd.DataFrame:
    """R2, RMSE, CCC and bias for each split, model, seed and layer, and for all layers pooled.

    ``r2_within`` compares with the mean of each layer and not of all values: pooled over layers, R2 also counts that
    carbon falls with depth, which the mean of each layer knows already.
    """
    rows = []
    for group, part in table.groupby(["split", "model", "seed"], sort=False):
        split, model, seed = cast(tuple[str, str, str], group)
        for layer, some in [*part.groupby("layer", sort=False), (POOLED, part)]:
            found = metrics.summary(some["observed"].to_numpy(), some["predicted"].to_numpy())
            rest = some["observed"] - some.groupby("layer")["observed"].transform("mean")
            error = some["predicted"] - some["observed"]
            within = 1.0 - float((error**2).sum()) / float((rest**2).sum())
            rows.append(
                {"split": split, "model": model, "seed": seed, "layer": layer, "n": len(some)}
                | {name: found[name] for name in METRICS}
                | {"r2_within": within}
            )
    return pd.DataFrame(rows)


def score_folds(table: pd.DataFrame) -> pd.DataFrame:
    """RMSE of each fold and seed: what differences between models are paired by."""
    keys = ["split", "model", "seed", "fold", "layer"]
    single = table[table["seed"] != ALL]
    pooled = single.assign(layer=POOLED)
    squared = pd.concat([single, pooled]).assign(square=lambda f: (f["predicted"] - f["observed"]) ** 2)
    found = squared.groupby(keys, sort=False)["square"].agg(["mean", "size"]).reset_index()
    return found.assign(rmse=np.sqrt(found["mean"])).rename(columns={"size": "n"}).drop(columns="mean")


def coverage(table: pd.DataFrame, nominal: float) -> pd.DataFrame:
    """Share of the held-out observations inside their interval, with Wilson's 95 % interval of the share."""
    rows = []
    for group, part in table[table["seed"] == ALL].groupby(["split", "model"], sort=False):
        split, model = cast(tuple[str, str], group)
        for layer, some in [*part.groupby("layer", sort=False), (POOLED, part)]:
            inside = conformal.covered(some["observed"], some["low"], some["high"])
            hits, n = int(inside.sum()), len(some)
            lowest, highest = conformal.coverage_range(hits, n)
            width = float((some["high"] - some["low"]).median())
            rows.append(
                {
                    "split": split, "model": model, "layer": layer, "n": n, "nominal": nominal, "coverage": hits / n,
                    "coverage_low": lowest, "coverage_high": highest, "median_width": width,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def against_truth(
    prepared: Prepared, config: LayersConfig, model: str, split: str, outcomes: list[Outcome], truth: np.ndarray
) -> pd.DataFrame:
    """A model at pixels whose truth is known: the mean of its fold models, and the intervals that maps have.

    Args:
      prepared, config, model, split: as in :func:`predictions`.
      outcomes: one for each seed, with (folds, t, layers) predictions at the pixels.
      truth: (layers, t) true values in the unit of the data.
    """
    centres = mean_over_seeds([outcome.probe for outcome in outcomes], f"{model} {split}")
    held_out = mean_over_seeds([outcome.held_out for outcome in outcomes], f"{model} {split}")
    rows = []
    for place, layer in enumerate(prepared.layers):
        low, high = map_interval(prepared, config, split, held_out, centres[:, :, place], place)
        predicted = prepared.to_unit(centres[:, :, place].mean(axis=0))
        found = metrics.summary(truth[place], predicted)
        inside = conformal.covered(truth[place], prepared.to_unit(low), prepared.to_unit(high))
        rows.append(
            {"split": split, "model": model, "layer": layer.name, "n": truth.shape[1], "nominal": config.coverage}
            | {name: found[name] for name in METRICS}
            | {"coverage": float(inside.mean())}
        )
    return pd.DataFrame(rows)


def map_interval(
    prepared: Prepared, config: LayersConfig, split: str, held_out: np.ndarray, centres: np.ndarray, place: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cross-fitted interval (CV+) of one layer on the scale of learning: (t,) ends for (folds, t) predictions."""
    rows = prepared.seen[:, place]
    target = prepared.to_scale(prepared.sites.values[rows, place])
    errors = conformal.scores(target, held_out[rows, place])
    return conformal.cross_interval(errors, prepared.folds[split][rows], centres, config.coverage)
