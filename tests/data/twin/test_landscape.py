"""The synthetic landscape against closed forms and its own truth."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from jaxsoil.data.twin.landscape.config import DEPTHS, LandscapeConfig
from jaxsoil.data.twin.landscape.make import LAYERS, make_landscape, random_field
from jaxsoil.runs.errors import DataError

SMALL = LandscapeConfig(height=50, width=60, sites=80)


def test_a_random_field_has_the_stated_correlation() -> None:
    scale, lag = 3.0, 4
    fields = [random_field(np.random.default_rng(seed), 150, 150, scale) for seed in range(6)]
    found = np.mean([np.corrcoef(field[:, lag:].ravel(), field[:, :-lag].ravel())[0, 1] for field in fields])
    assert found == pytest.approx(np.exp(-(lag**2) / (4 * scale**2)), abs=0.06)
    assert fields[0].mean() == pytest.approx(0.0, abs=1e-12) and fields[0].std() == pytest.approx(1.0)


def test_the_same_configuration_gives_the_same_bits_and_other_sites_the_same_land() -> None:
    first, again = make_landscape(SMALL), make_landscape(SMALL)
    np.testing.assert_array_equal(first.rasters.values, again.rasters.values)
    np.testing.assert_array_equal(first.sites.values, again.sites.values)
    other = make_landscape(dataclasses.replace(SMALL, sites=40))
    np.testing.assert_array_equal(first.truth, other.truth)


def test_measurements_are_the_truth_at_the_site_within_their_error() -> None:
    twin = make_landscape(dataclasses.replace(SMALL, measurement=0.0))
    row, col, inside = twin.rasters.grid.index(twin.sites.east, twin.sites.north)
    assert inside.all() and np.isfinite(twin.rasters.values[:, row, col]).all()
    seen = np.isfinite(twin.sites.values)
    np.testing.assert_allclose(twin.sites.values[seen], twin.truth[:, row, col].T[seen])


def test_layers_resemble_their_neighbours_most_and_the_deepest_have_gaps() -> None:
    twin = make_landscape(LandscapeConfig(height=90, width=90, sites=300))
    related = np.corrcoef(np.log(twin.truth.reshape(len(LAYERS), -1)))
    assert related[0, 1] > related[0, 3] > related[0, 5]
    counts = np.isfinite(twin.sites.values).sum(axis=0)
    assert counts[0] == 300 and counts[5] < counts[4] < counts[3]
    assert 0.03 < np.isnan(twin.rasters.values[0]).mean() < 0.05


@pytest.mark.parametrize(
    "wrong", [{"gaps": (0.1,)}, {"height": 8}, {"sites": 5}, {"sites": 5000}, {"pixel": float("nan")}]
)
def test_impossible_landscapes_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(DataError):
        dataclasses.replace(SMALL, **wrong)


def test_without_any_spread_each_layer_is_its_median() -> None:
    flat = dataclasses.replace(SMALL, explained=0.0, shared=0.0, separate=0.0, measurement=0.0)
    twin = make_landscape(flat)
    np.testing.assert_allclose(twin.truth, np.broadcast_to(np.array(flat.medians)[:, None, None], twin.truth.shape))
    seen = np.isfinite(twin.sites.values)
    np.testing.assert_allclose(twin.sites.values[seen], np.broadcast_to(flat.medians, seen.shape)[seen])
    assert [(layer.top, layer.bottom) for layer in LAYERS] == list(DEPTHS)
