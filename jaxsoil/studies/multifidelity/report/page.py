"""Reports of the multi-fidelity study: Appendices A and B and figures 3 to 7 beside ours, and of its two ablations:
texture as a composition (figure 8), and a Fourier neural operator (figure C.9).
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pandas as pd

from jaxsoil.data.properties import TEXTURE
from jaxsoil.evaluation.compare import MEAN
from jaxsoil.report.document import Document
from jaxsoil.report.run_files import where
from jaxsoil.report.run_sections import open_document
from jaxsoil.report.tables import marked, mean_sd, rows_table
from jaxsoil.studies.multifidelity.config import CARRY_OVER, FNO, MIR_ILR, NIR_ILR, RIDGE, SAMPLES, STRATEGY
from jaxsoil.studies.multifidelity.report import score_figures as figures
from jaxsoil.studies.multifidelity.report import scores, sections, spectra
from jaxsoil.studies.multifidelity.report.files import PROSE, MultifidelityRun, clear, interval, label, read_run

MLP = "NIRtoMIR-MLP"

PAIRS = ((MIR_ILR, "MIR-MLP"), (NIR_ILR, MLP))
"""With and without ILR."""

ORDER = tuple(name for pair in PAIRS for name in reversed(pair))

CLAIMS = {MIR_ILR: (1, "better with ILR"), NIR_ILR: (-1, "worse with ILR on the independent test set")}
"""What section 3.5 says of clay, silt and sand: the sign of the difference, and in words; it gives no numbers."""


_ACCURACY = "Accuracy on the independent test set"
_CONVERTERS = "Accuracy of both converters"


def write_report(run_folder: str | os.PathLike[str]) -> Path:
    """Writes report.md, report.html and figures/ into the folder of a finished run of multifidelity, ilr or fno.

    The files are named in ``jaxsoil.studies.multifidelity.report.files``; those that are optional and absent are named
    where they would have been shown. Without config.json, env.json or results.csv, and where a file is damaged, it
    raises DataError. Returns the path of report.html, which needs no other file.
    """
    run = read_run(run_folder)
    experiment = run.config.get("experiment")
    title, write = {
        "fno": ("NIR to MIR by a Fourier neural operator", _operator),
        "ilr": ("Clay, silt and sand as a composition", _compositions),
    }.get(str(experiment), ("Self-supervised multi-fidelity learning", _study))
    document = open_document(run, title)
    write(document, run)
    sections.training_section(document, run)
    sections.closing(document, run)
    return document.write()


def _study(document: Document, run: MultifidelityRun) -> None:
    found, averages = scores.differences(run), scores.averages(run)
    bars = {}
    for metric, number, line in (("ccc", 5, "0.7"), ("rpiq", 6, "2")):
        caption = PROSE.text("bars_caption", metric=metric, figure=number, line=line)
        figure = figures.by_property(scores.scored(run, metric), metric)
        bars[metric] = document.picture(figure, f"figure_{number}_{metric}", caption)
    compared = None
    if not found.empty:
        compared = document.picture(figures.differences(found), "differences", PROSE.text("differences_caption"))
    words = PROSE.text("found", **_found(run))
    document.opening(words, compared or bars["ccc"], scores.short(run, averages), _ACCURACY)
    dagger = PROSE.text("dagger") if any(run.doubtful(strategy) for strategy in run.strategies) else ""
    sections.run_section(document, run, PROSE.text("opening", run=run), *_facts(run, found), dagger)
    document.section(_ACCURACY, bars["ccc"] if compared else None, bars["rpiq"], averages)
    sections.parts_section(document, run)
    document.section("Appendix B beside ours", scores.appendix_b(run))
    _comparison(document, run, found)
    tasks = scores.task_table(run) or PROSE.text("missing", what="tasks")
    document.section("One network for all properties, or one for each", tasks)
    sections.summaries_section(document, run)
    sections.instruments_section(document, run)
    sections.reconstruction_section(document, run)
    spectra.latent_section(document, run)
    spectra.conversion_section(document, run)
    spectra.uncertainty_section(document, run)
    rows = where(found, first=SAMPLES, property=MEAN).to_dict("records")
    averaged = PROSE.text("samples", row=rows[0]) if rows else PROSE.text("missing", what="samples")
    document.section("Several posterior samples against the point conversion", averaged)
    if "reference" not in run.tables:
        sections.internal_section(document, run)
    spectra.distance_section(document, run)
    sections.curves_section(document, run)


def _found(run: MultifidelityRun) -> dict[str, Any]:
    """What the first three sentences of the report need: best strategies, two differences, and how sure they are."""
    ccc, found = where(run.averages(), metric="ccc"), where(scores.differences(run), property=MEAN)
    means = {name: mean_sd(where(ccc, strategy=name)["value"]).mean for name in run.strategies}
    best, claims, sizes, penalised = [], [], [], []
    for span, paired in (("MIR", False), ("NIR", True)):
        mine = [(m, name) for name, m in means.items() if math.isfinite(m) and STRATEGY[name].needs_pairs is paired]
        best += [(span, *max(mine))] if mine else []
    for first, second in (("MIR-SSL-MLP", "MIR-MLP"), ("NIRtoMIR-SSL-MLP", "NIR-MLP")):
        claims += where(found, first=first, second=second).to_dict("records")
    if "instrument_differences" in run.tables:
        of_sizes = run.tables["instrument_differences"]
        sizes = where(of_sizes, first="MIR-SSL-MLP", second="MIR-MLP").to_dict("records")
        penalised = where(of_sizes, first=CARRY_OVER, second=RIDGE).to_dict("records") if sizes else []
    sure = sum(clear(row) for row in found.to_dict("records"))
    words = {"best": best, "claims": claims, "every": len(found), "sure": sure}
    return {"run": run, **words, "sizes": sizes, "penalised": penalised}


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
    orders = [
        {**row, "turned": turned, "pairs": math.comb(len(row["ours"].split(" > ")), 2)}
        for row in orders
        if math.isfinite(row["tau"])
    ]
    named = (marked(best, run.doubtful(best)), means[best].text(2)) if best else ()
    return PROSE.items("facts", best=named, orders=orders, contrasts=contrasts)


def _comparison(document: Document, run: MultifidelityRun, found: pd.DataFrame) -> None:
    document.section("Which strategy is better")
    if found.empty:
        document.text(PROSE.text("missing", what="differences"))
        return
    document.add(scores.difference_table(run, found), scores.difference_by_property(run, found))
    if "orders" in run.tables:
        said = PROSE.items("disagreements", rows=scores.disagreements(run), counts=run.data.get("counts", {}))
        document.add(scores.order_table(run.tables["orders"]), *said)


def _operator(document: Document, run: MultifidelityRun) -> None:
    strategies = [name for name in (MLP, FNO) if name in run.strategies]
    drawn = {}
    for metric in ("ccc", "rpiq") if FNO in strategies else ():
        table = scores.scored(run, metric)
        figure = figures.by_property(pd.DataFrame(table[table["strategy"].isin(strategies)]), metric)
        drawn[metric] = document.picture(figure, f"figure_c9_{metric}", PROSE.text("fno_caption", metric=metric))
    document.opening(PROSE.text("fno_opening"), drawn.get("ccc"), scores.averages(run), _CONVERTERS)
    sections.run_section(document, run)
    document.section(_CONVERTERS)
    if FNO in strategies:
        found = scores.differences(run, ((FNO, MLP),))
        rows = {str(row["property"]): row for row in found.to_dict("records")}
        if rows:
            each = {label(name): row for name, row in rows.items() if name != MEAN}
            below = [name for name, row in each.items() if row["mean"] < 0.0]
            surely = [name for name, row in each.items() if clear(row) and row["mean"] < 0.0]
            said = PROSE.items("fno_outcomes", mean=rows[MEAN], each=each, below=below, clear=surely)
            document.add(*said, scores.difference_by_property(run, found))
        document.add(drawn["rpiq"], scores.averages(run), scores.strategy_table(run, strategies))
    else:
        document.text(PROSE.text("missing", what="fno"))
    spectra.conversion_section(document, run)


def _compositions(document: Document, run: MultifidelityRun) -> None:
    strategies = [name for name in ORDER if name in run.strategies]
    possible = bool(set(TEXTURE) & set(run.properties)) and any(STRATEGY[name].ilr for name in strategies)
    table = scores.scored(run, "ccc")
    shown = pd.DataFrame(table[table["property"].isin(TEXTURE) & table["strategy"].isin(strategies)])
    shown = shown.sort_values("strategy", key=lambda names: names.map(ORDER.index), kind="stable")
    figure = figures.by_property(shown, "ccc", line=False) if possible else None
    found = scores.differences(run, PAIRS)
    by_property = scores.difference_by_property(run, found) if possible else None
    picture = document.picture(figure, "figure_8_ilr", PROSE.text("ilr_caption"))
    document.opening(PROSE.text("ilr_opening"), picture, by_property)
    sections.run_section(document, run)
    document.section("Accuracy with and without ILR")
    if possible:
        document.add(*PROSE.items("ilr_outcomes", claims=_claims(found)), scores.strategy_table(run, strategies))
    else:
        document.text(PROSE.text("missing", what="ilr"))
    _sums(document, run)


def _claims(found: pd.DataFrame) -> list[dict[str, Any]]:
    """What the paper claims of each pair with and without ILR, beside our differences."""
    claims = []
    for first, second in PAIRS:
        rows = {str(row["property"]): row for row in where(found, first=first, second=second).to_dict("records")}
        mine = {label(name): rows[name] for name in TEXTURE if name in rows}
        sign, words = CLAIMS[first]
        listed = [f"{name} {interval(row)}" for name, row in mine.items()]
        agree = [name for name, row in mine.items() if sign * float(row["mean"]) > 0.0]
        claim = {"first": first, "second": second, "words": words, "listed": listed, "agree": agree}
        claim |= {"sure": [name for name, row in mine.items() if clear(row)]}
        claims += [claim | {"mean": rows[MEAN]}] if mine else []
    return claims


def _sums(document: Document, run: MultifidelityRun) -> None:
    document.section("What clay, silt and sand sum to")
    sums = run.tables.get("texture_sums")
    if sums is None:
        document.text(PROSE.text("missing", what="texture_sums"))
        return
    known = (*ORDER, *run.strategies)
    sums = sums.sort_values("strategy", key=lambda names: names.map(known.index), kind="stable")
    document.draw(figures.texture_sums(sums), "texture_sums", PROSE.text("sums_caption"))
    columns = {"mean": "Mean (%)", "sd": "SD (%)", "min": "Min (%)", "max": "Max (%)"}
    shown: Any = {"strategy": "Strategy", **{name: (heading, 2) for name, heading in columns.items()}}
    shown["gap"] = ("Largest |sum − 100| (%)", "{:.1e}")
    title = "Sums over samples and seeds, in % of the fine earth."
    table = rows_table(run.with_doubts(sums), shown, title=title, marks={"strategy": "doubtful"})
    loose = [name for name in sums["strategy"][sums["gap"] > 1e-3] if STRATEGY[name].ilr]
    document.add(table, PROSE.text("sums_fault", loose=loose))
