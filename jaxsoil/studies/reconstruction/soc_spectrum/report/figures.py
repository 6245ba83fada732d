"""Figures of the soc_spectrum study: learned and estimated spectra, sweeps, the degeneracy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxsoil.report import style
from jaxsoil.studies.reconstruction.soc_spectrum.appearance import LITERATURE
from jaxsoil.studies.reconstruction.soc_spectrum.config import FACTORS
from jaxsoil.studies.reconstruction.soc_spectrum.methods import METHODS
from jaxsoil.studies.reconstruction.soc_spectrum.report import files

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = {files.PAPER_START: style.OKABE_ITO[3], files.DIRECT_START: style.OKABE_ITO[2], "regions": style.OKABE_ITO[4]}
"""Estimators of the main figure, from top to bottom, with their colours."""

# Constants by pedon are dashed, in the colours of their counterparts by region.
_COLOR_PLACES = (4, 1, 2, 3, 5, 0, 4, 1)
_LOOKS = {
    name: style.Look(method.label, style.OKABE_ITO[color], marker, "--" if method.group == "pedon" else "-")
    for color, marker, (name, method) in zip(_COLOR_PLACES, style.MARKERS, METHODS.items(), strict=True)
}


@style.styled
def spectra_figure(run: files.SpectrumRun) -> Figure:
    """f_SOC by estimator (rows) and source (columns), with folds or bootstraps, the truth and literature positions."""
    sources, bands = run.sources, run.arrays["curves"]["axis"]
    rows = [name for name in COLORS if any(run.curve(source, name) is not None for source in sources)]
    figure = style.new_figure(style.WIDTH, 0.8 + 2.0 * max(len(rows), 1))
    axes = figure.subplots(max(len(rows), 1), len(sources), sharex=True, sharey="row", squeeze=False)
    for row, estimator in enumerate(rows):
        axes[row, 0].set_ylabel("Reflectance (fraction)")
        for column, source in enumerate(sources):
            _draw_estimator(axes[row, column], run, source, estimator)
    for column, source in enumerate(sources):
        axes[0, column].set_title(files.source_label(source), loc="left", fontsize=9.5, pad=20)
        axes[-1, column].set(xlabel="Wavelength (nm)", xlim=(float(bands[0]), float(bands[-1])))
        # The literature positions stand above the panels, neighbours at different heights.
        for place, line in enumerate(LITERATURE):
            look: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "fontsize": 5.8, "color": style.GREY}
            at, above = (line.position, 1.0), (0, 2 + 6 * (place % 3))
            axes[0, column].annotate(f"{at[0]:g}", at, xycoords=("data", "axes fraction"), xytext=above, **look)
    return figure


def _draw_estimator(axis: Axes, run: files.SpectrumRun, source: str, estimator: str) -> None:
    bands, color, learned = run.arrays["curves"]["axis"], COLORS[estimator], run.arrays["learned"]
    for line in LITERATURE:
        axis.axvline(line.position, color=style.GREY, linewidth=0.5, linestyle=(0, (1, 2)), zorder=0)
    curve, truth, note = run.curve(source, estimator), run.curve(source, files.TRUTH), ""
    if estimator in (files.PAPER_START, files.DIRECT_START):
        folds = learned["f_soc"][(learned["source"] == source) & (learned["start"] == estimator)]
        axis.plot(bands, folds.T, color=color, linewidth=0.5, alpha=0.6, zorder=2)
    elif curve is not None and np.isfinite(curve["low"]).all():
        axis.fill_between(bands, curve["low"], curve["high"], color=color, alpha=0.25, linewidth=0, zorder=1)
    if estimator == files.PAPER_START:
        axis.axhline(0.5, color=style.GREY, linewidth=0.8, linestyle="--", zorder=1)
        note = ", grey: its start"
    if curve is not None:
        axis.plot(bands, curve["f_soc"], color=color, linewidth=1.2, zorder=3)
        troughs = run.rows("troughs", source=source, estimator=estimator)["position"].to_numpy()
        heights = np.interp(troughs, bands, curve["f_soc"])
        axis.plot(troughs, heights, "^", color="black", markersize=3.0, zorder=5, clip_on=False)
    if truth is not None:
        axis.plot(bands, truth["f_soc"], color="black", linewidth=1.0, linestyle=style.DASHED, zorder=4)
        note += ", dashed: truth"
    low, high = axis.get_ylim()
    # Room for the name of the estimator above the curves.
    axis.set_ylim(min(0.0, low), high + 0.14 * (high - min(0.0, low)))
    style.corner_text(axis, f"{files.ESTIMATOR_LABELS[estimator]}{note}", color=color)


@style.styled
def sweep_figure(means: pd.DataFrame, measure: str, label: str) -> Figure:
    """Small multiples of a measure of over_seeds.csv: one panel for each factor, one line for each method, bars from
    seed to seed."""
    panels = means.groupby("factor", sort=False)
    figure, axes = style.grid(panels.ngroups, most=4, panel=1.9, extra=0.6, ylabel=label, sharey=True)
    for axis, (name, part) in zip(axes, panels, strict=True):
        _draw_methods(axis, part, measure, reach=0.12)
        long = max(map(len, part["level"]))
        for text in axis.get_xticklabels():
            text.set(rotation=35 if long > 4 else 0, fontsize=6.2, ha="right" if long > 6 else "center")
        axis.set_title(FACTORS[str(name)].label, fontsize=6.8, loc="left")
        if measure == "rmse":
            axis.set_yscale("log")
            axis.set_yticks([0.01, 0.03, 0.1, 0.3], ["0.01", "0.03", "0.1", "0.3"])
            axis.minorticks_off()
            style.light_grid(axis)
        else:
            axis.axhline(0.0, color=style.GREY, linewidth=0.6, zorder=0)
    style.legend(figure)
    return figure


def _draw_methods(axis: Axes, means: pd.DataFrame, measure: str, *, reach: float = 0.0) -> None:
    """Means by level, one line for each method; bars to the least and greatest where methods stand apart."""
    levels, methods = means["level"].unique(), means["method"].unique()
    for shift, method in zip(style.shifts(len(methods), reach), methods, strict=True):
        mine = means[means["method"] == method].set_index("level").reindex(levels)
        middle, least, greatest = (mine[f"{measure}{end}"].to_numpy() for end in ("", "_min", "_max"))
        bars = np.abs([middle - least, greatest - middle]) if reach else None
        look = _LOOKS[method]
        style.points(axis, np.arange(len(levels)) + shift, middle, look, yerr=bars, label=look.label, size=3.5)
    axis.set_xticks(range(len(levels)), levels)


@style.styled
def robustness_figure(means: pd.DataFrame) -> Figure:
    """RMSE of f_SOC against the exponent with which clay follows SOC, one line for each method, means over seeds."""
    figure = style.new_figure(style.WIDTH * 0.75, 2.9)
    axis = figure.subplots()
    _draw_methods(axis, means, "rmse")
    axis.set(xlabel="Exponent e of clay proportional to SOC$^e$", ylabel="RMSE of f$_{SOC}$ (reflectance)")
    axis.set_ylim(bottom=0.0)
    style.legend(figure, place="right", columns=1, fontsize=7.0)
    return figure


@style.styled
def degeneracy_figure(arrays: dict[str, np.ndarray]) -> Figure:
    """Left: several f_SOC with their (rho r)_SOC; right: the soil spectra that all of them give. From
    ``unmixing.Degeneracy.arrays``."""
    figure = style.new_figure(style.WIDTH, 3.6)
    left, right = figure.subplots(1, 2)
    bands = arrays["axis"]
    colors = (style.OKABE_ITO[2], style.OKABE_ITO[6], "#000000", style.OKABE_ITO[1], style.OKABE_ITO[3])
    dashes = ("-", (0, (6, 2)), (0, (1, 1)), (0, (4, 2, 1, 2)), (0, (2, 2)))
    for rank, place in enumerate(np.argsort(arrays["soc_rho_r"])):
        look: dict[str, Any] = {"color": colors[rank % 5], "linestyle": dashes[rank % 5]}
        note, share = " (truth)" if place == 0 else "", 100 * float(arrays["feasible"][place])
        label = f"{arrays['soc_rho_r'][place]:.2f}{note}; all masses ≥ 0 in {share:.0f} % of soils"
        left.plot(bands, arrays["f_soc"][place], linewidth=1.3, label=label, **look)
        right.plot(bands, arrays["reflectance"][place].T, linewidth=3.4 - 0.6 * rank, **look)
    for example, spectrum in enumerate(arrays["reflectance"][0]):
        at = float(np.quantile(bands, 0.35 + 0.17 * example))
        right.annotate(
            f"SOC {arrays['soc'][example]:.1f} %",
            (at, float(np.interp(at, bands, spectrum))),
            xytext=(0, -40 - 12 * example),
            textcoords="offset points",
            fontsize=7,
            ha="center",
            arrowprops={"arrowstyle": "-", "linewidth": 0.6, "color": style.GREY},
        )
    left.set(xlabel="Wavelength (nm)", ylabel="f$_{SOC}$, reflectance (fraction)")
    left.set_title("Different spectra of SOC ...", loc="left")
    left.set_ylim(0.0, 1.05 * float(arrays["f_soc"].max()))
    right.set(xlabel="Wavelength (nm)", ylabel="Reflectance of the soil (fraction)")
    right.set_title(f"... the same soils: largest difference {float(arrays['difference'].max()):.0e}", loc="left")
    right.set_ylim(bottom=0.0)
    title = "c = (ρr)$_{SOC}$ in g cm$^{-3}$ nm"
    style.legend(figure, place="below", columns=2, fontsize=7.0, title=title, title_fontsize=7.0)
    return figure
