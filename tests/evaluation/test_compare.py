"""Paired differences and rank orders against SciPy and cases that are plain to see."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau, ttest_rel

from jaxsoil.evaluation.compare import MEAN, paired_differences, rank_agreement, t_interval
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
