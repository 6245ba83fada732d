"""The comparison of models that carry over: gains, local labels, one's own region, and the bundle of its models."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pictures import undrawn
from reconstruction_run import write_run
from smoke_runs import smoke_run

from jaxsoil.bundle.bundle import Bundle
from jaxsoil.bundle.predict import predict
from jaxsoil.bundle.predictors import read
from jaxsoil.data.library import Library, Property
from jaxsoil.evaluation import metrics
from jaxsoil.evaluation.results import log10_percent
from jaxsoil.models import augmented, invariance, plsr
from jaxsoil.models import carry_over as carry_over_model
from jaxsoil.models.carry_over import CarryOver
from jaxsoil.report.tables import number, plus_minus
from jaxsoil.runs.errors import DataError, UsageError
from jaxsoil.runs.folder import RunFolder
from jaxsoil.spectra.container import Spectra
from jaxsoil.studies.reconstruction import additions, baselines, carry_over, family, local_networks, other_tests
from jaxsoil.studies.reconstruction.carry_over import SHRINKAGE
from jaxsoil.studies.reconstruction.config import CarryOverConfig
from jaxsoil.studies.reconstruction.report.carry_over import write_report
from jaxsoil.studies.reconstruction.report.reading import model_label
from jaxsoil.studies.reconstruction.tables import Tables
from jaxsoil.training.config import TrainConfig

NM = np.arange(400.0, 2400.0, 100.0)
ADDED = ("ridge_latents", "ridge_method")
REGIONS = ("north", "east", "west", "mine")
SMALL = CarryOverConfig(
    baselines=("plsr_absorbance", "epo", "ridge_both", "carry_over", "carry_over_mlp"),
    moisture=False,
    width=8,
    components=6,
    train=TrainConfig(epochs=2, batch=20),
    finetune=TrainConfig(epochs=2, batch=5, unlabelled_batch=5, wrap=True, batch_norm="stored"),
    finetuned_draws=2,
)


def own_data(folder: Path) -> str:
    """A manifest of four regions whose SOC darkens the spectrum about 2200 nm; two state one laboratory method."""
    rng = np.random.default_rng(0)
    site, logs = np.repeat(REGIONS, 20), rng.normal(0.2, 0.3, 80)
    depth = 0.04 * logs[:, None] * np.exp(-0.5 * ((NM - 2200.0) / 200.0) ** 2)
    values = (0.2 + 0.1 * rng.random((80, 1)) + 1e-4 * (NM - 400.0)) * 10.0**-depth
    frame = pd.DataFrame(values * rng.normal(1.0, 0.01, values.shape), columns=[f"{band:g}" for band in NM])
    names = [f"{name}{row}" for row, name in enumerate(site)]
    by = np.where(np.isin(site, ["north", "mine"]), "dry combustion", "not stated")
    frame.assign(id=names, site=site, profile=names, oc=10.0**logs, method=by).to_csv(folder / "soils.csv", index=False)
    path = folder / "soils.toml"
    path.write_text(
        'name = "soils"\ntitle = "x"\ndata = "soils.csv"\nid = "id"\nconfirm = ["quantity", "unit"]\n[axis]\n'
        'unit = "nm"\n[values]\nquantity = "reflectance"\n[labels.soc]\ncolumn = "oc"\nunit = "%"\n'
        '[groups]\npedon = "profile"\nregion = "site"\nsoc_method = "method"\n',
        encoding="utf-8",
    )
    return str(path)


def test_ones_own_region_trains_or_is_held_out_and_its_bundle_predicts_as_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carry_over, "LABELS", (0, 3))
    monkeypatch.setattr(augmented, "STEPS", 20)
    config = dataclasses.replace(SMALL, data=own_data(tmp_path))
    assert [split.held_out for split in carry_over.prepare(config).splits] == sorted(REGIONS)
    config = dataclasses.replace(config, held_out=("mine",), finetuned=("ann",))
    prepared = carry_over.prepare(config)
    assert [split.held_out for split in prepared.splits] == ["mine"] and prepared.splits[0].train.sum() == 60
    assert "3 splits" not in carry_over.plan(config, prepared)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text('{"experiment": "carry_over", "config": {}}')
    (folder / "env.json").write_text('{"command": "x"}')
    run = RunFolder(folder, "carry_over", "disabled")
    carry_over.run(config, run, prepared)
    found, library = pd.read_parquet(folder / "predictions.parquet"), prepared.library
    assert set(found["region"]) == {"mine"} and set(found["model"]) == {*config.baselines, *ADDED}
    exposures: Any = pd.read_csv(folder / "trials.csv").set_index("model")["exposure"]
    assert exposures["ridge_method"] == additions.KNOWS_METHOD and exposures["ridge_both"] == "inductive"
    first = (folder / "results.csv").read_bytes()
    carry_over.run(config, run, prepared)  # every fit is read back
    assert (folder / "results.csv").read_bytes() == first
    bundle = Bundle.load(folder / "bundle")
    spectra, soc = baselines.seen(library, "absorbance"), library.property("soc").values
    own: Any = {"regions": library.group("region"), "axis": library.spectra.axis, "seed": 0, "correct": False}
    for name in config.baselines:
        expected = baselines.fit(name, spectra, soc, library.blocks, **own).predict(spectra)
        np.testing.assert_allclose(predict(bundle, library.spectra, model=name)["value"], expected, rtol=2e-3)
    _check_local(folder)
    kinds = [bundle.model(name).predictor.kind for name in ("carry_over", "carry_over_mlp")]
    assert kinds == ["gaussian_process", "networks"]
    networks = bundle.model("carry_over_mlp").predictor
    for facts, arrays in (({"network": "gru"}, {}), ({}, {"networks/centre": np.zeros(3)})):
        with pytest.raises(DataError, match=r"unknown kind of network|do not fit together"):
            read("networks", networks.arrays() | arrays, networks.facts() | facts)
    # With one region there is no error over regions, and the report says so rather than fail.
    with undrawn():
        text = write_report(folder).with_suffix(".md").read_text()
    assert "n/a" in text and "Encoder + ANN decoder, fine-tuned | at random, first 2" in text


def _check_local(folder: Path) -> None:
    """Fine-tuned networks are scored on the rows that got no label, those that the offsets are scored on."""
    rows = pd.read_parquet(folder / "local_networks.parquet")
    assert set(rows.groupby(["choice", "draw", "labels"]).size()) == {20} and not (folder / "states").exists()
    found = pd.read_csv(folder / "local_labels.csv").set_index(["model", "choice", "labels"])
    truth = pd.read_parquet(folder / "predictions.parquet").query("model == 'carry_over'")
    order, errors = np.random.default_rng(0), {"ann_finetuned": [], "carry_over": []}
    for draw in range(2):
        labelled = order.permutation(20)[:3]
        rest = np.setdiff1d(np.arange(20), labelled[:3])
        mine = rows[(rows["choice"] == "random_few") & (rows["draw"] == draw) & (rows["labels"] == 3)]
        gap = log10_percent(mine["predicted"]) - log10_percent(truth["observed"])
        errors["ann_finetuned"].append(np.sqrt(np.mean(gap[rest] ** 2)))
        gap = log10_percent(truth["predicted"]) - log10_percent(truth["observed"])
        gap = gap - gap[labelled[:3]].sum() / (3.0 + SHRINKAGE)
        errors["carry_over"].append(np.sqrt(np.mean(gap[rest] ** 2)))
    for model, each in errors.items():
        assert found.loc[(model, "random_few", 3), "rmse"] == pytest.approx(np.mean(each), rel=1e-5)
    gain = np.mean(errors["ann_finetuned"]) - np.mean(errors["carry_over"])
    assert found.loc[("ann_finetuned", "random_few", 3), "gain"] == pytest.approx(gain, rel=1e-4)
    before = [found.loc[("ann_finetuned", choice, 0), "rmse"] for choice in ("random_few", "kennard_stone")]
    assert before[0] == before[1] != found.loc[("ann_finetuned", "random_few", 3), "rmse"]


def test_fine_tuning_sees_the_labels_of_the_chosen_rows_and_no_other(tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, data=own_data(tmp_path), finetuned=("none",))
    prepared = carry_over.prepare(config)
    trial = local_networks.pretraining(config, prepared.library, prepared.splits)[1]
    region, order = trial.split.held_out, np.array([7, 2, 11])
    rows = np.flatnonzero(prepared.library.group("region") == region)
    for choice, draw in (("random_few", 0), ("kennard_stone", 0)):
        own = local_networks._second(trial, {region: ([order], order)}, choice, draw, 2).split
        assert np.flatnonzero(own.train).tolist() == sorted(rows[order[:2]]) and region in own.exposure
        assert set(np.flatnonzero(own.test)) == set(rows) - set(rows[order[:2]])
        assert np.array_equal(own.unlabelled, own.test)
    with pytest.raises(DataError, match="fewer training rows than one batch"):
        carry_over.prepare(dataclasses.replace(config, train=TrainConfig(batch=75)))
    with pytest.raises(UsageError, match="--finetuned none none: name each once"):
        carry_over.prepare(dataclasses.replace(config, finetuned=("none", "none")))


def test_an_unknown_region_and_a_missing_reference_are_refused(tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, data=own_data(tmp_path))
    with pytest.raises(UsageError, match=r"no region is called 'nort'\. Did you mean 'north'"):
        carry_over.prepare(dataclasses.replace(config, held_out=("nort",)))
    with pytest.raises(UsageError, match="plsr_absorbance"):
        carry_over.prepare(dataclasses.replace(config, baselines=("carry_over",)))


def test_gains_are_paired_differences_over_regions(tmp_path: Path) -> None:
    regions = ("A", "B", "C", "D")
    data = {"soc_is": {"D": "modelled from spectra"}}
    folder = write_run(tmp_path, regions=regions, models=("plsr_absorbance", "carry_over", "none"), data=data)
    rows = carry_over.gains(folder)["gains"].set_index(["model", "regions", "metric"])
    found = pd.read_parquet(folder / "predictions.parquet")
    logs = {name: log10_percent(found[name]) for name in ("observed", "predicted")}
    table = found.assign(**logs).groupby(["model", "region"])[["observed", "predicted"]]
    of: Any = table.apply(lambda rows: pd.Series(metrics.summary(rows["observed"], rows["predicted"])))
    for part, names in (("all", list(regions)), ("measured", list("ABC"))):
        one, other = (of.loc[model].loc[names] for model in ("carry_over", "plsr_absorbance"))
        own = rows.xs(("carry_over", part))
        assert own.loc["rmse", "mean"] == pytest.approx(one["rmse"].mean(), rel=1e-6)
        assert own.loc["abs_bias", "gain"] == pytest.approx((one["bias"].abs() - other["bias"].abs()).mean(), rel=1e-6)
        gap = one["ccc"] - other["ccc"]
        assert own.loc["ccc", "gain_se"] == pytest.approx(gap.std(ddof=1) / np.sqrt(len(names)), rel=1e-6)
        assert own.loc["ccc", "better"] == (gap > 0).sum() and own.loc["ccc", "n"] == len(names)
        assert rows.loc[("plsr_absorbance", part, "rmse"), "gain"] == 0.0


def test_the_report_prints_the_gains_of_the_file() -> None:
    folder = smoke_run("carry_over")
    found: Any = pd.read_csv(folder / "gains.csv").query("regions == 'all'").set_index(["model", "metric"])
    text = (folder / "report.md").read_text("utf-8").split("## What each part gains", 1)[1]
    shown = set(found.index.get_level_values("model"))
    assert {"carry_over", "plsr_absorbance"} < shown
    table = next(part for part in text.split("\n\n") if part.startswith("| Model | CCC")).splitlines()[2:]
    cells = {row[0]: row[1:] for row in ([cell.strip() for cell in line.strip("|").split("|")] for line in table)}
    assert set(cells) == {model_label(model) for model in shown}
    for model in shown:
        own, row = found.loc[model], cells[model_label(model)]
        assert row[:4] == [number(own.loc[name, "mean"], 3) for name in ("ccc", "rmse", "abs_bias", "spread")]
        if model != "plsr_absorbance":
            names = ("ccc", "rmse", "abs_bias")
            assert row[4:7] == [plus_minus(own.loc[name, "gain"], own.loc[name, "gain_se"], 3) for name in names]
            assert row[7] == f"{own.loc['rmse', 'better']} of {own.loc['rmse', 'n']}"


def test_kennard_stone_takes_the_middle_and_then_the_farthest() -> None:
    scores = np.array([[0.1], [5.0], [-4.0], [0.0], [2.6]])
    assert carry_over.kennard_stone(scores, 4).tolist() == [0, 1, 2, 4]
    assert sorted(carry_over.kennard_stone(scores, 9).tolist()) == [0, 1, 2, 3, 4]


def test_local_labels_move_the_level_and_are_not_scored() -> None:
    observed, predicted = np.array([0.0, 0.1, 0.2, 0.4]), np.array([0.5, 0.6, 0.7, 0.9])
    _, rmse, bias = carry_over._with_offset(observed, predicted, np.array([0, 1]))
    left = 0.5 - 0.5 * 2 / (2 + SHRINKAGE)
    assert rmse == pytest.approx(left) and bias == pytest.approx(left)
    assert carry_over._with_offset(observed, predicted, np.array([], int))[1] == pytest.approx(0.5)


def test_members_of_the_family_are_means_of_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    x = 0.4 + 0.05 * rng.normal(size=(80, 20))
    y, region, axis = x[:, 3] * 4.0, np.arange(80) % 4, np.linspace(1400.0, 2400.0, 20)
    none = np.empty(0, int)
    parts = {name: family.fit(name, x, y, region, axis, none).predict(x) for name in ("ridge_both", "process_whitened")}
    blend = family.fit("carry_over", x, y, region, axis, np.arange(80) % 5)
    np.testing.assert_allclose(blend.predict(x), np.mean(list(parts.values()), axis=0), atol=1e-9)
    assert blend.linear.residuals.shape == (80,)
    mean = family.fit("carry_over_plsr", x, y, region, axis, none).predict(x)
    np.testing.assert_allclose(mean, (blend.predict(x) + plsr.fit(x, y).predict(x)) / 2.0, atol=1e-9)
    kept = invariance.orthogonal(invariance.penalties(x, axis).sum(axis=0), family.EPO_COMPONENTS)
    expected = plsr.fit(x @ kept, y).predict(x @ kept)
    np.testing.assert_allclose(family.fit("epo", x, y, region, axis, none).predict(x), expected, atol=1e-9)
    networks = augmented.fit("mlp", x, y, region, axis, augmented.prior(len(invariance.KINDS)), steps=20)
    monkeypatch.setattr(augmented, "STEPS", 20)
    thirds = family.fit("carry_over_mlp", x, y, region, axis, none)
    np.testing.assert_allclose(thirds.predict(x), (2.0 * blend.predict(x) + networks.predict(x)) / 3.0, atol=1e-6)
    # The process is the one of the first blend: its fit is kept, and depends on all that it saw.
    assert thirds.process is not None and thirds.process is family.fit("carry_over", x, y, region, axis, none).process
    assert thirds.process is not family.fit("carry_over", x, y + 1e-9, region, axis, none).process
    with pytest.raises(DataError, match="no model 'cubist'"):
        family.fit("cubist", x, y, region, axis, none)


def test_perturbations_that_are_subtracted_are_the_penalty_of_the_ridge() -> None:
    rng = np.random.default_rng(3)
    x, axis = 0.4 + 0.05 * rng.normal(size=(90, 12)), np.linspace(1400.0, 2400.0, 12)
    y, region = x[:, 3] * 4.0 + 0.05 * rng.normal(size=90), np.zeros(90, int)
    space, centred = carry_over_model.space(x, axis), x - x.mean(axis=0)
    covariance, cross = centred.T @ centred / 90, centred.T @ (y - y.mean()) / 90
    plain = CarryOver(np.linalg.solve(covariance, cross), 0.0, np.empty(0))
    found = family.without_perturbations(plain, space, x, region)
    # With one region, soils within regions are all soils.
    np.testing.assert_allclose(
        found.coefficients, np.linalg.solve(covariance + space.penalties.sum(0), cross), rtol=1e-4
    )
    assert found.predict(x.mean(axis=0)[None])[0] == pytest.approx(plain.predict(x.mean(axis=0)[None])[0])
    fitted = [family.fit(name, x, y, region, axis, np.empty(0, int)).linear for name in ("ridge", "ridge_latent")]
    expected = family.without_perturbations(fitted[0], space, x, region)
    np.testing.assert_allclose(fitted[1].coefficients, expected.coefficients, rtol=1e-9)


def test_the_method_of_a_region_has_a_shrunken_effect_where_regions_share_it() -> None:
    rng = np.random.default_rng(4)
    region = np.repeat(["a", "b", "c", "d", "e"], 40)
    x = 0.4 + 0.05 * rng.normal(size=(200, 12))
    y = 4.0 * x[:, 3] + np.where(np.isin(region, ["a", "b"]), -0.3, 0.0)
    methods = {"a": "wet", "b": "wet", "c": "dry", "e": "dry"}
    model, effects = additions.fit_method(x, y, region, np.linspace(1400.0, 2400.0, 12), methods)
    # Two regions and a prior that counts as one; the level of all rows takes its part.
    assert -0.3 < effects["wet"] < -0.1 and abs(effects["dry"]) < 0.12 and set(effects) == {"wet", "dry"}
    left = [np.mean((y - model.predict(x))[region == name]) for name in ("a", "b")]
    assert effects["wet"] == pytest.approx(sum(left) / (2.0 + additions.PRIOR), abs=0.01)
    library = Library(
        "x", Spectra(np.full((6, 2), 0.5), NM[:2], "nm", "reflectance"), np.arange(6).astype(str), {},
        {"region": np.repeat(["a", "b", "c"], 2), "soc_method": np.array(["wet"] * 3 + ["dry"] + ["not stated"] * 2)},
    )  # fmt: skip
    # Region b has two methods, and c states none.
    assert additions.methods_of(library) == {"a": "wet"}
    assert additions.methods_of(dataclasses.replace(library, groups={"region": library.group("region")})) == {}
    nothing, none = additions.fit_method(x, y, region, np.linspace(1400.0, 2400.0, 12), {})
    assert none == {} and abs(np.mean((y - nothing.predict(x))[region == "a"])) > 0.05


def test_latent_features_come_from_training_rows_and_without_any_the_ridge_is_left() -> None:
    rng = np.random.default_rng(5)
    x, axis, region = 0.4 + 0.05 * rng.normal(size=(80, 12)), np.linspace(1400.0, 2400.0, 12), np.arange(80) % 4
    y, train, mass = 4.0 * x[:, 3], region != 3, rng.dirichlet(np.ones(5), 80)
    joined, within = additions.features(x, mass, train, region, axis)
    assert joined.shape == (80, 16) and within.basis.shape == (16, 16)
    variances = joined[train, 12:].var(axis=0)
    np.testing.assert_allclose(variances, x[train].var(axis=0).mean(), rtol=1e-6)
    other = additions.features(x, np.where(train[:, None], mass, 0.2), train, region, axis)[0]
    np.testing.assert_allclose(other[train], joined[train], rtol=1e-9)
    # The last mass fraction, that of SOC, is not among the features.
    other = additions.features(x, mass * [1.0, 1.0, 1.0, 1.0, 3.0], train, region, axis)[0]
    np.testing.assert_allclose(other, joined, rtol=1e-9)
    joined, within = additions.features(x, np.full((80, 5), 0.2), train, region, axis)
    found = carry_over_model.fit(joined[train], y[train], region[train], axis, within=within).predict(joined)
    expected = family.fit("ridge_both", x[train], y[train], region[train], axis, np.empty(0, int)).predict(x)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_wet_states_are_predicted_by_models_of_other_samples(data_root: Path) -> None:
    found = other_tests.moisture(Path(), ("plsr_absorbance", "epo"), np.arange(1360.0, 2451.0, 10.0))
    rows = found["moisture"].set_index(["model", "state"])
    assert set(rows["n"]) == {100} and set(rows.index.get_level_values("state")) == {"air_dry", "wet", "wet_dried_1day"}
    assert rows.loc[("plsr_absorbance", "air_dry"), "ccc"] > 0.7 > rows.loc[("plsr_absorbance", "wet"), "ccc"]
    assert rows.loc[("epo_measured", "wet"), "rmse"] < 0.5 * rows.loc[("plsr_absorbance", "wet"), "rmse"]


def test_other_properties_are_scored_as_they_are(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    site, clay = np.repeat(REGIONS, 15), rng.uniform(5.0, 50.0, 60)
    depth = 0.004 * clay[:, None] * np.exp(-0.5 * ((NM - 2200.0) / 100.0) ** 2)
    values = 10.0 ** -(0.5 + depth + 0.01 * rng.normal(size=(60, 1)))
    clay[site == "mine"] = np.nan
    named = {"region": site, "pedon": np.arange(60).astype(str)}
    library = Library(
        "soils", Spectra(values.astype(np.float32), NM, "nm", "reflectance"), named["pedon"],
        {"soc": Property(np.ones(60), "%"), "clay": Property(clay, "%")}, named, "CC0",
    )  # fmt: skip
    config = dataclasses.replace(SMALL, baselines=("plsr_absorbance", "ridge"), properties=("clay",))
    other_tests.check(config, library)
    for name, told in (("ph", "the data have none"), ("soc", "the data have none")):
        with pytest.raises(UsageError, match=told):
            other_tests.check(dataclasses.replace(config, properties=(name,)), library)
    tables = Tables(RunFolder(tmp_path, "carry_over", "disabled"), library, [])
    other_tests.add(tables, config)
    found = pd.read_csv(tmp_path / "properties.csv")
    assert set(found["region"]) == set(REGIONS) - {"mine"} and set(found["n"]) == {15} and min(found["ccc"]) > 0.9
    x, east = baselines.seen(library, "absorbance").astype(np.float64), site == "east"
    expected = plsr.fit(x[(site == "north") | (site == "west")], clay[(site == "north") | (site == "west")])
    scored = metrics.summary(clay[east], expected.predict(x[east]))
    rows = found.set_index(["model", "region"])
    assert rows.loc[("plsr_absorbance", "east"), "rmse"] == pytest.approx(scored["rmse"], rel=1e-4)
    means = other_tests.gains(tmp_path, "plsr_absorbance")["property_gains"].set_index(["model", "metric"])
    gap = rows.loc["ridge"]["rmse"] - rows.loc["plsr_absorbance"]["rmse"]
    assert means.loc[("ridge", "rmse"), "gain"] == pytest.approx(gap.mean())
    assert means.loc[("ridge", "rmse"), "gain_se"] == pytest.approx(gap.std(ddof=1) / np.sqrt(3))
    first = (tmp_path / "properties.csv").read_bytes()
    other_tests.add(tables, config)
    assert (tmp_path / "properties.csv").read_bytes() == first
