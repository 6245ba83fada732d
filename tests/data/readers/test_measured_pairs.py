"""Measured pairs from a TOML file: what is held out, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jaxsoil.data import pairs
from jaxsoil.data.readers.measured_pairs import MeasuredPairs
from jaxsoil.runs.errors import DataError

TABLE = """
name = "{name}"
title = "made up"
data = "{name}.csv"
id = "id"
[axis]
unit = "{unit}"
[values]
quantity = "absorbance"
[labels.clay]
column = "clay"
unit = "%"
"""

PAIRS = """
name = "pairs"
title = "made up"
mid = "mid.toml"
near = "near.toml"
pretrain = ["other.toml"]
[mid_grid]
unit = "cm-1"
low = 800
high = 3600
step = 100
[near_grid]
unit = "nm"
low = 1500
high = 2450
step = 50
[properties.clay]
column = "clay"
unit = "g/kg"
factor = 10
[split]
folds = 3
clusters = 6
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    mid, near = np.arange(700.0, 3750.0, 50.0), np.arange(1400.0, 2600.0, 25.0)
    level = rng.uniform(0.0, 1.0, (40, 1))
    spectra = {
        "mid": (mid, "cm-1", 0.8 + np.exp(-(((mid - 3400) / 300) ** 2)) + level * np.exp(-(((mid - 1000) / 200) ** 2))),
        "near": (near, "nm", 0.5 + (0.2 + level) * np.exp(-(((near - 1930) / 60) ** 2))),
    }
    spectra["other"] = (mid, "cm-1", spectra["mid"][2][:7] + 0.1)
    for name, (axis, unit, values) in spectra.items():
        table = pd.DataFrame(values + rng.normal(0, 0.01, values.shape), columns=[f"{band:g}" for band in axis])
        ids = [f"s{row:02d}" for row in range(len(values))]
        table = table.assign(id=ids, clay=50 * level[: len(values), 0])
        # Two samples of each range lack the other, and the rows of one are shuffled.
        table = table.iloc[2:].sample(frac=1.0, random_state=1) if name == "near" else table.iloc[:38]
        table.to_csv(tmp_path / f"{name}.csv", index=False)
        (tmp_path / f"{name}.toml").write_text(TABLE.format(name=name, unit=unit))
    (tmp_path / "pairs.toml").write_text(PAIRS)
    return tmp_path


def test_every_sample_is_held_out_once_and_is_nowhere_in_training(folder: Path) -> None:
    made = MeasuredPairs.read(folder / "pairs.toml")
    cluster = dict(zip(made.mid.ids.tolist(), made.mid.group("cluster").tolist(), strict=True))
    assert len(set(cluster.values())) == 6
    for kind in ("groups", "random"):
        tested: list[str] = []
        for part in made.parts(kind):
            test = part.test_mir.ids.tolist()
            tested += test
            assert not set(test) & {*part.labelled.ids, *part.paired_mir.ids, *part.pretrain.samples}
            # All mid-infrared rows that are not held out, and the seven of the other set without those of held-out
            # samples: s00 to s06 are the same soils there.
            left = {f"s{row:02d}" for row in range(7)} & set(part.labelled.ids.tolist())
            assert len(part.pretrain) == len(part.labelled) + len(left)
            assert part.test_nir.ids.tolist() == test and part.paired_nir.ids.tolist() == part.paired_mir.ids.tolist()
            together = {cluster[name] for name in test} & {cluster[name] for name in part.labelled.ids.tolist()}
            assert bool(together) == (kind == "random")
        assert sorted(tested) == [f"s{row:02d}" for row in range(2, 38)]
    (first,) = made.parts("random", 1)
    assert any("2 samples have no near-infrared" in note for note in first.notes)
    assert not any("one scan" in note for note in first.notes)


def test_rows_of_both_ranges_are_of_one_sample_and_labels_are_converted(folder: Path) -> None:
    made = pairs.load(str(folder / "pairs.toml"))
    tables = {name: pd.read_csv(folder / f"{name}.csv").set_index("id") for name in ("mid", "near")}
    for library, table, band in ((made.test_mir, "mid", "1000"), (made.test_nir, "near", "1900")):
        place = int(np.flatnonzero(library.spectra.axis == float(band))[0])
        expected = tables[table].loc[library.ids, band].to_numpy()
        assert np.corrcoef(library.spectra.values[:, place], expected)[0, 1] > 0.99
        np.testing.assert_allclose(library.property("clay").values, 10 * tables["mid"].loc[library.ids, "clay"])


def test_the_same_data_set_twice_is_one_scan_and_whole_data_hold_nothing_out(folder: Path) -> None:
    text = PAIRS.replace("near.toml", "mid.toml").replace("low = 1500\nhigh = 2450", "low = 2800\nhigh = 3300")
    text = text.replace("high = 3600", "high = 2900")
    (folder / "one.toml").write_text(text)
    whole = MeasuredPairs.read(folder / "one.toml").whole()
    assert len(whole.labelled) == len(whole.test_mir) == len(whole.test_nir) == 38
    assert "one scan" in " ".join(whole.notes)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("low = 800\nhigh = 3600", "low = 3700\nhigh = 3600", "low to high"),
        ('unit = "cm-1"', 'unit = "nm"', "mid_grid.unit"),
        ("[properties.clay]", "[properties.clya]", "Did you mean 'clay'"),
        ("folds = 3", "folds = 1", "two folds"),
        ("high = 3600", "high = 5600", "reaches beyond what was measured"),
        ('near = "near.toml"', 'near = "other.toml"', "reaches beyond|no sample"),
    ],
)
def test_what_cannot_be_is_refused(folder: Path, old: str, new: str, message: str) -> None:
    (folder / "pairs.toml").write_text(PAIRS.replace(old, new, 1))
    with pytest.raises(DataError, match=message):
        pairs.load(str(folder / "pairs.toml"))


def test_ranges_that_overlap_are_refused(folder: Path) -> None:
    # 2600-2900 nm is 3448-3846 cm-1.
    text = PAIRS.replace("near.toml", "mid.toml").replace("low = 1500\nhigh = 2450", "low = 2750\nhigh = 2900")
    (folder / "pairs.toml").write_text(text)
    with pytest.raises(DataError, match=r"two ranges of the pairs overlap.*3636\.36 cm-1.*Cut both"):
        MeasuredPairs.read(folder / "pairs.toml").parts("random")


def test_samples_with_other_names_in_the_other_range_are_refused(folder: Path) -> None:
    near = pd.read_csv(folder / "near.csv")
    near.assign(id="near-" + near["id"]).to_csv(folder / "near.csv", index=False)
    with pytest.raises(DataError, match=r"no sample has both ranges.*near-s"):
        pairs.load(str(folder / "pairs.toml"))


def test_the_measured_set_is_the_one_in_the_docs(data_root: Path) -> None:
    made = pairs.measured_pairs("woodwell604")
    assert made is not None and len(made.mid) == len(made.near) == 604
    assert len(np.unique(made.mid.group("cluster"))) == 20
    assert {name: one.unit for name, one in made.mid.properties.items()}["eoc"] == "g/kg"
    assert np.isnan(made.mid.property("clay").values).sum() == np.isnan(made.mid.property("sand").values).sum() == 43
    (part,) = made.parts("groups", 1)
    assert len(part.pretrain) == len(part.labelled) + 673 + 140 + 113
    assert any("one scan" in note for note in part.notes)
