"""Tables of the hybrid data set: beside the published numbers, by split, by laboratory, coverage, ranges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.report.run_files import where
from jaxsoil.report.tables import Table, number, pivot_table, rows_table
from jaxsoil.studies.hybrid.report.files import KINDS, METHODS, MODELS, SCHEMES, HybridRun, column
from jaxsoil.studies.hybrid.report.published import NORMAL_RATIO, PUBLISHED, SOURCE, lognormal_sigma, normal_rpiq
from jaxsoil.studies.hybrid.results import FLAGGING, MEASURED, PREDICTED, PRODUCT

CONVENTIONS = "R2 is 1 − SSE/SST; RPIQ is IQR(measured)/RMSE; bias is predicted minus measured; MAE is the mean error."
NAMES = {"n": "n", "r2": "R2", "rmse": "RMSE", "mae": "MAE", "bias": "Bias", "ccc": "CCC", "rpiq": "RPIQ"}
"""Metrics of the tables of scores, in order."""

COUNT = "{:,.0f}"
_FORMATS = {**dict.fromkeys(NAMES, 2), "n": COUNT, "n_outside": COUNT}
_HEADS = {
    "property": "Property", "split": "Split", "harmonisation": "Harmonisation", "model": "Model",
    "region": "Laboratory", "range": "Range", "used": "Used of the held-out part",
}  # fmt: skip


def _pivot(run: HybridRun, frame: pd.DataFrame, index: str, metrics: Mapping[str, str], **more: Any) -> Table:
    """A table of results: ``index`` names the columns of the rows' keys, with spaces; a column for each metric."""
    frame = pd.DataFrame(frame.loc[frame["metric"].isin([*metrics])])
    labels = {"property": run.axis, "split": SCHEMES, "harmonisation": METHODS, "metric": metrics}
    labels["model"] = MODELS | {MEASURED: "Measured", PREDICTED: "Imputed"}
    order = {**labels, "property": run.properties, "region": ["all", *run.laboratories]}
    order = {name: [key for key in keys if (frame[name] == key).any()] for name, keys in order.items()}
    given = {"fmt": _FORMATS, "labels": labels, "order": order, "columns": "metric", **more}
    return pivot_table(frame, {name: _HEADS[name] for name in index.split()}, given.pop("columns"), "value", **given)


def published(run: HybridRun) -> Table | None:
    """The abstract's numbers beside ours under both splits; None where no property is one of the abstract's."""
    lines = []
    for target, p in PUBLISHED.items():
        if target not in run.properties:
            continue
        label, metrics = run.label(target), ("r2", "rmse", "mae", "rpiq")
        printed = tuple(getattr(p, name) for name in metrics)
        lines.append((label, "published, split not stated", p.measured, p.imputed, *printed, p.prediction_sd, p.sd))
        counts = run.count(target, MEASURED), run.count(target, PREDICTED)
        imputed = run.numbers(split=PRODUCT, property=target, model=PREDICTED)["sd"]
        for scheme in ("random", "laboratory"):
            ours = run.numbers(split=scheme, property=target, model="cnn")
            if ours:
                scores = tuple(ours[name] for name in metrics)
                lines.append((label, f"here, {SCHEMES[scheme]}", *counts, *scores, imputed, ours["sd"]))
    columns: dict[Any, Any] = {
        "property": "Property", "source": "Source and split", "measured": ("Measured", COUNT),
        "imputed": ("Imputed", COUNT), "r2": ("R2", 2), "rmse": ("RMSE (g/kg)", 2), "mae": ("MAE (g/kg)", 2),
        "rpiq": ("RPIQ", 2), "prediction_sd": ("SD of predictions (g/kg)", 2), "sd": ("SD of measurements (g/kg)", 1),
    }  # fmt: skip
    twin = ": the twin is synthetic and only its sizes and skew follow the abstract" if run.data["synthetic"] else ""
    notes = (
        f"Published: {SOURCE}. Its SD of measurements is not printed but follows from RMSE / sqrt(1 − R2).",
        f"Ours are on other soils{twin}.",
        CONVENTIONS,
    )
    title = "The published numbers beside ours (network behind the product)."
    frame = pd.DataFrame(lines, columns=pd.Index([*columns]))
    return rows_table(frame, columns, title=title, notes=notes) if lines else None


