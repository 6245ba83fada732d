"""Section of a report: does the reconstruction error flag failure without labels?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxsoil.evaluation import alarm as measured
from jaxsoil.evaluation.alarm import ALARMS, REGION_FAILURES
from jaxsoil.evaluation.results import FITTED
from jaxsoil.report import style
from jaxsoil.report.document import Document
from jaxsoil.report.prose import Prose
from jaxsoil.report.run_files import where
from jaxsoil.report.tables import Table, natural_sorted, number, percent, pivot_table, rows_table
from jaxsoil.studies.reconstruction.report import sections
from jaxsoil.studies.reconstruction.report.reading import Run, model_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ALARM_LABELS = {
    "spectrum_rmse": "Reconstruction error",
    "latent_distance": "Latent distance",
    "predicted": "Predicted SOC",
}
FAILURE_LABELS = {
    "fail_r2": "Region: R2 < 0",
    "fail_rmse": "Region: RMSE in %",
    "fail_rmse_log10": "Region: RMSE of log10",
    "fail_percent": "Sample: error in %",
    "fail_log10": "Sample: error of log10",
}
"""Failures by their column; against what RMSE and error are held is said where they are defined."""
_ALARM_COLORS: dict[str, str] = dict(zip(ALARMS, (style.OKABE_ITO[place] for place in (3, 2, 4)), strict=True))
_ALARM_LINES: dict[str, Any] = dict(zip(ALARMS, ("-", (0, (5, 1.5)), (0, (1.5, 1.2))), strict=True))
_FAILURE = "#f3e3dc"
_RULES = {
    "percentile": f"{measured.THRESHOLD_PERCENTILE:g}th percentile of the training rows",
    "chi_square": "chi-square limit of the training rows",
    "other_regions": f"{measured.THRESHOLD_PERCENTILE:g}th percentile of the other regions, each held out",
}
_LABELS = {"model": model_label, "failure": FAILURE_LABELS, "alarm": ALARM_LABELS, "rule": _RULES}


def _p(value: float) -> str:
    return "< 0.001" if value < 1e-3 else number(value, 3)


_COSTS: dict[str | tuple[str, ...], Any] = {
    "flagged": ("Flagged (%)", percent),
    "caught": ("Failures caught (%)", percent),
    "false": ("False alarms (% of good)", percent),
}
_PROSE = Prose(__package__, "alarm", measured=measured, level=0.05, p_text=_p)


def alarm_section(document: Document, run: Run, styles: Mapping[str, style.Look]) -> None:
    """Adds definitions, areas under the ROC curve, what thresholds cost and save, and two figures; without scores of
    single samples a sentence says so."""
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


def _figures(document: Document, run: Run, areas: pd.DataFrame, styles: dict[str, style.Look]) -> None:
    doubtful = sections.doubtful_sentence(run, dict.fromkeys(areas["model"]))
    scores = score_by_region(run.table("alarm_regions"), styles)
    document.draw(scores, "alarm_by_region", _PROSE.text("score_caption") + doubtful)
    curves = roc_curves(areas, run.table("alarm_curves"), styles)
    document.draw(curves, "alarm_roc", _PROSE.text("roc_caption") + doubtful)
    document.add("" if curves else _PROSE.text("no_roc"))


@style.styled
def score_by_region(regions: pd.DataFrame, styles: Mapping[str, style.Look]) -> Figure:
    """Held-out regions (alarm_regions.csv): 1 - R2 and RMSE against each alarm's score; failure is the shaded side."""
    figure = style.new_figure(style.WIDTH, 4.9)
    panels = figure.subplots(2, len(ALARMS), sharex="col", sharey="row")
    for (upper, lower), alarm in zip(panels.T, ALARMS, strict=True):
        means = pd.concat([_region_means(where(regions, model=model), alarm).assign(model=model) for model in styles])
        for row in means.to_dict("records"):
            look: Any = {"look": styles[row["model"]], "alpha": 0.8, "mew": 0.0, "clip_on": False}
            style.points(upper, row["score"], row["unexplained"], **look)
            style.points(lower, row["score"], row["ratio"], **look)
        _name_failures(upper, means)
        lower.set_xlabel(f"{ALARM_LABELS[alarm]}\n(held out / training mean)")
    panels[0, 0].set_ylabel("1 − R2 of SOC in % (SSE/SST)")
    panels[1, 0].set_ylabel("RMSE / limit of training regions")
    _shade(panels)
    from matplotlib.patches import Patch

    style.legend(figure, [*styles.values(), Patch(color=_FAILURE, label="failure")], size=4.5)
    return figure


