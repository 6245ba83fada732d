"""Distances and limits against SciPy, closed forms and simulated samples; degenerate training sets."""

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from scipy.stats import chi2

from jaxsoil.evaluation import applicability
from jaxsoil.evaluation.applicability import (
    LatentSpace,
    SpectralSpace,
    critical_limit,
    latent_distance,
    reconstruction_limit,
)
from jaxsoil.runs import files
from jaxsoil.runs.errors import DataError


@pytest.fixture
def latents():
    rng = np.random.default_rng(3)
    return rng.normal(size=(20_000, 4)) @ rng.normal(size=(4, 4)) + rng.normal(size=4)


def test_distance_is_scipys_for_many_rows(latents):
    space = LatentSpace.fit(latents)
    z = (latents - np.median(latents, axis=0)) / (
        np.percentile(latents, 75, axis=0) - np.percentile(latents, 25, axis=0)
    )
    inverse = np.linalg.inv(np.cov(z.T))
    expected = [mahalanobis(row, np.zeros(4), inverse) for row in z[:50]]
    # Ledoit and Wolf's shrinkage is of order 1/n.
    np.testing.assert_allclose(space.distance(latents[:50]), expected, rtol=5e-3)


def test_distance_does_not_depend_on_units(latents):
    factor = np.array([1e-3, 1.0, 50.0, 1e4])
    first = LatentSpace.fit(latents).distance(latents[:20])
    np.testing.assert_allclose(LatentSpace.fit(latents * factor).distance(latents[:20] * factor), first, rtol=1e-6)


def test_squared_distance_of_gaussians_is_chi_square(latents):
    squared = LatentSpace.fit(latents).distance(latents) ** 2
    assert np.mean(squared > chi2.ppf(0.95, 4)) == pytest.approx(0.05, abs=0.005)


def mass_fractions(n=400, k=6, seed=0):
    return np.random.default_rng(seed).dirichlet(np.full(k, 3.0), size=n)


def test_mass_fractions_far_from_training_are_far():
    train = mass_fractions()
    strange = np.array([[0.95, 0.01, 0.01, 0.01, 0.01, 0.01], [1 / 6] * 6])
    near = latent_distance(train, train)
    far = latent_distance(train, strange)
    assert far[0] > np.percentile(near, 99) > far[1]


def test_zero_fractions_and_a_component_that_training_never_used():
    train = mass_fractions()
    train[:, 0] = 0.0
    same = latent_distance(train, train)
    assert np.isfinite(same).all()
    moved = train[:1].copy()
    moved[0, 0] = 0.2
    assert latent_distance(train, moved)[0] > same.max()


def test_more_features_than_rows_and_collinear_features():
    few = mass_fractions(n=8, k=30)
    assert np.isfinite(latent_distance(few, mass_fractions(n=5, k=30, seed=1))).all()
    twice = np.repeat(mass_fractions(), 2, axis=1)
    assert np.isfinite(latent_distance(twice, twice)).all()


def test_one_component_and_constant_rows():
    ones = np.ones((5, 1))
    np.testing.assert_array_equal(latent_distance(ones, ones), np.zeros(5))
    constant = np.tile(mass_fractions(n=1), (10, 1))
    np.testing.assert_allclose(latent_distance(constant, constant), 0.0, atol=1e-9)


def test_rows_that_are_not_finite():
    train = mass_fractions()
    other = train[:3].copy()
    other[1] = np.nan
    found = latent_distance(np.vstack([train, np.full((1, 6), np.nan)]), other)
    assert np.isnan(found[1]) and np.isfinite(found[[0, 2]]).all()
    np.testing.assert_allclose(found[0], latent_distance(train, other)[0], rtol=1e-12)
    with pytest.raises(DataError, match="at least two finite training rows"):
        latent_distance(np.full((5, 3), np.nan), train[:, :3])


@pytest.mark.parametrize(
    ("train", "other", "message"),
    [
        (np.ones(4), np.ones((2, 2)), "rows of features"),
        (mass_fractions(), mass_fractions(k=5), "another number of features"),
        (-mass_fractions(), mass_fractions(), "negative"),
        (mass_fractions(n=1), mass_fractions(), "at least two finite"),
    ],
)
def test_wrong_input_is_refused(train, other, message):
    with pytest.raises(DataError, match=message):
        latent_distance(train, other)


def test_float32_input_is_computed_in_float64():
    train = mass_fractions().astype(np.float32)
    assert latent_distance(train, train).dtype == np.float64


