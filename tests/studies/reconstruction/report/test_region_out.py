"""The region-out report on synthetic run folders: what it says, what it marks, what it survives."""

import json
import re
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from reconstruction_run import SUMMARIES, write_run
from report_pages import opened
from scipy import stats

from jaxsoil.evaluation.results import over_regions, read_results, write_results
from jaxsoil.report.document import Document
from jaxsoil.report.tables import plus_minus
from jaxsoil.runs.errors import DataError
from jaxsoil.studies.reconstruction import summaries
from jaxsoil.studies.reconstruction.report import region_out, sections, shared_figures
from jaxsoil.studies.reconstruction.report.reading import read_run
from jaxsoil.studies.reconstruction.report.region_out import (
    published_tests,
    region_blocks,
    ttest_section,
    write_report,
)
from jaxsoil.studies.reconstruction.report.shared_figures import choose_examples
from jaxsoil.studies.reconstruction.tables import OWN, kept_epoch


def rewritten(folder):
    """The report of a run whose tables a test has changed."""
    summaries.write(folder, SUMMARIES)
    return written(folder)


def written(folder):
    page = write_report(folder)
    assert page == folder / "report.html"
    return (folder / "report.md").read_text("utf-8"), page.read_text("utf-8")


def opening(markdown):
    return markdown.split("## Mean over regions")[0]


@contextmanager
def without_figures():
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_ccc_picture", "alarm_section"):
            patch.setattr(region_out, name, lambda *_: None)
        for name in ("curves_figure", "reconstruction_figure", "scatter_figure"):
            patch.setattr(shared_figures, name, lambda *_, **__: None)
        yield


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """The default run with its report: folder, Markdown and HTML. For tests that read and do not write."""
    folder = write_run(tmp_path_factory.mktemp("clean") / "run", regions=("Alpha", "Beta", "Gamma"))
    return (folder, *written(folder))


@pytest.fixture(scope="module")
def doubtful(tmp_path_factory):
    """A run with networks that diverged, did not converge or fit nothing: Markdown and HTML."""
    folder = tmp_path_factory.mktemp("doubtful") / "run"
    options = {"not_converged": ("ann", "Beta"), "diverged": ("none", "Gamma"), "fit": 2.0}
    sentence = "all spectra of the region and the labels of 5 of its pedons"
    config = {"config": {"train": {"validation_share": 0.1, "keep": "best"}}}
    write_run(folder, regions=("Alpha", "Beta", "Gamma"), exposure=sentence, config=config, **options)
    with without_figures():
        return written(folder)


@pytest.fixture
def quiet():
    """Reports without figures, for tests of what is written."""
    with without_figures():
        yield


def test_a_clean_run(clean):
    folder, markdown, html = clean
    assert "†" not in markdown and "†" not in html
    table = over_regions(read_results(folder / "results.csv", OWN))
    for model, label in (("plsr", "PLSR"), ("ann", "Encoder + ANN decoder")):
        rows = table.query(f"model == '{model}' and split == 'test' and scale == 'log10' and metric == 'ccc'")
        overall = rows[rows["seed"] == "all"].iloc[0]
        assert f"| {label} | {plus_minus(overall['mean'], overall['se'], 2)} |" in markdown
    for expected in (
        "nothing of the held-out part was used",
        "| train.lr | 0.001 | 5e-05 |",
        "| all | ANN decoder | paper | 0.854 ± 0.008 |",
        "equals (8 x problematic + 9 x generalising)/17",
        "12 rows left out: no SOC",
        "| Compilation | 9.8 |",
        "python experiments/run.py --exp=region_out --data synthetic",
        "with uncommitted changes",
    ):
        assert expected in markdown, expected
    # The paper's physics decoder stands there although it was not trained here.
    assert "| all | Physics-informed | paper |" in markdown and "Physics-informed | here" not in markdown
    links = re.findall(r"\]\((figures/[^)]+)\)", markdown)
    assert len(links) == 9 and all((folder / link).is_file() for link in links)
    assert html.count("data:image/png;base64,") == 9
    opened(html)


