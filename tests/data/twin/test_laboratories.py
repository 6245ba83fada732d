"""The twin of several laboratories: counts, labels, transfer samples, duplicates, spoiled rows, instruments."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from jaxsoil.data.twin.laboratories.make import SPOILS, LaboratoriesConfig, load_laboratories
from jaxsoil.runs.errors import DataError

SMALL = LaboratoriesConfig(
    samples=400, carbon=358, organic_matter=80, transfer=10, duplicates=6, outliers=15, mir_step=20.0
)


@pytest.fixture(scope="module")
def library():
    return load_laboratories(SMALL)


def soils_with(library, name):
    """Numbers of the soils on which a property was measured."""
    return np.unique(library.truth.soil[np.isfinite(library.property(name).values)])


def test_counts_are_those_asked_for(library):
    truth = library.truth
    assert len(np.unique(truth.soil)) == 400 and len(library) == 400 + 10 * 4 + 6
    assert soils_with(library, "carbon").size == 358 and soils_with(library, "organic_matter").size == 80
    assert len(np.unique(library.group("laboratory"))) == 5
    paper = LaboratoriesConfig.paper()
    assert (paper.samples, paper.carbon, paper.organic_matter) == (57_000, 51_079, 5_750)


def test_the_default_is_a_tenth_and_nine_tenths():
    config = LaboratoriesConfig()
    assert config.axis.size == 426
    np.testing.assert_allclose(config.carbon / config.samples, 51_079 / 57_000, atol=1e-3)
    np.testing.assert_allclose(config.organic_matter / config.samples, 5_750 / 57_000, atol=1e-3)


def test_contents_are_skewed_and_possible(library):
    for name in ("carbon", "organic_matter"):
        assert library.property(name).unit == "g/kg"
        values = library.property(name).values
        measured = values[np.isfinite(values)]
        assert measured.min() >= 0 and measured.max() < 1000
        assert stats.skew(measured) > 1.5
    carbon = library.truth.carbon
    assert carbon.std() > 1.5 * np.subtract(*np.percentile(carbon, [75, 25]))


def test_labels_are_near_the_truth_but_for_the_mislabelled(library):
    truth = library.truth
    values = library.property("carbon").values
    ratio = np.log(values / truth.carbon)
    wrong = truth.spoiled == "mislabelled"
    assert np.nanmax(np.abs(ratio[~wrong])) < 0.5
    np.testing.assert_allclose(ratio[wrong & np.isfinite(values)], np.log(0.1), atol=0.5)
    organic = truth.carbon - truth.inorganic_carbon
    assert np.all(organic > -1e-9)
    once = np.unique(truth.soil, return_index=True)[1]
    free = once[(organic[once] > 0.0) & (truth.organic_matter[once] < 979.0)]
    factor = truth.organic_matter[free] / organic[free]
    assert factor.min() >= 1.4 - 1e-9 and factor.max() <= 2.5 + 1e-9
    assert np.median(factor) == pytest.approx(1.9, rel=0.02) and np.log(factor).std() == pytest.approx(0.12, rel=0.15)


def test_organic_matter_is_measured_with_the_larger_error(library):
    truth, errors = library.truth, {}
    for name in ("carbon", "organic_matter"):
        ratio = np.log(library.property(name).values / getattr(truth, name))
        errors[name] = ratio[np.isfinite(ratio) & (truth.spoiled != "mislabelled")]
    # Within a laboratory and between them: sqrt(0.05^2 + 0.03^2) and sqrt(0.12^2 + 0.08^2); few laboratories.
    assert 0.04 < errors["carbon"].std() < 0.07 and 0.1 < errors["organic_matter"].std() < 0.2
    plain = load_laboratories(dataclasses.replace(SMALL, factor_log_sd=0.0)).truth
    organic = plain.carbon - plain.inorganic_carbon
    np.testing.assert_allclose(plain.organic_matter, np.minimum(1.9 * organic, 980.0), rtol=1e-9, atol=1e-9)


def test_transfer_samples_are_scanned_once_by_every_laboratory(library):
    truth, labs = library.truth, library.group("laboratory")
    samples, counts = np.unique(library.group("sample")[truth.transfer], return_counts=True)
    assert samples.size == 10 and set(counts.tolist()) == {5}
    for sample in samples.tolist():
        rows = library.group("sample") == sample
        assert set(labs[rows]) == {"L1", "L2", "L3", "L4", "L5"}
        values = library.property("carbon").values[rows]
        assert np.unique(values[np.isfinite(values)]).size <= 1


def test_duplicates_have_two_names_in_two_laboratories(library):
    truth = library.truth
    soils, counts = np.unique(truth.soil[truth.duplicate], return_counts=True)
    assert soils.size == 6 and set(counts.tolist()) == {2}
    for soil in soils:
        rows = truth.soil == soil
        assert len(set(library.group("sample")[rows])) == 2 and len(set(library.group("laboratory")[rows])) == 2
    assert not np.any(truth.duplicate & truth.transfer)


def test_spoiled_rows_stand_out(library):
    truth = library.truth
    names, counts = np.unique(truth.spoiled[truth.spoiled != ""], return_counts=True)
    assert set(names) == set(SPOILS) and counts.sum() == 15
    assert not np.any((truth.spoiled != "") & (truth.transfer | truth.duplicate))
    values = library.spectra.values
    rough = np.abs(np.diff(values, 2)[:, library.spectra.axis[2:] > 2000]).mean(axis=1)
    good = truth.spoiled == ""
    assert rough[truth.spoiled == "noisy"].min() > np.percentile(rough[good], 99)
    assert values[truth.spoiled == "saturated"].max() <= 0.75
    assert np.median(values[good].max(axis=1)) > 1.0


def test_laboratories_differ_in_their_instruments(library):
    """The transfer samples differ between laboratories by more than two scans in one would."""
    truth = library.truth
    rows = np.nonzero(truth.transfer)[0]
    values = library.spectra.values[rows].astype(float)
    soil, lab = truth.soil[rows], library.group("laboratory")[rows]
    level = values.mean(axis=1)
    own = np.array([level[soil == s].mean() for s in soil])
    residual = level - own
    offsets = np.array([residual[lab == name].mean() for name in np.unique(lab)])
    within = np.concatenate([residual[lab == name] - residual[lab == name].mean() for name in np.unique(lab)])
    assert offsets.std() > within.std()
    plain = dataclasses.replace(SMALL, gain_log_sd=0.0, offset_sd=0.0, tilt_sd=0.0)
    assert np.abs(load_laboratories(plain).spectra.values - library.spectra.values).max() > 0.02


def test_places_and_depths_are_on_earth(library):
    assert np.all(library.property("depth_bottom").values > library.property("depth_top").values)
    assert library.property("depth_top").values.min() >= 0
    assert np.abs(library.property("latitude").values).max() <= 90
    assert np.abs(library.property("longitude").values).max() <= 180


def test_one_seed_gives_the_same_bits_and_rows_keep_their_truth(library):
    assert load_laboratories(SMALL).fingerprint() == library.fingerprint()
    rows = np.array([30, 2])
    np.testing.assert_array_equal(library.select(rows).truth.carbon, library.truth.carbon[rows])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"laboratories": 1}, "laboratories"),
        ({"carbon": 0}, "carbon"),
        ({"organic_matter": 401}, "organic_matter"),
        ({"outliers": 300}, "transfer"),
        ({"blur": 0.4}, "organic_share"),
        ({"drift": float("inf")}, "drift"),
    ],
)
def test_impossible_settings_are_refused(changes, field):
    with pytest.raises(DataError, match=field):
        dataclasses.replace(SMALL, **changes)