def test_limit_recovers_a_scaled_chi_square():
    d = 0.7 * np.random.default_rng(1).chisquare(12, size=200_000)
    limit = critical_limit(d, alpha=0.05)
    assert limit.dof in (11, 12)
    assert limit.mean == pytest.approx(0.7 * 12, rel=0.01)
    assert limit.value == pytest.approx(0.7 * chi2.ppf(0.95, 12), rel=0.02)
    assert limit.exceeded(d).mean() == pytest.approx(0.05, abs=0.005)


def test_limit_by_hand():
    # d0 = 2, var = 2/3, F = int(12) = 12.
    limit = critical_limit([1.0, 2.0, 3.0], alpha=0.1)
    assert (limit.mean, limit.dof) == (2.0, 12)
    assert limit.value == pytest.approx(chi2.ppf(0.9, 12) * 2.0 / 12.0)
    assert limit.exceeded([0.0, 100.0, np.nan]).tolist() == [False, True, True]


def test_a_whole_number_of_degrees_of_freedom_is_not_cut():
    # d0 = 1.1 and var = 1.1^2 / 5 give exactly 10, which floating point may see as 9.999...
    for scale in np.linspace(0.1, 3.0, 200):
        spread = scale / np.sqrt(5.0)
        assert critical_limit([scale - spread, scale + spread]).dof == 10, scale


def test_equations_15_to_19_by_hand(monkeypatch):
    """Two latents on a cross around (2, -1): medians 2 and -1; interquartile ranges by hand; S without shrinkage."""
    rows = np.array(
        [
            [0.0, -1.0],
            [1.0, -1.0],
            [2.0, -1.0],
            [3.0, -1.0],
            [4.0, -1.0],
            [2.0, -5.0],
            [2.0, -3.0],
            [2.0, 1.0],
            [2.0, 3.0],
        ]
    )
    import sklearn.covariance

    monkeypatch.setattr(sklearn.covariance, "ledoit_wolf", lambda z: (np.cov(z.T, bias=True), 0.0))
    space = LatentSpace.fit(rows)
    # Sorted: 0 1 2 2 2 2 2 3 4 and -5 -3 -1 -1 -1 -1 -1 1 3: quartiles 2, 2 and -1, -1, so the scale falls back on
    # the standard deviations sqrt(10 / 9) and sqrt(40 / 9), which leave S = identity.
    np.testing.assert_allclose(space.centre, [2.0, -1.0])
    np.testing.assert_allclose(space.scale, np.sqrt([10.0 / 9.0, 40.0 / 9.0]))
    d = space.distance(rows)
    expected = np.array([2.0, 1.0, 0.0, 1.0, 2.0, 2.0, 1.0, 1.0, 2.0]) / np.sqrt(10.0 / 9.0)
    np.testing.assert_allclose(d, expected, atol=1e-12)
    # d0 = 12 / 9 and variance 20 / 9 - 16 / 9 = 4 / 9 in units of 1 / s: F = int(2 * (16 / 9) / (4 / 9)) = 8.
    limit = critical_limit(d)
    assert limit.dof == 8 and limit.alpha == 0.05
    assert limit.mean == pytest.approx(12.0 / 9.0 / np.sqrt(10.0 / 9.0))
    # The 95 % quantile of chi-square with 8 degrees of freedom, from printed tables.
    assert limit.value * limit.dof / limit.mean == pytest.approx(15.507, abs=5e-4)
    assert limit.value == pytest.approx(15.5073 * limit.mean / 8.0, rel=1e-5)
    assert limit.exceeded(space.distance(np.array([[2.0, -1.0], [4.8, -1.0], [4.0, -5.0]]))).tolist() == [
        False,
        True,
        True,
    ]


def test_limit_of_a_heavy_tail_has_one_degree_of_freedom():
    assert critical_limit([0.0] * 99 + [1e6]).dof == 1


@pytest.mark.parametrize("bad", [[1.0], [], [1.0, np.nan], [1.0, -1.0], [2.0, 2.0], [[1.0, 2.0]]])
def test_limits_without_meaning_are_refused(bad):
    with pytest.raises(DataError):
        critical_limit(bad)
    with pytest.raises(DataError, match="between 0 and 1"):
        critical_limit([1.0, 2.0], alpha=1.0)


