"""The alarm section: numbers equal to the evaluation's, undefined cases in words, figures drawn for all of them."""

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from alarm_samples import make_samples

from jaxsoil.evaluation.alarm import alarm_tables, area_rows, curve_rows
from jaxsoil.report.document import Document
from jaxsoil.report.style import looks
from jaxsoil.studies.reconstruction import summaries
from jaxsoil.studies.reconstruction.report.alarm import alarm_section, roc_curves, score_by_region
from jaxsoil.studies.reconstruction.report.reading import MODEL_LABELS, model_label, read_run

REGIONS = ("A", "B", "C", "D", "E", "F", "G", "H")


def section(run):
    document = Document("t", run.path)
    styles = looks({model: model_label(model) for model in run.models}, order=tuple(MODEL_LABELS))
    alarm_section(document, run, styles)
    return document.markdown()


def with_samples(make_run, samples, **options):
    folder = make_run(regions=REGIONS, models=("none", "ann"), **options)
    samples.to_parquet(folder / "samples.parquet", index=False)
    summaries.write(folder, (summaries.alarms,))
    return read_run(folder)


def test_numbers_are_the_evaluations(make_run):
    samples = make_samples(REGIONS, failing=("B", "D", "G"), seeds=2)
    text = section(with_samples(make_run, samples))
    areas = area_rows(alarm_tables(samples)).set_index(["model", "failure", "alarm"])
    area = areas.loc[("ann", "fail_percent", "spectrum_rmse")]
    expected = f"{area.auroc:.2f} ({area.low:.2f} to {area.high:.2f})"
    counted = f"{area.failures:,} of {area.units:,}"
    assert f"| Encoder + ANN decoder | Sample: error in % | {counted} | {expected} |" in text
    assert "| Encoder | Region: R2 &lt; 0 | 6 of 16 | no decoder | 1.00 (1.00 to 1.00; p = 0.036) |" in text
    assert "Encoder + ANN decoder: 1.00 (1.00 to 1.00; p = 0.036), above chance." in text
    assert "Region: R2 &lt; 0, in at least one seed: Encoder: B, D, G; Encoder + ANN decoder: B, D, G." in text
    assert len(re.findall(r"\]\(figures/alarm_[^)]+\)", text)) == 2


def test_nothing_failed_is_said_in_words(make_run):
    text = section(with_samples(make_run, make_samples(REGIONS, n=200)))
    assert "| Encoder + ANN decoder | Region: R2 &lt; 0 | 0 of 8 | undefined (nothing failed) |" in text
    assert "Encoder + ANN decoder: undefined (nothing failed)" in text


@pytest.mark.parametrize(
    ("raised", "said"),
    [(0.1, "below chance: it falls where the model fails."), (None, "not distinguishable from chance.")],
)
def test_the_verdict_names_an_alarm_that_misleads(make_run, raised, said):
    samples = make_samples(REGIONS, failing=("B", "D", "G"), visible=False, n=5)
    if raised:
        failing = samples["row_region"].isin(["B", "D", "G"]) & (samples["split"] == "test")
        samples.loc[failing, "spectrum_rmse"] *= raised
    assert f", {said} Highest of the three" in section(with_samples(make_run, samples))


def test_two_failing_regions_have_no_interval(make_run):
    text = section(with_samples(make_run, make_samples(REGIONS, failing=("B", "C"))))
    # Two of eight regions can be drawn in 28 ways, of which the most uneven two have p = 2/28.
    assert "| 2 of 8 | 1.00 (no interval; p = 0.071) |" in text
    assert "not distinguishable from chance (2 failing against 6 other regions can give no p below 0.071)" in text


