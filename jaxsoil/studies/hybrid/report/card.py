"""The data card of the hybrid data set: what is in the table, what was left out, and what it is good for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from jaxsoil.report.document import Document
from jaxsoil.report.tables import Table, number, rows_table
from jaxsoil.studies.hybrid.report import tables
from jaxsoil.studies.hybrid.report.files import METHODS, HybridRun
from jaxsoil.studies.hybrid.results import COLUMNS, MEASURED, PREDICTED, PRODUCT

LISTED = 200
"""Exclusions that the card lists; exclusions.csv has all."""

LIMITS = (
    "Intervals cover as stated for rows like those of the measured samples. For another laboratory, or soils that "
    "nobody measured, see the coverage with a laboratory held out.",
    "An imputed value carries no information beyond its spectrum: do not use it to test a spectral model.",
    "Predictions of flagged rows (applicability other than inside) are extrapolations.",
    "error_sd and the interval belong to one value; errors of rows of one laboratory are not independent.",
)


def data_card(run: HybridRun, drawn: dict[str, tuple[Path, str]]) -> str:
    """The card as Markdown; ``drawn`` are path and caption of the figures of the report by name."""
    document = Document(f"Data card: hybrid data set of '{run.data['name']}'", run.path)
    document.add(_summary(run))
    document.table(Table("Columns of hybrid.parquet.", ("Column", "Meaning"), tuple(COLUMNS.items()), left=(0, 1)))
    document.section("Counts and standard deviations", tables.counts(run), [_deviation(run, t) for t in run.properties])
    for name in ("distributions", "depths", "places"):
        if name in drawn:
            document.figure(*drawn[name])
    document.section("How good the predictions are", tables.splits(run), tables.coverage(run))
    document.section("Physical ranges", tables.ranges(run), _consistency(run))
    document.section("Exclusions", *_exclusions(run))
    document.section("Measured values that look wrong", _suspects(run))
    document.section("Use and limits", [*LIMITS, *(line for target in run.properties for line in _limits(run, target))])
    document.section("Sources", _sources(run))
    return document.markdown()


def _summary(run: HybridRun) -> str:
    measured, predicted = (sum(run.count(target, kind) for target in run.properties) for kind in (MEASURED, PREDICTED))
    twin = "The data are synthetic: the table shows the method and holds no soil." if run.data["synthetic"] else ""
    return (
        f"{run.data['rows']:,} rows of {run.data['samples']:,} samples, {len(run.data['laboratories'])} laboratories, "
        f"{len(run.properties)} properties: {measured + predicted:,} values, of which {measured:,} measured and "
        f"{predicted:,} predicted. Intervals have a nominal coverage of {100 * run.settings['coverage']:g} %. "
        f"Harmonisation: {METHODS[run.method]}. {twin}"
    ).strip()


def _deviation(run: HybridRun, target: str) -> str:
    """How the SD of the predictions compares with that of the measurements."""
    measured, imputed = (run.numbers(split=PRODUCT, property=target, model=kind) for kind in (MEASURED, PREDICTED))
    if imputed["n"] < 2 or measured["n"] < 2:
        return f"{run.label(target)}: nothing to impute."
    unit, ours = run.unit(target), run.numbers(split="random", property=target, model="cnn")
    shrunk = ours["sd_predicted"] / ours["sd"]
    return (
        f"{run.label(target)}: SD {number(measured['sd'], 2)} {unit} measured, {number(imputed['sd'], 2)} {unit} "
        f"imputed (ratio {number(imputed['sd'] / measured['sd'], 2)}); median error estimate "
        f"{number(imputed['median_error_sd'], 2)} {unit}. On measured rows out of fold predictions have "
        f"{number(shrunk, 2)} of the SD of the measurements"
        + (": they are smoother than the soils" if shrunk < 0.98 else "")
        + "; the rest of the difference is in which rows are left to impute."
    )


def _consistency(run: HybridRun) -> list[str]:
    """Carbon against organic matter of the same row: organic matter holds its carbon."""
    found = run.numbers(split=PRODUCT, property="organic_matter", model="measured or predicted")
    if not found:
        return []
    return [
        f"Organic matter over carbon of the same row: median {number(found['over_carbon_median'], 2)}; "
        f"{number(100 * found['below_carbon'], 1)} % of the rows have less organic matter than carbon, which carbonate "
        "carbon allows and organic carbon does not. The two properties are predicted apart; nothing forces them to "
        "agree."
    ]


def _exclusions(run: HybridRun) -> list[str | Table | list[str]]:
    frame = run.tables["exclusions"]
    if not len(frame):
        return ["Nothing was left out."]
    kinds = Counter(zip(frame["from"], map(_kind, frame["reason"]), strict=True))
    header = {"id": "Row", "laboratory": "Laboratory", "property": "Property", "from": "Left out of"}
    more = f" (the first {LISTED} of {len(frame):,}; exclusions.csv has all)" if len(frame) > LISTED else ""
    table = rows_table(frame.head(LISTED), {**header, "reason": "Reason"}, title=f"Exclusions{more}.")
    return [[f"from {place}: {reason}: {count:,}" for (place, reason), count in kinds.items()], table]


def _kind(reason: str) -> str:
    words = ("spectrum beyond the outlier limits", "constant spectrum", "same spectrum")
    return next((start for start in words if reason.startswith(start)), reason)


def _suspects(run: HybridRun) -> str | Table:
    found = run.tables["suspects"]
    if not len(found):
        return "None: no measured value lies far from its prediction out of fold (robust z over 6)."
    columns: dict[Any, Any] = {
        "id": "Row", "laboratory": "Laboratory", "property": "Property", "observed": ("Measured", 2),
        "predicted": ("Predicted out of fold", 2), "score": ("Robust z", 1),
    }  # fmt: skip
    note = "They stay in the table as they were measured; somebody with the records should look at them."
    title = f"{len(found)} measured values lie far from their prediction (robust z over 6)."
    return rows_table(found.head(50), columns, title=title, labels={"property": run.axis}, notes=(note,))


def _limits(run: HybridRun, target: str) -> list[str]:
    """Where a property was never measured, and how many of its imputed rows are flagged."""
    lines, label = [], run.label(target)
    found = run.rows(split=PRODUCT, property=target, model=MEASURED, region=run.laboratories)
    without = set(found.loc[(found["metric"] == "n") & (found["value"] == 0), "region"])
    if without:
        names = ", ".join(name for name in run.laboratories if name in without)
        lines.append(
            f"{label} was never measured in {names}: values imputed there are extrapolations from other laboratories, "
            "whatever their intervals say."
        )
    imputed = run.numbers(split=PRODUCT, property=target, model=PREDICTED)
    if imputed["n"]:
        lines.append(f"{label}: {100 * imputed['n_flagged'] / imputed['n']:.1f} % of the imputed rows are flagged.")
    return lines


def _sources(run: HybridRun) -> list[str]:
    return [
        *(str(note) for note in run.data["notes"]),
        f"licence: {run.data['licence']}",
        f"fingerprint of the source data: {run.data['sha256']}",
        *(f"model of {run.label(name)}: {known['model']}" for name, known in run.properties.items()),
        f"made by: {run.env.get('command', '')}",
    ]
