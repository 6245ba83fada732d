"""Figures of the soc_spectrum study: learned and estimated spectra, sweeps, the degeneracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxsoil.report.style import GREY, MARKERS, OKABE_ITO, WIDTH, new_figure, styled
from jaxsoil.studies.reconstruction.soc_spectrum.methods import METHODS
from jaxsoil.studies.reconstruction.soc_spectrum.report.files import (
    DIRECT_START,
    ESTIMATOR_LABELS,
    PAPER_START,
    TRUTH,
    SpectrumRun,
    source_label,
)
from jaxsoil.studies.reconstruction.soc_spectrum.sweep import FACTORS, over_seeds
from jaxsoil.studies.reconstruction.soc_spectrum.troughs import LITERATURE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DRAWN = (PAPER_START, DIRECT_START, "regions")
"""Estimators of the main figure, from top to bottom."""

_BACKDROP = {"facecolor": "white", "alpha": 0.8, "linewidth": 0.0, "pad": 1.0}

_COLORS = {TRUTH: "#000000", PAPER_START: OKABE_ITO[3], DIRECT_START: OKABE_ITO[2], "regions": OKABE_ITO[4]}
_METHOD_COLORS = {
    "regions": OKABE_ITO[4],
    "log_soc": OKABE_ITO[1],
    "log_soc_by_region": OKABE_ITO[2],
    "minerals": OKABE_ITO[3],
    "log_soc_minerals": OKABE_ITO[5],
    "clay": OKABE_ITO[0],
    # Dashed in the figures: the colours of their counterparts by region.
    "pedons": OKABE_ITO[4],
    "pedons_log_soc": OKABE_ITO[1],
}


@styled
def spectra_figure(run: SpectrumRun) -> Figure:
    """f_SOC by estimator (rows) and source (columns), with folds or bootstraps, the truth and literature positions."""
    sources = run.sources
    rows = [name for name in DRAWN if any(run.curve(source, name) is not None for source in sources)]
    figure = new_figure(WIDTH, 0.8 + 2.0 * max(len(rows), 1))
    axes = figure.subplots(max(len(rows), 1), len(sources), sharex=True, sharey="row", squeeze=False)
    for row, estimator in enumerate(rows):
        for column, source in enumerate(sources):
            axis = axes[row, column]
            _draw_estimator(axis, run, source, estimator)
            if row == 0:
                axis.set_title(source_label(source), loc="left", fontsize=9.5, pad=20)
            if column == 0:
                axis.set_ylabel("Reflectance (fraction)")
            if row == len(rows) - 1:
                axis.set_xlabel("Wavelength (nm)")
            axis.set_xlim(float(run.curves["axis"][0]), float(run.curves["axis"][-1]))
    for column in range(len(sources)):
        _name_lines(axes[0, column])
    return figure


def _draw_estimator(axis: Axes, run: SpectrumRun, source: str, estimator: str) -> None:
    bands, color = run.curves["axis"], _COLORS[estimator]
    for line in LITERATURE:
        axis.axvline(line.position, color=GREY, linewidth=0.5, linestyle=(0, (1, 2)), zorder=0)
    curve = run.curve(source, estimator)
    if estimator in (PAPER_START, DIRECT_START):
        chosen = (run.learned["source"] == source) & (run.learned["start"] == estimator)
        for spectrum in run.learned["f_soc"][chosen]:
            axis.plot(bands, spectrum, color=color, linewidth=0.5, alpha=0.6, zorder=2)
    elif curve is not None and np.isfinite(curve["low"]).all():
        axis.fill_between(bands, curve["low"], curve["high"], color=color, alpha=0.25, linewidth=0, zorder=1)
    note = ""
    if estimator == PAPER_START:
        axis.axhline(0.5, color=GREY, linewidth=0.8, linestyle="--", zorder=1)
        note = ", grey: its start"
    if curve is not None:
        axis.plot(bands, curve["f_soc"], color=color, linewidth=1.2, zorder=3)
        _mark_troughs(axis, run, source, estimator, curve["f_soc"])
    truth = run.curve(source, TRUTH)
    if truth is not None:
        axis.plot(bands, truth["f_soc"], color="black", linewidth=1.0, linestyle=(0, (4, 2)), zorder=4)
        note += ", dashed: truth"
    low, high = axis.get_ylim()
    # Room for the name of the estimator above the curves.
    axis.set_ylim(min(0.0, low), high + 0.14 * (high - min(0.0, low)))
    text = f"{ESTIMATOR_LABELS[estimator]}{note}"
    axis.text(0.015, 0.97, text, transform=axis.transAxes, va="top", fontsize=7.0, color=color, bbox=_BACKDROP)


def _mark_troughs(axis: Axes, run: SpectrumRun, source: str, estimator: str, f_soc: np.ndarray) -> None:
    for trough in run.troughs:
        if (trough["source"], trough["estimator"]) == (source, estimator):
            height = float(np.interp(trough["position"], run.curves["axis"], f_soc))
            axis.plot(
                [trough["position"]], [height], marker="^", color="black", markersize=3.0, zorder=5, clip_on=False
            )


def _name_lines(axis: Axes) -> None:
    """Writes the literature positions above the panel; neighbours stand at different heights."""
    for place, line in enumerate(LITERATURE):
        axis.annotate(
            f"{line.position:g}",
            (line.position, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2 + 6 * (place % 3)),
            textcoords="offset points",
            ha="center",
            fontsize=5.8,
            color=GREY,
        )


@styled
def sweep_figure(frame: pd.DataFrame, measure: str, label: str) -> Figure:
    """Small multiples: one panel for each factor, one line for each method, bars from seed to seed.

    Args:
      frame: rows of ``soc_spectrum_sweep.sweep``.
      measure: column that is drawn ("rmse", "ratio_error").
      label: of the vertical axis, with its unit.
    """
    names = list(dict.fromkeys(frame["factor"].tolist()))
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure = new_figure(WIDTH, 0.6 + 1.9 * rows)
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    methods = list(dict.fromkeys(frame["method"].tolist()))
    for axis, name in zip(axes, names, strict=False):
        _draw_factor(axis, frame[frame["factor"] == name], name, measure, methods)
    for axis in axes[len(names) :]:
        axis.set_visible(False)
    for place in range(0, len(names), columns):
        axes[place].set_ylabel(label)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(methods))
    return figure


def _draw_factor(axis: Axes, frame: Any, name: str, measure: str, methods: Sequence[str]) -> None:
    levels = list(dict.fromkeys(frame["level"].tolist()))
    for place, method in enumerate(methods):
        mine = frame[frame["method"] == method]
        values = [mine.loc[mine["level"] == level, measure].to_numpy(dtype=np.float64) for level in levels]
        shift = 0.12 * (place - (len(methods) - 1) / 2)
        x = np.arange(len(levels)) + shift
        color = _METHOD_COLORS[method]
        means = np.array([v[np.isfinite(v)].mean() if np.isfinite(v).any() else np.nan for v in values])
        look = {"color": color, "marker": MARKERS[place], "markersize": 3.2, "linewidth": 0.9}
        axis.plot(x, means, label=METHODS[method].label, **look)
        for at, found in zip(x, values, strict=True):
            finite = found[np.isfinite(found)]
            if finite.size > 1:
                axis.plot([at, at], [finite.min(), finite.max()], color=color, linewidth=0.7, alpha=0.7)
    axis.set_xticks(range(len(levels)), levels, rotation=35 if max(map(len, levels)) > 4 else 0, fontsize=6.2)
    if max(map(len, levels)) > 6:
        for text in axis.get_xticklabels():
            text.set_horizontalalignment("right")
    axis.set_title(FACTORS[name].label if name in FACTORS else name, fontsize=6.8, loc="left")
    if measure == "rmse":
        axis.set_yscale("log")
        axis.set_yticks([0.01, 0.03, 0.1, 0.3], ["0.01", "0.03", "0.1", "0.3"])
        axis.minorticks_off()
        axis.grid(axis="y", color="#e6e6e6", linewidth=0.6)
    else:
        axis.axhline(0.0, color=GREY, linewidth=0.6, zorder=0)


@styled
def robustness_figure(frame: pd.DataFrame) -> Figure:
    """RMSE of f_SOC against the exponent with which clay follows SOC, one line for each method, means over seeds."""
    figure = new_figure(WIDTH * 0.75, 2.9)
    axis = figure.subplots()
    means = over_seeds(frame).to_dict("records")
    levels = list(dict.fromkeys(frame["level"].tolist()))
    for place, method in enumerate(dict.fromkeys(frame["method"].tolist())):
        by_level = {row["level"]: row["rmse"] for row in means if row["method"] == method}
        axis.plot(
            range(len(levels)),
            [by_level.get(level, np.nan) for level in levels],
            color=_METHOD_COLORS[method],
            marker=MARKERS[place % len(MARKERS)],
            markersize=4.0,
            linewidth=1.0,
            linestyle="--" if METHODS[method].group == "pedon" else "-",
            label=METHODS[method].label,
        )
    axis.set_xticks(range(len(levels)), levels)
    axis.set_xlabel("Exponent e of clay proportional to SOC$^e$")
    axis.set_ylabel("RMSE of f$_{SOC}$ (reflectance)")
    axis.set_ylim(bottom=0.0)
    figure.legend(loc="outside right center", fontsize=7.0)
    return figure


@styled
def degeneracy_figure(arrays: dict[str, np.ndarray]) -> Figure:
    """Left: several f_SOC with their (rho r)_SOC; right: the soil spectra that all of them give."""
    figure = new_figure(WIDTH, 3.6)
    left, right = figure.subplots(1, 2)
    bands, order = arrays["axis"], np.argsort(arrays["soc_rho_r"])
    colors = (OKABE_ITO[2], OKABE_ITO[6], "#000000", OKABE_ITO[1], OKABE_ITO[3], *OKABE_ITO[4:6])
    dashes = ("-", (0, (6, 2)), (0, (1, 1)), (0, (4, 2, 1, 2)), (0, (2, 2)), "-", "-")
    for rank, place in enumerate(order):
        look = {"color": colors[rank % len(colors)], "linestyle": dashes[rank % len(dashes)]}
        note = " (truth)" if place == 0 else ""
        share = 100 * float(arrays["feasible"][place])
        label = f"{arrays['soc_rho_r'][place]:.2f}{note}; all masses ≥ 0 in {share:.0f} % of soils"
        left.plot(bands, arrays["f_soc"][place], linewidth=1.3, label=label, **look)
        for spectrum in arrays["reflectance"][place]:
            right.plot(bands, spectrum, linewidth=3.4 - 0.6 * rank, **look)
    for example, spectrum in enumerate(arrays["reflectance"][0]):
        at = float(np.quantile(bands, 0.35 + 0.17 * example))
        right.annotate(
            f"SOC {arrays['soc'][example]:.1f} %",
            (at, float(np.interp(at, bands, spectrum))),
            xytext=(0, -40 - 12 * example),
            textcoords="offset points",
            fontsize=7,
            ha="center",
            arrowprops={"arrowstyle": "-", "linewidth": 0.6, "color": GREY},
        )
    left.set(xlabel="Wavelength (nm)", ylabel="f$_{SOC}$, reflectance (fraction)")
    left.set_title("Different spectra of SOC ...", loc="left")
    right.set(xlabel="Wavelength (nm)", ylabel="Reflectance of the soil (fraction)")
    largest = float(arrays["difference"].max())
    right.set_title(f"... the same soils: largest difference {largest:.0e}", loc="left")
    left.set_ylim(0.0, 1.05 * float(arrays["f_soc"].max()))
    right.set_ylim(bottom=0.0)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=7.0,
                  title="c = (ρr)$_{SOC}$ in g cm$^{-3}$ nm", title_fontsize=7.0)  # fmt: skip
    return figure
