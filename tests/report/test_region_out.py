"""The region-out report on synthetic run folders: what it says, what it marks, what it survives."""

import json
import re

import numpy as np
import pytest

from jaxsoil.errors import DataError
from jaxsoil.evaluation.results import over_regions, read_results
from jaxsoil.report.examples import choose_examples
from jaxsoil.report.reading import read_run
from jaxsoil.report.region_out import region_blocks, write_report
from jaxsoil.report.tables import plus_minus


def written(folder):
    page = write_report(folder)
    assert page == folder / "report.html"
    return (folder / "report.md").read_text("utf-8"), page.read_text("utf-8")


def test_a_clean_run(make_run):
    folder = make_run()
    markdown, html = written(folder)
    assert "†" not in markdown and "†" not in html
    table = over_regions(read_results(folder / "results.csv"))
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
    assert not re.search(r"(src|href)=\"(?!data:)", html)


def test_every_number_of_an_unconverged_network_is_marked(make_run):
    markdown, html = written(make_run(not_converged=("ann", "Beta"), diverged=("none", "Gamma")))
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


def test_an_incomplete_mean_is_not_ranked(make_run):
    folder = make_run(models=("none",), diverged=("none", "Gamma"))
    assert "Highest mean CCC" not in written(folder)[0]


def test_a_region_with_undefined_metrics(make_run):
    markdown, _ = written(make_run(constant="Beta"))
    row = next(line for line in markdown.splitlines() if line.startswith("| Beta |"))
    assert row.count("n/a") >= 6
    assert "CCC, R2, RPIQ undefined because the observed values are all the same: Beta (all models)." in markdown


def test_all_diverged(make_run):
    folder = make_run(regions=("A", "B"), models=("ann",), diverged=("ann", "A"))
    arrays = dict(np.load(folder / "reconstructions.npz"))
    arrays["reconstructed"][:] = np.nan
    np.savez(folder / "reconstructions.npz", **arrays)
    assert "diverged" in written(folder)[0]


def test_baselines_alone(make_run):
    folder = make_run(models=("plsr",), regions=("A", "B"))
    (folder / "timing.json").unlink()
    (folder / "data.json").unlink()
    (folder / "config.json").write_text('{"experiment": "region_out"}')
    (folder / "env.json").write_text("{}")
    markdown, _ = written(folder)
    assert "No model of this run reconstructs spectra." in markdown
    assert "## Convergence" not in markdown and "## Time" not in markdown
    assert "did not record its command" in markdown
    assert "not parted into problematic" in markdown


def test_seventeen_regions_and_seeds(make_run):
    names = tuple(str(number) for number in range(1, 19) if number != 17)
    markdown, _ = written(make_run(regions=names, seeds=2, n=20, models=("plsr", "none", "ann")))
    order = [line.split("|")[1].strip() for line in markdown.splitlines() if re.match(r"\| \d+ \|", line)]
    assert order[:17] == list(names)
    assert "mean of 2 seeds" in markdown


def test_exposure_is_stated_per_trial(make_run):
    sentence = "all spectra of the region and the labels of 5 of its pedons"
    markdown, _ = written(make_run(exposure=sentence))
    assert f"Encoder + ANN decoder: {sentence}." in markdown
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


def test_reports_repeat_to_the_byte(make_run):
    folder = make_run()
    first = [path.read_bytes() for path in (write_report(folder), folder / "report.md")]
    assert first == [path.read_bytes() for path in (write_report(folder), folder / "report.md")]


def test_blocks_follow_the_papers_rule(make_run):
    folder = make_run(regions=("A", "B", "C"), models=("plsr", "none", "ann"), seeds=2)
    frame = read_results(folder / "results.csv")
    chosen = (frame["metric"] == "r2") & (frame["scale"] == "percent") & (frame["split"] == "test")
    frame.loc[chosen, "value"] = -1.0
    # One seed of one network above zero, and a baseline that does not count.
    frame.loc[chosen & (frame["region"] == "B") & (frame["model"] == "ann") & (frame["seed"] == 1), "value"] = 0.1
    frame.loc[chosen & (frame["region"] == "A") & (frame["model"] == "plsr"), "value"] = 0.9
    frame.loc[chosen & (frame["region"] == "C") & (frame["model"] != "plsr"), "value"] = np.nan
    frame.to_csv(folder / "results.csv", index=False, na_rep="nan")
    assert region_blocks(read_run(folder)) == {
        "all": ["A", "B", "C"],
        "problematic": ["A"],
        "generalising": ["B"],
    }


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
    folder = make_run()
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
    arrays = dict(np.load(folder / "reconstructions.npz"))
    np.savez(folder / "reconstructions.npz", **{**arrays, "axis": arrays["axis"][1:]})
    with pytest.raises(DataError, match=r"reconstructions\.npz: spectra are not"):
        write_report(folder)
