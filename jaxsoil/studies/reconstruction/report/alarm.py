"""Section of a report: does the reconstruction error flag failure without labels?"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from jaxsoil.evaluation import alarm as measured
from jaxsoil.evaluation.alarm import ALARMS, REGION_FAILURES, AlarmTables, Outcome
from jaxsoil.evaluation.roc import Auroc, RankTest
from jaxsoil.report.document import Document, Item
from jaxsoil.report.style import Look
from jaxsoil.report.tables import UNDEFINED, Table, natural_sorted, number
from jaxsoil.studies.reconstruction.report import alarm_figures, sections
from jaxsoil.studies.reconstruction.report.alarm_figures import ALARM_LABELS, FAILURE_LABELS
from jaxsoil.studies.reconstruction.report.reading import Run, model_label

_RULES = {
    "percentile": f"{measured.THRESHOLD_PERCENTILE:g}th percentile of the training rows",
    "chi_square": "chi-square limit of the training rows",
    "other_regions": f"{measured.THRESHOLD_PERCENTILE:g}th percentile of the other regions, each held out",
}


Areas = Mapping[tuple[str, str, str], Auroc]
Tests = Mapping[tuple[str, str, str], RankTest]
"""By model, failure and alarm."""

_LEVEL = 0.05


def alarm_section(document: Document, run: Run, styles: Mapping[str, Look]) -> None:
    """Adds definitions, areas under the ROC curve, what thresholds cost and save, and two figures.

    Args:
      document: receives the section.
      run: the run; without samples.parquet a sentence says so.
      styles: look of each model.
    """
    document.section("Does the reconstruction error flag failure without labels?")
    if run.samples is None or not len(run.samples):
        document.text("The run holds no scores of single samples (samples.parquet), so no alarm was measured.")
        return
    tables = measured.alarm_tables(run.samples)
    document.add(*_definitions())
    if tables.left_out:
        document.text(f"Left out: {'; '.join(tables.left_out)}.")
    if not len(tables.regions):
        document.text("No trial is left to measure an alarm on.")
        return
    areas, tests = measured.alarm_areas(tables), measured.alarm_tests(tables)
    document.add(
        _verdict(areas, tests),
        _area_table(run, tables, areas, tests),
        _sample_table(run, tables),
        _region_table(run, tables),
    )
    _figures(document, run, tables, areas, {m: styles[m] for m in tables.models if m in styles})


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


def _verdict(areas: Areas, tests: Tests) -> str:
    """States, for each decoder, the area by region and whether an exact test of region means tells it from a coin."""
    said = []
    for (model, failure, alarm), area in areas.items():
        if failure == "fail_r2" and alarm == "spectrum_rmse":
            test = tests.get((model, failure, alarm))
            what = f"{model_label(model)}: {_area(area, test)}"
            said.append(what if test is None else f"{what}, {_against_chance(area, test)}")
    if not said:
        return "No model of this run reconstructs spectra, so only the other two alarms are measured."
    return f"AUROC of the reconstruction error for regions with R2 < 0. {'; '.join(said)}. {_ranking(areas)}"


def _against_chance(area: Auroc, test: RankTest) -> str:
    if test.p < _LEVEL:
        return "above chance" if area.value > 0.5 else "below chance: it falls where the model fails"
    if test.least < _LEVEL:
        return "not distinguishable from chance"
    counted = f"{test.failing} failing against {test.sound} other region{'s' if test.sound != 1 else ''}"
    return f"not distinguishable from chance ({counted} can give no p below {_p(test.least)})"


def _ranking(areas: Areas) -> str:
    """Counts how often each alarm has the highest area, over models that have all of them."""
    wins: dict[str, int] = dict.fromkeys(ALARMS, 0)
    pairs = 0
    for model, failure in dict.fromkeys(key[:2] for key in areas):
        values = {alarm: areas[model, failure, alarm].value for alarm in ALARMS if (model, failure, alarm) in areas}
        if len(values) == len(ALARMS) and all(map(math.isfinite, values.values())):
            pairs += 1
            for alarm, value in values.items():
                wins[alarm] += value == max(values.values())
    counted = ", ".join(f"{ALARM_LABELS[alarm].lower().replace('soc', 'SOC')} {wins[alarm]}" for alarm in ALARMS)
    return f"Highest of the three alarms, over {pairs} pairs of model and failure (ties count for each): {counted}."


def _area(area: Auroc, test: RankTest | None = None) -> str:
    if not math.isfinite(area.value):
        return f"undefined ({area.reason})"
    ends = "no interval"
    if math.isfinite(area.low):
        ends = f"{number(area.low, 2)} to {number(area.high, 2)}"
    tested = "" if test is None else f"; p {_p(test.p)}" if test.p < 1e-3 else f"; p = {_p(test.p)}"
    return f"{number(area.value, 2)} ({ends}{tested})"


def _p(value: float) -> str:
    return "< 0.001" if value < 1e-3 else number(value, 3)


def _area_table(run: Run, tables: AlarmTables, areas: Areas, tests: Tests) -> Table:
    rows = []
    for model in tables.models:
        for failure, label in FAILURE_LABELS.items():
            found = {alarm: areas.get((model, failure, alarm)) for alarm in ALARMS}
            first = next((area for area in found.values() if area is not None), None)
            counted = f"{first.failures:,} of {first.units:,}" if first else UNDEFINED
            cells = (
                "no decoder" if area is None else _area(area, tests.get((model, failure, alarm)))
                for alarm, area in found.items()
            )
            rows.append((sections.marked_label(run, model), label, counted, *cells))
    notes = (
        "AUROC: probability that a failure has a higher score than a success; 0.5 is a coin. In parentheses the 95 % "
        "percentile interval of a bootstrap that draws whole regions with all their samples and seeds, none with fewer "
        "than three regions of either kind. With few regions it is too narrow and is no test.",
        "p: exact two-sided Mann-Whitney test on region means. The independent unit is the region: its seeds and "
        "samples share their soils and are averaged, and it counts as failing where at least half of its seeds fail. "
        "Failures by sample do not part the regions and have no such test. The p are not corrected for their number.",
        *_failing_regions(tables),
        *sections.dagger_notes(run, tables.models),
    )
    header = ("Model", "Failure", "Failures", *ALARM_LABELS.values())
    return Table("How well each alarm ranks failures (AUROC).", header, tuple(rows), notes, left=(0, 1))


def _failing_regions(tables: AlarmTables) -> tuple[str, ...]:
    said = []
    for failure in REGION_FAILURES:
        by_model = []
        for model in tables.models:
            mine = tables.regions[(tables.regions["model"] == model) & (tables.regions[failure] > 0)]
            names = natural_sorted({str(name) for name in mine["region"].tolist()})
            by_model.append(f"{model_label(model)}: {', '.join(names) or 'none'}")
        said.append(f"{FAILURE_LABELS[failure]}, in at least one seed: {'; '.join(by_model)}.")
    return tuple(said)


def _sample_table(run: Run, tables: AlarmTables) -> Table:
    rows = []
    for (model, alarm, rule), outcome in measured.sample_outcomes(tables).items():
        name = sections.marked_label(run, model)
        rows.append((name, ALARM_LABELS[alarm], _RULES[rule], *_costs(outcome), *_errors(outcome)))
    notes = (
        f"Failure: error in % above {measured.SAMPLE_MULTIPLE:g} times the training RMSE. Rows pooled over regions "
        "and seeds.",
        "The first two rules use the training rows of the same network, which it fits better than new ones, so that "
        "they flag more than the stated 5 %. The third takes the scores of the other regions when each was held out: "
        "no label and no score of the region itself enter, but the networks behind them were trained with it.",
        *sections.dagger_notes(run, tables.models),
    )
    header = (
        "Model", "Alarm", "Threshold", "Flagged (%)", "Failures caught (%)", "False alarms (% of good)",
        "RMSE, all (%)", "RMSE, accepted (%)",
    )  # fmt: skip
    caption = (
        "What flagging single samples costs and saves. The first two thresholds come from the training regions only, "
        "the third from the other regions, scored by networks that were trained on the held-out one."
    )
    return Table(caption, header, tuple(rows), notes, left=(0, 1, 2))


def _region_table(run: Run, tables: AlarmTables) -> Table:
    rows = []
    for failure in REGION_FAILURES:
        for (model, alarm), outcome in measured.region_outcomes(tables, failure).items():
            name = sections.marked_label(run, model)
            counted = f"{outcome.failures} of {outcome.units}"
            rows.append((name, FAILURE_LABELS[failure], counted, ALARM_LABELS[alarm], *_costs(outcome)))
    header = (
        "Model", "Failure", "Failures", "Alarm", "Flagged (%)", "Failures caught (%)", "False alarms (% of good)",
    )  # fmt: skip
    caption = (
        "What flagging whole regions costs and saves: a region is flagged where its mean score exceeds the "
        f"{measured.THRESHOLD_PERCENTILE:g}th percentile of the training regions' means."
    )
    notes = (*_in_sample_limits(tables), *sections.dagger_notes(run, tables.models))
    return Table(caption, header, tuple(rows), notes, left=(0, 1, 3))


def _in_sample_limits(tables: AlarmTables) -> tuple[str, ...]:
    """That the limits of regions are those of rows trained on, with the share of held-out regions they flag."""
    flagged = []
    for alarm in ALARMS:
        shares = []
        for model in tables.models:
            mine = tables.regions[tables.regions["model"] == model]
            score, limit = (np.asarray(mine[f"{what}_{alarm}"], dtype=np.float64) for what in ("score", "limit"))
            known = np.isfinite(score) & np.isfinite(limit)
            if known.any():
                share = 100.0 * float((score > limit)[known].mean())
                shares.append(f"{model_label(model)} {number(share, 0)} %")
        if shares:
            flagged.append(f"{ALARM_LABELS[alarm]}: {', '.join(shares)}")
    return (
        "The limits are in-sample: they come from rows that the network was trained on, whose scores, reconstruction "
        "errors above all, are lower than those of unseen rows; with few training regions they are also hardly above "
        f"the largest mean. So they tend to flag more than the {100 - measured.THRESHOLD_PERCENTILE:g} % of regions "
        f"that the percentile suggests, whether these fail or not. Regions flagged: {'; '.join(flagged)}.",
    )


def _costs(outcome: Outcome) -> tuple[str, str, str]:
    shares = (outcome.flagged, outcome.caught, outcome.false)
    return tuple(number(100.0 * share, 1) for share in shares)  # type: ignore[return-value]


def _errors(outcome: Outcome) -> tuple[str, str]:
    return number(outcome.rmse, 3), number(outcome.rmse_accepted, 3)


def _figures(document: Document, run: Run, tables: AlarmTables, areas: Areas, styles: dict[str, Look]) -> None:
    marked = [sections.marked_label(run, model) for model in tables.models if run.untrusted(model)]
    doubtful = f" With networks that did not converge: {', '.join(marked)}." if marked else ""
    caption = (
        "Alarm scores of the held-out regions (mean over rows and seeds) against 1 − R2 (above) and RMSE over the "
        "training regions' limit (below). Shaded: failure. Vertical line: mean of the training rows. "
        "Regions with R2 < 0 are named." + doubtful
    )
    document.draw(alarm_figures.score_by_region(tables, styles), "alarm_by_region", caption)
    curves = alarm_figures.roc_curves(tables, areas, styles)
    if curves is None:
        document.text("No ROC curve: no failure is present beside a success.")
        return
    caption = (
        "ROC curves: share of failures caught against share of successes flagged, as the threshold falls; in each "
        "panel the AUROC in the colour of its alarm." + doubtful
    )
    document.draw(curves, "alarm_roc", caption)
