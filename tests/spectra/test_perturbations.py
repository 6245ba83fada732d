"""The smooth curve between instruments: its size, its shape, and what is refused."""

import numpy as np
import pytest

from jaxsoil.runs.errors import DataError
from jaxsoil.spectra.perturbations import smooth_curve


@pytest.mark.parametrize("bands", [426, 1701])
def test_a_smooth_curve_has_the_stated_spread_and_few_half_waves(bands):
    curve = smooth_curve(bands, 0.01, np.random.default_rng(3))
    np.testing.assert_allclose([curve.mean(), curve.std()], [0.0, 0.01], atol=1e-12)
    # Cosines of 2 to 8 half waves: none of 0, 1 or more than 8, which a discrete cosine transform would show.
    place = (np.arange(bands) + 0.5) / bands
    parts = np.array([curve @ np.cos(np.pi * k * place) for k in range(20)]) * 2.0 / bands
    assert np.abs(parts[[0, 1, *range(9, 20)]]).max() < 1e-12 < np.abs(parts[2:9]).min()


def test_the_shape_of_a_curve_does_not_depend_on_its_spread():
    one, other = (smooth_curve(50, sd, np.random.default_rng(0)) for sd in (0.01, 0.03))
    np.testing.assert_allclose(other, 3.0 * one, rtol=1e-12)
    assert not smooth_curve(50, 0.0, np.random.default_rng(0)).any()


@pytest.mark.parametrize("sd", [-0.01, float("nan"), float("inf")])
def test_a_negative_curve_is_refused(sd):
    with pytest.raises(DataError, match="at least 0"):
        smooth_curve(50, sd, np.random.default_rng(0))
