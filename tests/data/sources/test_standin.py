"""A plan without a download: made-up libraries at their stated size."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from jaxsoil.data import pairs
from jaxsoil.data.sources import catalogue, standin
from jaxsoil.data.sources.prepare import load, prepare


@pytest.fixture
def smaller(monkeypatch):
    """The catalogue with a hundredth of the rows."""
    small = {
        name: dataclasses.replace(
            one, rows=sum(n // 100 for n in one.parts.values()) or one.rows // 100,
            parts={part: n // 100 for part, n in one.parts.items()},
        )
        for name, one in catalogue.sources().items()
    }  # fmt: skip
    monkeypatch.setattr(catalogue, "sources", lambda: small)


def test_a_plan_fetches_nothing_and_says_what_would_be(server, smaller):
    with standin.planning() as missing:
        data = pairs.load("kssl")
        raca = load("raca")
    assert [one.name for one in missing] == ["neospectra_mir", "neospectra_nir", "ossl_mir", "raca"]
    assert len(data.pretrain) + len(data.test_mir) >= 700 and data.pretrain.axis.size == 1701
    assert raca.spectra.n_bands == 2136 and np.unique(raca.group("region")).size == 17
    told = "\n".join(standin.in_words(missing))
    size = (server.folder / "ossl_mir_L0_v1.2.csv.gz").stat().st_size
    assert f"ossl_mir_L0_v1.2.csv.gz ({size / 1e6:.1f} MB)" in told
    assert "RaCA-spectra.csv must be brought by hand" in told and "licence: " in told
    assert {method for method, _, _ in server.requests} == {"HEAD"}


def test_pairs_of_which_one_library_is_there_are_made_up_together(server, smaller):
    prepare("neospectra_mir", progress=False)
    with standin.planning() as missing:
        assert len(pairs.load("kssl").paired_mir) > 0
    assert [one.name for one in missing] == ["neospectra_nir", "ossl_mir"]


def test_what_is_prepared_is_not_made_up(server):
    prepare("neospectra_mir", progress=False)
    with standin.planning() as missing:
        assert len(load("neospectra_mir")) == 16
    assert missing == []
