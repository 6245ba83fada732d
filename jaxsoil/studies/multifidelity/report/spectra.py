"""Sections on latents and spectra of the multi-fidelity report: figure 3, figure 4, uncertainty, distances."""

from __future__ import annotations

import numpy as np
import pandas as pd

from jaxsoil.report.document import Document
from jaxsoil.report.tables import DASH, Table, mean_sd, number, pivot_table, plus_minus, rows_table
from jaxsoil.studies.multifidelity.report import figures
from jaxsoil.studies.multifidelity.report.files import MultifidelityRun, first_seed
from jaxsoil.studies.multifidelity.tables import TEST, VALIDATION

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
    if table is None:
        document.text("The run folder has no latents.csv: collapsed latents are not counted.")
    else:
        document.table(_collapse(table))
    if table is None or latent is None:
        document.text("The run folder has no latent.npz: figure 3 is left out.")
        return
    dead = ~first_seed(table)["active"].to_numpy(bool)
    xi = run.arrays.get("xi", {"wavenumber": np.empty(0), "xi": np.empty((dead.size, 0))})
    caption = (
        "Figure 3, redrawn for the first seed: densities of the latent features of the training rows, each scaled to "
        "its own height, and the Xi correlation with MIR spectra in bins of 25 cm-1: how far a bin's mean is a "
        "function of the latent feature."
        + (" Grey: collapsed to the prior." if dead.any() else "")
        + ("" if xi["wavenumber"].size else " The run folder has no xi.npz.")
    )
    document.draw(figures.latent_space(latent["train"], xi["wavenumber"], xi["xi"], dead), "figure_3_latents", caption)
    if sets is not None:
        columns = {"set": "Rows", "n": ("n", "{:,}"), "size": ("Median |mean|", 2), "sd": ("Median SD", 2)}
        document.table(
            rows_table(
                first_seed(sets).sort_values("set", key=lambda names: names.map(list(_LATENT_SETS).index)),
                columns | {("r", "r_low", "r_high"): ("r with MIR latents, median (range)", _range)},
                title="Active latent features of the first seed: posterior means by set, medians over features.",
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
        document.text("The run folder has no converted.npz: figure 4 is left out.")
        return
    bands, scores = (first_seed(run.tables[name], set=TEST) for name in ("conversion", "conversion_scores"))
    caption = (
        f"Figure 4, redrawn for the first seed: observed and converted MIR spectra of the {len(arrays['observed'])} "
        "test samples, and the mean and SD of converted minus observed."
    )
    drawn = figures.converted_spectra(arrays["observed"], arrays["converted"], bands)
    document.draw(drawn, "figure_4_conversion", caption)
    worst, widest = bands.loc[bands["mean_difference"].abs().idxmax()], bands.loc[bands["sd_difference"].idxmax()]
    document.text(
        f"RMSE over bands and samples {number(scores['rmse'].iloc[0])} SNV units; predicting the mean observed "
        f"spectrum for all would give {number(scores['rmse_of_mean'].iloc[0])}. Largest mean difference "
        f"{number(worst['mean_difference'])} at {worst['wavenumber']:.0f} cm-1, largest SD "
        f"{number(widest['sd_difference'])} at {widest['wavenumber']:.0f} cm-1. The paper, without numbers: "
        "under-prediction between 3750 and 3000 cm-1, over-prediction around 1200 cm-1, large variance around 2000 and "
        "1250 cm-1."
    )


def uncertainty_section(document: Document, run: MultifidelityRun) -> None:
    """Coverage by band and calibration of the conversion's stated standard deviation."""
    document.section("Uncertainty of the conversion (beyond the paper)")
    table, calibration, scores = (run.tables.get(name) for name in ("conversion", "calibration", "conversion_scores"))
    if table is None or calibration is None or scores is None:
        document.text("The run states no standard deviation of the converted spectra.")
        return
    bands, curve, score = (first_seed(one, set=TEST) for one in (table, calibration, scores))
    caption = (
        "Test samples, first seed. Left: root mean square error and stated SD by band, and the share of samples inside "
        "the stated 90 % interval. Right: reached against stated coverage."
    )
    document.draw(figures.conversion_uncertainty(bands, curve), "conversion_uncertainty", caption)
    reached = 100.0 * bands["coverage_90"]
    document.text(
        f"The stated 90 % interval holds {reached.mean():.0f} % of all values (bands: {reached.min():.0f} "
        f"to {reached.max():.0f} %). The stated SD would have to be multiplied by "
        f"{number(score['widening'].iloc[0], 2)} to match the mean square error."
    )
    columns = {
        "size": "Mean |difference|",
        "sd_difference": "SD of the difference",
        "sd_predicted": "Stated SD",
        "coverage": "In the 90 % interval (%)",
    }
    table = table.assign(size=table["mean_difference"].abs(), coverage=100.0 * table["coverage_90"])
    means = pd.DataFrame(table.groupby(["set", "seed"], as_index=False)[list(columns)].mean())
    document.table(
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
        )
    )


def distance_section(document: Document, run: MultifidelityRun) -> None:
    """Mahalanobis distances with the data-driven chi-square limit, Eqs. 15 to 19."""
    document.section("Are the test samples like those trained on?")
    names = ("distances", "extremes", "limits")
    if not set(names) <= set(run.tables):
        document.text("The run folder has no distances.csv: distances in the latent space are left out.")
        return
    table, extremes, limits = (run.tables[name] for name in names)
    alpha = limits["alpha"].iloc[0]
    caption = (
        "Mahalanobis distance from the training rows in the latent space, scaled by median and interquartile range "
        "(Eqs. 15 to 19), first seed; the last bin holds all that lie farther."
    )
    drawn = figures.distances(first_seed(table), first_seed(extremes), alpha)
    document.draw(drawn, "distances", caption)
    columns = {"median": "Median distance", "beyond": "Beyond the limit (%)", "limit": "Limit", "dof": "F"}
    cells = extremes.merge(limits, on=["seed", "space"]).melt(["seed", "space", "set"], list(columns))
    note = (
        f"Of rows like those trained on {100 * alpha:g} % lie beyond the limit (Eqs. 17 to 19, F degrees of freedom)."
    )
    document.table(
        pivot_table(
            cells,
            {"space": "Spectra", "set": "Set"},
            "variable",
            "value",
            title="Distances by set, ± SD over seeds.",
            fmt={"beyond": 1, "median": 2, "limit": 2, "dof": _whole},
            combine=mean_sd,
            order={"space": figures.SPACES, "set": figures.SETS, "variable": columns},
            labels={"space": str.upper, "set": {name: title for name, (title, _) in figures.SETS.items()}}
            | {"variable": columns},
            notes=(note,),
        )
    )


def _whole(mean: float, sd: float) -> str:
    """Degrees of freedom: whole numbers, which differ where there is an SD."""
    return plus_minus(mean, sd if sd > 0.0 else None, 1 if sd > 0.0 else 0)
