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

    @classmethod
    def kinds(cls) -> tuple[str, ...]:
        """Kinds of perturbation, in the order of :func:`penalties`."""
        return tuple(field.name for field in dataclasses.fields(cls))


@dataclasses.dataclass(frozen=True)
class MidInfraredStrengths(Strengths):
    """The same in the mid-infrared, with the axis in cm-1.

    The strengths are our assumptions, of the size of what the infrared twin has
    (:class:`jaxsoil.data.twin.infrared.config.InfraredTwinConfig`): none was fitted to data.
    """

    shift: float = 1.0
    """Wavenumber scale, cm-1: half of the twin's 0.0005 of the wavenumber at 4,000 cm-1."""
    offset: float = 0.005
    """Stray and mirrored light, reflectance."""
    gain: float = 0.10
    """A share of the reflectance: a baseline of 0.043 absorbance."""
    tilt: float = 0.07
    """Slope of ln R over half the axis: a baseline of 0.03 absorbance at its ends."""
    curvature: float = 0.05
    """Curvature of ln R at both ends of the axis: 0.02 absorbance."""
    bandwidth: float = 8.0
    """Resolution, full width at half maximum in cm-1."""
    carbon_dioxide: float = 0.01
    """Carbon dioxide of a compartment that is not purged, absorbance at 2361 cm-1, of either sign."""
    curve: float = 0.03
    """Smooth curve by which two instruments differ, SD over the bands in absorbance; between real ones 0.02 to 0.07."""


KINDS = Strengths.kinds()
"""Kinds of perturbation in the visible and near-infrared."""

MID_INFRARED = 5000.0
"""Wavelength (nm) beyond which an axis is one of the mid-infrared, whose perturbations are stated in cm-1."""

_WIDTHS = ("shift", "bandwidth")
_ONE_SIDED = ("moisture", "bandwidth")


def strengths_for(axis: ArrayLike) -> Strengths:
    """The default strengths on an axis (m,) in nm: those of the mid-infrared beyond :data:`MID_INFRARED`."""
    return MidInfraredStrengths() if np.max(np.asarray(axis, np.float64)) > MID_INFRARED else Strengths()


def differences(
    absorbance: ArrayLike, axis: ArrayLike, kind: str, seed: int = 0, strengths: Strengths | None = None
) -> np.ndarray:
    """What a perturbation does to spectra: perturbed minus given absorbances (n, m).

    A band keeps at least half of its light, so that an offset does not turn dark spectra negative.

    Args:
      absorbance: (n, m), on
      axis: (m,) ascending, nm.
      kind: one of the strengths' kinds.
      seed: of the draws, one for each row.
      strengths: standard deviations; None: :func:`strengths_for` the axis.

    Raises:
      DataError: a strength is negative, or a shift or slit is wider than the axis.
    """
    own = strengths or strengths_for(axis)
    drawn = np.random.default_rng([seed, own.kinds().index(kind)]).standard_normal(len(np.asarray(absorbance)))
    drawn = np.clip(np.abs(drawn) if kind == "moisture" else drawn, -2.0, 2.0)
    return _moved(absorbance, axis, kind, np.ones_like(drawn) if kind == "bandwidth" else drawn, own, seed)


def unit_differences(absorbance: ArrayLike, axis: ArrayLike, strengths: Strengths | None = None) -> np.ndarray:
    """What each kind of perturbation does at one standard deviation, (n, kinds, m): nearly linear in the strength.

    Args and errors: as of :func:`differences`; the smooth curves of the mid-infrared differ from row to row.
    """
    own = strengths or strengths_for(axis)
    ones = np.ones(len(np.asarray(absorbance)))
    return np.stack([_moved(absorbance, axis, kind, ones, own, 0) for kind in own.kinds()], axis=1)


def one_sided(strengths: Strengths) -> np.ndarray:
    """Which kinds, (kinds,), have strengths of one sign: a sample is never drier than dry, nor a slit narrower."""
    return np.isin(strengths.kinds(), _ONE_SIDED)


def _moved(
    absorbance: ArrayLike, axis: ArrayLike, kind: str, times: np.ndarray, strengths: Strengths, seed: int
) -> np.ndarray:
    """Perturbed minus given absorbances (n, m), at ``times`` (n,) the standard deviation of the kind."""
    rows, bands, unit = np.asarray(absorbance, np.float64), np.asarray(axis, np.float64), "nm"
    turned = isinstance(strengths, MidInfraredStrengths)
    if turned:
        rows, bands, unit = rows[:, ::-1], 1e7 / bands[::-1], "cm-1"
    sd, span = float(getattr(strengths, kind)), float(bands[-1] - bands[0])
    if not 0.0 <= sd < (span if kind in _WIDTHS else np.inf):
        what = f"{sd:g} {unit} on {span:g} {unit}" if kind in _WIDTHS else f"{sd:g}"
        remedy = "Give a standard deviation of at least 0 that is narrower than the axis."
        raise DataError(f"a perturbation has an impossible {kind}", value=what, remedy=remedy)
    drawn, window = sd * times, (float(bands[0]), float(bands[-1]))
    reflectance = 10.0**-rows
    water = {"bands": perturbations.WATER_FUNDAMENTALS, "darkening": 0.0} if turned else {}
    applied: dict[str, Callable[[], Any]] = {
        "shift": lambda: perturbations.shift(reflectance, drawn, bands),
        "offset": lambda: perturbations.offset(reflectance, drawn),
        "gain": lambda: perturbations.gain(reflectance, np.maximum(1.0 + drawn, 0.0)),
        "tilt": lambda: perturbations.tilt(reflectance, drawn, bands, window),
        "curvature": lambda: perturbations.curvature(reflectance, drawn, bands, window),
        "path": lambda: perturbations.path(reflectance, 1.0 + drawn),
        "moisture": lambda: perturbations.wet(reflectance, drawn, bands, **water),
        "bandwidth": lambda: perturbations.broaden(reflectance, drawn, bands),
        "carbon_dioxide": lambda: perturbations.carbon_dioxide(reflectance, drawn, bands),
        "curve": lambda: perturbations.add_curves(reflectance, drawn, bands, np.random.default_rng([seed, 1])),
    }
    found = -np.log10(np.maximum(applied[kind](), reflectance / 2.0)) - rows
    return found[:, ::-1] if turned else found


def penalties(absorbance: ArrayLike, axis: ArrayLike, strengths: Strengths | None = None) -> np.ndarray:
    """Mean products of the bands' differences, (kinds, m, m), one matrix for each kind of perturbation.

    Args and errors: as of :func:`differences`; of more than :data:`MOST_ROWS` rows evenly spaced ones are perturbed.
    """
    rows = require.finite_rows(absorbance, "training spectra")
    chosen = rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST_ROWS)).round().astype(int)]
    kinds = (strengths or strengths_for(axis)).kinds()
    return np.stack([mean_products(differences(chosen, axis, kind, 0, strengths)) for kind in kinds])


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
