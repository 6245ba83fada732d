"""Trainings over devices: one small interface, several ways to run it.

``jit`` shards a stack of trials over the "trial" axis of a mesh and each trial's batch over its "batch" axis.
``pmap`` keeps one replica per device and maps over its share of the trials. jit is the default
because JAX documents ``jax.pmap`` as the old way, itself built on jit; both give the same training. One training alone
may lie on a mesh too: each device holds its part of the rows of a batch.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from numpy.typing import NDArray

from jaxsoil.runs.errors import UsageError
from jaxsoil.training.config import DeviceConfig

Axes = tuple[int | None, ...]

_COMPILING = threading.local()


def compile_seconds() -> float:
    """Seconds that this thread has spent on lowering and compiling programs."""
    return getattr(_COMPILING, "seconds", 0.0)


def _listen(event: str, duration_secs: float, **_: Any) -> None:
    if event.endswith(("jaxpr_to_mlir_module_duration", "backend_compile_duration")):
        _COMPILING.seconds = compile_seconds() + duration_secs


jax.monitoring.register_event_duration_secs_listener(_listen)


def matmul_precision(name: str) -> contextlib.AbstractContextManager[Any]:
    """Precision of float32 matrix products while programs are traced: the device's "default", else float32.

    "bfloat16" is a property of the networks that train (:mod:`jaxsoil.models.products`), not of all products.
    """
    return jax.default_matmul_precision("default" if name == "default" else "float32")


def make_mesh(config: DeviceConfig, devices: Sequence[Any] | None = None) -> Mesh:
    """Mesh with the axes "trial" and "batch" over the first ``config.count`` of ``devices`` (default: all local ones).

    Raises:
      UsageError: more devices are asked for than there are, or they cannot be shared as asked.
    """
    devices = list(devices if devices is not None else jax.local_devices())
    if config.count > len(devices):
        raise UsageError(
            f"--devices.count {config.count}: there are {len(devices)} devices ({devices[0].platform}). Ask for at "
            "most as many, or leave the option out."
        )
    devices = devices[: config.count or len(devices)]
    if config.batch_devices < 1 or len(devices) % config.batch_devices:
        raise UsageError(
            f"{len(devices)} devices cannot be shared by groups of {config.batch_devices}: "
            f"set --devices.batch-devices to a divisor of {len(devices)}."
        )
    if config.method == "pmap" and config.batch_devices > 1:
        raise UsageError("pmap keeps whole trials on a device: use --devices.method jit with --devices.batch-devices.")
    if config.mapping == "loop" and config.method == "pmap":
        raise UsageError("--devices.mapping loop runs trials in turn, pmap side by side: give one of the two.")
    if config.mapping == "loop" and len(devices) > 1:
        raise UsageError(f"{len(devices)} devices share the trials: use --devices.mapping vmap, or --devices.count 1.")
    shape = (len(devices) // config.batch_devices, config.batch_devices)
    return jax.make_mesh(shape, ("trial", "batch"), axis_types=(AxisType.Auto,) * 2, devices=devices)


def batch_mesh(devices: Sequence[Any]) -> Mesh:
    """Mesh whose axis "batch" has all of some devices, those of other processes too: they share each batch."""
    return make_mesh(DeviceConfig(batch_devices=len(devices)), devices)


def shared_batch(batch: int, rows: int, devices: int) -> int:
    """Rows of a batch of ``batch``, fewer where there are fewer ``rows``, that devices share evenly.

    Raises:
      UsageError: the devices cannot share them evenly.
    """
    size = min(batch, rows // devices * devices)
    if size == 0 or size % devices:
        raise UsageError(f"{devices} devices cannot share batches of {size}: set the batch to a multiple.")
    return size


@dataclasses.dataclass(frozen=True)
class Layout:
    """How the functions of one training become a program over trainings.

    "alone": one training, nothing is mapped; with a mesh, its devices have a copy of the state each and share the rows
    of a batch (:meth:`own`, :meth:`share`). "in_turn", "side_by_side": several on one device, one after the other or
    vectorised. "jit", "pmap": several over the "trial" axis of ``mesh``, whose size must divide their number.
    """

    method: Literal["alone", "in_turn", "side_by_side", "jit", "pmap"] = "alone"
    mesh: Mesh | None = None

    def masked(self, trainings: int) -> bool:
        """Whether trainings are vectorised, so that one that rests is masked and not skipped."""
        across = self.mesh.shape["trial"] if self.mesh is not None and self.method == "pmap" else 1
        return self.method in ("side_by_side", "jit", "pmap") and trainings > across

    def place(self, tree: Any) -> Any:
        """A tree with a leading axis of trainings, each on its device."""
        return tree if self.mesh is None else jax.device_put(tree, NamedSharding(self.mesh, PartitionSpec("trial")))

    def replicate(self, tree: Any) -> Any:
        """A tree with a copy on every device."""
        if self.mesh is None:
            return tree
        everywhere = NamedSharding(self.mesh, PartitionSpec())
        if not self.several:
            return jax.device_put(tree, everywhere)
        # Keys are not put on devices of other processes, but a program of all of them takes what is alike in each.
        return jax.jit(lambda x: x, out_shardings=everywhere)(tree)

    @property
    def several(self) -> bool:
        """Whether devices of several processes take part."""
        return self.mesh is not None and self.mesh.is_multi_process

    def own(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Of the rows of batches (..., r) those that this process's devices hold, in their order."""
        if not self.several:
            return rows
        places = self._over(rows.shape[-1], 0).addressable_devices_indices_map(rows.shape[-1:])
        parts = sorted({place[0].indices(rows.shape[-1])[:2] for place in places.values() if place is not None})
        return np.concatenate([rows[..., first:last] for first, last in parts], axis=-1)

    def share(self, tree: Any, rows: int, axis: int = 0) -> Any:
        """A tree of arrays of :meth:`own` rows, of ``rows`` in all along an axis, on the devices that hold them.

        Each device holds a part; where the parts would be unequal, all rows. On a single CPU device the arrays are
        not copied, where they are :func:`jaxsoil.training.streamed.aligned`.
        """
        if self.mesh is None:
            return jax.device_put(tree)  # jnp.asarray copies always
        over = self._over(rows, axis)
        if not self.several:
            return jax.device_put(tree, over)

        def joined(own: NDArray[Any]) -> jax.Array:
            whole = (*own.shape[:axis], rows, *own.shape[axis + 1 :])
            return jax.make_array_from_process_local_data(over, own, whole)

        return jax.tree.map(joined, tree)

    def _over(self, rows: int, axis: int) -> NamedSharding:
        assert self.mesh is not None
        even = rows % self.mesh.shape["batch"] == 0
        return NamedSharding(self.mesh, PartitionSpec(*(None,) * axis, "batch" if even else None))


