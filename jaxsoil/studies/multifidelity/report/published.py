"""Published results of the multi-fidelity study, as data, to be printed beside ours.

Appendices A and B of Sun, Safanelli, Sanderman, Georgiou, Brungard, Grover, Hopkins, Liu and Bremer, "Self-supervised
and Multi-fidelity Learning for Extended Predictive Soil Spectroscopy": the independent test set is NAPT (n = 206).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from jaxsoil.data.properties import LABELS, UNITS
from jaxsoil.studies.multifidelity.config import STRATEGIES

SOURCE = (
    "Sun, Safanelli, Sanderman, Georgiou, Brungard, Grover, Hopkins, Liu, Bremer, Self-supervised and Multi-fidelity "
    "Learning for Extended Predictive Soil Spectroscopy, Appendices A and B"
)

PROPERTIES = {name: (LABELS[name], unit) for name, unit in UNITS.items()} | {"ic": (LABELS["ic"], "% CaCO3")}
"""Name in our results -> name in print and unit, in the order of the appendices."""

METRICS = ("rmse", "bias", "r2", "ccc", "rpiq")
"""Columns of Appendix B, in its order; ``bias``, printed as ME, is mean(predicted - observed)."""

DATASETS = ("KSSL", "Paired", "NAPT")
"""Data sets of Appendix A: pre-training and property models, NIR-MIR pairs, independent test."""


@dataclass(frozen=True)
class PublishedScore:
    """One line of Appendix B."""

    property: str
    strategy: str
    rmse: float
    bias: float
    r2: float
    ccc: float
    rpiq: float


@dataclass(frozen=True)
class PublishedSummary:
    """One line of Appendix A; the kurtosis of a Gaussian is 3 here."""

    property: str
    dataset: str
    n: int
    min: float
    mean: float
    sd: float
    max: float
    skewness: float
    kurtosis: float


# For each property the seven strategies in order: RMSE, ME, R2, CCC, RPIQ, as printed.
_APPENDIX_B = """
tc   0.58 0.32 0.94 0.92 2.23 | 0.43 0.30 0.96 0.95 2.99 | 0.26 -0.01 0.95 0.98 4.90
     | 1.13 0.52 0.44 0.61 1.15 | 1.13 -0.41 0.47 0.65 1.14 | 1.11 0.45 0.42 0.60 1.17 | 1.15 0.47 0.42 0.61 1.12
tn   0.08 0.06 0.85 0.76 1.41 | 0.04 0.02 0.90 0.93 2.86 | 0.03 -0.02 0.91 0.93 3.12
     | 0.09 0.06 0.44 0.51 1.18 | 0.09 -0.04 0.46 0.63 1.21 | 0.09 0.05 0.44 0.58 1.18 | 0.08 0.04 0.43 0.58 1.33
ic   2.49 -0.59 0.64 0.77 0.26 | 1.65 -0.51 0.84 0.90 0.39 | 2.08 -0.52 0.68 0.81 0.31
     | 2.46 -0.59 0.57 0.53 0.26 | 2.72 -0.14 0.66 0.77 0.24 | 2.23 -0.17 0.83 0.85 0.29 | 2.78 0.25 0.83 0.81 0.23
eoc  0.53 0.32 0.92 0.91 2.50 | 0.47 0.29 0.92 0.92 2.82 | 0.31 0.09 0.93 0.96 4.30
     | 1.02 0.46 0.38 0.56 1.31 | 1.11 -0.43 0.41 0.60 1.20 | 1.08 0.39 0.33 0.54 1.23 | 1.09 0.44 0.34 0.54 1.23
ph   0.58 0.03 0.58 0.75 2.50 | 0.63 -0.18 0.54 0.70 2.30 | 0.42 -0.10 0.79 0.88 3.43
     | 0.90 -0.32 0.24 0.46 1.60 | 0.90 -0.39 0.23 0.42 1.61 | 1.07 -0.60 0.31 0.46 1.34 | 1.13 -0.64 0.28 0.43 1.27
