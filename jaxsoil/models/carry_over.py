"""Linear models that are to carry over to regions never seen: ridge regression with physical and regional penalties.

The penalty adds to the identity the covariance of simulated perturbations (:mod:`jaxsoil.models.invariance`) and the
covariance of what differs between training regions beside the property itself. A handful of regions cannot choose
hyper-parameters, so none is chosen: coefficients are the mean over draws from a prior that was fixed beforehand. The
mean of linear models is linear.

Everything follows from sums over parts of the training rows (a region, or a fold of it), so that all draws and all
ways to leave a fold out are one batched program. It runs in float64 whatever the precision of the caller.
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
MOST_DIRECTIONS = 110
"""Directions that are fitted at most, those along which training spectra and their perturbations vary most."""

DRAWS = 200
"""Draws of the prior that are averaged."""
FOLD_DRAWS = 40
"""Draws, the first of them, that are averaged where a fold is left out: its residuals need no more."""

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


def prior(
    count: int = DRAWS,
    seed: int = 0,
    *,
    perturbed: bool | np.ndarray = True,
    between: bool = True,
    kinds: int = len(invariance.KINDS),
) -> Draws:
    """Draws of the prior: log10 of the identity's factor in (-6, -3), of the perturbations' in (-1.5, 0.3), of the
    regions' in (-1.5, 1), each kind times exp(N(0, 0.7)), power 0, 0.5 or 1.

    All parts of the penalty are drawn by ``seed`` whether they are used or not.

    Args:
      count, seed: number of draws, and their seed.
      perturbed: whether the penalty on perturbations is used, or (kinds,) for each kind.
      between: whether the penalty between regions is used.
      kinds: number of kinds of perturbation.
    """
    rng = np.random.default_rng(seed)
    identity = 10.0 ** rng.uniform(-6.0, -3.0, count)
    common = 10.0 ** rng.uniform(-1.5, 0.3, count)
    of_kinds = common[:, None] * np.exp(rng.normal(0.0, 0.7, (count, kinds)))
    regions = 10.0 ** rng.uniform(-1.5, 1.0, count)
    power = rng.choice([0.0, 0.5, 1.0], count)
    return Draws(identity, of_kinds * perturbed, regions * between, power)


class Space(NamedTuple):
    """Coordinates that spectra are fitted in, and what perturbations do to them.

    Attributes:
      basis: (m, q) from absorbances to coordinates; penalties: (kinds, q, q) of :func:`invariance.penalties`.
      bands: number of bands, after averaging, that a mean variance is taken over.
    """

    basis: np.ndarray
    penalties: np.ndarray
    bands: int


def space(
    absorbance: ArrayLike,
    axis: ArrayLike,
    strengths: invariance.Strengths | None = None,
    moved: ArrayLike | None = None,
) -> Space:
    """The coordinates of (n, m) training spectra on an axis (m,) in nm: bands, or directions where bands are more.

    Args:
      absorbance: of the training rows alone.
      axis: ascending.
      strengths: of the perturbations; None: the default ones.
      moved: (kinds, k, m) what each kind of perturbation does to k spectra, in place of those of
        :mod:`jaxsoil.models.invariance`; spectra and axis may then be of any pre-treatment and unit.

    Raises:
      DataError: a value that is not finite, or an impossible perturbation.
    """
    x = require.finite_rows(absorbance, "training spectra", least=2)
    narrow = grouping(x.shape[1])
    x, bands = x @ narrow, np.asarray(axis, np.float64) @ narrow
    if moved is None:
        penalties = invariance.penalties(x, bands, strengths=strengths)
    else:
        each = (np.asarray(one, np.float64) @ narrow for one in np.asarray(moved))
        penalties = np.stack([invariance.mean_products(one) for one in each])
    if bands.size <= MOST_DIRECTIONS:
        return Space(narrow, penalties, bands.size)
    centred = x - x.mean(axis=0)
    kept = np.linalg.eigh(centred.T @ centred / len(x) + penalties.sum(axis=0))[1][:, -MOST_DIRECTIONS:]
    return Space(narrow @ kept, kept.T @ penalties @ kept, bands.size)


class Sums(NamedTuple):
    """Sums over the rows of each of R regions, about the mean of all rows: what the models are fitted to.

    With folds left out, (F, R, ...).

    Attributes:
      count, y, yy: (R,) rows, sum of targets and of their squares.
      x, xy: (R, q) sums of coordinates, and of coordinates times targets.
      xx: (R, q, q) sums of products of coordinates.
    """

    count: Any
    y: Any
    yy: Any
    x: Any
    xy: Any
    xx: Any


def sums(x: np.ndarray, y: np.ndarray, regions: np.ndarray, folds: np.ndarray | None = None) -> list[Sums]:
    """The sums of centred coordinates (n, q) and targets (n,): of all rows, then without each of the folds 0, 1, ..."""
    region = np.unique(regions, return_inverse=True)[1].reshape(-1)
    fold = np.zeros(len(y), int) if folds is None else folds

    def of(rows: np.ndarray) -> tuple[Any, ...]:
        own, target = x[rows], y[rows]
        return float(rows.sum()), target.sum(), target @ target, own.sum(axis=0), target @ own, own.T @ own

    parts = [[of((region == r) & (fold == f)) for f in range(fold.max() + 1)] for r in range(region.max() + 1)]
    # (R, F, ...) of each sum.
    found = [np.stack([[part[number] for part in row] for row in parts]) for number in range(len(Sums._fields))]
    left_out = [] if folds is None else range(fold.max() + 1)
    all_rows = [part.sum(axis=1) for part in found]
    without = [Sums(*(total - part[:, f] for total, part in zip(all_rows, found, strict=True))) for f in left_out]
    return [Sums(*all_rows), *without]


def _between(s: Sums) -> tuple[jax.Array, jax.Array]:
    """Covariance (q, q) of the regions' means without what the property explains, and which regions are there (R,).

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


