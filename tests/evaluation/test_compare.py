"""Summaries, t-tests, paired differences and rank orders: SciPy, published values and cases worked by hand."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.stats import kendalltau, ttest_ind, ttest_rel

from jaxsoil.evaluation.compare import (
    MEAN,
    Summary,
    describe,
    mean_sd,
    paired_differences,
    rank_agreement,
    standard_error,
    t_interval,
    t_test,
)
from jaxsoil.runs.errors import DataError


def scores(strategies=("a", "b"), properties=("tc", "ph"), seeds=5):
    rng = np.random.default_rng(7)
    return pd.DataFrame(
        [
            {"seed": seed, "strategy": strategy, "property": name, "ccc": rng.normal(0.7 + 0.1 * place, 0.05)}
            for place, strategy in enumerate(strategies)
            for name in properties
            for seed in range(seeds)
        ]
    )


def values(frame, strategy, name):
    return frame.query(f"strategy == '{strategy}' and property == '{name}'").sort_values("seed")["ccc"].to_numpy()


def test_intervals_are_scipys_paired_test():
    frame = scores()
    found = paired_differences(frame.sample(frac=1.0, random_state=1), [("a", "b")])
    assert found["property"].tolist()[-1] == MEAN
    for row in found.to_dict("records"):
        names = ["tc", "ph"] if row["property"] == MEAN else [row["property"]]
        first, second = (np.mean([values(frame, s, name) for name in names], axis=0) for s in "ab")
        expected = ttest_rel(first, second).confidence_interval(0.95)
        assert (row["low"], row["high"]) == (pytest.approx(expected.low), pytest.approx(expected.high))
        assert row["mean"] == pytest.approx(float(np.mean(first - second))) and row["n"] == 5


def test_draws_that_share_rows_are_corrected():
    """With a correlation of test/(train + test) between draws the corrected variance of their mean is unbiased."""
    draws, overlap = 10, 0.4 / 0.6
    assert standard_error([1.0, 3.0], overlap) == pytest.approx(np.sqrt(2.0 * (0.5 + 2.0 / 3.0)))
    rng = np.random.default_rng(0)
    common, own = rng.normal(0.0, np.sqrt(0.4), (4000, 1)), rng.normal(0.0, np.sqrt(0.6), (4000, draws))
    scores = common + own
    variance = np.mean([standard_error(one, overlap) ** 2 for one in scores])
    assert variance == pytest.approx(scores.mean(axis=1).var(), rel=0.05)
    plain = np.mean([standard_error(one) ** 2 for one in scores])
    assert plain < 0.15 * scores.mean(axis=1).var()
    found = t_interval(scores[0], overlap=overlap)
    half = stats.t.ppf(0.975, draws - 1) * standard_error(scores[0], overlap)
    assert (found.low, found.high) == pytest.approx((found.mean - half, found.mean + half))
    with pytest.raises(DataError, match=r"an overlap of splits is a ratio of at least 0 \(found: -0.1\)"):
        standard_error([1.0, 2.0], -0.1)
    assert np.isnan(standard_error([1.0]))


def test_interval_by_hand():
    # Mean 2, SD 1, n 3: half width 4.3027 / sqrt(3).
    found = t_interval([1.0, 2.0, 3.0, np.nan])
    assert (found.n, found.mean) == (3, 2.0)
    assert found.high - found.mean == pytest.approx(4.302653 / np.sqrt(3.0), rel=1e-6)
    assert not found.clear and t_interval([5.0, 5.1, 4.9]).clear
    assert np.isnan(t_interval([1.0]).low) and not t_interval([1.0]).clear
    assert t_interval([]).n == 0


def test_a_strategy_without_seeds_stands_against_every_seed():
    frame = scores()
    plsr = pd.DataFrame([{"seed": 0, "strategy": "p", "property": name, "ccc": 0.5} for name in ("tc", "ph")])
    both = pd.concat([frame, plsr])
    found = paired_differences(both, [("a", "p"), ("p", "a")]).set_index(["first", "property"])
    assert found.loc[("a", "tc"), "n"] == 5
    assert found.loc[("a", "tc"), "mean"] == pytest.approx(values(frame, "a", "tc").mean() - 0.5)
    assert found.loc[("p", MEAN), "mean"] == pytest.approx(-found.loc[("a", MEAN), "mean"])


def test_seeds_are_paired_and_undefined_properties_leave_the_mean():
    frame = scores(properties=("tc", "ph", "cec"))
    lost = (frame["strategy"] == "a") & (frame["property"] == "cec") & (frame["seed"] == 2)
    frame.loc[lost, "ccc"] = np.nan
    frame = frame.query("strategy != 'b' or seed != 4")
    found = paired_differences(frame, [("a", "b")])
    table = found.set_index("property")
    assert table["n"].to_dict() == {"tc": 4, "ph": 4, "cec": 3, MEAN: 4}
    assert table.loc[MEAN, "mean"] == pytest.approx(table.loc[["tc", "ph"], "mean"].mean())


def test_absent_strategies_are_passed_over_and_doubles_are_refused():
    assert paired_differences(scores(), [("a", "z")]).empty
    with pytest.raises(DataError, match="two scores"):
        paired_differences(pd.concat([scores(), scores()]), [("a", "b")])
    with pytest.raises(DataError, match="columns are missing"):
        paired_differences(scores().drop(columns="seed"), [("a", "b")])


def test_orders():
    ours = {"a": 0.9, "b": 0.8, "c": 0.7, "d": np.nan, "extra": 1.0}
    theirs = {"a": 0.8, "b": 0.9, "c": 0.1, "d": 0.5}
    found = rank_agreement(ours, theirs)
    assert found.ours == ("a", "b", "c") and found.theirs == ("b", "a", "c")
    assert found.disagreements == (("a", "b"),)
    assert found.tau == pytest.approx(1.0 / 3.0)
    scipys: Any = kendalltau([3, 2, 1], [2, 3, 1])
    assert found.tau == pytest.approx(scipys.statistic)
    assert np.isnan(rank_agreement({"a": 1.0}, {"a": 1.0}).tau)


def test_mean_and_sd_leave_out_what_is_not_finite():
    # 1, 3, 8: mean 4, squared deviations 9 + 1 + 16 = 26, over 2.
    assert mean_sd([[1.0, 3.0], [np.nan, 8.0]]) == pytest.approx((4.0, np.sqrt(13.0), 3))
    assert mean_sd([2.0])[::2] == (2.0, 1) and np.isnan(mean_sd([2.0]).sd)
    assert mean_sd([]).n == 0 and np.isnan(mean_sd([np.inf]).mean)


PROBLEMATIC, GENERALISING = 24, 44  # regions x seeds: 6 x 4 and 11 x 4


@pytest.mark.parametrize(
    ("decoder", "hard", "easy", "published"),
    [("ANN", (4.984, 0.338), (3.358, 0.179), 4.681), ("physics", (4.987, 0.342), (3.371, 0.166), 4.789)],
)
def test_published_t_values_are_students_on_single_runs(decoder, hard, easy, published):
    """Validation MRMSE of Table 2; the paper calls the test Welch's, which would give 4.25."""
    first, second = Summary(PROBLEMATIC, *hard), Summary(GENERALISING, *easy)
    student, welch = (t_test(first, second, pooled=pooled) for pooled in (True, False))
    assert round(student.t, 3) == published
    assert student.dof == 66
    assert student.p < 1e-4
    assert round(welch.t, 2) == 4.25
    assert welch.p == pytest.approx(1.5e-4, abs=0.1e-4)


