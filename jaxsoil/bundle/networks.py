"""Networks as arrays and facts: what a bundle holds of them, and how they predict."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from jaxsoil.bundle.trees import batched, flat, nested, scales_of, undone

PERCENT = 100.0

Output = tuple[np.ndarray, np.ndarray | None]


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
        soc, rmse = (np.concatenate(parts) for parts in zip(*batched(self._programs[0], x), strict=True))
        decoded = self.config["decoder"] != "none"
        return PERCENT * soc[:, None].astype(np.float64), rmse.astype(np.float64) if decoded else None

    def rebuild(self, x: np.ndarray) -> np.ndarray | None:
        """Reflectance (t, M) as the decoder rebuilds it from reflectance (t, M); None without a decoder."""
        return None if self.config["decoder"] == "none" else np.concatenate(batched(self._programs[1], x))

    @functools.cached_property
    def _programs(self) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
        import jax
        import jax.numpy as jnp

        from jaxsoil.models.autoencoder import Autoencoder, Minerals, ModelConfig, evaluate

        network = Autoencoder(self.components, self.bands, ModelConfig(**self.config))
        variables = jax.tree.map(jnp.asarray, dict(self.variables))
        minerals = Minerals(**{name: jnp.asarray(v) for name, v in self.minerals.items()}) if self.minerals else None

        def apply(x: jax.Array) -> tuple[jax.Array, jax.Array]:
            mass, rebuilt = evaluate(network, variables, x, minerals)
            off = jnp.zeros(len(x)) if rebuilt is None else jnp.sqrt(jnp.mean(jnp.square(rebuilt - x), axis=1))
            return mass[:, -1], off

        return jax.jit(apply), jax.jit(lambda x: evaluate(network, variables, x, minerals)[1])

    def arrays(self) -> dict[str, np.ndarray]:
        return flat(dict(self.variables)) | {f"minerals/{name}": values for name, values in self.minerals.items()}

    def facts(self) -> dict[str, Any]:
        return {"components": self.components, "bands": self.bands, "config": dict(self.config)}

    @classmethod
    def read(cls, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> Network:
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
        return flat({"params": dict(self.params)}) | {"inputs": self.inputs, "targets": self.targets}

    def facts(self) -> dict[str, Any]:
        return {"widths": list(self.widths), "scales": list(self.scales)}

    @classmethod
    def read(cls, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> Perceptron:
        params, targets = nested(arrays)["params"], arrays["targets"]
        widths = tuple(int(width) for width in facts["widths"])
        return cls(widths, params, arrays["inputs"], targets, scales_of(facts, targets.shape[1]))


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
        columns = []
        for (low, high, root), nets in zip(self.bounds, self.members, strict=True):
            top = (high - low) ** 0.5 if root else high
            bounds = (0.0 if root else low, top)
            found = [np.concatenate(batched(functools.partial(self._apply, net, bounds), x)) for net in nets]
            mean = np.mean(np.stack(found), axis=0, dtype=np.float64)
            columns.append(np.clip(low + mean**2 if root else mean, low, high))
        return np.stack(columns, axis=1), None

    @functools.cached_property
    def _apply(self) -> Callable[[Any, Any, Any], Any]:
        import jax

        from jaxsoil.models.mlp import Cnn1d, within

        network = Cnn1d(1, **{**self.config, "features": tuple(self.config["features"])})

        @jax.jit
        def apply(net: Any, bounds: tuple[Any, Any], x: jax.Array) -> jax.Array:
            known = net["constants"]
            raw: Any = network.apply(net["params"], (x - known["mean"][None]) / known["sd"][None])
            return within(known["centre"] + known["unit"] * raw[:, 0], known["unit"], *bounds)

        return apply

    def arrays(self) -> dict[str, np.ndarray]:
        tree = {f"{p}/{i}": dict(net) for p, nets in enumerate(self.members) for i, net in enumerate(nets)}
        return flat(tree)

    def facts(self) -> dict[str, Any]:
        counts = [len(nets) for nets in self.members]
        return {"config": dict(self.config), "bounds": [list(bound) for bound in self.bounds], "members": counts}

    @classmethod
    def read(cls, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> Convolutional:
        tree = nested(arrays)
        members = tuple(tuple(tree[str(p)][str(i)] for i in range(n)) for p, n in enumerate(facts["members"]))
        bounds = tuple((float(low), float(high), bool(root)) for low, high, root in facts["bounds"])
        return cls(dict(facts["config"]), bounds, members)
