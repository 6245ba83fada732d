"""First parameters of a network, drawn in one compiled program."""

from __future__ import annotations

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


@functools.partial(jax.jit, static_argnums=(0, 2))
def first_parameters(network: nn.Module, key: jax.Array, shape: tuple[int, ...]) -> Any:
    """Parameters that ``network.init`` draws for float32 inputs of a shape; equal networks share the program.

    ``init`` by itself passes an example through the network operation by operation, each a program to be compiled.
    """
    return network.init(key, jnp.zeros(shape, jnp.float32))["params"]
