"""What a study costs before it runs: trainings, operations, bytes, and a time from a short calibration."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsoil.models.mlp import Mlp
from jaxsoil.models.vae import Decoder, Vae
from jaxsoil.studies.multifidelity.config import MIR_STRATEGIES, MultifidelityConfig, PretrainConfig, enough_steps
from jaxsoil.studies.multifidelity.conversion import Networks
from jaxsoil.studies.multifidelity.pretrain import pretrain
from jaxsoil.studies.multifidelity.stages import Prepared, scans_of
from jaxsoil.studies.multifidelity.strategies import APPLIED, TRAINED
from jaxsoil.training.config import LoopConfig
from jaxsoil.training.cost import duration
from jaxsoil.training.rows import fit

TIMED_STEPS = 8
"""Steps of an epoch that is timed."""


@dataclasses.dataclass(frozen=True)
class Training:
    """One kind of training: ``count`` of them over all seeds, ``steps`` each, ``seconds`` measured for a step."""

    name: str
    count: int
    parameters: int
    rows: int
    epochs: int
    steps: int
    batch: int
    seconds: float

    @property
    def operations(self) -> float:
        """Floating-point operations of all of them: 2 for each parameter and row forward, 4 backward."""
        return 6.0 * self.parameters * self.batch * self.steps * self.count

    @property
    def step_bytes(self) -> float:
        """Bytes that a step moves: parameters and two moments read and written, gradients written and read."""
        return 4.0 * 8 * self.parameters


def plan(config: MultifidelityConfig, prepared: Prepared) -> str:
    """Describes trainings and cost; nothing of the study is run.

    Operations and bytes are counted from shapes. The time is that of a few steps, timed here, times their number:
    early stops shorten it; compilation, PLSR, the internal cross-validation and evaluation come on top.
    """
    seed, seeds = prepared.seeds[0], len(prepared.seeds)
    data, counts = seed.inputs.data, seed.rows.counts()
    scans, bands = data.pretrain, data.pretrain.axis.size
    resident = len(scans) * bands * 4e-9
    streamed = "streamed" if resident > config.pretrain.memory_gb else "in memory"
    lines = [
        f"{data.name}: {scans} ({resident:.2f} GB as SNV, {streamed}), {len(data.labelled)} labelled, "
        f"{len(data.paired_mir)} pairs, {len(data.test_mir)} test samples, {seeds} replicates",
        "Rows of the first replicate: " + ", ".join(f"{name} {value}" for name, value in counts.items()),
        "",
        "training                count  parameters     rows epochs    steps     TFLOP  MB/step  ms/step     time",
    ]
    total = operations = 0.0
    for part in trainings(config, prepared):
        spent = part.seconds * part.steps * part.count
        total, operations = total + spent, operations + part.operations
        lines.append(
            f"{part.name:22} {part.count:6d} {part.parameters:11,d} {part.rows:8,d} {part.epochs:6d} {part.steps:8,d} "
            f"{part.operations / 1e12:9.4g} {part.step_bytes / 1e6:8.1f} {1e3 * part.seconds:8.2f} "
            f"{duration(spent):>8}"
        )
    return "\n".join(
        [
            *lines,
            "",
            f"Networks: {operations / 1e12:.4g} TFLOP (float32), {duration(total)} here if all epochs are run",
            "(timed on a few steps; early stops shorten it; compilation, PLSR and evaluation come on top).",
            "Nothing was run.",
        ]
    )


def trainings(config: MultifidelityConfig, prepared: Prepared) -> list[Training]:
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


def _stage1(config: PretrainConfig, seeds: int, scans: int, bands: int, prepared: Prepared) -> Training:
    batch = min(config.loop.batch, scans)
    model = Vae(bands, config.vae)
    shape = jax.eval_shape(lambda k: model.init(k, jnp.zeros((2, bands), jnp.float32)), jax.random.key(0))
    samples = prepared.seeds[0].inputs.data.pretrain.samples
    few = np.nonzero(np.isin(samples, np.unique(samples)[: max(4, TIMED_STEPS * batch)]))[0][: 2 * TIMED_STEPS * batch]
    part = scans_of(prepared.seeds[0].inputs.data.pretrain, few)

    def run(epochs: int) -> Any:
        loop = dataclasses.replace(config.loop, epochs=epochs, patience=0, batch=min(batch, max(1, few.size // 4)))
        return pretrain(part, dataclasses.replace(config, loop=loop), jax.random.key(0), label="calibration")

    steps = max(1, round(few.size * (1.0 - config.held_out)) // batch)
    epochs = config.loop.epochs
    return Training(
        "stage 1", seeds, _size(shape), scans, epochs, epochs * (scans // batch), batch, _per_step(run, steps)
    )


def _training(name: str, count: int, parameters: int, rows: int, loop: LoopConfig, width: int) -> Training:
    """A dense training of ``parameters`` parameters, timed with a network of that size."""
    batch = min(loop.batch, rows)
    hidden = max(1, parameters // (width + 1))
    network = Mlp(1, (hidden,))
    params = network.init(jax.random.key(0), jnp.zeros((1, width), jnp.float32))["params"]
    arrays = {"x": np.zeros((TIMED_STEPS * batch, width), np.float32)}

    def loss(params: Any, stats: Any, batch: Any, key: Any, progress: Any) -> Any:
        predicted: Any = network.apply({"params": params}, batch["x"])
        return jnp.mean(jnp.square(predicted)), (stats, {})

    def run(epochs: int) -> Any:
        few = dataclasses.replace(loop, epochs=epochs, patience=0, batch=batch)
        rows, none = np.arange(TIMED_STEPS * batch), np.zeros(0, np.int64)
        return fit(loss, params, arrays, rows, none, few, jax.random.key(0), label="calibration")

    steps = loop.epochs * (rows // batch)
    return Training(name, count, parameters, rows, loop.epochs, steps, batch, _per_step(run, TIMED_STEPS))


def _per_step(run: Callable[[int], Any], steps: int) -> float:
    """Seconds of a step: the difference between longer and shorter trainings, so that starting costs drop out."""
    spent = []
    for epochs in (2, 6):
        # Each length compiles once, and is timed when it is compiled.
        run(epochs)
        began = time.perf_counter()
        run(epochs)
        spent.append(time.perf_counter() - began)
    return max(spent[1] - spent[0], 1e-9) / (4 * steps)


def _count(network: Any, shape: tuple[int, int]) -> int:
    return _size(jax.eval_shape(lambda k: network.init(k, jnp.zeros(shape, jnp.float32)), jax.random.key(0)))


def _size(params: Any) -> int:
    return int(sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(params)))
