"""One contender of benchmarks/training.py: the package's own engine, with as many trials in a program as asked."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from problem import Problem, serve

from jaxsoil.models.autoencoder import Autoencoder, ModelConfig, parameter_count
from jaxsoil.studies.reconstruction.objectives import make_loss
from jaxsoil.training.config import DeviceConfig, TrainConfig
from jaxsoil.training.devices import Layout, make_mesh
from jaxsoil.training.grid import NetworkFunctions, make_training, over_trials
from jaxsoil.training.loop import Program
from jaxsoil.training.step import Data, Member

EPOCHS = 1000


def prepared(problem: Problem, trials: int, devices: int) -> tuple[Program, Any]:
    """The engine's program of a problem and the state before its first step."""
    jax.config.update("jax_default_matmul_precision", "highest")
    train = TrainConfig(epochs=EPOCHS, batch=problem.batch, lr=problem.lr, b1=problem.b1)
    model = ModelConfig(width=problem.width, hidden=problem.hidden, decoder="ann")
    network = Autoencoder(problem.components, problem.bands, model)
    layout = Layout("jit", make_mesh(DeviceConfig(), jax.devices()[:devices]))
    data = layout.replicate(Data(dict(zip(("spectra", "soc"), map(jnp.asarray, problem.data()), strict=True))))
    member = layout.place(_members(problem, trials))
    program = Program(make_training(network, train, make_loss(network, train), 0), layout, member, data)
    initial, _, _ = over_trials(NetworkFunctions(network), layout)
    return program, program.initial(*initial(member.key, None, None))


def make(setting: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Callable[[], Any]]]:
    """Compiles the engine for a problem and returns its description and its actions."""
    problem, trials = Problem(**setting["problem"]), setting["trials"]
    program, state = prepared(problem, trials, setting.get("devices", 1))
    parameters = parameter_count(state.params) // trials
    done = 0

    def epoch() -> dict[str, float]:
        nonlocal state, done
        began = time.perf_counter()
        state = jax.block_until_ready(program.epochs(state, done, done + 1))
        seconds = time.perf_counter() - began
        loss = float(state.history["loss"][0, done])
        done += 1
        return {"seconds": seconds / trials, "loss": loss}

    # The first epoch compiles; what the second one takes is not compilation.
    compiled = trials * (epoch()["seconds"] - epoch()["seconds"])
    description = {
        "library": f"JAX {jax.__version__}",
        "device": jax.devices()[0].platform,
        "devices": len(jax.devices()),
        "parameters": parameters,
        "compile_seconds": compiled,
    }
    return description, {"epoch": epoch, "peak": lambda: peak(problem.product)}


def _members(problem: Problem, trials: int) -> Member:
    everything = jnp.ones((trials, problem.rows), dtype=bool)
    return Member(
        rows={"labelled": everything, "unlabelled": ~everything, "validation": ~everything},
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
