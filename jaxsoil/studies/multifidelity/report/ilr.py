"""Report of the ablation of the isometric log-ratio: figure 8, and what clay, silt and sand sum to."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pandas as pd

from jaxsoil.data.properties import TEXTURE
from jaxsoil.evaluation.compare import MEAN
from jaxsoil.report.document import Document
from jaxsoil.report.files import where
from jaxsoil.report.style import save
from jaxsoil.report.tables import Table, number
from jaxsoil.studies.multifidelity.report import parts, scores
from jaxsoil.studies.multifidelity.report import score_figures as figures
from jaxsoil.studies.multifidelity.report.files import (
    MIR_ILR,
    NIR_ILR,
    NO_TASK,
    TEST,
    MultifidelityRun,
    in_order,
    numbers,
    read_multifidelity_run,
    split_by,
)

PAIRS = ((MIR_ILR, "MIR-MLP"), (NIR_ILR, "NIRtoMIR-MLP"))
"""With and without ILR."""

CLAIMS = {
    MIR_ILR: (1, "better with ILR"),
    NIR_ILR: (-1, "worse with ILR on the independent test set"),
}
"""What section 3.5 says of clay, silt and sand: the sign of the difference, and in words; it gives no numbers."""


def write_report(run_folder: str | os.PathLike[str]) -> Path:
    """Writes report.md, report.html and figures/ into the folder of a finished run of ilr.

    Returns:
      Path of report.html, which needs no other file.

    Raises:
      DataError: if config.json, env.json or scores.csv is missing, or any file is damaged.
    """
    run = read_multifidelity_run(run_folder)
    text = (
        "With the isometric log-ratio a network predicts two coordinates, and clay, silt and sand after the way back "
        "sum to 100 %. The same networks without it predict the three on their own."
    )
    document = parts.opening(run, "Clay, silt and sand as a composition", text)
    _accuracy(document, run)
    _sums(document, run)
    parts.training_section(document, run)
    parts.closing(document, run)
    return document.write(run.path)


def _accuracy(document: Document, run: MultifidelityRun) -> None:
    document.heading("Accuracy with and without ILR")
    strategies = [name for pair in PAIRS for name in reversed(pair) if name in run.strategies]
    texture = [name for name in TEXTURE if name in run.properties]
    if not texture or not any(pair[0] in strategies for pair in PAIRS):
        document.text("The run has no network with ILR, or no clay, silt and sand.")
        return
    bars = scores.bars(run, "ccc", texture, strategies)
    drawn = figures.by_property(bars, axis_label="CCC (dimensionless)", threshold=math.nan, best=1.0)
    caption = (
        "Figure 8, redrawn: CCC on the test set with (green) and without ILR; bars are means over seeds with SD, "
        "diamonds Appendix B, which has the rows without ILR."
    )
    document.figure(save(drawn, run.path / "figures", "figure_8_ilr"), caption, run.path)
    found = scores.differences(run, PAIRS)
    document.bullets(_outcomes(found, texture))
    document.table(scores.strategy_table(run, strategies))
    document.table(scores.difference_by_property(run, found))


def _outcomes(found: pd.DataFrame, texture: list[str]) -> list[str]:
    """Each claim of section 3.5 beside what was found."""
    sentences = []
    for first, second in PAIRS:
        rows = {str(row["property"]): row for row in where(found, first=first, second=second).to_dict("records")}
        shown = [rows[name] for name in texture if name in rows]
        if not shown:
            continue
        sign, words = CLAIMS[first]
        agree = [scores.label(str(row["property"])) for row in shown if sign * float(row["mean"]) > 0.0]
        clear = [scores.label(str(row["property"])) for row in shown if row["low"] > 0.0 or row["high"] < 0.0]
        listed = ", ".join(f"{scores.label(str(r['property']))} {scores.interval(r, 3)}" for r in shown)
        others = rows.get(MEAN)
        whole = "" if others is None else f" Mean over all properties: {scores.interval(others, 3)}."
        sentences.append(
            f"{first} minus {second} in CCC: {listed}. The paper's claim, {words}, holds here for "
            f"{', '.join(agree) or 'none'}; intervals without 0: {', '.join(clear) or 'none'}.{whole}"
        )
    return sentences


def texture_sums(run: MultifidelityRun, which: str = TEST) -> dict[str, np.ndarray]:
    """Predicted clay + silt + sand in % of each strategy, (n,), over seeds and samples of a set."""
    if run.predictions is None:
        return {}
    mine = where(run.predictions, set=which)
    chosen = mine["property"].isin(TEXTURE) & mine["task"].isin((run.task, NO_TASK))
    found = {}
    for strategy, rows in split_by(pd.DataFrame(mine.loc[np.asarray(chosen, dtype=bool)]), "strategy"):
        grouped = rows.groupby(["seed", "id"])["predicted"].agg(["sum", "count"])
        whole = numbers(pd.DataFrame(grouped), "sum")[numbers(pd.DataFrame(grouped), "count") == len(TEXTURE)]
        if whole.size:
            found[str(strategy)] = whole
    order = [name for pair in PAIRS for name in reversed(pair)]
    return {name: found[name] for name in in_order(run.strategies, order) if name in found}


def _sums(document: Document, run: MultifidelityRun) -> None:
    document.heading("What clay, silt and sand sum to")
    sums = texture_sums(run)
    if not sums:
        document.text("The run folder has no predictions of clay, silt and sand.")
        return
    drawn = figures.texture_sums(sums)
    caption = "Sum of predicted clay, silt and sand on the test set: median, quartiles (thick), 1st to 99th percentile."
    document.figure(save(drawn, run.path / "figures", "texture_sums"), caption, run.path)
    rows = tuple(
        (
            scores.marked(run, strategy),
            number(float(values.mean()), 2),
            number(float(values.std()), 2),
            number(float(values.min()), 2),
            number(float(values.max()), 2),
            f"{float(np.abs(values - 100.0).max()):.1e}",
        )
        for strategy, values in sums.items()
    )
    header = ("Strategy", "Mean (%)", "SD (%)", "Min (%)", "Max (%)", "Largest |sum − 100| (%)")
    document.table(Table("Sums over samples and seeds, in % of the fine earth.", header, rows))
    loose = [name for name, values in sums.items() if "ILR" in name and np.abs(values - 100.0).max() > 1e-3]
    if loose:
        document.text(f"Sums of {', '.join(loose)} miss 100 % by more than rounding of float32: this is a fault.")
