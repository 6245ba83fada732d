"""What every preprocessing step can do, and steps one after another."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Self

from jaxsoil.runs.errors import DataError
from jaxsoil.spectra.container import Spectra


class NotInvertibleError(DataError):
    """A step that loses information and cannot be undone; the message says what is lost."""


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """A step turns Spectra into Spectra. ``fit`` learns from training rows and returns the fitted step.

    Steps that learn nothing return themselves from ``fit``. A fitted step used before ``fit`` raises DataError.
    """

    _lost: ClassVar[str] = "it keeps only part of the information"

    def fit(self, spectra: Spectra) -> Self:
        """Returns the step fitted to ``spectra`` (training rows only)."""
        return self

    def __call__(self, spectra: Spectra) -> Spectra:
        raise NotImplementedError

    def inverse(self, spectra: Spectra) -> Spectra:
        """Returns the spectra as they were before the step; NotInvertibleError where that is lost."""
        remedy = "Keep the spectra from before this step."
        raise NotInvertibleError(f"{type(self).__name__} cannot be undone: {self._lost}", remedy=remedy)


@dataclasses.dataclass(frozen=True, eq=False)
class Pipeline(Step):
    """Steps one after another, itself a step.

    Args:
      steps: the steps in the order in which they are applied.
    """

    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))

    def fit(self, spectra: Spectra) -> Pipeline:
        """Returns the pipeline with each step fitted to what the steps before it made of ``spectra``."""
        fitted = []
        for step in self.steps:
            fitted.append(step.fit(spectra))
            spectra = fitted[-1](spectra)
        return Pipeline(tuple(fitted))

    def __call__(self, spectra: Spectra) -> Spectra:
        for step in self.steps:
            spectra = step(spectra)
        return spectra

    def inverse(self, spectra: Spectra) -> Spectra:
        for step in reversed(self.steps):
            spectra = step.inverse(spectra)
        return spectra
