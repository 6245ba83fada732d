"""``jaxsoil data check``: the manifests of docs/own_data.md hold, and what is wrong is told at once."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from own_tables import (
    LANDSCAPE,
    WRITERS,
    write_laboratories,
    write_mid_alone,
    write_pairs,
    write_profiles,
    write_soils,
)

from jaxsoil.cli import console
from jaxsoil.data import registry
from jaxsoil.data.pairs import load
from jaxsoil.data.readers.measured_pairs import MID_ALONE, MeasuredPairs
from jaxsoil.data.readers.pair_set import KINDS as KINDS_OF_PARTS
from jaxsoil.data.twin.landscape.make import make_landscape
from jaxsoil.report.data_check import LINES, check, draw
from jaxsoil.report.style import shortened
from jaxsoil.runs.errors import DataError, UsageError

KINDS = {"soils.toml": "table", "laboratories.toml": "composite", "pairs.toml": "pairs", "profiles.toml": "landscape"}


@pytest.mark.parametrize("name", WRITERS)
def test_the_manifests_of_the_page_hold(name: str, tmp_path: Path) -> None:
    checked = check(WRITERS[name](tmp_path))
    assert checked.kind == KINDS[name] and not checked.faults, checked.text
    assert "Wrong:" not in checked.text and checked.right
    figure: Any = draw(checked)
    if checked.land is not None:
        sites = figure.axes[0].lines[0]
        np.testing.assert_array_equal(sites.get_xydata(), np.c_[checked.land.sites.east, checked.land.sites.north])
        assert figure.axes[0].get_title() == f"{len(checked.land.sites)} sites"
        return
    # Panels by table and group: at most LINES spectra and, black, their median.
    left = {shortened(title, 34): len(table) for title, table in checked.tables.items()}
    quantities = {shortened(title, 34): table.spectra.quantity for title, table in checked.tables.items()}
    for axis in figure.axes:
        count = int(axis.texts[0].get_text().rsplit(": ")[-1])
        left[axis.get_title()] -= count
        assert len(axis.lines) == min(count, LINES) + 1
        assert axis.get_ylabel() == quantities[axis.get_title()].capitalize()
    assert set(left.values()) == {0}


def test_spectra_and_labels_that_lie_apart_are_joined_by_name(tmp_path: Path) -> None:
    made = registry.load(write_soils(tmp_path))
    labels = pd.read_csv(tmp_path / "labels.csv").set_index("sample")
    assert len(made) == 239 and set(made.group("region")) == {"a", "b"}
    np.testing.assert_allclose(made.property("soc").values, labels.loc[made.ids, "SOM"] / 1.724)
    assert any("239 of 240 rows have a partner" in note for note in made.notes)


def test_laboratories_come_to_one_axis_and_one_quantity(tmp_path: Path) -> None:
    made = registry.load(write_laboratories(tmp_path))
    assert set(made.group("laboratory")) == {"north", "south"} and len(made) == 100
    # Both tables hold the same shape: what differs is the level, not the order of the bands or the scale.
    north, south = (np.median(made.spectra.values[made.group("region") == name], axis=0) for name in ("north", "south"))
    assert np.corrcoef(north, south)[0, 1] > 0.99 and made.property("soc").values.max() < 3.1


def test_tables_of_pairs_come_to_one_axis_and_no_scan_of_a_test_sample_trains(tmp_path: Path) -> None:
    data = load(str(write_pairs(tmp_path)))
    assert (len(data.labelled), len(data.paired_mir), len(data.test_mir)) == (60, 40, 20)
    # 40 pairs, 20 of the archive and 20 scans of other samples; ten scans of test samples are left out.
    assert len(data.pretrain) == 80 and not set(data.pretrain.samples) & set(data.test_mir.ids)
    assert any("scans: 10 scans of what is held out" in note for note in data.notes)
    assert any(note.startswith("scans (pre-training): 30 spectra of 15 samples") for note in data.notes)
    raw = pd.read_csv(tmp_path / "scans.csv").set_index("sample").loc["u0"]
    first = data.pretrain.read(np.flatnonzero(data.pretrain.samples == "u0"))
    place = int(np.flatnonzero(data.pretrain.axis == 1040.0)[0])
    np.testing.assert_allclose(first[:, place], -np.log10(raw[["1010", "1050"]].to_numpy()).mean(axis=1), atol=0.02)
    assert data.labelled.property("eoc").unit == "g/kg"


SPLIT = "[split]\nfolds = 4\ngroup = 'region'\n"


def without_test(path: Path, split: str = SPLIT) -> str:
    """The manifest of pairs, without its test set, split by a column."""
    text = path.read_text("utf-8").replace(
        'groups.pedon = "profile"', 'groups.pedon = "profile"\ngroups.region = "site"'
    )
    start, end = text.index("[test]"), text.index("[tables.mir]")
    text = text[:start] + split + text[end : text.index("[tables.test_mir]")]
    pairs = pd.read_csv(path.parent / "pairs.csv").copy()
    pairs["site"] = [f"site {row // 8}" for row in range(40)]
    pairs.to_csv(path.parent / "pairs.csv", index=False)
    path.write_text(text, "utf-8")
    return text


def test_pairs_are_split_by_a_column_and_scans_of_what_is_held_out_are_too(tmp_path: Path) -> None:
    path = write_pairs(tmp_path)
    without_test(path)
    scans = pd.read_csv(tmp_path / "scans.csv")
    scans.loc[:3, "sample"] = ["p0", "p0", "p8", "p8"]
    scans.to_csv(tmp_path / "scans.csv", index=False)
    made = MeasuredPairs.read(path)
    tested: list[str] = []
    for kind, tied in zip(KINDS_OF_PARTS, ("region", "pedon"), strict=True):
        for part in made.parts(kind):
            tested += part.test_mir.ids.tolist()
            assert not set(part.test_mir.group(tied)) & set(part.labelled.group(tied))
            held = set(part.test_mir.ids)
            assert not held & set(part.pretrain.samples)
            assert ("p0" in held) == (not np.isin("p0", part.pretrain.samples).item())
            # The archive has no pairs: nothing holds its rows out.
            assert sum(name.startswith("a") for name in part.labelled.ids.tolist()) == 20
    assert sorted(tested) == sorted([f"p{row}" for row in range(40)] * 2)


def test_mid_infrared_alone_says_what_is_left_out(tmp_path: Path) -> None:
    from jaxsoil.studies.multifidelity.config import MultifidelityConfig
    from jaxsoil.studies.multifidelity.run import prepare

    path = write_mid_alone(tmp_path)
    checked = check(path)
    assert not checked.faults and MID_ALONE in checked.right and not any("near" in title for title in checked.tables)
    data = load(str(path))
    assert not data.has_pairs and MID_ALONE in data.notes
    assert (len(data.labelled), len(data.paired_mir), len(data.test_mir), len(data.test_nir)) == (60, 0, 20, 0)
    with pytest.raises(UsageError, match=r"all of them start from near-infrared.*Give some of MIR-PLSR, MIR-MLP"):
        prepare(MultifidelityConfig(data=str(path), seeds=1, strategies=("NIR-PLSR", "NIRtoMIR-MLP")))
    text = path.read_text("utf-8")
    start, end, last = (text.index(mark) for mark in ("[test]", "[tables.mir]", "[tables.test_mir]"))
    path.write_text(text[:start] + "[split]\nfolds = 4\n" + text[end:last], "utf-8")
    made = MeasuredPairs.read(path)
    tested = [name for part in made.parts("random") for name in part.test_mir.ids.tolist()]
    assert sorted(tested) == sorted([*(f"p{row}" for row in range(40)), *(f"a{row}" for row in range(20))])
    path.write_text(text.replace('mid = "mir"', 'mid = "mir"\nnear = "mir"'), "utf-8")
    (fault,) = check(path).faults
    assert "near-infrared is described in part" in str(fault) and "near_grid, test.near is missing" in str(fault)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    path = write_soils(tmp_path)
    text = path.read_text("utf-8").replace('"reflectance"', '"reflectanc"').replace('id = "lab_no"', "id = 3")
    path.write_text(text.replace('title = "Two farms', 'titel = "Two farms'), "utf-8")
    checked = check(path)
    assert [fault.column for fault in checked.faults] == ["titel", "title", "id"]
    path.write_text(text.replace("id = 3", 'id = "lab_no"').replace("1/1.724", "1/0"), "utf-8")
    assert [fault.column for fault in check(path).faults] == ["values.quantity", "labels.soc.factor"]
    text = write_soils(tmp_path).read_text("utf-8")
    text = text.replace('"reflectance"', '"absorbance"').replace('column = "SOM"', 'column = "SON"')
    path.write_text(text.replace('region = "farm"', 'region = "fram"'), "utf-8")
    said = check(path).text
    for part in ("Did you mean 'farm'", "looks like reflectance", "Did you mean 'SOM'", "3. "):
        assert part in said
    # The spectra are drawn all the same: a wrong quantity is seen there.
    (drawn,) = check(path).tables.values()
    assert len(drawn) == 239 and drawn.spectra.quantity == "absorbance"
    figure: Any = draw(check(path))
    assert {axis.get_ylabel() for axis in figure.axes} == {"Absorbance"}
    with pytest.raises(DataError, match="3 faults"):
        registry.load(path)


@pytest.mark.parametrize(
    ("old", "new", "messages"),
    [
        ('near = "nir"', 'near = "nor"', ["no such data set.*Did you mean 'nir'|nothing uses this table"]),
        ('pretrain = ["scans"]', "", [r"tables\.scans: nothing uses this table"]),
        ("factor = 10", "factor = 0.1", [r"properties\.eoc: the factor .* % x 0.1 to g/kg.*factor = 10"]),
        (
            "high = 3600",
            "high = 3900",
            [rf"pairs\.toml, {name}.*reaches beyond" for name in ("mir", "archive", "scans", "test_mir")],
        ),
        ('near = "test_nir"', 'near = "nir"', ["nothing uses this table"]),
        ("[test]", "[split]\nfolds = 3\n[test]", ["a test set, and parts"]),
        ('labelled = ["archive"]', 'labelled = ["archive", "test_mir"]', ["training and test set share samples"]),
        ('labelled = ["archive"]', 'labelled = ["archive", "mir"]', [r"a sample stands in two tables.*'p0'"]),
        ('{ column = "SOC", unit = "%" }', '{ column = "soc", unit = "%" }', ["column soc.*Did you mean 'SOC'"] * 3),
        ("low = 1500\nhigh = 2450", "low = 1500\nhigh = 2750", ["reaches beyond"]),
    ],
)
def test_wrong_pairs_are_named_with_table_column_and_remedy(
    tmp_path: Path, old: str, new: str, messages: list[str]
) -> None:
    path = write_pairs(tmp_path)
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")
    checked = check(path)
    for number, message in enumerate(messages):
        assert re.search(message, str(checked.faults[number])), checked.text


def test_a_pedon_in_training_and_test_is_refused(tmp_path: Path) -> None:
    path = write_pairs(tmp_path)
    text = path.read_text("utf-8")
    head, tail = text.split("[tables.test_mir]")
    path.write_text(
        head + "[tables.test_mir]" + tail.replace("[tables.test_nir]", 'groups.pedon = "plot"\n[tables.test_nir]')
    )
    table = pd.read_csv(tmp_path / "test_mir.csv").copy()
    table["plot"] = [f"q{row + 15}" for row in range(20)]
    table.to_csv(tmp_path / "test_mir.csv", index=False)
    (fault,) = check(path).faults
    assert "training and test set share a pedon" in str(fault) and "5 of them" in str(fault)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: pd.concat([t, t.iloc[[3]]]), "a key of a join occurs twice.*'S235'"),
        (lambda t: t.assign(sample=t["sample"].where(t["SOM"] > 1.8)), "a key of a join is empty"),
        (lambda t: t.assign(sample="x" + t["sample"]), "no key of a join is in both tables.*'S000' beside 'xS238'"),
        (lambda t: t.rename(columns={"farm": "400"}), "column farm: the file has no such column"),
    ],
)
def test_joins_that_cannot_be_made(change, message: str, tmp_path: Path) -> None:
    path = write_soils(tmp_path)
    change(pd.read_csv(tmp_path / "labels.csv")).to_csv(tmp_path / "labels.csv", index=False)
    with pytest.raises(DataError, match=message):
        registry.load(path)


def test_a_column_of_both_tables_of_a_join_is_refused(tmp_path: Path) -> None:
    path = write_soils(tmp_path)
    path.write_text(path.read_text().replace('columns = ["SOM", "farm"]', ""))
    pd.read_csv(tmp_path / "labels.csv").assign(lab_no=1).to_csv(tmp_path / "labels.csv", index=False)
    with pytest.raises(DataError, match=r"both tables have this column.*soils\.rds.*columns = "):
        registry.load(path)


def test_composites_that_contain_one_another_are_refused(tmp_path: Path) -> None:
    text = 'name = "{0}"\ntitle = "x"\nmembers = ["{1}.toml"]\n[grid]\nunit = "nm"\nlow = 400\nhigh = 500\nstep = 10\n'
    for name, other in (("one", "two"), ("two", "three"), ("three", "one")):
        (tmp_path / f"{name}.toml").write_text(text.format(name, other))
    (fault,) = check(tmp_path / "one.toml").faults
    assert "a composite contains itself" in str(fault) and "one.toml > two.toml > three.toml > one.toml" in str(fault)


def test_a_manifest_of_another_kind_is_named(tmp_path: Path) -> None:
    pairs, soils, profiles = write_pairs(tmp_path), write_soils(tmp_path), write_profiles(tmp_path)
    with pytest.raises(DataError, match=r"a manifest of a table or composite is needed.*pairs.*--exp=multifidelity"):
        registry.load(pairs)
    with pytest.raises(DataError, match=r"a manifest of a pairs is needed.*table, by its keys name"):
        load(str(soils))
    with pytest.raises(DataError, match=r"landscape, by its keys .*--exp=layer_transfer"):
        registry.load(profiles)


def test_wrong_profiles_are_told_at_once(tmp_path: Path) -> None:
    path = write_profiles(tmp_path)
    path.write_text(path.read_text().replace('east = "x"', 'east = "X2"').replace("wetness.tif", "absent.tif"))
    said = check(path).text
    assert "X2" in said and "absent.tif" in said and "2. " in said


def test_the_command_says_what_is_wrong_and_who_can_use_the_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_laboratories(tmp_path)
    assert console(["data", "check", str(path), "--exp", "hybrid_dataset", "--figure", str(tmp_path / "f.png")]) == 0
    said = capsys.readouterr().out
    assert "hybrid_dataset: yes" in said and (tmp_path / "f.png").stat().st_size > 10_000
    path.write_text(path.read_text().replace('"SOC"', '"SOK"'))
    assert console(["data", "check", str(path)]) == 2
    said = capsys.readouterr().out
    assert "Did you mean 'SOC'" in said and "yes" not in said
    assert console(["data", "check", str(tmp_path / "absent.toml")]) == 2
    assert console(["data", "check", str(path), "--figure", "f.pdf"]) == 2
    assert "ends in .png" in capsys.readouterr().err


def test_what_a_study_cannot_use_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_soils(tmp_path)
    assert console(["data", "check", str(path), "--exp", "region_out"]) == 0
    path.write_text(path.read_text().replace('region = "farm"', 'pedon = "farm"'))
    assert console(["data", "check", str(path), "--exp", "region_out"]) == 2
    said = capsys.readouterr().out
    assert "region_out: no." in said and "region" in said and "group pedon: 2 (a 119, b 120)" in said


def test_studies_take_the_manifests_of_the_page(tmp_path: Path) -> None:
    from jaxsoil.studies.layers.config import LayersConfig
    from jaxsoil.studies.layers.prepare import prepare as prepare_layers
    from jaxsoil.studies.multifidelity.config import MultifidelityConfig
    from jaxsoil.studies.multifidelity.run import prepare

    layers = dataclasses.replace(LayersConfig(), data=str(write_profiles(tmp_path)), folds=3, window=3)
    made = prepare_layers(layers)
    twin = make_landscape(LANDSCAPE)
    place = {str(name): row for row, name in enumerate(twin.sites.ids)}
    expected = twin.sites.values[[place[str(name)] for name in made.sites.ids]][:, [0, 4]]
    np.testing.assert_allclose(made.sites.values, expected, rtol=1e-9)
    assert made.land.licence == "CC BY 4.0"
    replicates = prepare(MultifidelityConfig(data=str(write_pairs(tmp_path)), seeds=2))
    assert replicates.whole is None and len(replicates.each) == 2
    assert replicates.each[0].rows.pairs_valid.size > 0
