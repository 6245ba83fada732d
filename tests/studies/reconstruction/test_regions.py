"""What the regions hold and which fail, against counts by hand."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from reconstruction_run import write_run

from jaxsoil.data.splits import few_label
from jaxsoil.data.twin.soil.config import TwinConfig
from jaxsoil.data.twin.soil.make import make_twin
from jaxsoil.evaluation import regions as evaluation
from jaxsoil.evaluation.results import as_frame, metric_rows, read_results, write_results
from jaxsoil.studies.reconstruction.report.region_sections import rows_by_region
from jaxsoil.studies.reconstruction.summaries import UNTESTED, region_facts, region_rows
from jaxsoil.studies.reconstruction.tables import OWN


@pytest.fixture(scope="module")
def library():
    made = make_twin(TwinConfig(n_samples=90, n_regions=3, n_outlying=1, n_bands=12))
    countries = np.where(made.group("region") == "R01", "Chile", "Peru")
    return dataclasses.replace(made, groups={**made.groups, "country": countries})


def test_rows_and_the_labelled_subsample_are_counted(library, tmp_path: Path) -> None:
    splits = [few_label(library, 2, seed, region) for seed in (1, 0) for region in ("R01", "R02")]
    found: Any = region_rows(tmp_path, library, splits)["region_rows"].set_index("region")
    pedons, regions = library.group("pedon"), library.group("region")
    assert found["rows"].sum() == 90 and found["country"].tolist() == ["Chile", "Peru", "Peru"]
    drawn = next(split for split in splits if split.seed == 0 and split.held_out == "R02").train
    for name in ("R01", "R03"):
        mine = drawn & (regions == name)
        assert len(set(pedons[mine])) == 2 and found.loc[name, "subsample_rows"] == mine.sum()
    assert found.loc["R02", "pedons"] == len(set(pedons[regions == "R02"]))
    alone = region_rows(tmp_path, library, splits[:1])["region_rows"].set_index("region")
    assert np.isnan(alone.loc["R01", "subsample_rows"])  # held out in the only split
    figure = rows_by_region(found.reset_index())
    assert next(text.get_text() for text in figure.axes[0].get_yticklabels()) == "R01, Chile"


def test_averages_of_parts_are_those_by_hand(tmp_path: Path) -> None:
    data = {"soc_is": {"C": "modelled from spectra"}}
    folder = write_run(tmp_path, regions=("A", "B", "C"), models=("none", "plsr"), seeds=2, data=data)
    rows = read_results(folder / "results.csv", OWN)
    found = pd.read_csv(folder / "averages.csv")
    blocks = pd.read_csv(folder / "blocks.csv").groupby("block")["region"].apply(list).to_dict()
    assert set(found["part"]) == {"all", "measured", *blocks}
    for part, names in {"all": list("ABC"), "measured": list("AB"), **blocks}.items():
        line = found.query(f"part == '{part}' and model == 'none' and split == 'test' and scale == 'log10'")
        mine = line.set_index("metric").loc["ccc"]
        chosen = rows.query("model == 'none' and split == 'test' and scale == 'log10' and metric == 'ccc'")
        values = chosen[chosen["region"].isin(names)].set_index(["region", "seed"])["value"].unstack("seed")
        means = values.mean(axis=1)
        assert mine["mean"] == pytest.approx(means.mean()) and mine["regions"] == len(names)
        assert mine["median"] == pytest.approx(np.median(values)) and mine["overlap"] == 0.0
        assert len(names) < 2 or mine["se"] == pytest.approx(means.std() / np.sqrt(len(names)))
    # The factor of models of log10 SOC, all 1.25 here.
    factors = found[found["metric"] == "smearing"]
    assert set(factors["model"]) == {"plsr"} and set(factors["median"]) == {1.25}
    by_region = pd.read_csv(folder / "region_averages.csv")
    which = "region == 'B' and model == 'none' and split == 'test' and scale == 'percent' and metric == 'r2'"
    assert by_region.query(which)["value"].item() == pytest.approx(rows.query(which)["value"].mean())


def test_facts_of_failing_regions_are_those_of_their_rows_and_scores(library, tmp_path: Path) -> None:
    soc, regions, rows = library.property("soc").values, library.group("region"), []
    for name, factor in (("R01", 1.05), ("R02", 30.0)):
        for seed in (0, 1):
            key = {"study": "s", "data": "d", "model": "ann", "region": name, "seed": seed, "split": "test"}
            rows += metric_rows(soc[regions == name], factor * soc[regions == name], **key)
    frame = as_frame(rows)
    write_results(tmp_path / "results.csv", frame.assign(input="snv", loss="log"), OWN)
    own = {"model": ["ann"], "input": ["snv"], "loss": ["log"], "variant": [""]}
    pd.DataFrame(own).to_csv(tmp_path / "trials.csv", index=False)
    evaluation.region_blocks(frame, ("ann",)).to_csv(tmp_path / "blocks.csv", index=False)
    found = region_facts(tmp_path, library)["region_facts"].set_index("region")
    assert found["block"].tolist() == ["generalising", "problematic", UNTESTED]
    assert found.loc["R02", "bias_log10"] == pytest.approx(np.log10(30.0), rel=1e-6)
    mine = soc[regions == "R01"]
    assert found.loc["R01", "soc_median"] == pytest.approx(np.median(mine))
    assert found.loc["R01", "soc_log_sd"] == pytest.approx(pd.Series(np.log10(mine)).std())
    assert found.loc["R01", "highest_r2"] > 0.9 and np.isnan(found.loc["R03", "highest_r2"])
