"""Prints how often a bundle's alarms see a wrong level of the reflectance: the table of docs/predict.md, as Markdown.

    python tools/alarm_of_level.py

Spectra of ``fields`` in five parts, groups kept together: each part is judged by the training domain of the others, as
measured and after a fault that leaves the shape of a spectrum alone. Then each region by that of the others, as
measured. Deterministic; under a minute.
"""

import argparse

import numpy as np

from jaxsoil.data import registry
from jaxsoil.data.draws import group_folds
from jaxsoil.data.library import Library
from jaxsoil.evaluation.domain import Domain, levels
from jaxsoil.spectra.preprocess import SNV

FOLDS = 5
FAULTS = {
    "as measured (false alarms)": (1.0, 0.0),
    "times 2": (1.0, -np.log10(2.0)),
    "half of it": (1.0, np.log10(2.0)),
    "times 3": (1.0, -np.log10(3.0)),
    "a third of it": (1.0, np.log10(3.0)),
    "a tenth": (1.0, 1.0),
    "a hundredth": (1.0, 2.0),
    "percent as fraction": (1.0, -2.0),
    "natural in place of decadic logarithm of 1/R": (np.log(10.0), 0.0),
}
"""What a fault does to absorbance: a factor, and what is added."""
SHAPE = ("distance", "residual", "neighbours")


def main() -> None:
    """Prints the shares of spectra with an alarm of the shape, of the brightness, and of either."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    library = registry.load("fields")
    library = library.select(library.property("soc").values > 0.0)
    fold = group_folds(library.blocks, FOLDS, np.random.default_rng(0))
    print("| reflectance | the three of the shape | brightness | any |\n|---|---:|---:|---:|")
    for name, fault in FAULTS.items():
        print(row(name, np.concatenate([alarms(library, fold == one, *fault) for one in range(FOLDS)])))
    region = library.group("region")
    found = np.array([alarms(library, region == one).mean(axis=0) for one in np.unique(region)])
    print(row("a new region, as measured (mean over regions)", found))


def row(name: str, found: np.ndarray) -> str:
    """A line of the table, of alarms (n, 3)."""
    return f"| {name} | " + " | ".join(f"{share:.2f}" for share in found.mean(axis=0)) + " |"


def alarms(library: Library, judged: np.ndarray, factor: float = 1.0, added: float = 0.0) -> np.ndarray:
    """Alarms (n, 3) of the judged rows, of the shape, of the brightness and of either, by the domain of the others."""
    seen = library.spectra.to_absorbance()
    snv = SNV()(seen).values
    domain = Domain.fit(snv[~judged], library.blocks[~judged], levels=levels(seen.values[~judged]))
    moved = factor * seen.values[judged] + added
    # SNV takes away a factor above zero and what is added, so the shape is that of the spectrum as it was.
    verdict, limits = domain.judge(snv[judged], levels(moved)), domain.limits
    shape = np.any([getattr(verdict, name) > limits[name] for name in SHAPE], axis=0)
    bright = verdict.brightness > limits["brightness"]
    return np.stack([shape, bright, shape | bright], axis=1)


if __name__ == "__main__":
    main()
