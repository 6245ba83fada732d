"""Sections of the reports: data, training, unpublished settings, measured pairs, data efficiency, instruments."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from jaxsoil.report.document import Document, Item
from jaxsoil.report.run_files import where
from jaxsoil.report.run_sections import closing_sections, criterion, setting_text
from jaxsoil.report.tables import Format, Table, mean_sd, pivot_table, rows_table
from jaxsoil.studies.multifidelity.config import CARRY_OVER, STRATEGY
from jaxsoil.studies.multifidelity.describe import SIZES
from jaxsoil.studies.multifidelity.replicates import TEST, VALIDATION
from jaxsoil.studies.multifidelity.report import published
from jaxsoil.studies.multifidelity.report import score_figures as figures
from jaxsoil.studies.multifidelity.report.files import PROSE, MultifidelityRun, in_order, label
from jaxsoil.studies.multifidelity.tables import NO_TASK

_Columns = dict[str | tuple[str, ...], str | tuple[str, Format]]
"""Columns of a table of rows, as ``rows_table`` takes them."""
_COUNTS = {
    "pretrain_scans": "Scans for pre-training",
    "pretrain_samples": "Samples they belong to",
    "labelled": "Labelled samples with MIR",
    "pairs": "Samples with NIR and MIR",
    "test": "Test samples",
}
_SUMMARY_SETS = {"KSSL": "labelled", "Paired": "pairs", "NAPT": "test"}
"""Data set of Appendix A -> set of data.json."""
_MOMENTS = {"min": "Min", "mean": "Mean", "sd": "SD", "max": "Max", "skewness": "Skewness", "kurtosis": "Kurtosis"}
_INTERNAL_SETS = {
    "pairs": (VALIDATION, "Pairs", "Pairs: held-out validation rows"),
    "test": (TEST, "Test", "Independent test set"),
}
"""Set of internal.csv -> set of results.csv whose scores lie over it, short name, title."""
_CLOUD_STRATEGIES = ("NIR-PLSR", "NIRtoMIR-SSL-MLP")
_SCORES = {"ccc": "CCC", "ccc_log": "CCC of log(1 + y)", "rmse": "RMSE", "r2": "R2"}
_REFERENCE = {"mir": "10-fold PLSR, MIR", "nir": "10-fold PLSR, NIR"}
_REBUILT = {"vae": "Autoencoder", "pca": "Principal components"}


def run_section(document: Document, run: MultifidelityRun, *said: Item) -> None:
    """What was run: ``said``, how many samples each stage has, and what is known of the data."""
    counts = run.data.get("counts", {})
    rows = tuple((text, f"{counts[name]:,}", f"{SIZES[name]:,}") for name, text in _COUNTS.items() if name in counts)
    table = Table("Rows of each stage.", ("", "Here", "Paper"), rows) if rows else None
    document.section("What was run", *said, table, [f"Data: {note}" for note in run.data.get("notes", ())])


def summaries_section(document: Document, run: MultifidelityRun) -> None:
    """Appendix A beside the run's own sets."""
    stated, rows = run.data.get("properties", {}), []
    for name in in_order([*published.PROPERTIES, *run.properties], published.PROPERTIES):
        for dataset, ours in _SUMMARY_SETS.items():
            printed, here = published.summary(name, dataset), stated.get(name, {}).get(ours)
            title = {"property": run.titles.get(name, label(name))}
            if printed:
                own, factor = printed._asdict(), run.from_paper(name)
                own |= {moment: own[moment] * factor for moment in ("min", "mean", "sd", "max")}
                rows.append(own | title | {"set": f"paper, {dataset}"})
            rows += [here | title | {"set": f"here, {ours}"}] if here else []
    columns: _Columns = {"property": "Property", "set": "Set", "n": ("n", "{:,.0f}")}
    columns |= {name: (heading, 2) for name, heading in _MOMENTS.items()}
    notes = PROSE.notes("summaries_notes", stated=stated)
    table = rows_table(pd.DataFrame(rows), columns, title="Summary statistics.", notes=notes)
    document.section("Appendix A beside ours", table)


