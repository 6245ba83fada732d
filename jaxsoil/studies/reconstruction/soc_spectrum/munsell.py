"""Munsell value (lightness) of a material from its reflectance spectrum."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jaxsoil.runs.errors import DataError

VISIBLE = (380.0, 780.0)
"""Range of the integration, nm."""

BLACK = 2.5
"""Highest value that soil colour charts call black (10YR 2/1, 2.5/1), at a chroma of 1."""


def luminance(axis: ArrayLike, reflectance: ArrayLike) -> float:
    """Returns the luminance factor Y in % under illuminant C for the CIE 1931 2 degree observer (CIE 15).

    Args:
      axis: (m,) nm, ascending, over at least 380-780 nm.
      reflectance: (m,) as fractions; values outside [0, 1] count as the bound.

    Raises:
      DataError: an axis that does not cover 380-780 nm, or values that are not finite.
    """
    bands, values = np.asarray(axis, dtype=np.float64), np.asarray(reflectance, dtype=np.float64)
    if bands[0] > VISIBLE[0] or bands[-1] < VISIBLE[1]:
        raise DataError(
            "a Munsell value needs the visible range",
            value=f"{bands[0]:g}-{bands[-1]:g} nm",
            remedy=f"Give bands over {VISIBLE[0]:g}-{VISIBLE[1]:g} nm.",
        )
    if not np.isfinite(values).all():
        raise DataError("a Munsell value needs a finite spectrum", remedy="Leave a diverged trial out.")
    colour = _colour()
    # The CIE tabulates illuminant C every 5 nm (CIE 15): all three are brought to that step.
    shape = colour.SpectralShape(*VISIBLE, 5.0)
    spectrum = colour.SpectralDistribution(
        np.interp(shape.wavelengths, bands, np.clip(values, 0.0, 1.0)), shape.wavelengths
    )
    observer = colour.MSDS_CMFS["CIE 1931 2 Degree Standard Observer"].copy().align(shape)
    illuminant = colour.SDS_ILLUMINANTS["C"].copy().align(shape)
    return float(colour.sd_to_XYZ(spectrum, observer, illuminant, method="Integration")[1])


def munsell_value(axis: ArrayLike, reflectance: ArrayLike) -> float:
    """Returns the Munsell value (0 black to 10 white) by ASTM D1535, from :func:`luminance`."""
    return float(_colour().munsell_value(luminance(axis, reflectance), method="ASTM D1535"))


def _colour() -> Any:
    """Imports colour-science, which takes about a second and warns of optional packages that it does without.

    On import it also sets NumPy's print options to those of version 1.13, where str(0.1 + 0.2) is 0.3: tables written
    later in the same process would lose digits.
    """
    with warnings.catch_warnings(), np.printoptions():
        warnings.simplefilter("ignore")
        import colour
    return colour
