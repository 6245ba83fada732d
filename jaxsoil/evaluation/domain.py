"""The domain of a model: is a spectrum like those it was trained on, judged by four distances that need no label.

Two come from principal components (:class:`jaxsoil.evaluation.applicability.SpectralSpace`): how far a spectrum lies
within them, and how far off them. Training sets of several origins leave empty room between their clusters, where both
are small; there the third one speaks, the distance to the nearest training spectra. SNV takes level and contrast of a
spectrum away before these three see it: a reflectance of the right shape and a tenth of the size passes them. The
fourth one is of what SNV takes away (:func:`levels`).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jaxsoil.evaluation.applicability import ALPHA, LatentSpace, SpectralSpace
from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError, intact

NEAREST = 3
"""Training spectra whose mean distance counts."""

NEAR = 5
"""Leading components in which neighbours are looked for: in more of them a search takes as long as a network."""

SEEN = 0.02
"""A spectrum closer to a training spectrum than this share of the limit counts as one of them."""

_CACHED = 128
"""Rows of spectra that stay in a core's cache while their distances are computed."""

_CANDIDATES = 32
"""Neighbours that are looked at for :data:`NEAREST` ones of other groups."""


@dataclass(frozen=True, eq=False)
class Judged:
    """What a domain says of t spectra.

    Attributes:
      distance: (t,) Mahalanobis distance within the components.
      residual: (t,) RMSE off them, in the unit of the preprocessed spectra.
      neighbours: (t,) mean distance of the scores to the nearest training spectra.
      brightness: (t,) Mahalanobis distance of what SNV takes away; NaN in a domain that does not know it.
      seen: (t,) whether it is, but for rounding, one of the training spectra.
      scores: (t, K) whitened scores, such as weights of intervals are taken of.
    """

    distance: np.ndarray
    residual: np.ndarray
    neighbours: np.ndarray
    brightness: np.ndarray
    seen: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True, eq=False)
