"""The multi-fidelity reports on synthetic run folders: what they say, what they mark, what they survive."""

import json
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from multifidelity_run import write_multifidelity_run, write_scores
from pictures import undrawn
from report_pages import opened
from scipy.stats import ttest_rel

from jaxsoil.evaluation.results import read_results
from jaxsoil.report.document import Document
from jaxsoil.report.run_files import where
from jaxsoil.report.tables import number, plus_minus
from jaxsoil.runs.errors import DataError
from jaxsoil.studies.multifidelity.config import STRATEGIES, STRATEGY
from jaxsoil.studies.multifidelity.report import page as multifidelity
from jaxsoil.studies.multifidelity.report import published, sections
from jaxsoil.studies.multifidelity.report import scores as multifidelity_scores
from jaxsoil.studies.multifidelity.report.files import read_run
from jaxsoil.studies.multifidelity.report.published import PROPERTIES
from jaxsoil.studies.multifidelity.tables import OWN

FOUR = ("tc", "tn", "ph", "clay")
NO_PREDICTIONS = pd.DataFrame(columns=pd.Index(["seed", "strategy", "task", "set", "id", "property", "predicted"]))
SHORT: Any = {"n_test": 30, "latents": 6}


def written(module, folder):
    page = module.write_report(folder)
    assert page == folder / "report.html"
    return (folder / "report.md").read_text("utf-8"), page.read_text("utf-8")


