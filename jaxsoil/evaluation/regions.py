"""What a table of results says over regions: which generalise, whether their errors differ, and paired intervals.

The independent unit is the region: its seeds share their data. Every function takes the rows of results.csv (columns
model, region, seed, split, scale, metric, value) and returns tidy rows to be written; nothing here is random.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import numpy as np
import pandas as pd

from jaxsoil.evaluation.compare import CONFIDENCE, BySeed, Summary, TTest, seed_differences, t_interval, t_test
from jaxsoil.evaluation.ranks import rank_interval, sign_p, signed_rank_p
from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError

BLOCKS = PROBLEMATIC, GENERALISING = "problematic", "generalising"

STUDENT, WELCH, BY_REGION = "Student, runs", "Welch, runs", "Welch, region means"
TESTS = (STUDENT, WELCH, BY_REGION)

LOWER_IS_BETTER = ("rmse", "mrmse")
"""Metrics of which a negative difference is for the better."""

UNBOUNDED = ("r2",)
"""Metrics without a lower bound, which one region can decide: their differences are read by rank."""

BY_STUDENT, BY_RANK = "Student", "signed rank"
"""What an interval of paired differences is made by."""

_COLUMNS = ("model", "region", "seed", "split", "scale", "metric", "value")
_TEST_COLUMNS = ("model", "scale", "metric", "test", "problematic", "generalising", "t", "dof", "p", "reason")
DIFFERENCE_COLUMNS = ("first", "second", "scale", "metric", "split", "region", "seed", "difference")
_PAIRED_COLUMNS = (
    *DIFFERENCE_COLUMNS[:5], "confidence", "method", "n", "centre", "sd", "low", "high", "better", "p_rank", "p_sign",
)  # fmt: skip


def region_blocks(results: pd.DataFrame, networks: Sequence[str]) -> pd.DataFrame:
    """The paper's parting of the regions: problematic where R2 of SOC in % is below 0 for all networks and seeds.

    ``networks``: the models that part the regions.

    Returns:
      Rows ``region, block, lowest_r2, highest_r2, n`` in the order of the results; ``n`` counts networks and seeds. A
      region in which no network has a defined R2 is left out.
    """
    rows = _chosen(results, scale="percent", metric="r2", split="test")
    rows = rows[rows["model"].isin(list(networks))]
    found = rows.groupby("region", sort=False)["value"].agg(lowest_r2="min", highest_r2="max", n="size").reset_index()
    found.insert(1, "block", np.where(found["highest_r2"] < 0.0, PROBLEMATIC, GENERALISING))
    return found


def block_tests(results: pd.DataFrame, models: Iterable[str], blocks: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """t-tests of MRMSE in problematic against generalising regions, by single runs and by region means.

    The paper tests single runs (region and seed). Runs of one region share their data; only region means, seeds
    averaged, are independent.

    Args:
      results: rows of results.csv.
      models: models to test, such as those that reconstruct spectra.
      blocks: held-out regions that are "problematic" and "generalising".

    Returns:
      For each model a row for each of :data:`TESTS`: ``model, scale, metric, test, problematic, generalising, t, dof,
      p, reason``. ``problematic`` and ``generalising`` are the numbers of runs or regions; ``t`` is positive where
      problematic regions have the higher value; where there is no test it is NaN and ``reason`` says why.
    """
    rows, (scale, metric) = [], ("reflectance", "mrmse")
    for model in models:
        mine = _chosen(results, model=model, scale=scale, metric=metric, split="test")
        by_region = mine.groupby("region", sort=False)["value"].apply(list).to_dict()
        both = (blocks[PROBLEMATIC], blocks[GENERALISING])
        sets = [[by_region[name] for name in regions if name in by_region] for regions in both]
        runs = [[value for values in regions for value in values] for regions in sets]
        means = [[float(np.mean(values)) for values in regions] for regions in sets]
        for test, samples in ((STUDENT, runs), (WELCH, runs), (BY_REGION, means)):
            found, reason = _block_test(test, samples, min(map(len, sets)))
            counts = (len(samples[0]), len(samples[1]))
            rows.append((model, scale, metric, test, *counts, found.t, found.dof, found.p, reason))
    return pd.DataFrame(rows, columns=pd.Index(_TEST_COLUMNS))


def difference_rows(
    first: pd.DataFrame,
    second: pd.DataFrame,
    pairs: Iterable[tuple[str, str]],
    measures: Iterable[tuple[str, str]],
    splits: Iterable[str] = ("test",),
) -> pd.DataFrame:
    """Differences ``second - first`` of metrics, for each region and seed that both models have.

    A model with a single seed (PLSR, a forest) stands against every seed of the other.

    Args:
      first, second: results tables; the same one to compare two models.
      pairs: a model of the first and one of the second table, each.
      measures: scale and metric, each.
      splits: rows that are compared.

    Returns:
      Rows ``first, second, scale, metric, split, region, seed, difference``; what is undefined has no row.

    Raises:
      DataError: a column is missing, or a model has two values of one region and seed.
    """
    pairs, found = tuple(pairs), []
    for (scale, metric), split in itertools.product(tuple(measures), tuple(splits)):
        chosen = [_chosen(frame, scale=scale, metric=metric, split=split, finite=False) for frame in (first, second)]
        sides = [
            {model: _by_region_and_seed(rows, model) for model in {pair[side] for pair in pairs}}
            for side, rows in enumerate(chosen)
        ]
        for one, other in pairs:
            for (region, seed), gap in seed_differences(sides[1][other], sides[0][one]).items():
                found.append((one, other, scale, metric, split, region, seed, gap))
    return pd.DataFrame(found, columns=pd.Index(DIFFERENCE_COLUMNS))


def paired_intervals(differences: pd.DataFrame, *, overlap: float | None = None) -> pd.DataFrame:
    """Differences over regions with a 95 % interval, seeds of a region averaged first.

    Args:
      differences: rows of :func:`difference_rows`.
      overlap: test rows over training rows where the "regions" are random splits that share rows
        (:func:`jaxsoil.evaluation.compare.standard_error`); None: regions, which are independent.

    Returns:
      For each pair, measure and split a row ``first, second, scale, metric, split, confidence, method, n, centre, sd,
      low, high, better, p_rank, p_sign``. ``method`` is :data:`BY_STUDENT`, with the mean as ``centre``, or
      :data:`BY_RANK` for :data:`UNBOUNDED` metrics of regions, with the pseudo-median
      (:func:`jaxsoil.evaluation.ranks.rank_interval`) and no ``sd``. ``n`` is the number of regions, and ``better`` in
      how many of them the second is better (lower for :data:`LOWER_IS_BETTER`); ``p_rank`` and ``p_sign`` are those of
      the signed-rank and the sign test, NaN for splits that share rows.
    """
    keys, rows = list(DIFFERENCE_COLUMNS[:5]), []
    groups = cast("Iterable[tuple[tuple[str, ...], pd.DataFrame]]", differences.groupby(keys, sort=False))
    for key, mine in groups:
        means = np.asarray(mine.groupby("region", sort=False)["difference"].mean(), dtype=np.float64)
        method = BY_RANK if overlap is None and key[3] in UNBOUNDED else BY_STUDENT
        x = rank_interval(means) if method == BY_RANK else t_interval(means, overlap=overlap or 0.0)
        better = int(np.sum(means < 0.0 if key[3] in LOWER_IS_BETTER else means > 0.0))
        tests = (signed_rank_p(means), sign_p(means)) if overlap is None else (math.nan, math.nan)
        rows.append((*key, CONFIDENCE, method, x.n, x.mean, x.sd, x.low, x.high, better, *tests))
    return pd.DataFrame(rows, columns=pd.Index(_PAIRED_COLUMNS))


def _by_region_and_seed(rows: pd.DataFrame, model: str) -> BySeed:
    mine = rows[rows["model"] == model]
    found = dict(zip(zip(mine["region"], mine["seed"], strict=True), mine["value"], strict=True))
    if len(found) < len(mine):
        remedy = "Choose one data set and one property first."
        raise DataError("a model has two values of one region and seed", value=model, remedy=remedy)
    return found


def _block_test(test: str, samples: Sequence[Sequence[float]], regions: int) -> tuple[TTest, str]:
    """The test, or NaN and the reason why there is none; ``regions`` is the number in the smaller set."""
    none = TTest(math.nan, math.nan, math.nan)
    if regions < 2:
        # Seeds of a single region would only measure how its trainings differ.
        return none, "a set has fewer than two regions"
    try:
        return t_test(Summary.of(samples[0]), Summary.of(samples[1]), pooled=test == STUDENT), ""
    except DataError as undefined:
        return none, undefined.problem


def _chosen(results: pd.DataFrame, finite: bool = True, **wanted: str) -> pd.DataFrame:
    """Rows of the given values (whose ``value`` is finite), with region as text and seed as number."""
    require.columns(results, _COLUMNS, "results")
    keep = np.isfinite(np.asarray(results["value"], dtype=np.float64)) | (not finite)
    for column, value in wanted.items():
        keep &= np.asarray(results[column] == value)
    rows = results[keep]
    return rows.assign(
        region=rows["region"].astype(str), seed=rows["seed"].astype(int), value=rows["value"].astype(np.float64)
    )
