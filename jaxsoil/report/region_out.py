"""Report of the leave-one-region-out study (Experiment 1, Table 2 of the reconstruction paper)."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from jaxsoil.evaluation.results import SOC_FLOOR, over_regions
from jaxsoil.report import figures, published, sections
from jaxsoil.report.html import Document
from jaxsoil.report.reading import (
    DIVERGED,
    MODEL_LABELS,
    Run,
    model_label,
    predictions_by_trial,
    read_run,
    where,
)
from jaxsoil.report.style import Look, looks, save
from jaxsoil.report.tables import DAGGER, UNDEFINED, Table, natural_sorted, number, plus_minus

_DIGITS = {"ccc": 2, "r2": 2, "rpiq": 2, "rmse": 3, "bias": 3, "mrmse": 2}
_NAMES = {"ccc": "CCC", "rmse": "RMSE", "bias": "Bias", "r2": "R2", "rpiq": "RPIQ", "mrmse": "MRMSE"}
_EXAMPLES = 6
_LOWEST_CCC = -0.2


def write_report(run_folder: str | os.PathLike[str]) -> Path:
    """Writes report.md, report.html and figures/ into the folder of a finished run.

    Args:
      run_folder: folder with the files named in ``jaxsoil.report.reading``.

    Returns:
      Path of report.html, which needs no other file.

    Raises:
      DataError: if a file of the run is missing or damaged.
    """
    run = read_run(run_folder)
    name = str(run.data.get("name") or run.results["data"].iloc[0])
    document = Document(f"Leave one region out: soil organic carbon, data '{name}'")
    _opening(document, run)
    _headline(document, run)
    _published(document, run)
    _figures(document, run)
    _by_region(document, run)
    sections.status_section(document, run)
    sections.exposure_section(document, run)
    sections.differences_section(document, run)
    sections.data_section(document, run)
    sections.timing_section(document, run)
    sections.command_section(document, run)
    return document.write(run.path)


def _opening(document: Document, run: Run) -> None:
    seeds = len({trial.seed for trial in run.trials})
    document.text(
        f"Each of {len(run.regions)} regions is held out in turn; a model that is trained on the others predicts it. "
        f"Models: {', '.join(model_label(model) for model in run.models)}; seeds of the networks: {seeds}."
    )
    # A mean that leaves out a region, perhaps a difficult one, is not ranked with those of all regions.
    complete = [model for model in run.models if not _left_out(run, model)]
    means = [(mean, model) for model in complete if math.isfinite(mean := _overall(run, model, "log10", "ccc")[0])]
    if means:
        mean, model = max(means)
        document.text(
            f"Highest mean CCC of log10 SOC over regions: {number(mean, 2)}, "
            f"{sections.marked(model_label(model), run, model)}."
        )
    if any(run.untrusted(model) for model in run.models):
        document.text(f"A dagger ({DAGGER}) marks every number with a network behind it that did not converge.")


def _headline(document: Document, run: Run) -> None:
    document.heading("Mean over regions")
    notes = sections.dagger_notes(run, run.models)
    left_out = [f"{model_label(model)} {', '.join(names)}" for model in run.models if (names := _left_out(run, model))]
    reasons = tuple(sections.undefined_notes(run))
    if left_out:
        reasons = (f"Regions whose CCC of a seed is undefined and not in the mean: {'; '.join(left_out)}.", *reasons)
    common = "Mean over regions ± standard error (SD/√n over regions and seeds), held-out regions. "
    conventions = "Bias is predicted minus observed; R2 is 1 − SSE/SST; CCC is Lin's; RPIQ is IQR(observed)/RMSE."
    for scale, unit, columns, extra in (
        ("log10", "log10 %", ("ccc", "rmse", "bias", "r2", "rpiq"), sections.clipped_note(run)),
        ("percent", "%", ("ccc", "rmse", "bias", "r2", "rpiq", "mrmse"), ()),
    ):
        rows = tuple(
            (
                sections.marked(model_label(model), run, model),
                *(_overall_text(run, model, scale, c) for c in columns),
                number(_median_r2(run, model, scale), 2),
            )
            for model in run.models
        )
        title = "SOC on the log10 scale. " if scale == "log10" else "SOC in % by mass; MRMSE in % reflectance. "
        header = ("Model", *(_column(name, unit) for name in columns), "R2, median")
        document.table(Table(title + common, header, rows, (conventions, *notes, *extra, *reasons)))


def _median_r2(run: Run, model: str, scale: str) -> float:
    """Median of R2 over regions and seeds: one region whose SOC hardly varies can decide the mean."""
    rows = where(run.results, model=model, split="test", scale=scale, metric="r2").to_dict("records")
    values = [float(row["value"]) for row in rows if math.isfinite(row["value"])]
    return float(np.median(values)) if values else math.nan


def _left_out(run: Run, model: str) -> list[str]:
    """Regions where the CCC of log10 SOC of at least one seed is undefined."""
    rows = where(run.results, model=model, split="test", scale="log10", metric="ccc").to_dict("records")
    return natural_sorted({str(row["region"]) for row in rows if not math.isfinite(row["value"])})


def _overall(run: Run, model: str, scale: str, metric: str, split: str = "test") -> tuple[float, float]:
    """Mean and standard error over regions and seeds, NaN where there is nothing."""
    return _average(run.results, model, scale, metric, split)


def _average(frame: pd.DataFrame, model: str, scale: str, metric: str, split: str) -> tuple[float, float]:
    scale = "reflectance" if metric == "mrmse" else scale
    chosen = where(frame, model=model, scale=scale, metric=metric, split=split)
    for row in over_regions(chosen).to_dict("records"):
        if row["seed"] == "all":
            return float(row["mean"]), float(row["se"])
    return math.nan, math.nan


def _overall_text(run: Run, model: str, scale: str, metric: str) -> str:
    return plus_minus(*_overall(run, model, scale, metric), _DIGITS[metric])


def _column(metric: str, unit: str) -> str:
    if metric == "mrmse":
        return "MRMSE (%)"
    return f"{_NAMES[metric]} ({unit})" if metric in ("rmse", "bias") else _NAMES[metric]


def region_blocks(run: Run) -> dict[str, list[str]]:
    """The paper's parting of the regions: problematic where R2 of SOC in % is negative for all networks and seeds.

    A region in which no network has a defined R2 is in neither block, and there are none without networks.
    """
    networks = [model for model in run.models if model in published.MODELS]
    by_region: dict[str, list[float]] = defaultdict(list)
    for row in where(run.results, scale="percent", metric="r2", split="test").to_dict("records"):
        if row["model"] in networks and math.isfinite(row["value"]):
            by_region[row["region"]].append(row["value"])
    problematic = [region for region, values in by_region.items() if max(values) < 0.0]
    generalising = [region for region in by_region if region not in problematic]
    return {
        "all": run.regions,
        "problematic": natural_sorted(set(problematic)),
        "generalising": natural_sorted(set(generalising)),
    }


def _published(document: Document, run: Run) -> None:
    document.heading("Beside the published Table 2")
    blocks = region_blocks(run)
    rows = []
    for block, regions in blocks.items():
        frame = pd.DataFrame(run.results[run.results["region"].isin(regions)])
        for line in published.rows(2, block):
            printed = [*_printed(line.train), *_printed(line.test)]
            rows.append((block, published.MODELS[line.model], "paper", *printed))
            if line.model in run.models and regions:
                name = sections.marked(published.MODELS[line.model], run, line.model)
                rows.append((block, name, "here", *_ours(frame, line.model)))
        if block == "all":
            for model in (model for model in run.models if model not in published.MODELS):
                name = sections.marked(model_label(model), run, model)
                rows.append((block, name, "here", *_ours(frame, model)))
    split = ("train", "held out")
    header = [f"{_column(m, '%')}, {part}" for part in split for m in published.METRICS]
    caption = "SOC in % by mass, mean ± standard error over regions and seeds; paper: RaCA, 17 regions, 4 seeds."
    notes = (*sections.dagger_notes(run, run.models), *_block_notes(run, blocks), *published.TABLE_2_FOOTNOTES)
    notes = (*notes, f"Source: {published.RECONSTRUCTION_SOURCE}.")
    document.table(Table(caption, ("Regions", "Model", "Source", *header), tuple(rows), notes, left=(0, 1, 2)))


def _block_notes(run: Run, blocks: dict[str, list[str]]) -> tuple[str, ...]:
    if not any(model in published.MODELS for model in run.models):
        return ("No network was trained here, so the regions are not parted into problematic and generalising.",)
    named = [f"{block}: {', '.join(blocks[block]) or 'none'}" for block in ("problematic", "generalising")]
    return (
        "A region is problematic where R2 of the held-out region is negative for all networks and seeds. "
        f"Here {'; '.join(named)}.",
        "Data, number of spectra, bands and training length differ from the paper's as listed under "
        "'Settings that differ from the paper': the columns show what each found, not a like-for-like comparison.",
    )


def _printed(values: dict[str, published.PublishedValue]) -> list[str]:
    return [
        plus_minus(values[name].mean, values[name].se, 3) if name in values else UNDEFINED for name in published.METRICS
    ]


def _ours(frame: pd.DataFrame, model: str) -> list[str]:
    return [
        plus_minus(*_average(frame, model, "percent", metric, split), 3)
        for split in ("train", "test")
        for metric in published.METRICS
    ]


def _by_region(document: Document, run: Run) -> None:
    document.heading("By region")
    header = (
        "Region", "n", "CCC (log10)", "RMSE (log10 %)", "Bias (log10 %)", "R2 (log10)", "RPIQ (log10)",
        "CCC", "RMSE (%)", "Bias (%)", "R2", "RPIQ", "MRMSE (%)", "Status", "Exposure",
    )  # fmt: skip
    values: dict[tuple[str, str, str, str], list[float]] = defaultdict(list)
    for row in where(run.results, split="test").to_dict("records"):
        if math.isfinite(float(row["value"])):
            values[row["model"], row["region"], row["scale"], row["metric"]].append(float(row["value"]))
    for model in run.models:
        rows = tuple(_region_row(run, values, model, region) for region in run.regions)
        seeds = len({trial.seed for trial in run.trials if trial.model == model})
        caption = f"{model_label(model)}, held-out regions" + (f", mean of {seeds} seeds." if seeds > 1 else ".")
        document.table(Table(caption, header, rows, sections.dagger_notes(run, (model,)), left=(0, -2, -1)))


def _region_row(
    run: Run, values: dict[tuple[str, str, str, str], list[float]], model: str, region: str
) -> tuple[str, ...]:
    def cell(scale: str, metric: str, digits: int) -> str:
        found = values.get((model, region, scale, metric))
        return number(float(np.mean(found)) if found else None, digits)

    trials = [trial for trial in run.trials if trial.model == model and trial.region == region]
    return (
        sections.marked(region, run, model, region),
        cell("percent", "n", 0),
        *(cell("log10", metric, _DIGITS[metric]) for metric in ("ccc", "rmse", "bias", "r2", "rpiq")),
        *(cell("percent", metric, _DIGITS[metric]) for metric in ("ccc", "rmse", "bias", "r2", "rpiq")),
        cell("reflectance", "mrmse", _DIGITS["mrmse"]),
        ", ".join(sorted({trial.status for trial in trials})) or UNDEFINED,
        ", ".join(sorted({trial.exposure for trial in trials})) or UNDEFINED,
    )


def _figures(document: Document, run: Run) -> None:
    document.heading("Figures")
    folder = run.path / "figures"
    styles = looks({model: model_label(model) for model in run.models}, order=tuple(MODEL_LABELS))
    dots = _dots(run)
    label = "CCC of log10 SOC in the held-out region (dimensionless)"
    figure = figures.metric_by_region(dots, styles, label=label, lower=_LOWEST_CCC)
    caption = (
        "Concordance (CCC) of log10 SOC by held-out region and model, regions sorted by their mean; the last line is "
        "the mean over regions. Open markers: networks that did not converge. Triangles that point left at the edge: "
        f"below {number(_LOWEST_CCC, 1)}."
    )
    document.figure(save(figure, folder, "ccc_by_region"), caption, run.path)
    for model in run.models:
        panels = _scatter_panels(run, dots, model)
        name = sections.marked(model_label(model), run, model)
        figure = figures.predicted_vs_observed(panels, title=name, color=styles[model].color, floor=SOC_FLOOR)
        caption = (
            f"Predicted against observed SOC by held-out region, {name}; grey: 1:1. CCC on the log10 scale. "
            f"Values outside {SOC_FLOOR:g} to {figures.CEILING:g} % are drawn at the edge."
        )
        path = save(figure, folder, f"predicted_vs_observed_{_file_name(model)}")
        document.figure(path, caption, run.path)
    _reconstruction_figure(document, run, styles, folder)


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


def _reconstruction_figure(document: Document, run: Run, styles: dict[str, Look], folder: Path) -> None:
    arrays = run.reconstructions
    if not arrays or not arrays["model"].size:
        document.text("No model of this run reconstructs spectra.")
        return
    examples, models = choose_examples(arrays, _EXAMPLES)
    shown = {model: look for model, look in styles.items() if model in models}
    unit = str(run.data.get("unit", "nm"))
    figure = figures.reconstructions(arrays["axis"], examples, shown, unit=unit)
    doubtful = [sections.marked(model_label(model), run, model) for model in shown if run.untrusted(model)]
    caption = (
        "One spectrum (of median SOC) of held-out regions: observed (solid), reconstructed (dashed) and the residual, "
        "reconstructed minus observed. Regions are spaced evenly from the smallest to the largest error of their "
        "example." + (f" With networks that did not converge: {', '.join(doubtful)}." if doubtful else "")
    )
    document.figure(save(figure, folder, "reconstructions"), caption, run.path)


def choose_examples(arrays: dict[str, np.ndarray], count: int) -> tuple[list[figures.Reconstruction], set[str]]:
    """Spectra to show: the lowest seed, evenly spaced over regions sorted by error, not picked by eye.

    Args:
      arrays: contents of reconstructions.npz.
      count: number of spectra.

    Returns:
      The examples and the models that reconstruct.
    """
    first = arrays["seed"] == arrays["seed"].min()
    by_spectrum: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for row in np.nonzero(first)[0]:
        by_spectrum[str(arrays["region"][row]), str(arrays["id"][row])][str(arrays["model"][row])] = int(row)
    residual = arrays["reconstructed"] - arrays["observed"]
    error = np.sqrt(np.mean(np.where(np.isfinite(residual), residual, np.inf) ** 2, axis=1))
    order = sorted(by_spectrum, key=lambda key: (float(np.mean([error[r] for r in by_spectrum[key].values()])), key))
    chosen = sorted({round(place) for place in np.linspace(0, len(order) - 1, min(count, len(order)))})
    examples = []
    for key in (order[place] for place in chosen):
        rows = by_spectrum[key]
        observed = arrays["observed"][next(iter(rows.values()))]
        spectra = {model: arrays["reconstructed"][row] for model, row in rows.items()}
        examples.append(figures.Reconstruction(f"{key[0]}: {key[1]}", observed, spectra))
    return examples, {str(model) for model in arrays["model"]}


def _file_name(model: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in model)
