"""Sections of the multi-fidelity report on data, internal cross-validation, data efficiency and training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.evaluation.compare import describe, mean_sd
from jaxsoil.report import run_sections
from jaxsoil.report.document import Document
from jaxsoil.report.files import where
from jaxsoil.report.style import save
from jaxsoil.report.tables import Table, number, plus_minus
from jaxsoil.studies.multifidelity.report import published
from jaxsoil.studies.multifidelity.report import score_figures as figures
from jaxsoil.studies.multifidelity.report.files import TEST, VALIDATION, MultifidelityRun, in_order, numbers, split_by
from jaxsoil.studies.multifidelity.report.scores import cell, criterion, label, unit

_COUNTS = {
    "pretrain_scans": ("scans for pre-training", 334_665),
    "pretrain_samples": ("samples they belong to", 83_971),
    "labelled": ("labelled samples with MIR", 51_508),
    "pairs": ("samples with NIR and MIR", 2_016),
    "test": ("test samples", 206),
}
"""Counts of data.json, with the paper's."""

_SUMMARY_SETS = {"KSSL": "labelled", "Paired": "pairs", "NAPT": "test"}
_MOMENTS = ("n", "min", "mean", "sd", "max", "skewness", "kurtosis")
_INTERNAL_SETS = (("pairs", VALIDATION, "Pairs: held-out validation rows"), ("test", TEST, "Independent test set"))
"""Set of internal.csv, set of scores.csv whose scores lie over it, title."""

_CLOUD_STRATEGIES = ("NIR-PLSR", "NIRtoMIR-SSL-MLP")
_TERMS = {
    "loss": "training",
    "validation_loss": "validation",
    "reconstruction": "reconstruction",
    "kl": "KL",
    "mir": "MIR",
    "nir": "NIR",
}


def opening(run: MultifidelityRun, title: str, text: str) -> Document:
    """The document of an ablation: what it is, how many samples it has and what is known of the data."""
    document = Document(f"{title}, data '{run.run.data.get('name', 'data')}'")
    document.text(text)
    counts_line(document, run)
    document.bullets([f"Data: {note}" for note in run.run.data.get("notes", ())])
    return document


def counts_line(document: Document, run: MultifidelityRun) -> None:
    """How many rows each stage had, beside the paper's."""
    counts = run.run.data.get("counts")
    if isinstance(counts, dict) and counts:
        rows = tuple(
            (text[:1].upper() + text[1:], f"{int(counts[name]):,}", f"{paper:,}")
            for name, (text, paper) in _COUNTS.items()
            if isinstance(counts.get(name), int | float)
        )
        document.table(Table("Rows of each stage.", ("", "Here", "Paper"), rows))


def summaries_section(document: Document, run: MultifidelityRun) -> None:
    """Appendix A beside the run's own sets."""
    document.heading("Appendix A beside ours")
    rows, known = [], False
    for name in in_order([*published.PROPERTIES, *run.properties], tuple(published.PROPERTIES)):
        for dataset, ours in _SUMMARY_SETS.items():
            printed, here = published.summary(name, dataset), _described(run, name, ours)
            known |= here is not None
            for source, found in ((dataset, vars(printed) if printed else None), (ours, here)):
                if found is not None:
                    title = f"{label(name)} ({unit(run, name)})" if unit(run, name) else label(name)
                    numbers = (number(float(found.get(key, math.nan)), 2) for key in _MOMENTS[1:])
                    origin = "paper, " if source is dataset else "here, "
                    rows.append((title, origin + source, f"{int(found.get('n', 0)):,}", *numbers))
    notes = ("Kurtosis is 3 for a Gaussian. SD has n - 1.", f"Paper: {published.SOURCE}.")
    if not known:
        notes = ("The run folder does not describe its properties: the paper's rows stand alone.", *notes)
    header = ("Property", "Set", "n", "Min", "Mean", "SD", "Max", "Skewness", "Kurtosis")
    document.table(Table("Summary statistics.", header, tuple(rows), notes, left=(0, 1)))


