"""Report of the hybrid data set: how good its predictions are, by honest splits, and the data card of the product."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from jaxsoil.report.document import Document
from jaxsoil.report.files import where
from jaxsoil.report.style import save
from jaxsoil.report.tables import Table, number
from jaxsoil.runs.files import write_text_atomic
from jaxsoil.studies.hybrid.report import figures, tables
from jaxsoil.studies.hybrid.report.card import data_card
from jaxsoil.studies.hybrid.report.files import LABELS, METHODS, MODELS, HybridRun, column, read_run

FOLDER = "figures"

_CONSTRUCTIONS = {
    "cv": "They lie around the mean of all folds' networks (CV); CV+, from each fold's own, is wider and holds a "
    "guarantee (--interval cv+).",
    "cv+": "They are made from each fold's own networks (CV+), which covers more than asked for where the folds "
    "disagree; CV, around their mean, is narrower (--interval cv).",
}


def write_report(run_folder: str | os.PathLike[str]) -> Path:
    """Writes report.md, report.html, data_card.md and figures/ into the folder of a finished run.

    Returns:
      Path of report.html, which needs no other file.

    Raises:
      DataError: if a file of the run is missing or damaged.
    """
    run = read_run(run_folder)
    drawn = _draw(run)
    write_text_atomic(run.path / "data_card.md", data_card(run, drawn))
    document = Document(f"The hybrid data set: measured and predicted values, data '{run.data['name']}'")
    _opening(document, run)
    _accuracy(document, run, drawn)
    _intervals(document, run, drawn)
    _harmonisation(document, run, drawn)
    _outliers(document, run, drawn)
    document.heading("Physical ranges")
    document.table(tables.ranges(run))
    _product(document, run, drawn)
    _networks(document, run)
    _ending(document, run)
    return document.write(run.path)


def _draw(run: HybridRun) -> dict[str, Path]:
    """Every figure that the data allow, by name."""
    made = {
        "observed_predicted": figures.observed_predicted(run),
        "coverage": figures.coverage(run),
        "harmonisation": figures.harmonisation(run) if run.data["held_laboratories"] else None,
        "outliers": figures.outliers(run),
        "distributions": figures.distributions(run),
        "depths": figures.depths(run),
        "places": figures.places(run),
    }
    return {name: save(figure, run.path / FOLDER, name) for name, figure in made.items() if figure is not None}


def _opening(document: Document, run: HybridRun) -> None:
    sizes = run.data["laboratories"]
    counted = ", ".join(f"{name} {sizes[name]:,}" for name in run.laboratories)
    document.text(
        f"{run.data['rows']:,} spectra of {run.data['samples']:,} samples from {len(sizes)} laboratories ({counted}); "
        f"{run.data['axis']}, SNV, harmonisation: {METHODS[run.method]}. For each property a convolutional network is "
        "trained on the measured pairs and fills what was not measured; measured values stay as they are, to the bit."
    )
    document.bullets([_verdict(run, target) for target in run.properties])


def _verdict(run: HybridRun, target: str) -> str:
    parts = []
    for scheme, name in (("random", "random folds"), ("laboratory", "laboratory out")):
        for model in ("cnn", "plsr"):
            found = where(
                run.scores,
                scheme=scheme,
                property=target,
                harmonisation=run.method,
                model=model,
                laboratory="all",
            )
            if len(found):
                r2, error = float(found["r2"].iloc[0]), float(found["rmse"].iloc[0])
                parts.append(f"{name}, {MODELS[model]}: R2 {number(r2, 2)}, RMSE {number(error, 2)} {run.unit(target)}")
    known = run.properties[target]
    return (
        f"{LABELS.get(target, target)}: {known['measured']:,} measured, {known['predicted']:,} imputed. "
        + "; ".join(part.strip() for part in parts)
        + "."
    )


def _accuracy(document: Document, run: HybridRun, drawn: dict[str, Path]) -> None:
    document.heading("Accuracy, by a random split and by laboratory")
    table = tables.published(run)
    if table is not None:
        document.table(table)
        document.text(tables.skew_text(run))
    document.table(tables.skew(run))
    document.table(tables.splits(run))
    document.figure(
        drawn["observed_predicted"],
        "Predicted against measured values of the network; SOC, carbon and organic matter on square-root axes, the "
        "line is 1:1. Left: random folds by sample; right: the laboratory was held out.",
        run.path,
    )
    if run.data["held_laboratories"]:
        document.table(tables.laboratories(run))


def _intervals(document: Document, run: HybridRun, drawn: dict[str, Path]) -> None:
    document.heading("Do the intervals cover?")
    document.text(
        "Intervals are cross-fitted: residuals out of fold over the spread of the ensemble (with the median residual "
        "as its floor), on the learning scale, so that intervals of contents widen with the content and end at the "
        f"physical range. {_CONSTRUCTIONS[run.config['config']['interval']]}"
    )
    document.table(tables.coverage(run))
    document.figure(
        drawn["coverage"],
        "Observations within their interval against the nominal coverage, with 95 % ranges (Wilson); grey: 2 points "
        "around nominal.",
        run.path,
    )


def _harmonisation(document: Document, run: HybridRun, drawn: dict[str, Path]) -> None:
    document.heading("Harmonisation")
    document.text(
        "Direct standardisation maps each band of a laboratory from a window of bands to the reference laboratory, on "
        "samples that both scanned (piecewise, ridge towards the identity). "
        + (
            ""
            if "direct" in run.data["methods"]
            else "No two laboratories share enough samples here, so it is left out."
        )
    )
    document.table(tables.harmonisations(run))
    if "harmonisation" in drawn:
        document.figure(
            drawn["harmonisation"],
            "RMSE of every laboratory held out, by harmonisation; filled: network, open: PLSR.",
            run.path,
        )


def _outliers(document: Document, run: HybridRun, drawn: dict[str, Path]) -> None:
    document.heading("Outliers")
    config = run.config["config"]
    document.text(
        f"Spectra are judged in the space of {config['pca_components']} principal components of the training rows: by "
        "Mahalanobis distance within it and by what it does not reproduce, each against its data-driven chi-square "
        f"limit (alpha {config['flag_alpha']:g} for the flag, {config['outlier_alpha']:g} for leaving a row out of the "
        "training)."
    )
    rows = []
    for target in run.properties:
        part = where(run.outliers, property=target)
        flags = column(part, "flag")
        gone = int(column(part, "left_out").sum())
        cells = [f"{int((flags == name).sum()):,}" for name in ("distance", "residual", "distance and residual")]
        rows.append((LABELS.get(target, target), f"{len(part):,}", *cells, f"{gone:,}"))
    header = ("Property", "Rows", "Beyond distance", "Beyond residual", "Beyond both", "Left out of training")
    document.table(Table("Flags of all rows, and measured rows that did not train in some fold.", header, tuple(rows)))
    if run.data["synthetic"]:
        document.bullets(_spoiled(run))
    document.figure(
        drawn["outliers"],
        "Distance and residual of every spectrum, each over its limit (dashed); beyond a line a prediction is flagged.",
        run.path,
    )


def _spoiled(run: HybridRun) -> list[str]:
    """How many of the twin's spoiled spectra are found."""
    lines = []
    for target in run.properties:
        part = where(run.outliers, property=target)
        kinds = column(part, "spoiled")
        bad = np.isin(kinds, ["saturated", "noisy", "wet", "contaminated"])
        found = column(part, "flag") != "inside"
        if bad.any():
            lines.append(
                f"{LABELS.get(target, target)}: of {int(bad.sum())} spectra that the twin spoiled "
                f"{int(found[bad].sum())} are flagged, of the other {int((~bad).sum()):,} rows "
                f"{int(found[~bad].sum()):,}."
            )
    wrong = set(column(where(run.outliers, spoiled="mislabelled", measured=True), "id").tolist())
    if wrong:
        hit = wrong & set(column(run.suspects, "id").tolist())
        lines.append(
            f"Of {len(wrong)} measured rows whose values the twin divided by ten (a spectrum cannot show that) "
            f"{len(hit)} {'is' if len(hit) == 1 else 'are'} among the suspect values of the data card."
        )
    return lines


