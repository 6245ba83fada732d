"""Tables of scores: Appendix B beside ours, averages, paired differences, rank orders, tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from jaxsoil.evaluation.compare import MEAN
from jaxsoil.report.run_files import where
from jaxsoil.report.run_sections import criterion
from jaxsoil.report.tables import (
    DAGGER,
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
from jaxsoil.studies.multifidelity.config import REENCODED, SAMPLES, STRATEGY
from jaxsoil.studies.multifidelity.report import published
from jaxsoil.studies.multifidelity.report.files import MultifidelityRun, label
from jaxsoil.studies.multifidelity.tables import MULTI, NO_TASK, SINGLE, TEST

CONTRASTS = (
    ("MIR-MLP", "MIR-PLSR"),
    ("MIR-SSL-MLP", "MIR-PLSR"),
    ("MIR-SSL-MLP", "MIR-MLP"),
    ("NIR-MLP", "NIR-PLSR"),
    ("NIRtoMIR-MLP", "NIR-PLSR"),
    ("NIRtoMIR-MLP", "NIR-MLP"),
    ("NIRtoMIR-SSL-MLP", "NIR-PLSR"),
    ("NIRtoMIR-SSL-MLP", "NIR-MLP"),
    ("NIRtoMIR-SSL-MLP", "NIRtoMIR-MLP"),
    ("MIR-PLSR", "NIR-PLSR"),
    ("MIR-SSL-MLP", "NIRtoMIR-SSL-MLP"),
    (SAMPLES, "NIRtoMIR-SSL-MLP"),
    (REENCODED, "NIRtoMIR-SSL-MLP"),
    (REENCODED, "NIRtoMIR-MLP"),
)
"""Comparisons that the paper's claims rest on, and the last three of ours."""

NAMES = {"rmse": "RMSE", "bias": "ME", "r2": "R2", "r2_corr": "r2", "ccc": "CCC", "rpiq": "RPIQ"}


def scored(run: MultifidelityRun, metric: str) -> pd.DataFrame:
    """Mean and SD over seeds of a metric on the test set beside Appendix B's value.

    Returns:
      Rows ``property, strategy, mean, sd, paper, doubtful`` in the order of the tables.
    """
    mine, rows = where(run.scores(), metric=metric), []
    for name in run.properties:
        for strategy in run.strategies:
            found = mean_sd(where(mine, property=name, strategy=strategy)["value"])
            printed = published.score(name, strategy)
            paper = math.nan if printed is None else getattr(printed, metric)
            rows.append((name, strategy, found.mean, found.error, paper, bool(run.doubtful(strategy))))
    return pd.DataFrame(rows, columns=pd.Index(["property", "strategy", "mean", "sd", "paper", "doubtful"]))


def dagger_notes(run: MultifidelityRun, strategies: Sequence[str]) -> tuple[str, ...]:
    """The footnote behind the daggers; nothing if there are none."""
    found = list(dict.fromkeys(text for name in strategies for text in run.doubtful(name)))
    if not found:
        return ()
    named = "; ".join(found[:6]) + (f"; and {len(found) - 6} more" if len(found) > 6 else "")
    return (f"{DAGGER} rests on trainings that did not converge: {named}. {criterion(run)}",)


def appendix_b(run: MultifidelityRun) -> Table:
    """Every row of Appendix B beside ours, all metrics; rows of ours that it does not have stand last."""
    ours, paper = run.scores(), published.frame()
    both = pd.concat([paper.assign(column=_headings(paper), doubtful=False), _here(ours)])
    notes = (
        "R2 is 1 - SSE/SST (Eq. 12) and r2 the squared correlation; ME is mean(predicted - observed). RMSE and ME in "
        "the unit of the property. A dash: not in Appendix B, or not in this run.",
        *dagger_notes(run, run.strategies),
        *published.NOTES,
        f"Paper: {published.SOURCE}, 206 NAPT samples. Other soils and instruments than here: what each found, not a "
        "like-for-like comparison.",
    )
    title = f"Independent test set: Appendix B, and ours as mean ± SD over {run.replicates}{_task_text(run)}."
    return _score_table(run, both, title, notes, _columns(NAMES))