def _described(run: MultifidelityRun, name: str, which: str) -> dict[str, Any] | None:
    """Moments from data.json; of the test set also from the predictions."""
    stated = run.run.data.get("properties")
    stated = stated.get(name) if isinstance(stated, dict) else None
    found = stated.get(which) if isinstance(stated, dict) else None
    if isinstance(found, dict):
        return {key: math.nan if value is None else value for key, value in found.items()}
    if which != "test" or run.predictions is None:
        return None
    mine = where(run.predictions, property=name, set=TEST)
    return describe(numbers(mine.drop_duplicates("id"), "observed")) if len(mine) else None


def internal_section(document: Document, run: MultifidelityRun) -> None:
    """Figure 7."""
    document.heading("Validation, test and what each data set allows")
    table = run.table("internal")
    if table is None:
        document.text("The run folder has no internal.csv: figure 7 is left out.")
        return
    spans = set(table["range"])
    span = "nir" if "nir" in spans else next(iter(sorted(spans)))
    mine = where(table, range=span)
    strategies = [name for name in _CLOUD_STRATEGIES if name in run.strategies] or run.strategies[:2]
    shown = [row for row in _INTERNAL_SETS if row[0] in set(mine["set"])]
    if not shown:
        document.text("internal.csv has neither the pairs nor the test set: figure 7 is left out.")
        return
    panels = {}
    for metric in ("ccc", "rpiq"):
        panels[f"{metric.upper()} (dimensionless)"] = [
            figures.Cloud(title, _cloud(mine, which, metric), _points(run, strategies, metric, scored))
            for which, scored, title in shown
        ]
    drawn = figures.internal_clouds(panels, [label(name) for name in run.properties])
    repetitions = len(set(mine["repetition"].tolist()))
    caption = (
        f"Figure 7, redrawn: means over seeds over the scores of each data set's own 10-fold cross-validation of "
        f"{span.upper()} PLSR, repeated {repetitions} time(s), a dot for each repetition (components chosen inside the "
        "training rows, groups kept together). RPIQ is 0 where the quartiles of the observed values are equal."
    )
    document.figure(save(drawn, run.path / "figures", "figure_7_internal"), caption, run.path)
    document.table(_internal_table(run, mine, strategies, span))


def _cloud(table: pd.DataFrame, which: str, metric: str) -> dict[str, np.ndarray]:
    mine = where(table, set=which)
    return {label(str(name)): numbers(rows, metric) for name, rows in split_by(mine, "property")}


def _points(run: MultifidelityRun, strategies: list[str], metric: str, which: str) -> dict[str, dict[str, float]]:
    return {
        name: {label(prop): cell(run, name, prop, metric, which).mean for prop in run.properties} for name in strategies
    }


def _internal_table(run: MultifidelityRun, table: pd.DataFrame, strategies: list[str], span: str) -> Table:
    rows = []
    for name in run.properties:
        cells = []
        for which, scored in (("pairs", VALIDATION), ("test", TEST)):
            mine = where(table, set=which, property=name)
            found = mean_sd(numbers(mine, "ccc"))
            cells.append(plus_minus(found.mean, found.sd, 2))
            cells += [number(cell(run, strategy, name, "ccc", scored).mean, 2) for strategy in strategies]
        rows.append((label(name), *cells))
    header = [f"{part}: {what}" for part in ("Pairs", "Test") for what in ("internal", *strategies)]
    caption = f"CCC: internal cross-validation of {span.upper()} PLSR (± SD over repetitions) and the strategies."
    return Table(caption, ("Property", *header), tuple(rows))


