"""Report of the leave-one-region-out study (Experiment 1, Table 2 of the reconstruction paper)."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from jaxsoil.evaluation.compare import Summary, TTest, t_test
from jaxsoil.evaluation.regions import BLOCKS, STUDENT, TESTS, WELCH
from jaxsoil.evaluation.results import DIVERGED, SOC_FLOOR
from jaxsoil.report import figures
from jaxsoil.report.document import Document
from jaxsoil.report.run_files import where
from jaxsoil.report.run_sections import ALIKE_NOT, closing_sections, dagger_sentence, open_document
from jaxsoil.report.style import Look
from jaxsoil.report.tables import UNDEFINED, Table, natural_sorted, number
from jaxsoil.studies.reconstruction.report import published, scores, sections
from jaxsoil.studies.reconstruction.report.alarm import alarm_section
from jaxsoil.studies.reconstruction.report.reading import (
    MODEL_LABELS,
    Run,
    model_label,
    predictions_by_trial,
    read_run,
    styles_of,
)
from jaxsoil.studies.reconstruction.report.shared_figures import curves_figure, reconstruction_figure
from jaxsoil.studies.reconstruction.report.uncertainty import uncertainty_section

_LOWEST_CCC = -0.2
_PUBLISHED_RUNS = {"problematic": 24, "generalising": 44}


def write_report(run_folder: str | os.PathLike[str]) -> Path:
    """Writes report.md, report.html and figures/ into the folder of a finished run.

    Args:
      run_folder: folder with the files named in ``jaxsoil.studies.reconstruction.report.reading``.

    Returns:
      Path of report.html, which needs no other file.

    Raises:
      DataError: if a file of the run is missing or damaged.
    """
    run = read_run(run_folder)
    document = open_document(run, "Leave one region out: soil organic carbon", run.name)
    blocks = region_blocks(run)
    document.add(*_opening(run, blocks))
    common = "Mean over regions ± standard error (SD/√n over regions and seeds), held-out regions."
    document.section("Mean over regions", *scores.mean_tables(run, common))
    styles = styles_of(run)
    document.section("Beside the published Table 2", _published(run, blocks))
    ttest_section(document, run, blocks)
    alarm_section(document, run, styles)
    uncertainty_section(document, run)
    _figures(document, run, styles)
    document.section("By region", *_by_region(run))
    sections.status_section(document, run, trained_on="training regions")
    sections.exposure_section(document, run, _uses(run))
    closing_sections(document, run, MODEL_LABELS)
    return document.write()


def _opening(run: Run, blocks: dict[str, list[str]]) -> list[str]:
    seeds = len({trial.seed for trial in run.trials})
    return [
        f"Each of {len(run.regions)} regions is held out in turn; a model that is trained on the others predicts it. "
        f"Models: {', '.join(model_label(model) for model in run.models)}; seeds of the networks: {seeds}.",
        _best(run),
        _no_comparison(run, blocks),
        dagger_sentence(any(run.untrusted(model) for model in run.models)),
    ]


def _best(run: Run) -> str:
    """The model with the highest mean CCC of log10 SOC, and those that the paired interval does not tell from it."""
    # A mean that leaves out a region, perhaps a difficult one, is not ranked with those of all regions.
    complete = [model for model in run.models if not scores.undefined_regions(run.results, model)]
    found = [(scores.average(run.results, model, "log10", "ccc")[0], model) for model in complete]
    means = [(mean, model) for mean, model in found if math.isfinite(mean)]
    if not means:
        return ""
    mean, best = max(means)
    said = f"Highest mean CCC of log10 SOC over regions: {number(mean, 2)}, {sections.marked_label(run, best)}."
    if len(means) == 1:
        return said
    if len(run.regions) < 2:
        return f"{said} One region does not tell the models apart."
    close = []
    for value, model in sorted(means, reverse=True):
        difference = scores.interval(run, (model, best), "log10", "ccc")
        if model != best and not difference.clear:
            text = f"{sections.marked_label(run, model)} {number(value, 2)}"
            close.append(f"{text} (difference {scores.interval_text(difference, 'ccc')})")
    if not close:
        return f"{said} The 95 % interval of the difference, paired by region, tells all others from it."
    return (
        f"{said} Not told apart from it by the 95 % interval of the difference, paired by region: {'; '.join(close)}."
    )


def _no_comparison(run: Run, blocks: dict[str, list[str]]) -> str:
    """That the paper's comparison of the two sets of regions cannot be made; nothing where it can."""
    if not any(model in published.T_TESTS for model in run.models):
        return ""
    problematic, generalising = (blocks[name] for name in ("problematic", "generalising"))
    if min(len(problematic), len(generalising)) > 1:
        return ""
    names = f" ({', '.join(problematic)})" if problematic else ""
    return (
        "The paper's central comparison, MRMSE of problematic against that of generalising regions, cannot be made on "
        f"these data: {len(problematic)} of {len(run.regions)} regions{names} "
        f"{'is' if len(problematic) == 1 else 'are'} problematic (R2 of SOC in % below 0 for all networks and seeds), "
        f"{len(generalising)} {'is' if len(generalising) == 1 else 'are'} generalising, and a test needs two of either."
    )


