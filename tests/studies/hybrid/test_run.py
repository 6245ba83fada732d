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

from jaxsoil.data.library import Property
from jaxsoil.runs import tracking
from jaxsoil.runs.errors import DataError
from jaxsoil.runs.folder import RunFolder
from jaxsoil.studies.hybrid import fitting
from jaxsoil.studies.hybrid.config import HybridConfig, NetworkConfig
from jaxsoil.studies.hybrid.cross import Crossing
from jaxsoil.studies.hybrid.network import Kind, Network
from jaxsoil.studies.hybrid.prepare import prepare_library
from jaxsoil.studies.hybrid.product import COLUMNS, check_product
from jaxsoil.studies.hybrid.ranges import range_of
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
def crossing() -> Crossing:
    return Crossing.lay_out(prepare_library(library()), CONFIG)


@pytest.fixture(scope="module")
def finished(crossing: Crossing, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hybrid")
    run(CONFIG, RunFolder(folder, "hybrid_dataset", "disabled"), crossing)
    (folder / "config.json").write_text(json.dumps({"config": dataclasses.asdict(CONFIG)}))
    (folder / "env.json").write_text("{}")
    return folder


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

    constants = {"mean": jnp.zeros(1), "spread": jnp.ones(1)}
    constants |= {"centre": jnp.float32(centre), "unit": jnp.float32(unit_size)}

    @dataclasses.dataclass(frozen=True)
    class StraightKind(Kind):
        @property
        def module(self):
            return Straight()

    kind = StraightKind(NetworkConfig(), "bounded", low, high)
    found = np.asarray(network._forward(kind, {}, constants, jnp.asarray(raw)[:, None], None), np.float64)
    assert found.min() >= low and found.max() <= high and (np.diff(found) >= 0).all()
    inner = np.abs(raw) < 5.0
    np.testing.assert_allclose(found[inner], centre + unit_size * raw[inner], atol=0.02 * (high - low))


def test_a_network_learns_and_predicts_the_same_in_any_batch(crossing: Crossing) -> None:
    from jaxsoil.studies.hybrid.network import train

    data = crossing.data
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


def test_the_table_holds_every_value_once_and_measured_ones_to_the_bit(finished: Path, crossing: Crossing) -> None:
    table = pd.read_parquet(finished / "hybrid.parquet")
    assert list(table.columns) == list(COLUMNS) and not table.duplicated(["id", "property"]).any()
    measured = crossing.data.observed("carbon")
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
    assert all(name.startswith("cnn-carbon-") for name in cells["model"][~there].tolist())


def test_an_altered_or_impossible_value_is_noticed(finished: Path, crossing: Crossing) -> None:
    table = pd.read_parquet(finished / "hybrid.parquet")
    check_product(table, crossing)
    for column, row, value, message in (
        ("value", 1, np.nextafter(table["value"][1], np.inf), "altered"),
        ("value", 0, 1001.0, "outside its range"),
        ("low", 0, table["value"][0] + 1.0, "outside its range or interval"),
    ):
        wrong = table.copy()
        wrong.loc[row, column] = value
        with pytest.raises(DataError, match=message):
            check_product(wrong, crossing)


def test_held_out_rows_were_not_seen_and_every_scheme_is_scored(finished: Path, crossing: Crossing) -> None:
    held = pd.read_parquet(finished / "predictions.parquet")
    assert set(held["scheme"]) == {"random", "laboratory", "held-out rows"}
    ours = held[(held["scheme"] == "held-out rows") & (held["model"] == "cnn")]
    assert set(ours["id"]) == set(
        crossing.data.library.ids[(crossing.fold < 0) & np.isfinite(crossing.data.observed("carbon"))]
    )
    scores = pd.read_csv(finished / "scores.csv")
    lines = scores[(scores["scheme"] == "laboratory") & (scores["harmonisation"] == "direct")]
    assert all("transfer samples" in text for text in lines["exposure"].tolist())
    assert {"A", "B", "all"} == set(lines["laboratory"].tolist())
    one = held[(held["scheme"] == "random") & (held["model"] == "plsr") & (held["harmonisation"] == "none")]
    rmse = np.sqrt(np.mean((one["observed"] - one["predicted"]) ** 2))
    same = scores[(scores["scheme"] == "random") & (scores["model"] == "plsr") & (scores["harmonisation"] == "none")]
    assert same.loc[same["laboratory"] == "all", "rmse"].item() == pytest.approx(rmse)


def test_a_run_that_was_cut_short_goes_on_and_ends_the_same(
    finished: Path, crossing: Crossing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path / "again", "hybrid_dataset", "offline")
    folder.path.mkdir()
    trained, modes, real, tracked = [], [], fitting.train, tracking.start

    def counted(*arguments):
        trained.append(arguments[-1])
        if len(trained) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    def without_mirror(folder: Path, mode: str, config: Any) -> tracking.Tracker:
        modes.append(mode)
        return tracked(folder, "disabled", config)

    monkeypatch.setattr(tracking, "start", without_mirror)
    monkeypatch.setattr(fitting, "train", counted)
    with pytest.raises(KeyboardInterrupt):
        run(CONFIG, folder, crossing)
    assert not (folder.path / "hybrid.parquet").exists() and len(list((folder.path / "models").glob("*cnn*.npz"))) == 2
    damaged = next((folder.path / "models").glob("*cnn*.npz"))
    damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size // 2])
    with pytest.raises(DataError, match=rf"{damaged.name}: .*cannot be read.*Delete this file and run again"):
        run(CONFIG, folder, crossing)
    assert len(trained) == 3
    damaged.unlink()
    run(CONFIG, folder, crossing)
    everything = sum(job.model == "cnn" for job in fitting.jobs(crossing))
    assert len(trained) == 3 + everything - 1
    pd.testing.assert_frame_equal(
        pd.read_parquet(folder.path / "hybrid.parquet"), pd.read_parquet(finished / "hybrid.parquet"), check_exact=True
    )
    assert modes == ["offline"] * 3
    assert (folder.path / tracking.LOG_NAME).read_bytes() == (finished / tracking.LOG_NAME).read_bytes()


def test_the_log_has_every_epoch_and_ends_with_a_summary(finished: Path, crossing: Crossing) -> None:
    *records, last = tracking.read_log(finished / tracking.LOG_NAME)
    todo = fitting.jobs(crossing)
    networks = [job.name for job in todo if job.model == "cnn"]
    assert [r["models_done"] for r in records if "models_done" in r] == list(range(1, len(todo) + 1))
    epochs = [r for r in records if "epoch" in r]
    assert [(r["trial"], r["epoch"]) for r in epochs] == [(name, e) for name in networks for e in range(1, 6)]
    assert all(np.isfinite([r["loss"], r["validation_loss"]]).all() for r in epochs)
    scores = pd.read_csv(finished / "scores.csv")
    ours = scores[(scores["model"] == "cnn") & (scores["harmonisation"] == "direct") & (scores["laboratory"] == "all")]
    assert last["summary"]["rmse/carbon/laboratory"] == ours.loc[ours["scheme"] == "laboratory", "rmse"].item()
    assert len(last["summary"]) == 2 * len(ours)


def test_a_networks_key_depends_on_nothing_else_that_is_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Asked(Exception):
        pass

    def refuse(*arguments: Any) -> None:
        raise Asked(jax.random.key_data(arguments[-2]).tolist())

    monkeypatch.setattr(fitting, "train", refuse)
    config = dataclasses.replace(CONFIG, clipped=True)

    def keys(*targets: str) -> dict[tuple[str, str, str, int, str], list[int]]:
        ph = np.random.default_rng(0).uniform(4.0, 8.0, 96)
        data = prepare_library(library(properties={"ph": Property(ph, "1")}), targets)
        mine, found = Crossing.lay_out(data, config), {}
        for job in fitting.jobs(mine):
            if job.model == "plsr" or job.method != mine.method:
                continue
            with pytest.raises(Asked) as asked:
                fitting._fit(mine, job, data.values, mine.trainable(job.part, job.target, data.values))
            found[job.target, job.part.scheme, job.part.name, job.member, job.model] = asked.value.args[0]
        return found

    alone, together = keys("carbon"), keys("ph", "carbon")
    assert {name: key for name, key in together.items() if name[0] == "carbon"} == alone
    assert together["carbon", "random", "0", 0, "cnn"] == together["carbon", "random", "0", 0, "cnn-clipped"]
    bounded = [tuple(key) for name, key in together.items() if name[-1] == "cnn"]
    assert len(set(bounded)) == len(bounded) > len(alone)


def test_the_report_and_the_card_say_what_was_done(finished: Path, tmp_path: Path) -> None:
    from jaxsoil.studies.hybrid.report.page import write_report

    finished = Path(shutil.copytree(finished, tmp_path / "run"))
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
    (finished / "scores.csv").unlink()
    with pytest.raises(DataError, match=r"scores\.csv.*--resume"):
        write_report(finished)


def test_the_plan_counts_models(crossing: Crossing) -> None:
    text = plan(CONFIG, crossing)
    assert "4 in random folds, 4 with a laboratory held out" in text and "carbon: 76 measured, 20 to predict" in text
