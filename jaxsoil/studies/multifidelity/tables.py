"""Rows of the run's tables: predictions, trainings, scores, and the numbers that reports print over several scores."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jaxsoil.data.properties import TEXTURE
from jaxsoil.evaluation import results
from jaxsoil.evaluation.bootstrap import sample_intervals
from jaxsoil.evaluation.compare import MEAN, mean_sd, paired_differences, rank_agreement
from jaxsoil.studies.multifidelity.replicates import TEST, Replicate
from jaxsoil.studies.multifidelity.report import published
from jaxsoil.training.rows import Fitted

MULTI, SINGLE, NO_TASK = "multi", "single", "-"
"""One network for all properties, one for each, and a model without this choice (PLSR)."""

OWN = ("task",)
"""Key column of results.csv of this study's own; a strategy is its model, a set its split."""

METRICS = ("rmse", "bias", "r2", "r2_corr", "ccc", "rpiq")


def joined(parts: Iterable[Mapping[str, pd.DataFrame]]) -> dict[str, pd.DataFrame]:
    """Tables by name, their rows in the order of the parts; one that has no rows in any part is empty."""
    found: dict[str, list[pd.DataFrame]] = {}
    for part in parts:
        for name, table in part.items():
            found.setdefault(name, []).extend([table] if len(table) else [])
    return {name: pd.concat(each, ignore_index=True) if each else pd.DataFrame() for name, each in found.items()}


def training_tables(
    fitted: Fitted, stage: str, seed: int, label: str, members: Sequence[str] = ()
) -> dict[str, pd.DataFrame]:
    """How a training went, or each of several whose ``members`` are named behind its label.

    Returns:
      "history": rows ``stage, seed, label, epoch, loss, validation_loss, ...`` of the epochs that were run;
      "convergence": rows ``seed, stage, label, epochs, converged, alive``.
    """
    labels = [f"{label}/{name}" for name in members] or [label]
    outcome = {"epochs": fitted.epochs_run, "converged": fitted.converged, "alive": fitted.alive}
    outcome = {name: np.atleast_1d(values) for name, values in outcome.items()}
    history = []
    for place, (name, epochs) in enumerate(zip(labels, outcome["epochs"].tolist(), strict=True)):
        terms = {term: np.atleast_2d(values)[place, :epochs] for term, values in fitted.history.items()}
        keys = {"stage": stage, "seed": seed, "label": name, "epoch": np.arange(1, epochs + 1)}
        history.append(pd.DataFrame(keys | terms))
    convergence = pd.DataFrame({"seed": seed, "stage": stage, "label": labels, **outcome})
    return {"history": pd.concat(history, ignore_index=True), "convergence": convergence}


def prediction_rows(replicate: Replicate, strategy: str, task: str, predicted: NDArray) -> pd.DataFrame:
    """Tidy predictions (validation pairs first, then the test set) with what was observed.

    Rows that were not measured are left out, and so are predictions of trainings that diverged (NaN).
    """
    sets, frames = replicate.sets, []
    for name, (part, rows) in replicate.judging.items():
        observed, ids = sets.values[part][rows], sets.library(part).ids[rows]
        mine, predicted = predicted[: len(ids)], predicted[len(ids) :]
        for column, prop in enumerate(sets.properties):
            known = np.isfinite(observed[:, column]) & np.isfinite(mine[:, column])
            keys = {"seed": replicate.number, "strategy": strategy, "task": task, "set": name}
            values = {"observed": observed[known, column], "predicted": mine[known, column]}
            frames.append(pd.DataFrame({**keys, "id": ids[known].astype(object), "property": prop, **values}))
    return pd.concat(frames, ignore_index=True)


