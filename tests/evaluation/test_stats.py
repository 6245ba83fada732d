"""t-tests against SciPy on arrays and against the published values."""

from typing import Any

import numpy as np
import pytest
import scipy.stats

from jaxsoil.evaluation.stats import (
    Summary,
    describe,
    student_t,
    student_t_from_summary,
    welch_t,
    welch_t_from_summary,
)
from jaxsoil.runs.errors import DataError

PROBLEMATIC, GENERALISING = 24, 44  # regions x seeds: 6 x 4 and 11 x 4


@pytest.mark.parametrize(
    ("decoder", "hard", "easy", "published"),
    [("ANN", (4.984, 0.338), (3.358, 0.179), 4.681), ("physics", (4.987, 0.342), (3.371, 0.166), 4.789)],
)
def test_published_t_values_are_students_on_single_runs(decoder, hard, easy, published):
    """Validation MRMSE of Table 2; the paper calls the test Welch's, which would give 4.25."""
    first, second = Summary(PROBLEMATIC, *hard), Summary(GENERALISING, *easy)
    student, welch = student_t_from_summary(first, second), welch_t_from_summary(first, second)
    assert round(student.t, 3) == published
    assert student.dof == 66
    assert student.p < 1e-4
    assert round(welch.t, 2) == 4.25
    assert welch.p == pytest.approx(1.5e-4, abs=0.1e-4)


def test_arrays_agree_with_scipy():
    rng = np.random.default_rng(1)
    first, second = rng.normal(1.0, 3.0, size=6), rng.normal(0.0, 1.0, size=11)
    for ours, equal_var in ((student_t(first, second), True), (welch_t(first, second), False)):
        expected: Any = scipy.stats.ttest_ind(first, second, equal_var=equal_var)
        assert ours.t == pytest.approx(expected.statistic, rel=1e-10)
        assert ours.p == pytest.approx(expected.pvalue, rel=1e-10)
        assert ours.dof == pytest.approx(expected.df, rel=1e-10)


@pytest.mark.parametrize("sample", [[1.0], [1.0, np.nan], [[1.0, 2.0]], []])
def test_samples_that_cannot_be_tested_are_refused(sample):
    with pytest.raises(DataError, match="two or more finite values"):
        welch_t(sample, [1.0, 2.0])


def test_summaries_that_cannot_be_tested_are_refused():
    with pytest.raises(DataError, match="standard error of at least 0"):
        Summary(5, 1.0, -0.1)
    with pytest.raises(DataError, match="neither sample varies"):
        student_t([1.0, 1.0], [2.0, 2.0])


def test_description_by_hand():
    # 0, 0, 0, 4: mean 1, squared deviations 1 1 1 9, third moment (-3 + 27) / 4 = 6, fourth (3 + 81) / 4 = 21.
    found = describe([0.0, 0.0, 0.0, 4.0, float("nan")])
    assert found["n"] == 4 and (found["min"], found["mean"], found["max"]) == (0.0, 1.0, 4.0)
    assert found["sd"] == pytest.approx(2.0)
    assert found["skewness"] == pytest.approx(6.0 / 3.0**1.5)
    assert found["kurtosis"] == pytest.approx(21.0 / 9.0)


def test_description_of_little():
    assert describe([])["n"] == 0 and np.isnan(describe([])["mean"])
    one = describe([2.0])
    assert one["mean"] == 2.0 and np.isnan(one["sd"])
    assert np.isnan(describe([2.0, 2.0])["skewness"])
    with pytest.raises(DataError, match="one dimension"):
        describe([[1.0]])
