"""What a study costs before it runs: trainings, operations, bytes, and a time from a short calibration."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsoil.models.mlp import Mlp
from jaxsoil.models.vae import Decoder, Vae
from jaxsoil.studies.multifidelity.config import MIR_STRATEGIES, MultifidelityConfig, PretrainConfig, enough_steps
from jaxsoil.studies.multifidelity.conversion import Networks
from jaxsoil.studies.multifidelity.pretrain import ScansProgram
from jaxsoil.studies.multifidelity.stages import Prepared, scans_of
from jaxsoil.studies.multifidelity.strategies import APPLIED, TRAINED
from jaxsoil.training import cost
from jaxsoil.training.config import LoopConfig
from jaxsoil.training.cost import Cost
from jaxsoil.training.rows import program_of

TIMED_STEPS = 8
"""Steps of an epoch that is timed."""


def plan(config: MultifidelityConfig, prepared: Prepared) -> str:
    """Describes trainings and cost; nothing of the study is run.

    Operations and bytes are counted from shapes. The time is that of a few steps, timed here, times their number:
    early stops shorten it; compilation, PLSR, the internal cross-validation and evaluation come on top.
    """
    seed, seeds = prepared.seeds[0], len(prepared.seeds)
    data, counts = seed.inputs.data, seed.rows.counts()
    resident = len(data.pretrain) * data.pretrain.axis.size * 4e-9
    streamed = "streamed" if resident > config.pretrain.memory_gb else "in memory"
    return "\n".join(
        [
            f"{data.name}: {data.pretrain} ({resident:.2f} GB as SNV, {streamed}), {len(data.labelled)} labelled, "
            f"{len(data.paired_mir)} pairs, {len(data.test_mir)} test samples, {seeds} replicates",
            "Rows of the first replicate: " + ", ".join(f"{name} {value}" for name, value in counts.items()),
            "",
            *cost.table(trainings(config, prepared), (), "compilation, PLSR and evaluation"),
        ]
    )


def trainings(config: MultifidelityConfig, prepared: Prepared) -> list[Cost]:
    """All trainings of the study by kind, with a step of each timed."""
    seed, seeds = prepared.seeds[0], len(prepared.seeds)
    inputs, rows, c = seed.inputs, seed.rows, config
    wanted = [s for s in c.strategies if inputs.paired or s in MIR_STRATEGIES]
    models = list(dict.fromkeys(APPLIED[s][0] for s in wanted if s in APPLIED))
    converts = any(s.startswith("NIRtoMIR") and "FNO" not in s for s in wanted)
    bands = inputs.mir["labelled"].shape[1]
    found = []
    if converts or "MIR-SSL-MLP" in models:
        scans = round(rows.scans.size * (1.0 - c.pretrain.held_out))
        enough = dataclasses.replace(c.pretrain, loop=enough_steps(c.pretrain.loop, scans, c.steps))
        found.append(_stage1(enough, seeds, scans, bands, prepared))
    if converts:
        networks = Networks(c.convert, c.pretrain.vae, bands, inputs.nir["pairs"].shape[1])
        params, _ = networks.init(jax.random.key(0))
        held = _count(Decoder(bands, c.pretrain.vae), (1, c.pretrain.vae.latents))
        # The frozen decoder is passed through, forward and backward, without being updated.
        found.append(
            _training(
                "stage 2",
                seeds,
                _size(params) + held,
                rows.pairs.size,
                enough_steps(c.convert.loop, rows.pairs.size, c.steps),
                networks.nir_bands,
            )
        )
    outputs, loop = len(inputs.properties), c.properties.loop
    for name in models:
        view = TRAINED[name]
        width = {"mir": bands, "latents": c.pretrain.vae.latents}.get(view, 0) or inputs.nir["pairs"].shape[1]
        widths = c.properties.latent_widths if view == "latents" else c.properties.widths
        n = rows.pairs.size if view == "nir" else rows.labelled.size
        for task in c.properties.tasks:
            if task == "single" and "ILR" in name:
                continue
            count = seeds * (outputs if task == "single" else 1)
            size = _count(Mlp(outputs if task == "multi" else 1, tuple(widths)), (1, width))
            found.append(_training(f"{name} {task}", count, size, n, enough_steps(loop, n, c.properties.steps), width))
    return found


def _stage1(config: PretrainConfig, seeds: int, scans: int, bands: int, prepared: Prepared) -> Cost:
    batch = min(config.loop.batch, scans)
    data = prepared.seeds[0].inputs.data.pretrain
    some = np.unique(data.samples)[: max(4, TIMED_STEPS * batch)]
    few = np.nonzero(np.isin(data.samples, some))[0][: 2 * TIMED_STEPS * batch]
    loop = dataclasses.replace(config.loop, patience=0, batch=min(batch, max(1, few.size // 4)))
    timed = dataclasses.replace(config, loop=loop)
    program = ScansProgram(scans_of(data, few), timed, jax.random.key(0), None)
    seconds = cost.seconds_per_step(program, program.start)
    size = _count(Vae(bands, config.vae), (2, bands))
    return cost.dense_cost("stage 1", seeds, size, config.loop.epochs, scans // batch, batch, seconds)


def _training(name: str, count: int, parameters: int, rows: int, loop: LoopConfig, width: int) -> Cost:
    """A dense training of ``parameters`` parameters, timed with a network of that size."""
    batch = min(loop.batch, rows)
    network = Mlp(1, (max(1, parameters // (width + 1)),))
    params = network.init(jax.random.key(0), jnp.zeros((1, width), jnp.float32))["params"]
    arrays = {"x": np.zeros((TIMED_STEPS * batch, width), np.float32)}

    def loss(params: Any, stats: Any, batch: Any, key: Any, progress: Any) -> Any:
        predicted: Any = network.apply({"params": params}, batch["x"])
        return jnp.mean(jnp.square(predicted)), (stats, {})

    every, none = np.arange(TIMED_STEPS * batch), np.zeros(0, np.int64)
    few = dataclasses.replace(loop, patience=0, batch=batch)
    program = program_of(loss, arrays, every, none, few, jax.random.key(0))
    seconds = cost.seconds_per_step(program, program.initial(params))
    return cost.dense_cost(name, count, parameters, loop.epochs, rows // batch, batch, seconds)


def _count(network: Any, shape: tuple[int, int]) -> int:
    return _size(jax.eval_shape(lambda k: network.init(k, jnp.zeros(shape, jnp.float32)), jax.random.key(0)))


def _size(params: Any) -> int:
    return int(sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(params)))
