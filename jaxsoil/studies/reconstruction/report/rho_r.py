"""Report of the ablation without rho r (Appendix B of the reconstruction paper)."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxsoil.report import figures
from jaxsoil.report.document import Document, Item, Picture
from jaxsoil.report.prose import Prose
from jaxsoil.report.run_files import read_arrays, where
from jaxsoil.report.run_sections import closing_sections, dagger_sentence, open_document
from jaxsoil.report.style import DASHED, GREY, WIDTH, Look, band, corner_text, legend, new_figure, styled
from jaxsoil.report.tables import Table, plus_minus, rows_table
from jaxsoil.studies.reconstruction.config import RHO_R_DECODERS
from jaxsoil.studies.reconstruction.learned import DARKEST, PERCENTILES, START_F
from jaxsoil.studies.reconstruction.report import scores, sections, shared_figures
from jaxsoil.studies.reconstruction.report.reading import MODEL_LABELS, Run, read_run, styles_of
from jaxsoil.studies.reconstruction.summaries import MEASURES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PAIR = (RHO_R_DECODERS[0], RHO_R_DECODERS[1])
_LABELS = ("With rho r", "Without rho r")


def _text(found: Mapping[str, Any], digits: int = 3) -> str:
    """``mean ± SD`` of a row of rescaling_means.csv."""
    return plus_minus(found["mean"], found["sd"], digits)


_PROSE = Prose(__package__, "rho_r", text=_text, start=START_F, darkest=DARKEST)


def write_report(run_folder: str | os.PathLike[str]) -> Path:
    """Writes report.md, report.html and figures/ into the folder of a finished run; returns the path of the HTML.

    Raises:
      DataError: if a file of the run is missing or damaged.
    """
    run = read_run(run_folder)
    found, styles = run.table("rescaling"), styles_of(run)
    document = open_document(run, "The mixing decoder with and without rho r", run.name)
    items = _opening(run, found)
    words = " ".join(sentence for item in items if isinstance(item, list) for sentence in item)
    document.opening(words, _ratio_picture(document, run, found, styles))
    document.section("What was run", *(item for item in items if isinstance(item, str)))
    document.section("Performance", _performance(run))
    document.section("Is f_SOC rescaled by a factor?", *_rescaled(run, found))
    sections.movement_section(document, run)
    _figures(document, run, styles)
    sections.status_section(document, run, trained_on="training regions")
    sections.exposure_section(document, run, _PROSE.rows("uses"))
    closing_sections(document, run, MODEL_LABELS)
    return document.write()


def _opening(run: Run, found: pd.DataFrame) -> list[Item]:
    named = {("log10", "rmse"): "RMSE of log10 SOC", ("log10", "ccc"): "CCC of log10 SOC"}
    named |= {("reflectance", "mrmse"): "MRMSE (%)"}
    changes = []
    for (scale, metric), text in named.items():
        change = scores.interval(run, _PAIR, scale, metric)
        kept = "does not contain 0" if change.clear else "contains 0" if math.isfinite(change.low) else "is undefined"
        changes.append(f"{text} {scores.interval_text(change, metric)}, an interval that {kept}")
    values: dict[str, Any] = {"changes": changes, "over": _over(run), "short": sections.short_run(run)}
    if len(found):
        values["beyond"] = run.table("beyond_seeds").iloc[0]
    return [*_PROSE.items("opening", run=run, found=found, **values), dagger_sentence(run.doubtful)]


def _over(run: Run, model: str = "") -> dict[str, dict[str, Any]]:
    """Rows of rescaling_means.csv by quantity, over all trainings or those of a model."""
    rows = where(run.table("rescaling_means"), model=model).to_dict("records")
    return {row["quantity"]: row for row in rows}


def _performance(run: Run) -> Table:
    rows = []
    for scale, metric in MEASURES:
        for split, text in (("train", "training"), ("test", "held out")):
            averages = [scores.average(run, model, scale, metric, split) for model in RHO_R_DECODERS]
            cells = [plus_minus(mean, se, scores.DIGITS[metric]) for mean, se in averages]
            found = scores.interval(run, _PAIR, scale, metric, split)
            change = scores.interval_text(found, metric)
            rows.append((f"{scores.scaled_column(scale, metric)}, {text}", *cells, change, str(found.n)))
    labels = [sections.marked(label, run, model) for label, model in zip(_LABELS, RHO_R_DECODERS, strict=True)]
    header = ("Metric", *labels, "Difference (95 % interval)", "Regions")
    notes = (
        *_PROSE.notes("score_notes"),
        *sections.train_note(run),
        scores.CONVENTIONS,
        *sections.dagger_notes(run, run.models),
    )
    return Table("Scores of the two decoders, one region left out at a time.", header, tuple(rows), notes)


def _rescaled(run: Run, found: pd.DataFrame) -> list[Item]:
    if not len(found):
        return ["No pair of trainings stayed finite."]
    bands, over = run.table("rescaling_bands"), _over(run)
    seeds = [_text(_over(run, model)["between_seeds"]) for model in RHO_R_DECODERS]
    rows = _PROSE.rows("rescaled", over=over, seeds=seeds)
    notes = (*_PROSE.notes("rescaled_notes", over=over), *sections.dagger_notes(run, run.models))
    caption = f"f_SOC without rho r against f_SOC with it; mean ± standard deviation over {len(found)} trainings."
    places = sorted({round(p) for p in np.linspace(0, len(bands) - 1, min(9, len(bands)))})
    ratios = rows_table(
        bands.iloc[places],
        {"band": (f"Band ({run.data.get('unit', 'nm')})", 0), "ratio_median": ("Median", 3),
         "ratio_low": ("10th percentile", 3), "ratio_high": ("90th percentile", 3)},
        title="Ratio f_SOC without rho r over f_SOC with it, over trainings, at evenly spaced bands.",
        left=(0,),
    )  # fmt: skip
    return [Table(caption, ("Quantity", "Value"), rows, notes), ratios]


def _ratio_picture(document: Document, run: Run, found: pd.DataFrame, styles: Mapping[str, Look]) -> Picture | None:
    if not len(found):
        return None
    truth = read_arrays(run.path / "soc_spectra.npz", ()).get("truth_f_soc")
    figure = spectra_and_ratio(run, _over(run)["factor"]["median"], truth, styles)
    return document.picture(figure, "f_soc_ratio", _PROSE.text("ratio_caption", truth=truth is not None))


def _figures(document: Document, run: Run, styles: Mapping[str, Look]) -> None:
    document.section("Figures")
    change = scores.differences(run, _PAIR, "log10", "rmse")
    if change:
        trusted = {region: not any(run.untrusted(model, region) for model in RHO_R_DECODERS) for region in change}
        dots = [figures.Dot(_PAIR[1], region, values, trusted[region]) for region, values in change.items()]
        label = "Difference of RMSE of log10 SOC, without − with rho r (log10 %)"
        figure = figures.metric_by_region(dots, {_PAIR[1]: styles[_PAIR[1]]}, label=label, best=None)
        caption = _PROSE.text("difference_caption")
        document.draw(figure, "difference_by_region", caption)
    shared_figures.curves_figure(document, run, styles)


@styled
def spectra_and_ratio(run: Run, factor: float, truth: np.ndarray | None, styles: Mapping[str, Look]) -> Figure:
    """The two learned spectra over the axis, beside the truth (m,) where it is known, and, below, their ratio with the
    best single factor, a median over trainings."""
    bands = run.table("rescaling_bands")
    figure = new_figure(WIDTH, 4.8)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[1.5, 1.0])
    for model, name in zip(RHO_R_DECODERS, ("with", "without"), strict=True):
        _percentiles(upper, bands, name, styles[model])
    upper.axhline(START_F, color=GREY, linewidth=0.8, linestyle=":", label=f"start ({START_F:g})")
    if truth is not None:
        upper.plot(bands["band"], truth, color="black", linewidth=1.1, linestyle=DASHED, label="truth")
    upper.set_ylabel("f_SOC (reflectance fraction)")
    legend(figure)
    _percentiles(lower, pd.DataFrame(bands[np.isfinite(bands["ratio_median"])]), "ratio", Look("", "black"))
    lower.axhline(factor, color=GREY, linewidth=0.9, linestyle=DASHED)
    corner_text(lower, f"dashed: best single factor {factor:.2f}", "upper right", color=GREY)
    lower.set_ylabel("Ratio, without / with rho r")
    unit = str(run.data.get("unit", "nm"))
    lower.set_xlabel(figures.AXIS_LABELS.get(unit, unit))
    figure.align_ylabels()
    return figure


def _percentiles(axis: Axes, bands: pd.DataFrame, name: str, look: Look) -> None:
    low, middle, high = (bands[f"{name}_{end}"].to_numpy() for end in PERCENTILES)
    band(axis, bands["band"].to_numpy(), low, middle, high, dataclasses.replace(look, marker=""))
