"""Eq. 1 against hand-computed values."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from jaxsoil.training.objectives import soc_term, spectrum_term


def test_terms_of_equation_one_by_hand() -> None:
    observed, predicted = jnp.array([0.01, 0.03]), jnp.array([0.0141, 0.0218])
    # Errors of 1 and 2 standard errors: mean of 1 and 4.
    assert float(soc_term(observed, predicted, 0.0041)) == pytest.approx(2.5, rel=1e-5)
    spectra, rebuilt = jnp.array([[0.2, 0.3], [0.4, 0.5]]), jnp.array([[0.21, 0.3], [0.4, 0.47]])
    # (1 + 0 + 0 + 9) / 4 in units of 0.01.
    assert float(spectrum_term(spectra, rebuilt, 0.01)) == pytest.approx(2.5, rel=1e-4)


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="none is broadcast"):
        soc_term(jnp.zeros(3), jnp.zeros((3, 1)), 0.0041)
    with pytest.raises(ValueError, match="none is broadcast"):
        spectrum_term(jnp.zeros((3, 4)), jnp.zeros(4), 0.01)
    assert np.isfinite(float(soc_term(jnp.zeros(3), jnp.ones(3), 0.0041)))
