"""The study at its smallest: networks within bounds, the product, an interrupted run, the report."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
from hybrid_data import library
from pictures import undrawn

from jaxsoil.bundle.bundle import NO_BUNDLE
from jaxsoil.data.library import Property
from jaxsoil.evaluation.results import read_results
from jaxsoil.report.run_files import where
from jaxsoil.runs import folder as runs_folder
from jaxsoil.runs import tracking
from jaxsoil.runs.errors import DataError
from jaxsoil.runs.folder import RunFolder
from jaxsoil.studies.hybrid import fitting
from jaxsoil.studies.hybrid.bundling import write_bundle
from jaxsoil.studies.hybrid.config import HybridConfig, NetworkConfig
from jaxsoil.studies.hybrid.cross_fit import CrossFit, HeldOut
from jaxsoil.studies.hybrid.network import Kind, Network
from jaxsoil.studies.hybrid.prepare import prepare_library
from jaxsoil.studies.hybrid.ranges import range_of
from jaxsoil.studies.hybrid.results import COLUMNS, OWN, PLACES, PRODUCT, check_product, richest
from jaxsoil.studies.hybrid.run import plan, run
from jaxsoil.training.config import LoopConfig

CONFIG = HybridConfig(
    folds=2,
    members=2,
    test_share=0.1,
    compare=("none", "direct"),
    clipped=False,
    pca_components=4,
    plsr_components=4,
    coverage=0.8,
    network=NetworkConfig(features=(8,), width=16, dropout=0.0),
    train=LoopConfig(epochs=5, batch=16, lr=1e-2),
)


@pytest.fixture(scope="module")
def cross_fit() -> CrossFit:
    return CrossFit.draw(prepare_library(library()), CONFIG)


@pytest.fixture(scope="module")
def finished(cross_fit: CrossFit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hybrid")
    run(CONFIG, RunFolder(folder, "hybrid_dataset", "disabled"), cross_fit)
    (folder / "config.json").write_text(json.dumps({"config": dataclasses.asdict(CONFIG)}))
    (folder / "env.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def results(finished: Path) -> pd.DataFrame:
    return read_results(finished / "results.csv", OWN)


@pytest.mark.parametrize(("name", "unit"), [("carbon", "g/kg"), ("ph", "1"), ("clay", "%")])
def test_a_bounded_network_cannot_leave_the_range_and_is_linear_within(name: str, unit: str) -> None:
    """One band, no hidden layer to speak of: the output is read from the link itself."""
    import jax.numpy as jnp

    from jaxsoil.studies.hybrid import network

    limits = range_of(name, unit)
    low, high = limits.bounds
    centre, unit_size = low + 0.4 * (high - low), 0.05 * (high - low)
    raw = np.linspace(-400.0, 400.0, 201, dtype=np.float32)

    class Straight:
        def apply(self, params, scaled, key):
            return scaled

    constants = {"mean": jnp.zeros(1), "sd": jnp.ones(1)}
    numbers = {"centre": centre, "unit": unit_size, "low": low, "high": high}
    constants |= {name: jnp.float32(value) for name, value in numbers.items()}

    @dataclasses.dataclass(frozen=True)
    class StraightKind(Kind):
        @property
        def module(self):
            return Straight()

    kind = StraightKind(NetworkConfig(), "bounded")
    found = np.asarray(network._forward(kind, {}, constants, jnp.asarray(raw)[:, None], None), np.float64)
    assert found.min() >= low and found.max() <= high and (np.diff(found) >= 0).all()
    inner = np.abs(raw) < 5.0
    np.testing.assert_allclose(found[inner], centre + unit_size * raw[inner], atol=0.02 * (high - low))


def test_a_network_learns_and_predicts_the_same_in_any_batch(cross_fit: CrossFit) -> None:
    from jaxsoil.studies.hybrid.network import train

    data = cross_fit.data
    limits = data.ranges["carbon"]
    target = limits.to_scale(data.observed("carbon"))
    rows = np.flatnonzero(np.isfinite(target))
    loop = dataclasses.replace(CONFIG.train, epochs=50)
    settings = (limits, "bounded", CONFIG.network, loop, jax.random.key(1), "test")
    found: Network = train(data.values, target, rows[4:], rows[:4], *settings)
    predicted = found.predict(data.values)
    assert np.corrcoef(predicted[rows], target[rows])[0, 1] > 0.8
    np.testing.assert_allclose(found.predict(data.values[5:9]), predicted[5:9], atol=1e-5)
    assert not limits.outside(predicted).any()
    wild = (limits, "bounded", CONFIG.network, dataclasses.replace(loop, lr=1e30), jax.random.key(1), "test")
    lost = train(data.values, target, rows[4:], rows[:4], *wild)
    assert not lost.alive and np.isnan(lost.predict(data.values)).all()
    with pytest.raises(DataError, match="do not vary"):
        train(data.values, np.full(len(data), 2.0), rows[4:], rows[:4], *settings)


def test_the_table_holds_every_value_once_and_measured_ones_to_the_bit(finished: Path, cross_fit: CrossFit) -> None:
    table = pd.read_parquet(finished / "hybrid.parquet")
    assert list(table.columns) == list(COLUMNS) and not table.duplicated(["id", "property"]).any()
    measured = cross_fit.data.observed("carbon")
    there = np.isfinite(measured)
    value = table["value"].to_numpy()
    np.testing.assert_array_equal(value[there].view(np.uint64), measured[there].view(np.uint64))
    cells = {name: np.asarray(table[name].to_numpy()) for name in COLUMNS}
    assert cells["kind"].tolist() == np.where(there, "measured", "predicted").tolist()
    low, high, error = (cells[name] for name in ("low", "high", "error_sd"))
    assert np.all(low[~there] <= value[~there]) and np.all(value[~there] <= high[~there])
    assert low[~there].min() >= 0 and high[~there].max() <= 1000 and np.all(error[~there] > 0)
    assert np.isnan(np.stack([low, high, error])[:, there]).all() and set(cells["unit"].tolist()) == {"g/kg"}
    assert set(cells["model"][there].tolist()) == {""}
    # The library names no place.
    assert np.isnan(np.stack([cells[name] for name in PLACES])).all()
    assert all(name.startswith("cnn-carbon-") for name in cells["model"][~there].tolist())


def test_an_altered_or_impossible_value_is_noticed(finished: Path, cross_fit: CrossFit) -> None:
    table = pd.read_parquet(finished / "hybrid.parquet")
    check_product(table, cross_fit)
    for column, row, value, message in (
        ("value", 1, np.nextafter(table["value"][1], np.inf), "altered"),
        ("value", 0, 1001.0, "outside its range"),
        ("low", 0, table["value"][0] + 1.0, "outside its range or interval"),
    ):
        wrong = table.copy()
        wrong.loc[row, column] = value
        with pytest.raises(DataError, match=message):
            check_product(wrong, cross_fit)


def test_held_out_rows_were_not_seen_and_every_scheme_is_scored(
    finished: Path, results: pd.DataFrame, cross_fit: CrossFit
) -> None:
    held = pd.read_parquet(finished / "predictions.parquet")
    assert set(held["scheme"]) == {"random", "laboratory", "held-out rows"}
    ours = where(held, scheme="held-out rows", model="cnn")
    assert set(ours["id"]) == set(cross_fit.data.library.ids[(cross_fit.fold < 0) & cross_fit.data.measured("carbon")])
    assert set(where(results, split="laboratory", harmonisation="direct")["region"]) == {"A", "B", "all"}
    assert set(results["seed"]) == {CONFIG.seed} and set(results["study"]) == {"hybrid_dataset"}
    data = json.loads((finished / "data.json").read_text())
    assert "transfer samples" in data["laboratory_exposure"]["direct"]


def test_scores_are_those_of_the_stored_predictions(finished: Path, results: pd.DataFrame) -> None:
    """By NumPy and scikit-learn from predictions.parquet."""
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    held = pd.read_parquet(finished / "predictions.parquet")
    keys = {"model": "plsr", "harmonisation": "none", "property": "carbon"}
    for region in ("all", "B"):
        lines = where(held, scheme="random", **keys)
        lines = lines if region == "all" else where(lines, laboratory=region)
        y, p = lines["observed"].to_numpy(), lines["predicted"].to_numpy()
        found = dict(where(results, split="random", region=region, **keys)[["metric", "value"]].to_numpy())
        expected = {"rmse": root_mean_squared_error(y, p), "mae": mean_absolute_error(y, p), "r2": r2_score(y, p)}
        expected |= {"sd": y.std(ddof=1), "sd_predicted": p.std(ddof=1), "n": y.size, "n_outside": 0}
        assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-8)


def test_counts_and_statistics_are_those_of_the_product(finished: Path, results: pd.DataFrame) -> None:
    table = pd.read_parquet(finished / "hybrid.parquet")
    for region in ("all", "A", "B"):
        for kind in ("measured", "predicted"):
            lines = where(table, kind=kind) if region == "all" else where(table, kind=kind, laboratory=region)
            found = dict(where(results, split=PRODUCT, model=kind, region=region)[["metric", "value"]].to_numpy())
            flagged = (lines["applicability"] != "inside").sum()
            expected = {"n": len(lines), "n_flagged": flagged, "median": lines["value"].median()}
            expected["sd"] = lines["value"].std()
            assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-8)


def test_the_richest_rows_share_of_r2_by_hand() -> None:
    """Nineteen rows of 0 or 2 and one of 100: that one is the top 5 %."""
    observed = np.array([0.0] * 10 + [2.0] * 9 + [100.0])
    predicted = np.where(observed == 100.0, 90.0, 1.0)
    found, mean = richest(observed, predicted), observed.mean()
    rest = observed[:-1]
    assert found["richest_variation"] == pytest.approx((100 - mean) ** 2 / ((observed - mean) ** 2).sum())
    assert found["richest_error"] == pytest.approx(100.0 / 119.0)
    assert found["r2_without_richest"] == pytest.approx(1.0 - 19.0 / ((rest - rest.mean()) ** 2).sum())
    assert np.isnan(richest(np.ones(3), np.ones(3))["richest_variation"])


def test_a_run_that_was_cut_short_goes_on_and_ends_the_same(
    finished: Path, cross_fit: CrossFit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path / "again", "hybrid_dataset", "offline")
    folder.path.mkdir()
    trained, modes, real, tracked = [], [], fitting.train, runs_folder.start

    def counted(*arguments):
        trained.append(arguments[-1])
        if len(trained) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    def without_mirror(folder: Path, mode: str, config: Any, **options: Any) -> tracking.Tracker:
        modes.append(mode)
        return tracked(folder, "disabled", config, **options)

    monkeypatch.setattr(runs_folder, "start", without_mirror)
    monkeypatch.setattr(fitting, "train", counted)
    with pytest.raises(KeyboardInterrupt):
        run(CONFIG, folder, cross_fit)
    assert not (folder.path / "hybrid.parquet").exists() and len(list((folder.path / "models").glob("*cnn*.npz"))) == 2
    damaged = next((folder.path / "models").glob("*cnn*.npz"))
    damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size // 2])
    with pytest.raises(DataError, match=rf"{damaged.name}: .*cannot be read.*Delete this file and run again"):
        run(CONFIG, folder, cross_fit)
    assert len(trained) == 3
    damaged.unlink()
    run(CONFIG, folder, cross_fit)
    everything = sum(fit.model == "cnn" for fit in fitting.model_fits(cross_fit))
    assert len(trained) == 3 + everything - 1
    pd.testing.assert_frame_equal(
        pd.read_parquet(folder.path / "hybrid.parquet"), pd.read_parquet(finished / "hybrid.parquet"), check_exact=True
    )
    assert modes == ["offline"] * 3
    assert (folder.path / tracking.LOG_NAME).read_bytes() == (finished / tracking.LOG_NAME).read_bytes()


def test_the_log_has_every_epoch_and_ends_with_a_summary(
    finished: Path, results: pd.DataFrame, cross_fit: CrossFit
) -> None:
    *records, last = tracking.read_log(finished / tracking.LOG_NAME)
    wanted = fitting.model_fits(cross_fit)
    networks = [fit.name for fit in wanted if fit.model == "cnn"]
    assert [r["models_done"] for r in records if "models_done" in r] == list(range(1, len(wanted) + 1))
    epochs = [r for r in records if "epoch" in r]
    assert [(r["trial"], r["epoch"]) for r in epochs] == [(name, e) for name in networks for e in range(1, 6)]
    assert all(np.isfinite([r["loss"], r["validation_loss"]]).all() for r in epochs)
    ours = where(results, model="cnn", harmonisation="direct", region="all", metric="rmse")
    expected = where(ours, split="laboratory")["value"].item()
    assert last["summary"]["rmse/carbon/laboratory"] == pytest.approx(expected, rel=1e-8)
    assert len(last["summary"]) == 2 * len(ours)


def test_a_networks_key_depends_on_nothing_else_that_is_fitted() -> None:
    config = dataclasses.replace(CONFIG, clipped=True)

    def keys(*targets: str) -> dict[fitting.ModelFit, tuple[int, ...]]:
        ph = np.random.default_rng(0).uniform(4.0, 8.0, 96)
        data = prepare_library(library(properties={"ph": Property(ph, "1")}), targets)
        fits = fitting.model_fits(CrossFit.draw(data, config))
        return {fit: tuple(jax.random.key_data(fit.key(0)).tolist()) for fit in fits if fit.model != "plsr"}

    alone, together = keys("carbon"), keys("ph", "carbon")
    assert {fit: key for fit, key in together.items() if fit.target == "carbon"} == alone
    first = fitting.ModelFit("carbon", HeldOut("random", "0"), "direct", "cnn", 0)
    assert together[first] == together[dataclasses.replace(first, model="cnn-clipped")]
    bounded = [key for fit, key in together.items() if fit.model == "cnn" and fit.method == "direct"]
    assert len(set(bounded)) == len(bounded) > len(alone) / 2
    assert jax.random.key_data(first.key(1)).tolist() != list(together[first])


def test_the_report_and_the_card_say_what_was_done(finished: Path, tmp_path: Path) -> None:
    from jaxsoil.studies.hybrid.report.page import write_report

    finished = Path(shutil.copytree(finished, tmp_path / "run"))
    with undrawn():  # the smoke run of the study draws them all
        page = write_report(finished)
    text, card = (finished / "report.md").read_text(), (finished / "data_card.md").read_text()
    assert page.exists() and 'src="data:image/png' in page.read_text()
    for words in ("no contradiction but skew", "laboratory out", "Coverage of the 80 % intervals", "15.41", "1.38"):
        assert words in text, words
    for words in ("Columns of hybrid.parquet", "## Exclusions", "## Measured values that look wrong", "fingerprint"):
        assert words in card, words
    assert {"observed_predicted.png", "coverage.png", "harmonisation.png", "outliers.png", "distributions.png"} == {
        path.name for path in (finished / "figures").glob("*.png")
    }
    (finished / "results.csv").unlink()
    with pytest.raises(DataError, match=r"results\.csv.*--resume"):
        write_report(finished)


def test_the_numbers_of_the_report_are_those_of_the_tables(finished: Path, results: pd.DataFrame) -> None:
    from jaxsoil.studies.hybrid.report import tables
    from jaxsoil.studies.hybrid.report.files import read_run

    report = read_run(finished)
    table = tables.splits(report)
    splits, models = {"random folds": "random", "laboratory out": "laboratory"}, {"PLSR": "plsr", "CNN, bounded": "cnn"}
    assert len(table.rows) == 6
    for cells in table.rows:
        row = dict(zip(table.header, cells, strict=True))
        keys = {"split": splits.get(row["Split"], row["Split"]), "model": models[row["Model"]], "region": "all"}
        lines = where(results, property="carbon", harmonisation="direct", **keys)
        found = dict(lines[["metric", "value"]].to_numpy())
        for head, metric in (("R2", "r2"), ("RMSE", "rmse"), ("MAE", "mae"), ("n", "n")):
            assert float(row[head].replace("−", "-")) == pytest.approx(found[metric], abs=0.0051)
    coverage = pd.read_csv(finished / "coverage.csv")
    shown = {row[1]: row[4] for row in tables.coverage(report).rows}
    nominal = where(coverage, laboratory="all", nominal=0.8)
    shares = [f"{100 * share:.1f}" for share in nominal["coverage"]]
    assert shown == dict(zip(nominal["kind"], shares, strict=True))
    whole = next(row for row in tables.counts(report).rows if row[1] == "all")
    assert whole[2] == "76" and "20" in whole[3:]


def test_a_run_of_an_earlier_version_is_refused(finished: Path, cross_fit: CrossFit, tmp_path: Path) -> None:
    from jaxsoil.studies.hybrid.report.page import write_report

    old = Path(shutil.copytree(finished, tmp_path / "old"))
    (old / "results.csv").rename(old / "scores.csv")
    folder = RunFolder(old, "hybrid_dataset", "disabled")
    for action in (lambda: write_report(old), lambda: run(CONFIG, folder, cross_fit)):
        with pytest.raises(DataError, match=r"scores\.csv.*earlier version.*--overwrite") as refused:
            action()
        assert "\n" not in str(refused.value)


def test_data_that_allow_no_derived_works_leave_no_bundle(cross_fit: CrossFit, tmp_path: Path) -> None:
    limited = dataclasses.replace(cross_fit.data.library, licence="CC BY-ND 4.0")
    data = dataclasses.replace(cross_fit, data=dataclasses.replace(cross_fit.data, library=limited))
    write_bundle(RunFolder(tmp_path, "hybrid_dataset", "disabled"), data, pd.DataFrame(), pd.DataFrame())
    assert [path.name for path in (tmp_path / "bundle").iterdir()] == [NO_BUNDLE]


def test_the_plan_counts_models(cross_fit: CrossFit) -> None:
    text = plan(CONFIG, cross_fit)
    assert "4 in random folds, 4 with a laboratory held out" in text and "carbon: 76 measured, 20 to predict" in text
    assert "networks, bounded" in text and "TFLOP (float32), floors" in text
