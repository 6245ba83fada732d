"""Prints the official split of NIRsoil as a plain regression check: the table of docs/carry_over.md, as Markdown.

    python tools/compare_nirsoil.py

The training set is that of the column ``train``; rows without a label are left out. One region, so nothing is known of
differences between regions: the penalty is that on perturbations alone. Deterministic; under a minute. No
hyper-parameter is chosen: models are averaged over the priors that region_out takes, on the property with the standard
deviation of log10 SOC ("linear"), or on its logarithm. "chosen" takes, for each property, the scale with the higher R2
in five folds of the training set.
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.data import registry
from jaxsoil.data.draws import group_folds
from jaxsoil.data.readers.schema import read_manifest
from jaxsoil.data.readers.toml import packaged
from jaxsoil.data.root import data_root
from jaxsoil.evaluation import metrics
from jaxsoil.models import plsr
from jaxsoil.runs.threads import one_thread_each
from jaxsoil.spectra.preprocess import SNV
from jaxsoil.studies.reconstruction import family

PROPERTIES = {"soc": "C (Ciso), %", "nitrogen": "N (Nt), g/kg", "cec": "CEC, cmol(+)/kg"}
MODELS = {
    "plsr": "PLSR, SNV",
    "plsr_absorbance": "PLSR on absorbance",
    "ridge": "ridge",
    "ridge_both": "ridge, perturbations",
    "process": "Gaussian process, plain metric",
    "process_whitened": "Gaussian process, whitened",
    "carry_over": "carry-over",
}
SCALES, FOLDS = ("linear", "log10"), 5
SPREAD = 0.3
"""Standard deviation that a property is brought to; the priors of the processes are in units of log10 SOC."""


def main() -> None:
    """Prints R2 of the official test set by property, model and scale."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    library = registry.load("nirsoil")
    manifest: Any = read_manifest(packaged("jaxsoil.data", "manifests")["nirsoil"])
    path = data_root() / manifest.data
    official = pd.read_parquet(path, columns=["train"])["train"].to_numpy() == 1.0
    absorbance = library.spectra.values.astype(np.float64)
    snv = SNV()(library.spectra).values.astype(np.float64)
    print("| model | scale | " + " | ".join(PROPERTIES.values()) + " |")
    print("|---|---|" + "---:|" * len(PROPERTIES))
    with one_thread_each():
        for name, label in MODELS.items():
            x = snv if name == "plsr" else absorbance
            rows: dict[str, list[str]] = {"linear": [], "log10": [], "chosen": []}
            for key in PROPERTIES:
                y = library.property(key).values.astype(np.float64)
                train, test = np.isfinite(y) & official, np.isfinite(y) & ~official
                folds = group_folds(library.blocks[train], FOLDS, np.random.default_rng(0))
                inner, outer = {}, {}
                for scale in SCALES:
                    inner[scale], predict = fitted(name, x[train], y[train], library.spectra.axis, scale, folds)
                    outer[scale] = metrics.r2(y[test], predict(x[test]))
                outer["chosen"] = outer[max(inner, key=lambda scale: inner[scale])]
                for scale, cells in rows.items():
                    cells.append(f"{outer[scale]:.3f}")
            for scale, cells in rows.items():
                if scale != "chosen" or name.startswith(("ridge", "plsr")):
                    print(f"| {label} | {scale} | " + " | ".join(cells) + " |", flush=True)


def fitted(
    name: str, x: np.ndarray, y: np.ndarray, axis: np.ndarray, scale: str, folds: np.ndarray
) -> tuple[float, Callable[[np.ndarray], np.ndarray]]:
    """R2 of five folds of the training rows (of a process that of the linear model), and a function of spectra."""
    centre, unit = (0.0, 1.0) if scale == "log10" else (float(y.mean()), float(y.std()) / SPREAD)
    target = np.log10(y) if scale == "log10" else (y - centre) / unit

    def back(found: np.ndarray) -> np.ndarray:
        return 10.0**found if scale == "log10" else centre + unit * found

    if name.startswith("plsr"):
        model = plsr.fit(x, target)
        residuals = plsr.held_out_residuals(x, target, folds, model.n_components)
    else:
        model = family.fit(name, x, target, np.zeros(y.size, int), axis, folds)
        residuals = model.linear.residuals
    return metrics.r2(y, back(target - residuals)), lambda new: back(model.predict(new))


if __name__ == "__main__":
    main()
