"""The results of every study: one table, one row for each number.

A row says of which study, data, model, property, held-out region, seed and split a number is, on which scale, and which
metric. A study that needs more to name its numbers (a strategy, a layer) has key columns of its own before ``scale``;
the functions here take their names as ``own``. Scales:

* ``unit``: the property as it was measured. SOC in % by mass has this scale under the name ``percent``.
* ``log10``: log10 of SOC in %; values under a stated floor are raised to it first and counted (``n_clipped``
  for the predictions, ``n_clipped_observed`` for the measurements), because the logarithm of a predicted 0
  would otherwise decide the whole metric.
* ``reflectance``: reconstruction error of the spectra, in % reflectance.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from jaxsoil.evaluation.compare import standard_error
from jaxsoil.evaluation.metrics import METRICS, summary
from jaxsoil.runs.errors import DataError
from jaxsoil.runs.files import read_csv_text, write_csv
from jaxsoil.runs.tables import numbers

RESULT_COLUMNS = (
    "study", "data", "model", "property", "region", "seed", "split", "scale", "metric", "value", "unit"
)  # fmt: skip
"""Columns of results.csv, in order; a study's own key columns stand before ``scale``."""

NAMED = ("study", "data", "model", "property", "region", "seed", "split")
"""Columns that say of what a number is."""

SOC, REFLECTANCE = "soc", "reflectance"
"""Properties: soil organic carbon, and the spectrum itself."""

ALL_SEEDS = -1
"""Seed of a number about the mean prediction of all seeds, which is no replicate of its own."""

SOC_FLOOR = 0.01
"""Smallest SOC, % by mass, that the log10 scale tells apart; a choice, under all values of the field sets."""

COUNT = "count"
"""Unit of the rows that count something (samples, clipped values) and are not averaged over regions."""

FITTED, CONVERGED, NOT_CONVERGED, DIVERGED = "fitted", "converged", "not converged", "diverged"
"""What trials.csv says of a trial; ``fitted`` is a model without iterations (PLSR, forest)."""

_SAME_UNIT = ("rmse", "bias")
_AVERAGES = ("mean", "se", "regions", "values", "undefined")