def test_arrays_agree_with_scipy():
    rng = np.random.default_rng(1)
    first, second = rng.normal(1.0, 3.0, size=6), rng.normal(0.0, 1.0, size=11)
    for pooled in (True, False):
        ours = t_test(Summary.of(first), Summary.of(second), pooled=pooled)
        expected: Any = ttest_ind(first, second, equal_var=pooled)
        assert ours.t == pytest.approx(expected.statistic, rel=1e-10)
        assert ours.p == pytest.approx(expected.pvalue, rel=1e-10)
        assert ours.dof == pytest.approx(expected.df, rel=1e-10)


@pytest.mark.parametrize(
    ("sample", "message"),
    [([1.0], "at least 2"), ([1.0, np.nan], "not all finite"), ([[1.0, 2.0]], "1 dimension"), ([], "at least 2")],
)
def test_samples_that_cannot_be_tested_are_refused(sample, message):
    with pytest.raises(DataError, match=f"values of a t-test are .*{message}"):
        Summary.of(sample)


def test_summaries_that_cannot_be_tested_are_refused():
    with pytest.raises(DataError, match="standard error of at least 0"):
        Summary(5, 1.0, -0.1)
    with pytest.raises(DataError, match="neither sample varies"):
        t_test(Summary.of([1.0, 1.0]), Summary.of([2.0, 2.0]), pooled=True)


def test_description_by_hand():
    # 0, 0, 0, 4: mean 1, squared deviations 1 1 1 9, third moment (-3 + 27) / 4 = 6, fourth (3 + 81) / 4 = 21.
    found = describe([0.0, 0.0, 0.0, 4.0, float("nan")])
    assert found["n"] == 4 and (found["min"], found["mean"], found["max"]) == (0.0, 1.0, 4.0)
    assert found["sd"] == pytest.approx(2.0)
    assert found["skewness"] == pytest.approx(6.0 / 3.0**1.5)
    assert found["kurtosis"] == pytest.approx(21.0 / 9.0)


def test_description_of_little():
    assert describe([])["n"] == 0 and np.isnan(describe([])["mean"])
    one = describe([2.0])
    assert one["mean"] == 2.0 and np.isnan(one["sd"])
    assert np.isnan(describe([2.0, 2.0])["skewness"])
    with pytest.raises(DataError, match="1 dimension"):
        describe([[1.0]])
