"""The bundles that studies leave predict what the studies' own models predicted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from command import EXPERIMENTS
from smoke_runs import smoke_run

from jaxsoil.bundle.bundle import TWIN_WARNING, Bundle
from jaxsoil.bundle.predict import predict
from jaxsoil.experiments import load
from jaxsoil.models import plsr
from jaxsoil.runs.pieces import Pieces
from jaxsoil.spectra.preprocess import SNV


def prepared(name: str) -> Any:
    """The data of a smoke run."""
    experiment = load(name, EXPERIMENTS)
    return experiment.study_module().prepare(experiment.smoke)


@pytest.fixture(scope="module")
def region_out() -> Path:
    return smoke_run("region_out")


def test_region_out_hands_on_all_its_models_fitted_on_all_regions(region_out: Path) -> None:
    bundle, library = Bundle.load(region_out / "bundle"), prepared("region_out").library
    assert list(bundle.models) == ["plsr", "random_forest", "plsr_absorbance", "carry_over", "none", "ann", "physics"]
    assert bundle.twin and not (region_out / "states").exists()
    found = predict(bundle, library.spectra, model="plsr")
    z = SNV()(library.spectra.to_absorbance()).values
    fitted = plsr.fit(z, np.log10(library.property("soc").values))
    np.testing.assert_allclose(found["value"], 10.0 ** fitted.predict(z), rtol=1e-3)
    assert set(found["seen"]) == {True} and set(found["warning"]) == {TWIN_WARNING}
    for model in ("none", "ann", "physics"):
        values = predict(bundle, library.spectra, model=model)
        # What the study's own training on all regions predicted: input and loss go with the network.
        piece = Pieces(region_out / "trials").get(f"refit-{model}-0", pytest.fail, identity=[f"{model}/all/all/0"])
        np.testing.assert_allclose(values["value"], 100.0 * piece.arrays["soc"][0], rtol=2e-3, atol=1e-4)
        assert np.isfinite(values["rebuilt"].to_numpy(dtype=float)).all() == (model != "none")


def test_its_calibration_is_that_of_the_held_out_regions(region_out: Path) -> None:
    held_out = pd.read_parquet(region_out / "predictions.parquet")
    calibration = Bundle.load(region_out / "bundle").model("ann").calibrations["soc"]
    rows = held_out[(held_out["model"] == "ann") & (held_out["split"] == "test")]
    residuals = np.abs(np.log10(np.maximum(rows["predicted"], 0.01)) - np.log10(rows["observed"]))
    np.testing.assert_allclose(np.sort(residuals), calibration.residuals, rtol=1e-6)
    assert set(calibration.regions) == set(rows["region"])


@pytest.mark.parametrize("view", ["mir", "nir"])
def test_multifidelity_hands_on_the_models_of_both_ranges(view: str) -> None:
    folder, data = smoke_run("multifidelity"), prepared("multifidelity").first.data
    bundle = Bundle.load(folder / "bundle" / view)
    library = data.test_mir if view == "mir" else data.test_nir
    written = pd.read_parquet(folder / "predictions.parquet")
    written = written[(written["seed"] == 0) & (written["set"] == "test") & (written["task"] != "single")]
    for model in bundle.models:
        found = predict(bundle, library.spectra, ids=library.ids.tolist(), model=model)
        rows: Any = written[written["strategy"] == model]
        mine = rows.set_index(["id", "property"])["predicted"]
        assert len(found) == len(mine)
        index = pd.MultiIndex.from_arrays([found["id"], found["property"]])
        np.testing.assert_allclose(found["value"], mine.reindex(index), rtol=2e-3, atol=2e-3)


def test_the_hybrid_study_hands_on_the_networks_behind_its_product() -> None:
    folder, cross_fit = smoke_run("hybrid_dataset"), prepared("hybrid_dataset")
    bundle, library = Bundle.load(folder / "bundle"), cross_fit.data.library
    product = pd.read_parquet(folder / "hybrid.parquet")
    assert {target.name for target in bundle.model().targets} == set(cross_fit.data.targets)
    # The spectra of the reference laboratory are the ones that harmonisation leaves as they are.
    mine = product[(product["laboratory"] == cross_fit.reference) & (product["kind"] == "predicted")]
    assert len(mine) > 5
    found = predict(bundle, library.spectra, ids=library.ids.tolist()).set_index(["id", "property"])["value"]
    theirs = mine.set_index(["id", "property"])["value"]
    np.testing.assert_allclose(found.reindex(theirs.index), theirs, rtol=1e-3)
