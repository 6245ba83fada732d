"""Report of the ablation of the converter: a Fourier neural operator in place of the MLP, figure C.9."""

from __future__ import annotations

import os
from pathlib import Path

from jaxsoil.evaluation.compare import MEAN
from jaxsoil.report.document import Document
from jaxsoil.report.style import save
from jaxsoil.studies.multifidelity.report import parts, scores, spectra
from jaxsoil.studies.multifidelity.report import score_figures as figures
from jaxsoil.studies.multifidelity.report.files import FNO, MultifidelityRun, read_multifidelity_run

MLP = "NIRtoMIR-MLP"


def write_report(run_folder: str | os.PathLike[str]) -> Path:
    """Writes report.md, report.html and figures/ into the folder of a finished run of fno.

    Returns:
      Path of report.html, which needs no other file.

    Raises:
      DataError: if config.json, env.json or scores.csv is missing, or any file is damaged.
    """
    run = read_multifidelity_run(run_folder)
    text = (
        "The operator converts NIR to MIR spectra without a latent space and is trained from scratch on the pairs; the "
        "property models on MIR spectra stay the same."
    )
    document = parts.opening(run, "NIR to MIR by a Fourier neural operator", text)
    _accuracy(document, run)
    spectra.conversion_section(document, run)
    parts.training_section(document, run)
    parts.closing(document, run)
    return document.write(run.path)


def _accuracy(document: Document, run: MultifidelityRun) -> None:
    document.heading("Accuracy of both converters")
    strategies = [name for name in (MLP, FNO) if name in run.strategies]
    if FNO not in strategies:
        document.text(f"The run has no scores of {FNO}.")
        return
    for metric, threshold, best in (("ccc", 0.7, 1.0), ("rpiq", 2.0, None)):
        bars = scores.bars(run, metric, (), strategies)
        drawn = figures.by_property(
            bars, axis_label=f"{metric.upper()} (dimensionless)", threshold=threshold, best=best
        )
        title = "Figure C.9, redrawn" if metric == "ccc" else "The same by RPIQ"
        caption = f"{title}: test set, means over seeds with SD; diamonds: Appendix B, which has the MLP alone."
        document.figure(save(drawn, run.path / "figures", f"figure_c9_{metric}"), caption, run.path)
    found = scores.differences(run, ((FNO, MLP),))
    rows = {str(row["property"]): row for row in found.to_dict("records")}
    if rows:
        each = [row for name, row in rows.items() if name != MEAN]
        below = [scores.label(str(row["property"])) for row in each if row["mean"] < 0.0]
        clear = [scores.label(str(row["property"])) for row in each if row["high"] < 0.0]
        document.bullets(
            [
                f"{FNO} minus {MLP}: {scores.interval(rows[MEAN], 3)} in mean CCC.",
                "The paper, without numbers: the operator is inferior for all properties. Here it is below the MLP for "
                f"{len(below)} of {len(each)} ({', '.join(below) or 'none'}), clearly so for "
                f"{', '.join(clear) or 'none'}.",
            ]
        )
        document.table(scores.difference_by_property(run, found))
    document.table(scores.averages(run))
    document.table(scores.strategy_table(run, strategies))
