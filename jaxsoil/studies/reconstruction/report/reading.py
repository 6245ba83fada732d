"""A finished run as the reports see it: the files of its folder, checked, and nothing else."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.evaluation.alarm import ALARMS, SAMPLE_COLUMNS
from jaxsoil.evaluation.results import CONVERGED, DIVERGED, FITTED, NOT_CONVERGED, read_results
from jaxsoil.report import files
from jaxsoil.report.tables import natural_sorted

MODEL_LABELS = {
    "plsr": "PLSR",
    "random_forest": "Random forest",
    "none": "Encoder",
    "ann": "Encoder + ANN decoder",
    "physics": "Encoder + physics decoder",
    "physics_no_rho": "Encoder + physics decoder without rho r",
}
"""Models in the order of the tables, with their names there; others follow under the name they have."""

_TRIAL_COLUMNS = ("trial", "model", "region", "seed", "status", "epochs", "parameters", "exposure")
_PREDICTION_COLUMNS = ("model", "region", "seed", "split", "id", "observed", "predicted")
_RECONSTRUCTION_ARRAYS = ("axis", "region", "seed", "model", "id", "observed", "reconstructed")


@dataclass(frozen=True)
class TrialRow:
    """One line of trials.csv."""

    trial: str
    model: str
    region: str
    seed: int
    status: str
    epochs: int
    parameters: int
    exposure: str

    @property
    def trusted(self) -> bool:
        """Whether the numbers of this trial stand without a mark."""
        return self.status in (CONVERGED, FITTED)


@dataclass(frozen=True, eq=False)
class Run:
    """Contents of a run folder.

    Attributes:
      path: the folder.
      config, env: config.json and env.json.
      data: data.json, what is known of the data; empty if absent.
      timing: timing.json, seconds by name; empty if absent.
      results: results.csv.
      trials: trials.csv.
      predictions: predictions.parquet, SOC in % by mass.
      reconstructions: arrays of reconstructions.npz; empty if no model reconstructs.
      history: history.csv, losses by epoch; None without networks.
      samples: samples.parquet, what the networks made of every row; None without networks.
    """

    path: Path
    config: dict[str, Any]
    env: dict[str, Any]
    data: dict[str, Any]
    timing: dict[str, float]
    results: pd.DataFrame
    trials: tuple[TrialRow, ...]
    predictions: pd.DataFrame
    reconstructions: dict[str, np.ndarray]
    history: pd.DataFrame | None = None
    samples: pd.DataFrame | None = None

    @property
    def name(self) -> str:
        """Name of the data set."""
        return str(self.data.get("name") or self.results["data"].iloc[0])

    @property
    def models(self) -> list[str]:
        """Models of the results in the order of the tables."""
        present = set(self.results["model"].tolist())
        return [name for name in MODEL_LABELS if name in present] + natural_sorted(present - set(MODEL_LABELS))

    @property
    def regions(self) -> list[str]:
        """Held-out regions in natural order."""
        return natural_sorted(set(self.results["region"].tolist()))

    def untrusted(self, model: str, region: str | None = None) -> list[TrialRow]:
        """Trials of a model (and region) that did not converge or diverged."""
        return [
            trial
            for trial in self.trials
            if trial.model == model and region in (None, trial.region) and not trial.trusted
        ]


def model_label(model: str) -> str:
    """Name of a model in tables and figures."""
    return MODEL_LABELS.get(model, model)


def predictions_by_trial(run: Run) -> dict[tuple[str, str, int], tuple[np.ndarray, np.ndarray]]:
    """Observed and predicted SOC, (n,) in % by mass, by model, region and seed."""
    rows = run.predictions
    keys = list(zip(rows["model"].tolist(), rows["region"].tolist(), rows["seed"].tolist(), strict=True))
    places: dict[tuple[str, str, int], list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        places[key].append(place)
    observed, predicted = (np.asarray(rows[name], dtype=np.float64) for name in ("observed", "predicted"))
    return {key: (observed[found], predicted[found]) for key, found in places.items()}


def kept_epochs(run: Run) -> dict[str, int]:
    """The epoch, from 1, whose parameters each trained network has, by trial.

    That of the lowest validation loss (the first of equals), or the last where the settings say ``keep = "last"``;
    diverged trials and a run without history.csv have none.
    """
    if run.history is None:
        return {}
    finite = {trial.trial: trial.epochs for trial in run.trials if trial.status != DIVERGED and trial.epochs}
    if run.config.get("config", {}).get("train", {}).get("keep", "best") == "last":
        return finite
    watched = np.asarray(run.history["validation_loss"], dtype=np.float64)
    epochs = np.asarray(run.history["epoch"], dtype=np.int64)
    found = {}
    for trial, places in run.history.groupby("trial", sort=False).indices.items():
        if str(trial) in finite and np.isfinite(watched[places]).any():
            found[str(trial)] = int(epochs[places][np.nanargmin(watched[places])])
    return found


def read_run(folder: str | os.PathLike[str]) -> Run:
    """Reads a finished run.

    Raises:
      DataError: if a file is missing or not what it should be; the message names it.
    """
    path = Path(folder)
    return Run(
        path=path,
        config=files.read_json(path / "config.json"),
        env=files.read_json(path / "env.json"),
        data=files.read_json(path / "data.json", optional=True),
        timing=files.read_json(path / "timing.json", optional=True),
        results=read_results(path / "results.csv"),
        trials=_trials(path / "trials.csv"),
        predictions=_predictions(path / "predictions.parquet"),
        reconstructions=_reconstructions(path / "reconstructions.npz"),
        history=_history(path / "history.csv"),
        samples=_samples(path / "samples.parquet"),
    )


def _trials(path: Path) -> tuple[TrialRow, ...]:
    # Text first: a region may be called "NA" or "007".
    frame = files.read_csv(path, _TRIAL_COLUMNS, dtype=str, keep_default_na=False)
    known = (CONVERGED, FITTED, NOT_CONVERGED, DIVERGED)
    rows = []
    for record in frame.to_dict("records"):
        row = {str(name): str(value) for name, value in record.items()}
        if row["status"] not in known:
            raise files.damaged(path, f"column status: unknown status, not one of {', '.join(known)}", row["status"])
        try:
            counts = [int(row[name]) for name in ("seed", "epochs", "parameters")]
        except ValueError as error:
            raise files.damaged(path, "seed, epochs or parameters is not a whole number", row["trial"]) from error
        rows.append(
            TrialRow(
                trial=row["trial"],
                model=row["model"],
                region=row["region"],
                seed=counts[0],
                status=row["status"],
                epochs=counts[1],
                parameters=counts[2],
                exposure=row["exposure"],
            )
        )
    return tuple(rows)


def _predictions(path: Path) -> pd.DataFrame:
    frame = files.read_parquet(path, _PREDICTION_COLUMNS)
    return frame.assign(model=frame["model"].astype(str), region=frame["region"].astype(str))


def _reconstructions(path: Path) -> dict[str, np.ndarray]:
    if not path.exists():
        return {}
    arrays = files.read_arrays(path, _RECONSTRUCTION_ARRAYS)
    shape = (arrays["model"].size, arrays["axis"].size)
    if arrays["observed"].shape != shape or arrays["reconstructed"].shape != shape:
        raise files.damaged(path, f"spectra are not {shape[0]} x {shape[1]}", arrays["observed"].shape)
    return arrays


def _history(path: Path) -> pd.DataFrame | None:
    if not path.exists():
        return None
    columns = ("trial", "epoch", "train_loss", "validation_loss")
    frame = files.read_csv(path, columns, dtype=str, keep_default_na=False)
    # Epochs that a diverged trial did not reach are empty.
    numbers = {name: pd.to_numeric(frame[name], errors="coerce") for name in columns[1:]}
    return frame.assign(**numbers)


def _samples(path: Path) -> pd.DataFrame | None:
    if not path.exists():
        return None
    return files.read_parquet(path, (*SAMPLE_COLUMNS, *ALARMS))
