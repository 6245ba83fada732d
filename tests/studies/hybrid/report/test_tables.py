"""The published numbers of the hybrid data set, and what they imply, against SciPy's distributions."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from scipy.stats import lognorm, norm

from jaxsoil.studies.hybrid.results import ALL, NORMAL_RATIO, lognormal_sigma, normal_rpiq, skew_table


def test_what_the_printed_numbers_imply() -> None:
    values = {"r2": 0.5, "rpiq": 1.2, "sd": 2.0, "iqr": 2.4, "rmse": 2.0}
    rows = pd.DataFrame({"metric": list(values), "value": list(values.values()), "split": "random", "model": "cnn"})
    rows = rows.assign(region=ALL, harmonisation="none", property="sand")
    elsewhere = [rows.assign(value=9.0, region="A"), rows.assign(value=9.0, harmonisation="direct")]
    found = skew_table(pd.concat([rows, *elsewhere]), "none", ["sand", "carbon"])
    assert list(zip(found["property"], found["source"], strict=True)) == [("carbon", "published"), ("sand", "here")]
    carbon, sand = (found.iloc[place] for place in (0, 1))
    assert carbon["sd"] == pytest.approx(15.41 / 0.2) and carbon["iqr"] == pytest.approx(21.27, abs=0.01)
    # Back from what follows to what is printed.
    assert 1.0 - (15.41 / carbon["sd"]) ** 2 == pytest.approx(0.96)
    assert carbon["normal"] == pytest.approx((norm.ppf(0.75) - norm.ppf(0.25)) / 0.2, rel=1e-6)
    assert sand[["r2", "rpiq", "sd", "iqr", "ratio"]].tolist() == pytest.approx([0.5, 1.2, 2.0, 2.4, 1.2])
    law = lognorm(sand["lognormal"])
    assert (law.ppf(0.75) - law.ppf(0.25)) / law.std() == pytest.approx(1.2, rel=1e-6)


@pytest.mark.parametrize("sigma", [0.2, 0.8, 1.5, 2.2])
def test_the_spread_of_logarithms_is_that_of_scipys_lognormal_law(sigma: float) -> None:
    law = lognorm(sigma)
    ratio = (law.ppf(0.75) - law.ppf(0.25)) / law.std()
    assert lognormal_sigma(ratio) == pytest.approx(sigma, rel=1e-5)


def test_no_lognormal_law_is_less_skewed_than_a_normal_one() -> None:
    assert math.isnan(lognormal_sigma(NORMAL_RATIO + 0.01)) and math.isnan(lognormal_sigma(0.0))
    assert math.isnan(normal_rpiq(1.0))
