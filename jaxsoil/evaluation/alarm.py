"""Does the reconstruction error, which needs no label, flag that a model fails?

Three alarms are compared: the reconstruction error of the spectrum, the distance in the latent space and the
predicted SOC itself. Failure is stated by region (R2 below zero; RMSE above most training regions') and by sample
(error above a multiple of the training error). Scores are relative to the mean of the trial's training rows and
thresholds come from its training rows, so that nothing of the held-out region but its spectra raises an alarm.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from jaxsoil.evaluation import metrics
from jaxsoil.evaluation.applicability import critical_limit, reconstruction_limit
from jaxsoil.evaluation.results import log10_percent
from jaxsoil.evaluation.roc import REPLICATES, auroc_over_regions, rank_test, roc_curve
from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError

ALARMS = ("spectrum_rmse", "latent_distance", "predicted")
"""Alarms by their column of samples.parquet."""

REGION_FAILURES = ("fail_r2", "fail_rmse", "fail_rmse_log10")
SAMPLE_FAILURES = ("fail_percent", "fail_log10")

SAMPLE_MULTIPLE = 2.0
"""A sample fails where its error exceeds this multiple of the RMSE of the training rows."""

REGION_PERCENTILE = 90.0
"""A region fails where its RMSE exceeds this percentile of the training regions' RMSE."""

THRESHOLD_PERCENTILE = 95.0
"""The threshold of an alarm is this percentile of the scores of the training rows, or of the training regions."""

SAMPLE_COLUMNS = ("model", "region", "seed", "split", "id", "row_region", "observed", "predicted")
"""Columns that the alarms need beside :data:`ALARMS`."""

AREA_COLUMNS = (
    "model", "failure", "alarm", "auroc", "low", "high", "failures", "units", "reason", "p", "least_p",
    "failing_regions", "other_regions", "replicates", "seed",
)  # fmt: skip
"""Columns of :func:`area_rows`."""

OUTCOME_COLUMNS = (
    "model", "failure", "alarm", "rule", "flagged", "caught", "false", "rmse", "rmse_accepted", "units", "failures",
)  # fmt: skip
"""Columns of :func:`outcome_rows`."""

CURVE_COLUMNS = ("model", "failure", "alarm", "false_alarms", "caught")
"""Columns of :func:`curve_rows`."""

_TRIAL = ["model", "region", "seed"]
_RULES = ("percentile", "chi_square", "other_regions")


@dataclass(frozen=True, eq=False)
class AlarmTables:
    """Scores, thresholds and failures of a study.

    Attributes:
      regions: a row for each trial: model, region, seed, n, r2, rmse, rmse_limit (SOC in %), and for each alarm
        ``score_`` (mean over the held-out rows) and ``limit_`` (from the training regions' means), both over the
        mean of the training rows; ``fail_r2``, ``fail_rmse`` and ``fail_rmse_log10`` as 1, 0 or NaN where undefined.
      samples: a row for each held-out sample: model, region, seed, id, error (predicted - observed, %),
        ``score_``, ``percentile_``, ``chi_square_`` and ``other_regions_`` (thresholds) of each alarm, ``fail_percent``
        and ``fail_log10``.
      left_out: what could not be used, and why.
    """

    regions: pd.DataFrame
    samples: pd.DataFrame
    left_out: tuple[str, ...]

    @property
    def models(self) -> list[str]:
        """Models in the order of their first trial."""
        return list(dict.fromkeys(self.regions["model"].tolist()))


def alarm_tables(samples: pd.DataFrame) -> AlarmTables:
    """Scores the held-out rows of each trial and says which of them, and which regions, failed.

    Args:
      samples: rows of samples.parquet, training and test, of one study.

    Raises:
      DataError: if a column is missing, or a trial has no training or no test rows.
    """
    require.columns(samples, (*SAMPLE_COLUMNS, *ALARMS), "samples")
    numbers = {name: _numbers(samples, name) for name in ("observed", "predicted", *ALARMS)}
    # Codes, not text: at the paper's size there are millions of rows.
    table = pd.DataFrame({"id": np.asarray(samples["id"]), "where": pd.factorize(samples["row_region"])[0], **numbers})
    logs = log10_percent(table["predicted"]) - log10_percent(table["observed"])
    table = table.assign(error=table["predicted"] - table["observed"], log_error=logs)
    parts = [np.asarray(samples["split"] == name) for name in ("train", "test")]
    regions, rows, left_out = [], [], []
    for key, places in samples.groupby(_TRIAL, sort=False).indices.items():
        model, region, seed = key  # type: ignore[misc]
        train, test = (table.take(places[part[places]]) for part in parts)
        if not len(train) or not len(test):
            problem, value = "a trial has no training rows or no test rows", f"{model}, {region}, seed {seed}"
            remedy = "Write both parts of every trial, or leave the trial out."
            raise DataError(problem, source="samples", value=f"{value}: {len(train)} and {len(test)}", remedy=remedy)
        if not np.isfinite(pd.concat([train["predicted"], test["predicted"]])).all():
            left_out.append(f"{model}, region {region}, seed {seed}: diverged")
            continue
        named = {"model": str(model), "region": str(region), "seed": int(seed)}
        regions.append(named | _region_row(train, test))
        rows.append(_sample_rows(train, test).assign(**named))
    columns = [f"{what}_{alarm}" for alarm in ALARMS for what in ("score", "limit")]
    columns = [*_TRIAL, "n", "r2", "rmse", "rmse_limit", *REGION_FAILURES, *columns]
    own = [f"{what}_{alarm}" for alarm in ALARMS for what in ("score", *_RULES)]
    own = [*_TRIAL, "id", "error", *SAMPLE_FAILURES, *own]
    frame = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=pd.Index(own))
    _limits_of_other_regions(frame)
    return AlarmTables(pd.DataFrame(regions, columns=pd.Index(columns)), pd.DataFrame(frame[own]), tuple(left_out))


