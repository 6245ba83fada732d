"""The published numbers against the relations between them."""

import pytest

from jaxsoil.evaluation.compare import Summary, t_test
from jaxsoil.studies.reconstruction.report import published


def row(table, block, model):
    return next(line for line in published.rows(table, block) if line.model == model)


def test_tables_are_whole():
    assert [len(published.rows(table)) for table in (1, 2, 3)] == [3, 9, 6]
    for line in published.TABLES:
        # Only a model with a decoder reconstructs.
        expected = set(published.METRICS) - ({"mrmse"} if line.model == "none" else set())
        assert set(line.train) == set(line.test) == expected
    regions = published.PROBLEMATIC_REGIONS + published.GENERALISING_REGIONS
    assert len(set(regions)) == 17 and "17" not in regions


@pytest.mark.parametrize("model", list(published.MODELS))
def test_all_regions_is_a_mean_weighted_8_to_9(model):
    """The inconsistency of the footnote; it also guards the copied digits of Table 2."""
    everywhere, hard, easy = (row(2, block, model) for block in ("all", "problematic", "generalising"))
    for part in ("train", "test"):
        for metric, printed in getattr(everywhere, part).items():
            mean = (8 * getattr(hard, part)[metric].mean + 9 * getattr(easy, part)[metric].mean) / 17
            assert printed.mean == pytest.approx(mean, abs=0.0011), (part, metric)


@pytest.mark.parametrize("model", list(published.T_TESTS))
def test_printed_t_follows_from_the_printed_summaries(model):
    hard, easy = row(2, "problematic", model).test["mrmse"], row(2, "generalising", model).test["mrmse"]
    test = t_test(Summary(24, hard.mean, hard.se), Summary(44, easy.mean, easy.se), pooled=True)
    assert round(test.t, 3) == published.T_TESTS[model]


def test_single_values_as_printed():
    assert row(1, "", "physics").test["mrmse"] == published.PublishedValue(1.177, 0.008)
    assert row(3, "fine-tuned", "ann").test["r2"] == published.PublishedValue(0.210, 0.068)
    with pytest.raises(KeyError, match="no published table 2"):
        published.rows(2, "difficult")