cec  6.02 3.72 0.90 0.83 1.77 | 2.40 1.12 0.93 0.96 4.44 | 2.85 -0.27 0.87 0.93 3.74
     | 6.90 -1.67 0.44 0.65 1.54 | 10.80 -8.97 0.45 0.38 0.99 | 5.77 -0.49 0.49 0.69 1.84 | 6.31 0.61 0.46 0.68 1.69
clay 5.09 0.73 0.85 0.90 2.09 | 9.25 7.09 0.81 0.74 1.15 | 4.45 1.25 0.84 0.91 2.39
     | 8.59 4.92 0.53 0.61 1.24 | 6.90 -2.83 0.62 0.72 1.54 | 7.16 2.33 0.56 0.69 1.49 | 7.69 2.94 0.53 0.68 1.39
silt 13.41 -0.38 0.65 0.69 2.53 | 16.13 -1.99 0.45 0.54 2.10 | 9.68 -4.20 0.83 0.89 3.50
     | 18.83 -0.66 0.25 0.26 1.80 | 23.26 -10.86 0.08 0.18 1.46 | 16.27 5.18 0.50 0.55 2.08 | 16.55 2.24 0.40 0.52 2.05
sand 14.23 -2.07 0.71 0.82 2.85 | 18.51 -6.72 0.56 0.68 2.19 | 10.34 3.16 0.86 0.92 3.92
     | 22.92 -4.09 0.26 0.36 1.77 | 28.62 15.30 0.17 0.29 1.42 | 20.11 -6.28 0.48 0.57 2.02 | 21.19 -6.25 0.40 0.55 1.91
