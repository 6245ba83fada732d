"""Report of the self-supervised multi-fidelity study: Appendices A and B and figures 3 to 7 beside ours."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pandas as pd

from jaxsoil.evaluation.compare import MEAN
from jaxsoil.report.document import Document
from jaxsoil.report.run_files import where
from jaxsoil.report.tables import DAGGER, marked, mean_sd, number
from jaxsoil.studies.multifidelity.config import SAMPLES
from jaxsoil.studies.multifidelity.report import score_figures as figures
from jaxsoil.studies.multifidelity.report import scores, sections, spectra
from jaxsoil.studies.multifidelity.report.files import MultifidelityRun, read_multifidelity_run


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
    text = (
        f"{len(run.strategies)} strategies predict {len(run.properties)} soil properties of an independent test set; "
        f"{run.replicates}. A variational autoencoder is trained on MIR scans without labels, "
        "a NIR encoder is fitted to its frozen decoder, and property models take spectra, converted spectra or latent "
        "features. The paper's numbers stand beside ours; its data are other soils from other instruments."
    )
    document = sections.opening(run, "Self-supervised multi-fidelity learning", text)
    found = scores.differences(run)
    document.bullets(_facts(run, found))
    if any(run.doubtful(strategy) for strategy in run.strategies):
        document.text(f"A dagger ({DAGGER}) marks every number that rests on a training that did not converge.")
    _accuracy(document, run)
    _comparison(document, run, found)
    document.section(
        "One network for all properties, or one for each",
        scores.task_table(run) or "The run did not train both, so there is nothing to compare.",
    )
    sections.summaries_section(document, run)
    spectra.latent_section(document, run)
    spectra.conversion_section(document, run)
    spectra.uncertainty_section(document, run)
    document.section("Several posterior samples against the point conversion", _samples(found))
    sections.internal_section(document, run)
    spectra.distance_section(document, run)
    sections.curves_section(document, run)
    sections.training_section(document, run)
    sections.closing(document, run)
    return document.write()


def _facts(run: MultifidelityRun, found: pd.DataFrame) -> list[str]:
    """The main outcomes: the best strategy, the order beside Appendix B's, three differences."""
    ccc = where(run.averages(), metric="ccc")
    means = {name: mean_sd(where(ccc, strategy=name)["value"]) for name in run.strategies}
    defined = [name for name in run.strategies if math.isfinite(means[name].mean)]
    facts = []
    if defined:
        best = max(defined, key=lambda name: means[name].mean)
        name = marked(best, run.doubtful(best))
        facts.append(f"Highest mean CCC over properties: {name}, {means[best].text(2)}.")
    for row in where(run.tables["orders"], property=MEAN).to_dict("records") if "orders" in run.tables else ():
        if math.isfinite(row["tau"]):
            facts.append(
                f"Order of the strategies by mean CCC against Appendix B's: Kendall's tau {number(row['tau'], 2)}, "
                f"{len(scores.crossed_pairs(run))} of {math.comb(len(row['ours'].split(' > ')), 2)} pairs the other "
                "way round."
            )
    for first, second in (("MIR-SSL-MLP", "MIR-MLP"), ("NIRtoMIR-SSL-MLP", "NIR-MLP"), ("NIRtoMIR-MLP", "NIR-PLSR")):
        facts += [
            f"{row['title']}: {scores.interval(row)} in mean CCC (Appendix B {number(row['paper'], 3)})."
            for row in where(found, first=first, second=second, property=MEAN).to_dict("records")
        ]
    return facts


def _accuracy(document: Document, run: MultifidelityRun) -> None:
    document.section("Accuracy on the independent test set")
    for metric, figure, line in (("ccc", 5, "0.7"), ("rpiq", 6, "2")):
        caption = (
            f"Figure {figure}, redrawn: {metric.upper()} by property and strategy; the line stands at {line}. Bars: "
            "mean over seeds, with SD; diamonds: Appendix B (NAPT, other soils than here)."
        )
        document.draw(figures.by_property(scores.scored(run, metric), metric), f"figure_{figure}_{metric}", caption)
    document.table(scores.averages(run))
    document.section("Appendix B beside ours", scores.appendix_b(run))


def _comparison(document: Document, run: MultifidelityRun, found: pd.DataFrame) -> None:
    document.section("Which strategy is better")
    if found.empty:
        document.text("The run has no two strategies that are compared here.")
        return
    caption = (
        "Differences in CCC on the test set, paired by seed: mean over properties with its 95 % interval over seeds, "
        "each property as a tick, and the difference in Appendix B."
    )
    document.draw(figures.differences(found), "differences", caption)
    document.add(scores.difference_table(run, found), scores.difference_by_property(run, found))
    if "orders" not in run.tables:
        return
    listed = scores.disagreements(run)
    agree = "No pair of strategies stands the other way round than in Appendix B in the mean over properties."
    heading = "Disagreements with Appendix B in the mean over properties:"
    document.add(scores.order_table(run.tables["orders"]), heading if listed else agree, listed)
    counts = run.data.get("counts", {})
    if listed and {"labelled", "pairs"} <= set(counts):
        document.text(
            f"What is known to differ: {counts['labelled']:,} labelled samples and {counts['pairs']:,} pairs here "
            "against 51,508 and 2,016, other soils and instruments, and architectures and training that the paper "
            "does not publish. The curves over the number of labels show how far the order depends on it; "
            "the distances show how far the test set lies from the training rows. Nothing was tuned to the order."
        )


def _samples(found: pd.DataFrame) -> str:
    rows = where(found, first=SAMPLES, property=MEAN).to_dict("records")
    if not rows:
        return "The run has no variant with several posterior samples."
    row = rows[0]
    if not math.isfinite(row["low"]):
        outcome = "With one seed there is no interval."
    elif row["low"] > 0.0:
        outcome = "It beats the point conversion."
    elif row["high"] < 0.0:
        outcome = "It is worse than the point conversion."
    else:
        outcome = "It does not beat the point conversion: the interval includes 0."
    return (
        "Property models that see several samples of the latent posterior of a NIR spectrum and average their "
        f"predictions, minus those that see its mean: {scores.interval(row)} in mean CCC. {outcome}"
    )
