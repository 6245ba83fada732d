"""Tables of the multi-fidelity study: Appendix B beside ours, averages, paired differences, rank orders, tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from jaxsoil.evaluation.compare import MEAN, Agreement, MeanSd, mean_sd, paired_differences, rank_agreement
from jaxsoil.report.files import where
from jaxsoil.report.tables import DAGGER, Table, number, plus_minus
from jaxsoil.studies.multifidelity.report import published
from jaxsoil.studies.multifidelity.report.files import (
    MULTI,
    NO_TASK,
    REENCODED,
    SAMPLES,
    SINGLE,
    TEST,
    MultifidelityRun,
)
from jaxsoil.studies.multifidelity.report.published import PROPERTIES
from jaxsoil.studies.multifidelity.report.score_figures import Bar, Difference

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


def cell(run: MultifidelityRun, strategy: str, name: str, metric: str, which: str = TEST) -> MeanSd:
    """A metric of a strategy and a property over seeds."""
    return mean_sd(run.values(strategy, name, metric, which))


def average(run: MultifidelityRun, strategy: str, metric: str, task: str | None = None) -> MeanSd:
    """Mean over the run's properties, taken in each seed, then over seeds; undefined if a property is."""
    rows = run.chosen(TEST, task)
    mine = where(rows, strategy=strategy)
    means = pd.DataFrame(mine).pivot(index="seed", columns="property", values=metric).reindex(columns=run.properties)
    return mean_sd(means.to_numpy(np.float64).mean(axis=1))


def label(name: str) -> str:
    """Name of a property as printed."""
    return PROPERTIES.get(name, (name, ""))[0]


def unit(run: MultifidelityRun, name: str) -> str:
    """Unit of a property: the run's, else the paper's; empty for pH."""
    stated = run.run.data.get("properties")
    stated = stated.get(name) if isinstance(stated, dict) else None
    found = stated.get("unit") if isinstance(stated, dict) else None
    found = str(found or PROPERTIES.get(name, ("", ""))[1])
    return "" if found == "1" else found


def marked(run: MultifidelityRun, strategy: str) -> str:
    """The strategy's name, with a dagger where a training behind it did not converge."""
    return f"{strategy} {DAGGER}" if run.doubtful(strategy) else strategy


def dagger_notes(run: MultifidelityRun, strategies: Sequence[str]) -> tuple[str, ...]:
    """The footnote behind the daggers; nothing if there are none."""
    found = list(dict.fromkeys(text for name in strategies for text in run.doubtful(name)))
    if not found:
        return ()
    named = "; ".join(found[:6]) + (f"; and {len(found) - 6} more" if len(found) > 6 else "")
    return (f"{DAGGER} rests on trainings that did not converge: {named}. {criterion(run)}",)


def criterion(run: MultifidelityRun) -> str:
    """What the run counts as converged."""
    return str(run.run.config.get("convergence", "The run states no criterion of convergence."))


def appendix_b(run: MultifidelityRun) -> Table:
    """Every row of Appendix B beside ours, all metrics; rows of ours that it does not have stand last."""
    rows = []
    for name in in_both(run.properties):
        for strategy in [*published.STRATEGIES, *(s for s in run.strategies if s not in published.STRATEGIES)]:
            printed, here = published.score(name, strategy), strategy in run.strategies and name in run.properties
            if printed is None and not here:
                continue
            cells = []
            for metric in published.METRICS:
                cells.append(number(getattr(printed, metric), 2) if printed is not None else "–")
                cells.append(_ours(run, strategy, name, metric) if here else "–")
                if metric == "r2":
                    cells.append(_ours(run, strategy, name, "r2_corr") if here else "–")
            title = f"{label(name)} ({unit(run, name)})" if unit(run, name) else label(name)
            rows.append((title, marked(run, strategy) if here else strategy, *cells))
    header = ("RMSE", "RMSE, here", "ME", "ME, here", "R2", "R2, here", "r2, here", "CCC", "CCC, here", "RPIQ")
    notes = (
        "R2 is 1 - SSE/SST (Eq. 12) and r2 the squared correlation; ME is mean(predicted - observed). RMSE and ME in "
        "the unit of the property. A dash: not in Appendix B, or not in this run.",
        *dagger_notes(run, run.strategies),
        *published.NOTES,
        f"Paper: {published.SOURCE}, 206 NAPT samples. Other soils and instruments than here: what each found, not a "
        "like-for-like comparison.",
    )
    caption = f"Independent test set: Appendix B, and ours as mean ± SD over {run.replicates}{_task_text(run)}."
    return Table(caption, ("Property", "Strategy", *header, "RPIQ, here"), tuple(rows), notes, left=(0, 1))


