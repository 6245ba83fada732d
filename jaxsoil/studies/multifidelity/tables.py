"""Rows of the run's tables about predictions and trainings."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jaxsoil.evaluation import results
from jaxsoil.runs.errors import DataError
from jaxsoil.studies.multifidelity.rows import Replicate
from jaxsoil.training.rows import Fitted

MULTI, SINGLE, NO_TASK = "multi", "single", "-"
"""One network for all properties, one for each, and a model without this choice (PLSR)."""

OWN = ("task",)
"""Key column of results.csv of this study's own; a strategy is its model, a set its split."""

METRICS = ("rmse", "bias", "r2", "r2_corr", "ccc", "rpiq")


def refuse_earlier(folder: str | os.PathLike[str]) -> None:
    """Raises DataError for a run folder with scores.csv, the scores of an earlier version."""
    path = Path(folder) / "scores.csv"
    if path.exists():
        problem = "this run folder was made by an earlier version, which wrote scores.csv"
        raise DataError(problem, source=path, remedy="Run the study again with --overwrite.")


def joined(parts: Iterable[Mapping[str, pd.DataFrame]]) -> dict[str, pd.DataFrame]:
    """Tables by name, their rows in the order of the parts; one that has no rows in any part is empty."""
    found: dict[str, list[pd.DataFrame]] = {}
    for part in parts:
        for name, table in part.items():
            found.setdefault(name, []).extend([table] if len(table) else [])
    return {name: pd.concat(each, ignore_index=True) if each else pd.DataFrame() for name, each in found.items()}


def training_tables(
    fitted: Fitted, stage: str, seed: int, label: str, members: Sequence[str] = ()
) -> dict[str, pd.DataFrame]:
    """How a training went, or each of several whose ``members`` are named behind its label.

    Returns:
      "history": rows ``stage, seed, label, epoch, loss, validation_loss, ...`` of the epochs that were run;
      "convergence": rows ``seed, stage, label, epochs, converged, alive``.
    """
    labels = [f"{label}/{name}" for name in members] or [label]
    history, convergence = [], []
    for place, name in enumerate(labels):
        epochs, converged, alive = (
            np.atleast_1d(value)[place] for value in (fitted.epochs_run, fitted.converged, fitted.alive)
        )
        terms = {term: np.atleast_2d(values)[place, : int(epochs)] for term, values in fitted.history.items()}
        keys = {"stage": stage, "seed": seed, "label": name}
        history.append(pd.DataFrame({**keys, "epoch": np.arange(1, int(epochs) + 1), **terms}))
        row = {"seed": seed, "stage": stage, "label": name, "epochs": int(epochs)}
        convergence.append(row | {"converged": bool(converged), "alive": bool(alive)})
    return {"history": pd.concat(history, ignore_index=True), "convergence": pd.DataFrame(convergence)}


def prediction_rows(replicate: Replicate, strategy: str, task: str, predicted: NDArray) -> pd.DataFrame:
    """Tidy predictions (validation pairs first, then the test set) with what was observed.

    Rows that were not measured are left out, and so are predictions of trainings that diverged (NaN).
    """
    sets, frames = replicate.sets, []
    for name, (part, rows) in replicate.judging.items():
        observed, ids = sets.values[part][rows], sets.library(part).ids[rows]
        mine, predicted = predicted[: len(ids)], predicted[len(ids) :]
        for column, prop in enumerate(sets.properties):
            known = np.isfinite(observed[:, column]) & np.isfinite(mine[:, column])
            keys = {"seed": replicate.number, "strategy": strategy, "task": task, "set": name}
            values = {"observed": observed[known, column], "predicted": mine[known, column]}
            frames.append(pd.DataFrame({**keys, "id": ids[known].astype(object), "property": prop, **values}))
    return pd.concat(frames, ignore_index=True)


def result_rows(
    predictions: pd.DataFrame, units: Mapping[str, str], regions: Mapping[int, str], *, study: str, data: str
) -> pd.DataFrame:
    """Scores of each seed, strategy, task, set and property in the schema of :mod:`jaxsoil.evaluation.results`.

    Args:
      predictions: rows of :func:`prediction_rows`.
      units: property -> unit.
      regions: seed -> the field that is held out, or "all".
      study, data: names of the experiment and of the data.
    """
    named = predictions.rename(columns={"strategy": "model", "set": "split"})
    names, found = ["seed", "model", "task", "split", "property"], []
    for key, rows in named.groupby(names, sort=False):
        assert isinstance(key, tuple)
        keys = dict(zip(names, key, strict=True))
        keys |= {"study": study, "data": data, "region": regions[keys["seed"]]}
        scored = (rows["observed"], rows["predicted"])
        found += results.score_rows(*scored, unit=units[keys["property"]], scale="unit", keys=keys, metrics=METRICS)
    return results.as_frame(found, OWN)
