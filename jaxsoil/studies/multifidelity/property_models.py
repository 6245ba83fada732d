"""Networks from spectra or latents to soil properties: one for all properties, or one for each."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxsoil.models.mlp import Mlp
from jaxsoil.studies.multifidelity.config import PropertyConfig, Strategy, enough_steps
from jaxsoil.studies.multifidelity.inputs import SpectraSets
from jaxsoil.studies.multifidelity.pretrain import in_parts
from jaxsoil.studies.multifidelity.targets import Targets
from jaxsoil.training.rows import Fitted, fit, fit_many

Task = Literal["multi", "single"]


@dataclasses.dataclass(frozen=True, eq=False)
class PropertyModel:
    """A trained MLP, its input scaling and its targets.

    ``params`` have a leading axis of targets for the task "single". ``centre`` and ``scale`` (m,) standardise the
    input by the training rows. ``alive``: False for a training that diverged, an array for the task "single".
    """

    network: Mlp
    task: Task
    params: Any
    targets: Targets
    centre: NDArray[np.float32]
    scale: NDArray[np.float32]
    alive: Any = True

    def predict(self, x: ArrayLike) -> NDArray[np.float64]:
        """Predictions (n, p) in the units of the properties for inputs (n, m), NaN from trainings that diverged."""
        x = (np.asarray(x, np.float32) - self.centre) / self.scale
        (predicted,) = in_parts(lambda rows: (_apply(self.network, self.task, self.params, rows),), x)
        return self.targets.inverse(np.where(np.broadcast_to(self.alive, predicted.shape[1:]), predicted, np.nan))


@functools.partial(jax.jit, static_argnames=("network", "task"))
def _apply(network: Mlp, task: Task, params: Any, x: jax.Array) -> jax.Array:
    def one(params: Any) -> Any:
        return network.apply({"params": params}, x)

    return one(params) if task == "multi" else jax.vmap(lambda p: one(p)[:, 0], out_axes=1)(params)


@dataclasses.dataclass(frozen=True)
class PropertyLoss:
    """Mean squared error in training units over the values that were measured; equal ones share a compiled program.

    The batch holds ``x`` (b, m), ``t`` (b, q) and ``known`` (b, q), 1 where measured. For the task "single", ``own``
    is the (q,) indicator of the member's target.
    """

    network: Mlp
    task: Task

    def __call__(self, params: Any, stats: Any, batch: Any, key: Any, progress: Any, own: Any = None) -> Any:
        predicted: Any = self.network.apply({"params": params}, batch["x"], key)
        t, known = batch["t"], batch["known"]
        if self.task == "single":
            t, known = (t @ own)[:, None], (known @ own)[:, None]
        squares = known * (predicted - t) ** 2
        return jnp.sum(squares) / jnp.maximum(jnp.sum(known), 1.0), (stats, {})


def fit_properties(
    config: PropertyConfig,
    own: Strategy,
    sets: SpectraSets,
    view: Mapping[str, ArrayLike],
    train: NDArray[Any],
    validation: NDArray[Any],
    *,
    task: Task,
    key: jax.Array,
    constant: bool = False,
    label: str = "",
) -> tuple[PropertyModel, Fitted]:
    """Trains one MLP for all properties ("multi") or one for each ("single").

    Args:
      config: settings; trainings on few rows run more epochs, to reach its ``steps``.
      own: the strategy whose model it is: which set it learns from, and whether clay, silt and sand are two ILR
        coordinates.
      sets: properties of the sets, NaN where absent.
      view: set -> (n, m) preprocessed spectra or latents.
      train, validation: row numbers that train and that stop the training.
      task: "multi" or "single".
      key: random key of weights and batches.
      constant: whether a property without variance among the training rows may stay.
      label: for the progress bar.

    Returns:
      The model, and its training; values of the latter have a leading axis of targets for "single".
    """
    x, values = np.asarray(view[own.part], np.float32), sets.values[own.part]
    targets = Targets.fit(values[train], sets.properties, ilr=own.ilr, constant=constant)
    centre, scale = _scaling(x[train])
    t = targets.forward(values)
    known = np.isfinite(t)
    arrays = {
        "x": (x - centre) / scale,
        "t": np.where(known, t, 0.0).astype(np.float32),
        "known": known.astype(np.float32),
    }
    widths = config.latent_widths if own.view == "latents" else config.widths
    network = Mlp(t.shape[1] if task == "multi" else 1, tuple(widths), dropout=config.dropout)
    loop = enough_steps(config.loop, train.size, config.steps)
    start, run = jax.random.split(key)
    example = jnp.zeros((1, x.shape[1]), jnp.float32)
    loss = PropertyLoss(network, task)
    if task == "multi":
        params = network.init(start, example)["params"]
        fitted = fit(loss, params, arrays, train, validation, loop, run, label=label)
    else:
        members = t.shape[1]
        params = jax.vmap(lambda k: network.init(k, example)["params"])(jax.random.split(start, members))
        masks = [np.isin(np.arange(len(x)), rows) for rows in (train, validation)]
        own_target, keys = jnp.eye(members, dtype=jnp.float32), jax.random.split(run, members)
        fitted = fit_many(loss, params, arrays, *masks, loop, keys, own=own_target, label=label)
    return PropertyModel(network, task, fitted.params, targets, centre, scale.astype(np.float32), fitted.alive), fitted


def _scaling(x: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation (m,) of the columns of ``x`` (n, m), the latter 1 where a column does not vary."""
    spread = x.std(axis=0)
    # A column without variance (a latent at its prior) carries nothing; it must not be blown up where it moves.
    return x.mean(axis=0), np.where(spread > 1e-6 * max(float(spread.max()), 1e-12), spread, np.float32(1))
