"""Report of the leave-one-region-out study (Experiment 1, Table 2 of the reconstruction paper)."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from jaxsoil.evaluation.compare import Summary, TTest, t_test
from jaxsoil.evaluation.regions import BLOCKS, STUDENT, TESTS, WELCH
from jaxsoil.evaluation.results import DIVERGED
from jaxsoil.report import figures
from jaxsoil.report.document import Document, Picture
from jaxsoil.report.prose import Prose
from jaxsoil.report.run_files import where
from jaxsoil.report.run_sections import ALIKE_NOT, closing_sections, dagger_sentence, open_document
from jaxsoil.report.style import Look
from jaxsoil.report.tables import Table, natural_sorted, number
from jaxsoil.studies.reconstruction.report import published, region_sections, scores, sections, shared_figures
from jaxsoil.studies.reconstruction.report.alarm import alarm_section
from jaxsoil.studies.reconstruction.report.reading import MODEL_LABELS, Run, model_label, read_run, styles_of
from jaxsoil.studies.reconstruction.report.uncertainty import uncertainty_section
from jaxsoil.studies.reconstruction.summaries import ALL, MEASURED

_PROSE = Prose(__package__, "region_out")
_LOWEST_CCC = -0.2
_PUBLISHED_RUNS = {"problematic": 24, "generalising": 44}


def write_report(run_folder: str | os.PathLike[str]) -> Path:
    """Writes report.md, report.html and figures/ into the folder of a finished run; returns the path of the HTML.

    Raises:
      DataError: if a file of the run is missing or damaged.
    """
    run = read_run(run_folder)
    document = open_document(run, "Leave one region out: soil organic carbon", run.name)
    blocks, styles, dots = region_blocks(run), styles_of(run), scores.ccc_dots(run)
    common = "Mean over regions ± standard error (SD/√n over regions, seeds averaged first), held-out regions."
    means, ranked = scores.mean_tables(run, common), _ranked(run)
    document.opening(_best(run), _ccc_picture(document, dots, styles), _short(run, means[0]), "Mean over regions")
    said = _PROSE.text("opening", run=run), region_sections.settings_sentence(run), _no_comparison(run, blocks)
    document.section("What was run", *said, dagger_sentence(run.doubtful))
    document.section(
        "Mean over regions", *means, *region_sections.with_modelled_table(run), list(region_sections.scale_notes(run))
    )
    region_sections.grid_section(document, run)
    if len(ranked) > 1 and len(run.regions) > 1:
        document.section("Models against each other", *region_sections.by_region(run, ranked[0][1]))
    document.section("Beside the published Table 2", _published(run, blocks))
    ttest_section(document, run, blocks)
    region_sections.failing_section(document, run)
    region_sections.transfer_section(document, run)
    alarm_section(document, run, styles)
    uncertainty_section(document, run)
    _region_sections(document, run, styles, dots)
    sections.status_section(document, run, trained_on="training regions")
    shared_figures.curves_figure(document, run, styles)
    parts = {"reconstructions": bool(run.reconstructions), "alarms": (run.path / "samples.parquet").exists()}
    parts["intervals"] = "coverage" in run.tables
    watched = run.networks and "rows of training regions"
    sections.exposure_section(document, run, sections.PROSE.rows("uses", watched=watched, blocks=True, **parts))
    closing_sections(document, run, MODEL_LABELS)
    return document.write()


def _short(run: Run, means: Table) -> Table:
    """CCC, RMSE and median R2 of log10 SOC out of the table of means, the model with the highest mean CCC first."""
    labels = [sections.marked_label(run, model) for _, model in _ranked(run)]
    order = {label: rank for rank, label in enumerate(labels)}
    rows = sorted(range(len(means.rows)), key=lambda at: order.get(means.rows[at][0], len(order)))
    return means.part((0, 1, 2, -1), rows, sections.dagger_notes(run, run.models))


def _best(run: Run) -> str:
    """What was found and how sure it is, in three sentences.

    The model with the highest mean CCC of log10 SOC, those that the paired interval does not tell from it, its standard
    error and the regions where it fails.
    """
    means = _ranked(run)
    if not means:
        return _PROSE.text("none_ranked")
    (mean, best), *others = means
    close = []
    for value, model in others if len(run.measured) > 1 else ():
        difference = scores.interval(run, (model, best), "log10", "ccc")
        if not difference.clear:
            text = f"{sections.marked_label(run, model)} {number(value, 2)}"
            close.append(f"{text} (difference {scores.interval_text(difference, 'ccc')})")
    label = sections.marked_label(run, best)
    error = scores.average(run, best, "log10", "ccc", part=MEASURED)[1]
    rows = where(run.table("region_averages"), model=best, split="test", scale="percent", metric="r2")
    failed = natural_sorted(set(rows["region"][rows["region"].isin(run.measured) & (rows["value"] < 0)]))
    facts = {"error": error, "regions": len(run.measured), "failed": failed}
    one = len(run.measured) < 2
    return _PROSE.text("best", mean=mean, model=label, alone=not others, one_region=one, close=close, **facts)


def _ranked(run: Run) -> list[tuple[float, str]]:
    """Mean CCC of log10 SOC and model, the highest first."""
    # A mean that leaves out a region, perhaps a difficult one, is not ranked with those of all regions.
    results = pd.DataFrame(run.results[run.results["region"].isin(run.measured)])
    complete = [model for model in run.models if not scores.undefined_regions(results, model)]
    found = [(scores.average(run, model, "log10", "ccc", part=MEASURED)[0], model) for model in complete]
    return sorted(((mean, model) for mean, model in found if math.isfinite(mean)), reverse=True)


def _no_comparison(run: Run, blocks: dict[str, list[str]]) -> str:
    """That the paper's comparison of the two sets of regions cannot be made; nothing where it can."""
    two = {name: blocks[name] for name in BLOCKS}
    made = min(len(regions) for regions in two.values()) > 1
    compared = any(model in published.T_TESTS for model in run.models)
    return _PROSE.text("no_comparison", run=run, **two) if compared and not made else ""


