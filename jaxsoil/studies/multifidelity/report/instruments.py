"""Sections on the autoencoder beside principal components, and on smooth curves between instruments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from jaxsoil.report.document import Document
from jaxsoil.report.run_files import where
from jaxsoil.report.style import MARKERS, OKABE_ITO, Look, band, grid, legend, styled
from jaxsoil.report.tables import mean_sd, pivot_table
from jaxsoil.studies.multifidelity.config import CARRY_OVER
from jaxsoil.studies.multifidelity.report.files import PROSE, MultifidelityRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES = {"vae": "Autoencoder", "pca": "Principal components"}


def reconstruction_section(document: Document, run: MultifidelityRun) -> None:
    """Reconstruction error of the autoencoder beside that of principal components."""
    document.section("Reconstruction beside principal components")
    if "reconstruction" not in run.tables:
        document.text(PROSE.text("missing", what="reconstruction"))
        return
    table = run.tables["reconstruction"].melt(["seed", "set"], ["vae", "pca"], "model", "rmse")
    document.table(
        pivot_table(
            table, {"set": "Spectra"}, "model", "rmse", title=PROSE.text("reconstruction_title"), combine=mean_sd,
            fmt=4, order={"model": [*NAMES]}, labels={"model": NAMES},
        )
    )  # fmt: skip


def instruments_section(document: Document, run: MultifidelityRun) -> None:
    """CCC of the MIR strategies against the size of the curve between the instruments."""
    if "instruments" not in run.tables:
        return
    table = run.tables["instruments"]
    strategies, sizes = list(dict.fromkeys(table["strategy"])), sorted(set(table["sd"]))
    lead = PROSE.text("instruments_lead", draws=table["draws"].max(), ridges=CARRY_OVER in strategies)
    document.section("A smooth curve between the instruments", lead)
    if len(sizes) > 1:
        document.draw(curves(table, strategies), "instruments", PROSE.text("instruments_caption"))
    shared = {"order": {"strategy": strategies, "sd": sizes}, "labels": {"sd": "{:g}".format}}
    document.table(
        pivot_table(
            table, {"sd": "SD of the curve (absorbance)"}, "strategy", "ccc", title=PROSE.text("instruments_title"),
            combine=mean_sd, **shared,
        )
    )  # fmt: skip
    if "instrument_differences" in run.tables:
        found = run.tables["instrument_differences"]
        found = found.assign(title=found["first"] + " minus " + found["second"])
        document.table(
            pivot_table(
                found, {"sd": "SD of the curve (absorbance)"}, "title", ("mean", "low", "high"),
                title=PROSE.text("instrument_differences_title"), **shared,
            )
        )  # fmt: skip


@styled
def curves(table: pd.DataFrame, strategies: Sequence[str]) -> Figure:
    """Mean CCC and its SD over seeds against the SD of the curve, a line for each strategy."""
    figure, (axis,) = grid(1, panel=2.7, extra=0.5, xlabel="SD of the curve (absorbance)", ylabel="CCC (dimensionless)")
    for rank, strategy in enumerate(strategies):
        mine = where(table, strategy=strategy)
        sizes = sorted(set(mine["sd"]))
        found = [mean_sd(where(mine, sd=sd)["ccc"]) for sd in sizes]
        mean, sd = np.array([one.mean for one in found]), np.nan_to_num([one.error for one in found])
        band(axis, sizes, mean - sd, mean, mean + sd, Look(strategy, OKABE_ITO[rank], MARKERS[rank], "-"))
    legend(figure)
    return figure
