"""Checks of arrays: what passes comes back in float64, what does not is refused with the value and the remedy."""

import numpy as np
import pandas as pd
import pytest

from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError


class Undefined(DataError):
    pass


def test_what_passes_comes_back_in_float64():
    assert require.vector([1, 2], "scores").dtype == np.float64
    assert require.finite_rows([[1], [2]], "spectra").shape == (2, 1)
    assert np.isnan(require.table([[np.nan]], "spectra")).all()
    assert np.isnan(require.vector([np.nan], "scores", finite=False)).all()
    observed, predicted = require.pair([1, 2], [3, 4])
    assert observed.tolist() == [1.0, 2.0] and predicted.tolist() == [3.0, 4.0]
    require.same_shape({"a": [1.0], "b": [2.0], "c": [3.0]})
    require.same_length({"spectra": np.ones((2, 3)), "groups": ["a", "b"]})
    require.not_negative(np.array([0.0, np.nan]), "errors", remedy="")
    require.positive(np.array([0.1]), "scales", remedy="")
    require.between_0_and_1(0.5, "coverage")
    require.columns(pd.DataFrame({"a": [1]}), ["a"], "samples")


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda: require.vector([[1.0]], "scores"), r"scores are an array of 1 dimension \(found: shape \(1, 1\)\)"),
        (lambda: require.finite_rows([1.0], "spectra"), "spectra are an array of 2 dimensions"),
        (lambda: require.table(np.ones((3, 0)), "latents"), r"latents are .*\(3, 0\)"),
        (lambda: require.table([[1.0, 2.0]], "latents", features=3), r"latents have another .*found: 2 against 3\)"),
        (lambda: require.finite_rows(np.ones((1, 2)), "rows", least=2), r"rows are too few: at least 2 .*found: 1\)"),
        (lambda: require.vector([1.0, np.inf], "scores"), r"scores are not all finite \(found: 1 of 2\). Leave out"),
        (lambda: require.finite_rows([[np.nan]], "spectra"), "spectra are not all finite"),
        (lambda: require.pair([1.0], [[1.0]]), r"observed values and predicted .* differ .*\(1,\) against \(1, 1\)"),
        (lambda: require.pair([1.0], [1.0], ndim=2), "2 dimensions"),
        (lambda: require.pair([np.nan], [1.0], undefined=Undefined), "observed values are not all finite.*measured"),
        (lambda: require.same_length({"a": [1], "b": [1, 2]}), r"a and b differ in length \(found: 1 against 2\)"),
        (lambda: require.same_shape({"a": 1, "b": [1], "c": 1}), r"a, b and c differ .*\(\) against \(1,\) against"),
        (lambda: require.not_negative(np.array([1.0, -2.0]), "errors", remedy="Do."), r"negative \(found: -2.0\). Do."),
        (lambda: require.positive(np.array([0.0, np.nan, 1.0]), "scales", remedy="Do."), "2 of 3"),
        (lambda: require.between_0_and_1(1.0, "coverage"), r"a coverage lies between 0 and 1 \(found: 1.0\)"),
        (lambda: require.known("nn", ["nm", "cm-1"], "no such unit"), r"no such unit \(found: nn\). Did you mean 'nm'"),
        (lambda: require.no_row([False, True, True], "flat", remedy="Do."), r"flat \(found: row 1; 2 rows\). Do."),
        (
            lambda: require.no_row(np.array([True]), "flat", show=lambda row: f"id {row}", what="ids", remedy="Do."),
            r"flat \(found: id 0; 1 ids\)",
        ),
        (lambda: require.columns(pd.DataFrame({"a": [1]}), ["a", "b", "c"], "samples"), "samples: .* missing: b, c"),
    ],
)
def test_what_does_not_is_refused(check, message):
    with pytest.raises(DataError, match=message):
        check()


def test_undefined_is_told_from_a_mistake():
    for first, second in (([], []), ([1.0], [np.nan])):
        with pytest.raises(Undefined):
            require.pair(first, second, undefined=Undefined)
    with pytest.raises(DataError) as caught:
        require.pair([np.nan], [1.0], undefined=Undefined)
    assert not isinstance(caught.value, Undefined)
