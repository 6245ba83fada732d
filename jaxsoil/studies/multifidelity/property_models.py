"""Property models: soil properties as what a model predicts, and networks from spectra or latents to them.

Targets are log(1 + y), ILR of the texture, and standardised; there is one network for all properties, or one for each.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from numpy.typing import ArrayLike, NDArray

from jaxsoil.data.properties import TEXTURE
from jaxsoil.models.first import first_parameters
from jaxsoil.models.mlp import Mlp
from jaxsoil.runs.errors import DataError
from jaxsoil.spectra import compositions
from jaxsoil.studies.multifidelity.config import PropertyConfig, Strategy, enough_steps
from jaxsoil.studies.multifidelity.pretrain import READ_ROWS, in_parts
from jaxsoil.studies.multifidelity.replicates import SpectraSets
from jaxsoil.training.devices import batch_mesh
from jaxsoil.training.rows import Fitted, fit, fit_many
from jaxsoil.training.streamed import Stored

LOGGED = ("tc", "tn", "ic", "eoc", "cec")
"""Properties taken as log(1 + y): all but pH and the particle sizes (multi-fidelity paper, section 2.5)."""


def learned_scales(properties: Sequence[str]) -> tuple[str, ...]:
    """The scale on which each property is learned, as a bundle names it."""
    return tuple("log1p" if name in LOGGED else "unit" for name in properties)


@dataclasses.dataclass(frozen=True, eq=False)
class Targets:
    """Properties in training units: transformed and standardised by the training rows.

    Args:
      properties: names of the p columns of values.
      ilr: whether clay, silt and sand become two ILR coordinates, so that predictions sum to 100 %.
      centre, scale: (q,) mean and standard deviation of the transformed training rows; q = p, or p - 1 with ILR.
    """

    properties: tuple[str, ...]
    ilr: bool
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def fit(cls, values: ArrayLike, properties: Sequence[str], *, ilr: bool = False, constant: bool = False) -> Targets:
        """Learns centre and scale from the training rows.

        Args:
          values: (n, p) measured values of the training rows, NaN where absent.
          properties: names of the p columns.
          ilr: see the class.
          constant: whether a property whose training values are all alike may stay, with scale 1.

        Raises:
          DataError: a property without two different values, one below -1 that is taken as log(1 + y), or ILR
            without all three particle sizes.
        """
        properties = tuple(properties)
        if ilr and not set(TEXTURE) <= set(properties):
            remedy = "Use data with the three particle sizes, or leave ILR out."
            raise DataError("ILR needs clay, silt and sand", value=", ".join(properties), remedy=remedy)
        transformed = _transform(np.asarray(values, np.float64), properties, ilr)
        centre, scale = np.zeros(transformed.shape[1]), np.ones(transformed.shape[1])
        for place, (name, column) in enumerate(zip(_columns(properties, ilr), transformed.T, strict=True)):
            measured = column[np.isfinite(column)]
            varies = measured.size > 1 and np.ptp(measured) > 0
            if not varies and not (constant and measured.size):
                problem, value = "a property needs two different values among the training rows", measured.size
                remedy = "Leave the property out, or train on more rows."
                raise DataError(problem, column=name, value=f"{value} measured values", remedy=remedy)
            centre[place] = measured.mean() if varies else measured[0]
            scale[place] = measured.std(ddof=1) if varies else 1.0
        return cls(properties, ilr, centre, scale)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the q training columns."""
        return _columns(self.properties, self.ilr)

    def forward(self, values: ArrayLike) -> NDArray[np.float64]:
        """(n, p) values in their units to (n, q) training units; NaN stays NaN."""
        return (_transform(np.asarray(values, np.float64), self.properties, self.ilr) - self.centre) / self.scale

    def inverse(self, scaled: ArrayLike) -> NDArray[np.float64]:
        """(n, q) training units to (n, p) values in their units; with ILR clay + silt + sand = 100."""
        columns = dict(zip(self.columns, (np.asarray(scaled, np.float64) * self.scale + self.centre).T, strict=True))
        found = {name: np.expm1(column) if name in LOGGED else column for name, column in columns.items()}
        if self.ilr:
            coordinates = np.stack([columns["ilr1"], columns["ilr2"]], axis=1)
            parts = np.asarray(compositions.ilr_inverse(coordinates, 100.0))
            found |= dict(zip(TEXTURE, parts.T, strict=True))
        return np.stack([found[name] for name in self.properties], axis=1)


def _columns(properties: tuple[str, ...], ilr: bool) -> tuple[str, ...]:
    if not ilr:
        return properties
    return (*(name for name in properties if name not in TEXTURE), "ilr1", "ilr2")


def _transform(values: NDArray[np.float64], properties: tuple[str, ...], ilr: bool) -> NDArray[np.float64]:
    if values.ndim != 2 or values.shape[1] != len(properties):
        value = f"values {values.shape}, {len(properties)} properties"
        remedy = "Pass an array (n, p) in the order of the names."
        raise DataError("one column for each property", value=value, remedy=remedy)
    columns = dict(zip(properties, values.T, strict=True))
    for name in set(LOGGED) & set(properties):
        if np.nanmin(columns[name], initial=0.0) <= -1.0:
            lowest, remedy = float(np.nanmin(columns[name])), "Correct the values: these properties are not negative."
            raise DataError("log(1 + y) needs values above -1", column=name, value=lowest, remedy=remedy)
        columns[name] = np.log1p(columns[name])
    if ilr:
        columns |= dict(zip(("ilr1", "ilr2"), _texture_coordinates(columns).T, strict=True))
    return np.stack([columns[name] for name in _columns(properties, ilr)], axis=1)


