"""Report of the hybrid data set: how good its predictions are, by honest splits, and the data card of the product."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from jaxsoil.report.document import Document, Item
from jaxsoil.report.prose import Prose
from jaxsoil.report.run_sections import open_document, run_sections
from jaxsoil.report.style import save
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

Drawn = dict[str, tuple[Path, str]]
"""Path and caption of every figure that the data allow, by name."""


def write_report(run_folder: str | os.PathLike[str]) -> Path:
    """Writes report.md, report.html, data_card.md and figures/ into the folder of a finished run.

    Returns:
      Path of report.html, which needs no other file.

    Raises:
      DataError: if a file of the run is missing or damaged, or of an earlier version.
    """
    run = read_run(run_folder)
    made = {name: getattr(figures, name)(run) for name in FIGURES}
    drawn = {
        name: (save(figure, run.path / "figures", name), PAGE.text(f"figure_{name}"))
        for name, figure in made.items()
        if figure is not None
    }
    write_text_atomic(run.path / "data_card.md", data_card(run, drawn))
    document = open_document(run, "The hybrid data set: measured and predicted values")
    counted = ", ".join(f"{name} {run.data['laboratories'][name]:,}" for name in run.laboratories)
    models = {(split, model): MODELS[model] for split in ("random", "laboratory") for model in ("cnn", "plsr")}
    document.add(
        *PAGE.items(
            "opening", run=run, method=METHODS[run.method], counted=counted, models=models, covered=tables.covered(run)
        )
    )
    document.section("Accuracy, by a random split and by laboratory", *tables.accuracy(run))
    _add(document, drawn, "observed_predicted")
    document.add(tables.laboratories(run) if run.data["held_laboratories"] else None)
    intervals = PAGE.text("intervals", construction=run.settings["interval"])
    document.section("Do the intervals cover?", intervals, tables.coverage(run))
    _add(document, drawn, "coverage")
    harmonisation = PAGE.items("harmonisation", methods=run.data["methods"])
    document.section("Harmonisation", *harmonisation, tables.harmonisations(run))
    _add(document, drawn, "harmonisation")
    outliers = PAGE.text("outliers", settings=run.settings)
    document.section("Outliers", outliers, tables.flags(run), *PAGE.items("spoiled", run=run))
    _add(document, drawn, "outliers")
    document.section("Physical ranges", tables.ranges(run))
    document.section("The product", PAGE.text("product", lines=len(run.tables["hybrid"])), tables.counts(run))
    _add(document, drawn, "distributions", "depths", "places")
    document.section("Convergence of the networks", tables.trainings(run))
    document.section("Settings that differ from the abstract", *PAGE.items("settings", run=run))
    run_sections(document, run, {**MODELS, "fitting": "All models", "tables": "Tables"})
    return document.write()


def data_card(run: HybridRun, drawn: Drawn) -> str:
    """The card as Markdown: what is in the table, what was left out, and what it is good for.

    Args:
      run: the run.
      drawn: figures of the report.
    """
    document = Document(f"Data card: hybrid data set of '{run.data['name']}'", run.path)
    document.add(CARD.text("summary", run=run, method=METHODS[run.method]))
    document.table(Table("Columns of hybrid.parquet.", ("Column", "Meaning"), tuple(COLUMNS.items()), left=(0, 1)))
    deviations = CARD.items("deviations", run=run)
    document.section("Counts and standard deviations", tables.counts(run), *deviations)
    _add(document, drawn, "distributions", "depths", "places")
    document.section("How good the predictions are", tables.splits(run), tables.coverage(run))
    document.section("Physical ranges", tables.ranges(run), *CARD.items("consistency", run=run))
    document.section("Exclusions", *_exclusions(run))
    document.section("Measured values that look wrong", _suspects(run))
    document.section("Use and limits", *CARD.items("limits", run=run))
    document.section("Sources", *CARD.items("sources", run=run))
    return document.markdown()


def _add(document: Document, drawn: Drawn, *names: str) -> None:
    for name in names:
        if name in drawn:
            document.figure(*drawn[name])


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