def region_blocks(run: Run) -> dict[str, list[str]]:
    """The paper's parting of the regions, as the run states it, and "all" of them.

    A region in which no network has a defined R2 is in neither block, and there are none without networks.
    """
    found = run.table("blocks")
    named = {name: natural_sorted(set(found["region"][found["block"] == name])) for name in BLOCKS}
    return {"all": run.regions, **named}


def published_tests(model: str) -> dict[str, TTest]:
    """Student and Welch from the published means and standard errors; region means were not published."""
    samples = []
    for block, count in _PUBLISHED_RUNS.items():
        line = next(row for row in published.rows(2, block) if row.model == model)
        samples.append(Summary(count, line.test["mrmse"].mean, line.test["mrmse"].se))
    return {STUDENT: t_test(*samples, pooled=True), WELCH: t_test(*samples, pooled=False)}


def ttest_section(document: Document, run: Run, blocks: dict[str, list[str]]) -> None:
    """Adds the table of the three tests, ours beside the published summaries'; nothing without networks."""
    if not any(model in published.MODELS for model in run.models):
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
    counts = {name: len(blocks[name]) for name in BLOCKS}
    notes = (
        "Two-tailed; t is positive where problematic regions have the higher MRMSE. The paper calls its test Welch's, "
        "but prints the values of Student's test with pooled variance on 24 and 44 runs.",
        "Runs of one region share their data: only the region means (seeds averaged) are independent.",
        f"Here {counts['problematic']} problematic and {counts['generalising']} generalising regions; a test is not "
        "available where a set has fewer than two regions, and the paper gives no region means.",
        *sections.dagger_notes(run, published.T_TESTS),
    )
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
    for block, regions in blocks.items():
        frame = pd.DataFrame(run.results[run.results["region"].isin(regions)])
        lines += [
            scores.paper_lines(2, block, block=block),
            scores.our_lines(run, frame, known=block != "all", block=block),
        ]
    return scores.beside_table(
        lines,
        {"block": "Regions", "model": "Model", "source": "Source"},
        title="SOC in % by mass, mean ± standard error over regions and seeds; paper: RaCA, 17 regions, 4 seeds.",
        notes=(
            *sections.dagger_notes(run, run.models),
            *_block_notes(run, blocks),
            *sections.train_note(run),
            *sections.unbounded_note(run),
            *published.TABLE_2_FOOTNOTES,
            f"Source: {published.RECONSTRUCTION_SOURCE}.",
        ),
        order={"block": blocks},
    )


def _block_notes(run: Run, blocks: dict[str, list[str]]) -> tuple[str, ...]:
    if not any(model in published.MODELS for model in run.models):
        return ("No network was trained here, so the regions are not parted into problematic and generalising.",)
    named = [f"{block}: {', '.join(blocks[block]) or 'none'}" for block in ("problematic", "generalising")]
    return (
        "A region is problematic where R2 of the held-out region is negative for all networks and seeds. "
        f"Here {'; '.join(named)}.",
        ALIKE_NOT,
    )


def _uses(run: Run) -> list[tuple[str, str, str]]:
    """What each kind of number took of the held-out region, beyond what trials.csv says of the training."""
    rows = [("SOC scores (CCC, RMSE, bias, R2, RPIQ)", "through the finished model", "to score")]
    networks = [model for model in run.models if model in published.MODELS]
    if networks:
        rows += [
            ("Choice of epoch, convergence", "none: rows of training regions only", "none"),
            ("Problematic and generalising regions", "through the finished model", "to part the regions afterwards"),
        ]
    if run.reconstructions:
        rows += [
            *sections.reconstruction_uses(),
            ("t-tests on MRMSE", "through the finished model, to score", "to part the regions afterwards"),
        ]
    if (run.path / "samples.parquet").exists():
        rows += [
            ("Alarm scores", "through the finished model, to score", "none"),
            ("Thresholds from training rows", "none", "none"),
            ("Thresholds from the other regions", "trained on by the other networks", "trained on by them"),
            ("AUROC, failures caught, RMSE of the accepted", "as the alarm scores", "to say what failed"),
        ]
    if "coverage" in run.tables:
        rows += [
            ("Intervals, pooled", "as a batch to be predicted", "trained on by the models behind the residuals"),
            ("Intervals, nested (PLSR)", "as a batch to be predicted", "none"),
            ("Coverage, what to measure again", "through the finished model", "to score"),
        ]
    return rows


