"""Report of the hybrid data set: how good its predictions are, by honest splits, and the data card of the product."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxsoil.report.document import Document, Item, Picture
from jaxsoil.report.prose import Prose
from jaxsoil.report.run_sections import open_document, run_sections
from jaxsoil.report.tables import Table, rows_table
from jaxsoil.runs.files import write_text_atomic
from jaxsoil.studies.hybrid.report import figures, tables
from jaxsoil.studies.hybrid.report.files import METHODS, MODELS, HybridRun, read_run
from jaxsoil.studies.hybrid.results import COLUMNS

PAGE = Prose("jaxsoil.studies.hybrid.report", "page")
CARD = Prose("jaxsoil.studies.hybrid.report", "card")

FIGURES = ("observed_predicted", "coverage", "harmonisation", "outliers", "distributions", "depths", "places")
"""Figures by name, in the order of the report."""

LISTED = 200
"""Exclusions that the card lists; exclusions.csv has all."""

SAME_KIND = "^(spectrum beyond the outlier limits|constant spectrum|same spectrum).*"
"""Reasons that are counted together, whatever rows and folds they go on to name."""

Drawn = Mapping[str, Picture | None]
"""Figures by name; None where the data do not allow one."""

_ACCURACY = "Accuracy, by a random split and by laboratory"
_OF_PRODUCT = ("distributions", "depths", "places")


def write_report(run_folder: str | os.PathLike[str]) -> Path:
    """Writes report.md, report.html, data_card.md and figures/ into the folder of a finished run; returns report.html.

    The HTML needs no other file. A file of the run that is missing, damaged or of an earlier version is a DataError.
    """
    run = read_run(run_folder)
    made = {name: getattr(figures, name)(run) for name in FIGURES}
    document = open_document(run, "The hybrid data set: measured and predicted values")
    drawn = {name: document.picture(figure, name, PAGE.text(f"figure_{name}")) for name, figure in made.items()}
    write_text_atomic(run.path / "data_card.md", data_card(run, drawn))
    counted = ", ".join(f"{name} {run.data['laboratories'][name]:,}" for name in run.laboratories)
    models = {(split, model): MODELS[model] for split in ("random", "laboratory") for model in ("cnn", "plsr")}
    found = PAGE.text("found", run=run, covered=tables.covered(run))
    document.opening(found, drawn["observed_predicted"], tables.short(run), _ACCURACY)
    opening = PAGE.items("opening", run=run, method=METHODS[run.method], counted=counted, models=models)
    document.section("What was done", *opening)
    laboratories = tables.laboratories(run) if run.data["held_laboratories"] else None
    document.section(_ACCURACY, *tables.accuracy(run), laboratories)
    intervals = PAGE.text("intervals", construction=run.settings["interval"])
    document.section("Do the intervals cover?", intervals, drawn["coverage"], tables.coverage(run))
    harmonisation = PAGE.items("harmonisation", methods=run.data["methods"])
    document.section("Harmonisation", *harmonisation, drawn["harmonisation"], tables.harmonisations(run))
    outliers = PAGE.text("outliers", settings=run.settings)
    spoiled = PAGE.items("spoiled", run=run)
    document.section("Outliers", outliers, drawn["outliers"], tables.flags(run), *spoiled)
    document.section("Physical ranges", tables.ranges(run))
    product = PAGE.text("product", lines=len(run.tables["hybrid"]))
    document.section("The product", product, *(drawn[name] for name in _OF_PRODUCT), tables.counts(run))
    document.section("Convergence of the networks", tables.trainings(run))
    document.section("Settings that differ from the abstract", *PAGE.items("settings", run=run))
    run_sections(document, run, {**MODELS, "fitting": "All models", "tables": "Tables"})
    return document.write()


def data_card(run: HybridRun, drawn: Drawn) -> str:
    """The card as Markdown: what is in the table, what was left out, and what it is good for."""
    document = Document(f"Data card: hybrid data set of '{run.data['name']}'", run.path)
    document.add(CARD.text("summary", run=run, method=METHODS[run.method]))
    document.table(Table("Columns of hybrid.parquet.", ("Column", "Meaning"), tuple(COLUMNS.items()), left=(0, 1)))
    deviations = CARD.items("deviations", run=run)
    of_product = (drawn[name] for name in _OF_PRODUCT)
    document.section("Counts and standard deviations", tables.counts(run), *deviations, *of_product)
    document.section("How good the predictions are", tables.splits(run), tables.coverage(run))
    document.section("Physical ranges", tables.ranges(run), *CARD.items("consistency", run=run))
    document.section("Exclusions", *_exclusions(run))
    document.section("Measured values that look wrong", _suspects(run))
    document.section("Use and limits", *CARD.items("limits", run=run))
    document.section("Sources", *CARD.items("sources", run=run))
    return document.markdown()


def _exclusions(run: HybridRun) -> list[Item]:
    """How many rows are left out for each reason, and the first of them."""
    frame = run.tables["exclusions"]
    if not len(frame):
        return ["Nothing was left out."]
    counts = frame.assign(kind=frame["reason"].replace(SAME_KIND, r"\1", regex=True))
    sizes: Any = counts.groupby(["from", "kind"], sort=False).size()
    counts = sizes.reset_index(name="n").to_dict("records")
    more = f" (the first {LISTED} of {len(frame):,}; exclusions.csv has all)" if len(frame) > LISTED else ""
    header = {"id": "Row", "laboratory": "Laboratory", "property": "Property", "from": "Left out of"}
    table = rows_table(frame.head(LISTED), {**header, "reason": "Reason"}, title=f"Exclusions{more}.")
    return [[f"from {one['from']}: {one['kind']}: {one['n']:,}" for one in counts], table]


def _suspects(run: HybridRun) -> Item:
    found = run.tables["suspects"]
    title = CARD.text("suspects", count=len(found))
    columns: dict[Any, Any] = {
        "id": "Row", "laboratory": "Laboratory", "property": "Property", "observed": ("Measured", 2),
        "predicted": ("Predicted out of fold", 2), "score": ("Robust z", 1),
    }  # fmt: skip
    labels, notes = {"property": run.axis}, CARD.notes("suspect_note")
    return rows_table(found.head(50), columns, title=title, labels=labels, notes=notes) if len(found) else title
