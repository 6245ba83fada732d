"""Report of the self-supervised multi-fidelity study: Appendices A and B and figures 3 to 7 beside ours."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pandas as pd

from jaxsoil.evaluation.compare import MEAN
from jaxsoil.report.document import Document
from jaxsoil.report.files import where
from jaxsoil.report.style import save
from jaxsoil.report.tables import DAGGER, number, plus_minus
from jaxsoil.studies.multifidelity.report import parts, scores, spectra
from jaxsoil.studies.multifidelity.report import score_figures as figures
from jaxsoil.studies.multifidelity.report.files import SAMPLES, MultifidelityRun, read_multifidelity_run


def write_report(run_folder: str | os.PathLike[str]) -> Path:
    """Writes report.md, report.html and figures/ into the folder of a finished run.

    Args:
      run_folder: folder with the files named in ``jaxsoil.studies.multifidelity.report.files``; those that are
        optional and absent are named where they would have been shown.

    Returns:
      Path of report.html, which needs no other file.

    Raises:
      DataError: if config.json, env.json or scores.csv is missing, or any file is damaged.
    """
    run = read_multifidelity_run(run_folder)
    name = str(run.run.data.get("name", "data"))
    document = Document(f"Self-supervised multi-fidelity learning, data '{name}'")
    found = scores.differences(run)
    _opening(document, run, found)
    _accuracy(document, run)
    _comparison(document, run, found)
    _tasks(document, run)
    parts.summaries_section(document, run)
    spectra.latent_section(document, run)
    spectra.conversion_section(document, run)
    spectra.uncertainty_section(document, run)
    _samples(document, found)
    parts.internal_section(document, run)
    spectra.distance_section(document, run)
    parts.curves_section(document, run)
    parts.training_section(document, run)
    parts.closing(document, run)
    return document.write(run.path)


def _opening(document: Document, run: MultifidelityRun, found: pd.DataFrame) -> None:
    document.text(
        f"{len(run.strategies)} strategies predict {len(run.properties)} soil properties of an independent test set; "
        f"{run.replicates}. A variational autoencoder is trained on MIR scans without labels, "
        "a NIR encoder is fitted to its frozen decoder, and property models take spectra, converted spectra or latent "
        "features. The paper's numbers stand beside ours; its data are other soils from other instruments."
    )
    parts.counts_line(document, run)
    document.bullets([f"Data: {note}" for note in run.run.data.get("notes", ())])
    means = {s: scores.average(run, s, "ccc") for s in run.strategies}
    defined = {s: m for s, m in means.items() if math.isfinite(m.mean)}
    facts = []
    if defined:
        best = max(defined, key=lambda s: defined[s].mean)
        value = plus_minus(defined[best].mean, defined[best].sd, 2)
        facts.append(f"Highest mean CCC over properties: {scores.marked(run, best)}, {value}.")
    agreement = scores.orders(run).get(MEAN)
    if agreement is not None and math.isfinite(agreement.tau):
        facts.append(
            f"Order of the strategies by mean CCC against Appendix B's: Kendall's tau {number(agreement.tau, 2)}, "
            f"{len(agreement.disagreements)} of {math.comb(len(agreement.ours), 2)} pairs the other way round."
        )
    for first, second in (("MIR-SSL-MLP", "MIR-MLP"), ("NIRtoMIR-SSL-MLP", "NIR-MLP"), ("NIRtoMIR-MLP", "NIR-PLSR")):
        rows = where(found, first=first, second=second).to_dict("records")
        facts += [
            f"{first} minus {second}: {scores.interval(row, 3)} in mean CCC (Appendix B {number(row['paper'], 3)})."
            for row in rows
            if row["property"] == MEAN
        ]
    document.bullets(facts)
    if any(run.doubtful(strategy) for strategy in run.strategies):
        document.text(f"A dagger ({DAGGER}) marks every number that rests on a training that did not converge.")


def _accuracy(document: Document, run: MultifidelityRun) -> None:
    document.heading("Accuracy on the independent test set")
    folder = run.path / "figures"
    for metric, name, threshold, best, title in (
        ("ccc", "ccc", 0.7, 1.0, "Figure 5, redrawn: CCC by property and strategy; the line stands at 0.7."),
        ("rpiq", "rpiq", 2.0, None, "Figure 6, redrawn: RPIQ by property and strategy; the line stands at 2."),
    ):
        label = "CCC (dimensionless)" if metric == "ccc" else "RPIQ (dimensionless)"
        bars = scores.bars(run, metric)
        drawn = figures.by_property(bars, axis_label=label, threshold=threshold, best=best)
        caption = f"{title} Bars: mean over seeds, with SD; diamonds: Appendix B (NAPT, other soils than here)."
        document.figure(save(drawn, folder, f"figure_{5 if metric == 'ccc' else 6}_{name}"), caption, run.path)
    document.table(scores.averages(run))
    document.heading("Appendix B beside ours")
    document.table(scores.appendix_b(run))


def _comparison(document: Document, run: MultifidelityRun, found: pd.DataFrame) -> None:
    document.heading("Which strategy is better")
    if found.empty:
        document.text("The run has no two strategies that are compared here.")
        return
    lines = scores.difference_lines(found, run.properties)
    caption = (
        "Differences in CCC on the test set, paired by seed: mean over properties with its 95 % interval over seeds, "
        "each property as a tick, and the difference in Appendix B."
    )
    drawn = figures.differences(lines, axis_label="Difference in CCC (dimensionless)")
    document.figure(save(drawn, run.path / "figures", "differences"), caption, run.path)
    document.table(scores.difference_table(run, found))
    document.table(scores.difference_by_property(run, found))
    agreements = scores.orders(run)
    if agreements:
        document.table(scores.order_table(agreements))
        listed = scores.disagreements(run, agreements[MEAN])
        document.text("Disagreements with Appendix B in the mean over properties:" if listed else _AGREE)
        document.bullets(listed)
        counts = run.run.data.get("counts")
        if listed and isinstance(counts, dict) and {"labelled", "pairs"} <= set(counts):
            document.text(
                f"What is known to differ: {counts['labelled']:,} labelled samples and {counts['pairs']:,} pairs here "
                "against 51,508 and 2,016, other soils and instruments, and architectures and training that the paper "
                "does not publish. The curves over the number of labels show how far the order depends on it; "
                "the distances show how far the test set lies from the training rows. Nothing was tuned to the order."
            )


_AGREE = "No pair of strategies stands the other way round than in Appendix B in the mean over properties."


def _tasks(document: Document, run: MultifidelityRun) -> None:
    document.heading("One network for all properties, or one for each")
    table = scores.task_table(run)
    if table is None:
        document.text("The run did not train both, so there is nothing to compare.")
    else:
        document.table(table)


def _samples(document: Document, found: pd.DataFrame) -> None:
    document.heading("Several posterior samples against the point conversion")
    rows = where(found, first=SAMPLES, property=MEAN).to_dict("records")
    if not rows:
        document.text("The run has no variant with several posterior samples.")
        return
    row = rows[0]
    if not math.isfinite(row["low"]):
        outcome = "With one seed there is no interval."
    elif row["low"] > 0.0:
        outcome = "It beats the point conversion."
    elif row["high"] < 0.0:
        outcome = "It is worse than the point conversion."
    else:
        outcome = "It does not beat the point conversion: the interval includes 0."
    document.text(
        "Property models that see several samples of the latent posterior of a NIR spectrum and average their "
        f"predictions, minus those that see its mean: {scores.interval(row, 3)} in mean CCC. {outcome}"
    )
