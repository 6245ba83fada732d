"""The data of the multi-fidelity study: relations of its parts, refusals, measured variants."""

import numpy as np
import pytest

from jaxsoil.data import pairs
from jaxsoil.data.properties import PROPERTIES
from jaxsoil.data.twin.infrared.config import InfraredTwinConfig
from jaxsoil.runs.errors import DataError

SMALL = InfraredTwinConfig(samples=60, labelled=40, pairs=20, test=10, mir_step=20.0, nir_bands=56)


@pytest.fixture(scope="module")
def twin():
    return pairs.load("infrared_twin", SMALL)


# Relations


def test_parts_are_related_as_in_the_study(twin):
    assert len(twin.pretrain) == 240 and len(np.unique(twin.pretrain.samples)) == 60
    assert len(twin.labelled) == 40 and set(twin.labelled.ids) <= set(twin.pretrain.samples)
    assert len(twin.paired_mir) == 20 and set(twin.paired_mir.ids) <= set(twin.labelled.ids)
    np.testing.assert_array_equal(twin.paired_mir.ids, twin.paired_nir.ids)
    np.testing.assert_array_equal(twin.test_mir.ids, twin.test_nir.ids)
    assert not set(twin.test_mir.ids) & set(twin.pretrain.samples)
    assert tuple(twin.labelled.properties) == PROPERTIES and twin.has_pairs
    for name in PROPERTIES:
        np.testing.assert_array_equal(twin.paired_mir.property(name).values, twin.paired_nir.property(name).values)
    assert (twin.test_nir.spectra.axis[0], twin.test_nir.spectra.axis[-1]) == (1400.0, 2500.0)


def test_paired_rows_are_labelled_rows(twin):
    where = np.nonzero(np.isin(twin.labelled.ids, twin.paired_mir.ids))[0]
    np.testing.assert_allclose(twin.labelled.spectra.values[where], twin.paired_mir.spectra.values, atol=2e-6)


def test_unknown_names_and_misplaced_settings_are_refused():
    with pytest.raises(DataError, match="Did you mean 'infrared_twin'"):
        pairs.load("infra_twin")
    with pytest.raises(DataError, match="configuration of the twin"):
        pairs.load("limesoda_mir", SMALL)
    with pytest.raises(DataError, match="no such field"):
        pairs.load("limesoda_mir/NRW.11")