def test_reconstruction_limit_holds_for_gaussian_noise():
    # RMSE over 30 independent bands: the squared error is chi-square with 30 degrees of freedom.
    rng = np.random.default_rng(5)
    errors = np.sqrt(np.mean(rng.normal(0.0, 0.01, (50_000, 30)) ** 2, axis=1))
    limit = reconstruction_limit(errors)
    assert limit.mean == pytest.approx(0.01, rel=0.01)
    assert limit.value == pytest.approx(0.01 * np.sqrt(chi2.ppf(0.95, 30) / 30), rel=0.01)
    assert limit.exceeded(errors).mean() == pytest.approx(0.05, abs=0.005)


def test_alpha_is_the_papers():
    assert applicability.ALPHA == 0.05


def test_the_norm_of_whitened_latents_is_the_distance(latents):
    space = LatentSpace.fit(latents)
    np.testing.assert_allclose(np.linalg.norm(space.whiten(latents[:9]), axis=1), space.distance(latents[:9]))


def spectra_of(latents):
    """Spectra of 30 bands in the plane of four loadings, with a little noise off it."""
    rng = np.random.default_rng(5)
    return latents @ rng.normal(size=(4, 30)) + 0.01 * rng.normal(size=(len(latents), 30))


def test_spectra_are_strange_within_the_components_or_off_them(latents):
    spectra = spectra_of(latents[:2000])
    space = SpectralSpace.fit(spectra, n_components=4)
    usual = space.strangeness(spectra)
    # Each limit leaves out about 5 % of the training rows.
    assert 0.05 < np.mean(usual > 1.0) < 0.12
    far = spectra.mean(axis=0) + 6.0 * (spectra[:1] - spectra.mean(axis=0))
    off = spectra[:1] + 0.2 * np.sin(np.arange(30.0))
    assert space.strangeness(far)[0] > 1.0 and space.strangeness(off)[0] > 5.0
    np.testing.assert_allclose(np.linalg.norm(space.scores(off), axis=1), space.latent.distance(
        (off - spectra.mean(axis=0)) @ space.components.T))  # fmt: skip


def test_the_plane_is_that_of_the_singular_vectors(latents):
    spectra = spectra_of(latents[:500])
    _, _, loadings = np.linalg.svd(spectra - spectra.mean(axis=0), full_matrices=False)
    found = SpectralSpace.fit(spectra, n_components=3).components
    np.testing.assert_allclose(np.abs(np.sum(found * loadings[:3], axis=1)), 1.0, atol=1e-6)


def test_each_kind_of_outlier_has_its_name(latents):
    spectra = spectra_of(latents[:400])
    space = SpectralSpace.fit(spectra, 4, 0.01, rounds=2)
    assert space.judge(spectra).outside.mean() < 0.06
    far = (space.mean + 200.0 * space.components[0])[None, :]
    assert space.judge(far).flag.tolist() == ["distance"]
    assert "residual" in space.judge(spectra[:1] + np.where(np.arange(30) % 2, 1.0, -1.0)).flag[0]
    off = spectra - space.mean - (spectra - space.mean) @ space.components.T @ space.components
    np.testing.assert_allclose(space.judge(spectra).residual, np.sqrt(np.mean(off**2, axis=1)), rtol=1e-6)


def test_a_gross_outlier_does_not_set_the_limits(latents):
    spectra = spectra_of(latents[:400])
    dirty = np.concatenate([spectra, spectra[:4] + 50.0 * np.random.default_rng(1).normal(size=(4, 30))])
    once, twice = SpectralSpace.fit(dirty, 3, 0.01), SpectralSpace.fit(dirty, 3, 0.01, rounds=2)
    assert twice.limits[1] < 0.5 * once.limits[1]
    assert twice.judge(dirty[-4:]).outside.all()


def test_fewer_rows_than_components_leave_an_error_to_judge_by():
    few = np.random.default_rng(8).normal(size=(6, 20))
    assert SpectralSpace.fit(few, n_components=10).components.shape == (4, 20)
    with pytest.raises(DataError, match="at least 3"):
        SpectralSpace.fit(few[:2])
    with pytest.raises(DataError, match="another number of features"):
        SpectralSpace.fit(few).scores(few[:, :5])


def test_a_space_from_a_file_judges_alike(latents, tmp_path):
    spectra = spectra_of(latents[:200])
    space = SpectralSpace.fit(spectra)
    files.write_arrays(tmp_path / "space.npz", space.arrays())
    read = SpectralSpace.read(files.read_arrays(tmp_path / "space.npz"))
    np.testing.assert_array_equal(read.strangeness(spectra), space.strangeness(spectra))
    np.testing.assert_array_equal(read.scores(spectra), space.scores(spectra))
    with pytest.raises(DataError, match="not complete"):
        SpectralSpace.read({"mean": space.mean})
