"""Intervals of region_out: what they may know, what they cover, and what measuring again is worth."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from reconstruction_run import write_run
from smoke_runs import smoke_run

from jaxsoil.data.library import Library
from jaxsoil.data.splits import Split, region_out
from jaxsoil.evaluation import results
from jaxsoil.evaluation.results import log10_percent
from jaxsoil.evaluation.shift import SHARE
from jaxsoil.report.document import Document
from jaxsoil.studies.reconstruction import uncertainty
from jaxsoil.studies.reconstruction.config import SMOKE_TWIN, StudyConfig
from jaxsoil.studies.reconstruction.prepare import load_library
from jaxsoil.studies.reconstruction.report.reading import read_run
from jaxsoil.studies.reconstruction.report.uncertainty import uncertainty_section
from jaxsoil.studies.reconstruction.uncertainty import LEVEL, NESTED, POOLED, curve_rows, remeasure_rows


@pytest.fixture(scope="module")
def library() -> Library:
    return load_library(StudyConfig(twin=SMOKE_TWIN))


@pytest.fixture(scope="module")
def splits(library: Library) -> list[Split]:
    return region_out(library)


def predict(folder: Path, library: Library, splits: list[Split], models=("plsr",), diverged: str = "") -> Path:
    """Writes predictions.parquet, made from spectra alone so that changed labels change none of them."""
    folder.mkdir(exist_ok=True)
    frames = []
    for model in models:
        for split in splits:
            rows = np.nonzero(split.test)[0]
            made = 10.0 ** (2.0 - 5.0 * library.spectra.values[rows].mean(axis=1, dtype=float))
            made = np.full(rows.size, np.nan) if split.held_out == diverged else made
            key = {"study": "region_out", "model": model, "region": split.held_out, "seed": 0, "split": "test"}
            key |= {"variant": ""}
            values = {
                "id": library.ids[rows],
                "observed": library.property("soc").values[rows],
                "predicted": made,
                "mean": made,
            }
            frames.append(pd.DataFrame(values).assign(**key))
    pd.concat(frames).to_parquet(folder / "predictions.parquet", index=False)
    return folder


def summary(folder: Path, library: Library, splits: list[Split], **options: Any) -> dict[str, Any]:
    """The tables of a run with such predictions."""
    return {**uncertainty.summary(predict(folder, library, splits, **options), library, splits, StudyConfig())}


def curve(rows: pd.DataFrame) -> Any:
    return curve_rows(rows)


def remeasured(rows: pd.DataFrame, folder: Path) -> Any:
    return remeasure_rows(rows, folder)


def with_soc(library: Library, soc: np.ndarray) -> Library:
    changed = dataclasses.replace(library.property("soc"), values=soc)
    return dataclasses.replace(library, properties={**library.properties, "soc": changed})


def test_labels_of_the_held_out_region_change_none_of_its_intervals(library, splits, tmp_path) -> None:
    region = splits[0]
    soc = library.property("soc").values.copy()
    soc[region.test] = soc[region.test][::-1] * 3.0
    other = with_soc(library, soc)
    made = []
    for name, one in (("a", library), ("b", other)):
        made.append(summary(tmp_path / name, one, splits)["prediction_intervals.parquet"])
    ends = ["calibration", "method", "low", "high", "strangeness"]
    first, second = (frame[frame["region"] == region.held_out] for frame in made)
    assert set(first["calibration"]) == {POOLED, NESTED} and set(first["method"]) > {"cross"}
    pd.testing.assert_frame_equal(first[ends], second[ends])
    assert not first["covered"].equals(second["covered"])
    first, second = (frame[frame["region"] != region.held_out] for frame in made)
    assert not np.allclose(first["half"], second["half"])


def test_pairs_are_predicted_by_plsr_fitted_without_either(library, splits, tmp_path) -> None:
    from sklearn.cross_decomposition import PLSRegression

    from jaxsoil.studies.reconstruction.baselines import seen

    spectra, soc = seen(library, "snv"), library.property("soc").values
    found = uncertainty._pairs(tmp_path, library, splits, StudyConfig())
    assert found is not None and len(found) == 6
    both = splits[1].test | splits[3].test
    twin = PLSRegression(15).fit(spectra[~both], np.log10(soc[~both]))
    np.testing.assert_allclose(np.log10(found[frozenset((1, 3))][both]), twin.predict(spectra[both]).ravel(), atol=1e-6)
    assert np.isnan(found[frozenset((1, 3))][~both]).all()


def test_of_all_regions_one_alone_is_not_covered_by_region_intervals(library, splits, tmp_path) -> None:
    """With the largest of K scores as half width, only the region with the largest of all K + 1 scores fails."""
    made = summary(tmp_path, library, splits)
    rows = made["prediction_intervals.parquet"]
    rows = rows[(rows["method"] == "region") & (rows["calibration"] == POOLED)]
    assert set(rows["level"]) == {3 / 4}
    error = pd.Series(np.abs(log10_percent(rows["predicted"]) - log10_percent(rows["observed"])), rows.index)
    scores = error.groupby(rows["region"]).agg(lambda e: np.sort(e)[math.ceil(SHARE * e.size) - 1])
    held = rows.groupby("region")["covered"].mean() >= SHARE
    assert held[~held].index.tolist() == [scores.idxmax()]


def test_coverage_is_that_of_the_rows(tmp_path) -> None:
    # Regions that are alike: of regions unlike the others weights bound hardly a row.
    library = load_library(StudyConfig(twin=dataclasses.replace(SMOKE_TWIN, n_outlying=0)))
    splits = region_out(library)
    made = summary(tmp_path, library, splits)
    rows, table = made["prediction_intervals.parquet"], made["coverage"]
    assert set(table["calibration"]) == {POOLED, NESTED}
    assert list(table.columns) == [*results.columns_of(uncertainty.OWN)]
    told = rows[(rows["method"] == "density") & (rows["calibration"] == NESTED) & np.isfinite(rows["half"])]
    region = told["region"].value_counts().idxmax()
    mine = rows[(rows["region"] == region) & (rows["method"] == "density") & (rows["calibration"] == NESTED)]
    inside = (mine["low"] <= mine["observed"]) & (mine["observed"] <= mine["high"])
    fit = mine["strangeness"] <= 1.0
    key = {"region": region, "method": "density", "calibration": NESTED}
    lines = table[(table[list(key)] == list(key.values())).all(axis=1)].set_index(["rows", "metric"])["value"]
    bounded = np.isfinite(mine["half"])
    assert lines["all", "coverage"] == pytest.approx(inside[bounded].mean())
    assert lines["all", "unbounded"] == pytest.approx(1.0 - bounded.mean())
    assert lines["applicable", "coverage"] == pytest.approx(inside[fit & bounded].mean())
    assert lines["all", "applicable"] == pytest.approx(fit.mean()) and lines["all", "n"] == len(mine)
    np.testing.assert_allclose(lines["all", "factor"], np.median(mine["high"] / mine["predicted"]))


def test_a_diverged_region_neither_has_intervals_nor_calibrates(library, splits, tmp_path) -> None:
    lost = splits[1].held_out
    whole = summary(tmp_path / "a", library, splits, models=("ann",))
    part = summary(tmp_path / "b", library, splits, models=("ann",), diverged=lost)
    rows = part["prediction_intervals.parquet"]
    assert lost not in set(rows["region"]) and set(rows["calibration"]) == {POOLED}
    split = rows[rows["method"] == "split"].groupby("region")["effective_n"].first()
    before = whole["prediction_intervals.parquet"]
    before = before[before["method"] == "split"].groupby("region")["effective_n"].first()
    assert (before[split.index] - split == splits[1].test.sum()).all()


def interval_rows(n: int = 40) -> Any:
    """Two regions; the stranger a row the larger its error; every interval has the same width."""
    rng, strange = np.random.default_rng(0), np.linspace(0.1, 2.0, n)
    observed = 10.0 ** rng.normal(0.0, 0.3, n)
    frame = pd.DataFrame({"region": np.where(np.arange(n) % 2, "A", "B"), "strangeness": strange, "observed": observed})
    frame = frame.assign(predicted=observed * 10.0 ** (0.2 * strange), half=0.25, model="m", seed=0, level=LEVEL)
    frame = frame.assign(low=frame["predicted"] / 10**0.25, high=frame["predicted"] * 10**0.25)
    frame["covered"] = 0.2 * strange <= 0.25
    return frame.assign(calibration=POOLED, method="classifier", id=[str(k) for k in range(n)])


def test_the_curve_keeps_the_least_strange_and_unbounded_rows_last() -> None:
    frame = interval_rows()
    found = curve(frame)
    shares = found[found["rows"] == "share"].set_index("kept")
    assert (shares.loc[0.5, ["coverage", "lowest", "pooled"]] == 1.0).all() and shares.loc[0.5, "regions"] == 2
    assert shares.loc[1.0, "coverage"] == pytest.approx(frame.groupby("region")["covered"].mean().mean())
    fit = found[found["rows"] == "applicable"].iloc[0]
    assert fit["kept"] == pytest.approx((frame["strangeness"] <= 1.0).mean()) and fit["coverage"] == 1.0
    frame.loc[:9, "half"] = np.inf
    shares = curve(frame).query("rows == 'share'").set_index("kept")
    assert shares.loc[0.75, "answered"] == 0.75 == shares.loc[1.0, "answered"]
    assert shares.loc[1.0, "pooled"] == pytest.approx(frame["covered"][10:].mean())


def test_means_over_seeds_and_the_most_that_is_answered_are_by_hand() -> None:
    key = {"model": "m", "calibration": POOLED, "method": "split", "level": LEVEL, "rows": "share"}
    lowest = {0.4: (0.9, 0.9), 0.5: (0.9, 0.8), 0.75: (0.8, 0.84), 1.0: (0.7, 0.8)}
    rows = [
        {**key, "seed": seed, "kept": kept, "answered": kept, "lowest": both[seed], "coverage": 0.1 * seed}
        for kept, both in lowest.items()
        for seed in (0, 1)
    ]
    applicable = {**rows[0], "rows": "applicable"}
    rows += [{**applicable, "seed": seed, "kept": 0.6 + seed / 10, "answered": seed} for seed in (0, 1)]
    found: Any = uncertainty.curve_means(pd.DataFrame(rows))
    shares = found[found["rows"] == "share"].set_index("kept")
    assert shares["lowest"].to_dict() == pytest.approx({0.4: 0.9, 0.5: 0.85, 0.75: 0.82, 1.0: 0.75})
    assert shares["coverage"].tolist() == pytest.approx([0.05] * 4) and set(found["most"]) == {0.75}
    (fit,) = found[found["rows"] == "applicable"].to_dict("records")
    assert np.isnan(fit["kept"]) and fit["answered"] == 0.5
    low = pd.DataFrame(rows).assign(lowest=0.5)
    assert np.isnan(uncertainty.curve_means(low)["most"]).all()


def test_measuring_again_takes_the_largest_errors_first(tmp_path) -> None:
    frame = interval_rows()
    found = remeasured(frame, tmp_path).set_index(["ranking", "measured"])["rmse_log10"]
    error = 0.2 * frame["strangeness"]
    whole = math.sqrt(np.mean(error**2))
    for ranking in ("width", "width_percent", "strangeness", "error", "random"):
        assert found[ranking, 0.0] == pytest.approx(whole) and found[ranking, 1.0] == 0.0
    assert found["random", 0.75] == pytest.approx(whole / 2)
    # Strangeness ranks these errors perfectly; equal widths fall back on it.
    for ranking in ("strangeness", "width", "error"):
        assert found[ranking, 0.5] == pytest.approx(math.sqrt(np.sum(np.sort(error)[:20] ** 2) / 40))
    assert (found["error"] <= found["width_percent"] + 1e-12).all()


def test_the_alarm_of_a_network_ranks_by_its_own_row(tmp_path) -> None:
    frame = interval_rows()
    samples = frame[["model", "seed", "region", "id"]].assign(
        split="test", spectrum_rmse=frame["strangeness"], latent_distance=np.nan, row_region=frame["region"],
        observed=1.0, predicted=1.0,
    )  # fmt: skip
    samples.iloc[::-1].to_parquet(tmp_path / "samples.parquet", index=False)
    found = remeasured(frame, tmp_path)
    assert "latent_distance" not in set(found["ranking"])
    found = found.set_index(["ranking", "measured"])["rmse_log10"]
    np.testing.assert_array_equal(found["spectrum_rmse"], found["strangeness"])


def test_the_report_says_how_sure_it_is(tmp_path) -> None:
    run = read_run(smoke_run("region_out"))
    document = Document("t", tmp_path)
    uncertainty_section(document, run)
    text = document.markdown()
    coverage: Any = run.table("coverage")
    table = coverage.query("model == 'plsr' and method == 'split' and calibration == 'pooled'")
    shares = table.query("rows == 'all' and metric == 'coverage'")["value"]
    lines = [line.split(" | ") for line in text.splitlines() if line.startswith("| PLSR | pooled | rows exch")]
    assert [line[5] for line in lines] == [f"{100 * shares.mean():.1f}"]
    assert [line[7] for line in lines] == [f"{100 * shares.min():.1f}"]
    assert "| PLSR | nested | CV+ by region |" in text and "with probability 75 % over regions" in text
    assert (tmp_path / "figures" / "coverage.png").exists() and (tmp_path / "figures" / "remeasure.png").exists()


def test_a_run_without_intervals_has_no_such_section(tmp_path) -> None:
    run = read_run(write_run(tmp_path / "run", regions=("Alpha", "Beta", "Gamma")))
    document = Document("t", tmp_path)
    uncertainty_section(document, run)
    assert "How sure" not in document.markdown()
