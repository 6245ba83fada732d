"""The result tables: averages over regions (or draws) and seeds, ours and the published ones, and differences."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.evaluation.compare import Interval
from jaxsoil.report import figures
from jaxsoil.report.run_files import where
from jaxsoil.report.tables import UNDEFINED, Table, natural_sorted, number, pivot_table
from jaxsoil.studies.reconstruction.report import published, sections
from jaxsoil.studies.reconstruction.report.reading import MODEL_LABELS, Run, model_label
from jaxsoil.studies.reconstruction.summaries import ALL, MEASURED

DIGITS = {"ccc": 2, "r2": 2, "rpiq": 2, "rmse": 3, "bias": 3, "mrmse": 2, "n": 0}
NAMES = {"ccc": "CCC", "rmse": "RMSE", "bias": "Bias", "r2": "R2", "rpiq": "RPIQ", "mrmse": "MRMSE", "n": "n"}
METRICS = ("ccc", "rmse", "bias", "r2", "rpiq")
"""Metrics of SOC on either scale, in the order of the tables."""

CONVENTIONS = "Bias is predicted minus observed; R2 is 1 − SSE/SST; CCC is Lin's; RPIQ is IQR(observed)/RMSE."


def column(metric: str, unit: str) -> str:
    """Heading of a metric's column; ``unit`` is that of SOC."""
    if metric == "mrmse":
        return "MRMSE (%)"
    return f"{NAMES[metric]} ({unit})" if metric in ("rmse", "bias") else NAMES[metric]


def scaled_column(scale: str, metric: str) -> str:
    """Heading of a metric's column that says on which scale it is."""
    name = column(metric, "log10 %" if scale == "log10" else "%")
    return name if scale != "log10" or "log10" in name else f"{name} (log10)"


def average(
    run: Run, model: str, scale: str, metric: str, split: str = "test", *, part: str = ALL
) -> tuple[float, float]:
    """Mean and standard error over a part of the regions (seeds averaged first), NaN where there is nothing."""
    scale = "reflectance" if metric == "mrmse" else scale
    found = where(run.table("averages"), part=part, model=model, scale=scale, metric=metric, split=split)
    return (float(found["mean"].iloc[0]), float(found["se"].iloc[0])) if len(found) else (math.nan, math.nan)


def averages(run: Run, part: str = ALL, **chosen: str) -> pd.DataFrame:
    """Rows of averages.csv of a part that have the ``chosen`` values, ``doubtful`` where a network did not converge."""
    means = where(run.table("averages"), part=part, **chosen)
    return means.assign(doubtful=[bool(run.untrusted(model)) for model in means["model"]])


def ccc_dots(run: Run) -> list[figures.Dot]:
    """CCC of log10 SOC of each model in each held-out region, one value for each seed."""
    rows: Any = where(run.results, split="test", scale="log10", metric="ccc")
    return [
        figures.Dot(model, run.region_label(region), tuple(values), trusted=not run.untrusted(model, region))
        for (model, region), values in rows.groupby(["model", "region"], sort=False)["value"]
    ]


def undefined_regions(frame: pd.DataFrame, model: str) -> list[str]:
    """Regions where the CCC of log10 SOC of at least one seed is undefined."""
    rows = where(frame, model=model, split="test", scale="log10", metric="ccc")
    return natural_sorted({str(name) for name in rows["region"][~np.isfinite(rows["value"])]})


def interval(run: Run, models: tuple[str, str], scale: str, metric: str, split: str = "test") -> Interval:
    """The difference over regions with its 95 % interval, as the run states it; ``n`` is 0 without a region.

    Of the second model minus the first; between stages, a model and itself. Its centre is the mean, of R2 the
    pseudo-median (:data:`jaxsoil.evaluation.regions.UNBOUNDED`).
    """
    for row in _of_pair(run.table("intervals"), models, scale, metric, split).to_dict("records"):
        return Interval(int(row["n"]), row["centre"], row["low"], row["high"], row["sd"])
    return Interval(0, math.nan, math.nan, math.nan)


def differences(run: Run, models: tuple[str, str], scale: str, metric: str) -> dict[str, tuple[float, ...]]:
    """Differences by held-out region, one for each seed; arguments as of :func:`interval`."""
    rows = _of_pair(run.table("differences"), models, scale, metric, "test")
    found = {str(region): tuple(sorted(values)) for region, values in rows.groupby("region")["difference"]}
    return {region: found[region] for region in natural_sorted(set(found))}


def interval_text(found: Interval, metric: str) -> str:
    """``mean (low to high)`` with the digits of the metric."""
    digits = DIGITS[metric]
    if not found.n:
        return UNDEFINED
    if not math.isfinite(found.low):
        return number(found.mean, digits)
    return f"{number(found.mean, digits)} ({number(found.low, digits)} to {number(found.high, digits)})"


def ranked(run: Run, models: tuple[str, str], scale: str, metric: str) -> tuple[str, str, str]:
    """In how many regions the mean difference is for the better ("3 of 4", empty where there is none), and p of the
    signed-rank and of the sign test over regions; as of :func:`interval`."""
    for row in _of_pair(run.table("intervals"), models, scale, metric, "test").to_dict("records"):
        return f"{row['better']} of {row['n']}", number(row["p_rank"], 3), number(row["p_sign"], 3)
    return "", UNDEFINED, UNDEFINED


def _of_pair(frame: pd.DataFrame, models: tuple[str, str], scale: str, metric: str, split: str) -> pd.DataFrame:
    return where(frame, first=models[0], second=models[1], scale=scale, metric=metric, split=split)