def test_every_number_of_an_unconverged_network_is_marked(doubtful):
    markdown, html = doubtful
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    for line in rows:
        name = line.split("|")[1].strip()
        if name.startswith("Encoder"):
            assert "†" in name, line
        if re.match(r"\| all \| (No|ANN) decoder", line) and "| here |" in line:
            assert "†" in line, line
    assert len([line for line in rows if re.match(r"\| (Beta|Gamma) † ", line)]) == 2
    assert "PLSR †" not in markdown and "Random forest †" not in markdown
    note = r"includes networks that did not converge \(Encoder 1 of 3 trainings; Encoder \+ ANN decoder 1 of 3"
    assert re.search(note, markdown)
    assert "last fifth of its 60 epochs" in markdown
    assert "Encoder, diverged with Gamma held out" in markdown
    assert "not in the mean: Encoder Gamma" in markdown
    assert "†" in html


def test_fit_stands_beside_convergence(clean, doubtful):
    folder, markdown, _ = clean
    frame = read_results(folder / "results.csv", OWN)
    rows = frame.query("model == 'ann' and split == 'train' and metric == 'r2'")
    found = {scale: float(np.mean(rows["value"][rows["scale"] == scale])) for scale in ("log10", "percent")}
    # The validation loss of the synthetic runs falls to the end.
    cells = f"{found['log10']:.2f} | {found['percent']:.2f} | 60 | 60 |".replace("-", "−")
    assert f"| Encoder + ANN decoder | 3 | 0 | 0 | {cells}" in markdown
    assert "stopped without fitting" not in markdown and "rows set aside for early stopping" not in markdown
    assert "Encoder + ANN decoder stopped without fitting its training regions: mean training R2" in doubtful[0]
    # The published table and that of the trainings.
    assert doubtful[0].count("include the rows set aside for early stopping (10 % of the training groups)") == 2


def test_the_kept_epoch_is_that_of_the_lowest_watched_loss(make_run):
    folder = make_run(models=("ann",))
    trials = pd.read_csv(folder / "trials.csv")
    watched = np.array([0.9, 0.4, 0.4, 0.6, np.nan, np.nan])
    assert (kept_epoch(watched, 4, "best"), kept_epoch(watched, 4, "last")) == (2, 4)
    assert kept_epoch(np.full(6, np.nan), 3, "best") == 3
    trials.assign(kept=[10, 20, 60]).to_csv(folder / "trials.csv", index=False)
    document = Document("t")
    sections.status_section(document, read_run(folder))
    assert "| 20 (10 to 60) | 60 |" in document.markdown()


def test_models_that_the_interval_does_not_part_are_named_together(make_run, quiet):
    folder = make_run(regions=tuple("ABCDEF"), models=("plsr", "random_forest", "none"), seeds=2)
    frame = read_results(folder / "results.csv", OWN)
    chosen = (frame["metric"] == "ccc") & (frame["scale"] == "log10") & (frame["split"] == "test")
    values = {"none": [0.5, 0.6, 0.7, 0.5, 0.6, 0.7], "plsr": [0.6, 0.5, 0.6, 0.6, 0.5, 0.7]}
    for model, line in (*values.items(), ("random_forest", [value - 0.1 for value in values["none"]])):
        for region, value in zip("ABCDEF", line, strict=True):
            mine = chosen & (frame["model"] == model) & (frame["region"] == region)
            frame.loc[mine, "value"] = value + 0.02 * frame.loc[mine, "seed"]
    frame.to_csv(folder / "results.csv", index=False)
    text = opening(rewritten(folder)[0])
    means = np.array(values["none"]) + 0.01 - np.array(values["plsr"])
    low, high = stats.ttest_1samp(means, 0.0).confidence_interval(0.95)
    told = f"PLSR 0.58 (difference {means.mean():.2f} ({low:.2f} to {high:.2f}))".replace("-", "−")
    assert "over regions: 0.61, Encoder. Not told apart from it" in text and f"paired by region: {told}." in text
    assert "Random forest 0" not in text