def internal_section(document: Document, run: MultifidelityRun) -> None:
    """Figure 7."""
    document.section("Validation, test and what each data set allows")
    table = run.tables.get("internal")
    if table is None:
        document.text(PROSE.text("missing", what="internal"))
        return
    span = "nir" if "nir" in set(table["range"]) else "mir"
    mine = where(table, range=span)
    strategies = [name for name in _CLOUD_STRATEGIES if name in run.strategies] or run.strategies[:2]
    shown = {part: names for part, names in _INTERNAL_SETS.items() if part in set(mine["set"])}
    if not shown:
        document.text(PROSE.text("missing", what="internal_sets"))
        return
    sets, frames, columns = {}, [], []
    for part, (split, name, title) in shown.items():
        inside, over = sets[title] = where(mine, set=part), run.scores(split)
        frames.append(inside.assign(column=f"{name}: internal", value=inside["ccc"]))
        frames.append(where(over, metric="ccc").assign(column=lambda rows, name=name: f"{name}: " + rows["strategy"]))
        columns += [f"{name}: {what}" for what in ("internal", *strategies)]
    caption = PROSE.text("internal_caption", span=span, repetitions=mine["repetition"].nunique())
    document.draw(figures.internal_clouds(sets, run.properties, strategies), "figure_7_internal", caption)
    cells, order = pd.concat(frames), {"property": run.properties, "column": columns}
    few, title = pd.DataFrame(cells[cells["column"].isin(columns)]), PROSE.text("internal_title", span=span)
    given: dict[str, Any] = {"fmt": 2, "combine": mean_sd, "order": order, "labels": {"property": label}}
    document.table(pivot_table(few, "property", "column", "value", title=title, **given))


def curves_section(document: Document, run: MultifidelityRun) -> None:
    """Data efficiency: accuracy against the number of labels."""
    document.section("Data efficiency (the paper's second claim, which shows no curve)")
    table = run.tables.get("curves")
    if table is None:
        document.text(PROSE.text("missing", what="curves"))
        return
    order = [name for name in in_order(table["property"], published.PROPERTIES) if name != figures.MEAN]
    means = figures.label_curves(table, [(figures.MEAN, "ccc"), (figures.MEAN, "rpiq")])
    document.draw(means, "label_curves", PROSE.text("curves_caption"))
    each = figures.label_curves(table, [(name, "ccc") for name in order])
    document.draw(each, "label_curves_by_property", "The same by property: CCC.")
    title, notes = PROSE.text("curves_title", count=len(order)), PROSE.notes("curves_notes")
    given: dict[str, Any] = {"labels": {"labels": "{:,}".format}, "combine": mean_sd, "notes": notes}
    given["order"] = {"strategy": in_order(table["strategy"], STRATEGY), "labels": sorted(set(table["labels"]))}
    rows = where(table, property=figures.MEAN)
    document.table(pivot_table(rows, {"labels": "Labelled samples"}, "strategy", "ccc", title=title, **given))


def parts_section(document: Document, run: MultifidelityRun) -> None:
    """Measured pairs: parts held out by groups of like spectra and at random, beside PLSR of all rows.

    Nothing for data whose test set is fixed.
    """
    if "held_out_parts" not in run.tables:
        return
    table = run.tables["held_out_parts"]
    table = pd.DataFrame(table[table["task"].isin((run.task, NO_TASK))])
    splits = list(dict.fromkeys(table["split"]))
    table = table.sort_values(
        ["property", "strategy"], key=lambda names: names.map([*published.PROPERTIES, *STRATEGY].index), kind="stable"
    )
    reference = run.tables.get("reference", pd.DataFrame(columns=pd.Index(["split", "range", "property", "ccc"])))
    document.section("Measured pairs: parts held out in groups and at random", PROSE.text("parts_lead", splits=splits))
    document.draw(figures.held_out_parts(table, reference), "held_out_parts", PROSE.text("parts_caption"))
    rows = pd.concat([table, reference.assign(strategy=reference["range"].map(_REFERENCE.get))])
    long = rows.melt(["property", "strategy", "split"], list(_SCORES), "metric", "value")
    long = pd.DataFrame(long[long["value"].notna()])
    columns = [f"{_SCORES[metric]}, {split}" for metric in _SCORES for split in splits]
    long = long.assign(column=long["metric"].map(_SCORES.get) + ", " + long["split"])
    order = {"property": published.PROPERTIES, "strategy": [*STRATEGY, *_REFERENCE.values()], "column": columns}
    given: dict[str, Any] = {"title": PROSE.text("parts_title"), "notes": PROSE.notes("parts_notes"), "fmt": 2}
    given |= {"order": order, "labels": {"property": run.titles}}
    document.table(pivot_table(long, ("property", "strategy"), "column", "value", **given))


