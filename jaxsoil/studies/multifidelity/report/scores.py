"""Tables of scores: Appendix B beside ours, averages, paired differences, rank orders, tasks."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from jaxsoil.evaluation.compare import MEAN
from jaxsoil.report.run_files import where
from jaxsoil.report.run_sections import criterion
from jaxsoil.report.tables import (
    DASH,
    Table,
    marked,
    mean_sd,
    number,
    pivot_table,
    plus_minus,
    rows_table,
    with_interval,
)
from jaxsoil.studies.multifidelity.config import (
    CARRY_OVER,
    MIR_LINEAR,
    NIR_LINEAR,
    NO_CURVE,
    REENCODED,
    RIDGE,
    SAMPLES,
    STRATEGY,
)
from jaxsoil.studies.multifidelity.replicates import TEST
from jaxsoil.studies.multifidelity.report import published
from jaxsoil.studies.multifidelity.report.files import PROSE, MultifidelityRun, clear, interval, label, over_samples
from jaxsoil.studies.multifidelity.tables import MULTI, SINGLE

CONTRASTS = (
    ("MIR-MLP", "MIR-PLSR"), ("MIR-SSL-MLP", "MIR-PLSR"), ("MIR-SSL-MLP", "MIR-MLP"), ("NIR-MLP", "NIR-PLSR"),
    ("NIRtoMIR-MLP", "NIR-PLSR"), ("NIRtoMIR-MLP", "NIR-MLP"), ("NIRtoMIR-SSL-MLP", "NIR-PLSR"),
    ("NIRtoMIR-SSL-MLP", "NIR-MLP"), ("NIRtoMIR-SSL-MLP", "NIRtoMIR-MLP"), ("MIR-PLSR", "NIR-PLSR"),
    ("MIR-SSL-MLP", "NIRtoMIR-SSL-MLP"),
    (MIR_LINEAR, "MIR-PLSR"), (MIR_LINEAR, "MIR-SSL-MLP"), (NIR_LINEAR, "NIR-PLSR"), (NIR_LINEAR, "NIRtoMIR-SSL-MLP"),
    (CARRY_OVER, RIDGE), (NO_CURVE, RIDGE), (CARRY_OVER, "MIR-PLSR"), (CARRY_OVER, "MIR-MLP"),
    (CARRY_OVER, "MIR-SSL-MLP"), (SAMPLES, "NIRtoMIR-SSL-MLP"), (REENCODED, "NIRtoMIR-SSL-MLP"),
    (REENCODED, "NIRtoMIR-MLP"),
)  # fmt: skip
"""Comparisons that the paper's claims rest on, and the last twelve of ours."""

NAMES = {"rmse": "RMSE", "bias": "ME", "r2": "R2", "r2_corr": "r2", "ccc": "CCC", "rpiq": "RPIQ"}


def scored(run: MultifidelityRun, metric: str) -> pd.DataFrame:
    """Mean and SD over seeds of a metric on the test set beside Appendix B's value, in the order of the tables.

    Rows ``property, strategy, mean, sd, paper, doubtful``.
    """
    keys = ["property", "strategy"]
    place = pd.MultiIndex.from_product([run.properties, run.strategies], names=keys)
    found = where(run.scores(), metric=metric).groupby(keys)["value"].agg(mean="mean", sd="std").reindex(place)
    paper = published.APPENDIX_B.set_index(keys)[metric].reindex(place)
    return run.with_doubts(found.assign(paper=paper).reset_index())


def doubts(run: MultifidelityRun, strategies: Sequence[str]) -> dict[str, Any]:
    """What the notes behind daggers say: trainings behind some strategies that did not converge, and the criterion."""
    found = list(dict.fromkeys(text for name in strategies for text in run.doubtful(name)))
    return {"found": found, "criterion": criterion(run)}


def appendix_b(run: MultifidelityRun) -> Table:
    """Every row of Appendix B beside ours, all metrics; rows of ours that it does not have stand last."""
    paper = published.APPENDIX_B.melt(["property", "strategy"], var_name="metric").assign(doubtful=False)
    with_unit = paper["metric"].isin(("rmse", "bias"))
    paper.loc[with_unit, "value"] *= paper.loc[with_unit, "property"].map(run.from_paper)
    both = pd.concat([paper.assign(column=_headings(paper)), _here(run.scores())])
    notes = PROSE.notes("appendix_b_notes", **doubts(run, run.strategies))
    notes += PROSE.notes("inconsistencies") + PROSE.notes("appendix_b_source")
    return _score_table(run, both, PROSE.text("appendix_b_title", run=run), notes, _columns(list(NAMES)))


