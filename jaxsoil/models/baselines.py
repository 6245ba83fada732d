"""Reference models of soil spectroscopy, which every network is shown beside.

Both take spectra after their row-wise preprocessing (absorbance, SNV: no statistic of other rows) and
return predictions on the scale of ``y`` (log10 SOC in the studies). Whatever is estimated, the scaling of
bands and target included, comes from the training rows alone.
"""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from jaxsoil.runs.errors import DataError

N_COMPONENTS = 15
"""Latent variables of PLSR, as in the reference values of the ``fields`` composite."""

N_TREES = 200
MIN_SAMPLES_LEAF = 1
"""The forest of the studies; leaves of one sample are scikit-learn's default. Neither is tuned on held-out regions."""


def plsr(x_train: ArrayLike, y_train: ArrayLike, x_test: ArrayLike, *, n_components: int = N_COMPONENTS) -> np.ndarray:
    """Partial least squares on standardised bands (improved kernel PLS 1, Dayal and MacGregor 1997).

    Args:
      x_train: (n, m) preprocessed spectra of the training rows.
      y_train: (n,) target, on the scale to be predicted.
      x_test: (t, m) preprocessed spectra to predict, on the same axis.
      n_components: latent variables, at most min(n - 1, m).

    Returns:
      (t,) predictions, float64. Components beyond the rank of the data change nothing.

    Raises:
      DataError: if shapes do not fit, a value is not finite, or there are fewer rows than components.
    """
    from ikpls.numpy import PLS

    x, y, new = _checked(x_train, y_train, x_test)
    most = min(x.shape[0] - 1, x.shape[1])
    if not 1 <= n_components <= most:
        raise DataError(
            f"{x.shape[0]} training rows and {x.shape[1]} bands allow 1 to {most} components",
            value=n_components,
            remedy="Lower the number of components, or train on more rows.",
        )
    centre, scale = x.mean(axis=0), x.std(axis=0, ddof=1)
    # A band without variance carries nothing; dividing by its rounding error would make it matter.
    scale[scale < 1e-12] = 1.0
    y_centre = y.mean()
    model = PLS(algorithm=1, center_X=False, center_Y=False, scale_X=False, scale_Y=False, copy=False)
    with warnings.catch_warnings():
        # ikpls carries the coefficients forward past the rank of the data, which is what is documented above.
        warnings.simplefilter("ignore", UserWarning)
        model.fit((x - centre) / scale, (y - y_centre)[:, None], n_components)
        predicted = model.predict((new - centre) / scale, n_components=n_components)
    return np.asarray(predicted, dtype=np.float64).ravel() + y_centre


def random_forest(
    x_train: ArrayLike,
    y_train: ArrayLike,
    x_test: ArrayLike,
    *,
    seed: int,
    n_trees: int = N_TREES,
    max_features: Literal["sqrt", "log2"] | float | int = "sqrt",
    min_samples_leaf: int = MIN_SAMPLES_LEAF,
    n_jobs: int = -1,
) -> np.ndarray:
    """Random forest regression (Breiman 2001), with sqrt(m) bands tried at each split.

    Args:
      x_train: (n, m) preprocessed spectra of the training rows.
      y_train: (n,) target, on the scale to be predicted.
      x_test: (t, m) preprocessed spectra to predict, on the same axis.
      seed: seed of the bootstrap and the bands; the result does not depend on ``n_jobs``.
      n_trees, max_features, min_samples_leaf: as in scikit-learn; scikit-learn's own default tries all bands.
      n_jobs: trees grown at a time; -1: one for each core.

    Returns:
      (t,) predictions, float64.

    Raises:
      DataError: if shapes do not fit or a value is not finite.
    """
    from sklearn.ensemble import RandomForestRegressor

    x, y, new = _checked(x_train, y_train, x_test)
    tried: Any = max_features
    forest = RandomForestRegressor(
        n_estimators=n_trees,
        max_features=tried,
        min_samples_leaf=min_samples_leaf,
        random_state=seed,
        n_jobs=n_jobs,
    )
    # scikit-learn splits on float32 values in any case.
    forest.fit(x.astype(np.float32), y)
    # Threads add up the trees in whatever order they finish; one thread makes the last bits reproducible.
    forest.set_params(n_jobs=1)
    return np.asarray(forest.predict(new.astype(np.float32)), dtype=np.float64)


def _checked(x_train: ArrayLike, y_train: ArrayLike, x_test: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, y, new = (np.asarray(values, dtype=np.float64) for values in (x_train, y_train, x_test))
    if x.ndim != 2 or new.ndim != 2 or x.shape[1] != new.shape[1] or y.shape != x.shape[:1] or x.shape[0] < 2:
        raise DataError(
            "training spectra, targets and test spectra do not belong together",
            value=f"x_train {x.shape}, y_train {y.shape}, x_test {new.shape}",
            remedy="Pass (n, m), (n,) and (t, m) with n of at least 2, on one axis.",
        )
    for name, values in (("x_train", x), ("y_train", y), ("x_test", new)):
        if not np.isfinite(values).all():
            raise DataError(
                "not all values are finite",
                column=name,
                value=f"{int((~np.isfinite(values)).sum())} of {values.size}",
                remedy="Select rows with a measured target, and positive values before a logarithm.",
            )
    return x, y, new