def region_blocks(run: Run) -> dict[str, list[str]]:
    """The paper's parting of the regions, as the run states it, and "all" of them.

    A region in which no network has a defined R2 is in neither block, and there are none without networks. "All" are
    those whose SOC is not modelled.
    """
    found = run.table("blocks")
    named = {name: natural_sorted(set(found["region"][found["block"] == name])) for name in BLOCKS}
    return {ALL: run.measured, **named}


def published_tests(model: str) -> dict[str, TTest]:
    """Student and Welch from the published means and standard errors; region means were not published.

    They follow from the printed table alone, for every run the same: no number of a run, and in none of its files.
    """
    samples = []
    for block, count in _PUBLISHED_RUNS.items():
        line = where(published.rows(2, block), model=model, split="test", metric="mrmse").iloc[0]
        samples.append(Summary(count, line["mean"], line["se"]))
    return {STUDENT: t_test(*samples, pooled=True), WELCH: t_test(*samples, pooled=False)}


def ttest_section(document: Document, run: Run, blocks: dict[str, list[str]]) -> None:
    """Adds the table of the three tests, ours beside the published summaries'; nothing without networks."""
    if not run.networks:
        return
    ours = run.table("block_tests").set_index(["model", "test"])
    rows = []
    for model, printed in published.T_TESTS.items():
        theirs = published_tests(model)
        for name in TESTS:
            label = sections.marked(published.MODELS[model], run, model)
            shown = number(printed, 3) if name == STUDENT else ""
            found = TTest(*ours.loc[(model, name), ["t", "dof", "p"]]) if (model, name) in ours.index else None
            rows.append((label, name, *_test_cells(theirs.get(name)), shown, *_test_cells(found)))
    header = ("Model", "Test", "t, paper's summaries", "dof", "p", "t, printed", "t, here", "dof", "p")
    notes = (*_PROSE.notes("test_notes", blocks=blocks), *sections.dagger_notes(run, published.T_TESTS))
    caption = "Validation MRMSE of problematic against generalising regions, three t-tests."
    document.section(
        "Is the reconstruction error higher where SOC fails?", Table(caption, header, tuple(rows), notes, left=(0, 1))
    )


def _test_cells(test: TTest | None) -> tuple[str, str, str]:
    if test is None or not math.isfinite(test.t):
        return ("not available", "", "")
    p = "< 0.0001" if test.p < 1e-4 else number(test.p, 4)
    return (number(test.t, 3), number(test.dof, 1), p)