def test_a_winner_alone_is_said_to_be_one(make_run, quiet):
    folder = make_run(models=("plsr", "random_forest"))
    frame = read_results(folder / "results.csv", OWN)
    chosen = (frame["metric"] == "ccc") & (frame["scale"] == "log10")
    frame.loc[chosen, "value"] = np.where(frame.loc[chosen, "model"] == "plsr", 0.9, 0.5)
    frame.to_csv(folder / "results.csv", index=False)
    assert "0.90, PLSR. The 95 % interval of the difference, paired by region, tells all others" in rewritten(folder)[0]


def test_a_comparison_without_two_regions_of_either_kind_cannot_be_made(make_run, quiet):
    folder = make_run(regions=tuple("ABCD"), models=("none", "ann"))
    frame = read_results(folder / "results.csv", OWN)
    chosen = (frame["metric"] == "r2") & (frame["scale"] == "percent") & (frame["split"] == "test")
    for bad, said in (
        ("", "0 of 4 regions are problematic (R2 of SOC in % below 0 for all networks and seeds), 4 are generalising"),
        ("B", "1 of 4 regions (B) is problematic (R2 of SOC in % below 0 for all networks and seeds), 3 are"),
        ("BC", None),
        ("ABC", "3 of 4 regions (A, B, C) are problematic"),
    ):
        frame.loc[chosen, "value"] = np.where(frame.loc[chosen, "region"].isin(list(bad)), -1.0, 0.5)
        frame.to_csv(folder / "results.csv", index=False)
        summaries.write(folder, (summaries.region_blocks,))
        run = read_run(folder)
        text = region_out._no_comparison(run, region_blocks(run))
        assert ("central comparison" in text) == (said is not None)
        assert said is None or f"cannot be made on these data: {said}" in text
    assert "cannot be made on these data: 3 of 4" in opening(rewritten(folder)[0])


def test_predictions_above_all_that_can_be_are_counted(make_run, quiet):
    folder = make_run(models=("plsr", "none"))
    assert "Predictions above 100 %" not in written(folder)[0]
    frame = pd.read_parquet(folder / "predictions.parquet")
    wrong = frame[(frame["model"] == "plsr") & (frame["region"] == "Beta")].index[:2]
    frame.loc[wrong, "predicted"] = 250.0
    frame.to_parquet(folder / "predictions.parquet", index=False)
    # The table of means in %, the published table and that of the model's regions.
    assert written(folder)[0].count("Predictions above 100 % SOC, of a model of log10 SOC: PLSR 2 (Beta).") == 3


def test_the_example_is_said_to_be_chosen_by_its_soc(clean):
    assert "| Reconstructed spectra | through the finished model, to show | median SOC chooses the example" in clean[1]


def test_an_incomplete_mean_is_not_ranked(make_run, quiet):
    folder = make_run(models=("none",), diverged=("none", "Gamma"))
    assert "Highest mean CCC" not in written(folder)[0]


def test_a_region_with_undefined_metrics(make_run, quiet):
    markdown, _ = written(make_run(constant="Beta"))
    row = next(line for line in markdown.splitlines() if line.startswith("| Beta |"))
    assert row.count("n/a") >= 6
    assert "CCC, R2, RPIQ undefined because the observed values are all the same: Beta (all models)." in markdown


def test_all_diverged(make_run, drawn):
    folder = make_run(regions=("A", "B"), models=("ann",), diverged=("ann", "A"))
    arrays = dict(np.load(folder / "reconstructions.npz"))
    arrays["reconstructed"][:] = np.nan
    np.savez(folder / "reconstructions.npz", **arrays)
    assert "diverged" in written(folder)[0]


def test_baselines_alone(make_run, drawn):
    folder = make_run(models=("plsr",), regions=("A", "B"))
    (folder / "timing.json").unlink()
    (folder / "data.json").unlink()
    (folder / "config.json").write_text('{"experiment": "region_out", "config": {}}')
    (folder / "env.json").write_text("{}")
    markdown, _ = written(folder)
    assert "No model of this run reconstructs spectra." in markdown
    assert "## Convergence" not in markdown and "## Time" not in markdown
    assert "did not record its command" in markdown
    assert "not parted into problematic" in markdown


def test_seventeen_regions_and_seeds(make_run, quiet):
    names = tuple(str(number) for number in range(1, 19) if number != 17)
    markdown, _ = written(make_run(regions=names, seeds=2, n=8, models=("plsr", "none")))
    order = [line.split("|")[1].strip() for line in markdown.splitlines() if re.match(r"\| \d+ \|", line)]
    assert order[:17] == list(names)
    assert "mean of 2 seeds" in markdown


