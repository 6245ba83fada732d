"""Training of the networks: all folds (and layers) of one seed as members of one program."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int64

from jaxsoil.data.draws import take_single_rows
from jaxsoil.data.rasters.sites import Layer
from jaxsoil.runs.keys import key_of
from jaxsoil.studies.layers.config import LayersConfig
from jaxsoil.studies.layers.network import LayerCnn, ProfileCnn, layer_means, turned
from jaxsoil.studies.layers.prepare import LayersData
from jaxsoil.training.config import LoopConfig
from jaxsoil.training.loop import Program
from jaxsoil.training.rows import Fitted, fit_many, program_of

KIND = {
    "cnn": "single", "cnn_long": "single", "multitask": "multitask", "multitask_tuned": "multitask",
    "transfer": "layer_input", "profile": "profile",
}  # fmt: skip
"""How each network uses the layers, see :class:`jaxsoil.studies.layers.network.LayerCnn`."""

PER_LAYER = ("cnn", "cnn_long", "multitask_tuned", "transfer")
"""Networks of which there is one for each layer."""

GOES_ON = {"cnn_long": "cnn", "multitask_tuned": "multitask"}
"""Controls of transfer, and the finished network that each goes on from with the stage that fine-tunes."""


@dataclasses.dataclass(frozen=True)
class WindowLoss:
    """Mean squared error over the layers that were measured, on the standardised scale of each layer.

    Called as the training loop asks; ``own`` holds what a member's training rows fitted.
    """

    kind: str
    layers: tuple[Layer, ...]
    log: bool
    width: int
    hidden: int
    dropout: float

    def __call__(self, params: Any, stats: Any, batch: Any, key: Any, progress: Any, own: Any) -> Any:
        predicted = self.predict(params, batch["x"], own, key)
        weight = batch["seen"] * own["weight"][None, :]
        errors = weight * (predicted - (batch["y"] - own["y_mean"][None, :]) / own["y_sd"][None, :]) ** 2
        # A batch in which nothing was measured weighs nothing.
        return errors.sum() / jnp.maximum(weight.sum(), 1.0), (stats, {})

    def predict(self, params: Any, x: Any, own: Any, key: Any = None) -> Float[jax.Array, "n l"]:
        """Standardised predictions of all layers; with a key as in training: turned windows and dropout."""
        x, chances = _standardised(x, own), {}
        if key is not None:
            turn, drop = jax.random.split(key)
            x, chances = turned(x, turn), {"rngs": {"dropout": drop}}
        train = key is not None
        if self.kind != "profile":
            return self.network.apply(params, x, train=train, **chances)
        means = layer_means(self.network.apply(params, x, own["start"], train=train, **chances), self.layers)
        scaled = jnp.log1p(means) if self.log else means
        return (scaled - own["y_mean"][None, :]) / own["y_sd"][None, :]

    def coefficients(self, params: Any, x: Any, own: Any) -> Float[jax.Array, "n 3"]:
        """Coefficients of the depth function, of a profile network."""
        return self.network.apply(params, _standardised(x, own), own["start"])

    @property
    def network(self) -> Any:
        """The module."""
        if self.kind == "profile":
            return ProfileCnn(self.width, self.hidden, self.dropout)
        return LayerCnn(len(self.layers), self.kind, self.width, self.hidden, self.dropout)


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
    """Members of one seed: one for each fold, times one for each layer where a network has one layer.

    Attributes:
      params, own: trees with a leading axis of members.
      alive, converged: (members,); a member that is not alive diverged and predicts nothing.
      history: tables (members, epochs) by "stage/loss" and "stage/validation_loss".
    """

    params: Any
    own: Any
    alive: Bool[np.ndarray, " s"]
    converged: Bool[np.ndarray, " s"]
    history: dict[str, np.ndarray]


def loss_of(model: str, data: LayersData, config: LayersConfig) -> WindowLoss:
    """The loss, and with it the network, of a model."""
    return WindowLoss(KIND[model], data.layers, data.log, config.width, config.hidden, config.dropout)


def held_out_rows(fold: Int64[np.ndarray, " n"], folds: int, *, pairs: bool = False) -> Bool[np.ndarray, "s n"]:
    """Rows that each member does not see: those of one fold, or of two folds for every pair of them."""
    return np.stack([np.isin(fold, held) for held in itertools.combinations(range(folds), 2 if pairs else 1)])


def train(
    name: tuple[str, str, int],
    held: Bool[np.ndarray, "s n"],
    data: LayersData,
    config: LayersConfig,
    base: Trained | None = None,
) -> Trained:
    """Trains a network for each row of ``held`` (and each layer, where it has one), on the rows that it may see.

    Args:
      name: model, what the rows are (a split) and seed, of which keys are made.
      held: (s, n) rows that a member must not see.
      base: the finished network that a model of :data:`GOES_ON` goes on from.
    """
    (model, _, seed), loss, sets = name, loss_of(name[0], data, config), len(held)
    watched = max(1, round(config.watch * int((~held).sum(axis=1).min())))
    learn, watch = zip(*(parts(~rows, (seed, number), watched) for number, rows in enumerate(held)), strict=True)
    learn, watch, one = np.stack(learn), np.stack(watch), np.eye(len(data.layers))
    common = members_of(data, learn, np.ones((sets, len(one))))
    # Standardised alike in both stages, so that a network goes on where it stood.
    by_layer = {key: np.repeat(values, len(one), axis=0) for key, values in common.items()}
    by_layer["weight"] = np.tile(one, (sets, 1)).astype(np.float32)
    # (members, n): the rows of each set at which each layer was measured.
    rows = [(masks[:, None, :] & data.seen.T[None, :, :]).reshape(sets * len(one), -1) for masks in (learn, watch)]
    arrays = _arrays(data)

    def fit(params: Any, own: Any, rows: Any, loop: LoopConfig, stage: str) -> Fitted:
        label, keys = " ".join(map(str, (*name, stage))).strip(), keys_of((*name, stage), len(own["weight"]))
        constants = jax.tree.map(jnp.asarray, own)
        return fit_many(loss, params, arrays, rows[0], rows[1], loop, keys, label=label, own=constants)

    start = keys_of((*name, "start"), sets * len(one))
    if model not in PER_LAYER:
        fitted = fit(_initial(loss, data, common, start[:sets]), common, (learn, watch), config.train, "")
        return _trained(fitted, common, {"train": fitted.history})
    if model == "cnn":
        fitted = fit(_initial(loss, data, by_layer, start), by_layer, rows, config.train, "")
        return _trained(fitted, by_layer, {"train": fitted.history})
    if model == "transfer":
        before = fit(_initial(loss, data, common, start[:sets]), common, (learn, watch), config.train, "all")
        base = _trained(before, common, {"train": before.history})
    assert base is not None
    # Of a network of all layers every layer takes a copy.
    copies = len(rows[0]) // len(base.alive)
    params = jax.tree.map(lambda leaf: np.repeat(np.asarray(leaf), copies, axis=0), base.params)
    fitted = fit(params, by_layer, rows, config.finetune, "fine")
    history = {"finetune": fitted.history}
    if model == "transfer":
        history = {"pretrain": {key.split("/")[1]: values for key, values in base.history.items()}} | history
    found = _trained(fitted, by_layer, history)
    alive = found.alive & np.repeat(base.alive, copies)
    return dataclasses.replace(found, alive=alive, converged=found.converged & alive)


def example(model: str, data: LayersData, config: LayersConfig, loop: LoopConfig) -> tuple[Program, Any]:
    """One network that trains on all sites, for a plan: its program and the parameters it starts from."""
    loss, every = loss_of(model, data, config), np.ones((1, len(data.sites)), bool)
    own, keys = members_of(data, every, np.ones((1, len(data.layers)))), keys_of((model, "plan"), 1)
    loop, constants = dataclasses.replace(loop, patience=0), jax.tree.map(jnp.asarray, own)
    return program_of(loss, _arrays(data), every, ~every, loop, keys, own=constants), _initial(loss, data, own, keys)


def _arrays(data: LayersData) -> dict[str, np.ndarray]:
    target = np.where(data.seen, data.to_scale(data.sites.values), 0.0).astype(np.float32)
    return {"x": data.windows, "y": target, "seen": data.seen.astype(np.float32)}


def parts(rows: Bool[np.ndarray, " n"], seed: tuple[int, int], watched: int) -> tuple[np.ndarray, np.ndarray]:
    """Training rows of a fold in two masks: those that networks learn from, and ``watched`` others."""
    watch = np.zeros(rows.size, bool)
    watch[rows] = take_single_rows(int(rows.sum()), watched, np.random.default_rng(seed))
    return rows & ~watch, watch


def members_of(data: LayersData, learn: Bool[np.ndarray, "s n"], weight: np.ndarray) -> dict[str, np.ndarray]:
    """What each member's own training rows fit: means and standard deviations of covariates and targets.

    ``learn``: (members, n) training rows; ``weight``: (members, layers) weight of each layer in the member's loss.
    """
    target, own = data.to_scale(data.sites.values), []
    for rows in learn:
        pixels = data.windows[rows].reshape(-1, data.windows.shape[-1]).astype(np.float64)
        x = {"x_mean": pixels.mean(axis=0), "x_sd": np.maximum(pixels.std(axis=0), 1e-9)}
        y = {"y_mean": np.nanmean(target[rows], axis=0), "y_sd": np.maximum(np.nanstd(target[rows], axis=0), 1e-9)}
        own.append(x | y | {"start": mean_profile(np.nanmean(data.sites.values[rows], axis=0), data.layers)})
    every = {name: np.stack([one[name] for one in own]) for name in own[0]} | {"weight": weight}
    return {name: values.astype(np.float32) for name, values in every.items()}


def mean_profile(means: np.ndarray, layers: tuple[Layer, ...]) -> np.ndarray:
    """Log deep, log rise and log decay length (cm) of a depth function near the mean of each layer: (3,).

    The length is that of half the rise at the surface; exact values do not matter, training starts here.
    """
    centre = np.array([0.5 * (layer.top + layer.bottom) for layer in layers])
    deep = max(0.9 * float(means.min()), 1e-3)
    rise = max(float(means.max()) - deep, 1e-3)
    half = centre[np.argmin(np.abs(means - (deep + 0.4 * rise)))]
    return np.log([deep, 1.2 * rise, np.clip(half, 5.0, 100.0)])


CHUNK = 1024
"""Windows that go through the networks at a time: every call runs the same compiled program."""


def predict_members(loss: WindowLoss, trained: Trained, windows: np.ndarray) -> np.ndarray:
    """Standardised predictions undone: (members, t, layers) on the scale of learning, NaN for members not alive."""
    raw = _in_chunks("predict", loss, trained, windows)
    values = raw * trained.own["y_sd"][:, None, :] + trained.own["y_mean"][:, None, :]
    values[~trained.alive] = np.nan
    return values


def curves_of(loss: WindowLoss, trained: Trained, windows: np.ndarray) -> np.ndarray:
    """Coefficients of the depth function: (folds, t, 3) log deep, log rise, log decay length in cm."""
    return _in_chunks("coefficients", loss, trained, windows)


def _in_chunks(method: str, loss: WindowLoss, trained: Trained, windows: np.ndarray) -> np.ndarray:
    own, found = jax.tree.map(jnp.asarray, trained.own), []
    for start in range(0, len(windows), CHUNK):
        part = windows[start : start + CHUNK]
        full = jnp.asarray(np.resize(part, (CHUNK, *part.shape[1:])))
        found.append(np.asarray(_apply(loss, method, trained.params, own, full), np.float64)[:, : len(part)])
    return np.concatenate(found, axis=1)


def by_fold(model: str, values: np.ndarray, layers: int) -> np.ndarray:
    """(members, t, layers) -> (folds, t, layers): each layer from the member that is responsible for it."""
    if model not in PER_LAYER:
        return values
    grouped = values.reshape(-1, layers, *values.shape[1:])
    return np.stack([grouped[:, place, :, place] for place in range(layers)], axis=-1)


def keys_of(name: tuple[Any, ...], count: int) -> jax.Array:
    """Random keys from a stable hash of what they are for."""
    return _numbered(key_of(0, *name), np.arange(count, dtype=np.uint32))


_numbered = jax.jit(jax.vmap(jax.random.fold_in, (None, 0)))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _apply(loss: WindowLoss, method: str, params: Any, own: Any, x: Any) -> jax.Array:
    return jax.lax.map(lambda pair: getattr(loss, method)(pair[0], x, pair[1]), (params, own))


def _standardised(x: Any, own: Any) -> jax.Array:
    return (x - own["x_mean"][None, None, None, :]) / own["x_sd"][None, None, None, :]


def _initial(loss: WindowLoss, data: LayersData, own: dict[str, np.ndarray], keys: jax.Array) -> Any:
    return _drawn(loss, keys, jnp.asarray(data.windows[:2]), jnp.asarray(own["start"][0]))


@functools.partial(jax.jit, static_argnums=0)
def _drawn(loss: WindowLoss, keys: jax.Array, x: jax.Array, start: jax.Array) -> Any:
    """First parameters for each key; ``x`` and ``start`` give their shapes. Equal networks share the program."""
    given = (x, start) if loss.kind == "profile" else (x,)
    return jax.vmap(lambda key: loss.network.init(key, *given))(keys)


def _trained(fitted: Fitted, own: dict[str, np.ndarray], stages: dict[str, dict[str, np.ndarray]]) -> Trained:
    losses = ("loss", "validation_loss")
    history = {f"{stage}/{name}": found[name] for stage, found in stages.items() for name in losses}
    return Trained(fitted.params, own, np.asarray(fitted.alive), np.asarray(fitted.converged), history)
