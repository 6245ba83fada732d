"""Published results, as data, to be printed beside ours.

Tables 1 to 3 of Coleman, Nair, Zeng and Olivetti (2024), "Structured spectral reconstruction for scalable soil
organic carbon inference", Tackling Climate Change with Machine Learning workshop, ICLR 2024, Appendix C.
RMSE, bias and MRMSE in % (SOC by mass, reflectance), R2 as 1 - SSE/SST; each value is a mean with its standard error.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path

import pandas as pd

from jaxsoil.report.run_files import where
from jaxsoil.runs.tables import Columns, read_csv

RECONSTRUCTION_SOURCE = (
    "Coleman et al. (2024), Structured spectral reconstruction for scalable soil organic carbon inference, "
    "ICLR 2024 workshop Tackling Climate Change with Machine Learning, Appendix C"
)

METRICS = ("rmse", "r2", "bias", "mrmse")
"""Columns of the three tables, in their order, for training and for validation."""

MODELS = {"none": "No decoder", "ann": "ANN decoder", "physics": "Physics-informed"}
"""Architectures of the three tables: name in our results, name in print."""

PROBLEMATIC_REGIONS = ("3", "5", "6", "8", "16", "18")
GENERALISING_REGIONS = ("1", "2", "4", "7", "9", "10", "11", "12", "13", "14", "15")
"""RaCA regions of the two blocks of Table 2; there is no region 17."""


EARLIER_MODEL = "ann_2016"
EARLIER = {EARLIER_MODEL: "ANN of 2016"}
EARLIER_SOURCE = (
    "Wijewardane, Ge, Wills and Loecke (2016), Prediction of soil carbon in the conterminous United States, Soil Sci. "
    "Soc. Am. J. 80, 973-982, as quoted there in Appendix A"
)
"""The result that Table 1 was made to compare with: an ANN on a 60:40 split of RaCA."""

T_TESTS = {"ann": 4.681, "physics": 4.789}
"""Printed t of validation MRMSE, problematic against generalising regions (24 and 44 runs)."""


@functools.cache
def tables() -> pd.DataFrame:
    """Tables 1 to 3 as printed: ``table, block, model, split, metric, mean, se``, one line for each number.

    ``block`` is the heading over a line ("" in Table 1); ``split`` is "train" or "test" (validation: the held-out
    region in Tables 2 and 3); without a decoder there is no ``mrmse``.
    """
    columns = Columns(text="block model split metric", whole="table", number="mean se")
    return read_csv(Path(__file__).with_name("published.csv"), columns)


def earlier() -> pd.DataFrame:
    """Lines of :data:`EARLIER_SOURCE` with the columns of :func:`tables`; it gives no standard errors."""
    printed = {("train", "rmse"): 3.59, ("train", "r2"): 0.96, ("test", "rmse"): 3.61, ("test", "r2"): 0.96}
    lines = [(1, "", EARLIER_MODEL, *key, mean, math.nan) for key, mean in printed.items()]
    return pd.DataFrame(lines, columns=pd.Index(["table", "block", "model", "split", "metric", "mean", "se"]))


def spread(rmse: float, r2: float) -> float:
    """Standard deviation of SOC in % that an RMSE and an R2 of the same rows imply: RMSE / sqrt(1 - R2)."""
    return rmse / math.sqrt(1.0 - r2)


def rows(table: int, block: str | None = None) -> pd.DataFrame:
    """Lines of one published table, optionally of one of its blocks; KeyError where there is none."""
    found = where(tables(), table=table, **({} if block is None else {"block": block}))
    if not len(found):
        raise KeyError(f"no published table {table} with block {block!r}")
    return found