def strategy_table(run: MultifidelityRun, strategies: Sequence[str]) -> Table:
    """All metrics of some strategies on the test set."""
    mine = run.scores()
    mine = pd.DataFrame(mine[mine["strategy"].isin(list(strategies))])
    columns = [name for metric, name in NAMES.items() if metric != "r2_corr"]
    notes = PROSE.notes("strategy_notes", **doubts(run, strategies))
    return _score_table(run, mine.assign(column=_headings(mine)), PROSE.text("strategy_title"), notes, columns)


def _score_table(
    run: MultifidelityRun, frame: pd.DataFrame, title: str, notes: Sequence[str], columns: Sequence[str]
) -> Table:
    shown = pd.DataFrame(frame[frame["column"].isin(list(columns))])
    given: dict[str, Any] = {"title": title, "notes": notes, "fmt": dict.fromkeys(columns, 2), "combine": mean_sd}
    given |= {"order": {"property": published.PROPERTIES, "strategy": STRATEGY, "column": columns}}
    given |= {"labels": {"property": run.titles}, "marks": {"strategy": "doubtful"}}
    return pivot_table(shown, ("property", "strategy"), "column", "value", **given)


def _here(table: pd.DataFrame) -> pd.DataFrame:
    """Our scores under their headings beside the paper's."""
    return table.assign(column=_headings(table) + ", here")


def _headings(table: pd.DataFrame) -> pd.Series:
    """The heading of each row's metric; NaN for a metric that is not shown."""
    return pd.Series(table["metric"]).map(NAMES)


def _columns(metrics: Sequence[str]) -> list[str]:
    """Headings: the paper's number, then ours; the squared correlation is ours alone."""
    pairs = [(NAMES[metric], f"{NAMES[metric]}, here") for metric in metrics]
    return [name for pair in pairs for name in pair if name != NAMES["r2_corr"]]


def averages(run: MultifidelityRun) -> Table:
    """CCC, RPIQ and R2 of each strategy, averaged over properties, beside the paper's over the same."""
    common = [name for name in run.averaged if name in published.PROPERTIES]
    paper = [
        {"strategy": name, "column": NAMES[metric], "value": value, "doubtful": False}
        for metric in ("ccc", "rpiq", "r2")
        for name, value in (published.averages(metric, common) if common else {}).items()
        if name in run.strategies
    ]
    columns = _columns(("ccc", "rpiq", "r2", "r2_corr"))
    left = [label(name) for name in run.properties if name not in run.averaged]
    title = PROSE.text("averages_title", run=run, common=list(map(label, common)), left=left)
    given: dict[str, Any] = {"order": {"strategy": STRATEGY, "column": columns}, "marks": {"strategy": "doubtful"}}
    given |= {"notes": PROSE.notes("dagger_notes", **doubts(run, run.strategies)), "combine": mean_sd}
    fmt = dict.fromkeys(columns, 2) | {"R2, here": lambda mean, sd: plus_minus(mean, sd, 2 if mean > -9.9 else 1)}
    cells = pd.concat([pd.DataFrame(paper), _here(run.averages())])
    return pivot_table(cells, "strategy", "column", "value", title=title, fmt=fmt, **given)


def short(run: MultifidelityRun, table: Table) -> Table:
    """CCC and RPIQ out of :func:`averages`, the highest mean CCC first."""
    ccc = where(run.averages(), metric="ccc")
    by_strategy: Any = ccc.groupby("strategy")["value"].mean()
    means = by_strategy.sort_values(ascending=False)
    order = {marked(name, run.doubtful(name)): rank for rank, name in enumerate(means.index)}
    rows = sorted(range(len(table.rows)), key=lambda at: order.get(table.rows[at][0], len(order)))
    part = table.part((0, 1, 2, 3, 4), rows, table.notes)
    names = [name if name.endswith("here") else f"{name}, paper" for name in part.header[1:]]
    return dataclasses.replace(part, header=(part.header[0], *names))


def differences(run: MultifidelityRun, contrasts: Sequence[tuple[str, str]] = CONTRASTS) -> pd.DataFrame:
    """Paired differences in CCC on the test set with ``title`` and the published difference, ``paper``.

    Contrasts with a strategy that the run has not are left out; the mean over properties is last in each.
    """
    table = run.tables.get("differences", pd.DataFrame(columns=pd.Index(["first", "second", "property"])))
    rows = []
    for first, second in contrasts:
        mine = where(table, first=first, second=second).set_index("property", drop=False)
        for row in mine.reindex([name for name in (*run.properties, MEAN) if name in mine.index]).to_dict("records"):
            means = _published_ccc(run, str(row["property"]))
            paper = means.get(first, math.nan) - means.get(second, math.nan)
            rows.append({**row, "title": f"{first} minus {second}", "paper": paper})
    return pd.DataFrame(rows, columns=pd.Index([*table.columns, "title", "paper"]))


