"""Tables of the hybrid data set: beside the published numbers, by split, by laboratory, coverage, ranges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.evaluation.compare import mean_sd
from jaxsoil.report.files import where
from jaxsoil.report.tables import UNDEFINED, Table, number
from jaxsoil.studies.hybrid.report.files import LABELS, METHODS, MODELS, SCHEMES, HybridRun, column
from jaxsoil.studies.hybrid.report.published import NORMAL_RATIO, PUBLISHED, SOURCE, lognormal_sigma, normal_rpiq

CONVENTIONS = "R2 is 1 − SSE/SST; RPIQ is IQR(measured)/RMSE; bias is predicted minus measured; MAE is the mean error."


def published(run: HybridRun) -> Table | None:
    """The abstract's numbers beside ours under both splits; None where no property is one of the abstract's."""
    targets = [name for name in run.properties if name in PUBLISHED]
    if not targets:
        return None
    rows = []
    for target in targets:
        p, label = PUBLISHED[target], LABELS[target]
        counts = (f"{p.measured:,}", f"{p.imputed:,}")
        shown = (number(p.r2, 2), number(p.rmse, 2), number(p.mae, 2), number(p.rpiq, 2), number(p.prediction_sd, 2))
        rows.append((label, "published, split not stated", *counts, *shown, number(p.sd, 1)))
        known = run.properties[target]
        ours = (f"{known['measured']:,}", f"{known['predicted']:,}")
        imputed = column(where(run.table, property=target, kind="predicted"), "value")
        for scheme in ("random", "laboratory"):
            found = _score(run, scheme, target, run.method, "cnn")
            if found is not None:
                scores = [number(float(found[name]), 2) for name in ("r2", "rmse", "mae", "rpiq")]
                sd = number(mean_sd(imputed).sd, 2)
                rows.append((label, f"here, {SCHEMES[scheme]}", *ours, *scores, sd, number(float(found["sd"]), 1)))
    header = (
        "Property",
        "Source and split",
        "Measured",
        "Imputed",
        "R2",
        "RMSE (g/kg)",
        "MAE (g/kg)",
        "RPIQ",
        "SD of predictions (g/kg)",
        "SD of measurements (g/kg)",
    )
    notes = (
        f"Published: {SOURCE}. Its SD of measurements is not printed but follows from RMSE / sqrt(1 − R2).",
        "Ours are on other soils: the twin is synthetic and only its sizes and skew follow the abstract."
        if run.data["synthetic"]
        else "Ours are on other soils.",
        CONVENTIONS,
    )
    return Table("The published numbers beside ours (network behind the product).", header, tuple(rows), notes, (0, 1))


def skew(run: HybridRun) -> Table:
    """Why a high R2 can go with a low RPIQ: standard deviation and quartiles measure different things."""
    rows = []
    for target, p in PUBLISHED.items():
        if target in run.properties:
            rows.append(_skew_row(f"{LABELS[target]}, published", p.r2, p.rmse, p.rpiq, p.sd, p.iqr))
    for target in run.properties:
        found = _score(run, "random", target, run.method, "cnn")
        if found is not None:
            values = (float(found[name]) for name in ("r2", "rmse", "rpiq", "sd", "iqr"))
            rows.append(_skew_row(f"{LABELS.get(target, target)}, here, random folds", *values))
    header = (
        "Property",
        "R2",
        "RPIQ",
        "SD",
        "IQR",
        "IQR / SD",
        "RPIQ of a normal law with this R2",
        "SD of log values",
    )
    notes = (
        f"A normal law has IQR / SD = {NORMAL_RATIO:.2f}. Published SD = RMSE / sqrt(1 − R2) and IQR = RPIQ x RMSE.",
        "Last column: spread of natural logarithms of the log-normal law with this IQR / SD; undefined "
        "where the ratio is that of a normal law or above.",
    )
    return Table("R2 compares the error with the SD, RPIQ with the interquartile range.", header, tuple(rows), notes)


def _skew_row(label: str, r2: float, rmse: float, rpiq: float, sd: float, iqr: float) -> tuple[str, ...]:
    del rmse
    ratio = iqr / sd if sd > 0 else float("nan")
    texts = [number(v, d) for v, d in ((r2, 2), (rpiq, 2), (sd, 1), (iqr, 1), (ratio, 2))]
    # The normal law needs an R2 below 1 that is not negative to be worth comparing.
    return (label, *texts, number(normal_rpiq(r2), 2), number(lognormal_sigma(ratio), 2))


def skew_text(run: HybridRun) -> str:
    """The sentence that goes with :func:`skew`."""
    p = PUBLISHED["carbon"]
    text = (
        f"An R2 of {p.r2} with an RPIQ of {p.rpiq} is no contradiction but skew. The abstract's RMSE of {p.rmse} g/kg "
        f"and R2 imply an SD of {p.sd:.0f} g/kg, its RPIQ an interquartile range of {p.iqr:.0f} g/kg: few organic "
        f"soils of several hundred g/kg make the SD, and with it R2, while half of the soils lie within "
        f"{p.iqr:.0f} g/kg. Normally distributed carbon with this R2 would have an RPIQ of {p.normal_rpiq:.1f}."
    )
    if "carbon" not in run.properties:
        return text
    found = _score(run, "random", "carbon", run.method, "cnn")
    if found is None:
        return text
    rows = where(run.predictions, scheme="random", property="carbon", harmonisation=run.method, model="cnn")
    y, error = column(rows, "observed"), (column(rows, "observed") - column(rows, "predicted")) ** 2
    top = y >= np.percentile(y, 95)
    share = 100.0 * np.sum((y[top] - y.mean()) ** 2) / np.sum((y - y.mean()) ** 2)
    low = ~top
    inner = 1.0 - error[low].sum() / np.sum((y[low] - y[low].mean()) ** 2)
    return (
        f"{text} Here the 5 % richest soils hold {share:.0f} % of the sum of squares that R2 divides by "
        f"(and {100 * error[top].sum() / error.sum():.0f} % of the squared error); without them the same predictions "
        f"have R2 {inner:.2f} instead of {float(found['r2']):.2f}."
    )


def splits(run: HybridRun) -> Table:
    """Scores of all models under the harmonisation of the product, by split."""
    rows = []
    for target in run.properties:
        for scheme in ("random", "held-out rows", "laboratory"):
            for model, label in MODELS.items():
                found = _score(run, scheme, target, run.method, model)
                if found is not None:
                    rows.append((run.axis(target), SCHEMES[scheme], label, *_cells(found)))
    notes = (
        "Random folds: by sample, every row predicted by networks that did not see its sample. Held-out rows: a share "
        "of the samples that no fold trains on, predicted by the mean of the folds as the imputed rows are.",
        "Laboratory out: every laboratory in turn, samples that another laboratory also scanned are not scored; one "
        f"network each ({run.config['config']['laboratory_members']} members) instead of the ensemble.",
        CONVENTIONS,
    )
    header = ("Property", "Split", "Model", "n", "R2", "RMSE", "MAE", "Bias", "CCC", "RPIQ")
    return Table(f"Scores by split; harmonisation: {METHODS[run.method]}.", header, tuple(rows), notes, (0, 1, 2))


def harmonisations(run: HybridRun) -> Table:
    """Harmonisations under both splits."""
    rows = []
    for target in run.properties:
        for scheme in ("random", "laboratory"):
            for method in run.data["methods"]:
                for model in ("cnn", "plsr"):
                    found = _score(run, scheme, target, method, model)
                    if found is not None:
                        used = str(found["exposure"])
                        cells = [number(float(found[name]), 2) for name in ("r2", "rmse", "bias", "rpiq")]
                        rows.append((run.axis(target), SCHEMES[scheme], METHODS[method], MODELS[model], *cells, used))
    header = ("Property", "Split", "Harmonisation", "Model", "R2", "RMSE", "Bias", "RPIQ", "Used of the held-out part")
    notes = (
        "Every map is fitted on the rows outside the fold; of a laboratory that is held out it needs the spectra named "
        "in the last column, never a label.",
        "Centring and scaling also takes away what really differs between the soils of two laboratories.",
    )
    return Table("Harmonisation of the laboratories, compared.", header, tuple(rows), notes, (0, 1, 2, 3, 8))


def laboratories(run: HybridRun) -> Table:
    """The network on each laboratory that is held out."""
    rows = []
    for target in run.properties:
        found = where(run.scores, scheme="laboratory", property=target, harmonisation=run.method, model="cnn")
        for name in run.laboratories:
            one = where(found, laboratory=name)
            if len(one):
                rows.append((run.axis(target), name, *_cells(one.iloc[0])))
    header = ("Property", "Held out", "n", "R2", "RMSE", "MAE", "Bias", "CCC", "RPIQ")
    return Table("Each laboratory held out in turn (network).", header, tuple(rows), (CONVENTIONS,), (0, 1))


def coverage(run: HybridRun) -> Table:
    """Coverage of the intervals at the nominal level of the table."""
    rows = []
    found = where(run.coverage, laboratory="all")
    level = column(found, "nominal")
    nearest = level[np.argmin(np.abs(level - run.nominal))] if level.size else run.nominal
    for target in run.properties:
        for one in where(found, property=target, nominal=nearest).to_dict("records"):
            off = 100.0 * (one["coverage"] - one["nominal"])
            rows.append(
                (
                    LABELS.get(target, target),
                    str(one["kind"]),
                    f"{int(one['n']):,}",
                    f"{100 * one['coverage']:.1f}",
                    f"{100 * one['lowest']:.1f} to {100 * one['highest']:.1f}",
                    number(off, 1),
                    f"{number(float(one['median_width']), 1)} {run.unit(target)}".strip(),
                )
            )
    header = ("Property", "Rows and calibration", "n", "Coverage (%)", "95 % range (%)", "Off (points)", "Median width")
    notes = (
        "Out of fold: intervals of each fold are calibrated on the other folds. Held-out rows: cross-fitted intervals, "
        "as in the table, of samples that no fold trained on. The range is Wilson's: how well so many rows can tell.",
        "Imputed rows: against the true value of the twin, which has no laboratory error, so that a little more is "
        "covered. They are no random draw where laboratories choose what they measure; the flag says for which rows "
        "the interval is not to be trusted."
        if run.data["synthetic"]
        else "No true value is known of the imputed rows.",
        "Laboratory out: rows of a new laboratory are not exchangeable with those of the calibration; nothing "
        "guarantees these numbers.",
    )
    return Table(f"Coverage of the {100 * nearest:g} % intervals.", header, tuple(rows), notes, (0, 1))


def ranges(run: HybridRun) -> Table:
    """Predictions outside the physical range before clipping, and what the two ways to keep it score."""
    rows = []
    for target, known in run.properties.items():
        span = f"{known['low']:g} to {known['high']:g} {run.unit(target)}".strip()
        for model, label in {**MODELS, "cnn-one": "CNN, bounded, one network"}.items():
            found = where(run.scores, property=target, harmonisation=run.method, model=model, laboratory="all")
            cells = []
            for scheme in ("random", "laboratory"):
                one = where(found, scheme=scheme)
                if not len(one):
                    cells += ["not run", ""]
                    continue
                n, share = int(one["n"].iloc[0]), float(one["outside"].iloc[0])
                cells += [f"{round(share * n)} of {n}", number(float(one["rmse"].iloc[0]), 2)]
            rows.append((run.axis(target), span, label, *cells))
    header = (
        "Property",
        "Range",
        "Model",
        "Outside before clipping, random folds",
        "RMSE",
        "Outside before clipping, laboratory out",
        "RMSE",
    )
    notes = (
        "Bounded: the network's output passes a link that is linear within the range and cannot leave it (soft floor "
        "and ceiling). Clipped: the same network without the link, its predictions moved to the ends of the range. "
        "The clipped network is a single one: compare it with the bounded one of one network.",
        "Both learn the square root of a content; a content below zero is therefore a negative root.",
    )
    return Table("Physical ranges: by construction, and by clipping alone.", header, tuple(rows), notes, (0, 1, 2))


def counts(run: HybridRun) -> Table:
    """How many values of each property are measured and imputed, by laboratory."""
    rows = []
    for target in run.properties:
        for name in ["all", *run.laboratories]:
            part = where(run.table, property=target)
            part = part if name == "all" else where(part, laboratory=name)
            measured, predicted = (where(part, kind=kind) for kind in ("measured", "predicted"))
            outside = int((column(predicted, "applicability") != "inside").sum()) if len(predicted) else 0
            rows.append(
                (
                    run.axis(target),
                    name,
                    f"{len(measured):,}",
                    f"{len(predicted):,}",
                    f"{outside:,}",
                    *_median_and_sd(measured),
                    *_median_and_sd(predicted),
                )
            )
    header = (
        "Property",
        "Laboratory",
        "Measured",
        "Imputed",
        "of these flagged",
        "Measured: median",
        "SD",
        "Imputed: median",
        "SD",
    )
    return Table("Values by laboratory.", header, tuple(rows), (), (0, 1))


def _median_and_sd(rows: pd.DataFrame) -> tuple[str, str]:
    values = column(rows, "value")
    if not values.size:
        return UNDEFINED, UNDEFINED
    return number(float(np.median(values)), 1), number(mean_sd(values).sd, 1)


def _score(run: HybridRun, scheme: str, target: str, method: str, model: str) -> Any:
    found = where(run.scores, scheme=scheme, property=target, harmonisation=method, model=model, laboratory="all")
    return found.iloc[0] if len(found) else None


def _cells(found: Any) -> tuple[str, ...]:
    return (f"{int(found['n']):,}", *(number(float(found[m]), 2) for m in ("r2", "rmse", "mae", "bias", "ccc", "rpiq")))
