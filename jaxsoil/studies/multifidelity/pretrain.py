"""Stage 1 of the multi-fidelity study: a variational autoencoder of mid-infrared scans (section 2.2, Eqs. 1 to 3).

Scans are SNV absorbance. Repeats of a sample are its augmentation; all of them lie on one side of the split. The
loss is the per-spectrum L2 norm of the reconstruction's error, averaged over the batch, plus beta times the
divergence of the latent features from their prior, whose weight rises linearly at first (KL warm-up).

The batch is spread over all devices. A library that exceeds the memory is streamed. The state is kept at any step,
in the middle of an epoch too, and a resumed training ends with the same bits.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from tqdm import tqdm

from jaxsoil.data.scans import Scans
from jaxsoil.models.vae import Vae, kl_to_prior
from jaxsoil.runs.errors import DataError, UsageError
from jaxsoil.studies.multifidelity.streams import READ_ROWS, Plan, read_snv, split_samples
from jaxsoil.training.checkpoints import Checkpoints
from jaxsoil.training.config import DeviceConfig, PretrainConfig
from jaxsoil.training.devices import make_mesh
from jaxsoil.training.grid import converged
from jaxsoil.training.steps import Member, State, Task, initial, one_close, one_step, rests, step


@dataclasses.dataclass(frozen=True, eq=False)
class Pretrained:
    """A trained autoencoder of SNV absorbance on ``axis`` (M,) cm-1.

    ``params``: {"encoder", "decoder"}. ``history``: "loss", "watched", "reconstruction" and "kl" of each epoch.
    ``kl`` (latents,): mean divergence of each latent feature from the prior over the training scans, nats.
    ``train``, ``watch``: row numbers of the scans.
    """

    config: PretrainConfig
    axis: np.ndarray
    params: Any
    history: dict[str, np.ndarray]
    kl: np.ndarray
    converged: bool
    epochs_run: int
    train: np.ndarray
    watch: np.ndarray

    @property
    def model(self) -> Vae:
        """The network whose parameters these are."""
        return Vae(self.axis.size, self.config.vae)

    @property
    def active(self) -> np.ndarray:
        """(latents,) whether a latent feature carries information: its divergence exceeds ``config.active``."""
        return self.kl > self.config.active

    @property
    def collapsed(self) -> str:
        """A sentence on the latent features that collapsed to the prior; empty where none did."""
        count = int((~self.active).sum())
        if not count:
            return ""
        return (
            f"{count} of {self.kl.size} latent features collapsed to the prior (mean divergence at most "
            f"{self.config.active:g} nats): they carry no information on the spectrum."
        )

    def embed(self, spectra: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean, the embedding, and log variance (n, latents) of SNV absorbance (n, M)."""
        mean, logvar = in_parts(lambda x: _encode(self.model, self.params, x), self._checked(spectra))
        return mean, logvar

    def decode(self, latent: np.ndarray) -> np.ndarray:
        """SNV absorbance (n, M) of latent features (n, latents)."""
        return in_parts(lambda z: (_decode(self.model, self.params, z),), latent)[0]

    def reconstruct(self, spectra: np.ndarray) -> np.ndarray:
        """SNV absorbance (n, M) as it comes back from the latent means."""
        return self.decode(self.embed(spectra)[0])

    def _checked(self, spectra: np.ndarray) -> np.ndarray:
        if np.ndim(spectra) != 2 or spectra.shape[1] != self.axis.size:
            raise DataError(
                "the spectra have other bands than the autoencoder",
                value=f"{np.shape(spectra)} for {self.axis.size} bands",
                remedy="Resample them to the axis of the pre-training scans.",
            )
        return spectra


