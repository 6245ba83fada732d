"""Report of the ablation without rho r (Appendix B of the reconstruction paper)."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from jaxsoil.report import figures
from jaxsoil.report.document import Document, Item
from jaxsoil.report.run_files import read_arrays, where
from jaxsoil.report.run_sections import closing_sections, dagger_sentence, open_document
from jaxsoil.report.style import DASHED, GREY, WIDTH, Look, band, corner_text, legend, new_figure, styled
from jaxsoil.report.tables import Table, mean_sd, number, plus_minus, rows_table
from jaxsoil.studies.reconstruction.config import RHO_R_DECODERS
from jaxsoil.studies.reconstruction.learned import DARKEST, PERCENTILES, START_F
from jaxsoil.studies.reconstruction.report import scores, sections
from jaxsoil.studies.reconstruction.report.learned import movement_section, short_run
from jaxsoil.studies.reconstruction.report.reading import MODEL_LABELS, Run, read_run, styles_of
from jaxsoil.studies.reconstruction.report.shared_figures import curves_figure
from jaxsoil.studies.reconstruction.summaries import MEASURES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PAIR = (RHO_R_DECODERS[0], RHO_R_DECODERS[1])
_LABELS = ("With rho r", "Without rho r")

CLAIM = (
    "The paper ran its experiments with and without rho r and found no significant change in performance; taking rho r "
    "away 'effectively rescaled the regressed values of fSOC by an overall multiplicative factor' (Appendix B). It "
    "prints no numbers for this."
)


def write_report(run_folder: str | os.PathLike[str]) -> Path:
    """Writes report.md, report.html and figures/ into the folder of a finished run.

    Args:
      run_folder: folder with the files named in ``jaxsoil.studies.reconstruction.report.reading`` and soc_spectra.npz.

    Returns:
      Path of report.html, which needs no other file.

    Raises:
      DataError: if a file of the run is missing or damaged.
    """
    run = read_run(run_folder)
    found, styles = run.table("rescaling"), styles_of(run)
    document = open_document(run, "The mixing decoder with and without rho r", run.name)
    document.add(*_opening(run, found))
    document.section("Performance", _performance(run))
    document.section("Is f_SOC rescaled by a factor?", *_rescaled(run, found))
    movement_section(document, run)
    _figures(document, run, found, styles)
    sections.status_section(document, run, trained_on="training regions")
    uses = [
        ("SOC scores, MRMSE and their differences", "through the finished model, to score", "to score"),
        ("f_SOC and (rho r)_SOC", "none", "none"),
    ]
    sections.exposure_section(document, run, uses)
    closing_sections(document, run, MODEL_LABELS)
    return document.write()


def _opening(run: Run, found: pd.DataFrame) -> list[Item]:
    seeds = len({trial.seed for trial in run.trials})
    return [
        f"Two mixing decoders, one that converts mass to area by rho r and one that takes area fractions for mass "
        f"fractions. Each of {len(run.regions)} regions is held out in turn; seeds: {seeds}.",
        CLAIM,
        [_verdict(run), _scaling_verdict(found), *_seeds_verdict(run, found), *short_run(run)],
        dagger_sentence(any(run.untrusted(model) for model in run.models)),
    ]


def _verdict(run: Run) -> str:
    named = {("log10", "rmse"): "RMSE of log10 SOC", ("log10", "ccc"): "CCC of log10 SOC"}
    named |= {("reflectance", "mrmse"): "MRMSE (%)"}
    parts = []
    for (scale, metric), text in named.items():
        change = scores.interval(run, _PAIR, scale, metric)
        kept = "does not contain 0" if change.clear else "contains 0" if math.isfinite(change.low) else "is undefined"
        parts.append(f"{text} {scores.interval_text(change, metric)}, an interval that {kept}")
    return f"Performance here, without minus with rho r, mean over regions (95 % interval): {'; '.join(parts)}."


def _scaling_verdict(found: pd.DataFrame) -> str:
    if not len(found):
        return "f_SOC: no pair of trainings to compare."
    share = 1.0 - float(np.sum(found["scaled"] ** 2) / max(float(np.sum(found["unscaled"] ** 2)), 1e-30))
    return (
        f"f_SOC here: the best single factor is {mean_sd(found['factor']).text(2)} over trainings and takes away "
        f"{100.0 * share:.0f} % of the squared difference between the two spectra; the ratio of the two has a "
        f"coefficient of variation of {100.0 * found['ratio_variation'].median():.0f} % over bands (median over "
        "trainings)."
    )


def _seeds_verdict(run: Run, found: pd.DataFrame) -> tuple[str, ...]:
    """Whether the comparison of f_SOC tells anything about rho r, against the scatter of the trainings."""
    if not len(found):
        return ()
    beyond = run.table("beyond_seeds").iloc[0]
    if not beyond["n"]:
        return (
            "With one seed this run does not tell whether the two spectra differ by more than two trainings of one "
            "decoder do, so that the numbers above tell nothing about rho r.",
        )
    decoders, seeds = pd.Series(found["unscaled"]), pd.Series(run.table("between_seeds")["rmse"])
    compared = f"RMSE {number(decoders.mean(), 3)} between the decoders, {number(seeds.mean(), 3)} between seeds of one"
    if beyond["low"] > 0.0:
        return (f"f_SOC differs more between the decoders than between seeds of one decoder ({compared}).",)
    return (
        f"f_SOC does not differ more between the decoders than between seeds of one decoder ({compared}): this run "
        "does not tell anything about rho r, and the factor is that of two trainings with different random numbers.",
    )


def _performance(run: Run) -> Table:
    rows = []
    for scale, metric in MEASURES:
        for split, text in (("train", "training"), ("test", "held out")):
            averages = [scores.average(run.results, model, scale, metric, split) for model in RHO_R_DECODERS]
            cells = [plus_minus(mean, se, scores.DIGITS[metric]) for mean, se in averages]
            found = scores.interval(run, _PAIR, scale, metric, split)
            change = scores.interval_text(found, metric)
            rows.append((f"{scores.scaled_column(scale, metric)}, {text}", *cells, change, str(found.n)))
    labels = [sections.marked(label, run, model) for label, model in zip(_LABELS, RHO_R_DECODERS, strict=True)]
    header = ("Metric", *labels, "Difference (95 % interval)", "Regions")
    notes = (
        "With and without: mean ± standard error over regions and seeds. Difference: without minus with, paired by "
        "region and seed; seeds are averaged, the interval is Student's over regions. The intervals are not corrected "
        "for their number.",
        "Training rows of two folds overlap, so the differences on training rows are not independent over regions.",
        *sections.train_note(run),
        scores.CONVENTIONS,
        *sections.dagger_notes(run, run.models),
    )
    return Table("Scores of the two decoders, one region left out at a time.", header, tuple(rows), notes)


def _rescaled(run: Run, found: pd.DataFrame) -> list[Item]:
    if not len(found):
        return ["No pair of trainings stayed finite."]
    bands, between = run.table("rescaling_bands"), run.table("between_seeds")
    seeds = [mean_sd(where(between, model=model)["rmse"]).text() for model in RHO_R_DECODERS]
    rows = (
        ("Best single factor a: without = a with", mean_sd(found["factor"]).text()),
        ("RMSE between the two spectra", mean_sd(found["unscaled"]).text()),
        ("RMSE between two seeds with rho r, for comparison", seeds[0]),
        ("RMSE between two seeds without rho r, for comparison", seeds[1]),
        ("RMSE after the factor a", mean_sd(found["scaled"]).text()),
        ("RMSE after the line p + b (with − p)", mean_sd(found["affine"]).text()),
        ("Slope b of that line", mean_sd(found["slope"]).text()),
        ("Its fixed point p (reflectance), median over trainings", number(pd.Series(found["pivot"]).median(), 3)),
        (
            "Ratio over bands: coefficient of variation, median (%)",
            number(100.0 * pd.Series(found["ratio_variation"]).median(), 1),
        ),
    )
    moved = [float(np.sqrt(np.mean(found[name] ** 2))) for name in ("moved_with", "moved_without")]
    notes = (
        "A multiplicative factor means a small RMSE after it, and the same ratio in every band. A difference between "
        "the decoders that is no larger than that between seeds of one decoder says nothing about rho r.",
        "In the mixing model a change of rho r acts on the contrast of f_SOC to the minerals: f' = B + b (f − B) with "
        "B near the mean mineral spectrum. That is a line, and a plain factor only where f_SOC is dark beside B and b "
        f"is large. A fixed point at the start ({START_F:g}) has another reading: both moved in the same direction, "
        "one further than the other.",
        f"Ratios leave out bands where f_SOC with rho r is under {DARKEST:g} ({100.0 * bands['dark'].mean():.1f} % of "
        "all).",
        f"Both start at {START_F:g} in every band and moved by {moved[0]:.3f} (with) and {moved[1]:.3f} (without) in "
        "RMS: spectra that hardly moved have a ratio near 1 for that reason alone.",
        *sections.dagger_notes(run, run.models),
    )
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


def _figures(document: Document, run: Run, found: pd.DataFrame, styles: Mapping[str, Look]) -> None:
    document.section("Figures")
    if len(found):
        truth = read_arrays(run.path / "soc_spectra.npz", ()).get("truth_f_soc")
        figure = spectra_and_ratio(run, float(pd.Series(found["factor"]).median()), truth, styles)
        caption = (
            "Above: learned f_SOC, median and 10th to 90th percentile over trainings; dotted: the start"
            + ("; black dashed: the twin's true f_SOC" if truth is not None else "")
            + ". Below: ratio of the two (without over with rho r), median and the same percentiles; dashed: the best "
            "single factor. A multiplicative factor would make the ratio a level line."
        )
        document.draw(figure, "f_soc_ratio", caption)
    change = scores.differences(run, _PAIR, "log10", "rmse")
    if change:
        trusted = {region: not any(run.untrusted(model, region) for model in RHO_R_DECODERS) for region in change}
        dots = [figures.Dot(_PAIR[1], region, values, trusted[region]) for region, values in change.items()]
        label = "Difference of RMSE of log10 SOC, without − with rho r (log10 %)"
        figure = figures.metric_by_region(dots, {_PAIR[1]: styles[_PAIR[1]]}, label=label, best=None)
        caption = (
            "Difference of the RMSE of log10 SOC by held-out region; right of zero the decoder without rho r is worse. "
            "Bars: range over seeds; the last line is the mean over regions."
        )
        document.draw(figure, "difference_by_region", caption)
    curves_figure(document, run, styles)


@styled
def spectra_and_ratio(run: Run, factor: float, truth: np.ndarray | None, styles: Mapping[str, Look]) -> Figure:
    """The two learned spectra over the axis and, below, their ratio.

    Args:
      run: the run.
      factor: best single factor, median over trainings.
      truth: true f_SOC (m,), where it is known.
      styles: look of the two decoders.
    """
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