def strategy_table(run: MultifidelityRun, strategies: Sequence[str]) -> Table:
    """All metrics of some strategies on the test set."""
    mine = run.scores()
    mine = pd.DataFrame(mine[mine["strategy"].isin(strategies)])
    mine = mine.assign(column=_headings(mine))
    notes = ("R2 is 1 - SSE/SST; RMSE and ME in the unit of the property.", *dagger_notes(run, strategies))
    title = "Test set, mean ± SD over seeds; metrics after the way back from ILR and logarithm."
    return _score_table(run, mine, title, notes, [name for metric, name in NAMES.items() if metric != "r2_corr"])


def _score_table(
    run: MultifidelityRun, frame: pd.DataFrame, title: str, notes: Sequence[str], columns: Sequence[str]
) -> Table:
    return pivot_table(
        pd.DataFrame(frame[frame["column"].isin(columns)]),
        ("property", "strategy"),
        "column",
        "value",
        title=title,
        fmt=dict.fromkeys(columns, 2),
        combine=mean_sd,
        order={"property": published.PROPERTIES, "strategy": STRATEGY, "column": columns},
        labels={"property": run.titles},
        marks={"strategy": "doubtful"},
        notes=notes,
    )


def _here(table: pd.DataFrame) -> pd.DataFrame:
    """Our scores under their headings beside the paper's."""
    return table.assign(column=_headings(table) + ", here")


def _headings(table: pd.DataFrame) -> pd.Series:
    """The heading of each row's metric; NaN for a metric that is not shown."""
    return pd.Series(table["metric"]).map(NAMES)


def _columns(metrics: Sequence[str] | dict[str, str]) -> list[str]:
    """Headings: the paper's number, then ours; the squared correlation is ours alone."""
    pairs = [(NAMES[metric], f"{NAMES[metric]}, here") for metric in metrics]
    return [name for pair in pairs for name in pair if name != NAMES["r2_corr"]]


def averages(run: MultifidelityRun) -> Table:
    """CCC, RPIQ and R2 of each strategy, averaged over the run's properties, beside the paper's over the same."""
    common = [name for name in run.properties if name in published.PROPERTIES]
    paper = [
        {"strategy": name, "column": NAMES[metric], "value": value, "doubtful": False}
        for metric in ("ccc", "rpiq", "r2")
        for name, value in (published.averages(metric, common) if common else {}).items()
        if name in run.strategies
    ]
    which = "nine properties" if len(common) == len(published.PROPERTIES) else ", ".join(map(label, common))
    columns = _columns(("ccc", "rpiq", "r2", "r2_corr"))
    return pivot_table(
        pd.concat([pd.DataFrame(paper), _here(run.averages())]),
        "strategy",
        "column",
        "value",
        title=f"Mean over {which}; ours ± SD over {run.replicates}{_task_text(run)}.",
        fmt=dict.fromkeys(columns, 2) | {"R2, here": lambda mean, sd: plus_minus(mean, sd, 2 if mean > -9.9 else 1)},
        combine=mean_sd,
        order={"strategy": STRATEGY, "column": columns},
        marks={"strategy": "doubtful"},
        notes=dagger_notes(run, run.strategies),
    )


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
    columns = [*table.columns, "title", "paper"]
    return pd.DataFrame(rows, columns=pd.Index(columns))


def _published_ccc(run: MultifidelityRun, name: str) -> dict[str, float]:
    """CCC of Appendix B by strategy: of a property, or the mean over the properties that the run has as well."""
    common = [one for one in published.PROPERTIES if one in (run.properties if name == MEAN else [name])]
    return dict(published.averages("ccc", common)) if common else {}