def curves_section(document: Document, run: MultifidelityRun) -> None:
    """Data efficiency: accuracy against the number of labels."""
    document.heading("Data efficiency (the paper's second claim, which shows no curve)")
    table = run.table("curves")
    if table is None:
        document.text("The run folder has no curves.csv: no data-efficiency curves.")
        return
    order = in_order(table["property"].tolist(), tuple(published.PROPERTIES))
    panels = {label(name): _curve(where(table, property=name), "ccc") for name in order}
    # Several draws of the same number of labels stand beside the seeds.
    keys = [name for name in ("labels", "seed", "draw", "strategy") if name in table.columns]
    means = pd.DataFrame(table.groupby(keys, as_index=False)[["ccc", "rpiq"]].mean())
    both = {"Mean over properties: CCC": _curve(means, "ccc"), "Mean over properties: RPIQ": _curve(means, "rpiq")}
    folder = run.path / "figures"
    drawn = figures.label_curves(both, y_label=["CCC (dimensionless)", "RPIQ (dimensionless)"])
    caption = (
        "Test set, mean over properties ± SD over seeds and draws, against the number of labelled samples trained on."
    )
    document.figure(save(drawn, folder, "label_curves"), caption, run.path)
    drawn = figures.label_curves(panels, y_label="CCC (dimensionless)")
    document.figure(save(drawn, folder, "label_curves_by_property"), "The same by property: CCC.", run.path)
    document.table(_curve_table(means, len(order)))


def _curve(table: pd.DataFrame, metric: str) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    curves = {}
    for strategy in in_order(table["strategy"].tolist(), published.STRATEGIES):
        part = where(table, strategy=strategy)
        found = {float(count): mean_sd(numbers(rows, metric)) for count, rows in split_by(part, "labels")}
        labels = np.array(sorted(found))
        mean, sd = (np.array([getattr(found[count], name) for count in labels]) for name in ("mean", "sd"))
        curves[str(strategy)] = labels, mean, np.nan_to_num(sd)
    return curves


def _curve_table(means: pd.DataFrame, properties: int) -> Table:
    strategies = in_order(means["strategy"].tolist(), published.STRATEGIES)
    rows = []
    for count, part in sorted(split_by(means, "labels"), key=lambda pair: pair[0]):
        found = [mean_sd(numbers(where(part, strategy=name), "ccc")) for name in strategies]
        rows.append((f"{int(float(str(count))):,}", *(plus_minus(value.mean, value.sd, 3) for value in found)))
    note = "Undefined scores are left out of the mean over properties, so that a curve may rest on fewer of them."
    caption = f"CCC on the test set, mean over {properties} properties ± SD over seeds and draws of labels."
    return Table(caption, ("Labelled samples", *strategies), tuple(rows), (note,))


def training_section(document: Document, run: MultifidelityRun) -> None:
    """Convergence, losses and PLSR components."""
    document.heading("Training of the stages")
    table = run.table("convergence")
    if table is None:
        document.text("The run folder has no convergence.csv: convergence is not known.")
    else:
        document.text(criterion(run))
        document.table(_convergence_table(table))
    history = run.table("history")
    if history is None:
        document.text("The run folder has no history.csv: no losses.")
    else:
        panels = _histories(history)
        caption = (
            "Loss by epoch, a line for each training (seeds; single properties together), with its terms where kept."
            + (f" The first {len(panels)} trainings." if len(panels) < len(set(_labels(history))) else "")
        )
        document.figure(save(figures.histories(panels), run.path / "figures", "histories"), caption, run.path)
    components = run.table("components")
    if components is not None:
        document.table(_components_table(run, components))


def _convergence_table(table: pd.DataFrame) -> Table:
    rows = []
    table = table.assign(group=[_group(str(name)) for name in table["label"].tolist()])
    for stage, name in dict.fromkeys(zip(table["stage"], table["group"], strict=True)):
        part = where(table, stage=stage, group=name)
        epochs = sorted({int(value) for value in numbers(part, "epochs")})
        span = str(epochs[0]) if len(epochs) == 1 else f"{epochs[0]} to {epochs[-1]}"
        converged = int(numbers(part, "converged").sum())
        diverged = int((~part["alive"].astype(bool)).sum()) if "alive" in part.columns else 0
        counts = (str(converged), str(len(part) - converged - diverged), str(diverged))
        rows.append((str(stage), str(name), *counts, span))
    header = ("Stage", "Training", "Converged", "Not converged", "Diverged", "Epochs")
    return Table("Trainings by outcome.", header, tuple(rows), left=(0, 1))


