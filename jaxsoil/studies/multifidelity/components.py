"""Principal components of the pre-training scans: where the autoencoder starts, and what it is held against."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST = 1e-5
"""Components whose SD is less than this share of the first one's are rounding errors, and are left out."""


@dataclasses.dataclass(frozen=True, eq=False)
class Components:
    """The leading principal components of spectra.

    Args:
      mean: (M,) mean spectrum.
      axes: (K, M) orthonormal directions, the strongest first.
      sd: (K,) standard deviation of the training spectra along each.
    """

    mean: NDArray[np.float64]
    axes: NDArray[np.float64]
    sd: NDArray[np.float64]

    @classmethod
    def fit(cls, parts: Iterable[Any], count: int) -> Components:
        """The first ``count`` components, or all, of spectra that come part by part, (r, M) each."""
        n, total, products = 0, 0.0, 0.0
        for part in parts:
            values = np.asarray(part, np.float64)
            n, total, products = n + len(values), total + values.sum(axis=0), products + values.T @ values
            del part, values  # before the next part is read
        mean = np.asarray(total) / n
        variance, axes = np.linalg.eigh(np.asarray(products) / n - np.outer(mean, mean))
        sd = np.sqrt(np.maximum(variance[::-1][:count], 0.0))
        kept = sd > LEAST * sd[0]
        axes = axes.T[::-1][:count][kept]
        # Which way an axis points is arbitrary: its largest entry is positive.
        largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
        return cls(mean, axes * np.sign(largest), sd[kept])

    def scores(self, spectra: NDArray) -> NDArray[np.float32]:
        """(n, K) standardised scores of spectra (n, M)."""
        return ((spectra - self.mean) @ self.axes.T / self.sd).astype(np.float32)

    def rebuild(self, scores: NDArray) -> NDArray[np.float32]:
        """Spectra (n, M) of standardised scores (n, K)."""
        return ((scores * self.sd) @ self.axes + self.mean).astype(np.float32)

    def start(self, params: Mapping[str, Any], noise: float) -> dict[str, Any]:
        """Parameters of an autoencoder with linear paths (``VaeConfig.linear``) that starts as these components.

        Args:
          params: initial parameters; their layers end in zeros.
          noise: norm of the spectra's error by which each latent's posterior starts.
        """
        count, made = self.sd.size, {name: dict(params[name]) for name in ("encoder", "decoder")}
        into, out = (np.zeros_like(made[name]["linear"]["kernel"]) for name in ("encoder", "decoder"))
        into[:, :count], out[:count] = (self.axes / self.sd[:, None]).T, self.axes * self.sd[:, None]
        offset, logvar = np.zeros(into.shape[1], np.float32), np.zeros(into.shape[1], np.float32)
        offset[:count] = -(self.mean @ self.axes.T) / self.sd
        logvar[:count] = np.minimum(0.0, 2.0 * np.log(noise / self.sd))
        made["encoder"]["linear"] = {"kernel": into, "bias": offset}
        made["encoder"]["logvar"] = {**made["encoder"]["logvar"], "bias": logvar}
        made["decoder"]["linear"] = {"kernel": out, "bias": self.mean.astype(np.float32)}
        return made