def strategy_table(run: MultifidelityRun, strategies: Sequence[str]) -> Table:
    """All metrics of some strategies on the test set."""
    rows = []
    for name in run.properties:
        for strategy in strategies:
            cells = [_ours(run, strategy, name, metric) for metric in ("rmse", "me", "r2", "ccc", "rpiq")]
            title = f"{label(name)} ({unit(run, name)})" if unit(run, name) else label(name)
            rows.append((title, marked(run, strategy), *cells))
    header = ("Property", "Strategy", "RMSE", "ME", "R2", "CCC", "RPIQ")
    notes = ("R2 is 1 - SSE/SST; RMSE and ME in the unit of the property.", *dagger_notes(run, strategies))
    caption = "Test set, mean ± SD over seeds; metrics after the way back from ILR and logarithm."
    return Table(caption, header, tuple(rows), notes, left=(0, 1))


def in_both(properties: Sequence[str]) -> list[str]:
    """All properties of Appendix B, then those that only the run has."""
    return [*PROPERTIES, *(name for name in properties if name not in PROPERTIES)]


def averages(run: MultifidelityRun) -> Table:
    """CCC, RPIQ and R2 of each strategy, averaged over the run's properties, beside the paper's over the same."""
    common = [name for name in run.properties if name in PROPERTIES]
    rows = []
    for strategy in run.strategies:
        cells = []
        for metric in ("ccc", "rpiq", "r2", "r2_corr"):
            if metric != "r2_corr":
                printed = published.averages(metric, common) if common else {}
                cells.append(number(printed[strategy], 2) if strategy in printed else "–")
            found = average(run, strategy, metric)
            cells.append(plus_minus(found.mean, found.sd, 2 if metric != "r2" or found.mean > -9.9 else 1))
        rows.append((marked(run, strategy), *cells))
    header = ("Strategy", "CCC", "CCC, here", "RPIQ", "RPIQ, here", "R2", "R2, here", "r2, here")
    which = "nine properties" if len(common) == len(PROPERTIES) else ", ".join(label(name) for name in common)
    caption = f"Mean over {which}; ours ± SD over {run.replicates}{_task_text(run)}."
    return Table(caption, header, tuple(rows), dagger_notes(run, run.strategies))


def differences(run: MultifidelityRun, contrasts: Sequence[tuple[str, str]] = CONTRASTS) -> pd.DataFrame:
    """Paired differences in CCC on the test set, with the published difference in column ``paper``."""
    found = paired_differences(run.chosen(), contrasts)
    common = [name for name in run.properties if name in PROPERTIES]
    means = published.averages("ccc", common) if common else {}
    paper = []
    for row in found.to_dict("records"):
        first, second, name = str(row["first"]), str(row["second"]), str(row["property"])
        if name == MEAN:
            paper.append(means.get(first, math.nan) - means.get(second, math.nan))
        else:
            pair = published.score(name, first), published.score(name, second)
            paper.append(pair[0].ccc - pair[1].ccc if pair[0] and pair[1] else math.nan)
    return found.assign(paper=paper)


def difference_table(run: MultifidelityRun, found: pd.DataFrame) -> Table:
    """Differences of the mean CCC over properties with intervals, and whether the paper's sign is found."""
    rows = []
    for row in where(found, property=MEAN).to_dict("records"):
        ours = interval(row, 3)
        name = f"{marked(run, str(row['first']))} minus {marked(run, str(row['second']))}"
        rows.append((name, str(row["n"]), ours, number(row["paper"], 3), verdict(row)))
    notes = (
        f"Student's interval over {run.replicates}. Over seeds it says how far the training decides, not how far "
        "another test set would. PLSR is the same in every seed where its rows are. Intervals are not adjusted for the "
        "number of comparisons.",
        *dagger_notes(run, run.strategies),
    )
    header = ("Difference in CCC", "Seeds", "Here, mean [95 % interval]", "Appendix B", "Direction")
    caption = "Paired differences in CCC on the test set, mean over properties."
    return Table(caption, header, tuple(rows), notes, left=(0, 4))


def difference_by_property(run: MultifidelityRun, found: pd.DataFrame) -> Table:
    """The same for each property: ours with its interval, the paper's difference after a bar."""
    rows = []
    for pair in dict.fromkeys(zip(found["first"], found["second"], strict=True)):
        part = where(found, first=pair[0], second=pair[1])
        by_name = {str(row["property"]): row for row in part.to_dict("records")}
        rows.append((f"{pair[0]} minus {pair[1]}", *(_both(by_name.get(name)) for name in run.properties)))
    caption = "Paired differences in CCC by property: ours [95 % interval] | Appendix B."
    return Table(caption, ("Difference in CCC", *(label(name) for name in run.properties)), tuple(rows))


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


def difference_lines(found: pd.DataFrame, properties: Sequence[str]) -> list[Difference]:
    """The same as lines of a figure."""
    lines = []
    for pair in dict.fromkeys(zip(found["first"], found["second"], strict=True)):
        part = where(found, first=pair[0], second=pair[1])
        rows = {str(row["property"]): row for row in part.to_dict("records")}
        mean = rows[MEAN]
        each = tuple(float(rows[name]["mean"]) for name in properties if name in rows)
        title = f"{pair[0]} − {pair[1]}"
        lines.append(Difference(title, mean["mean"], mean["low"], mean["high"], mean["paper"], each))
    return lines


