"""The results file of a study: one tidy row for each trial, region, scale and metric.

Scales:

* ``percent``: SOC in % by mass, as measured.
* ``log10``: log10 of SOC in %; values under a stated floor are raised to it first and counted (``n_clipped``
  for the predictions, ``n_clipped_observed`` for the measurements), because the logarithm of a predicted 0
  would otherwise decide the whole metric.
* ``reflectance``: reconstruction error of the spectra, in % reflectance.
"""

from __future__ import annotations

import io
import math
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from jaxsoil.evaluation import metrics
from jaxsoil.runs.errors import DataError
from jaxsoil.runs.files import write_text_atomic

RESULT_COLUMNS = ("study", "data", "model", "region", "seed", "split", "scale", "metric", "value", "unit")
"""Columns of results.csv, in order."""

KEY_COLUMNS = RESULT_COLUMNS[:8]
"""Columns that name a row; no two rows share them."""

SOC_FLOOR = 0.01
"""Smallest SOC, % by mass, that the log10 scale tells apart; a choice, under all values of the field sets."""

COUNT = "count"
"""Unit of the rows that count something (samples, clipped values) and are not averaged over regions."""

FITTED, CONVERGED, NOT_CONVERGED, DIVERGED = "fitted", "converged", "not converged", "diverged"
"""What trials.csv says of a trial; ``fitted`` is a model without iterations (PLSR, forest)."""

_DIMENSIONLESS = "1"
_SAME_UNIT = ("rmse", "bias")


