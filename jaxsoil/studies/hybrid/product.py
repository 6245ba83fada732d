"""The product: one table of measured and predicted values, with intervals, errors and flags."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd

from jaxsoil.evaluation.outliers import Judged
from jaxsoil.runs.errors import DataError
from jaxsoil.runs.files import atomic_path
from jaxsoil.studies.hybrid.cross_fit import CrossFit
from jaxsoil.studies.hybrid.intervals import Calibrated
from jaxsoil.studies.hybrid.results import COLUMNS, MEASURED, PREDICTED


def product_table(
    cross_fit: CrossFit, calibrated: dict[str, Calibrated], judged: dict[str, Judged], models: dict[str, str]
) -> pd.DataFrame:
    """One line for each row of the data and property.

    Args:
      cross_fit: data and folds.
      calibrated: target -> ensemble with its scores.
      judged: target -> distance, residual and flag of all rows.
      models: target -> model id.
    """
    frames = []
    data = cross_fit.data
    for target, found in calibrated.items():
        limits, measured = data.ranges[target], data.observed(target)
        missing = ~np.isfinite(measured)
        rows = np.flatnonzero(missing)
        value, low, high, error = measured.copy(), *(np.full(len(data), np.nan) for _ in range(3))
        if rows.size:
            centre = found.centre[:, rows].mean(axis=0)
            value[rows] = limits.from_scale(centre)
            ends = found.interval(rows, cross_fit.config.coverage, cross_fit.config.interval)
            # The ends are order statistics of their own, so the mean of the folds can fall a hair outside.
            low[rows] = np.minimum(limits.from_scale(ends[0]), value[rows])
            high[rows] = np.maximum(limits.from_scale(ends[1]), value[rows])
            error[rows] = limits.error(centre, found.error(rows))
        frame = {
            "id": data.library.ids, "sample": data.sample, "laboratory": data.laboratory, "property": target,
            "value": value, "unit": limits.unit, "kind": np.where(missing, PREDICTED, MEASURED),
            "low": low, "high": high, "error_sd": error,
            "model": np.where(missing, models[target], ""), "applicability": judged[target].flag,
        }  # fmt: skip
        frames.append(pd.DataFrame(frame)[list(COLUMNS)])
    return pd.concat(frames, ignore_index=True)


def check_product(table: pd.DataFrame, cross_fit: CrossFit) -> None:
    """Holds the table against the data: every value there, every measured value the same to the last bit.

    Raises:
      DataError: a value that is missing, changed or outside its physical range, or an interval without its value.
    """
    for target, limits in cross_fit.data.ranges.items():
        part = pd.DataFrame(table.loc[(table["property"] == target).to_numpy()])
        measured, value = cross_fit.data.observed(target), part["value"].to_numpy()
        there = np.isfinite(measured)
        altered = (value[there].view(np.uint64) != measured[there].view(np.uint64)).any()
        altered |= (part["kind"].to_numpy() != np.where(there, MEASURED, PREDICTED)).any()
        low, high = part["low"].to_numpy()[~there], part["high"].to_numpy()[~there]
        inside = ((value >= limits.low) & (value <= limits.high)).all()
        inside &= ((low <= value[~there]) & (value[~there] <= high)).all()
        if altered or not inside:
            problem = "a measured value was altered" if altered else "a value lies outside its range or interval"
            raise DataError(problem, source="hybrid.parquet", column=target, remedy="Report this as a bug.")


def write_product(table: pd.DataFrame, path: Path) -> None:
    """Writes the table as Parquet, whole or not at all, and reads it back to see that nothing changed."""
    with atomic_path(path) as temporary:
        table.to_parquet(temporary, index=False)
        back = pd.read_parquet(temporary)
        pd.testing.assert_frame_equal(back, table, check_exact=True, check_dtype=False)


def model_id(cross_fit: CrossFit, target: str) -> str:
    """Id of the ensemble of a property: equal data and settings give an equal id."""
    settings = dataclasses.asdict(cross_fit.config)
    content = json.dumps([settings, cross_fit.data.library.fingerprint(), target], sort_keys=True)
    return f"cnn-{target}-{hashlib.sha256(content.encode()).hexdigest()[:10]}"
