"""Few labels and fine-tuning: the draws, what small regions give, both stages end to end, resuming in the second."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from smoke_runs import smoke_run

from jaxsoil.data.twin.soil.config import TwinConfig
from jaxsoil.runs.errors import DataError, UsageError
from jaxsoil.studies.reconstruction.few_labels import AFTER, BEFORE, FewLabelsConfig, TwoStages, both_labels, prepare
from jaxsoil.training.config import TrainConfig

CONFIG = FewLabelsConfig(
    seeds=2,
    networks=("none", "ann"),
    twin=TwinConfig(n_samples=150, n_regions=3, n_outlying=1, n_bands=12),
    components=5,
    width=8,
    pedons_per_region=4,
    adaptation_pedons=3,
    train=TrainConfig(epochs=2, batch=10, unlabelled_batch=10, wrap=True),
    finetune=TrainConfig(epochs=2, batch=10, unlabelled_batch=10, wrap=True, batch_norm="stored"),
)


@pytest.fixture(scope="module")
def finished() -> Path:
    return smoke_run("few_labels")


@pytest.fixture(scope="module")
def prepared() -> TwoStages:
    return prepare(CONFIG)


def test_both_stages_have_the_same_trials_and_the_same_test_rows(prepared: TwoStages) -> None:
    assert len(prepared.trials) == len(prepared.after) == 2 * 2 * 3
    assert len(prepared.splits) == 2 * 3
    for before, after in zip(prepared.trials, prepared.after, strict=True):
        assert (before.name, before.seed, before.split.held_out) == (after.name, after.seed, after.split.held_out)
        np.testing.assert_array_equal(before.split.test, after.split.test)
        assert before.example == after.example
        assert before.split.exposure == "inductive"
        assert after.split.exposure.startswith(f"all spectra of {after.split.held_out} and the labels of 3")


def test_pedons_are_drawn_as_asked_and_anew_for_each_seed(prepared: TwoStages) -> None:
    pedons, regions = prepared.library.group("pedon"), prepared.library.group("region")
    drawn = {}
    for before, after in zip(prepared.trials, prepared.after, strict=True):
        held_out = before.split.held_out
        for region in set(regions) - {held_out}:
            assert len(set(pedons[before.split.train & (regions == region)])) == 4
        assert not (before.split.train | before.split.unlabelled)[regions == held_out].any()
        assert len(set(pedons[after.split.train])) == 3
        assert not set(pedons[after.split.train]) & set(pedons[after.split.test])
        np.testing.assert_array_equal(after.split.train | after.split.unlabelled, regions == held_out)
        drawn[before.name, before.seed, held_out] = frozenset(pedons[after.split.train])
    assert all(drawn["none", seed, r] == drawn["ann", seed, r] for seed in (0, 1) for r in set(regions))
    assert any(drawn["none", 0, r] != drawn["none", 1, r] for r in set(regions))


def test_a_baseline_after_adaptation_takes_the_labels_of_both_stages(prepared: TwoStages) -> None:
    before, after = prepared.trials[0].split, prepared.after[0].split
    pooled = both_labels(before, after, prepared.library)
    np.testing.assert_array_equal(pooled.train, before.train | after.train)
    np.testing.assert_array_equal(pooled.test, before.test)
    assert not pooled.unlabelled.any()
    assert pooled.exposure == f"spectra and labels of 3 pedons of {before.held_out}"


@pytest.fixture
def unequal(tmp_path: Path) -> str:
    """Manifest of measured-like data: region "small" has 3 pedons, the others 8."""
    axis = np.arange(400.0, 2400.0, 200.0)
    rng = np.random.default_rng(0)
    rows = []
    for region, count in (("big", 8), ("small", 3), ("wide", 8)):
        for pedon in range(count):
            for horizon in range(2):
                spectrum = 0.2 + 0.1 * rng.random() + 0.2 * (axis - 400.0) / 2000.0
                rows.append(
                    [f"{region}{pedon}{horizon}", region, f"{region}-{pedon}", rng.uniform(0.5, 4.0), *spectrum]
                )
    columns = ["id", "site", "profile", "oc", *(f"{value:g}" for value in axis)]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "soils.csv", index=False)
    manifest = tmp_path / "soils.toml"
    manifest.write_text(MANIFEST, encoding="utf-8")
    return str(manifest)


MANIFEST = """
name = "unequal"
title = "Regions of unequal size"
data = "soils.csv"
id = "id"
licence = "CC0"

[axis]
unit = "nm"

