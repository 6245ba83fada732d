"""Tables of a sweep, on results written by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from jaxsoil.report import sweep as report
from jaxsoil.sweep import tables


def results(rows: list[tuple[str, str, str, str]]) -> pd.DataFrame:
    """sweep.csv as text, of (point, model, input, value); the point's name is the value of its field ``input``."""
    shared = {"study": "toy", "property": "soc", "split": "test", "scale": "log10", "metric": "ccc", "unit": "1",
              "seed": "0", "region": "a"}  # fmt: skip
    return pd.DataFrame([
        {"point": point, "config.input": point, "model": model, "input": own, "value": value, **shared}
        for point, model, own, value in rows
    ])  # fmt: skip


def fields(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(table, columns=["point", "config.input"]).drop_duplicates()


def test_a_key_that_the_sweep_sets_does_not_part_its_points() -> None:
    table = results([("snv", "net", "snv", "0.8"), ("raw", "net", "raw", "0.5"), ("raw", "plsr", "snv", "0.6")])
    scores = tables.point_scores(table)
    assert set(scores["part"]) == {""}
    best = tables.best_points(scores)
    ranked = {(row["model"], row["point"]): (row["rank"], row["of"]) for _, row in best.iterrows()}
    assert ranked == {("net", "snv"): (1, 2), ("net", "raw"): (2, 2), ("plsr", "raw"): (1, 1)}
    effects = tables.effects(scores, fields(table))
    nets = effects[effects["model"] == "net"]
    assert dict(zip(nets["setting"], nets["mean"], strict=True)) == {"snv": 0.8, "raw": 0.5}


def test_a_key_of_which_a_point_has_several_values_parts_them() -> None:
    table = results([("both", "net", "snv", "0.8"), ("both", "net", "raw", "0.5"), ("raw", "net", "raw", "0.4")])
    assert set(tables.point_scores(table)["part"]) == {"input=snv", "input=raw"}


def test_tables_of_a_sweep_without_a_finished_point_are_empty() -> None:
    table = results([("x", "net", "x", "0.5")]).head(0)
    scores = tables.point_scores(table)
    assert scores.empty and tables.best_points(scores).empty and tables.effects(scores, fields(table)).empty


@pytest.mark.parametrize(
    ("models", "said"),
    [
        (("none", "ann"), ("none", "ann", 0.3)),  # Each value has a model of its own: the models are compared.
        (("net", "net"), ("net", "net", 0.3)),
    ],
)
def test_the_largest_effect_is_of_one_model_unless_the_field_chooses_it(models: tuple[str, str], said: tuple) -> None:
    table = results([("x", models[0], "x", "0.5"), ("y", models[1], "y", "0.8")])
    scores = tables.point_scores(table)
    effects = tables.effects(scores, fields(table))
    found = report._largest([report._Shown("ccc", "toy", "", effects, tables.best_points(scores), scores)])
    assert found is not None
    lowest, highest = found["low"], found["high"]
    assert (lowest["model"], highest["model"], round(highest["mean"] - lowest["mean"], 6)) == said
