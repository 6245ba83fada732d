"""Alarms on rows whose failures are known: seen, unseen, one kind only, diverged, without decoder."""

import numpy as np
import pytest
from alarm_samples import make_samples
from sklearn.metrics import roc_auc_score

from jaxsoil.evaluation import alarm
from jaxsoil.evaluation.applicability import critical_limit
from jaxsoil.evaluation.roc import auroc_over_regions
from jaxsoil.runs.errors import DataError

REGIONS = ("A", "B", "C", "D", "E", "F", "G", "H")
FAILING = ("B", "D", "G")


@pytest.fixture(scope="module")
def rows():
    return make_samples(REGIONS, failing=FAILING, seeds=2)


@pytest.fixture(scope="module")
def tables(rows):
    return alarm.alarm_tables(rows)


def test_failing_regions_are_found(tables):
    frame = tables.regions
    assert len(frame) == 2 * 8 * 2 and not tables.left_out
    assert set(frame.loc[frame["fail_r2"] > 0, "region"]) == set(FAILING)
    assert set(FAILING) <= set(frame.loc[frame["fail_rmse"] > 0, "region"])
    assert tables.models == ["none", "ann"]


def test_a_row_by_hand(rows, tables):
    mine = rows[(rows["model"] == "ann") & (rows["region"] == "B") & (rows["seed"] == 1)]
    train, test = mine[mine["split"] == "train"], mine[mine["split"] == "test"]
    row = tables.regions.query("model == 'ann' and region == 'B' and seed == 1").iloc[0]
    squared = (train["predicted"] - train["observed"]) ** 2
    assert row["rmse_limit"] == pytest.approx(np.percentile(np.sqrt(squared.groupby(train["row_region"]).mean()), 90))
    unit = train["spectrum_rmse"].mean()
    assert row["score_spectrum_rmse"] == pytest.approx(test["spectrum_rmse"].mean() / unit)
    means = train.groupby("row_region")["spectrum_rmse"].mean()
    assert row["limit_spectrum_rmse"] == pytest.approx(np.percentile(means, 95) / unit)
    samples = tables.samples.query("model == 'ann' and region == 'B' and seed == 1")
    expected = np.abs(test["predicted"] - test["observed"]).to_numpy() > 2 * np.sqrt(squared.mean())
    assert (samples["fail_percent"].to_numpy() > 0).tolist() == expected.tolist()
    assert samples["percentile_latent_distance"].iloc[0] == pytest.approx(
        np.percentile(train["latent_distance"], 95) / train["latent_distance"].mean()
    )
    assert samples["chi_square_latent_distance"].iloc[0] == pytest.approx(
        critical_limit(train["latent_distance"]).value / train["latent_distance"].mean()
    )


def test_thresholds_of_other_regions_leave_out_the_own_region(tables):
    mine = tables.samples.query("model == 'ann' and seed == 0")
    own, others = mine[mine["region"] == "C"], mine[mine["region"] != "C"]
    limit = np.percentile(others["score_spectrum_rmse"], 95)
    assert own["other_regions_spectrum_rmse"].unique() == pytest.approx([limit])


def test_scores_do_not_depend_on_labels_of_the_held_out_region(rows, tables):
    changed = rows.query("model == 'ann' and seed == 1").reset_index(drop=True)
    test = changed["split"] == "test"
    changed.loc[test, "observed"] = changed.loc[test, "observed"].to_numpy()[::-1] * 1.7
    again, before = alarm.alarm_tables(changed).samples, tables.samples.query("model == 'ann' and seed == 1")
    assert len(again) == len(before) > 0
    for name in again.columns:
        if name.split("_")[0] in ("score", "percentile", "chi", "other"):
            np.testing.assert_array_equal(again[name], before[name])


def areas(tables, replicates=50, **draw):
    return alarm.area_rows(tables, replicates=replicates, **draw).set_index(["model", "failure", "alarm"])


def outcomes(tables):
    return alarm.outcome_rows(tables).set_index(["model", "failure", "alarm", "rule"])


def test_a_visible_failure_is_ranked_first(tables):
    found = areas(tables)
    for score in ("spectrum_rmse", "latent_distance"):
        row = found.loc[("ann", "fail_r2", score)]
        assert row["auroc"] == 1.0 and (row["failures"], row["units"]) == (6, 16)
    assert ("none", "fail_r2", "spectrum_rmse") not in found.index
    mine = tables.samples[tables.samples["model"] == "ann"]
    expected = roc_auc_score(mine["fail_percent"], mine["score_spectrum_rmse"])
    row = found.loc[("ann", "fail_percent", "spectrum_rmse")]
    assert row["auroc"] == pytest.approx(expected, abs=1e-12)
    assert row["low"] < row["auroc"] < row["high"]


def test_rows_hold_areas_tests_and_their_seed(tables):
    rows = alarm.area_rows(tables, replicates=300, seed=5)
    assert tuple(rows.columns) == alarm.AREA_COLUMNS and set(rows["seed"]) == {5} and set(rows["replicates"]) == {300}
    table = rows.set_index(["model", "failure", "alarm"])
    # Three failing regions of eight, all ranked first: 2 of the 56 ways to draw three are as uneven.
    row = table.loc[("ann", "fail_r2", "spectrum_rmse")]
    assert row["p"] == row["least_p"] == pytest.approx(2 / 56)
    assert (row["failing_regions"], row["other_regions"], row["auroc"]) == (3, 5, 1.0)
    mine = tables.samples[tables.samples["model"] == "ann"]
    units = (mine["fail_percent"].to_numpy() > 0, mine["score_spectrum_rmse"], mine["region"])
    sample, drawn = table.loc[("ann", "fail_percent", "spectrum_rmse")], {"replicates": 300, "seed": 5}
    assert np.isnan(sample["p"]) and sample["low"] == auroc_over_regions(*units, **drawn).low
    assert areas(tables, replicates=300, seed=6).loc[sample.name, "low"] != sample["low"]


