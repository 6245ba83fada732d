"""Linear models that are to carry over to regions never seen: ridge regression with physical and regional penalties.

The penalty adds to the identity the covariance of simulated perturbations (:mod:`jaxsoil.models.invariance`) and the
covariance of what differs between training regions beside the property itself. A handful of regions cannot choose
hyper-parameters, so none is chosen: coefficients are the mean over draws from a prior that was fixed beforehand. The
mean of linear models is linear.

Everything follows from sums over parts of the training rows (a region, or a fold of it), so that all draws and all
ways to leave parts out are one batched program. It runs in float64 whatever the precision of the caller.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from jaxsoil.models import invariance
from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError

MOST_BANDS = 256
"""Bands beyond this number are averaged in groups of neighbours: soil spectra are smooth, and costs grow cubically."""

DRAWS = 200
"""Draws of the prior that are averaged."""

_AT_ONCE = 16
"""Draws whose matrices are in memory at a time."""


class Draws(NamedTuple):
    """Hyper-parameters of D linear models, each an array (D, ...).

    Attributes:
      identity: factor on the identity, in units of the mean variance of a band.
      kinds: (D, kinds) factors on each kind of perturbation; 0 leaves it out.
      regions: factor on the covariance between regions.
      power: a region of n rows weighs n ** power in all.
    """

    identity: Any
    kinds: Any
    regions: Any
    power: Any


def prior(count: int = DRAWS, seed: int = 0, *, perturbed: bool = True, between: bool = True) -> Draws:
    """Draws of the prior: log10 of the identity's factor in (-6, -3), of the perturbations' in (-1.5, 0.3), of the
    regions' in (-1.5, 1), each kind times exp(N(0, 0.7)), power 0, 0.5 or 1.

    Args:
      count: number of draws.
      seed: of the draws; all parts of the penalty are drawn whether they are used or not.
      perturbed, between: whether the penalties on perturbations and between regions are used.
    """
    rng = np.random.default_rng(seed)
    identity = 10.0 ** rng.uniform(-6.0, -3.0, count)
    common = 10.0 ** rng.uniform(-1.5, 0.3, count)
    kinds = common[:, None] * np.exp(rng.normal(0.0, 0.7, (count, len(invariance.KINDS))))
    regions = 10.0 ** rng.uniform(-1.5, 1.0, count)
    power = rng.choice([0.0, 0.5, 1.0], count)
    return Draws(identity, kinds * perturbed, regions * between, power)


class Sums(NamedTuple):
    """Sums over the rows of each of K parts, about the mean of all rows: what the models are fitted to.

    Attributes:
      count, y, yy: (K,) rows, sum of targets and of their squares.
      x, xy: (K, m) sums of spectra, and of spectra times targets.
      xx: (K, m, m) sums of products of bands.
      region: (K, R) 1 where the part lies in the region, else 0.
    """

    count: Any
    y: Any
    yy: Any
    x: Any
    xy: Any
    xx: Any
    region: Any


def sums(x: np.ndarray, y: np.ndarray, regions: np.ndarray, parts: np.ndarray) -> Sums:
    """The sums of centred spectra (n, m) and targets (n,), by parts (n,) of which each lies in one region (n,)."""
    names, part = np.unique(np.stack([regions.astype(str), parts.astype(str)]), axis=1, return_inverse=True)
    part = part.reshape(-1)
    region = names[0][:, None] == np.unique(names[0])
    rows = [np.flatnonzero(part == number) for number in range(names.shape[1])]
    values: Any = {"y": y, "yy": y**2, "x": x, "xy": x * y[:, None]}
    total: Any = {name: np.array([of[chosen].sum(axis=0) for chosen in rows]) for name, of in values.items()}
    count = np.array([float(len(chosen)) for chosen in rows])
    products = np.stack([x[chosen].T @ x[chosen] for chosen in rows])
    return Sums(count=count, xx=products, region=region.astype(np.float64), **total)


def _moments(s: Sums, kept: jax.Array) -> Sums:
    """The sums (R, ...) of the regions without the parts whose ``kept`` (K,) is 0."""
    weight = s.region * kept[:, None]
    by_region = [jnp.einsum("kr,k...->r...", weight, values) for values in s[:-1]]
    return Sums(*by_region, region=jnp.eye(s.region.shape[1]))


def _between(s: Sums) -> tuple[jax.Array, jax.Array]:
    """Covariance (m, m) of the regions' mean spectra without what the property explains, and which regions are there.

    Explained is (mean target of the region minus that of all) times the pooled pattern within regions, cov(x, y) /
    var(y).
    """
    there = (s.count > 0.0).astype(s.y.dtype)
    n = jnp.maximum(s.count, 1.0)
    x, y = s.x / n[:, None], s.y / n
    within_xy = (s.xy - s.x * y[:, None]).sum(axis=0)
    within_yy = (s.yy - s.y * y).sum()
    # Where no label varies within a region, nothing is explained.
    pattern = jnp.where(within_yy > 1e-12, within_xy / jnp.maximum(within_yy, 1e-12), 0.0)
    share = there / there.sum()
    left = x - (share @ x)[None] - (y - share @ y)[:, None] * pattern[None]
    return (share[:, None] * left).T @ left, there


def _solve(draw: Draws, s: Sums, penalties: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Coefficients (m,) and intercept of one draw, of centred spectra."""
    between, there = _between(s)
    weight = there * jnp.maximum(s.count, 1.0) ** (draw.power - 1.0)
    weight = weight / (weight * s.count).sum()
    x, y = weight @ s.x, weight @ s.y
    covariance = jnp.einsum("r,rij->ij", weight, s.xx) - x[:, None] * x[None]
    size = x.shape[0]
    penalty = jnp.einsum("k,kij->ij", draw.kinds, penalties) + draw.regions * between
    penalty = penalty + draw.identity * jnp.trace(covariance) / size * jnp.eye(size)
    factor = jax.scipy.linalg.cho_factor(covariance + penalty)
    slope = jax.scipy.linalg.cho_solve(factor, weight @ s.xy - x * y)
    return slope, y - x @ slope


