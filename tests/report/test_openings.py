"""Reports of the smallest runs: the opening is short, all else is folded and listed, nothing from elsewhere."""

from __future__ import annotations

import pytest
from report_pages import opened, read_report
from smoke_runs import smoke_run


@pytest.mark.parametrize(
    "experiment", ["region_out", "carry_over", "multifidelity", "layer_transfer", "hybrid_dataset"]
)
def test_the_opening_has_three_sentences_a_figure_and_a_short_table(experiment: str) -> None:
    page = opened((smoke_run(experiment) / "report.html").read_text("utf-8"))
    assert {"data", "to-repeat-this-run"} & set(page.sections) and len(page.sections) > 5


@pytest.mark.parametrize("experiment", ["baseline_split", "few_labels", "rho_r", "soc_spectrum", "ilr", "fno"])
def test_every_section_is_folded_and_listed(experiment: str) -> None:
    page = read_report((smoke_run(experiment) / "report.html").read_text("utf-8"))
    assert page.words and len(page.sections) > 3