def _product(document: Document, run: HybridRun, drawn: dict[str, Path]) -> None:
    document.heading("The product")
    document.text(
        f"hybrid.parquet: {len(run.table):,} lines, one for each row and property (value, measured or predicted, "
        "interval, error, model, flag). data_card.md describes it with all exclusions. pandas reads it: "
        "pandas.read_parquet('hybrid.parquet')."
    )
    document.table(tables.counts(run))
    captions = {
        "distributions": "Distribution of measured and imputed values.",
        "depths": "Median and quartiles by depth (classes with five values or more).",
        "places": "Where values are measured and where they are imputed.",
    }
    for name, caption in captions.items():
        if name in drawn:
            document.figure(drawn[name], caption, run.path)


def _networks(document: Document, run: HybridRun) -> None:
    document.heading("Convergence of the networks")
    rows = []
    for target in run.properties:
        for model in ("cnn", "cnn-clipped"):
            part = where(run.networks, target=target, model=model)
            if len(part):
                done = int(column(part, "converged").sum())
                epochs = column(part, "epochs")
                size = column(part, "rows")
                lost = int((~column(part, "alive").astype(bool)).sum())
                cells = (f"{len(part)}", f"{done}", f"{lost}", f"{int(epochs.min())} to {int(epochs.max())}")
                rows.append((LABELS.get(target, target), MODELS[model], *cells, f"{size.min():,} to {size.max():,}"))
    header = ("Property", "Model", "Networks", "Converged", "Diverged", "Epochs", "Training rows")
    note = (
        "Converged: the mean validation loss of the last fifth of the epochs is less than "
        f"{100 * run.config['config']['train']['tolerance']:g} % under that of the fifth before (or patience ran out)."
    )
    document.table(Table("Trainings.", header, tuple(rows), (note,), (0, 1)))


def _ending(document: Document, run: HybridRun) -> None:
    document.heading("Settings that differ from the abstract")
    document.bullets([f"{name}: abstract: {value}" for name, value in run.data["paper"].items()])
    document.text(
        f"Here: {run.data['samples']:,} samples, folds by sample ({run.config['config']['folds']}), "
        f"{run.config['config']['members']} networks for each property and fold. The numbers above are as good as the "
        "settings are small; --paper has the published size."
    )
    document.heading("Data")
    document.bullets([*run.data["notes"], f"licence: {run.data['licence']}", f"fingerprint: {run.data['sha256']}"])
    document.heading("Time and command")
    document.bullets([f"{name}: {number(float(seconds), 1)} s" for name, seconds in run.timing.items()])
    document.command(str(run.env.get("command", "")))