@jax.jit
def _mean(draws: Draws, s: Sums, penalties: jax.Array, kept: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean coefficients (F, m) and intercepts (F,) over the draws, for each row of ``kept`` (F, K)."""

    def each(draw: Draws) -> tuple[jax.Array, jax.Array]:
        return jax.vmap(lambda own: _solve(draw, _moments(s, own), penalties))(kept)

    slopes, starts = jax.lax.map(each, draws, batch_size=_AT_ONCE)
    return slopes.mean(axis=0), starts.mean(axis=0)


@dataclasses.dataclass(frozen=True, eq=False)
class CarryOver:
    """A fitted linear model.

    Attributes:
      coefficients: (m,) of absorbance; intercept: on the scale of the target.
      residuals: (n,) observed minus predicted of the training rows, each by the model without its fold; empty without
        folds.
    """

    coefficients: np.ndarray
    intercept: float
    residuals: np.ndarray

    def predict(self, spectra: ArrayLike) -> np.ndarray:
        """Predictions (t,) of (t, m) absorbances on the axis of the training rows."""
        rows = require.finite_rows(spectra, "spectra to predict", least=0, features=self.coefficients.size)
        return rows @ self.coefficients + self.intercept


def fit(
    absorbance: ArrayLike,
    target: ArrayLike,
    regions: ArrayLike,
    axis: ArrayLike,
    draws: Draws | None = None,
    *,
    folds: ArrayLike | None = None,
    strengths: invariance.Strengths | None = None,
) -> CarryOver:
    """Fits the mean over draws of the penalised linear model.

    Args:
      absorbance: (n, m) of the training rows, on
      target: (n,) on the scale to be predicted.
      regions: (n,) names; with one region nothing is known of differences between regions, and that penalty is zero.
      axis: (m,) ascending, nm.
      draws: hyper-parameters; None: :func:`prior`.
      folds: (n,) for ``residuals``; None: none.
      strengths: of the perturbations; None: the default ones.

    Raises:
      DataError: shapes that do not fit, a value that is not finite, spectra that are all the same, or an impossible
        perturbation.
    """
    spectra, y, region = checked(absorbance, target, regions)
    narrow = grouping(spectra.shape[1])
    x, bands = spectra @ narrow, np.asarray(axis, np.float64) @ narrow
    middle, level = x.mean(axis=0), float(y.mean())
    fold = np.zeros(len(y), int) if folds is None else np.unique(np.asarray(folds), return_inverse=True)[1].reshape(-1)
    found = sums(x - middle, y - level, region, fold)
    # Parts in the order of their names, as `sums` has them: which fold is each of?
    of_part = np.unique(np.stack([region.astype(str), fold.astype(str)]), axis=1)[1].astype(int)
    without = [] if folds is None else [of_part != number for number in range(fold.max() + 1)]
    kept = np.stack([np.ones(of_part.size, bool), *without]).astype(np.float64)
    penalties = invariance.penalties(x, bands, strengths=strengths)
    with jax.enable_x64(True):
        slopes, starts = (np.asarray(v) for v in _mean(draws or prior(), found, penalties, kept))
    if not np.isfinite(slopes[0]).all():
        remedy = "Raise the identity's share in the penalty."
        raise DataError("a penalised covariance is not positive definite", remedy=remedy)
    residuals = np.empty(0)
    if folds is not None:
        residuals = (y - level) - np.einsum("nm,nm->n", x - middle, slopes[1 + fold]) - starts[1 + fold]
    return CarryOver(narrow @ slopes[0], float(starts[0] + level - middle @ slopes[0]), residuals)


def checked(absorbance: ArrayLike, target: ArrayLike, regions: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training spectra (n, m), targets (n,) and regions (n,) of one length, finite, of which not all are the same."""
    x, y = require.finite_rows(absorbance, "training spectra", least=2), require.vector(target, "training targets")
    region = np.asarray(regions)
    require.same_length({"training spectra": x, "training targets": y, "regions of training rows": region})
    if not np.ptp(x, axis=0).max() > 1e-9:
        raise DataError("the training spectra are all the same", value=f"{len(x)} rows", remedy="Check the data file.")
    return x, y, region


def between_regions(x: np.ndarray, y: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """The covariance (m, m) between regions that the penalty has, of centred spectra (n, m) and targets (n,)."""
    found = sums(x, y, regions, np.zeros(len(y), int))
    with jax.enable_x64(True):
        return np.asarray(_between(Sums(*(jnp.asarray(values) for values in found)))[0])


@functools.cache
def grouping(bands: int, most: int = MOST_BANDS) -> np.ndarray:
    """The matrix (bands, groups) that averages neighbouring bands until there are at most ``most``."""
    groups = min(bands, most)
    of_band = np.arange(bands) * groups // bands
    member = (of_band[:, None] == np.arange(groups)).astype(np.float64)
    return member / member.sum(axis=0)
