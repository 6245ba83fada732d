"""What instruments do to spectra: one home for twins, augmentation and invariance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jaxsoil.runs.errors import DataError

HALF_WAVES = (2, 8)
"""Half waves over the axis of the smooth curve by which two instruments differ: fewer are an offset or a tilt."""


def smooth_curve(
    bands: int, sd: float, rng: np.random.Generator, half_waves: tuple[int, int] = HALF_WAVES
) -> NDArray[np.float64]:
    """A smooth curve (bands,) in absorbance, such as another reference plate or detector adds to every spectrum.

    The sum of cosines of ``half_waves`` (from, to) half waves over the axis, with standard normal amplitudes, scaled
    to a mean of 0 and a standard deviation over the bands of exactly ``sd``.

    Args:
      bands: number of bands, equally spaced.
      sd: standard deviation over the bands, absorbance; between real mid-infrared instruments 0.02 to 0.07.
      rng: draws the amplitudes; the shape of a curve does not depend on ``sd``.
      half_waves: least and most half waves.

    Raises:
      DataError: ``sd`` is negative or not finite.
    """
    if not (np.isfinite(sd) and sd >= 0.0):
        raise DataError(
            "a curve between instruments needs a standard deviation of at least 0", value=sd,
            remedy="Give a finite number of absorbance units, not negative.",
        )  # fmt: skip
    waves = np.arange(half_waves[0], half_waves[1] + 1)
    place = (np.arange(bands) + 0.5) / bands
    curve = rng.standard_normal(waves.size) @ np.cos(np.pi * waves[:, None] * place)
    curve -= curve.mean()
    return sd * curve / np.sqrt(np.mean(curve**2))
