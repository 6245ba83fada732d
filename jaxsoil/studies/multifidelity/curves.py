"""Data efficiency: how well the MIR strategies predict the test set from few labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jaxsoil.data.draws import take_share
from jaxsoil.evaluation import metrics
from jaxsoil.evaluation.compare import MEAN, mean_sd
from jaxsoil.runs.keys import key_of
from jaxsoil.runs.pieces import Piece
from jaxsoil.studies.multifidelity.config import CurveConfig, PropertyConfig, enough_steps
from jaxsoil.studies.multifidelity.inputs import Inputs
from jaxsoil.studies.multifidelity.property_models import fit_properties
from jaxsoil.studies.multifidelity.rows import SeedRows
from jaxsoil.studies.multifidelity.strategies import fit_plsr
from jaxsoil.studies.multifidelity.tables import convergence_row

SCORES = ("ccc", "rmse", "rpiq")
COLUMNS = ("labels", "seed", "draw", "strategy", "property", "n", *SCORES)


def run_curves(
    config: CurveConfig,
    properties: PropertyConfig,
    inputs: Inputs,
    rows: SeedRows,
    latents: Mapping[str, NDArray],
    seed: int,
) -> Piece:
    """Trains MIR-PLSR, MIR-MLP and MIR-SSL-MLP on few labels and scores them on the test set.

    Args:
      config: sizes and draws.
      properties: settings of the models, those of stage 3.
      inputs: data.
      rows: roles of the rows; labels are drawn from all labelled rows that train or stop.
      latents: set -> (n, K) latents of the MIR spectra ("labelled", "test"); the encoder has seen no label.
      seed: replicate.

    Returns:
      Tables "curves" and "convergence".
    """
    pool = np.sort(np.concatenate([rows.labelled, rows.labelled_watch]))
    found, convergence = [], []
    for draw in range(config.draws):
        order = np.random.default_rng([seed, draw, 5]).permutation(pool)
        for size in config.labels:
            if size > pool.size:
                continue
            chosen = order[:size]
            predicted = {"MIR-PLSR": _plsr(properties, inputs, chosen, seed)}
            for name, x in (("MIR-MLP", inputs.mir), ("MIR-SSL-MLP", latents)):
                label = f"{name}/{size} labels/{draw}"
                predicted[name], row = _mlp(config, properties, inputs, chosen, x, name, label, seed)
                convergence.append(row)
            for name, values in predicted.items():
                scored = _scores(inputs, values)
                found += [{"labels": size, "seed": seed, "draw": draw, "strategy": name, **row} for row in scored]
    return Piece(
        tables={"curves": pd.DataFrame(found, columns=pd.Index(COLUMNS)), "convergence": pd.DataFrame(convergence)}
    )


def _plsr(properties: PropertyConfig, inputs: Inputs, chosen: NDArray, seed: int) -> NDArray[np.float64]:
    groups, new = inputs.data.labelled.blocks, inputs.mir["test"]
    predicted = np.empty((len(new), len(inputs.properties)))
    for column, prop in enumerate(inputs.properties):
        y = inputs.values["labelled"][chosen, column]
        known = chosen[np.isfinite(y)]
        y = y[np.isfinite(y)]
        # Few labels of a property that is mostly zero (carbonate) may be all alike.
        if y.size < 3 or np.ptp(y) == 0:
            predicted[:, column] = y.mean() if y.size else np.nan
            continue
        predicted[:, column], _ = fit_plsr(inputs.mir["labelled"][known], y, prop, groups[known], new, properties, seed)
    return predicted


def _mlp(
    config: CurveConfig,
    properties: PropertyConfig,
    inputs: Inputs,
    chosen: NDArray,
    x: Mapping[str, NDArray],
    name: str,
    label: str,
    seed: int,
) -> tuple[NDArray[np.float64], dict]:
    rng = np.random.default_rng([seed, chosen.size, 7])
    validation = take_share(inputs.data.labelled.blocks[chosen], config.watch, rng)
    model, fitted = fit_properties(
        x["labelled"],
        inputs.values["labelled"],
        inputs.properties,
        chosen[~validation],
        chosen[validation],
        widths=properties.latent_widths if name == "MIR-SSL-MLP" else properties.widths,
        dropout=properties.dropout,
        loop=enough_steps(properties.loop, int((~validation).sum()), config.steps),
        task="multi",
        key=key_of(seed, label),
        constant=True,
        label=f"seed {seed} {label}",
    )
    return model.predict(x["test"]), convergence_row(fitted, "curves", seed, f"curve {label}")


def _scores(inputs: Inputs, predicted: NDArray) -> list[dict]:
    """Scores of each property, and their mean over the properties where they are defined."""
    found: list[dict[str, Any]] = []
    for column, prop in enumerate(inputs.properties):
        observed = inputs.values["test"][:, column]
        # A training that diverged predicts nothing.
        known = np.isfinite(observed) & np.isfinite(predicted[:, column])
        if not known.any():
            continue
        scores = metrics.summary(observed[known], predicted[known, column])
        found.append({"property": prop, "n": int(known.sum()), **{name: scores[name] for name in SCORES}})
    # Properties have different units, so there is no mean RMSE.
    means = {name: mean_sd([row[name] for row in found]).mean for name in ("ccc", "rpiq")}
    return [*found, {"property": MEAN, "n": sum(row["n"] for row in found), **means}]