def area_rows(tables: AlarmTables, *, replicates: int = REPLICATES, seed: int = 0) -> pd.DataFrame:
    """How well each alarm ranks each failure; an alarm that the model does not have (no decoder) is left out.

    Args:
      tables: of :func:`alarm_tables`.
      replicates, seed: of the bootstrap over regions behind each interval.

    Returns:
      For each model, failure and alarm a row with :data:`AREA_COLUMNS`: ``auroc`` with the ends ``low`` and ``high``
      of its interval, numbers of ``failures`` and ``units``, the ``reason`` why area or interval is undefined; ``p`` of
      the exact test over regions, ``least_p`` that so many regions can give, and numbers of ``failing_regions`` and
      ``other_regions`` (NaN for failures by sample, and where regions are of one kind); ``replicates`` and ``seed``.
    """
    rows = []
    for key, units in _ranked(tables):
        area = auroc_over_regions(*units, replicates=replicates, seed=seed)
        test = rank_test(*units) if key[1] in REGION_FAILURES else None
        tested = (math.nan,) * 4 if test is None else astuple(test)
        rows.append((*key, *astuple(area), *tested, replicates, seed))
    return pd.DataFrame(rows, columns=pd.Index(AREA_COLUMNS))


def curve_rows(tables: AlarmTables, *, points: int = 400) -> pd.DataFrame:
    """ROC curves of the areas that are defined: rows ``model, failure, alarm, false_alarms, caught`` along each curve.

    ``points``: corners of a curve that are kept at most, evenly spaced; more cannot be told apart in print.
    """
    frames = []
    for key, (failed, score, _) in _ranked(tables):
        if failed.any() and not failed.all():
            corners = np.stack(roc_curve(failed, score), axis=1)
            places = np.unique(np.linspace(0, len(corners) - 1, min(points, len(corners))).round().astype(int))
            frame = pd.DataFrame(corners[places], columns=pd.Index(CURVE_COLUMNS[3:]))
            frames.append(frame.assign(**dict(zip(CURVE_COLUMNS, key, strict=False))))
    rows = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    return rows.reindex(columns=list(CURVE_COLUMNS))


def outcome_rows(tables: AlarmTables) -> pd.DataFrame:
    """What flagging samples and whole regions costs and saves, for each model, failure, alarm and rule.

    Rules for samples: "percentile" and "chi_square" from the training rows of the trial, "other_regions" from the rows
    of the other regions when those were held out. The rule of regions is "training_regions"; their units are trials
    (region and seed).

    Returns:
      Rows with :data:`OUTCOME_COLUMNS`: shares of the units that are ``flagged``, of the failures that are ``caught``
      and of the successes that are flagged (``false``), between 0 and 1; ``rmse`` and ``rmse_accepted``, of SOC of all
      units and of those not flagged, in % by mass (NaN by region); numbers of ``units`` and ``failures``. NaN where
      there is nothing to count. A rule without a limit has no row.
    """
    rows = []
    for failures, frame, rules in (
        (SAMPLE_FAILURES, tables.samples, dict(zip(_RULES, _RULES, strict=True))),
        (REGION_FAILURES, tables.regions, {"training_regions": "limit"}),
    ):
        for failure, model in itertools.product(failures, tables.models):
            mine = _of_model(frame, model)
            failed, error = _numbers(mine, failure), _numbers(mine, "error") if "error" in mine else None
            for alarm, (rule, limits) in itertools.product(ALARMS, rules.items()):
                score, limit = _numbers(mine, f"score_{alarm}"), _numbers(mine, f"{limits}_{alarm}")
                known = np.isfinite(score) & np.isfinite(limit) & np.isfinite(failed)
                if known.any():
                    off = None if error is None else error[known]
                    found = _outcome((score > limit)[known], failed[known] > 0, off)
                    rows.append((model, failure, alarm, rule, *found))
    return pd.DataFrame(rows, columns=pd.Index(OUTCOME_COLUMNS))


