"""Report of the hybrid data set: how good its predictions are, by honest splits, and the data card of the product."""

from __future__ import annotations

import os
from pathlib import Path

from jaxsoil.report.document import Document
from jaxsoil.report.run_sections import open_document, run_sections
from jaxsoil.report.style import save
from jaxsoil.report.tables import number
from jaxsoil.runs.files import write_text_atomic
from jaxsoil.studies.hybrid.report import figures, tables
from jaxsoil.studies.hybrid.report.card import data_card
from jaxsoil.studies.hybrid.report.files import METHODS, MODELS, HybridRun, read_run
from jaxsoil.studies.hybrid.results import ALL, FLAGGING, MEASURED, PREDICTED, PRODUCT

_CONSTRUCTIONS = {
    "cv": "They lie around the mean of all folds' networks (CV); CV+, from each fold's own, is wider and holds a "
    "guarantee (--interval cv+).",
    "cv+": "They are made from each fold's own networks (CV+), which covers more than asked for where the folds "
    "disagree; CV, around their mean, is narrower (--interval cv).",
}
TEXTS = {
    "opening": "{rows:,} spectra of {samples:,} samples from {number} laboratories ({counted}); {bands} bands, "
    "{axis[0]:g}-{axis[1]:g} {unit}, SNV, harmonisation: {method}. For each property a convolutional network is "
    "trained on the measured pairs and fills what was not measured; measured values stay as they are, to the bit.",
    "intervals": "Intervals are cross-fitted: residuals out of fold over the spread of the ensemble (with the median "
    "residual as its floor), on the learning scale, so that intervals of contents widen with the content and end at "
    "the physical range. {construction}",
    "harmonisation": "Direct standardisation maps each band of a laboratory from a window of bands to the reference "
    "laboratory, on samples that both scanned (piecewise, ridge towards the identity).",
    "no direct": "It is left out: no two laboratories share enough samples.",
    "outliers": "Spectra are judged in the space of {pca_components} principal components of the training rows: by "
    "Mahalanobis distance within it and by what it does not reproduce, each against its data-driven chi-square limit "
    "(alpha {flag_alpha:g} for the flag, {outlier_alpha:g} for leaving a row out of the training).",
    "product": "hybrid.parquet: {lines:,} lines, one for each row and property (value, measured or predicted, "
    "interval, error, model, flag). data_card.md describes it with all exclusions. pandas reads it: "
    "pandas.read_parquet('hybrid.parquet').",
    "settings": "Here: {samples:,} samples, folds by sample ({folds}), {members} networks for each property and fold. "
    "The numbers above are as good as the settings are small; --paper has the published size.",
}
"""Paragraphs, with fields of data.json, of the settings, and of :func:`_texts`."""

CAPTIONS = {
    "observed_predicted": "Predicted against measured values of the network; SOC, carbon and organic matter on "
    "square-root axes, the line is 1:1. Left: random folds by sample; right: the laboratory was held out.",
    "coverage": "Observations within their interval against the nominal coverage, with 95 % ranges (Wilson); grey: 2 "
    "points around nominal.",
    "harmonisation": "RMSE of every laboratory held out, by harmonisation; filled: network, open: PLSR.",
    "outliers": "Distance and residual of every spectrum, each over its limit (dashed); beyond a line a prediction is "
    "flagged.",
    "distributions": "Distribution of measured and imputed values.",
    "depths": "Median and quartiles by depth (classes with five values or more).",
    "places": "Where values are measured and where they are imputed.",
}
"""Figures by name, in the order of the report."""


