"""The run folder of the hybrid data set as its report sees it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.data.properties import LABELS
from jaxsoil.report import files

MODELS = {"plsr": "PLSR", "cnn": "CNN, bounded", "cnn-clipped": "CNN, clipped"}
METHODS = {
    "none": "none",
    "centre": "centring and scaling by laboratory",
    "direct": "direct standardisation",
}
SCHEMES = {"random": "random folds", "laboratory": "laboratory out", "held-out rows": "held-out rows"}


@dataclass(frozen=True, eq=False)
class HybridRun:
    """Contents of the run folder; tables as :mod:`jaxsoil.studies.hybrid.run` writes them."""

    path: Path
    config: dict[str, Any]
    env: dict[str, Any]
    data: dict[str, Any]
    timing: dict[str, float]
    table: pd.DataFrame
    predictions: pd.DataFrame
    outliers: pd.DataFrame
    places: pd.DataFrame
    scores: pd.DataFrame
    coverage: pd.DataFrame
    suspects: pd.DataFrame
    exclusions: pd.DataFrame
    networks: pd.DataFrame

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

    @property
    def nominal(self) -> float:
        """Nominal coverage of the intervals in the table."""
        return float(self.config["config"]["coverage"])

    def unit(self, target: str) -> str:
        """Unit as it is printed; nothing for pH."""
        unit = str(self.properties[target]["unit"])
        return "" if unit == "1" else unit

    def axis(self, target: str, what: str = "") -> str:
        """Label of an axis: property, what is shown, unit."""
        unit = self.unit(target)
        name = LABELS.get(target, target)
        text = f"{what} {name.lower() if name not in ('SOC', 'pH') else name}".strip() if what else name
        return f"{text} ({unit})" if unit else text


def read_run(folder: str | os.PathLike[str]) -> HybridRun:
    """Reads a finished run.

    Raises:
      DataError: a file that is missing or damaged, by name.
    """
    path = Path(folder)
    csv = {name: _table(path / f"{name}.csv") for name in ("scores", "coverage", "suspects", "exclusions", "networks")}
    parquet = {
        name: files.read_parquet(path / f"{name}.parquet") for name in ("hybrid", "predictions", "outliers", "places")
    }
    config, env, data, timing = (files.read_json(path / f"{name}.json") for name in ("config", "env", "data", "timing"))
    table = parquet.pop("hybrid")
    return HybridRun(path, config, env, data, timing, table, **parquet, **csv)


def _table(path: Path) -> pd.DataFrame:
    # Laboratories and parts may have numbers for names; "NA" is a name too.
    names = ("laboratory", "part", "id", "property", "reason", "from")
    return files.read_csv(path, dtype=dict.fromkeys(names, str), keep_default_na=False, na_values=[""])


def column(frame: pd.DataFrame, name: str) -> np.ndarray:
    """A column as an array."""
    return np.asarray(frame[name].to_numpy())
