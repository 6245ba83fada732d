"""Xi against SciPy and a case worked by hand; bins of bands."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import chatterjeexi

from jaxsoil.evaluation.xi import bin_spectra, xi_matrix
from jaxsoil.runs.errors import DataError


@pytest.mark.parametrize("decimals", [12, 0])
def test_xi_is_scipys(decimals):
    """Twelve decimals leave no ties, none leave many in y; SciPy sorts ties of x in no stated order."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(150, 3))
    y = np.round(
        np.column_stack([x[:, 0] ** 2, np.sin(2 * x[:, 1]) + rng.normal(0, 0.3, 150), rng.normal(size=150)]), decimals
    )
    scipys: Any = chatterjeexi
    expected = [[scipys(x[:, k], y[:, b]).statistic for b in range(3)] for k in range(3)]
    np.testing.assert_allclose(xi_matrix(x, y), expected, rtol=1e-12)


def test_xi_by_hand():
    # Sorted by x, y = 2, 1, 3, 3: r = 2, 1, 4, 4 and l = 3, 4, 2, 2, so sum |dr| = 1 + 3 + 0 = 4 and
    # sum l (4 - l) = 3 + 0 + 4 + 4 = 11: xi = 1 - 4 * 4 / 22.
    x, y = np.array([30.0, 10.0, 20.0, 40.0]), np.array([3.0, 2.0, 1.0, 3.0])
    assert xi_matrix(x, y).item() == pytest.approx(1.0 - 16.0 / 22.0)
    # Without ties xi of a monotonic pair is 1 - 3 (n - 1) / (n^2 - 1) = 1 - 3 / (n + 1).
    assert xi_matrix(np.arange(9.0), -(np.arange(9.0) ** 3)).item() == pytest.approx(0.7)


def test_xi_has_a_direction():
    x = np.linspace(-1.0, 1.0, 400)
    assert xi_matrix(x, x**2).item() > 0.97
    assert xi_matrix(x**2 + 1e-9 * x, x).item() < 0.1


def test_what_does_not_vary_has_no_xi():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 2)), rng.normal(size=(20, 2))
    x[:, 0], y[:, 1] = 0.0, 5.0
    assert np.isnan(xi_matrix(x, y)).tolist() == [[True, True], [False, True]]


@pytest.mark.parametrize("flip", [False, True])
def test_bins_hold_the_mean_of_their_bands(flip):
    axis = np.arange(4000.0, 598.0, -2.0)
    spectra = np.stack([axis, np.ones_like(axis)])
    if flip:
        axis, spectra = axis[::-1], spectra[:, ::-1]
    centres, binned = bin_spectra(spectra, axis)
    # 3400 / 25 bins and one for the band at 4000 itself.
    assert centres.size == 137
    assert bool((np.diff(centres) < 0).all()) != flip
    np.testing.assert_allclose(binned[1], 1.0)
    inside = axis[(axis >= 1000.0) & (axis < 1025.0)]
    assert binned[0, list(centres).index(1012.5)] == pytest.approx(inside.mean())
    assert np.abs(binned[0, 1:-1] - centres[1:-1]).max() <= 1.0


def test_latents_meet_bins():
    rng = np.random.default_rng(2)
    axis = np.arange(1000.0, 600.0, -10.0)
    latents, spectra = rng.normal(size=(300, 4)), rng.normal(0.0, 0.1, (300, axis.size))
    spectra[:, axis < 700.0] += latents[:, 2:3]
    centres, binned = bin_spectra(spectra, axis)
    found = xi_matrix(latents, binned)
    assert found.shape == (4, centres.size)
    assert found[2, centres < 700.0].min() > 0.7
    assert np.abs(np.delete(found, 2, axis=0)).max() < 0.2


@pytest.mark.parametrize(
    ("latents", "spectra", "axis", "message"),
    [
        (np.ones((3, 2)), np.ones((4, 3)), [3.0, 2.0, 1.0], "x and y differ in length.*same samples"),
        (np.ones((3, 2)), np.ones((3, 3)), [3.0, 1.0, 2.0], "do not belong together"),
        (np.ones((3, 2)), np.ones((3, 3)), [2.0, 1.0], "do not belong together"),
        (np.full((3, 2), np.nan), np.ones((3, 3)), [3.0, 2.0, 1.0], "finite"),
    ],
)
def test_wrong_input_is_refused(latents, spectra, axis, message):
    with pytest.raises(DataError, match=message):
        xi_matrix(latents, bin_spectra(spectra, axis)[1])