def test_exposure_is_stated_per_trial(doubtful):
    markdown, _ = doubtful
    assert "Encoder + ANN decoder: all spectra of the region and the labels of 5 of its pedons." in markdown
    assert "nothing of the held-out part was used" not in markdown


def test_names_from_data_stay_text(make_run):
    nasty = "<img src=x onerror=alert(1)>|a"
    folder = make_run(
        regions=(nasty, "NA", "$x$"),
        config={"differs_from_paper": [[nasty, nasty, None]], "convergence": nasty},
        data={"name": nasty, "notes": [nasty], "licence": nasty},
    )
    markdown, html = written(folder)
    assert "<img src=x" not in html and "<img src=x" not in markdown
    assert "&lt;img src=x onerror=alert(1)&gt;|a" in html
    assert "| NA |" in markdown
    assert "not stated" in markdown


def test_reports_repeat_to_the_byte(make_run, tmp_path, drawn):
    folder = make_run(regions=("Alpha", "Beta"), models=("plsr", "ann"))
    again = Path(shutil.copytree(folder, tmp_path / "again" / folder.name))
    assert rewritten(again) == written(folder)


def test_blocks_follow_the_papers_rule(make_run):
    folder = make_run(regions=("A", "B", "C"), models=("plsr", "none", "ann"), seeds=2)
    frame = read_results(folder / "results.csv", OWN)
    chosen = (frame["metric"] == "r2") & (frame["scale"] == "percent") & (frame["split"] == "test")
    frame.loc[chosen, "value"] = -1.0
    # One seed of one network above zero, and a baseline that does not count.
    frame.loc[chosen & (frame["region"] == "B") & (frame["model"] == "ann") & (frame["seed"] == 1), "value"] = 0.1
    frame.loc[chosen & (frame["region"] == "A") & (frame["model"] == "plsr"), "value"] = 0.9
    frame.loc[chosen & (frame["region"] == "C") & (frame["model"] != "plsr"), "value"] = np.nan
    frame.to_csv(folder / "results.csv", index=False, na_rep="nan")
    summaries.write(folder, SUMMARIES)
    assert region_blocks(read_run(folder)) == {
        "all": ["A", "B", "C"],
        "problematic": ["A"],
        "generalising": ["B"],
    }


def test_the_published_values_follow_from_the_published_summaries():
    for model, t in (("ann", 4.681), ("physics", 4.789)):
        found = published_tests(model)
        assert (round(found["Student, runs"].t, 3), round(found["Welch, runs"].t, 2)) == (t, 4.25)
        assert "Welch, region means" not in found


def ttests(run, blocks):
    document = Document("t")
    ttest_section(document, run, blocks)
    return document.markdown()


def test_ttests_stand_beside_the_published_ones(make_run):
    folder = make_run(regions=tuple("ABCDE"), models=("none", "ann"), seeds=2)
    frame = read_results(folder / "results.csv", OWN)
    chosen = (frame["metric"] == "r2") & (frame["scale"] == "percent") & (frame["split"] == "test")
    frame.loc[chosen, "value"] = np.where(frame.loc[chosen, "region"].isin(["A", "B"]), -1.0, 0.5)
    write_results(folder / "results.csv", frame, OWN)
    summaries.write(folder, SUMMARIES)
    run = read_run(folder)
    text = ttests(run, region_blocks(run))
    rows = frame[(frame["model"] == "ann") & (frame["metric"] == "mrmse") & (frame["split"] == "test")]
    table = rows.pivot(index="region", columns="seed", values="value")
    hard, easy = table.loc[["A", "B"]].to_numpy(), table.loc[["C", "D", "E"]].to_numpy()
    for first, second, equal, before in (
        (hard.ravel(), easy.ravel(), True, "Student, runs | 4.681 | 66.0 | &lt; 0.0001 | 4.681"),
        (hard.mean(axis=1), easy.mean(axis=1), False, "Welch, region means | not available |   |   |  "),
    ):
        expected: Any = stats.ttest_ind(first, second, equal_var=equal)
        cells = f"{expected.statistic:.3f} | {expected.df:.1f} | {expected.pvalue:.4f} |".replace("-", "−")
        assert f"| ANN decoder | {before} | {cells}" in text
    # The physics decoder was not trained here, but its published values stand there.
    assert "| Physics-informed | Welch, runs | 4.251 | 34.1 | 0.0002 |   | not available |" in text
    assert "Here 2 problematic and 3 generalising regions" in text