@style.styled
def roc_curves(areas: pd.DataFrame, curves: pd.DataFrame, styles: Mapping[str, style.Look]) -> Figure | None:
    """ROC curves (alarm_areas.csv, alarm_curves.csv): a row for each model, a column for each failure of which there
    are examples; None without any."""
    defined = set(areas["failure"][np.isfinite(areas["auroc"])])
    failures = [failure for failure in FAILURE_LABELS if failure in defined]
    models = [model for model in styles if model in set(areas["model"])]
    if not failures or not models:
        return None
    side = min((style.WIDTH - 0.45) / len(failures), 2.3)
    figure = style.new_figure(side * len(failures) + 0.45, (side + 0.1) * len(models) + 0.7)
    panels = figure.subplots(len(models), len(failures), sharex=True, sharey=True, squeeze=False)
    for row, model in enumerate(models):
        for column, failure in enumerate(failures):
            mine = {"model": model, "failure": failure}
            _roc_panel(panels[row, column], where(areas, **mine), where(curves, **mine))
            if row == 0:
                panels[row, column].set_title(FAILURE_LABELS[failure].replace(": ", "\n"), loc="left", pad=3)
        label = styles[model].label.replace(" + ", "\n+ ")
        panels[row, 0].set_ylabel(f"{label}\nfailures caught", fontsize=7.5)
    for panel in panels[-1]:
        panel.set_xlabel("False alarms", fontsize=7.5)
    style.legend(figure, [style.Look(ALARM_LABELS[a], _ALARM_COLORS[a], line=_ALARM_LINES[a]) for a in ALARM_LABELS])
    return figure


def _roc_panel(panel: Axes, areas: pd.DataFrame, curves: pd.DataFrame) -> None:
    style.one_to_one(panel, 0.0, 1.0)
    panel.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    lines = []
    for area in areas.to_dict("records"):
        alarm = area["alarm"]
        if not math.isfinite(area["auroc"]):
            lines = [(area["reason"], "black")]
            continue
        curve = where(curves, alarm=alarm)
        look: Any = {"color": _ALARM_COLORS[alarm], "linestyle": _ALARM_LINES[alarm], "linewidth": 1.3}
        panel.plot(curve["false_alarms"], curve["caught"], **look)
        lines.append((f"{area['auroc']:.2f}", _ALARM_COLORS[alarm]))
    # The corner that most of the curves leave free.
    low = not pd.Series(areas["auroc"]).mean() < 0.5
    for place, (text, color) in enumerate(reversed(lines) if low else lines):
        look = {"ha": "right" if low else "left", "va": "bottom" if low else "top", "fontsize": 7.0}
        at = (0.97, 0.04 + 0.11 * place) if low else (0.04, 0.97 - 0.11 * place)
        panel.text(*at, text, color=color, bbox=style.BACKDROP, zorder=5, **look)


def _region_means(regions: pd.DataFrame, alarm: str) -> pd.DataFrame:
    """Region, score, 1 - R2 and RMSE over its limit, averaged over seeds; regions without a score are left out."""
    frame = pd.DataFrame(
        {
            "region": regions["region"],
            "score": regions[f"score_{alarm}"],
            "unexplained": 1.0 - regions["r2"],
            "ratio": regions["rmse"] / regions["rmse_limit"],
        }
    )
    means = frame.groupby("region").agg(lambda values: values.to_numpy().mean()).reset_index()
    return pd.DataFrame(means[np.isfinite(means["score"])])


def _name_failures(panel: Axes, means: pd.DataFrame) -> None:
    """Names the regions with R2 below zero, each at its worst model."""
    score, failing = pd.Series(means["score"]), pd.DataFrame(means[means["unexplained"] > 1.0])
    worst = failing.sort_values("unexplained", ascending=False, kind="stable")
    middle = math.sqrt(float(score.min()) * float(score.max()))
    for row in worst.drop_duplicates("region").to_dict("records"):
        # Beside the point, on the side with more room.
        right = row["score"] < middle
        look: Any = {"xytext": (4 if right else -4, 2), "textcoords": "offset points", "fontsize": 6.5}
        at = (row["score"], row["unexplained"])
        panel.annotate(style.shortened(row["region"], 14), at, ha="left" if right else "right", **look)


def _shade(panels: np.ndarray) -> None:
    """Scales, limits from the points alone, and the failing side of each panel."""
    for side in panels:
        heights = [h for panel in side for line in panel.lines for h in np.asarray(line.get_ydata(), dtype=float)]
        heights = [height for height in heights if math.isfinite(height) and height > 0.0]
        limits = (min([0.5, *heights]) / 1.3, max([2.0, *heights]) * 1.6)
        for panel in side:
            panel.set(xscale="log", yscale="log", ylim=limits)
            panel.axhspan(1.0, 1e9, color=_FAILURE, linewidth=0.0, zorder=0)
            panel.axvline(1.0, color=style.GREY, linewidth=0.6, zorder=1)
            style.log_ticks(panel.xaxis)
        style.log_ticks(side[0].yaxis)
