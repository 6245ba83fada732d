"""The paper's test: is the validation MRMSE of problematic regions higher than that of generalising ones?"""

from __future__ import annotations

import math

from jaxsoil.evaluation.compare import Summary, TTest, t_test
from jaxsoil.evaluation.regions import BY_REGION, STUDENT, TESTS, WELCH, block_tests
from jaxsoil.report.document import Document
from jaxsoil.report.tables import Table, number
from jaxsoil.studies.reconstruction.report import published, sections
from jaxsoil.studies.reconstruction.report.reading import Run

_PUBLISHED_RUNS = {"problematic": 24, "generalising": 44}

Results = dict[str, TTest | None]


def our_tests(run: Run, model: str, blocks: dict[str, list[str]]) -> Results:
    """The three tests on the MRMSE of the held-out regions, problematic against generalising.

    Args:
      run: the run.
      model: a model that reconstructs spectra.
      blocks: regions by block (``region_out.region_blocks``).

    Returns:
      None for a test without an answer: fewer than two regions in a set, or no variance.
    """
    found = block_tests(run.results, (model,), blocks).set_index("test")
    tests = {name: TTest(*found.loc[name, ["t", "dof", "p"]].astype(float)) for name in TESTS}
    return {name: test if math.isfinite(test.t) else None for name, test in tests.items()}


def published_tests(model: str) -> Results:
    """Student and Welch from the published means and standard errors; region means were not published."""
    samples = []
    for block, count in _PUBLISHED_RUNS.items():
        line = next(row for row in published.rows(2, block) if row.model == model)
        samples.append(Summary(count, line.test["mrmse"].mean, line.test["mrmse"].se))
    return {STUDENT: t_test(*samples, pooled=True), WELCH: t_test(*samples, pooled=False), BY_REGION: None}


def ttest_section(document: Document, run: Run, blocks: dict[str, list[str]]) -> None:
    """Adds the table of the three tests, ours beside the published summaries'; nothing without networks."""
    if not any(model in published.MODELS for model in run.models):
        return
    document.heading("Is the reconstruction error higher where SOC fails?")
    rows = []
    for model, printed in published.T_TESTS.items():
        ours = our_tests(run, model, blocks) if model in run.models else {}
        theirs = published_tests(model)
        for name in TESTS:
            label = sections.marked(published.MODELS[model], run, model)
            shown = number(printed, 3) if name == STUDENT else ""
            rows.append((label, name, *_cells(theirs[name]), shown, *_cells(ours.get(name))))
    header = ("Model", "Test", "t, paper's summaries", "dof", "p", "t, printed", "t, here", "dof", "p")
    counts = {name: len(blocks[name]) for name in ("problematic", "generalising")}
    notes = (
        "Two-tailed; t is positive where problematic regions have the higher MRMSE. The paper calls its test Welch's, "
        "but prints the values of Student's test with pooled variance on 24 and 44 runs.",
        "Runs of one region share their data: only the region means (seeds averaged) are independent.",
        f"Here {counts['problematic']} problematic and {counts['generalising']} generalising regions; a test is not "
        "available where a set has fewer than two regions, and the paper gives no region means.",
        *sections.dagger_notes(run, published.T_TESTS),
    )
    caption = "Validation MRMSE of problematic against generalising regions, three t-tests."
    document.table(Table(caption, header, tuple(rows), notes, left=(0, 1)))


def _cells(result: TTest | None) -> tuple[str, str, str]:
    if result is None:
        return ("not available", "", "")
    p = "< 0.0001" if result.p < 1e-4 else number(result.p, 4)
    return (number(result.t, 3), number(result.dof, 1), p)
