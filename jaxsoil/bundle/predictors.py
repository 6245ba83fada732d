"""Fitted models as arrays and facts: what a bundle holds of them, and how they predict.

A predictor takes preprocessed spectra (t, m) and returns values (t, p) in the units of its properties, and the RMSE
with which its decoder rebuilds each spectrum where it has one.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from jaxsoil.models.forest import Forest
from jaxsoil.models.plsr import Plsr
from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError

PERCENT = 100.0

SCALES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "unit": lambda values: values,
    "log10": lambda values: 10.0**values,
    "log1p": np.expm1,
}
"""How a modelling scale is undone."""

ROWS = 1024
"""Rows of a network's forward pass; fewer rows are padded to a power of two, so that few programs compile."""

Output = tuple[np.ndarray, np.ndarray | None]


class Predictor(Protocol):
    """A fitted model."""

    kind: ClassVar[str]

    def __call__(self, x: np.ndarray) -> Output:
        """Values (t, p) and reconstruction errors (t,), None without a decoder, of preprocessed spectra (t, m)."""
        ...

    def arrays(self) -> dict[str, np.ndarray]:
        """What an ``.npz`` file holds of it."""
        ...

    def facts(self) -> dict[str, Any]:
        """What a JSON file holds of it."""
        ...

    @classmethod
    def read(cls, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> Self:
        """The predictor that :meth:`arrays` and :meth:`facts` came from."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class Linear:
    """Linear models of p properties: PLSR once it is fitted.

    Attributes:
      coefficients: (m, p).
      intercept: (p,).
      scales: modelling scale of each property, one of :data:`SCALES`.
    """

    kind: ClassVar[str] = "linear"
    coefficients: np.ndarray
    intercept: np.ndarray
    scales: tuple[str, ...]

    @classmethod
    def of(cls, models: Sequence[Plsr], scales: Sequence[str]) -> Linear:
        """One PLSR model a property, on the given modelling scales."""
        slopes = np.stack([model.coefficients[-1] / model.scale for model in models], axis=1)
        starts = [model.target_centre - model.centre @ slope for model, slope in zip(models, slopes.T, strict=True)]
        return cls(slopes, np.array(starts), tuple(scales))

    def __call__(self, x: np.ndarray) -> Output:
        """Values (t, p) of preprocessed spectra (t, m)."""
        return undone(x.astype(np.float64) @ self.coefficients + self.intercept, self.scales), None

    def arrays(self) -> dict[str, np.ndarray]:
        """Coefficients and intercept."""
        return {"coefficients": self.coefficients, "intercept": self.intercept}

    def facts(self) -> dict[str, Any]:
        """Modelling scales."""
        return {"scales": list(self.scales)}

    @classmethod
    def read(cls, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> Linear:
        """The models that were written."""
        return cls(arrays["coefficients"], arrays["intercept"], _scales(facts, arrays["intercept"].size))


@dataclasses.dataclass(frozen=True, eq=False)
class Trees:
    """A random forest of one property as plain arrays: the nodes of all trees, one tree after the other.

    Attributes:
      children: (nodes, 2) numbers of the nodes below, counted over all trees; a leaf's are its own.
      feature: (nodes,) band that is compared; threshold: (nodes,) up to which the first child follows.
      value: (nodes,) mean of the training targets; roots: (trees,) first node of each tree.
      scale: modelling scale.
    """

    kind: ClassVar[str] = "forest"
    children: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    value: np.ndarray
    roots: np.ndarray
    scale: str

    @classmethod
    def of(cls, forest: Forest, scale: str) -> Trees:
        """The trees of a fitted forest."""
        trees = [estimator.tree_ for estimator in forest.trees.estimators_]
        roots = np.concatenate([[0], np.cumsum([tree.node_count for tree in trees])[:-1]]).astype(np.int32)
        children = []
        for root, tree in zip(roots, trees, strict=True):
            below = np.stack([tree.children_left, tree.children_right], axis=1)
            children.append(np.where(below < 0, np.arange(tree.node_count)[:, None], below) + root)
        return cls(
            np.concatenate(children).astype(np.int32),
            np.concatenate([np.maximum(tree.feature, 0) for tree in trees]).astype(np.int32),
            np.concatenate([tree.threshold for tree in trees]),
            np.concatenate([tree.value.ravel() for tree in trees]),
            roots,
            scale,
        )

    def __call__(self, x: np.ndarray) -> Output:
        """Values (t, 1) of preprocessed spectra (t, m)."""
        rows, x = np.arange(len(x))[:, None], x.astype(np.float32)
        node = np.broadcast_to(self.roots, (len(x), self.roots.size))
        while True:
            right = x[rows, self.feature[node]] > self.threshold[node]
            below = self.children[node, right.astype(np.intp)]
            if np.array_equal(below, node):
                return undone(self.value[node].mean(axis=1, keepdims=True), (self.scale,)), None
            node = below

    def arrays(self) -> dict[str, np.ndarray]:
        """All nodes."""
        names = ("children", "feature", "threshold", "value", "roots")
        return {name: getattr(self, name) for name in names}

    def facts(self) -> dict[str, Any]:
        """Modelling scale."""
        return {"scales": [self.scale]}

    @classmethod
    def read(cls, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> Trees:
        """The forest that was written; refused where a child does not lie below its node, which would never end."""
        parts = [arrays[name] for name in ("children", "feature", "threshold", "value", "roots")]
        children, feature, threshold, value, roots = parts
        numbers = np.arange(len(children))
        leaf = (children == numbers[:, None]).all(axis=1)
        below = (children > numbers[:, None]).all(axis=1) & (children < numbers.size).all(axis=1)
        lengths = {feature.size, threshold.size, value.size, numbers.size}
        if not ((leaf | below).all() and len(lengths) == 1 and (feature >= 0).all() and roots.size):
            raise DataError("the trees of a forest do not hold together", remedy="Write the bundle again.")
        return cls(children, feature, threshold, value, roots, _scales(facts, 1)[0])


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """An encoder with or without a decoder (:class:`jaxsoil.models.autoencoder.Autoencoder`): SOC in % by mass.

    Attributes:
      components, bands: K and M.
      config: fields of :class:`jaxsoil.models.autoencoder.ModelConfig`.
      variables: "params" and "batch_stats".
      minerals: "spectra" (K - 1, M) and "rho_r" (K - 1,) of the mixing decoder, else empty.
    """

    kind: ClassVar[str] = "autoencoder"
    components: int
    bands: int
    config: Mapping[str, Any]
    variables: Mapping[str, Any]
    minerals: Mapping[str, np.ndarray]

    def __call__(self, x: np.ndarray) -> Output:
        """SOC (t, 1) in % and, with a decoder, the RMSE of the rebuilt reflectance, of reflectance (t, M)."""
        soc, rmse = (np.concatenate(parts) for parts in zip(*batched(self._apply, x), strict=True))
        decoded = self.config["decoder"] != "none"
        return PERCENT * soc[:, None].astype(np.float64), rmse.astype(np.float64) if decoded else None

    @functools.cached_property
    def _apply(self) -> Callable[[np.ndarray], Any]:
        import jax
        import jax.numpy as jnp

        from jaxsoil.models.autoencoder import Autoencoder, Minerals, ModelConfig, evaluate

        network = Autoencoder(self.components, self.bands, ModelConfig(**self.config))
        variables = jax.tree.map(jnp.asarray, dict(self.variables))
        minerals = Minerals(**{name: jnp.asarray(v) for name, v in self.minerals.items()}) if self.minerals else None

        @jax.jit
        def apply(x: jax.Array) -> tuple[jax.Array, jax.Array]:
            mass, rebuilt = evaluate(network, variables, x, minerals)
            off = jnp.zeros(len(x)) if rebuilt is None else jnp.sqrt(jnp.mean(jnp.square(rebuilt - x), axis=1))
            return mass[:, -1], off

        return apply

    def arrays(self) -> dict[str, np.ndarray]:
        """Parameters, statistics and minerals."""
        return flat(dict(self.variables)) | {f"minerals/{name}": values for name, values in self.minerals.items()}

    def facts(self) -> dict[str, Any]:
        """Shape of the network."""
        return {"components": self.components, "bands": self.bands, "config": dict(self.config)}

    @classmethod
    def read(cls, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> Network:
        """The network that was written."""
        tree = nested(arrays)
        minerals = tree.pop("minerals", {})
        return cls(int(facts["components"]), int(facts["bands"]), dict(facts["config"]), tree, minerals)


@dataclasses.dataclass(frozen=True, eq=False)
class Perceptron:
    """A multilayer perceptron of p properties (:class:`jaxsoil.models.mlp.Mlp`).

    Attributes:
      widths: units of the hidden layers.
      params: its parameters.
      inputs: (2, m) mean and standard deviation by which spectra are standardised.
      targets: (2, p) mean and standard deviation of the targets on their modelling scale.
      scales: modelling scale of each property.
    """

    kind: ClassVar[str] = "mlp"
    widths: tuple[int, ...]
    params: Mapping[str, Any]
    inputs: np.ndarray
    targets: np.ndarray
    scales: tuple[str, ...]

    def __call__(self, x: np.ndarray) -> Output:
        """Values (t, p) of preprocessed spectra (t, m)."""
        scaled = ((x - self.inputs[0]) / self.inputs[1]).astype(np.float32)
        found = np.concatenate(batched(self._apply, scaled)).astype(np.float64)
        return undone(self.targets[0] + self.targets[1] * found, self.scales), None

    @functools.cached_property
    def _apply(self) -> Callable[[np.ndarray], Any]:
        import jax

        from jaxsoil.models.mlp import Mlp

        network = Mlp(self.targets.shape[1], self.widths)
        return jax.jit(lambda x: network.apply({"params": dict(self.params)}, x))

    def arrays(self) -> dict[str, np.ndarray]:
        """Parameters and scalings."""
        return flat({"params": dict(self.params)}) | {"inputs": self.inputs, "targets": self.targets}

    def facts(self) -> dict[str, Any]:
        """Widths and modelling scales."""
        return {"widths": list(self.widths), "scales": list(self.scales)}

    @classmethod
    def read(cls, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> Perceptron:
        """The perceptron that was written."""
        params, targets = nested(arrays)["params"], arrays["targets"]
        widths = tuple(int(width) for width in facts["widths"])
        return cls(widths, params, arrays["inputs"], targets, _scales(facts, targets.shape[1]))


@dataclasses.dataclass(frozen=True, eq=False)
class Convolutional:
    """Ensembles of convolutional networks (:class:`jaxsoil.models.mlp.Cnn1d`), one ensemble a property.

    The networks learn within bounds, on the square root of the value above the lower end, or on the value itself; the
    prediction is the mean of an ensemble on that scale.

    Attributes:
      config: "features", "kernel", "width" and "activation" of all networks.
      bounds: for each property the lowest and highest value it can have, and whether the square root is learned.
      members: for each property the networks: "params" and "constants" ("mean", "sd" (m,), "centre", "unit").
    """

    kind: ClassVar[str] = "cnn"
    config: Mapping[str, Any]
    bounds: tuple[tuple[float, float, bool], ...]
    members: tuple[tuple[Mapping[str, Any], ...], ...]

    def __call__(self, x: np.ndarray) -> Output:
        """Values (t, p) of preprocessed spectra (t, m)."""
        columns = []
        for (low, high, root), nets in zip(self.bounds, self.members, strict=True):
            top = (high - low) ** 0.5 if root else high
            apply = self._apply(0.0 if root else low, top)
            found = [np.concatenate(batched(functools.partial(apply, net), x)) for net in nets]
            mean = np.mean(np.stack(found), axis=0, dtype=np.float64)
            columns.append(np.clip(low + mean**2 if root else mean, low, high))
        return np.stack(columns, axis=1), None

    def _apply(self, low: float, high: float) -> Callable[[Any, Any], Any]:
        import jax

        from jaxsoil.models.mlp import Cnn1d, within

        network = Cnn1d(1, **{**self.config, "features": tuple(self.config["features"])})

        @jax.jit
        def apply(net: Any, x: jax.Array) -> jax.Array:
            known = net["constants"]
            raw: Any = network.apply(net["params"], (x - known["mean"][None]) / known["sd"][None])
            return within(known["centre"] + known["unit"] * raw[:, 0], known["unit"], low, high)

        return apply

    def arrays(self) -> dict[str, np.ndarray]:
        """All networks, numbered by property and member."""
        tree = {f"{p}/{i}": dict(net) for p, nets in enumerate(self.members) for i, net in enumerate(nets)}
        return flat(tree)

    def facts(self) -> dict[str, Any]:
        """Shape, bounds and how many networks each property has."""
        counts = [len(nets) for nets in self.members]
        return {"config": dict(self.config), "bounds": [list(bound) for bound in self.bounds], "members": counts}

    @classmethod
    def read(cls, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> Convolutional:
        """The ensembles that were written."""
        tree = nested(arrays)
        members = tuple(tuple(tree[str(p)][str(i)] for i in range(n)) for p, n in enumerate(facts["members"]))
        bounds = tuple((float(low), float(high), bool(root)) for low, high, root in facts["bounds"])
        return cls(dict(facts["config"]), bounds, members)


KINDS: dict[str, type[Any]] = {kind.kind: kind for kind in (Linear, Trees, Network, Perceptron, Convolutional)}
"""Predictors by the name of their kind."""


def read(kind: str, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> Predictor:
    """The predictor of a kind; DataError where it is unknown or its parts do not fit."""
    require.known(kind, tuple(KINDS), "unknown kind of model")
    try:
        return KINDS[kind].read(arrays, facts)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        if isinstance(error, DataError):
            raise
        remedy = "Write the bundle again."
        raise DataError(f"a model of the kind '{kind}' is not complete", value=repr(error), remedy=remedy) from error


def batched(apply: Callable[[Any], Any], x: np.ndarray) -> list[Any]:
    """What ``apply`` makes of the rows of (t, m) spectra, part by part, on the host."""
    import jax

    found = []
    for start in range(0, max(len(x), 1), ROWS):
        part = np.asarray(x[start : start + ROWS], np.float32)
        count = len(part)
        missing = min(ROWS, 1 << max(count - 1, 0).bit_length()) - count
        filled = np.concatenate([part, np.ones((missing, x.shape[1]), np.float32)]) if missing else part
        found.append(jax.tree.map(lambda y, n=count: np.asarray(y)[:n], apply(filled)))
    return found


def undone(values: np.ndarray, scales: Sequence[str]) -> np.ndarray:
    """Values (t, p) in the units of their properties, from their modelling scales."""
    with np.errstate(over="ignore"):
        return np.stack([SCALES[scale](column) for scale, column in zip(scales, values.T, strict=True)], axis=1)


def flat(tree: Mapping[str, Any], above: str = "") -> dict[str, np.ndarray]:
    """A nested dictionary of arrays as one level, its keys joined by "/"."""
    found: dict[str, np.ndarray] = {}
    for name, value in tree.items():
        found |= flat(value, f"{above}{name}/") if isinstance(value, Mapping) else {f"{above}{name}": np.asarray(value)}
    return found


def nested(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The nested dictionary that :func:`flat` came from."""
    tree: dict[str, Any] = {}
    for name, values in arrays.items():
        *above, last = name.split("/")
        place = tree
        for part in above:
            place = place.setdefault(part, {})
        place[last] = values
    return tree


def _scales(facts: Mapping[str, Any], count: int) -> tuple[str, ...]:
    scales = tuple(facts["scales"])
    if len(scales) != count or not set(scales) <= set(SCALES):
        raise DataError(
            "the modelling scales do not fit the properties", value=scales, remedy="Write the bundle again."
        )
    return scales
