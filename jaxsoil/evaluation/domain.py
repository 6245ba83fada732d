"""The domain of a model: is a spectrum like those it was trained on, judged by three distances that need no label.

Two come from principal components (:class:`jaxsoil.evaluation.applicability.SpectralSpace`): how far a spectrum lies
within them, and how far off them. Training sets of several origins leave empty room between their clusters, where both
are small; there the third one speaks, the distance to the nearest training spectra.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jaxsoil.evaluation.applicability import ALPHA, SpectralSpace
from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError

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
      seen: (t,) whether it is, but for rounding, one of the training spectra.
      scores: (t, K) whitened scores, such as weights of intervals are taken of.
    """

    distance: np.ndarray
    residual: np.ndarray
    neighbours: np.ndarray
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
    """

    space: SpectralSpace
    training: np.ndarray
    neighbour_limit: float
    names: np.ndarray | None = None

    @classmethod
    def fit(cls, spectra: ArrayLike, groups: ArrayLike, alpha: float = ALPHA, names: ArrayLike | None = None) -> Domain:
        """Fits components and limits; no label enters.

        Args:
          spectra: (n, m) preprocessed training spectra, such as absorbance after SNV.
          groups: (n,) sample or pedon of each: the nearest spectrum of a training row is one of another group.
          alpha: share of the training rows beyond each limit.
          names: (n,) by which a user may know the rows, such as sample ids.

        Raises:
          DataError: as :meth:`SpectralSpace.fit`; groups or names of another length.
        """
        x, blocks = require.finite_rows(spectra, "training spectra", least=3), np.asarray(groups)
        known = None if names is None else np.asarray(names, dtype=np.str_)
        require.same_length({"training spectra": x, "groups": blocks, **({} if known is None else {"names": known})})
        space = SpectralSpace.fit(x, alpha=alpha)
        scores = ((x - space.mean) @ space.components[:NEAR].T).astype(np.float32)
        own = np.unique(blocks, return_inverse=True)[1]
        limit = float(np.quantile(_to_others(scores, own), 1.0 - alpha))
        return cls(space, scores, limit, known)

    @property
    def limits(self) -> dict[str, float]:
        """Critical limit of each distance."""
        inside, off = (float(value) for value in self.space.limits)
        return {"distance": inside, "residual": off, "neighbours": self.neighbour_limit}

    def judge(self, spectra: ArrayLike) -> Judged:
        """Distances of (t, m) spectra preprocessed in the same way; what is as long as a spectrum is float32."""
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
        return Judged(
            self.space.latent.distance(scores),
            residual,
            near.mean(axis=1),
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
        return {**own, **{f"space/{name}": values for name, values in self.space.arrays().items()}}

    @classmethod
    def read(cls, arrays: Mapping[str, np.ndarray]) -> Domain:
        """The domain that :meth:`arrays` came from; DataError where an array is missing or has another shape."""
        inner = {name.removeprefix("space/"): values for name, values in arrays.items() if name.startswith("space/")}
        space = SpectralSpace.read(inner)
        try:
            training, limit = arrays["training"], float(arrays["neighbour_limit"])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError("a domain is not complete", value=str(error), remedy="Write the bundle again.") from error
        require.finite_rows(training, "training scores", least=1, features=min(NEAR, space.components.shape[0]))
        names = arrays.get("names")
        if names is not None and (names.dtype.kind != "U" or names.shape != training.shape[:1]):
            value = f"{names.dtype}, shape {names.shape}"
            raise DataError("the names of a domain are none of its rows", value=value, remedy="Write the bundle again.")
        return cls(space, training, limit, names)


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
