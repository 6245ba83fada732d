"""The data card of the hybrid data set: what is in the table, what was left out, and what it is good for."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jaxsoil.report.files import where
from jaxsoil.report.tables import Table, markdown_text, number
from jaxsoil.studies.hybrid.report import tables
from jaxsoil.studies.hybrid.report.files import LABELS, METHODS, HybridRun, column

LISTED = 200
"""Exclusions that the card lists; exclusions.csv has all."""

_COLUMNS = (
    ("id, sample, laboratory", "row of the source data, sample and laboratory"),
    ("property, unit", "name of the property, and the unit of value, low, high and error_sd"),
    ("value", "the measured value, unchanged to the last bit, or the prediction"),
    ("kind", "measured or predicted"),
    ("low, high", "ends of the prediction interval; empty for measured values"),
    ("error_sd", "estimated standard deviation of the prediction error; empty for measured values"),
    ("model", "id of the ensemble that predicted, a hash of data and settings; empty for measured values"),
    ("applicability", "inside, or by which limit (distance, residual) the spectrum is unlike those of the training"),
)


def data_card(run: HybridRun, drawn: dict[str, Path]) -> str:
    """The card as Markdown; ``drawn`` are the figures of the report by name."""
    parts = [f"# Data card: hybrid data set of '{markdown_text(str(run.data['name']))}'"]
    parts += [
        _summary(run),
        Table("Columns of hybrid.parquet.", ("Column", "Meaning"), _COLUMNS, (), (0, 1)).markdown(),
    ]
    parts += ["## Counts and spread", tables.counts(run).markdown(), *_bullets(_deviations(run))]
    for name in ("distributions", "depths", "places"):
        if name in drawn:
            parts.append(f"![{name}]({drawn[name].relative_to(run.path).as_posix()})")
    parts += ["## How good the predictions are", tables.splits(run).markdown(), tables.coverage(run).markdown()]
    parts += ["## Physical ranges", tables.ranges(run).markdown()]
    if {"carbon", "organic_matter"} <= set(run.properties):
        parts += _bullets([_consistency(run)])
    parts += ["## Exclusions", *_exclusions(run), "## Measured values that look wrong", *_suspects(run)]
    parts += ["## Use and limits", *_bullets(_limits(run)), "## Sources", *_bullets(_sources(run))]
    return "\n\n".join(parts) + "\n"


def _summary(run: HybridRun) -> str:
    lines = [
        f"{run.data['rows']:,} rows of {run.data['samples']:,} samples, {len(run.data['laboratories'])} laboratories, "
        f"{len(run.properties)} properties: {len(run.table):,} values, of which "
        f"{int((column(run.table, 'kind') == 'measured').sum()):,} measured and "
        f"{int((column(run.table, 'kind') == 'predicted').sum()):,} predicted.",
        f"Intervals have a nominal coverage of {100 * run.nominal:g} %. Harmonisation: {METHODS[run.method]}.",
    ]
    if run.data["synthetic"]:
        lines.append("The data are synthetic: the table shows the method and holds no soil.")
    return " ".join(lines)


def _deviations(run: HybridRun) -> list[str]:
    """How the SD of the predictions compares with that of the measurements."""
    lines = []
    for target in run.properties:
        part = where(run.table, property=target)
        measured, predicted = (column(where(part, kind=kind), "value") for kind in ("measured", "predicted"))
        if predicted.size < 2 or measured.size < 2:
            lines.append(f"{LABELS.get(target, target)}: nothing to impute.")
            continue
        error = column(where(part, kind="predicted"), "error_sd")
        unit = run.unit(target)
        ratio = predicted.std(ddof=1) / measured.std(ddof=1)
        rows = where(run.predictions, scheme="random", property=target, harmonisation=run.method, model="cnn")
        shrunk = column(rows, "predicted").std(ddof=1) / column(rows, "observed").std(ddof=1)
        lines.append(
            f"{LABELS.get(target, target)}: SD {number(float(measured.std(ddof=1)), 2)} {unit} measured, "
            f"{number(float(predicted.std(ddof=1)), 2)} {unit} imputed (ratio {number(float(ratio), 2)}); median error "
            f"estimate {number(float(np.median(error)), 2)} {unit}. On measured rows out of fold predictions have "
            f"{number(float(shrunk), 2)} of the SD of the measurements"
            + (": they are smoother than the soils" if shrunk < 0.98 else "")
            + "; the rest of the difference is in which rows are left to impute."
        )
    return lines


def _consistency(run: HybridRun) -> str:
    """Carbon against organic matter of the same row: organic matter holds its carbon."""
    wide = run.table.pivot(index="id", columns="property", values="value")
    ratio = column(wide, "organic_matter") / np.maximum(column(wide, "carbon"), 1e-9)
    share = 100.0 * float(np.mean(ratio < 1.0))
    return (
        f"Organic matter over carbon of the same row: median {np.median(ratio):.2f}; {share:.1f} % of the rows have "
        "less organic matter than carbon, which carbonate carbon allows and organic carbon does not. The two "
        "properties are predicted apart; nothing forces them to agree."
    )


def _exclusions(run: HybridRun) -> list[str]:
    frame = run.exclusions
    if not len(frame):
        return ["Nothing was left out."]
    kinds = frame.groupby(["from", "reason"], sort=False).size().to_dict() if len(frame) else {}
    short: dict[str, int] = {}
    for key, count in kinds.items():
        where_from, reason = (str(part) for part in np.atleast_1d(np.array(key)).tolist())
        name = f"from {where_from}: {_kind(reason)}"
        short[name] = short.get(name, 0) + int(count)
    rows = tuple(
        tuple("" if str(cell) == "nan" else str(cell) for cell in line)
        for line in frame.head(LISTED)[["id", "laboratory", "property", "from", "reason"]].itertuples(index=False)
    )
    header = ("Row", "Laboratory", "Property", "Left out of", "Reason")
    more = f" (the first {LISTED} of {len(frame):,}; exclusions.csv has all)" if len(frame) > LISTED else ""
    table = Table(f"Exclusions{more}.", header, rows, (), (0, 1, 2, 3, 4))
    return [*_bullets([f"{name}: {count:,}" for name, count in short.items()]), table.markdown()]


def _kind(reason: str) -> str:
    for words in ("spectrum beyond the outlier limits", "constant spectrum", "same spectrum"):
        if reason.startswith(words):
            return words
    return reason


def _suspects(run: HybridRun) -> list[str]:
    if not len(run.suspects):
        return ["None: no measured value lies far from its prediction out of fold (robust z over 6)."]
    rows = tuple(
        (
            str(one["id"]),
            str(one["laboratory"]),
            LABELS.get(str(one["property"]), str(one["property"])),
            number(float(one["observed"]), 2),
            number(float(one["predicted"]), 2),
            number(float(one["score"]), 1),
        )
        for one in run.suspects.head(50).to_dict("records")
    )
    header = ("Row", "Laboratory", "Property", "Measured", "Predicted out of fold", "Robust z")
    note = "They stay in the table as they were measured; somebody with the records should look at them."
    caption = f"{len(run.suspects)} measured values lie far from their prediction (robust z over 6)."
    return [Table(caption, header, rows, (note,), (0, 1, 2)).markdown()]


def _limits(run: HybridRun) -> list[str]:
    lines = [
        "Intervals cover as stated for rows like those of the measured samples. For another laboratory, or soils that "
        "nobody measured, see the coverage with a laboratory held out.",
        "An imputed value carries no information beyond its spectrum: do not use it to test a spectral model.",
        "Predictions of flagged rows (applicability other than inside) are extrapolations.",
        "error_sd and the interval belong to one value; errors of rows of one laboratory are not independent.",
    ]
    for target in run.properties:
        there = set(column(where(run.table, property=target, kind="measured"), "laboratory").tolist())
        without = [name for name in run.laboratories if name not in there]
        if without:
            lines.append(
                f"{LABELS.get(target, target)} was never measured in {', '.join(without)}: values imputed there are "
                "extrapolations from other laboratories, whatever their intervals say."
            )
        flags = column(where(run.table, property=target, kind="predicted"), "applicability")
        if flags.size:
            share = 100.0 * float(np.mean(flags != "inside"))
            lines.append(f"{LABELS.get(target, target)}: {share:.1f} % of the imputed rows are flagged.")
    return lines


def _sources(run: HybridRun) -> list[str]:
    models = [f"{LABELS.get(name, name)}: {known['model']}" for name, known in run.properties.items()]
    return [
        *(str(note) for note in run.data["notes"]),
        f"licence: {run.data['licence']}",
        f"fingerprint of the source data: {run.data['sha256']}",
        *(f"model of {line}" for line in models),
        f"made by: {run.env.get('command', '')}",
    ]


def _bullets(lines: list[str]) -> list[str]:
    return ["\n".join(f"- {markdown_text(line)}" for line in lines)] if lines else []