def skew(run: HybridRun) -> Table:
    """Why a high R2 can go with a low RPIQ: standard deviation and quartiles measure different things."""
    names, printed = ("r2", "rpiq", "sd", "iqr"), {t: p for t, p in PUBLISHED.items() if t in run.properties}
    found = {f"{run.label(t)}, published": {name: getattr(p, name) for name in names} for t, p in printed.items()}
    for target in run.properties:
        ours = run.numbers(split="random", property=target, model="cnn")
        found |= {f"{run.label(target)}, here, random folds": ours} if ours else {}
    lines = []
    for label, one in found.items():
        ratio = one["iqr"] / one["sd"] if one["sd"] > 0 else float("nan")
        laws = {"normal": normal_rpiq(one["r2"]), "lognormal": lognormal_sigma(ratio)}
        lines.append({"property": label, **{name: one[name] for name in names}, "ratio": ratio, **laws})
    columns: dict[Any, Any] = {
        "property": "Property", "r2": ("R2", 2), "rpiq": ("RPIQ", 2), "sd": ("SD", 1), "iqr": ("IQR", 1),
        "ratio": ("IQR / SD", 2), "normal": ("RPIQ of a normal law with this R2", 2),
        "lognormal": ("SD of log values", 2),
    }  # fmt: skip
    notes = (
        f"A normal law has IQR / SD = {NORMAL_RATIO:.2f}. Published SD = RMSE / sqrt(1 − R2) and IQR = RPIQ x RMSE.",
        "Last column: SD of natural logarithms of the log-normal law with this IQR / SD; undefined where the ratio is "
        "that of a normal law or above.",
    )
    title = "R2 compares the error with the SD, RPIQ with the interquartile range."
    return rows_table(pd.DataFrame(lines), columns, title=title, notes=notes)


def skew_text(run: HybridRun) -> str:
    """The sentence that goes with :func:`skew`."""
    p = PUBLISHED["carbon"]
    text = (
        f"An R2 of {p.r2} with an RPIQ of {p.rpiq} is no contradiction but skew. The abstract's RMSE of {p.rmse} g/kg "
        f"and R2 imply an SD of {p.sd:.0f} g/kg, its RPIQ an interquartile range of {p.iqr:.0f} g/kg: few organic "
        f"soils of several hundred g/kg make the SD, and with it R2, while half of the soils lie within "
        f"{p.iqr:.0f} g/kg. Normally distributed carbon with this R2 would have an RPIQ of {normal_rpiq(p.r2):.1f}."
    )
    ours = run.numbers(split="random", property="carbon", model="cnn")
    if not ours:
        return text
    return (
        f"{text} Here the 5 % richest soils hold {100 * ours['richest_variation']:.0f} % of the sum of squares that R2 "
        f"divides by (and {100 * ours['richest_error']:.0f} % of the squared error); without them the same predictions "
        f"have R2 {number(ours['r2_without_richest'], 2)} instead of {number(ours['r2'], 2)}."
    )


def splits(run: HybridRun) -> Table:
    """Scores of all models under the harmonisation of the product, by split."""
    frame = run.rows(split=SCHEMES, model=("plsr", "cnn", "cnn-clipped"))
    notes = (
        "Random folds: by sample, every row predicted by networks that did not see its sample. Held-out rows: a share "
        "of the samples that no fold trains on, predicted by the mean of the folds as the imputed rows are.",
        "Laboratory out: every laboratory in turn, samples that another laboratory also scanned are not scored; one "
        f"network each ({run.settings['laboratory_members']} members) instead of the ensemble.",
        CONVENTIONS,
    )
    title = f"Scores by split; harmonisation: {METHODS[run.method]}."
    return _pivot(run, frame, "property split model", NAMES, title=title, notes=notes)


def harmonisations(run: HybridRun) -> Table:
    """Harmonisations under both splits."""
    frame = run.rows(split=("random", "laboratory"), model=("cnn", "plsr"), harmonisation="")
    exposure = run.data["laboratory_exposure"]
    used = np.where(frame["split"] == "random", "inductive", frame["harmonisation"].map(exposure))
    notes = (
        "Every map is fitted on the rows outside the fold; of a laboratory that is held out it needs the spectra named "
        "here, never a label.",
        "Centring and scaling also takes away what really differs between the soils of two laboratories.",
    )
    names = {name: NAMES[name] for name in ("r2", "rmse", "bias", "rpiq")}
    title = "Harmonisation of the laboratories, compared."
    index = "property split harmonisation model used"
    return _pivot(run, frame.assign(used=used), index, names, title=title, notes=notes)


def laboratories(run: HybridRun) -> Table:
    """The network on each laboratory that is held out."""
    frame = run.rows(split="laboratory", model="cnn", region=run.laboratories)
    title = "Each laboratory held out in turn (network)."
    return _pivot(run, frame, "property region", NAMES, title=title, notes=(CONVENTIONS,))


