"""Ensembles of small networks that see their training spectra perturbed anew in each step: perceptrons, convolutions.

Each step adds to its absorbances a random sum of what instruments and the state of samples do to them
(:func:`jaxsoil.models.invariance.unit_differences`): the differences at one standard deviation are computed once for
each spectrum and are nearly linear in the strength. The members differ in first weights, order of the rows and
hyper-parameters, how long they train among them, which are drawn from a prior as in
:mod:`jaxsoil.models.carry_over`: nothing is chosen on the data at hand, and no row is set aside to stop early. Members
are trained at a time, in float32.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import ArrayLike

from jaxsoil.models import carry_over, invariance
from jaxsoil.models.mlp import Mlp
from jaxsoil.runs import require

MEMBERS = 7
"""Networks of an ensemble, whose mean predicts."""
BATCH = 64
"""Rows of a step."""
STEPS = 1500
"""Steps of the longest training; some 50 epochs of 2,000 rows."""
RATE = 5e-3
"""Learning rate of Adam at the start; it falls to zero along a cosine. Settled on four regions of the twin."""
COMPONENTS = 64
"""Principal components that a perceptron sees at most."""

_STEP = 512
"""Rows are padded to a multiple of this, so that few programs compile."""


class Draws(NamedTuple):
    """Hyper-parameters of D networks.

    Attributes:
      kinds: (D, kinds) factors on the standard deviation of each kind of perturbation; 0 leaves it out.
      decay: (D,) decoupled weight decay.
      length: (D,) share of the steps after which the rate is zero.
      power: (D,) a region of n rows is drawn with a weight of n ** power in all.
    """

    kinds: np.ndarray
    decay: np.ndarray
    length: np.ndarray
    power: np.ndarray


def prior(kinds: int, seed: int = 0, *, perturbed: bool = True) -> Draws:
    """Draws of the prior, :data:`MEMBERS`: each kind times exp(N(0, 0.35)), which squared is the factor of the linear
    model's penalty; log10 of the weight decay in (-3, -1), and of the length in (-0.7, 0); power 0, 0.5 or 1.

    Args:
      kinds: number of kinds of perturbation.
      seed: of the draws.
      perturbed: whether spectra are perturbed.
    """
    rng = np.random.default_rng(seed)
    factors = np.exp(rng.normal(0.0, 0.35, (MEMBERS, kinds)))
    decay, length = (10.0 ** rng.uniform(low, high, MEMBERS) for low, high in ((-3.0, -1.0), (-0.7, 0.0)))
    return Draws(factors * perturbed, decay, length, rng.choice([0.0, 0.5, 1.0], MEMBERS))


class Convolutions(nn.Module):
    """Convolutions along the bands, then a dense layer: absorbances and their slopes side by side (n, 2 m) to (n, 1).

    A convolution is a product with the patches of its input: trained for all members at a time, that takes a fifth of
    the time of grouped convolutions on a CPU.
    """

    features: tuple[int, ...] = (8, 16)
    kernel: int = 9
    stride: int = 2
    width: int = 32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = jnp.stack(jnp.split(x, 2, axis=1), axis=2)
        for features in self.features:
            count = -(-x.shape[1] // self.stride)
            padded = jnp.pad(x, ((0, 0), (self.kernel // 2, self.kernel), (0, 0)))
            starts = [padded[:, at : at + self.stride * count : self.stride] for at in range(self.kernel)]
            x = nn.gelu(nn.Dense(features)(jnp.concatenate(starts, axis=2)))
        return nn.Dense(1)(nn.gelu(nn.Dense(self.width)(x.reshape(x.shape[0], -1))))


def network(kind: str) -> nn.Module:
    """The network of a kind, "mlp" or "cnn": (n, q) to (n, 1)."""
    require.known(kind, ("mlp", "cnn"), "unknown kind of network")
    return Mlp(1, (64, 32)) if kind == "mlp" else Convolutions()


@dataclasses.dataclass(frozen=True, eq=False)
class Ensemble:
    """Trained networks; their mean predicts.

    Attributes:
      kind: "mlp" or "cnn".
      basis: (m, q) from absorbances to what the networks see, less ``centre`` (q,).
      target: (2,) mean and standard deviation of the training targets.
      params: of all members, each array (D, ...).
    """

    kind: str
    basis: np.ndarray
    centre: np.ndarray
    target: np.ndarray
    params: Mapping[str, Any]

    def predict(self, spectra: ArrayLike) -> np.ndarray:
        """Predictions (t,) of finite absorbances (t, m) on the axis of the training rows, else DataError."""
        rows = require.finite_rows(spectra, "spectra to predict", least=0, features=len(self.basis))
        seen = (rows @ self.basis - self.centre).astype(np.float32)
        padded = np.pad(seen, ((0, -len(seen) % _STEP), (0, 0)))
        starts = range(0, len(padded), _STEP)
        found = [np.asarray(_predict(self.kind, self.params, padded[at : at + _STEP])) for at in starts]
        mean = np.concatenate([np.empty(0, np.float32), *found])[: len(seen)]
        return self.target[0] + self.target[1] * mean.astype(np.float64)


def fit(
    kind: str,
    absorbance: ArrayLike,
    target: ArrayLike,
    regions: ArrayLike,
    axis: ArrayLike,
    draws: Draws | None = None,
    *,
    strengths: invariance.Strengths | None = None,
    seed: int = 0,
    steps: int | None = None,
) -> Ensemble:
    """Trains an ensemble.

    Args:
      kind: "mlp" or "cnn".
      absorbance, target, regions, axis: as of :func:`jaxsoil.models.carry_over.fit`.
      draws: hyper-parameters, one network each; None: :func:`prior`.
      strengths: of the perturbations; None: the default ones on the axis.
      seed: of the networks.
      steps: of the longest training; None: :data:`STEPS`.

    Raises:
      DataError: as there.
    """
    x, y, region = carry_over.checked(absorbance, target, regions)
    network(kind)  # refuses an unknown kind
    own = strengths or invariance.strengths_for(axis)
    draws = draws or prior(len(own.kinds()))
    narrow = carry_over.grouping(x.shape[1])
    grouped = x @ narrow
    bank = invariance.unit_differences(grouped, np.asarray(axis, np.float64) @ narrow, own)
    basis = _basis(kind, grouped)
    seen, moved = grouped @ basis, bank @ basis
    centre, scale = seen.mean(axis=0), np.array([y.mean(), max(float(y.std()), 1e-6)])
    _, number, counts = np.unique(region, return_inverse=True, return_counts=True)
    weight = counts[number.reshape(-1)] ** (draws.power[:, None] - 1.0)
    upto = np.cumsum(weight, axis=1) / weight.sum(axis=1, keepdims=True)
    padding = -len(y) % _STEP
    data = (seen - centre, moved, (y - scale[0]) / scale[1])
    padded = [np.pad(part, ((0, padding), *[(0, 0)] * (part.ndim - 1))).astype(np.float32) for part in data]
    upto = np.pad(upto, ((0, 0), (0, padding)), constant_values=2.0).astype(np.float32)
    last = np.int32(len(y) - 1)
    drawn = [np.asarray(part, np.float32) for part in (draws.kinds, draws.decay, draws.length)]
    params = _train(kind, steps or STEPS, *padded, upto, last, *drawn, invariance.one_sided(own), np.int32(seed))
    return Ensemble(kind, narrow @ basis, centre, scale, jax.tree.map(np.asarray, params))


def _basis(kind: str, x: np.ndarray) -> np.ndarray:
    """What (n, m) spectra are multiplied with: absorbances and slopes, or components of half-equalised spread.

    The spread of the first component, the albedo, is a hundred times that of the tenth. A perceptron that sees bands
    would hardly learn the others; one that sees them all alike would learn noise. Their roots lie between.
    """
    centred = x - x.mean(axis=0)
    if kind == "cnn":
        same = np.eye(x.shape[1])
        parts = same, np.asarray(np.gradient(same, axis=1))
        return np.concatenate([part / max(float((centred @ part).std()), 1e-9) for part in parts], axis=1)
    value, vector = np.linalg.eigh(centred.T @ centred / len(x))
    value, vector = value[::-1][:COMPONENTS], vector[:, ::-1][:, :COMPONENTS]
    return vector / np.sqrt(np.sqrt(value[0] * np.maximum(value, 1e-9 * value[0])))


@functools.partial(jax.jit, static_argnames=("kind", "steps"))
def _train(
    kind: str,
    steps: int,
    x: jax.Array,
    moved: jax.Array,
    y: jax.Array,
    upto: jax.Array,
    last: jax.Array,
    kinds: jax.Array,
    decay: jax.Array,
    length: jax.Array,
    one_sided: jax.Array,
    seed: jax.Array,
) -> Any:
    """Parameters of the members; of (n, q) rows with differences (n, kinds, q) some are drawn by ``upto`` (D, n)."""
    net, adam = network(kind), optax.scale_by_adam()

    def loss(params: Any, rows: jax.Array, wanted: jax.Array) -> jax.Array:
        found: Any = net.apply(params, rows)
        return jnp.mean(jnp.square(found[:, 0] - wanted))

    def member(number: jax.Array, upto: jax.Array, kinds: jax.Array, decay: jax.Array, length: jax.Array) -> Any:
        key = jax.random.fold_in(jax.random.key(seed), number)
        params = net.init(jax.random.fold_in(key, steps), x[:1])

        def step(state: Any, at: jax.Array) -> tuple[Any, None]:
            params, moments = state
            of_rows, of_kinds = jax.random.split(jax.random.fold_in(key, at))
            rows = jnp.minimum(jnp.searchsorted(upto, jax.random.uniform(of_rows, (BATCH,))), last)
            times = jnp.clip(jax.random.normal(of_kinds, (BATCH, kinds.size)), -2.0, 2.0)
            times = kinds[None] * jnp.where(one_sided[None], jnp.abs(times), times)
            seen = x[rows] + jnp.einsum("bk,bkq->bq", times, moved[rows])
            with jax.numpy_dtype_promotion("standard"):  # Adam counts its steps in whole numbers
                update, moments = adam.update(jax.grad(loss)(params, seen, y[rows]), moments)
            rate = 0.5 * RATE * (1.0 + jnp.cos(jnp.pi * jnp.minimum(at.astype(jnp.float32) / (length * steps), 1.0)))
            return (jax.tree.map(lambda p, u: p - rate * (u + decay * p), params, update), moments), None

        return jax.lax.scan(step, (params, adam.init(params)), jnp.arange(steps))[0][0]

    return jax.vmap(member)(jnp.arange(len(decay)), upto, kinds, decay, length)


@functools.partial(jax.jit, static_argnames="kind")
def _predict(kind: str, params: Any, x: jax.Array) -> jax.Array:
    """Mean (t,) over the members of what they make of (t, q), in units of the training targets."""
    found: Any = jax.vmap(lambda own: network(kind).apply(own, x))(params)
    return found[:, :, 0].mean(axis=0)