def _labels(history: pd.DataFrame) -> list[str]:
    names = history["label"].tolist() if "label" in history.columns else [""] * len(history)
    pairs = zip(history["stage"].tolist(), names, strict=True)
    return [f"{stage} {_group(str(name))}".strip() for stage, name in pairs]


def _group(name: str) -> str:
    """Trainings that are shown together: the networks of single properties, the draws of a curve."""
    words = name.split("/")
    return " ".join(words[:1] if words[0].startswith("curve") else words[:2])


def _histories(history: pd.DataFrame, most: int = 12) -> dict[str, list[tuple[np.ndarray, Mapping[str, np.ndarray]]]]:
    panels: dict[str, list[tuple[np.ndarray, Mapping[str, np.ndarray]]]] = {}
    for title, part in split_by(history.assign(_title=_labels(history)), "_title"):
        if len(panels) == most:
            break
        panels[str(title)] = []
        names = part["label"].tolist() if "label" in part.columns else [""] * len(part)
        one = part.assign(_one=[f"{seed} {name}" for seed, name in zip(part["seed"].tolist(), names, strict=True)])
        for _, rows in split_by(one, "_one"):
            terms = {
                text: numbers(rows, name)
                for name, text in _TERMS.items()
                if name in rows.columns and bool(np.isfinite(numbers(rows, name)).any())
            }
            panels[str(title)].append((numbers(rows, "epoch"), terms))
    return panels


def _components_table(run: MultifidelityRun, table: pd.DataFrame) -> Table:
    rows = []
    for strategy, part in split_by(table, "strategy"):
        cells = []
        for name in run.properties:
            found = sorted({int(v) for v in numbers(where(part, property=name), "components")})
            cells.append("–" if not found else str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}")
        rows.append((str(strategy), *cells))
    caption = "Components of PLSR, chosen inside the training rows."
    return Table(caption, ("Strategy", *(label(name) for name in run.properties)), tuple(rows))


def ours_section(document: Document, run: MultifidelityRun) -> None:
    """Settings that the paper does not publish."""
    document.heading("Settings that the paper does not publish")
    settings = run.run.config.get("ours")
    if isinstance(settings, dict):
        settings = [[name, value] for name, value in settings.items()]
    if settings:
        rows = tuple((str(row[0]), _shown(row[1]), str(row[2]) if len(row) > 2 else "") for row in settings)
        caption = "Chosen here on training rows alone; none was tuned on the test set or to Appendix B's order."
    else:
        rows = tuple((name, value, "") for name, value in _flat(run.run.config.get("config", {})))
        caption = "The run does not mark its own choices; this is its whole configuration."
    if rows:
        document.table(Table(caption, ("Setting", "Value", "Why"), rows, left=(0, 1, 2)))


def _flat(content: object, prefix: str = "") -> list[tuple[str, str]]:
    if not isinstance(content, dict):
        return [(prefix, _shown(content))]
    return [item for name, value in content.items() for item in _flat(value, f"{prefix}.{name}" if prefix else name)]


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_shown(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def closing(document: Document, run: MultifidelityRun) -> None:
    """What all reports end with."""
    ours_section(document, run)
    run_sections.differences_section(document, run.run)
    data = run.run.data
    facts = [f"Fingerprint of the data: {data['sha256']}"] if data.get("sha256") else []
    run_sections.data_section(document, run.run)
    document.bullets(facts)
    run_sections.timing_section(document, run.run)
    run_sections.command_section(document, run.run)
