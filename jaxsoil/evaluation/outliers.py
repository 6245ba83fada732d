"""Spectra unlike the others: distance within the space of principal components, and what lies outside it.

Both are judged against limits found on the training rows, as the multi-fidelity study does with latents
(:mod:`jaxsoil.evaluation.applicability`). Everything is float64 on the host.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from jaxsoil.evaluation.applicability import CriticalLimit, LatentSpace, critical_limit, reconstruction_limit
from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError

FLAGS = ("inside", "distance", "residual", "distance and residual")
"""What a row is called: by which of the two limits it is beyond."""


@dataclass(frozen=True, eq=False)
class Judged:
    """What the space says of n rows.

    Attributes:
      distance: (n,) Mahalanobis distance in the space of components.
      residual: (n,) root mean square over bands of what the components do not reproduce (the Q statistic as a RMSE).
      flag: (n,) one of :data:`FLAGS`.
    """

    distance: np.ndarray
    residual: np.ndarray
    flag: np.ndarray

    @property
    def outside(self) -> np.ndarray:
        """Which rows, (n,), are beyond either limit."""
        return self.flag != FLAGS[0]


@dataclass(frozen=True, eq=False)
class PcaSpace:
    """Principal components of training spectra with the limits of their distance and residual.

    Attributes:
      mean: (m,) mean spectrum.
      components: (K, m) orthonormal loadings.
      latent: the region of the training scores.
      distance_limit, residual_limit: beyond which a row is unlike those of the training.
    """

    mean: np.ndarray
    components: np.ndarray
    latent: LatentSpace
    distance_limit: CriticalLimit
    residual_limit: CriticalLimit

    @classmethod
    def fit(cls, spectra: ArrayLike, components: int, alpha: float, rounds: int = 2) -> PcaSpace:
        """Fits components and limits on (n, m) preprocessed training spectra.

        Args:
          spectra: training rows, on one axis.
          components: number K of components, below n and m.
          alpha: share of the training population beyond each limit.
          rounds: from the second on, rows beyond the limits of the round before are left out of the fit: a gross
            outlier must not define what is usual.

        Raises:
          DataError: a table with fewer rows or bands than components + 2, or values that are not finite.
        """
        rows = require.finite_rows(spectra, "training spectra")
        if min(rows.shape) < components + 2 or components < 1:
            value = f"shape {rows.shape}, {components} components"
            remedy = "Lower the number of components, or train on more rows."
            raise DataError("principal components need more rows and bands than components", value=value, remedy=remedy)
        space = _fit(rows, components, alpha)
        for _ in range(rounds - 1):
            kept = ~space.judge(rows).outside
            if kept.all() or kept.sum() < max(components + 2, rows.shape[0] // 2):
                break
            space = _fit(rows[kept], components, alpha)
        return space

    def judge(self, spectra: ArrayLike) -> Judged:
        """Distance, residual and flag of (n, m) spectra preprocessed in the same way."""
        rows = np.asarray(spectra, dtype=np.float64)
        scores = (rows - self.mean) @ self.components.T
        distance, residual = self.latent.distance(scores), _residual(rows - self.mean, scores)
        far, poor = self.distance_limit.exceeded(distance), self.residual_limit.exceeded(residual)
        return Judged(distance, residual, np.array(FLAGS)[far.astype(int) + 2 * poor.astype(int)])


def _fit(rows: np.ndarray, components: int, alpha: float) -> PcaSpace:
    mean = rows.mean(axis=0)
    centred = rows - mean
    # Of many rows the bands' covariance is the smaller problem; its vectors are the loadings.
    _, vectors = np.linalg.eigh(centred.T @ centred / rows.shape[0])
    loadings = vectors[:, ::-1][:, :components].T
    scores = centred @ loadings.T
    latent = LatentSpace.fit(scores)
    return PcaSpace(
        mean,
        loadings,
        latent,
        critical_limit(latent.distance(scores), alpha),
        reconstruction_limit(_residual(centred, scores), alpha),
    )


def _residual(centred: np.ndarray, scores: np.ndarray) -> np.ndarray:
    # The loadings are orthonormal: what is left is the length of the row without that of its scores.
    left = np.sum(centred**2, axis=1) - np.sum(scores**2, axis=1)
    return np.sqrt(np.maximum(left, 0.0) / centred.shape[1])
