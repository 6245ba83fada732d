"""Numbers that the reports print over several scores: means over properties, paired differences, orders, texture."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
import pandas as pd

from jaxsoil.data.properties import TEXTURE
from jaxsoil.evaluation.compare import MEAN, mean_sd, paired_differences, rank_agreement
from jaxsoil.studies.multifidelity.report import published
from jaxsoil.studies.multifidelity.rows import TEST
from jaxsoil.studies.multifidelity.tables import MULTI, NO_TASK, SINGLE

AVERAGED = ("ccc", "rpiq", "r2", "r2_corr")
"""Metrics without a unit, which can be averaged over properties."""

QUANTILES = (1, 25, 50, 75, 99)


def summaries(results: pd.DataFrame, predictions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Tables of the run folder by name; each is empty where the run has nothing for it.

    Args:
      results: results.csv.
      predictions: rows ``seed, strategy, task, set, id, property, observed, predicted``.
    """
    keys = ["seed", "model", "task", "split", "property"]
    scores = results.pivot(index=keys, columns="metric", values="value").reset_index()
    scores = pd.DataFrame(scores).rename(columns={"model": "strategy", "split": "set"})
    means = averages(scores)
    return {
        "averages": means,
        "differences": differences(scores),
        "task_differences": task_differences(scores),
        "orders": orders(scores, means),
        "texture_sums": texture_sums(predictions),
    }


def main_task(tasks: Iterable[str]) -> str:
    """The task that stands in the tables: multi-task where there is any, as in the paper."""
    found = set(tasks)
    return MULTI if MULTI in found or SINGLE not in found else SINGLE


def of_main_task(table: pd.DataFrame) -> pd.DataFrame:
    """Rows on the test set, of the task of the tables and of models without a task."""
    return pd.DataFrame(table[(table["set"] == TEST) & table["task"].isin((main_task(table["task"]), NO_TASK))])


def averages(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean over properties, ``seed, strategy, task, set, metric, value``; NaN where one of them is undefined."""
    keys = ["seed", "strategy", "task", "set"]
    long = scores.melt([*keys, "property"], list(AVERAGED), "metric", "value")
    table = long.pivot(index=[*keys, "metric"], columns="property", values="value")
    return table.mean(axis=1, skipna=False).rename("value").reset_index()


def differences(scores: pd.DataFrame) -> pd.DataFrame:
    """First minus second in CCC on the test set for all pairs of strategies; see ``compare.paired_differences``."""
    shown = of_main_task(scores)
    return paired_differences(shown, itertools.permutations(dict.fromkeys(shown["strategy"]), 2))


def task_differences(scores: pd.DataFrame) -> pd.DataFrame:
    """Multi-task minus single-task in CCC on the test set, ``strategy, property, n, mean, low, high``."""
    found = []
    for strategy, rows in scores[scores["set"] == TEST].groupby("strategy"):
        table = paired_differences(rows.assign(strategy=rows["task"]), [(MULTI, SINGLE)])
        found.append(table.drop(columns=["first", "second"]).assign(strategy=strategy))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def orders(scores: pd.DataFrame, means: pd.DataFrame) -> pd.DataFrame:
    """Strategies in the order of their CCC on the test set, here and in Appendix B, for the mean and each property.

    Returns:
      Rows ``property, tau, ours, theirs, crossed``: Kendall's tau-b, both orders as "A > B > ...", and the pairs that
      stand the other way round as "A > B; ...", higher here first.
    """
    common = [name for name in published.PROPERTIES if name in set(scores["property"])]
    if not common:
        return pd.DataFrame()
    means = of_main_task(pd.DataFrame(means[means["metric"] == "ccc"]))
    means = means.rename(columns={"value": "ccc"}).assign(property=MEAN)
    rows = []
    shown = pd.concat([means, of_main_task(scores)])
    for name in (MEAN, *common):
        mine = shown[shown["property"] == name].groupby("strategy")["ccc"]
        here = {str(strategy): mean_sd(values).mean for strategy, values in mine}
        theirs = published.averages("ccc", common if name == MEAN else [name])
        found = rank_agreement(here, theirs)
        crossed = "; ".join(" > ".join(pair) for pair in found.disagreements)
        both = {"ours": " > ".join(found.ours), "theirs": " > ".join(found.theirs)}
        rows.append({"property": name, "tau": found.tau, **both, "crossed": crossed})
    return pd.DataFrame(rows)


def texture_sums(predictions: pd.DataFrame) -> pd.DataFrame:
    """Predicted clay + silt + sand in % on the test set over seeds and samples, a row for each strategy.

    Returns:
      Rows ``strategy, n, mean, sd, min, max, gap, p1, p25, p50, p75, p99``; ``gap`` is the largest |sum - 100|.
    """
    shown = of_main_task(predictions)
    shown, rows = shown[shown["property"].isin(TEXTURE)], []
    for strategy, mine in shown.groupby("strategy", sort=False):
        sums = mine.groupby(["seed", "id"])["predicted"].agg(["sum", "count"])
        whole = sums.loc[sums["count"] == len(TEXTURE), "sum"].to_numpy(np.float64)
        if whole.size:
            moments = {"mean": whole.mean(), "sd": whole.std(), "min": whole.min(), "max": whole.max()}
            quantiles = dict(zip([f"p{q}" for q in QUANTILES], np.percentile(whole, QUANTILES), strict=True))
            gap = float(np.abs(whole - 100.0).max())
            rows.append({"strategy": strategy, "n": whole.size, **moments, "gap": gap, **quantiles})
    return pd.DataFrame(rows)
