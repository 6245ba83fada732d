"""Stage 3: the strategies from spectra to properties, each judged on the validation pairs and on the test set.

Which rows train what is the paper's (section 2.5): MIR models on the labelled library, NIR baselines on the pairs,
NIRtoMIR strategies apply a MIR model to the converted spectra or to the latents of the NIR spectra. Data efficiency,
how well the MIR strategies predict the test set from few labels, is found with the same models.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jaxsoil.bundle.predictors import Linear
from jaxsoil.data.draws import group_folds, take_share
from jaxsoil.evaluation import metrics
from jaxsoil.evaluation.compare import MEAN, mean_sd
from jaxsoil.models import plsr
from jaxsoil.runs.keys import seed_of
from jaxsoil.runs.pieces import Piece
from jaxsoil.studies.multifidelity.config import (
    CARRY_OVER,
    RIDGE,
    STRATEGY,
    CurveConfig,
    PropertyConfig,
    Strategy,
    strategies_for,
)
from jaxsoil.studies.multifidelity.property_models import LOGGED, fit_properties, learned_scales
from jaxsoil.studies.multifidelity.replicates import Replicate, SpectraSets
from jaxsoil.studies.multifidelity.ridges import fit_ridges
from jaxsoil.studies.multifidelity.tables import NO_TASK, joined, prediction_rows, training_tables

Views = Mapping[str, Mapping[str, NDArray]]
"""What models read: view -> set -> array. "mir" and "nir" (n, m) are SNV spectra; "latents" and "nir_latents" (n, K)
posterior means of MIR and of NIR spectra; "nir_samples" (s, n, K) draws from the latter; "converted" and "fno" (n, M)
MIR spectra from NIR ones, by the shared latent space and by the Fourier neural operator; "reencoded" (n, K) the MIR
encoder's view of the converted spectra."""

CURVES = ("MIR-PLSR", "MIR-MLP", "MIR-SSL-MLP", "MIR-SSL-PLSR", RIDGE, CARRY_OVER)
"""Strategies that are trained on few labels."""

SCORES = ("ccc", "rmse", "rpiq")
"""Metrics of the curves over labels."""


def run_strategies(config: PropertyConfig, replicate: Replicate, strategies: Sequence[str], views: Views) -> Piece:
    """Trains and judges the strategies of one replicate.

    Those that need pairs are left out where there are none.

    Returns:
      Tables "predictions", "components", "history" and "convergence"; as trees, by strategy, the networks for all
      properties and the linear models that read spectra, and the networks that read latents.
    """
    sets, number, found, kept = replicate.sets, replicate.number, [], {}
    wanted = strategies_for(strategies, sets.paired)
    for strategy in wanted:
        if strategy.plsr:
            own = STRATEGY[strategy.model]
            # Rows that stop the networks are training rows to PLSR.
            rows, new = np.concatenate(training_rows(replicate, own)), judged(replicate, views[strategy.view])
            predicted, counts, linear = predict_plsr(config, sets, own, views[own.view], rows, new, number)
            if own.view in ("mir", "nir"):
                kept[strategy.name] = linear.arrays()
            chosen = {"seed": number, "strategy": strategy.name, "property": sets.properties, "components": counts}
            predictions = prediction_rows(replicate, strategy.name, NO_TASK, predicted)
            found.append({"predictions": predictions, "components": pd.DataFrame(chosen)})
    labelled = np.concatenate(training_rows(replicate, STRATEGY[RIDGE]))
    for name, ridge in fit_ridges(wanted, sets, labelled, config.draws).items():
        predicted, _ = ridge(judged(replicate, views["mir"]))
        found.append({"predictions": prediction_rows(replicate, name, NO_TASK, predicted)})
        kept[name] = ridge.arrays()
    networks = [strategy for strategy in wanted if not strategy.linear]
    for own in dict.fromkeys(STRATEGY[strategy.model] for strategy in networks):
        train, watch = training_rows(replicate, own)
        for task in config.tasks:
            # ILR ties the three particle sizes together, so there is nothing to train one by one.
            if own.ilr and task == "single":
                continue
            key, label = replicate.key(own.name, task), f"seed {number} {own.name} {task}"
            model, fitted = fit_properties(
                config, own, sets, views[own.view], train, watch, task=task, key=key, label=label
            )
            if task == "multi" and own.view in ("mir", "nir", "latents") and not own.ilr and fitted.alive:
                kept[own.name] = model.as_tree()
            members = model.targets.columns if task == "single" else ()
            found.append(training_tables(fitted, "stage3", number, f"{own.name}/{task}", members))
            for strategy in networks:
                if strategy.model == own.name:
                    read = judged(replicate, views[strategy.view])
                    # Samples are predicted one by one, and their predictions averaged.
                    each = [model.predict(x) for x in read.reshape(-1, *read.shape[-2:])]
                    predicted = np.mean(each, axis=0)
                    found.append({"predictions": prediction_rows(replicate, strategy.name, task, predicted)})
    return Piece(tables=joined(found), trees=kept)


