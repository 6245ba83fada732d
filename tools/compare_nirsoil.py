"""Prints the official split of NIRsoil as a plain regression check: the table of docs/carry_over.md, as Markdown.

    python tools/compare_nirsoil.py

The training set is that of the column ``train``; rows without a label are left out. One region, so nothing is known of
differences between regions: the penalty is that on perturbations alone. Deterministic; under a minute. No
hyper-parameter is chosen: models are averaged over the priors that region_out takes, on the property with the standard
deviation of log10 SOC, or on its logarithm.
"""

import argparse

import numpy as np
import pandas as pd

from jaxsoil.data import registry
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
SPREAD = 0.3
"""Standard deviation that a property is brought to; the priors of the processes are in units of log10 SOC."""


def main() -> None:
    """Prints R2 of the official test set by property, model and scale."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    library = registry.load("nirsoil")
    path = data_root() / read_manifest(packaged("jaxsoil.data", "manifests")["nirsoil"]).data
    train = pd.read_parquet(path, columns=["train"])["train"].to_numpy() == 1.0
    absorbance = library.spectra.values.astype(np.float64)
    snv = SNV()(library.spectra).values.astype(np.float64)
    print("| model | scale | " + " | ".join(PROPERTIES.values()) + " |")
    print("|---|---|" + "---:|" * len(PROPERTIES))
    with one_thread_each():
        for name, label in MODELS.items():
            for scale in ("linear", "log10"):
                found = []
                for key in PROPERTIES:
                    y = library.property(key).values.astype(np.float64)
                    known = np.isfinite(y)
                    parts = known & train, known & ~train
                    x = snv if name == "plsr" else absorbance
                    predicted = fitted(name, x[parts[0]], y[parts[0]], library.spectra.axis, scale)(x[parts[1]])
                    found.append(f"{metrics.r2(y[parts[1]], predicted):.3f} (n {int(parts[1].sum())})")
                print(f"| {label} | {scale} | " + " | ".join(found) + " |", flush=True)


def fitted(name: str, x: np.ndarray, y: np.ndarray, axis: np.ndarray, scale: str):
    """A model of the property as a function of spectra."""
    centre, unit = (0.0, 1.0) if scale == "log10" else (y.mean(), y.std() / SPREAD)
    target = np.log10(y) if scale == "log10" else (y - centre) / unit
    if name.startswith("plsr"):
        model = plsr.fit(x, target)
    else:
        model = family.fit(name, x, target, np.zeros(y.size, int), axis, np.empty(0, int))
    if scale == "log10":
        return lambda new: 10.0 ** model.predict(new)
    return lambda new: centre + unit * model.predict(new)


if __name__ == "__main__":
    main()