def test_the_verdict_of_seven_regions_is_that_of_the_exact_test(make_run):
    names = REGIONS[:7]
    samples = make_samples(names, failing=names[:4], visible=False, n=5)
    failing = samples["row_region"].isin(names[:4]) & (samples["split"] == "test")
    samples.loc[failing, "spectrum_rmse"] *= 0.1
    text = section(with_samples(make_run, samples))
    # The bootstrap interval leaves out 0.5, but four regions against three cannot be told from chance.
    verdict = next(line for line in text.splitlines() if line.startswith("AUROC of the reconstruction error"))
    assert "Encoder + ANN decoder: 0.00 (0.00 to 0.00; p = 0.057), not distinguishable from chance" in verdict
    assert "below chance" not in verdict
    assert "The independent unit is the region" in text


def test_thresholds_say_what_they_are_from(make_run):
    samples = make_samples(REGIONS, failing=("B", "D", "G"))
    text = section(with_samples(make_run, samples))
    assert "training regions only, the third from the other regions, scored by networks that were trained on" in text
    regions = alarm_tables(samples).regions.query("model == 'ann'")
    share = 100.0 * (regions["score_spectrum_rmse"] > regions["limit_spectrum_rmse"]).mean()
    assert f"Regions flagged: Reconstruction error: Encoder + ANN decoder {share:.0f} %;" in text


def test_diverged_trials_are_named(make_run):
    samples = make_samples(REGIONS)
    samples.loc[(samples["model"] == "ann") & (samples["region"] == "C"), "predicted"] = np.nan
    assert "Left out: ann, region C, seed 0: diverged." in section(with_samples(make_run, samples))
    samples["predicted"] = np.nan
    assert "No trial is left to measure an alarm on." in section(with_samples(make_run, samples))


def test_a_run_without_samples_says_so(make_run):
    folder = make_run(models=("plsr",), regions=("A", "B"))
    assert "no alarm was measured" in section(read_run(folder))


def test_encoder_alone(make_run):
    folder = make_run(regions=REGIONS, models=("none",))
    make_samples(REGIONS, models=("none",), failing=("A",)).to_parquet(folder / "samples.parquet")
    summaries.write(folder, (summaries.alarms,))
    text = section(read_run(folder))
    assert "only the other two alarms are measured" in text
    assert "Reconstruction error | 95th" not in text


@pytest.fixture
def styles():
    return looks({name: name for name in ("none", "ann")})


def test_figure_names_failing_regions_and_leaves_out_undefined_ones(styles):
    rows = make_samples(REGIONS, failing=("B", "D"))
    rows.loc[rows["row_region"] == "C", "observed"] = 1.0
    figure = score_by_region(alarm_tables(rows).regions, styles)
    texts = {text.get_text() for axis in figure.axes for text in axis.texts}
    assert texts == {"B", "D"}
    assert all(np.isfinite(axis.get_ylim()).all() for axis in figure.axes)


def test_figures_of_nothing(styles):
    none_failed = alarm_tables(make_samples(("A", "B"), n=400, models=("ann",)))
    figure = score_by_region(none_failed.regions, styles)
    points = [np.size(line.get_xdata()) for line in figure.axes[0].lines if line.get_marker() not in ("None", "")]
    assert sum(points) == 2 and not figure.axes[0].texts  # a point for each region, and no region is named
    quiet = none_failed.samples.assign(fail_percent=0.0, fail_log10=0.0)
    calm = none_failed.regions.assign(fail_r2=0.0, fail_rmse=0.0, fail_rmse_log10=0.0)
    tables = type(none_failed)(pd.DataFrame(calm), pd.DataFrame(quiet), ())
    assert roc_curves(area_rows(tables), curve_rows(tables), styles) is None


def test_roc_figure_has_a_panel_for_each_model_and_failure(styles):
    tables = alarm_tables(make_samples(REGIONS, failing=("B", "D", "G")))
    areas = area_rows(tables)
    figure: Any = roc_curves(areas, curve_rows(tables), styles)
    failures = set(areas["failure"][np.isfinite(areas["auroc"])])
    assert len(figure.axes) == 2 * len(failures)
    shown = [text.get_text() for text in figure.axes[len(failures)].texts]
    area = areas.query("model == 'ann' and failure == 'fail_r2' and alarm == 'spectrum_rmse'").iloc[0]
    assert f"{area['auroc']:.2f}" in shown
