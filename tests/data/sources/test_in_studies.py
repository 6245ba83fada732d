"""Each public library in the study that it is for: prepared from the local server, and run at smoke size."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import library_server
import numpy as np
import pandas as pd
import pytest
from command import EXPERIMENTS, run_here

from jaxsoil.data.sources.places import prepared
from jaxsoil.experiments import configure, load
from jaxsoil.runs.files import read_json

SOILS = 60
BY_HAND = {"raca": "RaCA-spectra.csv", "afsis": "afsis-opus.zip", "nirsoil": "NIRsoil.RData"}
"""Provider -> file that is not fetched, or needs no server in these tests."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A study of public libraries.

    Args:
      experiment, data: of the command; data that end in .toml are :data:`FIELDS`.
      made: libraries that it prepares.
      options: of the command, so that a whole run takes little.
    """

    experiment: str
    data: str
    made: tuple[str, ...]
    options: tuple[str, ...] = ()


FIELDS = """
name = "fields"
title = "Two fields of LimeSoDa and NIRsoil"
members = ["SSP.460", "CV.98", "nirsoil"]
[grid]
unit = "nm"
low = 1100
high = 2480
step = 10
"""
REGIONS = ("--train.epochs", "2", "--train.batch", "4", "--networks", "physics", "--baselines", "plsr")
REGIONS += ("--components", "4")
PAIRS = ("--seeds", "1", "--strategies", "MIR-PLSR", "NIR-PLSR", "MIR-SSL-PLSR", "NIRtoMIR-SSL-PLSR")
PAIRS += ("--curves.labels", "--instruments.curves", "--internal", "0")
LABORATORIES = ("--train.epochs", "2", "--members", "1", "--folds", "2", "--compare", "none", "--step", "64")
LABORATORIES += ("--no-clipped", "--targets", "carbon", "clay", "--laboratory-members", "0")

CASES = {
    # The minerals are the end-members of the mixing decoder: splib07 is prepared before, as a user would.
    "raca": Case("region_out", "raca", ("raca", "splib07"), REGIONS),
    "ossl_visnir": Case("region_out", "ossl_visnir", ("ossl_visnir", "splib07"), REGIONS),
    "fields": Case("region_out", "fields.toml", ("limesoda", "nirsoil"), REGIONS),
    "ossl_mir": Case("hybrid_dataset", "ossl_mir", ("ossl_mir",), LABORATORIES),
    "kssl": Case("multifidelity", "kssl", ("ossl_mir", "neospectra_mir", "neospectra_nir"), PAIRS),
    "kssl_visnir": Case("multifidelity", "kssl_visnir", ("ossl_mir", "ossl_visnir"), PAIRS),
    "afsis": Case("multifidelity", "afsis", ("afsis_htsxt", "afsis_mpa"), PAIRS),
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of public libraries beside a server of larger ones; what a test prepares the next one finds."""
    folder, cache = tmp_path_factory.mktemp("larger"), tmp_path_factory.mktemp("cache")
    library_server.ossl(folder, SOILS, others=24)
    library_server.neospectra(folder, 40)
    library_server.raca(folder, SOILS)
    library_server.afsis(folder, 40)
    library_server.limesoda(folder, ("SSP.460", "CV.98"), 24)
    library_server.nirsoil(folder)
    library_server.splib07(folder)
    with library_server.served(folder) as server, pytest.MonkeyPatch.context() as patch:
        for provider, name in BY_HAND.items():
            library_server.bring(folder, cache, provider, name)
        patch.setenv("JAXSOIL_CACHE", str(cache))
        patch.setenv("JAXSOIL_MIRROR", server.address)
        patch.delenv("JAXSOIL_DATA", raising=False)
        yield cache


def words(case: Case, folder: Path) -> list[str]:
    """The options of the command, with the manifest's path."""
    data = case.data
    if data.endswith(".toml"):
        (folder / data).write_text(FIELDS, "utf-8")
        data = str(folder / data)
    return ["--data", data, *case.options]


def ready(case: Case, folder: Path) -> Any:
    """What the study prepares of the data, at smoke size."""
    from jaxsoil.data.sources.prepare import prepare

    if "splib07" in case.made:
        prepare("splib07", progress=False)
    experiment = load(case.experiment, EXPERIMENTS)
    config = configure(experiment, case.experiment, "smoke", words(case, folder))
    made = experiment.study_module().prepare(config)
    assert all(prepared(name).is_dir() for name in case.made)
    return made


@pytest.mark.parametrize("name", ["raca", "ossl_visnir", "fields"])
def test_soc_of_a_region_is_learnt_from_the_others_and_minerals_are_those_of_splib07(cache, tmp_path, name):
    made = ready(CASES[name], tmp_path)
    regions = {"raca": 8, "ossl_visnir": 3, "fields": 3}[name]
    assert len(made.splits) == regions and {one.held_out for one in made.splits} == set(made.library.group("region"))
    pedons = made.library.blocks
    assert not any(set(pedons[one.train]) & set(pedons[one.test]) for one in made.splits)
    assert made.minerals.source.startswith("USGS splib07")
    np.testing.assert_allclose(made.minerals.spectra.axis, made.library.spectra.axis)
    if name == "raca":
        assert made.library.spectra.n_bands == 2136 and made.library.property("caco3").values[1] == 1.5


def test_data_sets_of_the_open_library_are_laboratories(cache, tmp_path):
    made = ready(CASES["ossl_mir"], tmp_path)
    assert made.data.sizes == {"ICRAF.ISRIC": 24, "KSSL.SSL": SOILS}
    assert made.data.ranges["carbon"].unit == "g/kg" and any("carbon is given in %" in one for one in made.data.notes)
    lab = pd.read_csv(next((cache / "downloads").rglob("ossl_soillab_L1_v1.2.csv.gz")))
    np.testing.assert_allclose(made.data.observed("carbon")[0], 10 * lab["c.tot_usda.a622_w.pct"][0])


@pytest.mark.parametrize("name", ["kssl", "kssl_visnir", "afsis"])
def test_pairs_of_public_libraries_pretrain_convert_and_judge(cache, tmp_path, name):
    (replicate,) = ready(CASES[name], tmp_path).each
    data, rows = replicate.sets.data, replicate.rows
    assert replicate.sets.paired and rows.pairs_valid.size and len(data.test_mir) >= 8
    assert data.paired_nir.spectra.axis[0] >= 1400 and data.paired_mir.spectra.axis[-1] <= 4000
    # A layer without a label is of a validation pedon too, and is in no training.
    held = set(data.paired_mir.blocks[rows.pairs_valid]) | set(data.test_mir.blocks)
    assert data.pretrain.pedons is not None and not held & set(data.pretrain.pedons[rows.scans])
    assert not held & set(data.labelled.blocks[rows.all_labelled])


@pytest.mark.campaign
@pytest.mark.parametrize("name", CASES)
def test_the_whole_study_runs(cache, tmp_path, name):
    case = CASES[name]
    ready(case, tmp_path)
    options = ["--exp", case.experiment, "--smoke", "--wandb", "disabled", *words(case, tmp_path)]
    assert run_here(*options, "--workdir", str(tmp_path / "run")) == 0
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000
    data = read_json(tmp_path / "run" / ("config.json" if case.experiment == "hybrid_dataset" else "data.json"))
    assert data
    results = pd.read_csv(tmp_path / "run" / "results.csv")
    assert np.isfinite(results["value"]).any()
