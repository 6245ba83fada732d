"""Report of the study with few labels (Experiment 3, Table 3 of the reconstruction paper)."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.report import figures
from jaxsoil.report.document import Document, Picture
from jaxsoil.report.prose import Prose
from jaxsoil.report.run_files import where
from jaxsoil.report.run_sections import closing_sections, dagger_sentence, open_document, uses_table
from jaxsoil.report.style import Look
from jaxsoil.report.tables import UNDEFINED, Table, rows_table
from jaxsoil.studies.reconstruction.report import published, scores, sections, shared_figures
from jaxsoil.studies.reconstruction.report.reading import MODEL_LABELS, Run, model_label, read_run, styles_of
from jaxsoil.studies.reconstruction.report.region_sections import rows_section

STAGES = {"before": "pre-trained", "after": "fine-tuned"}
"""Stages as the results name them, and as the published table does."""

_BASELINES = ("plsr", "random_forest")
_LOWEST_CHANGE = -0.5
_CHANGES = "What fine-tuning changes"

_PROSE = Prose(__package__, "few_labels")


def write_report(run_folder: str | os.PathLike[str]) -> Path:
    """Writes report.md, report.html and figures/ into the folder of a finished run; returns the path of the HTML.

    Raises:
      DataError: if a file of the run is missing or damaged.
    """
    run = read_run(run_folder)
    views = {stage: stage_view(run, stage) for stage in STAGES}
    document = open_document(run, "Few labels, then fine-tuning on the held-out region", run.name)
    changes, styles = _changes(run, views), styles_of(run)
    what, *found = _opening(run)
    picture = _change_picture(document, run, styles)
    document.opening(" ".join(found) or what, picture, changes.part((0, 1, 2, -2)), _CHANGES)
    document.section("What was run", what if found else None, dagger_sentence(run.doubtful))
    document.section("Beside the published Table 3", _published(run, views))
    document.section(_CHANGES, changes)
    rows_section(document, run)
    _figures(document, run, views, styles)
    sections.movement_section(document, run, STAGES)
    document.section("By region", *_by_region(run, views))
    trained_on = {"before": "labelled training rows", "after": "labelled rows of the held-out region"}
    for stage, view in views.items():
        sections.status_section(document, view, f"Convergence, {STAGES[stage]}", trained_on[stage])
    document.section("What was seen of the held-out part", _exposure(run, views), uses_table(_uses(run, views)))
    closing_sections(document, run, MODEL_LABELS)
    return document.write()


def stage_view(run: Run, stage: str) -> Run:
    """The part of a run that belongs to one stage, with that stage's criterion of convergence."""

    def chosen(lines: Any) -> np.ndarray:
        if "study" in lines:
            return np.char.endswith(np.asarray(lines["study"], dtype=str), f"/{stage}")
        return np.char.startswith(np.asarray(lines["trial"], dtype=str), f"{stage}/")

    # Sections that ask how the networks were trained then find the settings of this stage.
    trained = run.settings.get("finetune" if stage == "after" else "train", {})
    criterion = run.config.get("convergence_by_stage", {}).get(stage, "The run states no criterion of convergence.")
    config = {**run.config, "config": {**run.settings, "train": trained}, "convergence": criterion}
    return dataclasses.replace(run.part(chosen), config=config)


def _opening(run: Run) -> list[str]:
    changes = []
    for model in run.networks:
        measure = ((model, model), "log10", "rmse")
        change = scores.interval_text(scores.interval(run, *measure), "rmse")
        changes.append((sections.marked_label(run, model), change, scores.ranked(run, *measure)[0]))
    return list(_PROSE.notes("opening", run=run, chosen=run.settings, changes=changes))


def _of_stages(views: Mapping[str, Run], notes: Callable[[Run], Iterable[str]]) -> tuple[str, ...]:
    """The notes of either stage, with its name before them."""
    return tuple(f"{STAGES[stage].capitalize()}: {note}" for stage, view in views.items() for note in notes(view))


