"""Report of a sweep: the marginal effect of each field with its spread, the best points, what did not finish."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxsoil.report import style
from jaxsoil.report.document import Document, Picture
from jaxsoil.report.prose import Prose
from jaxsoil.report.run_files import read_json, where
from jaxsoil.report.tables import Table, natural_sorted, number, rows_table
from jaxsoil.runs.tables import Columns, read_csv

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PROSE = Prose("jaxsoil.report", "sweep")
_KEYS = ("study", "model", "part", "property", "split", "scale", "metric", "unit")
_EFFECTS = Columns(text=("field", "setting", *_KEYS), number=("mean", "sd", "low", "high"), whole=("points",))
_BEST = Columns(text=(*_KEYS, "point"), number=("mean", "se"), whole=("rank", "of"))
_SCORES = Columns(text=("point", *_KEYS), number=("mean",))
_POINTS = Columns(text=("point", "status", "error"), number=("seconds",), whole=("attempts",))
_PREFER: dict[str, tuple[str, ...]] = {
    "split": ("test", "laboratory", "blocks", "random"),
    "scale": ("log10", "unit"),
    "property": ("soc", "(mean)"),
    "part": ("", "layer=pooled"),
}
"""What is drawn where a study has several; effects.csv has all."""
_BEST_POINTS = "Best points"

METRICS = {"ccc": "CCC", "rmse": "RMSE", "r2": "R2", "mrmse": "MRMSE"}
"""The first two that a study has are drawn."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Shown:
    """One metric of one part of the results, as it is drawn.

    ``effects``, ``best`` and ``scores``: lines of the tables; ``title``: what they are of; ``study``: whose.
    """

    metric: str
    study: str
    title: str
    effects: pd.DataFrame
    best: pd.DataFrame
    scores: pd.DataFrame


def write_report(folder: str | os.PathLike[str]) -> Path:
    """Writes report.md, report.html and figures/ into the folder of a sweep, from its tables alone.

    Args:
      folder: of the sweep, with sweep.json, points.csv, scores.csv, effects.csv and best.csv.

    Returns:
      Path of report.html.

    Raises:
      DataError: a file is missing or damaged.
    """
    path = Path(folder)
    said, points = read_json(path / "sweep.json"), read_csv(path / "points.csv", _POINTS)
    effects, best = read_csv(path / "effects.csv", _EFFECTS), read_csv(path / "best.csv", _BEST)
    scores = read_csv(path / "scores.csv", _SCORES)
    document = Document(f"Sweep '{said['name']}' of {said['experiment']}", path)
    done = points["status"].tolist().count("finished")
    shown = _shown(effects, best, scores)
    studies = dict.fromkeys(one.study for one in shown)
    drawn = [_picture(document, one, points, len(studies) > 1) for one in shown]
    varied = [field for field in said["fields"] if len(set(points[f"config.{field}"])) > 1]
    words = _PROSE.text("found", said=said, done=done, of=len(points), largest=_largest(shown), varied=varied)
    document.opening(words, drawn[0] if shown else None, _best_table(shown[0], points) if shown else None, _BEST_POINTS)
    document.section("What was run", *_PROSE.items("opening", said=said, done=done, of=len(points), varied=varied))
    document.section("Effect of each field", *_PROSE.items("effects"))
    for place, one in enumerate(shown):
        document.add(drawn[place] if place else None, _effect_table(one))
    document.section(_BEST_POINTS, *_PROSE.items("best", of=len(points)))
    for one in shown:
        document.table(_best_table(one, points))
    left = points[points["status"] != "finished"]
    if len(left):
        columns: dict[Any, Any] = {"point": "Point", "status": "Status", "error": "Error"}
        document.section("Points without results", rows_table(pd.DataFrame(left), columns, title=_PROSE.text("left")))
    document.section("Time", _PROSE.text("time", seconds=float(np.nansum(points["seconds"])), done=done))
    return document.write()


def _picture(document: Document, one: _Shown, points: pd.DataFrame, several: bool) -> Picture | None:
    """The figure of a metric; where a sweep has ``several`` studies, such as stages, its name says which."""
    caption = _PROSE.text("caption", metric=METRICS[one.metric], title=one.title)
    name = f"effects_{one.metric}" + (f"_{one.study.replace('/', '_')}" if several else "")
    return document.picture(effect_figure(one, points), name, caption)


def _largest(shown: Sequence[_Shown]) -> dict[str, Any] | None:
    """The lowest and highest line of the field and model whose means differ most, by the first metric.

    Of a field that chooses the model, each value of which has a model of its own, the lines are of all its models.
    """
    if not shown:
        return None
    found: Any = shown[0].effects
    found = found[np.isfinite(found["mean"])]
    # A field that chooses the model has one value for each: then its models are compared.
    settings = found.groupby(["field", "model"], sort=False)["setting"].transform("nunique")
    model = found["model"].where(settings.groupby(found["field"]).transform("max") > 1, "")
    ends = found.groupby(["field", model], sort=False)["mean"].agg(["idxmin", "idxmax"])
    pairs = [(found.loc[low], found.loc[high]) for low, high in ends.to_numpy() if low != high]
    if not pairs:
        return None
    low, high = max(pairs, key=lambda pair: pair[1]["mean"] - pair[0]["mean"])
    return {"low": low.to_dict(), "high": high.to_dict(), "metric": METRICS[shown[0].metric], "title": shown[0].title}


