"""Reconstructed spectra shown in a report, chosen by rule and not by eye."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from jaxsoil.report import figures
from jaxsoil.report.document import Document
from jaxsoil.report.style import Look
from jaxsoil.studies.reconstruction.report import sections
from jaxsoil.studies.reconstruction.report.reading import Run

COUNT = 6


def reconstruction_figure(document: Document, run: Run, styles: dict[str, Look], held_out: str) -> None:
    """Adds the figure of reconstructed spectra, or a sentence where no model reconstructs.

    Args:
      document: receives the figure.
      run: the run.
      styles: look of each model.
      held_out: what the spectra come from, in the plural ("held-out regions").
    """
    arrays = run.reconstructions
    if not arrays or not arrays["model"].size:
        document.text("No model of this run reconstructs spectra.")
        return
    examples, models = choose_examples(arrays, COUNT)
    shown = {model: look for model, look in styles.items() if model in models}
    unit = str(run.data.get("unit", "nm"))
    figure = figures.reconstructions(arrays["axis"], examples, shown, unit=unit)
    doubtful = [sections.marked_label(run, model) for model in shown if run.untrusted(model)]
    caption = (
        f"One spectrum (of median SOC) of {held_out}: observed (solid), reconstructed (dashed) and the residual, "
        "reconstructed minus observed. They are spaced evenly from the smallest to the largest error of all examples."
        + (f" With networks that did not converge: {', '.join(doubtful)}." if doubtful else "")
    )
    document.draw(figure, "reconstructions", caption)


def choose_examples(arrays: dict[str, np.ndarray], count: int) -> tuple[list[figures.Reconstruction], set[str]]:
    """Spectra to show: the lowest seed, evenly spaced over regions sorted by error, not picked by eye.

    Args:
      arrays: contents of reconstructions.npz.
      count: number of spectra.

    Returns:
      The examples and the models that reconstruct.
    """
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
