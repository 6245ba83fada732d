"""The report of the random split on synthetic run folders."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from reconstruction_run import write_run
from scipy import stats

from jaxsoil.evaluation.results import over_regions, read_results
from jaxsoil.report.tables import number, plus_minus
from jaxsoil.runs.errors import DataError
from jaxsoil.studies.reconstruction import summaries
from jaxsoil.studies.reconstruction.baseline_split import draw_averages, draw_intervals, parting_of
from jaxsoil.studies.reconstruction.config import BY_ROW
from jaxsoil.studies.reconstruction.report import baseline_split
from jaxsoil.studies.reconstruction.report.baseline_split import by_parting, write_report
from jaxsoil.studies.reconstruction.report.reading import model_label, read_run
from jaxsoil.studies.reconstruction.tables import OWN, read_main

DRAWS = ("draw 1", "draw 2", "draw 3")
BOTH = (*DRAWS, *(draw + BY_ROW for draw in DRAWS))
MODELS = ("plsr", "none", "ann", "physics")


def written(folder):
    draws = pd.DataFrame({"region": sorted(set(read_results(folder / "results.csv", OWN)["region"]))})
    draws["parting"] = [parting_of(name) for name in draws["region"]]
    draws = draws.assign(train=60, test=40, shared=0.0)
    draws.to_csv(folder / "draws.csv", index=False)
    summaries.write(folder, [lambda _: draw_averages(read_results(folder / "results.csv", OWN), draws)])
    draw_intervals(read_main(folder), draws).to_csv(folder / "draw_intervals.csv", index=False)
    page = write_report(folder)
    assert page == folder / "report.html"
    return (folder / "report.md").read_text("utf-8")


def mean_of(folder, model, metric, rows):
    frame = read_results(folder / "results.csv", OWN)
    frame = frame[frame["region"].str.endswith(BY_ROW) == rows]
    chosen = frame.query(f"model == '{model}' and split == 'test' and scale == 'percent' and metric == '{metric}'")
    overall = over_regions(chosen, overlap=40 / 60).query("seed == 'all'").iloc[0]
    return float(overall["mean"]), float(overall["se"])


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A run with draws of both kinds, and its report; for tests that read and do not write."""
    folder = write_run(tmp_path_factory.mktemp("both") / "run", regions=BOTH, models=MODELS)
    return folder, written(folder)


@pytest.fixture
def quiet(monkeypatch):
    """Reports without figures, for tests of what is written."""
    monkeypatch.setattr(baseline_split, "_figures", lambda *_: None)


def test_table_1_stands_beside_ours(both):
    folder, text = both
    assert "| No decoder | paper | 0.827 ± 0.028 | 0.988 ± 0.001 | 0.012 ± 0.021 | n/a | 2.587 ± 0.034 |" in text
    for kind, rows in (("by group", False), ("by row", True)):
        line = next(line for line in text.splitlines() if line.startswith(f"| ANN decoder | here, {kind} |"))
        assert plus_minus(*mean_of(folder, "ann", "rmse", rows), 3) in line
        assert plus_minus(*mean_of(folder, "ann", "r2", rows), 3) in line
    difference = mean_of(folder, "ann", "rmse", True)[0] - mean_of(folder, "ann", "rmse", False)[0]
    line = next(line for line in text.splitlines() if line.startswith("| Encoder + ANN decoder | RMSE (%) |"))
    assert number(difference, 3) in line
    # The paper that Table 1 answers stands above it, and says with its R2 that its rows were others.
    assert "| ANN of 2016 | earlier paper | 3.590 | 0.960 |" in text
    assert "standard deviation of SOC of 18 %, the paper's 0.887 with 2.587 % one of 7.7 %" in text
    assert "times 1/n + test/train, here 1/n + 0.67, not times 1/n" in text
    links = re.findall(r"\]\((figures/[^)]+)\)", text)
    assert len(links) == 5 and all((folder / link).is_file() for link in links)
    assert "2 by group" not in text and "random splits: 3 by group and 3 by row" in text


def test_models_are_paired_by_draw_with_the_corrected_interval(both):
    folder, text = both
    frame = read_main(folder)
    frame = frame[~frame["region"].str.endswith(BY_ROW) & (frame["split"] == "test")]
    table = frame[(frame["scale"] == "log10") & (frame["metric"] == "rmse")].pivot(
        index="region", columns="model", values="value"
    )
    best, other = table.mean().idxmin(), table.mean().idxmax()
    gaps: Any = table[best] - table[other]
    half = stats.t.ppf(0.975, 2) * gaps.std(ddof=1) * (1 / 3 + 40 / 60) ** 0.5
    told = f"{number(gaps.mean(), 3)} ({number(gaps.mean() - half, 3)} to {number(gaps.mean() + half, 3)})"
    section = text.split("## Models against each other")[1].split("drawn by row")[0]
    line = next(line for line in section.splitlines() if line.startswith(f"| {model_label(str(other))} |"))
    assert told in line


def test_a_run_without_its_draws_is_refused(make_run):
    with pytest.raises(DataError, match=r"draws\.csv"):
        write_report(make_run(regions=DRAWS, models=("plsr",)))


def test_draws_are_parted(both):
    parts = by_parting(read_run(both[0]))
    assert list(parts) == ["group", "row"]
    assert parts["row"].regions == [draw + BY_ROW for draw in DRAWS]
    assert set(parts["group"].reconstructions["region"]) == set(DRAWS)
    assert parts["group"].reconstructions["axis"].size == 120
    assert len(parts["group"].trials) == len(parts["row"].trials) == 12


@pytest.mark.parametrize("draws", [DRAWS, (DRAWS[0],), tuple(draw + BY_ROW for draw in DRAWS)])
def test_one_kind_of_draw(make_run, quiet, draws):
    text = written(make_run(regions=draws, models=MODELS))
    assert "What drawing by row gains from shared pedons" not in text
    assert ("here, by row" in text) == draws[0].endswith(BY_ROW)


def test_left_out_draws_are_explained(make_run, quiet):
    folder = make_run(regions=DRAWS, models=("none",))
    config = json.loads((folder / "config.json").read_text())
    config["config"]["parting"] = ["group", "row"]
    (folder / "config.json").write_text(json.dumps(config))
    assert "No draw by row would part a group of these data" in written(folder)


def test_unconverged_and_diverged_networks_are_marked(make_run):
    text = written(make_run(regions=BOTH, models=MODELS, not_converged=("ann", "draw 2"), diverged=("none", "draw 1")))
    assert "| ANN decoder † | here, by group |" in text and "| ANN decoder | here, by row |" in text
    assert "Encoder, diverged with draw 1 held out" in text


def test_baselines_alone(make_run):
    text = written(make_run(regions=BOTH, models=("plsr",)))
    assert "| PLSR | here, by group |" in text and "No model of this run reconstructs spectra." in text


def test_reports_repeat_to_the_byte(both, tmp_path):
    folder, _ = both
    again = Path(shutil.copytree(folder, tmp_path / folder.name))
    write_report(again)
    for name in ("report.md", "report.html"):
        assert (again / name).read_bytes() == (folder / name).read_bytes()