def _dagger_notes(views: Mapping[str, Run]) -> tuple[str, ...]:
    return _of_stages(views, lambda view: sections.dagger_notes(view, view.models))


def _epochs(views: Mapping[str, Run]) -> list[str]:
    """What an epoch of either stage passes once, in words."""
    passed = {
        "labelled": "the labelled rows",
        "spectra": "all spectra, or the labelled rows where they are more batches",
    }
    of = {stage: view.settings.get("train", {}).get("epoch_of", "spectra") for stage, view in views.items()}
    return [f"{STAGES[stage]} here, {passed[kind]}" for stage, kind in of.items()]


def _published(run: Run, views: Mapping[str, Run]) -> Table:
    lines = []
    for stage, view in views.items():
        lines += [
            scores.paper_lines(3, STAGES[stage], stage=STAGES[stage]),
            scores.our_lines(view, stage=STAGES[stage]),
        ]
    baselines = [model_label(model) for model in run.models if model not in MODEL_LABELS or model in _BASELINES]
    notes = (
        *_dagger_notes(views),
        *_PROSE.notes("paper_notes", epochs=_epochs(views)),
        *(_PROSE.notes("baselines", models=baselines) if baselines else ()),
        *sections.unbounded_note(run),
        sections.PROSE.text("units"),
        *_of_stages(views, sections.train_note),
        scores.CONVENTIONS,
        _PROSE.text("differs"),
        f"Source: {published.RECONSTRUCTION_SOURCE}.",
    )
    mrmse, in_sample = ("held out", scores.column("mrmse", "%")), " (fine-tuned: in-sample)"
    return scores.beside_table(
        lines,
        {"stage": "Stage", "model": "Model", "source": "Source"},
        title="SOC in % by mass, mean ± standard error; paper: RaCA, 17 regions, 4 seeds.",
        notes=notes,
        order={"stage": STAGES.values()},
        # Both stages share the columns.
        heading=lambda split, metric: f"{metric}, {split}{in_sample if (split, metric) == mrmse else ''}",
    )


def _changes(run: Run, views: Mapping[str, Run]) -> Table:
    heads = {
        "rmse_log10": "RMSE (log10 %)", "ccc_log10": "CCC (log10)", "rmse_percent": "RMSE (%)",
        "r2_percent": "R2, pseudo-median",
        "mrmse_reflectance": "MRMSE (%), in-sample after",
    }  # fmt: skip
    lines = []
    for model in run.models:
        cells = {}
        for head in heads:
            metric, scale = head.split("_")
            cells[head] = scores.interval_text(scores.interval(run, (model, model), scale, metric), metric)
        better, p, _ = scores.ranked(run, (model, model), "log10", "rmse")
        lines.append({"model": sections.marked_label(run, model), **cells, "better": better or UNDEFINED, "p": p})
    notes = (*_PROSE.notes("change_notes"), *_dagger_notes(views))
    columns: dict[str | tuple[str, ...], Any] = {"model": "Model", **heads, "better": "Regions improved"}
    columns["p"] = "p, signed rank"
    title = "Change, mean (95 % interval) over held-out regions."
    return rows_table(pd.DataFrame(lines), columns, title=title, notes=notes, left=(0,))


def _change_picture(document: Document, run: Run, styles: dict[str, Look]) -> Picture | None:
    dots = _dots(run, "log10", "rmse")
    label = "Change of RMSE of log10 SOC on fine-tuning, after − before (log10 %)"
    figure = None
    if dots:
        figure = figures.metric_by_region(dots, styles, label=label, lower=_LOWEST_CHANGE, best=None)
    return document.picture(figure, "change_by_region", _PROSE.text("change_caption", lowest=_LOWEST_CHANGE))


