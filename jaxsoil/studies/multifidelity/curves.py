"""Data efficiency: how well the MIR strategies predict the test set from few labels."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jaxsoil.data.draws import take_share
from jaxsoil.evaluation import metrics
from jaxsoil.evaluation.compare import MEAN, mean_sd
from jaxsoil.runs.pieces import Piece
from jaxsoil.studies.multifidelity.config import STRATEGY, CurveConfig, PropertyConfig
from jaxsoil.studies.multifidelity.property_models import fit_properties
from jaxsoil.studies.multifidelity.replicates import Replicate, SpectraSets
from jaxsoil.studies.multifidelity.strategies import Views, predict_plsr
from jaxsoil.studies.multifidelity.tables import training_tables

SCORES = ("ccc", "rmse", "rpiq")


def run_curves(config: CurveConfig, properties: PropertyConfig, replicate: Replicate, views: Views) -> Piece:
    """Trains MIR-PLSR, MIR-MLP and MIR-SSL-MLP on few labels and scores them on the test set.

    Args:
      config: sizes and draws.
      properties: settings of the models, those of stage 3.
      replicate: data, rows and number; labels are drawn from all labelled rows that train or stop.
      views: what the models read; the encoder behind "latents" has seen no label.

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
            for name in ("MIR-PLSR", "MIR-MLP", "MIR-SSL-MLP"):
                own, label = STRATEGY[name], f"{name}/{size} labels/{draw}"
                view = views[own.view]
                if own.plsr:
                    predicted, _ = predict_plsr(properties, sets, own, view, chosen, view["test"], seed)
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
