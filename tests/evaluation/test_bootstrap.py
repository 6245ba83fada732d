"""The bootstrap over test samples against loops over resamples, and a case whose interval is known."""

import numpy as np
import pandas as pd
import pytest

from jaxsoil.evaluation import metrics
from jaxsoil.evaluation.bootstrap import resampled_ccc, sample_intervals
from jaxsoil.runs.errors import DataError


def predictions(errors, n=40, seeds=(0, 1), properties=("ph", "clay"), same=True):
    """Rows of strategies whose predictions are off by noise of a size."""
    frames = []
    for seed in seeds:
        truth = np.random.default_rng(0 if same else seed).normal(size=(len(properties), n))
        for strategy, size in errors.items():
            for k, name in enumerate(properties):
                noise = size * np.random.default_rng([seed, k, len(strategy)]).normal(size=n)
                rows = {"id": [f"s{i}" for i in range(n)], "observed": truth[k], "predicted": truth[k] + noise}
                frames.append(pd.DataFrame(rows).assign(seed=seed, strategy=strategy, property=name))
    return pd.concat(frames, ignore_index=True)


def test_the_ccc_of_a_resample_is_that_of_its_rows():
    rng = np.random.default_rng(1)
    observed, counts = rng.normal(30.0, 2.0, 50), rng.multinomial(50, np.full(50, 0.02), size=20)
    predicted = observed + rng.normal(0.5, 1.0, 50)
    predicted[3] = np.nan
    counts[0] = 1
    for found, times in zip(resampled_ccc(observed, predicted, counts), counts, strict=True):
        rows = np.repeat(np.arange(50), times)
        rows = rows[rows != 3]
        assert found == pytest.approx(metrics.ccc(observed[rows], predicted[rows]), abs=1e-10)
    assert np.isnan(resampled_ccc(np.ones(5), np.ones(5), np.ones((2, 5)))).all()
    assert np.isnan(resampled_ccc(np.full(5, np.nan), np.ones(5), np.ones((2, 5)))).all()


def test_intervals_are_percentiles_of_paired_differences():
    """By hand: one seed, one property, the same resamples for both strategies."""
    table = predictions({"good": 0.3, "worse": 1.0}, seeds=(4,), properties=("ph",))
    row = sample_intervals(table, [("good", "worse")]).iloc[0]
    wide = table.pivot(index="id", columns="strategy", values="predicted")
    truth = table.drop_duplicates("id").set_index("id")["observed"].reindex(wide.index).to_numpy()
    rng = np.random.default_rng(9)
    counts = rng.multinomial(40, np.full(40, 1 / 40), size=4000)
    by_hand = resampled_ccc(truth, wide["good"].to_numpy(), counts) - resampled_ccc(
        truth, wide["worse"].to_numpy(), counts
    )
    # Another stream of resamples: the ends agree within the error of 1,000 draws.
    np.testing.assert_allclose(
        [row["low_samples"], row["high_samples"]], np.percentile(by_hand, [2.5, 97.5]), atol=0.03
    )
    assert 0 < row["low_samples"] < row["high_samples"]


def test_a_strategy_against_itself_differs_by_nothing():
    """Paired: whatever is drawn, the difference is 0."""
    table = predictions({"a": 1.0})
    both = pd.concat([table, table.assign(strategy="b")])
    found = sample_intervals(both, [("a", "b"), ("a", "absent")])
    assert found["property"].tolist() == ["ph", "clay", "mean"]
    np.testing.assert_array_equal(found[["low_samples", "high_samples"]], 0.0)


def test_more_test_sets_narrow_the_interval_and_the_same_one_does_not():
    def interval(table):
        return sample_intervals(table, [("good", "worse")]).iloc[-1][["low_samples", "high_samples"]].to_numpy(float)

    one = predictions({"good": 0.3, "worse": 1.0}, seeds=(0,))
    copies = pd.concat([one.assign(seed=seed) for seed in range(6)])
    np.testing.assert_allclose(interval(copies), interval(one), rtol=1e-12)
    others = predictions({"good": 0.3, "worse": 1.0}, seeds=range(6), same=False)
    assert np.ptp(interval(others)) < 0.7 * np.ptp(interval(one))


def test_a_strategy_with_one_seed_stands_against_all_and_the_seed_fixes_the_draws():
    table = predictions({"net": 0.5, "plsr": 0.8}, seeds=(0, 1, 2))
    single = table.loc[(table["strategy"] == "net") | (table["seed"] == 1)]
    one, again, other = (sample_intervals(single, [("net", "plsr")], seed=s) for s in (0, 0, 1))
    pd.testing.assert_frame_equal(one, again)
    assert np.isfinite(one[["low_samples", "high_samples"]]).all(axis=None) and not one.equals(other)


def test_bad_input_is_refused():
    table = predictions({"a": 1.0})
    with pytest.raises(DataError, match="observed"):
        sample_intervals(table.drop(columns="observed"), [])
