"""Fitted models as arrays and facts: what a bundle holds of them, and how they predict.

A predictor takes preprocessed spectra (t, m) and returns values (t, p) in the units of its properties, and the RMSE
with which its decoder rebuilds each spectrum where it has one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np

from jaxsoil.bundle.networks import Convolutional, Network, Output, Perceptron
from jaxsoil.bundle.trees import flat, nested, scales_of, undone
from jaxsoil.models.forest import Forest
from jaxsoil.models.gaussian_process import GaussianProcess
from jaxsoil.models.plsr import Plsr
from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError, intact

if TYPE_CHECKING:
    from jaxsoil.models.augmented import Ensemble


class Predictor(Protocol):
    """A fitted model; all kinds have what is described here."""

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
      scales: modelling scale of each property, one of :data:`jaxsoil.bundle.trees.SCALES`.
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

    def modelled(self, x: np.ndarray) -> np.ndarray:
        """Values (t, p) on the modelling scales."""
        return x.astype(np.float64) @ self.coefficients + self.intercept

    def __call__(self, x: np.ndarray) -> Output:
        return undone(self.modelled(x), self.scales), None

    def arrays(self) -> dict[str, np.ndarray]:
        return {"coefficients": self.coefficients, "intercept": self.intercept}

    def facts(self) -> dict[str, Any]:
        return {"scales": list(self.scales)}

    @classmethod
    def read(cls, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> Linear:
        return cls(arrays["coefficients"], arrays["intercept"], scales_of(facts, arrays["intercept"].size))


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
    STORED: ClassVar[tuple[str, ...]] = ("children", "feature", "threshold", "value", "roots")
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
        rows, x = np.arange(len(x))[:, None], x.astype(np.float32)
        node = np.broadcast_to(self.roots, (len(x), self.roots.size))
        while True:
            right = x[rows, self.feature[node]] > self.threshold[node]
            below = self.children[node, right.astype(np.intp)]
            if np.array_equal(below, node):
                return undone(self.value[node].mean(axis=1, keepdims=True), (self.scale,)), None
            node = below

    def arrays(self) -> dict[str, np.ndarray]:
        return {name: getattr(self, name) for name in self.STORED}

    def facts(self) -> dict[str, Any]:
        return {"scales": [self.scale]}

    @classmethod
    def read(cls, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> Trees:
        """The forest that was written; refused where a child does not lie below its node, which would never end."""
        children, feature, threshold, value, roots = (arrays[name] for name in cls.STORED)
        numbers = np.arange(len(children))
        leaf = (children == numbers[:, None]).all(axis=1)
        below = (children > numbers[:, None]).all(axis=1) & (children < numbers.size).all(axis=1)
        lengths = {feature.size, threshold.size, value.size, numbers.size}
        if not ((leaf | below).all() and len(lengths) == 1 and (feature >= 0).all() and roots.size):
            raise DataError("the trees of a forest do not hold together", remedy="Write the bundle again.")
        return cls(children, feature, threshold, value, roots, scales_of(facts, 1)[0])


@dataclasses.dataclass(frozen=True, eq=False)
class Process:
    """A linear model of one property and Gaussian processes, whose mean enters with a weight.

    Attributes:
      linear: what the linear part adds, its own weight in it.
      process: the processes, in the linear part's modelling scale.
      weight: of their mean.
    """

    kind: ClassVar[str] = "gaussian_process"
    linear: Linear
    process: GaussianProcess
    weight: float

    @property
    def scales(self) -> tuple[str, ...]:
        """Modelling scale."""
        return self.linear.scales

    def modelled(self, x: np.ndarray) -> np.ndarray:
        """Values (t, 1) on the modelling scale."""
        rows = x.astype(np.float64)
        return self.linear.modelled(rows) + self.weight * self.process.predict(rows)[:, None]

    def __call__(self, x: np.ndarray) -> Output:
        return undone(self.modelled(x), self.scales), None

    def arrays(self) -> dict[str, np.ndarray]:
        own = {field.name: np.asarray(getattr(self.process, field.name)) for field in dataclasses.fields(self.process)}
        return self.linear.arrays() | own | {"weight": np.asarray(self.weight)}

    def facts(self) -> dict[str, Any]:
        return self.linear.facts()

    @classmethod
    def read(cls, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> Process:
        """What was written; refused where its arrays do not fit together."""
        own: dict[str, Any] = {field.name: arrays[field.name] for field in dataclasses.fields(GaussianProcess)}
        (n, bands), count = own["points"].shape, len(own["weights"])
        shapes = {"centre": (bands,), "weights": (count, n)} | dict.fromkeys(("constants", "length"), (count,))
        fits = all(own[name].shape == shape for name, shape in shapes.items())
        if not (fits and own["directions"].shape[:2] == (count, bands) and own["level"].shape == ()):
            raise DataError("the parts of a Gaussian process do not fit together", remedy="Write the bundle again.")
        own["level"] = float(own["level"])
        process = GaussianProcess(**own)
        return cls(Linear.read(arrays, facts), process, float(arrays["weight"]))


@dataclasses.dataclass(frozen=True, eq=False)
class Networks:
    """An ensemble of small networks of one property, whose mean is added with a weight to what another model gives.

    Attributes:
      base: the other model, its own weight in it.
      networks: the ensemble, in the modelling scale of the base.
      weight: of its mean.
    """

    kind: ClassVar[str] = "networks"
    base: Linear | Process
    networks: Ensemble
    weight: float

    def __call__(self, x: np.ndarray) -> Output:
        found = self.base.modelled(x) + self.weight * self.networks.predict(x)[:, None]
        return undone(found, self.base.scales), None

    def arrays(self) -> dict[str, np.ndarray]:
        own = {name: getattr(self.networks, name) for name in ("basis", "centre", "target")}
        tree = {"base": self.base.arrays(), "networks": {**own, "variables": self.networks.params}}
        return flat(tree) | {"weight": np.asarray(self.weight)}

    def facts(self) -> dict[str, Any]:
        return {"base": self.base.kind, "network": self.networks.kind, **self.base.facts()}

    @classmethod
    def read(cls, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> Networks:
        """What was written; refused where its arrays do not fit together."""
        from jaxsoil.models.augmented import Ensemble, network

        network(facts["network"])  # refuses an unknown kind
        tree = nested(arrays)
        base, own = read(facts["base"], tree["base"], facts), tree["networks"]
        if not isinstance(base, Linear | Process) or own["basis"].shape[1:] != own["centre"].shape:
            raise DataError("the parts of an ensemble do not fit together", remedy="Write the bundle again.")
        parts = own["basis"], own["centre"], own["target"], own["variables"]
        return cls(base, Ensemble(str(facts["network"]), *parts), float(arrays["weight"]))


KINDS: dict[str, type[Any]] = {
    kind.kind: kind for kind in (Linear, Trees, Process, Networks, Network, Perceptron, Convolutional)
}
"""Predictors by the name of their kind."""


def read(kind: str, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> Predictor:
    """The predictor of a kind; DataError where it is unknown or its parts do not fit."""
    require.known(kind, tuple(KINDS), "unknown kind of model")
    with intact(f"a model of the kind '{kind}' is not complete"):
        return KINDS[kind].read(arrays, facts)
