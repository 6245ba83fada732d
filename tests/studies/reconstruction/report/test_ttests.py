"""The three t-tests of the reports against SciPy, and where they have no answer."""

from typing import Any

import numpy as np
import pytest
from reconstruction_run import write_run
from scipy.stats import ttest_ind

from jaxsoil.evaluation.results import read_results
from jaxsoil.report.document import Document
from jaxsoil.studies.reconstruction.report.reading import read_run
from jaxsoil.studies.reconstruction.report.ttests import (
    BY_REGION,
    STUDENT,
    TESTS,
    WELCH,
    our_tests,
    published_tests,
    ttest_section,
)

REGIONS = ("A", "B", "C", "D", "E")
BLOCKS = {"all": list(REGIONS), "problematic": ["A", "B"], "generalising": ["C", "D", "E"]}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A run that tests read and do not change."""
    folder = tmp_path_factory.mktemp("ttests") / "run"
    return read_run(write_run(folder, regions=REGIONS, models=("none", "ann"), seeds=2))


def mrmse(run, model):
    frame = run.results
    rows = frame[(frame["model"] == model) & (frame["metric"] == "mrmse") & (frame["split"] == "test")]
    return rows.pivot(index="region", columns="seed", values="value")


def test_ours_are_scipys(make_run):
    run = read_run(make_run(regions=REGIONS, models=("none", "ann", "physics"), seeds=3))
    for model in ("ann", "physics"):
        table = mrmse(run, model)
        hard, easy = table.loc[["A", "B"]].to_numpy(), table.loc[["C", "D", "E"]].to_numpy()
        found = our_tests(run, model, BLOCKS)
        for name, first, second, equal in (
            (STUDENT, hard.ravel(), easy.ravel(), True),
            (WELCH, hard.ravel(), easy.ravel(), False),
            (BY_REGION, hard.mean(axis=1), easy.mean(axis=1), False),
        ):
            test = found[name]
            expected: Any = ttest_ind(first, second, equal_var=equal)
            assert test is not None
            assert (test.t, test.p, test.dof) == pytest.approx((expected.statistic, expected.pvalue, expected.df))


def test_the_published_values_follow_from_the_published_summaries():
    for model, t in (("ann", 4.681), ("physics", 4.789)):
        found = published_tests(model)
        student, welch = found[STUDENT], found[WELCH]
        assert student is not None and welch is not None and found[BY_REGION] is None
        assert (round(student.t, 3), round(welch.t, 2)) == (t, 4.25)


@pytest.mark.parametrize("problematic", [[], ["A"], ["A", "B", "C", "D"], ["A", "B", "C", "D", "E"]])
def test_a_set_of_fewer_than_two_regions_has_no_test(plain, problematic):
    rest = [region for region in REGIONS if region not in problematic]
    found = our_tests(plain, "ann", {"problematic": problematic, "generalising": rest})
    assert found == dict.fromkeys(TESTS)


def test_a_diverged_region_does_not_count(make_run):
    run = read_run(make_run(regions=REGIONS, models=("none", "ann"), diverged=("ann", "B")))
    assert our_tests(run, "ann", BLOCKS) == dict.fromkeys(TESTS)


def test_equal_errors_have_no_test(make_run):
    folder = make_run(regions=REGIONS, models=("none", "ann"))
    frame = read_results(folder / "results.csv")
    frame.loc[frame["metric"] == "mrmse", "value"] = 2.0
    frame.to_csv(folder / "results.csv", index=False)
    assert our_tests(read_run(folder), "ann", BLOCKS) == dict.fromkeys(TESTS)


def section(run, blocks=BLOCKS):
    document = Document("t")
    ttest_section(document, run, blocks)
    return document.markdown()


def test_the_section(plain):
    text = section(plain)
    ours = our_tests(plain, "ann", BLOCKS)[BY_REGION]
    assert ours is not None
    assert f"| ANN decoder | Welch, region means | not available |   |   |   | {ours.t:.3f}".replace("-", "−") in text
    assert "| ANN decoder | Student, runs | 4.681 | 66.0 | &lt; 0.0001 | 4.681 |" in text
    # The physics decoder was not trained here, but its published values stand there.
    assert "| Physics-informed | Welch, runs | 4.251 | 34.1 | 0.0002 |   | not available |" in text
    assert np.isfinite(ours.p)
    assert "Here 2 problematic and 3 generalising regions" in text


def test_no_section_without_networks(make_run):
    assert "Is the reconstruction" not in section(read_run(make_run(models=("plsr",), regions=("A", "B"))))