def metric_rows(
    observed: ArrayLike,
    predicted: ArrayLike,
    *,
    study: str,
    data: str,
    model: str,
    region: str,
    seed: int,
    split: str,
    floor: float = SOC_FLOOR,
) -> list[dict[str, object]]:
    """Scores one set of SOC predictions on the scales ``percent`` and ``log10``.

    Args:
      observed: (n,) measured SOC, % by mass.
      predicted: (n,) predicted SOC, % by mass; NaN (a diverged trial) gives NaN metrics.
      study, data, model, region, seed, split: the key of the rows; ``region`` is the held-out part.
      floor: smallest SOC on the log10 scale, % by mass.

    Returns:
      Rows with :data:`RESULT_COLUMNS`. A metric that is undefined (see ``metrics.summary``) is NaN.
    """
    obs, pred = np.asarray(observed, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    key = _key(study, data, model, region, seed, split)
    scores = [("percent", "%", metrics.summary(obs, pred))]
    counts = {
        "n": ("percent", obs.size),
        "n_clipped": ("log10", int((pred < floor).sum())),
        "n_clipped_observed": ("log10", int((obs < floor).sum())),
    }
    scores.append(("log10", "log10 %", metrics.summary(log10_percent(obs, floor), log10_percent(pred, floor))))
    rows = [
        {
            **key,
            "scale": scale,
            "metric": name,
            "value": value,
            "unit": unit if name in _SAME_UNIT else _DIMENSIONLESS,
        }
        for scale, unit, values in scores
        for name, value in values.items()
    ]
    rows += [
        {**key, "scale": scale, "metric": name, "value": float(count), "unit": COUNT}
        for name, (scale, count) in counts.items()
    ]
    return rows


def mrmse_row(
    spectrum_rmse: ArrayLike, *, study: str, data: str, model: str, region: str, seed: int, split: str
) -> dict[str, object]:
    """MRMSE of reconstructed spectra in % reflectance; NaN where one error is not finite (a diverged trial).

    Args:
      spectrum_rmse: (n,) RMSE over bands of each spectrum, reflectance as a fraction
        (``metrics.spectrum_rmse``).
      study, data, model, region, seed, split: the key of the row.

    Raises:
      DataError: if the errors are not one number for each spectrum, or one is negative.
    """
    errors = np.asarray(spectrum_rmse, dtype=np.float64)
    if errors.ndim != 1 or errors.size == 0 or (errors < 0).any():
        raise DataError(
            "MRMSE takes one RMSE for each spectrum",
            value=f"shape {errors.shape}",
            remedy="Pass metrics.spectrum_rmse(observed, reconstructed) of one or more spectra.",
        )
    key = _key(study, data, model, region, seed, split)
    value = 100.0 * float(errors.mean()) if np.isfinite(errors).all() else math.nan
    return {**key, "scale": "reflectance", "metric": "mrmse", "value": value, "unit": "%"}


def log10_percent(soc: ArrayLike, floor: float = SOC_FLOOR) -> np.ndarray:
    """log10 of SOC in % by mass, with values under ``floor`` raised to it; NaN stays NaN."""
    if not floor > 0.0:
        raise DataError("the floor of the log10 scale must be positive", value=floor, remedy="Pass e.g. 0.01 (%).")
    return np.log10(np.maximum(np.asarray(soc, dtype=np.float64), floor))


def as_frame(rows: Iterable[dict[str, object]]) -> pd.DataFrame:
    """Rows of :func:`metric_rows` and :func:`mrmse_row` as a sorted, validated table."""
    frame = pd.DataFrame(list(rows), columns=pd.Index(RESULT_COLUMNS))
    return _validated(frame, "results")


def over_regions(frame: pd.DataFrame) -> pd.DataFrame:
    """Averages over regions, for each seed and over all seeds.

    Args:
      frame: results with :data:`RESULT_COLUMNS`.

    Returns:
      One row per study, data, model, split, scale, metric and seed, where seed is ``"all"`` or the number as
      text: ``mean``; ``se``, the standard error SD/sqrt(n) over the region x seed values as the paper's
      tables print it; ``se_regions``, the standard error over region means (seeds averaged first), whose
      units are independent; ``regions`` and ``values`` that entered; ``undefined``, the number of NaN left
      out. A standard error of a single value is NaN. Rows that count something are left out.
    """
    by = ["study", "data", "model", "split", "scale", "metric", "unit"]
    groups: dict[tuple[str, ...], list[tuple[str, float]]] = defaultdict(list)
    for row in frame.to_dict("records"):
        if row["unit"] != COUNT:
            key = tuple(str(row[name]) for name in by)
            for seed in ("all", str(row["seed"])):
                groups[(*key, seed)].append((str(row["region"]), float(row["value"])))
    rows = [{**dict(zip([*by, "seed"], key, strict=True)), **_average(groups[key])} for key in sorted(groups)]
    return pd.DataFrame(rows, columns=pd.Index([*by, "seed", *_average([])]))


def write_results(path: str | os.PathLike[str], frame: pd.DataFrame) -> None:
    """Writes results.csv: sorted, nine significant digits, the same bytes for the same rows in any order."""
    table = _validated(frame, str(path))
    table["value"] = [format(value, ".9g") for value in table["value"]]
    buffer = io.StringIO()
    table.to_csv(buffer, index=False, lineterminator="\n")
    write_text_atomic(path, buffer.getvalue())


def read_results(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Reads and checks a results file.

    Raises:
      DataError: if the file is missing or empty, or a column, a number or a key is not what it should be.
    """
    where = Path(path)
    if not where.is_file():
        raise DataError("there is no results file", source=where, remedy="Run the study first, or check the folder.")
    try:
        # Text first: pandas would read a region called "NA" as missing and "007" as 7.
        frame = pd.read_csv(where, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DataError(
            "this is not a results table",
            source=where,
            value=str(error),
            remedy="Run the study again with --overwrite.",
        ) from error
    return _validated(frame, str(where))


def _average(values: Sequence[tuple[str, float]]) -> dict[str, float]:
    by_region: dict[str, list[float]] = defaultdict(list)
    for region, value in values:
        if math.isfinite(value):
            by_region[region].append(value)
    defined = np.array([value for region in by_region.values() for value in region], dtype=np.float64)
    region_means = np.array([np.mean(region) for region in by_region.values()], dtype=np.float64)
    return {
        "mean": float(defined.mean()) if defined.size else math.nan,
        "se": standard_error(defined),
        "se_regions": standard_error(region_means),
        "regions": region_means.size,
        "values": defined.size,
        "undefined": len(values) - defined.size,
    }


def standard_error(values: np.ndarray) -> float:
    """SD/sqrt(n) with n - 1 in the SD; NaN for fewer than two values."""
    return float(values.std(ddof=1) / math.sqrt(values.size)) if values.size > 1 else math.nan


def _key(study: str, data: str, model: str, region: str, seed: int, split: str) -> dict[str, object]:
    return {"study": study, "data": data, "model": model, "region": region, "seed": int(seed), "split": split}


def _validated(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    missing = [name for name in RESULT_COLUMNS if name not in frame.columns]
    extra = [str(name) for name in frame.columns if name not in RESULT_COLUMNS]
    if missing or extra:
        raise DataError(
            f"wrong columns (missing: {', '.join(missing) or 'none'}; unknown: {', '.join(extra) or 'none'})",
            source=source,
            remedy=f"A results table has exactly {', '.join(RESULT_COLUMNS)}.",
        )
    table = frame.loc[:, list(RESULT_COLUMNS)].copy()
    table["seed"] = _numbers(table, "seed", source, whole=True)
    table["value"] = _numbers(table, "value", source)
    for name in RESULT_COLUMNS:
        if name not in ("seed", "value"):
            table[name] = table[name].astype(str)
    repeated = table[table.duplicated(list(KEY_COLUMNS))]
    if len(repeated):
        raise DataError(
            f"{len(repeated)} rows repeat the key of another",
            source=source,
            value=", ".join(str(repeated[name].iloc[0]) for name in KEY_COLUMNS),
            remedy="Score each model, region, seed and split once.",
        )
    return table.sort_values(list(KEY_COLUMNS), kind="stable").reset_index(drop=True)


def _numbers(table: pd.DataFrame, column: str, source: str, whole: bool = False) -> list[float] | list[int]:
    numbers = []
    for row, entry in enumerate(table[column].tolist(), start=1):
        try:
            number = float(entry)
            if whole and not number.is_integer():
                raise ValueError
        except (TypeError, ValueError) as error:
            raise DataError(
                f"not a {'whole ' if whole else ''}number in row {row}",
                source=source,
                column=column,
                value=entry,
                remedy="Run the study again, or mend the file.",
            ) from error
        numbers.append(int(number) if whole else number)
    return numbers