@pytest.fixture(scope="module", autouse=True)
def words_alone():
    """One pixel for each figure: they are drawn by the smoke runs."""
    with undrawn():
        yield


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A run with everything but five of the properties, and its report."""
    folder = write_multifidelity_run(
        tmp_path_factory.mktemp("full"), properties=FOUR, not_converged="MIR-SSL-MLP", **SHORT
    )
    return folder, *written(multifidelity, folder)


def results_of(folder):
    return read_results(folder / "results.csv", OWN)


def values(table, metric, **keys):
    return where(table, metric=metric, **keys)["value"].to_numpy()


def cells(markdown, *starts):
    """Cells of the first row of a table that starts with the given ones."""
    line = next(line for line in markdown.splitlines() if line.startswith("| " + " | ".join(starts) + " |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_row_of_appendix_b_stands_beside_ours(full):
    folder, markdown, _ = full
    table = results_of(folder)
    text = markdown.split("## Appendix B beside ours")[1].split("\n## ")[0]
    rows: Any = published.APPENDIX_B.itertuples()
    for row in rows:
        name, unit = PROPERTIES[row.property]
        title = name if unit == "1" else f"{name} ({unit})"
        mark = " †" if "SSL" in row.strategy and row.property in FOUR else ""
        found = cells(text, title, row.strategy + mark)
        assert found[2::2][:2] == [number(row.rmse, 2), number(row.bias, 2)]
        assert [found[6], found[9], found[11]] == [number(v, 2) for v in (row.r2, row.ccc, row.rpiq)]
        ours = [found[place] for place in (3, 5, 7, 8, 10, 12)]
        if row.property not in FOUR:
            assert ours == ["–"] * 6
            continue
        task = "-" if row.strategy.endswith("PLSR") else "multi"
        mine = where(table, model=row.strategy, task=task, split="test", property=row.property)
        each = [values(mine, metric) for metric in ("rmse", "bias", "r2", "r2_corr", "ccc", "rpiq")]
        assert ours == [plus_minus(v.mean(), v.std(ddof=1) if v.size > 1 else None, 2) for v in each]


def test_averages_and_differences_are_the_scores(full):
    folder, markdown, _ = full
    table = where(results_of(folder), split="test", task="multi")
    networks = [name for name in STRATEGIES if not name.endswith("PLSR")]
    means = {n: np.array([values(table, "ccc", model=n, seed=s).mean() for s in range(3)]) for n in networks}
    found = cells(markdown.split("Mean over TC, TN, pH, Clay;")[1], "MIR-MLP")
    # TC, TN, pH and clay of Appendix B: 0.95, 0.93, 0.70, 0.74.
    assert found[1:3] == ["0.83", plus_minus(means["MIR-MLP"].mean(), means["MIR-MLP"].std(ddof=1), 2)]
    interval = ttest_rel(means["NIRtoMIR-MLP"], means["NIR-MLP"]).confidence_interval(0.95)
    shown = cells(markdown, "NIRtoMIR-MLP minus NIR-MLP")[2].replace("\\", "")
    gap = float(np.mean(means["NIRtoMIR-MLP"] - means["NIR-MLP"]))
    assert shown == f"{number(gap)} [{number(interval.low)}, {number(interval.high)}]"
    theirs = published.averages("ccc", FOUR)
    assert cells(markdown, "NIRtoMIR-MLP minus NIR-MLP")[4] == number(theirs["NIRtoMIR-MLP"] - theirs["NIR-MLP"], 3)


def test_every_figure_is_there_and_self_contained(full):
    folder, markdown, html = full
    links = re.findall(r"\]\((figures/[^)]+)\)", markdown)
    names = [link.removeprefix("figures/").removesuffix(".png") for link in links]
    assert names == [
        "differences", "figure_5_ccc", "figure_6_rpiq", "figure_3_latents", "figure_4_conversion",
        "conversion_uncertainty", "figure_7_internal", "distances", "label_curves", "label_curves_by_property",
        "histories",
    ]  # fmt: skip
    assert all((folder / link).is_file() for link in links)
    assert html.count("data:image/png;base64,") == len(links)
    opened(html)


def test_the_sections_say_what_was_run(full):
    _, markdown, _ = full
    for expected in (
        "Random numbers for the tests of the report",
        "| Scans for pre-training | 12,000 | 334,665 |",
        "Kendall's tau",
        "| stage1.beta | 0.001 | not published |",
        "| scans | 12000 | 334665 |",
        "| TN (%) | paper, KSSL | 51,508 |",
        "The paper counts 1,976 samples",
        "posterior samples",
        "| MIR-PLSR | 7 | 7 |",
        "SHA-256 of the content",
    ):
        assert expected.replace("_", "\\_") in markdown, expected
    assert cells(markdown, "pH", "here, test")[2] == "30"
    # Latents 4 and 6 of six were made to collapse.
    assert cells(markdown.split("## The latent space")[1], "0")[1:4] == ["4", "2", "4, 6"]


def test_daggers_follow_the_trainings_behind_a_number(full):
    folder, markdown, _ = full
    run = read_run(folder)
    doubtful = {name for name in run.strategies if run.doubtful(name)}
    # Converted spectra meet the property model of measured ones.
    assert doubtful == {"MIR-SSL-MLP", "NIRtoMIR-SSL-MLP", "NIRtoMIR-SSL-MLP-samples"}
    assert "† rests on trainings that did not converge: stage3 MIR-SSL-MLP/multi, seed 0" in markdown
    table = pd.read_csv(folder / "convergence.csv").assign(converged=True)
    cases = {
        ("stage1", "vae"): {name for name in run.strategies if "SSL" in name or name.startswith("NIRto")},
        ("stage2", "nir encoder"): {name for name in run.strategies if name.startswith("NIRto")},
        ("stage3", "NIR-MLP/multi"): {"NIR-MLP"},
        ("stage3", "NIR-MLP/single/tc"): set(),
        ("curves", "curve MIR-MLP/10 labels/0"): set(),
    }
    for (stage, label), expected in cases.items():
        run.tables["convergence"] = table.assign(stage=stage, label=label, converged=False)
        assert {name for name in run.strategies if run.doubtful(name)} == expected, label
    assert STRATEGY["NIRtoMIR-FNO-MLP"].model == "MIR-MLP" and STRATEGY["NIRtoMIR-FNO-MLP"].needs == ("FNO",)


def test_disagreements_with_the_paper_are_named(tmp_path):
    folder = write_multifidelity_run(tmp_path, properties=("tc", "ph"), optional=False, tasks=("multi",))
    table = results_of(folder)
    level = {name: 0.9 - 0.1 * place for place, name in enumerate(reversed(STRATEGIES))}
    ccc = table["metric"] == "ccc"
    table.loc[ccc, "value"] = pd.Series(table["model"]).map(level).fillna(0.95) + 0.001 * table["seed"]
    write_scores(folder, table, NO_PREDICTIONS)
    run = read_run(folder)
    order = where(run.tables["orders"], property="mean").to_dict("records")[0]
    assert order["ours"] == " > ".join(reversed(STRATEGIES)) and order["tau"] < 0.0
    listed = multifidelity_scores.disagreements(run)
    assert len(listed) == order["crossed"].count(";") + 1
    markdown, _ = written(multifidelity, folder)
    # Mean of TC and pH in Appendix B: 0.93 and 0.52.
    line = next(row for row in markdown.splitlines() if row.startswith("- NIRtoMIR-SSL-MLP is above MIR-SSL-MLP here"))
    assert line.startswith("- NIRtoMIR-SSL-MLP is above MIR-SSL-MLP here by 0.4")
    assert line.endswith("in mean CCC, below it by 0.410 in Appendix B.")
    assert "Disagreements with Appendix B in the mean over properties:" in markdown


def test_a_smoke_run_with_measured_data(tmp_path):
    """One property, no NIR, one seed, single-task, nothing optional: each section says what is missing."""
    folder = write_multifidelity_run(
        tmp_path,
        strategies=("MIR-PLSR", "MIR-MLP"),
        properties=("clay", "soc"),
        seeds=1,
        tasks=("single",),
        optional=False,
    )
    (folder / "data.json").unlink()
    (folder / "timing.json").unlink()
    (folder / "config.json").write_text('{"experiment": "multifidelity", "config": {"vae": {"beta": 0.5}}}')
    markdown, _ = written(multifidelity, folder)
    for name in (
        "latents.csv",
        "latent.npz",
        "converted.npz",
        "internal.csv",
        "distances.csv",
        "curves.csv",
        "history.csv",
    ):
        assert f"no {name}" in markdown, name
    assert "The run names none." in markdown and "networks single-task" in markdown
    assert "The run did not train both" in markdown and "no variant with several posterior samples" in markdown
    assert cells(markdown, "MIR-MLP minus MIR-PLSR")[-1].endswith("one seed")
    # The paper's rows stand although the run has none of these; a property of ours has no paper's row.
    assert cells(markdown, "pH", "NIR-MLP")[2:4] == ["0.90", "–"]
    assert cells(markdown, "SOC (%)", "MIR-PLSR")[2] == "–" and len(re.findall(r"\]\(figures/", markdown)) == 3


def test_a_measured_run_without_nir(tmp_path):
    """Optional files are there, but no pairs: empty latents, one space, no conversion."""
    names = ("MIR-PLSR", "MIR-MLP", "MIR-SSL-MLP")
    folder = write_multifidelity_run(tmp_path, strategies=names, properties=("clay", "ph"), tasks=("multi",), **SHORT)
    latent = dict(np.load(folder / "latent.npz"))
    latent |= {name: np.empty((0, 6)) for name in ("pairs_mir", "pairs_nir", "test_nir")}
    np.savez(folder / "latent.npz", allow_pickle=False, **latent)
    for name in ("converted.npz", "conversion.csv", "conversion_scores.csv", "calibration.csv", "components.csv"):
        (folder / name).unlink()
    for name in ("distances.csv", "extremes.csv"):
        table = where(pd.read_csv(folder / name), space="mir")
        table[table["set"] != "pairs"].to_csv(folder / name, index=False)
    sets = pd.read_csv(folder / "latent_sets.csv")
    sets[sets["set"].isin(("train", "test_mir"))].to_csv(folder / "latent_sets.csv", index=False)
    internal = where(pd.read_csv(folder / "internal.csv"), set="test", range="mir")
    internal.to_csv(folder / "internal.csv", index=False)
    markdown, _ = written(multifidelity, folder)
    assert "no converted.npz" in markdown and "cross-validation of MIR PLSR" in markdown
    assert "| MIR | test set |" in markdown and "| MIR | pairs |" not in markdown
    assert "| Test set, MIR | 30 |" in markdown and "Pairs, MIR" not in markdown
    internal.assign(set="other").to_csv(folder / "internal.csv", index=False)
    document = Document("Internal")
    sections.internal_section(document, read_run(folder))
    assert "neither the pairs nor the test set" in document.markdown()


def test_folds_are_not_called_seeds(tmp_path):
    options: Any = {"strategies": ("MIR-MLP",), "properties": ("clay",), "tasks": ("multi",), "optional": False}
    folder = write_multifidelity_run(tmp_path, seeds=2, fields=("a", "b"), **options)
    assert read_run(folder).replicates == "2 held-out parts of the data"


def test_ilr(tmp_path):
    strategies = ("MIR-MLP", "MIR-ILR-MLP", "NIRtoMIR-MLP", "NIRtoMIR-ILR-MLP")
    options: Any = {"properties": ("clay", "silt", "sand"), "tasks": ("multi",), "strategies": strategies}
    options["config"] = {"experiment": "ilr"}
    folder = write_multifidelity_run(tmp_path, **options, **SHORT)
    markdown, _ = written(multifidelity, folder)
    sums = pd.read_csv(folder / "texture_sums.csv").set_index("strategy")
    assert sorted(sums.index) == sorted(strategies) and set(sums["n"]) == {90}
    assert sums.loc["MIR-ILR-MLP", "gap"] < 1e-10 < sums.loc["MIR-MLP", "gap"]
    frame = where(pd.read_parquet(folder / "predictions.parquet"), strategy="MIR-MLP", set="test")
    each = pd.Series(frame.groupby(["seed", "id"])["predicted"].sum())
    assert sums.loc["MIR-MLP", "mean"] == pytest.approx(each.mean())
    assert sums.loc["MIR-MLP", "p75"] == pytest.approx(each.quantile(0.75))
    assert cells(markdown.split("## What clay, silt and sand sum to")[1], "MIR-ILR-MLP")[1:3] == ["100.00", "0.00"]
    assert "The paper's claim, better with ILR, holds here for" in markdown
    assert "this is a fault" not in markdown and "figures/figure_8_ilr.png" in markdown
    frame = pd.read_parquet(folder / "predictions.parquet")
    frame["predicted"] *= 1.01
    write_scores(folder, results_of(folder), frame)
    assert "Sums of MIR-ILR-MLP, NIRtoMIR-ILR-MLP miss 100 %" in written(multifidelity, folder)[0]


def test_fno(tmp_path):
    folder = write_multifidelity_run(
        tmp_path, strategies=("NIRtoMIR-MLP", "NIRtoMIR-FNO-MLP"), properties=("tc", "ph"), tasks=("multi",),
        config={"experiment": "fno"}, **SHORT,
    )  # fmt: skip
    table = results_of(folder)
    table.loc[(table["model"] == "NIRtoMIR-FNO-MLP") & (table["metric"] == "ccc"), "value"] -= 0.5
    write_scores(folder, table, NO_PREDICTIONS)
    markdown, _ = written(multifidelity, folder)
    assert "Here it is below the MLP for 2 of 2 (TC, pH), clearly so for TC, pH." in markdown
    assert "figures/figure_c9_ccc.png" in markdown


def test_damaged_files_are_named(tmp_path):
    folder = write_multifidelity_run(tmp_path, strategies=("MIR-PLSR",), properties=("clay",), optional=False)
    table = (folder / "results.csv").read_text()
    cases = {
        "results.csv": [
            ("seed,model\n0,a\n", "wrong columns"),
            (table + table.splitlines()[1] + "\n", "repeat the key"),
            (table.replace("MIR-PLSR", "MIR-PSLR"), "not a strategy of this study"),
        ],
        "latents.csv": [("seed\n0\n", "columns are missing: kl, latent, active")],
        "config.json": [("[]", "not a JSON object"), ("{", "not JSON")],
    }
    for name, contents in cases.items():
        before = (folder / name).read_text() if (folder / name).exists() else None
        for content, message in contents:
            (folder / name).write_text(content)
            with pytest.raises(DataError, match=message) as caught:
                read_run(folder)
            assert name in str(caught.value)
        if before is None:
            (folder / name).unlink()
        else:
            (folder / name).write_text(before)
    np.savez(folder / "xi.npz", wavenumber=np.ones(3))
    with pytest.raises(DataError, match="arrays are missing: xi"):
        read_run(folder)
    whole = (folder / "xi.npz").read_bytes()
    (folder / "xi.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"xi\.npz.*Delete this file.*--resume"):
        read_run(folder)
    (folder / "xi.npz").unlink()
    (folder / "results.csv").rename(folder / "scores.csv")
    with pytest.raises(DataError, match=r"scores\.csv: this run was made by an earlier version\. Run again with"):
        read_run(folder)
    (folder / "scores.csv").unlink()
    with pytest.raises(DataError, match="Finish the run first"):
        multifidelity.write_report(folder)


def test_names_from_data_stay_text(tmp_path):
    nasty = "<img src=x onerror=alert(1)>|a"
    folder = write_multifidelity_run(
        tmp_path, strategies=("MIR-PLSR", "MIR-MLP"), properties=("clay", nasty), seeds=2, tasks=("multi",),
        optional=False,
        data={"name": nasty, "notes": [nasty]}, config={"ours": [[nasty, nasty, nasty]]},
    )  # fmt: skip
    markdown, html = written(multifidelity, folder)
    assert "<img src=x" not in html and "<img src=x" not in markdown
    assert json.loads((folder / "data.json").read_text())["name"] == nasty
