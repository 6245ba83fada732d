"""Numbers of likeness against analytic spectra; the twins, and the measured sets themselves, inside the ranges."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from jaxsoil.data import registry
from jaxsoil.data.library import Library, Property
from jaxsoil.data.twin.infrared.config import InfraredTwinConfig
from jaxsoil.data.twin.infrared.make import make_infrared_twin
from jaxsoil.data.twin.soil.make import TwinConfig, make_twin
from jaxsoil.spectra.container import Spectra
from tools import likeness

AXIS = np.arange(366.0, 2500.0, 2.0)


def test_depth_is_that_of_a_band_on_a_sloping_continuum():
    slope = 0.2 + 0.1 * (AXIS - 366.0) / 2134.0
    dip = 1.0 - np.array([[0.066], [0.0]]) * np.exp(-0.5 * ((AXIS - 1420.0) / 12.0) ** 2)
    spectra = Spectra(slope * dip, AXIS, "nm", "reflectance")
    np.testing.assert_allclose(likeness.band_depth(spectra, 1340.0, 1500.0), [0.066, 0.0], atol=2e-4)
    assert np.isnan(likeness.band_depth(spectra, 300.0, 1500.0)).all()


def test_height_is_that_of_a_band_on_a_sloping_baseline():
    axis = np.arange(600.0, 4000.0, 2.0)
    values = 1.0 + axis / 4000.0 + 0.2 * (np.abs(axis - 1870.0) < 6.0)
    spectra = Spectra(values[None], axis, "cm-1", "absorbance")
    np.testing.assert_allclose(likeness.band_height(spectra, 1870.0, 1830.0, 1920.0), 0.2, atol=1e-5)
    np.testing.assert_allclose(likeness.level(spectra, 1300.0), 1.325, atol=1e-5)


def test_noise_is_that_of_white_noise_whatever_all_soils_share():
    rng = np.random.default_rng(0)
    values = np.sin(AXIS / 30.0) + 2e-4 * rng.standard_normal((300, AXIS.size))
    assert np.median(likeness.noise(values)) == pytest.approx(2e-4, rel=0.05)


def test_components_count_independent_shapes():
    axis = np.arange(400.0, 2400.0, 10.0)
    place = (np.arange(axis.size) + 0.5) / axis.size
    shapes = np.cos(np.pi * np.arange(1, 6)[:, None] * place)
    values = 0.5 + 0.2 * np.cos(np.pi * 9 * place) + np.random.default_rng(0).normal(0, 0.01, (400, 5)) @ shapes
    assert likeness.components(Spectra(values, axis, "nm", "absorbance")) == 5


def _library(soc, clay, values, axis=AXIS):
    ids = np.array([f"s{i}" for i in range(len(soc))])
    properties = {"soc": Property(np.asarray(soc), "%"), "clay": Property(np.asarray(clay), "%")}
    groups = {"sample": ids, "region": np.where(np.arange(len(soc)) % 2, "a", "b")}
    return Library("made", Spectra(values, axis, "nm", "reflectance"), ids, properties, groups, "none")


def test_properties_darkening_and_skill_by_hand():
    rng = np.random.default_rng(1)
    log_soc, clay = rng.normal(0.2, 0.3, 200), rng.uniform(5.0, 50.0, 200)
    # Two regions of other brightness, each 0.3 darker in ln R for a tenfold SOC at 650 nm, and not at all at 1650 nm.
    fall = np.clip((1650.0 - AXIS) / 1000.0, 0.0, None)
    level = np.where(np.arange(200) % 2, -0.5, -1.0)[:, None] + 0.1 * np.sin(AXIS / 200.0)
    library = _library(10**log_soc, clay, np.exp(level - 0.3 * log_soc[:, None] * fall))
    row = likeness.soil_row(library)
    assert row["dark_650"] == pytest.approx(0.3, abs=1e-3) and row["dark_1650"] == pytest.approx(0.0, abs=1e-3)
    assert row["soc_log10_sd"] == pytest.approx(np.std(log_soc)) and row["clay_mean"] == pytest.approx(clay.mean())
    assert row["clay_soc"] == pytest.approx(stats.spearmanr(clay, log_soc).statistic)
    skill = likeness.plsr_skill(library, folds=library.group("region"))
    assert set(skill) == {"a", "b"} and min(skill.values()) > 0.85 and likeness.random_skill(library) > 0.85


def test_layers_by_hand():
    log = np.random.default_rng(0).normal(0.0, 0.2, (500, 3))
    log[:, 1] = log[:, 0]
    row = likeness.layer_row(10 ** (log + np.array([0.3, 0.0, -0.7])))
    assert row["deepest_over_top"] == pytest.approx(0.1, rel=0.1) and row["top_median"] == pytest.approx(2.0, rel=0.1)
    assert row["log10_sd_top"] == pytest.approx(np.std(log[:, 0]))
    expected = np.corrcoef(log[:, 0], log[:, 2])[0, 1]
    assert row["ends"] == pytest.approx(expected) and row["adjacent"] == pytest.approx(expected)


def test_what_lies_outside_is_named():
    ranges = {"noise": (0.0, 1.0), "depth": (0.0, 1.0), "n": (0.0, 9.0)}
    assert list(likeness.outside({"noise": 2.0, "depth": float("nan"), "n": 9.0}, ranges)) == ["noise", "depth"]


@pytest.mark.parametrize("seed", [0, 1])
def test_the_soil_twin_lies_inside_the_ranges_of_measured_sets(seed):
    library = make_twin(TwinConfig(seed=seed, n_samples=510), axis=AXIS)
    row = likeness.soil_row(library)
    # Five of 17 regions have an unusual mineralogy, some nearly pure clay: clay spreads by 19 to 21 %, measured sets by
    # at most 18 %, alone or together. All else lies inside.
    assert set(likeness.outside(row, likeness.SOIL_RANGES)) <= {"clay_sd"} and row["clay_sd"] < 22.0
    region = library.group("region")
    clay_soc = [likeness.property_row(library.select(region == name))["clay_soc"] for name in np.unique(region)]
    # Regions of 30 soils: the ranks of an uncorrelated one spread by 0.19.
    assert -0.75 < min(clay_soc) < -0.1 and 0.2 < max(clay_soc) < 0.8


def test_a_twin_with_the_noise_of_eq_1_is_found_out():
    noisy = make_twin(TwinConfig(n_samples=170, noise=0.01, noise_ends=1.0), axis=AXIS)
    assert {"noise", "components"} <= set(likeness.outside(likeness.soil_row(noisy), likeness.SOIL_RANGES))


def test_outlying_regions_are_reconstructed_worse_than_the_others():
    library = make_twin()
    values, region = library.spectra.values.astype(np.float64), library.group("region")
    error = {}
    for name in np.unique(region):
        train, test = values[region != name], values[region == name]
        shapes = np.linalg.svd(train - train.mean(0), full_matrices=False)[2][:12]
        rest = test - train.mean(0)
        error[name] = np.sqrt(np.mean((rest - rest @ shapes.T @ shapes) ** 2))
    outlying = np.isin(list(error), library.truth.outlying_regions)
    found = np.array(list(error.values()))
    assert np.median(found[outlying]) > 3 * np.median(found[~outlying])


def test_the_infrared_twin_lies_inside_the_ranges_of_measured_sets():
    config = InfraredTwinConfig(samples=150, repeats=1, labelled=150, pairs=10, test=60, mir_step=4.0)
    row = likeness.infrared_row(make_infrared_twin(config).labelled.spectra)
    assert likeness.outside(row, likeness.INFRARED_RANGES) == {}


@pytest.mark.parametrize("name", ["SL.125", "geeves", "csiro100", "raca99"])
def test_measured_soils_lie_inside_the_ranges(name, data_root):
    row = likeness.soil_row(registry.load(name))
    known = {key: limits for key, limits in likeness.SOIL_RANGES.items() if np.isfinite(row[key])}
    assert likeness.outside(row, known) == {} and len(known) >= 9


@pytest.mark.parametrize("name", ["NRW.115", "H.138", "yamsys"])
def test_measured_infrared_lies_inside_the_ranges(name, data_root):
    assert likeness.outside(likeness.infrared_row(registry.load(name).spectra), likeness.INFRARED_RANGES) == {}
