"""Rows of the run's tables about predictions and trainings."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jaxsoil.evaluation import results
from jaxsoil.runs.errors import DataError
from jaxsoil.studies.multifidelity.inputs import Inputs
from jaxsoil.studies.multifidelity.rows import SeedRows
from jaxsoil.training.rows import Fitted

TEST, VALIDATION = "test", "validation"
"""Sets that judge: the independent test set, and the pairs that no stage has seen."""

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


def members(fitted: Fitted) -> Iterator[Fitted]:
    """The members of a training one by one; a single training as it is."""
    if np.ndim(fitted.converged) == 0:
        yield fitted
        return
    for i in range(len(fitted.converged)):
        history = {name: values[i] for name, values in fitted.history.items()}
        yield Fitted(None, history, fitted.converged[i], fitted.epochs_run[i], np.asarray(fitted.alive)[i])


def history_rows(fitted: Fitted, stage: str, seed: int, label: str) -> pd.DataFrame:
    """Rows ``stage, seed, label, epoch, loss, validation_loss, ...`` of the epochs that were run."""
    done = int(fitted.epochs_run)
    frame = pd.DataFrame({name: values[:done] for name, values in fitted.history.items()})
    for place, (name, value) in enumerate((("stage", stage), ("seed", seed), ("label", label))):
        frame.insert(place, name, value)
    frame.insert(3, "epoch", np.arange(1, done + 1))
    return frame


def convergence_row(fitted: Fitted, stage: str, seed: int, label: str) -> dict[str, Any]:
    """Whether a training converged, and after how many epochs."""
    return {
        "seed": seed,
        "stage": stage,
        "label": label,
        "epochs": int(fitted.epochs_run),
        "converged": bool(fitted.converged),
        "alive": bool(fitted.alive),
    }


def prediction_rows(
    inputs: Inputs, rows: SeedRows, seed: int, strategy: str, task: str, predicted: NDArray
) -> pd.DataFrame:
    """Tidy predictions (validation pairs first, then the test set) with what was observed.

    Rows that were not measured are left out, and so are predictions of trainings that diverged (NaN).
    """
    frames, start = [], 0
    for part, chosen in (("pairs", rows.pairs_valid), ("test", None)):
        if part not in inputs.values:
            continue
        observed, ids = inputs.values[part], inputs.ids(part)
        if chosen is not None:
            observed, ids = observed[chosen], ids[chosen]
        mine = predicted[start : start + len(ids)]
        start += len(ids)
        for column, name in enumerate(inputs.properties):
            known = np.isfinite(observed[:, column]) & np.isfinite(mine[:, column])
            frames.append(
                pd.DataFrame(
                    {
                        "seed": seed,
                        "strategy": strategy,
                        "task": task,
                        "set": TEST if chosen is None else VALIDATION,
                        "id": ids[known].astype(object),
                        "property": name,
                        "observed": observed[known, column],
                        "predicted": mine[known, column],
                    }
                )
            )
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
    found = []
    for key, rows in predictions.groupby(["seed", "strategy", "task", "set", "property"], sort=False):
        assert isinstance(key, tuple)
        seed, strategy, task, split, name = key
        keys = {"study": study, "data": data, "model": strategy, "property": name, "region": regions[seed]}
        keys |= {"seed": seed, "split": split, "task": task}
        found += results.score_rows(
            rows["observed"], rows["predicted"], unit=units[name], scale="unit", keys=keys, metrics=METRICS
        )
    return results.as_frame(found, OWN)
