"""Tables: formats, marks, text from data that must stay text, and cells from data frames."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from jaxsoil.report.tables import (
    DASH,
    UNDEFINED,
    Table,
    cell,
    mean_sd,
    natural_sorted,
    number,
    pivot_table,
    plus_minus,
    rows_table,
)

NASTY = '<script>alert(1)</script> a|b *c* `d` \n# e [x](javascript:1) & "q"'


def test_numbers():
    assert number(-0.1234, 2) == "\u22120.12"
    assert number(-0.0001, 2) == "0.00"
    assert number(float("nan")) == number(None) == number(float("inf")) == UNDEFINED
    assert plus_minus(1.0, 0.25, 2) == "1.00 ± 0.25"
    assert plus_minus(1.0, float("nan"), 2) == "1.00"
    assert plus_minus(float("nan"), 0.1) == UNDEFINED


def test_natural_order():
    assert natural_sorted({"10", "2", "b", "a10", "a9", "B"}) == ["2", "10", "a9", "a10", "B", "b"]


def test_markdown_table_keeps_its_columns():
    table = Table("Caption.", ("Name", "x", "why"), ((NASTY, "1", "t"),), ("a note",), left=(0, -1))
    lines = table.markdown().splitlines()
    assert lines[3] == "| --- | ---: | --- |"
    cells = lines[4].replace("\\|", "").split("|")
    assert len(cells) == 5
    assert "<script>" not in lines[4] and "&lt;script&gt;" in lines[4]
    assert "\\[x\\](javascript" in lines[4]
    assert lines[-1] == "- a note"


def test_rows_of_wrong_length_are_refused():
    with pytest.raises(ValueError, match="2 columns but a row of 1"):
        Table("Caption.", ("a", "b"), (("1",),))


def test_means_are_those_of_scipy() -> None:
    values = [0.3, 1.7, np.nan, 2.2, np.inf]
    finite = [0.3, 1.7, 2.2]
    np.testing.assert_allclose(mean_sd(values), (np.mean(finite), stats.tstd(finite), 3))
    assert mean_sd([1.5]).text(1) == "1.5" and np.isnan(mean_sd([1.5]).sd)
    assert mean_sd([]).n == 0 and mean_sd([]).text() == UNDEFINED
    assert mean_sd([1.0, 3.0]).text(2) == "2.00 ± 1.41"


def test_a_cell_shows_its_numbers() -> None:
    assert cell(0.5) == cell((0.5,)) == "0.500"
    assert cell((0.5, 0.1), 1) == "0.5 ± 0.1" and cell((0.5, np.nan), 1) == "0.5"
    assert cell((0.5, -0.1, 1.1), 1) == "0.5 [−0.1, 1.1]" and cell((0.5, np.nan, np.nan), 1) == "0.5"
    assert cell(1234, "{:,}") == "1,234" and cell("as published", 2) == "as published"
    assert cell((1.0, 2.0, 3.0, 4.0), lambda *parts: f"{sum(parts):g}") == "10"
    assert cell(None) == cell(np.nan) == UNDEFINED


LONG = pd.DataFrame(
    [("b", "rmse", 0.25, 0.01, False), ("b", "ccc", 0.9, 0.02, True), ("a", "rmse", np.nan, np.nan, False)],
    columns=["model", "metric", "mean", "se", "doubtful"],
)


def test_a_pivot_has_a_cell_for_each_pair() -> None:
    table = pivot_table(
        LONG,
        {"model": "Network"},
        "metric",
        ("mean", "se"),
        title="Scores.",
        fmt={"ccc": 2},
        order={"metric": ("ccc", "rmse", "bias"), "model": ("a", "b", "c")},
        labels={"model": {"a": "A"}, "metric": str.upper},
        units={"rmse": "%", "ccc": "1"},
        marks={"model": "doubtful"},
        notes=("A note.",),
    )
    assert table.header == ("Network", "CCC", "RMSE (%)", "BIAS")
    assert table.rows == (("A", DASH, UNDEFINED, DASH), ("b †", "0.90 ± 0.02", "0.250 ± 0.010", DASH))
    assert table.notes == ("A note.",) and table.left == (0,)


def test_a_pivot_keeps_the_order_of_the_frame_and_marks_cells() -> None:
    table = pivot_table(LONG, "model", "metric", "mean", title="t", marks={"mean": "doubtful"}, missing="")
    assert table.header == ("Model", "rmse", "ccc")
    assert table.rows == (("b", "0.250", "0.900 †"), ("a", UNDEFINED, ""))


def test_several_lines_of_a_cell_are_combined_or_refused() -> None:
    twice = pd.concat([LONG, LONG.assign(mean=LONG["mean"] + 0.5)])
    with pytest.raises(ValueError, match="2 lines for the cell"):
        pivot_table(twice, "model", "metric", "mean", title="t")
    table = pivot_table(twice, "model", "metric", "mean", title="t", combine=mean_sd, fmt={"b": 2, "a": 1})
    assert table.rows[0] == ("b", f"0.50 ± {np.std([0.25, 0.75], ddof=1):.2f}", "1.15 ± 0.35")
    table = pivot_table(twice, "model", "metric", "mean", title="t", combine=np.mean, fmt="{:.1f}")
    assert table.rows[0] == ("b", "0.5", "1.1")


def test_rows_and_columns_may_have_several_levels() -> None:
    frame = pd.DataFrame(
        [("after", "x", "test", "r2", 1.0), ("before", "y", "train", "r2", 2.0), ("before", "x", "test", "n", 3.0)],
        columns=["stage", "model", "split", "metric", "value"],
    )
    table = pivot_table(
        frame,
        ["stage", "model"],
        ["split", "metric"],
        "value",
        title="t",
        fmt=0,
        order={"stage": ("before", "after"), "split": ("train", "test"), "metric": ("n", "r2")},
        heading=lambda split, metric: f"{metric}, {split}",
        missing="",
    )
    assert table.header == ("Stage", "Model", "n, train", "r2, train", "n, test", "r2, test")
    # Within a stage the models stand as the frame has them.
    assert table.rows == (
        ("before", "y", "", "2", "", ""), ("before", "x", "", "", "3", ""), ("after", "x", "", "", "", "1"),
    )  # fmt: skip
    assert table.left == (0, 1)
    plain = pivot_table(frame, "model", ["split", "metric"], "value", title="t")
    assert plain.header == ("Model", "test, r2", "train, r2", "test, n")


def test_an_empty_frame_is_a_table_without_rows() -> None:
    table = pivot_table(LONG.iloc[:0], "model", "metric", "mean", title="t", order={"metric": ("ccc",)})
    assert table.header == ("Model", "ccc") and table.rows == ()


def test_a_row_for_each_line() -> None:
    table = rows_table(
        LONG.assign(n=[1200, 3, 4], why=["", None, "few"]),
        {"model": "Model", "n": ("n", "{:,}"), ("mean", "se"): ("CCC", 2), "metric": ("Metric", str), "why": "Why"},
        title="t",
        labels={"model": {"b": "Big"}},
        marks={"mean": "doubtful", "model": "doubtful"},
    )
    assert table.header == ("Model", "n", "CCC", "Metric", "Why") and table.left == (0, 4)
    assert table.rows == (
        ("Big", "1,200", "0.25 ± 0.01", "rmse", ""),
        ("Big †", "3", "0.90 ± 0.02 †", "ccc", DASH),
        ("a", "4", UNDEFINED, "rmse", "few"),
    )