def _figures(document: Document, run: Run, views: Mapping[str, Run], styles: dict[str, Look]) -> None:
    document.section("Figures")
    dots = _dots(run, "reflectance", "mrmse")
    if dots:
        shown = {model: styles[model] for model in styles if any(dot.model == model for dot in dots)}
        label = "Change of MRMSE on fine-tuning, in-sample after − before (% reflectance)"
        highest = max(value for dot in dots for value in dot.values)
        figure = figures.metric_by_region(dots, shown, label=label, best=0.0 if highest < 0.0 else None)
        document.draw(figure, "mrmse_change_by_region", _PROSE.text("mrmse_caption"))
    for stage, view in views.items():
        document.text(f"Loss curves, {STAGES[stage]}.")
        shared_figures.curves_figure(document, view, styles, stage)


def _dots(run: Run, scale: str, metric: str) -> list[figures.Dot]:
    return [
        figures.Dot(model, region, values, trusted=not run.untrusted(model, region))
        for model in run.models
        for region, values in scores.differences(run, (model, model), scale, metric).items()
    ]


def _by_region(run: Run, views: Mapping[str, Run]) -> list[Table]:
    measures = (("log10", "rmse"), ("log10", "ccc"), ("percent", "rmse"), ("percent", "r2"), ("reflectance", "mrmse"))
    heads = {("percent", "n", "after"): "n"} | {
        (*measure, stage): f"{scores.scaled_column(*measure)}, {text}"
        for measure in measures
        for stage, text in STAGES.items()
    }
    heads["reflectance", "mrmse", "after"] += ", in-sample"
    lines = pd.concat([view.table("region_averages").assign(stage=stage) for stage, view in views.items()])
    lines = where(lines, split="test")
    lines = lines.assign(head=list(zip(lines["scale"], lines["metric"], lines["stage"], strict=True)))
    return [
        scores.region_table(
            run,
            model,
            lines,
            heads,
            title=f"{model_label(model)}, mean over seeds.",
            notes=_dagger_notes(views) if run.untrusted(model) else (),
        )
        for model in run.models
    ]


def _exposure(run: Run, views: Mapping[str, Run]) -> Table:
    rows = []
    for stage, view in views.items():
        for model in view.models:
            # Regions share a line where their name alone tells them apart.
            trials = [trial for trial in view.trials if trial.model == model]
            texts = sorted({t.exposure.replace(f" of {t.region}", " of the held-out region", 1) for t in trials})
            rows.append((STAGES[stage], model_label(model), "; ".join(texts) or UNDEFINED))
    header = ("Stage", "Model", "Exposure, as every trial records it")
    notes = _PROSE.notes(
        "exposure_notes", stored=run.settings.get("finetune", {}).get("batch_norm", "stored") == "stored"
    )
    return Table("Use of the held-out region, by stage and model.", header, tuple(rows), notes, left=(0, 1, 2))


def _uses(run: Run, views: Mapping[str, Run]) -> tuple[tuple[str, ...], ...]:
    """What each kind of number took of the held-out region, stage by stage."""
    tuned = f"labels of {run.settings.get('adaptation_pedons', 'few')} pedons, to train"
    return _PROSE.rows(
        "uses",
        tuned=tuned,
        decoders=bool(len(where(run.results, metric="mrmse"))),
        epoch_choice=_epoch_choice(views["after"], tuned),
        learned=(run.path / "soc_spectra.npz").exists(),
    )


def _epoch_choice(view: Run, tuned: str) -> tuple[str, str]:
    """What chose the epoch of the fine-tuned networks: the set number of epochs, or the loss that was watched."""
    train = view.settings.get("train", {})
    if train.get("keep", "last") == "last" and not train.get("patience", 0):
        epochs = train.get("epochs")
        return f"none: the last of {epochs} epochs, set beforehand" if epochs else "none: the last epoch", "none"
    if train.get("validation_share", 0.0):
        return "those of some of the pedons that fine-tune", "labels of some of the pedons that fine-tune"
    return "all of them, in the training loss", tuned.removesuffix(", to train") + ", in the training loss"