def _published_ccc(run: MultifidelityRun, name: str) -> dict[str, float]:
    """CCC of Appendix B by strategy: of a property, or the mean over the properties that the run has as well."""
    common = [one for one in published.PROPERTIES if one in (run.averaged if name == MEAN else [name])]
    return published.averages("ccc", common) if common else {}


def difference_table(run: MultifidelityRun, found: pd.DataFrame) -> Table:
    """Differences of the mean CCC over properties with intervals, and whether the paper's sign is found."""
    rows = where(found, property=MEAN).to_dict("records")
    for row in rows:
        row["title"] = " minus ".join(marked(row[side], run.doubtful(row[side])) for side in ("first", "second"))
        row["verdict"], row["samples"] = verdict(row), over_samples(row)
    columns: Any = {
        "title": "Difference in CCC", "n": ("Seeds", "{}"),
        ("mean", "low", "high"): ("Here, mean [95 % over seeds]", 3), "samples": "95 % over test samples",
        "paper": ("Appendix B", 3), "verdict": "Direction",
    }  # fmt: skip
    title = "Paired differences in CCC on the test set, mean over properties."
    notes = PROSE.notes("difference_notes", replicates=run.replicates, **doubts(run, run.strategies))
    return rows_table(pd.DataFrame(rows), columns, title=title, notes=notes)


def difference_by_property(run: MultifidelityRun, found: pd.DataFrame) -> Table:
    """The same for each property: ours with its interval, the paper's difference after a bar."""
    cells, values = pd.DataFrame(found[found["property"] != MEAN]), ("mean", "low", "high", "paper")
    given: dict[str, Any] = {"order": {"property": run.properties}, "labels": {"property": label}}
    given["title"] = "Paired differences in CCC by property: ours [95 % interval] | Appendix B."
    given["fmt"] = lambda mean, low, high, paper: f"{with_interval(mean, low, high, 2)} | {number(paper, 2)}"
    return pivot_table(cells, {"title": "Difference in CCC"}, "property", values, **given)


def verdict(row: dict) -> str:
    """How a difference compares with the paper's."""
    if not math.isfinite(row["mean"]):
        return "undefined"
    sure = "clear" if clear(row) else "an interval includes 0" if math.isfinite(row["low"]) else "one seed"
    if not math.isfinite(row["paper"]):
        return sure
    if row["mean"] * row["paper"] > 0.0:
        return f"as published, {sure}"
    return f"{'published as 0' if row['paper'] == 0.0 else 'opposite to the paper'}, {sure}"


def order_table(orders: pd.DataFrame) -> Table:
    """Kendall's tau and both orders."""
    columns: Any = {"property": "", "tau": ("Tau", 2), "ours": "Here", "theirs": "Appendix B"}
    labels = {"property": lambda name: "Mean over properties" if name == MEAN else label(name)}
    notes = PROSE.notes("orders_notes")
    return rows_table(orders, columns, title=PROSE.text("orders_title"), labels=labels, notes=notes)


def disagreements(run: MultifidelityRun) -> list[dict]:
    """Differences of the pairs of strategies whose mean CCC stand the other way round in Appendix B, higher first."""
    rows = where(run.tables["orders"], property=MEAN)["crossed"] if "orders" in run.tables else []
    pairs: Any = [tuple(pair.split(" > ")) for text in rows for pair in text.split("; ") if pair]
    return where(differences(run, pairs), property=MEAN).to_dict("records")


def task_table(run: MultifidelityRun) -> Table | None:
    """Multi-task against single-task: mean CCC and the paired difference; None unless both were trained."""
    table = run.tables.get("task_differences")
    if table is None:
        return None
    means, rows = where(run.tables["averages"], set=TEST, metric="ccc"), []
    for strategy in [name for name in run.strategies if name in set(table["strategy"])]:
        mine = where(table, strategy=strategy)
        each, mean = mine[mine["property"] != MEAN], where(mine, property=MEAN).to_dict("records")[0]
        tasks = [mean_sd(where(means, strategy=strategy, task=task)["value"]).text() for task in (MULTI, SINGLE)]
        sure = (each["property"][clear] for clear in (each["low"] > 0.0, each["high"] < 0.0))
        named = [", ".join(map(label, names)) or DASH for names in sure]
        rows.append((strategy, *tasks, interval(mean), *named))
    header = ("Strategy", "Multi-task", "Single-task", "Difference [95 % interval]", "Better together", "Better alone")
    return Table(PROSE.text("tasks_title"), header, tuple(rows), PROSE.notes("tasks_notes"), left=(0, 4, 5))
