"""Harmonisation of laboratories: exact recovery of known differences, and ridge regression by scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from jaxsoil.runs.errors import DataError
from jaxsoil.spectra.harmonise import centre_and_scale, direct_standardisation, no_harmonisation, transfer_samples


def laboratories(n: int = 60, m: int = 12, seed: int = 0):
    """Spectra of one soil population scanned in A, and in B with a gain and an offset for each band."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(n, m)).cumsum(axis=1)
    gain, offset = rng.uniform(0.7, 1.4, m), rng.normal(size=m)
    names = np.repeat(["A", "B"], n)
    samples = np.array([f"s{i}" for i in range(n)] * 2)
    return np.concatenate([truth, truth * gain + offset]), names, samples, truth


def test_centring_gives_every_laboratory_the_common_mean_and_spread() -> None:
    values, names, _, _ = laboratories()
    result = centre_and_scale(values, names)(values, names)
    for lab in ("A", "B"):
        np.testing.assert_allclose(result[names == lab].mean(axis=0), values.mean(axis=0), atol=1e-12)
        np.testing.assert_allclose(result[names == lab].std(axis=0), values.std(axis=0), rtol=1e-12)


def test_direct_standardisation_undoes_a_gain_and_an_offset() -> None:
    values, names, samples, truth = laboratories()
    found = direct_standardisation(values, names, samples, reference="A", window=1, ridge=1e-9)
    result = found(values, names)
    np.testing.assert_array_equal(result[names == "A"], values[names == "A"])
    np.testing.assert_allclose(result[names == "B"], truth, atol=1e-6)


def test_weights_are_those_of_a_ridge_regression_towards_the_identity() -> None:
    """scikit-learn's Ridge of what the identity leaves, band by band."""
    from sklearn.linear_model import Ridge

    values, names, samples, _ = laboratories(n=20, m=7)
    values = values + 0.1 * np.random.default_rng(1).normal(size=values.shape)
    found = direct_standardisation(values, names, samples, reference="A", window=3, ridge=0.1)
    own, wanted = values[names == "B"], values[names == "A"]
    padded = np.pad(own, ((0, 0), (1, 1)), mode="edge")
    expected = np.empty_like(own)
    for band in range(7):
        x = padded[:, band : band + 3]
        strength = 0.1 * np.sum((x - x.mean(axis=0)) ** 2) / 3
        model = Ridge(alpha=strength).fit(x, wanted[:, band] - own[:, band])
        expected[:, band] = own[:, band] + model.predict(x)
    np.testing.assert_allclose(found(own, np.full(20, "B")), expected, atol=1e-9)


def test_nothing_of_a_row_that_was_not_handed_over_is_used() -> None:
    values, names, samples, _ = laboratories()
    rows = np.arange(100)
    found = direct_standardisation(values[rows], names[rows], samples[rows], reference="A")
    changed = values.copy()
    changed[100:] = 1e6
    again = direct_standardisation(changed[rows], names[rows], samples[rows], reference="A")
    np.testing.assert_array_equal(found(values, names), again(values, names))


def test_small_and_unpaired_laboratories_pass_unchanged_and_are_named() -> None:
    values, names, samples, _ = laboratories()
    names, samples = names.copy(), samples.copy()
    names[-3:] = "C"
    samples[-3:] = ["x", "y", "z"]
    centred = centre_and_scale(values, names, min_rows=10)
    assert "3 rows" in centred.unchanged["C"]
    np.testing.assert_array_equal(centred(values, names)[-3:], values[-3:])
    direct = direct_standardisation(values, names, samples)
    assert direct.unchanged["A"] == "" and "0 transfer samples" in direct.unchanged["C"]
    np.testing.assert_array_equal(no_harmonisation()(values, names), values)


def test_transfer_samples_are_found_by_name() -> None:
    labs, samples = np.array(["B", "A", "A", "C", "A"]), np.array(["s", "s", "t", "s", "s"])
    assert transfer_samples(labs, samples) == {("A", "B"): ["s"], ("A", "C"): ["s"], ("B", "C"): ["s"]}


def test_what_does_not_fit_is_refused() -> None:
    values, names, samples, _ = laboratories(n=8)
    with pytest.raises(DataError, match="two laboratories"):
        direct_standardisation(values, names, np.arange(16).astype(str))
    with pytest.raises(DataError, match="odd number"):
        direct_standardisation(values, names, samples, window=4)
    with pytest.raises(DataError, match="laboratory of every spectrum"):
        centre_and_scale(values, names[:-1])
    with pytest.raises(DataError, match="spectra to harmonise are"):
        centre_and_scale(np.full((4, 2), np.nan), np.array(["A"] * 4))
