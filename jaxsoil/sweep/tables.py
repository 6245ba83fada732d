"""The tables of a sweep: results of all points in one, their means, the marginal effect of each field, the best points.

* ``sweep.csv``: the results.csv of every finished point, behind the point's name and its fields (``config.FIELD``).
* ``points.csv``: what became of each point; ``shared``: how many points trained together, 0 where each did by itself.
* ``scores.csv``: the mean of each metric over regions and seeds, for each point.
* ``effects.csv``: over the points with one value of one field, the mean and the standard deviation of those means.
* ``best.csv``: the points with the highest (or, of an error, lowest) means.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.evaluation.results import ALL_SEEDS, COUNT, RESULT_COLUMNS, standard_error
from jaxsoil.runs.files import read_csv_text, write_csv
from jaxsoil.sweep.execute import FINISHED, Job, status
from jaxsoil.sweep.points import described

PREFIX = "config."
"""Before the name of a field in the header of sweep.csv, where results have columns of their own."""

ALL_PROPERTIES = "(mean)"
"""Property of a number that is the mean over all properties of a model."""

KEYS = ("study", "model", "part", "property", "split", "scale", "metric", "unit")
"""What a mean of scores.csv is of; ``part`` has the study's own keys, such as "layer=pooled"."""

HIGHER, LOWER = ("ccc", "r2", "rpiq"), ("rmse", "mrmse", "mae")
"""Metrics of which the highest, and the lowest, is the best."""

BEST = 5
"""Points that best.csv lists for each metric of a model."""


def write_tables(folder: Path, jobs: Sequence[Job], settings: Sequence[dict[str, Any]]) -> None:
    """Writes all tables of a sweep from what its finished points left.

    Args:
      folder: of the sweep.
      jobs: its points, in order.
      settings: of each point, the value of every field that any point sets.
    """
    records = [status(job) for job in jobs]
    fields = list(settings[0])
    texts = [{f"{PREFIX}{field}": _text(own[field]) for field in fields} for own in settings]
    rows = [
        {"point": job.name, **text, "status": record.get("status", "not run"), "error": record.get("error", ""),
         "seconds": record.get("seconds", math.nan), "attempts": record.get("attempts", 0),
         "shared": record.get("shared", 0)}
        for job, text, record in zip(jobs, texts, records, strict=True)
    ]  # fmt: skip
    write_csv(folder / "points.csv", pd.DataFrame(rows))
    done = [i for i, record in enumerate(records) if record.get("status") == FINISHED]
    table = _joined([jobs[i] for i in done], [texts[i] for i in done], list(texts[0]))
    write_csv(folder / "sweep.csv", table)
    scores = point_scores(table)
    write_csv(folder / "scores.csv", scores, float_format="%.9g")
    own = pd.DataFrame([{"point": jobs[i].name, **texts[i]} for i in done], columns=pd.Index(["point", *texts[0]]))
    write_csv(folder / "effects.csv", effects(scores, own), float_format="%.9g")
    write_csv(folder / "best.csv", best_points(scores), float_format="%.9g")


def _text(value: Any) -> str:
    return described({"": value}).removeprefix("=") if value not in ((), []) else "(none)"


def _joined(jobs: Sequence[Job], texts: Sequence[dict[str, str]], fields: Sequence[str]) -> pd.DataFrame:
    """The results of some points as text, cell by cell as their files have them."""
    frames = []
    for job, text in zip(jobs, texts, strict=True):
        header, rows = read_csv_text(job.folder / "results.csv")
        frame = pd.DataFrame(rows, columns=pd.Index(header), dtype=str)
        for place, (name, value) in enumerate({"point": job.name, **text}.items()):
            frame.insert(place, name, value)
        frames.append(frame)
    empty = pd.DataFrame(columns=pd.Index(["point", *fields, *RESULT_COLUMNS]), dtype=str)
    return pd.concat(frames, ignore_index=True).fillna("") if frames else empty