"""

# For each property the three data sets in order: min, mean, SD, max, skewness, kurtosis, as printed.
_APPENDIX_A = """
tc   0.00 2.36 4.48 62.43 6.40 57.73      | 0.02 2.29 2.80 53.88 8.25 124.40    | 0.25 1.88 1.25 7.71 1.53 6.08
tn   0.00 0.16 0.35 41.90 44.20 4604.89   | 0.00 0.17 0.18 3.02 6.53 84.59      | 0.03 0.16 0.09 0.66 1.58 7.68
ic   0.00 3.34 9.47 105.77 4.49 28.86     | 0.00 2.03 6.23 89.03 5.16 41.93     | 0.20 1.79 3.27 22.41 3.48 16.46
eoc  0.00 1.95 4.41 62.43 6.88 63.82      | 0.00 2.05 2.75 53.88 8.79 135.82    | 0.28 1.73 1.12 7.53 1.69 7.76
ph   2.29 6.53 1.31 10.70 0.03 2.10       | 3.69 6.28 1.26 9.52 0.14 1.91       | 4.82 6.77 0.88 8.30 0.00 2.03
cec  0.00 17.22 16.18 584.59 5.23 73.48   | 0.13 16.23 12.12 190.11 4.03 44.85  | 2.30 16.40 7.99 44.70 0.71 3.44
clay 0.00 22.64 16.07 96.14 0.81 3.43     | 0.00 19.86 13.91 86.69 0.88 3.83    | 1.97 18.37 10.23 54.11 1.18 4.92
silt 0.00 38.10 20.38 94.50 0.01 2.17     | 0.00 38.32 20.26 87.90 0.16 2.29    | 1.59 44.07 21.10 79.00 0.00 1.93
sand 0.10 39.26 29.20 100.00 0.47 2.00    | 0.30 41.82 28.19 100.00 0.28 1.94   | 3.00 37.56 26.16 96.39 0.62 2.16
"""

COUNTS = {"KSSL": 51_508, "Paired": 2_016, "NAPT": 206}
"""n of each data set in Appendix A, the same for all properties."""

TEXT_CCC = {
    "MIR-PLSR": 0.82,
    "MIR-MLP": 0.81,
    "MIR-SSL-MLP": 0.91,
    "NIR-PLSR": 0.51,
    "NIR-MLP": 0.51,
    "NIRtoMIR-MLP": 0.61,
    "NIRtoMIR-SSL-MLP": 0.60,
}
"""Mean CCC over the nine properties as section 3.3 quotes it."""

TEXT_RPIQ = {"MIR-PLSR": 2.02, "MIR-SSL-MLP": 3.29, "NIR-MLP": 1.20, "NIRtoMIR-MLP": 1.41}
"""Mean RPIQ over the nine properties as section 3.3 quotes it: the ends of the MIR and of the NIR range."""

NOTES = (
    "The text gives NIR-MLP a mean CCC of 0.51; the nine printed rows give 0.516. It gives NIRtoMIR-MLP a mean RPIQ "
    "of 1.41; the rows give 1.404. Both are within the rounding of the rows. The other quoted means follow.",
    "Where the text and Appendix B differ, Appendix B is shown (CCC, text then appendix): TC MIR-MLP 0.94, 0.95; clay "
    "MIR-MLP 0.83, 0.74; silt MIR-PLSR 0.70, 0.69; silt MIR-SSL-MLP 0.87, 0.89. The text names NIR-MLP as the best NIR "
    "baseline of silt (0.26) and sand (0.36); in Appendix B these are NIR-PLSR's.",
    "The printed R2 is not 1 - SSE/SST of Eq. 12: from the RMSE and the SD of Appendix A that would be -0.2 for sand "
    "NIR-MLP, printed 0.17. It lies where a squared correlation would, so ours is given both ways.",
    "Eq. 11 as printed is never positive; the printed ME has both signs and is read as mean(predicted - observed).",
    "The paper counts 1,976 samples with both NIR and MIR spectra, and 2,016 complete paired rows.",
)
"""Inconsistencies inside the paper, to be printed under its rows."""


def _rows(text: str) -> dict[str, list[list[float]]]:
    blocks: dict[str, list[list[float]]] = {}
    cells = " ".join(f"@{line}" if line[:1].isalpha() else line for line in text.strip().splitlines())
    for block in cells.split("@")[1:]:
        name, rest = block.split(maxsplit=1)
        blocks[name] = [[float(cell) for cell in part.split()] for part in rest.split("|")]
    return blocks


APPENDIX_B = tuple(
    PublishedScore(name, strategy, *values)
    for name, block in _rows(_APPENDIX_B).items()
    for strategy, values in zip(STRATEGIES, block, strict=True)
)
"""All 63 lines of Appendix B in printed order."""

APPENDIX_A = tuple(
    PublishedSummary(name, dataset, COUNTS[dataset], *values)
    for name, block in _rows(_APPENDIX_A).items()
    for dataset, values in zip(DATASETS, block, strict=True)
)
"""All 27 lines of Appendix A in printed order."""


def score(name: str, strategy: str) -> PublishedScore | None:
    """The line of Appendix B, or None if it has none (a property or strategy of ours)."""
    return next((row for row in APPENDIX_B if (row.property, row.strategy) == (name, strategy)), None)


def summary(name: str, dataset: str) -> PublishedSummary | None:
    """The line of Appendix A, or None if it has none."""
    return next((row for row in APPENDIX_A if (row.property, row.dataset) == (name, dataset)), None)


def averages(metric: str, properties: Sequence[str] | None = None) -> Mapping[str, float]:
    """Mean of a metric of Appendix B over properties (all nine, or those given), by strategy.

    Raises:
      KeyError: if Appendix B has no such metric, or none of the properties.
    """
    if metric not in {field.name for field in dataclasses.fields(PublishedScore)} - {"property", "strategy"}:
        raise KeyError(f"Appendix B has no metric {metric!r}")
    chosen = [row for row in APPENDIX_B if properties is None or row.property in properties]
    if not chosen:
        raise KeyError(f"Appendix B has none of {properties}")
    found = {strategy: [getattr(row, metric) for row in chosen if row.strategy == strategy] for strategy in STRATEGIES}
    return {strategy: sum(values) / len(values) for strategy, values in found.items()}


def frame() -> pd.DataFrame:
    """Appendix B as rows ``property, strategy, metric, value``."""
    return pd.DataFrame([vars(row) for row in APPENDIX_B]).melt(
        ["property", "strategy"], list(METRICS), "metric", "value"
    )
