"""References without a network: the mean of a layer, and random forests on covariates at the site."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64

from jaxsoil.models import forest
from jaxsoil.studies.layers.config import LayersConfig
from jaxsoil.studies.layers.prepare import LayersData


def point_features(windows: Float32[np.ndarray, "n w v c"], *, context: bool) -> Float32[np.ndarray, "n f"]:
    """Covariates of the central pixel; with ``context`` also their means and standard deviations over the window."""
    centre = windows[:, windows.shape[1] // 2, windows.shape[2] // 2, :]
    if not context:
        return centre
    return np.concatenate([centre, windows.mean(axis=(1, 2)), windows.std(axis=(1, 2))], axis=1)


class LayerMeans:
    """The mean of each layer over the training rows: what a model must beat.

    Args:
      target: (n, layers) on the scale of learning, NaN where nothing was measured.
      train: (n,) training rows.
    """

    def __init__(self, target: Float64[np.ndarray, "n l"], train: Bool[np.ndarray, " n"]) -> None:
        self._means = np.nanmean(target[train], axis=0)

    def predict(self, windows: Float32[np.ndarray, "t w v c"]) -> Float64[np.ndarray, "t l"]:
        """The same values everywhere."""
        return np.tile(self._means, (windows.shape[0], 1))


class LayerForests:
    """One random forest for each layer (scikit-learn), without scaling: trees do not need it.

    Args:
      windows, target, train: as in :class:`LayerMeans`, with (n, w, w, c) windows.
      context: whether the forests see means and spreads over the window too.
      trees: in each forest.
      seed: of the forests.
    """

    def __init__(
        self,
        windows: Float32[np.ndarray, "n w v c"],
        target: Float64[np.ndarray, "n l"],
        train: Bool[np.ndarray, " n"],
        *,
        context: bool,
        trees: int,
        seed: int,
    ) -> None:
        self._context = context
        features = point_features(windows, context=context)
        self._forests: list[forest.Forest] = []
        for place in range(target.shape[1]):
            rows = train & np.isfinite(target[:, place])
            # A third of the covariates at a split and small leaves are the usual choice for regression.
            options = {"n_trees": trees, "max_features": 1 / 3, "min_samples_leaf": 3, "n_jobs": 2}
            self._forests.append(forest.fit(features[rows], target[rows, place], seed=seed, **options))

    def predict(self, windows: Float32[np.ndarray, "t w v c"]) -> Float64[np.ndarray, "t l"]:
        """Predictions on the scale of learning."""
        features = point_features(windows, context=self._context)
        with ThreadPoolExecutor(2) as pool:
            layers = list(pool.map(lambda layer: layer.predict(features), self._forests))
        return np.stack(layers, axis=1)


def references(model: str, split: str, seed: int, data: LayersData, config: LayersConfig) -> list[Any]:
    """One reference model for each fold of a split, fitted on the other folds."""
    target, fold = data.to_scale(data.sites.values), data.folds[split]
    if model == "mean":
        return [LayerMeans(target, fold != number) for number in range(config.folds)]
    return [
        LayerForests(
            data.windows,
            target,
            fold != number,
            context=model == "rf_window",
            trees=config.trees,
            seed=seed * config.folds + number,
        )
        for number in range(config.folds)
    ]
