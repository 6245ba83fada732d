"""Pairs of public libraries: rows meet by sample, no split parts a soil, and the test set is seen by no training."""

from __future__ import annotations

import dataclasses

import library_server
import numpy as np
import pytest

from jaxsoil.data import pairs, registry
from jaxsoil.data.sources.paired import pair
from jaxsoil.data.splits import kfold
from jaxsoil.runs.errors import DataError


def test_a_soil_on_two_devices_is_one_row_or_two(server):
    mid, near = registry.load("neospectra_mir"), registry.load("neospectra_nir")
    left, right = pair(mid, near)
    assert len(left) == len(right) == 16 and left.ids.tolist() == right.ids.tolist()
    first = -np.log10(near.spectra.values[near.samples == right.ids[0]].astype(float)).mean(axis=0)
    np.testing.assert_allclose(right.spectra.values[0], first[near.spectra.axis <= 2500], atol=1e-6)
    assert right.spectra.axis[-1] == 2500.0  # where the mid-infrared begins
    left, right = pair(mid, near, devices="each")
    assert len(right) == 32 and right.ids[:2].tolist() == ["NEO1_9000", "NEO2_9000"]
    np.testing.assert_array_equal(left.spectra.values[0], left.spectra.values[1])
    assert np.unique(right.samples).size == 16 and right.samples.tolist() == left.samples.tolist()


def test_four_instruments_pair_two_by_two_and_no_split_parts_a_soil(server, tmp_path):
    library_server.bring(server.folder, tmp_path / "cache", "afsis", "afsis-opus.zip")
    made = {name: registry.load(f"afsis_{name}") for name in ("kbr", "znse", "htsxt", "mpa")}
    for name in ("kbr", "znse", "htsxt"):
        mid, near = pair(made[name], made["mpa"], devices="each")
        assert len(mid) == len(near) == 12 and mid.samples.tolist() == near.samples.tolist()
        for split in kfold(mid, 3, 0, target=None):
            assert not set(mid.samples[split.train]) & set(mid.samples[split.test])
            assert not set(mid.blocks[split.train]) & set(mid.blocks[split.test])


def test_libraries_without_common_samples_are_refused(server):
    mid, near = registry.load("ossl_mir/ICRAF.ISRIC"), registry.load("neospectra_nir")
    with pytest.raises(DataError, match=r"no sample has both ranges.*ICRAF\.ISRIC:1000.*KSSL\.SSL:1000"):
        pair(mid, near)
    bare = dataclasses.replace(mid, groups={})
    with pytest.raises(DataError, match=r"no such group column"):
        pair(bare, near)


@pytest.mark.parametrize("name", ["kssl", "kssl_visnir", "icraf_isric"])
def test_nothing_of_a_test_pedon_is_in_any_training(server, name):
    data = pairs.load(name)
    whole = registry.load("ossl_mir")
    pedon = dict(zip(whole.samples.tolist(), whole.blocks.tolist(), strict=True))
    out = {pedon[sample] for sample in data.test_mir.ids.tolist()}
    for samples in (data.pretrain.samples, data.labelled.samples, data.paired_mir.ids):
        assert not out & {pedon[sample] for sample in samples.tolist()}
    assert 0 < len(data.test_mir) < len(data.paired_mir)
    source = whole.group("source")[whole.samples == data.pretrain.samples[0]][0]
    mine = whole.group("source") == source
    assert len(data.pretrain) == sum(block not in out for block in whole.blocks[mine].tolist())
    rows = [2, 0]
    places = [whole.samples.tolist().index(data.pretrain.samples[row]) for row in rows]
    np.testing.assert_array_equal(data.pretrain.read(rows), whole.spectra.values[places])
    assert {key: one.unit for key, one in data.labelled.properties.items()}["eoc"] == "%"
    assert data.paired_nir.spectra.axis[0] >= 1400.0


def test_a_pair_that_the_large_library_lacks_has_the_pedon_of_its_site(server, monkeypatch):
    from jaxsoil.data.sources import paired

    mid = registry.load("neospectra_mir")
    samples = np.where(np.arange(16) >= 14, np.char.add("new", np.arange(16).astype(str)), mid.samples)
    load = paired.load

    def changed(name):
        library = load(name)
        if not name.startswith("neospectra"):
            return library
        renamed = dict(zip(mid.samples.tolist(), samples.tolist(), strict=True))
        names = np.array([renamed.get(sample, sample) for sample in library.samples.tolist()])
        return dataclasses.replace(library, groups={**library.groups, "sample": names})

    monkeypatch.setattr(paired, "load", changed)
    data = pairs.load("kssl")
    assert any(note.startswith("2 pairs are not among the layers of KSSL.SSL") for note in data.notes)