def _by_region(run: Run) -> list[Table]:
    measures = [(scale, metric) for scale in ("log10", "percent") for metric in scores.METRICS]
    shown = [("percent", "n"), *measures, ("reflectance", "mrmse")]
    heads: dict[tuple[str, ...], str] = {measure: scores.scaled_column(*measure) for measure in shown}
    heads |= {("status",): "Status", ("exposure",): "Exposure"}
    lines = where(run.results, split="test")
    lines = lines.assign(head=list(zip(lines["scale"], lines["metric"], strict=True)))
    texts = [
        (model, region, (name,), ", ".join(sorted({getattr(trial, name) for trial in trials})) or UNDEFINED)
        for model in run.models
        for region in run.regions
        for trials in [[trial for trial in run.trials if (trial.model, trial.region) == (model, region)]]
        for name in ("status", "exposure")
    ]
    named = pd.DataFrame(texts, columns=pd.Index(["model", "region", "head", "value"]))
    lines = pd.concat([pd.DataFrame(lines[named.columns]).astype({"value": object}), named])
    tables = []
    for model in run.models:
        seeds = len({trial.seed for trial in run.trials if trial.model == model})
        title = f"{model_label(model)}, held-out regions" + (f", mean of {seeds} seeds." if seeds > 1 else ".")
        notes = (*sections.dagger_notes(run, (model,)), *sections.unbounded_note(run, (model,)))
        tables.append(scores.region_table(run, model, lines, heads, title=title, notes=notes, left=(0, -2, -1)))
    return tables


def _figures(document: Document, run: Run, styles: dict[str, Look]) -> None:
    document.section("Figures")
    dots = _dots(run)
    label = "CCC of log10 SOC in the held-out region (dimensionless)"
    figure = figures.metric_by_region(dots, styles, label=label, lower=_LOWEST_CCC)
    caption = (
        "Concordance (CCC) of log10 SOC by held-out region and model, regions sorted by their mean; the last line is "
        "the mean over regions. Open markers: networks that did not converge. Triangles that point left at the edge: "
        f"below {number(_LOWEST_CCC, 1)}."
    )
    document.draw(figure, "ccc_by_region", caption)
    for model in run.models:
        panels = _scatter_panels(run, dots, model)
        name = sections.marked_label(run, model)
        figure = figures.predicted_vs_observed(panels, title=name, color=styles[model].color, floor=SOC_FLOOR)
        caption = (
            f"Predicted against observed SOC by held-out region, {name}; grey: 1:1. CCC on the log10 scale. "
            f"Values outside {SOC_FLOOR:g} to {figures.CEILING:g} % are drawn at the edge."
        )
        document.draw(figure, f"predicted_vs_observed_{_file_name(model)}", caption)
    reconstruction_figure(document, run, styles, "held-out regions")
    curves_figure(document, run, styles)


def _dots(run: Run) -> list[figures.Dot]:
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in where(run.results, split="test", scale="log10", metric="ccc").to_dict("records"):
        values[str(row["model"]), str(row["region"])].append(float(row["value"]))
    return [
        figures.Dot(model, region, tuple(found), trusted=not run.untrusted(model, region))
        for (model, region), found in values.items()
    ]


def _scatter_panels(run: Run, dots: Sequence[figures.Dot], model: str) -> list[figures.ScatterPanel]:
    values = {dot.region: [v for v in dot.values if math.isfinite(v)] for dot in dots if dot.model == model}
    predictions = predictions_by_trial(run)
    panels = []
    for region in run.regions:
        pairs = [pair for key, pair in predictions.items() if key[:2] == (model, region)] or [(np.array([]),) * 2]
        found = values.get(region)
        diverged = any(t.status == DIVERGED for t in run.untrusted(model, region))
        score = f"CCC {number(float(np.mean(found)), 2)}" if found else "diverged" if diverged else "CCC undefined"
        text = f"{score}\nn = {pairs[0][0].size}"
        panels.append(
            figures.ScatterPanel(
                sections.marked(region, run, model, region),
                np.concatenate([observed for observed, _ in pairs]),
                np.concatenate([predicted for _, predicted in pairs]),
                text,
            )
        )
    return panels


def _file_name(model: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in model)
