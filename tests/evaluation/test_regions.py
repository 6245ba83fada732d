"""Blocks of regions, t-tests between them and paired intervals, against SciPy on the same rows."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_ind, ttest_rel, wilcoxon

from jaxsoil.evaluation.compare import t_interval
from jaxsoil.evaluation.ranks import rank_interval
from jaxsoil.evaluation.regions import (
    BY_REGION,
    STUDENT,
    WELCH,
    block_tests,
    difference_rows,
    paired_intervals,
    region_blocks,
)
from jaxsoil.runs.errors import DataError

REGIONS = ("2", "10", "A", "B", "C")
BLOCKS = {"problematic": ["2", "10"], "generalising": ["A", "B", "C"]}


def results(values, scale="reflectance", metric="mrmse"):
    """Rows of results.csv from (model, region, seed) -> value."""
    keys = ("model", "region", "seed")
    rows = [dict(zip(keys, key, strict=True)) | {"value": value} for key, value in values.items()]
    return pd.DataFrame(rows).assign(split="test", scale=scale, metric=metric)


@pytest.fixture(scope="module")
def errors():
    rng = np.random.default_rng(4)
    keys = [(model, region, seed) for model in ("ann", "mix") for region in REGIONS for seed in range(3)]
    return results({key: rng.uniform(1.0, 5.0) for key in keys})


def table(frame, model):
    return frame[frame["model"] == model].pivot(index="region", columns="seed", values="value")


def test_a_region_is_problematic_where_no_network_and_seed_reaches_zero():
    r2 = {("ann", "A", 0): -0.1, ("mix", "A", 0): -2.0, ("ann", "B", 0): -0.1, ("mix", "B", 0): 0.2}
    r2 |= {("ann", "C", 0): np.nan, ("plsr", "A", 0): 0.9, ("plsr", "D", 0): -1.0, ("ann", "E", 0): 0.0}
    found = region_blocks(results(r2, "percent", "r2"), ("ann", "mix"))
    assert found.to_dict("list") == {
        "region": ["A", "B", "E"],
        "block": ["problematic", "generalising", "generalising"],
        "lowest_r2": [-2.0, -0.1, 0.0],
        "highest_r2": [-0.1, 0.2, 0.0],
        "n": [2, 2, 1],
    }
    assert region_blocks(results(r2, "percent", "r2"), ()).empty


def test_tests_are_scipys(errors):
    found = block_tests(errors, ("ann", "mix"), BLOCKS).set_index(["model", "test"])
    for model in ("ann", "mix"):
        hard, easy = (table(errors, model).loc[BLOCKS[name]].to_numpy() for name in ("problematic", "generalising"))
        for test, first, second, equal in (
            (STUDENT, hard.ravel(), easy.ravel(), True),
            (WELCH, hard.ravel(), easy.ravel(), False),
            (BY_REGION, hard.mean(axis=1), easy.mean(axis=1), False),
        ):
            row = found.loc[(model, test)]
            expected: Any = ttest_ind(first, second, equal_var=equal)
            assert tuple(row[["t", "p", "dof"]]) == pytest.approx((expected.statistic, expected.pvalue, expected.df))
            assert (row["problematic"], row["generalising"], row["reason"]) == (first.size, second.size, "")


def test_where_there_is_no_test_a_reason_stands(errors):
    few = block_tests(errors, ("ann",), BLOCKS | {"problematic": ["2", "elsewhere"]})
    assert pd.Series(few["t"]).isna().all() and set(few["reason"]) == {"a set has fewer than two regions"}
    equal = block_tests(errors.assign(value=2.0), ("ann",), BLOCKS)
    assert pd.Series(equal["p"]).isna().all() and set(equal["reason"]) == {"t is undefined: neither sample varies"}
    lost = errors.assign(value=errors["value"].where(errors["region"] != "2"))
    assert set(block_tests(lost, ("ann",), BLOCKS)["reason"]) == {"a set has fewer than two regions"}


def test_paired_intervals_are_scipys_over_region_means(errors):
    measures = [("reflectance", "mrmse")]
    row = paired_intervals(difference_rows(errors, errors, [("ann", "mix")], measures)).iloc[0]
    first, second = (table(errors, model).mean(axis=1) for model in ("ann", "mix"))
    interval = ttest_rel(second, first).confidence_interval(0.95)
    assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))
    assert (row["n"], row["centre"]) == (5, pytest.approx((second - first).mean()))
    assert row["method"] == "Student" and row["p_rank"] == pytest.approx(wilcoxon(second - first)[1])
    assert row["sd"] == pytest.approx((second - first).std(ddof=1))
    assert row["better"] == (second < first).sum()
    nothing = difference_rows(errors, errors, [("ann", "elsewhere")], measures)
    assert nothing.empty and paired_intervals(nothing).empty


def test_r2_over_regions_is_read_by_rank_and_over_draws_as_a_mean():
    gaps = np.array([0.1, 0.2, 0.15, 0.12, 0.18, 0.11, -153.0])
    keys = {"first": "a", "second": "b", "scale": "percent", "metric": "r2", "split": "test", "seed": 0}
    rows = pd.DataFrame({"region": list("ABCDEFG"), "difference": gaps}).assign(**keys)
    by_region = paired_intervals(rows).iloc[0]
    expected = rank_interval(gaps)
    assert (by_region["method"], by_region["centre"], by_region["low"]) == (
        "signed rank", expected.mean, expected.low,
    )  # fmt: skip
    assert by_region["centre"] > 0.1 and by_region["better"] == 6 and np.isnan(by_region["sd"])
    assert by_region["p_sign"] == pytest.approx(2 * 8 / 128)
    drawn = paired_intervals(rows, overlap=0.5).iloc[0]
    wide = t_interval(gaps, overlap=0.5)
    assert (drawn["method"], drawn["centre"], drawn["high"]) == ("Student", gaps.mean(), wide.high)
    assert np.isnan(drawn["p_rank"]) and np.isnan(drawn["p_sign"])


def test_differences_pair_seeds_and_a_single_seed_stands_against_all():
    frame = results(
        {("a", "R", 0): 1.0, ("a", "R", 1): 2.0, ("a", "S", 0): 5.0, ("a", "S", 1): np.nan}
        | {("b", "R", 0): 1.5, ("b", "R", 1): 4.0, ("b", "S", 0): 4.0, ("b", "S", 1): 1.0, ("one", "R", 0): 3.0}
    )
    pair = [("reflectance", "mrmse")]

    def found(first, second):
        rows = difference_rows(frame, frame, [(first, second)], pair)
        return dict(zip(zip(rows["region"], rows["seed"], strict=True), rows["difference"], strict=True))

    assert found("a", "b") == {("R", 0): 0.5, ("R", 1): 2.0, ("S", 0): -1.0}
    assert found("one", "b") == {("R", 0): -1.5, ("R", 1): 1.0}
    assert found("b", "one") == {("R", 0): 1.5, ("R", 1): -1.0}
    with pytest.raises(DataError, match=r"two values of one region and seed \(found: a\)"):
        difference_rows(pd.concat([frame, frame]), frame, [("a", "b")], pair)
    with pytest.raises(DataError, match="results: columns are missing: seed"):
        difference_rows(frame.drop(columns="seed"), frame, [("a", "b")], pair)
