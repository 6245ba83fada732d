"""Tables of held-out predictions, against closed forms and errors of a known distribution."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest
from layers_study import TINY
from scipy import stats

from jaxsoil.evaluation.results import ALL_SEEDS
from jaxsoil.studies.layers import scores
from jaxsoil.studies.layers.prepare import LayersData
from jaxsoil.studies.layers.trainings import TrainingResult


def result(held_out: np.ndarray, probe: np.ndarray | None = None) -> TrainingResult:
    probe = np.empty((2, 0, held_out.shape[1])) if probe is None else probe
    return TrainingResult(held_out, probe, np.ones(1, bool), np.ones(1, bool), np.empty((0, 3)), {})


def many_sites(prepared: LayersData, n: int = 3000) -> LayersData:
    """More sites than the small study has, with values whose distribution is known."""
    rng = np.random.default_rng(0)
    picked = rng.integers(0, len(prepared.sites), n)
    sites = prepared.sites.take(picked)
    values = np.exp(rng.normal(0.0, 0.4, (n, 6)))
    values[rng.uniform(size=n) < 0.4, 5] = np.nan
    sites = dataclasses.replace(sites, values=values, ids=np.array([f"s{number}" for number in range(n)]))
    folds = {"random": rng.integers(0, 5, n)}
    return dataclasses.replace(
        prepared, sites=sites, folds=folds, row=prepared.row[picked], col=prepared.col[picked],
        block=prepared.block[picked], windows=prepared.windows[picked],
    )  # fmt: skip


def test_intervals_cover_what_they_state_and_each_gap_is_left_out(prepared: LayersData) -> None:
    study, rng = many_sites(prepared), np.random.default_rng(1)
    held_out = np.nan_to_num(study.to_scale(study.sites.values)) + rng.normal(0.0, 0.2, study.sites.values.shape)
    table: Any = scores.predictions(study, TINY, "multitask", "random", [result(held_out), result(held_out + 0.01)])
    assert len(table) == 3 * study.seen.sum() and set(table["seed"]) == {0, 1, ALL_SEEDS}
    found = scores.coverage(table, TINY.coverage)["coverage"].to_numpy()
    assert np.abs(found - 0.9).max() < 0.02
    assert table[table["seed"] != ALL_SEEDS]["low"].isna().all()


def test_smearing_makes_means_of_medians_and_knows_other_folds_alone(prepared: LayersData) -> None:
    """Log-normal errors of SD s: the factor is exp(s^2 / 2), and the corrected predictions are unbiased."""
    rng, n = np.random.default_rng(5), 20000
    fold = rng.integers(0, 2, n)
    predicted = np.full((n, 1), 1.2)
    values = np.expm1(predicted + rng.normal(0.0, 0.5, (n, 1)))
    rows = np.arange(n) % len(prepared.sites)
    sites = dataclasses.replace(prepared.sites.take(rows), values=values, layers=prepared.layers[:1])
    kept = {name: getattr(prepared, name)[rows] for name in ("row", "col", "block", "windows")}
    data = dataclasses.replace(prepared, sites=sites, folds={"random": fold}, **kept)
    factor = scores.smearing(data, TINY, predicted, np.ones((n, 1), bool))
    assert factor[0] == pytest.approx(np.exp(0.125), rel=0.02)
    assert data.to_unit(predicted, factor).mean() == pytest.approx(values.mean(), rel=1e-9)
    own = scores.fold_smearing(data, TINY, fold, predicted)
    other = scores.smearing(data, TINY, predicted, (fold == 1)[:, None])
    assert (own[fold == 0] == other).all()
    plain = dataclasses.replace(TINY, smear=False)
    assert scores.smearing(data, plain, predicted, np.ones((n, 1), bool)).tolist() == [1.0]


def test_scores_are_the_textbooks(prepared: LayersData) -> None:
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(
        {
            "split": "random", "model": "cnn", "seed": 0, "fold": np.arange(40) % 2, "layer": ["a"] * 20 + ["b"] * 20,
            "observed": np.r_[rng.normal(10.0, 1.0, 20), rng.normal(1.0, 1.0, 20)],
        }
    )  # fmt: skip
    frame["predicted"] = frame.groupby("layer")["observed"].transform("mean")
    named = {"study": "layers", "data": "drawn", "property": "carbon"}
    found: Any = scores.score(frame, named, "%").set_index(["layer", "metric"])["value"]
    assert found["a", "r2"] == pytest.approx(0.0, abs=1e-9) and found["b", "n"] == 20
    # Pooled R2 of the layers' means is the share of variance between layers, and 0 within them.
    between = frame["predicted"].var(ddof=0) / frame["observed"].var(ddof=0)
    assert found[scores.POOLED, "r2"] == pytest.approx(between)
    assert found[scores.POOLED, "r2_within"] == pytest.approx(0.0, abs=1e-9)
    assert found[scores.POOLED, "r2_layers"] == pytest.approx(0.0, abs=1e-9)
    folds = scores.score_folds(frame)
    first = folds[(folds["fold"] == 0) & (folds["layer"] == "a")].iloc[0]
    rows = frame[(frame["fold"] == 0) & (frame["layer"] == "a")]
    assert first["rmse"] == pytest.approx(np.sqrt(((rows["predicted"] - rows["observed"]) ** 2).mean()))
    assert first["n"] == 10


def test_a_model_is_held_against_the_truth_in_its_unit(prepared: LayersData) -> None:
    study, rng = many_sites(prepared), np.random.default_rng(3)
    truth = np.exp(rng.normal(0.0, 0.4, (6, 500)))
    held_out = np.nan_to_num(study.to_scale(study.sites.values)) + rng.normal(0.0, 0.2, study.sites.values.shape)
    probe = study.to_scale(truth).T[None] + rng.normal(0.0, 0.2, (1, 500, 6)).repeat(2, axis=0)
    study = dataclasses.replace(study, folds={"random": study.folds["random"] % 2})
    plain = dataclasses.replace(TINY, smear=False)
    found: Any = scores.against_truth(study, plain, "cnn", "random", [result(held_out, probe)], truth)
    assert abs(found["coverage"].mean() - 0.9) < 0.02
    expected = 1 - ((study.to_unit(probe[0, :, 0]) - truth[0]) ** 2).sum() / ((truth[0] - truth[0].mean()) ** 2).sum()
    assert found["r2"].iloc[0] == pytest.approx(expected)
    single, pooled = found[:-1], found.iloc[-1]
    assert pooled["layer"] == scores.POOLED and pooled["coverage"] == pytest.approx(single["coverage"].mean())
    assert pooled["rmse"] == pytest.approx(np.sqrt((single["rmse"] ** 2).mean()))


def test_gains_are_percent_of_rmse_with_intervals_over_folds_and_blocks() -> None:
    """Errors of one model are a fixed share of the other's, so that both intervals are known."""
    rng = np.random.default_rng(4)
    error = np.abs(rng.normal(1.0, 0.2, 60))
    fold, frames = np.arange(60) % 3, []
    share = np.array([0.9, 0.8, 0.7])[fold]
    for model, size in (("transfer", share * error), ("cnn", error), ("mean", error)):
        for seed in (0, ALL_SEEDS):
            frames.append(
                pd.DataFrame(
                    {
                        "split": "blocks", "model": model, "seed": seed, "fold": fold, "block": np.arange(60) // 6,
                        "layer": "a", "observed": 5.0, "predicted": 5.0 + size,
                    }
                )
            )  # fmt: skip
    table = pd.concat(frames, ignore_index=True)
    found = scores.gains(table, scores.score_folds(table))
    assert [*zip(found["first"], found["second"], found["layer"], strict=True)] == [
        ("transfer", "cnn", "a"), ("transfer", "cnn", scores.POOLED)
    ]  # fmt: skip
    row: Any = found.iloc[0]
    assert row["gain"] == pytest.approx(20.0) and row["folds_better"] == row["folds"] == 3
    low, high = stats.t.interval(0.95, 2, 20.0, stats.sem([10.0, 20.0, 30.0]))
    assert (row["folds_low"], row["folds_high"]) == pytest.approx((low, high))
    blocks = [((share * error) ** 2).reshape(10, 6).sum(axis=1), (error**2).reshape(10, 6).sum(axis=1)]

    def ratio(one: np.ndarray, other: np.ndarray, axis: int) -> np.ndarray:
        return 100.0 * (1.0 - np.sqrt(one.sum(axis=axis) / other.sum(axis=axis)))

    twin = stats.bootstrap(blocks, ratio, paired=True, n_resamples=4000, method="percentile", rng=0, axis=0)
    ends = (twin.confidence_interval.low, twin.confidence_interval.high)
    assert (row["blocks_low"], row["blocks_high"]) == pytest.approx(ends, abs=0.3)
    assert row["verdict"] == "open" and row["blocks_low"] > 0.0
    again: Any = scores.gains(table, scores.score_folds(table), seed=1)
    assert again["blocks_low"][0] != row["blocks_low"] and again["seed"][0] == 1
