"""Report of the ablation without rho r (Appendix B of the reconstruction paper)."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from jaxsoil.report import figures
from jaxsoil.report.document import Document, Item
from jaxsoil.report.run_sections import closing_sections, dagger_sentence, open_document
from jaxsoil.report.style import DASHED, GREY, WIDTH, Look, band, corner_text, legend, looks, new_figure, styled
from jaxsoil.report.tables import Table, mean_sd, number, plus_minus, rows_table
from jaxsoil.runs.errors import DataError
from jaxsoil.studies.reconstruction.report import paired, scores, sections
from jaxsoil.studies.reconstruction.report.curves import curves_figure
from jaxsoil.studies.reconstruction.report.learned import START_F, Learned, movement_section, read_learned, short_run
from jaxsoil.studies.reconstruction.report.reading import MODEL_LABELS, Run, model_label, read_run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WITH, WITHOUT = "physics", "physics_no_rho"

DARKEST = 0.02
"""f_SOC under which a ratio of two spectra is left out: noise divided by almost nothing."""

CLAIM = (
    "The paper ran its experiments with and without rho r and found no significant change in performance; taking rho r "
    "away 'effectively rescaled the regressed values of fSOC by an overall multiplicative factor' (Appendix B). It "
    "prints no numbers for this."
)


@dataclass(frozen=True, eq=False)
class Rescaling:
    """How f_SOC without rho r follows from f_SOC with it, fold by fold (t folds and seeds, m bands).

    Attributes:
      with_rho_r, without: (t, m) the two spectra.
      ratio: (t, m) without over with, NaN where the latter is under :data:`DARKEST`.
      factor: (t,) least-squares factor a of ``without = a with``.
      slope: (t,) least-squares slope b of ``without = p + b (with - p)``, and ``pivot`` (t,) its fixed point p.
      unscaled, scaled, affine: (t,) RMSE over bands of ``without`` against ``with`` itself, against ``a with`` and
        against the line with both constants.
    """

    with_rho_r: np.ndarray
    without: np.ndarray
    ratio: np.ndarray
    factor: np.ndarray
    slope: np.ndarray
    pivot: np.ndarray
    unscaled: np.ndarray
    scaled: np.ndarray
    affine: np.ndarray


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
    learned = read_learned(run)
    if learned is None:
        raise DataError(
            "this file of the run is missing",
            source=run.path / "soc_spectra.npz",
            remedy="Finish the run first (the same command with --resume), then report on it.",
        )
    document = open_document(run, "The mixing decoder with and without rho r", run.name)
    found = rescaling(learned)
    styles = looks({model: model_label(model) for model in run.models}, order=tuple(MODEL_LABELS))
    document.add(*_opening(run, learned, found))
    document.section("Performance", _performance(run))
    document.section("Is f_SOC rescaled by a factor?", *_rescaled(run, learned, found))
    movement_section(document, run)
    _figures(document, run, learned, found, styles)
    sections.status_section(document, run, trained_on="training regions")
    uses = [
        ("SOC scores, MRMSE and their differences", "through the finished model, to score", "to score"),
        ("f_SOC and (rho r)_SOC", "none", "none"),
    ]
    sections.exposure_section(document, run, uses)
    closing_sections(document, run, MODEL_LABELS)
    return document.write()


def rescaling(learned: Learned) -> Rescaling | None:
    """Compares the spectra of the two decoders, paired by region and seed; None where no pair is finite."""
    places = [
        {(str(learned.region[row]), int(learned.seed[row])): row for row in np.nonzero(learned.of(model))[0]}
        for model in (WITH, WITHOUT)
    ]
    keys = sorted(places[0].keys() & places[1].keys())
    if not keys:
        return None
    first, second = (learned.f_soc[[rows[key] for key in keys]] for rows in places)
    factor = np.sum(first * second, axis=1) / np.sum(first**2, axis=1)
    mean_first, mean_second = first.mean(axis=1, keepdims=True), second.mean(axis=1, keepdims=True)
    spread = np.sum((first - mean_first) ** 2, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.sum((first - mean_first) * (second - mean_second), axis=1) / spread
        offset = mean_second[:, 0] - slope * mean_first[:, 0]
        pivot = offset / (1.0 - slope)
        ratio = np.where(first >= DARKEST, second / first, np.nan)
    line = offset[:, None] + slope[:, None] * first
    error = lambda predicted: np.sqrt(np.mean((second - predicted) ** 2, axis=1))  # noqa: E731
    scaled = error(factor[:, None] * first)
    return Rescaling(first, second, ratio, factor, slope, pivot, error(first), scaled, error(line))


def between_seeds(learned: Learned, model: str) -> np.ndarray:
    """RMSE over bands between f_SOC of a decoder's seeds on one region, for every pair of seeds."""
    chosen = learned.of(model)
    errors = []
    for region in np.unique(learned.region[chosen]):
        spectra = learned.f_soc[chosen & (learned.region == region)]
        errors += [np.sqrt(np.mean((a - b) ** 2)) for a, b in itertools.combinations(spectra, 2)]
    return np.array(errors)


