"""Sections of reports: models against each other, paired by held-out region or by random draw."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from jaxsoil.evaluation.compare import Interval
from jaxsoil.report.document import Item
from jaxsoil.report.prose import Prose
from jaxsoil.report.run_files import where
from jaxsoil.report.tables import Table, number
from jaxsoil.studies.reconstruction.report import scores, sections
from jaxsoil.studies.reconstruction.report.reading import Run

_PROSE = Prose(__package__, "paired")

_MEASURES = (("log10", "ccc"), ("log10", "rmse"), ("percent", "r2"))


def by_region(run: Run, best: str) -> list[Item]:
    """Each other model against ``best``, regions paired: intervals, and the tests by rank."""
    rows = []
    for model in run.models:
        if model != best:
            found = [scores.interval(run, (model, best), *measure) for measure in _MEASURES]
            cells = [scores.interval_text(one, metric) for one, (_, metric) in zip(found, _MEASURES, strict=True)]
            better = scores.improved(run, (model, best), "log10", "rmse")
            tests = scores.rank_tests(run, (model, best), "log10", "rmse")
            rows.append((sections.marked_label(run, model), *cells, better, *(number(p, 3) for p in tests)))
    if not rows:
        return []
    label = sections.marked_label(run, best)
    header = (
        f"{label} minus", "CCC (log10)", "RMSE (log10 %)", "R2, pseudo-median", "Regions better, RMSE (log10)",
        "p, signed rank", "p, sign",
    )  # fmt: skip
    notes = (*_PROSE.notes("region_notes"), *sections.dagger_notes(run, run.models))
    return [Table(f"{label} against each other model, held-out regions paired.", header, tuple(rows), notes)]


def by_draw(run: Run, parts: Mapping[str, Run]) -> list[Item]:
    """The models of a random split against that of the lowest RMSE of log10 SOC, draws paired."""
    tables: list[Item] = []
    for kind, part in parts.items():
        found = where(run.table("draw_intervals"), parting=kind, split="test")
        means = {model: scores.average(part.results, model, "log10", "rmse")[0] for model in part.models}
        known = {model: mean for model, mean in means.items() if np.isfinite(mean)}
        if len(known) < 2:
            continue
        best = min(known, key=known.__getitem__)
        rows = tuple(
            (sections.marked_label(part, model), *(_cell(found, model, best, *measure) for measure in _MEASURES))
            for model in part.models
            if model != best
        )
        label = sections.marked_label(part, best)
        header = (f"{label} minus", "CCC (log10)", "RMSE (log10 %)", "R2 of SOC in %")
        title = f"{label} against each other model on the same draws, drawn by {kind}, held-out rows."
        notes = (*_PROSE.notes("draw_notes"), *sections.dagger_notes(part, part.models))
        tables.append(Table(title, header, rows, notes))
    return tables


def _cell(found: pd.DataFrame, first: str, second: str, scale: str, metric: str) -> str:
    row = where(found, first=first, second=second, scale=scale, metric=metric)
    if not len(row):
        return scores.interval_text(Interval(0, np.nan, np.nan, np.nan), metric)
    n, centre, low, high = (row[name].iloc[0] for name in ("n", "centre", "low", "high"))
    return scores.interval_text(Interval(int(n), centre, low, high), metric)
