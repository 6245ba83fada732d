"""Published results of the multi-fidelity study, as data, to be printed beside ours.

Appendices A and B of Sun, Safanelli, Sanderman, Georgiou, Brungard, Grover, Hopkins, Liu and Bremer, "Self-supervised
and Multi-fidelity Learning for Extended Predictive Soil Spectroscopy": the independent test set is NAPT (n = 206).
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Any

import pandas as pd

from jaxsoil.data.properties import LABELS, UNITS

PROPERTIES = {name: (LABELS[name], unit) for name, unit in UNITS.items()} | {"ic": (LABELS["ic"], "% CaCO3")}
"""Name in our results -> name in print and unit, in the order of the appendices."""

METRICS = ("rmse", "bias", "r2", "ccc", "rpiq")
"""Columns of Appendix B, in its order; ``bias``, printed as ME, is mean(predicted - observed)."""


def _read(name: str) -> pd.DataFrame:
    with (resources.files("jaxsoil.studies.multifidelity.report") / name).open("rb") as file:
        return pd.read_csv(file)


APPENDIX_A = _read("appendix_a.csv")
"""All 27 lines of Appendix A in printed order; the kurtosis of a Gaussian is 3 here.

Data sets: KSSL (pre-training and property models), Paired (NIR-MIR pairs), NAPT (independent test).
"""

APPENDIX_B = _read("appendix_b.csv")
"""All 63 lines of Appendix B in printed order: a line for each property and strategy, a column for each metric."""


def summary(name: str, dataset: str) -> Any:
    """The line of Appendix A as a named tuple of its columns, or None if it has none."""
    lines = APPENDIX_A[(APPENDIX_A["property"] == name) & (APPENDIX_A["dataset"] == dataset)]
    return next(iter(lines.itertuples(index=False, name="Summary")), None)


def averages(metric: str, properties: Sequence[str] | None = None) -> dict[str, float]:
    """Mean of a metric of Appendix B over all or the given properties, by strategy; KeyError where it has none."""
    if metric not in METRICS:
        raise KeyError(f"Appendix B has no metric {metric!r}")
    lines = APPENDIX_B if properties is None else APPENDIX_B[APPENDIX_B["property"].isin(list(properties))]
    if lines.empty:
        raise KeyError(f"Appendix B has none of {properties}")
    return {str(name): sum(values) / len(values) for name, values in lines.groupby("strategy", sort=False)[metric]}
