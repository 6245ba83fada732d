"""Figures of latents and spectra: densities and Xi, observed and converted spectra, their SD, distances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from jaxsoil.evaluation.conversion import calibration, coverage, difference
from jaxsoil.report.style import GREY, OKABE_ITO, WIDTH, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WAVENUMBER = "Wavenumber (cm$^{-1}$)"
BLUE, VERMILION, ORANGE, GREEN = OKABE_ITO[2], OKABE_ITO[3], OKABE_ITO[1], OKABE_ITO[4]
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
    axes = (
        figure.subplots(1, 2, sharey=True, width_ratios=[1.0, 1.5], squeeze=False)[0] if heat else [figure.subplots()]
    )
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
    grid = np.linspace(low - 0.05 * (high - low), high + 0.05 * (high - low), 400)
    for place in range(count):
        # Every n-th row is enough for a smooth line.
        values = latents[:: max(1, len(latents) // 4000), place]
        color = GREY if dead[place] else BLUE
        base = place + 1.4
        if np.ptp(values) > 1e-3 * (high - low):
            density = gaussian_kde(values)(grid)
            top = base - 0.85 * density / density.max()
            axis.fill_between(grid, base, top, color=color, alpha=0.35, linewidth=0.0, zorder=2)
            axis.plot(grid, top, color=color, linewidth=0.8, zorder=3)
        else:
            axis.plot([values.mean()] * 2, [base, base - 0.85], color=color, linewidth=1.0, zorder=3)
        axis.axhline(base, color="#e6e6e6", linewidth=0.5, zorder=1)
    axis.set_yticks(np.arange(1, count + 1), [str(place) for place in range(1, count + 1)])
    axis.set(ylim=(count + 0.5, 0.5), xlim=(grid[0], grid[-1]))
    axis.set(xlabel="Posterior mean (dimensionless)", ylabel="Latent feature")
    axis.tick_params(axis="y", length=0)


@styled
def converted_spectra(wavenumber: np.ndarray, observed: np.ndarray, converted: np.ndarray) -> Figure:
    """Figure 4: observed and converted spectra of the test set, and the mean and SD of their difference.

    Args:
      wavenumber: (M,) axis, cm-1.
      observed, converted: (n, M) SNV absorbance.
    """
    figure = new_figure(WIDTH, 4.6)
    upper, below = figure.subplots(2, 1, sharex=True, height_ratios=[1.5, 1.0])
    for spectra, color, name in ((observed, "#000000", "observed"), (converted, VERMILION, "converted from NIR")):
        low, middle, high = np.percentile(spectra, [5.0, 50.0, 95.0], axis=0)
        upper.fill_between(wavenumber, low, high, color=color, alpha=0.18, linewidth=0.0)
        upper.plot(wavenumber, middle, color=color, linewidth=1.1, label=name)
    upper.legend(loc="best", title="median and 5th to 95th percentile", title_fontsize=7.5)
    upper.set_ylabel("SNV absorbance\n(dimensionless)")
    mean, sd = difference(observed, converted)
    below.axhline(0.0, color=GREY, linewidth=0.6)
    below.fill_between(wavenumber, mean - sd, mean + sd, color=BLUE, alpha=0.25, linewidth=0.0, label="mean ± SD")
    below.plot(wavenumber, mean, color=BLUE, linewidth=1.1, label="mean")
    below.legend(loc="best", ncols=2)
    below.set(xlabel=WAVENUMBER, ylabel="Converted − observed\n(SNV absorbance)")
    below.set_xlim(float(wavenumber.max()), float(wavenumber.min()))
    figure.align_ylabels()
    return figure


@styled
def conversion_uncertainty(
    wavenumber: np.ndarray, observed: np.ndarray, converted: np.ndarray, sd: np.ndarray
) -> Figure:
    """Stated against found standard deviation by band, coverage of the 90 % interval by band, and calibration.

    Args:
      wavenumber: (M,) axis, cm-1.
      observed, converted, sd: (n, M) SNV absorbance; ``sd`` is the stated standard deviation.
    """
    figure = new_figure(WIDTH, 3.9)
    grid = figure.add_gridspec(2, 2, width_ratios=[1.45, 1.0])
    upper = figure.add_subplot(grid[0, 0])
    below = figure.add_subplot(grid[1, 0], sharex=upper)
    right = figure.add_subplot(grid[:, 1])
    error = np.sqrt(np.mean((converted - observed) ** 2, axis=0))
    upper.plot(wavenumber, error, color="black", linewidth=1.0, label="found (RMSE)")
    upper.plot(wavenumber, np.sqrt(np.mean(sd**2, axis=0)), color=VERMILION, linewidth=1.0, label="stated (SD)")
    upper.set_ylabel("Spread\n(SNV absorbance)")
    upper.set_ylim(bottom=0.0)
    upper.legend(loc="best", ncols=2)
    upper.tick_params(labelbottom=False)
    below.axhline(90.0, color=GREY, linewidth=0.8, linestyle=(0, (4, 2)))
    below.plot(wavenumber, 100.0 * coverage(observed, converted, sd, 0.9), color=BLUE, linewidth=1.0)
    below.set(xlabel=WAVENUMBER, ylabel="Covered by the 90 %\ninterval (% of samples)", ylim=(0.0, 102.0))
    below.set_xlim(float(wavenumber.max()), float(wavenumber.min()))
    _calibration(right, *calibration(observed, converted, sd))
    figure.align_ylabels([upper, below])
    return figure


def _calibration(axis: Axes, nominal: np.ndarray, reached: np.ndarray) -> None:
    axis.plot([0.0, 100.0], [0.0, 100.0], color=GREY, linewidth=0.8, linestyle=(0, (4, 2)), label="calibrated")
    x = 100.0 * np.concatenate([[0.0], nominal])
    low, middle, high = (
        100.0 * np.concatenate([[0.0], row])
        for row in (
            *np.percentile(reached, [10.0], axis=1),
            reached.mean(axis=1),
            *np.percentile(reached, [90.0], axis=1),
        )
    )
    axis.fill_between(x, low, high, color=BLUE, alpha=0.2, linewidth=0.0, label="10th to 90th percentile of bands")
    axis.plot(x, middle, color=BLUE, linewidth=1.2, marker="o", markersize=3.0, label="all bands")
    axis.set(xlim=(0.0, 100.0), ylim=(0.0, 102.0), xlabel="Stated coverage (%)", ylabel="Reached coverage (%)")
    axis.set_box_aspect(1.0)
    # Curves may lie on either side of the diagonal, so the names stand above.
    axis.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), fontsize=7.0)


_SPACES = {"mir": "MIR latents", "nir": "NIR latents", "nir as mir": "NIR latents among MIR's"}


@styled
def distances(values: Mapping[str, Mapping[str, np.ndarray]], limits: Mapping[str, float], share: float) -> Figure:
    """Mahalanobis distances of training rows, pairs and test rows, with the critical limit.

    Args:
      values: space -> set -> (n,) distances.
      limits: space -> critical limit.
      share: alpha, the share of training rows expected beyond.
    """
    figure = new_figure(WIDTH if len(values) > 1 else 0.6 * WIDTH, 2.9)
    panels = figure.subplots(1, len(values), squeeze=False)[0]
    for panel, (space, sets) in zip(panels, values.items(), strict=True):
        every = np.concatenate([d[np.isfinite(d)] for d in sets.values()])
        far = max(1.3 * limits[space], float(np.percentile(every, 99.5)))
        bins = np.linspace(0.0, far, 46)
        for name, d in sets.items():
            title, color = SETS.get(name, (name, GREEN))
            # What lies farther is counted in the last bin.
            heights, _ = np.histogram(np.clip(d, 0.0, far), bins)
            beyond = 100.0 * float(np.mean(~(d <= limits[space])))
            text = f"{title} ({d.size:,}): {beyond:.1f} %"
            panel.stairs(100.0 * heights / max(d.size, 1), bins, color=color, linewidth=1.2, label=text)
        panel.axvline(limits[space], ymax=0.62, color=VERMILION, linewidth=1.0, linestyle=(0, (4, 2)))
        panel.set_title(_SPACES.get(space, space), loc="left", pad=4)
        panel.set_xlabel("Mahalanobis distance\n(dimensionless)")
        panel.set_xlim(0.0, far)
        # Room for the legend.
        panel.set_ylim(0.0, 1.6 * panel.get_ylim()[1])
        heading = f"Rows: share beyond the {100 * share:g} % limit"
        panel.legend(loc="upper right", fontsize=7.0, handlelength=1.2, title=heading, title_fontsize=7.0)
    panels[0].set_ylabel("Rows (%)")
    return figure
