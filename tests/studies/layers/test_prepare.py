"""Folds, scales and exclusions of the layer study."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from layers_study import TINY

from jaxsoil.data.rasters import landscape
from jaxsoil.runs.errors import DataError, UsageError
from jaxsoil.studies.layers.prepare import LayersData, overlaps, prepare


def test_blocks_stay_whole_and_every_site_is_held_out_once(prepared: LayersData) -> None:
    fold = prepared.folds["blocks"]
    for block in np.unique(prepared.block):
        assert np.unique(fold[prepared.block == block]).size == 1
    assert set(fold.tolist()) == set(prepared.folds["random"].tolist()) == {0, 1}


def test_blocks_lie_where_their_sites_are(prepared: LayersData) -> None:
    for block in np.unique(prepared.block):
        mine = prepared.block == block
        assert np.ptp(prepared.sites.east[mine]) <= 1.5 * prepared.block_side
        assert np.ptp(prepared.sites.north[mine]) <= 1.5 * prepared.block_side


def test_overlapping_windows_are_found_by_brute_force(prepared: LayersData) -> None:
    fold, size = prepared.folds["random"], 3
    pixels = [
        {(r, c) for r in range(row, row + size) for c in range(col, col + size)}
        for row, col in zip(prepared.row, prepared.col, strict=True)
    ]
    expected = [
        any(fold[i] != fold[j] and pixels[i] & pixels[j] for j in range(len(pixels))) for i in range(len(pixels))
    ]
    np.testing.assert_array_equal(overlaps(prepared, fold, size), expected)


def test_the_scale_of_learning_goes_back_and_forth(prepared: LayersData) -> None:
    assert prepared.log
    values = np.array([0.0, 0.3, 12.0])
    np.testing.assert_allclose(prepared.to_unit(prepared.to_scale(values)), values, atol=1e-12)
    assert prepared.to_unit(np.array([-2.0])).tolist() == [0.0]


def test_a_layer_with_too_few_sites_is_left_out_with_its_true_map() -> None:
    sparse = dataclasses.replace(TINY.twin, gaps=(0.0, 0.0, 0.0, 0.0, 0.1, 0.9))
    found = prepare(dataclasses.replace(TINY, twin=sparse))
    assert len(found.layers) == 5 and found.land.truth is not None and found.land.truth.shape[0] == 5
    assert any("100-200 cm is left out" in note for note in found.notes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window": 4}, "--window is 4"),
        ({"folds": 1}, "--folds 1"),
        ({"coverage": 90.0}, "--coverage 90"),
        ({"models": ("mean", "mean")}, "once"),
        ({"models": ("mean", "rf")}, "--map-model transfer"),
        ({"splits": ("blocks",)}, "--map-split random"),
        ({"watch": 0.9}, "--watch"),
        ({"map_model": "best"}, "give 3 --folds or more"),
        ({"cover": 1.2}, "--cover"),
    ],
)
def test_settings_that_cannot_be_carried_out_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        prepare(dataclasses.replace(TINY, **change))


def test_blocks_too_large_for_the_folds_are_refused() -> None:
    with pytest.raises(DataError, match="fewer blocks than folds"):
        prepare(dataclasses.replace(TINY, block=1e5))


def test_folds_that_leave_a_layer_too_few_sites_are_refused() -> None:
    few = dataclasses.replace(TINY.twin, gaps=(0.0, 0.0, 0.0, 0.0, 0.0, 0.87))
    with pytest.raises(DataError, match=r"100-200 cm.*too few sites to learn"):
        prepare(dataclasses.replace(TINY, twin=few, min_sites=2))


def test_a_raster_that_never_changes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    land = landscape.load("landscape_twin", TINY.twin)
    land.rasters.values[2] = 1.0  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setattr(landscape, "load", lambda *_: land)
    with pytest.raises(DataError, match=r"vegetation.*same value"):
        prepare(TINY)