def beyond_seeds(learned: Learned) -> paired.Interval:
    """How much more f_SOC differs between the decoders than between seeds of one, by region: RMSE over bands.

    The mean RMSE between the decoders at equal seeds, minus that between two seeds of the same decoder; the interval
    is Student's over regions, and ``n`` is 0 with a single seed.
    """
    differences = {}
    for region in np.unique(learned.region):
        part = learned.where(learned.region == region)
        found = rescaling(part)
        scatter = np.concatenate([between_seeds(part, model) for model in (WITH, WITHOUT)])
        if found is not None and scatter.size:
            differences[str(region)] = (float(found.unscaled.mean() - scatter.mean()),)
    return paired.interval(differences)


def _opening(run: Run, learned: Learned, found: Rescaling | None) -> list[Item]:
    seeds = len({trial.seed for trial in run.trials})
    return [
        f"Two mixing decoders, one that converts mass to area by rho r and one that takes area fractions for mass "
        f"fractions. Each of {len(run.regions)} regions is held out in turn; seeds: {seeds}.",
        CLAIM,
        [_verdict(run), _scaling_verdict(found), *_seeds_verdict(learned, found), *short_run(run, learned)],
        dagger_sentence(any(run.untrusted(model) for model in run.models)),
    ]


def _verdict(run: Run) -> str:
    named = {("log10", "rmse"): "RMSE of log10 SOC", ("log10", "ccc"): "CCC of log10 SOC"}
    named |= {("reflectance", "mrmse"): "MRMSE (%)"}
    parts = []
    for (scale, metric), text in named.items():
        change = paired.interval(_difference(run, scale, metric))
        kept = "does not contain 0" if change.clear else "contains 0" if math.isfinite(change.low) else "is undefined"
        parts.append(f"{text} {paired.interval_text(change, metric)}, an interval that {kept}")
    return f"Performance here, without minus with rho r, mean over regions (95 % interval): {'; '.join(parts)}."


def _scaling_verdict(found: Rescaling | None) -> str:
    if found is None:
        return "f_SOC: no pair of trainings to compare."
    share = 1.0 - float(np.sum(found.scaled**2) / max(float(np.sum(found.unscaled**2)), 1e-30))
    return (
        f"f_SOC here: the best single factor is {mean_sd(found.factor).text(2)} over trainings and takes away "
        f"{100.0 * share:.0f} % of the squared difference between the two spectra; the ratio of the two has a "
        f"coefficient of variation of {100.0 * _ratio_variation(found):.0f} % over bands (median over trainings)."
    )


def _seeds_verdict(learned: Learned, found: Rescaling | None) -> tuple[str, ...]:
    """Whether the comparison of f_SOC tells anything about rho r, against the scatter of the trainings."""
    if found is None:
        return ()
    beyond = beyond_seeds(learned)
    if not beyond.n:
        return (
            "With one seed this run does not tell whether the two spectra differ by more than two trainings of one "
            "decoder do, so that the numbers above tell nothing about rho r.",
        )
    seeds = np.concatenate([between_seeds(learned, model) for model in (WITH, WITHOUT)])
    compared = (
        f"RMSE {number(float(found.unscaled.mean()), 3)} between the decoders, {number(float(seeds.mean()), 3)} "
        "between seeds of one"
    )
    if beyond.low > 0.0:
        return (f"f_SOC differs more between the decoders than between seeds of one decoder ({compared}).",)
    return (
        f"f_SOC does not differ more between the decoders than between seeds of one decoder ({compared}): this run "
        "does not tell anything about rho r, and the factor is that of two trainings with different random numbers.",
    )


