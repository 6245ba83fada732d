"""Figures that the reconstruction reports share: loss curves of the networks and examples of reconstructed spectra."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxsoil.evaluation.results import SOC_FLOOR
from jaxsoil.report import figures
from jaxsoil.report.document import Document
from jaxsoil.report.style import DASHED, GREY, Look, grid, styled
from jaxsoil.studies.reconstruction.report.reading import Run
from jaxsoil.studies.reconstruction.report.sections import PROSE, doubtful_sentence

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COUNT = 6
"""Reconstructed spectra that are shown."""


def curves_figure(document: Document, run: Run, styles: Mapping[str, Look], subfolder: str = "") -> None:
    """Adds the loss curves, saved in a folder within figures/; nothing where no network was trained."""
    curves = losses_by_model(run)
    if not curves:
        return
    shown = {model: styles[model] for model in curves}
    patience = run.settings.get("train", {}).get("patience", 0)
    caption = PROSE.text("curves_caption", patience=patience) + doubtful_sentence(run, curves)
    document.draw(loss_curves(curves, shown, band=not patience), "loss_curves", caption, subfolder=subfolder)


def losses_by_model(run: Run) -> dict[str, np.ndarray]:
    """Training and validation loss, (trials, epochs, 2), by model; epochs that a trial did not reach are NaN."""
    if run.history is None:
        return {}
    model_of = {trial.trial: trial.model for trial in run.trials}
    epochs = np.asarray(run.history["epoch"], dtype=np.int64)
    losses = np.stack([np.asarray(run.history[c], dtype=np.float64) for c in ("train_loss", "validation_loss")], axis=1)
    found: dict[str, list[np.ndarray]] = defaultdict(list)
    for trial, places in run.history.groupby("trial", sort=False).indices.items():
        if str(trial) in model_of:
            curve = np.full((int(epochs.max()), 2), np.nan)
            curve[epochs[places] - 1] = losses[places]
            found[model_of[str(trial)]].append(curve)
    return {model: np.stack(found[model]) for model in run.models if model in found}


@styled
def loss_curves(curves: Mapping[str, np.ndarray], styles: Mapping[str, Look], *, band: bool = True) -> Figure:
    """A panel for each model on common axes: (trials, epochs, 2) training and validation loss. ``band`` shades the last
    fifth of the epochs."""
    figure, panels = grid(len(curves), xlabel="Epoch", ylabel="Loss (dimensionless)", sharex=True, sharey=True)
    for panel, (model, losses) in zip(panels, curves.items(), strict=True):
        _draw(panel, losses, styles[model], band)
    return figure


def _draw(panel: Axes, losses: np.ndarray, look: Look, band: bool) -> None:
    epochs = np.arange(1, losses.shape[1] + 1)
    if band:
        panel.axvspan(0.8 * epochs[-1], epochs[-1], color="#ececec", linewidth=0.0, zorder=0)
    for watched in losses[:, :, 1]:
        panel.plot(epochs, watched, color=look.color, alpha=max(0.12, 0.5 / math.sqrt(len(losses))), linewidth=0.6)
    # A median of the last few survivors would jump.
    enough = np.isfinite(losses).sum(axis=0) >= max(1.0, 0.5 * len(losses))
    median = np.full(losses.shape[1:], np.nan)
    for part in (0, 1):
        median[enough[:, part], part] = np.nanmedian(losses[:, enough[:, part], part], axis=0)
    panel.plot(epochs, median[:, 1], color=look.color, linewidth=1.6, label="validation")
    panel.plot(epochs, median[:, 0], color=GREY, linewidth=1.2, linestyle=DASHED, label="training")
    if (np.nan_to_num(losses) > 0.0).any():
        panel.set_yscale("log")
    panel.locator_params(axis="x", integer=True)
    panel.set_title(f"{look.label} (n = {len(losses)})", loc="left", pad=3)


def reconstruction_figure(document: Document, run: Run, styles: dict[str, Look], held_out: str) -> None:
    """Adds the figure of spectra reconstructed in ``held_out`` ("held-out regions"), or a sentence where no model
    reconstructs."""
    arrays = run.reconstructions
    if not arrays or not arrays["model"].size:
        document.text("No model of this run reconstructs spectra.")
        return
    examples, models = choose_examples(arrays, COUNT)
    shown = {model: look for model, look in styles.items() if model in models}
    unit = str(run.data.get("unit", "nm"))
    figure = figures.reconstructions(arrays["axis"], examples, shown, unit=unit)
    caption = PROSE.text("reconstruction_caption", held_out=held_out) + doubtful_sentence(run, shown)
    document.draw(figure, "reconstructions", caption)


def scatter_figure(
    document: Document,
    panels: Sequence[figures.ScatterPanel],
    title: str,
    of: str,
    name: str,
    *,
    color: str,
    average: str = "",
    end: str = "",
) -> None:
    """Adds a figure of predicted against observed SOC; the caption says what the SOC is ``of``, what CCC is averaged
    over (``average``), and ends with ``end``; ``name`` ends that of the file."""
    figure = figures.predicted_vs_observed(panels, title=title, color=color, floor=SOC_FLOOR)
    limits = {"floor": SOC_FLOOR, "ceiling": figures.CEILING}
    caption = PROSE.text("scatter_caption", of=of, average=average, **limits)
    document.draw(figure, f"predicted_vs_observed_{name}", caption + end)


def choose_examples(arrays: dict[str, np.ndarray], count: int) -> tuple[list[figures.Reconstruction], set[str]]:
    """``count`` spectra of reconstructions.npz to show, and the models that reconstruct: of the lowest seed, evenly
    spaced over regions sorted by error, not picked by eye."""
    first = arrays["seed"] == arrays["seed"].min()
    by_spectrum: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for row in np.nonzero(first)[0]:
        by_spectrum[str(arrays["region"][row]), str(arrays["id"][row])][str(arrays["model"][row])] = int(row)
    residual = arrays["reconstructed"] - arrays["observed"]
    error = np.sqrt(np.mean(np.where(np.isfinite(residual), residual, np.inf) ** 2, axis=1))
    order = sorted(by_spectrum, key=lambda key: (float(np.mean([error[r] for r in by_spectrum[key].values()])), key))
    chosen = sorted({round(place) for place in np.linspace(0, len(order) - 1, min(count, len(order)))})
    examples = []
    for key in (order[place] for place in chosen):
        rows = by_spectrum[key]
        observed = arrays["observed"][next(iter(rows.values()))]
        spectra = {model: arrays["reconstructed"][row] for model, row in rows.items()}
        examples.append(figures.Reconstruction(f"{key[0]}: {key[1]}", observed, spectra))
    return examples, {str(model) for model in arrays["model"]}
