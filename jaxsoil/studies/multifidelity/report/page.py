"""Report of the self-supervised multi-fidelity study: Appendices A and B and figures 3 to 7 beside ours."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pandas as pd

from jaxsoil.evaluation.compare import MEAN
from jaxsoil.report.document import Document
from jaxsoil.report.run_files import where
from jaxsoil.report.tables import marked, mean_sd
from jaxsoil.studies.multifidelity.config import SAMPLES
from jaxsoil.studies.multifidelity.report import score_figures as figures
from jaxsoil.studies.multifidelity.report import scores, sections, spectra
from jaxsoil.studies.multifidelity.report.files import PROSE, MultifidelityRun, read_multifidelity_run


def write_report(run_folder: str | os.PathLike[str]) -> Path:
    """Writes report.md, report.html and figures/ into the folder of a finished run.

    Args:
      run_folder: folder with the files named in ``jaxsoil.studies.multifidelity.report.files``; those that are
        optional and absent are named where they would have been shown.

    Returns:
      Path of report.html, which needs no other file.

    Raises:
      DataError: if config.json, env.json or results.csv is missing, or any file is damaged.
    """
    run = read_multifidelity_run(run_folder)
    document = sections.opening(run, "Self-supervised multi-fidelity learning", PROSE.text("opening", run=run))
    found = scores.differences(run)
    document.add(*_facts(run, found))
    if any(run.doubtful(strategy) for strategy in run.strategies):
        document.text(PROSE.text("dagger"))
    document.section("Accuracy on the independent test set")
    for metric, figure, line in (("ccc", 5, "0.7"), ("rpiq", 6, "2")):
        caption = PROSE.text("bars_caption", metric=metric, figure=figure, line=line)
        document.draw(figures.by_property(scores.scored(run, metric), metric), f"figure_{figure}_{metric}", caption)
    document.table(scores.averages(run))
    document.section("Appendix B beside ours", scores.appendix_b(run))
    _comparison(document, run, found)
    tasks = scores.task_table(run) or PROSE.text("missing", what="tasks")
    document.section("One network for all properties, or one for each", tasks)
    sections.summaries_section(document, run)
    spectra.latent_section(document, run)
    spectra.conversion_section(document, run)
    spectra.uncertainty_section(document, run)
    rows = where(found, first=SAMPLES, property=MEAN).to_dict("records")
    averaged = PROSE.text("samples", row=rows[0]) if rows else PROSE.text("missing", what="samples")
    document.section("Several posterior samples against the point conversion", averaged)
    sections.internal_section(document, run)
    spectra.distance_section(document, run)
    sections.curves_section(document, run)
    sections.training_section(document, run)
    sections.closing(document, run)
    return document.write()


def _facts(run: MultifidelityRun, found: pd.DataFrame) -> list[str | list[str]]:
    """The main outcomes: the best strategy, the order beside Appendix B's, three differences."""
    ccc = where(run.averages(), metric="ccc")
    means = {name: mean_sd(where(ccc, strategy=name)["value"]) for name in run.strategies}
    defined = [name for name in run.strategies if math.isfinite(means[name].mean)]
    best = max(defined, key=lambda name: means[name].mean) if defined else ""
    orders = where(run.tables["orders"], property=MEAN).to_dict("records") if "orders" in run.tables else []
    turned = len(scores.disagreements(run))
    contrasts = []
    for first, second in (("MIR-SSL-MLP", "MIR-MLP"), ("NIRtoMIR-SSL-MLP", "NIR-MLP"), ("NIRtoMIR-MLP", "NIR-PLSR")):
        contrasts += where(found, first=first, second=second, property=MEAN).to_dict("records")
    return PROSE.items(
        "facts",
        best=(marked(best, run.doubtful(best)), means[best].text(2)) if best else (),
        orders=[
            {**row, "turned": turned, "pairs": math.comb(len(row["ours"].split(" > ")), 2)}
            for row in orders
            if math.isfinite(row["tau"])
        ],
        contrasts=contrasts,
    )


def _comparison(document: Document, run: MultifidelityRun, found: pd.DataFrame) -> None:
    document.section("Which strategy is better")
    if found.empty:
        document.text(PROSE.text("missing", what="differences"))
        return
    document.draw(figures.differences(found), "differences", PROSE.text("differences_caption"))
    document.add(scores.difference_table(run, found), scores.difference_by_property(run, found))
    if "orders" in run.tables:
        said = PROSE.items("disagreements", rows=scores.disagreements(run), counts=run.data.get("counts", {}))
        document.add(scores.order_table(run.tables["orders"]), *said)