def _ratio_variation(found: Rescaling) -> float:
    variation = []
    for ratio in found.ratio:
        finite = ratio[np.isfinite(ratio)]
        if finite.size > 1 and finite.mean() != 0.0:
            variation.append(float(finite.std(ddof=1) / abs(finite.mean())))
    return float(np.median(variation)) if variation else math.nan


def _difference(run: Run, scale: str, metric: str, split: str = "test") -> dict[str, tuple[float, ...]]:
    return paired.by_region(run.results, run.results, (WITH, WITHOUT), scale, metric, split)


def _performance(run: Run) -> Table:
    rows = []
    for scale, metric in (("log10", "rmse"), ("log10", "ccc"), ("log10", "bias"), *paired.MEASURES[2:]):
        for split, text in (("train", "training"), ("test", "held out")):
            averages = [scores.average(run.results, model, scale, metric, split) for model in (WITH, WITHOUT)]
            cells = [plus_minus(mean, se, scores.DIGITS[metric]) for mean, se in averages]
            found = _difference(run, scale, metric, split)
            change = paired.interval_text(paired.interval(found), metric)
            rows.append((f"{scores.scaled_column(scale, metric)}, {text}", *cells, change, str(len(found))))
    labels = [sections.marked(label, run, model) for label, model in (("With rho r", WITH), ("Without rho r", WITHOUT))]
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


def _rescaled(run: Run, learned: Learned, found: Rescaling | None) -> list[Item]:
    if found is None:
        return ["No pair of trainings stayed finite."]
    left_out = 100.0 * float(np.isnan(found.ratio).mean())
    rows = (
        ("Best single factor a: without = a with", mean_sd(found.factor).text()),
        ("RMSE between the two spectra", mean_sd(found.unscaled).text()),
        *(
            (f"RMSE between two seeds {text} rho r, for comparison", mean_sd(between_seeds(learned, model)).text())
            for text, model in (("with", WITH), ("without", WITHOUT))
        ),
        ("RMSE after the factor a", mean_sd(found.scaled).text()),
        ("RMSE after the line p + b (with − p)", mean_sd(found.affine).text()),
        ("Slope b of that line", mean_sd(found.slope).text()),
        ("Its fixed point p (reflectance), median over trainings", number(float(np.nanmedian(found.pivot)), 3)),
        ("Ratio over bands: coefficient of variation, median (%)", number(100.0 * _ratio_variation(found), 1)),
    )
    notes = (
        "A multiplicative factor means a small RMSE after it, and the same ratio in every band. A difference between "
        "the decoders that is no larger than that between seeds of one decoder says nothing about rho r.",
        "In the mixing model a change of rho r acts on the contrast of f_SOC to the minerals: f' = B + b (f − B) with "
        "B near the mean mineral spectrum. That is a line, and a plain factor only where f_SOC is dark beside B and b "
        f"is large. A fixed point at the start ({START_F:g}) has another reading: both moved in the same direction, "
        "one further than the other.",
        f"Ratios leave out bands where f_SOC with rho r is under {DARKEST:g} ({left_out:.1f} % of all).",
        *_start_note(found),
        *sections.dagger_notes(run, run.models),
    )
    caption = (
        f"f_SOC without rho r against f_SOC with it; mean ± standard deviation over {found.factor.size} trainings."
    )
    return [Table(caption, ("Quantity", "Value"), rows, notes), _ratio_table(learned, found)]


def _start_note(found: Rescaling) -> tuple[str, ...]:
    moved = float(np.sqrt(np.mean((found.with_rho_r - START_F) ** 2)))
    other = float(np.sqrt(np.mean((found.without - START_F) ** 2)))
    return (
        f"Both start at {START_F:g} in every band and moved by {moved:.3f} (with) and {other:.3f} (without) in RMS: "
        "spectra that hardly moved have a ratio near 1 for that reason alone.",
    )