def training_rows(replicate: Replicate, own: Strategy) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the set that a model learns from: those that train, and those that stop the training."""
    rows = replicate.rows
    return (rows.pairs, rows.pairs_watch) if own.needs_pairs else (rows.labelled, rows.labelled_watch)


def judged(replicate: Replicate, arrays: Mapping[str, NDArray]) -> NDArray:
    """The rows that judge, validation pairs first and then the test set, as one array (..., n, m)."""
    return np.concatenate([arrays[part][..., rows, :] for part, rows in replicate.judging.values()], axis=-2)


def predict_plsr(
    config: PropertyConfig,
    sets: SpectraSets,
    strategy: Strategy,
    spectra: Mapping[str, NDArray],
    rows: NDArray[Any],
    new: NDArray,
    seed: int,
) -> tuple[NDArray[np.float64], list[int], Linear]:
    """PLSR of each property in its own units, with the components chosen within the rows that it learns from.

    Args:
      strategy: whose model it is.
      spectra: set -> (n, m) spectra.
      rows: row numbers to learn from; a property uses those where it is known.
      new: (t, m) spectra to predict.
      seed: of the folds.

    Returns:
      Predictions (t, p), the number of components of each property, and the models. A property with fewer than three
      values, or with equal ones, or whose rows are all alike (collapsed latents), is predicted by the mean, with no
      component and no model; one without a value by NaN.
    """
    groups, x, scales = sets.library(strategy.part).blocks, spectra[strategy.part], learned_scales(sets.properties)
    predicted, counts = np.empty((len(new), len(scales))), []
    slopes, starts = np.zeros((x.shape[1], len(scales))), np.full(len(scales), np.nan)
    for column, name in enumerate(sets.properties):
        y = sets.values[strategy.part][rows, column]
        known, y = rows[np.isfinite(y)], y[np.isfinite(y)]
        if y.size < 3 or np.ptp(y) == 0 or not np.ptp(x[known], axis=0).any():
            predicted[:, column] = y.mean() if y.size else np.nan
            counts.append(0)
            continue
        count = min(config.folds, np.unique(groups[known]).size)
        folds = group_folds(groups[known], count, np.random.default_rng(seed_of(seed, name)))
        model = plsr.fit_chosen(x[known], np.log1p(y) if name in LOGGED else y, folds, config.components)
        predicted[:, column] = np.expm1(model.predict(new)) if name in LOGGED else model.predict(new)
        one = Linear.of([model], (scales[column],))
        slopes[:, column], starts[column] = one.coefficients[:, 0], one.intercept[0]
        counts.append(model.n_components)
    return predicted, counts, Linear(slopes, starts, scales)


def run_curves(config: CurveConfig, properties: PropertyConfig, replicate: Replicate, views: Views) -> Piece:
    """Trains the strategies of ``CURVES`` on few labels and scores them on the test set.

    Labels are drawn from all labelled rows that train or stop; the encoder behind the view "latents" has seen none.

    Returns:
      Tables "curves" and "convergence".
    """
    sets, seed = replicate.sets, replicate.number
    properties = dataclasses.replace(properties, steps=config.steps)
    pool, found, convergence = np.sort(replicate.rows.all_labelled), [], []
    for draw in range(config.draws):
        order = np.random.default_rng([seed, draw, 5]).permutation(pool)
        for size in config.labels:
            if size > pool.size:
                continue
            chosen = order[:size]
            watched = take_share(
                sets.data.labelled.blocks[chosen], config.watch, np.random.default_rng([seed, size, 7])
            )
            ridges = fit_ridges([STRATEGY[name] for name in CURVES], sets, chosen, properties.draws)
            for name in CURVES:
                own, label = STRATEGY[name], f"{name}/{size} labels/{draw}"
                view = views[own.view]
                if own.plsr:
                    predicted, *_ = predict_plsr(properties, sets, own, view, chosen, view["test"], seed)
                elif name in ridges:
                    predicted, _ = ridges[name](view["test"])
                else:
                    rows, key = (chosen[~watched], chosen[watched]), replicate.key(label)
                    model, fitted = fit_properties(
                        properties, own, sets, view, *rows,
                        task="multi", key=key, constant=True, label=f"seed {seed} {label}",
                    )  # fmt: skip
                    predicted = model.predict(view["test"])
                    convergence.append(training_tables(fitted, "curves", seed, f"curve {label}")["convergence"])
                keys = {"labels": size, "seed": seed, "draw": draw, "strategy": name}
                found += [keys | row for row in _scores(sets, predicted)]
    tables = {"curves": pd.DataFrame(found)}
    return Piece(tables=tables | ({"convergence": pd.concat(convergence)} if convergence else {}))


def _scores(sets: SpectraSets, predicted: NDArray) -> list[dict[str, Any]]:
    """Scores of each property, and their mean over the properties where they are defined."""
    found: list[dict[str, Any]] = []
    for prop, observed, mine in zip(sets.properties, sets.values["test"].T, predicted.T, strict=True):
        # A training that diverged predicts nothing.
        known = np.isfinite(observed) & np.isfinite(mine)
        if known.any():
            scores = metrics.summary(observed[known], mine[known])
            found.append({"property": prop, "n": int(known.sum()), **{name: scores[name] for name in SCORES}})
    # Properties have different units, so there is no mean RMSE.
    means = {name: mean_sd([row[name] for row in found]).mean for name in ("ccc", "rpiq")}
    return [*found, {"property": MEAN, "n": sum(row["n"] for row in found), **means}]
