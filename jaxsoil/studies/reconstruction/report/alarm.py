"""Section of a report: does the reconstruction error flag failure without labels?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from jaxsoil.evaluation import alarm as measured
from jaxsoil.evaluation.alarm import ALARMS, REGION_FAILURES
from jaxsoil.evaluation.results import FITTED
from jaxsoil.report.document import Document
from jaxsoil.report.prose import Prose
from jaxsoil.report.run_files import where
from jaxsoil.report.style import Look
from jaxsoil.report.tables import Table, natural_sorted, number, pivot_table, rows_table
from jaxsoil.studies.reconstruction.report import alarm_figures, sections
from jaxsoil.studies.reconstruction.report.alarm_figures import ALARM_LABELS, FAILURE_LABELS
from jaxsoil.studies.reconstruction.report.reading import Run, model_label

_RULES = {
    "percentile": f"{measured.THRESHOLD_PERCENTILE:g}th percentile of the training rows",
    "chi_square": "chi-square limit of the training rows",
    "other_regions": f"{measured.THRESHOLD_PERCENTILE:g}th percentile of the other regions, each held out",
}
_LABELS = {"model": model_label, "failure": FAILURE_LABELS, "alarm": ALARM_LABELS, "rule": _RULES}


def _percent(share: float) -> str:
    return number(100.0 * share, 1)


def _p(value: float) -> str:
    return "< 0.001" if value < 1e-3 else number(value, 3)


_COSTS: dict[str | tuple[str, ...], Any] = {
    "flagged": ("Flagged (%)", _percent),
    "caught": ("Failures caught (%)", _percent),
    "false": ("False alarms (% of good)", _percent),
}
_PROSE = Prose(__package__, "alarm", measured=measured, level=0.05, p_text=_p)


def alarm_section(document: Document, run: Run, styles: Mapping[str, Look]) -> None:
    """Adds definitions, areas under the ROC curve, what thresholds cost and save, and two figures.

    Args:
      document: receives the section.
      run: the run; without scores of single samples a sentence says so.
      styles: look of each model.
    """
    document.section("Does the reconstruction error flag failure without labels?")
    if not (run.path / "samples.parquet").exists():
        document.text(_PROSE.text("not_measured"))
        return
    regions = run.table("alarm_regions")
    used = set(zip(regions["model"], regions["region"], regions["seed"], strict=True))
    lost = [
        f"{trial.model}, region {trial.region}, seed {trial.seed}: diverged"
        for trial in run.trials
        if trial.status != FITTED and (trial.model, trial.region, trial.seed) not in used
    ]
    document.add(*_PROSE.items("definitions", lost=lost, none_left=not len(regions)))
    if not len(regions):
        return
    models = list(dict.fromkeys(regions["model"]))
    areas, outcomes = (
        frame.assign(doubtful=[bool(run.untrusted(model)) for model in frame["model"]])
        for frame in (run.table("alarm_areas"), run.table("alarm_outcomes"))
    )
    daggers = sections.dagger_notes(run, models)
    document.add(
        _verdict(areas), _area_table(areas, regions, daggers), _sample_table(outcomes, daggers),
        _region_table(outcomes, daggers),
    )  # fmt: skip
    _figures(document, run, areas, {model: styles[model] for model in models if model in styles})


def _verdict(areas: pd.DataFrame) -> str:
    """The area by region of each decoder, whether an exact test tells it from a coin, and which alarm ranks best."""
    said = []
    for row in where(areas, failure="fail_r2", alarm="spectrum_rmse").to_dict("records"):
        chance = f", {_PROSE.text('against_chance', row=row)}" if math.isfinite(row["p"]) else ""
        said.append(f"{model_label(row['model'])}: {_area(*(row[name] for name in _AREA))}{chance}")
    # Only models that have all three alarms are counted.
    values = areas.pivot(index=["model", "failure"], columns="alarm", values="auroc").reindex(columns=list(ALARMS))
    values = values.dropna()
    best = values.eq(values.max(axis=1), axis=0).sum()
    wins = [f"{ALARM_LABELS[alarm].lower().replace('soc', 'SOC')} {best[alarm]}" for alarm in ALARMS]
    return _PROSE.text("verdict", said=said, pairs=len(values), wins=wins)


_AREA = ("auroc", "low", "high", "p", "reason")
"""Columns of alarm_areas.csv that :func:`_area` takes."""


def _area(value: float, low: float, high: float, p: float, reason: str) -> str:
    if not math.isfinite(value):
        return f"undefined ({reason})"
    ends = f"{number(low, 2)} to {number(high, 2)}" if math.isfinite(low) else "no interval"
    tested = "" if not math.isfinite(p) else f"; p {_p(p)}" if p < 1e-3 else f"; p = {_p(p)}"
    return f"{number(value, 2)} ({ends}{tested})"


def _area_table(areas: pd.DataFrame, regions: pd.DataFrame, daggers: tuple[str, ...]) -> Table:
    first = areas.groupby(["model", "failure"])[["failures", "units"]].transform("first")
    failing = {
        FAILURE_LABELS[failure]: [
            f"{model_label(str(model))}: {', '.join(natural_sorted(set(mine['region'][mine[failure] > 0]))) or 'none'}"
            for model, mine in regions.groupby("model", sort=False)
        ]
        for failure in REGION_FAILURES
    }
    return pivot_table(
        areas.assign(counted=first["failures"].map("{:,}".format) + " of " + first["units"].map("{:,}".format)),
        {"model": "Model", "failure": "Failure", "counted": "Failures"},
        "alarm",
        _AREA,
        title="How well each alarm ranks failures (AUROC).",
        fmt=_area,
        order={"model": dict.fromkeys(areas["model"]), "failure": FAILURE_LABELS, "alarm": ALARMS},
        labels=_LABELS,
        marks={"model": "doubtful"},
        missing="no decoder",
        notes=(*_PROSE.notes("area_notes", failing=failing), *daggers),
        left=(0, 1),
    )


def _sample_table(outcomes: pd.DataFrame, daggers: tuple[str, ...]) -> Table:
    return rows_table(
        where(outcomes, failure="fail_percent"),
        {"model": "Model", "alarm": "Alarm", "rule": "Threshold"}
        | _COSTS
        | {"rmse": ("RMSE, all (%)", 3), "rmse_accepted": ("RMSE, accepted (%)", 3)},
        title=_PROSE.text("sample_title"),
        labels=_LABELS,
        marks={"model": "doubtful"},
        notes=(*_PROSE.notes("sample_notes"), *daggers),
    )


def _region_table(outcomes: pd.DataFrame, daggers: tuple[str, ...]) -> Table:
    mine = where(outcomes, rule="training_regions")
    # RMSE fails or does not in every trial, so that these rows count all of them.
    shares: dict[str, list[str]] = {}
    for row in where(mine, failure="fail_rmse").to_dict("records"):
        shares.setdefault(row["alarm"], []).append(f"{model_label(row['model'])} {number(100.0 * row['flagged'], 0)} %")
    flagged = [f"{ALARM_LABELS[alarm]}: {', '.join(shares[alarm])}" for alarm in ALARMS if alarm in shares]
    return rows_table(
        mine,
        {"model": "Model", "failure": "Failure", ("failures", "units"): ("Failures", "{} of {}"), "alarm": "Alarm"}
        | _COSTS,
        title=_PROSE.text("region_title"),
        labels=_LABELS,
        marks={"model": "doubtful"},
        notes=(*_PROSE.notes("region_notes", flagged=flagged), *daggers),
    )


def _figures(document: Document, run: Run, areas: pd.DataFrame, styles: dict[str, Look]) -> None:
    doubtful = sections.doubtful_sentence(run, dict.fromkeys(areas["model"]))
    scores = alarm_figures.score_by_region(run.table("alarm_regions"), styles)
    document.draw(scores, "alarm_by_region", _PROSE.text("score_caption") + doubtful)
    curves = alarm_figures.roc_curves(areas, run.table("alarm_curves"), styles)
    document.draw(curves, "alarm_roc", _PROSE.text("roc_caption") + doubtful)
    document.add("" if curves else _PROSE.text("no_roc"))