def _ratio_table(learned: Learned, found: Rescaling) -> Table:
    places = sorted({round(p) for p in np.linspace(0, learned.axis.size - 1, min(9, learned.axis.size))})
    ratios = [ratio[np.isfinite(ratio)] for ratio in found.ratio.T[places]]
    percentiles = [np.percentile(ratio, (50, 10, 90)) if ratio.size else (math.nan,) * 3 for ratio in ratios]
    frame = pd.DataFrame(percentiles, columns=pd.Index(["middle", "low", "high"])).assign(band=learned.axis[places])
    return rows_table(
        frame,
        {"band": (f"Band ({learned.unit})", 0), "middle": ("Median", 3), "low": ("10th percentile", 3),
         "high": ("90th percentile", 3)},
        title="Ratio f_SOC without rho r over f_SOC with it, over trainings, at evenly spaced bands.",
        left=(0,),
    )  # fmt: skip


def _figures(
    document: Document, run: Run, learned: Learned, found: Rescaling | None, styles: Mapping[str, Look]
) -> None:
    document.section("Figures")
    if found is not None:
        figure = spectra_and_ratio(learned, found, styles)
        caption = (
            "Above: learned f_SOC, median and 10th to 90th percentile over trainings; dotted: the start"
            + ("; black dashed: the twin's true f_SOC" if learned.truth is not None else "")
            + ". Below: ratio of the two (without over with rho r), median and the same percentiles; dashed: the best "
            "single factor. A multiplicative factor would make the ratio a level line."
        )
        document.draw(figure, "f_soc_ratio", caption)
    change = _difference(run, "log10", "rmse")
    if change:
        trusted = {region: not any(run.untrusted(model, region) for model in (WITH, WITHOUT)) for region in change}
        dots = [figures.Dot(WITHOUT, region, values, trusted[region]) for region, values in change.items()]
        label = "Difference of RMSE of log10 SOC, without − with rho r (log10 %)"
        figure = figures.metric_by_region(dots, {WITHOUT: styles[WITHOUT]}, label=label, best=None)
        caption = (
            "Difference of the RMSE of log10 SOC by held-out region; right of zero the decoder without rho r is worse. "
            "Bars: range over seeds; the last line is the mean over regions."
        )
        document.draw(figure, "difference_by_region", caption)
    curves_figure(document, run, styles)


@styled
def spectra_and_ratio(learned: Learned, found: Rescaling, styles: Mapping[str, Look]) -> Figure:
    """The two learned spectra over the axis and, below, their ratio.

    Args:
      learned: axis, unit and truth.
      found: the pairs of spectra.
      styles: look of the two decoders.
    """
    figure = new_figure(WIDTH, 4.8)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[1.5, 1.0])
    for model, spectra in ((WITH, found.with_rho_r), (WITHOUT, found.without)):
        _percentiles(upper, learned.axis, spectra, styles[model])
    upper.axhline(START_F, color=GREY, linewidth=0.8, linestyle=":", label=f"start ({START_F:g})")
    if learned.truth is not None:
        upper.plot(learned.axis, learned.truth, color="black", linewidth=1.1, linestyle=DASHED, label="truth")
    upper.set_ylabel("f_SOC (reflectance fraction)")
    legend(figure)
    shown = np.isfinite(found.ratio).any(axis=0)
    _percentiles(lower, learned.axis[shown], found.ratio[:, shown], Look("", "black"))
    factor = float(np.median(found.factor))
    lower.axhline(factor, color=GREY, linewidth=0.9, linestyle=DASHED)
    corner_text(lower, f"dashed: best single factor {factor:.2f}", "upper right", color=GREY)
    lower.set_ylabel("Ratio, without / with rho r")
    lower.set_xlabel(figures.AXIS_LABELS.get(learned.unit, learned.unit))
    figure.align_ylabels()
    return figure


def _percentiles(axis: Axes, values: np.ndarray, spectra: np.ndarray, look: Look) -> None:
    low, middle, high = np.nanpercentile(spectra, (10, 50, 90), axis=0)
    band(axis, values, low, middle, high, dataclasses.replace(look, marker=""))