def difference_table(run: MultifidelityRun, found: pd.DataFrame) -> Table:
    """Differences of the mean CCC over properties with intervals, and whether the paper's sign is found."""
    means = where(found, property=MEAN)
    means["title"] = [
        f"{marked(row['first'], run.doubtful(row['first']))} minus {marked(row['second'], run.doubtful(row['second']))}"
        for row in means.to_dict("records")
    ]
    notes = (
        f"Student's interval over {run.replicates}. Over seeds it says how far the training decides, not how far "
        "another test set would. PLSR is the same in every seed where its rows are. Intervals are not adjusted for the "
        "number of comparisons.",
        *dagger_notes(run, run.strategies),
    )
    return rows_table(
        means.assign(verdict=[verdict(row) for row in means.to_dict("records")]),
        {
            "title": "Difference in CCC",
            "n": ("Seeds", "{}"),
            ("mean", "low", "high"): ("Here, mean [95 % interval]", 3),
            "paper": ("Appendix B", 3),
            "verdict": "Direction",
        },
        title="Paired differences in CCC on the test set, mean over properties.",
        notes=notes,
    )


def difference_by_property(run: MultifidelityRun, found: pd.DataFrame) -> Table:
    """The same for each property: ours with its interval, the paper's difference after a bar."""
    return pivot_table(
        pd.DataFrame(found[found["property"] != MEAN]),
        {"title": "Difference in CCC"},
        "property",
        ("mean", "low", "high", "paper"),
        title="Paired differences in CCC by property: ours [95 % interval] | Appendix B.",
        fmt=lambda mean, low, high, paper: f"{with_interval(mean, low, high, 2)} | {number(paper, 2)}",
        order={"property": run.properties},
        labels={"property": label},
    )


def verdict(row: dict) -> str:
    """How a difference compares with the paper's."""
    if not math.isfinite(row["mean"]):
        return "undefined"
    if not math.isfinite(row["low"]):
        clear = "one seed"
    else:
        clear = "clear" if row["low"] > 0.0 or row["high"] < 0.0 else "interval includes 0"
    if not math.isfinite(row["paper"]):
        return clear
    if row["mean"] * row["paper"] > 0.0:
        return f"as published, {clear}"
    return f"{'published as 0' if row['paper'] == 0.0 else 'opposite to the paper'}, {clear}"


def order_table(orders: pd.DataFrame) -> Table:
    """Kendall's tau and both orders."""
    return rows_table(
        orders,
        {"property": "", "tau": ("Tau", 2), "ours": "Here", "theirs": "Appendix B"},
        title="Strategies in the order of their CCC, here and in Appendix B; Kendall's tau-b of the two orders.",
        labels={"property": lambda name: "Mean over properties" if name == MEAN else label(name)},
        notes=("Appendix B has two decimals: equal values stand in the order of its rows.",),
    )


def crossed_pairs(run: MultifidelityRun) -> list[tuple[str, ...]]:
    """Pairs of strategies whose mean CCC stand the other way round in Appendix B, higher here first."""
    rows = where(run.tables["orders"], property=MEAN)["crossed"] if "orders" in run.tables else []
    return [tuple(pair.split(" > ")) for text in rows for pair in text.split("; ") if pair]


def disagreements(run: MultifidelityRun) -> list[str]:
    """Each pair that stands the other way round in Appendix B, with both differences."""
    pairs: list = crossed_pairs(run)
    return [
        f"{row['first']} is above {row['second']} here by {interval(row)} in mean CCC, below it by "
        f"{number(-float(row['paper']), 3)} in Appendix B"
        + ("." if row["low"] > 0.0 else "; the interval does not settle the order here.")
        for row in where(differences(run, pairs), property=MEAN).to_dict("records")
    ]


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
        clear = (each["low"] > 0.0, each["high"] < 0.0)
        named = [", ".join(map(label, each["property"][chosen])) or DASH for chosen in clear]
        rows.append((strategy, *tasks, interval(mean), *named))
    header = ("Strategy", "Multi-task", "Single-task", "Difference [95 % interval]", "Better together", "Better alone")
    title = "CCC of one network for all properties against one for each, test set, mean over properties ± SD."
    note = "The last two columns name properties whose interval over seeds leaves out 0."
    return Table(title, header, tuple(rows), (note,), left=(0, 4, 5))


def interval(row: dict) -> str:
    """``mean [low, high]`` of a paired difference; the mean alone where there is no interval."""
    return with_interval(row["mean"], row["low"], row["high"])


def _task_text(run: MultifidelityRun) -> str:
    if set(run.results["task"]) == {NO_TASK}:
        return ""
    return ", networks multi-task" if run.task == MULTI else ", networks single-task"
