"""The results table: scales, averages, stable bytes and refused files."""

import math

import numpy as np
import pandas as pd
import pytest

from jaxsoil.evaluation import metrics, results
from jaxsoil.runs.errors import DataError

KEY = {"study": "region_out", "data": "twin", "model": "plsr", "seed": 0, "split": "test"}


def rows_for(region, observed, predicted, **changes):
    return results.metric_rows(observed, predicted, **{**KEY, "region": region, **changes})


def pick(frame, scale, metric):
    rows = frame[(frame["scale"] == scale) & (frame["metric"] == metric)]
    assert len(rows) == 1
    return rows.iloc[0]


def test_the_scale_in_percent_takes_the_mean_and_the_logarithm_the_median():
    observed, median = np.array([1.0, 2.0, 4.0]), np.array([1.5, 2.0, 3.0])
    frame = results.as_frame(rows_for("a", observed, median, mean=1.2 * median))
    assert pick(frame, "percent", "rmse")["value"] == metrics.rmse(observed, 1.2 * median)
    assert pick(frame, "log10", "ccc")["value"] == metrics.ccc(np.log10(observed), np.log10(median))


def test_both_scales_are_scored():
    observed, predicted = np.array([1.0, 2.0, 4.0]), np.array([1.5, 2.0, 3.0])
    frame = results.as_frame(rows_for("a", observed, predicted))
    assert pick(frame, "percent", "ccc")["value"] == metrics.ccc(observed, predicted)
    assert pick(frame, "log10", "ccc")["value"] == metrics.ccc(np.log10(observed), np.log10(predicted))
    assert pick(frame, "percent", "rmse")["unit"] == "%"
    assert pick(frame, "log10", "rmse")["unit"] == "log10 %"
    assert pick(frame, "percent", "n")["value"] == 3
    assert pick(frame, "log10", "n_clipped")["value"] == 0


def test_values_under_the_floor_are_raised_and_counted():
    observed, predicted = np.array([0.001, 1.0, 2.0]), np.array([0.02, -0.3, 0.0])
    frame = results.as_frame(rows_for("a", observed, predicted))
    assert pick(frame, "log10", "n_clipped")["value"] == 2
    assert pick(frame, "log10", "n_clipped_observed")["value"] == 1
    expected = metrics.bias(np.log10([0.01, 1.0, 2.0]), np.log10([0.02, 0.01, 0.01]))
    assert pick(frame, "log10", "bias")["value"] == pytest.approx(expected)
    with pytest.raises(DataError, match="floor"):
        results.log10_percent(observed, floor=0.0)


def test_diverged_and_constant_regions_are_nan_and_do_not_stop_the_others():
    frame = results.as_frame(
        rows_for("diverged", [1.0, 2.0], [np.nan, 1.0])
        + rows_for("constant", [1.0, 1.0], [0.5, 1.0])
        + rows_for("fine", [1.0, 2.0], [1.1, 1.8])
        + rows_for("two", [1.0, 3.0], [1.1, 1.8])
    )
    mean = pick(results.over_regions(frame).query("seed == 'all'"), "percent", "ccc")
    fine = frame.query("metric == 'ccc' and scale == 'percent' and region in ('fine', 'two')")["value"]
    assert mean["mean"] == pytest.approx(fine.mean())
    assert (mean["regions"], mean["undefined"]) == (2, 2)
    assert pick(results.over_regions(frame).query("seed == 'all'"), "percent", "rmse")["regions"] == 3


def test_mrmse_is_in_percent_reflectance():
    key = {**KEY, "region": "a"}
    row = pick(results.as_frame([results.mrmse_row(np.array([0.01, 0.02, 0.03]), **key)]), "reflectance", "mrmse")
    assert (row["value"], row["unit"]) == (pytest.approx(2.0), "%")
    diverged = results.mrmse_row(np.array([0.1, np.nan]), **key)
    assert np.isnan(np.float64(str(diverged["value"])))
    for wrong in (np.ones((2, 2)), np.array([]), np.array([-0.1])):
        with pytest.raises(DataError, match="one RMSE for each spectrum"):
            results.mrmse_row(wrong, **key)


