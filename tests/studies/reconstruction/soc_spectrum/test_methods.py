"""Variants of the direct estimate: what each withstands, and how the bootstraps draw."""

from __future__ import annotations

import numpy as np
import pytest

from jaxsoil.data.twin.soil.make import reference_twin
from jaxsoil.runs.errors import DataError
from jaxsoil.studies.reconstruction.soc_spectrum import direct as soc_spectrum
from jaxsoil.studies.reconstruction.soc_spectrum import methods as soc_spectrum_methods
from jaxsoil.studies.reconstruction.soc_spectrum.methods import METHODS, bootstrap, disagreement, estimate
from jaxsoil.studies.reconstruction.soc_spectrum.sweep import PEDONS


@pytest.fixture(scope="module")
def plain():
    return reference_twin(1200, seed=1, **PEDONS)


@pytest.fixture(scope="module")
def following():
    return reference_twin(2000, seed=0, clay_follows_soc=0.3, **PEDONS)


def error(library, method):
    found = estimate(library, method, minerals=library.truth.decoder_minerals)
    return soc_spectrum.recovery(found.f_soc, found.ratio, found.soc_rho_r, library.truth)["rmse"]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_recovers_a_twin_without_dependence(plain, method):
    assert error(plain, method) < 0.09


def test_clay_that_follows_soc_is_withstood(following):
    assert error(following, "regions") > 0.10 and error(following, "pedons") > 0.10
    for method in ("log_soc", "log_soc_by_region", "minerals", "clay", "pedons_log_soc"):
        assert error(following, method) < 0.05, method
    assert error(following, "log_soc_minerals") < 0.08


def test_the_logarithm_is_held_fixed_as_by_least_squares(plain):
    samples = soc_spectrum.samples_of(plain)
    region = samples.library.group("region")
    design = np.column_stack([samples.x, np.log(samples.x), region[:, None] == np.unique(region)])
    slope = np.linalg.lstsq(design, samples.reflectance, rcond=None)[0][0]
    product = np.linalg.lstsq(design, samples.reflectance * samples.x[:, None], rcond=None)[0][0]
    expected = soc_spectrum.from_slopes(samples.axis, slope, product)
    np.testing.assert_allclose(estimate(plain, "log_soc").f_soc, expected.f_soc, atol=1e-8)


def test_bootstrap_draws_pedons_within_regions(plain):
    regions, pedons = plain.group("region"), plain.group("pedon")
    weights = soc_spectrum_methods._resampled(regions, pedons, 30, seed=0)
    for region in np.unique(regions):
        mine = regions == region
        names, first = np.unique(pedons[mine], return_index=True)
        # As many pedons as there are, some of them several times.
        assert (weights[:, mine][:, first].sum(axis=1) == names.size).all()
    for pedon in np.unique(pedons)[:20]:
        # All rows of a pedon are drawn equally often.
        assert (np.ptp(weights[:, pedons == pedon], axis=1) == 0).all()


def test_bootstraps_repeat_and_surround_the_estimate(plain):
    one, two = bootstrap(plain, resamples=25, seed=3), bootstrap(plain, resamples=25, seed=3)
    np.testing.assert_array_equal(one.f_soc, two.f_soc)
    assert one.clusters == "pedon" and one.failed == 0
    found = estimate(plain)
    assert one.ratio.min() < found.ratio < one.ratio.max()


@pytest.mark.parametrize("method", ["minerals", "log_soc_minerals"])
def test_mineral_features_are_estimated_anew_in_each_resample(plain, method):
    """A resample is the estimate of the rows it drew, repeated as often as they were drawn."""
    minerals = plain.truth.decoder_minerals
    drawn = bootstrap(plain, method, resamples=2, seed=5, minerals=minerals)
    weights = soc_spectrum_methods._resampled(plain.group("region"), plain.group("pedon"), 2, seed=5)
    samples = soc_spectrum.samples_of(plain)
    for place in range(2):
        rows = np.repeat(np.arange(len(plain)), weights[place].astype(int))
        again = soc_spectrum.Samples(samples.library, samples.axis, samples.reflectance[rows], samples.x[rows])
        found = _with_features_of(again, plain.group("region")[rows], minerals, "log" in method)
        assert drawn.ratio[place] == pytest.approx(found.ratio, rel=1e-6)
        np.testing.assert_allclose(drawn.f_soc[place], found.f_soc, atol=1e-7)


def _with_features_of(samples, regions, minerals, logarithm):
    """The method from its definition, on rows as they are: features read from R (1 + x / t), twice."""
    curvature = soc_spectrum_methods._curvature_of(samples.axis)
    shapes = curvature(minerals.spectra.values.astype(np.float64) / minerals.rho_r[:, None])
    directions = np.linalg.svd(shapes, full_matrices=False)[2][: soc_spectrum_methods.FEATURES]
    first = np.log(samples.x)[:, None] if logarithm else None
    held = first
    for turn in range(3):
        found = soc_spectrum.slopes(samples.reflectance, samples.x, regions, controls=held)
        estimate = soc_spectrum.from_slopes(samples.axis, found[0][0], found[1][0])
        if turn < 2:
            product = samples.reflectance * (1.0 + samples.x / estimate.ratio)[:, None]
            sizes = curvature(product) @ directions.T
            held = sizes if first is None else np.hstack([first, sizes])
    return estimate


def test_disagreement_tells_clay_that_follows_soc(plain, following):
    def share(library):
        return disagreement(*(bootstrap(library, method, resamples=60) for method in ("regions", "log_soc")))

    assert share(plain) < 0.25 < 0.5 < share(following)


def test_disagreement_needs_resamples(plain):
    few = bootstrap(plain, resamples=5)
    with pytest.raises(DataError, match="too few paired resamples"):
        disagreement(few, few)


def test_mistakes_are_named(plain):
    with pytest.raises(DataError, match=r"no such method.*Did you mean 'log_soc'"):
        estimate(plain, "logsoc")
    with pytest.raises(DataError, match="mineral features need the minerals"):
        estimate(plain, "minerals")
    wrong = plain.truth.decoder_minerals.resample(np.linspace(400.0, 2400.0, 100))
    with pytest.raises(DataError, match="different axes"):
        estimate(plain, "minerals", minerals=wrong)
    few = reference_twin(200, n_bands=12)
    with pytest.raises(DataError, match="too few bands"):
        estimate(few, "minerals", minerals=few.truth.decoder_minerals)
