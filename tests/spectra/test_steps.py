"""Steps one after another: the order of their fits, of their application and of their inverses."""

import dataclasses

import numpy as np
import pytest

from jaxsoil.spectra import Spectra
from jaxsoil.spectra.steps import NotInvertibleError, Pipeline, Step


@dataclasses.dataclass(frozen=True, eq=False)
class Scale(Step):
    """Divides by the largest value that it was fitted on, then adds one."""

    most: float = 1.0

    def fit(self, spectra):
        return Scale(float(spectra.values.max()))

    def __call__(self, spectra):
        return spectra.replace(values=spectra.values / self.most + 1.0)

    def inverse(self, spectra):
        return spectra.replace(values=(spectra.values - 1.0) * self.most)


@dataclasses.dataclass(frozen=True, eq=False)
class Clip(Step):
    def __call__(self, spectra):
        return spectra.replace(values=np.minimum(spectra.values, 1.5))


MADE = Spectra([[1.0, 2.0], [3.0, 4.0]], [1000.0, 1010.0], "nm", "absorbance")


def test_each_step_is_fitted_to_what_the_steps_before_it_made():
    fitted = Pipeline((Scale(), Clip(), Scale())).fit(MADE)
    assert [getattr(step, "most", None) for step in fitted.steps] == [4.0, None, 1.5]
    expected = np.minimum(MADE.values / 4.0 + 1.0, 1.5) / 1.5 + 1.0
    np.testing.assert_allclose(fitted(MADE).values, expected, rtol=1e-6)


def test_inverses_run_backwards():
    fitted = Pipeline((Scale(), Scale())).fit(MADE)
    np.testing.assert_allclose(fitted.inverse(fitted(MADE)).values, MADE.values, rtol=1e-6)


def test_step_that_learns_nothing_is_its_own_fit_and_one_that_loses_says_so():
    step = Clip()
    assert step.fit(MADE) is step
    with pytest.raises(NotInvertibleError, match="Clip cannot be undone: it keeps only part"):
        Pipeline((Scale(), step)).inverse(MADE)
    with pytest.raises(NotImplementedError):
        Step()(MADE)