def test_over_regions_against_hand_computation():
    values = {("a", 0): 1.0, ("a", 1): 3.0, ("b", 0): 5.0, ("b", 1): 7.0}
    rows = [
        {
            **KEY,
            "property": "soc",
            "region": region,
            "seed": seed,
            "scale": "percent",
            "metric": "rmse",
            "value": v,
            "unit": "%",
        }
        for (region, seed), v in values.items()
    ]
    table = results.over_regions(results.as_frame(rows)).set_index("seed")
    assert table.loc["all", "mean"] == 4.0
    # SD of the region means 2 and 6 with n - 1 is sqrt(8); the four trainings are no four regions.
    assert table.loc["all", "se"] == pytest.approx(math.sqrt(8.0) / math.sqrt(2.0))
    assert table.loc["0", "mean"] == 3.0
    assert (table.loc["all", "values"], table.loc["all", "regions"]) == (4, 2)
    # A region that lost a seed weighs as much as one that did not: (2 + 5) / 2.
    lost = results.as_frame([row for row in rows if (row["region"], row["seed"]) != ("b", 1)])
    assert results.over_regions(lost).set_index("seed").loc["all", "mean"] == 3.5
    # Two draws that share rows, 2 test rows for 3 that train: variance 8 (1/2 + 2/3).
    drawn = results.over_regions(results.as_frame(rows), overlap=2.0 / 3.0).set_index("seed")
    assert drawn.loc["all", "se"] == pytest.approx(math.sqrt(8.0 * (0.5 + 2.0 / 3.0)))


def test_one_region_has_no_standard_error():
    table = results.over_regions(results.as_frame(rows_for("a", [1.0, 2.0], [1.0, 2.5])))
    assert np.isnan(table["se"].to_numpy()).all()


def test_bytes_do_not_depend_on_the_order_of_rows(tmp_path):
    rng = np.random.default_rng(0)
    rows = []
    # Names that a careless reader turns into a missing value or a number.
    for region in ("NA", "007", "with, comma", "nan"):
        observed = rng.lognormal(size=20)
        rows += rows_for(region, observed, observed * rng.lognormal(sigma=0.2, size=20))
    rows += rows_for("undefined", [1.0, 1.0], [1.0, 2.0])
    frame = results.as_frame(rows)
    results.write_results(tmp_path / "a.csv", frame)
    again = results.read_results(tmp_path / "a.csv")
    results.write_results(tmp_path / "b.csv", again.sample(frac=1.0, random_state=3))
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert set(again["region"]) == {"NA", "007", "with, comma", "nan", "undefined"}
    np.testing.assert_allclose(again["value"], frame["value"], rtol=1e-8)
    assert len(list(tmp_path.iterdir())) == 2


def broken(tmp_path, change):
    frame = results.as_frame(rows_for("a", [1.0, 2.0], [1.0, 2.5])).astype(object)
    path = tmp_path / "results.csv"
    change(frame).to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="unit"), r"missing: unit"),
        (lambda f: f.assign(extra=1), r"unknown: extra"),
        (lambda f: f.assign(value="1,2x"), r"column value, row 1: not a number \(found: 1,2x"),
        (lambda f: f.assign(value=""), r"column value, row 1: not a number"),
        (lambda f: f.assign(seed="0.5"), r"column seed, row 1: not a whole number"),
        (lambda f: f.assign(seed="inf"), r"column seed, row 1: not a whole number"),
        (lambda f: pd.concat([f, f.head(1)]), r"1 rows repeat the key"),
    ],
)
def test_broken_files_are_refused(tmp_path, change, message):
    path = broken(tmp_path, change)
    with pytest.raises(DataError, match=message) as caught:
        results.read_results(path)
    assert "results.csv" in str(caught.value)


def test_missing_and_empty_files_are_refused(tmp_path):
    with pytest.raises(DataError, match="no results file"):
        results.read_results(tmp_path / "results.csv")
    (tmp_path / "results.csv").write_text("")
    with pytest.raises(DataError, match="this is not a table"):
        results.read_results(tmp_path / "results.csv")


