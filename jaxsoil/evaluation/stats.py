"""Summaries of samples, and two-sample t-tests from values or from published summaries.

Student's test pools the two variances; Welch's does not, and corrects the degrees of freedom. They part
where the smaller sample varies more, as the errors of difficult regions do beside those of easy ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jaxsoil.runs.errors import DataError


@dataclass(frozen=True)
class Summary:
    """A sample known by its size, mean and standard error of the mean (SD/sqrt(n), n - 1 in the SD)."""

    n: int
    mean: float
    se: float

    def __post_init__(self) -> None:
        if self.n < 2 or not math.isfinite(self.mean) or not (math.isfinite(self.se) and self.se >= 0.0):
            raise DataError(
                "a t-test needs two or more values, a finite mean and a standard error of at least 0",
                value=(self.n, self.mean, self.se),
                remedy="Check the published row, or leave the comparison out.",
            )

    @classmethod
    def of(cls, values: ArrayLike) -> Summary:
        """Summary of a one-dimensional sample.

        Raises:
          DataError: if it has fewer than two values or one that is not finite.
        """
        sample = np.asarray(values, dtype=np.float64)
        if sample.ndim != 1 or sample.size < 2 or not np.isfinite(sample).all():
            raise DataError(
                "a t-test needs two or more finite values in one dimension",
                value=f"shape {sample.shape}, {int((~np.isfinite(sample)).sum())} not finite",
                remedy="Leave out undefined values by name, and average seeds before comparing regions.",
            )
        return cls(sample.size, float(sample.mean()), float(sample.std(ddof=1) / math.sqrt(sample.size)))


@dataclass(frozen=True)
class TTest:
    """Outcome of a two-sided t-test.

    Attributes:
      kind: ``"Student"`` (pooled variance) or ``"Welch"``.
      t: statistic, positive where the first sample has the larger mean.
      dof: degrees of freedom (Welch-Satterthwaite for Welch).
      p: two-sided probability under equal means.
    """

    kind: str
    t: float
    dof: float
    p: float


def student_t(first: ArrayLike, second: ArrayLike) -> TTest:
    """Student's two-sided t-test of two samples, (n,) and (m,)."""
    return student_t_from_summary(Summary.of(first), Summary.of(second))


def welch_t(first: ArrayLike, second: ArrayLike) -> TTest:
    """Welch's two-sided t-test of two samples, (n,) and (m,)."""
    return welch_t_from_summary(Summary.of(first), Summary.of(second))


def student_t_from_summary(first: Summary, second: Summary) -> TTest:
    """Student's two-sided t-test from size, mean and standard error."""
    result = _scipy_t(first, second, equal_var=True)
    return TTest("Student", float(result.statistic), float(first.n + second.n - 2), float(result.pvalue))


def welch_t_from_summary(first: Summary, second: Summary) -> TTest:
    """Welch's two-sided t-test from size, mean and standard error."""
    result = _scipy_t(first, second, equal_var=False)
    v1, v2 = first.se**2, second.se**2
    dof = (v1 + v2) ** 2 / (v1**2 / (first.n - 1) + v2**2 / (second.n - 1))
    return TTest("Welch", float(result.statistic), dof, float(result.pvalue))


def describe(values: ArrayLike) -> dict[str, float]:
    """n, min, mean, sd (n - 1), max, skewness and kurtosis (3 for a Gaussian) of (n,) values; NaN are left out.

    The columns of Appendix A of the multi-fidelity paper. What is undefined (one value, no spread) is NaN.

    Raises:
      DataError: if the values are not one-dimensional.
    """
    from scipy.stats import kurtosis, skew

    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1:
        raise DataError("a summary takes one dimension", value=sample.shape, remedy="Pass one property at a time.")
    sample = sample[np.isfinite(sample)]
    found = dict.fromkeys(("min", "mean", "sd", "max", "skewness", "kurtosis"), math.nan)
    if sample.size:
        found |= {"min": float(sample.min()), "mean": float(sample.mean()), "max": float(sample.max())}
    if sample.size > 1:
        found["sd"] = float(sample.std(ddof=1))
    if sample.size > 1 and np.ptp(sample) > 0.0:
        found |= {"skewness": float(skew(sample)), "kurtosis": float(kurtosis(sample, fisher=False))}
    return {"n": float(sample.size), **found}


def _scipy_t(first: Summary, second: Summary, *, equal_var: bool) -> Any:
    from scipy.stats import ttest_ind_from_stats

    if first.se == 0.0 and second.se == 0.0:
        raise DataError(
            "t is undefined: neither sample varies",
            value=(first.mean, second.mean),
            remedy="Report the two means without a test.",
        )
    return ttest_ind_from_stats(
        mean1=first.mean,
        std1=first.se * math.sqrt(first.n),
        nobs1=first.n,
        mean2=second.mean,
        std2=second.se * math.sqrt(second.n),
        nobs2=second.n,
        equal_var=equal_var,
    )