def mean_tables(run: Run, common: str, part: str = MEASURED) -> list[Table]:
    """The two tables of means, on the log10 scale and in %; ``common`` says what the means are over, ``part`` names
    it."""
    frame, notes = run.results, sections.dagger_notes(run, run.models)
    frame = pd.DataFrame(frame[frame["region"].isin(run.measured)])
    gaps = {model: undefined_regions(frame, model) for model in run.models}
    left_out = [f"{model_label(model)} {', '.join(names)}" for model, names in gaps.items() if names]
    reasons = tuple(sections.undefined_notes(run))
    if left_out:
        reasons = (f"Regions whose CCC of a seed is undefined and not in the mean: {'; '.join(left_out)}.", *reasons)
    tables, means = [], averages(run, part, split="test")
    if not run.overlap:
        # A standard error over regions would be that of the region whose SOC varies least.
        means["se"] = means["se"].where(means["metric"] != "r2")
        reasons = (*sections.PROSE.notes("unbounded_r2"), *reasons)
    for scale, unit, metrics, title, extra in (
        ("log10", "log10 %", METRICS, "SOC on the log10 scale. ", sections.clipped_note(run)),
        (
            "percent",
            "%",
            (*METRICS, "mrmse"),
            "SOC in % by mass; MRMSE in % reflectance. ",
            sections.unbounded_note(run),
        ),
    ):
        heads = {name: column(name, unit) for name in metrics} | {"median": "R2, median"}
        # One region whose SOC hardly varies can decide the mean of R2.
        medians = where(means, scale=scale, metric="r2")
        medians = medians.assign(metric="median", mean=medians["median"], se=np.nan)
        lines = means[means["scale"].isin((scale, "reflectance")) & means["metric"].isin(metrics)]
        tables.append(
            pivot_table(
                pd.concat([pd.DataFrame(lines), medians]),
                "model",
                "metric",
                ("mean", "se"),
                title=title + common,
                fmt=DIGITS | {"median": 2},
                order={"model": run.models, "metric": heads},
                labels={"model": model_label, "metric": heads},
                marks={"model": "doubtful"},
                missing=UNDEFINED,
                notes=(CONVENTIONS, *notes, *extra, *reasons),
            )
        )
    return tables


def paper_lines(table: int, block: str | None = None, /, **columns: str) -> pd.DataFrame:
    """The lines of a published table (1, 2 or 3), or of one of its blocks, for :func:`beside_table`; ``columns`` name
    the rows, with their value, beside ``source``, which is "paper"."""
    return published.rows(table, block).assign(**{"doubtful": False, "source": "paper", **columns})


def our_lines(run: Run, part: str = ALL, *, known: bool = False, **columns: str) -> pd.DataFrame:
    """The same of a part of the regions of a run, SOC in %; ``known`` leaves out models that the paper does not have,
    and ``source`` is "here" if it is not given."""
    means = averages(run, part)
    shown = means["scale"].isin(("percent", "reflectance")) & means["metric"].isin(published.METRICS)
    models = published.MODELS if known else run.models
    return pd.DataFrame(means[shown & means["model"].isin(models)]).assign(**{"source": "here", **columns})


def beside_table(
    lines: Iterable[pd.DataFrame], index: Mapping[str, str], *, title: str, notes: Iterable[str], **options: Any
) -> Table:
    """The published numbers beside ours: RMSE, R2, bias and MRMSE of training and held-out rows with standard errors.

    Args:
      lines: of :func:`paper_lines` and :func:`our_lines`, in the order of the rows of one model.
      index: columns that name a row, with their headings; "model" among them.
      options: ``order``, ``labels`` or ``heading`` of :func:`pivot_table`, beyond those of models and metrics.
    """
    frame = pd.concat(list(lines), ignore_index=True)
    models = [*published.MODELS, *MODEL_LABELS, *natural_sorted(set(frame["model"]))]
    order = {"split": ("train", "test"), "metric": published.METRICS, "model": models}
    labels = {"model": lambda model: published.MODELS.get(model, model_label(model))}
    labels |= {"metric": lambda metric: column(metric, "%"), "split": {"test": "held out"}}
    return pivot_table(
        frame,
        index,
        ["split", "metric"],
        ("mean", "se"),
        title=title,
        order=order | options.pop("order", {}),
        labels=labels | options.pop("labels", {}),
        heading=options.pop("heading", lambda split, metric: f"{metric}, {split}"),
        marks={"model": "doubtful"},
        missing=UNDEFINED,
        notes=notes,
        **options,
    )


def region_table(
    run: Run,
    model: str,
    lines: pd.DataFrame,
    heads: Mapping[tuple[str, ...], str],
    *,
    title: str,
    notes: Iterable[str],
    left: Sequence[int] = (0,),
) -> Table:
    """Scores of a model by region, seeds averaged.

    Args:
      lines: rows of region_averages.csv with a column ``head``, which holds a key of ``heads``; a value may also be a
        text.
      heads: column of the table -> heading; the last word of a key that is a metric sets the digits.
    """
    doubtful = {trial.region for trial in run.untrusted(model)}
    mine = where(lines, model=model)
    return pivot_table(
        pd.DataFrame(mine[[head in heads for head in mine["head"]]]).assign(
            doubtful=lambda frame: frame["region"].isin(doubtful)
        ),
        "region",
        "head",
        "value",
        title=title,
        fmt={head: DIGITS.get(head[1], 3) for head in heads if len(head) > 1},
        combine=lambda found: ", ".join(sorted(set(found))) if isinstance(found[0], str) else found[0],
        order={"region": run.regions, "head": heads},
        labels={"head": heads, "region": run.region_label},
        marks={"region": "doubtful"},
        missing=UNDEFINED,
        notes=notes,
        left=left,
    )
