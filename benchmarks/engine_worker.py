"""One contender of benchmarks/training.py: the package's own engine, with as many trials in a program as asked."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxsoil.training.fit import Data, TrialArrays, make_fit
from problem import Problem, serve

from jaxsoil.models.autoencoder import Autoencoder, ModelConfig, parameter_count
from jaxsoil.training.config import DeviceConfig, TrainConfig
from jaxsoil.training.devices import make_mesh, spread

EPOCHS = 1000


def make(setting: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Callable[[], Any]]]:
    """Compiles the engine for a problem and returns its description and its actions."""
    problem = Problem(**setting["problem"])
    jax.config.update("jax_default_matmul_precision", "highest")
    train = TrainConfig(epochs=EPOCHS, batch=problem.batch, lr=problem.lr, b1=problem.b1)
    model = ModelConfig(width=problem.width, hidden=problem.hidden, decoder="ann")
    mesh = make_mesh(DeviceConfig(), jax.devices()[:1])
    engine = spread(make_fit(Autoencoder(problem.components, problem.bands, model), train, 0, mesh), mesh, "jit")
    data = engine.replicate(Data(*map(jnp.asarray, problem.data())))
    trials = setting["trials"]
    arrays = engine.place(_arrays(problem, trials))
    state = engine.init(arrays, data)
    parameters = parameter_count(state.params) // trials
    done = 0

    def epoch() -> dict[str, float]:
        nonlocal state, done
        began = time.perf_counter()
        bounds = (jnp.int32(done), jnp.int32(done + 1), jnp.int32(problem.steps))
        state = jax.block_until_ready(engine.run(state, arrays, data, *bounds))
        seconds = time.perf_counter() - began
        loss = float(state.history[0, done, 0])
        done += 1
        return {"seconds": seconds / trials, "loss": loss}

    # The first epoch compiles; what the second one takes is not compilation.
    compiled = trials * (epoch()["seconds"] - epoch()["seconds"])
    description = {
        "library": f"JAX {jax.__version__}",
        "device": jax.devices()[0].platform,
        "parameters": parameters,
        "compile_seconds": compiled,
    }
    return description, {"epoch": epoch, "peak": lambda: peak(problem.product)}


def _arrays(problem: Problem, trials: int) -> TrialArrays:
    everything = np.ones((trials, problem.rows), dtype=bool)
    return TrialArrays(
        labelled=jnp.asarray(everything),
        unlabelled=jnp.asarray(~everything),
        validation=jnp.asarray(~everything),
        steps=jnp.full(trials, problem.steps, jnp.int32),
        lr=jnp.full(trials, problem.lr, jnp.float32),
        key=jax.vmap(jax.random.key)(jnp.arange(trials)),
    )


def peak(size: int) -> float:
    """Operations per second of one large float32 matrix product."""
    a = jnp.ones((size, size), jnp.float32)
    product = jax.jit(jnp.matmul).lower(a, a).compile()
    jax.block_until_ready(product(a, a))
    began = time.perf_counter()
    jax.block_until_ready(product(a, a))
    return 2 * size**3 / (time.perf_counter() - began)


if __name__ == "__main__":
    serve(make)
