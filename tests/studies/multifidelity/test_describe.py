"""What the run folder says of the data, and data whose fields are the replicates."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from jaxsoil.data.pairs import FIELDS_OUT, load
from jaxsoil.data.scans import Scans
from jaxsoil.data.twin.infrared.config import InfraredTwinConfig
from jaxsoil.runs.errors import UsageError
from jaxsoil.studies.multifidelity.config import MultifidelityConfig
from jaxsoil.studies.multifidelity.describe import content_digest
from jaxsoil.studies.multifidelity.replicates import SpectraSets, read_sets
from jaxsoil.studies.multifidelity.run import prepare


@pytest.fixture(scope="module")
def sets() -> SpectraSets:
    twin = InfraredTwinConfig(samples=60, repeats=2, labelled=40, pairs=20, test=10, mir_step=68.0, nir_bands=11)
    return read_sets(load(config=twin), complete=True)


def test_the_digest_follows_every_part_of_the_data_that_of_stage_1_included(sets: SpectraSets) -> None:
    def digest(**changes: object) -> str:
        return content_digest([dataclasses.replace(sets, data=dataclasses.replace(sets.data, **changes))])

    whole = content_digest([sets])
    assert digest() == whole == content_digest([sets, sets]) and len(whole) == 64
    data, found = sets.data, {whole}
    for name in ("labelled", "paired_mir", "paired_nir", "test_mir", "test_nir"):
        library = getattr(data, name)
        found.add(digest(**{name: library.select(np.arange(len(library))[::-1])}))
    scans = data.pretrain
    gain = np.where(np.arange(len(scans)) == len(scans) - 1, np.float32(1.01), np.float32(1))
    louder = Scans(scans.axis, scans.samples, lambda rows: scans.reader(rows) * gain[rows, None])
    for other in (
        louder,
        dataclasses.replace(scans, axis=scans.axis + 1),
        dataclasses.replace(scans, samples=scans.samples[::-1]),
    ):
        found.add(digest(pretrain=other))
    assert len(found) == 1 + 5 + 3


def test_seeds_are_refused_where_fields_are_the_replicates() -> None:
    with pytest.raises(UsageError, match=r"--seeds 3 has no meaning with --data limesoda_mir.*Leave --seeds out"):
        prepare(dataclasses.replace(MultifidelityConfig(), data=FIELDS_OUT, seeds=3))
