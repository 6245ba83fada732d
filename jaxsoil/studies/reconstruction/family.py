"""The models that are to carry over to regions never seen, and what they are compared with: absorbance to log10 SOC.

Each is a linear model, a Gaussian process, an ensemble of networks, or a mean of these with equal weights. Nothing is
chosen for the data: hyper-parameters are averaged over priors that were fixed beforehand
(:mod:`jaxsoil.models.carry_over`, :mod:`jaxsoil.models.gaussian_process`, :mod:`jaxsoil.models.augmented`).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from jaxsoil.models import augmented, carry_over, gaussian_process, invariance, plsr
from jaxsoil.models.augmented import Ensemble
from jaxsoil.models.carry_over import CarryOver
from jaxsoil.models.gaussian_process import GaussianProcess
from jaxsoil.runs.errors import DataError

Made = TypeVar("Made")

EPO_COMPONENTS = 3
"""Directions of the perturbations that EPO removes; not tuned."""

PENALTIES = {
    "ridge": (False, False),
    "ridge_perturbations": (True, False),
    "ridge_regions": (False, True),
    "ridge_both": (True, True),
}
"""Linear models: whether they are penalised for perturbations, and for differences between regions."""

PROCESSES = {"process": False, "process_whitened": True}
"""Gaussian processes: whether spectra are whitened."""

NETWORKS = {"mlp": ("mlp", False), "mlp_augmented": ("mlp", True), "cnn_augmented": ("cnn", True)}
"""Ensembles of networks: their kind, and whether their training spectra are perturbed."""

PARTS: dict[str, dict[str, float]] = {
    **{name: {name: 1.0} for name in ("epo", *PENALTIES, *PROCESSES, *NETWORKS)},
    "carry_over": {"ridge_both": 0.5, "process_whitened": 0.5},
    "carry_over_plsr": {"plsr_absorbance": 0.5, "ridge_both": 0.25, "process_whitened": 0.25},
    "ridge_latent": {"ridge_latent": 1.0},
    "carry_over_mlp": dict.fromkeys(("ridge_both", "process_whitened", "mlp_augmented"), 1.0 / 3.0),
}
"""What each model of the family is the weighted mean of."""

_KEPT = 64
_fits: dict[bytes, Any] = {}


@dataclasses.dataclass(frozen=True, eq=False)
class Mean:
    """A fitted model of the family: a linear model, a Gaussian process and networks, the latter two with weights.

    Attributes:
      linear: the linear parts as one, with their weights; its ``residuals`` are those of the fit's folds.
      process: the process, None without one.
      weight: its weight.
      networks: the ensemble, None without one.
      share: its weight.
    """

    linear: CarryOver
    process: GaussianProcess | None = None
    weight: float = 0.0
    networks: Ensemble | None = None
    share: float = 0.0

    def predict(self, spectra: np.ndarray) -> np.ndarray:
        """log10 SOC (t,) of absorbances (t, m)."""
        found = self.linear.predict(spectra)
        if self.process is not None:
            found = found + self.weight * self.process.predict(spectra)
        return found if self.networks is None else found + self.share * self.networks.predict(spectra)


def fit(
    name: str,
    absorbance: np.ndarray,
    target: np.ndarray,
    regions: np.ndarray,
    axis: np.ndarray,
    folds: np.ndarray,
    strengths: invariance.Strengths | None = None,
) -> Mean:
    """Fits a model of the family.

    Args:
      name: one of :data:`PARTS`.
      absorbance, target: (n, m) and log10 SOC (n,) of the training rows.
      regions, axis: (n,) names and (m,) nm.
      folds: (n,) whose residuals a back-transformation takes; empty for none. Of a process and of networks they are
        those of the linear model with the same penalty, since fits of every fold would take five times as long.
      strengths: of the perturbations; None: the default ones on the axis.

    Raises:
      DataError: the name is unknown, or as of the models.
    """
    if name not in PARTS:
        raise DataError(f"there is no model '{name}'", remedy=f"Use one of {', '.join(PARTS)}.")
    parts, process, networks, weight, share = dict(PARTS[name]), None, None, 0.0, 0.0
    # Rows shared by the regions: one of many rows has no more of a say in what spectra should not react to.
    rows = gaussian_process.subset(regions)
    within = carry_over.space(absorbance[rows], axis, strengths)
    data = absorbance, target, regions, axis
    for part in [one for one in parts if one in PROCESSES]:
        weight = parts.pop(part)
        draws = gaussian_process.prior(whitened=PROCESSES[part], kinds=len(within.penalties))
        own = absorbance[rows], target[rows], regions[rows], axis
        process = _once((part, strengths), own, lambda: gaussian_process.fit(*own, draws, within=within))  # noqa: B023
    for part in [one for one in parts if one in NETWORKS]:
        share, (kind, perturbed) = parts.pop(part), NETWORKS[part]
        drawn = augmented.prior(len(within.penalties), perturbed=perturbed)
        networks = _once((part, strengths), data, lambda: augmented.fit(kind, *data, drawn, strengths=strengths))  # noqa: B023
    alone = PROCESSES.get(name, False) or NETWORKS.get(name, ("", False))[1]
    shares = parts or {"ridge_both" if alone else "ridge": 0.0}
    found = [_once((part, strengths), (*data, folds), lambda: _linear(part, *data, folds, within)) for part in shares]  # noqa: B023
    of = np.array(list(shares.values()))
    residuals = np.mean([one.residuals for one in found], axis=0, dtype=np.float64)
    slope = of @ np.stack([one.coefficients for one in found])
    linear = CarryOver(slope, float(of @ [one.intercept for one in found]), residuals)
    return Mean(linear, process, weight, networks, share)


def _once(what: Any, data: tuple[np.ndarray, ...], make: Callable[[], Made]) -> Made:
    """What ``make`` gives, kept for the next model with the same part: fits depend on nothing else than these."""
    key = hashlib.blake2b(repr(what).encode())
    for values in data:
        key.update(repr((values.shape, values.dtype)).encode() + np.ascontiguousarray(values).tobytes())
    found = _fits.pop(key.digest(), None)
    found = make() if found is None else found
    _fits[key.digest()] = found
    while len(_fits) > _KEPT:
        _fits.pop(next(iter(_fits)), None)
    return found


def _linear(
    name: str,
    x: np.ndarray,
    y: np.ndarray,
    regions: np.ndarray,
    axis: np.ndarray,
    folds: np.ndarray,
    within: carry_over.Space,
) -> CarryOver:
    """A linear part."""
    if name in PENALTIES:
        perturbed, between = PENALTIES[name]
        draws = carry_over.prior(perturbed=perturbed, between=between, kinds=len(within.penalties))
        return carry_over.fit(x, y, regions, axis, draws, folds=folds if folds.size else None, within=within)
    if name == "ridge_latent":
        draws = carry_over.prior(perturbed=False, between=False, kinds=len(within.penalties))
        found = carry_over.fit(x, y, regions, axis, draws, folds=folds if folds.size else None, within=within)
        return without_perturbations(found, within, x, regions)
    kept = np.eye(x.shape[1])
    if name == "epo":
        removed = within.basis @ within.penalties.sum(axis=0) @ within.basis.T
        kept = invariance.orthogonal(removed, EPO_COMPONENTS)
    model = plsr.fit(x @ kept, y)
    slope = model.coefficients[-1] / model.scale
    residuals = plsr.held_out_residuals(x @ kept, y, folds, model.n_components) if folds.size else np.empty(0)
    return CarryOver(kept @ slope, float(model.target_centre - model.centre @ slope), residuals)


def without_perturbations(model: CarryOver, within: carry_over.Space, x: np.ndarray, regions: np.ndarray) -> CarryOver:
    """The model of spectra from which the perturbations that each of them shows are taken away first, by least squares.

    A spectrum is the mean, a soil with the covariance C of training spectra within regions, and perturbations with
    amplitudes of unit variance along directions D of P = D D'. Least squares with these variances finds the part D a =
    P (C + P)^-1 (x - mean), and the model predicts of what is left, mean + C (C + P)^-1 (x - mean): an amplitude counts
    as far as it is beyond what soils of one region show. Linear, so that the result is a linear model. With C of all
    rows and coefficients of least squares, C^-1 c, it is the ridge with penalty P itself, (C + P)^-1 c.

    Args:
      model: of training spectra as they are; its residuals are kept.
      within: coordinates and perturbations of the training rows.
      x: (n, m) absorbances of the training rows; regions: (n,) names.
    """
    z = x @ within.basis
    where = np.unique(regions, return_inverse=True)[1].reshape(-1)
    means = np.stack([z[where == number].mean(axis=0) for number in range(where.max() + 1)])
    soil = (z - means[where]).T @ (z - means[where]) / len(z)
    total = soil + within.penalties.sum(axis=0)
    total += 1e-9 * np.trace(total) / len(total) * np.eye(len(total))
    slope = np.linalg.lstsq(within.basis, model.coefficients, rcond=None)[0]
    coefficients = within.basis @ np.linalg.solve(total, soil @ slope)
    start = model.intercept + float(x.mean(axis=0) @ (model.coefficients - coefficients))
    return CarryOver(coefficients, start, model.residuals)
