"""Latents and spectra in the multi-fidelity report, with their figures: figure 3, figure 4, uncertainty, distances."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxsoil.report.document import Document
from jaxsoil.report.run_files import where
from jaxsoil.report.style import DASHED, GREY, LIGHT, OKABE_ITO, WIDTH, Look, band, grid, legend, new_figure, styled
from jaxsoil.report.tables import DASH, Table, mean_sd, number, pivot_table, plus_minus, rows_table
from jaxsoil.studies.multifidelity.replicates import TEST, VALIDATION
from jaxsoil.studies.multifidelity.report.files import PROSE, MultifidelityRun, first_seed, groups

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WAVENUMBER = "Wavenumber (cm$^{-1}$)"
BLUE, VERMILION, ORANGE = OKABE_ITO[2], OKABE_ITO[3], OKABE_ITO[1]
SETS = {"train": ("training", "#000000"), "pairs": ("pairs", ORANGE), "test": ("test set", BLUE)}
"""Sets of distances: name and colour."""


@styled
def latent_space(latents: np.ndarray, wavenumber: np.ndarray, xi: np.ndarray, dead: np.ndarray) -> Figure:
    """Figure 3: density of each latent feature, and its Xi with bins of the MIR spectrum.

    Args:
      latents: (n, K) latent features of the training rows.
      wavenumber: (B,) centres of the bins, cm-1; empty draws the densities alone.
      xi: (K, B).
      dead: (K,) which latents collapsed to the prior; they are drawn grey.
    """
    from matplotlib import colormaps

    count = latents.shape[1]
    figure = new_figure(WIDTH, 1.1 + 0.205 * count)
    heat = wavenumber.size > 0
    side: dict[str, Any] = {"sharey": True, "width_ratios": [1.0, 1.5]} if heat else {}
    axes: Any = figure.subplots(1, 1 + heat, squeeze=False, **side)[0]
    _ridges(axes[0], latents, dead)
    if heat:
        colors = colormaps["viridis"].with_extremes(bad="#d9d9d9")
        order = np.argsort(wavenumber)
        step = float(np.median(np.diff(wavenumber[order])))
        edges = np.append(wavenumber[order] - 0.5 * step, wavenumber[order][-1] + 0.5 * step)
        shown = np.ma.masked_invalid(np.clip(xi[:, order], 0.0, 1.0))
        mesh = axes[1].pcolormesh(edges, np.arange(count + 1) + 0.5, shown, cmap=colors, vmin=0.0, rasterized=True)
        axes[1].set(xlabel=WAVENUMBER, xlim=(edges[-1], edges[0]))
        axes[1].tick_params(axis="y", length=0)
        figure.colorbar(mesh, ax=axes[1], label="Xi correlation (dimensionless)", pad=0.02, aspect=40)
    return figure


def _ridges(axis: Axes, latents: np.ndarray, dead: np.ndarray) -> None:
    from scipy.stats import gaussian_kde

    count = latents.shape[1]
    low, high = np.percentile(latents, [0.2, 99.8])
    places = np.linspace(low - 0.05 * (high - low), high + 0.05 * (high - low), 400)
    for place in range(count):
        # Every n-th row is enough for a smooth line.
        values = latents[:: max(1, len(latents) // 4000), place]
        color = GREY if dead[place] else BLUE
        base = place + 1.4
        if np.ptp(values) > 1e-3 * (high - low):
            density = gaussian_kde(values)(places)
            top = base - 0.85 * density / density.max()
            axis.fill_between(places, base, top, color=color, alpha=0.35, linewidth=0.0, zorder=2)
            axis.plot(places, top, color=color, linewidth=0.8, zorder=3)
        else:
            axis.plot([values.mean()] * 2, [base, base - 0.85], color=color, linewidth=1.0, zorder=3)
        axis.axhline(base, color=LIGHT, linewidth=0.5, zorder=1)
    axis.set_yticks(np.arange(1, count + 1), [str(place) for place in range(1, count + 1)])
    axis.set(ylim=(count + 0.5, 0.5), xlim=(places[0], places[-1]))
    axis.set(xlabel="Posterior mean (dimensionless)", ylabel="Latent feature")
    axis.tick_params(axis="y", length=0)


@styled
def converted_spectra(observed: np.ndarray, converted: np.ndarray, bands: pd.DataFrame) -> Figure:
    """Figure 4: observed and converted spectra of the test set, and the mean and SD of their difference.

    Args:
      observed, converted: (n, M) SNV absorbance.
      bands: M rows ``wavenumber`` (cm-1), ``mean_difference``, ``sd_difference``.
    """
    wavenumber, mean, sd = (bands[name] for name in ("wavenumber", "mean_difference", "sd_difference"))
    figure = new_figure(WIDTH, 4.6)
    upper, below = figure.subplots(2, 1, sharex=True, height_ratios=[1.5, 1.0])
    for spectra, color, name in ((observed, "#000000", "observed"), (converted, VERMILION, "converted from NIR")):
        low, middle, high = np.percentile(spectra, [5.0, 50.0, 95.0], axis=0)
        band(upper, wavenumber, low, middle, high, Look(name, color))
    legend(upper, place="best", title="median and 5th to 95th percentile", title_fontsize=7.5)
    upper.set_ylabel("SNV absorbance\n(dimensionless)")
    below.axhline(0.0, color=GREY, linewidth=0.6)
    band(below, wavenumber, mean - sd, mean, mean + sd, Look("mean ± SD", BLUE))
    legend(below, place="best")
    below.set(xlabel=WAVENUMBER, ylabel="Converted − observed\n(SNV absorbance)")
    below.set_xlim(wavenumber.max(), wavenumber.min())
    figure.align_ylabels()
    return figure


@styled
def conversion_uncertainty(bands: pd.DataFrame, calibration: pd.DataFrame) -> Figure:
    """Stated against found standard deviation by band, coverage of the 90 % interval by band, and calibration.

    Args:
      bands: rows ``wavenumber`` (cm-1), ``rmse``, ``sd_predicted`` (SNV absorbance), ``coverage_90``.
      calibration: rows ``nominal, low, mean, high``, shares of samples.
    """
    figure = new_figure(WIDTH, 3.9)
    axes = figure.subplot_mosaic([["sd", "calibration"], ["coverage", "calibration"]], width_ratios=[1.45, 1.0])
    upper, below, right = axes["sd"], axes["coverage"], axes["calibration"]
    below.sharex(upper)
    wavenumber = np.asarray(bands["wavenumber"])
    upper.plot(wavenumber, bands["rmse"], color="black", linewidth=1.0, label="found (RMSE)")
    upper.plot(wavenumber, bands["sd_predicted"], color=VERMILION, linewidth=1.0, label="stated (SD)")
    upper.set_ylabel("Error and SD\n(SNV absorbance)")
    upper.set_ylim(bottom=0.0)
    legend(upper, place="best", columns=2)
    upper.tick_params(labelbottom=False)
    below.axhline(90.0, color=GREY, linewidth=0.8, linestyle=DASHED)
    below.plot(wavenumber, 100.0 * bands["coverage_90"], color=BLUE, linewidth=1.0)
    below.set(xlabel=WAVENUMBER, ylabel="Covered by the 90 %\ninterval (% of samples)", ylim=(0.0, 102.0))
    below.set_xlim(wavenumber.max(), wavenumber.min())
    right.plot([0.0, 100.0], [0.0, 100.0], color=GREY, linewidth=0.8, linestyle=DASHED, label="calibrated")
    x, low, mean, high = (100.0 * np.insert(calibration[name], 0, 0.0) for name in ("nominal", "low", "mean", "high"))
    band(right, x, low, mean, high, Look("all bands, with 10th to 90th percentile", BLUE, "o"))
    right.set(xlim=(0.0, 100.0), ylim=(0.0, 102.0), xlabel="Stated coverage (%)", ylabel="Reached coverage (%)")
    right.set_box_aspect(1.0)
    # Curves may lie on either side of the diagonal, so the names stand above.
    legend(right, place="lower left", bbox_to_anchor=(0.0, 1.0), fontsize=7.0)
    figure.align_ylabels([upper, below])
    return figure


SPACES = {"mir": "MIR latents", "nir": "NIR latents", "nir as mir": "NIR latents among MIR's"}


@styled
def distances(table: pd.DataFrame, extremes: pd.DataFrame, share: float) -> Figure:
    """Mahalanobis distances of training rows, pairs and test rows, with the critical limit.

    Args:
      table: rows ``space, set, distance, limit``.
      extremes: rows ``space, set, beyond``, the share of rows beyond the limit in %.
      share: alpha, the share of training rows expected beyond.
    """
    spaces = groups(table, "space")
    figure, panels = grid(len(spaces), panel=2.5, xlabel="Mahalanobis distance\n(dimensionless)", ylabel="Rows (%)")
    for panel, (space, rows) in zip(panels, spaces.items(), strict=True):
        limit = rows["limit"].iloc[0]
        far = max(1.3 * limit, float(np.nanpercentile(rows["distance"], 99.5)))
        bins = np.linspace(0.0, far, 46)
        for name, mine in groups(rows, "set", tuple(SETS)).items():
            title, color = SETS[name]
            # What lies farther is counted in the last bin.
            heights, _ = np.histogram(np.clip(mine["distance"], 0.0, far), bins)
            beyond = where(extremes, space=space, set=name)["beyond"].iloc[0]
            text = f"{title} ({len(mine):,}): {beyond:.1f} %"
            panel.stairs(100.0 * heights / len(mine), bins, color=color, linewidth=1.2, label=text)
        panel.axvline(limit, ymax=0.62, color=VERMILION, linewidth=1.0, linestyle=DASHED)
        panel.set_title(SPACES[space], loc="left", pad=4)
        # Room for the legend.
        panel.set(xlim=(0.0, far), ylim=(0.0, 1.6 * panel.get_ylim()[1]))
        heading = f"Rows: share beyond the {100 * share:g} % limit"
        legend(panel, place="upper right", fontsize=7.0, handlelength=1.2, title=heading, title_fontsize=7.0)
    return figure


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
    drawn = latent_space(latent["train"], xi["wavenumber"], xi["xi"], dead)
    caption = PROSE.text("latents_caption", dead=dead.any(), heat=xi["wavenumber"].size)
    document.draw(drawn, "figure_3_latents", caption)
    if sets is not None:
        columns = {"set": "Rows", "n": ("n", "{:,}"), "size": ("Median |mean|", 2), "sd": ("Median SD", 2)}
        columns |= {("r", "r_low", "r_high"): ("r with MIR latents, median (range)", _range)}
        rows = first_seed(sets).sort_values("set", key=lambda names: names.map(list(_LATENT_SETS).index))
        title, labels = PROSE.text("latent_sets_title"), {"set": _LATENT_SETS}
        document.table(rows_table(rows, columns, title=title, labels=labels))


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
    drawn = converted_spectra(arrays["observed"], arrays["converted"], bands)
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
    drawn = conversion_uncertainty(bands, curve)
    document.draw(drawn, "conversion_uncertainty", PROSE.text("uncertainty_caption"))
    reached = 100.0 * bands["coverage_90"]
    columns = {
        "size": "Mean |difference|",
        "sd_difference": "SD of the difference",
        "sd_predicted": "Stated SD",
        "coverage": "In the 90 % interval (%)",
    }
    means = scores.assign(coverage=100.0 * scores["coverage_90"]).melt(["set", "seed"], list(columns))
    given: dict[str, Any] = {"title": "Means over bands, ± SD over seeds; SNV absorbance.", "combine": mean_sd}
    given |= {"order": {"set": (VALIDATION, TEST), "variable": columns}, "labels": {"variable": columns}}
    found = pivot_table(means, "set", "variable", "value", fmt={"coverage": 1}, **given)
    document.add(PROSE.text("uncertainty", reached=reached, widening=score["widening"].iloc[0]), found)


def distance_section(document: Document, run: MultifidelityRun) -> None:
    """Mahalanobis distances with the data-driven chi-square limit, Eqs. 15 to 19."""
    document.section("Are the test samples like those trained on?")
    names = ("distances", "extremes", "limits")
    if not set(names) <= set(run.tables):
        document.text(PROSE.text("missing", what="distances"))
        return
    table, extremes, limits = (run.tables[name] for name in names)
    alpha = limits["alpha"].iloc[0]
    drawn = distances(first_seed(table), first_seed(extremes), alpha)
    document.draw(drawn, "distances", PROSE.text("distances_caption"))
    columns = {"median": "Median distance", "beyond": "Beyond the limit (%)", "limit": "Limit", "dof": "F"}
    titles = {name: title for name, (title, _) in SETS.items()}
    cells = extremes.merge(limits, on=["seed", "space"]).melt(["seed", "space", "set"], list(columns))
    given: dict[str, Any] = {"title": "Distances by set, ± SD over seeds.", "combine": mean_sd}
    given |= {"fmt": {"beyond": 1, "median": 2, "limit": 2, "dof": _whole}}
    given |= {"order": {"space": SPACES, "set": SETS, "variable": columns}}
    given |= {"labels": {"space": str.upper, "set": titles, "variable": columns}}
    notes = PROSE.notes("distances_notes", alpha=alpha)
    document.table(pivot_table(cells, {"space": "Spectra", "set": "Set"}, "variable", "value", notes=notes, **given))


def _whole(mean: float, sd: float) -> str:
    """Degrees of freedom: whole numbers, which differ where there is an SD."""
    return plus_minus(mean, sd if sd > 0.0 else None, 1 if sd > 0.0 else 0)