@dataclasses.dataclass(frozen=True)
class VaeLoss:
    """Stage 1's loss; equal ones share a compiled program."""

    model: Vae
    beta: float
    warmup: float
    mesh: Mesh | None = None

    def __call__(self, params: Any, batch: jax.Array, key: jax.Array | None, progress: jax.Array) -> Any:
        batch = spread(batch, self.mesh)
        result: Any = self.model.apply({"params": params}, batch, key)
        rebuilt, mean, logvar = result
        reconstruction = jnp.mean(norms(rebuilt - batch))
        kl = jnp.mean(jnp.sum(kl_to_prior(mean, logvar), axis=1))
        weight = self.beta * (jnp.minimum(1.0, progress / self.warmup) if self.warmup else 1.0)
        return reconstruction + weight * kl, {"reconstruction": reconstruction, "kl": kl}


def norms(difference: jax.Array) -> jax.Array:
    """L2 norm of each row (n, M), with a gradient of zero at zero."""
    return jnp.sqrt(jnp.sum(jnp.square(difference), axis=1) + 1e-12)


def spread(batch: jax.Array, mesh: Mesh | None) -> jax.Array:
    """The batch over the devices of the mesh; each computes its rows, and gradients are averaged."""
    if mesh is None or mesh.size == 1 or batch.shape[0] % mesh.size:
        return batch
    return jax.lax.with_sharding_constraint(batch, NamedSharding(mesh, PartitionSpec("batch")))


def pretrain(
    scans: Scans,
    config: PretrainConfig,
    key: jax.Array,
    *,
    label: str = "stage 1",
    checkpoints: Checkpoints | None = None,
    devices: Sequence[Any] | None = None,
) -> Pretrained:
    """Trains the autoencoder on scans.

    Args:
      scans: absorbance; SNV is applied here.
      config: settings.
      key: random key of split, parameters, order and noise.
      label: shown by the progress bar.
      checkpoints: where the state is kept while it runs; an interrupted training goes on from there.
      devices: over which the batch is spread (default: all).

    Raises:
      DataError: a scan that is constant or not finite, fewer than two samples, or a loss that is not finite.
      UsageError: a batch that the devices cannot share.
    """
    run = PretrainRun(scans, config, key, devices)
    state, position = run.train(label, checkpoints)
    history = {name: np.asarray(values, np.float64) for name, values in state.history.items()}
    both = np.stack([history["loss"], history["watched"]], axis=1)
    return Pretrained(
        config=config,
        axis=np.asarray(scans.axis),
        params=jax.tree.map(np.asarray, state.best),
        history=history,
        kl=run.divergence(state.best),
        converged=converged(both, config.loop.tolerance, config.loop.patience),
        epochs_run=position,
        train=run.plan.rows,
        watch=run.watch,
    )


