"""The study of f_SOC from data to report, at its smallest size."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pictures import undrawn
from report_pages import read_report
from smoke_runs import copied, smoke_run

from jaxsoil.cli import main
from jaxsoil.data.twin.soil.make import reference_twin
from jaxsoil.experiments import load
from jaxsoil.runs.errors import DataError, UsageError
from jaxsoil.studies.reconstruction.soc_spectrum import run as soc_spectrum
from jaxsoil.studies.reconstruction.soc_spectrum.direct import NotAvailable
from jaxsoil.studies.reconstruction.soc_spectrum.report.page import write_report

EXPERIMENTS = Path(__file__).resolve().parents[4] / "experiments"
SMOKE = ["--exp=soc_spectrum", "--smoke", "--wandb", "disabled"]


@pytest.fixture(scope="module")
def module() -> Any:
    import sys

    load("soc_spectrum", EXPERIMENTS)
    return sys.modules["experiments.soc_spectrum"]


@pytest.fixture(scope="module")
def run() -> Path:
    return smoke_run("soc_spectrum")


def test_the_folder_holds_tables_and_trainings(run):
    for name in ("estimates", "lines", "troughs", "networks", "accuracy", "robust", "sweep", "abundances", "libraries"):
        assert (run / f"{name}.csv").stat().st_size > 0
    for name in ("paper-troughs", "direct-troughs", "paper-null", "direct-null"):
        assert (run / name / "soc_spectra.npz").is_file()
    learned = np.load(run / "learned.npz")
    assert set(learned["start"].tolist()) == {"paper", "direct"} and set(learned["source"].tolist()) == {
        "troughs",
        "null",
    }
    assert learned["f_soc"].shape == (8, 80)


def test_the_error_of_the_encoders_own_soc_is_that_of_their_predictions(run):
    """The labels of this twin are exact, so the SOC row of the latents follows from the predictions."""
    rows: Any = pd.read_csv(run / "abundances.csv").set_index(["source", "estimator", "mineral"])["error"]
    for start in ("paper", "direct"):
        predicted = pd.read_parquet(run / f"{start}-troughs" / "predictions.parquet")
        predicted["error"] = (predicted["predicted"] - predicted["observed"]).abs() / 100
        means: Any = predicted.groupby(["region", "seed"])["error"].mean()
        expected = float(np.mean(means))
        assert rows["troughs", f"{start}-latents", "SOC"] == pytest.approx(expected, rel=1e-4)
        assert rows["troughs", f"{start}-latents", "Quartz"] > 0


def test_the_report_says_what_is_known(run):
    markdown = (run / "report.md").read_text("utf-8")
    for expected in (
        "## Troughs beside the literature",
        "| Paper, RaCA | 2.471 ± 0.132 | black |",
        "Aim with 8,000 samples, mean of the seeds: RMSE ≤ 0.015",
        "Cosine misleads: a flat spectrum of no shape at all scores 0.9",
        "| 2205 ± 20 | Al-OH: kaolinite that leaks in |",
        "inductive; a start is estimated on the training rows of its fold alone",
        "K = 85 endmembers" if "84 minerals" in markdown else "endmembers, SOC included",
        "| train.decoder\\_lr (direct start) | 0.03 | 1 |",
        "| train.lr | 0.001 | 5e-05 |",
        "How far the trainings could go",
        "‡ ended before Adam could have moved c or f from its start to the truth",
        "R2 of SOC, direct start minus the paper's start, paired by held-out region: mean",
        "Decoders with a wrong mineral library",
        "From the paper's start: A network counts as converged",
    ):
        assert expected in markdown, expected
    links = re.findall(r"\]\((figures/[^)]+)\)", markdown)
    assert len(links) == 5 and all((run / link).is_file() for link in links)
    read_report((run / "report.html").read_text("utf-8"))


def test_networks_that_did_not_converge_are_marked_and_others_are_not(run, tmp_path):
    rows = pd.read_csv(run / "networks.csv", dtype=str, keep_default_na=False)
    assert set(rows["status"]) == {"not converged"}  # ten epochs are too few
    assert "| Decoder, paper's start † " in (run / "report.md").read_text("utf-8")
    folder = copied(run, tmp_path / "run")
    for name in ("networks", "libraries"):
        table = pd.read_csv(run / f"{name}.csv", dtype=str, keep_default_na=False)
        table.assign(status="converged").to_csv(folder / f"{name}.csv", index=False)
    write_report(folder)
    markdown = (folder / "report.md").read_text("utf-8")
    assert "| Decoder, paper's start " in markdown and "†" not in markdown


def test_the_report_prints_the_numbers_of_its_tables(run):
    markdown = (run / "report.md").read_text("utf-8")
    rows: Any = pd.read_csv(run / "networks.csv", dtype={"source": str}, keep_default_na=False)
    assert len(rows) == 8
    for row in rows.to_dict("records"):
        start = {"paper": "Decoder, paper's start", "direct": "Decoder from direct estimate"}[row["start"]]
        cells = [row["region"], row["seed"], f"{row['soc_rho_r']:.3f}", f"{row['munsell']:.1f}", f"{row['rmse']:.4f}"]
        line = " | ".join(str(cell) for cell in cells)
        assert re.search(rf"\| {start}[^|]* \| {re.escape(line)} \|", markdown), line
    for (source, start), part in rows.groupby(["source", "start"]):
        assert f"| {part['soc_rho_r'].mean():.3f} ± {part['soc_rho_r'].std():.3f} |" in markdown, (source, start)


def test_means_over_seeds_ranges_and_differences_are_those_of_the_single_rows(run):
    """Recomputed from the rows of each twin and each training, and found in the report."""
    markdown = (run / "report.md").read_text("utf-8").replace("−", "-")
    for name in ("sweep", "robust"):
        scores: Any = pd.read_csv(run / f"{name}.csv", dtype={"level": str})
        means: Any = scores.groupby(["level", "method"])[["rmse", "cosine", "ratio_error"]].mean().dropna()
        assert len(means) >= 8
        for rmse, cosine, ratio in means.to_numpy():
            # A rounded -0 is printed as 0.
            assert f"| {rmse:.3f} / {cosine:.3f} / {100 * ratio + 0.0:.0f} |".replace("/ -0 |", "/ 0 |") in markdown
    networks: Any = pd.read_csv(run / "networks.csv", keep_default_na=False)  # "null" is a name
    assert networks["source"].nunique() == 2
    for _, part in networks.groupby("source"):
        scores = part.pivot(index="region", columns="start", values="r2")
        gaps = scores["direct"] - scores["paper"]
        assert f"held-out region: mean {gaps.mean():.3f}, SD {gaps.std():.3f}, 95 % t interval" in markdown
        for _, mine in part.groupby("start"):
            ends = [f"{value:.3f}" for value in (mine["moved_f"].min(), mine["moved_f"].max())]
            assert f"| {' to '.join(dict.fromkeys(ends))} |" in markdown


def test_the_report_repeats_to_the_byte(run, tmp_path):
    first = (run / "report.html").read_bytes()
    assert write_report(copied(run, tmp_path / "run")).read_bytes() == first


def test_the_papers_start_trains_as_published(module):
    """All epochs, the last parameters, no rows set aside; the direct start keeps its early stop."""
    config = module.DEFAULT
    paper, direct = (soc_spectrum.study_config(config, "troughs", start).train for start in soc_spectrum.STARTS)
    assert (paper.patience, paper.keep, paper.validation_share, paper.decoder_lr) == (0, "last", 0.0, 1.0)
    assert (direct.patience, direct.keep, direct.validation_share) == (config.train.patience, "best", 0.1)


def test_the_default_can_reach_the_truth_from_the_papers_start(module):
    """Learning rate times steps exceeds the distance that c has to go, so that what is shown is not an early stop."""
    library = reference_twin(400, n_bands=40)
    distance = library.truth.decoder_minerals.rho_r.mean() - library.truth.soc_rho_r
    train, seven_regions = module.DEFAULT.train, 7 * 2000 // 8
    for epochs in (train.epochs, module.DEFAULT.library_epochs):
        assert 1.2 < distance < train.lr * epochs * (seven_regions // train.batch)


def test_wrong_libraries_reach_the_decoder(run, module):
    rows: Any = pd.read_csv(run / "libraries.csv")
    assert rows["source"].tolist() == [name for name in module.EXPERIMENT.smoke.libraries for _ in soc_spectrum.STARTS]
    assert set(rows["start"]) == {"paper", "direct"} and rows["region"].nunique() == 1
    for start in soc_spectrum.STARTS:
        mine = rows[rows["start"] == start]
        # Each library gives another decoder.
        assert mine["rmse"].nunique() == len(mine), start
        # The soils are the same. The paper's start is too, the direct one is estimated from the library's minerals.
        assert mine["distance_f"].nunique() == 1, start


def test_how_far_trainings_could_go_is_lr_times_steps(run):
    rows: Any = pd.read_csv(run / "networks.csv").query("source == 'troughs'")
    paper, direct = (rows[rows["start"] == start] for start in soc_spectrum.STARTS)
    # 10 epochs of 7 steps (180 rows of three regions in batches of 25) at 1e-3.
    assert (paper["kept"] == 10).all() and (paper["moved_c"] <= 1.05 * paper["reach"]).all()
    np.testing.assert_allclose(paper["reach"], 1e-3 * 10 * 7)
    assert len(direct) == len(paper) and (direct["kept"] <= 10).all()


def test_the_source_of_the_minerals_is_named(run):
    from jaxsoil.data import endmembers

    axis = np.linspace(365.0, 2490.0, 30)
    assert "parametric curves fitted to" in soc_spectrum.minerals_sentence(endmembers.twin_minerals(axis))
    measured, fitted = "minerals are measured spectra (", "minerals are parametric curves fitted"
    source = json.loads((run / "data.json").read_text("utf-8"))["minerals"]["source"]
    said, other = (fitted, measured) if source.startswith("fitted") else (measured, fitted)
    markdown = (run / "report.md").read_text("utf-8")
    assert said in markdown and other not in markdown


def test_a_missing_or_damaged_file_is_named(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (copy / "curves.npz").unlink()
    with pytest.raises(DataError, match=r"curves\.npz.*missing"):
        write_report(copy)
    shutil.copy(run / "curves.npz", copy)
    (copy / "lines.csv").write_text("source,estimator\ntroughs,truth\n")
    with pytest.raises(DataError, match=r"lines\.csv.*columns are missing"):
        write_report(copy)
    (copy / "config.json").write_text("[]")
    with pytest.raises(DataError, match=r"config\.json.*not a JSON object"):
        write_report(copy)


def test_on_a_short_axis_the_report_says_that_it_is_not_available(tmp_path):
    twin = reference_twin(90, n_regions=3, n_bands=60, wavelength_low=1100.0)
    table = pd.DataFrame(twin.spectra.values, columns=pd.Index([f"{band:.1f}" for band in twin.spectra.axis]))
    table.assign(soc=twin.property("soc").values, region=twin.group("region")).to_csv(tmp_path / "short.csv")
    manifest = """
    name = "short"
    title = "Without the visible"
    data = "short.csv"
    axis.unit = "nm"
    values.quantity = "reflectance"
    labels.soc = { column = "soc", unit = "%" }
    groups.region = "region"
    """
    (tmp_path / "short.toml").write_text(manifest)
    options = ["--data", str(tmp_path / "short.toml"), "--held-out", "1", "--train.epochs", "2"]
    with undrawn():
        assert main(EXPERIMENTS, [*SMOKE, *options, "--workdir", str(tmp_path / "run")]) == 0
    folders = sorted(path.name for path in (tmp_path / "run").iterdir() if path.is_dir())
    assert folders == ["direct", "figures", "paper-short"]
    markdown = (tmp_path / "run" / "report.md").read_text("utf-8").replace("\\", "")
    assert "short: no direct estimate. The direct estimate of f_SOC is not available on this axis" in markdown
    assert "short, decoder from the direct estimate: left out. The direct estimate of f_SOC is not" in markdown
    assert "## Direct regression against its aims" not in markdown


def test_plan_lists_the_studies(module, monkeypatch):
    # What the plan of one study says is told by tests of its own.
    monkeypatch.setattr(soc_spectrum, "plan_study", lambda config, inputs: f"{config.start}, {len(inputs.trials)}")
    text = soc_spectrum.plan(module.EXPERIMENT.smoke, soc_spectrum.prepare(module.EXPERIMENT.smoke))
    for name, start in itertools.product(("troughs", "null"), soc_spectrum.STARTS):
        assert f"{start}-{name}:\n{start}, 2\n" in text
    assert "mineral libraries (true, clays missing): 4 trainings more of at most 10 epochs" in text


def test_folds_are_spaced_evenly():
    library = reference_twin(80, n_bands=40)
    assert [split.held_out for split in soc_spectrum.spaced_regions(library, 3)] == ["R01", "R04", "R08"]
    assert len(soc_spectrum.spaced_regions(library, 0)) == len(soc_spectrum.spaced_regions(library, 99)) == 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"networks": ("ann",)}, "--networks must be physics"),
        ({"direct_sizes": ()}, "--direct-sizes"),
        ({"sweep_factors": ("clayey",)}, "Did you mean 'clay'"),
        ({"libraries": ("clay missing",)}, "Did you mean 'clays missing'"),
        ({"library_epochs": 0}, "--libraries without a name"),
    ],
)
def test_wrong_options_are_refused(module, change, message):
    with pytest.raises(UsageError, match=message):
        soc_spectrum.prepare(dataclasses.replace(module.EXPERIMENT.smoke, **change))


def test_not_available_is_a_data_error():
    assert issubclass(NotAvailable, DataError)
