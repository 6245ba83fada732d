"""What a study costs before it runs: trainings, operations, bytes, and a time from a short calibration."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsoil.models.autoencoder import parameter_count
from jaxsoil.models.first import first_parameters
from jaxsoil.models.mlp import Mlp
from jaxsoil.models.vae import Decoder, Vae
from jaxsoil.studies.multifidelity.config import STRATEGY, MultifidelityConfig, enough_steps, strategies_for
from jaxsoil.studies.multifidelity.conversion import Networks
from jaxsoil.studies.multifidelity.describe import sizes_in_words
from jaxsoil.studies.multifidelity.pretrain import ScansProgram
from jaxsoil.studies.multifidelity.replicates import Replicates
from jaxsoil.studies.multifidelity.strategies import training_rows
from jaxsoil.training import cost
from jaxsoil.training.config import LoopConfig
from jaxsoil.training.cost import Cost
from jaxsoil.training.rows import program_of

TIMED_STEPS = 8
"""Steps of an epoch that is timed."""


def plan(config: MultifidelityConfig, replicates: Replicates) -> str:
    """Describes trainings and cost; nothing of the study is run.

    Operations and bytes are counted from shapes. The time is that of a few steps, timed here, times their number:
    early stops shorten it; compilation, PLSR, the internal cross-validation and evaluation come on top.
    """
    pretrain, counts = replicates.first.data.pretrain, replicates.each[0].rows.counts()
    resident = len(pretrain) * pretrain.axis.size * 4e-9
    streamed = "streamed" if resident > config.pretrain.memory_gb else "in memory"
    return "\n".join(
        [
            sizes_in_words(replicates, f" ({resident:.2f} GB as SNV, {streamed})"),
            "Rows of the first replicate: " + ", ".join(f"{name} {value}" for name, value in counts.items()),
            "",
            *cost.table(trainings(config, replicates), (), "compilation, PLSR and evaluation"),
        ]
    )


def trainings(config: MultifidelityConfig, replicates: Replicates) -> list[Cost]:
    """All trainings of the study by kind, with a step of each timed."""
    first, count = replicates.each[0], len(replicates.each)
    sets, rows, vae = first.sets, first.rows, config.pretrain.vae
    wanted = strategies_for(config.strategies, sets.paired)
    bands = {name: spectra["test"].shape[1] for name, spectra in (("mir", sets.mir), ("nir", sets.nir)) if spectra}
    found = []
    if any("vae" in strategy.needs for strategy in wanted):
        scans = round(rows.scans.size * (1.0 - config.pretrain.held_out))
        found.append(_stage1(config, count, scans, bands["mir"], replicates))
    if any("nir encoder" in strategy.needs for strategy in wanted):
        networks = Networks(config.convert, vae, bands["mir"], bands["nir"])
        params, _ = jax.eval_shape(networks.init, jax.random.key(0))
        # The frozen decoder is passed through, forward and backward, without being updated.
        size = parameter_count(params) + _count(Decoder(bands["mir"], vae), (1, vae.latents))
        loop = enough_steps(config.convert, rows.pairs.size, config.steps).loop
        found.append(_training("stage 2", count, size, rows.pairs.size, loop, bands["nir"]))
    models, outputs = config.properties, len(sets.properties)
    for own in dict.fromkeys(STRATEGY[strategy.model] for strategy in wanted if not strategy.linear):
        width = vae.latents if own.view == "latents" else bands[own.view]
        widths = models.latent_widths if own.view == "latents" else models.widths
        n = training_rows(first, own)[0].size
        loop = enough_steps(models, n, models.steps).loop
        for task in models.tasks:
            if task == "single" and own.ilr:
                continue
            networks, targets = (count, outputs) if task == "multi" else (count * outputs, 1)
            size = _count(Mlp(targets, tuple(widths)), (1, width))
            found.append(_training(f"{own.name} {task}", networks, size, n, loop, width))
    return found


def _stage1(config: MultifidelityConfig, count: int, scans: int, bands: int, replicates: Replicates) -> Cost:
    settings = enough_steps(config.pretrain, scans, config.steps)
    batch = min(settings.loop.batch, scans)
    data = replicates.first.data.pretrain
    some = np.unique(data.samples)[: max(4, TIMED_STEPS * batch)]
    few = np.nonzero(np.isin(data.samples, some))[0][: 2 * TIMED_STEPS * batch]
    loop = dataclasses.replace(settings.loop, patience=0, batch=min(batch, max(1, few.size // 4)))
    timed = dataclasses.replace(settings, loop=loop)
    program = ScansProgram(data.select(few), timed, jax.random.key(0), None)
    size = _count(Vae(bands, settings.vae), (2, bands))
    steps = scans // batch
    return cost.dense_cost("stage 1", count, size, settings.loop.epochs, steps, batch, program, program.start)


def _training(name: str, count: int, parameters: int, rows: int, loop: LoopConfig, width: int) -> Cost:
    """A dense training of ``parameters`` parameters, timed with a network of that size."""
    batch = min(loop.batch, rows)
    network = Mlp(1, (max(1, parameters // (width + 1)),))
    # A step takes as long from zeros as from what would be drawn.
    shapes = jax.eval_shape(lambda: first_parameters(network, jax.random.key(0), (1, width)))
    params = jax.tree.map(lambda like: np.zeros(like.shape, like.dtype), shapes)
    arrays = {"x": np.zeros((TIMED_STEPS * batch, width), np.float32)}

    def loss(params: Any, stats: Any, batch: Any, key: Any, progress: Any) -> Any:
        predicted: Any = network.apply({"params": params}, batch["x"])
        return jnp.mean(jnp.square(predicted)), (stats, {})

    every, none = np.arange(TIMED_STEPS * batch), np.zeros(0, np.int64)
    few = dataclasses.replace(loop, patience=0, batch=batch)
    program = program_of(loss, arrays, every, none, few, jax.random.key(0))
    state = program.initial(params)
    return cost.dense_cost(name, count, parameters, loop.epochs, rows // batch, batch, program, state)


def _count(network: Any, shape: tuple[int, int]) -> int:
    return parameter_count(jax.eval_shape(lambda: first_parameters(network, jax.random.key(0), shape)))