def coverage(run: HybridRun) -> Table:
    """Coverage of the intervals at the nominal level of the table."""
    found = where(run.tables["coverage"], laboratory="all")
    level, wanted = column(found, "nominal"), float(run.settings["coverage"])
    nearest = level[np.argmin(np.abs(level - wanted))] if level.size else wanted
    frame = where(found, nominal=nearest)
    shares = {name: 100.0 * frame[name] for name in ("coverage", "lowest", "highest")}
    frame = frame.assign(**shares, off=100.0 * (frame["coverage"] - frame["nominal"]))
    columns: dict[Any, Any] = {
        "property": "Property", "kind": "Rows and calibration", "n": ("n", COUNT), "coverage": ("Coverage (%)", 1),
        ("lowest", "highest"): ("95 % range (%)", "{:.1f} to {:.1f}"), "off": ("Off (points)", 1),
        "median_width": ("Median width", 1),
    }  # fmt: skip
    truth = (
        "against the true value of the twin, which has no laboratory error, so that a little more is covered. They are "
        "no random draw where laboratories choose what they measure; the flag says for which rows the interval is not "
        "to be trusted."
    )
    notes = (
        "Out of fold: intervals of each fold are calibrated on the other folds. Held-out rows: cross-fitted intervals, "
        "as in the table, of samples that no fold trained on. The range is Wilson's: how well so many rows can tell.",
        f"Imputed rows: {truth}" if run.data["synthetic"] else "No true value is known of the imputed rows.",
        "Laboratory out: rows of a new laboratory are not exchangeable with those of the calibration; nothing "
        "guarantees these numbers.",
    )
    title = f"Coverage of the {100 * nearest:g} % intervals."
    return rows_table(frame, columns, title=title, labels={"property": run.axis}, notes=notes)


def ranges(run: HybridRun) -> Table:
    """Predictions outside the physical range before clipping, and what the two ways to keep it score."""
    frame = run.rows(split=("random", "laboratory"), model=MODELS)
    frame = frame.assign(range=[_span(run, name) for name in frame["property"]])
    metrics = {"n_outside": "Outside before clipping", "n": "n", "rmse": "RMSE"}
    notes = (
        "Bounded: the network's output passes a link that is linear within the range and cannot leave it (soft floor "
        "and ceiling). Clipped: the same network without the link, its predictions moved to the ends of the range. "
        "The clipped network is a single one: compare it with the bounded one of one network.",
        "Both learn the square root of a content; a content below zero is therefore a negative root.",
    )
    title = "Physical ranges: by construction, and by clipping alone."
    given = {"columns": ("split", "metric"), "heading": "{1}, {0}".format, "missing": "not run"}
    return _pivot(run, frame, "property range model", metrics, **given, title=title, notes=notes)


def _span(run: HybridRun, target: str) -> str:
    known = run.properties[target]
    return f"{known['low']:g} to {known['high']:g} {run.unit(target)}".strip()


def counts(run: HybridRun) -> Table:
    """How many values of each property are measured and imputed, by laboratory."""
    frame = run.rows(split=PRODUCT, model=KINDS, region="")
    metrics = {"n": "number", "n_flagged": "flagged", "median": "median", "sd": "SD"}
    given = {"columns": ("model", "metric"), "heading": "{}: {}".format, "title": "Values by laboratory."}
    formats = {"n": COUNT, "n_flagged": COUNT, "median": 1, "sd": 1}
    return _pivot(run, frame, "property region", metrics, fmt=formats, **given)


def flags(run: HybridRun) -> Table:
    """Flags of all rows by property."""
    names = {
        "n": "Rows", "n_distance": "Beyond distance", "n_residual": "Beyond residual",
        "n_distance and residual": "Beyond both", "n_left_out": "Left out of training",
    }  # fmt: skip
    frame = run.rows(split=PRODUCT, model=FLAGGING, property=[*run.properties])
    title = "Flags of all rows, and measured rows that did not train in some fold."
    return _pivot(run, frame, "property", names, title=title, fmt=dict.fromkeys(names, COUNT))


def trainings(run: HybridRun) -> Table:
    """Convergence of the networks."""
    found = run.tables["networks"].groupby(["property", "model"], sort=False)
    frame = found.agg(
        networks=("model", "size"), converged=("converged", "sum"), alive=("alive", "sum"), first=("epochs", "min"),
        last=("epochs", "max"), fewest=("rows", "min"), most=("rows", "max"),
    ).reset_index()  # fmt: skip
    columns: dict[Any, Any] = {
        "property": "Property", "model": "Model", "networks": ("Networks", COUNT), "converged": ("Converged", COUNT),
        "diverged": ("Diverged", COUNT), ("first", "last"): ("Epochs", "{} to {}"),
        ("fewest", "most"): ("Training rows", "{:,} to {:,}"),
    }  # fmt: skip
    note = (
        "Converged: the mean validation loss of the last fifth of the epochs is less than "
        f"{100 * run.settings['train']['tolerance']:g} % under that of the fifth before (or patience ran out)."
    )
    frame = frame.assign(diverged=frame["networks"] - frame["alive"])
    labels = {"property": run.label, "model": MODELS}
    return rows_table(frame, columns, title="Trainings.", labels=labels, notes=(note,))
