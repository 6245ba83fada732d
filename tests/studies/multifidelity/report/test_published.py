"""The published numbers against the relations between them, and against the quotations in the paper's text."""

from typing import Any

import numpy as np
import pytest

from jaxsoil.studies.multifidelity.config import STRATEGIES
from jaxsoil.studies.multifidelity.report import published
from jaxsoil.studies.multifidelity.report.files import PROSE
from jaxsoil.studies.multifidelity.report.published import PROPERTIES

DATASETS = ("KSSL", "Paired", "NAPT")
APPENDIX_A: list[Any] = list(published.APPENDIX_A.itertuples(index=False))
APPENDIX_B: list[Any] = list(published.APPENDIX_B.itertuples(index=False))
TEXT_CCC = {
    "MIR-PLSR": 0.82,
    "MIR-MLP": 0.81,
    "MIR-SSL-MLP": 0.91,
    "NIR-PLSR": 0.51,
    "NIR-MLP": 0.51,
    "NIRtoMIR-MLP": 0.61,
    "NIRtoMIR-SSL-MLP": 0.60,
}
"""Mean CCC over the nine properties as section 3.3 quotes it."""

TEXT_RPIQ = {"MIR-PLSR": 2.02, "MIR-SSL-MLP": 3.29, "NIR-MLP": 1.20, "NIRtoMIR-MLP": 1.41}
"""Mean RPIQ over the nine properties as section 3.3 quotes it: the ends of the MIR and of the NIR range."""


def test_tables_are_whole():
    assert [(row.property, row.strategy) for row in APPENDIX_B] == [(p, s) for p in PROPERTIES for s in STRATEGIES]
    assert [(row.property, row.dataset) for row in APPENDIX_A] == [(p, d) for p in PROPERTIES for d in DATASETS]


def test_the_means_of_the_text_follow_but_for_two():
    """0.51 of NIR-MLP and 1.41 of NIRtoMIR-MLP do not follow from the printed rows; the report says so."""
    quoted = {("ccc", s): v for s, v in TEXT_CCC.items()}
    quoted |= {("rpiq", s): v for s, v in TEXT_RPIQ.items()}
    found = {(metric, s): published.averages(metric)[s] for metric, s in quoted}
    wrong = {key for key, value in found.items() if round(value, 2) != quoted[key]}
    assert wrong == {("ccc", "NIR-MLP"), ("rpiq", "NIRtoMIR-MLP")}
    assert round(found["ccc", "NIR-MLP"], 3) == 0.516 and round(found["rpiq", "NIRtoMIR-MLP"], 3) == 1.404
    # Rows rounded to 0.01 leave 0.005 to their mean, and the quotation has as much again.
    assert all(abs(found[key] - quoted[key]) <= 0.01 for key in wrong)
    note = PROSE.notes("inconsistencies")[0]
    assert "0.516" in note and "1.404" in note


def test_the_quoted_ranges_are_the_ends():
    means = published.averages("rpiq")
    mir, nir = ([value for s, value in means.items() if s.startswith(start)] for start in ("MIR", "NIR"))
    assert (min(mir), max(mir)) == (means["MIR-PLSR"], means["MIR-SSL-MLP"])
    assert (min(nir), max(nir)) == (means["NIR-MLP"], means["NIRtoMIR-MLP"])


@pytest.mark.parametrize("name", list(PROPERTIES))
def test_rmse_times_rpiq_is_one_interquartile_range(name):
    """Eq. 14: both belong to the same observed values; rounding of RMSE to 0.01 widens the bounds."""
    rows = [row for row in APPENDIX_B if row.property == name]
    low = max((row.rmse - 0.005) * (row.rpiq - 0.005) for row in rows)
    high = min((row.rmse + 0.005) * (row.rpiq + 0.005) for row in rows)
    assert low <= high


def test_moments_bound_each_other():
    for row in APPENDIX_B:
        assert abs(row.bias) <= row.rmse + 0.01, row
        # CCC is at most the correlation, if R2 is its square.
        assert row.ccc - 0.005 <= np.sqrt(row.r2 + 0.005), row
    for row in APPENDIX_A:
        assert row.min <= row.mean <= row.max and row.kurtosis >= row.skewness**2 + 1.0 - 0.02, row


def test_printed_r2_is_not_equation_12():
    """1 - RMSE^2 / SD^2 with the SD of Appendix A: under every printed R2, and negative where 0.17 is printed."""
    residual = {}
    for row in APPENDIX_B:
        summary = published.summary(row.property, "NAPT")
        assert summary is not None
        # n - 1 in the SD, n in the mean square error.
        residual[row.property, row.strategy] = row.r2 - (1.0 - row.rmse**2 / (summary.sd**2 * 205 / 206))
    assert residual["sand", "NIR-MLP"] > 0.35 and residual["cec", "NIR-MLP"] > 1.0
    large = [key for key, gap in residual.items() if gap > 0.05]
    assert len(large) > 30


def test_texture_sums_to_a_hundred():
    for dataset in DATASETS:
        means = [row.mean for row in APPENDIX_A if row.dataset == dataset and row.property in ("clay", "silt", "sand")]
        assert sum(means) == pytest.approx(100.0, abs=0.016)


def test_single_lines_as_printed():
    rows = published.APPENDIX_B.set_index(["property", "strategy"])
    assert rows.loc[("cec", "NIR-MLP")].tolist() == [10.80, -8.97, 0.45, 0.38, 0.99]
    assert rows.loc[("sand", "NIRtoMIR-SSL-MLP"), ["rmse", "bias", "rpiq"]].tolist() == [21.19, -6.25, 1.91]
    # Where the text says 0.83 and 0.87.
    assert [rows.loc[key, "ccc"] for key in (("clay", "MIR-MLP"), ("silt", "MIR-SSL-MLP"))] == [0.74, 0.89]
    assert published.summary("tn", "KSSL") == ("tn", "KSSL", 51508, 0.0, 0.16, 0.35, 41.9, 44.2, 4604.89)
    assert published.summary("soc", "KSSL") is None
    assert published.averages("ccc", ["tc"])["MIR-MLP"] == 0.95
    with pytest.raises(KeyError, match="no metric"):
        published.averages("property")
    with pytest.raises(KeyError, match="has none of"):
        published.averages("ccc", ["soc"])