def _texture_coordinates(columns: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """ILR coordinates (n, 2), NaN for rows without all three particle sizes."""
    parts = np.stack([columns[name] for name in TEXTURE], axis=1)
    whole = np.isfinite(parts).all(axis=1)
    coordinates = np.full((len(parts), 2), np.nan)
    if whole.any():
        coordinates[whole] = np.asarray(compositions.ilr(parts[whole]))
    return coordinates


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

    def as_tree(self) -> dict[str, Any]:
        """Parameters, widths, and mean and SD of inputs (2, m) and targets (2, q)."""
        inputs, targets = ((one.centre, one.scale) for one in (self, self.targets))
        scalings = {"inputs": np.stack(inputs), "targets": np.stack(targets)}
        return {"params": dict(self.params), "widths": np.array(self.network.widths), **scalings}

    @classmethod
    def of_tree(cls, tree: Mapping[str, Any], properties: Sequence[str]) -> PropertyModel:
        """The network for all properties, without ILR, that :meth:`as_tree` describes."""
        centre, scale = (np.asarray(row, np.float32) for row in tree["inputs"])
        targets = Targets(tuple(properties), False, *(np.asarray(row, np.float64) for row in tree["targets"]))
        network = Mlp(targets.centre.size, tuple(int(width) for width in np.asarray(tree["widths"])))
        return cls(network, "multi", tree["params"], targets, centre, scale)


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


def _sharing(batch: int) -> Mesh | None:
    """As many devices of this process as share a batch evenly, None for one: it would only be known in stage 3."""
    devices = jax.local_devices()
    count = max(n for n in range(1, len(devices) + 1) if batch % n == 0)
    return batch_mesh(devices[:count]) if count > 1 else None


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
      sets, view: properties of the sets, NaN where absent; set -> (n, m) preprocessed spectra or latents.
      train, validation: row numbers that train and that stop the training.
      task: "multi" or "single".
      key: random key of weights and batches.
      constant: whether a property without variance among the training rows may stay.

    Returns:
      The model, and its training; values of the latter have a leading axis of targets for "single".
    """
    x, values = np.asarray(view[own.part], np.float32), sets.values[own.part]
    targets = Targets.fit(values[train], sets.properties, ilr=own.ilr, constant=constant)
    centre, scale = _scaling(x, train)
    t = targets.forward(values)
    known = np.isfinite(t)
    labels = {"t": np.where(known, t, 0.0).astype(np.float32), "known": known.astype(np.float32)}
    # A single network reads inputs that exceed the memory from where they lie, and standardises what it reads.
    if task == "multi" and x.nbytes > config.memory_gb * 1e9:
        prepare = functools.partial(standardise, centre=centre, scale=scale)
        arrays: Any = Stored(len(x), {"x": x} | labels, config.memory_gb, prepare=prepare)
    else:
        arrays = {"x": (x - centre) / scale} | labels
    widths = config.latent_widths if own.view == "latents" else config.widths
    network = Mlp(t.shape[1] if task == "multi" else 1, tuple(widths), dropout=config.dropout)
    loop = enough_steps(config, train.size, config.steps).loop
    (start, run), loss = jax.random.split(key), PropertyLoss(network, task)
    example = (1, x.shape[1])
    if task == "multi":
        params = first_parameters(network, start, example)
        mesh = _sharing(min(loop.batch, train.size)) if isinstance(arrays, Stored) else None
        fitted = fit(loss, params, arrays, train, validation, loop, run, label=label, mesh=mesh)
    else:
        members = t.shape[1]
        params = jax.vmap(lambda k: first_parameters(network, k, example))(jax.random.split(start, members))
        trained, watched = (np.isin(np.arange(len(x)), rows) for rows in (train, validation))
        own_target, keys = jnp.eye(members, dtype=jnp.float32), jax.random.split(run, members)
        fitted = fit_many(loss, params, arrays, trained, watched, loop, keys, own=own_target, label=label)
    return PropertyModel(network, task, fitted.params, targets, centre, scale.astype(np.float32), fitted.alive), fitted


def standardise(rows: Mapping[str, Any], *, centre: NDArray[np.float32], scale: NDArray[np.float32]) -> None:
    """``x`` (r, m) of ``rows`` becomes, in place, less ``centre`` and over ``scale`` (m,)."""
    np.subtract(rows["x"], centre, out=rows["x"])
    np.divide(rows["x"], scale, out=rows["x"])


def _scaling(x: NDArray[np.float32], rows: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation (m,) of the columns of some rows of ``x`` (n, m), the latter 1 where none varies.

    Rows are added one after the other, block by block, as NumPy adds them: the bits of ``x[rows].std(axis=0)``.
    """

    def mean(of: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> NDArray[np.float32]:
        total = np.zeros((0, x.shape[1]), np.float32)
        for first in range(0, len(rows), READ_ROWS):
            block = of(x[rows[first : first + READ_ROWS]])
            total = np.add.reduce(np.concatenate([total, block]), axis=0, keepdims=True)
        return total[0] / np.float32(len(rows))

    centre = mean(lambda block: block)
    spread = np.sqrt(mean(lambda block: np.square(block - centre)))
    # A column without variance (a latent at its prior) carries nothing; it must not be blown up where it moves.
    return centre, np.where(spread > 1e-6 * max(float(spread.max()), 1e-12), spread, np.float32(1))