def _solve(
    draw: Draws, s: Sums, between: jax.Array, there: jax.Array, penalty: jax.Array, bands: int
) -> tuple[jax.Array, jax.Array]:
    """Coefficients (q,) and intercept of one draw with its penalty (q, q) on perturbations, of centred coordinates."""
    weight = there * jnp.maximum(s.count, 1.0) ** (draw.power - 1.0)
    weight = weight / (weight * s.count).sum()
    x, y = weight @ s.x, weight @ s.y
    covariance = jnp.einsum("r,rij->ij", weight, s.xx) - x[:, None] * x[None]
    share = draw.identity * jnp.trace(covariance) / bands * jnp.eye(x.shape[0])
    factor = jax.scipy.linalg.cho_factor(covariance + penalty + draw.regions * between + share)
    slope = jax.scipy.linalg.cho_solve(factor, weight @ s.xy - x * y)
    return slope, y - x @ slope


@functools.partial(jax.jit, static_argnames="bands")
def _mean(draws: Draws, s: Sums, penalties: jax.Array, bands: int) -> tuple[jax.Array, jax.Array]:
    """Mean coefficients (F, q) and intercepts (F,) over the draws, of sums (F, R, ...)."""
    between, there = jax.vmap(_between)(s)

    def each(draw: Draws) -> tuple[jax.Array, jax.Array]:
        penalty = jnp.einsum("k,kij->ij", draw.kinds, penalties)
        return jax.vmap(lambda own, b, there: _solve(draw, own, b, there, penalty, bands))(s, between, there)

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
    within: Space | None = None,
) -> CarryOver:
    """Fits the mean over draws of the penalised linear model.

    Args:
      absorbance: (n, m) of the training rows, on
      target: (n,) on the scale to be predicted.
      regions: (n,) names; with one region nothing is known of differences between regions, and that penalty is zero.
      axis: (m,) ascending, nm.
      draws: hyper-parameters; None: :func:`prior`.
      folds: (n,) for ``residuals``, which take the first :data:`FOLD_DRAWS` draws; None: none.
      within: coordinates and penalties; None: :func:`space` of these rows.

    Raises:
      DataError: shapes that do not fit, a value that is not finite, spectra that are all the same, or an impossible
        perturbation.
    """
    spectra, y, region = checked(absorbance, target, regions)
    own = within or space(spectra, axis)
    x = spectra @ own.basis
    middle, level = x.mean(axis=0), float(y.mean())
    fold = None if folds is None else np.unique(np.asarray(folds), return_inverse=True)[1].reshape(-1)
    whole, *without = (Sums(*(part[None] for part in one)) for one in sums(x - middle, y - level, region, fold))
    draws = draws or prior(kinds=len(own.penalties))
    slopes, starts = _solved(draws, whole, own)
    residuals = np.empty(0)
    if fold is not None:
        left_out = Sums(*(np.concatenate(parts) for parts in zip(*without, strict=True)))
        others, levels = _solved(Draws(*(part[:FOLD_DRAWS] for part in draws)), left_out, own)
        residuals = (y - level) - np.einsum("nq,nq->n", x - middle, others[fold]) - levels[fold]
    return CarryOver(own.basis @ slopes[0], float(starts[0] + level - middle @ slopes[0]), residuals)


