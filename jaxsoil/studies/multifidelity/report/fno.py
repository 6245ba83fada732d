"""Report of the ablation of the converter: a Fourier neural operator in place of the MLP, figure C.9."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from jaxsoil.evaluation.compare import MEAN
from jaxsoil.report.document import Document
from jaxsoil.studies.multifidelity.config import FNO
from jaxsoil.studies.multifidelity.report import score_figures as figures
from jaxsoil.studies.multifidelity.report import scores, sections, spectra
from jaxsoil.studies.multifidelity.report.files import MultifidelityRun, label, read_multifidelity_run

MLP = "NIRtoMIR-MLP"


def write_report(run_folder: str | os.PathLike[str]) -> Path:
    """Writes report.md, report.html and figures/ into the folder of a finished run of fno.

    Returns:
      Path of report.html, which needs no other file.

    Raises:
      DataError: if config.json, env.json or results.csv is missing, or any file is damaged.
    """
    run = read_multifidelity_run(run_folder)
    text = (
        "The operator converts NIR to MIR spectra without a latent space and is trained from scratch on the pairs; the "
        "property models on MIR spectra stay the same."
    )
    document = sections.opening(run, "NIR to MIR by a Fourier neural operator", text)
    _accuracy(document, run)
    spectra.conversion_section(document, run)
    sections.training_section(document, run)
    sections.closing(document, run)
    return document.write()


def _accuracy(document: Document, run: MultifidelityRun) -> None:
    document.section("Accuracy of both converters")
    strategies = [name for name in (MLP, FNO) if name in run.strategies]
    if FNO not in strategies:
        document.text(f"The run has no scores of {FNO}.")
        return
    for metric, title in (("ccc", "Figure C.9, redrawn"), ("rpiq", "The same by RPIQ")):
        table = scores.scored(run, metric)
        drawn = figures.by_property(pd.DataFrame(table[table["strategy"].isin(strategies)]), metric)
        caption = f"{title}: test set, means over seeds with SD; diamonds: Appendix B, which has the MLP alone."
        document.draw(drawn, f"figure_c9_{metric}", caption)
    found = scores.differences(run, ((FNO, MLP),))
    rows = {str(row["property"]): row for row in found.to_dict("records")}
    if rows:
        each = {label(name): row for name, row in rows.items() if name != MEAN}
        below = [name for name, row in each.items() if row["mean"] < 0.0]
        clear = [name for name, row in each.items() if row["high"] < 0.0]
        facts = (
            f"{FNO} minus {MLP}: {scores.interval(rows[MEAN])} in mean CCC.",
            "The paper, without numbers: the operator is inferior for all properties. Here it is below the MLP for "
            f"{len(below)} of {len(each)} ({', '.join(below) or 'none'}), clearly so for {', '.join(clear) or 'none'}.",
        )
        document.add(facts, scores.difference_by_property(run, found))
    document.add(scores.averages(run), scores.strategy_table(run, strategies))