[values]
quantity = "reflectance"

[labels.soc]
column = "oc"
unit = "%"

[groups]
pedon = "profile"
region = "site"
"""


def test_a_region_with_too_few_pedons_is_named_and_not_held_out(unequal: str) -> None:
    config = dataclasses.replace(CONFIG, data=unequal, networks=("none",), seeds=1)
    prepared = prepare(config)
    assert {trial.split.held_out for trial in prepared.trials} == {"big", "wide"}
    assert any("Region small is not held out: 3 pedons with SOC" in note for note in prepared.notes)
    assert any(
        "Region small has only 3 pedons with SOC: all of them carry labels where 4" in note for note in prepared.notes
    )
    small = prepared.library.group("region") == "small"
    assert all(trial.split.train[small].all() for trial in prepared.trials)


def test_what_cannot_be_is_refused_with_a_remedy(unequal: str) -> None:
    config = dataclasses.replace(CONFIG, data=unequal, networks=("none",), seeds=1)
    with pytest.raises(DataError, match=r"no region has enough pedons.*9 needed, at most 8.*--adaptation-pedons 7"):
        prepare(dataclasses.replace(config, adaptation_pedons=8))
    with pytest.raises(DataError, match=r"no region has enough pedons.*4 needed, at most 3"):
        prepare(dataclasses.replace(config, held_out=("small",)))
    with pytest.raises(DataError, match="Did you mean 'small'"):
        prepare(dataclasses.replace(config, held_out=("smal",)))
    with pytest.raises(DataError, match=r"no row is left without a label.*--pedons-per-region"):
        prepare(dataclasses.replace(config, pedons_per_region=20))
    with pytest.raises(UsageError, match="--networks: name one or more"):
        prepare(dataclasses.replace(config, networks=()))
    share = dataclasses.replace(config.train, validation_share=0.01)
    with pytest.raises(DataError, match=r"too few labelled pedons.*--train.validation-share 0"):
        prepare(dataclasses.replace(config, train=share))


def test_both_stages_are_in_every_file(finished: Path) -> None:
    results = pd.read_csv(finished / "results.csv")
    assert set(results["study"]) == {"few_labels/before", "few_labels/after"}
    exposures = {"before": set(), "after": set()}
    for row in pd.read_csv(finished / "trials.csv").to_dict("records"):
        if row["model"] == "physics":
            exposures[row["trial"].split("/")[0]].add(row["exposure"])
    assert exposures["before"] == {"inductive"}
    told = {f"all spectra of R0{region} and the labels of 3 of its pedons" for region in (1, 2, 3)}
    assert exposures["after"] == told
    ids: dict[tuple[str, str, str], list[str]] = {}
    for row in pd.read_parquet(finished / "predictions.parquet").to_dict("records"):
        ids.setdefault((row["study"], row["model"], row["region"]), []).append(row["id"])
    for model in ("none", "physics", "plsr"):
        for region in ("R01", "R02", "R03"):
            assert ids["few_labels/before", model, region] == ids["few_labels/after", model, region]
    assert not (finished / "states").exists()
    assert set(json.loads((finished / "config.json").read_text())["convergence_by_stage"]) == {BEFORE, AFTER}


def test_fine_tuning_starts_from_the_pre_trained_network(finished: Path) -> None:
    with np.load(finished / "soc_spectra.npz") as stored:
        before, after = (stored["f_soc"][stored["study"] == f"few_labels/{stage}"] for stage in (BEFORE, AFTER))
    moved_first, moved_then = np.abs(before - 0.5).max(), np.abs(after - before).max()
    assert moved_first > 0.0
    # Adam at rate 2e-4 cannot go from 0.5 to where the first stage ended and beyond: it went on from there.
    history = pd.read_csv(finished / "history.csv")
    mixing = history[history["trial"].str.startswith("after/physics")]
    assert 0.0 < moved_then < 2.0 * 2e-4 * 9 * mixing["epoch"].max()


def test_the_report_prints_the_published_table_and_what_was_seen(finished: Path) -> None:
    text = (finished / "report.md").read_text(encoding="utf-8")
    assert "4.478 ± 0.352" in text and "in-sample" in text
    assert "all spectra of the held-out region and the labels of 3 of its pedons" in text
    assert "(rho r)\\_SOC" in text and "near their start" in text
    for name in ("change_by_region", "mrmse_change_by_region", "before/loss_curves", "after/loss_curves"):
        assert (finished / "figures" / f"{name}.png").stat().st_size > 10_000, name