class PretrainRun:
    """Stage 1 on its way: what it reads, where its arrays lie, how far it is."""

    def __init__(self, scans: Scans, config: PretrainConfig, key: jax.Array, devices: Sequence[Any] | None) -> None:
        self.scans, self.config = scans, config
        devices = list(devices if devices is not None else jax.devices())
        self.mesh = make_mesh(DeviceConfig(batch_devices=len(devices)), devices)
        seeds = tuple(int(word) for word in np.asarray(jax.random.key_data(key)).ravel())
        if np.unique(scans.samples).size < 2:
            raise DataError("stage 1 needs at least two samples", remedy="Give more scans, with their samples' names.")
        train, self.watch = split_samples(np.asarray(scans.samples), config.held_out, stable_seed(seeds))
        batch = min(config.loop.batch, train.size // len(devices) * len(devices))
        if batch == 0 or batch % len(devices):
            raise UsageError(f"{len(devices)} devices cannot share batches of {batch}: set the batch to a multiple.")
        self.streamed = len(scans) * scans.axis.size * 4e-9 > config.memory_gb
        self.plan = Plan(train, batch, seeds, min(config.block, train.size // batch) if self.streamed else 0)
        platform = devices[0].platform
        loop = dataclasses.replace(config.loop, stepped=config.vae.kind == "conv" and platform == "cpu")
        model = Vae(scans.axis.size, config.vae)
        self.task = Task(VaeLoss(model, config.beta, config.warmup, self.mesh), loop, batch)
        params = model.init(jax.random.fold_in(key, 0), jnp.zeros((2, scans.axis.size), jnp.float32))["params"]
        self.member = self.place(Member(None, jnp.int32(train.size), None, jax.random.fold_in(key, 1), None))
        names = ("loss", "watched", "reconstruction", "kl")
        self.start = self.place(initial(loop.epochs, names, params))
        self.resident = None if self.streamed else self.place(read_snv(scans, np.arange(len(scans))))

    def place(self, tree: Any) -> Any:
        """On every device a copy."""
        return jax.device_put(tree, NamedSharding(self.mesh, PartitionSpec()))

    def train(self, label: str, checkpoints: Checkpoints | None) -> tuple[State, int]:
        """Runs all epochs, from the checkpoint on where there is one; returns the state and the epochs run."""
        loop = self.task.config
        state, total, done = self._resumed(checkpoints)
        epoch, at = divmod(done, self.plan.steps + 1)
        with tqdm(total=loop.epochs, initial=epoch, desc=f"{label:14}", unit="epoch", leave=False) as bar:
            while epoch < loop.epochs and not bool(rests(loop, state)):
                state, total = self.epoch(state, epoch, at, total, checkpoints)
                state = one_close(self.task, state, total, self.member, self._watched(state.params), jnp.int32(epoch))
                self._check(state, epoch, label)
                epoch, at, total = epoch + 1, 0, None
                bar.update(1)
        return state, epoch

    def epoch(
        self, state: State, number: int, at: int = 0, total: Any = None, checkpoints: Checkpoints | None = None
    ) -> tuple[State, Any]:
        """Runs the steps of an epoch from step ``at`` on; returns the state and the sums of loss and terms."""
        total = self._zero(state) if total is None else total
        for block in self.plan.epoch(number, at, functools.partial(read_snv, self.scans)):
            values = self.resident if block.values is None else self.place(block.values)
            order = self.place(block.order)
            while at < block.last:
                until = min(block.last, self._next_checkpoint(number, at))
                state, total = self._advance(state, total, values, order, number, at, until, block.first)
                at = until
                if checkpoints is not None and (number * self.plan.steps + at) % self.config.checkpoint_steps == 0:
                    self._save(checkpoints, state, total, number, at)
        return state, total

    def _next_checkpoint(self, epoch: int, at: int) -> int:
        every, before = self.config.checkpoint_steps, epoch * self.plan.steps
        return ((before + at) // every + 1) * every - before

    def _advance(self, state, total, values, order, epoch: int, start: int, stop: int, first: int):
        """Steps ``start`` to ``stop`` of an epoch, whose batches are the rows of ``order`` from ``first`` on."""
        number = jnp.int32(epoch)
        if self.task.config.stepped:
            for i in range(start, stop):
                state, total = one_step(
                    self.task, state, total, self.member, values, None, order[i - first], number, jnp.int32(i)
                )
            return state, total
        bounds = (jnp.int32(start), jnp.int32(stop), jnp.int32(first))
        return _segment(self.task, state, total, self.member, values, order, number, *bounds)

    def _watched(self, params: Any) -> jax.Array | None:
        """The loss on the watched scans with the full weight of the divergence, read in parts."""
        if not self.watch.size:
            return None
        total = jnp.float32(0)
        for start in range(0, self.watch.size, READ_ROWS):
            rows = self.watch[start : start + READ_ROWS]
            total = total + _loss_on(self.task.loss, params, self._rows(rows)) * np.float32(rows.size)
        return total / np.float32(self.watch.size)

    def _rows(self, rows: np.ndarray) -> jax.Array:
        if self.resident is not None:
            return self.resident[self.place(rows)]
        return self.place(read_snv(self.scans, rows))

    def divergence(self, params: Any) -> np.ndarray:
        """Mean divergence of each latent feature over the training scans, nats, float64."""
        model: Any = self.task.loss
        rows, total = self.plan.rows, np.zeros(self.config.vae.latents)
        for start in range(0, rows.size, READ_ROWS):
            mean, logvar = _encode(model.model, params, self._rows(rows[start : start + READ_ROWS]))
            total += np.asarray(kl_to_prior(mean, logvar), np.float64).sum(axis=0)
        return total / rows.size

    def _zero(self, state: State) -> dict[str, jax.Array]:
        return self.place({name: jnp.float32(0) for name in state.history if name != "watched"})

    def _tree(self, state: State, total: Any, epoch: int, at: int) -> dict[str, Any]:
        """What a checkpoint holds: the state, the sums of the epoch so far, where it is, and its key."""
        key = jax.random.key_data(self.member.key)
        return {"state": state, "total": total, "epoch": jnp.int32(epoch), "step": jnp.int32(at), "key": key}

    def _save(self, checkpoints: Checkpoints, state: State, total: Any, epoch: int, at: int) -> None:
        # Numbered such that the end of an epoch, before it is closed, has a place of its own.
        checkpoints.save(epoch * (self.plan.steps + 1) + at, self._tree(state, total, epoch, at))

    def _resumed(self, checkpoints: Checkpoints | None) -> tuple[State, Any, int]:
        state, total = self.start, self._zero(self.start)
        if checkpoints is None or not checkpoints.latest:
            return state, total, 0
        like = self._tree(state, total, 0, 0)
        kept = checkpoints.restore(like)
        if not np.array_equal(kept["key"], like["key"]):
            raise DataError(
                "the checkpoint belongs to another random key",
                source=checkpoints.folder,
                remedy="Resume with the seed it was made with, or start again with --overwrite.",
            )
        return kept["state"], kept["total"], int(kept["epoch"]) * (self.plan.steps + 1) + int(kept["step"])

    def _check(self, state: State, epoch: int, label: str) -> None:
        if not bool(state.alive):
            raise DataError(
                "the loss is not finite",
                source=label,
                value=f"epoch {epoch + 1} of {self.config.loop.epochs}",
                remedy="Lower the learning rate.",
            )


def stable_seed(seeds: Sequence[int]) -> int:
    """One seed from the words of a key."""
    return int(np.random.SeedSequence(list(seeds)).generate_state(1)[0])


@functools.partial(jax.jit, static_argnums=0, donate_argnums=(1, 2))
def _segment(task: Task, state: State, total, member: Member, values, order, epoch, start, stop, first):
    def body(i, carry):
        state, total = carry
        rows = jax.lax.dynamic_index_in_dim(order, i - first, keepdims=False)
        return step(task, state, total, member, values, None, rows, epoch, i)

    return jax.lax.fori_loop(start, stop, body, (state, total))


@functools.partial(jax.jit, static_argnums=0)
def _loss_on(loss: VaeLoss, params: Any, batch: jax.Array) -> jax.Array:
    return loss(params, batch, None, jnp.float32(1))[0]


@functools.partial(jax.jit, static_argnums=0)
def _encode(model: Vae, params: Any, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    result: Any = model.apply({"params": params}, x, method="encode")
    return result


@functools.partial(jax.jit, static_argnums=0)
def _decode(model: Vae, params: Any, z: jax.Array) -> jax.Array:
    result: Any = model.apply({"params": params}, z, method="decode")
    return result


def in_parts(function: Any, rows: np.ndarray) -> tuple[np.ndarray, ...]:
    """Applies a function of (r, p) float32 rows that returns a tuple of (r, ...) arrays part by part."""
    rows = np.asarray(rows, np.float32)
    parts = [function(jnp.asarray(rows[i : i + READ_ROWS])) for i in range(0, max(len(rows), 1), READ_ROWS)]
    return tuple(np.concatenate([np.asarray(part[k]) for part in parts]) for k in range(len(parts[0])))
