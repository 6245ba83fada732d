"""Reports of the smallest runs: the opening is short, all else is folded and listed, nothing from elsewhere."""

from __future__ import annotations

import pytest
from report_pages import opened, read_report
from smoke_runs import smoke_run


# The other way round than test_golden.py, which another process begins at the same time: neither waits for the runs
# that the other makes.
@pytest.mark.parametrize(
    "experiment", ["layer_transfer", "multifidelity", "hybrid_dataset", "carry_over", "region_out"]
)
def test_the_opening_has_three_sentences_a_figure_and_a_short_table(experiment: str) -> None:
    page = opened((smoke_run(experiment) / "report.html").read_text("utf-8"))
    assert {"data", "to-repeat-this-run"} & set(page.sections) and len(page.sections) > 5


@pytest.mark.parametrize(
    "experiment",
    # The report of the last two is that of multifidelity, in whose run their strategies are.
    ["baseline_split", "few_labels", "rho_r", "soc_spectrum",
     *(pytest.param(name, marks=pytest.mark.campaign) for name in ("ilr", "fno"))],
)  # fmt: skip
def test_every_section_is_folded_and_listed(experiment: str) -> None:
    page = read_report((smoke_run(experiment) / "report.html").read_text("utf-8"))
    assert page.words and len(page.sections) > 3