def test_nothing_is_written_when_rows_are_wrong(tmp_path):
    frame = results.as_frame(rows_for("a", [1.0, 2.0], [1.0, 2.5])).drop(columns="unit")
    with pytest.raises(DataError, match="missing: unit"):
        results.write_results(tmp_path / "results.csv", frame)
    assert not list(tmp_path.iterdir())


STRATEGY = {"study": "multifidelity", "data": "twin", "model": "mlp", "region": "all", "seed": 0, "split": "test"}
OWN = ("strategy", "task")


def strategy_rows(name, prop="clay", **changes):
    keys = {**STRATEGY, "property": prop, "strategy": name, "task": "multi", **changes}
    observed, predicted = np.array([10.0, 20.0, 30.0]), np.array([11.0, 19.0, 33.0])
    return results.score_rows(
        observed, predicted, unit="%", scale="percent", keys=keys, metrics=("rmse", "ccc", "bias")
    )


def test_any_property_is_scored_with_a_studys_own_keys(tmp_path):
    rows = strategy_rows("007") + strategy_rows("NA") + strategy_rows("NA", prop="ph")
    frame = results.as_frame(rows, OWN)
    assert tuple(frame.columns) == results.columns_of(OWN)
    assert tuple(frame.columns)[7:11] == ("strategy", "task", "scale", "metric")
    chosen = frame.query("strategy == 'NA' and property == 'clay'").set_index("metric")
    # Errors 1, -1, 3: mean 1 and RMSE sqrt(11/3).
    values = pd.Series(chosen["value"]).to_dict()
    assert values["bias"] == pytest.approx(1.0)
    assert values["rmse"] == pytest.approx(math.sqrt(11.0 / 3.0))
    assert chosen["unit"].to_dict() == {"bias": "%", "ccc": "1", "n": "count", "rmse": "%"}
    results.write_results(tmp_path / "results.csv", frame, OWN)
    again = results.read_results(tmp_path / "results.csv", OWN)
    assert sorted(set(again["strategy"])) == ["007", "NA"] and len(again) == len(rows) == 12
    with pytest.raises(DataError, match=r"results\.csv: wrong columns \(missing: none; unknown: strategy, task\)"):
        results.read_results(tmp_path / "results.csv")
    with pytest.raises(DataError, match="column task: a row has no value"):
        results.as_frame([*rows, {k: v for k, v in rows[0].items() if k != "task"}], OWN)


def test_own_keys_part_averages_and_the_mean_of_all_seeds_is_no_replicate():
    rows = [row for seed in (0, 1) for row in strategy_rows("a", seed=seed)]
    rows += strategy_rows("b") + strategy_rows("a", seed=results.ALL_SEEDS)
    table = results.over_regions(results.as_frame(rows, OWN), OWN)
    chosen = table.query("seed == 'all' and metric == 'rmse'").set_index("strategy")
    assert chosen["values"].to_dict() == {"a": 2, "b": 1}
    assert set(table["seed"]) == {"all", "0", "1"}


def test_own_numbers_have_the_unit_given_and_known_ones_without_unit_none():
    keys = {**STRATEGY, "property": "soc"}
    rows = results.value_rows({"mae": 0.5, "r2": 0.9, "bias": 0.1}, unit="%", scale="percent", keys=keys)
    assert [(row["metric"], row["unit"]) for row in rows] == [("mae", "%"), ("r2", "1"), ("bias", "%")]


def test_a_file_of_an_earlier_version_is_said_to_be_one(tmp_path):
    frame = results.as_frame(rows_for("a", [1.0, 2.0], [1.0, 2.5])).drop(columns="property")
    frame.to_csv(tmp_path / "results.csv", index=False)
    with pytest.raises(DataError, match=r"earlier version\. Run the study again with --overwrite\."):
        results.read_results(tmp_path / "results.csv")


def test_a_file_cut_anywhere_but_at_the_end_of_a_line_is_refused(tmp_path):
    path = tmp_path / "results.csv"
    results.write_results(path, results.as_frame(rows_for("a", [1.0, 2.0], [1.0, 2.5])))
    whole = path.read_bytes()
    for length in range(len(whole)):
        if whole[length - 1 : length] == b"\n":
            continue
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"results\.csv: this is not a table"):
            results.read_results(path)
