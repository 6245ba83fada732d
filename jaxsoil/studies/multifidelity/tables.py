"""Rows of the run's tables about predictions and trainings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jaxsoil.evaluation import metrics
from jaxsoil.studies.multifidelity.inputs import Inputs
from jaxsoil.studies.multifidelity.rows import SeedRows
from jaxsoil.training.rows import Fitted

SCORES = ("rmse", "me", "r2", "ccc", "rpiq")


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
                        "set": "test" if chosen is None else "validation",
                        "id": ids[known].astype(object),
                        "property": name,
                        "observed": observed[known, column],
                        "predicted": mine[known, column],
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)


def score_rows(predictions: pd.DataFrame) -> pd.DataFrame:
    """Scores of each seed, strategy, task, set and property; ``me`` is mean(predicted - observed)."""
    keys = ["seed", "strategy", "task", "set", "property"]
    found = []
    for key, rows in predictions.groupby(keys, sort=False):
        assert isinstance(key, tuple)
        scores = metrics.summary(rows["observed"].to_numpy(), rows["predicted"].to_numpy())
        scores["me"] = scores.pop("bias")
        found.append({**dict(zip(keys, key, strict=True)), "n": len(rows), **{name: scores[name] for name in SCORES}})
    return pd.DataFrame(found, columns=pd.Index([*keys, "n", *SCORES]))
