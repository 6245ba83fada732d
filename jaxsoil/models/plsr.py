"""Partial least squares regression (PLSR), for one property, with any number of components up to the fitted one.

Spectra come after their row-wise preprocessing (absorbance, SNV: no statistic of other rows). Whatever is estimated,
the scaling of bands and target included, comes from the training rows alone. Predictions are on the scale of ``y``.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError

N_COMPONENTS = 15
"""Latent variables, as in the reference values of the ``fields`` composite."""


@dataclass(frozen=True, eq=False)
class Plsr:
    """Fitted models with 1, 2, ... A components.

    Attributes:
      centre, scale: (m,) mean and standard deviation of each band over the training rows.
      target_centre: mean of the training targets.
      coefficients: (A, m) of the standardised bands, a row for each number of components.
    """

    centre: np.ndarray
    scale: np.ndarray
    target_centre: float
    coefficients: np.ndarray

    @property
    def n_components(self) -> int:
        """A, the largest number of components."""
        return self.coefficients.shape[0]

    def predict(self, spectra: ArrayLike) -> np.ndarray:
        """Predictions (t,) with all A components for finite spectra (t, m) on the training axis, else DataError."""
        rows = require.finite_rows(spectra, "spectra to predict", least=0, features=self.centre.size)
        return ((rows - self.centre) / self.scale @ self.coefficients[-1][:, None]).ravel() + self.target_centre


def fit(
    spectra: ArrayLike, target: ArrayLike, n_components: int = N_COMPONENTS, *, weights: ArrayLike | None = None
) -> Plsr:
    """Fits PLSR on standardised bands (improved kernel PLS 1, Dayal and MacGregor 1997).

    Args:
      spectra: (n, m) preprocessed spectra of the training rows.
      target: (n,) on the scale to be predicted.
      n_components: latent variables, at most min(n - 1, m). Those beyond the rank of the data change nothing.
      weights: (n,) positive weights of the rows, in means, scales and covariances alike; only their ratios count.

    Raises:
      DataError: if shapes do not fit, a value is not finite, or there are fewer rows than components.
    """
    from ikpls.numpy import PLS

    x, y = require.finite_rows(spectra, "training spectra", least=2), require.vector(target, "training targets")
    require.same_length({"training spectra": x, "training targets": y})
    most = min(x.shape[0] - 1, x.shape[1])
    if not 1 <= n_components <= most:
        problem = f"{x.shape[0]} training rows and {x.shape[1]} bands allow 1 to {most} components"
        remedy = "Lower the number of components, or train on more rows."
        raise DataError(problem, value=n_components, remedy=remedy)
    centre, scale, middle, root = x.mean(axis=0), x.std(axis=0, ddof=1), y.mean(), np.ones((len(y), 1))
    if weights is not None:
        w = require.vector(weights, "weights of training rows")
        require.same_length({"training targets": y, "weights of training rows": w})
        if not (w > 0).all():
            raise DataError("weights are positive", value=float(w.min()), remedy="Leave rows without weight out.")
        w = w / w.mean()
        centre, middle, root = np.average(x, axis=0, weights=w), np.average(y, weights=w), np.sqrt(w)[:, None]
        scale = np.sqrt(np.average((x - centre) ** 2, axis=0, weights=w) * len(y) / (len(y) - 1))
    # A band without variance carries nothing; dividing by its rounding error would make it matter.
    scale[scale < 1e-12] = 1.0
    if np.ptp(y) == 0.0:
        return Plsr(centre, scale, float(y[0]), np.zeros((n_components, x.shape[1])))
    model = PLS(algorithm=1, center_X=False, center_Y=False, scale_X=False, scale_Y=False, copy=False)
    with warnings.catch_warnings():
        # Past the rank of the data ikpls carries the coefficients forward and says so.
        warnings.simplefilter("ignore", UserWarning)
        model.fit(root * (x - centre) / scale, root * (y - middle)[:, None], n_components)
    return Plsr(centre, scale, float(middle), np.asarray(model.B, dtype=np.float64)[:, :, 0])


def choose_components(
    spectra: ArrayLike, target: ArrayLike, folds: ArrayLike, most: int = N_COMPONENTS
) -> tuple[int, np.ndarray]:
    """The number of components with the lowest cross-validated squared error.

    Args:
      spectra, target: training rows, as in :func:`fit`.
      folds: (n,) fold of each row; the groups of the study lie within folds.
      most: components tried at most; the smallest training part of a fold may allow fewer.

    Returns:
      The number and the mean squared errors (components,) of 1, 2, ... components. Bands are standardised and the
      target is centred on the training rows of each fold.

    Raises:
      DataError: as :func:`fit`.
    """
    residuals = _cross_validated(spectra, target, folds, most)
    error = np.mean(residuals**2, axis=1)
    return int(np.argmin(np.where(np.isfinite(error), error, np.inf))) + 1, error


def held_out_residuals(spectra: ArrayLike, target: ArrayLike, folds: ArrayLike, n_components: int) -> np.ndarray:
    """Observed minus predicted (n,) of rows by models of the other folds, fold by fold; arguments and errors as there.

    With fewer components where the smallest training part of a fold allows no more.
    """
    return _cross_validated(spectra, target, folds, n_components)[-1]


def _cross_validated(spectra: ArrayLike, target: ArrayLike, folds: ArrayLike, most: int) -> np.ndarray:
    """Residuals (components, n) with 1, 2, ... components, one fold's rows after the other's."""
    from ikpls.fast_cross_validation.numpy import PLS

    x, y = require.finite_rows(spectra, "training spectra", least=2), require.vector(target, "training targets")
    fold = np.asarray(folds)
    require.same_length({"training spectra": x, "training targets": y, "folds": fold})
    smallest = x.shape[0] - int(np.unique(fold, return_counts=True)[1].max())
    most = max(1, min(most, smallest - 1, x.shape[1]))
    # A band without variance would be divided by zero in its fold; it carries nothing.
    x = x[:, np.ptp(x, axis=0) > 0]
    model = PLS(algorithm=2, center_X=True, center_Y=True, scale_X=True, scale_Y=False, ddof=1, copy=False)

    def residuals(observed: ArrayLike, predicted: ArrayLike) -> np.ndarray:
        return (np.asarray(observed)[None] - np.asarray(predicted))[:, :, 0]

    # ikpls announces every cross-validation on stdout.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore", UserWarning)
        found = model.cross_validate(x, y[:, None], most, fold.tolist(), residuals, n_jobs=1, verbose=0)
    return np.concatenate(list(found.values()), axis=1)


def held_out(
    spectra: ArrayLike, target: ArrayLike, folds: ArrayLike, most: int = N_COMPONENTS
) -> tuple[np.ndarray, np.ndarray]:
    """Predictions of a cross-validation, each row by the model of the other folds.

    The number of components of a fold is the one with the lowest squared error over the rows of all other folds, which
    other models predicted: one number is chosen by models that saw the fold, its coefficients by none.

    Args:
      spectra, target, folds, most: as in :func:`choose_components`.

    Returns:
      Predictions (n,) and components (folds,), in the order of the folds' names.

    Raises:
      DataError: as :func:`fit`.
    """
    x, y, fold = np.asarray(spectra, np.float64), np.asarray(target, np.float64), np.asarray(folds)
    names, sizes = np.unique(fold, return_counts=True)
    most = max(1, min(most, y.size - int(sizes.max()) - 1, x.shape[1]))
    paths = np.empty((most, y.size))
    for name in names:
        model = fit(x[fold != name], y[fold != name], most)
        rows = (x[fold == name] - model.centre) / model.scale
        paths[:, fold == name] = model.coefficients @ rows.T + model.target_centre
    errors, found, counts = (paths - y) ** 2, np.empty(y.size), []
    for name in names:
        counts.append(int(np.argmin(errors[:, fold != name].mean(axis=1))) + 1)
        found[fold == name] = paths[counts[-1] - 1, fold == name]
    return found, np.array(counts)


def fit_chosen(spectra: ArrayLike, target: ArrayLike, folds: ArrayLike, most: int = N_COMPONENTS) -> Plsr:
    """:func:`fit` with the number of components of :func:`choose_components`; arguments and errors as there."""
    return fit(spectra, target, choose_components(spectra, target, folds, most)[0])
