"""Partial least squares whose number of components is chosen inside the training rows."""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxsoil.models import baselines


def choose_components(x: Any, y: Any, folds: Any, most: int) -> tuple[int, NDArray[np.float64]]:
    """The number of components with the lowest cross-validated squared error.

    Args:
      x: (n, m) preprocessed spectra of the training rows.
      y: (n,) target on the scale to be predicted.
      folds: (n,) fold of each row; the groups of the study lie within folds.
      most: components tried at most; the smallest training fold may allow fewer.

    Returns:
      The number and the mean squared errors (components,) of 1, 2, ... components. Bands are standardised and the
      target is centred on the training rows of each fold.
    """
    from ikpls.fast_cross_validation.numpy import PLS

    x, y, folds = np.asarray(x, np.float64), np.asarray(y, np.float64), np.asarray(folds)
    smallest = x.shape[0] - int(np.unique(folds, return_counts=True)[1].max())
    most = max(1, min(most, smallest - 1, x.shape[1]))
    # A band without variance would be divided by zero in its fold; it carries nothing.
    x = x[:, np.ptp(x, axis=0) > 0]
    model = PLS(algorithm=2, center_X=True, center_Y=True, scale_X=True, scale_Y=False, ddof=1, copy=False)

    def squares(observed: Any, predicted: Any) -> NDArray[np.float64]:
        return ((np.asarray(predicted) - np.asarray(observed)[None]) ** 2).sum(axis=(1, 2))

    # ikpls announces every cross-validation on stdout.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        # Past the rank of the data ikpls carries the coefficients forward and says so.
        warnings.simplefilter("ignore", UserWarning)
        found = model.cross_validate(x, y[:, None], most, folds.tolist(), squares, n_jobs=1, verbose=0)
    error = np.sum(list(found.values()), axis=0) / x.shape[0]
    return int(np.argmin(np.where(np.isfinite(error), error, np.inf))) + 1, error


def fit_predict(x: Any, y: Any, folds: Any, new: Any, most: int) -> tuple[NDArray[np.float64], int]:
    """Predictions (t,) for the spectra ``new`` (t, m), and the number of components chosen by ``folds``.

    Other arguments as in :func:`choose_components`. The model is :func:`jaxsoil.models.baselines.plsr`.
    """
    components, _ = choose_components(x, y, folds, most)
    return baselines.plsr(x, y, new, n_components=components), components
