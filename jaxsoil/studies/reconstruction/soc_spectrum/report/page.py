"""Report of the study of f_SOC (Experiment 2, Figure 3 of the reconstruction paper)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.report import run_sections
from jaxsoil.report.document import Document
from jaxsoil.report.tables import number, plus_minus
from jaxsoil.studies.reconstruction.soc_spectrum.appearance import BLACK, LEAST_WIDTH, PROMINENCE, SMOOTHING
from jaxsoil.studies.reconstruction.soc_spectrum.direct import GAUGE
from jaxsoil.studies.reconstruction.soc_spectrum.report import figures, tables
from jaxsoil.studies.reconstruction.soc_spectrum.report.files import (
    DIRECT_START,
    PAPER_START,
    SpectrumRun,
    read_spectrum_run,
    source_label,
)
from jaxsoil.studies.reconstruction.soc_spectrum.tables import FLAT, PUBLISHED_RHO_R


def write_report(run_folder: str | os.PathLike[str]) -> Path:
    """Writes report.md, report.html and figures/ into the folder of a finished run of soc_spectrum.

    Returns:
      Path of report.html, which needs no other file.

    Raises:
      DataError: if a file of the run is missing or damaged.
    """
    run = read_spectrum_run(run_folder)
    document = run_sections.open_document(run, "The spectrum of soil organic carbon: what is learned and what is known")
    document.add(
        "Reflectance and SOC determine the spectrum of SOC, f, and its size factor c = (ρr) of SOC only together with "
        "an assumption: exactly the same spectra and the same SOC follow from others (docs/soc_spectrum.md). Here "
        "stand the mixing decoder from the paper's start, trained for all its epochs as there, the direct regression, "
        f"which assumes that the 1st percentile of f is {GAUGE:g}, and the decoder started from it. Settings that "
        f"differ from the paper are listed below. {run.config.get('minerals', '')}",
        [sentence for source in run.sources for sentence in _findings(run, source)],
    )
    _spectra(document, run)
    if "accuracy" in run.tables:
        _on_twins(document, run)
    _closing(document, run)
    return document.write()


def _findings(run: SpectrumRun, source: str) -> list[str]:
    """The main numbers of a source, one sentence for each estimator."""
    label, sentences = source_label(source), []
    found = {row["estimator"]: row for row in run.rows("estimates", source=source).to_dict("records")}
    direct = found["regions"]
    if direct["problem"]:
        sentences.append(f"{label}: no direct estimate. {_sentence(direct['problem'])}")
    else:
        error = _error(direct)
        beside = f" (the paper's {PUBLISHED_RHO_R[0]:g} is {direct['times_less']:.0f} times as much)"
        sentences.append(
            f"{label}, direct regression on {direct['rows']:,} rows: {error}"
            f"c = {plus_minus(direct['soc_rho_r'], direct['sd'], 3)}{'' if error else beside}, "
            f"Munsell value {number(direct['munsell'], 1)}."
        )
    titles = {PAPER_START: "decoder from the paper's start", DIRECT_START: "decoder from the direct estimate"}
    for start, title in titles.items():
        reason = run.config.get("left_out", {}).get(f"{source}-{start}")
        if start in found:
            row = found[start]
            count = "one training" if row["trainings"] == 1 else f"mean of {row['trainings']} trainings"
            sentences.append(
                f"{label}, {title}, {count}: {_error(row)}c = {number(row['soc_rho_r'], 3)}, R2 of SOC in the held-out "
                f"region {number(row['r2'], 2)}."
            )
        elif reason:
            sentences.append(f"{label}, {title}: left out. {_sentence(reason)}")
    return sentences


def _error(row: dict[Any, Any]) -> str:
    return "" if np.isnan(row["rmse"]) else f"RMSE {number(row['rmse'])}, "


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _spectra(document: Document, run: SpectrumRun) -> None:
    document.section("The spectra")
    document.draw(
        figures.spectra_figure(run),
        "spectra",
        "f of SOC. Upper rows: what the mixing decoder learned, thin lines the folds (held-out regions and seeds), "
        "thick their mean; last row: direct regression with the 5 to 95 % range of its bootstrap. Dashed black: the "
        "truth of the twin. Dotted: positions named in the literature, in nm; triangles: troughs found in the thick "
        "line. The rows have scales of their own.",
        formats=("png", "pdf"),
    )
    document.section(
        "Size factor, lightness and error", *(tables.estimates_table(run, source) for source in run.sources)
    )
    flat = run.rows("estimates", estimator=FLAT)["cosine"].tolist()
    if flat:
        document.text(
            f"Cosine misleads: a flat spectrum of no shape at all scores {number(flat[0], 3)} against this truth, so "
            "RMSE is what counts."
        )
    document.section(
        "What the decoder learned, fold by fold",
        *(tables.networks_table(run, source) for source in run.sources),
        run_sections.criterion(run),
        tables.reach_table(run),
    )
    document.section(
        "Troughs beside the literature",
        f"A trough is a local minimum that is at least {PROMINENCE:g} deep under the lower of its rims and at least "
        f"{LEAST_WIDTH:g} nm wide at half that depth, after smoothing over {SMOOTHING:g} nm. A trough in an estimate "
        "means something only where the null control, whose true f has none, shows none as deep.",
        tables.lines_table(run),
        tables.troughs_table(run),
    )


def _on_twins(document: Document, run: SpectrumRun) -> None:
    """What is known where the truth is: accuracy, what direct estimate and decoder withstand, the degeneracy."""
    means = run.tables["over_seeds"]
    document.section("Direct regression against its aims", tables.accuracy_table(run))
    document.section(
        "When clay follows SOC",
        "Clay minerals in proportion to SOC^e leak into the direct estimate. ln SOC held fixed takes out what changes "
        "with the logarithm of SOC, while the mixture changes with SOC itself; the minerals' own absorptions held "
        "fixed take out what shows itself. Contrasts within pedons alone do not help where clay follows SOC with "
        "depth as well.",
    )
    caption = (
        "RMSE of f of SOC on twins with pedons of 5 to 6 horizons, mean over seeds, against the exponent e with which "
        "clay follows SOC."
    )
    pedons = pd.DataFrame(means[means["factor"] == "pedons"])
    document.draw(figures.robustness_figure(pedons), "robustness", caption)
    document.table(tables.robustness_table(run))
    document.section("What the direct estimate withstands")
    varied = pd.DataFrame(means[means["factor"].isin(run.tables["sweep"]["factor"])])
    for measure, label, name, text in (
        ("rmse", "RMSE of f$_{SOC}$ (reflectance)", "sweep_rmse", "RMSE of f of SOC"),
        ("ratio_error", "Relative error of c/c̄", "sweep_ratio", "Relative error of c / c_bar"),
    ):
        caption = (
            f"{text} when one thing at a time departs from the reference twin; points are means over seeds, bars "
            "their range."
        )
        document.draw(figures.sweep_figure(varied, measure, label) if len(varied) else None, name, caption)
    document.table(tables.sweep_table(run))
    document.section("What the decoder withstands")
    if len(run.tables["libraries"]):
        document.add(
            "The mineral library hardly enters the direct estimate; to the decoder it is half of the model. The same "
            "soils, with a library that is right, distorted, incomplete, or wrong in its size factors:",
            tables.libraries_table(run),
        )
    else:
        document.text("No decoder was trained with a wrong library; the sweeps cover the direct regression alone.")
    document.section("Abundances", *(tables.abundance_table(run, source) for source in run.sources))
    document.section("The degeneracy")
    degeneracy = run.arrays["degeneracy"]
    physical, every = (" to ".join(number(float(c), 2) for c in degeneracy[name]) for name in ("physical_c", "all_c"))
    document.draw(
        figures.degeneracy_figure(degeneracy),
        "degeneracy",
        "Pairs of f and c that give the same reflectance for all soils of the twin (largest difference "
        f"{degeneracy['difference'].max():.1e}), with the same SOC and 0 ≤ f ≤ 1. With no negative mass fraction in "
        f"any soil, c lies anywhere from {physical} g cm-3 nm; where each mineral alone may be negative in 1 % of the "
        f"soils, from {every}.",
    )


def _closing(document: Document, run: SpectrumRun) -> None:
    exposures = sorted(set(run.tables["networks"]["exposure"]) - {""})
    document.section(
        "What was seen of the held-out regions",
        [
            f"Decoders and their direct starts: {', '.join(exposures) or 'not recorded'}; a start is estimated on the "
            "training rows of its fold alone.",
            "Direct regression of the tables: all rows and labels of the data; nothing is held out, since no "
            "prediction is scored.",
        ],
    )
    run_sections.differences_section(document, run)
    endmembers = run.config.get("endmembers")
    document.add(
        f"The mixing decoder has K = {endmembers} endmembers, SOC included (paper: 94)." if endmembers else None,
        f"Munsell values up to {BLACK:g} are named black on soil charts. They are integrated from f over 380-780 nm "
        "(illuminant C, CIE 1931 2° observer) and turned into values by ASTM D1535; an instrument's own chart reading "
        "of a soil also contains its minerals.",
    )
    run_sections.run_sections(document, run)
