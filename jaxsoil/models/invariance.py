"""What a model of spectra should not react to, as matrices: simulated perturbations, and differences between regions.

Rows are absorbances, A = -log10 R. A linear model with coefficients b reacts to a perturbation that moves spectra by D
(n, m) with the variance b' (D'D / n) b; that matrix added to a ridge penalty makes it react less. The same matrix says
in which directions two spectra are alike (:func:`whitening`). External parameter orthogonalisation (:func:`orthogonal`)
is the hard form: it removes the first directions altogether.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError
from jaxsoil.spectra import perturbations

MOST_ROWS = 1000
"""Training spectra that are perturbed at most; their mean square hardly depends on more."""


@dataclasses.dataclass(frozen=True)
class Strengths:
    """How far instruments and the state of samples move spectra: standard deviations of normal draws, cut at two."""

    shift: float = 2.0
    """Wavelength scale, nm."""
    offset: float = 0.01
    """Stray light, reflectance."""
    gain: float = 0.05
    """Height and packing of the sample, a share of the reflectance."""
    tilt: float = 0.03
    """Slope of ln R over half the axis."""
    curvature: float = 0.02
    """Curvature of ln R at both ends of the axis."""
    path: float = 0.10
    """Path of the light with grain size, a share of the absorbance (multiplicative scatter)."""
    moisture: float = 0.02
    """Water per mass of dry soil; half-normal."""
    bandwidth: float = 10.0
    """Slit, full width at half maximum in nm; the same for all spectra."""


KINDS: tuple[str, ...] = tuple(field.name for field in dataclasses.fields(Strengths))
"""Kinds of perturbation, in the order of :func:`penalties`."""

_WIDTHS = ("shift", "bandwidth")


def differences(
    absorbance: ArrayLike, axis: ArrayLike, kind: str, seed: int = 0, strengths: Strengths | None = None
) -> np.ndarray:
    """What a perturbation does to spectra: perturbed minus given absorbances (n, m).

    A band keeps at least half of its light, so that an offset does not turn dark spectra negative.

    Args:
      absorbance: (n, m), on
      axis: (m,) ascending, nm.
      kind: one of :data:`KINDS`.
      seed: of the strengths, one for each row.
      strengths: standard deviations; None: the default ones.

    Raises:
      DataError: a strength is negative, or a shift or slit is wider than the axis.
    """
    rows, bands = np.asarray(absorbance, np.float64), np.asarray(axis, np.float64)
    sd = float(getattr(strengths or Strengths(), kind))
    span = float(bands[-1] - bands[0])
    if not 0.0 <= sd < (span if kind in _WIDTHS else np.inf):
        what = f"{sd:g} nm on {span:g} nm" if kind in _WIDTHS else f"{sd:g}"
        remedy = "Give a standard deviation of at least 0 that is narrower than the axis."
        raise DataError(f"a perturbation has an impossible {kind}", value=what, remedy=remedy)
    drawn = np.random.default_rng([seed, KINDS.index(kind)]).standard_normal(len(rows))
    drawn = sd * np.clip(np.abs(drawn) if kind == "moisture" else drawn, -2.0, 2.0)
    window = (float(bands[0]), float(bands[-1]))
    reflectance = 10.0**-rows
    applied: dict[str, Callable[[], Any]] = {
        "shift": lambda: perturbations.shift(reflectance, drawn, bands),
        "offset": lambda: perturbations.offset(reflectance, drawn),
        "gain": lambda: perturbations.gain(reflectance, np.maximum(1.0 + drawn, 0.0)),
        "tilt": lambda: perturbations.tilt(reflectance, drawn, bands, window),
        "curvature": lambda: perturbations.curvature(reflectance, drawn, bands, window),
        "path": lambda: perturbations.path(reflectance, 1.0 + drawn),
        "moisture": lambda: perturbations.wet(reflectance, drawn, bands),
        "bandwidth": lambda: perturbations.broaden(reflectance, np.full(len(rows), sd), bands),
    }
    return -np.log10(np.maximum(applied[kind](), reflectance / 2.0)) - rows


def penalties(absorbance: ArrayLike, axis: ArrayLike, seed: int = 0, strengths: Strengths | None = None) -> np.ndarray:
    """Mean products of the bands' differences, (kinds, m, m), one matrix for each kind of perturbation.

    Args and errors: as of :func:`differences`; of more than :data:`MOST_ROWS` rows evenly spaced ones are perturbed.
    """
    rows = require.finite_rows(absorbance, "training spectra")
    chosen = rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST_ROWS)).round().astype(int)]
    return np.stack([mean_products(differences(chosen, axis, kind, seed, strengths)) for kind in KINDS])


def mean_products(moved: np.ndarray) -> np.ndarray:
    """The penalty (m, m) of a perturbation that moves n spectra by ``moved`` (n, m)."""
    return moved.T @ moved / len(moved)


def whitening(penalty: np.ndarray, covariance: np.ndarray, components: int | None = None) -> np.ndarray:
    """Directions (m, q) in which spectra are compared: an inverse root of the penalty, by falling variance.

    Args:
      penalty: (m, m) positive definite.
      covariance: (m, m) of the training spectra.
      components: q, the directions of the largest variance; None: all.

    Raises:
      DataError: the penalty is not positive definite.
    """
    from scipy.linalg import LinAlgError, eigh

    size = len(penalty)
    first = size - min(size if components is None else components, size)
    try:
        # The eigenvectors V of a pencil have V' penalty V = I.
        return eigh(covariance, penalty, subset_by_index=(first, size - 1))[1][:, ::-1]
    except LinAlgError as error:
        remedy = "Give the identity a larger share in the penalty."
        raise DataError("the penalty is not positive definite", value=f"{size} bands", remedy=remedy) from error


def orthogonal(penalty: np.ndarray, components: int) -> np.ndarray:
    """The projection (m, m) that removes the first ``components`` directions of the perturbations.

    Source: Roger, Chauchard and Bellon-Maurel (2003), Chemometrics and Intelligent Laboratory Systems 66, 191 (external
    parameter orthogonalisation), with simulated in place of measured perturbations.

    Raises:
      DataError: the axis has not more bands than components.
    """
    if not 0 <= components < len(penalty):
        remedy = "Remove fewer directions than there are bands."
        raise DataError("too many directions to remove", value=f"{components} of {len(penalty)} bands", remedy=remedy)
    first = np.linalg.eigh(penalty)[1][:, len(penalty) - components :]
    return np.eye(len(penalty)) - first @ first.T
