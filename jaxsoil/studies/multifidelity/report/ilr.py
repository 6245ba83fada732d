"""Report of the ablation of the isometric log-ratio: figure 8, and what clay, silt and sand sum to."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from jaxsoil.data.properties import TEXTURE
from jaxsoil.evaluation.compare import MEAN
from jaxsoil.report.document import Document
from jaxsoil.report.run_files import where
from jaxsoil.report.tables import rows_table
from jaxsoil.studies.multifidelity.config import MIR_ILR, NIR_ILR, STRATEGY
from jaxsoil.studies.multifidelity.report import score_figures as figures
from jaxsoil.studies.multifidelity.report import scores, sections
from jaxsoil.studies.multifidelity.report.files import MultifidelityRun, label, read_multifidelity_run

PAIRS = ((MIR_ILR, "MIR-MLP"), (NIR_ILR, "NIRtoMIR-MLP"))
"""With and without ILR."""

ORDER = tuple(name for pair in PAIRS for name in reversed(pair))

CLAIMS = {MIR_ILR: (1, "better with ILR"), NIR_ILR: (-1, "worse with ILR on the independent test set")}
"""What section 3.5 says of clay, silt and sand: the sign of the difference, and in words; it gives no numbers."""


def write_report(run_folder: str | os.PathLike[str]) -> Path:
    """Writes report.md, report.html and figures/ into the folder of a finished run of ilr.

    Returns:
      Path of report.html, which needs no other file.

    Raises:
      DataError: if config.json, env.json or results.csv is missing, or any file is damaged.
    """
    run = read_multifidelity_run(run_folder)
    text = (
        "With the isometric log-ratio a network predicts two coordinates, and clay, silt and sand after the way back "
        "sum to 100 %. The same networks without it predict the three on their own."
    )
    document = sections.opening(run, "Clay, silt and sand as a composition", text)
    _accuracy(document, run)
    _sums(document, run)
    sections.training_section(document, run)
    sections.closing(document, run)
    return document.write()


def _accuracy(document: Document, run: MultifidelityRun) -> None:
    document.section("Accuracy with and without ILR")
    strategies = [name for name in ORDER if name in run.strategies]
    if not set(TEXTURE) & set(run.properties) or not any(STRATEGY[name].ilr for name in strategies):
        document.text("The run has no network with ILR, or no clay, silt and sand.")
        return
    table = scores.scored(run, "ccc")
    shown = pd.DataFrame(table[table["property"].isin(TEXTURE) & table["strategy"].isin(strategies)])
    shown = shown.sort_values("strategy", key=lambda names: names.map(ORDER.index), kind="stable")
    caption = (
        "Figure 8, redrawn: CCC on the test set with (green) and without ILR; bars are means over seeds with SD, "
        "diamonds Appendix B, which has the rows without ILR."
    )
    document.draw(figures.by_property(shown, "ccc", line=False), "figure_8_ilr", caption)
    found = scores.differences(run, PAIRS)
    document.add(_outcomes(found), scores.strategy_table(run, strategies), scores.difference_by_property(run, found))


def _outcomes(found: pd.DataFrame) -> list[str]:
    """Each claim of section 3.5 beside what was found."""
    sentences = []
    for first, second in PAIRS:
        rows = {str(row["property"]): row for row in where(found, first=first, second=second).to_dict("records")}
        shown = {label(name): rows[name] for name in TEXTURE if name in rows}
        if not shown:
            continue
        sign, words = CLAIMS[first]
        agree = [name for name, row in shown.items() if sign * float(row["mean"]) > 0.0]
        clear = [name for name, row in shown.items() if row["low"] > 0.0 or row["high"] < 0.0]
        listed = ", ".join(f"{name} {scores.interval(row)}" for name, row in shown.items())
        sentences.append(
            f"{first} minus {second} in CCC: {listed}. The paper's claim, {words}, holds here for "
            f"{', '.join(agree) or 'none'}; intervals without 0: {', '.join(clear) or 'none'}. "
            f"Mean over all properties: {scores.interval(rows[MEAN])}."
        )
    return sentences


def _sums(document: Document, run: MultifidelityRun) -> None:
    document.section("What clay, silt and sand sum to")
    sums = run.tables.get("texture_sums")
    if sums is None:
        document.text("The run folder has no predictions of clay, silt and sand.")
        return
    known = (*ORDER, *run.strategies)
    sums = sums.sort_values("strategy", key=lambda names: names.map(known.index), kind="stable")
    caption = "Sum of predicted clay, silt and sand on the test set: median, quartiles (thick), 1st to 99th percentile."
    document.draw(figures.texture_sums(sums), "texture_sums", caption)
    marked = sums.assign(doubtful=[bool(run.doubtful(name)) for name in sums["strategy"]])
    title = "Sums over samples and seeds, in % of the fine earth."
    document.table(
        rows_table(
            marked,
            {
                "strategy": "Strategy",
                "mean": ("Mean (%)", 2),
                "sd": ("SD (%)", 2),
                "min": ("Min (%)", 2),
                "max": ("Max (%)", 2),
                "gap": ("Largest |sum − 100| (%)", "{:.1e}"),
            },
            title=title,
            marks={"strategy": "doubtful"},
        )
    )
    loose = [name for name in sums["strategy"][sums["gap"] > 1e-3] if STRATEGY[name].ilr]
    if loose:
        document.text(f"Sums of {', '.join(loose)} miss 100 % by more than rounding of float32: this is a fault.")