def point_scores(table: pd.DataFrame) -> pd.DataFrame:
    """Means over regions and seeds of each point.

    Args:
      table: sweep.csv as text.

    Returns:
      One row for each point and :data:`KEYS`: ``mean``; ``se``, the standard error over region means (seeds averaged
      first), NaN for one region; ``regions`` and ``undefined``, the values that entered not. A model with several
      properties has their mean too, of metrics without a unit (property :data:`ALL_PROPERTIES`).
    """
    own = [name for name in table.columns if name not in (*RESULT_COLUMNS, "point") and not name.startswith(PREFIX)]
    rows: Any = table[(table["unit"] != COUNT) & (table["seed"] != str(ALL_SEEDS))].copy()
    own = [name for name in own if not _set_by_point(rows, name)]
    rows["part"] = [", ".join(f"{n}={v}" for n, v in zip(own, key, strict=True) if v) for key in rows[own].to_numpy()]
    rows["value"] = pd.to_numeric(rows["value"], errors="coerce")
    by = ["point", *KEYS]
    regions = rows.groupby([*by, "region"], sort=False)["value"].agg(["mean", "size", "count"]).reset_index()
    found = [_summary(by, key, mine) for key, mine in regions.groupby(by, sort=False)]
    columns = pd.Index([*by, "mean", "se", "regions", "undefined"])
    scores = pd.DataFrame(found, columns=columns).astype({"mean": float})  # Also where no point is finished.
    several = [name for name in by if name != "property"]
    plain = scores[scores["unit"] == "1"]
    means: Any = plain.groupby(several, sort=False).agg(
        mean=("mean", lambda x: x.mean(skipna=False)), regions=("regions", "min"), undefined=("undefined", "sum"),
        properties=("mean", "size"),
    ).reset_index()  # fmt: skip
    pooled: Any = means[means["properties"] > 1].assign(property=ALL_PROPERTIES, se=math.nan)
    return pd.concat([scores, pooled[scores.columns]], ignore_index=True) if len(pooled) else scores


def _set_by_point(rows: pd.DataFrame, name: str) -> bool:
    """Whether a column of a study's own is a field that the sweep sets, so that points would not be compared by it.

    Where a point has several values of it for one model, as with several inputs at once, it tells rows apart.
    """
    swept = [column for column in rows if column.startswith(PREFIX) and column.removeprefix(PREFIX) == name]
    values = rows.loc[rows[name] != "", ["point", "model", name]].drop_duplicates()
    varies = any(rows[column].nunique() > 1 for column in swept)
    return varies and not values.duplicated(["point", "model"]).any()


def _summary(by: Sequence[str], key: Any, mine: pd.DataFrame) -> dict[str, Any]:
    values = mine["mean"].to_numpy(dtype=np.float64)
    values = values[np.isfinite(values)]
    return {
        **dict(zip(by, key, strict=True)),
        "mean": float(values.mean()) if values.size else math.nan,
        "se": standard_error(values),
        "regions": values.size,
        "undefined": int(np.sum(mine["size"] - mine["count"])),
    }


def effects(scores: pd.DataFrame, fields: pd.DataFrame) -> pd.DataFrame:
    """The marginal effect of each field: over the points that share one value of it, whatever their other fields are.

    Args:
      scores: of :func:`point_scores`.
      fields: one row for each point: ``point`` and the columns ``config.FIELD``, as text.

    Returns:
      One row for each field with two values or more, value and :data:`KEYS`: ``mean``, ``sd`` (n - 1), ``low`` and
      ``high`` of the points' means, their number ``points``, and ``undefined`` points, left out.
    """
    joined = scores.merge(fields, on="point", how="left")
    found = []
    for column in [name for name in fields.columns if name != "point" and len(set(fields[name])) > 1]:
        for key, mine in joined.groupby([column, *KEYS], sort=False):
            value, *keys = key  # pyright: ignore[reportGeneralTypeIssues]
            means = mine["mean"].to_numpy(dtype=np.float64)
            means = means[np.isfinite(means)]
            one = {"field": column.removeprefix(PREFIX), "setting": value, **dict(zip(KEYS, keys, strict=True))}
            spread = {"mean": math.nan, "sd": math.nan, "low": math.nan, "high": math.nan}
            if means.size:
                spread |= {"mean": means.mean(), "low": means.min(), "high": means.max()}
                spread["sd"] = means.std(ddof=1) if means.size > 1 else math.nan
            found.append(one | spread | {"points": means.size, "undefined": len(mine) - means.size})
    columns = ["field", "setting", *KEYS, "mean", "sd", "low", "high", "points", "undefined"]
    return pd.DataFrame(found, columns=pd.Index(columns))


def best_points(scores: pd.DataFrame) -> pd.DataFrame:
    """The :data:`BEST` points of each model by each metric; those with an undefined region are not ranked."""
    has_all = np.isfinite(scores["mean"]) & (scores["undefined"] == 0)
    ranked: Any = scores[scores["metric"].isin((*HIGHER, *LOWER)) & has_all]
    found: list[Any] = []
    for key, mine in ranked.groupby(list(KEYS), sort=False):
        falling = dict(zip(KEYS, key, strict=True))["metric"] in HIGHER  # pyright: ignore[reportArgumentType]
        first = mine.sort_values("mean", ascending=not falling, kind="stable").head(BEST)
        found.append(first.assign(rank=range(1, len(first) + 1), of=len(mine)))
    columns = [*KEYS, "rank", "of", "point", "mean", "se", "regions"]
    return pd.DataFrame(pd.concat(found)[columns]) if found else pd.DataFrame(columns=pd.Index(columns))
