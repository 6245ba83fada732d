"""Stage 1 of the multi-fidelity study: a variational autoencoder of mid-infrared scans (section 2.2, Eqs. 1 to 3).

Scans are SNV absorbance. Repeats of a sample are its augmentation; all of them lie on one side of the split. The
loss is the per-spectrum L2 norm of the reconstruction's error, averaged over the batch, plus beta times the
divergence of the latent features from their prior, whose weight rises linearly at first (KL warm-up). Where the
autoencoder has a linear path, it starts as the principal components of the training scans.

The batch is spread over all devices. A library that exceeds the memory is streamed, block by block. The order of the
scans depends on the key and the epoch alone, so that a streamed training takes the same batches as one in memory; the
state is kept at any step, in the middle of an epoch too, and a resumed training ends with the same bits.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxsoil.data.draws import take_share
from jaxsoil.data.scans import Scans
from jaxsoil.models.first import first_parameters
from jaxsoil.models.vae import Vae, kl_to_prior
from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError
from jaxsoil.spectra.container import check_finite
from jaxsoil.spectra.preprocess import standard_normal
from jaxsoil.studies.multifidelity.components import Components
from jaxsoil.studies.multifidelity.config import PretrainConfig
from jaxsoil.training.batches import BlockBatches, over_devices
from jaxsoil.training.checkpoints import Checkpoints
from jaxsoil.training.devices import Layout, batch_mesh, shared_batch
from jaxsoil.training.loop import CheckpointPolicy, Program, run
from jaxsoil.training.rows import Fitted, fitted
from jaxsoil.training.step import Data, Loss, Member, State, Training
from jaxsoil.training.streamed import Blocks, aligned, steps_held

START_NOISE = 0.01
"""Norm of a spectrum's error (SNV units) by which the posterior of each latent feature starts."""

READ_ROWS = 4096
"""Spectra that are evaluated together."""

SNV_ROWS = 512
"""Scans that are read and prepared together, in float64; a twin makes them in blocks of so many."""


def read_snv(scans: Scans, rows: np.ndarray) -> np.ndarray:
    """Returns the SNV absorbance (r, M) float32 of some scans; nothing is fitted, each spectrum stands alone.

    Scans are read and prepared in parts, so that what this needs beside the result does not grow with their number.

    Raises:
      DataError: a scan that is constant or not finite.
    """
    out = aligned((len(rows), scans.axis.size), np.float32)
    for start in range(0, len(rows), SNV_ROWS):
        part = slice(start, start + SNV_ROWS)
        out[part] = _read_snv(scans, rows[part])
    return out


