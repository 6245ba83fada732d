"""The run folder of the soc_spectrum study as its report sees it."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pandas as pd

from jaxsoil.report.run_files import RunContents, RunFiles, read_json, where
from jaxsoil.studies.reconstruction.soc_spectrum.methods import METHODS
from jaxsoil.studies.reconstruction.soc_spectrum.tables import TABLES, TWIN_TABLES
from jaxsoil.studies.reconstruction.soc_spectrum.unmixing import Degeneracy

TRUTH, PAPER_START, DIRECT_START = "truth", "paper", "direct"
"""Estimators that are no method of direct regression."""

ESTIMATOR_LABELS = {
    TRUTH: "Truth",
    "regions": "Direct regression",
    PAPER_START: "Decoder, paper's start",
    DIRECT_START: "Decoder from direct estimate",
    f"{PAPER_START}-latents": "Encoder's own, paper's start",
    f"{DIRECT_START}-latents": "Encoder's own, direct start",
    **{name: f"Direct, {method.label}" for name, method in METHODS.items() if name != "regions"},
}

SOURCE_LABELS = {"troughs": "Twin with troughs", "null": "Null twin, no troughs"}

FILES = RunFiles(
    csv=TABLES,
    arrays={
        "curves": ("axis", "source", "estimator", "f_soc", "low", "high"),
        "learned": ("axis", "source", "start", "region", "seed", "f_soc", "soc_rho_r", "start_rho_r"),
    },
    results=None,
)
"""Files of a run on data without a truth."""

TWIN_FILES = dataclasses.replace(
    FILES,
    csv=TABLES | TWIN_TABLES,
    arrays={
        **FILES.arrays,
        "degeneracy": (*(field.name for field in dataclasses.fields(Degeneracy)), "physical_c", "all_c"),
    },
)
"""Files of a run on the twins."""


class SpectrumRun(RunContents):
    """Contents of a run folder of this study; tables as ``soc_spectrum.tables`` describes them."""

    @property
    def sources(self) -> list[str]:
        """Sources in the order in which they were run."""
        return list(dict.fromkeys(self.tables["estimates"]["source"]))

    def rows(self, table: str, **values: object) -> pd.DataFrame:
        """Rows of a table whose columns have the given values."""
        return where(self.tables[table], **values)

    def curve(self, source: str, estimator: str) -> dict[str, np.ndarray] | None:
        """``f_soc``, ``low`` and ``high`` of an estimator, each (m,), or None."""
        curves = self.arrays["curves"]
        places = np.flatnonzero((curves["source"] == source) & (curves["estimator"] == estimator))
        return {name: curves[name][places[0]] for name in ("f_soc", "low", "high")} if places.size else None


def source_label(source: str) -> str:
    """Name of a source in tables and figures."""
    return SOURCE_LABELS.get(source, source)


def read_spectrum_run(folder: str | os.PathLike[str]) -> SpectrumRun:
    """Reads a finished run of soc_spectrum; DataError names a file that is missing or not what it should be."""
    settings = read_json(Path(folder) / "config.json").get("config")
    twin = isinstance(settings, dict) and settings.get("data") == "twin"
    return SpectrumRun.of((TWIN_FILES if twin else FILES).read(folder))
