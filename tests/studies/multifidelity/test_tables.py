"""Means over properties are over those that every replicate has."""

from __future__ import annotations

import numpy as np
import pandas as pd

from jaxsoil.studies.multifidelity.tables import averaged, averages, differences


def scores(rows: list[tuple[int, str, str, float]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["seed", "strategy", "property", "ccc"])
    return table.assign(task="-", set="test", r2=table["ccc"] / 2, r2_corr=0.5, rpiq=1.0)


def test_a_mean_is_over_the_properties_of_all_replicates() -> None:
    # Only clay was measured in both held-out parts.
    given = scores([(0, "a", "clay", 0.4), (0, "a", "ph", 0.9), (0, "b", "clay", 0.3), (0, "b", "ph", 0.1),
                    (1, "a", "clay", 0.6), (1, "b", "clay", 0.2)])  # fmt: skip
    assert averaged(given) == ["clay"]
    found = averages(given).pivot(index="seed", columns=["strategy", "metric"], values="value")
    np.testing.assert_allclose(found["a", "ccc"], [0.4, 0.6])
    np.testing.assert_allclose(found["b", "r2"], [0.15, 0.1])
    rows = differences(given, pd.DataFrame()).set_index(["first", "second", "property"])["mean"]
    np.testing.assert_allclose([rows["a", "b", "mean"], rows["a", "b", "clay"]], 0.25)


def test_an_undefined_score_leaves_no_mean() -> None:
    given = scores([(0, "a", "clay", 0.4), (0, "a", "ph", float("nan"))])
    found = averages(given).set_index("metric")["value"]
    np.testing.assert_array_equal([found["ccc"], found["rpiq"]], [np.nan, 1.0])
