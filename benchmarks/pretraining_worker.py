"""One contender of benchmarks/pretraining.py: the package's own stage 1."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from engine_worker import peak
from pretraining_problem import problem_of
from problem import serve

from jaxsoil.data.scans import Scans
from jaxsoil.models.autoencoder import parameter_count
from jaxsoil.models.vae import VaeConfig
from jaxsoil.studies.multifidelity.config import PretrainConfig
from jaxsoil.studies.multifidelity.pretrain import ScansProgram
from jaxsoil.training.config import LoopConfig
from jaxsoil.training.loop import advance

EPOCHS = 1000


def make(setting: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Callable[[], Any]]]:
    """Compiles stage 1 for a problem and returns the worker's description and its actions."""
    problem = problem_of(setting)
    jax.config.update("jax_default_matmul_precision", "highest")
    values = problem.data()
    axis = np.linspace(600.0, 4000.0, problem.bands)
    scans = Scans(axis, np.array([str(i) for i in range(problem.rows)]), lambda rows: values[rows])
    config = PretrainConfig(
        vae=VaeConfig(setting["kind"], problem.latents, problem.widths, linear=False),
        loop=LoopConfig(epochs=EPOCHS, batch=problem.batch, lr=problem.lr, schedule="constant"),
        beta=problem.beta,
        warmup=0.0,
        held_out=0.0,
        memory_gb=1e9,
    )
    program = ScansProgram(scans, config, jax.random.key(0), jax.devices()[:1])
    state, done = program.start, 0

    def epoch() -> dict[str, float]:
        nonlocal state, done
        began = time.perf_counter()
        state = advance(program, state, done, done + 1)
        loss = float(state.history["loss"][done])
        seconds = time.perf_counter() - began
        done += 1
        return {"seconds": seconds, "loss": loss}

    # The first epoch compiles; what the second one takes is not compilation.
    compiled = epoch()["seconds"] - epoch()["seconds"]
    description = {
        "library": f"JAX {jax.__version__}",
        "device": jax.devices()[0].platform,
        "parameters": parameter_count(state.params),
        "compile_seconds": compiled,
    }
    return description, {"epoch": epoch, "peak": lambda: peak(problem.product)}


if __name__ == "__main__":
    serve(make)
