"""Sections on latents and spectra of the multi-fidelity report: figure 3, figure 4, uncertainty, distances."""

from __future__ import annotations

import numpy as np
import pandas as pd

from jaxsoil.report.document import Document
from jaxsoil.report.tables import DASH, Table, mean_sd, number, pivot_table, plus_minus, rows_table
from jaxsoil.studies.multifidelity.report import figures
from jaxsoil.studies.multifidelity.report.files import PROSE, MultifidelityRun, first_seed
from jaxsoil.studies.multifidelity.rows import TEST, VALIDATION

_LATENT_SETS = {
    "train": "Training rows, MIR",
    "pairs_mir": "Pairs, MIR",
    "pairs_nir": "Pairs, from NIR",
    "test_mir": "Test set, MIR",
    "test_nir": "Test set, from NIR",
}


def latent_section(document: Document, run: MultifidelityRun) -> None:
    """Figure 3, the latents that collapsed to the prior, and the agreement of NIR and MIR latents."""
    document.section("The latent space")
    table, sets, latent = (*(run.tables.get(name) for name in ("latents", "latent_sets")), run.arrays.get("latent"))
    document.add(PROSE.text("missing", what="latents") if table is None else _collapse(table))
    if table is None or latent is None:
        document.text(PROSE.text("missing", what="latent"))
        return
    dead = ~first_seed(table)["active"].to_numpy(bool)
    xi = run.arrays.get("xi", {"wavenumber": np.empty(0), "xi": np.empty((dead.size, 0))})
    drawn = figures.latent_space(latent["train"], xi["wavenumber"], xi["xi"], dead)
    caption = PROSE.text("latents_caption", dead=dead.any(), heat=xi["wavenumber"].size)
    document.draw(drawn, "figure_3_latents", caption)
    if sets is not None:
        columns = {"set": "Rows", "n": ("n", "{:,}"), "size": ("Median |mean|", 2), "sd": ("Median SD", 2)}
        document.table(
            rows_table(
                first_seed(sets).sort_values("set", key=lambda names: names.map(list(_LATENT_SETS).index)),
                columns | {("r", "r_low", "r_high"): ("r with MIR latents, median (range)", _range)},
                title=PROSE.text("latent_sets_title"),
                labels={"set": _LATENT_SETS},
            )
        )


def _range(middle: float, low: float, high: float) -> str:
    return f"{number(middle, 2)} ({number(low, 2)} to {number(high, 2)})" if np.isfinite(middle) else DASH


def _collapse(table: pd.DataFrame) -> Table:
    rows = []
    for seed, part in table.groupby("seed"):
        # Latents are counted from 1 as in the figure.
        lost = [str(place + 1) for place in part["latent"][~part["active"]]]
        counts = str(int(np.asarray(part["active"]).sum())), str(len(lost)), ", ".join(lost) or "none"
        rows.append((str(seed), *counts, number(pd.Series(part["kl"]).sum(), 1)))
    header = ("Seed", "Active", "Collapsed", "Which", "KL in all (nats)")
    title = "Latent features that the encoder uses, and those that collapsed to the prior."
    return Table(title, header, tuple(rows), left=(0, 3))


def conversion_section(document: Document, run: MultifidelityRun) -> None:
    """Figure 4."""
    document.section("NIR converted to MIR")
    arrays = run.arrays.get("converted")
    if arrays is None or not {"conversion", "conversion_scores"} <= set(run.tables):
        document.text(PROSE.text("missing", what="converted"))
        return
    bands, scores = (first_seed(run.tables[name], set=TEST) for name in ("conversion", "conversion_scores"))
    drawn = figures.converted_spectra(arrays["observed"], arrays["converted"], bands)
    caption = PROSE.text("converted_caption", samples=len(arrays["observed"]))
    document.draw(drawn, "figure_4_conversion", caption)
    worst, widest = bands.loc[bands["mean_difference"].abs().idxmax()], bands.loc[bands["sd_difference"].idxmax()]
    document.text(PROSE.text("converted", scores=scores.iloc[0], worst=worst, widest=widest))


def uncertainty_section(document: Document, run: MultifidelityRun) -> None:
    """Coverage by band and calibration of the conversion's stated standard deviation."""
    document.section("Uncertainty of the conversion (beyond the paper)")
    table, calibration, scores = (run.tables.get(name) for name in ("conversion", "calibration", "conversion_scores"))
    if table is None or calibration is None or scores is None:
        document.text(PROSE.text("missing", what="calibration"))
        return
    bands, curve, score = (first_seed(one, set=TEST) for one in (table, calibration, scores))
    drawn = figures.conversion_uncertainty(bands, curve)
    document.draw(drawn, "conversion_uncertainty", PROSE.text("uncertainty_caption"))
    reached = 100.0 * bands["coverage_90"]
    columns = {
        "size": "Mean |difference|",
        "sd_difference": "SD of the difference",
        "sd_predicted": "Stated SD",
        "coverage": "In the 90 % interval (%)",
    }
    table = table.assign(size=table["mean_difference"].abs(), coverage=100.0 * table["coverage_90"])
    means = pd.DataFrame(table.groupby(["set", "seed"], as_index=False)[list(columns)].mean())
    document.add(
        PROSE.text("uncertainty", reached=reached, widening=score["widening"].iloc[0]),
        pivot_table(
            means.melt(["set", "seed"]),
            "set",
            "variable",
            "value",
            title="Means over bands, ± SD over seeds; SNV absorbance.",
            fmt={"coverage": 1},
            combine=mean_sd,
            order={"set": (VALIDATION, TEST), "variable": columns},
            labels={"variable": columns},
        ),
    )


def distance_section(document: Document, run: MultifidelityRun) -> None:
    """Mahalanobis distances with the data-driven chi-square limit, Eqs. 15 to 19."""
    document.section("Are the test samples like those trained on?")
    names = ("distances", "extremes", "limits")
    if not set(names) <= set(run.tables):
        document.text(PROSE.text("missing", what="distances"))
        return
    table, extremes, limits = (run.tables[name] for name in names)
    alpha = limits["alpha"].iloc[0]
    drawn = figures.distances(first_seed(table), first_seed(extremes), alpha)
    document.draw(drawn, "distances", PROSE.text("distances_caption"))
    columns = {"median": "Median distance", "beyond": "Beyond the limit (%)", "limit": "Limit", "dof": "F"}
    titles = {name: title for name, (title, _) in figures.SETS.items()}
    document.table(
        pivot_table(
            extremes.merge(limits, on=["seed", "space"]).melt(["seed", "space", "set"], list(columns)),
            {"space": "Spectra", "set": "Set"},
            "variable",
            "value",
            title="Distances by set, ± SD over seeds.",
            fmt={"beyond": 1, "median": 2, "limit": 2, "dof": _whole},
            combine=mean_sd,
            order={"space": figures.SPACES, "set": figures.SETS, "variable": columns},
            labels={"space": str.upper, "set": titles, "variable": columns},
            notes=PROSE.notes("distances_notes", alpha=alpha),
        )
    )


def _whole(mean: float, sd: float) -> str:
    """Degrees of freedom: whole numbers, which differ where there is an SD."""
    return plus_minus(mean, sd if sd > 0.0 else None, 1 if sd > 0.0 else 0)