def write_report(run_folder: str | os.PathLike[str]) -> Path:
    """Writes report.md, report.html, data_card.md and figures/ into the folder of a finished run.

    Returns:
      Path of report.html, which needs no other file.

    Raises:
      DataError: if a file of the run is missing or damaged, or of an earlier version.
    """
    run = read_run(run_folder)
    drawn = _draw(run)
    write_text_atomic(run.path / "data_card.md", data_card(run, drawn))
    document = open_document(run, "The hybrid data set: measured and predicted values")
    texts = _texts(run)
    document.add(texts["opening"], [_verdict(run, target) for target in run.properties])
    published = tables.published(run)
    skewed = tables.skew_text(run) if published else None
    accuracy = (published, skewed, tables.skew(run), tables.splits(run))
    document.section("Accuracy, by a random split and by laboratory", *accuracy)
    _figure(document, drawn, "observed_predicted")
    document.add(tables.laboratories(run) if run.data["held_laboratories"] else None)
    document.section("Do the intervals cover?", texts["intervals"], tables.coverage(run))
    _figure(document, drawn, "coverage")
    absent = None if "direct" in run.data["methods"] else texts["no direct"]
    document.section("Harmonisation", texts["harmonisation"], absent, tables.harmonisations(run))
    _figure(document, drawn, "harmonisation")
    document.section("Outliers", texts["outliers"], tables.flags(run), _spoiled(run))
    _figure(document, drawn, "outliers")
    document.section("Physical ranges", tables.ranges(run))
    document.section("The product", texts["product"], tables.counts(run))
    _figure(document, drawn, "distributions", "depths", "places")
    document.section("Convergence of the networks", tables.trainings(run))
    paper = [f"{name}: abstract: {value}" for name, value in run.data["paper"].items()]
    document.section("Settings that differ from the abstract", paper, texts["settings"])
    run_sections(document, run, {**MODELS, "fitting": "All models", "tables": "Tables"})
    return document.write()


def _texts(run: HybridRun) -> dict[str, str]:
    sizes = run.data["laboratories"]
    own = {
        "number": len(sizes),
        "counted": ", ".join(f"{name} {sizes[name]:,}" for name in run.laboratories),
        "method": METHODS[run.method],
        "construction": _CONSTRUCTIONS[run.settings["interval"]],
        "lines": len(run.tables["hybrid"]),
    }
    return {name: text.format(**{**run.settings, **run.data, **own}) for name, text in TEXTS.items()}


def _draw(run: HybridRun) -> dict[str, tuple[Path, str]]:
    """Path and caption of every figure that the data allow, by name."""
    made = {name: getattr(figures, name)(run) for name in CAPTIONS if name != "harmonisation"}
    if run.data["held_laboratories"]:
        made["harmonisation"] = figures.harmonisation(run)
    folder = run.path / "figures"
    return {name: (save(one, folder, name), CAPTIONS[name]) for name, one in made.items() if one is not None}


def _figure(document: Document, drawn: dict[str, tuple[Path, str]], *names: str) -> None:
    for name in names:
        if name in drawn:
            document.figure(*drawn[name])


def _verdict(run: HybridRun, target: str) -> str:
    parts = []
    for scheme, name in (("random", "random folds"), ("laboratory", "laboratory out")):
        for model in ("cnn", "plsr"):
            found = run.numbers(split=scheme, property=target, model=model)
            if found:
                error = f"{number(found['rmse'], 2)} {run.unit(target)}".strip()
                parts.append(f"{name}, {MODELS[model]}: R2 {number(found['r2'], 2)}, RMSE {error}")
    counts = f"{run.count(target, MEASURED):,} measured, {run.count(target, PREDICTED):,} imputed"
    return f"{run.label(target)}: {counts}. {'; '.join(parts)}."


def _spoiled(run: HybridRun) -> list[str]:
    """How many of the twin's spoiled spectra are found; nothing for measured data."""
    lines = []
    for target in run.properties:
        found = run.numbers(split=PRODUCT, property=target, model=FLAGGING)
        if "n_spoiled" in found:
            lines.append(
                f"{run.label(target)}: of {found['n_spoiled']:,.0f} spectra that the twin spoiled "
                f"{found['n_spoiled_flagged']:,.0f} are flagged, of the other {found['n_sound']:,.0f} rows "
                f"{found['n_sound_flagged']:,.0f}."
            )
    found = run.numbers(split=PRODUCT, property=ALL, model=FLAGGING)
    if found:
        hit = found["n_mislabelled_suspect"]
        lines.append(
            f"Of {found['n_mislabelled']:,.0f} measured rows whose values the twin divided by ten (a spectrum cannot "
            f"show that) {hit:,.0f} {'is' if hit == 1 else 'are'} among the suspect values of the data card."
        )
    return lines
