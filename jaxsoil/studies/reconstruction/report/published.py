"""Published results, as data, to be printed beside ours.

Tables 1 to 3 of Coleman, Nair, Zeng and Olivetti (2024), "Structured spectral reconstruction for scalable soil
organic carbon inference", Tackling Climate Change with Machine Learning workshop, ICLR 2024, Appendix C.
RMSE, bias and MRMSE in % (SOC by mass, reflectance), R2 as 1 - SSE/SST; each value is mean, standard error.
"""

from __future__ import annotations

from dataclasses import dataclass

RECONSTRUCTION_SOURCE = (
    "Coleman et al. (2024), Structured spectral reconstruction for scalable soil organic carbon inference, "
    "ICLR 2024 workshop Tackling Climate Change with Machine Learning, Appendix C"
)

METRICS = ("rmse", "r2", "bias", "mrmse")
"""Columns of the three tables, in their order, for training and for validation."""

MODELS = {
    "none": "No decoder",
    "ann": "ANN decoder",
    "physics": "Physics-informed",
}
"""Architectures of the three tables: name in our results, name in print."""

PROBLEMATIC_REGIONS = ("3", "5", "6", "8", "16", "18")
GENERALISING_REGIONS = ("1", "2", "4", "7", "9", "10", "11", "12", "13", "14", "15")
"""RaCA regions of the two blocks of Table 2; there is no region 17."""


@dataclass(frozen=True)
class PublishedValue:
    """A printed ``mean +- standard error``."""

    mean: float
    se: float


@dataclass(frozen=True)
class PublishedRow:
    """One line of Tables 1 to 3.

    Attributes:
      table: 1, 2 or 3.
      block: heading over the line ("" in Table 1).
      model: key of :data:`MODELS`.
      train: values of :data:`METRICS` on the training rows; ``mrmse`` is absent without a decoder.
      test: the same on the validation rows (the held-out region in Tables 2 and 3).
    """

    table: int
    block: str
    model: str
    train: dict[str, PublishedValue]
    test: dict[str, PublishedValue]


# As printed: RMSE, R2, bias, MRMSE in training, then the same in validation.
_PRINTED = """
1||none|0.827 0.028|0.988 0.001|0.012 0.021||2.587 0.034|0.887 0.003|-0.053 0.027|
1||ann|0.814 0.021|0.989 0.001|0.014 0.024|0.616 0.006|2.589 0.028|0.887 0.002|-0.049 0.031|0.669 0.011
1||physics|0.840 0.032|0.988 0.001|0.026 0.024|1.155 0.009|2.579 0.044|0.888 0.003|-0.050 0.030|1.177 0.008
2|all|none|0.834 0.008|0.988 0.000|-0.016 0.009||4.076 0.260|-0.200 0.159|-0.222 0.177|
2|all|ann|0.854 0.008|0.988 0.000|0.011 0.008|0.571 0.004|4.236 0.267|-0.404 0.200|-0.208 0.185|4.123 0.209
2|all|physics|0.865 0.009|0.987 0.000|-0.007 0.008|1.126 0.003|4.132 0.260|-0.306 0.180|-0.129 0.180|4.131 0.207
2|problematic|none|0.839 0.009|0.989 0.000|-0.010 0.013||3.095 0.148|-1.216 0.230|0.638 0.078|
2|problematic|ann|0.881 0.010|0.987 0.000|0.032 0.014|0.574 0.007|3.346 0.189|-1.637 0.301|0.714 0.087|4.984 0.338
2|problematic|physics|0.897 0.013|0.987 0.000|-0.015 0.013|1.132 0.004|3.226 0.157|-1.444 0.265|0.765 0.083|4.987 0.342
2|generalising|none|0.829 0.013|0.988 0.000|-0.021 0.013||4.949 0.424|0.704 0.015|-0.987 0.269|
2|generalising|ann|0.830 0.011|0.988 0.000|-0.007 0.009|0.569 0.005|5.028 0.439|0.691 0.018|-1.027 0.276|3.358 0.179
2|generalising|physics|0.837 0.011|0.987 0.000|-0.000 0.011|1.121 0.005|4.938 0.431|0.705 0.015|-0.923 0.271|3.371 0.166
3|pre-trained|none|3.601 0.047|0.776 0.007|-0.075 0.027||5.037 0.315|-1.443 0.447|-0.070 0.197|
3|pre-trained|ann|3.599 0.048|0.776 0.006|-0.001 0.024|0.859 0.005|4.843 0.277|-0.999 0.317|-0.009 0.184|4.254 0.207
3|pre-trained|physics|3.635 0.050|0.771 0.007|-0.123 0.026|1.518 0.009|4.791 0.299|-1.040 0.375|-0.051 0.189|4.431 0.206
3|fine-tuned|none|1.715 0.181|0.202 0.310|-0.348 0.077||4.682 0.369|0.005 0.146|-0.591 0.172|
3|fine-tuned|ann|1.628 0.178|0.570 0.049|-0.282 0.084|4.494 0.191|4.478 0.352|0.210 0.068|-0.575 0.157|2.250 0.092
3|fine-tuned|physics|1.561 0.156|0.562 0.063|-0.286 0.056|4.262 0.171|4.665 0.385|0.111 0.101|-0.559 0.180|2.198 0.077
"""


def _parse(text: str) -> tuple[PublishedRow, ...]:
    def values(cells: list[str]) -> dict[str, PublishedValue]:
        named = zip(METRICS, (cell.split() for cell in cells), strict=True)
        return {name: PublishedValue(float(pair[0]), float(pair[1])) for name, pair in named if pair}

    rows = []
    for line in text.strip().splitlines():
        table, block, model, *cells = line.split("|")
        rows.append(PublishedRow(int(table), block, model, values(cells[:4]), values(cells[4:])))
    return tuple(rows)


TABLES = _parse(_PRINTED)
"""All lines of Tables 1 to 3 in printed order."""

T_TESTS = {"ann": 4.681, "physics": 4.789}
"""Printed t of validation MRMSE, problematic against generalising regions (24 and 44 runs)."""

TABLE_2_FOOTNOTES = (
    'The row "all regions" equals (8 x problematic + 9 x generalising)/17 on every entry, although 6 and 11 '
    "regions are named as problematic and generalising.",
    "The paper counts 23,291 pairs of spectrum and SOC before its cuts and 23,550 spectra after them.",
    "The encoder's 1,944,360 parameters belong to 2,151 bands and 90 endmembers; the 2,136 bands and 94 "
    "endmembers of the text give 1,938,702.",
    "The problematic regions have the lower RMSE (3.1 to 3.3 % against 4.9 to 5.0 %): R2 < 0 there reflects a "
    "small spread of SOC as much as failure.",
    "The printed t-values 4.681 and 4.789 are Student's with pooled variance; Welch's test, which the text names, "
    "gives 4.25 on the same summaries.",
    "In the published code the held-out spectra passed the encoder in training mode, so that its BatchNorm saw "
    "them; here they never do.",
)
"""Inconsistencies inside the paper and known differences of its code, to be printed under Table 2."""


def rows(table: int, block: str | None = None) -> tuple[PublishedRow, ...]:
    """Lines of one published table, optionally of one of its blocks.

    Raises:
      KeyError: if there is no such table or block.
    """
    found = tuple(row for row in TABLES if row.table == table and block in (None, row.block))
    if not found:
        raise KeyError(f"no published table {table} with block {block!r}")
    return found
