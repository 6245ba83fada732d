"""Report of the study of f_SOC (Experiment 2, Figure 3 of the reconstruction paper)."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from jaxsoil.report import run_sections
from jaxsoil.report.document import Document
from jaxsoil.report.prose import Prose
from jaxsoil.report.tables import plus_minus
from jaxsoil.studies.reconstruction.soc_spectrum import appearance
from jaxsoil.studies.reconstruction.soc_spectrum.direct import GAUGE
from jaxsoil.studies.reconstruction.soc_spectrum.report import figures, files, tables
from jaxsoil.studies.reconstruction.soc_spectrum.tables import FLAT, PUBLISHED_RHO_R

_PROSE = Prose(__package__, "page", plus_minus=plus_minus, gauge=GAUGE, looks=appearance)


def write_report(run_folder: str | os.PathLike[str]) -> Path:
    """Writes report.md, report.html and figures/ into the folder of a finished run; returns the path of the HTML.

    Raises:
      DataError: if a file of the run is missing or damaged.
    """
    run = files.read_spectrum_run(run_folder)
    document = run_sections.open_document(run, "The spectrum of soil organic carbon: what is learned and what is known")
    findings = {source: _findings(run, source) for source in run.sources}
    figure = figures.spectra_figure(run)
    picture = document.picture(figure, "spectra", _PROSE.text("spectra_caption"), formats=("png", "pdf"))
    document.opening(" ".join(next(iter(findings.values()), [])), picture)
    document.section(
        "What was run, and what each source shows",
        _PROSE.text("opening", minerals=run.config.get("minerals", "")),
        [sentence for found in findings.values() for sentence in found],
    )
    _spectra(document, run)
    if "accuracy" in run.tables:
        _on_twins(document, run)
    _closing(document, run)
    return document.write()


def _findings(run: files.SpectrumRun, source: str) -> list[str]:
    """The main numbers of a source, one sentence for each estimator."""
    label = files.source_label(source)
    found = {row["estimator"]: row for row in run.rows("estimates", source=source).to_dict("records")}
    sentences = [_PROSE.text("direct", label=label, row=found["regions"], paper=PUBLISHED_RHO_R[0])]
    for start, of in ((files.PAPER_START, "the paper's start"), (files.DIRECT_START, "the direct estimate")):
        reason = run.config.get("left_out", {}).get(f"{source}-{start}")
        if start in found or reason:
            values = {"title": f"decoder from {of}", "row": found.get(start), "reason": reason}
            sentences.append(_PROSE.text("decoder", label=label, **values))
    return sentences


def _spectra(document: Document, run: files.SpectrumRun) -> None:
    document.section(
        "Size factor, lightness and error", *(tables.estimates_table(run, source) for source in run.sources)
    )
    flat = run.rows("estimates", estimator=FLAT)["cosine"].tolist()
    if flat:
        document.text(_PROSE.text("flat", cosine=flat[0]))
    document.section(
        "What the decoder learned, fold by fold",
        *(tables.networks_table(run, source) for source in run.sources),
        run_sections.criterion(run),
        tables.reach_table(run),
    )
    document.section(
        "Troughs beside the literature", _PROSE.text("troughs"), tables.lines_table(run), tables.troughs_table(run)
    )


def _on_twins(document: Document, run: files.SpectrumRun) -> None:
    """What is known where the truth is: accuracy, what direct estimate and decoder withstand, the degeneracy."""
    means = run.tables["over_seeds"]
    document.section("Direct regression against its aims", tables.accuracy_table(run))
    document.section("When clay follows SOC", _PROSE.text("clay"))
    pedons = pd.DataFrame(means[means["factor"] == "pedons"])
    document.draw(figures.robustness_figure(pedons), "robustness", _PROSE.text("robustness_caption"))
    document.table(tables.robustness_table(run))
    document.section("What the direct estimate withstands")
    varied = pd.DataFrame(means[means["factor"].isin(run.tables["sweep"]["factor"])])
    for measure, label, name, text in (
        ("rmse", "RMSE of f$_{SOC}$ (reflectance)", "sweep_rmse", "RMSE of f of SOC"),
        ("ratio_error", "Relative error of c/c̄", "sweep_ratio", "Relative error of c / c_bar"),
    ):
        figure = figures.sweep_figure(varied, measure, label) if len(varied) else None
        document.draw(figure, name, _PROSE.text("sweep_caption", text=text))
    document.table(tables.sweep_table(run))
    trained = bool(len(run.tables["libraries"]))
    document.section("What the decoder withstands", _PROSE.text("libraries", trained=trained))
    document.add(tables.libraries_table(run) if trained else None)
    document.section("Abundances", *(tables.abundance_table(run, source) for source in run.sources))
    document.section("The degeneracy")
    degeneracy = run.arrays["degeneracy"]
    caption = _PROSE.text("degeneracy_caption", arrays=degeneracy)
    document.draw(figures.degeneracy_figure(degeneracy), "degeneracy", caption)


def _closing(document: Document, run: files.SpectrumRun) -> None:
    exposures = sorted(set(run.tables["networks"]["exposure"]) - {""})
    document.section("What was seen of the held-out regions", *_PROSE.items("seen", exposures=exposures))
    run_sections.differences_section(document, run)
    document.add(*_PROSE.items("closing", endmembers=run.config.get("endmembers")))
    run_sections.run_sections(document, run)
