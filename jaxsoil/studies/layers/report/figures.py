"""Figures of the study of layer transfer."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxsoil.data.rasters.geotiff import read_geotiff
from jaxsoil.data.rasters.rasters import Grid
from jaxsoil.evaluation.results import ALL_SEEDS
from jaxsoil.report import style
from jaxsoil.report.run_files import where
from jaxsoil.report.style import GREY, LIGHT, OKABE_ITO, WIDTH, Look, grid, legend, light_grid, points, shifts, styled
from jaxsoil.studies.layers.report.tables import LABELS, POOLED, SPLITS, UNDRAWN, LayersRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PROFILES = 6
"""Sites whose profiles are drawn."""

IN_PROFILES = ("rf", "multitask", "transfer")
"""Models whose predictions are drawn as marks in the profiles."""


def model_looks(run: LayersRun) -> dict[str, Look]:
    """The look of each model, the same in all figures."""
    return style.looks(
        {name: LABELS[name] for name in run.drawn}, tuple(name for name in LABELS if name not in UNDRAWN)
    )


@styled
def maps_figure(run: LayersRun) -> Figure:
    """Every layer: the true map where it is known, the predicted one, and the width of its interval."""
    truth = read_geotiff(run.path / "inputs" / "truth.tif")[1] if run.data["truth"] else None
    columns = 3 if truth is not None else 2
    read = {layer: read_geotiff(run.path / name) for layer, name in run.json["maps"]["files"].items()}
    where_pixels = next(iter(read.values()))[0]
    west, east, south, north = where_pixels.extent
    panel = WIDTH / columns * 0.78
    figure = style.new_figure(WIDTH, len(read) * (panel * (north - south) / (east - west) + 0.32) + 0.5)
    axes: Any = figure.subplots(len(read), columns, sharex=True, sharey=True, squeeze=False)
    for row, (layer, (_, bands, _)) in enumerate(read.items()):
        known = np.isfinite(bands["predicted"])
        panels = [] if truth is None else [(np.where(known, truth[layer], np.nan), "true")]
        panels += [(bands["predicted"], "predicted")]
        limits = _limits(*(values for values, _ in panels))
        for ax, (values, name) in zip(axes[row], panels, strict=False):
            image = _image(ax, values, where_pixels, "viridis", limits)
            ax.set_title(f"{layer}, {name}")
        figure.colorbar(image, ax=axes[row, : columns - 1].tolist(), label=run.unit, aspect=12, pad=0.01, extend="both")
        width = bands["high"] - bands["low"]
        image = _image(axes[row, -1], width, where_pixels, "magma", _limits(width))
        axes[row, -1].set_title(f"{layer}, interval width")
        figure.colorbar(image, ax=axes[row, -1], label=run.unit, aspect=12, pad=0.02, extend="both")
    _outer_labels(axes)
    return figure


@styled
def scores_figure(run: LayersRun) -> Figure:
    """R2 and RMSE of every model and layer: seeds as small marks, their mean prediction as a large one."""
    figure = style.new_figure(WIDTH, 5.0)
    axes: Any = figure.subplots(2, len(run.splits), sharex=True, sharey="row", squeeze=False)
    styles, offsets = model_looks(run), dict(zip(run.drawn, _offsets(run), strict=True))
    at = {layer: place for place, layer in enumerate(run.layers)}
    for column, split in enumerate(run.splits):
        for ax, metric in zip(axes[:, column], ("r2", "rmse"), strict=True):
            rows = where(run.results, split=split, metric=metric)
            for model in run.drawn[metric == "r2" and "mean" in run.drawn :]:
                mine = rows[(rows["model"] == model) & rows["layer"].isin(run.layers)]
                x, y = np.array([at[layer] for layer in mine["layer"]]) + offsets[model], np.asarray(mine["value"])
                together = np.asarray(mine["seed"] == ALL_SEEDS)
                color = styles[model].color
                ax.plot(x[~together], y[~together], ".", color=color, markersize=2.5, alpha=0.6)
                points(ax, x[together], y[together], styles[model], size=4.0)
            light_grid(ax)
            ax.set_xticks(range(len(run.layers)), run.layers, rotation=30)
        axes[0, column].axhline(0.0, color=GREY, linewidth=0.8)
        axes[0, column].set_title(f"Split: {SPLITS[split]}")
        axes[1, column].set_xlabel("Layer")
    axes[0, 0].set_ylabel("R2 (1)")
    axes[1, 0].set_ylabel(f"RMSE ({run.unit})")
    legend(figure, styles, place="below")
    return figure


@styled
def gains_figure(run: LayersRun) -> Figure:
    """Gains with both intervals; positive is better."""
    gains = run.tables["gains"]
    pairs = list(dict.fromkeys(zip(gains["first"], gains["second"], strict=True)))
    names = [*run.layers, POOLED]
    styles = {split: Look(SPLITS[split], OKABE_ITO[2 + i], "os"[i]) for i, split in enumerate(run.splits)}
    figure, axes = grid(len(pairs), most=4, panel=3.5, xlabel="Gain (% of RMSE)", ylabel="Layer", sharey=True)
    for ax, (first, second) in zip(axes, pairs, strict=True):
        ax.axvline(0.0, color=GREY, linewidth=0.8)
        for offset, (split, look) in zip(shifts(len(styles), 0.17), styles.items(), strict=True):
            mine = where(gains, split=split, first=first, second=second).set_index("layer").loc[names]
            y = np.arange(len(names)) + offset
            ax.hlines(y - 0.06, mine["folds_low"], mine["folds_high"], color=look.color, linewidth=2.2, alpha=0.9)
            ax.hlines(y + 0.06, mine["blocks_low"], mine["blocks_high"], color=look.color, lw=0.9, ls=(0, (3, 1)))
            points(ax, mine["gain"], y - 0.06, look, size=4.0)
        # Panels are narrow: a title may not be wider than its own.
        ax.set_title("\n".join(textwrap.wrap(f"{LABELS[first]} over {LABELS[second]}", 22)), fontsize=7.5)
        light_grid(ax, "x")
    style.names_axis(axes[0], names)
    legend(figure, styles, place="below", title="Split")
    return figure


@styled
def observed_figure(run: LayersRun, model: str, split: str) -> Figure:
    """Observed against predicted values of held-out sites, layer by layer."""
    figure, axes = grid(len(run.layers), extra=0.2)
    rows = where(run.tables["predictions"], split=split, model=model, seed=ALL_SEEDS)
    for ax, layer in zip(axes, run.layers, strict=True):
        mine = where(rows, layer=layer)
        observed, predicted = mine["observed"].to_numpy(), mine["predicted"].to_numpy()
        limit = 1.05 * max(float(observed.max()), float(predicted.max()))
        ends = np.abs(np.stack([predicted - mine["low"], mine["high"] - predicted]))
        ax.errorbar(predicted, observed, xerr=ends, fmt="none", ecolor=OKABE_ITO[6], elinewidth=0.3, alpha=0.35)
        ax.plot(predicted, observed, ".", color=OKABE_ITO[2], markersize=3.0, alpha=0.8)
        style.one_to_one(ax, 0.0, limit)
        ax.set(xlim=(0.0, limit), ylim=(0.0, limit), aspect="equal", title=layer)
        score = where(run.results, split=split, model=model, seed=ALL_SEEDS, layer=layer)
        score = dict(zip(score["metric"], score["value"], strict=True))
        text = f"R2 {score['r2']:.2f}\nRMSE {score['rmse']:.2f}\nCCC {score['ccc']:.2f}\nn {score['n']:.0f}"
        style.corner_text(ax, text.replace("-", "−"))
    figure.supxlabel(f"Predicted, with its interval ({run.unit})", fontsize=8.5)
    figure.supylabel(f"Observed ({run.unit})", fontsize=8.5)
    return figure


@styled
def profiles_figure(run: LayersRun, split: str) -> Figure:
    """Profiles of held-out sites: observed layers, predictions, and the curve of the depth function."""
    styles, arrays = model_looks(run), run.arrays.get("curves", {})
    # Site -> coefficients of its depth function, if the study has that model.
    curves = dict(zip(arrays["ids"].tolist(), arrays[split], strict=True)) if split in arrays else {}
    shown = {model: styles[model] for model in IN_PROFILES if model in styles}
    depths = {entry["name"]: (entry["top"], entry["bottom"]) for entry in run.data["layers"]}
    deepest = max(bottom for _, bottom in depths.values())
    depth = np.linspace(min(top for top, _ in depths.values()), deepest, 200)
    # Complete profiles, evenly spaced by their value at the surface.
    sites: pd.DataFrame = run.tables["sites"]
    whole = sites.dropna(subset=[*run.layers])
    order = (whole if len(whole) else sites).sort_values(run.layers[0])
    places = np.unique(np.linspace(0, len(order) - 1, PROFILES + 2).round().astype(int))[1:-1]
    ids = np.asarray(order["id"])[places].tolist()
    quantity = f"{str(run.data['quantity']).capitalize()} ({run.unit})"
    figure, axes = grid(len(ids), panel=2.5, xlabel=quantity, ylabel="Depth (cm)", sharey=True)
    rows = where(run.tables["predictions"], split=split, seed=ALL_SEEDS)
    for ax, name in zip(axes, ids, strict=True):
        here = where(rows, id=name)
        for model, look in shown.items():
            mine = where(here, model=model)
            middle = [0.5 * sum(depths[layer]) for layer in mine["layer"]]
            ax.plot(mine["predicted"], middle, look.marker + "--", color=look.color, markersize=3.5, linewidth=0.8)
        for row in where(here, model=run.models[0]).to_dict("records"):
            ax.plot([row["observed"]] * 2, depths[row["layer"]], color="#000000", lw=2.4, solid_capstyle="butt")
        if name in curves:
            deep, rise, length = np.exp(curves[name])
            ax.plot(deep + rise * np.exp(-depth / length), depth, color=styles["profile"].color, linewidth=1.2)
        ax.set(title=name, xlim=(0.0, None))
        ax.xaxis.label.set_size(7.5)
    axes[0].set_ylim(deepest, depth[0])
    lines = [Look(look.label, look.color, look.marker, "--") for look in shown.values()]
    function = [Look(styles["profile"].label, styles["profile"].color, "", "-")] if curves else []
    legend(figure, [Look("Observed", "#000000", "", "-"), *lines, *function], place="below", size=3.5)
    return figure


@styled
def sites_figure(run: LayersRun) -> Figure:
    """Sites on the land that has covariates, coloured by fold; lines part the spatial blocks."""
    pixels, bands, _ = read_geotiff(run.path / next(iter(run.json["maps"]["files"].values())))
    west, east, south, north = pixels.extent
    sites = run.tables["sites"]
    figure = style.new_figure(WIDTH, WIDTH / 2.0 * 0.85 * (north - south) / (east - west) + 1.12)
    axes: Any = figure.subplots(1, len(run.splits), sharex=True, sharey=True, squeeze=False)
    x, y = (sites["east"] - west) / 1000.0, (sites["north"] - south) / 1000.0
    for ax, split in zip(axes[0], run.splits, strict=True):
        _image(ax, np.where(np.isfinite(bands["predicted"]), 1.0, np.nan), pixels, None, (0.0, 1.0))
        for number in np.unique(sites[f"fold_{split}"]).tolist():
            mine = sites[f"fold_{split}"] == number
            color, marker = OKABE_ITO[(number + 1) % 7], "osD^vPX"[number % 7]
            options = {"markersize": 2.6, "markeredgewidth": 0.0, "label": f"Fold {number + 1}"}
            ax.plot(x[mine], y[mine], marker, color=color, **options)
        # The block grid, which verde lays over the extent of the sites in whole numbers of blocks.
        for places, draw in ((x, ax.axvline), (y, ax.axhline)) if split == "blocks" else ():
            count = max(1, round(1000.0 * (places.max() - places.min()) / run.data["block_side"]))
            for edge in np.linspace(places.min(), places.max(), count + 1):
                draw(edge, color=GREY, linewidth=0.5)
        ax.set_title(f"Split: {SPLITS[split]}")
    _outer_labels(axes)
    legend(figure, place="below")
    return figure


@styled
def coverage_figure(run: LayersRun) -> Figure:
    """Measured coverage of held-out observations by layer."""
    styles, names = model_looks(run), [*run.layers, POOLED]
    nominal = 100.0 * float(run.tables["coverage"]["nominal"].iloc[0])
    figure, axes = grid(len(run.splits), panel=2.8, xlabel="Layer", ylabel="Held-out values inside (%)", sharey=True)
    for ax, split in zip(axes, run.splits, strict=True):
        ax.axhspan(nominal - 2.0, nominal + 2.0, color=LIGHT, linewidth=0.0)
        ax.axhline(nominal, color=GREY, linewidth=0.8)
        for offset, (model, look) in zip(_offsets(run), styles.items(), strict=True):
            mine = where(run.tables["coverage"], split=split, model=model).set_index("layer").loc[names]
            low, middle, high = (100.0 * mine[f"coverage{end}"] for end in ("_low", "", "_high"))
            points(ax, np.arange(len(names)) + offset, middle, look, yerr=[middle - low, high - middle], size=3.5)
        ax.set_xticks(range(len(names)), names, rotation=30)
        ax.set_title(f"Split: {SPLITS[split]}")
    legend(figure, styles, place="below")
    return figure


def _offsets(run: LayersRun) -> list[float]:
    """Where the mark of each model stands beside the tick of a layer."""
    return shifts(len(run.drawn), 0.05 * (len(run.drawn) - 1))


def _limits(*images: np.ndarray) -> tuple[float, float]:
    """1st and 99th percentile of all values; 0 and 1 where there is none."""
    known = np.concatenate([values[np.isfinite(values)] for values in images])
    low, high = np.percentile(known, [1.0, 99.0]).tolist() if known.size else (0.0, 1.0)
    return low, high


def _image(ax: Axes, values: np.ndarray, pixels: Grid, colours: str | None, limits: tuple[float, float]) -> Any:
    """A map on axes in km from its corner; in one light colour where ``colours`` is None."""
    from matplotlib.colors import ListedColormap

    west, east, south, north = pixels.extent
    extent = (0.0, (east - west) / 1000.0, 0.0, (north - south) / 1000.0)
    shown: Any = ListedColormap([LIGHT]) if colours is None else colours
    return ax.imshow(values, extent=extent, cmap=shown, vmin=limits[0], vmax=limits[1], interpolation="nearest")


def _outer_labels(axes: Any) -> None:
    for ax in axes[-1]:
        ax.set_xlabel("East of the corner (km)")
    for ax in axes[:, 0]:
        ax.set_ylabel("North (km)")
