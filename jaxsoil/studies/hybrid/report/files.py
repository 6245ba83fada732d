"""The run folder of the hybrid data set as its report sees it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.data.properties import LABELS
from jaxsoil.report.run_files import RunContents, RunFiles
from jaxsoil.runs.tables import Columns
from jaxsoil.studies.hybrid.results import ALL, MEASURED, OWN, PREDICTED, PRODUCT

MODELS = {"plsr": "PLSR", "cnn": "CNN, bounded", "cnn-clipped": "CNN, clipped", "cnn-one": "CNN, bounded, one network"}
METHODS = {"none": "none", "centre": "centring and scaling by laboratory", "direct": "direct standardisation"}
SCHEMES = {"random": "random folds", "held-out rows": "held-out rows", "laboratory": "laboratory out"}
KINDS = {MEASURED: "measured", PREDICTED: "imputed"}

FILES = RunFiles(
    csv={
        "coverage": Columns("property kind laboratory", "nominal coverage lowest highest median_width", "n groups"),
        "suspects": Columns("id laboratory property", "observed predicted score"),
        "exclusions": Columns("id laboratory property from reason"),
        "networks": Columns("property scheme held_out model", whole="epochs rows", flag="alive converged"),
        "skew": Columns("property source", "r2 rpiq sd iqr ratio normal lognormal"),
        "depths": Columns("property kind depth", "q25 median q75", "place n"),
    },
    parquet={
        "hybrid": Columns("id laboratory property kind", "value", optional="depth_top depth_bottom longitude latitude"),
        "predictions": Columns("scheme property harmonisation model laboratory", "observed predicted"),
        "outliers": Columns("property laboratory spoiled", "distance residual distance_limit residual_limit"),
        "places": Columns("id", optional="latitude longitude"),
    },
    optional=("depths",),
    results=OWN,
)


@dataclass(frozen=True, eq=False)
class HybridRun(RunContents):
    """Contents of the run folder, as :mod:`jaxsoil.studies.hybrid.run` writes them."""

    @property
    def properties(self) -> dict[str, dict[str, Any]]:
        """What is known of each property, in order."""
        return self.data["properties"]

    @property
    def method(self) -> str:
        """The harmonisation behind the product."""
        return str(self.data["harmonisation"])

    @property
    def laboratories(self) -> list[str]:
        """Names, the largest first."""
        sizes = self.data["laboratories"]
        return sorted(sizes, key=lambda name: (-sizes[name], name))

    def rows(self, **keys: object) -> pd.DataFrame:
        """Rows of the results with these keys: texts, or several in a list, tuple, or dictionary.

        All laboratories together and the harmonisation of the product, unless others are asked for; "" is any.
        """
        keys = {"region": ALL, "harmonisation": self.method, **keys}
        chosen = np.ones(len(self.results), dtype=bool)
        for name, wanted in keys.items():
            if wanted != "":
                several: Iterable[Any] = [wanted] if isinstance(wanted, str) else list(wanted)  # pyright: ignore
                chosen &= self.results[name].isin(several).to_numpy()
        return pd.DataFrame(self.results.loc[chosen])

    def numbers(self, **keys: object) -> dict[str, float]:
        """Metric -> number of the rows with these keys, as :meth:`rows` takes them; empty where there is none."""
        found = self.rows(**keys)
        return dict(zip(found["metric"], found["value"], strict=True))

    def count(self, target: str, kind: str) -> int:
        """Number of measured or imputed values of a property."""
        return int(self.numbers(split=PRODUCT, property=target, model=kind)["n"])

    def total(self, kind: str) -> int:
        """Number of measured or imputed values of all properties."""
        return sum(self.count(target, kind) for target in self.properties)

    def unmeasured(self, target: str) -> list[str]:
        """Laboratories in which a property was never measured."""
        found = self.rows(split=PRODUCT, property=target, model=MEASURED, region=self.laboratories)
        without = found.loc[(found["metric"] == "n") & (found["value"] == 0), "region"]
        return [name for name in self.laboratories if name in set(without)]

    def label(self, target: str, *, inside: bool = False) -> str:
        """Name of a property; ``inside`` a sentence without a capital."""
        name = LABELS.get(target, target)
        return name.lower() if inside and name not in ("SOC", "pH") else name

    def unit(self, target: str) -> str:
        """Unit as it is printed; nothing for pH."""
        unit = str(self.properties[target]["unit"])
        return "" if unit == "1" else unit

    def axis(self, target: str, what: str = "", where: str = "") -> str:
        """Label of an axis: what is shown, property, where, unit."""
        text = f"{what} {self.label(target, inside=True)}{where}" if what else self.label(target)
        return f"{text} ({self.unit(target)})" if self.unit(target) else text


def read_run(folder: str | os.PathLike[str]) -> HybridRun:
    """Reads a finished run; DataError names a file that is missing or damaged, or a run of an earlier version."""
    return HybridRun.of(FILES.read(folder))


def column(frame: pd.DataFrame, name: str) -> np.ndarray:
    """A column as an array."""
    return np.asarray(frame[name].to_numpy())