def result_rows(
    predictions: pd.DataFrame, units: Mapping[str, str], regions: Mapping[int, str], *, study: str, data: str
) -> pd.DataFrame:
    """Scores of each seed, strategy, task, set and property in the schema of :mod:`jaxsoil.evaluation.results`.

    Args:
      predictions: rows of :func:`prediction_rows`.
      units: property -> unit.
      regions: seed -> the field that is held out, or "all".
    """
    named = predictions.rename(columns={"strategy": "model", "set": "split"})
    names, found = ["seed", "model", "task", "split", "property"], []
    for key, rows in named.groupby(names, sort=False):
        assert isinstance(key, tuple)
        keys = dict(zip(names, key, strict=True))
        keys |= {"study": study, "data": data, "region": regions[keys["seed"]]}
        scored = (rows["observed"], rows["predicted"])
        found += results.score_rows(*scored, unit=units[keys["property"]], scale="unit", keys=keys, metrics=METRICS)
    return results.as_frame(found, OWN)


AVERAGED = ("ccc", "rpiq", "r2", "r2_corr")
"""Metrics without a unit, which can be averaged over properties."""

QUANTILES = (1, 25, 50, 75, 99)


def summaries(results: pd.DataFrame, predictions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Tables of the run folder by name; each is empty where the run has nothing for it.

    ``predictions``: rows ``seed, strategy, task, set, id, property, observed, predicted``.
    """
    keys = ["seed", "model", "task", "split", "property"]
    scores = results.pivot(index=keys, columns="metric", values="value").reset_index()
    scores = pd.DataFrame(scores).rename(columns={"model": "strategy", "split": "set"})
    means = averages(scores)
    tables = {"averages": means, "differences": differences(scores, predictions), "orders": orders(scores, means)}
    return tables | {"task_differences": task_differences(scores), "texture_sums": texture_sums(predictions)}


def main_task(tasks: Iterable[str]) -> str:
    """The task that stands in the tables: multi-task where there is any, as in the paper."""
    found = set(tasks)
    return MULTI if MULTI in found or SINGLE not in found else SINGLE


def of_main_task(table: pd.DataFrame, split: str = TEST) -> pd.DataFrame:
    """Rows on a set, of the task of the tables and of models without a task."""
    return pd.DataFrame(table[(table["set"] == split) & table["task"].isin((main_task(table["task"]), NO_TASK))])


def averaged(scores: pd.DataFrame) -> list[str]:
    """The properties ("property") that a mean is over: those that every replicate ("seed") has; all, if none is."""
    seeds = {str(name): set(rows["seed"]) for name, rows in scores.groupby("property", sort=False)}
    whole = set().union(*seeds.values())
    return [name for name, own in seeds.items() if own == whole] or [*seeds]


def averages(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean over :func:`averaged`, ``seed, strategy, task, set, metric, value``; NaN where one of them is undefined."""
    scores = pd.DataFrame(scores[scores["property"].isin(averaged(scores))])
    keys = ["seed", "strategy", "task", "set"]
    long = scores.melt([*keys, "property"], list(AVERAGED), "metric", "value")
    table = long.pivot(index=[*keys, "metric"], columns="property", values="value")
    return table.mean(axis=1, skipna=False).rename("value").reset_index()


def differences(scores: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """First minus second in CCC on the test set for all pairs of strategies.

    Rows of ``compare.paired_differences``, whose interval is over seeds, with ``low_samples`` and ``high_samples`` of
    ``bootstrap.sample_intervals``, whose interval is over test samples.
    """
    shown, pairs = of_main_task(scores), list(itertools.permutations(dict.fromkeys(scores["strategy"]), 2))
    found = paired_differences(shown, pairs)
    if not len(predictions):
        return found
    return found.merge(sample_intervals(of_main_task(predictions), pairs), how="left")


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
    every = [name for name in common if name in averaged(scores)]
    rows = []
    shown = pd.concat([means, of_main_task(scores)])
    for name in (MEAN, *common):
        mine = shown[shown["property"] == name].groupby("strategy")["ccc"]
        here = {str(strategy): mean_sd(values).mean for strategy, values in mine}
        theirs = published.averages("ccc", every if name == MEAN else [name])
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
