"""The published numbers against the relations between them."""

from typing import Any

import pytest

from jaxsoil.evaluation.compare import Summary, t_test
from jaxsoil.studies.reconstruction.report import published


def printed(table, block, model, split="test"):
    """Mean and standard error by metric."""
    lines = published.rows(table, block)
    return lines[(lines["model"] == model) & (lines["split"] == split)].set_index("metric")[["mean", "se"]]


def test_tables_are_whole():
    found: Any = published.tables().groupby(["table", "block", "model", "split"])["metric"]
    assert found.ngroups == 2 * (3 + 9 + 6)
    for (_, _, model, _), metrics in found:
        # Only a model with a decoder reconstructs.
        assert list(metrics) == [name for name in published.METRICS if model != "none" or name != "mrmse"]
    regions = published.PROBLEMATIC_REGIONS + published.GENERALISING_REGIONS
    assert len(set(regions)) == 17 and "17" not in regions


@pytest.mark.parametrize("model", list(published.MODELS))
def test_all_regions_is_a_mean_weighted_8_to_9(model):
    """The inconsistency of the footnote; it also guards the copied digits of Table 2."""
    for split in ("train", "test"):
        parts: Any = [printed(2, block, model, split)["mean"] for block in ("all", "problematic", "generalising")]
        everywhere, hard, easy = parts
        assert everywhere.to_dict() == pytest.approx(((8 * hard + 9 * easy) / 17).to_dict(), abs=0.0011), split


@pytest.mark.parametrize("model", list(published.T_TESTS))
def test_printed_t_follows_from_the_printed_summaries(model):
    hard, easy = (printed(2, block, model).loc["mrmse"] for block in ("problematic", "generalising"))
    test = t_test(Summary(24, hard["mean"], hard["se"]), Summary(44, easy["mean"], easy["se"]), pooled=True)
    assert round(test.t, 3) == published.T_TESTS[model]


def test_single_values_as_printed():
    assert printed(1, "", "physics").loc["mrmse"].tolist() == [1.177, 0.008]
    assert printed(3, "fine-tuned", "ann").loc["r2"].tolist() == [0.210, 0.068]
    with pytest.raises(KeyError, match="no published table 2"):
        published.rows(2, "difficult")