def test_curves_have_the_areas_under_them(tables):
    found, curves = areas(tables), alarm.curve_rows(tables, points=10**6)
    assert tuple(curves.columns) == alarm.CURVE_COLUMNS
    for key, curve in curves.groupby(["model", "failure", "alarm"]):
        assert np.trapezoid(curve["caught"], curve["false_alarms"]) == pytest.approx(found.loc[key, "auroc"])
    few = alarm.curve_rows(tables, points=20).query(
        "model == 'ann' and failure == 'fail_log10' and alarm == 'predicted'"
    )
    assert len(few) == 20 and few.iloc[[0, -1]][["false_alarms", "caught"]].to_numpy().tolist() == [[0, 0], [1, 1]]


def test_an_invisible_failure_is_not_ranked():
    hidden = alarm.alarm_tables(make_samples(REGIONS, models=("ann",), failing=FAILING, visible=False, n=200))
    row = areas(hidden).loc[("ann", "fail_percent", "spectrum_rmse")]
    assert abs(row["auroc"] - 0.5) < 0.1
    assert row["low"] < 0.5 < row["high"]


def test_nothing_failed_is_said():
    tables = alarm.alarm_tables(make_samples(REGIONS, models=("ann",)))
    row = areas(tables).loc[("ann", "fail_r2", "spectrum_rmse")]
    assert np.isnan(row["auroc"]) and row["reason"] == "nothing failed"
    assert "fail_r2" not in set(alarm.curve_rows(tables)["failure"])
    outcome = outcomes(tables).loc[("ann", "fail_r2", "spectrum_rmse", "training_regions")]
    assert np.isnan(outcome["caught"]) and outcome["failures"] == 0


def test_what_a_threshold_costs_and_saves(tables):
    rows = alarm.outcome_rows(tables)
    assert tuple(rows.columns) == alarm.OUTCOME_COLUMNS
    table = outcomes(tables)
    assert len(table) == len(table.index.unique())
    mine = tables.samples[tables.samples["model"] == "ann"]
    for failure, rule, alarm_name in (
        ("fail_percent", "percentile", "spectrum_rmse"),
        ("fail_log10", "chi_square", "latent_distance"),
    ):
        outcome = table.loc[("ann", failure, alarm_name, rule)]
        flagged = (mine[f"score_{alarm_name}"] > mine[f"{rule}_{alarm_name}"]).to_numpy()
        failed = mine[failure].to_numpy() > 0
        assert outcome["flagged"] == pytest.approx(flagged.mean())
        assert outcome["caught"] == pytest.approx((flagged & failed).sum() / failed.sum())
        assert outcome["false"] == pytest.approx((flagged & ~failed).sum() / (~failed).sum())
        assert outcome["rmse_accepted"] == pytest.approx(np.sqrt(np.mean(mine["error"][~flagged] ** 2)))
        assert outcome["rmse_accepted"] < outcome["rmse"]
    region = table.loc[("ann", "fail_r2", "spectrum_rmse", "training_regions")]
    assert (region["caught"], region["units"], region["failures"]) == (1.0, 16, 6) and np.isnan(region["rmse"])


def test_no_rule_where_there_is_no_decoder(tables):
    found = {key[:1] + key[2:] for key in outcomes(tables).index}
    assert not any(key[:2] == ("none", "spectrum_rmse") for key in found)
    assert ("ann", "predicted", "chi_square") not in found and ("ann", "predicted", "percentile") in found


def test_a_diverged_trial_is_left_out_by_name(rows):
    broken = rows.copy()
    chosen = (broken["model"] == "ann") & (broken["region"] == "B") & (broken["seed"] == 0)
    broken.loc[chosen, ["predicted", "spectrum_rmse", "latent_distance"]] = np.nan
    tables = alarm.alarm_tables(broken)
    assert tables.left_out == ("ann, region B, seed 0: diverged",)
    assert areas(tables).loc[("ann", "fail_r2", "spectrum_rmse"), "units"] == 15


def test_everything_diverged(rows):
    tables = alarm.alarm_tables(rows.assign(predicted=np.nan))
    assert len(tables.left_out) == 32 and not len(tables.regions)
    assert alarm.area_rows(tables).empty and alarm.outcome_rows(tables).empty and alarm.curve_rows(tables).empty


def test_two_regions_and_a_constant_one():
    rows = make_samples(("A", "B"), models=("ann",))
    rows.loc[rows["row_region"] == "A", "observed"] = 1.0
    tables = alarm.alarm_tables(rows)
    by_region = tables.regions.set_index("region")
    assert np.isnan(by_region.loc["A", "fail_r2"]) and np.isfinite(by_region.loc["A", "fail_rmse"])
    row = areas(tables).loc[("ann", "fail_r2", "predicted")]
    assert row["units"] == 1 and np.isnan(row["auroc"])


def test_wrong_tables_are_refused(rows):
    with pytest.raises(DataError, match="columns are missing: latent_distance"):
        alarm.alarm_tables(rows.drop(columns="latent_distance"))
    with pytest.raises(DataError, match=r"no training rows or no test rows \(found: none, A, seed 0: 0 and 40\)"):
        alarm.alarm_tables(rows[rows["split"] == "test"])
