"""Tables of held-out predictions, against closed forms and errors of a known distribution."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest
from layers_study import TINY

from jaxsoil.studies.layers import scores
from jaxsoil.studies.layers.groups import Outcome
from jaxsoil.studies.layers.prepare import Prepared


def outcome(held_out: np.ndarray, probe: np.ndarray | None = None) -> Outcome:
    probe = np.empty((2, 0, held_out.shape[1])) if probe is None else probe
    return Outcome(held_out, probe, np.ones(1, bool), np.ones(1, bool), np.empty((0, 3)), {})


def many_sites(prepared: Prepared, n: int = 3000) -> Prepared:
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


def test_intervals_cover_what_they_state_and_each_gap_is_left_out(prepared: Prepared) -> None:
    study, rng = many_sites(prepared), np.random.default_rng(1)
    held_out = np.nan_to_num(study.to_scale(study.sites.values)) + rng.normal(0.0, 0.2, study.sites.values.shape)
    table: Any = scores.predictions(study, TINY, "multitask", "random", [outcome(held_out), outcome(held_out + 0.01)])
    assert len(table) == 3 * study.seen.sum() and set(table["seed"]) == {"0", "1", scores.ALL}
    found = scores.coverage(table, TINY.coverage)["coverage"].to_numpy()
    assert np.abs(found - 0.9).max() < 0.02
    assert table[table["seed"] != scores.ALL]["low"].isna().all()


def test_scores_are_the_textbooks(prepared: Prepared) -> None:
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(
        {
            "split": "random", "model": "cnn", "seed": "0", "fold": np.arange(40) % 2, "layer": ["a"] * 20 + ["b"] * 20,
            "observed": np.r_[rng.normal(10.0, 1.0, 20), rng.normal(1.0, 1.0, 20)],
        }
    )  # fmt: skip
    frame["predicted"] = frame.groupby("layer")["observed"].transform("mean")
    found = scores.score(frame).set_index("layer")
    assert found.loc["a", "r2"] == pytest.approx(0.0, abs=1e-9)
    # Pooled R2 of the layers' means is the share of variance between layers, and 0 within them.
    between = frame["predicted"].var(ddof=0) / frame["observed"].var(ddof=0)
    assert found.loc[scores.POOLED, "r2"] == pytest.approx(between)
    assert found.loc[scores.POOLED, "r2_within"] == pytest.approx(0.0, abs=1e-9)
    folds = scores.score_folds(frame.assign(seed="0"))
    first = folds[(folds["fold"] == 0) & (folds["layer"] == "a")].iloc[0]
    rows = frame[(frame["fold"] == 0) & (frame["layer"] == "a")]
    assert first["rmse"] == pytest.approx(np.sqrt(((rows["predicted"] - rows["observed"]) ** 2).mean()))
    assert first["n"] == 10


def test_a_model_is_held_against_the_truth_in_its_unit(prepared: Prepared) -> None:
    study, rng = many_sites(prepared), np.random.default_rng(3)
    truth = np.exp(rng.normal(0.0, 0.4, (6, 500)))
    held_out = np.nan_to_num(study.to_scale(study.sites.values)) + rng.normal(0.0, 0.2, study.sites.values.shape)
    probe = study.to_scale(truth).T[None] + rng.normal(0.0, 0.2, (1, 500, 6)).repeat(2, axis=0)
    study = dataclasses.replace(study, folds={"random": study.folds["random"] % 2})
    found: Any = scores.against_truth(study, TINY, "cnn", "random", [outcome(held_out, probe)], truth)
    assert abs(found["coverage"].mean() - 0.9) < 0.02
    expected = 1 - ((study.to_unit(probe[0, :, 0]) - truth[0]) ** 2).sum() / ((truth[0] - truth[0].mean()) ** 2).sum()
    assert found["r2"].iloc[0] == pytest.approx(expected)
