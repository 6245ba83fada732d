"""Is a spectrum like those a model was trained on? Distances and limits that need no label.

Two measures, both judged against the training rows alone: the Mahalanobis distance in the latent space, and the
error with which a decoder reproduces the spectrum. Everything is float64 on the host.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError, intact

MASS_FLOOR = 1e-12
"""Smallest mass fraction that the logarithm tells apart: a softmax in float32 may return an exact zero."""

ALPHA = 0.05
"""Share of training rows beyond a critical limit, if they follow the chi-square law."""

FLAGS = ("inside", "distance", "residual", "distance and residual")
"""What a spectrum is called: by which of the two limits of a :class:`SpectralSpace` it is beyond."""


@dataclass(frozen=True, eq=False)
class LatentSpace:
    """The training rows' region in a latent space of K features.

    Attributes:
      centre: (K,) median of the training rows.
      scale: (K,) interquartile range; a feature without one takes its standard deviation, a constant one 1.
      whitening: (K, K) matrix W with W' W = S^-1, S the shrunk covariance of the scaled features.
    """

    centre: np.ndarray
    scale: np.ndarray
    whitening: np.ndarray

    @classmethod
    def fit(cls, latents: ArrayLike) -> LatentSpace:
        """Fits median, interquartile range and covariance (with Ledoit and Wolf's shrinkage) of (n, K) latents.

        The shrinkage keeps the covariance invertible where features are collinear or more than rows; it vanishes
        as rows become many. Rows with a value that is not finite are left out.

        Raises:
          DataError: if the latents are not a table or fewer than two rows are finite.
        """
        from sklearn.covariance import ledoit_wolf

        rows = require.table(latents, "training latents")
        rows = rows[np.isfinite(rows).all(axis=1)]
        if rows.shape[0] < 2:
            value = f"{rows.shape[0]} rows"
            remedy = "Mark the trial as diverged, or train on more rows."
            raise DataError("a latent space takes at least two finite training rows", value=value, remedy=remedy)
        centre = np.median(rows, axis=0)
        lower, upper = np.percentile(rows, [25.0, 75.0], axis=0)
        scale = upper - lower
        # Rounding errors of a constant feature must not be blown up to unit variance.
        tiny = 1e-9 * np.maximum(np.abs(centre), 1.0)
        scale = np.where(scale > tiny, scale, rows.std(axis=0))
        scale = np.where(scale > tiny, scale, 1.0)
        covariance, _ = ledoit_wolf((rows - centre) / scale)
        values, vectors = np.linalg.eigh(covariance)
        # All rows equal: no variance to measure against, so the scaled features count as they are.
        values = values if values[-1] > 0.0 else np.ones_like(values)
        values = np.maximum(values, 1e-12 * values[-1])
        return cls(centre, scale, vectors.T / np.sqrt(values)[:, None])

    def distance(self, latents: ArrayLike) -> np.ndarray:
        """Mahalanobis distance sqrt(z' S^-1 z) of each row from the training median, (n,); NaN where not finite.

        Multi-fidelity paper, Eq. 15, with z scaled by median and interquartile range.
        """
        return np.linalg.norm(self.whiten(latents), axis=1)

    def whiten(self, latents: ArrayLike) -> np.ndarray:
        """(n, K) latents as coordinates whose norm is :meth:`distance`; the training rows have about unit variance."""
        rows = require.table(latents, "latents", features=self.centre.size)
        return (rows - self.centre) / self.scale @ self.whitening.T


@dataclass(frozen=True, eq=False)
class Judged:
    """What a :class:`SpectralSpace` says of n spectra.

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
class SpectralSpace:
    """The training spectra's region: principal components, and how far a spectrum lies from it in and off them.

    Attributes:
      mean: (m,) mean preprocessed training spectrum.
      components: (K, m) loadings, orthonormal.
      latent: the region of the training rows' K scores.
      limits: (2,) critical limits of the distance within the components and of the RMSE off them.
    """

    mean: np.ndarray
    components: np.ndarray
    latent: LatentSpace
    limits: np.ndarray

    @classmethod
    def fit(cls, spectra: ArrayLike, n_components: int = 10, alpha: float = ALPHA, *, rounds: int = 1) -> SpectralSpace:
        """Fits the components and both limits; no label enters.

        Args:
          spectra: (n, m) preprocessed training spectra, such as absorbance after SNV.
          n_components: K; fewer where rows or bands are fewer.
          alpha: share of the training rows beyond each limit.
          rounds: from the second on, rows beyond the limits of the round before are left out of the fit: a gross
            outlier must not define what is usual.

        Raises:
          DataError: fewer than three spectra, one that is not finite, or spectra that do not differ.
        """
        rows = require.finite_rows(spectra, "training spectra", least=3)
        space = _fit(rows, n_components, alpha)
        for _ in range(rounds - 1):
            kept = ~space.judge(rows).outside
            if kept.all() or kept.sum() < max(n_components + 2, rows.shape[0] // 2):
                break
            space = _fit(rows[kept], n_components, alpha)
        return space

    def arrays(self) -> dict[str, np.ndarray]:
        """What an ``.npz`` file holds of it."""
        return {"mean": self.mean, "components": self.components, "limits": self.limits, **vars(self.latent)}

    @classmethod
    def read(cls, arrays: Mapping[str, np.ndarray]) -> SpectralSpace:
        """The space that :meth:`arrays` came from; DataError where an array is missing."""
        with intact("a space of spectra is not complete"):
            latent = LatentSpace(*(arrays[name] for name in ("centre", "scale", "whitening")))
            return cls(arrays["mean"], arrays["components"], latent, arrays["limits"])

    def scores(self, spectra: ArrayLike) -> np.ndarray:
        """Whitened scores (n, K) of preprocessed spectra (n, m)."""
        x = require.finite_rows(spectra, "spectra", features=self.mean.size)
        return self.latent.whiten((x - self.mean) @ self.components.T)

    def judge(self, spectra: ArrayLike) -> Judged:
        """Distance, residual and flag of preprocessed spectra (n, m)."""
        x = require.finite_rows(spectra, "spectra", features=self.mean.size)
        distance, residual = self.distances(x)
        far, poor = distance > self.limits[0], residual > self.limits[1]
        return Judged(distance, residual, np.array(FLAGS)[far.astype(int) + 2 * poor.astype(int)])

    def strangeness(self, spectra: ArrayLike) -> np.ndarray:
        """The larger of distance and RMSE, each over its limit, (n,): above 1 a spectrum is unlike those trained on."""
        x = require.finite_rows(spectra, "spectra", features=self.mean.size)
        return np.max(np.stack(self.distances(x)) / self.limits[:, None], axis=0)

    def distances(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distance within the components and RMSE off them, (n,) each, of preprocessed spectra (n, m), float64."""
        scores = (x - self.mean) @ self.components.T
        off = x - self.mean - scores @ self.components
        return self.latent.distance(scores), np.sqrt(np.mean(off**2, axis=1))


def _fit(x: np.ndarray, n_components: int, alpha: float) -> SpectralSpace:
    from sklearn.decomposition import PCA

    # One component less than the rank leaves an error to judge by.
    pca = PCA(max(1, min(n_components, x.shape[0] - 2, x.shape[1] - 1)), svd_solver="covariance_eigh").fit(x)
    latent = LatentSpace.fit(pca.transform(x))
    found = SpectralSpace(np.asarray(pca.mean_), np.asarray(pca.components_), latent, np.ones(2))
    inside, off = found.distances(x)
    limits = (critical_limit(inside, alpha).value, reconstruction_limit(off, alpha).value)
    return SpectralSpace(found.mean, found.components, latent, np.array(limits))


def latent_distance(train_latents: ArrayLike, latents: ArrayLike) -> np.ndarray:
    """Mahalanobis distance of mass fractions from those of the training rows, on their logarithms.

    Args:
      train_latents: (n, K) mass fractions of the rows that were trained on.
      latents: (t, K) mass fractions of any rows.

    Returns:
      (t,) distances, float64; NaN for rows that are not finite (a diverged network).

    Raises:
      DataError: if a mass fraction is negative, shapes differ, or fewer than two training rows are finite.
    """
    return LatentSpace.fit(_log_mass(train_latents)).distance(_log_mass(latents))


@dataclass(frozen=True)
class CriticalLimit:
    """Where a distance counts as extreme, from the distances of the training rows.

    Multi-fidelity paper, Eqs. 16 to 19 (Pomerantsev 2008): with mean d0 and F = int(2 d0^2 / var d) degrees of
    freedom, F d / d0 follows a chi-square law with F degrees of freedom.

    Attributes:
      mean: d0, in the unit of the distance.
      dof: F, at least 1.
      alpha: share of the training population beyond the limit.
      value: the limit in the unit of the distance.
    """

    mean: float
    dof: int
    alpha: float
    value: float

    def exceeded(self, distances: ArrayLike) -> np.ndarray:
        """Which distances, (n,), lie beyond the limit; one that is not finite counts as beyond."""
        d = np.asarray(distances, dtype=np.float64)
        return ~(d <= self.value)


def critical_limit(train_distances: ArrayLike, alpha: float = ALPHA) -> CriticalLimit:
    """The data-driven chi-square limit of a distance.

    Args:
      train_distances: (n,) non-negative distances, or errors, of the training rows.
      alpha: share of the training population beyond the limit, between 0 and 1.

    Raises:
      DataError: if fewer than two distances are given, one is negative or not finite, or all are equal.
    """
    from scipy.stats import chi2

    d = require.vector(train_distances, "distances of the training rows", least=2)
    require.not_negative(d, "distances of the training rows", remedy="Pass lengths, or errors as an RMSE.")
    require.between_0_and_1(alpha, "share of rows beyond the limit (alpha)")
    mean, variance = float(d.mean()), float(d.var())
    if np.ptp(d) == 0.0 or variance == 0.0:
        remedy = "Check that the latents differ between rows."
        raise DataError("the distances of the training rows do not vary", value=f"{d.size} x {mean:g}", remedy=remedy)
    # Eq. 17 cuts to an integer; a quotient that is whole but for rounding must not lose one.
    dof = max(1, int(2.0 * mean**2 / variance * (1.0 + 1e-12)))
    return CriticalLimit(mean, dof, alpha, float(chi2.ppf(1.0 - alpha, dof)) * mean / dof)


def reconstruction_limit(train_errors: ArrayLike, alpha: float = ALPHA) -> CriticalLimit:
    """The reconstruction alarm: beyond which RMSE over bands a spectrum is unlike those trained on.

    The same chi-square law holds for the squared error, a sum over bands (Pomerantsev and Rodionova 2013), so the
    limit is found there and given as an RMSE.

    Args:
      train_errors: (n,) RMSE over bands of each training spectrum, as a fraction of reflectance.
      alpha: share of the training population beyond the limit.

    Returns:
      A limit in the unit of ``train_errors``; its ``mean`` is the root mean square error.

    Raises:
      DataError: as :func:`critical_limit`.
    """
    limit = critical_limit(np.square(np.asarray(train_errors, dtype=np.float64)), alpha)
    return CriticalLimit(math.sqrt(limit.mean), limit.dof, alpha, math.sqrt(limit.value))


def _log_mass(mass: ArrayLike) -> np.ndarray:
    fractions = require.table(mass, "mass fractions")
    remedy = "Pass the encoder's output after its softmax; use LatentSpace for latents of other kinds."
    require.not_negative(fractions, "mass fractions", remedy=remedy)
    return np.log(np.maximum(fractions, MASS_FLOOR))