def _published(run: Run, blocks: dict[str, list[str]]) -> Table:
    lines = []
    for block in blocks:
        lines += [
            scores.paper_lines(2, block, block=block),
            scores.our_lines(run, MEASURED if block == ALL else block, known=block != ALL, block=block),
        ]
    return scores.beside_table(
        lines,
        {"block": "Regions", "model": "Model", "source": "Source"},
        title="SOC in % by mass, mean ± standard error; paper: RaCA, 17 regions, 4 seeds.",
        notes=(
            *sections.dagger_notes(run, run.models),
            *((_PROSE.text("block_note", blocks=blocks), ALIKE_NOT) if run.networks else _PROSE.notes("no_blocks")),
            *sections.train_note(run),
            *sections.unbounded_note(run),
            sections.PROSE.text("units"),
            *_PROSE.notes("paper_notes"),
            f"Source: {published.RECONSTRUCTION_SOURCE}.",
        ),
        order={"block": blocks},
    )


def _by_region(run: Run) -> dict[str, Table]:
    """Scores in every held-out region, a table for each model."""
    measures = [(scale, metric) for scale in ("log10", "percent") for metric in scores.METRICS]
    shown = [("percent", "n"), *measures, ("reflectance", "mrmse")]
    heads: dict[tuple[str, ...], str] = {measure: scores.scaled_column(*measure) for measure in shown}
    heads |= {("status",): "Status", ("exposure",): "Exposure"}
    lines = where(run.table("region_averages"), split="test")
    lines = lines.assign(head=list(zip(lines["scale"], lines["metric"], strict=True)))
    named = run.tables["trials"].melt(["model", "region"], ["status", "exposure"], "head")
    named["head"] = [(name,) for name in named["head"]]
    lines = pd.concat([pd.DataFrame(lines[named.columns]).astype({"value": object}), named])
    tables = {}
    for model in run.models:
        seeds = len({trial.seed for trial in run.trials if trial.model == model})
        title = f"{model_label(model)}, held-out regions" + (f", mean of {seeds} seeds." if seeds > 1 else ".")
        notes = (*sections.dagger_notes(run, (model,)), *sections.unbounded_note(run, (model,)))
        tables[model] = scores.region_table(run, model, lines, heads, title=title, notes=notes, left=(0, -2, -1))
    return tables


def _ccc_picture(document: Document, dots: list[figures.Dot], styles: dict[str, Look]) -> Picture | None:
    label = "CCC of log10 SOC in the held-out region (dimensionless)"
    figure = figures.metric_by_region(dots, styles, label=label, lower=_LOWEST_CCC)
    return document.picture(figure, "ccc_by_region", _PROSE.text("ccc_caption", lowest=_LOWEST_CCC))


def _region_sections(document: Document, run: Run, styles: dict[str, Look], dots: list[figures.Dot]) -> None:
    """Reconstructed spectra, then each model by region: scores, and predicted against observed."""
    document.heading("Reconstructed spectra")
    shared_figures.reconstruction_figure(document, run, styles, "held-out regions")
    document.heading("By region")
    for model, table in _by_region(run).items():
        name = sections.marked_label(run, model)
        file = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in model)
        of = f"by held-out region, {name}"
        shared_figures.scatter_figure(
            document, _scatter_panels(run, dots, model), name, of, file, color=styles[model].color
        )
        document.table(table)


def _scatter_panels(run: Run, dots: Sequence[figures.Dot], model: str) -> list[figures.ScatterPanel]:
    found: Any = where(run.table("region_averages"), model=model, split="test", scale="log10", metric="ccc")
    means, panels = found.set_index("region")["value"], []
    for region in run.regions:
        rows, mean = where(run.predictions, model=model, region=region), means.get(region, math.nan)
        score = f"CCC {number(mean, 2)}"
        if not math.isfinite(mean):
            diverged = any(trial.status == DIVERGED for trial in run.untrusted(model, region))
            score = "diverged" if diverged else "CCC undefined"
        text = f"{score}\nn = {len(rows) // max(1, rows['seed'].nunique())}"
        name = sections.marked(run.region_label(region), run, model, region)
        panels.append(figures.ScatterPanel(name, rows["observed"], rows["predicted"], text))
    return panels
