"""Random forest regression (Breiman 2001): scikit-learn's, whose predictions do not depend on the number of threads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from jaxsoil.runs import require

N_TREES = 100
OUT_OF_BAG = 50
"""Trees that predict the training rows they had not drawn: each row by some eighteen of them."""
FEW_ROWS = 1000
"""Rows below which one thread grows all trees: handing a tree of so few to another takes longer than growing it."""
MIN_SAMPLES_LEAF = 1
"""The forest of the studies; leaves of one sample are scikit-learn's default. Neither is tuned on held-out regions."""


@dataclass(frozen=True, eq=False)
class Forest:
    """A fitted forest.

    Attributes:
      trees: scikit-learn's estimator.
      features: number m of features it was trained on.
      out_of_bag: (n,) predictions of each training row by those of its first trees that had not drawn it, NaN where all
        had; None unless asked for.
    """

    trees: Any
    features: int
    out_of_bag: np.ndarray | None = None

    def predict(self, features: ArrayLike) -> np.ndarray:
        """Predictions (t,), float64, for finite features (t, m), as many as in training, else DataError."""
        rows = require.array(features, "rows to predict", 2, features=self.features, dtype=np.float32)
        return np.asarray(self.trees.predict(rows), dtype=np.float64)


def fit(
    features: ArrayLike,
    target: ArrayLike,
    *,
    seed: int,
    n_trees: int = N_TREES,
    max_features: Literal["sqrt", "log2"] | float | int = "sqrt",
    min_samples_leaf: int = MIN_SAMPLES_LEAF,
    n_jobs: int = -1,
    weights: ArrayLike | None = None,
    out_of_bag: bool = False,
) -> Forest:
    """Fits a forest; scikit-learn's own default tries all features at each split, this one sqrt(m).

    Args:
      features: (n, m) preprocessed spectra or covariates of the training rows; a tree needs no scaling.
      target: (n,) on the scale to be predicted.
      seed: seed of the bootstrap and the features tried; the result does not depend on ``n_jobs``.
      n_trees, max_features, min_samples_leaf: as in scikit-learn.
      n_jobs: trees grown at a time; -1: one for each core.
      weights: (n,) weights of the rows; None: one each.
      out_of_bag: predict the training rows by the trees that had not drawn them.

    Raises:
      DataError: if shapes do not fit or a value is not finite.
    """
    from sklearn.ensemble import RandomForestRegressor

    # scikit-learn splits on float32 values in any case.
    x = require.array(features, "training rows", 2, least=2, dtype=np.float32)
    y = require.vector(target, "training targets")
    require.same_length({"training rows": x, "training targets": y})
    tried: Any = max_features
    jobs = 1 if len(x) < FEW_ROWS else n_jobs
    trees = RandomForestRegressor(
        n_estimators=n_trees, max_features=tried, min_samples_leaf=min_samples_leaf, random_state=seed, n_jobs=jobs
    )
    trees.fit(x, y, None if weights is None else require.vector(weights, "weights of training rows"))
    # Threads add up the trees in whatever order they finish; one thread makes the last bits reproducible.
    trees.set_params(n_jobs=1)
    return Forest(trees, x.shape[1], _out_of_bag(trees, x) if out_of_bag else None)


def _out_of_bag(trees: Any, x: np.ndarray) -> np.ndarray:
    """Mean over the first trees that had not drawn a row, NaN where all had (scikit-learn's own attribute has 0)."""
    total, count = np.zeros(len(x)), np.zeros(len(x))
    for tree, drawn in list(zip(trees.estimators_, trees.estimators_samples_, strict=True))[:OUT_OF_BAG]:
        left = np.bincount(drawn, minlength=len(x)) == 0
        total[left] += tree.tree_.predict(x[left]).ravel()
        count += left
    return np.where(count > 0, total / np.maximum(count, 1.0), np.nan)