def _shown(effects: pd.DataFrame, best: pd.DataFrame, scores: pd.DataFrame) -> list[_Shown]:
    """What is drawn: of each metric one split, scale, property and part of each study, by preference."""
    found = []
    for metric in [name for name in METRICS if name in set(effects["metric"])][:2]:
        for study in dict.fromkeys(effects["study"][effects["metric"] == metric]):
            chosen: dict[str, Any] = {"metric": metric, "study": study}
            for column, wished in _PREFER.items():
                there = list(dict.fromkeys(where(effects, **chosen)[column]))
                chosen[column] = next((name for name in wished if name in there), there[0])
            title = ", ".join(
                str(chosen[name]) for name in ("study", "property", "split", "scale", "part") if chosen[name]
            )
            lines = (where(table, **chosen) for table in (effects, best, scores))
            found.append(_Shown(metric, study, title, *lines))
    return found


@style.styled
def effect_figure(shown: _Shown, points: pd.DataFrame) -> Figure | None:
    """A panel for each field: each point's mean score (small), and the mean and SD over points with one value (large).

    Columns ``config.FIELD`` of ``points`` (points.csv) say which value a point has.
    """
    fields = list(dict.fromkeys(shown.effects["field"]))
    if not fields:
        return None
    models = natural_sorted(set(shown.effects["model"]))
    looks = style.looks({name: name for name in models})
    label = _heading(shown.metric, shown.effects)
    figure, axes = style.grid(len(fields), panel=2.5, extra=0.7, ylabel=label, sharey=True)
    placed = shown.scores.merge(points, on="point")
    for axis, field in zip(axes, fields, strict=True):
        mine = where(shown.effects, field=field)
        values = in_order(list(dict.fromkeys(mine["setting"])))
        for shift, (model, look) in zip(style.shifts(len(models), 0.25), looks.items(), strict=True):
            own = where(mine, model=model).set_index("setting").reindex(values)
            dots = where(placed, model=model)
            x = np.array([values.index(value) for value in dots[f"config.{field}"]]) + shift
            axis.scatter(x, dots["mean"], s=7, color=look.color, alpha=0.4, linewidths=0, zorder=2)
            places = np.arange(len(values)) + shift
            style.points(axis, places, own["mean"].to_numpy(), look, yerr=own["sd"].to_numpy(), zorder=3)
        axis.set_xticks(range(len(values)), [style.shortened(value, 16) for value in values])
        if len(values) > 3 or max(map(len, values)) > 9:
            axis.tick_params(axis="x", labelrotation=30)
        axis.set_xlim(-0.5, len(values) - 0.5)
        axis.set_xlabel(field)
        style.light_grid(axis)
    style.legend(figure, looks)
    return figure


def in_order(values: Sequence[str]) -> list[str]:
    """Numbers by size; anything else as it came."""
    try:
        return sorted(values, key=float)
    except ValueError:
        return list(values)


def _effect_table(shown: _Shown) -> Table:
    columns: dict[Any, Any] = {
        "field": "Field", "setting": "Value", "model": "Model",
        ("mean", "sd"): (_heading(shown.metric, shown.effects), 3),
        "low": ("Lowest", 3), "high": ("Highest", 3), "points": ("Points", "{:d}"),
    }  # fmt: skip
    return rows_table(shown.effects, columns, title=_PROSE.text("effect_title", title=shown.title))


def _best_table(shown: _Shown, points: pd.DataFrame) -> Table:
    fields = [name for name in points.columns if name.startswith("config.")]
    settings = points.set_index("point")[fields]
    rows = []
    for line in shown.best.to_dict("records"):
        own = "; ".join(f"{f.removeprefix('config.')} {settings.at[line['point'], f]}" for f in fields)
        score = number(line["mean"]) + (f" ± {number(line['se'])}" if math.isfinite(line["se"]) else "")
        rows.append((line["model"], str(line["rank"]), str(line["of"]), own, score))
    header = ("Model", "Rank", "Of", "Fields", _heading(shown.metric, shown.best))
    return Table(_PROSE.text("best_title", title=shown.title), header, tuple(rows), _PROSE.notes("warning"), (0, 3))


def _heading(metric: str, lines: pd.DataFrame) -> str:
    unit = str(lines["unit"].iloc[0]) if len(lines) else "1"
    return METRICS[metric] + ("" if unit == "1" else f" ({unit})")