def score_rows(
    observed: ArrayLike,
    predicted: ArrayLike,
    *,
    unit: str,
    scale: str,
    keys: Mapping[str, object],
    metrics: Sequence[str] = tuple(METRICS),
    reasons: dict[str, str] | None = None,
) -> list[dict[str, object]]:
    """Scores one set of predictions of a property.

    Args:
      observed: (n,) measured values, all finite.
      predicted: (n,) predictions in the same unit; NaN (a diverged trial) gives NaN metrics.
      unit: unit of both, such as "%"; RMSE and bias have it, the other metrics none.
      scale: name of the scale they are on.
      keys: column -> value for all of :data:`NAMED` and the study's own key columns.
      metrics: names out of :data:`jaxsoil.evaluation.metrics.METRICS`.
      reasons: as of ``metrics.summary``.

    Returns:
      One row for each metric and one for the number of rows, ``n``. A metric that is undefined (see
      ``metrics.summary``) is NaN.
    """
    obs, pred = np.asarray(observed, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    found = summary(obs, pred, reasons=reasons)
    values = {name: found[name] for name in metrics}
    rows = value_rows(values, unit=unit, scale=scale, keys=keys)
    return rows + value_rows({"n": obs.size}, unit=COUNT, scale=scale, keys=keys)


def value_rows(
    values: Mapping[str, float], *, unit: str, scale: str, keys: Mapping[str, object]
) -> list[dict[str, object]]:
    """Rows of numbers that a study computed itself.

    Args:
      values: metric -> number. Metrics of :data:`jaxsoil.evaluation.metrics.METRICS` that have no unit (R2, CCC ...)
        get "1" instead of ``unit``.
      unit, scale, keys: as in :func:`score_rows`; counts have the unit :data:`COUNT`.
    """
    units = {name: "1" if name in METRICS and name not in _SAME_UNIT else unit for name in values}
    return [
        {**keys, "scale": scale, "metric": name, "value": float(value), "unit": units[name]}
        for name, value in values.items()
    ]


def metric_rows(
    observed: ArrayLike,
    predicted: ArrayLike,
    *,
    mean: ArrayLike | None = None,
    floor: float = SOC_FLOOR,
    reasons: dict[str, str] | None = None,
    **key: object,
) -> list[dict[str, object]]:
    """Scores one set of SOC predictions on the scales ``percent`` and ``log10``.

    Args:
      observed: (n,) measured SOC, % by mass.
      predicted: (n,) predicted SOC, % by mass; NaN (a diverged trial) gives NaN metrics.
      mean: (n,) predicted mean of SOC, which the scale ``percent`` takes where a model of log10 SOC predicts the
        median; None: ``predicted``.
      floor: smallest SOC on the log10 scale, % by mass.
      reasons: receives ``metric -> why it is undefined`` on either scale, the log10 scale's where both have one.
      key: study, data, model, region (the held-out part), seed and split of the rows.

    Returns:
      Rows with :data:`RESULT_COLUMNS`. A metric that is undefined (see ``metrics.summary``) is NaN.
    """
    obs, pred = np.asarray(observed, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    keys = {**key, "property": SOC}
    rows = score_rows(obs, pred if mean is None else mean, unit="%", scale="percent", keys=keys, reasons=reasons)
    logs = summary(log10_percent(obs, floor), log10_percent(pred, floor), reasons=reasons)
    rows += value_rows(logs, unit="log10 %", scale="log10", keys=keys)
    clipped = {"n_clipped": int((pred < floor).sum()), "n_clipped_observed": int((obs < floor).sum())}
    return rows + value_rows(clipped, unit=COUNT, scale="log10", keys=keys)


def mrmse_row(spectrum_rmse: ArrayLike, **key: object) -> dict[str, object]:
    """MRMSE of reconstructed spectra in % reflectance; NaN where one error is not finite (a diverged trial).

    Args:
      spectrum_rmse: (n,) RMSE over bands of each spectrum, reflectance as a fraction.
      key: study, data, model, region, seed and split of the row; its property is :data:`REFLECTANCE`.

    Raises:
      DataError: if the errors are not one number for each spectrum, or one is negative.
    """
    errors = np.asarray(spectrum_rmse, dtype=np.float64)
    if errors.ndim != 1 or errors.size == 0 or (errors < 0).any():
        remedy = "Pass the RMSE over bands of each of one or more spectra, (n,)."
        raise DataError("MRMSE takes one RMSE for each spectrum", value=f"shape {errors.shape}", remedy=remedy)
    value = 100.0 * float(errors.mean()) if np.isfinite(errors).all() else math.nan
    keys = {**key, "property": REFLECTANCE}
    return value_rows({"mrmse": value}, unit="%", scale="reflectance", keys=keys)[0]


def log10_percent(soc: ArrayLike, floor: float = SOC_FLOOR) -> np.ndarray:
    """log10 of SOC in % by mass, with values under ``floor`` raised to it; NaN stays NaN."""
    if not floor > 0.0:
        raise DataError("the floor of the log10 scale must be positive", value=floor, remedy="Pass e.g. 0.01 (%).")
    return np.log10(np.maximum(np.asarray(soc, dtype=np.float64), floor))


def columns_of(own: Sequence[str] = ()) -> tuple[str, ...]:
    """Columns of a results table with a study's own key columns, in order."""
    return (*NAMED, *own, *RESULT_COLUMNS[len(NAMED) :])


def as_frame(rows: Iterable[Mapping[str, object]], own: Sequence[str] = ()) -> pd.DataFrame:
    """Rows of :func:`score_rows` and its kin as a sorted, validated table.

    Values of the study's ``own`` key columns become text.

    Raises:
      DataError: a column that is missing or unknown, a number that is none, or two rows with the same key.
    """
    found = [dict(row) for row in rows]
    frame = pd.DataFrame(found) if found else pd.DataFrame(columns=pd.Index(columns_of(own)))
    return _validated(frame, "results", own)


def over_regions(frame: pd.DataFrame, own: Sequence[str] = (), overlap: float = 0.0) -> pd.DataFrame:
    """Averages over regions, for each seed and over all seeds.

    Args:
      frame: results with :data:`RESULT_COLUMNS` and the columns ``own``.
      own: the study's own key columns.
      overlap: test rows over training rows, where the "regions" are random splits that share rows
        (:func:`jaxsoil.evaluation.compare.standard_error`).

    Returns:
      One row per study, data, model, property, split, own key, scale, metric and seed, where seed is ``"all"`` or the
      number as text: ``mean`` over regions, seeds of a region averaged first; ``se``, its standard error (NaN for one
      region), whose units are the regions and not their trainings, as those of a region share its data; ``regions``
      and ``values`` that entered; ``undefined``, the number of NaN left out. Rows that count something are left out,
      and so are those of :data:`ALL_SEEDS`.
    """
    by = ["study", "data", "model", "property", "split", *own, "scale", "metric", "unit", "seed"]
    rows = frame[(frame["unit"] != COUNT) & (frame["seed"] != ALL_SEEDS)]
    rows = rows.assign(**{name: rows[name].astype(str) for name in [*by, "region"]})
    both = pd.concat([rows.assign(seed="all"), rows], ignore_index=True)
    groups = both.groupby(by)
    # One pass over all groups: a loop of pandas selections takes most of a report's time.
    both = both.assign(group=groups.ngroup(), defined=np.isfinite(both["value"]))
    by_region: Any = both[both["defined"]].groupby(["group", "region"], sort=False)["value"].mean()
    place, region_means = by_region.index.get_level_values("group").to_numpy(), by_region.to_numpy()
    found = pd.Series(groups.size()).index.to_frame(index=False)
    values = np.bincount(both["group"], weights=both["defined"], minlength=len(found)).astype(int)
    means = [region_means[place == number] for number in range(len(found))]
    return found.assign(
        mean=[float(one.mean()) if one.size else math.nan for one in means],
        se=[standard_error(one, overlap) for one in means],
        regions=[one.size for one in means],
        values=values,
        undefined=np.bincount(both["group"], minlength=len(found)) - values,
    ).reindex(columns=[*by, *_AVERAGES])


def write_results(path: str | os.PathLike[str], frame: pd.DataFrame, own: Sequence[str] = ()) -> None:
    """Writes results.csv: sorted, nine significant digits, the same bytes for the same rows in any order."""
    table = _validated(frame, str(path), own)
    table["value"] = [format(value, ".9g") for value in table["value"]]
    write_csv(path, table)


def read_results(path: str | os.PathLike[str], own: Sequence[str] = ()) -> pd.DataFrame:
    """Reads and checks a results file with the study's ``own`` key columns.

    Raises:
      DataError: if the file is missing, empty or cut short, or a column, a number or a key is not what it should be;
        a file of an earlier version, which has no column ``property``, is said to be one.
    """
    where = Path(path)
    if not where.is_file():
        raise DataError("there is no results file", source=where, remedy="Run the study first, or check the folder.")
    # Text first: a region may be called "NA" or "007".
    header, rows = read_csv_text(where)
    if "property" not in header and {"study", "model", "region", "value"} <= set(header):
        problem = "this results file, without the column 'property', was made by an earlier version"
        raise DataError(problem, source=where, remedy="Run the study again with --overwrite.")
    return _validated(pd.DataFrame(rows, columns=pd.Index(header), dtype=str), str(where), own)


def _validated(frame: pd.DataFrame, source: str, own: Sequence[str]) -> pd.DataFrame:
    columns = columns_of(own)
    missing = [name for name in columns if name not in frame.columns]
    extra = [str(name) for name in frame.columns if name not in columns]
    if missing or extra:
        problem = f"wrong columns (missing: {', '.join(missing) or 'none'}; unknown: {', '.join(extra) or 'none'})"
        raise DataError(problem, source=source, remedy=f"A results table has exactly {', '.join(columns)}.")
    keys = [name for name in columns if name not in ("value", "unit")]
    table = frame.loc[:, list(columns)].copy()
    empty = [name for name in columns if name != "value" and bool(table[name].isna().any())]
    if empty:
        raise DataError("a row has no value", source=source, column=empty[0], remedy="Give each row all its keys.")
    for name in columns:
        if name in ("seed", "value"):
            table[name] = numbers(source, name, table[name].tolist(), whole=name == "seed")
        else:
            table[name] = table[name].astype(str)
    repeated = table[table.duplicated(keys)]
    if len(repeated):
        value, remedy = ", ".join(map(str, repeated[keys].iloc[0])), "Score each model, region, seed and split once."
        raise DataError(f"{len(repeated)} rows repeat the key of another", source=source, value=value, remedy=remedy)
    return table.sort_values(keys, kind="stable").reset_index(drop=True)
