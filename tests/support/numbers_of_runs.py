"""The numbers of a finished run in one neutral form: what identifies a number, and its value.

Tables of the studies differ in names; they are mapped here and nowhere else, in ``TABLES``.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd

COLUMNS = ("model", "property", "region", "seed", "split", "scale", "metric", "other")
"""What identifies a number. ``other``: a study's own keys, as ``name=value`` joined by semicolons."""


@dataclasses.dataclass(frozen=True)
class Table:
    """How a table of a run folder is read.

    Args:
      file: its name; among the tables of a study with the same ``what`` the first one that exists is read.
      names: columns that identify a number, under the name that they get here.
      values: columns of numbers, or none for a long table with the columns metric and value.
      what: which table it is, where a study has several.
      given: what identifies all numbers of the table and stands in no column of it.
    """

    file: str
    names: dict[str, str]
    values: tuple[str, ...] = ()
    what: str = "scores"
    given: dict[str, str] = dataclasses.field(default_factory=dict)


def same(*names: str) -> dict[str, str]:
    """Names that need no other."""
    return {name: name for name in names}


LONG = same("model", "property", "region", "seed", "split", "scale", "metric")
"""Columns of the schema of results that identify a number."""
SCORES = ("rmse", "bias", "r2", "ccc", "rpiq")
SPECTRUM = ("rmse", "cosine", "ratio_error", "c_error")

RECONSTRUCTION = (Table("results.csv", LONG | same("stage"), given={"property": "soc"}),)
MULTIFIDELITY = (
    Table("results.csv", same("model", "property", "seed", "split", "metric", "task")),
    Table(
        "scores.csv",
        {"strategy": "model", "set": "split"} | same("property", "seed", "task"),
        ("rmse", "me", "r2", "ccc", "rpiq"),
    ),
    Table("limits.csv", same("seed", "space"), ("d0", "limit"), what="limits"),
)
HYBRID = (
    Table("results.csv", same("model", "property", "region", "split", "metric", "harmonisation")),
    Table(
        "scores.csv",
        {"scheme": "split", "laboratory": "region"} | same("property", "model", "harmonisation"),
        SCORES,
    ),
    Table(
        "coverage.csv",
        {"kind": "split", "laboratory": "region"} | same("property", "nominal"),
        ("coverage",),
        "coverage",
    ),
)
LAYERS = (
    # Property, region and scale are the same in all rows.
    Table("results.csv", same("model", "split", "seed", "metric", "layer")),
    Table("scores.csv", same("model", "split", "seed", "layer"), ("rmse", "bias", "r2", "ccc")),
    Table("coverage.csv", same("model", "split", "layer"), ("coverage", "median_width"), "coverage"),
)
SOC_SPECTRUM = (
    Table("estimates.csv", {"estimator": "model"} | same("source"), ("soc_rho_r", "ratio", *SPECTRUM), "estimates"),
    Table("networks.csv", {"start": "model"} | same("source", "region", "seed"), ("soc_rho_r", *SPECTRUM), "networks"),
    Table("sweep.csv", {"method": "model"} | same("factor", "level", "seed"), SPECTRUM, "sweep"),
    Table("robust.csv", {"method": "model"} | same("factor", "level", "seed"), SPECTRUM, "robust"),
    Table("libraries.csv", {"start": "model"} | same("source", "region", "seed"), ("rmse", "cosine"), "libraries"),
)

TABLES: dict[str, tuple[Table, ...]] = {
    **dict.fromkeys(("region_out", "carry_over", "baseline_split", "few_labels", "rho_r"), RECONSTRUCTION),
    **dict.fromkeys(("multifidelity", "ilr", "fno"), MULTIFIDELITY),
    "hybrid_dataset": HYBRID,
    "layer_transfer": LAYERS,
    "soc_spectrum": SOC_SPECTRUM,
}
"""Tables of every experiment."""

METRICS = {"me": "bias"}
"""Metrics that had another name."""


def numbers(experiment: str, folder: Path) -> pd.DataFrame:
    """Finite numbers of a run: ``COLUMNS``, all text, and ``value``."""
    frames, read = [], set()
    for table in TABLES[experiment]:
        if table.what in read or not (folder / table.file).is_file():
            continue
        read.add(table.what)
        frames.append(_tidy(table, pd.read_csv(folder / table.file, dtype=str, keep_default_na=False)))
    if not frames:
        raise ValueError(f"{folder} has none of {', '.join(table.file for table in TABLES[experiment])}")
    frame = pd.concat(frames, ignore_index=True)
    finite: pd.DataFrame = frame.loc[np.isfinite(np.asarray(frame["value"], float))]
    return finite.reset_index(drop=True)


def _tidy(table: Table, frame: pd.DataFrame) -> pd.DataFrame:
    names = {column: name for column, name in table.names.items() if column in frame.columns}
    if table.values:
        frame = frame.melt([*names], [*table.values], "metric", "value")
        names |= same("metric")
    tidy = pd.DataFrame(frame[[*names]]).rename(columns=names)
    tidy = tidy.assign(**{name: value for name, value in table.given.items() if name not in tidy.columns})
    if "study" in frame.columns and frame["study"].str.contains("/").any():
        tidy["stage"] = frame["study"].str.split("/").str[1]
    tidy["metric"] = tidy["metric"].replace(METRICS)
    if "layer" in tidy.columns and "seed" in tidy.columns:
        tidy["seed"] = tidy["seed"].replace("-1", "all")
    if "property" in tidy.columns:
        tidy["property"] = tidy["property"].mask(tidy["metric"] == "mrmse", "reflectance")
    own = [name for name in tidy.columns if name not in COLUMNS]
    rows = [";".join(f"{k}={v}" for k, v in zip(own, row, strict=True) if v != "") for row in tidy[own].to_numpy()]
    tidy["other"] = rows if table.what == "scores" else [f"{table.what};{row}" for row in rows]
    tidy = tidy.reindex(columns=[*COLUMNS], fill_value="")
    return tidy.assign(value=np.asarray(pd.to_numeric(frame["value"], errors="coerce"), float))
