"""The run folder of the soc_spectrum study as its report sees it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.evaluation.results import RESULT_COLUMNS
from jaxsoil.report.files import damaged, read_arrays, read_json, require
from jaxsoil.studies.reconstruction.report.reading import Run
from jaxsoil.studies.reconstruction.soc_spectrum import sweep as soc_spectrum_sweep
from jaxsoil.studies.reconstruction.soc_spectrum import tables as soc_spectrum_tables
from jaxsoil.studies.reconstruction.soc_spectrum.methods import METHODS

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

_CURVES = ("axis", "source", "estimator", "f_soc", "low", "high")
_LEARNED = ("axis", "source", "start", "region", "seed", "f_soc", "soc_rho_r", "start_rho_r")
_DEGENERACY = ("axis", "soc_rho_r", "f_soc", "reflectance", "soc", "difference", "feasible")


@dataclass(frozen=True, eq=False)
class SpectrumRun:
    """Contents of the run folder; tables as rows, None where the data have no truth.

    Attributes:
      run: config, environment, data and timing, for the sections that all reports share.
      estimates, lines, troughs, networks: rows of the tables of ``evaluation.soc_spectrum_tables``.
      accuracy, robust, sweep: rows of ``evaluation.soc_spectrum_sweep``.
      libraries: rows of the decoders with wrong mineral libraries, as ``networks``; empty where none was trained.
      abundances: rows of ``evaluation.soc_spectrum_tables``.
      curves, learned, degeneracy: arrays of the .npz files of these names.
    """

    run: Run
    estimates: list[dict[str, Any]]
    lines: list[dict[str, Any]]
    troughs: list[dict[str, Any]]
    networks: list[dict[str, Any]]
    libraries: list[dict[str, Any]]
    accuracy: pd.DataFrame | None
    robust: pd.DataFrame | None
    sweep: pd.DataFrame | None
    abundances: list[dict[str, Any]]
    curves: dict[str, np.ndarray]
    learned: dict[str, np.ndarray]
    degeneracy: dict[str, np.ndarray] | None

    @property
    def sources(self) -> list[str]:
        """Sources in the order in which they were run."""
        return list(dict.fromkeys(row["source"] for row in self.estimates))

    def estimate(self, source: str, estimator: str) -> dict[str, Any]:
        """The row of estimates.csv; empty if there is none."""
        found = (row for row in self.estimates if (row["source"], row["estimator"]) == (source, estimator))
        return next(found, {})

    def curve(self, source: str, estimator: str) -> dict[str, np.ndarray] | None:
        """``f_soc``, ``low`` and ``high`` of an estimator, each (m,), or None."""
        match = (self.curves["source"] == source) & (self.curves["estimator"] == estimator)
        places = np.flatnonzero(match)
        return {name: self.curves[name][places[0]] for name in ("f_soc", "low", "high")} if places.size else None

    def trials(self, source: str, start: str) -> list[dict[str, Any]]:
        """Rows of networks.csv."""
        return [row for row in self.networks if (row["source"], row["start"]) == (source, start)]


def source_label(source: str) -> str:
    """Name of a source in tables and figures."""
    return SOURCE_LABELS.get(source, source)


def read_spectrum_run(folder: str | os.PathLike[str]) -> SpectrumRun:
    """Reads a finished run of soc_spectrum.

    Raises:
      DataError: if a file is missing or not what it should be; the message names it.
    """
    path = Path(folder)
    empty = pd.DataFrame(columns=pd.Index(RESULT_COLUMNS))
    header = {name: read_json(path / f"{name}.json") for name in ("config", "env", "data", "timing")}
    run = Run(path, header["config"], header["env"], header["data"], header["timing"], empty)
    twin = (path / "accuracy.csv").exists()
    swept = soc_spectrum_sweep.COLUMNS
    return SpectrumRun(
        run=run,
        estimates=_rows(path / "estimates.csv", soc_spectrum_tables.ESTIMATES),
        lines=_rows(path / "lines.csv", soc_spectrum_tables.LINES),
        troughs=_rows(path / "troughs.csv", soc_spectrum_tables.TROUGHS),
        networks=_rows(path / "networks.csv", soc_spectrum_tables.NETWORKS),
        libraries=_rows(path / "libraries.csv", soc_spectrum_tables.NETWORKS) if twin else [],
        accuracy=_frame(path / "accuracy.csv", swept) if twin else None,
        robust=_frame(path / "robust.csv", swept) if twin else None,
        sweep=_frame(path / "sweep.csv", swept) if twin else None,
        abundances=_rows(path / "abundances.csv", soc_spectrum_tables.ABUNDANCES) if twin else [],
        curves=read_arrays(path / "curves.npz", _CURVES),
        learned=read_arrays(path / "learned.npz", _LEARNED),
        degeneracy=read_arrays(path / "degeneracy.npz", _DEGENERACY) if twin else None,
    )


def _frame(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """Reads a table; text stays text, empty numbers become NaN."""
    text: dict[Any, Any] = {
        name: str for name in ("source", "estimator", "start", "region", "factor", "level", "method", "problem")
    }
    text |= {name: str for name in ("mineral", "status", "exposure")}
    try:
        frame = pd.read_csv(require(path), dtype=text, keep_default_na=False, na_values={c: [""] for c in columns})
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, ValueError) as error:
        raise damaged(path, f"this is not a table: {error}") from error
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise damaged(path, f"columns are missing: {', '.join(missing)}")
    for name in text.keys() & set(frame.columns):
        frame[name] = frame[name].fillna("")
    return frame


def _rows(path: Path, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in _frame(path, columns).to_dict("records")]
