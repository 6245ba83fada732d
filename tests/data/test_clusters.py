"""Groups of like spectra: kinds that are there are found, whatever the gain and offset of a scan."""

import numpy as np
import pytest

from jaxsoil.data.clusters import like_spectra
from jaxsoil.runs.errors import DataError
from jaxsoil.spectra.container import Spectra


def kinds(n: int = 30) -> tuple[Spectra, np.ndarray]:
    rng, axis = np.random.default_rng(1), np.linspace(700.0, 3800.0, 60)
    which = rng.permutation(np.arange(n) % 3)
    shapes = np.stack([np.exp(-(((axis - centre) / 300.0) ** 2)) for centre in (1100.0, 2000.0, 3400.0)])
    values = shapes[which] * rng.uniform(0.5, 2.0, (n, 1)) + rng.uniform(0.1, 0.6, (n, 1))
    return Spectra(values + rng.normal(0.0, 0.005, values.shape), axis, "cm-1", "absorbance"), which


def test_kinds_of_spectra_are_found_whatever_their_gain_and_offset() -> None:
    spectra, which = kinds()
    found = like_spectra(spectra, 3, 5)
    assert len(set(zip(found.tolist(), which.tolist(), strict=True))) == len(set(found.tolist())) == 3


@pytest.mark.parametrize("clusters", [1, 31])
def test_an_impossible_number_of_clusters_is_refused(clusters: int) -> None:
    with pytest.raises(DataError, match=f"{clusters} clusters of 30"):
        like_spectra(kinds()[0], clusters)
