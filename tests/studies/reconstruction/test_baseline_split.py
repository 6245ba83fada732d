"""The random split of everything: what is drawn, what a draw by row leaks, and a run from data to report."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from smoke_runs import smoke_run

from jaxsoil.data.library import Library, Property
from jaxsoil.data.splits import INDUCTIVE, check_no_leak
from jaxsoil.experiments import load
from jaxsoil.runs.errors import DataError, UsageError
from jaxsoil.spectra import Spectra
from jaxsoil.studies.reconstruction.baseline_split import make_draws, prepare
from jaxsoil.studies.reconstruction.config import BaselineSplitConfig

EXPERIMENTS = Path(__file__).resolve().parents[3] / "experiments"


EXPERIMENT = load("baseline_split", EXPERIMENTS)


def library(groups: dict[str, np.ndarray], n: int = 120) -> Library:
    return Library(
        name="toy",
        spectra=Spectra(np.linspace(0.1, 0.9, 2 * n).reshape(n, 2), [400.0, 500.0], "nm", "reflectance"),
        ids=np.array([f"s{row}" for row in range(n)]),
        properties={"soc": Property(np.ones(n), "%")},
        groups=groups,
    )


PEDONS = {"pedon": np.array([f"p{row // 5}" for row in range(120)])}


def test_draws_by_group_and_by_row():
    config = BaselineSplitConfig(draws=4)
    splits = make_draws(library(PEDONS), config)
    assert [split.held_out for split in splits[:4]] == ["draw 1", "draw 2", "draw 3", "draw 4"]
    assert [split.held_out for split in splits[4:]] == [f"draw {i}, by row" for i in (1, 2, 3, 4)]
    assert len({split.name for split in splits}) == 8
    for split in splits[:4]:
        assert split.exposure == INDUCTIVE
        check_no_leak(split, PEDONS)
    for split in splits:
        assert split.train.mean() == pytest.approx(0.6, abs=0.03)
        assert not (split.train & split.test).any() and (split.train | split.test).all()
    shares = []
    for split in splits[4:]:
        pedons = PEDONS["pedon"]
        shares.append(np.mean([pedon in set(pedons[split.train]) for pedon in pedons[split.test]]))
        with pytest.raises(DataError, match="leak"):
            check_no_leak(split, PEDONS)
    expected = f"{np.mean(shares):.0%} of the held-out rows (mean over draws) have a row of their pedon in training"
    assert {split.exposure for split in splits[4:]} == {expected}


def test_draws_repeat():
    config = BaselineSplitConfig(draws=2)
    first, second = (make_draws(library(PEDONS), config) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.train, b.train)
    assert not np.array_equal(first[0].train, first[1].train)


@pytest.mark.parametrize("groups", [{}, {"pedon": np.array([f"p{row}" for row in range(120)])}])
def test_draws_by_row_are_left_out_where_they_part_nothing(groups):
    config = BaselineSplitConfig(draws=2)
    assert [s.held_out for s in make_draws(library(groups), config)] == ["draw 1", "draw 2"]
    alone = make_draws(library(groups), dataclasses.replace(config, parting=("row",)))
    assert [split.exposure for split in alone] == [INDUCTIVE] * 2


def test_one_pedon_cannot_be_split_by_group():
    with pytest.raises(DataError, match="at least two groups"):
        make_draws(library({"pedon": np.array(["p"] * 120)}), BaselineSplitConfig())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"draws": 0}, "--draws 0: give 1 or more"),
        ({"parting": ()}, "each once"),
        ({"parting": ("row", "row")}, "each once"),
    ],
)
def test_wrong_settings_are_refused(change, message):
    with pytest.raises(UsageError, match=message):
        prepare(dataclasses.replace(EXPERIMENT.smoke, **change))


def test_the_papers_settings():
    paper = EXPERIMENT.paper
    assert (paper.draws, paper.share, paper.train.epochs, paper.train.batch) == (10, 0.6, 1000, 75)
    assert paper.networks == ("none", "ann", "physics") and paper.twin.n_bands == 2136


def test_a_run_from_data_to_report():
    folder = smoke_run("baseline_split")
    text = (folder / "report.md").read_text("utf-8")
    results, draws = (pd.read_csv(folder / f"{name}.csv") for name in ("results", "draws"))
    kept = (results["split"] == "test") & (results["scale"] == "percent") & (results["metric"] == "rmse")
    chosen = pd.DataFrame(results[kept])
    for model, name in {"plsr": "PLSR", "physics": "Physics-informed", "ann": "ANN"}.items():
        for parting in ("", ", by row"):
            rows = chosen["region"].isin([f"draw {number}{parting}" for number in (1, 2)])
            values = chosen.loc[rows & (chosen["model"] == model), "value"]
            assert len(values) == 2
            # Two draws that share rows: Nadeau and Bengio's correction, with the rows of the run.
            error = values.std() * np.sqrt(0.5 + (draws["test"] / draws["train"]).mean())
            assert f" {values.mean():.3f} ± {error:.3f} |" in text, (name, parting)
    assert "| draws | 2 | 10 |" in text and "| seeds |" not in text
    assert text.count("in training") >= 2
