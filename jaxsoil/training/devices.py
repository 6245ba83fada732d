"""Spreading trials over devices: one small interface, two ways to run it.

``jit`` shards a stack of trials over the "trial" axis of a mesh and each trial's batch over its "batch" axis.
``pmap`` keeps one replica per device and maps over its share of the trials. jit is the default
because JAX documents ``jax.pmap`` as the old way, itself built on jit; both give the same training.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxsoil.runs.errors import UsageError
from jaxsoil.training.config import DeviceConfig
from jaxsoil.training.fit import Data, Fit, TrialArrays, TrialState


def matmul_precision(name: str) -> contextlib.AbstractContextManager[Any]:
    """Precision of float32 matrix products while programs are traced: "highest", or the device's "default"."""
    return jax.default_matmul_precision("float32" if name == "highest" else "default")


def make_mesh(config: DeviceConfig, devices: Sequence[Any] | None = None) -> Mesh:
    """Mesh with the axes "trial" and "batch" over all ``devices`` (default: all local ones)."""
    devices = list(devices if devices is not None else jax.devices())
    if config.batch_devices < 1 or len(devices) % config.batch_devices:
        raise UsageError(
            f"{len(devices)} devices cannot be shared by groups of {config.batch_devices}: "
            f"set --devices.batch-devices to a divisor of {len(devices)}."
        )
    if config.method == "pmap" and config.batch_devices > 1:
        raise UsageError("pmap keeps whole trials on a device: use --devices.method jit with --devices.batch-devices.")
    shape = (len(devices) // config.batch_devices, config.batch_devices)
    return jax.make_mesh(shape, ("trial", "batch"), axis_types=(AxisType.Auto,) * 2, devices=devices)


@dataclasses.dataclass(frozen=True)
class Spread:
    """The functions of a :class:`Fit` over stacks of trials; every leaf carries a leading trial axis.

    The number of trials must be a multiple of ``trial_devices``.
    """

    init: Callable[[TrialArrays, Data], TrialState]
    restart: Callable[[Any, Any], TrialState]
    run: Callable[..., TrialState]
    step: Callable[..., tuple[TrialState, jax.Array]]
    close: Callable[..., TrialState]
    predict: Callable[[TrialState, Data], tuple[jax.Array, jax.Array]]
    reconstruct: Callable[[TrialState, Any, Data], jax.Array] | None
    place: Callable[[Any], Any]
    replicate: Callable[[Any], Any]
    trial_devices: int


def spread(fit: Fit, mesh: Mesh, method: str) -> Spread:
    """Maps a trial's functions over trials and spreads them over ``mesh`` by ``method`` ("jit" or "pmap")."""
    trial, whole = NamedSharding(mesh, PartitionSpec("trial")), NamedSharding(mesh, PartitionSpec())
    mapped = _pmapped if method == "pmap" else _jitted
    # A state is donated where it is replaced: a chunk then needs room for one copy of it, not two.
    make = lambda f, axes, donate=(): mapped(f, axes, mesh, donate)  # noqa: E731
    return Spread(
        init=make(fit.init, (0, None)),
        restart=make(fit.restart, (0, 0)),
        run=make(fit.run, (0, 0, None, None, None, None), (0,)),
        step=make(fit.step, (0, 0, 0, None, None, None), (0, 1)),
        close=make(fit.close, (0, 0, 0, None, None), (0,)),
        predict=make(fit.predict, (0, None)),
        reconstruct=None if fit.reconstruct is None else make(fit.reconstruct, (0, 0, None)),
        place=lambda tree: jax.device_put(tree, trial),
        replicate=lambda tree: jax.device_put(tree, whole),
        trial_devices=mesh.shape["trial"],
    )


def _jitted(function: Callable[..., Any], axes: tuple[int | None, ...], mesh: Mesh, donate: tuple[int, ...]):
    trial, whole = NamedSharding(mesh, PartitionSpec("trial")), NamedSharding(mesh, PartitionSpec())
    return jax.jit(
        _over_trials(function, axes, "trial"),
        in_shardings=tuple(whole if axis is None else trial for axis in axes),
        out_shardings=trial,
        donate_argnums=donate,
    )


def _pmapped(function: Callable[..., Any], axes: tuple[int | None, ...], mesh: Mesh, donate: tuple[int, ...]):
    devices = list(mesh.devices[:, 0])
    replicas = jax.pmap(_over_trials(function, axes), in_axes=axes, devices=devices, donate_argnums=donate)
    split = lambda x: x.reshape(len(devices), x.shape[0] // len(devices), *x.shape[1:])  # noqa: E731
    join = lambda x: x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])  # noqa: E731

    def call(*arguments):
        parts = [a if axis is None else jax.tree.map(split, a) for a, axis in zip(arguments, axes, strict=True)]
        return jax.tree.map(join, replicas(*parts))

    return call


def _over_trials(function: Callable[..., Any], axes: tuple[int | None, ...], name: str | None = None):
    """``jax.vmap`` over the leading axis, except for a single trial: a batch of one costs twice the time on a CPU."""

    def call(*arguments):
        mapped = [a for a, axis in zip(arguments, axes, strict=True) if axis is not None]
        if jax.tree.leaves(mapped)[0].shape[0] > 1:
            return jax.vmap(function, in_axes=axes, spmd_axis_name=name)(*arguments)
        alone = [
            a if axis is None else jax.tree.map(lambda x: x[0], a) for a, axis in zip(arguments, axes, strict=True)
        ]
        return jax.tree.map(lambda x: x[None], function(*alone))

    return call


def chunk_sizes(trials: int, bytes_per_trial: int, config: DeviceConfig, mesh: Mesh) -> tuple[int, int]:
    """Returns (number of chunks, trials in each) such that a chunk fits the memory of the devices.

    Every chunk has the same number of trials, so that all run the same compiled program; the last is filled up.
    """
    across = mesh.shape["trial"]
    if config.chunk:
        most = config.chunk
    elif not config.memory_gb and mesh.devices.flat[0].platform == "cpu":
        # On 2 cores a training step took 4.6 ms alone and 6.2 ms per trial in a batch of 17 (200 bands, batch 75).
        most = across
    else:
        budget = config.memory_gb or _device_memory_gb(mesh.devices.flat[0])
        most = max(1, int(budget * 1e9 // bytes_per_trial)) * across
    chunks = -(-trials // most)
    size = -(-trials // chunks)
    return chunks, -(-size // across) * across


def _device_memory_gb(device: Any) -> float:
    limit = (device.memory_stats() or {}).get("bytes_limit")
    if limit is None:
        raise UsageError(f"{device.device_kind} does not tell its memory: set --devices.memory-gb.")
    # Room for the compiler's temporaries and for the data themselves.
    return 0.6 * limit / 1e9


def bytes_per_trial(parameters: int, bands: int, width: int, layers: int, batch: int, keep_best: bool) -> int:
    """Memory of one training trial in bytes (float32), from counted arrays.

    Parameters, two Adam moments and the best parameters are kept; gradients and updates live during a step;
    about four activations per unit live between forward and backward pass.
    """
    copies = 3 + (1 if keep_best else 0) + 3
    activations = batch * (4 * bands + 8 * width * layers)
    return int(np.float64(4) * (copies * parameters + activations))
