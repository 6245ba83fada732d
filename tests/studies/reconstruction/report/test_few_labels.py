"""The report of the study with few labels: what is in-sample says so, and what each number used is told by stage."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from reconstruction_run import write_run
from scipy import stats

from jaxsoil.evaluation.results import read_results, write_results
from jaxsoil.report.figures import metric_by_region
from jaxsoil.studies.reconstruction import summaries
from jaxsoil.studies.reconstruction.few_labels import SUMMARIES
from jaxsoil.studies.reconstruction.report import few_labels
from jaxsoil.studies.reconstruction.report.few_labels import write_report
from jaxsoil.studies.reconstruction.tables import OWN

REGIONS = ("Alpha", "Beta", "Gamma")
TRAIN = {"epochs": 60, "keep": "best", "patience": 25, "validation_share": 0.1}
TUNE = {"epochs": 25, "keep": "last", "patience": 0, "validation_share": 0.0}


def write_stages(folder):
    """A run with both stages: the default run twice, the second with a smaller reconstruction error."""
    config = {
        "config": {"train": TRAIN, "finetune": TUNE, "adaptation_pedons": 5},
        "convergence_by_stage": {"before": "Criterion one.", "after": "Criterion two."},
    }
    stages = ("before", "after")
    parts = [write_run(folder / stage, regions=REGIONS, models=("plsr", "none", "ann"), seeds=2) for stage in stages]
    tables = {name: [] for name in ("results", "trials", "history", "predictions")}
    arrays = []
    for stage, part in zip(stages, parts, strict=True):
        study = f"few_labels/{stage}"
        results = read_results(part / "results.csv", OWN).assign(study=study)
        results.loc[results["metric"] == "mrmse", "value"] *= 1.0 if stage == "before" else 0.5
        tables["results"].append(results)
        for name in ("trials", "history"):
            frame = pd.read_csv(part / f"{name}.csv")
            tables[name].append(frame.assign(trial=f"{stage}/" + frame["trial"]))
        tables["predictions"].append(pd.read_parquet(part / "predictions.parquet").assign(study=study))
        stored = dict(np.load(part / "reconstructions.npz"))
        arrays.append(stored | {"study": np.full(stored["model"].size, study)})
    joined = {name: pd.concat(frames, ignore_index=True) for name, frames in tables.items()}
    write_results(folder / "results.csv", joined["results"], OWN)
    joined["trials"].to_csv(folder / "trials.csv", index=False)
    joined["history"].to_csv(folder / "history.csv", index=False)
    joined["predictions"].to_parquet(folder / "predictions.parquet", index=False)
    names = [name for name in arrays[0] if name != "axis"]
    both: dict[str, Any] = {name: np.concatenate([part[name] for part in arrays]) for name in names}
    np.savez(folder / "reconstructions.npz", axis=arrays[0]["axis"], **both)
    for name in ("env.json", "data.json", "timing.json"):
        shutil.copy(parts[0] / name, folder / name)
    content = json.loads((parts[0] / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(content | config))
    for part in parts:
        shutil.rmtree(part)
    summaries.write(folder, SUMMARIES)
    return folder


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """A run with both stages; for tests that read."""
    return write_stages(tmp_path_factory.mktemp("few"))


@pytest.fixture(scope="module")
def report(stages):
    """The report's Markdown and the labels of its figures by region; for tests that read."""
    folder, labels = stages, []

    def drawn(dots, styles, *, label, **options):
        labels.append(label)
        return metric_by_region(dots, styles, label=label, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(few_labels.figures, "metric_by_region", drawn)
        write_report(folder)
    return (folder / "report.md").read_text("utf-8"), labels


def test_changes_are_those_of_the_scores(stages, report):
    frame = read_results(stages / "results.csv", OWN)
    chosen = (frame["model"] == "ann") & (frame["metric"] == "mrmse") & (frame["split"] == "test")
    means = pd.Series(frame[chosen].groupby(["study", "region"])["value"].mean()).unstack("study")
    change = means["few_labels/after"] - means["few_labels/before"]
    low, high = stats.ttest_1samp(change, 0.0).confidence_interval(0.95)
    told = f"| {change.mean():.2f} ({low:.2f} to {high:.2f}) |".replace("-", "−")
    text = report[0].split("## What fine-tuning changes")[1]
    assert told in next(line for line in text.splitlines() if line.startswith("| Encoder + ANN decoder |"))


def test_the_reconstruction_error_after_fine_tuning_is_labelled_in_sample_wherever_it_is_read(report):
    text, labels = report
    headers = [line for line in text.splitlines() if line.startswith(("| Stage | Model | Source", "| Region | n |"))]
    assert len(headers) == 4
    assert headers[0].endswith("| MRMSE (%), held out (fine-tuned: in-sample) |")
    assert all(line.endswith("| MRMSE (%), fine-tuned, in-sample |") for line in headers[1:])
    assert [label for label in labels if "MRMSE" in label] == [
        "Change of MRMSE on fine-tuning, in-sample after − before (% reflectance)"
    ]
    caption = "Change of the reconstruction error by held-out region, in-sample after fine-tuning."
    assert caption in text


def test_what_each_number_used_is_told_by_stage(report):
    text, _ = report
    for line in (
        "| SOC scores, pre-trained | through the finished model | those of the other pedons, to score |",
        "| MRMSE, fine-tuned | all of them, to train and to score (in-sample) | labels of 5 pedons, to train |",
        "| Choice of the epoch, pre-trained | none: rows of the other regions only | none |",
        "| Choice of the epoch, fine-tuned | none: the last of 25 epochs, set beforehand | none |",
    ):
        assert line in text, line
    # Without soc_spectra.npz nothing was learned of f_SOC.
    assert "f\\_SOC and (rho r)\\_SOC, fine-tuned" not in text
    note = "Training scores of networks include the rows set aside for early stopping"
    assert f"Pre-trained: {note}" in text and f"Fine-tuned: {note}" not in text


@pytest.mark.parametrize(
    ("tune", "spectra"),
    [
        ({**TUNE, "keep": "best"}, "all of them, in the training loss"),
        ({**TUNE, "patience": 5, "validation_share": 0.2}, "those of some of the pedons that fine-tune"),
    ],
)
def test_an_epoch_chosen_on_the_held_out_region_says_so(stages, tmp_path, monkeypatch, tune, spectra):
    monkeypatch.setattr(few_labels, "_figures", lambda *_: None)
    folder = Path(shutil.copytree(stages, tmp_path / "run"))
    content = json.loads((folder / "config.json").read_text())
    content["config"]["finetune"] = tune
    (folder / "config.json").write_text(json.dumps(content))
    write_report(folder)
    assert f"| Choice of the epoch, fine-tuned | {spectra} | labels of " in (folder / "report.md").read_text("utf-8")