def _read_snv(scans: Scans, rows: np.ndarray, moments: np.ndarray | None = None) -> np.ndarray:
    """:func:`read_snv` of few scans; ``moments`` (n, 2) keeps mean and standard deviation of each of the n scans."""
    values = scans.read(rows)
    known = None if moments is None else moments[rows]
    made = standard_normal(values, known)
    if moments is not None:
        moments[rows] = known
    if not np.isfinite(made[:, :1]).all():  # a value that is not finite leaves none of its scan
        check_finite(values, scans.axis)
    return made


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """The batches of every epoch, which depend on nothing else: not on where the scans lie, nor on the memory.

    Where an epoch has more steps than ``window``, scans are shuffled in windows of so many steps: a window takes chunks
    of neighbouring scans from all over the library, which a disk reads quickly, and shuffles their scans.

    Args:
      rows: (n,) scans to train on, ascending.
      batch: scans in a step; the last incomplete one of an epoch is dropped.
      seeds: numbers that fix the order, with the epoch.
      window: steps whose scans are shuffled together.
      chunk: neighbouring scans that stay in one window.
    """

    rows: np.ndarray
    batch: int
    seeds: tuple[int, ...]
    window: int = 64
    chunk: int = 64

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return self.rows.size // self.batch

    def order(self, epoch: int) -> np.ndarray:
        """Scans of each step of an epoch, (steps, batch) int32."""
        draw, used = np.random.default_rng([*self.seeds, epoch]), self.steps * self.batch
        if self.steps <= self.window:
            return draw.permutation(self.rows)[:used].reshape(self.steps, self.batch).astype(np.int32)
        chunks = draw.permutation(-(-self.rows.size // self.chunk))
        places = (chunks[:, None] * self.chunk + np.arange(self.chunk)).ravel()
        order = self.rows[places[places < self.rows.size][:used]].astype(np.int32)
        for first in range(0, used, self.window * self.batch):
            draw.shuffle(order[first : first + self.window * self.batch])
        return order.reshape(self.steps, self.batch)


@dataclasses.dataclass(frozen=True, eq=False)
class Pretrained:
    """A trained autoencoder of SNV absorbance on ``axis`` (M,) cm-1.

    ``params``: {"encoder", "decoder"}. ``kl`` (latents,): mean divergence of each latent feature from the prior over
    the training scans, nats. ``components``: as many principal components of these scans as there are latents.
    ``held_out``: row numbers of the scans that validated.
    """

    config: PretrainConfig
    axis: np.ndarray
    params: Any
    kl: np.ndarray
    components: Components
    held_out: np.ndarray

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
        spectra = spectra_of(spectra, "mid-infrared spectra", self.axis.size)
        mean, logvar = in_parts(lambda x: _apply(self.model, self.params, x, "encode"), spectra)
        return mean, logvar

    def decode(self, latent: np.ndarray) -> np.ndarray:
        """SNV absorbance (n, M) of latent features (n, latents)."""
        return in_parts(lambda z: (_apply(self.model, self.params, z, "decode"),), latent)[0]


@dataclasses.dataclass(frozen=True)
class VaeLoss:
    """Stage 1's loss; equal ones share a compiled program."""

    model: Vae
    beta: float
    warmup: float
    mesh: Mesh | None = None

    def __call__(self, params: Any, stats: Any, batch: jax.Array, key: jax.Array | None, progress: jax.Array) -> Any:
        if self.mesh is not None and batch.shape[0] % self.mesh.size == 0:
            batch = over_devices(batch, self.mesh)
        result: Any = self.model.apply({"params": params}, batch, key)
        rebuilt, mean, logvar = result
        reconstruction = jnp.mean(norms(rebuilt - batch))
        kl = jnp.mean(jnp.sum(kl_to_prior(mean, logvar), axis=1))
        weight = self.beta * (jnp.minimum(1.0, progress / self.warmup) if self.warmup else 1.0)
        return reconstruction + weight * kl, (stats, {"reconstruction": reconstruction, "kl": kl})


def norms(difference: jax.Array) -> jax.Array:
    """L2 norm of each row (n, M), with a gradient of zero at zero."""
    return jnp.sqrt(jnp.sum(jnp.square(difference), axis=1) + 1e-12)


def pretrain(
    scans: Scans,
    config: PretrainConfig,
    key: jax.Array,
    *,
    label: str = "stage 1",
    checkpoints: Checkpoints | None = None,
    devices: Sequence[Any] | None = None,
) -> tuple[Pretrained, Fitted]:
    """Trains the autoencoder on scans; of a training that is not ``alive`` nothing is of use.

    Args:
      scans: absorbance; SNV is applied here.
      key: random key of split, parameters, order and noise.
      checkpoints: where the state is kept while it runs; an interrupted training goes on from there.
      devices: over which the batch is spread (default: all).

    Returns:
      The autoencoder, and its training with the terms "reconstruction" and "kl".

    Raises:
      DataError: a scan that is constant or not finite, or fewer than two samples.
      UsageError: a batch that the devices cannot share.
    """
    program = ScansProgram(scans, config, key, devices)
    policy = CheckpointPolicy(share=0.0, steps=config.checkpoint_steps)
    state = run(program, program.start, checkpoints=checkpoints, policy=policy, label=label)
    made = fitted(state, config.loop.tolerance, config.loop.patience)
    params = jax.tree.map(np.asarray, made.params)
    kl = program.divergence(made.params)
    return Pretrained(config, np.asarray(scans.axis), params, kl, program.components, program.watch), made


class ScansProgram(Program):
    """Stage 1 as a program whose scans lie on every device or come block by block; arguments as of :func:`pretrain`."""

    def __init__(self, scans: Scans, config: PretrainConfig, key: jax.Array, devices: Sequence[Any] | None) -> None:
        self.scans, self.config = scans, config
        devices = list(devices if devices is not None else jax.devices())
        self.mesh = batch_mesh(devices)
        self.plan, self.watch = self._planned(key, len(devices))
        self.model = Vae(scans.axis.size, config.vae)
        loop = config.loop
        training = Training(
            VaeLoss(self.model, config.beta, config.warmup, self.mesh),
            BlockBatches(),
            loop.epochs,
            loop.patience,
            weight_decay=loop.weight_decay,
            schedule=loop.schedule,
            jit_per_step=config.vae.kind == "conv" and devices[0].platform == "cpu",
        )
        # One program for one replica of the training; where its arrays lie says that all devices take part.
        member = Member(None, jnp.int32(self.plan.steps), jnp.float32(loop.lr), jax.random.fold_in(key, 1))
        super().__init__(training, Layout("alone", self.mesh), self.place(member), Data(None))
        self.in_parts, self.rows = True, self.plan.batch
        self.example = np.zeros((self.plan.batch, scans.axis.size), np.float32)
        self.resident = None if self.streamed else self.place(read_snv(scans, np.arange(len(scans))))
        like, most = np.empty((1, scans.axis.size), np.float32), min(config.block, self.plan.steps)
        self.held = steps_held(like.nbytes, self.plan.batch, config.memory_gb, most)
        read = functools.partial(_read_snv, scans, moments=np.full((len(scans), 2), np.nan))
        sizes = (loop.epochs, self.plan.steps, self.held, SNV_ROWS)
        self.reader = Blocks(read, like, self.plan.order, *sizes)
        self.components = Components.fit(self._parts(self.plan.rows), config.vae.latents)
        params = first_parameters(self.model, jax.random.fold_in(key, 0), (2, scans.axis.size))
        if config.vae.linear:
            params = jax.tree.map(jnp.asarray, self.components.start(params, START_NOISE))
        self.start = self.place(self.initial(params))

    @property
    def streamed(self) -> bool:
        """Whether the scans exceed the memory, and are read from where they lie."""
        return len(self.scans) * self.scans.axis.size * 4e-9 > self.config.memory_gb

    def _planned(self, key: jax.Array, devices: int) -> tuple[Plan, np.ndarray]:
        """The batches of every epoch, and the rows that validate."""
        config, samples = self.config, np.asarray(self.scans.samples)
        seeds = tuple(int(word) for word in np.asarray(jax.random.key_data(key)).ravel())
        if np.unique(samples).size < 2:
            raise DataError("stage 1 needs at least two samples", remedy="Give more scans, with their samples' names.")
        # All scans of a sample lie on one side.
        draw = np.random.default_rng(int(np.random.SeedSequence(seeds).generate_state(1)[0]))
        held = take_share(samples, config.held_out, draw, "of groups")
        train, validation = np.flatnonzero(~held), np.flatnonzero(held)
        return Plan(train, shared_batch(config.loop.batch, train.size, devices), seeds, config.block), validation

    def place(self, tree: Any) -> Any:
        """On every device a copy."""
        return Layout("alone", self.mesh).replicate(tree)

    def blocks(self, epoch: int, at: int) -> Iterator[tuple[int, Any, Data]]:
        """The steps of an epoch: all of them where the scans lie in memory, else in blocks, each with its scans."""
        if self.resident is not None:
            order = self.plan.order(epoch)
            yield len(order), self.place((order, np.int32(0))), Data(self.resident)
            return
        for block in self.reader.of(epoch, at):
            values = self.layout.share(block.values, self.plan.batch, axis=1)
            made = block.last, self.place((None, np.int32(block.first))), Data(values)
            del block, values
            yield made
            del made

    def finish(self, state: State, total: Any, epoch: int) -> State:
        """Ends an epoch with the loss on the validation scans, read in parts."""
        return self.functions.close(state, total, self.member, self._validation_loss(state.params), jnp.int32(epoch))

    def _validation_loss(self, params: Any) -> jax.Array | None:
        if not self.watch.size:
            return None
        total = jnp.float32(0)
        for values in self._parts(self.watch):
            total = total + _loss_on(self.training.loss, params, values) * np.float32(len(values))
            jax.block_until_ready(total)  # no further part is taken while this one is in use
        return total / np.float32(self.watch.size)

    def divergence(self, params: Any) -> np.ndarray:
        """Mean divergence of each latent feature over the training scans, nats, float64."""
        total = np.zeros(self.config.vae.latents)
        for values in self._parts(self.plan.rows):
            total += np.asarray(kl_to_prior(*_apply(self.model, params, values, "encode")), np.float64).sum(axis=0)
        return total / self.plan.rows.size

    def _parts(self, rows: np.ndarray) -> Iterator[jax.Array]:
        """SNV absorbance of some scans, part by part."""
        parts = (rows[start : start + READ_ROWS] for start in range(0, rows.size, READ_ROWS))
        if self.resident is None:
            yield from (self.layout.share(values, len(values)) for values in self.reader.parts(parts))
        else:
            yield from (_rows(self.resident, self.place(part)) for part in parts)


@jax.jit
def _rows(values: jax.Array, rows: jax.Array) -> jax.Array:
    return values[rows]


@functools.partial(jax.jit, static_argnums=0)
def _loss_on(loss: Loss, params: Any, batch: jax.Array) -> jax.Array:
    return loss(params, None, batch, None, jnp.float32(1))[0]


@functools.partial(jax.jit, static_argnums=(0, 3))
def _apply(model: Vae, params: Any, x: jax.Array, method: str) -> Any:
    return model.apply({"params": params}, x, method=method)


def spectra_of(values: np.ndarray, name: str, bands: int | None = None) -> np.ndarray:
    """Spectra (n, M) float32 with as many bands as the training's; DataError for any other array."""
    return require.array(values, name, 2, finite=False, features=bands, dtype=np.float32)


def in_parts(function: Any, rows: np.ndarray) -> tuple[np.ndarray, ...]:
    """Applies a function of (r, p) float32 rows that returns a tuple of (r, ...) arrays part by part."""
    rows = np.asarray(rows, np.float32)
    parts = [function(jnp.asarray(rows[i : i + READ_ROWS])) for i in range(0, max(len(rows), 1), READ_ROWS)]
    return tuple(np.concatenate([np.asarray(part[k]) for part in parts]) for k in range(len(parts[0])))
