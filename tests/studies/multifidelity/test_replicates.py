"""Roles of rows of a replicate: groups stay whole, validation pairs are kept out of every stage, a leak is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from jaxsoil.data.library import Library
from jaxsoil.runs.errors import DataError
from jaxsoil.spectra.container import Spectra
from jaxsoil.studies.multifidelity.replicates import check_rows, split_rows


def library(ids: list[str], pedons: list[str] | None = None) -> Library:
    values = np.random.default_rng(0).normal(size=(len(ids), 3))
    groups = {} if pedons is None else {"pedon": np.array(pedons)}
    spectra = Spectra(values, [700.0, 800.0, 900.0], "cm-1", "absorbance")
    return Library("test", spectra, np.array(ids), {}, groups)


IDS = [f"s{i:03d}" for i in range(60)]
PEDONS = [f"p{i // 3}" for i in range(60)]
SCANS = np.repeat([*IDS, *(f"x{i}" for i in range(20))], 2)


def test_validation_pairs_and_their_pedons_are_nowhere_in_training() -> None:
    labelled, pairs = library(IDS, PEDONS), library(IDS[:30], PEDONS[:30])
    rows = split_rows(SCANS, labelled, pairs, 0, validation=0.2, watch=0.1)
    judged = set(pairs.blocks[rows.pairs_valid])
    assert judged and 4 <= rows.pairs_valid.size <= 8
    used = np.concatenate([rows.labelled, rows.labelled_watch])
    assert not judged & set(labelled.blocks[used])
    banned = {i for i, p in zip(IDS, PEDONS, strict=True) if p in judged}
    assert set(SCANS[rows.scans]) == set(SCANS) - banned
    again = split_rows(SCANS, labelled, pairs, 0, validation=0.2, watch=0.1)
    other = split_rows(SCANS, labelled, pairs, 1, validation=0.2, watch=0.1)
    np.testing.assert_array_equal(rows.pairs_valid, again.pairs_valid)
    assert set(rows.pairs_valid) != set(other.pairs_valid)


def test_layers_without_a_label_of_a_validation_pedon_are_in_no_training() -> None:
    labelled, pairs = library(IDS, PEDONS), library(IDS[:30], PEDONS[:30])
    # Scans of soils that nothing else names, one in each pedon.
    samples = np.array([*IDS, *(f"deep{i}" for i in range(20))])
    pedons = np.array([*PEDONS, *(f"p{i}" for i in range(20))])
    rows = split_rows(samples, labelled, pairs, 0, validation=0.2, watch=0.1, pedons=pedons)
    judged = set(pairs.blocks[rows.pairs_valid])
    assert judged and set(pedons[rows.scans]) == set(pedons) - judged
    leaking = np.append(rows.scans, np.flatnonzero(np.isin(pedons, list(judged)))[-1:])
    assert str(samples[leaking[-1]]).startswith("deep")
    with pytest.raises(DataError, match=r"stage 1.*leak: validation pedons"):
        check_rows(dataclasses.replace(rows, scans=leaking), samples, labelled, pairs, pedons=pedons)


def test_without_pairs_all_labelled_rows_train_or_watch() -> None:
    rows = split_rows(SCANS, library(IDS), None, 0, validation=0.2, watch=0.1)
    assert rows.counts()["labelled"] + rows.counts()["labelled_watch"] == 60
    assert rows.counts()["pairs"] == rows.counts()["pairs_valid"] == 0


@pytest.mark.parametrize(("role", "message"), [("scans", "stage 1"), ("labelled", "labelled"), ("pairs", "pairs")])
def test_a_leak_is_refused_and_named(role: str, message: str) -> None:
    labelled, pairs = library(IDS), library(IDS[:30])
    rows = split_rows(SCANS, labelled, pairs, 0, validation=0.2, watch=0.1)
    judged = pairs.ids[rows.pairs_valid[0]]
    ids = {"scans": SCANS, "labelled": labelled.ids, "pairs": pairs.ids}[role]
    leaking = np.append(getattr(rows, role), np.nonzero(ids == judged)[0][0])
    with pytest.raises(DataError, match=f"{message}.*leak"):
        check_rows(dataclasses.replace(rows, **{role: leaking}), SCANS, labelled, pairs)