def fit_all(
    absorbance: ArrayLike, targets: ArrayLike, regions: ArrayLike, axis: ArrayLike, draws: Draws, within: Space
) -> tuple[np.ndarray, np.ndarray]:
    """:func:`fit` of p targets (n, p) of the same rows in one program: coefficients (m, p) and intercepts (p,)."""
    y = np.asarray(targets, np.float64)
    spectra, _, region = checked(absorbance, y[:, 0], regions)
    x, levels = spectra @ within.basis, y.mean(axis=0)
    middle = x.mean(axis=0)
    first = sums(x - middle, y[:, 0] - levels[0], region)[0]
    # (R, n) of centred targets within each region; the sums of coordinates alone are the same for all.
    member = np.unique(region)[:, None] == region
    each = []
    for one in (y - levels).T:
        own = np.where(member, one, 0.0)
        each.append(first._replace(y=own.sum(axis=1), yy=(own**2).sum(axis=1), xy=own @ (x - middle)))
    slopes, starts = _solved(draws, Sums(*(np.stack(parts) for parts in zip(*each, strict=True))), within)
    return within.basis @ slopes.T, starts + levels - slopes @ middle


def _solved(draws: Draws, s: Sums, within: Space) -> tuple[np.ndarray, np.ndarray]:
    """Mean coefficients (F, q) and intercepts (F,) over the draws, of sums (F, R, ...)."""
    with jax.enable_x64(True):
        slopes, starts = (np.asarray(v) for v in _mean(draws, s, within.penalties, within.bands))
    if not np.isfinite(slopes).all():
        remedy = "Raise the identity's share in the penalty."
        raise DataError("a penalised covariance is not positive definite", remedy=remedy)
    return slopes, starts


def checked(absorbance: ArrayLike, target: ArrayLike, regions: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training spectra (n, m), targets (n,) and regions (n,) of one length, finite, of which not all are the same."""
    x, y = require.finite_rows(absorbance, "training spectra", least=2), require.vector(target, "training targets")
    region = np.asarray(regions)
    require.same_length({"training spectra": x, "training targets": y, "regions of training rows": region})
    if not np.ptp(x, axis=0).max() > 1e-9:
        raise DataError("the training spectra are all the same", value=f"{len(x)} rows", remedy="Check the data file.")
    return x, y, region


def between_regions(x: np.ndarray, y: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """The covariance (q, q) between regions that the penalty has, of centred coordinates (n, q) and targets (n,)."""
    found = sums(x, y, regions)[0]
    with jax.enable_x64(True):
        return np.asarray(_between(Sums(*(jnp.asarray(values) for values in found)))[0])


@functools.cache
def grouping(bands: int) -> np.ndarray:
    """The matrix (bands, groups) that averages neighbouring bands until there are at most :data:`MOST_BANDS`."""
    groups = min(bands, MOST_BANDS)
    of_band = np.arange(bands) * groups // bands
    member = (of_band[:, None] == np.arange(groups)).astype(np.float64)
    return member / member.sum(axis=0)