class Domain:
    """Region of the training spectra.

    Attributes:
      space: their principal components and its two limits.
      training: (n, k) float32 scores of the training spectra on the leading :data:`NEAR` components, not whitened.
      neighbour_limit: of the distance to the nearest ones.
      names: (n,) of the training spectra, as text; None in a domain that keeps none.
      brightness: region of the training spectra's :func:`levels`; None in a domain that does not know it, as
        those of earlier versions.
      brightness_limit: of the distance within it.
    """

    space: SpectralSpace
    training: np.ndarray
    neighbour_limit: float
    names: np.ndarray | None = None
    brightness: LatentSpace | None = None
    brightness_limit: float = np.nan

    @classmethod
    def fit(
        cls,
        spectra: ArrayLike,
        groups: ArrayLike,
        alpha: float = ALPHA,
        names: ArrayLike | None = None,
        levels: ArrayLike | None = None,
    ) -> Domain:
        """Fits components and limits; no label enters.

        Args:
          spectra: (n, m) preprocessed training spectra, such as absorbance after SNV.
          groups: (n,) sample or pedon of each: the nearest spectrum of a training row is one of another group.
          alpha: share of the training rows beyond each limit.
          names: (n,) by which a user may know the rows, such as sample ids.
          levels: (n, 2) of the training absorbances before SNV (:func:`levels`); None: no alarm of the level.

        Raises:
          DataError: as :meth:`SpectralSpace.fit`; groups, names or levels of another length.
        """
        x, blocks = require.finite_rows(spectra, "training spectra", least=3), np.asarray(groups)
        known = None if names is None else np.asarray(names, dtype=np.str_)
        more = {name: v for name, v in {"names": known, "levels": levels}.items() if v is not None}
        require.same_length({"training spectra": x, "groups": blocks, **more})
        space = SpectralSpace.fit(x, alpha=alpha)
        scores = ((x - space.mean) @ space.components[:NEAR].T).astype(np.float32)
        own = np.unique(blocks, return_inverse=True)[1]
        limit = float(np.quantile(_to_others(scores, own), 1.0 - alpha))
        if levels is None:
            return cls(space, scores, limit, known)
        bright = LatentSpace.fit(levels)
        return cls(space, scores, limit, known, bright, float(np.quantile(bright.distance(levels), 1.0 - alpha)))

    @property
    def limits(self) -> dict[str, float]:
        """Critical limit of each distance; without "brightness" where it is not known."""
        inside, off = (float(value) for value in self.space.limits)
        bright = {} if self.brightness is None else {"brightness": self.brightness_limit}
        return {"distance": inside, "residual": off, "neighbours": self.neighbour_limit, **bright}

    def judge(self, spectra: ArrayLike, levels: ArrayLike | None = None) -> Judged:
        """Distances of (t, m) spectra preprocessed in the same way; what is as long as a spectrum is float32.

        ``levels`` (t, 2) are those of the spectra before SNV (:func:`levels`); without them ``brightness`` is NaN.
        """
        x = require.array(spectra, "spectra", 2, features=self.space.mean.size, dtype=np.float32)
        mean, loadings = self._single
        scores, squares = np.empty((len(x), len(loadings)), np.float32), np.empty(len(x), np.float32)
        for start in range(0, len(x), _CACHED):
            rows = slice(start, start + _CACHED)
            centred = x[rows] - mean
            scores[rows] = centred @ loadings.T
            centred -= scores[rows] @ loadings
            squares[rows] = np.einsum("ij,ij->i", centred, centred)
        residual = np.sqrt(squares.astype(np.float64) / mean.size)
        scores = scores.astype(np.float64)
        leading = scores[:, : self.training.shape[1]]
        near = self._nearest(leading)[0]
        bright = None if self.brightness is None or levels is None else self.brightness.distance(levels)
        return Judged(
            self.space.latent.distance(scores),
            residual,
            near.mean(axis=1),
            np.full(len(x), np.nan) if bright is None else bright,
            near[:, 0] < SEEN * self.neighbour_limit,
            self.space.latent.whiten(scores),
        )

    def nearest(self, spectra: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Numbers and distances, (t, :data:`NEAREST`) each, of the training spectra nearest to (t, m) spectra.

        The means of the distances are the ``neighbours`` of :meth:`judge`; fewer training spectra give fewer columns.
        """
        x = require.array(spectra, "spectra", 2, features=self.space.mean.size, dtype=np.float32)
        mean, loadings = self._single
        distances, rows = self._nearest((x - mean) @ loadings[: self.training.shape[1]].T)
        return rows, distances

    def _nearest(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        count = min(NEAREST, len(self.training))
        distances, rows = self._tree.query(scores, k=count)
        return distances.reshape(len(scores), count), rows.reshape(len(scores), count)

    @functools.cached_property
    def _tree(self) -> Any:
        return _tree(self.training)

    @functools.cached_property
    def _single(self) -> tuple[np.ndarray, np.ndarray]:
        return self.space.mean.astype(np.float32), self.space.components.astype(np.float32)

    def arrays(self) -> dict[str, np.ndarray]:
        """What an ``.npz`` file holds of it."""
        own = {"training": self.training, "neighbour_limit": np.float64(self.neighbour_limit)}
        own |= {} if self.names is None else {"names": self.names}
        if self.brightness is not None:
            own |= {f"brightness/{name}": values for name, values in vars(self.brightness).items()}
            own["brightness/limit"] = np.float64(self.brightness_limit)
        return {**own, **{f"space/{name}": values for name, values in self.space.arrays().items()}}

    @classmethod
    def read(cls, arrays: Mapping[str, np.ndarray]) -> Domain:
        """The domain that :meth:`arrays` came from; DataError where an array is missing or has another shape.

        Arrays of earlier versions have nothing under "brightness": the domain is read without it.
        """
        inner = {name.removeprefix("space/"): values for name, values in arrays.items() if name.startswith("space/")}
        space = SpectralSpace.read(inner)
        bright, bright_limit = None, np.nan
        with intact("a domain is not complete"):
            training, limit = arrays["training"], float(arrays["neighbour_limit"])
            if any(name.startswith("brightness/") for name in arrays):
                bright = LatentSpace(*(arrays[f"brightness/{name}"] for name in ("centre", "scale", "whitening")))
                bright_limit = float(arrays["brightness/limit"])
        require.finite_rows(training, "training scores", least=1, features=min(NEAR, space.components.shape[0]))
        names = arrays.get("names")
        if names is not None and (names.dtype.kind != "U" or names.shape != training.shape[:1]):
            value = f"{names.dtype}, shape {names.shape}"
            raise DataError("the names of a domain are none of its rows", value=value, remedy="Write the bundle again.")
        return cls(space, training, limit, names, bright, bright_limit)


def levels(absorbance: ArrayLike) -> np.ndarray:
    """What SNV takes away from (t, m) absorbances, (t, 2): the mean over bands, and log10 of their standard deviation.

    A factor on reflectance moves the first, one on absorbance (another logarithm, another path of the light) both. A
    flat spectrum counts as one of a deviation of 1e-12.
    """
    x = np.asarray(absorbance)
    # Less the first band, so that sums of squares in single precision keep their digits; half the time of a deviation.
    left = x - x[:, :1]
    mean = left.mean(axis=1)
    variance = np.einsum("ij,ij->i", left, left) / x.shape[1] - mean**2
    found = np.stack([x[:, 0] + mean, np.log10(np.sqrt(np.maximum(variance, 1e-24)))], axis=1)
    return found.astype(np.float64)


def _to_others(scores: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Mean distance (n,) of each training row to its nearest rows of other groups."""
    count = min(_CANDIDATES, len(scores))
    distances, rows = _tree(scores).query(scores, k=count)
    others = groups[rows] != groups[:, None]
    order = np.argsort(~others, axis=1, kind="stable")[:, :NEAREST]
    taken = np.take_along_axis(distances, order, axis=1)
    counted = np.take_along_axis(others, order, axis=1)
    # A group larger than the candidates: its farthest candidate is a lower bound.
    found = np.where(counted.any(axis=1), (taken * counted).sum(axis=1) / np.maximum(counted.sum(axis=1), 1), 0.0)
    return np.where(counted.any(axis=1), found, distances[:, -1])


def _tree(scores: np.ndarray) -> Any:
    from scipy.spatial import KDTree

    return KDTree(scores)
