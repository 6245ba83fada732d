"""One convolutional network for one property: its loss, its output within physical bounds, training and prediction."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxsoil.models.first import first_parameters
from jaxsoil.models.mlp import Cnn1d, within
from jaxsoil.runs.errors import DataError
from jaxsoil.studies.hybrid.config import NetworkConfig
from jaxsoil.studies.hybrid.ranges import Range
from jaxsoil.training.config import LoopConfig
from jaxsoil.training.loop import Program
from jaxsoil.training.rows import fit, program_of

Output = Literal["bounded", "clipped"]
"""How predictions are kept within the physical range: by a link that cannot leave it, or by clipping afterwards."""

Floats = NDArray[np.float64]

_PREDICTED_AT_ONCE = 1024


@dataclasses.dataclass(frozen=True)
class Kind:
    """The static part of a network; equal kinds share compiled programs, whatever the property."""

    network: NetworkConfig
    output: Output

    @property
    def module(self) -> Cnn1d:
        """The network without its parameters."""
        n = self.network
        return Cnn1d(1, n.features, n.kernel, n.width, n.activation, n.dropout)


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """A trained network: everything that a prediction takes.

    Attributes:
      kind: its static part.
      params: parameters of the convolutional network.
      constants: "mean" and "sd" (m,) of the training bands, "centre" and "unit" () of the training values, "low" and
        "high" () of the physical range, these four on the learning scale.
      history: losses by epoch. converged: whether the validation loss had come to rest. epochs: how many ran.
      alive: False where the training diverged; its predictions are NaN.
    """

    kind: Kind
    params: Any
    constants: dict[str, Any]
    history: dict[str, Floats]
    converged: bool
    epochs: int
    alive: bool = True

    def predict(self, spectra: ArrayLike) -> Floats:
        """Predictions (n,) on the learning scale for (n, m) spectra, before any clipping."""
        table = np.asarray(spectra, dtype=np.float32)
        result = np.full(table.shape[0], np.nan)
        if not self.alive:
            return result
        for start in range(0, table.shape[0], _PREDICTED_AT_ONCE):
            part = table[start : start + _PREDICTED_AT_ONCE]
            # Every call has one shape, so that one program serves all.
            filled = np.resize(part, (_PREDICTED_AT_ONCE, table.shape[1]))
            found = _apply(self.kind, self.params, self.constants, jnp.asarray(filled))
            result[start : start + _PREDICTED_AT_ONCE] = np.asarray(found, np.float64)[: part.shape[0]]
        return result


def train(
    spectra: Floats,
    target: Floats,
    rows: NDArray[np.int64],
    watch: NDArray[np.int64],
    limits: Range,
    output: Output,
    network: NetworkConfig,
    config: LoopConfig,
    key: jax.Array,
    label: str,
) -> Network:
    """Trains one network.

    Args:
      spectra: (n, m) harmonised SNV spectra of all rows; only ``rows`` and ``watch`` are used.
      target: (n,) values on the learning scale, NaN where not measured.
      rows, watch: row numbers that train, and that choose the epoch.
      limits, output: physical range and learning scale, and how the range is kept.
      network, config, key: shape, training and random key.

    Raises:
      DataError: if the target does not vary over the training rows.
    """
    centre, sd = float(np.mean(target[rows])), float(np.std(target[rows]))
    if sd <= 1e-9 * max(abs(centre), 1.0):
        problem, value = "the measured values do not vary", f"{rows.size} rows"
        raise DataError(problem, source=label, value=value, remedy="Give more rows.")
    kind, bands = Kind(network, output), spectra[rows].std(axis=0)
    constants = {"mean": spectra[rows].mean(axis=0), "sd": np.where(bands > 1e-9, bands, 1.0)}
    constants = {name: jnp.asarray(values, jnp.float32) for name, values in constants.items()}
    low, high = limits.bounds
    numbers = {"centre": centre, "unit": sd, "low": low, "high": high}
    constants |= {name: jnp.float32(value) for name, value in numbers.items()}
    arrays = {"x": np.asarray(spectra, np.float32), "y": np.nan_to_num(target).astype(np.float32)}
    start = {"params": first_parameters(kind.module, jax.random.fold_in(key, 1), (1, spectra.shape[1]))}
    # Convolutions on a CPU are far slower inside a loop of XLA's than one step at a time.
    config = dataclasses.replace(config, jit_per_step=jax.default_backend() == "cpu")
    given = (_loss(kind), start, arrays, rows, watch, config, jax.random.fold_in(key, 2))
    fitted = fit(*given, label=label, shared=constants)
    rest = (fitted.history, fitted.converged, fitted.epochs_run, fitted.alive)
    return Network(kind, fitted.params, constants, *rest)


def example(
    bands: int, output: Output, network: NetworkConfig, config: LoopConfig, batches: int
) -> tuple[Program, Any]:
    """A training on made-up rows, so many batches an epoch, for a plan: its program, and parameters to start from."""
    kind, rows = Kind(network, output), batches * config.batch
    one, every = jnp.float32(1.0), jnp.ones(bands, jnp.float32)
    constants = {"mean": every, "sd": every, "centre": one, "unit": one, "low": 0.0 * one, "high": one}
    arrays = {"x": np.zeros((rows, bands), np.float32), "y": np.zeros(rows, np.float32)}
    start = {"params": first_parameters(kind.module, jax.random.key(0), (1, bands))}
    config = dataclasses.replace(config, patience=0, jit_per_step=jax.default_backend() == "cpu")
    none = np.zeros(0, np.int64)
    return program_of(_loss(kind), arrays, np.arange(rows), none, config, jax.random.key(0), constants), start


@functools.cache
def _loss(kind: Kind) -> Any:
    """Mean square error on the learning scale, in units of the training rows' standard deviation."""

    def loss(params: Any, stats: Any, batch: Any, key: Any, progress: Any, shared: Any) -> Any:
        predicted = _forward(kind, params, shared, batch["x"], key)
        return jnp.mean(((predicted - batch["y"]) / shared["unit"]) ** 2), (stats, {})

    return loss


@functools.partial(jax.jit, static_argnums=0)
def _apply(kind: Kind, params: Any, constants: Any, spectra: jax.Array) -> jax.Array:
    return _forward(kind, params, constants, spectra, None)


def _forward(kind: Kind, params: Any, constants: Any, spectra: jax.Array, key: Any) -> jax.Array:
    """Predictions on the learning scale: a bounded one stays within whatever the network returns."""
    scaled = (spectra - constants["mean"][None, :]) / constants["sd"][None, :]
    raw: Any = kind.module.apply(params, scaled, key)
    moved = constants["centre"] + constants["unit"] * raw[:, 0]
    bounds = constants["unit"], constants["low"], constants["high"]
    return moved if kind.output == "clipped" else within(moved, *bounds)
