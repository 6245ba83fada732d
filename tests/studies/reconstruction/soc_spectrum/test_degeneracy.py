"""The degeneracy as numbers: other f and c, the same spectra, and nothing unphysical where that is promised."""

from __future__ import annotations

import numpy as np
import pytest

from jaxsoil.data.twin.soil.make import reference_twin
from jaxsoil.studies.reconstruction.soc_spectrum.degeneracy import degenerate_solutions


@pytest.fixture(scope="module")
def found():
    return degenerate_solutions(reference_twin(400, seed=0).truth)


def test_the_spectra_are_the_same_to_rounding(found):
    assert found.difference.max() <= 1e-12
    np.testing.assert_allclose(found.reflectance - found.reflectance[:1], 0.0, atol=1e-12)


def test_f_and_c_differ(found):
    assert found.soc_rho_r[0] == pytest.approx(1.4)
    low, high = found.soc_rho_r[1::2], found.soc_rho_r[2::2]
    assert (low < 1.39).all() and (high > 1.41).all()
    # What is spared widens the range.
    assert low[1] < low[0] and high[1] > high[0]
    assert np.sqrt(np.mean((found.f_soc[1:] - found.f_soc[0]) ** 2, axis=1)).max() > 0.1


def test_the_solutions_are_physical_where_none_is_spared(found):
    assert found.feasible[:3].tolist() == [1.0, 1.0, 1.0]
    assert found.f_soc.min() >= -1e-9 and found.f_soc.max() <= 1.0 + 1e-9
    assert (found.soc > 0.0).all() and (np.diff(found.soc) > 0.0).all()
