"""The paper's test: is the validation MRMSE of problematic regions higher than that of generalising ones?"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from jaxsoil.evaluation.stats import (
    Summary,
    TTest,
    student_t,
    student_t_from_summary,
    welch_t,
    welch_t_from_summary,
)
from jaxsoil.report.document import Document
from jaxsoil.report.files import where
from jaxsoil.report.tables import Table, number
from jaxsoil.runs.errors import DataError
from jaxsoil.studies.reconstruction.report import published, sections
from jaxsoil.studies.reconstruction.report.reading import Run

STUDENT, WELCH, BY_REGION = "Student, runs", "Welch, runs", "Welch, region means"
TESTS = (STUDENT, WELCH, BY_REGION)
_PUBLISHED_RUNS = {"problematic": 24, "generalising": 44}

Results = dict[str, TTest | None]


def our_tests(run: Run, model: str, blocks: dict[str, list[str]]) -> Results:
    """The three tests on the MRMSE of the held-out regions, problematic against generalising.

    Args:
      run: the run.
      model: a model that reconstructs spectra.
      blocks: regions by block (``region_out.region_blocks``).

    Returns:
      None for a test without an answer: fewer than two regions in a set, or no spread.
    """
    rows = where(run.results, model=model, scale="reflectance", metric="mrmse", split="test").to_dict("records")
    by_region: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if math.isfinite(float(row["value"])):
            by_region[str(row["region"])].append(float(row["value"]))
    sets = [[by_region[r] for r in blocks[name] if r in by_region] for name in ("problematic", "generalising")]
    if min(len(regions) for regions in sets) < 2:
        # Seeds of a single region would only measure how its trainings scatter.
        return dict.fromkeys(TESTS)
    runs = [[value for values in regions for value in values] for regions in sets]
    means = [[float(np.mean(values)) for values in regions] for regions in sets]
    return {
        STUDENT: _attempt(student_t, *runs),
        WELCH: _attempt(welch_t, *runs),
        BY_REGION: _attempt(welch_t, *means),
    }


def published_tests(model: str) -> Results:
    """Student and Welch from the published means and standard errors; region means were not published."""
    samples = []
    for block, count in _PUBLISHED_RUNS.items():
        line = next(row for row in published.rows(2, block) if row.model == model)
        samples.append(Summary(count, line.test["mrmse"].mean, line.test["mrmse"].se))
    return {STUDENT: student_t_from_summary(*samples), WELCH: welch_t_from_summary(*samples), BY_REGION: None}


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


def _attempt(test: Callable[[ArrayLike, ArrayLike], TTest], first: list[float], second: list[float]) -> TTest | None:
    try:
        return test(first, second)
    except DataError:
        return None


def _cells(result: TTest | None) -> tuple[str, str, str]:
    if result is None:
        return ("not available", "", "")
    p = "< 0.0001" if result.p < 1e-4 else number(result.p, 4)
    return (number(result.t, 3), number(result.dof, 1), p)