def _ranked(tables: AlarmTables) -> Iterator[tuple[tuple[str, str, str], tuple[np.ndarray, np.ndarray, np.ndarray]]]:
    """Failures, scores and regions of the units where both are known, by model, failure and alarm."""
    for failure in (*REGION_FAILURES, *SAMPLE_FAILURES):
        frame = tables.regions if failure in REGION_FAILURES else tables.samples
        for model in tables.models:
            mine = _of_model(frame, model)
            for alarm in ALARMS:
                score = _numbers(mine, f"score_{alarm}")
                if not np.isfinite(score).any():
                    continue
                failed = _numbers(mine, failure)
                known = np.isfinite(failed) & np.isfinite(score)
                where = np.asarray(mine["region"]).astype(str)[known]
                yield (model, failure, alarm), (failed[known] > 0, score[known], where)


def _region_row(train: pd.DataFrame, test: pd.DataFrame) -> dict[str, float]:
    by_region = train.groupby("where")
    limit, log_limit = (
        float(np.percentile(by_region[name].agg(_root_mean), REGION_PERCENTILE)) for name in ("error", "log_error")
    )
    row = {"n": float(len(test)), "rmse": _root_mean(test["error"]), "rmse_limit": limit}
    row["r2"] = metrics.summary(test["observed"], test["predicted"])["r2"]
    row["fail_r2"] = float(row["r2"] < 0.0) if math.isfinite(row["r2"]) else math.nan
    row["fail_rmse"] = float(row["rmse"] > limit)
    row["fail_rmse_log10"] = float(_root_mean(test["log_error"]) > log_limit)
    for alarm in ALARMS:
        unit, means = _unit(_numbers(train, alarm)), by_region[alarm].agg(lambda values: values.to_numpy().mean())
        row[f"score_{alarm}"] = float(_numbers(test, alarm).mean()) / unit
        row[f"limit_{alarm}"] = float(np.percentile(means, THRESHOLD_PERCENTILE)) / unit
    return row


def _sample_rows(train: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    columns: dict[str, Any] = {"id": test["id"], "error": test["error"]}
    for failure, name in zip(SAMPLE_FAILURES, ("error", "log_error"), strict=True):
        columns[failure] = (np.abs(test[name]) > SAMPLE_MULTIPLE * _root_mean(train[name])).astype(float)
    for alarm in ALARMS:
        values = _numbers(train, alarm)
        unit = _unit(values)
        columns[f"score_{alarm}"] = test[alarm] / unit
        columns[f"percentile_{alarm}"] = float(np.percentile(values, THRESHOLD_PERCENTILE)) / unit
        columns[f"chi_square_{alarm}"] = _chi_square_limit(alarm, values) / unit
    return pd.DataFrame(columns)


def _root_mean(errors: ArrayLike) -> float:
    return float(np.sqrt(np.mean(np.square(np.asarray(errors, np.float64)))))


def _chi_square_limit(alarm: str, values: np.ndarray) -> float:
    if alarm == "predicted":
        return math.nan
    try:
        return (reconstruction_limit if alarm == "spectrum_rmse" else critical_limit)(values).value
    except DataError:
        return math.nan


def _limits_of_other_regions(samples: pd.DataFrame) -> None:
    """Adds thresholds from the scores of the other regions when they were held out, NaN for a single region."""
    regions = np.asarray(samples["region"]).astype(str)
    for alarm in ALARMS:
        limits = np.full(len(samples), np.nan)
        for places in samples.groupby(["model", "seed"]).indices.values():
            region = regions[places]
            score = _numbers(samples, f"score_{alarm}")[places]
            for name in np.unique(region):
                others = score[region != name]
                if others.size:
                    limits[places[region == name]] = np.percentile(others, THRESHOLD_PERCENTILE)
        samples[f"other_regions_{alarm}"] = limits


def _outcome(flagged: np.ndarray, failed: np.ndarray, error: np.ndarray | None) -> tuple[float | int, ...]:
    def share(chosen: np.ndarray) -> float:
        return float(chosen.mean()) if chosen.size else math.nan

    all_rows = math.nan if error is None else _root_mean(error)
    accepted = math.nan if error is None or flagged.all() else _root_mean(error[~flagged])
    counts = (int(failed.size), int(failed.sum()))
    return (share(flagged), share(flagged[failed]), share(flagged[~failed]), all_rows, accepted, *counts)


def _of_model(frame: pd.DataFrame, model: str) -> pd.DataFrame:
    return pd.DataFrame(frame[frame["model"] == model])


def _numbers(frame: pd.DataFrame, column: str) -> np.ndarray:
    return np.asarray(frame[column], dtype=np.float64)


def _unit(train_scores: np.ndarray) -> float:
    """Mean of the training rows, by which scores are divided; NaN where that says nothing."""
    mean = float(train_scores.mean())
    return mean if mean > 0.0 else math.nan
