"""Cells of the result tables: averages over regions (or draws) and seeds, ours and the published ones."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from jaxsoil.evaluation.results import over_regions
from jaxsoil.report.files import where
from jaxsoil.report.tables import UNDEFINED, Table, natural_sorted, number, plus_minus
from jaxsoil.studies.reconstruction.report import published, sections
from jaxsoil.studies.reconstruction.report.reading import Run, model_label

DIGITS = {"ccc": 2, "r2": 2, "rpiq": 2, "rmse": 3, "bias": 3, "mrmse": 2}
NAMES = {"ccc": "CCC", "rmse": "RMSE", "bias": "Bias", "r2": "R2", "rpiq": "RPIQ", "mrmse": "MRMSE"}

CONVENTIONS = "Bias is predicted minus observed; R2 is 1 − SSE/SST; CCC is Lin's; RPIQ is IQR(observed)/RMSE."


def column(metric: str, unit: str) -> str:
    """Heading of a metric's column; ``unit`` is that of SOC."""
    if metric == "mrmse":
        return "MRMSE (%)"
    return f"{NAMES[metric]} ({unit})" if metric in ("rmse", "bias") else NAMES[metric]


def average(frame: pd.DataFrame, model: str, scale: str, metric: str, split: str = "test") -> tuple[float, float]:
    """Mean and standard error over regions and seeds of a results table, NaN where there is nothing."""
    scale = "reflectance" if metric == "mrmse" else scale
    chosen = where(frame, model=model, scale=scale, metric=metric, split=split)
    for row in over_regions(chosen).to_dict("records"):
        if row["seed"] == "all":
            return float(row["mean"]), float(row["se"])
    return math.nan, math.nan


def average_text(frame: pd.DataFrame, model: str, scale: str, metric: str) -> str:
    """``mean ± standard error`` of the held-out rows."""
    return plus_minus(*average(frame, model, scale, metric), DIGITS[metric])


def median_r2(frame: pd.DataFrame, model: str, scale: str) -> float:
    """Median of R2 over regions and seeds: one region whose SOC hardly varies can decide the mean."""
    rows = where(frame, model=model, split="test", scale=scale, metric="r2").to_dict("records")
    values = [float(row["value"]) for row in rows if math.isfinite(row["value"])]
    return float(np.median(values)) if values else math.nan


def undefined_regions(frame: pd.DataFrame, model: str) -> list[str]:
    """Regions where the CCC of log10 SOC of at least one seed is undefined."""
    rows = where(frame, model=model, split="test", scale="log10", metric="ccc").to_dict("records")
    return natural_sorted({str(row["region"]) for row in rows if not math.isfinite(row["value"])})


def mean_tables(run: Run, common: str) -> list[Table]:
    """The two tables of means, on the log10 scale and in %.

    Args:
      run: the run.
      common: what the means are over.
    """
    frame, notes = run.results, sections.dagger_notes(run, run.models)
    gaps = {model: undefined_regions(frame, model) for model in run.models}
    left_out = [f"{model_label(model)} {', '.join(names)}" for model, names in gaps.items() if names]
    reasons = tuple(sections.undefined_notes(run))
    if left_out:
        reasons = (f"Regions whose CCC of a seed is undefined and not in the mean: {'; '.join(left_out)}.", *reasons)
    tables = []
    for scale, unit, columns, extra in (
        ("log10", "log10 %", ("ccc", "rmse", "bias", "r2", "rpiq"), sections.clipped_note(run)),
        ("percent", "%", ("ccc", "rmse", "bias", "r2", "rpiq", "mrmse"), sections.unbounded_note(run)),
    ):
        rows = tuple(
            (
                sections.marked(model_label(model), run, model),
                *(average_text(frame, model, scale, c) for c in columns),
                number(median_r2(frame, model, scale), 2),
            )
            for model in run.models
        )
        title = "SOC on the log10 scale. " if scale == "log10" else "SOC in % by mass; MRMSE in % reflectance. "
        header = ("Model", *(column(name, unit) for name in columns), "R2, median")
        tables.append(Table(title + common, header, rows, (CONVENTIONS, *notes, *extra, *reasons)))
    return tables


def published_header(held_out: str) -> list[str]:
    """Headings of :func:`printed` and :func:`ours`."""
    return [f"{column(m, '%')}, {part}" for part in ("train", held_out) for m in published.METRICS]


def printed(row: published.PublishedRow) -> list[str]:
    """Cells of a published line: training, then validation."""
    return [
        plus_minus(values[name].mean, values[name].se, 3) if name in values else UNDEFINED
        for values in (row.train, row.test)
        for name in published.METRICS
    ]


def ours(frame: pd.DataFrame, model: str) -> list[str]:
    """Our cells for the same columns."""
    return [
        plus_minus(*average(frame, model, "percent", metric, split), 3)
        for split in ("train", "test")
        for metric in published.METRICS
    ]