def bars(
    run: MultifidelityRun, metric: str, properties: Sequence[str] = (), strategies: Sequence[str] = ()
) -> list[Bar]:
    """A bar for each property and strategy (all of the run's, or those given) with the published value."""
    found = []
    for name in properties or run.properties:
        for strategy in strategies or run.strategies:
            value, printed = cell(run, strategy, name, metric), published.score(name, strategy)
            paper = getattr(printed, metric) if printed is not None else math.nan
            trusted = not run.doubtful(strategy)
            found.append(Bar(strategy, label(name), value.mean, value.sd, paper, trusted))
    return found


def orders(run: MultifidelityRun) -> dict[str, Agreement]:
    """Rank orders of the strategies by CCC here and in Appendix B: of the mean over properties, and by property."""
    common = [name for name in run.properties if name in PROPERTIES]
    if not common:
        return {}
    ours = {strategy: average(run, strategy, "ccc").mean for strategy in run.strategies}
    found = {MEAN: rank_agreement(ours, published.averages("ccc", common))}
    for name in common:
        theirs = {row.strategy: row.ccc for row in published.APPENDIX_B if row.property == name}
        found[name] = rank_agreement({s: cell(run, s, name, "ccc").mean for s in run.strategies}, theirs)
    return found


def order_table(found: dict[str, Agreement]) -> Table:
    """Kendall's tau and both orders."""
    rows = tuple(
        (
            "Mean over properties" if name == MEAN else label(name),
            number(agreement.tau, 2),
            " > ".join(agreement.ours),
            " > ".join(agreement.theirs),
        )
        for name, agreement in found.items()
    )
    caption = "Strategies in the order of their CCC, here and in Appendix B; Kendall's tau-b of the two orders."
    notes = ("Appendix B has two decimals: equal values stand in the order of its rows.",)
    return Table(caption, ("", "Tau", "Here", "Appendix B"), rows, notes, left=(0, 2, 3))


def disagreements(run: MultifidelityRun, agreement: Agreement) -> list[str]:
    """Each pair that stands the other way round in Appendix B, with both differences."""
    if not agreement.disagreements:
        return []
    rows = differences(run, agreement.disagreements)
    return [
        f"{row['first']} is above {row['second']} here by {interval(row, 3)} in mean CCC, below it by "
        f"{number(-float(row['paper']), 3)} in Appendix B"
        + ("." if row["low"] > 0.0 else "; the interval does not settle the order here.")
        for row in where(rows, property=MEAN).to_dict("records")
    ]


def task_table(run: MultifidelityRun) -> Table | None:
    """Multi-task against single-task: mean CCC and the paired difference; None unless both were trained."""
    scores = where(run.scores, set=TEST)
    rows = []
    for strategy in run.strategies:
        mine = where(scores, strategy=strategy)
        if not {MULTI, SINGLE} <= set(mine["task"]):
            continue
        found = paired_differences(mine.assign(strategy=mine["task"]), [(MULTI, SINGLE)]).to_dict("records")
        better = [label(str(r["property"])) for r in found[:-1] if r["low"] > 0.0]
        worse = [label(str(r["property"])) for r in found[:-1] if r["high"] < 0.0]
        values = [average(run, strategy, "ccc", task) for task in (MULTI, SINGLE)]
        shown = [plus_minus(value.mean, value.sd, 3) for value in values]
        rows.append((strategy, *shown, interval(found[-1], 3), ", ".join(better) or "–", ", ".join(worse) or "–"))
    if not rows:
        return None
    header = ("Strategy", "Multi-task", "Single-task", "Difference [95 % interval]", "Better together", "Better alone")
    caption = "CCC of one network for all properties against one for each, test set, mean over properties ± SD."
    note = "The last two columns name properties whose interval over seeds leaves out 0."
    return Table(caption, header, tuple(rows), (note,), left=(0, 4, 5))


def _ours(run: MultifidelityRun, strategy: str, name: str, metric: str) -> str:
    found = cell(run, strategy, name, metric)
    return plus_minus(found.mean, found.sd, 2)


def interval(row: dict, digits: int) -> str:
    """``mean [low, high]``; the mean alone where there is no interval."""
    if not math.isfinite(row["low"]):
        return number(row["mean"], digits)
    return f"{number(row['mean'], digits)} [{number(row['low'], digits)}, {number(row['high'], digits)}]"


def _both(row: dict | None) -> str:
    return "–" if row is None else f"{interval(row, 2)} | {number(row['paper'], 2)}"


def _task_text(run: MultifidelityRun) -> str:
    tasks = {task for task in run.scores["task"].tolist() if task != NO_TASK}
    if not tasks:
        return ""
    return ", networks multi-task" if run.task == MULTI else ", networks single-task"