def test_no_ttests_without_networks(make_run):
    run = read_run(make_run(models=("plsr",), regions=("A", "B")))
    assert "Is the reconstruction" not in ttests(run, region_blocks(run))


def test_examples_are_spaced_over_the_errors():
    axis = np.linspace(400.0, 2500.0, 5)
    errors = np.array([0.01, 0.05, 0.02, 0.04, 0.03])
    arrays = {
        "axis": axis,
        "region": np.array(list("abcde")),
        "seed": np.zeros(5, dtype=int),
        "model": np.array(["ann"] * 5),
        "id": np.array(["s"] * 5),
        "observed": np.full((5, 5), 0.3),
        "reconstructed": 0.3 + errors[:, None] * np.ones((5, 5)),
    }
    examples, models = choose_examples(arrays, 3)
    assert [example.title for example in examples] == ["a: s", "e: s", "b: s"]
    assert models == {"ann"}


@pytest.mark.parametrize("name", ["results.csv", "trials.csv", "predictions.parquet", "config.json", "env.json"])
def test_a_missing_file_is_named(make_run, name):
    folder = make_run(regions=("A", "B"), models=("plsr",))
    (folder / name).unlink()
    with pytest.raises(DataError, match=re.escape(name)):
        write_report(folder)
    assert not (folder / "report.md").exists()


def test_damaged_files_are_named(make_run):
    folder = make_run()
    trials = (folder / "trials.csv").read_text()
    (folder / "trials.csv").write_text(trials.replace("fitted", "perfect", 1))
    with pytest.raises(DataError, match=r"trials\.csv: column status: unknown status.*perfect.*--overwrite"):
        write_report(folder)
    (folder / "trials.csv").write_text(trials.replace("exposure", "exposed", 1))
    with pytest.raises(DataError, match=r"trials\.csv: columns are missing: exposure"):
        write_report(folder)
    (folder / "trials.csv").write_text(trials)
    (folder / "config.json").write_text("{")
    with pytest.raises(DataError, match=r"config\.json: this is not JSON"):
        write_report(folder)
    (folder / "config.json").write_text(json.dumps([1]))
    with pytest.raises(DataError, match=r"config\.json: this is not a JSON object"):
        write_report(folder)
    (folder / "config.json").write_text("{}")
    with pytest.raises(DataError, match=r"config\.json: the configuration is missing"):
        write_report(folder)
    (folder / "config.json").write_text('{"config": {}}')
    whole = (folder / "reconstructions.npz").read_bytes()
    arrays = dict(np.load(folder / "reconstructions.npz"))
    np.savez(folder / "reconstructions.npz", **{**arrays, "axis": arrays["axis"][1:]})
    with pytest.raises(DataError, match=r"reconstructions\.npz: spectra are not"):
        write_report(folder)
    (folder / "reconstructions.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"reconstructions\.npz: .*cannot be read.*Delete this file.*--resume"):
        write_report(folder)
    (folder / "reconstructions.npz").write_bytes(whole)
    kept = (folder / "predictions.parquet").read_bytes()
    (folder / "predictions.parquet").write_bytes(kept[: len(kept) // 2])
    with pytest.raises(DataError, match=r"predictions\.parquet: this is not a Parquet table"):
        write_report(folder)
    (folder / "predictions.parquet").write_bytes(kept)
    for name in ("blocks", "intervals", "alarm_areas", "averages", "region_averages", "undefined"):
        kept = (folder / f"{name}.csv").read_bytes()
        (folder / f"{name}.csv").unlink()
        with pytest.raises(DataError, match=rf"{name}\.csv: this file of the run is missing.*--resume"):
            write_report(folder)
        (folder / f"{name}.csv").write_bytes(kept)
