"""Gaussian-process regression on whitened spectra, averaged over hyper-parameters drawn from a prior.

Two spectra are compared in the metric of a penalty (:mod:`jaxsoil.models.invariance`): directions in which instruments
and regions differ count little. The process has a constant, a Matern-3/2 or a rational quadratic kernel, an offset of
each training region (which a new region does not share), and noise. Costs grow with the cube of the rows, so each
region gives a limited number of them. Everything runs in float64.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from jaxsoil.models import carry_over, invariance
from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError

DRAWS = 12
"""Draws of the prior that are averaged."""
MOST_OF_REGION = 250
"""Rows that a region gives at most."""
MOST_ROWS = 1000
"""Rows in all that :func:`subset` takes at most."""
LIMIT = 5000
"""Rows that :func:`fit` takes at most: their matrix of float64 numbers has 200 MB."""

OFFSET_SD = 0.1
"""Standard deviation of a region's offset, in the target's unit (log10)."""
CONSTANT_SD = 1.0
"""Standard deviation of the constant."""
JITTERS = (0.0, 1e-10, 1e-8, 1e-6, 1e-4)
"""What is added to the diagonal in turn, in units of its mean, until the matrix is positive definite."""

_STEP = 256
"""Rows are padded to a multiple of this, so that few programs compile."""


class Draws(NamedTuple):
    """Hyper-parameters of D processes, each an array (D, ...).

    Attributes:
      identity, kinds, regions: the penalty, as of :class:`jaxsoil.models.carry_over.Draws`.
      components: directions of the whitened spectra that count, those of the largest variance.
      length: length scale, in units of the root mean square distance of two training spectra.
      rational: 1 for the rational quadratic kernel (with exponent 1), 0 for Matern-3/2.
      noise: standard deviation of the noise, in the target's unit (log10).
    """

    identity: np.ndarray
    kinds: np.ndarray
    regions: np.ndarray
    components: np.ndarray
    length: np.ndarray
    rational: np.ndarray
    noise: np.ndarray


def prior(count: int = DRAWS, seed: int = 0, *, whitened: bool = True, kinds: int = len(invariance.KINDS)) -> Draws:
    """Draws of the prior: identity and kinds as of the linear model with a common factor of 1, log10 of the regions'
    factor in (-1, 1), 40 or 110 components, log10 of the length scale in (-0.3, 1), either kernel, noise 0.05 to 0.25.

    Args:
      count, seed: number of draws, and their seed.
      whitened: whether the penalty has other parts than the identity.
      kinds: number of kinds of perturbation.
    """
    rng = np.random.default_rng(seed)
    identity = 10.0 ** rng.uniform(-6.0, -3.0, count)
    factors = np.exp(rng.normal(0.0, 0.7, (count, kinds)))
    regions = 10.0 ** rng.uniform(-1.0, 1.0, count)
    components = rng.choice([40, 110], count)
    length = 10.0 ** rng.uniform(-0.3, 1.0, count)
    rational = rng.choice([0.0, 1.0], count)
    return Draws(
        identity, factors * whitened, regions * whitened, components, length, rational, rng.uniform(0.05, 0.25, count)
    )


@dataclasses.dataclass(frozen=True, eq=False)
class GaussianProcess:
    """Fitted processes; their mean predicts.

    Attributes:
      centre: (m,) mean of the training spectra, and level: that of their targets.
      points: (n, m) training spectra less the mean.
      directions: (D, m, q) of the whitened spectra.
      weights: (D, n) of the training rows; constants: (D,) added to each prediction.
      length: (D,) length scales in whitened units; rational: (D,) which have the rational quadratic kernel.
      jitter: (D,) what had to be added to the diagonal, in units of the variances of process and constant.
    """

    centre: np.ndarray
    level: float
    points: np.ndarray
    directions: np.ndarray
    weights: np.ndarray
    constants: np.ndarray
    length: np.ndarray
    rational: np.ndarray
    jitter: np.ndarray

    def predict(self, spectra: ArrayLike) -> np.ndarray:
        """Predictions (t,) of finite absorbances (t, m) on the axis of the training rows, else DataError."""
        rows = require.finite_rows(spectra, "spectra to predict", least=0, features=self.centre.size) - self.centre
        found = np.zeros(len(rows))
        for number, direction in enumerate(self.directions):
            ours, theirs = rows @ direction, self.points @ direction
            square = (ours**2).sum(axis=1)[:, None] + (theirs**2).sum(axis=1) - 2.0 * ours @ theirs.T
            near = _kernel(np.maximum(square, 0.0) / self.length[number] ** 2, bool(self.rational[number] > 0.5), np)
            found += near @ self.weights[number] + self.constants[number]
        return self.level + found / len(self.directions)


def _kernel(square: Any, rational: bool, library: Any) -> Any:
    """Kernel of squared distances in units of the length scale, by NumPy or its namesake in JAX."""
    if rational:
        return 1.0 / (1.0 + square / 2.0)
    distance = library.sqrt(3.0 * square)
    return (1.0 + distance) * library.exp(-distance)


def subset(regions: ArrayLike) -> np.ndarray:
    """Rows drawn at random, in order: :data:`MOST_OF_REGION` of a region, or fewer for :data:`MOST_ROWS` in all."""
    region = np.unique(np.asarray(regions), return_inverse=True)[1].reshape(-1)
    turn = np.random.default_rng(0).permutation(region.size)
    place = np.empty(region.size, int)
    for number in range(region.max() + 1):
        rows = np.flatnonzero(region == number)
        place[rows[np.argsort(turn[rows])]] = np.arange(rows.size)
    counts, of_region = np.bincount(region), MOST_OF_REGION
    while of_region > 1 and np.minimum(counts, of_region).sum() > MOST_ROWS:
        of_region -= 1
    return np.flatnonzero(place < of_region)


def fit(
    absorbance: ArrayLike,
    target: ArrayLike,
    regions: ArrayLike,
    axis: ArrayLike,
    draws: Draws | None = None,
    *,
    within: carry_over.Space | None = None,
) -> GaussianProcess:
    """Fits one process for each draw.

    Args:
      absorbance, target, regions, axis, within: as of :func:`jaxsoil.models.carry_over.fit`.
      draws: hyper-parameters; None: :func:`prior`.

    Raises:
      DataError: as there; more than :data:`LIMIT` rows; or a kernel matrix that no jitter makes positive definite.
    """
    spectra, y, region = carry_over.checked(absorbance, target, regions)
    if len(y) > LIMIT:
        remedy = "Pass the rows of jaxsoil.models.gaussian_process.subset, or use the linear model."
        raise DataError(f"a Gaussian process takes at most {LIMIT} rows", value=len(y), remedy=remedy)
    own = within or carry_over.space(spectra, axis)
    draws = draws or prior(kinds=len(own.penalties))
    middle, level = spectra.mean(axis=0), float(y.mean())
    x = (spectra - middle) @ own.basis
    directions = _directions(x, y - level, region, own, draws)
    # The root mean square distance of two rows: twice the variance in the directions that count.
    spread = np.sqrt(2.0 * np.square(x @ directions).sum(axis=(1, 2)) / len(x))
    length = draws.length * spread
    number = np.unique(region, return_inverse=True)[1].reshape(-1)
    scale = max(float(y.std()), 1e-6)
    weights, jitter = _solved(x, y - level, number[:, None] == number, directions, length, draws, scale)
    return GaussianProcess(
        middle, level, spectra - middle, own.basis @ directions, weights * scale**2,
        CONSTANT_SD**2 * weights.sum(axis=1), length, draws.rational, jitter,
    )  # fmt: skip


def _directions(x: np.ndarray, y: np.ndarray, region: np.ndarray, within: carry_over.Space, draws: Draws) -> np.ndarray:
    """The directions (D, q, k) of the whitened coordinates (n, q) for each draw; those that do not count are zero."""
    between = carry_over.between_regions(x, y, region)
    covariance, size = x.T @ x / len(x), x.shape[1]
    found = np.zeros((len(draws.identity), size, min(int(draws.components.max()), size)))
    for number, components in enumerate(draws.components):
        share = draws.identity[number] * np.trace(covariance) / within.bands * np.eye(size)
        moved = np.einsum("k,kij->ij", draws.kinds[number], within.penalties)
        own = invariance.whitening(share + moved + draws.regions[number] * between, covariance, int(components))
        found[number, :, : own.shape[1]] = own
    return found


def _solved(
    x: np.ndarray,
    y: np.ndarray,
    same: np.ndarray,
    directions: np.ndarray,
    length: np.ndarray,
    draws: Draws,
    scale: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (D, n) of the rows, and jitters (D,)."""
    n, count = len(y), len(length)
    padding = -n % _STEP
    rows, targets = np.pad(x, ((0, padding), (0, 0))), np.pad(y, (0, padding))
    offsets = np.pad(OFFSET_SD**2 * same, ((0, padding), (0, padding)))
    there = np.arange(n + padding) < n
    weights, jitter = np.zeros((count, n)), np.full(count, np.inf)
    for extra in JITTERS:
        for number in np.flatnonzero(np.isinf(jitter)):
            with jax.enable_x64(True):
                parts = directions[number], length[number], draws.noise[number], scale, extra
                own = _solve(rows, targets, offsets, there, *parts, rational=bool(draws.rational[number] > 0.5))
                own = np.asarray(own)[:n]
            if np.isfinite(own).all():
                weights[number], jitter[number] = own, extra
    if np.isinf(jitter).any():
        remedy = "Give the noise a larger standard deviation, or leave out rows that occur twice."
        value = f"{int(np.isinf(jitter).sum())} of {count} draws, jitter {JITTERS[-1]:g}"
        raise DataError("a kernel matrix is not positive definite", value=value, remedy=remedy)
    return weights, jitter


@functools.partial(jax.jit, static_argnames="rational")
def _solve(
    rows: jax.Array,
    y: jax.Array,
    offsets: jax.Array,
    there: jax.Array,
    direction: jax.Array,
    length: jax.Array,
    noise: jax.Array,
    scale: jax.Array,
    extra: jax.Array,
    *,
    rational: bool,
) -> jax.Array:
    """Weights (n,) of the rows of one process; those of the padding, which know nothing of the others, are zero."""
    z = rows @ direction / length
    square = (z * z).sum(axis=1)
    square = jnp.maximum(square[:, None] + square[None] - 2.0 * z @ z.T, 0.0)
    kernel = scale**2 * _kernel(square, rational, jnp) + CONSTANT_SD**2 + offsets
    diagonal = jnp.eye(y.size) * (noise**2 + extra * (scale**2 + CONSTANT_SD**2))
    system = jnp.where(there[:, None] & there[None], kernel + diagonal, jnp.eye(y.size))
    return jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(system, lower=True), y)