def ways(config: DeviceConfig, mesh: Mesh, convolutions: bool, trials: int) -> tuple[Layout, bool]:
    """How the trials of a program run on a mesh, and whether each step is a program of its own.

    What is to be "measured" and is not yet (:mod:`jaxsoil.training.calibrate`) is as "auto": a fixed rule, so that one
    command gives the same bits each time.

    Args:
      config: settings.
      mesh: of :func:`make_mesh`.
      convolutions: whether the network has some.
      trials: in the program.
    """
    cpu = mesh.devices.flat[0].platform == "cpu"
    stepped = config.steps == "stepped" or (config.steps in ("auto", "measured") and cpu and convolutions)
    # On a CPU trials side by side took 1.2 times as long for each as one alone. A loop over trials holds its steps.
    by_rule = config.mapping in ("auto", "measured") and cpu and not stepped and config.method == "jit"
    loop = config.mapping == "loop" or by_rule
    alone = trials == 1 or mesh.devices.size > 1
    return Layout("in_turn") if loop and not alone else Layout(config.method, mesh), stepped


def shard(function: Callable[..., Any], axes: Axes, layout: Layout, donate: tuple[int, ...] = ()) -> Callable[..., Any]:
    """Maps a function of one training over trainings, compiled.

    Args:
      function: of arguments that are trees of arrays.
      axes: for each argument 0, a tree with a leading axis of trainings, or None, the same for all.
      layout: how they are mapped.
      donate: arguments whose memory the result may take: a state that is replaced then needs room once.
    """
    if layout.mesh is None:
        mapped = {"alone": lambda f, _: f, "in_turn": _in_turn, "side_by_side": jax.vmap}
        return jax.jit(mapped[layout.method](function, axes), donate_argnums=donate)
    if layout.method == "alone":
        return jax.jit(function, out_shardings=NamedSharding(layout.mesh, PartitionSpec()), donate_argnums=donate)
    if layout.method == "jit":
        trial, whole = (NamedSharding(layout.mesh, PartitionSpec(*names)) for names in (("trial",), ()))
        return jax.jit(
            _vectorised(function, axes, "trial"),
            in_shardings=tuple(whole if axis is None else trial for axis in axes),
            out_shardings=trial,
            donate_argnums=donate,
        )
    devices = list(layout.mesh.devices[:, 0])
    replicas = jax.pmap(_vectorised(function, axes), in_axes=axes, devices=devices, donate_argnums=donate)
    split = lambda x: x.reshape(len(devices), x.shape[0] // len(devices), *x.shape[1:])  # noqa: E731
    join = lambda x: x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])  # noqa: E731
    return lambda *arguments: jax.tree.map(join, replicas(*_on_mapped(split, arguments, axes)))


