"""Report of the study of f_SOC (Experiment 2, Figure 3 of the reconstruction paper)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from jaxsoil.report import run_sections
from jaxsoil.report.document import Document
from jaxsoil.report.style import save
from jaxsoil.report.tables import number, plus_minus
from jaxsoil.studies.reconstruction.soc_spectrum.direct import GAUGE
from jaxsoil.studies.reconstruction.soc_spectrum.munsell import BLACK
from jaxsoil.studies.reconstruction.soc_spectrum.report import figures, networks, tables
from jaxsoil.studies.reconstruction.soc_spectrum.report.files import (
    DIRECT_START,
    PAPER_START,
    TRUTH,
    SpectrumRun,
    read_spectrum_run,
    source_label,
)
from jaxsoil.studies.reconstruction.soc_spectrum.troughs import LEAST_WIDTH, PROMINENCE, SMOOTHING


def write_report(run_folder: str | os.PathLike[str]) -> Path:
    """Writes report.md, report.html and figures/ into the folder of a finished run of soc_spectrum.

    Returns:
      Path of report.html, which needs no other file.

    Raises:
      DataError: if a file of the run is missing or damaged.
    """
    run = read_spectrum_run(run_folder)
    name = str(run.run.data.get("name", "data"))
    document = Document(f"The spectrum of soil organic carbon: what is learned and what is known, data '{name}'")
    _opening(document, run)
    _spectra(document, run)
    _estimates(document, run)
    _networks(document, run)
    _troughs(document, run)
    if run.accuracy is not None:
        _accuracy(document, run)
        _robustness(document, run)
        _sweeps(document, run)
        _libraries(document, run)
        _abundances(document, run)
        _degeneracy(document, run)
    _closing(document, run)
    return document.write(run.run.path)


def _opening(document: Document, run: SpectrumRun) -> None:
    document.text(
        "Reflectance and SOC determine the spectrum of SOC, f, and its size factor c = (ρr) of SOC only together with "
        "an assumption: exactly the same spectra and the same SOC follow from others (docs/soc_spectrum.md). Here "
        "stand the mixing decoder from the paper's start, trained for all its epochs as there, the direct regression, "
        f"which assumes that the 1st percentile of f is {GAUGE:g}, and the decoder started from it. Settings that "
        f"differ from the paper are listed below. {run.run.config.get('minerals', '')}"
    )
    document.bullets([sentence for source in run.sources for sentence in _findings(run, source)])


def _findings(run: SpectrumRun, source: str) -> list[str]:
    """The main numbers of a source, one sentence for each estimator."""
    label, found = source_label(source), run.estimate(source, "regions")
    sentences = []
    if found and found["problem"]:
        sentences.append(f"{label}: no direct estimate. {_sentence(found['problem'])}")
    elif found:
        error = "" if np.isnan(found["rmse"]) else f"RMSE {number(found['rmse'])}, "
        published = tables.PUBLISHED_RHO_R[0]
        beside = "" if error else f" (the paper's {published:g} is {published / found['soc_rho_r']:.0f} times as much)"
        sentences.append(
            f"{label}, direct regression on {int(found['rows']):,} rows: {error}"
            f"c = {plus_minus(found['soc_rho_r'], found['sd'], 3)}{beside}, "
            f"Munsell value {number(found['munsell'], 1)}."
        )
    for start, title in (
        (PAPER_START, "decoder from the paper's start"),
        (DIRECT_START, "decoder from the direct estimate"),
    ):
        trials = run.trials(source, start)
        reason = run.run.config.get("left_out", {}).get(f"{source}-{start}")
        if trials:
            rmse = _mean(trials, "rmse")
            error = "" if np.isnan(rmse) else f"RMSE {number(rmse)}, "
            count = "one training" if len(trials) == 1 else f"mean of {len(trials)} trainings"
            sentences.append(
                f"{label}, {title}, {count}: {error}"
                f"c = {number(_mean(trials, 'soc_rho_r'), 3)}, R2 of SOC in the held-out region "
                f"{number(_mean(trials, 'r2'), 2)}."
            )
        elif reason:
            sentences.append(f"{label}, {title}: left out. {_sentence(reason)}")
    return sentences


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _mean(rows: list[dict], name: str) -> float:
    values = [float(row[name]) for row in rows if np.isfinite(row[name])]
    return float(np.mean(values)) if values else float("nan")


def _spectra(document: Document, run: SpectrumRun) -> None:
    document.heading("The spectra")
    caption = (
        "f of SOC. Upper rows: what the mixing decoder learned, thin lines the folds (held-out regions and seeds), "
        "thick their mean; last row: direct regression with the 5 to 95 % range of its bootstrap. Dashed black: the "
        "truth of the twin. Dotted: positions named in the literature, in nm; triangles: troughs found in the thick "
        "line. The rows have scales of their own."
    )
    path = save(figures.spectra_figure(run), run.run.path / "figures", "spectra", formats=("png", "pdf"))
    document.figure(path, caption, run.run.path)


def _estimates(document: Document, run: SpectrumRun) -> None:
    document.heading("Size factor, lightness and error")
    for source in run.sources:
        document.table(tables.estimates_table(run, source))
    if any(run.curve(source, TRUTH) is not None for source in run.sources):
        flat = tables.flat_cosine(run)
        document.text(
            f"Cosine misleads: a flat spectrum of no shape at all scores {number(flat, 3)} against this truth, so "
            "RMSE is what counts."
        )


def _networks(document: Document, run: SpectrumRun) -> None:
    document.heading("What the decoder learned, fold by fold")
    for source in run.sources:
        document.table(networks.networks_table(run, source))
    document.text(str(run.run.config.get("convergence", "The run states no criterion of convergence.")))
    document.table(networks.reach_table(run))


def _troughs(document: Document, run: SpectrumRun) -> None:
    document.heading("Troughs beside the literature")
    document.text(
        f"A trough is a local minimum that is at least {PROMINENCE:g} deep under the lower of its rims and at least "
        f"{LEAST_WIDTH:g} nm wide at half that depth, after smoothing over {SMOOTHING:g} nm. A trough in an estimate "
        "means something only where the null control, whose true f has none, shows none as deep."
    )
    document.table(tables.lines_table(run))
    document.table(tables.troughs_table(run))


def _accuracy(document: Document, run: SpectrumRun) -> None:
    assert run.accuracy is not None
    document.heading("Direct regression against its aims")
    document.table(tables.accuracy_table(run.accuracy))


def _robustness(document: Document, run: SpectrumRun) -> None:
    assert run.robust is not None
    document.heading("When clay follows SOC")
    document.text(
        "Clay minerals in proportion to SOC^e leak into the direct estimate. ln SOC held fixed takes out what changes "
        "with the logarithm of SOC, while the mixture changes with SOC itself; the minerals' own absorptions held "
        "fixed take out what shows itself. Contrasts within pedons alone do not help where clay follows SOC with "
        "depth as well."
    )
    path = save(figures.robustness_figure(run.robust), run.run.path / "figures", "robustness")
    caption = (
        "RMSE of f of SOC on twins with pedons of 5 to 6 horizons, mean over seeds, against the exponent e with which "
        "clay follows SOC."
    )
    document.figure(path, caption, run.run.path)
    document.table(tables.robustness_table(run.robust))


def _sweeps(document: Document, run: SpectrumRun) -> None:
    assert run.sweep is not None
    document.heading("What the direct estimate withstands")
    for measure, label, name, text in (
        ("rmse", "RMSE of f$_{SOC}$ (reflectance)", "sweep_rmse", "RMSE of f of SOC"),
        ("ratio_error", "Relative error of c/c̄", "sweep_ratio", "Relative error of c / c_bar"),
    ):
        path = save(figures.sweep_figure(run.sweep, measure, label), run.run.path / "figures", name)
        caption = (
            f"{text} when one thing at a time departs from the reference twin; points are means over seeds, bars "
            "their range."
        )
        document.figure(path, caption, run.run.path)
    document.table(tables.sweep_table(run.sweep))


def _libraries(document: Document, run: SpectrumRun) -> None:
    document.heading("What the decoder withstands")
    if run.libraries:
        document.text(
            "The mineral library hardly enters the direct estimate; to the decoder it is half of the model. The same "
            "soils, with a library that is right, distorted, incomplete, or wrong in its size factors:"
        )
        document.table(networks.libraries_table(run))
    else:
        document.text("No decoder was trained with a wrong library; the sweeps cover the direct regression alone.")


def _abundances(document: Document, run: SpectrumRun) -> None:
    document.heading("Abundances")
    for source in run.sources:
        document.table(tables.abundance_table(run, source))


def _degeneracy(document: Document, run: SpectrumRun) -> None:
    assert run.degeneracy is not None
    document.heading("The degeneracy")
    path = save(figures.degeneracy_figure(run.degeneracy), run.run.path / "figures", "degeneracy")
    largest, feasible = float(run.degeneracy["difference"].max()), run.degeneracy["feasible"] == 1.0
    c = run.degeneracy["soc_rho_r"]
    caption = (
        "Pairs of f and c that give the same reflectance for all soils of the twin (largest difference "
        f"{largest:.1e}), with the same SOC and 0 ≤ f ≤ 1. With no negative mass fraction in any soil, c lies anywhere "
        f"from {number(float(c[feasible].min()), 2)} to {number(float(c[feasible].max()), 2)} g cm-3 nm; where each "
        "mineral alone may be negative in 1 % of the soils, from "
        f"{number(float(c.min()), 2)} to {number(float(c.max()), 2)}."
    )
    document.figure(path, caption, run.run.path)


def _closing(document: Document, run: SpectrumRun) -> None:
    document.heading("What was seen of the held-out regions")
    exposures = sorted({str(row["exposure"]) for row in run.networks if row["exposure"]})
    document.bullets(
        [
            f"Decoders and their direct starts: {', '.join(exposures) or 'not recorded'}; a start is estimated on the "
            "training rows of its fold alone.",
            "Direct regression of the tables: all rows and labels of the data; nothing is held out, since no "
            "prediction is scored.",
        ]
    )
    run_sections.differences_section(document, run.run)
    endmembers = run.run.config.get("endmembers")
    if endmembers:
        document.text(f"The mixing decoder has K = {endmembers} endmembers, SOC included (paper: 94).")
    document.text(
        f"Munsell values up to {BLACK:g} are named black on soil charts. They are integrated from f over 380-780 nm "
        "(illuminant C, CIE 1931 2° observer) and turned into values by ASTM D1535; an instrument's own chart reading "
        "of a soil also contains its minerals."
    )
    run_sections.run_sections(document, run.run)
