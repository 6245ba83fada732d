"""Section of a report: does the reconstruction error flag failure without labels?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from jaxsoil.evaluation import alarm as measured
from jaxsoil.evaluation.alarm import ALARMS, REGION_FAILURES
from jaxsoil.evaluation.results import FITTED
from jaxsoil.report.document import Document, Item
from jaxsoil.report.run_files import where
from jaxsoil.report.style import Look
from jaxsoil.report.tables import Table, natural_sorted, number, pivot_table, rows_table
from jaxsoil.studies.reconstruction.report import alarm_figures, sections
from jaxsoil.studies.reconstruction.report.alarm_figures import ALARM_LABELS, FAILURE_LABELS
from jaxsoil.studies.reconstruction.report.reading import Run, model_label
from jaxsoil.studies.reconstruction.report.shared_figures import doubtful_sentence

_RULES = {
    "percentile": f"{measured.THRESHOLD_PERCENTILE:g}th percentile of the training rows",
    "chi_square": "chi-square limit of the training rows",
    "other_regions": f"{measured.THRESHOLD_PERCENTILE:g}th percentile of the other regions, each held out",
}
_LABELS = {"model": model_label, "failure": FAILURE_LABELS, "alarm": ALARM_LABELS, "rule": _RULES}
_COSTS = {"flagged": "Flagged (%)", "caught": "Failures caught (%)", "false": "False alarms (% of good)"}
_LEVEL = 0.05


def alarm_section(document: Document, run: Run, styles: Mapping[str, Look]) -> None:
    """Adds definitions, areas under the ROC curve, what thresholds cost and save, and two figures.

    Args:
      document: receives the section.
      run: the run; without scores of single samples a sentence says so.
      styles: look of each model.
    """
    document.section("Does the reconstruction error flag failure without labels?")
    if not (run.path / "samples.parquet").exists():
        document.text("The run holds no scores of single samples (samples.parquet), so no alarm was measured.")
        return
    regions = run.table("alarm_regions")
    document.add(*_definitions())
    used = set(zip(regions["model"], regions["region"], regions["seed"], strict=True))
    lost = [
        f"{trial.model}, region {trial.region}, seed {trial.seed}: diverged"
        for trial in run.trials
        if trial.status != FITTED and (trial.model, trial.region, trial.seed) not in used
    ]
    if lost:
        document.text(f"Left out: {'; '.join(lost)}.")
    if not len(regions):
        document.text("No trial is left to measure an alarm on.")
        return
    models = list(dict.fromkeys(regions["model"]))
    areas, outcomes = (
        frame.assign(doubtful=[bool(run.untrusted(model)) for model in frame["model"]])
        for frame in (run.table("alarm_areas"), run.table("alarm_outcomes"))
    )
    daggers = sections.dagger_notes(run, models)
    document.add(
        _verdict(areas),
        _area_table(areas, (*_failing_regions(regions), *daggers)),
        _sample_table(outcomes, daggers),
        _region_table(outcomes, daggers),
    )
    _figures(document, run, areas, {model: styles[model] for model in models if model in styles})


def _definitions() -> list[Item]:
    return [
        "An alarm is a score that needs no label of the held-out region: the reconstruction error (RMSE over bands), "
        "the Mahalanobis distance of the mass fractions from those trained on, and the predicted SOC itself. Each is "
        "divided by its mean over the training rows of the same network. A network fails",
        [
            "in a region where R2 of SOC in % is negative (the paper's criterion);",
            f"in a region whose RMSE exceeds the {measured.REGION_PERCENTILE:g}th percentile of the RMSE of its "
            "training regions (predictions of rows it was trained on), in % and on the log10 scale;",
            f"on a sample whose error exceeds {measured.SAMPLE_MULTIPLE:g} times the RMSE of the training rows, in % "
            "and on the log10 scale.",
        ],
        "In % large errors come with large SOC, so predicted SOC has a head start there; on the log10 scale it has "
        "not.",
    ]


def _verdict(areas: pd.DataFrame) -> str:
    """States, for each decoder, the area by region and whether an exact test of region means tells it from a coin."""
    said = []
    for row in where(areas, failure="fail_r2", alarm="spectrum_rmse").to_dict("records"):
        what = f"{model_label(row['model'])}: {_area(*(row[name] for name in _AREA))}"
        said.append(f"{what}, {_against_chance(row)}" if math.isfinite(row["p"]) else what)
    if not said:
        return "No model of this run reconstructs spectra, so only the other two alarms are measured."
    return f"AUROC of the reconstruction error for regions with R2 < 0. {'; '.join(said)}. {_ranking(areas)}"


def _against_chance(row: Mapping[str, Any]) -> str:
    if row["p"] < _LEVEL:
        return "above chance" if row["auroc"] > 0.5 else "below chance: it falls where the model fails"
    if row["least_p"] < _LEVEL:
        return "not distinguishable from chance"
    failing, sound = int(row["failing_regions"]), int(row["other_regions"])
    counted = f"{failing} failing against {sound} other region{'s' if sound != 1 else ''}"
    return f"not distinguishable from chance ({counted} can give no p below {_p(row['least_p'])})"


def _ranking(areas: pd.DataFrame) -> str:
    """Counts how often each alarm has the highest area, over models that have all of them."""
    values = areas.pivot(index=["model", "failure"], columns="alarm", values="auroc").reindex(columns=list(ALARMS))
    values = values.dropna()
    wins = values.eq(values.max(axis=1), axis=0).sum()
    counted = ", ".join(f"{ALARM_LABELS[alarm].lower().replace('soc', 'SOC')} {wins[alarm]}" for alarm in ALARMS)
    return (
        f"Highest of the three alarms, over {len(values)} pairs of model and failure (ties count for each): {counted}."
    )


_AREA = ("auroc", "low", "high", "p", "reason")
"""Columns of alarm_areas.csv that :func:`_area` takes."""


def _area(value: float, low: float, high: float, p: float, reason: str) -> str:
    if not math.isfinite(value):
        return f"undefined ({reason})"
    ends = f"{number(low, 2)} to {number(high, 2)}" if math.isfinite(low) else "no interval"
    tested = "" if not math.isfinite(p) else f"; p {_p(p)}" if p < 1e-3 else f"; p = {_p(p)}"
    return f"{number(value, 2)} ({ends}{tested})"


def _p(value: float) -> str:
    return "< 0.001" if value < 1e-3 else number(value, 3)


def _area_table(areas: pd.DataFrame, remarks: tuple[str, ...]) -> Table:
    first = areas.groupby(["model", "failure"])[["failures", "units"]].transform("first")
    counted = [f"{failures:,} of {units:,}" for failures, units in zip(first["failures"], first["units"], strict=True)]
    notes = (
        "AUROC: probability that a failure has a higher score than a success; 0.5 is a coin. In parentheses the 95 % "
        "percentile interval of a bootstrap that draws whole regions with all their samples and seeds, none with fewer "
        "than three regions of either kind. With few regions it is too narrow and is no test.",
        "p: exact two-sided Mann-Whitney test on region means. The independent unit is the region: its seeds and "
        "samples share their soils and are averaged, and it counts as failing where at least half of its seeds fail. "
        "Failures by sample do not part the regions and have no such test. The p are not corrected for their number.",
        *remarks,
    )
    return pivot_table(
        areas.assign(counted=counted),
        {"model": "Model", "failure": "Failure", "counted": "Failures"},
        "alarm",
        _AREA,
        title="How well each alarm ranks failures (AUROC).",
        fmt=_area,
        order={"model": dict.fromkeys(areas["model"]), "failure": FAILURE_LABELS, "alarm": ALARMS},
        labels=_LABELS,
        marks={"model": "doubtful"},
        missing="no decoder",
        notes=notes,
        left=(0, 1),
    )


def _failing_regions(regions: pd.DataFrame) -> tuple[str, ...]:
    said = []
    for failure in REGION_FAILURES:
        by_model = []
        for model, mine in regions.groupby("model", sort=False):
            names = natural_sorted(set(mine["region"][mine[failure] > 0]))
            by_model.append(f"{model_label(str(model))}: {', '.join(names) or 'none'}")
        said.append(f"{FAILURE_LABELS[failure]}, in at least one seed: {'; '.join(by_model)}.")
    return tuple(said)


def _percent(share: float) -> str:
    return number(100.0 * share, 1)


def _sample_table(outcomes: pd.DataFrame, daggers: tuple[str, ...]) -> Table:
    notes = (
        f"Failure: error in % above {measured.SAMPLE_MULTIPLE:g} times the training RMSE. Rows pooled over regions "
        "and seeds.",
        "The first two rules use the training rows of the same network, which it fits better than new ones, so that "
        "they flag more than the stated 5 %. The third takes the scores of the other regions when each was held out: "
        "no label and no score of the region itself enter, but the networks behind them were trained with it.",
        *daggers,
    )
    columns: dict[str | tuple[str, ...], Any] = {
        "model": "Model", "alarm": "Alarm", "rule": "Threshold",
        **{name: (text, _percent) for name, text in _COSTS.items()},
        "rmse": ("RMSE, all (%)", 3), "rmse_accepted": ("RMSE, accepted (%)", 3),
    }  # fmt: skip
    return rows_table(
        where(outcomes, failure="fail_percent"),
        columns,
        title="What flagging single samples costs and saves. The first two thresholds come from the training regions "
        "only, the third from the other regions, scored by networks that were trained on the held-out one.",
        labels=_LABELS,
        marks={"model": "doubtful"},
        notes=notes,
    )


def _region_table(outcomes: pd.DataFrame, daggers: tuple[str, ...]) -> Table:
    mine = where(outcomes, rule="training_regions")
    columns = {"model": "Model", "failure": "Failure", ("failures", "units"): ("Failures", "{} of {}")}
    columns |= {"alarm": "Alarm"} | {name: (text, _percent) for name, text in _COSTS.items()}
    return rows_table(
        mine,
        columns,
        title="What flagging whole regions costs and saves: a region is flagged where its mean score exceeds the "
        f"{measured.THRESHOLD_PERCENTILE:g}th percentile of the training regions' means.",
        labels=_LABELS,
        marks={"model": "doubtful"},
        # RMSE fails or does not in every trial, so that these rows count all of them.
        notes=(_in_sample_limits(where(mine, failure="fail_rmse")), *daggers),
    )


def _in_sample_limits(outcomes: pd.DataFrame) -> str:
    """That the limits of regions are those of rows trained on, with the share of held-out regions they flag."""
    flagged = []
    for alarm in ALARMS:
        shares = [
            f"{model_label(row['model'])} {number(100.0 * row['flagged'], 0)} %"
            for row in where(outcomes, alarm=alarm).to_dict("records")
        ]
        if shares:
            flagged.append(f"{ALARM_LABELS[alarm]}: {', '.join(shares)}")
    return (
        "The limits are in-sample: they come from rows that the network was trained on, whose scores, reconstruction "
        "errors above all, are lower than those of unseen rows; with few training regions they are also hardly above "
        f"the largest mean. So they tend to flag more than the {100 - measured.THRESHOLD_PERCENTILE:g} % of regions "
        f"that the percentile suggests, whether these fail or not. Regions flagged: {'; '.join(flagged)}."
    )


def _figures(document: Document, run: Run, areas: pd.DataFrame, styles: dict[str, Look]) -> None:
    doubtful = doubtful_sentence(run, dict.fromkeys(areas["model"]))
    caption = (
        "Alarm scores of the held-out regions (mean over rows and seeds) against 1 − R2 (above) and RMSE over the "
        "training regions' limit (below). Shaded: failure. Vertical line: mean of the training rows. "
        "Regions with R2 < 0 are named." + doubtful
    )
    document.draw(alarm_figures.score_by_region(run.table("alarm_regions"), styles), "alarm_by_region", caption)
    curves = alarm_figures.roc_curves(areas, run.table("alarm_curves"), styles)
    if curves is None:
        document.text("No ROC curve: no failure is present beside a success.")
        return
    caption = (
        "ROC curves: share of failures caught against share of successes flagged, as the threshold falls; in each "
        "panel the AUROC in the colour of its alarm." + doubtful
    )
    document.draw(curves, "alarm_roc", caption)
