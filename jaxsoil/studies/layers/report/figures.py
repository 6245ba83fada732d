"""Figures of the study of layer transfer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxsoil.data.rasters.geotiff import read_geotiff
from jaxsoil.data.rasters.rasters import Grid
from jaxsoil.report.files import read_arrays
from jaxsoil.report.style import GREY, OKABE_ITO, WIDTH, Look, looks, new_figure, styled
from jaxsoil.studies.layers.report.tables import ALL, LABELS, POOLED, SPLITS, Gain, LayersRun, chosen

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PROFILES = 6
"""Sites whose profiles are drawn."""

_LAND = "#e6e6e6"


def model_looks(run: LayersRun) -> dict[str, Look]:
    """The look of each model, the same in all figures."""
    return looks({name: LABELS[name] for name in run.models}, tuple(LABELS))


@styled
def maps_figure(run: LayersRun) -> Figure:
    """Every layer: the true map where it is known, the predicted one, and the width of its interval."""
    truth = None
    if run.data["truth"]:
        truth = read_geotiff(run.path / "inputs" / "truth.tif")[1]
    columns = 3 if truth is not None else 2
    read = {layer: read_geotiff(run.path / name) for layer, name in run.maps["files"].items()}
    grid = next(iter(read.values()))[0]
    west, east, south, north = grid.extent
    panel = WIDTH / columns * 0.78
    figure = new_figure(WIDTH, len(read) * (panel * (north - south) / (east - west) + 0.32) + 0.5)
    axes: Any = figure.subplots(len(read), columns, sharex=True, sharey=True, squeeze=False)
    for row, (layer, (_, bands, _)) in enumerate(read.items()):
        known = np.isfinite(bands["predicted"])
        panels = [] if truth is None else [(np.where(known, truth[layer], np.nan), "true")]
        panels += [(bands["predicted"], "predicted")]
        every = np.concatenate([values[np.isfinite(values)] for values, _ in panels])
        limits = np.percentile(every, [1.0, 99.0])
        for ax, (values, name) in zip(axes[row], panels, strict=False):
            image = _image(ax, values, grid, "viridis", limits)
            ax.set_title(f"{layer}, {name}")
        figure.colorbar(image, ax=axes[row, : columns - 1].tolist(), label=run.unit, aspect=12, pad=0.01, extend="both")
        width = bands["high"] - bands["low"]
        image = _image(axes[row, -1], width, grid, "magma", np.percentile(width[np.isfinite(width)], [1.0, 99.0]))
        axes[row, -1].set_title(f"{layer}, interval width")
        figure.colorbar(image, ax=axes[row, -1], label=run.unit, aspect=12, pad=0.02, extend="both")
    _outer_labels(axes)
    return figure


@styled
def scores_figure(run: LayersRun) -> Figure:
    """R2 and RMSE of every model and layer: seeds as small marks, their mean prediction as a large one."""
    figure = new_figure(WIDTH, 5.0)
    axes: Any = figure.subplots(2, len(run.splits), sharex=True, sharey="row", squeeze=False)
    styles = model_looks(run)
    for column, split in enumerate(run.splits):
        for row, metric in enumerate(("r2", "rmse")):
            ax = axes[row, column]
            for place, model in enumerate(run.models):
                if metric == "r2" and model == "mean":
                    continue
                mine = chosen(run.scores, split=split, model=model)
                shift = 0.1 * (place - 0.5 * (len(run.models) - 1))
                for number, layer in enumerate(run.layers):
                    here = chosen(mine, layer=layer)
                    single = here[here["seed"] != ALL][metric].to_numpy()
                    together = float(here[here["seed"] == ALL][metric].iloc[0])
                    look, at = styles[model], number + shift
                    ax.plot(np.full(single.size, at), single, ".", color=look.color, markersize=2.5, alpha=0.6)
                    label = look.label if number == 0 and row == 1 and column == 0 else None
                    ax.plot([at], [together], look.marker, color=look.color, markersize=4.0, label=label)
            ax.grid(axis="y", color="#dddddd", linewidth=0.5)
            if metric == "r2":
                ax.axhline(0.0, color=GREY, linewidth=0.8)
                ax.set_title(f"Split: {SPLITS[split]}")
            ax.set_xticks(range(len(run.layers)), run.layers, rotation=30)
        axes[1, column].set_xlabel("Layer")
    axes[0, 0].set_ylabel("R2 (1)")
    axes[1, 0].set_ylabel(f"RMSE ({run.unit})")
    handles, labels = axes[1, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


@styled
def gains_figure(run: LayersRun, found: Mapping[tuple[str, str, str], dict[str, Gain]]) -> Figure:
    """Gains with both intervals; positive is better."""
    pairs = list(dict.fromkeys((first, second) for _, first, second in found))
    figure = new_figure(WIDTH, 3.9)
    axes: Any = figure.subplots(1, len(pairs), sharey=True, squeeze=False)[0]
    names = [*run.layers, POOLED]
    for ax, (first, second) in zip(axes, pairs, strict=True):
        ax.axvline(0.0, color=GREY, linewidth=0.8)
        for offset, (split, color, marker) in enumerate(zip(run.splits, OKABE_ITO[2:4], ("o", "s"), strict=False)):
            for place, layer in enumerate(names):
                gain = found[split, first, second][layer]
                at = place + 0.34 * (offset - 0.5)
                label = SPLITS[split] if place == 0 else None
                ax.plot(gain.over_folds, [at - 0.06] * 2, color=color, linewidth=2.2, alpha=0.9)
                ax.plot(gain.over_blocks, [at + 0.06] * 2, color=color, linewidth=0.9, linestyle=(0, (3, 1)))
                ax.plot([gain.mean], [at - 0.06], marker, color=color, markersize=4.0, label=label)
        ax.set_title(f"{LABELS[first]}\nover {LABELS[second]}")
        ax.set_xlabel("Gain (% of RMSE)")
        ax.grid(axis="x", color="#dddddd", linewidth=0.5)
    axes[0].set_yticks(range(len(names)), names)
    axes[0].invert_yaxis()
    axes[0].set_ylabel("Layer")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, title="Split")
    return figure


@styled
def observed_figure(run: LayersRun, model: str, split: str) -> Figure:
    """Observed against predicted values of held-out sites, layer by layer."""
    rows = chosen(run.predictions, split=split, model=model, seed=ALL)
    columns = min(3, len(run.layers))
    lines = -(-len(run.layers) // columns)
    figure = new_figure(WIDTH, 2.3 * lines + 0.2)
    axes: Any = figure.subplots(lines, columns, squeeze=False)
    for ax in axes.flat[len(run.layers) :]:
        ax.set_visible(False)
    for ax, layer in zip(axes.flat, run.layers, strict=False):
        mine = chosen(rows, layer=layer)
        observed, predicted = mine["observed"].to_numpy(), mine["predicted"].to_numpy()
        limit = 1.05 * max(float(observed.max()), float(predicted.max()))
        ends = np.abs(np.stack([predicted - mine["low"], mine["high"] - predicted]))
        ax.errorbar(predicted, observed, xerr=ends, fmt="none", ecolor=OKABE_ITO[6], elinewidth=0.3, alpha=0.35)
        ax.plot(predicted, observed, ".", color=OKABE_ITO[2], markersize=3.0, alpha=0.8)
        ax.plot([0.0, limit], [0.0, limit], color=GREY, linewidth=0.8)
        ax.set(xlim=(0.0, limit), ylim=(0.0, limit), aspect="equal", title=layer)
        score = chosen(run.scores, split=split, model=model, seed=ALL, layer=layer).iloc[0]
        text = f"R2 {score['r2']:.2f}\nRMSE {score['rmse']:.2f}\nCCC {score['ccc']:.2f}\nn {int(score['n'])}"
        backdrop = {"facecolor": "white", "alpha": 0.8, "linewidth": 0.0, "pad": 1.0}
        place = {"transform": ax.transAxes, "va": "top", "fontsize": 7.0, "bbox": backdrop}
        ax.text(0.04, 0.96, text.replace("-", "−"), **place)
    figure.supxlabel(f"Predicted, with its interval ({run.unit})", fontsize=8.5)
    figure.supylabel(f"Observed ({run.unit})", fontsize=8.5)
    return figure


@styled
def profiles_figure(run: LayersRun, split: str) -> Figure:
    """Profiles of held-out sites: observed layers, predictions, and the curve of the depth function."""
    ids = _profile_sites(run)
    figure = new_figure(WIDTH, 5.4)
    axes: Any = figure.subplots(2, -(-len(ids) // 2), sharey=True, squeeze=False)
    styles = model_looks(run)
    depths = [(entry["top"], entry["bottom"]) for entry in run.data["layers"]]
    curves = _curves(run, split)
    rows = chosen(run.predictions, split=split, seed=ALL)
    for ax, name in zip(axes.flat, ids, strict=False):
        here = chosen(rows, id=name)
        for model in [model for model in ("rf", "multitask", "transfer") if model in run.models]:
            mine = chosen(here, model=model).set_index("layer")
            middle = [0.5 * sum(depths[run.layers.index(layer)]) for layer in mine.index]
            look = styles[model]
            ax.plot(mine["predicted"], middle, look.marker + "--", color=look.color, markersize=3.5, linewidth=0.8)
        observed = chosen(here, model=run.models[0]).set_index("layer")["observed"]
        for layer, value in observed.items():
            top, bottom = depths[run.layers.index(str(layer))]
            ax.plot([value, value], [top, bottom], color="#000000", linewidth=2.4, solid_capstyle="butt")
        if name in curves:
            depth = np.linspace(depths[0][0], depths[-1][1], 200)
            deep, rise, length = np.exp(curves[name])
            ax.plot(deep + rise * np.exp(-depth / length), depth, color=styles["profile"].color, linewidth=1.2)
        ax.set(title=name, xlim=(0.0, None))
    for ax in axes[-1]:
        ax.set_xlabel(f"{str(run.data['quantity']).capitalize()} ({run.unit})", fontsize=7.5)
    for ax in axes[:, 0]:
        ax.set_ylabel("Depth (cm)")
    axes[0, 0].set_ylim(depths[-1][1], depths[0][0])
    _profile_legend(figure, run, styles, bool(curves))
    return figure


@styled
def sites_figure(run: LayersRun) -> Figure:
    """Sites on the land that has covariates, coloured by fold; lines part the spatial blocks."""
    grid, bands, _ = read_geotiff(run.path / next(iter(run.maps["files"].values())))
    west, east, south, north = grid.extent
    panel = WIDTH / 2.0 * 0.85
    figure = new_figure(WIDTH, panel * (north - south) / (east - west) + 1.12)
    axes: Any = figure.subplots(1, len(run.splits), sharex=True, sharey=True, squeeze=False)
    for ax, split in zip(axes[0], run.splits, strict=True):
        _image(ax, np.where(np.isfinite(bands["predicted"]), 1.0, np.nan), grid, None, None)
        fold = run.sites[f"fold_{split}"].to_numpy()
        x, y = (run.sites["east"] - west) / 1000.0, (run.sites["north"] - south) / 1000.0
        for number in np.unique(fold).tolist():
            mine = fold == number
            color, marker = OKABE_ITO[(number + 1) % 7], "osD^vPX"[number % 7]
            label = f"Fold {number + 1}" if ax is axes[0, 0] else None
            ax.plot(x[mine], y[mine], marker, color=color, markersize=2.6, markeredgewidth=0.0, label=label)
        if split == "blocks":
            _block_lines(ax, run, west, south)
        ax.set_title(f"Split: {SPLITS[split]}")
    _outer_labels(axes)
    figure.legend(loc="outside lower center", ncols=8)
    return figure


@styled
def coverage_figure(run: LayersRun) -> Figure:
    """Measured coverage of held-out observations by layer, and of the true maps where they are known."""
    figure = new_figure(WIDTH, 3.2)
    axes: Any = figure.subplots(1, len(run.splits), sharey=True, squeeze=False)[0]
    styles, nominal = model_looks(run), 100.0 * float(run.config["config"]["coverage"])
    names = [*run.layers, POOLED]
    for ax, split in zip(axes, run.splits, strict=True):
        ax.axhspan(nominal - 2.0, nominal + 2.0, color="#ececec", linewidth=0.0)
        ax.axhline(nominal, color=GREY, linewidth=0.8)
        for place, model in enumerate(run.models):
            mine, look = chosen(run.coverage, split=split, model=model).set_index("layer"), styles[model]
            at = np.arange(len(names)) + 0.1 * (place - 0.5 * (len(run.models) - 1))
            values = 100.0 * mine.loc[names, "coverage"].to_numpy()
            ends = 100.0 * mine.loc[names, ["coverage_low", "coverage_high"]].to_numpy().T
            label = look.label if ax is axes[0] else None
            ax.vlines(at, ends[0], ends[1], color=look.color, linewidth=0.7, alpha=0.7)
            ax.plot(at, values, look.marker, color=look.color, markersize=3.5, label=label)
        ax.set_xticks(range(len(names)), names, rotation=30)
        ax.set_xlabel("Layer")
        ax.set_title(f"Split: {SPLITS[split]}")
    axes[0].set_ylabel("Held-out values inside (%)")
    figure.legend(loc="outside lower center", ncols=4)
    return figure


def _image(ax: Axes, values: np.ndarray, grid: Grid, colours: str | None, limits: Any) -> Any:
    west, east, south, north = grid.extent
    extent = (0.0, (east - west) / 1000.0, 0.0, (north - south) / 1000.0)
    ax.set_facecolor("white")
    if colours is None:
        from matplotlib.colors import ListedColormap

        return ax.imshow(values, extent=extent, cmap=ListedColormap([_LAND]), interpolation="nearest")
    return ax.imshow(values, extent=extent, cmap=colours, vmin=limits[0], vmax=limits[1], interpolation="nearest")


def _outer_labels(axes: Any) -> None:
    for ax in axes[-1]:
        ax.set_xlabel("East of the corner (km)")
    for ax in axes[:, 0]:
        ax.set_ylabel("North (km)")


def _block_lines(ax: Axes, run: LayersRun, west: float, south: float) -> None:
    """The block grid, which verde lays over the extent of the sites in whole numbers of blocks."""
    for axis, start, draw in (("east", west, ax.axvline), ("north", south, ax.axhline)):
        low, high = float(run.sites[axis].min()), float(run.sites[axis].max())
        count = max(1, round((high - low) / run.data["block_side"]))
        for edge in np.linspace(low, high, count + 1):
            draw((edge - start) / 1000.0, color=GREY, linewidth=0.5)


def _profile_sites(run: LayersRun) -> list[str]:
    """Complete profiles, evenly spaced by their value at the surface."""
    whole = run.sites[run.layers].notna().all(axis=1)
    some = run.sites[whole] if whole.any() else run.sites
    order = some.sort_values(run.layers[0])
    places = np.unique(np.linspace(0, len(order) - 1, PROFILES + 2).round().astype(int))[1:-1]
    return [str(name) for name in order["id"].iloc[places]]


def _curves(run: LayersRun, split: str) -> dict[str, np.ndarray]:
    path: Path = run.path / "curves.npz"
    if not path.exists():
        return {}
    arrays = read_arrays(path, ("ids",))
    found = [values for name, values in arrays.items() if name.startswith(f"{split}-")]
    return dict(zip(map(str, arrays["ids"]), np.mean(found, axis=0), strict=True)) if found else {}


def _profile_legend(figure: Figure, run: LayersRun, styles: dict[str, Look], curve: bool) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color="#000000", linewidth=2.4, label="Observed")]
    for model in [model for model in ("rf", "multitask", "transfer") if model in run.models]:
        look = styles[model]
        line = Line2D([], [], color=look.color, marker=look.marker, linestyle="--", markersize=3.5, label=look.label)
        handles.append(line)
    if curve:
        handles.append(Line2D([], [], color=styles["profile"].color, linewidth=1.2, label=styles["profile"].label))
    figure.legend(handles=handles, loc="outside lower center", ncols=5)