def reconstruction_section(document: Document, run: MultifidelityRun) -> None:
    """Reconstruction error of the autoencoder beside that of principal components."""
    document.section("Reconstruction beside principal components")
    if "reconstruction" not in run.tables:
        document.text(PROSE.text("missing", what="reconstruction"))
        return
    table = run.tables["reconstruction"].melt(["seed", "set"], ["vae", "pca"], "model", "rmse")
    document.table(
        pivot_table(
            table, {"set": "Spectra"}, "model", "rmse", title=PROSE.text("reconstruction_title"), combine=mean_sd,
            fmt=4, order={"model": [*_REBUILT]}, labels={"model": _REBUILT},
        )
    )  # fmt: skip


def instruments_section(document: Document, run: MultifidelityRun) -> None:
    """CCC of the MIR strategies against the size of the curve between the instruments."""
    if "instruments" not in run.tables:
        return
    table = run.tables["instruments"]
    strategies, sizes = list(dict.fromkeys(table["strategy"])), sorted(set(table["sd"]))
    lead = PROSE.text("instruments_lead", draws=table["draws"].max(), ridges=CARRY_OVER in strategies)
    document.section("A smooth curve between the instruments", lead)
    if len(sizes) > 1:
        document.draw(figures.instrument_curves(table, strategies), "instruments", PROSE.text("instruments_caption"))
    shared = {"order": {"strategy": strategies, "sd": sizes}, "labels": {"sd": "{:g}".format}}
    document.table(
        pivot_table(
            table, {"sd": "SD of the curve (absorbance)"}, "strategy", "ccc", title=PROSE.text("instruments_title"),
            combine=mean_sd, **shared,
        )
    )  # fmt: skip
    if "instrument_differences" in run.tables:
        found = run.tables["instrument_differences"]
        found = found.assign(title=found["first"] + " minus " + found["second"])
        document.table(
            pivot_table(
                found, {"sd": "SD of the curve (absorbance)"}, "title", ("mean", "low", "high"),
                title=PROSE.text("instrument_differences_title"), **shared,
            )
        )  # fmt: skip


def training_section(document: Document, run: MultifidelityRun) -> None:
    """Convergence, losses and PLSR components."""
    document.section("Training of the stages")
    table, history, components = (run.tables.get(name) for name in ("convergence", "history", "components"))
    if table is None:
        document.text(PROSE.text("missing", what="convergence"))
    else:
        document.add(criterion(run), _convergence_table(table))
    if history is None:
        document.text(PROSE.text("missing", what="history"))
    else:
        history = history.assign(title=history["stage"] + " " + history["label"].map(_group))
        titles = list(dict.fromkeys(history["title"]))
        caption = PROSE.text("histories_caption", titles=titles, most=figures.MOST)
        document.draw(figures.histories(history), "histories", caption)
    if components is not None:
        title = "Components of PLSR, chosen inside the training rows."
        given: dict[str, Any] = {"order": {"property": run.properties}, "labels": {"property": label}, "combine": _span}
        document.table(pivot_table(components, "strategy", "property", "components", title=title, **given))


def _convergence_table(table: pd.DataFrame) -> Table:
    grouped = table.assign(
        group=table["label"].map(_group), not_converged=~table["converged"] & table["alive"], diverged=~table["alive"]
    ).groupby(["stage", "group"], sort=False)
    counts = pd.DataFrame(grouped[["converged", "not_converged", "diverged"]].sum())
    headings = {"converged": "Converged", "not_converged": "Not converged", "diverged": "Diverged", "epochs": "Epochs"}
    columns: _Columns = {"stage": "Stage", "group": "Training"}
    columns |= {name: (heading, "{}") for name, heading in headings.items()}
    counts = counts.assign(epochs=grouped["epochs"].agg(_span))
    return rows_table(counts.reset_index(), columns, title="Trainings by outcome.")


def _span(values: Iterable[int]) -> str:
    """The values as "low to high", a single one as it is."""
    ends = sorted({int(value) for value in values})
    return str(ends[0]) if len(ends) == 1 else f"{ends[0]} to {ends[-1]}"


def _group(name: str) -> str:
    """Trainings that are shown together: the networks of single properties, the draws of a curve."""
    words = name.split("/")
    return " ".join(words[:1] if words[0].startswith("curve") else words[:2])


def closing(document: Document, run: MultifidelityRun) -> None:
    """What all reports end with."""
    rows = tuple((str(name), setting_text(value), str(why)) for name, value, why in run.config.get("ours", ()))
    table = Table(PROSE.text("ours_title"), ("Setting", "Value", "Why"), rows, left=(0, 1, 2))
    document.section("Settings that the paper does not publish", table if rows else PROSE.text("missing", what="ours"))
    closing_sections(document, run)