def _in_turn(function: Callable[..., Any], axes: Axes) -> Callable[..., Any]:
    def call(*arguments):
        mapped = {i: arguments[i] for i, axis in enumerate(axes) if axis == 0}
        return jax.lax.map(lambda own: function(*(own.get(i, a) for i, a in enumerate(arguments))), mapped)

    return call


def _vectorised(function: Callable[..., Any], axes: Axes, name: str | None = None):
    """``jax.vmap`` over the leading axis, except for a single trial: a batch of one costs twice the time on a CPU."""

    def call(*arguments):
        mapped = [a for a, axis in zip(arguments, axes, strict=True) if axis is not None]
        if jax.tree.leaves(mapped)[0].shape[0] > 1:
            return jax.vmap(function, in_axes=axes, spmd_axis_name=name)(*arguments)
        return jax.tree.map(lambda x: x[None], function(*_on_mapped(lambda x: x[0], arguments, axes)))

    return call


def _on_mapped(change: Callable[[Any], Any], arguments: Sequence[Any], axes: Axes) -> list[Any]:
    return [a if axis is None else jax.tree.map(change, a) for a, axis in zip(arguments, axes, strict=True)]


def chunk_sizes(
    trials: int, bytes_per_trial: int, config: DeviceConfig, mesh: Mesh, shared: int | None = None
) -> tuple[int, int]:
    """Returns (number of chunks, trials in each) such that a chunk fits the memory of the devices.

    Every chunk has the same number of trials, so that all run the same compiled program; the last is filled up.
    ``shared``: bytes beside the trials' where both are XLA's account of the program; None: the trials' are counted.

    Raises:
      UsageError: a single trial is larger than the memory of a device.
    """
    across = mesh.shape["trial"]
    if config.chunk:
        most = config.chunk
    elif not config.memory_gb and mesh.devices.flat[0].platform == "cpu":
        most = across
    else:
        budget = config.memory_gb or _device_memory_gb(mesh.devices.flat[0], 0.6 if shared is None else 0.9)
        most = int((budget * 1e9 - (shared or 0)) // bytes_per_trial) * across
        if most < 1:
            how = "by count" if shared is None else f"and all of them {shared / 1e9:.3g} GB by XLA's account"
            raise UsageError(
                f"A trial needs {bytes_per_trial / 1e9:.3g} GB {how}, and a device has {budget:.3g} GB for trials: "
                "lower --width, --train.batch or --train.unlabelled-batch, or give --devices.memory-gb if it has more."
            )
    chunks = -(-trials // most)
    size = -(-trials // chunks)
    return chunks, -(-size // across) * across


def _device_memory_gb(device: Any, share: float) -> float:
    limit = (device.memory_stats() or {}).get("bytes_limit")
    if limit is None:
        raise UsageError(f"{device.device_kind} does not tell its memory: set --devices.memory-gb.")
    # A count leaves room for the compiler's temporaries and for the data themselves; its own account has them.
    return share * limit / 1e9


def bytes_per_trial(parameters: int, bands: int, width: int, layers: int, batch: int, keep_best: bool) -> int:
    """Memory of one training trial in bytes (float32), from counted arrays.

    Parameters, two Adam moments and the best parameters are kept; gradients and updates live during a step;
    about four activations per unit live between forward and backward pass.
    """
    copies = 3 + (1 if keep_best else 0) + 3
    activations = batch * (4 * bands + 8 * width * layers)
    return int(np.float64(4) * (copies * parameters + activations))
