"""Choices that know nothing of the region they are scored on."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jaxsoil.data.library import Library, Property
from jaxsoil.runs.errors import UsageError
from jaxsoil.spectra.container import Spectra
from tools.choose_settings import CANDIDATE, choices, pairs_out, region_groups, scores_of

REGIONS = ("a", "b", "c", "d")


def library() -> Library:
    """Four regions of five rows; SOC of the last is modelled."""
    region = np.repeat(REGIONS, 5)
    spectra = Spectra(np.full((20, 3), 0.5), np.array([1.0, 2.0, 3.0]), "nm", "reflectance")
    kinds = np.where(region == "d", "modelled", "measured")
    soc = Property(np.tile([0.5, 1.0, 2.0, 3.0, 4.0], 4), "%")
    return Library("x", spectra, np.arange(20).astype(str), {"soc": soc}, {"region": region, "soc_is": kinds})


def test_each_two_groups_are_held_out_once() -> None:
    own = library()
    group_of = region_groups(own.group("region"), 8)
    assert group_of == {"a": 0, "b": 1, "c": 2, "d": 3}
    splits = pairs_out(own, group_of)
    assert [split.held_out for split in splits] == ["1-2", "1-3", "1-4", "2-3", "2-4", "3-4"]
    for split in splits:
        assert (split.train ^ split.test).all() and split.test.sum() == 10
    joined = region_groups(np.repeat([f"r{k}" for k in range(17)], 10), 6)
    assert set(np.bincount(list(joined.values()))) == {2, 3}
    with pytest.raises(UsageError, match="three groups"):
        region_groups(own.group("region"), 2)


def test_scores_are_by_region_and_leave_modelled_soc_out() -> None:
    own, frames = library(), []
    soc = own.property("soc").values
    group_of = region_groups(own.group("region"), 4)
    for split in pairs_out(own, group_of):
        rows = np.flatnonzero(split.test)
        # Exact beside group 1, useless elsewhere.
        predicted = soc[rows] if split.held_out.startswith("1-") else np.full(rows.size, 1.0)
        key = {"model": "plsr", "input": "snv", "loss": "log", "seed": 0, "region": split.held_out}
        frames.append(pd.DataFrame({"id": own.ids[rows], "observed": soc[rows], "predicted": predicted}).assign(**key))
    found = scores_of(pd.concat(frames), own, group_of)
    assert set(found["region"]) == {"a", "b", "c"} and len(found) == 9
    expected = (found["group"] == 0) | (found["beside"] == 0)
    np.testing.assert_allclose(found["ccc"], np.where(expected, 1.0, 0.0), atol=1e-12)


def scores(outer: dict[str, float]) -> pd.DataFrame:
    """Two candidates over four groups; ``outer``: what SNV scores on group 0 itself and on the others."""
    rows = []
    for what, (group, beside) in itertools.product(("snv", "reflectance"), itertools.permutations(range(4), 2)):
        value = 0.4 if what == "reflectance" else outer["own" if group == 0 else "others"]
        key = {"model": "none", "seed": 0, **dict(zip(CANDIDATE, (what, "log", 60, 8), strict=True))}
        rows.append({**key, "region": REGIONS[group], "group": group, "beside": beside, "ccc": value})
    return pd.DataFrame(rows)


def test_a_fold_chooses_without_its_own_regions() -> None:
    """SNV is best by far on group 0 and worse elsewhere: group 0 must not choose it, the others may."""
    picked, worth = choices(scores({"own": 0.9, "others": 0.3}))
    chosen = picked.set_index("group")
    assert chosen.loc[1, "input"] == "reflectance" and chosen.loc[1, "outer"] == pytest.approx(0.4)
    assert chosen.loc[2, "input"] == "snv" and chosen.loc[2, "inner"] == pytest.approx((0.9 + 2 * 0.3) / 3)
    assert chosen.loc[2, "outer"] == pytest.approx(0.3)
    nested = worth[worth["input"] == "each its own"].iloc[0]
    assert nested["outer"] == pytest.approx((0.4 + 3 * 0.3) / 4)
    counts: Any = worth.set_index("input")["chosen"]
    assert counts["snv"] == 3 and counts["reflectance"] == 1


def test_a_training_that_diverged_counts_as_predicting_nothing() -> None:
    frame = scores({"own": 0.5, "others": 0.5})
    frame.loc[frame["input"] == "snv", "ccc"] = np.nan
    picked, _ = choices(frame)
    assert set(picked["input"]) == {"reflectance"}
