"""TensorFlow Datasets records: written and read without TensorFlow, equal to the memory map."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from jaxsoil.data import registry
from jaxsoil.data.sources.records import builder, write_records
from jaxsoil.runs.errors import UsageError

tfds = pytest.importorskip("tensorflow_datasets")


@pytest.mark.parametrize("name", ["neospectra_nir", "limesoda/SSP.460"])
def test_records_hold_what_the_library_holds(server, name):
    folder = write_records(name)
    library = registry.load(name)
    rows = builder(name).as_data_source(split="train")
    assert len(rows) == len(library)
    for place in (0, len(library) - 1):
        row = rows[place]
        assert row["id"].decode() == library.ids[place]
        np.testing.assert_array_equal(row["spectrum"], library.spectra.values[place])
        np.testing.assert_allclose(row["soc"], library.property("soc").values[place], rtol=1e-6)
        assert row["group_region"].decode() == library.group("region")[place]
    again = tfds.builder_from_directory(folder)  # by whoever knows nothing of this package
    assert again.info.splits["train"].num_examples == len(library)
    assert "CC BY" in str(again.info.redistribution_info) and "tensorflow" not in sys.modules


def test_a_library_of_several_tables_needs_the_name_of_one(server):
    with pytest.raises(UsageError, match=r"name one, such as limesoda/CV\.98"):
        builder("limesoda")
    assert server.requests == []
    made = builder("ossl_mir")  # and a table of scans is described before it is fetched
    assert made.info.features["spectrum"].shape == (1701,) and server.requests == []
